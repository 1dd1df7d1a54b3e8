//! Objectives: pure functions from embeddings to a total and its named terms. One file each.
//!
//! Golden values and gradients are in `tests/golden/objectives.json`; `selfsame selftest` runs them on any device.

mod barlow_twins;
mod byol;
mod clip;
mod invariance_only;
mod nt_xent;
mod simsiam;
mod vicreg;

pub use barlow_twins::barlow_twins;
pub use byol::byol;
pub use clip::clip;
pub use invariance_only::invariance_only;
pub use nt_xent::nt_xent;
pub use simsiam::simsiam;
pub use vicreg::{VicregWeights, vicreg};

use burn::tensor::Tensor;

/// What an objective returns: the total to minimise, and the terms that a user can watch separately.
#[derive(Clone, Debug)]
pub struct LossTerms {
    /// Scalar, `[1]`.
    pub total: Tensor<1>,
    /// Scalars, `[1]` each, with their names.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

impl LossTerms {
    fn new<const N: usize>(total: Tensor<1>, terms: [(&'static str, Tensor<1>); N]) -> Self {
        Self { total, terms: terms.into() }
    }
}

/// Rows on the unit sphere: `x / max(‖x‖, 1e-12)`, `[batch, dim]`. The bound lies under the root, whose gradient at a
/// row of zeros would otherwise be infinite.
fn normalise_rows(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
    x / norm
}

/// Mean over the batch of the cosine between the rows of `a` and of `b`, `[1]`.
fn mean_cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (normalise_rows(a) * normalise_rows(b)).sum_dim(1).mean()
}

/// `log Σ_j exp(x_ij)`, `[batch, 1]`; the maximum is taken out, so nothing overflows.
fn log_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let max = x.clone().detach().max_dim(1);
    (x - max.clone()).exp().sum_dim(1).log() + max
}

/// Sum of all elements in a fixed order, `[1]`: rows first, so that no reduction is long enough to be split by chance.
fn total(x: Tensor<2>) -> Tensor<1> {
    x.sum_dim(1).sum()
}
