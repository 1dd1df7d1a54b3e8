//! Steps that cannot be used: their loss or gradients are not finite, or their gradients are a spike.
//!
//! All that is decided here follows from the plan and from the steps before, never from the clock, and is part of every
//! checkpoint: so a training that diverges and goes on gives the same bytes however often it is stopped.

use crate::tensor::parameters::Array;
use crate::train_settings::TrainSettings;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// What happens to a step that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Training ends.
    Stop,
    /// Its batch is left out; [`MOST_SKIPPED`] steps in a row end training.
    Skip,
    /// Training goes back to the start of the epoch, or of the one before at its first step, and goes on at half the learning
    /// rate; at most [`MOST_ROLLBACKS`] times.
    Rollback,
}

/// Names of the policies.
pub const POLICIES: &[&str] = &["stop", "skip", "rollback"];
/// Steps that may be skipped in a row: weights that are broken give no usable step any more.
pub const MOST_SKIPPED: u32 = 10;
/// Times that training may go back. The learning rate is a thirty-second of the plan's then.
pub const MOST_ROLLBACKS: u32 = 5;
/// Norms of which a spike is told.
const NORMS: usize = 32;
/// Fewer norms than this tell nothing.
const FEWEST_NORMS: usize = 8;

/// What a training remembers of its gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// Steps that were skipped since the last usable one.
    pub skipped: u32,
    /// Times that training went back.
    pub rollbacks: u32,
    /// Lengths of the gradients of the last usable steps, oldest first.
    norms: VecDeque<f32>,
    spike_factor: f64,
}

impl Guard {
    /// A guard that has seen nothing. A spike alone ends no training: with [`Policy::Stop`] none is looked for.
    pub fn new(settings: &TrainSettings) -> Self {
        let spike_factor = if settings.on_divergence == Policy::Stop { 0.0 } else { settings.spike_factor };
        Self { skipped: 0, rollbacks: 0, norms: VecDeque::new(), spike_factor }
    }

    /// What is wrong with a step of this loss, this length of its gradients, and these statistics of normalization layers. A usable one is remembered.
    pub fn judge(&mut self, total: f32, norm: f64, statistics_are_finite: bool) -> Option<String> {
        if !total.is_finite() {
            return Some(format!("the loss is {total}"));
        }
        if !norm.is_finite() {
            return Some(format!("the loss is {total} and its gradients are not finite"));
        }
        if !statistics_are_finite {
            return Some("the statistics of a normalization are not finite".into());
        }
        let mut known: Vec<f32> = self.norms.iter().copied().collect();
        known.sort_by(f32::total_cmp);
        let median = known.get(known.len() / 2).copied().unwrap_or_default();
        if self.spike_factor > 0.0 && known.len() >= FEWEST_NORMS && norm > self.spike_factor * f64::from(median) {
            return Some(format!(
                "the gradients have the length {norm:.3e}, more than train.spike_factor = {} times the {median:.3e} before",
                self.spike_factor
            ));
        }
        self.skipped = 0;
        self.norms.push_back(norm as f32);
        if self.norms.len() > NORMS {
            self.norms.pop_front();
        }
        None
    }

    /// Factor on the learning rate.
    pub fn lr_factor(&self) -> f64 {
        0.5f64.powi(self.rollbacks as i32)
    }

    /// What a checkpoint keeps, `[2 + norms]`.
    pub fn to_array(&self) -> Array {
        let counts = [self.skipped as f32, self.rollbacks as f32];
        let values: Vec<f32> = counts.into_iter().chain(self.norms.iter().copied()).collect();
        Array { shape: vec![values.len()], values }
    }

    /// Takes what [`Self::to_array`] gave.
    pub fn restore(&mut self, array: &Array) {
        if let [skipped, rollbacks, norms @ ..] = array.values.as_slice() {
            (self.skipped, self.rollbacks) = (*skipped as u32, *rollbacks as u32);
            self.norms = norms.iter().copied().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;

    fn unseen() -> Guard {
        let settings = testing::plan(1, 8, &["train.on_divergence=skip", "train.spike_factor=10.0"]).train;
        Guard::new(&settings)
    }

    fn calm(steps: usize) -> Guard {
        let mut guard = unseen();
        (0..steps).for_each(|i| assert_eq!(guard.judge(1.0, 1.0 + 0.1 * (i % 3) as f64, true), None));
        guard
    }

    #[test]
    fn what_is_not_finite_and_what_is_a_spike_is_said_and_not_remembered() {
        let mut guard = calm(40);
        let before = guard.clone();
        assert!(guard.judge(f32::NAN, 1.0, true).unwrap().contains("the loss is NaN"));
        assert!(guard.judge(1.0, f64::INFINITY, true).unwrap().contains("gradients are not finite"));
        assert!(guard.judge(1.0, 1.0, false).unwrap().contains("statistics"));
        assert!(guard.judge(1.0, 12.0, true).unwrap().contains("spike_factor = 10"));
        assert_eq!((guard.judge(1.0, 10.9, true), guard.norms.len(), before.norms.len()), (None, NORMS, NORMS));
    }

    #[test]
    fn a_beginning_has_no_spikes_and_a_factor_of_0_finds_none() {
        assert_eq!(calm(FEWEST_NORMS - 1).judge(1.0, 1e6, true), None);
        assert_eq!(Guard { spike_factor: 0.0, ..calm(20) }.judge(1.0, 1e6, true), None);
    }

    #[test]
    fn what_is_kept_reads_back() {
        let guard = Guard { skipped: 2, rollbacks: 3, ..calm(12) };
        let mut read = unseen();
        read.restore(&guard.to_array());
        assert_eq!((&read, read.lr_factor()), (&guard, 0.125));
    }
}
