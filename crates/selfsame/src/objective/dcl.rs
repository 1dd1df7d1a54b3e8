//! Decoupled contrastive learning (Yeh et al. 2022, eq. 6).

use super::{LossTerms, contrastive};
use burn::tensor::Tensor;

/// [`nt_xent`](super::nt_xent) without the positive pair in the sum over negatives, whose share made the gradient vanish
/// where a batch is small:
///
/// `ℓ_i = −s(i, p(i))/τ + log Σ_{k∉{i,p(i)}} exp(s(i, k)/τ)`.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, at least two samples.
pub fn dcl(a: Tensor<2>, b: Tensor<2>, temperature: f64) -> LossTerms {
    contrastive(a, b, temperature, true)
}
