//! The masked autoencoder's objective (He et al. 2022, §3).

use crate::tensor::ops;
use burn::tensor::Tensor;

/// Added to a patch's variance.
pub const PATCH_EPSILON: f64 = ops::PATCH_EPSILON as f64;

/// The mean squared error of the predicted pixels of each *removed* patch: `removed · mean (prediction − target)²`. What was seen costs
/// nothing: to copy it is no task. When `normalized`, targets are patches by their own mean and unbiased variance: what is left to
/// predict is a patch's structure, not its brightness.
///
/// # Shapes
/// `prediction`: `[patches, values]`; `patches`: as many values in the same order, in any shape; `removed`: `[patches, 1]`, 1 or 0; the
/// result: `[patches, 1]`.
pub fn masked_patches<const D: usize>(
    prediction: Tensor<2>,
    patches: Tensor<D>,
    removed: Tensor<2>,
    normalized: bool,
) -> Tensor<2> {
    let rows = removed.dims()[0];
    ops::patch_errors(prediction, patches, removed.reshape([rows]), normalized).reshape([rows, 1])
}
