//! Features as a probe sees them: standardized, in the principal axes of the training features.

use crate::columns::mean_and_squares;
use crate::eigen::{Eigen, eigen};
use crate::features::Rows;
use crate::matmul::{Strided, gram, matmul};
use crate::pca::Pca;
use rayon::prelude::*;
use selfsame_base::DataError;

/// Rows that a task standardizes at a time.
const BLOCK: usize = 256;

/// Features, standardized, in the principal axes of the training features.
pub struct Coordinates {
    /// `[rows, axes]`
    pub(super) values: Vec<f32>,
    pub(super) rows: usize,
    pub(super) axes: usize,
}

/// The training features, and the map that made [`Coordinates`] of them.
pub struct ProbeFeatures {
    /// `[dim]`
    pub(super) mean: Vec<f64>,
    /// `[dim]`: one over the standard deviation, 0 where a feature does not vary.
    pub(super) scale: Vec<f64>,
    /// `[axes, dim]`
    pub(super) axes: Vec<f32>,
    /// `[axes]`: variance along each axis.
    pub(super) variances: Vec<f64>,
    pub(super) train: Coordinates,
}

impl Coordinates {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

impl ProbeFeatures {
    /// Width of the features.
    pub fn dim(&self) -> usize {
        self.mean.len()
    }

    /// Prepares the features of all training samples, labeled or not, `[rows, dim]`.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn new(train: Rows) -> Result<Self, DataError> {
        Self::along(train, |mean, scale| {
            let mut correlation = gram(train, mean, Some(scale));
            correlation.iter_mut().for_each(|v| *v /= train.len() as f64);
            let Eigen { values, vectors } = eigen(correlation, train.dim);
            (vectors.iter().map(|&v| v as f32).collect(), values)
        })
    }

    /// As [`new`](Self::new), but along the `most` leading axes alone, which bounds the cost of wide features.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn reduced(train: Rows, most: usize) -> Result<Self, DataError> {
        Self::along(train, |mean, scale| {
            let used = train.len().min(Pca::FIT_ROWS);
            let rows = (0..used).map(|i| train.row(i * train.len() / used));
            let standard: Vec<f32> = rows.flat_map(|row| standardized(row, mean, scale)).collect();
            let pca = Pca::of_finite(Rows::new(&standard, train.dim), most);
            (pca.components, pca.variances)
        })
    }

    /// `find` gives axes `[axes, dim]` and variances along them, largest first, for a mean and a scale.
    fn along(train: Rows, find: impl FnOnce(&[f64], &[f64]) -> (Vec<f32>, Vec<f64>)) -> Result<Self, DataError> {
        train.check_finite("the training features of a probe")?;
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
        features.train = features.standardized_along_axes(train);
        Ok(features)
    }

    /// Coordinates of other features, `[rows, dim]`, such as those of the test samples.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn coordinates(&self, rows: Rows) -> Result<Coordinates, DataError> {
        rows.check_finite("the features that a probe is to classify")?;
        Ok(self.standardized_along_axes(rows))
    }

    fn standardized_along_axes(&self, rows: Rows) -> Coordinates {
        let (dim, axes) = (self.mean.len(), self.variances.len());
        assert_eq!(rows.dim, dim, "features of another width");
        let map = Strided::new(&self.axes, axes, dim).t();
        let mut values = vec![0.0; rows.len() * axes];
        let blocks = values.par_chunks_mut((BLOCK * axes).max(1)).zip(rows.values.par_chunks(BLOCK * dim));
        blocks.for_each_init(Vec::new, |standard, (values, rows)| {
            standard.clear();
            for row in rows.chunks_exact(dim) {
                standard.extend(standardized(row, &self.mean, &self.scale));
            }
            matmul(Strided::new(standard, rows.len() / dim, dim), map, values);
        });
        Coordinates { values, rows: rows.len(), axes }
    }
}

/// `(row − mean) ⊙ scale`
fn standardized<'a>(row: &'a [f32], mean: &'a [f64], scale: &'a [f64]) -> impl Iterator<Item = f32> + 'a {
    row.iter().zip(mean.iter().zip(scale)).map(|(&v, (m, s))| ((f64::from(v) - m) * s) as f32)
}
