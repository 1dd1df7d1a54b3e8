//! Objectives: pure functions from embeddings to a total and its named terms. One file each.
//!
//! Golden values and gradients are in `tests/golden/objectives.json`; `selfsame selftest` runs them on any device.

mod barlow_twins;
mod byol;
mod clip;
mod cpc;
mod cross_entropy;
mod dcl;
mod dino;
mod free_energy;
mod invariance_only;
mod masked_patches;
mod moco;
mod nnclr;
mod nt_xent;
mod reconstruction;
mod simsiam;
mod swav;
mod ts2vec;
mod vicreg;
mod vime;

pub use barlow_twins::barlow_twins;
pub use byol::byol;
pub use clip::clip;
pub use cpc::{Negatives, cpc};
pub use cross_entropy::cross_entropy;
pub use dcl::dcl;
pub use dino::{Temperatures, dino};
pub use free_energy::{Units, free_energy};
pub use invariance_only::invariance_only;
pub use masked_patches::{PATCH_EPSILON, masked_patches};
pub use moco::{moco, moco_v3};
pub use nnclr::nnclr;
pub use nt_xent::nt_xent;
pub use reconstruction::squared_error;
pub use simsiam::simsiam;
pub use swav::{Swap, sinkhorn, swav};
pub use ts2vec::ts2vec;
pub use vicreg::{VicregWeights, vicreg};
pub use vime::{mask_estimation, value_estimation};

use crate::tensor::ops::{Candidates, log_sums, matmul};
use burn::tensor::{Tensor, TensorData};

