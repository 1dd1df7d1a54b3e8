//! `selfsame plan`.

use crate::exit::Code;
use crate::plans::{self, Given};
use crate::terminal;
use anyhow::Result;
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  selfsame plan data=photos/ method=barlow_twins
  selfsame plan simclr epochs=20 > mine.toml         a recipe to start from
  selfsame plan runs/mine";

/// Show the resolved plan and where each value came from; train nothing.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = plans::long_help(EXAMPLES, &plans::plan_keys()))]
pub struct ShowPlan {
    /// A recipe (file or name) or a run folder; then any recipe key as key=value
    #[arg(value_name = "RECIPE|RUN] [KEY=VALUE")]
    words: Vec<String>,
}

impl ShowPlan {
    pub fn run(self) -> Result<Code> {
        let annotated = |recipe, arguments| -> Result<String> {
            let planned = plans::resolve(recipe, arguments)?;
            plans::tell_skipped(&planned.dataset);
            Ok(planned.to_annotated_toml())
        };
        let text = match plans::split(&self.words)? {
            (Some(Given::Run(path)), arguments) => plans::run_with(&path, arguments)?.to_toml(),
            (Some(Given::Recipe(recipe)), arguments) => annotated(Some(&recipe), arguments)?,
            (None, arguments) => annotated(None, arguments)?,
        };
        terminal::print(format_args!("{}", text.trim_end()));
        Ok(Code::Finished)
    }
}
