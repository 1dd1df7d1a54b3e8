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
use std::path::Path;

const EXAMPLES: &str = "\
Examples:
  selfsame demo                            SimCLR
  selfsame demo --method barlow_twins
  selfsame demo --method invariance_only   see a collapse, and how it is named
  selfsame demo epochs=2 seed=7            any recipe key
  selfsame demo --data sounds              spoken letters, after scripts/letters.sh
  selfsame demo --data series --method cpc four motions, after scripts/series.sh";

/// What a demo learns from, and is judged on.
struct DemoData {
    name: &'static str,
    /// Keys of its plan.
    keys: &'static [&'static str],
    /// Labeled samples to learn a probe from, where those of the plan have no labels.
    train: Option<&'static str>,
    test: &'static str,
    /// What lays it out, where it is not bundled.
    script: Option<&'static str>,
}

const DATA: &[DemoData] = &[
    DemoData { name: "images", keys: &[], train: None, test: "demo/test", script: None },
    DemoData {
        name: "series",
        keys: &["data=data/series/BasicMotions/train.ts", "data.normalize=sample", "epochs=100"],
        train: None,
        test: "data/series/BasicMotions/test.ts",
        script: Some("scripts/series.sh"),
    },
    DemoData {
        name: "sounds",
        keys: &[
            "data=data/letters/sounds/train",
            "data.view=log_mel",
            "data.rate=16000",
            "data.cut_off=keep",
            "data.size=[64,96]",
            "epochs=15",
        ],
        train: Some("data/letters/letters/train"),
        test: "data/letters/letters/test",
        script: Some("scripts/letters.sh"),
    },
];

/// Train on bundled images without their labels, evaluate, and print the table.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct Demo {
    /// Which method; `selfsame list methods` tells them all
    #[arg(long, default_value = "simclr")]
    method: String,
    /// On what: images, which are bundled, series or sounds, which a script lays out
    #[arg(long, default_value = "images")]
    data: String,
    /// Any recipe key as key=value
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl Demo {
    pub fn run(self) -> Result<Code> {
        let method = lookup::find(METHODS, |method| method.name, "method", &self.method).map_err(bad_input)?;
        let data = lookup::find(DATA, |data| data.name, "demo data", &self.data).map_err(bad_input)?;
        if let Some(script) = data.script.filter(|_| !Path::new(data.test).exists()) {
            return Err(bad_input(format!(
                "--data {}: {} is not there; {script} lays it out, in the folder where the demo is started",
                data.name, data.test
            )));
        }
        let Planned { plan, dataset, .. } = match data.script {
            None => plans::resolve(Some(&Recipe::builtin(method.name)?), &self.overrides)?,
            Some(_) => {
                let own = [format!("method={}", method.name)].into_iter();
                let keys = own.chain(data.keys.iter().map(|key| (*key).to_owned())).chain(self.overrides);
                plans::resolve(None, &keys.collect::<Vec<_>>())?
            }
        };
        if !pretrain::train(&plan, dataset.clone(), &mut Progress::new())? {
            return Ok(Code::Saved);
        }
        let labeled = data.train.map_or(Ok(dataset.clone()), |train| plans::sibling(&plan, train))?;
        let features = evaluate::judge(&plan, &labeled, &plans::sibling(&plan, data.test)?, &Told::default())?;
        report::write_after(&plan, &labeled, &features);
        Ok(Code::Finished)
    }
}
