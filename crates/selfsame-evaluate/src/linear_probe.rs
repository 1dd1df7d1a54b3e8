//! The linear probe: multinomial logistic regression on frozen features, or, for numbers, ridge regression.
//!
//! Features are standardized with the mean and the standard deviation of all training features (which needs no
//! labels). With `p(c | x) ∝ exp(wᶜ·x + bᶜ)` over `n` labeled samples, the probe minimizes
//!
//! ```text
//! F(W, b) = −(1/n) Σ ln p(yᵢ | xᵢ) + (λ/2) ‖W‖²
//! ```
//!
//! or, for numbers `yᵢ`, `(1/2n) Σ (w·xᵢ + b − yᵢ)²` in the place of the cross-entropy.
//!
//! `λ` is the best of [`STRENGTHS`] on held-out *training* labels, never on test labels: the labeled samples are dealt
//! into five fifths, stratified by class; as many fifths are held out in turn as it takes to judge by
//! [`HELD_OUT`] samples, all five if there are fewer. A class with a single label is never held out; when no class has
//! more, nothing can be, and `λ` is [`DEFAULT_STRENGTH`]. Where samples come in groups (frames of one film), whole groups are
//! dealt. The probe is then fitted again to all labels.
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
pub use problem::Truth;

use crate::knn::argmax;
use crate::matmul::{Strided, par_matmul};
use problem::{Problem, split};
use rayon::prelude::*;
use selfsame_base::rng::StreamRng;

/// Regularization strengths `λ` that are tried, strongest first.
pub const STRENGTHS: [f64; 11] = [1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5];
/// The same for numbers, whose squared error pulls harder than a cross-entropy, which is bounded.
pub const STRENGTHS_OF_NUMBERS: [f64; 13] = [100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4, 1e-5];
/// The strength when no label can be held out.
pub const DEFAULT_STRENGTH: f64 = 0.1;
/// Held-out samples by which a strength is chosen, where there are enough labels.
pub const HELD_OUT: usize = 200;

/// Fewer held-out samples than this tell nothing of probabilities.
pub const FEWEST_HELD_OUT: usize = 20;
/// Fifths that the labeled samples are dealt into.
const FOLDS: usize = 5;
/// A fit has converged when no component of the gradient exceeds this; one by which a strength is chosen, earlier.
const TOLERANCE: f64 = 1e-5;
const CHOOSING_TOLERANCE: f64 = 1e-4;
impl ProbeFeatures {
    /// Fits a probe to the training samples `rows`, whose classes are `labels[row]`, each under `classes`.
    ///
    /// `rng` deals the held-out parts.
    pub fn fit(&self, rows: &[u32], labels: &[u32], classes: usize, rng: StreamRng) -> LinearProbe {
        self.fit_to(rows, Truth::Classes(labels, classes), None, rng)
    }

    /// Fits a probe to the training samples `rows`; where `groups` has the group of every row, whole groups are held out.
    pub fn fit_to(&self, rows: &[u32], truth: Truth, groups: Option<&[u32]>, mut rng: StreamRng) -> LinearProbe {
        assert!(!rows.is_empty(), "a probe without labels");
        let folds = held_out(rows, truth, groups, HELD_OUT, &mut rng);
        let (strength, mut weights) = self.choose_strength(rows, &folds, truth);
        self.problem(rows, truth, strength).minimize(&mut weights, TOLERANCE);
        LinearProbe { classes: truth.outputs(), strength, weights }
    }

