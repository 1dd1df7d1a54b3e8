//! What can be set of a training.

use crate::backbone::Role;
use crate::divergence::{POLICIES, Policy};
use crate::tensor::recomputing;
use selfsame_config::{Kind, Range, settings, value};
use serde::{Deserialize, Serialize};

/// By what the best checkpoint of a run is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BestBy {
    /// None is kept for being the best.
    None,
    /// The kNN score of the epochs in which there is one.
    OnlineKnn,
    /// LiDAR of the embeddings, without labels.
    Lidar,
    /// Effective rank of the embeddings, without labels.
    EffectiveRank,
}

impl BestBy {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["none", "online_knn", "lidar", "effective_rank"];
}

/// What operands of the products of layers are rounded to; everything else is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Not rounded.
    F32,
    /// To bf16, with f32 sums.
    Bf16,
}

impl Precision {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["f32", "bf16"];

    /// Runs `work` with the layers that this thread runs at this precision.
    pub fn within<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            Self::F32 => selfsame_kernels::Precision::F32.within(work),
            Self::Bf16 => selfsame_kernels::Precision::Bf16.within(work),
        }
    }
}

settings! {
    /// `[train]`
    pub struct TrainSettings {
        /// passes over the data
        epochs: usize = 100, Kind::Integer(Range::Within(1.0, 1e6));
        /// samples per step
        batch_size: usize = 256, Kind::Integer(Range::Within(2.0, 1e6));
        /// samples whose activations are held at once; fewer need less memory
        chunk_size: usize = (derived "train.batch_size", |s| value(s.count("train.batch_size"))), Kind::Integer(Range::Within(1.0, 1e6));
        /// what operands of the products of layers are rounded to, with f32 sums, in training and wherever the encoder is used; everything else is f32
        precision: Precision = "f32", Kind::Word(Precision::WORDS);
        /// whether normalizations and GELUs are computed again in the backward pass, instead of kept for it: less memory, a little more time, the same bytes
        checkpoint_activations: bool = false, Kind::Flag, records;
        /// which encoder is kept: judged, diagnosed and saved; teacher: the slow average of the student, where the method has one
        keep: Role = "student", Kind::Word(Role::WORDS);
        /// steps between checkpoints, 0: by time alone
        checkpoint_steps: u64 = 0, Kind::COUNT_OR_ZERO, records;
        /// minutes between checkpoints
        checkpoint_minutes: f64 = 5.0, Kind::Number(Range::Over(0.0, 1e6)), records;
        /// checkpoints kept
        keep_checkpoints: usize = 3, Kind::COUNT, records;
        /// by what the best checkpoint is kept too, one more; it is looked for at the end of every epoch
        keep_best: BestBy = "none", Kind::Word(BestBy::WORDS), records;
        /// epochs between kNN scores where labels exist, 0: never; samples are drawn one by one, groups such as films are not kept apart
        online_knn_epochs: usize = 5, Kind::COUNT_OR_ZERO, records;
        /// what happens to a step whose loss or gradients are not finite or, with skip and rollback, a spike
        on_divergence: Policy = "stop", Kind::Word(POLICIES);
        /// a spike: gradients so many times as long as the median of the 32 steps before, 0: none is
        spike_factor: f64 = 100.0, Kind::NOT_NEGATIVE;
        /// steps between lines of metrics.jsonl
        log_steps: u64 = 1, Kind::COUNT, records;
    }
}

impl TrainSettings {
    /// Runs a step's passes at this precision, keeping what these settings keep for the backward pass.
    pub fn within<R>(&self, passes: impl FnOnce() -> R) -> R {
        recomputing(self.checkpoint_activations, || self.precision.within(passes))
    }
}
