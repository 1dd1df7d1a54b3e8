//! Has the representation collapsed? Statistics of embeddings that need no labels, and a verdict in words.
//!
//! A Siamese objective without negatives, decorrelation or a stop-gradient is minimised by a constant (*complete*
//! collapse); some objectives leave embeddings in a subspace of few dimensions (*dimensional* collapse: Jing, Vincent,
//! LeCun, Tian 2022). With embeddings `z`, their mean `μ`, unit vectors `u = z / ‖z‖` and singular values `σ` of the
//! matrix of embeddings:
//!
//! | statistic | definition | healthy |
//! | --- | --- | --- |
//! | `std` | mean over dimensions of the standard deviation of `u`, times `√dim` (Chen & He 2021, fig. 2) | near 1 |
//! | `mean_cosine` | mean of `uᵢ·uⱼ` over pairs `i ≠ j` | near 0 |
//! | `centred_norm_ratio` | `√(mean ‖z − μ‖² / mean ‖z‖²)` | near 1 |
//! | `effective_rank` | `exp(−Σ pₖ ln pₖ)`, `pₖ = σₖ / Σ σ` (RankMe: Garrido et al. 2023), uncentred | a good part of `dim` |
//! | `centred_effective_rank` | the same of `z − μ` | a good part of `dim` |
//! | `dead_share` | share of dimensions whose standard deviation is under 1 % of the root mean square of all | 0 |
//! | `uniformity` | `ln mean exp(−2 ‖uᵢ − uⱼ‖²)` over pairs `i ≠ j` (Wang & Isola 2020) | near −4 |
//! | `alignment` | `mean ‖u − u⁺‖²` over positive pairs (Wang & Isola 2020) | near 0 |
//!
//! RankMe adds `ε ≤ 1e-7` to each `pₖ`; here `0 ln 0 = 0` and `ε` is 0, which differs by under `2e-6 · dim` in the
//! logarithm. Singular values come from a Gram matrix in `f64`, so those under about `1e-8` of the largest are noise.

use super::knn::unit_rows;
use super::matmul::{Matrix, gram, matmul, par_matmul};
use super::symmetric::eigenvalues;
use crate::DataError;
use crate::features::Rows;
use rayon::prelude::*;
use serde::Serialize;

/// Samples over which `uniformity` is taken, evenly spaced: its cost grows with their square.
const UNIFORMITY_SAMPLES: usize = 2048;
/// Rows that one task takes at a time.
const BLOCK: usize = 256;
/// A dimension is dead when its standard deviation is under this share of the root mean square of all.
const DEAD: f64 = 0.01;

/// What a diagnosis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// All samples have nearly the same embedding.
    CompleteCollapse,
    /// Embeddings differ, but in few dimensions.
    DimensionalCollapse,
    /// Neither.
    Healthy,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::CompleteCollapse => "complete collapse",
            Self::DimensionalCollapse => "dimensional collapse",
            Self::Healthy => "healthy",
        })
    }
}

/// A bound whose crossing speaks for a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The statistic.
    pub statistic: &'static str,
    /// Which side of `bound` speaks for the verdict.
    pub side: Side,
    /// The bound.
    pub bound: f64,
    /// What it speaks for.
    pub verdict: Verdict,
    /// Why it lies there.
    pub reason: &'static str,
    value: fn(&Diagnosis) -> f64,
}

/// A side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Greater than the bound.
    Above,
    /// Less than the bound.
    Below,
}

/// Every threshold there is; the first that is crossed gives the verdict, none: healthy.
pub static THRESHOLDS: [Threshold; 4] = [
    Threshold {
        statistic: "mean pairwise cosine",
        side: Side::Above,
        bound: 0.99,
        verdict: Verdict::CompleteCollapse,
        reason: "two random samples are 8° apart or less: augmentations move an embedding further than the sample does",
        value: |d| d.mean_cosine,
    },
    Threshold {
        statistic: "centred norm / norm",
        side: Side::Below,
        bound: 0.01,
        verdict: Verdict::CompleteCollapse,
        reason: "99.99 % of the energy is one constant vector; what is left is within reach of rounding and noise",
        value: |d| d.centred_norm_ratio,
    },
    Threshold {
        statistic: "centred effective rank / min(dimensions, samples − 1)",
        side: Side::Below,
        bound: 0.1,
        verdict: Verdict::DimensionalCollapse,
        reason: "trained encoders of the literature use a third of their dimensions or more; a tenth leaves a wide margin",
        value: |d| d.centred_effective_rank / d.dim.min(d.samples - 1) as f64,
    },
    Threshold {
        statistic: "share of dead dimensions",
        side: Side::Above,
        bound: 0.5,
        verdict: Verdict::DimensionalCollapse,
        reason: "most of the width that was paid for says nothing",
        value: |d| d.dead_share,
    },
];

