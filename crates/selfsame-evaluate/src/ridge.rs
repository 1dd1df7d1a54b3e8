//! Ridge regression, and what it says of rows that it has not seen: the share of variance explained.
//!
//! In the principal axes `T` of the training features, with `s` the squared lengths of their columns, the weights are
//! `Tᵀ y / (s + λ)`. For every target `λ` is that of [`STRENGTHS`], in units of the mean `s`, with the least squared error
//! when each training row in turn is left out (Allen 1974): `eᵢ / (1 − 1/n − Σₖ T²ᵢₖ / (sₖ + λ))`.

use crate::columns::mean_and_squares;
use crate::features::Rows;
use crate::matmul::{Strided, par_matmul};
use crate::pca::Pca;

/// Strengths `λ` that are tried, in units of the mean squared length of an axis.
const STRENGTHS: [f64; 9] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0];

/// For every target, the sums of squares on the test rows: left over by the regression, and about the training mean.
pub(crate) struct HeldOut {
    residual: Vec<f64>,
    total: Vec<f64>,
}

impl HeldOut {
    /// `R²` of some targets together, each by its variance.
    pub(crate) fn r2_of(&self, targets: std::ops::Range<usize>) -> f64 {
        share(self.residual[targets.clone()].iter().sum(), self.total[targets].iter().sum())
    }
}

/// 1 is perfect, 0 is what the mean explains, worse than the mean is below. What does not vary cannot be predicted: 0.
fn share(residual: f64, total: f64) -> f64 {
    if total > 0.0 { 1.0 - residual / total } else { 0.0 }
}

/// Fits ridge regressions of `targets` on `features` in the training rows and tries them on the test rows.
///
/// # Shapes
/// Features `[rows, dim]`, targets `[rows, targets]`, all finite; at most 16,384 training rows.
pub(crate) fn held_out(train: [Rows; 2], test: [Rows; 2]) -> HeldOut {
    let [features, targets] = train;
    let (count, outputs) = (features.len(), targets.dim);
    assert!(count == targets.len() && test[0].len() == test[1].len(), "a target per row");
    let (means, _) = mean_and_squares(targets);
    let pca = Pca::of_finite(features, features.dim);
    let axes = pca.variances.len();
    let totals = (0..outputs)
        .map(|j| test[1].values.iter().skip(j).step_by(outputs).map(|&v| (f64::from(v) - means[j]).powi(2)).sum())
        .collect();
    if axes == 0 {
        let total: Vec<f64> = totals;
        return HeldOut { residual: total.clone(), total };
    }
    let coordinates: Vec<f64> = pca.apply(features).into_iter().map(f64::from).collect();
    let lengths: Vec<f64> = pca.variances.iter().map(|v| v * count as f64).collect();
    let mean_length = lengths.iter().sum::<f64>() / axes as f64;
    let centered: Vec<f64> = targets
        .values
        .chunks_exact(outputs)
        .flat_map(|row| row.iter().zip(&means).map(|(&v, m)| f64::from(v) - m))
        .collect();
    let t = Strided::new(&coordinates, count, axes);
    let mut moments = vec![0.0; axes * outputs];
    par_matmul(t.t(), Strided::new(&centered, count, outputs), &mut moments);

    let mut best = vec![(f64::INFINITY, 0.0); outputs];
    let mut fitted = vec![0.0; count * outputs];
    for strength in STRENGTHS.map(|strength| strength * mean_length) {
        par_matmul(t, Strided::new(&weights(&moments, &lengths, |_| strength), axes, outputs), &mut fitted);
        let mut errors = vec![0.0; outputs];
        for (row, along) in coordinates.chunks_exact(axes).enumerate() {
            let leverage: f64 = along.iter().zip(&lengths).map(|(v, s)| v * v / (s + strength)).sum();
            let rest = (1.0 - 1.0 / count as f64 - leverage).max(1e-9);
            for (j, error) in errors.iter_mut().enumerate() {
                *error += ((centered[row * outputs + j] - fitted[row * outputs + j]) / rest).powi(2);
            }
        }
        for (best, error) in best.iter_mut().zip(errors).filter(|(best, error)| *error < best.0) {
            *best = (error, strength);
        }
    }
    let weights = weights(&moments, &lengths, |output| best[output].1);
    let along: Vec<f64> = pca.apply(test[0]).into_iter().map(f64::from).collect();
    let mut predicted = vec![0.0; test[0].len() * outputs];
    par_matmul(Strided::new(&along, test[0].len(), axes), Strided::new(&weights, axes, outputs), &mut predicted);
    let mut residual = vec![0.0; outputs];
    for (predicted, truth) in predicted.chunks_exact(outputs).zip(test[1].values.chunks_exact(outputs)) {
        for j in 0..outputs {
            residual[j] += (f64::from(truth[j]) - means[j] - predicted[j]).powi(2);
        }
    }
    HeldOut { residual, total: totals }
}

