//! What a training tells while it goes on, and what `metrics.jsonl` holds: one JSON object per line.
//!
//! Each object has the name of its event under `event`, and the steps done when it happened under `step`. Numbers that are
//! not finite are written as `null`, and read as NaN.

use crate::text::readable;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Format of the records, which the event of a start tells.
pub const FORMAT: u32 = 1;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The method looks at the data before the first step; told to observers, not recorded.
    Preparing {
        /// Steps done: none.
        step: u64,
        /// What it does.
        what: String,
        /// Samples done.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// Training starts or goes on.
    Started {
        /// [`FORMAT`] of the records that follow.
        #[serde(default)]
        format: u32,
        /// The run folder.
        #[serde(serialize_with = "readable")]
        run: PathBuf,
        /// The method's name.
        method: String,
        /// The backbone's name.
        backbone: String,
        /// Trained parameters of encoder and heads.
        parameters: usize,
        /// Samples in the data.
        samples: usize,
        /// Steps done before: 0, or those of the checkpoint that is resumed.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Epochs in all.
        epochs: usize,
    },
    /// A step.
    Step(StepRecord),
    /// kNN score of the representation on held-out labeled samples; labels are never used for training.
    OnlineKnn {
        /// Steps done.
        step: u64,
        /// Epochs done.
        epoch: usize,
        /// Share classified correctly.
        #[serde(default = "nan", deserialize_with = "nan_for_null")]
        accuracy: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its folder.
        #[serde(serialize_with = "readable")]
        path: PathBuf,
    },
    /// A step could not be used: see `train.on_divergence`.
    Divergence {
        /// Steps done after what was done about it: that step too where it was left out, fewer where training went back.
        step: u64,
        /// The step, counted from 1.
        unusable: u64,
        /// What was wrong with it, one line.
        reason: String,
        /// Factor on the learning rate from here.
        #[serde(default = "nan", deserialize_with = "nan_for_null")]
        lr_factor: f64,
    },
    /// Something the user should know.
    Warning {
        /// Steps done.
        step: u64,
        /// One line.
        message: String,
    },
    /// The last step is done and the encoder is written.
    Finished {
        /// Steps done.
        step: u64,
        /// Seconds of this session.
        #[serde(default = "nan", deserialize_with = "nan_for_null")]
        elapsed_s: f64,
        /// Share of the time that training waited for views.
        #[serde(default = "nan", deserialize_with = "nan_for_null")]
        wait_share: f64,
        /// Files that could not be read.
        #[serde(default)]
        skipped_files: usize,
    },
}

impl Event {
    /// What a person should know of it, one line.
    pub fn warning(&self) -> Option<String> {
        match self {
            Self::Warning { message, .. } => Some(message.clone()),
            Self::Divergence { step, unusable, reason, .. } if step == unusable => {
                Some(format!("step {unusable}: {reason}; its batch is left out"))
            }
            Self::Divergence { step, unusable, reason, lr_factor } => Some(format!(
                "step {unusable}: {reason}; training goes back to step {step}, at {lr_factor} times the learning rate"
            )),
            _ => None,
        }
    }

    /// Steps done when it happened.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Preparing { step, .. }
            | Self::Started { step, .. }
            | Self::OnlineKnn { step, .. }
            | Self::Checkpoint { step, .. }
            | Self::Divergence { step, .. }
            | Self::Warning { step, .. }
            | Self::Finished { step, .. } => *step,
        }
    }
}

/// The numbers of one step. Those that a record lacks are NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epochs done, with the part of the running one.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub epoch: f64,
    /// The objective's total.
    #[serde(default = "nan_f32", deserialize_with = "nan_for_null_f32")]
    pub total: f32,
    /// Its named terms.
    #[serde(default, deserialize_with = "terms")]
    pub terms: BTreeMap<String, f32>,
    /// Learning rate.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub lr: f64,
    /// Length of all gradients together, before they are clipped.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub gradient_norm: f64,
    /// Collapse gauge: standard deviation of the normalized embeddings times √dim; 1 is isotropic, 0 collapsed.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub embedding_std: f64,
    /// Collapse gauge: effective rank of the centered embeddings.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub effective_rank: f64,
    /// Samples per second, over the last steps.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub samples_per_s: f64,
    /// Seconds to the end at this pace.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub eta_s: f64,
    /// Share of the time that training waited for views, over the last steps.
    #[serde(default = "nan", deserialize_with = "nan_for_null")]
    pub wait_share: f64,
}

fn nan() -> f64 {
    f64::NAN
}

fn nan_f32() -> f32 {
    f32::NAN
}

fn nan_for_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn nan_for_null_f32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f32::NAN))
}

fn terms<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f32>, D::Error> {
    let terms = BTreeMap::<String, Option<f32>>::deserialize(deserializer)?;
    Ok(terms.into_iter().map(|(name, value)| (name, value.unwrap_or(f32::NAN))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step() -> StepRecord {
        StepRecord {
            step: 3,
            epoch: 0.5,
            total: 1.25,
            terms: [("invariance".to_owned(), 0.75)].into(),
            lr: 0.1,
            gradient_norm: 2.0,
            embedding_std: 0.9,
            effective_rank: 7.0,
            samples_per_s: 100.0,
            eta_s: 60.0,
            wait_share: 0.0,
        }
    }

    #[test]
    fn events_read_back_equal() {
        let events = [
            Event::Preparing { step: 0, what: "clustering".into(), done: 1, total: 2 },
            Event::Started {
                format: FORMAT,
                run: "runs/a".into(),
                method: "simclr".into(),
                backbone: "resnet".into(),
                parameters: 10,
                samples: 20,
                step: 0,
                steps: 30,
                epochs: 4,
            },
            Event::Step(step()),
            Event::OnlineKnn { step: 3, epoch: 1, accuracy: 0.3 },
            Event::Checkpoint { step: 3, path: "runs/a/checkpoints/step-3".into() },
            Event::Divergence { step: 3, unusable: 5, reason: "the loss is NaN".into(), lr_factor: 0.5 },
            Event::Warning { step: 3, message: "careful".into() },
            Event::Finished { step: 30, elapsed_s: 1.5, wait_share: 0.1, skipped_files: 2 },
        ];
        for event in events {
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event, "{line}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_or_not_there_are_nan_and_further_keys_are_passed_over() {
        let mut record = step();
        (record.total, record.lr) = (f32::NAN, f64::INFINITY);
        record.terms.insert("b".into(), f32::NAN);
        let line = serde_json::to_string(&Event::Step(record)).unwrap();
        assert!(line.contains("\"total\":null") && line.contains("\"b\":null"), "{line}");
        let line = line.replacen('{', "{\"new\":[1],", 1).replace("\"eta_s\":60.0,", "");
        let Event::Step(read) = serde_json::from_str(&line).unwrap() else { panic!("{line}") };
        assert!(read.total.is_nan() && read.lr.is_nan() && read.terms["b"].is_nan() && read.eta_s.is_nan());
        assert_eq!((read.step, read.terms["invariance"], read.epoch), (3, 0.75, 0.5));
    }
}
