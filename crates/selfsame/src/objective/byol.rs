//! BYOL (Grill et al. 2020, eq. 2).

use super::{LossTerms, mean_cosine};
use burn::tensor::Tensor;

/// Each view's prediction should match the other view's target: `Σ over both directions of mean(2 − 2 cos(p, sg(z)))`.
/// The stop-gradient on the targets is part of the definition.
///
/// # Shapes
/// Predictions `pa`, `pb` and targets `za`, `zb`: `[batch, embedding]`.
pub fn byol(pa: Tensor<2>, pb: Tensor<2>, za: Tensor<2>, zb: Tensor<2>) -> LossTerms {
    let direction = |p, z: Tensor<2>| 2.0_f32 - mean_cosine(p, z.detach()) * 2.0;
    let invariance = direction(pa, zb) + direction(pb, za);
    LossTerms::new(invariance.clone(), [("invariance", invariance)])
}
