//! Recipes, and the plans of runs.

use crate::{told, written};
use selfsame::catalogue::Catalogue;
use selfsame::run::PLAN_HEADER;
use selfsame_config::Recipe;

/// What the data would tell; a recipe is read without any.
const STATED: [&str; 8] = [
    "data=unused",
    "data.kind=folder",
    "data.labels=none",
    "data.fingerprint=none",
    "data.channels=3",
    "data.size=32",
    "data.mean=[0.5, 0.5, 0.5]",
    "data.std=[0.25, 0.25, 0.25]",
];

/// A recipe. The plan of one that is accepted is accepted too, and is the same plan.
pub fn recipe(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let plan = |text: &str, arguments: &[String]| {
        let recipe = Recipe { name: "recipe.toml".into(), text: text.to_owned() };
        Catalogue::default().plan_as_stated(Some(&recipe), arguments)
    };
    match plan(text, &STATED.map(String::from)) {
        Ok(made) => {
            let again = plan(&made.to_toml(), &[]).expect("a plan is a recipe");
            assert!(again == made, "another plan of the same recipe: {made:?}");
        }
        Err(error) => told(error),
    }
}

/// `plan.toml` of a run. One that is accepted and written again is the same plan.
pub fn plan(bytes: &[u8]) {
    let path = written("run/plan.toml", bytes);
    let load = || Catalogue::default().load(path.parent().expect("a file in a folder"), &[]);
    match load() {
        Ok(plan) => {
            written("run/plan.toml", [PLAN_HEADER, &plan.to_toml()].concat().as_bytes());
            assert!(load().expect("a plan reads back") == plan, "another plan: {plan:?}");
        }
        Err(error) => told(error),
    }
}
