//! The recipes that come with the binary.

use super::Recipe;
use super::keys;
use crate::DataError;

/// A recipe of the house.
#[derive(Debug)]
pub struct RecipeEntry {
    /// What it is called on the command line; its file is `recipes/NAME.toml`.
    pub name: &'static str,
    /// TOML.
    pub text: &'static str,
}

/// All of them.
pub static RECIPES: &[RecipeEntry] = &[
    RecipeEntry { name: "simclr", text: include_str!("../../../../recipes/simclr.toml") },
    RecipeEntry { name: "moco", text: include_str!("../../../../recipes/moco.toml") },
    RecipeEntry { name: "nnclr", text: include_str!("../../../../recipes/nnclr.toml") },
    RecipeEntry { name: "byol", text: include_str!("../../../../recipes/byol.toml") },
    RecipeEntry { name: "simsiam", text: include_str!("../../../../recipes/simsiam.toml") },
    RecipeEntry { name: "barlow_twins", text: include_str!("../../../../recipes/barlow_twins.toml") },
    RecipeEntry { name: "vicreg", text: include_str!("../../../../recipes/vicreg.toml") },
    RecipeEntry { name: "swav", text: include_str!("../../../../recipes/swav.toml") },
    RecipeEntry { name: "clusterfit", text: include_str!("../../../../recipes/clusterfit.toml") },
    RecipeEntry { name: "rotation", text: include_str!("../../../../recipes/rotation.toml") },
    RecipeEntry { name: "dino", text: include_str!("../../../../recipes/dino.toml") },
    RecipeEntry { name: "masked_autoencoder", text: include_str!("../../../../recipes/masked_autoencoder.toml") },
    RecipeEntry { name: "denoising_autoencoder", text: include_str!("../../../../recipes/denoising_autoencoder.toml") },
    RecipeEntry { name: "inpainting", text: include_str!("../../../../recipes/inpainting.toml") },
    RecipeEntry { name: "deep_belief_network", text: include_str!("../../../../recipes/deep_belief_network.toml") },
    RecipeEntry { name: "invariance_only", text: include_str!("../../../../recipes/invariance_only.toml") },
    RecipeEntry { name: "fashion_mnist_simclr", text: include_str!("../../../../recipes/fashion_mnist_simclr.toml") },
    RecipeEntry {
        name: "fashion_mnist_barlow_twins",
        text: include_str!("../../../../recipes/fashion_mnist_barlow_twins.toml"),
    },
    RecipeEntry { name: "vit_simclr", text: include_str!("../../../../recipes/vit_simclr.toml") },
    RecipeEntry { name: "vit_moco", text: include_str!("../../../../recipes/vit_moco.toml") },
    RecipeEntry { name: "emoji_simclr", text: include_str!("../../../../recipes/emoji_simclr.toml") },
    RecipeEntry { name: "emoji_byol", text: include_str!("../../../../recipes/emoji_byol.toml") },
    RecipeEntry { name: "emoji_barlow_twins", text: include_str!("../../../../recipes/emoji_barlow_twins.toml") },
    RecipeEntry { name: "emoji_vicreg", text: include_str!("../../../../recipes/emoji_vicreg.toml") },
    RecipeEntry { name: "emoji_swav", text: include_str!("../../../../recipes/emoji_swav.toml") },
];

impl RecipeEntry {
    /// What it is for: the first line of its header.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
    }
}

impl Recipe {
    /// The recipe of the house that has this name.
    pub fn builtin(name: &str) -> Result<Self, DataError> {
        let names = || RECIPES.iter().map(|recipe| recipe.name);
        let entry = RECIPES.iter().find(|recipe| recipe.name == name).ok_or_else(|| {
            let meant = keys::nearest(name, names()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
            DataError::Data(format!(
                "`{name}` is no file, no run folder and no recipe{meant} (recipes: {})",
                names().collect::<Vec<_>>().join(", ")
            ))
        })?;
        Ok(Self { name: format!("recipes/{name}.toml"), text: entry.text.into() })
    }
}
