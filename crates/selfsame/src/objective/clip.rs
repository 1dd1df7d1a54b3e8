//! Symmetric cross-modal InfoNCE (Radford et al. 2021, fig. 3).

use super::{LossTerms, info_nce};
use burn::tensor::Tensor;

/// Each sample of one modality must pick its partner among the batch of the other, both ways; the total is the mean
/// of the two cross-entropies.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, one modality each.
pub fn clip(a: Tensor<2>, b: Tensor<2>, temperature: f64) -> LossTerms {
    let direction = |a, b| {
        let (invariance, contrast) = info_nce(a, b, temperature);
        invariance + contrast
    };
    let a_to_b = direction(a.clone(), b.clone());
    let b_to_a = direction(b, a);
    LossTerms::new((a_to_b.clone() + b_to_a.clone()) / 2.0, [("a_to_b", a_to_b), ("b_to_a", b_to_a)])
}