/// `[axes, outputs]`: moments over `length + λ`.
fn weights(moments: &[f64], lengths: &[f64], strength: impl Fn(usize) -> f64) -> Vec<f64> {
    let outputs = moments.len() / lengths.len();
    moments.iter().enumerate().map(|(i, m)| m / (lengths[i / outputs] + strength(i % outputs))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    #[test]
    fn what_is_linear_is_explained_and_what_is_noise_is_not() {
        let (rows, dim) = (600, 8);
        let mut rng = StreamRng::new(5, Purpose::Survey, 0, 0, 0);
        let x: Vec<f32> = (0..rows * dim).map(|_| rng.normal() + 3.0).collect();
        // Linear; linear with as much noise again; noise; constant.
        let y: Vec<f32> = x
            .chunks_exact(dim)
            .flat_map(|x| {
                let linear = 2.0 * x[0] - x[3] + 5.0;
                [linear, linear + 5f32.sqrt() * rng.normal(), rng.normal(), 4.0]
            })
            .collect();
        let (x, y) = (Rows::new(&x, dim), Rows::new(&y, 4));
        let found = held_out([x.slice(0, 400), y.slice(0, 400)], [x.slice(400, 200), y.slice(400, 200)]);
        let r2: Vec<f64> = (0..4).map(|target| found.r2_of(target..target + 1)).collect();
        assert!(r2[0] > 0.9999, "{r2:?}");
        // √(4/200) is the standard error of a variance by its expectation; three of them.
        assert!((r2[1] - 0.5).abs() < 0.15 && r2[2].abs() < 0.05, "{r2:?}");
        assert_eq!(r2[3], 0.0);
        // The targets' variances are 5, 10, 1 and 0; 5 + 5 of these 16 are explained.
        assert!((found.r2_of(0..4) - 10.0 / 16.0).abs() < 0.1, "{}", found.r2_of(0..4));
    }

    #[test]
    fn more_dimensions_than_rows_predict_no_noise() {
        let (rows, dim) = (60, 200);
        let mut rng = StreamRng::new(6, Purpose::Survey, 0, 0, 0);
        let x: Vec<f32> = (0..rows * dim).map(|_| rng.normal()).collect();
        let y: Vec<f32> = (0..rows).map(|_| rng.normal()).collect();
        let (x, y) = (Rows::new(&x, dim), Rows::new(&y, 1));
        let r2 = held_out([x.slice(0, 40), y.slice(0, 40)], [x.slice(40, 20), y.slice(40, 20)]).r2_of(0..1);
        assert!(r2 < 0.2, "{r2}");
        let constant = [1.0; 40];
        let flat = Rows::new(&constant, 1);
        assert_eq!(held_out([flat, y.slice(0, 40)], [flat.slice(0, 20), y.slice(40, 20)]).r2_of(0..1), 0.0);
    }
}