/// Statistics of embeddings, the verdict on them and its evidence. See the [module](self) for definitions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// Rows.
    pub samples: usize,
    /// Width of a row.
    pub dim: usize,
    /// Standard deviation of the unit vectors, times `√dim`: 1 is isotropic, 0 is constant.
    pub std: f64,
    /// Mean cosine between two different samples.
    pub mean_cosine: f64,
    /// Root mean square of the centred rows over that of the rows.
    pub centred_norm_ratio: f64,
    /// Effective rank, uncentred, as RankMe defines it.
    pub effective_rank: f64,
    /// Effective rank of the centred rows.
    pub centred_effective_rank: f64,
    /// Share of dimensions that hardly vary.
    pub dead_share: f64,
    /// Logarithm of the mean Gaussian potential; −4 is about as uniform as it gets in many dimensions.
    pub uniformity: f64,
    /// Mean squared distance of positive pairs, where there are any.
    pub alignment: Option<f64>,
    /// Eigenvalues of the (biased) covariance, descending, `[min(dim, samples)]`.
    pub spectrum: Vec<f64>,
    /// The verdict.
    pub verdict: Verdict,
    /// One line a fact: those that speak for the verdict first.
    pub evidence: Vec<String>,
}

/// What the gauge of a training run shows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gauge {
    /// As [`Diagnosis::std`].
    pub std: f64,
    /// As [`Diagnosis::centred_effective_rank`]; at most the smaller of width and rows − 1.
    pub effective_rank: f64,
}

/// The two statistics that are cheap enough for every step, of one batch of embeddings.
///
/// A batch that is not finite has a gauge of NaN.
pub fn gauge(embeddings: Rows) -> Gauge {
    let moments = Moments::of(embeddings);
    if !moments.energy.is_finite() {
        return Gauge { std: f64::NAN, effective_rank: f64::NAN };
    }
    let singular = singular_values(embeddings, &moments.mean);
    Gauge { std: moments.unit_std(), effective_rank: effective_rank(&singular) }
}

/// Diagnoses embeddings, `[samples, dim]` with at least two samples; `positives`, of the same shape, are embeddings of
/// other views of the same samples.
pub fn diagnose(embeddings: Rows, positives: Option<Rows>) -> Result<Diagnosis, DataError> {
    let (samples, dim) = (embeddings.len(), embeddings.dim);
    if samples < 2 {
        return Err(DataError::Data(format!("a diagnosis needs at least 2 samples, received {samples}")));
    }
    for rows in [Some(embeddings), positives].into_iter().flatten() {
        assert_eq!((rows.len(), rows.dim), (samples, dim), "positives of another shape");
        if let Some(row) = rows.first_not_finite() {
            return Err(DataError::Data(format!(
                "row {row} of the embeddings is not finite; the encoder has diverged"
            )));
        }
    }
    let moments = Moments::of(embeddings);
    let count = samples as f64;
    let centred = singular_values(embeddings, &moments.mean);
    let variances: Vec<f64> = moments.squares.iter().map(|s| s / count).collect();
    let typical = (variances.iter().sum::<f64>() / dim as f64).sqrt();
    let dead = variances.iter().filter(|v| v.sqrt() <= DEAD * typical).count();
    let unit_sum_squared: f64 = moments.unit_mean.iter().map(|m| (m * count).powi(2)).sum();
    let centred_energy: f64 = moments.squares.iter().sum();
    let mut diagnosis = Diagnosis {
        samples,
        dim,
        std: moments.unit_std(),
        // ‖Σ u‖² = Σᵢ ‖uᵢ‖² + Σ_{i≠j} uᵢ·uⱼ, where ‖uᵢ‖ is 0 for a row of zeros.
        mean_cosine: (unit_sum_squared - moments.unit_energy) / (count * (count - 1.0)),
        centred_norm_ratio: if moments.energy > 0.0 { (centred_energy / moments.energy).sqrt() } else { 0.0 },
        effective_rank: effective_rank(&singular_values(embeddings, &vec![0.0; dim])),
        centred_effective_rank: effective_rank(&centred),
        dead_share: dead as f64 / dim as f64,
        uniformity: uniformity(embeddings),
        alignment: positives.map(|positives| alignment(embeddings, positives)),
        spectrum: centred.iter().map(|s| s * s / count).collect(),
        verdict: Verdict::Healthy,
        evidence: Vec::new(),
    };
    diagnosis.judge();
    Ok(diagnosis)
}

