//! SwAV (Caron et al. 2020, eq. 1–4).

use super::{LossTerms, normalize_rows, swapped_prediction};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Numbers of the swapped prediction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    /// Leading views whose assignments are predicted: the large crops.
    pub assigned: usize,
    /// τ of the predictions.
    pub temperature: f64,
    /// ε of the assignments: how soft they are.
    pub epsilon: f64,
    /// Rounds of Sinkhorn-Knopp.
    pub iterations: usize,
}

/// Every view must predict to which prototype the *other* views of its sample are assigned:
///
/// `−mean Σ_k q_k^(a) log softmax(z^(v)·c/τ)_k` over `v ≠ a`, `a` among the assigned views, `v` among all.
///
/// The assignments `q` are constants. [`sinkhorn`] shares the batch out equally over the prototypes, so that one
/// constant answer is not to be had. Beside the loss: `assignment_entropy`, the mean entropy of a sample's assignment
/// (nats; 0: certain), and `usage_entropy`, that of the batch's mean assignment (`ln prototypes`: all used alike).
///
/// # Shapes
/// `views`: `[batch, embedding]` each; `prototypes`: `[embedding, prototypes]`, unit columns.
pub fn swav(views: &[Tensor<2>], prototypes: &Tensor<2>, swap: Swap) -> LossTerms {
    let scores: Vec<_> = views.iter().map(|z| matmul(normalize_rows(z.clone()), prototypes.clone())).collect();
    let assignments: Vec<_> =
        scores[..swap.assigned].iter().map(|s| sinkhorn(s.clone(), swap.epsilon, swap.iterations)).collect();
    swapped_prediction(&assignments, scores, swap.temperature)
}

/// Sinkhorn-Knopp: `exp(scores/ε)`, its columns and rows scaled in turn toward equal sums, at last the rows, which
/// then sum to 1. Each prototype gets an equal share of the batch. With no iterations it is a softmax.
///
/// # Shapes
/// `[batch, prototypes]`; the result is a constant.
pub fn sinkhorn(scores: Tensor<2>, epsilon: f64, iterations: usize) -> Tensor<2> {
    let scores = scores.detach();
    let largest = scores.clone().max().unsqueeze(); // a common factor, which the scaling takes out
    let mut q = ((scores - largest) / epsilon).exp();
    for _ in 0..iterations {
        q = q.clone() / q.clone().sum_dim(0);
        q = q.clone() / q.clone().sum_dim(1);
    }
    q.clone() / q.sum_dim(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::to_vec;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    proptest! {
        /// Rows sum to 1, and with enough rounds every prototype gets the same share.
        #[test]
        fn sinkhorn_shares_the_batch_out(
            batch in 2usize..12,
            prototypes in 2usize..9,
            seed in proptest::collection::vec(-1.0f32..1.0, 12 * 9),
        ) {
            let scores = TensorData::new(seed[..batch * prototypes].to_vec(), [batch, prototypes]);
            let q = sinkhorn(Tensor::from_data(scores, &Device::flex()), 0.5, 100);
            let rows = to_vec(q.clone().sum_dim(1));
            let columns = to_vec(q.sum_dim(0));
            prop_assert!(rows.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{rows:?}");
            let share = batch as f32 / prototypes as f32;
            prop_assert!(columns.iter().all(|sum| (sum - share).abs() < 1e-3 * share), "{columns:?} {share}");
        }
    }
}
