//! The CPU device: `selfsame-kernels` under [`EncoderOps`](super::ops::EncoderOps), forward and hand-written backward.
//!
//! Results lie in pooled memory. A backward pass writes into its operands where it holds the only handle to them: the
//! gradient of a normalization replaces the convolution's output, which nothing else needs any more.

mod attention;
mod contrast;
mod convolution;
mod depthwise;
mod encoder_ops;
mod graph;
mod kept;
mod normalization;
mod patches;
mod pooled;
mod pooling;
mod products;
mod recurrence;
#[cfg(test)]
mod tests;
mod values;

pub use graph::recomputing;
pub use kept::KeptWeights;
pub(crate) use values::{contiguous, values};