impl Diagnosis {
    fn judge(&mut self) {
        let crossed = |t: &&Threshold| match t.side {
            Side::Above => (t.value)(self) > t.bound,
            Side::Below => (t.value)(self) < t.bound,
        };
        let verdict = THRESHOLDS.iter().find(crossed).map_or(Verdict::Healthy, |t| t.verdict);
        let speaking = THRESHOLDS.iter().filter(crossed).filter(|t| t.verdict == verdict);
        let mut evidence: Vec<String> = speaking
            .map(|t| {
                let side = if t.side == Side::Above { "over" } else { "under" };
                format!("{} is {:.4}, {side} {}: {}", t.statistic, (t.value)(self), t.bound, t.reason)
            })
            .collect();
        let width = self.dim.min(self.samples - 1);
        evidence.push(format!(
            "centred effective rank {:.1} of {width}, uncentred {:.1}",
            self.centred_effective_rank, self.effective_rank
        ));
        evidence.push(format!(
            "std of unit embeddings {:.3} (isotropic: 1), mean pairwise cosine {:.3}",
            self.std, self.mean_cosine
        ));
        if self.dead_share > 0.0 {
            let dead = (self.dead_share * self.dim as f64).round();
            evidence.push(format!("{dead} of {} dimensions are dead", self.dim));
        }
        (self.verdict, self.evidence) = (verdict, evidence);
    }
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

    fn unit_std(&self) -> f64 {
        let (dim, count) = (self.unit_squares.len() as f64, self.unit_energy.max(1.0));
        self.unit_squares.iter().map(|s| (s / count).sqrt()).sum::<f64>() / dim * dim.sqrt()
    }
}

/// Column means and sums of squared deviations from them, in two passes so that nothing cancels.
pub(super) fn mean_and_squares(rows: Rows) -> (Vec<f64>, Vec<f64>) {
    let sums = |term: &(dyn Fn(usize, f32) -> f64 + Sync)| -> Vec<f64> {
        let blocks: Vec<Vec<f64>> = (rows.values.par_chunks(BLOCK * rows.dim))
            .map(|block| {
                let mut sums = vec![0.0; rows.dim];
                for row in block.chunks_exact(rows.dim) {
                    (0..rows.dim).for_each(|j| sums[j] += term(j, row[j]));
                }
                sums
            })
            .collect();
        (0..rows.dim).map(|j| blocks.iter().map(|block| block[j]).sum()).collect()
    };
    let mean: Vec<f64> = sums(&|_, v| f64::from(v)).into_iter().map(|s| s / rows.len() as f64).collect();
    let squares = sums(&|j, v| (f64::from(v) - mean[j]).powi(2));
    (mean, squares)
}

