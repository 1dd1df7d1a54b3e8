//! Symmetric cross-modal InfoNCE (Radford et al. 2021, fig. 3).

use super::{LossTerms, log_sum_exp, normalise_rows};
use crate::tensor::ops::matmul;
use burn::tensor::Tensor;

/// Each sample of one modality must pick its partner among the batch of the other, both ways; the total is the mean
/// of the two cross-entropies.
///
/// # Shapes
/// `a`, `b`: `[batch, embedding]`, one modality each.
pub fn clip(a: Tensor<2>, b: Tensor<2>, temperature: f64) -> LossTerms {
    let (a, b) = (normalise_rows(a), normalise_rows(b));
    let positive = (a.clone() * b.clone()).sum_dim(1).mean() / temperature;
    let logits = matmul(a, b.transpose()) / temperature; // [batch of a, batch of b]
    let a_to_b = log_sum_exp(logits.clone()).mean() - positive.clone();
    let b_to_a = log_sum_exp(logits.transpose()).mean() - positive;
    LossTerms::new((a_to_b.clone() + b_to_a.clone()) / 2.0, [("a_to_b", a_to_b), ("b_to_a", b_to_a)])
}
