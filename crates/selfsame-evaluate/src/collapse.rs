//! Has the representation collapsed? Statistics of embeddings that need neither labels nor views.
//!
//! A Siamese objective without negatives, decorrelation or a stop-gradient is minimized by a constant (*complete*
//! collapse); some objectives leave embeddings in a subspace of few dimensions (*dimensional* collapse: Jing, Vincent,
//! LeCun, Tian 2022). With embeddings `z`, their mean `μ`, unit vectors `u = z / ‖z‖` and singular values `σ` of the
//! matrix of embeddings:
//!
//! | statistic | definition | healthy |
//! | --- | --- | --- |
//! | `std` | mean over dimensions of the standard deviation of `u`, times `√dim` (Chen & He 2021, fig. 2) | near 1 |
//! | `mean_cosine` | mean of `uᵢ·uⱼ` over pairs `i ≠ j` | near 0 |
//! | `centered_norm_ratio` | `√(mean ‖z − μ‖² / mean ‖z‖²)` | near 1 |
//! | `effective_rank` | `exp(−Σ pₖ ln pₖ)`, `pₖ = σₖ / Σ σ` (RankMe: Garrido et al. 2023), uncentered | a good part of `dim` |
//! | `centered_effective_rank` | the same of `z − μ` | a good part of `dim` |
//! | `dead_share` | share of dimensions whose standard deviation is under 1 % of the root mean square of all | 0 |
//! | `uniformity` | `ln mean exp(−2 ‖uᵢ − uⱼ‖²)` over pairs `i ≠ j` (Wang & Isola 2020) | near −4 |
//! | `spectrum` | eigenvalues of the covariance, descending, as shares of their sum (Jing et al. 2022, fig. 2) | a slope without a cliff |
//!
//! RankMe adds `ε ≤ 1e-7` to each `pₖ`; here `0 ln 0 = 0` and `ε` is 0, which differs by under `2e-6 · dim` in the
//! logarithm. Singular values come from a Gram matrix in `f64`, so those under about `1e-8` of the largest are noise.

use crate::columns::mean_and_squares;
use crate::eigen::eigenvalues;
use crate::features::Rows;
use crate::knn::unit_rows;
use crate::matmul::{Strided, gram, matmul, par_matmul};
use rayon::prelude::*;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};

/// Samples over which `uniformity` is taken, evenly spaced: its cost grows with their square.
const UNIFORMITY_SAMPLES: usize = 2048;
/// Rows that one task takes at a time.
const BLOCK: usize = 256;
/// A dimension is dead when its standard deviation is under this share of the root mean square of all.
const DEAD: f64 = 0.01;

/// Statistics of embeddings. See the [module](self) for definitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Rows.
    pub samples: usize,
    /// Width of a row.
    pub dim: usize,
    /// Standard deviation of the unit vectors, times `√dim`: 1 is isotropic, 0 is constant.
    pub std: f64,
    /// Mean cosine between two different samples.
    pub mean_cosine: f64,
    /// Root mean square of the centered rows over that of the rows.
    pub centered_norm_ratio: f64,
    /// Effective rank, uncentered, as RankMe defines it.
    pub effective_rank: f64,
    /// Effective rank of the centered rows.
    pub centered_effective_rank: f64,
    /// Share of dimensions that hardly vary.
    pub dead_share: f64,
    /// Logarithm of the mean Gaussian potential; −4 is about as uniform as it gets in many dimensions.
    pub uniformity: f64,
    /// Eigenvalues of the covariance, descending, as shares of their sum; all 0 where nothing varies.
    /// `[min(dim, samples)]`.
    #[serde(default)]
    pub spectrum: Vec<f64>,
}

/// The largest rank that can be asked of `samples` centered rows of width `dim`, made of rows of width `source`: a projector's
/// layers bend what they are given, and hardly add a dimension to it.
pub(crate) fn largest_rank(dim: usize, source: usize, samples: usize) -> usize {
    dim.min(source).min(samples.saturating_sub(1)).max(1)
}

