//! What is evaluated: the features of a run under their names, and where they came from.

use serde::{Deserialize, Serialize};

/// Features of a run, by what they are. In this order they stand in tables and files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RepresentationName {
    /// `h`: what the encoder gives, and downstream tasks use.
    H,
    /// `z`: the embedding, which the objective sees.
    Z,
    /// `raw`: the values that the encoder is given, such as pixels.
    Raw,
    /// `untrained`: `h` of the same encoder before training.
    Untrained,
    /// Something else, which another version or program has named.
    Other(String),
}

impl RepresentationName {
    /// As it stands in tables and files.
    pub fn as_str(&self) -> &str {
        match self {
            Self::H => "h",
            Self::Z => "z",
            Self::Raw => "raw",
            Self::Untrained => "untrained",
            Self::Other(name) => name,
        }
    }
}

impl std::fmt::Display for RepresentationName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<String> for RepresentationName {
    fn from(name: String) -> Self {
        match name.as_str() {
            "h" => Self::H,
            "z" => Self::Z,
            "raw" => Self::Raw,
            "untrained" => Self::Untrained,
            _ => Self::Other(name),
        }
    }
}

impl From<RepresentationName> for String {
    fn from(name: RepresentationName) -> Self {
        name.as_str().to_owned()
    }
}

/// What was measured on what: stands in `diagnosis.json`, `invariance.json` and `findings.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredOn {
    /// Path of the data.
    pub data: String,
    /// Name of the method.
    pub method: String,
    /// Steps of training behind the encoder.
    pub step: u64,
    /// The same in passes over the training data, where that is known.
    pub epochs: Option<f64>,
}
