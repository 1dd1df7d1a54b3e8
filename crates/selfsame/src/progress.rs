//! How far a training has come.

use serde::{Deserialize, Serialize};

/// Steps done and to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Steps in a pass over the data.
    pub steps_per_epoch: u64,
}

impl Progress {
    /// Passes over the data.
    pub fn epochs(self) -> f64 {
        self.step as f64 / self.steps_per_epoch as f64
    }

    /// What to know of an encoder from the middle of a training; nothing at its end.
    pub fn unfinished(self) -> Option<String> {
        let Self { step, steps, .. } = self;
        (step < steps).then(|| format!("step {step} of {steps}: its encoder is not trained to the end"))
    }
}
