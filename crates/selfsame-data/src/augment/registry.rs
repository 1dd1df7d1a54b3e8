//! The augmentations that plans may name, and how one is built.

use super::{Augmentation, AugmentationContext, ViewShape, image, signal, vector};
use crate::modality::Modality;
use selfsame_base::{DataError, lookup};
use selfsame_config::{Choice, Key};
use std::sync::Arc;
use toml::Table;

/// One line of the catalogue.
pub struct AugmentationEntry {
    /// Value of `name` in a recipe.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What it works on.
    pub modalities: &'static [Modality],
    /// The keys it takes, besides `name`.
    pub keys: &'static [&'static [Key]],
    /// Builds it where a plan has it.
    pub build: fn(&AugmentationContext<'_>) -> Result<Box<dyn Augmentation>, DataError>,
}

/// The augmentations that plans may name: those of this crate, and those that were added.
#[derive(Clone)]
pub struct Augmentations(Arc<[&'static AugmentationEntry]>);

impl Default for Augmentations {
    /// Those of this crate.
    fn default() -> Self {
        Self(image::ENTRIES.iter().chain(vector::ENTRIES).chain(signal::ENTRIES).collect())
    }
}

impl Augmentations {
    /// With another one.
    ///
    /// # Panics
    /// If there is one of that name.
    #[must_use]
    pub fn with(&self, entry: &'static AugmentationEntry) -> Self {
        assert!(self.iter().all(|other| other.name != entry.name), "two augmentations are called {}", entry.name);
        Self(self.iter().chain([entry]).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'static AugmentationEntry> {
        self.0.iter().copied()
    }

    /// Those for samples of `modality`.
    pub fn of(&self, modality: Modality) -> impl Iterator<Item = &'static AugmentationEntry> {
        self.iter().filter(move |entry| entry.modalities.contains(&modality))
    }

    /// Builds the augmentation that `choice` names; keys that it leaves out have their presets. `path` is the choice's dotted
    /// key, e.g. `views.0.augmentations.1`.
    ///
    /// # Errors
    /// If there is no such augmentation or key, or a value does not fit it or the shape.
    pub fn build(
        &self,
        choice: &Choice,
        path: &str,
        shape: ViewShape,
    ) -> Result<(&'static AugmentationEntry, Box<dyn Augmentation>), DataError> {
        let entry = self
            .find(&choice.name, shape.modality)
            .map_err(|problem| DataError::setting(format!("{path}.name"), problem))?;
        let own = || entry.keys.iter().copied().flatten();
        let names = own().map(|key| key.name);
        if let Some(unknown) = choice.keys.keys().find(|key| names.clone().all(|name| name != *key)) {
            let meant = lookup::nearest(unknown, names.clone());
            let hint = meant.map_or_else(
                || format!("it has {}", names.clone().collect::<Vec<_>>().join(", ")),
                |name| format!("did you mean `{name}`?"),
            );
            return Err(DataError::setting(
                format!("{path}.{unknown}"),
                format!("{} has no such key; {hint}", entry.name),
            ));
        }
        let mut keys: Table = own().filter_map(|key| Some((key.name.to_owned(), key.preset_value()?))).collect();
        keys.extend(choice.keys.clone());
        let cx = AugmentationContext { path, name: entry.name, keys, shape };
        for key in own() {
            match cx.keys.get(key.name) {
                None => return Err(cx.error(key.name, format_args!("missing; expected {}", key.kind))),
                Some(value) if !key.kind.admits(value) => {
                    return Err(cx.error(key.name, format_args!("expected {}, received {value}", key.kind)));
                }
                Some(_) => {}
            }
        }
        Ok((entry, (entry.build)(&cx)?))
    }

    /// The augmentation of that name for samples of `modality`.
    fn find(&self, name: &str, modality: Modality) -> Result<&'static AugmentationEntry, String> {
        match self.iter().find(|entry| entry.name == name) {
            Some(entry) if !entry.modalities.contains(&modality) => {
                let names: Vec<&str> = self.of(modality).map(|entry| entry.name).collect();
                Err(format!(
                    "{name} is for {}, these data are {modality}; expected {}",
                    entry.modalities[0],
                    lookup::one_of(&names)
                ))
            }
            _ => lookup::find(self.of(modality), |entry| entry.name, "augmentation", name),
        }
    }
}
