//! `selfsame demo`.

use super::{evaluate, pretrain, report};
use crate::exit::{self, Code, bad_input};
use crate::plans;
use crate::progress::Progress;
use anyhow::Result;
use clap::Args;
use selfsame::catalogue::{METHODS, Planned};
use selfsame::labels::Told;
use selfsame_base::lookup;
use selfsame_config::Recipe;

const EXAMPLES: &str = "\
Examples:
  selfsame demo                            SimCLR
  selfsame demo --method barlow_twins
  selfsame demo --method invariance_only   see a collapse, and how it is named
  selfsame demo epochs=2 seed=7            any recipe key";

/// Train on bundled images without their labels, evaluate, and print the table.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct Demo {
    /// Which method; `selfsame list methods` tells them all
    #[arg(long, default_value = "simclr")]
    method: String,
    /// Any recipe key as key=value
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Demo {
    pub fn run(self) -> Result<Code> {
        let method = lookup::find(METHODS, |method| method.name, "method", &self.method).map_err(bad_input)?;
        let recipe = Recipe::builtin(method.name)?;
        let Planned { plan, dataset, .. } = plans::resolve(Some(&recipe), &self.overrides)?;
        if !pretrain::train(&plan, dataset.clone(), &mut Progress::new())? {
            return Ok(Code::Saved);
        }
        let test = plans::sibling(&plan, "demo/test")?;
        let features = evaluate::judge(&plan, &dataset, &test, &Told::default())?;
        report::write_after(&plan, &dataset, &features);
        Ok(Code::Finished)
    }
}
