//! What an augmentation is built from.

use super::ViewShape;
use selfsame_base::DataError;
use selfsame_config::Settings;
use std::fmt;
use toml::{Table, Value};

/// What an augmentation is built from.
#[derive(Debug)]
pub struct AugmentationContext<'a> {
    pub(super) path: &'a str,
    pub(super) name: &'static str,
    pub(super) keys: Table,
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
