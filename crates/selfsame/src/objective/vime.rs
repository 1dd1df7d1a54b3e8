//! The objective of VIME (Yoon et al. 2020, equations 4 and 5), sample by sample.

use super::log_sum_exp;
use burn::tensor::{Tensor, activation::relu};
use selfsame_data::modality::Columns;

/// How badly the mask was estimated: binary cross-entropy over the columns,
///
/// `ℓ_i = mean_j log(1 + exp s_ij) − m_ij s_ij`
///
/// # Shapes
/// `scores` s, before the sigmoid, and `mask` m, 1 or 0: `[batch, columns]`; the result: `[batch, 1]`.
pub fn mask_estimation(scores: Tensor<2>, mask: Tensor<2>) -> Tensor<2> {
    // log(1 + exp s) without overflow.
    let soft = relu(scores.clone()) + scores.clone().abs().neg().exp().log1p();
    (soft - scores * mask.detach()).mean_dim(1)
}

/// How badly the values were estimated: the mean over the columns of the squared error of a number, and of the cross-entropy of a
/// category.
///
/// # Shapes
/// `values`, of a category the scores before the softmax, and `target`, of a category 1 in one channel and 0 in the others:
/// `[batch, channels]`; the result: `[batch, 1]`.
pub fn value_estimation(values: &Tensor<2>, target: Tensor<2>, columns: &Columns) -> Tensor<2> {
    let (rows, target, device) = (values.dims()[0], target.detach(), values.device());
    let mut weights = vec![0.0f32; columns.channels()];
    for place in columns.iter().filter(|place| !place.is_category) {
        weights[place.channels.clone()].fill(1.0 / place.channels.len() as f32);
    }
    let weights = Tensor::<1>::from_floats(&weights[..], &device).unsqueeze();
    let numbers = ((values.clone() - target.clone()).square() * weights).sum_dim(1);
    let categories = columns.iter().filter(|place| place.is_category).map(|place| {
        let here = [0..rows, place.channels.clone()];
        let (scores, target) = (values.clone().slice(here.clone()), target.clone().slice(here));
        // The target may be of no category, and then costs nothing.
        let known = target.clone().sum_dim(1);
        log_sum_exp(scores.clone()) * known - (scores * target).sum_dim(1)
    });
    categories.fold(numbers, |sum, errors| sum + errors) / columns.len() as f64
}
