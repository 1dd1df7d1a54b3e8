//! The linear probe: multinomial logistic regression on frozen features.
//!
//! Features are standardised with the mean and the standard deviation of all training features (which needs no
//! labels). With `p(c | x) ∝ exp(wᶜ·x + bᶜ)` over `n` labelled samples, the probe minimises
//!
//! ```text
//! F(W, b) = −(1/n) Σ ln p(yᵢ | xᵢ) + (λ/2) ‖W‖²
//! ```
//!
//! `λ` is the best of [`STRENGTHS`] on held-out *training* labels, never on test labels: the labelled samples are dealt
//! into five stratified fifths; as many fifths are held out in turn as it takes to judge by
//! [`HELD_OUT`] samples, all five if there are fewer. A class with a single label is never held out; when no class has
//! more, nothing can be, and `λ` is [`DEFAULT_STRENGTH`]. The probe is then fitted again to all labels.
//!
//! `F` is minimised by L-BFGS (Liu & Nocedal 1989). Its cost is the number of passes over the features, so it works in
//! the principal axes of the training features: there their covariance is diagonal, `diag(s)`, and `s/C + λ`, the
//! curvature of `F` at `W = 0` but for the coupling of the `C` classes, serves as its initial Hessian. A rotation leaves
//! `‖W‖` alone, so the minimum is the same.

use super::collapse::mean_and_squares;
use super::knn::argmax;
use super::matmul::{Matrix, gram, matmul, par_matmul};
use super::pca::Pca;
use super::symmetric::{Eigen, eigen};
use crate::features::Rows;
use crate::rng::StreamRng;
use rayon::prelude::*;
use std::collections::VecDeque;

/// Regularisation strengths `λ` that are tried, strongest first.
pub const STRENGTHS: [f64; 11] = [1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5];
/// The strength when no label can be held out.
pub const DEFAULT_STRENGTH: f64 = 0.1;
/// Held-out samples by which a strength is chosen, where there are enough labels.
pub const HELD_OUT: usize = 200;

/// Fifths that the labelled samples are dealt into.
const FOLDS: usize = 5;
/// Rows whose logits are made at a time; they and their logits stay in cache.
const BLOCK: usize = 256;
/// Partial sums of a pass over the features, whatever the number of threads.
const PARTS: usize = 16;
/// A fit has converged when no component of the gradient exceeds this; one by which a strength is chosen, earlier.
const TOLERANCE: f64 = 1e-5;
const CHOOSING_TOLERANCE: f64 = 1e-4;
/// Most passes of a fit; reached only where `f32` sums hide the last descent.
const MAX_STEPS: usize = 500;
/// Pairs that L-BFGS remembers.
const MEMORY: usize = 10;

/// Features, standardised, in the principal axes of the training features.
pub struct Coordinates {
    /// `[rows, axes]`
    values: Vec<f32>,
    rows: usize,
    axes: usize,
}

/// The training features, and the map that made [`Coordinates`] of them.
pub struct ProbeFeatures {
    mean: Vec<f64>,
    /// `[dim]`: one over the standard deviation, 0 where a feature does not vary.
    scale: Vec<f64>,
    /// `[axes, dim]`
    axes: Vec<f32>,
    /// `[axes]`: variance along each axis.
    variances: Vec<f64>,
    train: Coordinates,
}

impl ProbeFeatures {
    /// Prepares the features of all training samples, labelled or not.
    pub fn new(train: Rows) -> Self {
        Self::along(train, |mean, scale| {
            let mut correlation = gram(train, mean, Some(scale));
            correlation.iter_mut().for_each(|v| *v /= train.len() as f64);
            let Eigen { values, vectors } = eigen(correlation, train.dim);
            (vectors.iter().map(|&v| v as f32).collect(), values)
        })
    }

    /// As [`new`](Self::new), but along the `most` leading axes alone, which bounds the cost of wide features.
    pub fn reduced(train: Rows, most: usize) -> Self {
        Self::along(train, |mean, scale| {
            let used = train.len().min(Pca::FIT_ROWS);
            let rows = (0..used).map(|i| train.row(i * train.len() / used));
            let standard: Vec<f32> = rows.flat_map(|row| standardised(row, mean, scale)).collect();
            let pca = Pca::fit(Rows::new(&standard, train.dim), most);
            (pca.components, pca.variances)
        })
    }