/// What the gauge of a training run shows: the statistics that are cheap enough for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gauge {
    /// As [`Statistics::std`].
    pub std: f64,
    /// As [`Statistics::centered_effective_rank`]; at most [`Self::largest_rank`].
    pub effective_rank: f64,
    /// As [`Statistics::mean_cosine`].
    pub mean_cosine: f64,
    /// As [`Statistics::centered_norm_ratio`].
    pub centered_norm_ratio: f64,
    /// The most that can be asked of the rank: a batch shows no more dimensions than it has samples to tell apart, and an
    /// embedding hardly more than the representation that it is made of.
    pub largest_rank: usize,
}

/// The gauge of one batch of embeddings, `[samples, dim]`, made of representations of width `source`. A batch that is not finite
/// has a gauge of NaN.
pub fn gauge(embeddings: Rows, source: usize) -> Gauge {
    let moments = Moments::of(embeddings);
    let largest_rank = largest_rank(embeddings.dim, source, embeddings.len());
    if !moments.energy.is_finite() {
        let nan = f64::NAN;
        return Gauge { std: nan, effective_rank: nan, mean_cosine: nan, centered_norm_ratio: nan, largest_rank };
    }
    let singular = singular_values(embeddings, &moments.mean);
    Gauge {
        std: moments.unit_std(),
        effective_rank: effective_rank(&singular),
        mean_cosine: moments.mean_cosine(embeddings.len()),
        centered_norm_ratio: moments.centered_norm_ratio(),
        largest_rank,
    }
}

/// Statistics of embeddings, `[samples, dim]`, finite, with at least two samples.
pub fn statistics(embeddings: Rows) -> Result<Statistics, DataError> {
    let (samples, dim) = (embeddings.len(), embeddings.dim);
    if samples < 2 {
        return Err(DataError::Data(format!("a diagnosis needs at least 2 samples, received {samples}")));
    }
    embeddings.check_finite("the embeddings")?;
    let moments = Moments::of(embeddings);
    let centered = singular_values(embeddings, &moments.mean);
    let variances: Vec<f64> = moments.squares.iter().map(|s| s / samples as f64).collect();
    let typical = (variances.iter().sum::<f64>() / dim as f64).sqrt();
    let dead = variances.iter().filter(|v| v.sqrt() <= DEAD * typical).count();
    let variance: f64 = centered.iter().map(|s| s * s).sum();
    Ok(Statistics {
        samples,
        dim,
        std: moments.unit_std(),
        mean_cosine: moments.mean_cosine(samples),
        centered_norm_ratio: moments.centered_norm_ratio(),
        effective_rank: effective_rank(&singular_values(embeddings, &vec![0.0; dim])),
        centered_effective_rank: effective_rank(&centered),
        dead_share: dead as f64 / dim as f64,
        uniformity: uniformity(embeddings),
        spectrum: centered.iter().map(|s| if variance > 0.0 { s * s / variance } else { 0.0 }).collect(),
    })
}

/// First and second moments of rows and of their unit vectors.
struct Moments {
    /// `[dim]`
    mean: Vec<f64>,
    /// `[dim]`: sums of squared deviations from `mean`.
    squares: Vec<f64>,
    /// `Σ ‖z‖²`
    energy: f64,
    /// `[dim]`: mean of the unit vectors.
    unit_mean: Vec<f64>,
    /// `[dim]`: sums of squared deviations from `unit_mean`.
    unit_squares: Vec<f64>,
    /// Number of rows that are not zero.
    unit_energy: f64,
}

impl Moments {
    fn of(rows: Rows) -> Self {
        let (mean, squares) = mean_and_squares(rows);
        let energy = squares.iter().zip(&mean).map(|(s, m)| s + rows.len() as f64 * m * m).sum();
        let units = unit_rows(rows);
        let units = Rows::new(&units, rows.dim);
        let (unit_mean, unit_squares) = mean_and_squares(units);
        let unit_energy = units.values.chunks_exact(rows.dim).filter(|u| u.iter().any(|&v| v != 0.0)).count() as f64;
        Self { mean, squares, energy, unit_mean, unit_squares, unit_energy }
    }

