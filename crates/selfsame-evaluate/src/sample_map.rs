//! Samples laid out in the plane.

use crate::features::Rows;
use crate::pca::Pca;
use crate::tsne::tsne;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};

/// How representations are laid out in the plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapKind {
    /// The two directions of most variance; distances are true as far as they go.
    #[default]
    Pca,
    /// Neighbors are kept together; distances between groups mean little.
    Tsne,
}

/// Places in the plane.
pub(crate) struct SampleMap {
    /// How they were found: by PCA where t-SNE is impossible.
    pub kind: MapKind,
    /// `[rows, 2]`
    pub places: Vec<[f32; 2]>,
    /// Shares of the variance along the two axes, of a PCA map.
    pub variance_shares: Option<[f64; 2]>,
}

/// Lays out `rows`, `[rows, dim]`.
pub(crate) fn sample_map(rows: Rows, kind: MapKind) -> Result<SampleMap, DataError> {
    if kind == MapKind::Tsne
        && let Some(map) = tsne(rows)?
    {
        let places = map.chunks_exact(2).map(|p| [p[0], p[1]]).collect();
        return Ok(SampleMap { kind, places, variance_shares: None });
    }
    let pca = Pca::fit(rows, 2)?;
    let coordinates = pca.apply(rows);
    let found = pca.variances.len();
    let at = |row: usize, axis: usize| if axis < found { coordinates[row * found + axis] } else { 0.0 };
    let places = (0..rows.len()).map(|row| [at(row, 0), at(row, 1)]).collect();
    let squares = (rows.values.chunks_exact(rows.dim))
        .map(|row| row.iter().zip(&pca.mean).map(|(&v, m)| (f64::from(v) - m).powi(2)).sum::<f64>());
    let total = squares.sum::<f64>() / rows.len() as f64;
    let share = |axis: usize| pca.variances.get(axis).map_or(0.0, |v| v / total.max(f64::MIN_POSITIVE));
    Ok(SampleMap { kind: MapKind::Pca, places, variance_shares: Some([share(0), share(1)]) })
}
