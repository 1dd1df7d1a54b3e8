//! From raw settings to a checked [`Plan`].
//!
//! A recipe is read as a tree in which every value knows its line; `key=value` arguments are laid over it, defaults
//! put under it; every key is looked up in [`KEYS`] or in the catalogue of its method or augmentation; what depends on
//! the data is filled in last. An error therefore always says which key, from where, what was expected and what would
//! work, and a plan can tell where each of its values came from.

mod keys;
mod load;
mod plan;
mod recipes;
mod render;
#[cfg(test)]
mod tests;
mod tree;

pub use keys::{KEYS, Key, Kind, Range, SHORT_FORMS};
pub use load::{Known, MethodKeys, Recipe, Resolved, load};
pub use plan::*;
pub use recipes::{RECIPES, RecipeEntry};
pub use tree::Origin;
