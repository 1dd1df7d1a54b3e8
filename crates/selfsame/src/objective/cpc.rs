//! Contrastive predictive coding (van den Oord et al. 2018, eq. 4).

use super::{LossTerms, log_sum_exp, weighted_mean};
use crate::tensor::ops::matmul_each;
use burn::tensor::{Tensor, TensorData};
use serde::{Deserialize, Serialize};

/// Where the codes come from that a prediction must not be taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// The other sequences of the batch, at the same step.
    Batch,
    /// The other steps of the same sequence.
    Sequence,
    /// Both.
    Both,
}

impl Negatives {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["batch", "sequence", "both"];

    /// Candidates of a prediction, the true code among them, of `batch` sequences that are there at its step, its own being
    /// `steps` long.
    pub fn candidates(self, batch: usize, steps: usize) -> usize {
        match self {
            Self::Batch => batch,
            Self::Sequence => steps,
            Self::Both => batch + steps - 1,
        }
    }
}

/// A prediction `p_k` of the code k steps ahead, from the context at step t, must pick the true one, `z_{i, t+k}`, among
/// candidates:
///
/// `ℓ = −p · z_{i, t+k} + log Σ_j exp(p · z_j)`, mean over all `(i, t)` with a step `t + k`, then over k.
///
/// The first half is the term `invariance`, the second `contrast`. `mutual_information` is `log N − ℓ`, N the number of
/// candidates: a lower bound on what context and code have in common, in nats (eq. 5), which cannot exceed `log N` because no ℓ is
/// negative.
///
/// # Shapes
/// `z`: `[batch, steps, width]`, with `lengths` of each; `predictions`: `[batch, steps − k, width]` for k = 1, 2 …
///
/// # Panics
/// If there is no prediction.
pub fn cpc(z: &Tensor<3>, predictions: &[Tensor<3>], lengths: &[usize], negatives: Negatives) -> LossTerms {
    let ahead = (1..).zip(predictions).map(|(k, predicted)| one_ahead(z, predicted.clone(), k, lengths, negatives));
    let sums = ahead.reduce(|a, b| [0, 1, 2].map(|term| a[term].clone() + b[term].clone()));
    let [invariance, contrast, information] = sums.expect("a prediction").map(|sum| sum / predictions.len() as f64);
    let terms = [
        ("invariance", invariance.clone()),
        ("contrast", contrast.clone()),
        ("mutual_information", information.detach()),
    ];
    LossTerms::new(invariance + contrast, terms)
}

/// The three terms of the predictions k steps ahead.
fn one_ahead(z: &Tensor<3>, predicted: Tensor<3>, k: usize, lengths: &[usize], negatives: Negatives) -> [Tensor<1>; 3] {
    let ([batch, steps, _], device) = (z.dims(), z.device());
    let anchors = steps - k;
    let rows = batch * anchors;
    let target = z.clone().slice([0..batch, k..steps]); // [batch, anchors, width]
    let positive = (predicted.clone() * target.clone()).sum_dim(2).reshape([rows, 1]);
    let bias = |keep: &dyn Fn(usize, usize, usize) -> bool, columns: usize| {
        let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row / anchors, row % anchors, column)));
        // Far below every score: its exponential is exactly 0.
        let values = places.map(|(i, t, column)| if keep(i, t, column) { 0.0 } else { -1e9 }).collect::<Vec<f32>>();
        Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device)
    };
    let mut scores = Vec::new();
    if negatives != Negatives::Sequence {
        // Step by step, each sequence's prediction against all sequences' codes.
        let candidates = target.swap_dims(0, 1).swap_dims(1, 2); // [anchors, width, batch]
        let all = matmul_each(predicted.clone().swap_dims(0, 1), candidates).swap_dims(0, 1);
        // Of a sequence that has no such step, no term counts; its own code keeps the sum from being empty.
        scores.push(all.reshape([rows, batch]) + bias(&|i, t, j| j == i || lengths[j] > t + k, batch));
    }
    if negatives != Negatives::Batch {
        let all = matmul_each(predicted, z.clone().swap_dims(1, 2)).reshape([rows, steps]);
        let both = negatives == Negatives::Both;
        scores.push(all + bias(&|i, t, s| s < lengths[i] && !(both && s == t + k), steps));
    }
    let contrast = log_sum_exp(Tensor::cat(scores, 1)); // [rows, 1]
    let weights: Vec<f32> =
        (0..rows).map(|row| f32::from(u8::from(lengths[row / anchors] > row % anchors + k))).collect();
    let candidates = (0..rows).map(|row| {
        let there = lengths.iter().filter(|&&length| length > row % anchors + k).count().max(1);
        (negatives.candidates(there, lengths[row / anchors]) as f32).ln()
    });
    let most = Tensor::from_data(TensorData::new(candidates.collect::<Vec<f32>>(), [rows, 1]), &device);
    let losses = contrast.clone() - positive.clone();
    [-positive, contrast, most - losses].map(|values| weighted_mean(values, &weights))
}
