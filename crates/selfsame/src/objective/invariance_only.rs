//! Invariance and nothing else.

use super::{LossTerms, mean_cosine};
use burn::tensor::Tensor;

/// `−mean cos(a, b)`. Nothing stops the embeddings from becoming one constant, and so they do: this objective exists
/// to show a collapse and the diagnosis that names it.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`.
pub fn invariance_only(a: Tensor<2>, b: Tensor<2>) -> LossTerms {
    let invariance = -mean_cosine(a, b);
    LossTerms::new(invariance.clone(), [("invariance", invariance)])
}
