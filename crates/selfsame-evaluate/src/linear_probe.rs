//! The linear probe: multinomial logistic regression on frozen features.
//!
//! Features are standardized with the mean and the standard deviation of all training features (which needs no
//! labels). With `p(c | x) ∝ exp(wᶜ·x + bᶜ)` over `n` labeled samples, the probe minimizes
//!
//! ```text
//! F(W, b) = −(1/n) Σ ln p(yᵢ | xᵢ) + (λ/2) ‖W‖²
//! ```
//!
//! `λ` is the best of [`STRENGTHS`] on held-out *training* labels, never on test labels: the labeled samples are dealt
//! into five stratified fifths; as many fifths are held out in turn as it takes to judge by
//! [`HELD_OUT`] samples, all five if there are fewer. A class with a single label is never held out; when no class has
//! more, nothing can be, and `λ` is [`DEFAULT_STRENGTH`]. The probe is then fitted again to all labels.
//!
//! `F` is minimized by L-BFGS (Liu & Nocedal 1989). Its cost is the number of passes over the features, so it works in
//! the principal axes of the training features: there their covariance is diagonal, `diag(s)`, and `s/C + λ`, the
//! curvature of `F` at `W = 0` but for the coupling of the `C` classes, serves as its initial Hessian. A rotation leaves
//! `‖W‖` alone, so the minimum is the same.

mod features;
mod minimize;
mod problem;
#[cfg(test)]
mod tests;

pub use features::{Coordinates, ProbeFeatures};

use crate::knn::argmax;
use crate::matmul::{Strided, par_matmul};
use problem::{Problem, split};
use rayon::prelude::*;
use selfsame_base::rng::StreamRng;

/// Regularization strengths `λ` that are tried, strongest first.
pub const STRENGTHS: [f64; 11] = [1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5];
/// The strength when no label can be held out.
pub const DEFAULT_STRENGTH: f64 = 0.1;
/// Held-out samples by which a strength is chosen, where there are enough labels.
pub const HELD_OUT: usize = 200;

/// Fifths that the labeled samples are dealt into.
const FOLDS: usize = 5;
/// A fit has converged when no component of the gradient exceeds this; one by which a strength is chosen, earlier.
const TOLERANCE: f64 = 1e-5;
const CHOOSING_TOLERANCE: f64 = 1e-4;
impl ProbeFeatures {
    /// Fits a probe to the training samples `rows`, whose classes are `labels[row]`, each under `classes`.
    ///
    /// `rng` deals the held-out parts.
    pub fn fit(&self, rows: &[u32], labels: &[u32], classes: usize, mut rng: StreamRng) -> LinearProbe {
        assert!(!rows.is_empty(), "a probe without labels");
        let folds = held_out(rows, labels, classes, &mut rng);
        let (strength, mut weights) = self.choose_strength(rows, &folds, labels, classes);
        self.problem(rows, labels, classes, strength).minimize(&mut weights, TOLERANCE);
        LinearProbe { classes, strength, weights }
    }

    fn problem<'a>(&'a self, rows: &'a [u32], labels: &'a [u32], classes: usize, strength: f64) -> Problem<'a> {
        Problem { features: &self.train, variances: &self.variances, rows, labels, classes, strength }
    }

    /// The best strength, and weights that were fitted with it to a part of the labels.
    fn choose_strength(&self, rows: &[u32], folds: &[Vec<u32>], labels: &[u32], classes: usize) -> (f64, Vec<f64>) {
        let start = vec![0.0; (self.variances.len() + 1) * classes];
        if folds.is_empty() {
            return (DEFAULT_STRENGTH, start);
        }
        let kept: Vec<Vec<u32>> = (folds.iter())
            .map(|held_out| rows.iter().copied().filter(|row| held_out.binary_search(row).is_err()).collect())
            .collect();
        // From strong to weak: each fit starts at the one before.
        let mut weights = vec![start.clone(); folds.len()];
        let (mut best_loss, mut best) = (f64::INFINITY, (DEFAULT_STRENGTH, start));
        let mut rises = 0;
        for strength in STRENGTHS {
            let mut loss = 0.0;
            for ((held_out, kept), weights) in folds.iter().zip(&kept).zip(&mut weights) {
                let problem = self.problem(kept, labels, classes, strength);
                problem.minimize(weights, CHOOSING_TOLERANCE);
                loss += problem.cross_entropy(held_out, weights, None) * held_out.len() as f64;
            }
            if loss < best_loss {
                (best_loss, best, rises) = (loss, (strength, weights[0].clone()), 0);
            } else {
                // The path is smooth: after two rises in a row it does not come back down.
                rises += 1;
                if rises == 2 {
                    break;
                }
            }
        }
        best
    }
}

/// The parts of `rows` that are held out in turn, each sorted.
fn held_out(rows: &[u32], labels: &[u32], classes: usize, rng: &mut StreamRng) -> Vec<Vec<u32>> {
    let mut of_class = vec![Vec::new(); classes];
    rows.iter().for_each(|&row| of_class[labels[row as usize] as usize].push(row));
    let mut folds = vec![Vec::new(); FOLDS];
    for rows in of_class.iter_mut().filter(|rows| rows.len() > 1) {
        rng.shuffle(rows);
        rows.iter().enumerate().for_each(|(position, &row)| folds[position % FOLDS].push(row));
    }
    let mut total = 0;
    folds.retain(|fold| {
        let needed = total < HELD_OUT && !fold.is_empty();
        total += fold.len();
        needed
    });
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// A fitted probe.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProbe {
    /// Number of classes.
    pub classes: usize,
    /// The strength `λ` that was chosen.
    pub strength: f64,
    /// `[axes + 1, classes]`: weights along the principal axes, then biases.
    weights: Vec<f64>,
}

impl LinearProbe {
    /// The likeliest class of each row.
    pub fn predict(&self, features: &Coordinates) -> Vec<u32> {
        let (weights, biases) = split(&self.weights, self.classes);
        let mut logits = vec![0.0; features.rows * self.classes];
        let features = Strided::new(&features.values, features.rows, features.axes);
        par_matmul(features, Strided::new(&weights, weights.len() / self.classes, self.classes), &mut logits);
        let logits = logits.par_chunks_exact_mut(self.classes);
        logits
            .map(|logits| {
                logits.iter_mut().zip(&biases).for_each(|(logit, bias)| *logit += bias);
                argmax(logits)
            })
            .collect()
    }
}

impl ProbeFeatures {
    /// A probe on these features as one affine map of features as they are: weights `[dim, classes]` and biases `[classes]`.
    pub fn affine(&self, probe: &LinearProbe) -> (Vec<f32>, Vec<f32>) {
        let (dim, classes) = (self.mean.len(), probe.classes);
        let (along_axes, biases) = probe.weights.split_at(self.variances.len() * classes);
        let mut weights = vec![0.0; dim * classes];
        for (axis, along) in self.axes.chunks_exact(dim).zip(along_axes.chunks_exact(classes)) {
            for ((weights, &a), scale) in weights.chunks_exact_mut(classes).zip(axis).zip(&self.scale) {
                weights.iter_mut().zip(along).for_each(|(w, v)| *w += f64::from(a) * scale * v);
            }
        }
        let bias = |class: usize| {
            let at_mean = weights[class..].iter().step_by(classes).zip(&self.mean).map(|(w, m)| w * m);
            (biases[class] - at_mean.sum::<f64>()) as f32
        };
        let biases = (0..classes).map(bias).collect();
        (weights.iter().map(|&w| w as f32).collect(), biases)
    }
}
