//! A part's settings, stated once: the struct that its code reads, and the keys that recipes, `selfsame list keys` and
//! `docs/keys.md` are made of.

use crate::key::{Key, Preset};
use selfsame_base::DataError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Values of a table of keys, all of them there.
pub trait Settings: Serialize + DeserializeOwned {
    /// The keys.
    const KEYS: &'static [Key];
    /// [`Self::KEYS`] as the only group of a choice.
    const GROUP: &'static [&'static [Key]] = &[Self::KEYS];

    /// Reads a table whose values have been checked against [`Self::KEYS`]; other keys in it are not looked at.
    ///
    /// # Errors
    /// If a key is missing, with its name.
    fn read(table: &Table) -> Result<Self, DataError> {
        own(Self::KEYS, table).try_into().map_err(|error| missing(&error))
    }

    /// The settings of which every key has a value by itself.
    ///
    /// # Panics
    /// If a key needs the data, or other keys.
    fn defaults() -> Self {
        Self::read(&Self::preset()).unwrap_or_else(|error| panic!("not every key has a value by itself: {error}"))
    }

    /// The values of the keys that have one by themselves.
    fn preset() -> Table {
        preset(Self::KEYS)
    }
}

// What follows is outside of the trait so that it is compiled once, not for each part of the house.

/// What a table has of these keys.
fn own(keys: &[Key], table: &Table) -> Table {
    keys.iter().filter_map(|key| Some((key.name.to_owned(), table.get(key.name)?.clone()))).collect()
}

/// The values of those of these keys that have one by themselves.
fn preset(keys: &[Key]) -> Table {
    let own = keys.iter().filter(|key| matches!(key.preset, Preset::Value(_)));
    own.filter_map(|key| Some((key.name.to_owned(), key.preset_value()?))).collect()
}

fn missing(error: &toml::de::Error) -> DataError {
    DataError::Data(error.message().replace('\n', "; "))
}

/// What was chosen by name, and the values of its keys.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub struct Choice {
    /// Name in its choices.
    pub name: String,
    /// Its keys.
    #[serde(flatten)]
    pub keys: Table,
}

impl Choice {
    /// The choice of `name` with these values.
    pub fn new(name: &str, keys: Table) -> Self {
        Self { name: name.into(), keys }
    }
}

/// Writes each `f32` with the fewest digits that tell it from its neighbors: `0.286`, not `0.28600001335144043`.
pub fn shortest<S: serde::Serializer>(values: &[f32], serializer: S) -> Result<S::Ok, S::Error> {
    let short = |v: &f32| v.to_string().parse::<f64>().expect("a printed number");
    values.iter().map(short).collect::<Vec<_>>().serialize(serializer)
}

/// The value of a key from a Rust value.
pub fn value(from: impl Serialize) -> Option<Value> {
    Value::try_from(from).ok()
}

/// Declares a part's settings: a struct, and its keys with what each is for, holds and is preset to.
///
/// ```
/// use selfsame_config::{Kind, Settings, settings, value};
///
/// settings! {
///     /// `[method] name = "mine"`
///     pub struct MineSettings {
///         /// τ: lower looks at the hardest negatives only
///         temperature: f64 = 0.2, Kind::POSITIVE;
///         /// samples whose activations are held at once
///         chunk_size: usize = (derived "train.batch_size", |s| value(s.count("train.batch_size"))), Kind::COUNT;
///         /// steps between records
///         log_steps: u64 = 1, Kind::COUNT, records;
///     }
/// }
///
/// assert_eq!(MineSettings::KEYS[0].meaning, "τ: lower looks at the hardest negatives only");
/// assert_eq!(MineSettings::preset()["temperature"].as_float(), Some(0.2));
/// assert!(!MineSettings::KEYS[2].changes_training);
/// ```
///
/// A preset is a TOML value, `(derived "how", function of what is settled)`, `(data "how")`, `(data "how", or value)` or
/// `(required)`. `records`
/// marks a key that changes no result of a training.
#[macro_export]
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                #[doc = $meaning:literal]
                $(#[$field_attribute:meta])*
                $key:ident : $type:ty = $preset:tt, $kind:expr $(, $records:ident)?;
            )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, $crate::serde::Serialize, $crate::serde::Deserialize)]
        #[serde(crate = "::selfsame_config::serde", deny_unknown_fields)]
        pub struct $name {
            $(
                #[doc = $meaning]
                $(#[$field_attribute])*
                pub $key: $type,
            )*
        }

        impl $crate::Settings for $name {
            const KEYS: &'static [$crate::Key] = &[
                $($crate::Key {
                    name: stringify!($key),
                    kind: $kind,
                    preset: $crate::settings!(@preset $preset),
                    meaning: $meaning.trim_ascii(),
                    changes_training: $crate::settings!(@changes $($records)?),
                },)*
            ];
        }
    };
    (@preset (derived $how:literal, $derive:expr)) => { $crate::Preset::Derived($how, $derive) };
    (@preset (data $how:literal, or $value:tt)) => { $crate::Preset::DataOr($how, stringify!($value)) };
    (@preset (data $how:literal)) => { $crate::Preset::Data($how) };
    (@preset (required)) => { $crate::Preset::Required };
    (@preset $value:tt) => { $crate::Preset::Value(stringify!($value)) };
    (@changes records) => { false };
    (@changes) => { true };
}
