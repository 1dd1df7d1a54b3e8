//! A map of features by t-SNE ("Visualizing Data using t-SNE", van der Maaten & Hinton 2008), Barnes-Hut's approximation.
//!
//! It begins at the PCA map, so that the large structure is that of the data and the same every time (Kobak & Berens 2019),
//! and works on cosine neighbours, as everything else here does.

use super::knn::{Neighbours, unit_rows};
use super::pca::Pca;
use crate::features::Rows;
use bhtsne::{Neighbor, tSNE};

/// Neighbours that a sample is held to be near to, about.
const PERPLEXITY: f64 = 30.0;
/// Accuracy of Barnes-Hut: cells seen under a smaller angle count as points.
const THETA: f64 = 0.5;
const EPOCHS: usize = 1000;
/// Standard deviation of the first map along its first axis.
const INITIAL: f64 = 1e-4;

/// Places of `rows` in the plane, `[rows, 2]`: `None` of fewer than five, or where nothing varies.
pub fn tsne(rows: Rows) -> Option<Vec<f32>> {
    let count = rows.len();
    if count < 5 {
        return None;
    }
    let perplexity = PERPLEXITY.min((count - 1) as f64 / 3.0);
    let k = ((3.0 * perplexity) as usize).clamp(1, count - 1);
    let units = unit_rows(rows);
    let units = Rows::new(&units, rows.dim);
    let nearest = Neighbours::find(units, units, k + 1);
    let neighbours: Vec<Vec<Neighbor<f64>>> = (0..count)
        .map(|row| {
            let found = nearest.indices[row * nearest.k..][..nearest.k].iter().zip(&nearest.cosines[row * nearest.k..]);
            let others = found.filter(|(index, _)| **index as usize != row);
            // Between unit vectors.
            let distance = |cosine: f32| (2.0 - 2.0 * f64::from(cosine)).max(0.0).sqrt();
            others.take(k).map(|(&index, &c)| Neighbor { index: index as usize, distance: distance(c) }).collect()
        })
        .collect();
    let (samples, start) = ((0..count).collect::<Vec<usize>>(), start(units)?);
    // Its sums are shared out by who is free; of one thread they are the same every time.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let map = alone.install(|| {
        let mut tsne = tSNE::<f64, usize>::new(&samples);
        tsne.perplexity(perplexity).epochs(EPOCHS).initial_embedding(start);
        tsne.barnes_hut_with_neighbors(THETA, &neighbours).embedding()
    });
    Some(map.into_iter().map(|v| v as f32).collect())
}

/// The first two principal coordinates, small; `None` where there are not two.
fn start(rows: Rows) -> Option<Vec<f64>> {
    let pca = Pca::fit(rows, 2);
    let scale = INITIAL / pca.variances.get(..2).filter(|v| v[1] > 0.0)?[0].sqrt();
    Some(pca.apply(rows).into_iter().map(|v| scale * f64::from(v)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, StreamRng};

    #[test]
    fn clusters_stay_together_and_apart_the_same_every_time() {
        let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
        let (rows, dim) = (240, 8);
        let values: Vec<f32> =
            (0..rows * dim).map(|i| 0.1 * rng.normal() + if (i / dim) % 3 == i % dim { 3.0 } else { 0.0 }).collect();
        let map = tsne(Rows::new(&values, dim)).unwrap();
        assert_eq!(map.len(), 2 * rows);
        let distance = |a: usize, b: usize| (map[2 * a] - map[2 * b]).hypot(map[2 * a + 1] - map[2 * b + 1]);
        for row in 0..rows {
            let nearest =
                (0..rows).filter(|&other| other != row).min_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)));
            assert_eq!(nearest.unwrap() % 3, row % 3);
        }
        assert_eq!(tsne(Rows::new(&values, dim)).unwrap(), map);
        assert!(tsne(Rows::new(&values[..4 * dim], dim)).is_none());
        assert!(tsne(Rows::new(&vec![1.0; 6 * dim], dim)).is_none());
    }
}