/// What an objective returns: the total to minimize, and the terms that a user can watch separately.
#[derive(Clone, Debug)]
pub struct LossTerms {
    /// Scalar, `[1]`.
    pub total: Tensor<1>,
    /// Scalars, `[1]` each, with their names.
    pub terms: Vec<(&'static str, Tensor<1>)>,
}

impl LossTerms {
    /// A total, and its terms by name.
    pub fn new<const N: usize>(total: Tensor<1>, terms: [(&'static str, Tensor<1>); N]) -> Self {
        Self { total, terms: terms.into() }
    }
}

/// For methods that embed a sample as its losses: `Σ_k w_k · mean_i ℓ_ik`. The terms are the means, unweighted.
///
/// # Shapes
/// Every `ℓ_k`: `[batch, 1]`.
///
/// # Panics
/// If there is no loss.
pub fn weighted_means(losses: Vec<(&'static str, Tensor<2>, f64)>) -> LossTerms {
    let means: Vec<_> = losses.into_iter().map(|(name, losses, weight)| (name, losses.mean(), weight)).collect();
    let weighted = means.iter().map(|(_, mean, weight)| mean.clone() * *weight);
    let total = weighted.reduce(|a, b| a + b).expect("at least one loss");
    LossTerms { total, terms: means.into_iter().map(|(name, mean, _)| (name, mean)).collect() }
}

/// Rows on the unit sphere: `x / max(‖x‖, 1e-12)`, `[batch, dim]`. The bound lies under the root, whose gradient at a
/// row of zeros would otherwise be infinite.
pub fn normalize_rows(x: Tensor<2>) -> Tensor<2> {
    let norm = x.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
    x / norm
}

/// Mean over the batch of the cosine between the rows of `a` and of `b`, `[1]`.
fn mean_cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (normalize_rows(a) * normalize_rows(b)).sum_dim(1).mean()
}

/// The two halves of an InfoNCE within the batch, row `i` of `a` against every row of `b`: `−mean s_ii/τ` and
/// `mean_i log Σ_j exp(s_ij/τ)`, `[1]` each, `s` the cosine.
fn info_nce(a: Tensor<2>, b: Tensor<2>, temperature: f64) -> (Tensor<1>, Tensor<1>) {
    let (a, b) = (normalize_rows(a), normalize_rows(b));
    let invariance = -(a.clone() * b.clone()).sum_dim(1).mean() / temperature;
    let contrast = log_sum_exp(matmul(a, b.transpose()) / temperature).mean();
    (invariance, contrast)
}

/// The contrast of both views with both views: every embedding is an anchor, every other one but the excluded a
/// candidate.
fn contrastive(a: Tensor<2>, b: Tensor<2>, temperature: f64, decoupled: bool) -> LossTerms {
    let [batch, width] = a.dims();
    let (a, b) = (normalize_rows(a), normalize_rows(b));
    let positive = (a.clone() * b.clone()).sum_dim(1); // [batch, 1]
    let z = Tensor::cat(vec![a, b], 0).reshape([1, 2 * batch, width]);
    // A row is no candidate of its own, and decoupled its partner, which lies a batch apart, neither.
    let period = if decoupled { batch } else { 2 * batch };
    let contrast = log_sums(z, Candidates { scale: (1.0 / temperature) as f32, period, present: None }).mean();
    let invariance = -positive.mean() / temperature;
    LossTerms::new(invariance.clone() + contrast.clone(), [("invariance", invariance), ("contrast", contrast)])
}

/// `log Σ_j exp(x_ij)`, `[batch, 1]`; the maximum is taken out, so nothing overflows.
fn log_sum_exp(x: Tensor<2>) -> Tensor<2> {
    let max = x.clone().detach().max_dim(1);
    (x - max.clone()).exp().sum_dim(1).log() + max
}

/// Every view must predict how the *other* views of its sample are assigned to prototypes:
///
/// `−mean Σ_k q_k^(a) log softmax(s^(v)/τ)_k` over `v ≠ a`, `a` among the leading, assigned views, `v` among all.
///
/// Beside the loss: `assignment_entropy`, the mean entropy of a sample's assignment (nats; 0: certain), and
/// `usage_entropy`, that of the batch's mean assignment (`ln prototypes`: all used alike).
///
/// # Shapes
/// `assignments`, constants, and `scores`: `[batch, prototypes]` each.
fn swapped_prediction(assignments: &[Tensor<2>], scores: Vec<Tensor<2>>, temperature: f64) -> LossTerms {
    let log_predictions: Vec<_> = scores
        .into_iter()
        .map(|s| {
            let logits = s / temperature;
            logits.clone() - log_sum_exp(logits)
        })
        .collect();
    let swaps = assignments.iter().enumerate().flat_map(|(a, q)| {
        let others = log_predictions.iter().enumerate().filter(move |(v, _)| *v != a);
        others.map(move |(_, p)| -(q.clone() * p.clone()).sum_dim(1).mean())
    });
    let count = (assignments.len() * (log_predictions.len() - 1)) as f64;
    let loss = swaps.reduce(|a, b| a + b).expect("at least two views") / count;

    let mean_over_views =
        |terms: Vec<Tensor<1>>| terms.into_iter().reduce(|a, b| a + b).expect("a view") / assignments.len() as f64;
    let assignment = assignments.iter().map(|q| entropy(q.clone()) / q.dims()[0] as f64).collect();
    let usage = assignments.iter().map(|q| entropy(q.clone().mean_dim(0))).collect();
    LossTerms::new(
        loss.clone(),
        [
            ("cross_entropy", loss),
            ("assignment_entropy", mean_over_views(assignment)),
            ("usage_entropy", mean_over_views(usage)),
        ],
    )
}

/// `−Σ q ln q` over all elements.
fn entropy(q: Tensor<2>) -> Tensor<1> {
    -total(q.clone() * q.clamp_min(1e-30).log())
}

/// `Σ_i w_i x_i / Σ_i w_i` of a column `[rows, 1]`; 0 where nothing has a weight.
fn weighted_mean(x: Tensor<2>, weights: &[f32]) -> Tensor<1> {
    let sum: f64 = weights.iter().copied().map(f64::from).sum();
    let row = Tensor::<2>::from_data(TensorData::new(weights.to_vec(), [1, weights.len()]), &x.device());
    matmul(row, x).reshape([1]) / if sum > 0.0 { sum } else { 1.0 }
}

/// Sum of all elements in a fixed order, `[1]`: rows first, so that no reduction is long enough to be split by chance.
fn total(x: Tensor<2>) -> Tensor<1> {
    x.sum_dim(1).sum()
}