    /// `‖Σ u‖² = Σᵢ ‖uᵢ‖² + Σ_{i≠j} uᵢ·uⱼ`, where `‖uᵢ‖` is 0 for a row of zeros.
    fn mean_cosine(&self, samples: usize) -> f64 {
        let count = samples as f64;
        let sum_squared: f64 = self.unit_mean.iter().map(|m| (m * count).powi(2)).sum();
        (sum_squared - self.unit_energy) / (count * (count - 1.0)).max(1.0)
    }

    fn centered_norm_ratio(&self) -> f64 {
        let centered: f64 = self.squares.iter().sum();
        if self.energy > 0.0 { (centered / self.energy).sqrt() } else { 0.0 }
    }

    fn unit_std(&self) -> f64 {
        let (dim, count) = (self.unit_squares.len() as f64, self.unit_energy.max(1.0));
        self.unit_squares.iter().map(|s| (s / count).sqrt()).sum::<f64>() / dim * dim.sqrt()
    }
}

/// Singular values of `rows − mean`, descending, `[min(rows, dim)]`.
///
/// They are roots of the eigenvalues of the smaller Gram matrix. Its products are taken in `f64`: with `f32` sums the
/// rounding would look like three digits of extra rank.
fn singular_values(rows: Rows, mean: &[f64]) -> Vec<f64> {
    let (count, dim) = (rows.len(), rows.dim);
    let side = count.min(dim);
    let gram = if count < dim {
        let centered: Vec<f64> = (rows.values.chunks_exact(dim))
            .flat_map(|row| row.iter().zip(mean).map(|(&v, m)| f64::from(v) - m))
            .collect();
        let (centered, mut gram) = (Strided::new(&centered, count, dim), vec![0.0; side * side]);
        par_matmul(centered, centered.t(), &mut gram);
        gram
    } else {
        gram(rows, mean, None)
    };
    eigenvalues(gram, side).into_iter().map(|v| v.max(0.0).sqrt()).collect()
}

/// Exponential of the entropy of the singular values, 0 when all are 0.
pub fn effective_rank(singular: &[f64]) -> f64 {
    let sum: f64 = singular.iter().sum();
    if sum == 0.0 {
        return 0.0;
    }
    let entropy: f64 = singular.iter().map(|s| s / sum).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
    entropy.exp()
}

