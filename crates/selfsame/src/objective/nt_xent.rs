//! NT-Xent, the InfoNCE of SimCLR (Chen et al. 2020, eq. 1; van den Oord et al. 2018).

use super::{LossTerms, log_sum_exp, normalise_rows};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Each of the `2N` embeddings must pick its partner among the `2N − 1` others:
///
/// `ℓ_i = −s(i, p(i))/τ + log Σ_{k≠i} exp(s(i, k)/τ)`, `s` the cosine, mean over `i`.
///
/// The first half is the term `invariance`, the second `contrast`: what holds the embeddings apart. Equal embeddings
/// give `ln(2N − 1)`.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, the two views' embeddings of the same samples.
pub fn nt_xent(a: Tensor<2>, b: Tensor<2>, temperature: f64) -> LossTerms {
    let batch = a.dims()[0];
    let device = a.device();
    let (a, b) = (normalise_rows(a), normalise_rows(b));
    let positive = (a.clone() * b.clone()).sum_dim(1); // [batch, 1]
    let z = Tensor::cat(vec![a, b], 0); // [2·batch, embedding]
    let similarity = matmul(z.clone(), z.transpose()) / temperature; // [2·batch, 2·batch]
    // The self-pair is removed: far below every cosine over τ, its exponential is exactly 0.
    let self_pairs = Tensor::<2>::eye(2 * batch, &device) * -1e9;
    let contrast = log_sum_exp(similarity + self_pairs).mean();
    let invariance = -positive.mean() / temperature;
    LossTerms::new(invariance.clone() + contrast.clone(), [("invariance", invariance), ("contrast", contrast)])
}
