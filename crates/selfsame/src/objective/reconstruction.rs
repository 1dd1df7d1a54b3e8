//! What methods with a loss of each sample's own end in.

use super::LossTerms;
use burn::tensor::Tensor;

/// The mean of each sample's reconstruction error.
///
/// # Shapes
/// `errors`: `[batch, 1]`.
pub fn reconstruction(errors: Tensor<2>) -> LossTerms {
    let loss = errors.mean();
    LossTerms::new(loss.clone(), [("reconstruction", loss)])
}
