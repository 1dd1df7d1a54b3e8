//! A method, a backbone, an augmentation and a source of one's own, trained and used as those that come with Selfsame are:
//! `cargo run --release -p stranger --example custom_method`.

#![allow(clippy::print_stdout, reason = "for who runs it")]

use selfsame::events::Silent;
use selfsame::{Embedder, Error, Pretrain};
use selfsame_config::Recipe;
use std::sync::Arc;
use stranger::catalogue;
use stranger::rings::Rings;

const RECIPE: &str = r#"
[backbone]
name = "bag_of_patches"
[method]
name = "alignment_uniformity"
[[views]]
count = 2
augmentations = [{ name = "random_resized_crop", scale = [0.5, 1.0] }, { name = "posterize", p = 0.5 }]
[train]
epochs = 5
batch_size = 50
"#;

fn main() -> Result<(), Error> {
    let recipe = Recipe { name: "rings.toml".into(), text: RECIPE.into() };
    let run = Pretrain::by_recipe(recipe)
        .with_catalogue(catalogue())
        .dataset(Rings::dataset(500)?)
        .out("runs/rings")
        .run(&mut Silent)?;
    let features = Embedder::load_with(&catalogue(), run.path())?.embed(&Arc::new(Rings::dataset(500)?))?;
    println!("{} rows of {} features in {}", features.len(), features.dim, run.path().display());
    Ok(())
}
