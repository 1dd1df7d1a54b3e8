//! `selfsame plan`.

use crate::plans::{self, Subject};
use crate::terminal;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Show the resolved plan and where each value came from; train nothing.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame plan data=photos/ method=barlow_twins
  selfsame plan simclr epochs=20 > mine.toml         a recipe to start from
  selfsame plan runs/mine")]
pub struct ShowPlan {
    /// A recipe (file or name) or a run folder; then any recipe key as key=value
    #[arg(value_name = "RECIPE|RUN] [KEY=VALUE")]
    words: Vec<String>,
}

impl ShowPlan {
    pub fn run(self) -> Result<ExitCode> {
        let text = match plans::split(&self.words)? {
            (Some(Subject::Run(plan)), _) => plan.to_toml(),
            (Some(Subject::Recipe(recipe)), overrides) => {
                plans::resolve(Some(&recipe), overrides)?.0.to_annotated_toml()
            }
            (None, overrides) => plans::resolve(None, overrides)?.0.to_annotated_toml(),
        };
        terminal::print(format_args!("{}", text.trim_end()));
        Ok(ExitCode::SUCCESS)
    }
}
