//! NT-Xent, the InfoNCE of SimCLR (Chen et al. 2020, eq. 1; van den Oord et al. 2018).

use super::{LossTerms, contrastive};
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
    contrastive(a, b, temperature, false)
}
