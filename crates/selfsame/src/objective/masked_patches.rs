//! The masked autoencoder's objective (He et al. 2022, §3).

use burn::tensor::Tensor;

/// Added to a patch's variance.
pub const PATCH_EPSILON: f64 = 1e-6;

/// Each patch by its own mean and unbiased variance: what is left to predict is its structure, not its brightness.
///
/// # Shapes
/// `[patches, values]`
fn standardize_patches(patches: Tensor<2>) -> Tensor<2> {
    let values = patches.dims()[1] as f64;
    let centered = patches.clone() - patches.mean_dim(1);
    let variance = centered.clone().square().sum_dim(1) / (values - 1.0).max(1.0);
    centered / (variance + PATCH_EPSILON).sqrt()
}

/// The mean squared error of the predicted pixels of each *removed* patch: `removed · mean (prediction − target)²`,
/// the target standardized patch by patch when `normalized`. What was seen costs nothing: to copy it is no task.
///
/// # Shapes
/// `prediction`, `patches`: `[patches, values]`; `removed`: `[patches, 1]`, 1 or 0; the result: `[patches, 1]`.
pub fn masked_patches(prediction: Tensor<2>, patches: Tensor<2>, removed: Tensor<2>, normalized: bool) -> Tensor<2> {
    let target = if normalized { standardize_patches(patches) } else { patches };
    (prediction - target.detach()).square().mean_dim(1) * removed.detach()
}
