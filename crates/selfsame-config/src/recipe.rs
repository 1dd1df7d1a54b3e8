//! The text of a recipe.

use selfsame_base::{DataError, files, lookup};
use std::path::Path;

/// The text of a recipe and what the user calls it.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Shown as `NAME:LINE` where a value's origin is told.
    pub name: String,
    /// TOML.
    pub text: String,
}

impl Recipe {
    /// Reads a recipe, or the `plan.toml` of a run.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = files::read_text(path).map_err(|e| DataError::io(path, e))?;
        Ok(Self { name: path.display().to_string(), text })
    }

    /// The recipe that comes with the binary under this name.
    pub fn builtin(name: &str) -> Result<Self, DataError> {
        let entry = lookup::find(RECIPES, |recipe| recipe.name, "recipe", name).map_err(DataError::Data)?;
        Ok(Self { name: format!("recipes/{}.toml", entry.name), text: entry.text.into() })
    }
}

/// A recipe that comes with the binary.
#[derive(Debug)]
pub struct RecipeEntry {
    /// What it is called on the command line; its file is `recipes/NAME.toml`.
    pub name: &'static str,
    /// TOML.
    pub text: &'static str,
}

impl RecipeEntry {
    /// What it is for: the first line of its header.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        &[$(RecipeEntry { name: $name, text: include_str!(concat!("../recipes/", $name, ".toml")) }),*]
    };
}

/// All of them.
pub static RECIPES: &[RecipeEntry] = recipes![
    "simclr",
    "moco",
    "nnclr",
    "byol",
    "simsiam",
    "barlow_twins",
    "vicreg",
    "swav",
    "clusterfit",
    "rotation",
    "dino",
    "masked_autoencoder",
    "denoising_autoencoder",
    "inpainting",
    "deep_belief_network",
    "invariance_only",
    "scarf",
    "vime",
    "vector_barlow_twins",
    "cpc",
    "ts2vec",
    "signal_masked_autoencoder",
    "fashion_mnist_simclr",
    "fashion_mnist_barlow_twins",
    "vit_simclr",
    "vit_moco",
    "emoji_simclr",
    "emoji_byol",
    "emoji_barlow_twins",
    "emoji_vicreg",
    "emoji_swav",
    "continue_simclr",
    "continue_byol",
    "continue_dino",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_that_come_with_the_binary_fit_a_screen_and_say_what_they_are() {
        for entry in RECIPES {
            assert!(entry.text.lines().count() <= 50, "{}", entry.name);
            assert!(entry.text.starts_with("# ") && entry.summary().len() > 20, "{}", entry.name);
        }
        let error = Recipe::builtin("simclar").expect_err("no such recipe").to_string();
        assert!(error.contains("did you mean `simclr`?"), "{error}");
        assert_eq!(Recipe::builtin("Barlow-Twins").expect("forgiven").name, "recipes/barlow_twins.toml");
    }
}
