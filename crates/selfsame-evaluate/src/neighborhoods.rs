//! Which samples lie near each other, which lie apart, and which are labeled unlike their neighbors.

use crate::features::Rows;
use crate::knn::Neighbors;
use selfsame_base::DataError;

/// Neighbors by which density is told.
pub(crate) const DENSITY_NEIGHBORS: usize = 10;

/// The neighbors of every row.
pub(crate) struct Neighborhoods {
    /// Of each row, its neighbors without itself, nearest first, with their cosines.
    pub neighbors: Vec<Vec<(usize, f32)>>,
    /// Of each row, the mean cosine with its neighbors.
    pub density: Vec<f32>,
}

impl Neighborhoods {
    /// The neighborhoods among `units`, rows of length 1.
    pub(crate) fn find(units: Rows) -> Result<Self, DataError> {
        let nearest = Neighbors::find(units, units, DENSITY_NEIGHBORS + 1)?;
        let neighbors: Vec<Vec<(usize, f32)>> = (0..units.len())
            .map(|row| {
                let pairs =
                    nearest.indices[row * nearest.k..][..nearest.k].iter().zip(&nearest.cosines[row * nearest.k..]);
                let others = pairs.map(|(&index, &cosine)| (index as usize, cosine)).filter(|pair| pair.0 != row);
                others.take(DENSITY_NEIGHBORS).collect()
            })
            .collect();
        let density =
            neighbors.iter().map(|n| n.iter().map(|pair| pair.1).sum::<f32>() / n.len().max(1) as f32).collect();
        Ok(Self { neighbors, density })
    }

    /// Rows by density, the densest first.
    pub(crate) fn by_density(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.density.len()).collect();
        order.sort_by(|&a, &b| self.density[b].total_cmp(&self.density[a]).then(a.cmp(&b)));
        order
    }

    /// The densest row of each cluster, then the second of each, and so on; `count` in all.
    pub(crate) fn typical(&self, clusters: &[u32], count: usize) -> Vec<usize> {
        let mut taken = vec![0usize; clusters.iter().max().map_or(0, |&largest| largest as usize + 1)];
        let mut ranked = Vec::new();
        for row in self.by_density() {
            let cluster = clusters[row] as usize;
            ranked.push((taken[cluster], row));
            taken[cluster] += 1;
        }
        ranked.sort_by_key(|(place, _)| *place);
        ranked.into_iter().map(|(_, row)| row).take(count).collect()
    }

    /// Up to `count` rows of which most neighbors have another label, with the share of those: the most disputed first, of
    /// equals the one with the densest neighborhood.
    pub(crate) fn disputed(&self, labels: &[u32], count: usize) -> Vec<(usize, f32)> {
        let share = |row: usize| {
            let neighbors = &self.neighbors[row];
            let other = neighbors.iter().filter(|pair| labels[pair.0] != labels[row]).count();
            other as f32 / neighbors.len().max(1) as f32
        };
        let mut rows: Vec<(usize, f32)> =
            (0..labels.len()).map(|row| (row, share(row))).filter(|r| r.1 > 0.5).collect();
        rows.sort_by(|a, b| {
            b.1.total_cmp(&a.1).then(self.density[b.0].total_cmp(&self.density[a.0])).then(a.0.cmp(&b.0))
        });
        rows.truncate(count);
        rows
    }
}
