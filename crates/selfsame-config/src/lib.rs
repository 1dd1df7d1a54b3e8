//! From raw settings to checked values.
//!
//! A recipe is read as a tree in which every value knows its line; `key=value` arguments are laid over it ([`Draft`]); every
//! key is looked up in the [`Schema`], the sum of what the parts of the house say of theirs; what nobody gave is filled in
//! from presets, from other values and from the data ([`Resolved`]). So an error always says which key, from where, what was
//! expected and what would work, and a plan can tell where each of its values came from.
//!
//! Nothing here knows what is configured: the parts that do bring their keys, by [`settings!`].

mod draft;
mod identity;
mod key;
mod recipe;
mod render;
mod schema;
mod settings;
mod tree;

pub use draft::{Draft, Resolved};
pub use identity::differences;
pub use key::{Key, Kind, Preset, Range, Settled};
pub use recipe::{RECIPES, Recipe, RecipeEntry};
pub use schema::{Choices, KeyRow, NamePreset, Part, Schema, Variant};
pub use settings::{Choice, Settings, shortest, value};
pub use tree::Origin;

/// For [`settings!`], so that a crate that declares settings need not depend on it.
#[doc(hidden)]
pub use serde;
