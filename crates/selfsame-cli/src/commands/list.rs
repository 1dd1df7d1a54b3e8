//! `selfsame list`.

use crate::studies::STUDIES;
use crate::terminal;
use anyhow::Result;
use clap::{Args, ValueEnum};
use selfsame::catalogue::{BACKBONES, METHODS};
use selfsame_data::augment::IMAGE_AUGMENTATIONS;
use selfsame_data::config::RECIPES;
use selfsame_data::source::SOURCES;
use std::process::ExitCode;

/// Show what there is to choose from.
#[derive(Args)]
#[command(after_help = "Examples:\n  selfsame list methods\n  selfsame list augmentations")]
pub struct List {
    /// Which catalogue
    what: Catalogue,
}

#[derive(Clone, Copy, ValueEnum)]
enum Catalogue {
    Methods,
    Backbones,
    Augmentations,
    Sources,
    Recipes,
    Studies,
}

impl List {
    pub fn run(self) -> Result<ExitCode> {
        let lines: Vec<(&str, String)> = match self.what {
            Catalogue::Methods => METHODS
                .iter()
                .map(|m| (m.name, with_keys(m.summary, (m.defaults)().iter().map(|(k, v)| format!("{k} = {v}")))))
                .collect(),
            Catalogue::Backbones => BACKBONES.iter().map(|b| (b.name, b.summary.to_owned())).collect(),
            Catalogue::Augmentations => IMAGE_AUGMENTATIONS
                .iter()
                .map(|a| (a.name, with_keys(a.summary, a.defaults().iter().map(|(k, v)| format!("{k} = {v}")))))
                .collect(),
            Catalogue::Sources => SOURCES.iter().map(|s| (s.name, s.summary.to_owned())).collect(),
            Catalogue::Recipes => RECIPES.iter().map(|r| (r.name, r.summary().to_owned())).collect(),
            Catalogue::Studies => STUDIES.iter().map(|s| (s.name, s.question.to_owned())).collect(),
        };
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, text) in lines {
            terminal::print(format_args!("{name:width$}  {text}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn with_keys(summary: &str, keys: impl Iterator<Item = String>) -> String {
    let keys: Vec<_> = keys.collect();
    if keys.is_empty() { summary.to_owned() } else { format!("{summary} ({})", keys.join(", ")) }
}