    fn problem<'a>(&'a self, rows: &'a [u32], truth: Truth<'a>, strength: f64) -> Problem<'a> {
        Problem { features: &self.train, variances: &self.variances, rows, truth, strength }
    }

    /// The best strength, and weights that were fitted with it to a part of the labels.
    fn choose_strength(&self, rows: &[u32], folds: &[Vec<u32>], truth: Truth) -> (f64, Vec<f64>) {
        let start = vec![0.0; (self.variances.len() + 1) * truth.outputs()];
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
        let strengths: &[f64] = match truth {
            Truth::Classes(..) => &STRENGTHS,
            Truth::Numbers(_) => &STRENGTHS_OF_NUMBERS,
        };
        for &strength in strengths {
            let mut loss = 0.0;
            for ((held_out, kept), weights) in folds.iter().zip(&kept).zip(&mut weights) {
                let problem = self.problem(kept, truth, strength);
                problem.minimize(weights, CHOOSING_TOLERANCE);
                loss += problem.mean_loss(held_out, weights, None) * held_out.len() as f64;
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

/// Some of `rows`, sorted, for what is fitted to samples that nothing was learned from: a fifth of each class, less where that is
/// more than `most`, or whole groups. Empty where labels are too few.
pub fn hold_out(rows: &[u32], truth: Truth, groups: Option<&[u32]>, most: usize, rng: &mut StreamRng) -> Vec<u32> {
    let parts = match groups {
        Some(_) => FOLDS,
        None => (rows.len() / most).min(rows.len() / truth.outputs()).max(FOLDS),
    };
    // Of all parts the last has the fewest of each class, so that those who learn have at least four times as many.
    let mut held = dealt(rows, truth, groups, parts, rng).pop().unwrap_or_default();
    held.sort_unstable();
    if held.len() < FEWEST_HELD_OUT { Vec::new() } else { held }
}

/// Fifths of `rows` that are held out in turn, as many as it takes to have `enough`, each sorted. What is left is never empty.
pub fn held_out(
    rows: &[u32],
    truth: Truth,
    groups: Option<&[u32]>,
    enough: usize,
    rng: &mut StreamRng,
) -> Vec<Vec<u32>> {
    let mut folds = dealt(rows, truth, groups, FOLDS, rng);
    let mut total = 0;
    folds.retain(|fold| {
        let needed = total < enough && !fold.is_empty();
        total += fold.len();
        needed
    });
    folds.iter_mut().for_each(|fold| fold.sort_unstable());
    folds
}

/// `rows`, dealt into parts class by class, or group by group. A class with a single sample is in none; nor is anything where
/// nothing could be left.
fn dealt(rows: &[u32], truth: Truth, groups: Option<&[u32]>, parts: usize, rng: &mut StreamRng) -> Vec<Vec<u32>> {
    let mut folds = vec![Vec::new(); parts];
    let mut deal = |rows: &mut Vec<u32>, rng: &mut StreamRng| {
        rng.shuffle(rows);
        rows.iter().enumerate().for_each(|(position, &row)| folds[position % parts].push(row));
    };
    match (groups, truth) {
        (Some(of), _) => {
            let mut present: Vec<u32> = rows.iter().map(|&row| of[row as usize]).collect();
            present.sort_unstable();
            present.dedup();
            if present.len() < 2 {
                return Vec::new();
            }
            deal(&mut present, rng);
            let mut fold_of = vec![0; present.iter().max().map_or(0, |&last| last as usize + 1)];
            for (fold, groups) in folds.iter_mut().enumerate() {
                groups.drain(..).for_each(|group| fold_of[group as usize] = fold);
            }
            rows.iter().for_each(|&row| folds[fold_of[of[row as usize] as usize]].push(row));
        }
        (None, Truth::Classes(labels, classes)) => {
            let mut of_class = vec![Vec::new(); classes];
            rows.iter().for_each(|&row| of_class[labels[row as usize] as usize].push(row));
            of_class.iter_mut().filter(|rows| rows.len() > 1).for_each(|rows| deal(rows, rng));
        }
        (None, Truth::Numbers(_)) if rows.len() < 2 => return Vec::new(),
        (None, Truth::Numbers(_)) => deal(&mut rows.to_vec(), rng),
    }
    folds
}

/// A fitted probe.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProbe {
    /// Number of classes; 1 for numbers.
    pub classes: usize,
    /// The strength `λ` that was chosen.
    pub strength: f64,
    /// `[axes + 1, classes]`: weights along the principal axes, then biases.
    weights: Vec<f64>,
}

impl LinearProbe {
    /// The likeliest class of each row.
    pub fn predict(&self, features: &Coordinates) -> Vec<u32> {
        self.outputs(features).par_chunks_exact(self.classes).map(argmax).collect()
    }

    /// Logits of each class, or the number that is predicted, `[rows, classes]`.
    pub fn outputs(&self, features: &Coordinates) -> Vec<f32> {
        let (weights, biases) = split(&self.weights, self.classes);
        let mut outputs = vec![0.0; features.rows * self.classes];
        let features = Strided::new(&features.values, features.rows, features.axes);
        par_matmul(features, Strided::new(&weights, weights.len() / self.classes, self.classes), &mut outputs);
        outputs.par_chunks_exact_mut(self.classes).for_each(|of_row| {
            of_row.iter_mut().zip(&biases).for_each(|(output, bias)| *output += bias);
        });
        outputs
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
