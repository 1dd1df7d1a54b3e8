//! Cross-entropy with given classes: the loss of pretext tasks that have targets.

use super::{LossTerms, log_sum_exp};
use burn::tensor::Tensor;

/// `mean_i (log Σ_k exp(logit_ik) − logit_i,target(i))`, with the share of right answers beside it.
///
/// # Shapes
/// `logits`: `[batch, classes]`; `targets`: `[batch, 1]`, whole numbers below `classes`.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> LossTerms {
    let targets = targets.detach().int();
    let right = logits.clone().detach().argmax(1).equal(targets.clone());
    let accuracy = right.float().mean();
    let loss = (log_sum_exp(logits.clone()) - logits.gather(1, targets)).mean();
    LossTerms::new(loss.clone(), [("cross_entropy", loss), ("accuracy", accuracy)])
}
