//! From an augmentation's table in a recipe to checked values. Unknown keys are errors; defaults exist in the
//! catalogue alone.

use super::{AugmentationEntry, IMAGE_AUGMENTATIONS, ImageAugmentation, ViewShape};
use crate::DataError;
use std::fmt;
use toml::Value;

/// A key of an augmentation.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Default as TOML text; empty when the key must be given.
    pub default: &'static str,
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

impl Key {
    /// The probability that the augmentation is applied.
    pub const fn p(default: &'static str) -> Self {
        Self { name: "p", kind: Kind::Number(Bounds(0.0, 1.0)), default, meaning: "probability of being applied" }
    }

    /// The default's value; the key must have one.
    pub(super) fn default_value(&self) -> Value {
        let table: toml::Table = format!("value = {}", self.default).parse().expect("catalogue defaults are TOML");
        table["value"].clone()
    }
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// One number.
    Number(Bounds),
    /// `[low, high]`, of which values are drawn uniformly.
    Interval(Bounds),
    /// A list of numbers, one a channel, or one for all channels.
    PerChannel(Bounds),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a number.
    WordOrNumber(&'static [&'static str], Bounds),
}

/// Bounds of a number, both included.
#[derive(Clone, Copy, Debug)]
pub struct Bounds(pub f32, pub f32);

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self(f32::MIN, f32::MAX) => f.write_str("of any size"),
            Self(low, f32::MAX) => write!(f, "of at least {low}"),
            Self(low, high) => write!(f, "from {low} to {high}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |words: &[&str]| words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Number(bounds) => write!(f, "a number {bounds}"),
            Self::Interval(bounds) => write!(f, "[low, high], both numbers {bounds}"),
            Self::PerChannel(bounds) => write!(f, "a list of numbers, one a channel, each {bounds}"),
            Self::Word(list) => f.write_str(&words(list)),
            Self::WordOrNumber(list, bounds) => write!(f, "{} or a number {bounds}", words(list)),
        }
    }
}

impl Kind {
    fn accepts(&self, value: &Value, channels: usize) -> bool {
        let within = |value: &Value, Bounds(low, high): Bounds| number(value).is_some_and(|v| low <= v && v <= high);
        match (*self, value) {
            (Self::Number(bounds), _) => within(value, bounds),
            (Self::Interval(bounds), Value::Array(list)) => {
                list.len() == 2 && list.iter().all(|v| within(v, bounds)) && number(&list[0]) <= number(&list[1])
            }
            (Self::PerChannel(bounds), Value::Array(list)) => {
                (list.len() == 1 || list.len() == channels) && list.iter().all(|v| within(v, bounds))
            }
            (Self::Word(words) | Self::WordOrNumber(words, _), Value::String(word)) => words.contains(&word.as_str()),
            (Self::WordOrNumber(_, bounds), _) => within(value, bounds),
            _ => false,
        }
    }
}

fn number(value: &Value) -> Option<f32> {
    match value {
        Value::Integer(v) => Some(*v as f32),
        Value::Float(v) => Some(*v as f32),
        _ => None,
    }
}

/// The checked values of one augmentation's table.
#[derive(Debug)]
pub struct Values<'a> {
    path: &'a str,
    name: &'static str,
    /// Shape of the views that come out in the end.
    pub shape: ViewShape,
    values: Vec<(&'static str, Value)>,
}

impl Values<'_> {
    fn get(&self, key: &str) -> &Value {
        let found = self.values.iter().find(|(name, _)| *name == key);
        &found.unwrap_or_else(|| panic!("{} does not list its key {key}", self.name)).1
    }

    /// A [`Kind::Number`].
    pub fn number(&self, key: &str) -> f32 {
        number(self.get(key)).expect("checked to be a number")
    }

    /// A [`Kind::Interval`], `[low, high]`.
    pub fn interval(&self, key: &str) -> [f32; 2] {
        self.list(key).try_into().expect("checked to hold two numbers")
    }

    /// A [`Kind::PerChannel`], `[channels]`.
    pub fn per_channel(&self, key: &str) -> Vec<f32> {
        let list = self.list(key);
        if list.len() == self.shape.channels { list } else { vec![list[0]; self.shape.channels] }
    }

    fn list(&self, key: &str) -> Vec<f32> {
        let list = self.get(key).as_array().expect("checked to be a list");
        list.iter().map(|v| number(v).expect("checked to hold numbers")).collect()
    }

    /// A [`Kind::Word`], or the word of a [`Kind::WordOrNumber`] that holds one.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.get(key).as_str()
    }

    /// An error about a key.
    pub fn error(&self, key: &str, problem: impl fmt::Display) -> DataError {
        DataError::setting(format!("{}.{key}", self.path), format!("{}: {problem}", self.name))
    }

    /// An error unless the images have three channels. `remedy` says what would work instead.
    pub fn need_rgb(&self, key: &str, remedy: &str) -> Result<(), DataError> {
        match self.shape.channels {
            3 => Ok(()),
            n => Err(self
                .error(key, format_args!("needs images of 3 channels (red, green, blue), these have {n}; {remedy}"))),
        }
    }
}

/// Builds the augmentation that `table` describes. `path` is the table's dotted key, e.g. `views.0.augmentations.1`.
pub fn build(
    table: &toml::Table,
    path: &str,
    shape: ViewShape,
) -> Result<(&'static AugmentationEntry, Box<dyn ImageAugmentation>), DataError> {
    let names = || IMAGE_AUGMENTATIONS.iter().map(|entry| entry.name);
    let name = match table.get("name") {
        Some(Value::String(name)) => name,
        Some(other) => {
            return Err(DataError::setting(format!("{path}.name"), format!("expected text, received {other}")));
        }
        None => {
            let problem = format!("missing; expected one of {}", names().collect::<Vec<_>>().join(", "));
            return Err(DataError::setting(format!("{path}.name"), problem));
        }
    };
    let Some(entry) = IMAGE_AUGMENTATIONS.iter().find(|entry| entry.name == name) else {
        let problem = format!("no augmentation is called \"{name}\"; {}", nearest(name, names()));
        return Err(DataError::setting(format!("{path}.name"), problem));
    };
    if let Some(key) = table.keys().find(|key| *key != "name" && entry.keys.iter().all(|known| known.name != *key)) {
        let problem = format!("{name} has no such key; {}", nearest(key, entry.keys.iter().map(|known| known.name)));
        return Err(DataError::setting(format!("{path}.{key}"), problem));
    }
    let mut values = Values { path, name: entry.name, shape, values: Vec::new() };
    for key in entry.keys {
        let value = match table.get(key.name) {
            Some(value) => value.clone(),
            None if key.default.is_empty() => {
                return Err(values.error(key.name, format_args!("missing; expected {}", key.kind)));
            }
            None => key.default_value(),
        };
        if !key.kind.accepts(&value, shape.channels) {
            return Err(values.error(key.name, format_args!("expected {}, received {value}", key.kind)));
        }
        values.values.push((key.name, value));
    }
    Ok((entry, (entry.build)(&values)?))
}

/// "did you mean …" where something is near, the whole list otherwise.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let mut known: Vec<_> = known.map(|name| (strsim::damerau_levenshtein(wrong, name), name)).collect();
    known.sort_by_key(|&(distance, _)| distance);
    match known.first() {
        Some(&(distance, name)) if distance <= 1 + wrong.len() / 4 => format!("did you mean \"{name}\"?"),
        _ => format!("expected one of {}", known.iter().map(|&(_, name)| name).collect::<Vec<_>>().join(", ")),
    }
}
