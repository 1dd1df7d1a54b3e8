//! MoCo's InfoNCE: v2 against a queue (He et al. 2020, eq. 1; Chen et al. 2020), v3 within the batch (Chen, Xie & He
//! 2021, algorithm 1).

use super::{LossTerms, info_nce, log_sum_exp, normalize_rows};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Each query must pick its key among the queue: `−q·k/τ + log(exp(q·k/τ) + Σ_j exp(q·queue_j/τ))`, all on the unit
/// sphere, mean over the batch. Keys and queue are the teacher's: constants.
///
/// # Shapes
/// `query`, `key`: `[batch, embedding]`; `queue`: `[queue, embedding]`, unit rows.
pub fn moco(query: Tensor<2>, key: Tensor<2>, queue: Tensor<2>, temperature: f64) -> LossTerms {
    let (query, key) = (normalize_rows(query), normalize_rows(key.detach()));
    let positive = (query.clone() * key).sum_dim(1) / temperature; // [batch, 1]
    let negative = matmul(query, queue.detach().transpose()) / temperature; // [batch, queue]
    let invariance = -positive.clone().mean();
    let contrast = log_sum_exp(Tensor::cat(vec![positive, negative], 1)).mean();
    LossTerms::new(invariance.clone() + contrast.clone(), [("invariance", invariance), ("contrast", contrast)])
}

/// Each query must pick the other view's key among the keys of the batch, both ways, times 2τ.
///
/// # Shapes
/// Queries `qa`, `qb` (predictions) and keys `ka`, `kb` (the teacher's, constants): `[batch, embedding]`.
pub fn moco_v3(qa: Tensor<2>, qb: Tensor<2>, ka: Tensor<2>, kb: Tensor<2>, temperature: f64) -> LossTerms {
    let (invariance_a, contrast_a) = info_nce(qa, kb.detach(), temperature);
    let (invariance_b, contrast_b) = info_nce(qb, ka.detach(), temperature);
    let invariance = (invariance_a + invariance_b) * (2.0 * temperature);
    let contrast = (contrast_a + contrast_b) * (2.0 * temperature);
    LossTerms::new(invariance.clone() + contrast.clone(), [("invariance", invariance), ("contrast", contrast)])
}