    /// `find` gives axes `[axes, dim]` and variances along them, largest first, for a mean and a scale.
    fn along(train: Rows, find: impl FnOnce(&[f64], &[f64]) -> (Vec<f32>, Vec<f64>)) -> Self {
        let (dim, count) = (train.dim, train.len() as f64);
        let (mean, squares) = mean_and_squares(train);
        let scale = squares.iter().zip(&mean).map(|(s, m)| {
            let std = (s / count).sqrt();
            // What is left of a constant is rounding.
            if std > 1e-6 * m.abs() { std.recip() } else { 0.0 }
        });
        let scale: Vec<f64> = scale.collect();
        let (mut axes, mut variances) = find(&mean, &scale);
        // Along an axis without variance the best weight is 0.
        let kept = variances.iter().take_while(|&&v| v > 1e-9 * variances[0]).count();
        axes.truncate(kept * dim);
        variances.truncate(kept);
        let train_later = Coordinates { values: Vec::new(), rows: 0, axes: kept };
        let mut features = Self { mean, scale, axes, variances, train: train_later };
        features.train = features.coordinates(train);
        features
    }

    /// Coordinates of other features, such as those of the test samples.
    pub fn coordinates(&self, rows: Rows) -> Coordinates {
        let (dim, axes) = (self.mean.len(), self.variances.len());
        assert_eq!(rows.dim, dim, "features of another width");
        let map = Matrix::new(&self.axes, axes, dim).t();
        let mut values = vec![0.0; rows.len() * axes];
        let blocks = values.par_chunks_mut((BLOCK * axes).max(1)).zip(rows.values.par_chunks(BLOCK * dim));
        blocks.for_each_init(Vec::new, |standard, (values, rows)| {
            standard.clear();
            for row in rows.chunks_exact(dim) {
                standard.extend(standardised(row, &self.mean, &self.scale));
            }
            matmul(Matrix::new(standard, rows.len() / dim, dim), map, values);
        });
        Coordinates { values, rows: rows.len(), axes }
    }

