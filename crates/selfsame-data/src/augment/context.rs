//! Builds the operation that an augmentation in a plan names.

use super::{Augmentation, AugmentationEntry, ViewShape};
use crate::modality::Modality;
use selfsame_base::{DataError, lookup};
use selfsame_config::{Choice, Settings};
use std::fmt;
use toml::{Table, Value};

/// What an augmentation is built from.
#[derive(Debug)]
pub struct AugmentationContext<'a> {
    path: &'a str,
    name: &'static str,
    keys: Table,
    /// Shape of the views that come out in the end.
    pub shape: ViewShape,
}

impl AugmentationContext<'_> {
    /// The augmentation's own settings.
    pub fn read<S: Settings>(&self) -> Result<S, DataError> {
        S::read(&self.keys).map_err(|error| DataError::setting(self.path, format!("{}: {error}", self.name)))
    }

    /// The number of a key that may also hold a word.
    pub fn number(&self, key: &str, value: &Value) -> Result<f32, DataError> {
        let number = value.as_float().or_else(|| value.as_integer().map(|v| v as f64));
        number.map(|v| v as f32).ok_or_else(|| self.error(key, format_args!("expected a number, received {value}")))
    }

    /// One number per channel, of a list of as many or of one for all.
    pub fn per_channel(&self, key: &str, list: Vec<f32>) -> Result<Vec<f32>, DataError> {
        match (list.len(), self.shape.channels) {
            (1, channels) => Ok(vec![list[0]; channels]),
            (found, channels) if found == channels => Ok(list),
            (found, channels) => {
                Err(self
                    .error(key, format_args!("expected {channels} numbers, one per channel, or one, received {found}")))
            }
        }
    }

    /// An error about a key.
    pub fn error(&self, key: &str, problem: impl fmt::Display) -> DataError {
        DataError::setting(format!("{}.{key}", self.path), format!("{}: {problem}", self.name))
    }

    /// An error unless the images have three channels. `remedy` says what would work instead.
    pub fn need_rgb(&self, key: &str, remedy: &str) -> Result<(), DataError> {
        let found = match self.shape.channels {
            3 => return Ok(()),
            1 => "1 (data.channels=3 asks for more)".to_owned(),
            n => n.to_string(),
        };
        Err(self
            .error(key, format_args!("needs images of 3 channels (red, green, blue), these have {found}; {remedy}")))
    }
}

/// Builds the augmentation that `choice` names; keys that it leaves out have their presets. `path` is the choice's dotted
/// key, e.g. `views.0.augmentations.1`.
///
/// # Errors
/// If there is no such augmentation or key, or a value does not fit it or the shape.
pub fn build(
    choice: &Choice,
    path: &str,
    shape: ViewShape,
) -> Result<(&'static AugmentationEntry, Box<dyn Augmentation>), DataError> {
    let entry =
        find(&choice.name, shape.modality).map_err(|problem| DataError::setting(format!("{path}.name"), problem))?;
    let own = || entry.keys.iter().copied().flatten();
    let names = own().map(|key| key.name);
    if let Some(unknown) = choice.keys.keys().find(|key| names.clone().all(|name| name != *key)) {
        let meant = lookup::nearest(unknown, names.clone());
        let hint = meant.map_or_else(
            || format!("it has {}", names.clone().collect::<Vec<_>>().join(", ")),
            |name| format!("did you mean `{name}`?"),
        );
        return Err(DataError::setting(format!("{path}.{unknown}"), format!("{} has no such key; {hint}", entry.name)));
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
fn find(name: &str, modality: Modality) -> Result<&'static AugmentationEntry, String> {
    let own = modality.augmentations();
    let others = [Modality::Image, Modality::Vector].into_iter().filter(|other| *other != modality);
    for other in others {
        let is = |entry: &&AugmentationEntry| entry.name == name;
        if let (None, Some(_)) = (own.iter().find(is), other.augmentations().iter().find(is)) {
            let names: Vec<&str> = own.iter().map(|entry| entry.name).collect();
            return Err(format!(
                "{name} is for {other}, these data are {modality}; expected {}",
                lookup::one_of(&names)
            ));
        }
    }
    lookup::find(own, |entry| entry.name, "augmentation", name)
}
