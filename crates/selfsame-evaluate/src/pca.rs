//! Principal components: the orthogonal directions of largest variance.

use crate::columns::mean_and_squares;
use crate::eigen::{Eigen, leading};
use crate::features::Rows;
use crate::matmul::{Strided, gram, par_matmul};
use selfsame_base::DataError;

/// Widest rows whose covariance matrix is formed; wider ones go through products of fewer rows with each other.
const COVARIANCE_DIM: usize = 4096;

/// A linear map onto the leading principal components.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[dim]`
    pub mean: Vec<f64>,
    /// `[components, dim]`: orthonormal rows, that of largest variance first.
    pub components: Vec<f32>,
    /// `[components]`: variance along each of them.
    pub variances: Vec<f64>,
}

impl Pca {
    /// Rows from which components are estimated, evenly spaced: sixteen for each of a thousand components.
    pub const FIT_ROWS: usize = 16_384;

    /// The `count` leading components of `rows`, fewer where rows or dimensions are fewer.
    ///
    /// At most 16,384 evenly spaced rows are used (4,096 when they are wider than that). Up to 1,536 dimensions the
    /// components are exact; beyond, variances are within about a percent (see `eigen::leading`).
    ///
    /// # Shapes
    /// `rows: [rows, dim]`
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn fit(rows: Rows, count: usize) -> Result<Self, DataError> {
        rows.check_finite("the features of which principal components are sought")?;
        Ok(Self::of_finite(rows, count))
    }

    /// [`fit`](Self::fit) of rows that are known to be finite.
    pub(crate) fn of_finite(rows: Rows, count: usize) -> Self {
        let dim = rows.dim;
        let used = rows.len().min(if dim > COVARIANCE_DIM { COVARIANCE_DIM } else { Self::FIT_ROWS });
        let some: Vec<f32>;
        let chosen = if used == rows.len() {
            rows
        } else {
            some = (0..used).flat_map(|i| rows.row(i * rows.len() / used)).copied().collect();
            Rows::new(&some, dim)
        };
        let (mean, _) = mean_and_squares(chosen);
        let count = count.min(dim).min(used.saturating_sub(1));
        let Eigen { values, vectors } = if used < dim {
            // X Xᵀ = U Λ Uᵀ gives the components Λ^(−1/2) Uᵀ X.
            let values = chosen.values.chunks_exact(dim);
            let centered: Vec<f64> =
                values.flat_map(|row| row.iter().zip(&mean).map(|(&v, m)| f64::from(v) - m)).collect();
            let centered = Strided::new(&centered, used, dim);
            let mut products = vec![0.0; used * used];
            par_matmul(centered, centered.t(), &mut products);
            let Eigen { values, vectors } = leading(products, used, count);
            let mut turned = vec![0.0; values.len() * dim];
            par_matmul(Strided::new(&vectors, values.len(), used), centered, &mut turned);
            for (component, value) in turned.chunks_exact_mut(dim).zip(&values) {
                let norm = value.max(f64::MIN_POSITIVE).sqrt();
                component.iter_mut().for_each(|v| *v /= norm);
            }
            Eigen { values, vectors: turned }
        } else {
            leading(gram(chosen, &mean, None), dim, count)
        };
        // Directions without variance have no meaning, and none is lost with them.
        let kept = values.iter().take_while(|&&v| v > 1e-12 * values[0]).count();
        Self {
            mean,
            components: vectors[..kept * dim].iter().map(|&v| v as f32).collect(),
            variances: values[..kept].iter().map(|v| v / used as f64).collect(),
        }
    }

    /// Coordinates of `rows`, `[rows, dim]`, along the components: `[rows, components]`.
    pub fn apply(&self, rows: Rows) -> Vec<f32> {
        let (dim, count) = (self.mean.len(), self.variances.len());
        let components = Strided::new(&self.components, count, dim);
        let mut coordinates = vec![0.0; rows.len() * count];
        par_matmul(rows.into(), components.t(), &mut coordinates);
        // The mean is taken off here, so that wide rows need no second copy.
        let mean: Vec<f32> = self.mean.iter().map(|&m| m as f32).collect();
        let mut origin = vec![0.0; count];
        par_matmul(Strided::new(&mean, 1, dim), components.t(), &mut origin);
        for row in coordinates.chunks_exact_mut(count.max(1)) {
            row.iter_mut().zip(&origin).for_each(|(v, o)| *v -= o);
        }
        coordinates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    #[test]
    fn components_keep_the_variance_and_the_distances() {
        let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
        // Variance 100, 25, 4 along three fixed orthogonal directions, and a mean far from the origin; narrow and wide,
        // with more and with fewer rows than dimensions.
        for (count, dim) in [(400, 12), (60, 100), (40, 5000)] {
            let direction = |k: usize, j: usize| if j % 4 == k { (4.0 / dim as f32).sqrt() } else { 0.0 };
            let values: Vec<f32> = (0..count)
                .flat_map(|_| {
                    let along = [10.0, 5.0, 2.0].map(|s| s * rng.normal());
                    (0..dim)
                        .map(move |j| 30.0 + (0..3).map(|k| along[k] * direction(k, j)).sum::<f32>())
                        .collect::<Vec<_>>()
                })
                .collect();
            let rows = Rows::new(&values, dim);
            let pca = Pca::fit(rows, 3).unwrap();
            assert_eq!(pca.variances.len(), 3);
            let coordinates = pca.apply(rows);
            let distance = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
            for (i, j) in [(0, 1), (5, 17), (20, 39)] {
                let exact = distance(rows.row(i), rows.row(j));
                let kept = distance(&coordinates[3 * i..][..3], &coordinates[3 * j..][..3]);
                // The mean is a hundred times the deviations, and f32 has seven digits.
                assert!((kept / exact - 1.0).abs() < 1e-3, "{count}×{dim}: {kept} for {exact}");
            }
            for k in 0..3 {
                let column = coordinates.iter().skip(k).step_by(3).map(|&v| f64::from(v));
                let (mean, square) =
                    column.fold((0.0, 0.0), |(m, s), v| (m + v / count as f64, s + v * v / count as f64));
                assert!(
                    mean.abs() < 1e-2 && (square / pca.variances[k] - 1.0).abs() < 1e-3,
                    "{count}×{dim}: {mean} {square}"
                );
            }
        }
    }

    #[test]
    fn there_are_no_more_components_than_variance() {
        let values: Vec<f32> = (0..50).flat_map(|i| [i as f32, 2.0 * i as f32, 7.0]).collect();
        let found = |values: &[f32]| Pca::fit(Rows::new(values, 3), 3).map(|pca| pca.variances.len());
        assert_eq!(found(&values).unwrap(), 1);
        assert_eq!(found(&[1.0; 30]).unwrap(), 0);
        assert_eq!(found(&[]).unwrap(), 0);
        assert!(found(&[f32::NAN; 3]).unwrap_err().to_string().contains("row 0"));
    }
}
