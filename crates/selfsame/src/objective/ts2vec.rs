//! TS2Vec's hierarchical contrast (Yue et al. 2022, eq. 1 to 3 and algorithm 1).

use super::{LossTerms, weighted_mean};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops::{Candidates, log_sums};
use burn::tensor::Tensor;

/// Two views of the same steps must agree, step by step, at every scale: at each level
///
/// `α · instance + (1 − α) · temporal`, and then the maximum over pairs of steps leads to the next, until one step is left; the
/// total is the mean over the levels.
///
/// *Instance*: a step of a sequence must pick its partner in the other view among that step of all sequences in both views.
/// *Temporal*: among all steps of its own sequence in both views. Similarities are inner products, there is no temperature; the
/// one step that is left has no temporal contrast. A sequence that is shorter than others stays at its one step. The terms are the
/// means over the levels, unweighted.
///
/// # Shapes
/// `a`, `b`: `[batch, steps, width]`, with `lengths` of each.
pub fn ts2vec(a: Tensor<3>, b: Tensor<3>, lengths: &Lengths, alpha: f64) -> LossTerms {
    let (mut a, mut b, mut lengths) = (lengths.zero(a), lengths.zero(b), lengths.clone());
    let zero = a.clone().detach().slice([0..1, 0..1, 0..1]).reshape([1]) * 0.0;
    let (mut instances, mut times, mut levels) = (zero.clone(), zero, 0);
    loop {
        let [batch, steps, _] = a.dims();
        let each = lengths.each(batch, steps);
        if batch > 1 {
            instances = instances + instance(&a, &b, &each);
        }
        levels += 1;
        if steps == 1 {
            break;
        }
        times = times + temporal(&a, &b, &each);
        (a, b) = (halved(a, &lengths), halved(b, &lengths));
        lengths = Lengths::new(each.into_iter().map(|length| (length / 2).max(1)).collect(), steps / 2);
        (a, b) = (lengths.zero(a), lengths.zero(b));
    }
    let [instances, times] = [instances, times].map(|sum: Tensor<1>| sum / f64::from(levels));
    let total = instances.clone() * alpha + times.clone() * (1.0 - alpha);
    LossTerms::new(total, [("instance", instances), ("temporal", times)])
}

/// The larger of each two steps; a last odd one is dropped.
fn halved(x: Tensor<3>, lengths: &Lengths) -> Tensor<3> {
    let [batch, steps, width] = x.dims();
    let pairs = lengths.lowered(x).slice([0..batch, 0..steps / 2 * 2]).reshape([batch, steps / 2, 2, width]);
    pairs.max_dim(2).reshape([batch, steps / 2, width])
}

/// Rows against rows of as many groups, each row's positive being the one in the other half: the mean over the rows with a
/// weight of `−s_ip + log Σ_{j ≠ i, j there} exp(s_ij)`.
///
/// # Shapes
/// `z`: `[groups, 2 · half, width]`; `there`: whether a row of a half is, by group and place.
fn contrast(z: Tensor<3>, there: &dyn Fn(usize, usize) -> bool, counts: &dyn Fn(usize, usize) -> bool) -> Tensor<1> {
    let [groups, both, _] = z.dims();
    let (half, rows) = (both / 2, groups * both);
    let partners =
        Tensor::cat(vec![z.clone().slice([0..groups, half..both]), z.clone().slice([0..groups, 0..half])], 1);
    let positive = (z.clone() * partners).sum_dim(2).reshape([rows, 1]);
    let present: Vec<f32> = (0..rows).map(|row| f32::from(u8::from(there(row / both, row % both % half)))).collect();
    let candidates = Candidates { scale: 1.0, period: both, present: Some(present) };
    let losses = log_sums(z, candidates).reshape([rows, 1]) - positive;
    let weights: Vec<f32> = (0..rows).map(|row| f32::from(u8::from(counts(row / both, row % both % half)))).collect();
    weighted_mean(losses, &weights)
}

/// Step by step, across the sequences of the batch.
fn instance(a: &Tensor<3>, b: &Tensor<3>, lengths: &[usize]) -> Tensor<1> {
    let z = Tensor::cat(vec![a.clone(), b.clone()], 0).swap_dims(0, 1); // [steps, 2 · batch, width]
    let there = |step: usize, sequence: usize| step < lengths[sequence];
    contrast(z, &there, &there)
}

/// Sequence by sequence, across its steps; a sequence of one step has none to tell apart.
fn temporal(a: &Tensor<3>, b: &Tensor<3>, lengths: &[usize]) -> Tensor<1> {
    let z = Tensor::cat(vec![a.clone(), b.clone()], 1); // [batch, 2 · steps, width]
    let there = |sequence: usize, step: usize| step < lengths[sequence];
    contrast(z, &there, &|sequence, step| lengths[sequence] > 1 && there(sequence, step))
}