    /// Fits a probe to the training samples `rows`, whose classes are `labels[row]`, each under `classes`.
    ///
    /// `rng` deals the held-out parts.
    pub fn fit(&self, rows: &[u32], labels: &[u32], classes: usize, mut rng: StreamRng) -> LinearProbe {
        assert!(!rows.is_empty(), "a probe without labels");
        let folds = held_out(rows, labels, classes, &mut rng);
        let (strength, mut weights) = self.choose_strength(rows, &folds, labels, classes);
        self.problem(rows, labels, classes, strength).minimise(&mut weights, TOLERANCE);
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
        let mut weights = vec![start; folds.len()];
        let (mut best_loss, mut best) = (f64::INFINITY, (DEFAULT_STRENGTH, Vec::new()));
        let mut rises = 0;
        for strength in STRENGTHS {
            let mut loss = 0.0;
            for ((held_out, kept), weights) in folds.iter().zip(&kept).zip(&mut weights) {
                let problem = self.problem(kept, labels, classes, strength);
                problem.minimise(weights, CHOOSING_TOLERANCE);
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

/// `(row − mean) ⊙ scale`
fn standardised<'a>(row: &'a [f32], mean: &'a [f64], scale: &'a [f64]) -> impl Iterator<Item = f32> + 'a {
    row.iter().zip(mean.iter().zip(scale)).map(|(&v, (m, s))| ((f64::from(v) - m) * s) as f32)
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
        let features = Matrix::new(&features.values, features.rows, features.axes);
        par_matmul(features, Matrix::new(&weights, weights.len() / self.classes, self.classes), &mut logits);
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

/// Weights `[axes, classes]` and biases `[classes]` in working precision.
fn split(weights: &[f64], classes: usize) -> (Vec<f32>, Vec<f32>) {
    let mut weights: Vec<f32> = weights.iter().map(|&w| w as f32).collect();
    let biases = weights.split_off(weights.len() - classes);
    (weights, biases)
}

/// A regularised regression on some of the training samples.
struct Problem<'a> {
    features: &'a Coordinates,
    variances: &'a [f64],
    rows: &'a [u32],
    labels: &'a [u32],
    classes: usize,
    strength: f64,
}

impl Problem<'_> {
    /// `F` and its gradient, which is written.
    fn value(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let loss = self.cross_entropy(self.rows, weights, Some(gradient));
        let penalised = &weights[..weights.len() - self.classes];
        gradient.iter_mut().zip(penalised).for_each(|(g, w)| *g += self.strength * w);
        loss + 0.5 * self.strength * dot(penalised, penalised)
    }

    /// Mean cross-entropy over `rows`, and, on request, its gradient: products in `f32`, sums in `f64`.
    fn cross_entropy(&self, rows: &[u32], weights: &[f64], gradient: Option<&mut [f64]>) -> f64 {
        let (axes, classes) = (self.features.axes, self.classes);
        let (matrix, biases) = split(weights, classes);
        let matrix = Matrix::new(&matrix, axes, classes);
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
                    let x = Matrix::new(&x, rows.len(), axes);
                    let p = &mut p[..rows.len() * classes];
                    matmul(x, matrix, p); // [block, classes]
                    for (p, &row) in p.chunks_exact_mut(classes).zip(rows) {
                        loss += to_residual(p, &biases, self.labels[row as usize] as usize);
                    }
                    if !sums.is_empty() {
                        matmul(x.t(), Matrix::new(p, rows.len(), classes), &mut product); // [axes, classes]
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

    /// Moves `weights` to the minimum of `F`, until no component of the gradient exceeds `tolerance`; returns the passes over
    /// the features that it took.
    fn minimise(&self, weights: &mut [f64], tolerance: f64) -> usize {
        let classes = self.classes;
        let curvature = |variance: f64, strength: f64| (variance / classes as f64 + strength).recip();
        let inverse_hessian: Vec<f64> = (self.variances.iter())
            .flat_map(|&variance| std::iter::repeat_n(curvature(variance, self.strength), classes))
            .chain(std::iter::repeat_n(curvature(1.0, 0.0), classes))
            .collect();
        let mut gradient = vec![0.0; weights.len()];
        let mut value = self.value(weights, &mut gradient);
        let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
        let (mut trial, mut trial_gradient) = (weights.to_vec(), gradient.clone());
        let mut passes = 1;
        while passes < MAX_STEPS && gradient.iter().any(|g| g.abs() > tolerance) {
            let direction = descent(&gradient, &pairs, &inverse_hessian);
            let slope = dot(&gradient, &direction);
            // F is convex, so a step that lowers it enough is all that a line search need find.
            let mut step = 1.0;
            let lowered = loop {
                (0..weights.len()).for_each(|i| trial[i] = weights[i] + step * direction[i]);
                let trial_value = self.value(&trial, &mut trial_gradient);
                passes += 1;
                if trial_value <= value + 1e-4 * step * slope {
                    break Some(trial_value);
                }
                step *= 0.5;
                if step < 1e-3 {
                    break None;
                }
            };
            let Some(lowered) = lowered else {
                // What is left of the slope is rounding of the `f32` sums.
                break;
            };
            let change: Vec<f64> = trial.iter().zip(&*weights).map(|(a, b)| a - b).collect();
            let of_gradient: Vec<f64> = trial_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
            let inner = dot(&change, &of_gradient);
            if inner > 0.0 {
                if pairs.len() == MEMORY {
                    pairs.pop_front();
                }
                pairs.push_back(Pair { change, of_gradient, inner });
            }
            value = lowered;
            weights.copy_from_slice(&trial);
            std::mem::swap(&mut gradient, &mut trial_gradient);
        }
        passes
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

/// What a step taught L-BFGS about the curvature.
struct Pair {
    change: Vec<f64>,
    of_gradient: Vec<f64>,
    /// Inner product of the two, positive.
    inner: f64,
}

/// `−H g` by the two-loop recursion (Nocedal & Wright, *Numerical Optimization*, algorithm 7.4).
fn descent(gradient: &[f64], pairs: &VecDeque<Pair>, inverse_hessian: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let add = |q: &mut [f64], factor: f64, x: &[f64]| q.iter_mut().zip(x).for_each(|(q, x)| *q += factor * x);
    let mut factors = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let factor = dot(&pair.change, &q) / pair.inner;
        add(&mut q, -factor, &pair.of_gradient);
        factors.push(factor);
    }
    // The initial Hessian, scaled to the curvature along the last step.
    let scale = pairs.back().map_or(1.0, |pair| {
        pair.inner / pair.of_gradient.iter().zip(inverse_hessian).map(|(y, h)| y * y * h).sum::<f64>()
    });
    q.iter_mut().zip(inverse_hessian).for_each(|(q, h)| *q *= scale * h);
    for (pair, factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let correction = factor - dot(&pair.of_gradient, &q) / pair.inner;
        add(&mut q, correction, &pair.change);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::knn::accuracy;
    use crate::rng::Purpose;

    fn rng(stream: u64) -> StreamRng {
        StreamRng::new(5, Purpose::Evaluate, stream, 0, 0)
    }

    /// Classes as Gaussian blobs, `distance` apart, with correlated features.
    fn blobs(count: usize, dim: usize, classes: usize, distance: f32, stream: u64) -> (Vec<f32>, Vec<u32>) {
        let mut centres = rng(1000);
        let centres: Vec<f32> = (0..classes * dim).map(|_| distance * centres.normal()).collect();
        let mut rng = rng(stream);
        let labels: Vec<u32> = (0..count).map(|i| (i % classes) as u32).collect();
        let values = (labels.iter())
            .flat_map(|&label| {
                let shared = rng.normal();
                let centre = &centres[label as usize * dim..][..dim];
                centre.iter().map(|c| 3.0 + c + shared + rng.normal()).collect::<Vec<_>>()
            })
            .collect();
        (values, labels)
    }

    fn all(labels: &[u32]) -> Vec<u32> {
        (0..labels.len() as u32).collect()
    }

    /// Newton's method in `f64` with the whole Hessian: the minimum to machine precision, `[(axes + 1), classes]`.
    fn newton(problem: &Problem) -> Vec<f64> {
        let (axes, classes) = (problem.features.axes, problem.classes);
        let size = (axes + 1) * classes;
        let mut weights = vec![0.0f64; size];
        for _ in 0..50 {
            let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
            for &row in problem.rows {
                let row = row as usize;
                let mut x: Vec<f64> =
                    problem.features.values[row * axes..][..axes].iter().map(|&v| f64::from(v)).collect();
                x.push(1.0);
                let logits: Vec<f64> =
                    (0..classes).map(|c| (0..=axes).map(|j| x[j] * weights[j * classes + c]).sum()).collect();
                let sum: f64 = logits.iter().map(|l: &f64| l.exp()).sum();
                let p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
                for (i, a) in (0..=axes).flat_map(|i| (0..classes).map(move |a| (i, a))) {
                    let y = f64::from(u8::from(problem.labels[row] as usize == a));
                    gradient[i * classes + a] += x[i] * (p[a] - y) / problem.rows.len() as f64;
                    for (j, b) in (0..=axes).flat_map(|j| (0..classes).map(move |b| (j, b))) {
                        let same = f64::from(u8::from(a == b));
                        hessian[(i * classes + a) * size + j * classes + b] +=
                            x[i] * x[j] * p[a] * (same - p[b]) / problem.rows.len() as f64;
                    }
                }
            }
            for i in 0..size {
                if i < axes * classes {
                    gradient[i] += problem.strength * weights[i];
                    hessian[i * size + i] += problem.strength;
                } else {
                    // A common shift of the biases changes nothing; this picks the one that sums to 0.
                    (axes * classes..size).for_each(|j| hessian[i * size + j] += 1.0);
                }
            }
            // Gaussian elimination; the Hessian is positive definite.
            for i in 0..size {
                for k in i + 1..size {
                    let factor = hessian[k * size + i] / hessian[i * size + i];
                    (i..size).for_each(|j| hessian[k * size + j] -= factor * hessian[i * size + j]);
                    gradient[k] -= factor * gradient[i];
                }
            }
            for i in (0..size).rev() {
                let rest: f64 = (i + 1..size).map(|j| hessian[i * size + j] * gradient[j]).sum();
                gradient[i] = (gradient[i] - rest) / hessian[i * size + i];
                weights[i] -= gradient[i];
            }
        }
        weights
    }

    #[test]
    fn the_minimum_is_newtons() {
        let (values, labels) = blobs(90, 4, 3, 0.7, 1);
        let features = ProbeFeatures::new(Rows::new(&values, 4));
        let rows = all(&labels);
        for strength in [1.0, 0.1, 1e-3] {
            let problem = features.problem(&rows, &labels, 3, strength);
            let mut weights = vec![0.0; 5 * 3];
            problem.minimise(&mut weights, TOLERANCE);
            let mut gradient = vec![0.0; weights.len()];
            problem.value(&weights, &mut gradient);
            assert!(gradient.iter().all(|g| g.abs() <= TOLERANCE), "{gradient:?}");
            let scale = weights.iter().fold(0.0f64, |m, w| m.max(w.abs()));
            for (found, exact) in weights.iter().zip(newton(&problem)) {
                assert!((found - exact).abs() < 1e-3 * scale, "λ = {strength}: {found} for {exact}");
            }
        }
    }

    #[test]
    fn reduced_features_are_the_leading_axes_in_the_same_scale() {
        let (values, _) = blobs(400, 12, 3, 0.7, 1);
        let rows = Rows::new(&values, 12);
        let (whole, part) = (ProbeFeatures::new(rows), ProbeFeatures::reduced(rows, 4));
        assert_eq!((part.train.axes, part.train.rows), (4, 400));
        for row in 0..400 {
            for axis in 0..4 {
                let [a, b] = [(&whole.train, 12), (&part.train, 4)].map(|(c, axes)| c.values[row * axes + axis].abs());
                assert!((a - b).abs() < 1e-3, "row {row}, axis {axis}: {a} and {b}");
            }
        }
    }

    #[test]
    fn gradients_are_differences_of_values() {
        let (values, labels) = blobs(300, 6, 4, 0.5, 2);
        let features = ProbeFeatures::new(Rows::new(&values, 6));
        let rows: Vec<u32> = (0..300).filter(|row| row % 7 != 0).collect();
        let problem = features.problem(&rows, &labels, 4, 0.05);
        let mut random = rng(3);
        let weights: Vec<f64> = (0..28).map(|_| f64::from(random.normal())).collect();
        let (mut gradient, mut unused) = (vec![0.0; 28], vec![0.0; 28]);
        problem.value(&weights, &mut gradient);
        for i in 0..28 {
            let mut at = |change: f64| {
                let mut weights = weights.clone();
                weights[i] += change;
                problem.value(&weights, &mut unused)
            };
            let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
            assert!((difference - gradient[i]).abs() < 2e-4, "{i}: {difference} {}", gradient[i]);
        }
    }

    #[test]
    fn features_are_standardised_and_their_axes_are_a_rotation() {
        let (values, _) = blobs(200, 5, 2, 2.0, 4);
        // Scaling and shifting a feature must not matter; a constant one must not either.
        let changed: Vec<f32> =
            values.chunks(5).flat_map(|r| [100.0 * r[0] - 7.0, r[1], 0.01 * r[2], r[3], r[4] + 50.0, 3.3]).collect();
        let (plain, changed_rows) = (Rows::new(&values, 5), Rows::new(&changed, 6));
        let coordinates = [ProbeFeatures::new(plain).train, ProbeFeatures::new(changed_rows).train];
        assert_eq!([coordinates[0].axes, coordinates[1].axes], [5, 5]);
        for (a, b) in coordinates[0].values.iter().zip(&coordinates[1].values) {
            assert!((a - b).abs() < 1e-3, "{a} {b}");
        }
        let total: f64 = coordinates[0].values.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((total / 1000.0 - 1.0).abs() < 1e-5, "five features of variance 1, rotated: {total}");
    }

    #[test]
    fn separable_classes_are_told_apart_with_few_labels() {
        let (values, labels) = blobs(400, 8, 4, 8.0, 5);
        let (test, test_labels) = blobs(100, 8, 4, 8.0, 6);
        let features = ProbeFeatures::new(Rows::new(&values, 8));
        let test = features.coordinates(Rows::new(&test, 8));
        for per_class in [1, 2, 10, 100] {
            let rows: Vec<u32> = (0..4 * per_class).collect();
            let probe = features.fit(&rows, &labels, 4, rng(7));
            let found = accuracy(&probe.predict(&test), &test_labels);
            assert!(found >= 0.99, "{per_class} labels per class: {found}");
            assert!(per_class > 1 || probe.strength == DEFAULT_STRENGTH);
        }
    }

    #[test]
    fn noise_is_regularised_and_signal_is_not() {
        let strength = |distance: f32| {
            let (values, labels) = blobs(300, 40, 3, distance, 8);
            ProbeFeatures::new(Rows::new(&values, 40)).fit(&all(&labels), &labels, 3, rng(9)).strength
        };
        assert!(strength(0.0) >= 0.3 && strength(3.0) <= 0.03, "{} {}", strength(0.0), strength(3.0));
    }

    #[test]
    fn constant_features_and_single_classes_are_no_trouble() {
        let labels = [0, 1, 1, 0, 1];
        let features = ProbeFeatures::new(Rows::new(&[4.0; 10], 2));
        let probe = features.fit(&all(&labels), &labels, 2, rng(10));
        assert_eq!(probe.predict(&features.coordinates(Rows::new(&[4.0; 6], 2))), [1, 1, 1]);
        let (values, _) = blobs(10, 3, 1, 0.0, 11);
        let features = ProbeFeatures::new(Rows::new(&values, 3));
        assert_eq!(features.fit(&all(&[0; 10]), &[0; 10], 1, rng(12)).predict(&features.train), [0; 10]);
    }

    #[test]
    fn held_out_parts_are_stratified_and_leave_single_labels_alone() {
        let labels: Vec<u32> = (0..103).map(|i| if i == 50 { 4 } else { i % 4 }).collect();
        let folds = held_out(&all(&labels), &labels, 5, &mut rng(13));
        assert_eq!(folds.len(), 5, "few labels are all held out in turn");
        let mut seen: Vec<u32> = folds.concat();
        seen.sort_unstable();
        assert_eq!(seen, all(&labels).into_iter().filter(|&row| row != 50).collect::<Vec<_>>());
        for fold in &folds {
            for class in 0..4 {
                let count = fold.iter().filter(|&&row| labels[row as usize] == class).count();
                assert!((5..=6).contains(&count), "{count} of class {class}");
            }
        }
        let labels = vec![0; 5000];
        assert_eq!(held_out(&all(&labels), &labels, 1, &mut rng(14)).len(), 1, "one fifth of many labels suffices");
        assert!(held_out(&[0, 1], &[0, 1], 2, &mut rng(15)).is_empty());
    }

    #[test]
    fn threads_leave_every_bit() {
        let (values, labels) = blobs(3000, 20, 5, 0.4, 16);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| ProbeFeatures::new(Rows::new(&values, 20)).fit(&all(&labels), &labels, 5, rng(17)))
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn the_affine_map_gives_the_classes_that_the_probe_gives() {
        let (values, labels) = blobs(120, 7, 3, 1.0, 21);
        let rows = Rows::new(&values, 7);
        let features = ProbeFeatures::new(rows);
        let probe = features.fit(&all(&labels), &labels, 3, rng(22));
        let (weights, biases) = features.affine(&probe);
        let classes = rows.values.chunks_exact(7).map(|row| {
            let logit = |class: usize| {
                let product: f32 = row.iter().zip(weights[class..].iter().step_by(3)).map(|(v, w)| v * w).sum();
                product + biases[class]
            };
            argmax(&[logit(0), logit(1), logit(2)])
        });
        assert_eq!(classes.collect::<Vec<_>>(), probe.predict(&features.coordinates(rows)));
    }
}
