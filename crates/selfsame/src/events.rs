//! What a run tells while it goes on: one JSON object a line in `metrics.jsonl`, the same to the terminal.

use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The method looks at the data before the first step; to the observer alone, not into the records.
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
        /// The run folder.
        run: PathBuf,
        /// Method's name.
        method: String,
        /// Backbone's name.
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
    /// kNN score of the representation on held-out labelled samples; labels are never used for training.
    OnlineKnn {
        /// Steps done.
        step: u64,
        /// Epochs done.
        epoch: usize,
        /// Share classified rightly.
        accuracy: f64,
    },
    /// A checkpoint was written.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// Its folder.
        path: PathBuf,
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
        elapsed_s: f64,
        /// Share of the time that training waited for views.
        wait_share: f64,
        /// Files that could not be read.
        skipped_files: usize,
    },
}

impl Event {
    /// Steps done when it happened.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step(record) => record.step,
            Self::Preparing { step, .. }
            | Self::Started { step, .. }
            | Self::OnlineKnn { step, .. }
            | Self::Checkpoint { step, .. }
            | Self::Warning { step, .. }
            | Self::Finished { step, .. } => *step,
        }
    }
}

/// The numbers of one step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: u64,
    /// Epochs done, with the part of the running one.
    pub epoch: f64,
    /// The objective's total.
    pub total: f32,
    /// Its named terms.
    pub terms: BTreeMap<&'static str, f32>,
    /// Learning rate.
    pub lr: f64,
    /// Collapse gauge: standard deviation of the normalised embeddings times √dim; 1 is isotropic, 0 collapsed.
    pub embedding_std: f64,
    /// Collapse gauge: effective rank of the centred embeddings.
    pub effective_rank: f64,
    /// Samples a second, over the last steps.
    pub samples_per_s: f64,
    /// Seconds to the end at this pace.
    pub eta_s: f64,
    /// Share of the time that training waited for views, over the last steps.
    pub wait_share: f64,
}

/// Is told of every event.
pub trait Observer: Send {
    /// Called on the training thread.
    fn event(&mut self, event: &Event);
}

/// Hears nothing.
#[derive(Debug)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _event: &Event) {}
}