fn uniformity(embeddings: Rows) -> f64 {
    let count = embeddings.len().min(UNIFORMITY_SAMPLES);
    let chosen: Vec<f32> = (0..count).flat_map(|i| embeddings.row(i * embeddings.len() / count)).copied().collect();
    let units = unit_rows(Rows::new(&chosen, embeddings.dim));
    let units = Strided::new(&units, count, embeddings.dim);
    let sums: Vec<f64> = (0..count.div_ceil(BLOCK))
        .into_par_iter()
        .map(|block| {
            let size = BLOCK.min(count - block * BLOCK);
            let mut cosines = vec![0.0f32; size * count];
            matmul(units.rows(block * BLOCK, size), units.t(), &mut cosines);
            let pairs = cosines.iter().enumerate().filter(|(at, _)| at % count != block * BLOCK + at / count);
            // ‖u − v‖² = 2 − 2 u·v
            pairs.map(|(_, &c)| (4.0 * (f64::from(c) - 1.0)).exp()).sum()
        })
        .collect();
    (sums.iter().sum::<f64>() / (count * (count - 1)) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::normals;

    /// Rows `Σₖ σₖ uₖ vₖᵀ` with `u` a discrete cosine basis (orthogonal to the constant) and `v` unit vectors.
    fn with_spectrum(rows: usize, dim: usize, singular: &[f64]) -> Vec<f32> {
        assert!(singular.len() <= dim.min(rows - 1));
        let cosine = |n: usize, k: usize, i: usize| {
            let norm = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
            norm * (std::f64::consts::PI * k as f64 * (i as f64 + 0.5) / n as f64).cos()
        };
        let at = |i: usize, j: usize| -> f64 {
            singular.iter().enumerate().map(|(k, s)| s * cosine(rows, k + 1, i) * cosine(dim, k, j)).sum()
        };
        (0..rows * dim).map(|x| at(x / dim, x % dim) as f32).collect()
    }

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} for {b}");
    }

    #[test]
    fn effective_rank_of_known_spectra() {
        let geometric: Vec<f64> = (0..40).map(|k| 100.0 * 0.8f64.powi(k)).collect();
        let steep: Vec<f64> = (0..20).map(|k| 100.0 * 0.1f64.powi(k)).collect();
        for (rows, dim) in [(300, 64), (64, 300), (65, 64)] {
            for singular in [vec![3.0; 48], vec![1.0], geometric.clone(), steep.clone()] {
                let sum: f64 = singular.iter().sum();
                let exact = singular.iter().map(|s| -s / sum * (s / sum).ln()).sum::<f64>().exp();
                let values = with_spectrum(rows, dim, &singular);
                let found = statistics(Rows::new(&values, dim)).unwrap();
                // The columns of u sum to zero, so both ranks are the same.
                close(found.centered_effective_rank, exact, 0.01);
                close(found.effective_rank, exact, 0.01);
                // Embeddings are f32, so singular values are known to about 1e-6 of the largest.
                let variance: f64 = singular.iter().map(|s| s * s).sum();
                for (share, s) in found.spectrum.iter().zip(&singular) {
                    assert!(((share * variance).sqrt() - s).abs() < 1e-6 * singular[0], "{share} for {s}");
                }
            }
        }
    }

    #[test]
    fn statistics_follow_their_definitions() {
        let (rows, dim) = (90, 7);
        let values: Vec<f32> =
            normals(rows, dim, 1).iter().enumerate().map(|(i, v)| v * (1 + i % dim) as f32 + 2.0).collect();
        let z = Rows::new(&values, dim);
        let found = statistics(z).unwrap();
        let unit = |rows: Rows, i: usize| -> Vec<f64> {
            let row: Vec<f64> = rows.row(i).iter().map(|&v| f64::from(v)).collect();
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter().map(|v| v / norm).collect()
        };
        let u: Vec<Vec<f64>> = (0..rows).map(|i| unit(z, i)).collect();
        let pairs = || (0..rows).flat_map(|i| (0..rows).filter(move |&j| j != i).map(move |j| (i, j)));
        let cosine = |i: usize, j: usize| -> f64 { (0..dim).map(|d| u[i][d] * u[j][d]).sum() };
        let count = pairs().count() as f64;
        close(found.mean_cosine, pairs().map(|(i, j)| cosine(i, j)).sum::<f64>() / count, 1e-5);
        let potential = pairs().map(|(i, j)| (-2.0 * (2.0 - 2.0 * cosine(i, j))).exp()).sum::<f64>() / count;
        close(found.uniformity, potential.ln(), 1e-5);
        let spread = |d: usize| {
            let mean = u.iter().map(|u| u[d]).sum::<f64>() / rows as f64;
            (u.iter().map(|u| (u[d] - mean).powi(2)).sum::<f64>() / rows as f64).sqrt()
        };
        close(found.std, (0..dim).map(spread).sum::<f64>() / dim as f64 * (dim as f64).sqrt(), 1e-5);
        close(found.spectrum.iter().sum(), 1.0, 1e-9);
        let gauge = gauge(z, 5);
        assert_eq!((gauge.std, gauge.effective_rank), (found.std, found.centered_effective_rank));
        assert_eq!(
            (gauge.mean_cosine, gauge.centered_norm_ratio, gauge.largest_rank),
            (found.mean_cosine, found.centered_norm_ratio, 5)
        );
    }

    #[test]
    fn threads_leave_every_bit() {
        let values = normals(3000, 48, 9);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| statistics(Rows::new(&values, 48)).unwrap())
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let error = |values: &[f32]| statistics(Rows::new(values, 2)).unwrap_err().to_string();
        assert!(error(&[1.0, 2.0]).contains("at least 2 samples, received 1"));
        assert!(error(&[1.0, 2.0, 3.0, f32::NAN]).contains("row 1"));
        assert!(gauge(Rows::new(&[1.0, f32::INFINITY, 0.0, 1.0], 2), 2).std.is_nan());
    }
}
