//! Barlow Twins (Zbontar et al. 2021, eq. 1–2).

use super::{LossTerms, total};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Added to the variances.
const EPSILON: f32 = 1e-5;

/// The cross-correlation matrix of the two views' embeddings should be the identity:
///
/// `Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij²`, `C = uᵀv / N`, `u`, `v` standardized over the batch (biased variance).
///
/// The diagonal is the term `invariance`, the rest `redundancy`: dimensions that repeat each other carry nothing new,
/// and a constant embedding has no correlation to offer, so there is nothing to collapse to.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`.
pub fn barlow_twins(a: Tensor<2>, b: Tensor<2>, redundancy_weight: f64) -> LossTerms {
    let [batch, dim] = a.dims();
    let device = a.device();
    let c = matmul(standardize(a).transpose(), standardize(b)) / batch as f64; // [embedding, embedding]
    let identity = Tensor::<2>::eye(dim, &device);
    let diagonal = (c.clone() * identity.clone()).sum_dim(1); // [embedding, 1]
    let invariance = (1.0_f32 - diagonal).square().sum();
    let redundancy = total((c * (1.0_f32 - identity)).square());
    LossTerms::new(
        invariance.clone() + redundancy.clone() * redundancy_weight,
        [("invariance", invariance), ("redundancy", redundancy)],
    )
}

/// Columns of mean 0 and variance 1 over the batch.
fn standardize(z: Tensor<2>) -> Tensor<2> {
    let centered = z.clone() - z.mean_dim(0);
    let variance = centered.clone().square().mean_dim(0);
    centered / (variance + EPSILON).sqrt()
}
