//! NNCLR (Dwibedi et al. 2021, eq. 2–4).

use super::{LossTerms, info_nce, normalize_rows};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// The nearest neighbor of each view's embedding in the support set must pick the other view's prediction among the
/// batch's: `−log exp(NN(z_i)·p_i/τ) / Σ_k exp(NN(z_i)·p_k/τ)`, mean over the batch and over the two directions. A
/// positive that is another sample shows what augmentations cannot.
///
/// # Shapes
/// Predictions `pa`, `pb` and embeddings `za`, `zb` (constants): `[batch, embedding]`; `support`: `[queue, embedding]`,
/// unit rows.
pub fn nnclr(
    pa: Tensor<2>,
    pb: Tensor<2>,
    za: Tensor<2>,
    zb: Tensor<2>,
    support: Tensor<2>,
    temperature: f64,
) -> LossTerms {
    let (invariance_a, contrast_a) = info_nce(nearest(za, support.clone()), pb, temperature);
    let (invariance_b, contrast_b) = info_nce(nearest(zb, support), pa, temperature);
    let invariance = (invariance_a + invariance_b) / 2.0;
    let contrast = (contrast_a + contrast_b) / 2.0;
    LossTerms::new(invariance.clone() + contrast.clone(), [("invariance", invariance), ("contrast", contrast)])
}

/// For each row of `z` the row of `support` with the largest cosine, a constant: `[batch, embedding]`.
fn nearest(z: Tensor<2>, support: Tensor<2>) -> Tensor<2> {
    let (z, support) = (normalize_rows(z.detach()), support.detach());
    let index = matmul(z, support.clone().transpose()).argmax(1); // [batch, 1]
    support.select(0, index.flatten(0, 1))
}
