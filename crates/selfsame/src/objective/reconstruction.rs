//! The error of a reconstruction, sample by sample.

use burn::tensor::Tensor;

/// Mean squared error over the pixels that the mask names:
///
/// `ℓ_i = Σ_p m_ip (y_ip − x_ip)² / Σ_p m_ip`
///
/// A sample of which the mask names nothing has the error 0.
///
/// # Shapes
/// `prediction` y, `target` x, `mask` m, 0 or 1 each: `[batch, pixels]`; the result: `[batch, 1]`.
pub fn squared_error(prediction: Tensor<2>, target: Tensor<2>, mask: Tensor<2>) -> Tensor<2> {
    let pixels = mask.clone().sum_dim(1).clamp_min(1.0);
    ((prediction - target).square() * mask).sum_dim(1) / pixels
}
