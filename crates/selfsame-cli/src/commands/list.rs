//! `selfsame list`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::studies::STUDIES;
use crate::terminal;
use anyhow::Result;
use clap::{Args, ValueEnum};
use selfsame::backbones::BACKBONES;
use selfsame::catalogue::METHODS;
use selfsame::optim::settings::OPTIMIZERS;
use selfsame_base::lookup;
use selfsame_config::{Key, KeyRow, RECIPES};
use selfsame_data::augment::Augmentations;
use selfsame_data::source::SOURCES;

/// Show what there is to choose from.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame list methods
  selfsame list keys                 every key of a recipe: what it holds, its default, what it is for
  selfsame list keys method.         those of a table
  selfsame list keys finetune.       those of selfsame finetune")]
pub struct List {
    /// Which catalogue
    what: Catalogue,
    /// Only names, or keys, that begin so
    prefix: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Catalogue {
    Methods,
    Backbones,
    Augmentations,
    Optimizers,
    Sources,
    Recipes,
    Studies,
    Keys,
}

impl List {
    pub fn run(self) -> Result<Code> {
        let all: Vec<(String, String)> = match self.what {
            Catalogue::Methods => METHODS.iter().map(|m| (m.name.into(), with_keys(m.summary, m.keys))).collect(),
            Catalogue::Backbones => BACKBONES.iter().map(|b| (b.name.into(), with_keys(b.summary, b.keys))).collect(),
            Catalogue::Augmentations => {
                Augmentations::default().iter().map(|a| (a.name.into(), with_keys(a.summary, a.keys))).collect()
            }
            Catalogue::Optimizers => OPTIMIZERS.iter().map(|o| (o.name.into(), o.summary.into())).collect(),
            Catalogue::Sources => SOURCES.iter().map(|s| (s.name.into(), s.summary.into())).collect(),
            Catalogue::Recipes => RECIPES.iter().map(|r| (r.name.into(), r.summary().into())).collect(),
            Catalogue::Studies => STUDIES.iter().map(|s| (s.name.into(), s.question.into())).collect(),
            Catalogue::Keys => keys().iter().map(|row| (row.path.clone(), described(row))).collect(),
        };
        let prefix = self.prefix.as_deref().map(lookup::canonical).unwrap_or_default();
        let lines: Vec<_> = all.iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        if lines.is_empty() {
            let meant = lookup::nearest(&prefix, all.iter().map(|(name, _)| name.as_str()));
            let meant = meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            return Err(bad_input(format!("nothing begins with `{prefix}`{meant}")));
        }
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, text) in lines {
            terminal::print(format_args!("{name:width$}  {text}"));
        }
        Ok(Code::Finished)
    }
}

/// Every key that a person can set: those of plans, and those of fine-tuning.
fn keys() -> Vec<KeyRow> {
    let tuning = plans::finetune_keys().into_iter().map(|row| KeyRow { path: format!("finetune.{}", row.path), ..row });
    let own = |row: &KeyRow| !row.path.starts_with("finetune.augmentations");
    plans::plan_keys().into_iter().chain(tuning.filter(own)).collect()
}

fn described(row: &KeyRow) -> String {
    let of = if row.of.is_empty() { String::new() } else { format!(" ({})", row.of.join(", ")) };
    format!("{}{of}; {}; default: {}", row.meaning, row.kind, row.preset)
}

fn with_keys(summary: &str, keys: &[&[Key]]) -> String {
    let keys: Vec<_> = keys.iter().copied().flatten().map(|key| format!("{} = {}", key.name, key.preset)).collect();
    if keys.is_empty() { summary.to_owned() } else { format!("{summary} ({})", keys.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SELFSAME_RECORD=1 cargo test -p selfsame-cli keys` writes the page anew.
    #[test]
    fn the_page_of_keys_is_current() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/keys.md");
        let mut text = String::from(
            "# Keys\n\nEvery key of a recipe, and of `selfsame finetune` (there without the `finetune.`). `selfsame list keys \
             [PREFIX]` prints them;\nthis page is made of the same list by a test.\n\n| key | of | holds | default | \
             meaning |\n| --- | --- | --- | --- | --- |\n",
        );
        for KeyRow { path, of, kind, preset, meaning } in keys() {
            let of = of.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let cell = |text: &str| text.replace('|', "\\|").replace('<', "\\<");
            text += &format!("| `{path}` | {of} | {} | {} | {} |\n", cell(&kind), cell(&preset), cell(meaning));
        }
        if std::env::var_os("SELFSAME_RECORD").is_some() {
            std::fs::write(page, &text).unwrap();
        }
        assert!(std::fs::read_to_string(page).unwrap_or_default() == text, "docs/keys.md is not current");
    }
}
