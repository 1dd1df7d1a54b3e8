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
    /// `random_kernels`: of signals, outputs of random convolutional kernels.
    RandomKernels,
    /// `mfcc`: of sounds, the means and deviations of their cepstral coefficients.
    Mfcc,
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
            Self::RandomKernels => "random_kernels",
            Self::Mfcc => "mfcc",
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
            "random_kernels" => Self::RandomKernels,
            "mfcc" => Self::Mfcc,
            _ => Self::Other(name),
        }
    }
}

impl From<RepresentationName> for String {
    fn from(name: RepresentationName) -> Self {
        name.as_str().to_owned()
    }
}

/// Data that something was judged on or learned from, by what they are and not only by where they lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataOrigin {
    /// Their path.
    #[serde(rename = "data")]
    pub path: String,
    /// Number of samples, unreadable ones included.
    pub samples: usize,
    /// Size of all samples as they are stored.
    pub bytes: u64,
    /// Hash of their names, sizes and of some of their contents; empty where a record of an older version does not tell.
    pub fingerprint: String,
}

impl From<&str> for DataOrigin {
    /// Of which nothing but the path is known.
    fn from(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }
}

impl DataOrigin {
    /// Whether both are known to be the same samples, wherever they lie.
    pub fn is(&self, other: &Self) -> bool {
        !self.fingerprint.is_empty() && self.fingerprint == other.fingerprint
    }
}

impl std::fmt::Display for DataOrigin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.path.is_empty() { "unknown data" } else { &self.path })?;
        if self.fingerprint.is_empty() {
            return Ok(());
        }
        let megabytes = self.bytes as f64 / 1e6;
        write!(f, " ({} samples, {megabytes:.1} MB, fingerprint {:.8})", self.samples, self.fingerprint)
    }
}

/// Weights of an encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightsOrigin {
    /// Length of `encoder.safetensors` with these weights.
    pub bytes: u64,
    /// Its BLAKE3 hash, as `config.json` has it, and `b3sum` prints it.
    pub fingerprint: String,
}

/// What was measured on what: stands in `scores.json`, `finetune.json`, `diagnosis.json`, `invariance.json` and `findings.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuredOn {
    /// The data.
    #[serde(flatten)]
    pub data: DataOrigin,
    /// Name of the method.
    pub method: String,
    /// Steps of training behind the encoder.
    pub step: u64,
    /// The same in passes over the training data, where that is known.
    pub epochs: Option<f64>,
    /// The encoder's weights, where they are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<WeightsOrigin>,
}

impl std::fmt::Display for MeasuredOn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.data.fmt(f)?;
        if self.step > 0 {
            write!(f, " after step {}", self.step)?;
        }
        match &self.weights {
            Some(weights) => {
                write!(f, ", weights of {:.1} MB, {:.8}", weights.bytes as f64 / 1e6, weights.fingerprint)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_reads_back_and_is_told_with_what_older_records_lack() {
        let data = DataOrigin {
            path: "held-out".into(),
            samples: 300,
            bytes: 2_350_000,
            fingerprint: "0123456789abcdef0123456789abcdef".into(),
        };
        let weights = WeightsOrigin { bytes: 44_000_000, fingerprint: "fedcba9876543210".into() };
        let on = MeasuredOn { data, step: 7, weights: Some(weights), ..MeasuredOn::default() };
        let text = serde_json::to_string(&on).unwrap();
        assert_eq!(serde_json::from_str::<MeasuredOn>(&text).unwrap(), on);
        let said = "held-out (300 samples, 2.4 MB, fingerprint 01234567) after step 7, weights of 44.0 MB, fedcba98";
        assert_eq!(on.to_string(), said);
        let old: MeasuredOn = serde_json::from_str("{\"data\": \"photos\", \"step\": 3}").unwrap();
        assert_eq!((old.to_string().as_str(), old.data.is(&old.data)), ("photos after step 3", false));
        let moved = DataOrigin { path: "elsewhere".into(), ..on.data.clone() };
        assert!(on.data.is(&moved) && !on.data.is(&old.data));
    }
}
