//! What is known of the training behind an encoder, beside its features: it speaks for some verdicts, and advice must fit it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A training: what was asked for, how far it came, and where its loss and its weights stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Run folder, as a command would name it.
    pub run: String,
    /// Method.
    pub method: String,
    /// Keys of the plan with their values as text: `optimizer.base_lr` → `0.12`.
    pub keys: BTreeMap<String, String>,
    /// Names of the augmentations of all views.
    pub augmentations: Vec<String>,
    /// Whether all steps are made.
    pub finished: bool,
    /// Passes over the data that were made, where that is known.
    pub epochs: Option<f64>,
    /// The loss at the end, where it is recorded and the method knows what constant outputs would have.
    pub loss: Option<LossEnd>,
    /// Mean angle, in degrees, by which the encoder's weights have turned from their initial values.
    pub weights_turned: Option<f64>,
}

impl Training {
    /// The value of a key that is a number.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.keys.get(key)?.parse().ok()
    }

    /// Whether a key has this value.
    pub fn is(&self, key: &str, value: &str) -> bool {
        self.keys.get(key).is_some_and(|found| found == value)
    }
}

/// Where a loss stands, and where it would stand if the network gave the same for every input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossEnd {
    /// Median of the last steps.
    pub last: f64,
    /// Of constant outputs.
    pub trivial: f64,
    /// What that is: `ln(2·256 − 1)`.
    pub formula: String,
}
