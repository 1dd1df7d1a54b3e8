//! What networks on signals have in common: what becomes of the representations of the steps at the end.

use crate::tensor::lengths::Lengths;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// How the representations of the steps become that of the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepPool {
    /// Their mean.
    Mean,
    /// Their maximum, channel by channel.
    Max,
    /// The last one, which in a causal network has seen all.
    Last,
}

impl StepPool {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["mean", "max", "last"];

    /// `[batch, steps, channels]` to `[batch, channels]`, of the steps that are there.
    pub fn of(self, x: Tensor<3>, lengths: &Lengths) -> Tensor<2> {
        let [batch, steps, channels] = x.dims();
        match self {
            Self::Mean => lengths.mean(x.reshape([batch, 1, steps, channels])),
            Self::Max => lengths.max(x),
            Self::Last => lengths.last(x),
        }
    }
}

/// `[batch, 1, steps, channels]` as `[batch, steps, channels]`.
pub(super) fn steps(x: Tensor<4>) -> Tensor<3> {
    let [batch, _, steps, channels] = x.dims();
    x.reshape([batch, steps, channels])
}