/// Singular values of `rows − mean`, descending, `[min(rows, dim)]`.
///
/// They are roots of the eigenvalues of the smaller Gram matrix. Its products are taken in `f64`: with `f32` sums the
/// rounding would look like three digits of extra rank.
fn singular_values(rows: Rows, mean: &[f64]) -> Vec<f64> {
    let (count, dim) = (rows.len(), rows.dim);
    let side = count.min(dim);
    let gram = if count < dim {
        let centred: Vec<f64> = (rows.values.chunks_exact(dim))
            .flat_map(|row| row.iter().zip(mean).map(|(&v, m)| f64::from(v) - m))
            .collect();
        let (centred, mut gram) = (Matrix::new(&centred, count, dim), vec![0.0; side * side]);
        par_matmul(centred, centred.t(), &mut gram);
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

fn alignment(embeddings: Rows, positives: Rows) -> f64 {
    let (a, b) = (unit_rows(embeddings), unit_rows(positives));
    let squares = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / embeddings.len() as f64
}

fn uniformity(embeddings: Rows) -> f64 {
    let count = embeddings.len().min(UNIFORMITY_SAMPLES);
    let chosen: Vec<f32> = (0..count).flat_map(|i| embeddings.row(i * embeddings.len() / count)).copied().collect();
    let units = unit_rows(Rows::new(&chosen, embeddings.dim));
    let units = Matrix::new(&units, count, embeddings.dim);
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
    use crate::rng::{Purpose, StreamRng};

    fn rng(stream: u64) -> StreamRng {
        StreamRng::new(11, Purpose::Survey, stream, 0, 0)
    }

    fn normals(rows: usize, dim: usize, stream: u64) -> Vec<f32> {
        let mut rng = rng(stream);
        (0..rows * dim).map(|_| rng.normal()).collect()
    }

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
                let diagnosis = diagnose(Rows::new(&values, dim), None).unwrap();
                // The columns of u sum to zero, so both ranks are the same.
                close(diagnosis.centred_effective_rank, exact, 0.01);
                close(diagnosis.effective_rank, exact, 0.01);
                // Embeddings are f32, so singular values are known to about 1e-6 of the largest.
                for (variance, s) in diagnosis.spectrum.iter().zip(&singular) {
                    assert!(((variance * rows as f64).sqrt() - s).abs() < 1e-6 * singular[0], "{variance} for {s}");
                }
            }
        }
    }

    #[test]
    fn statistics_follow_their_definitions() {
        let (rows, dim) = (90, 7);
        let values: Vec<f32> =
            normals(rows, dim, 1).iter().enumerate().map(|(i, v)| v * (1 + i % dim) as f32 + 2.0).collect();
        let other = normals(rows, dim, 2);
        let (z, positives) = (Rows::new(&values, dim), Rows::new(&other, dim));
        let diagnosis = diagnose(z, Some(positives)).unwrap();
        let unit = |rows: Rows, i: usize| -> Vec<f64> {
            let row: Vec<f64> = rows.row(i).iter().map(|&v| f64::from(v)).collect();
            let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
            row.iter().map(|v| v / norm).collect()
        };
        let u: Vec<Vec<f64>> = (0..rows).map(|i| unit(z, i)).collect();
        let pairs = || (0..rows).flat_map(|i| (0..rows).filter(move |&j| j != i).map(move |j| (i, j)));
        let cosine = |i: usize, j: usize| -> f64 { (0..dim).map(|d| u[i][d] * u[j][d]).sum() };
        let count = pairs().count() as f64;
        close(diagnosis.mean_cosine, pairs().map(|(i, j)| cosine(i, j)).sum::<f64>() / count, 1e-5);
        let potential = pairs().map(|(i, j)| (-2.0 * (2.0 - 2.0 * cosine(i, j))).exp()).sum::<f64>() / count;
        close(diagnosis.uniformity, potential.ln(), 1e-5);
        let distance = |i: usize| -> f64 { (0..dim).map(|d| (u[i][d] - unit(positives, i)[d]).powi(2)).sum() };
        close(diagnosis.alignment.unwrap(), (0..rows).map(distance).sum::<f64>() / rows as f64, 1e-5);
        let spread = |d: usize| {
            let mean = u.iter().map(|u| u[d]).sum::<f64>() / rows as f64;
            (u.iter().map(|u| (u[d] - mean).powi(2)).sum::<f64>() / rows as f64).sqrt()
        };
        close(diagnosis.std, (0..dim).map(spread).sum::<f64>() / dim as f64 * (dim as f64).sqrt(), 1e-5);
        close(
            diagnosis.spectrum.iter().sum(),
            {
                let mean =
                    |d: usize| values.iter().skip(d).step_by(dim).map(|&v| f64::from(v)).sum::<f64>() / rows as f64;
                (0..dim)
                    .map(|d| values.iter().skip(d).step_by(dim).map(|&v| (f64::from(v) - mean(d)).powi(2)).sum::<f64>())
                    .sum::<f64>()
                    / rows as f64
            },
            1e-9,
        );
        let gauge = gauge(z);
        assert_eq!((gauge.std, gauge.effective_rank), (diagnosis.std, diagnosis.centred_effective_rank));
    }

    #[test]
    fn constructed_embeddings_get_their_verdict() {
        let (rows, dim) = (2000, 128);
        let judge = |values: &[f32]| diagnose(Rows::new(values, dim), None).unwrap();
        let constant = normals(1, dim, 3);
        let blend = |base: &dyn Fn(usize) -> f32, noise: f32| -> Vec<f32> {
            normals(rows, dim, 4).iter().enumerate().map(|(i, v)| base(i) + noise * v).collect()
        };

        let isotropic = judge(&blend(&|_| 0.0, 1.0));
        assert_eq!(isotropic.verdict, Verdict::Healthy, "{isotropic:?}");
        close(isotropic.std, 1.0, 0.01);
        assert!(isotropic.mean_cosine.abs() < 1e-3 && isotropic.dead_share == 0.0);

        let mut random = rng(5);
        let basis: Vec<f32> = (0..3 * dim).map(|_| random.normal()).collect();
        let rank_three: Vec<f32> = (normals(rows, 3, 6).chunks(3))
            .flat_map(|w| (0..dim).map(|j| (0..3).map(|k| w[k] * basis[k * dim + j]).sum::<f32>()).collect::<Vec<_>>())
            .collect();
        let rank_three = judge(&rank_three);
        assert_eq!(rank_three.verdict, Verdict::DimensionalCollapse, "{rank_three:?}");
        assert!(rank_three.centred_effective_rank < 3.01 && rank_three.centred_effective_rank > 2.5);

        for (noise, what) in [(0.0, "constant"), (1e-3, "constant and 0.1 % noise")] {
            let found = judge(&blend(&|i| constant[i % dim], noise));
            assert_eq!(found.verdict, Verdict::CompleteCollapse, "{what}: {found:?}");
            assert!(
                found.evidence[0].contains("0.99") && found.evidence[1].contains("centred norm"),
                "{:?}",
                found.evidence
            );
            assert!(found.std < 0.01 && (found.effective_rank - 1.0).abs() < 0.5, "{found:?}");
        }
        let zeros = judge(&vec![0.0; rows * dim]);
        assert_eq!((zeros.verdict, zeros.centred_effective_rank), (Verdict::CompleteCollapse, 0.0), "{zeros:?}");

        let other = normals(1, dim, 7);
        let clusters =
            judge(&blend(&|i| if (i / dim).is_multiple_of(2) { constant[i % dim] } else { other[i % dim] }, 1e-3));
        assert_eq!(clusters.verdict, Verdict::DimensionalCollapse, "{clusters:?}");

        let half: Vec<f32> =
            normals(rows, dim, 8).iter().enumerate().map(|(i, &v)| if i % dim < dim / 2 { 0.0 } else { v }).collect();
        let half = judge(&half);
        assert_eq!((half.verdict, half.dead_share), (Verdict::Healthy, 0.5));
        assert!(half.evidence.iter().any(|line| line == "64 of 128 dimensions are dead"), "{:?}", half.evidence);
        let most: Vec<f32> =
            normals(rows, dim, 8).iter().enumerate().map(|(i, &v)| if i % dim < 70 { 0.3 } else { v }).collect();
        let most = judge(&most);
        assert_eq!(most.verdict, Verdict::DimensionalCollapse);
        assert!(most.evidence[0].contains("dead dimensions is 0.5469, over 0.5"), "{:?}", most.evidence);
    }

    #[test]
    fn threads_leave_every_bit() {
        let values = normals(3000, 48, 9);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| diagnose(Rows::new(&values, 48), None).unwrap())
        };
        assert_eq!(run(1), run(2));
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let error = |values: &[f32]| diagnose(Rows::new(values, 2), None).unwrap_err().to_string();
        assert!(error(&[1.0, 2.0]).contains("at least 2 samples, received 1"));
        assert!(error(&[1.0, 2.0, 3.0, f32::NAN]).contains("row 1"));
        assert!(gauge(Rows::new(&[1.0, f32::INFINITY, 0.0, 1.0], 2)).std.is_nan());
    }
}
