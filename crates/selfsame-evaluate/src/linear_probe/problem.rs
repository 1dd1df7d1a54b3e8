//! The loss that a probe minimizes, on some of the training samples.

use super::features::Coordinates;
use super::minimize::minimize;
use crate::matmul::{Strided, matmul};
use rayon::prelude::*;

/// Rows whose logits are made at a time; they and their logits stay in cache.
const BLOCK: usize = 256;
/// Partial sums of a pass over the features, whatever the number of threads.
const PARTS: usize = 16;

/// Weights `[axes, classes]` and biases `[classes]` in working precision.
pub(super) fn split(weights: &[f64], classes: usize) -> (Vec<f32>, Vec<f32>) {
    let mut weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    let biases = weights.split_off(weights.len() - classes);
    (weights, biases)
}

/// What a probe is fitted to, a value for every training row, those that are not fitted too.
#[derive(Clone, Copy)]
pub enum Truth<'a> {
    /// Classes under so many, by the cross-entropy.
    Classes(&'a [u32], usize),
    /// Numbers, by half the squared error.
    Numbers(&'a [f32]),
}

impl Truth<'_> {
    /// Values that the probe gives for a row.
    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Classes(_, classes) => classes,
            Self::Numbers(_) => 1,
        }
    }

    /// Adds the biases to the outputs for a row and turns them into the slope of its loss, which is returned.
    fn to_residual(self, outputs: &mut [f32], biases: &[f32], row: usize) -> f64 {
        match self {
            Self::Classes(labels, _) => to_residual(outputs, biases, labels[row] as usize),
            Self::Numbers(values) => {
                outputs[0] += biases[0] - values[row];
                0.5 * f64::from(outputs[0]).powi(2)
            }
        }
    }
}

/// A regularized regression on some of the training samples.
pub(super) struct Problem<'a> {
    pub features: &'a Coordinates,
    /// `[axes]`: variance along each axis.
    pub variances: &'a [f64],
    /// Rows that are fitted.
    pub rows: &'a [u32],
    pub truth: Truth<'a>,
    /// `λ`
    pub strength: f64,
}

impl Problem<'_> {
    /// Moves `weights` to the minimum of `F`, until no component of the gradient exceeds `tolerance`.
    pub fn minimize(&self, weights: &mut [f64], tolerance: f64) {
        let classes = self.truth.outputs();
        let curvature = |variance: f64, strength: f64| (variance / classes as f64 + strength).recip();
        let inverse_hessian: Vec<f64> = (self.variances.iter())
            .flat_map(|&variance| std::iter::repeat_n(curvature(variance, self.strength), classes))
            .chain(std::iter::repeat_n(curvature(1.0, 0.0), classes))
            .collect();
        minimize(weights, &inverse_hessian, tolerance, &|weights, gradient| self.value(weights, gradient));
    }

    /// `F` and its gradient, which is written.
    pub fn value(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let loss = self.mean_loss(self.rows, weights, Some(gradient));
        let penalized = &weights[..weights.len() - self.truth.outputs()];
        gradient.iter_mut().zip(penalized).for_each(|(g, w)| *g += self.strength * w);
        loss + 0.5 * self.strength * penalized.iter().map(|w| w * w).sum::<f64>()
    }

    /// Mean loss over `rows`, and, on request, its gradient: products in `f32`, sums in `f64`.
    pub fn mean_loss(&self, rows: &[u32], weights: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let (axes, classes) = (self.features.axes, self.truth.outputs());
        let (matrix, biases) = split(weights, classes);
        let matrix = Strided::new(&matrix, axes, classes);
        let blocks = rows.len().div_ceil(BLOCK);
        let parts: Vec<(f64, Vec<f64>)> = (0..PARTS.min(blocks))
            .into_par_iter()
            .map(|part| {
                let (mut loss, mut sums) = (0.0, vec![0.0; if gradient.is_some() { weights.len() } else { 0 }]);
                let (mut x, mut p) = (Vec::with_capacity(BLOCK * axes), vec![0.0; BLOCK * classes]);
                let mut product = vec![0.0; axes * classes];
                let of_part = part * blocks / PARTS.min(blocks)..(part + 1) * blocks / PARTS.min(blocks);
                for rows in rows[of_part.start * BLOCK..rows.len().min(of_part.end * BLOCK)].chunks(BLOCK) {
                    x.clear();
                    rows.iter()
                        .for_each(|&row| x.extend_from_slice(&self.features.values[row as usize * axes..][..axes]));
                    let x = Strided::new(&x, rows.len(), axes);
                    let p = &mut p[..rows.len() * classes];
                    matmul(x, matrix, p); // [block, classes]
                    for (p, &row) in p.chunks_exact_mut(classes).zip(rows) {
                        loss += self.truth.to_residual(p, &biases, row as usize);
                    }
                    if !sums.is_empty() {
                        matmul(x.t(), Strided::new(p, rows.len(), classes), &mut product); // [axes, classes]
                        sums.iter_mut().zip(&product).for_each(|(sum, &term)| *sum += f64::from(term));
                        for p in p.chunks_exact(classes) {
                            sums[axes * classes..].iter_mut().zip(p).for_each(|(sum, &term)| *sum += f64::from(term));
                        }
                    }
                }
                (loss, sums)
            })
            .collect();
        let count = rows.len() as f64;
        if let Some(gradient) = gradient {
            gradient.fill(0.0);
            for (_, sums) in &parts {
                gradient.iter_mut().zip(sums).for_each(|(g, sum)| *g += sum / count);
            }
        }
        parts.iter().map(|(loss, _)| loss).sum::<f64>() / count
    }
}

/// Adds the biases to the logits of a sample and turns them into `p − y`; returns `−ln p(label)`.
fn to_residual(logits: &mut [f32], biases: &[f32], label: usize) -> f64 {
    logits.iter_mut().zip(biases).for_each(|(logit, bias)| *logit += bias);
    let largest = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
    let of_label = logits[label] - largest;
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|p| *p /= sum);
    logits[label] -= 1.0;
    f64::from(sum).ln() - f64::from(of_label)
}
