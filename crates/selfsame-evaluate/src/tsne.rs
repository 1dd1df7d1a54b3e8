//! A map of features by t-SNE ("Visualizing Data using t-SNE", van der Maaten & Hinton 2008), Barnes-Hut's approximation.
//!
//! It begins at the PCA map, so that the large structure is that of the data and the same every time (Kobak & Berens 2019),
//! and works on cosine neighbors, as everything else here does.

use crate::features::Rows;
use crate::knn::{Neighbors, unit_rows};
use crate::pca::Pca;
use bhtsne::{Neighbor, tSNE};
use selfsame_base::DataError;

/// Neighbors that a sample is held to be near to, about.
const PERPLEXITY: f64 = 30.0;
/// Accuracy of Barnes-Hut: cells seen under a smaller angle count as points.
const THETA: f64 = 0.5;
const EPOCHS: usize = 1000;
/// Standard deviation of the first map along its first axis.
const INITIAL: f64 = 1e-4;

/// Places of `rows`, `[rows, dim]`, in the plane, `[rows, 2]`: `None` of fewer than five, or where nothing varies.
///
/// # Errors
/// If a value is not finite.
pub fn tsne(rows: Rows) -> Result<Option<Vec<f32>>, DataError> {
    let count = rows.len();
    rows.check_finite("the features that are to be mapped")?;
    if count < 5 {
        return Ok(None);
    }
    let perplexity = PERPLEXITY.min((count - 1) as f64 / 3.0);
    let k = ((3.0 * perplexity) as usize).clamp(1, count - 1);
    let units = unit_rows(rows);
    let units = Rows::new(&units, rows.dim);
    let nearest = Neighbors::find(units, units, k + 1)?;
    let neighbors: Vec<Vec<Neighbor<f64>>> = (0..count)
        .map(|row| {
            let found = nearest.indices[row * nearest.k..][..nearest.k].iter().zip(&nearest.cosines[row * nearest.k..]);
            let others = found.filter(|(index, _)| **index as usize != row);
            // Between unit vectors.
            let distance = |cosine: f32| (2.0 - 2.0 * f64::from(cosine)).max(0.0).sqrt();
            others.take(k).map(|(&index, &c)| Neighbor { index: index as usize, distance: distance(c) }).collect()
        })
        .collect();
    let Some(start) = start(units) else { return Ok(None) };
    let samples: Vec<usize> = (0..count).collect();
    // Its sums are shared out by who is free; of one thread they are the same every time.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let alone = alone.map_err(|cause| DataError::threads(1, cause))?;
    let map = alone.install(|| {
        let mut tsne = tSNE::<f64, usize>::new(&samples);
        tsne.perplexity(perplexity).epochs(EPOCHS).initial_embedding(start);
        tsne.barnes_hut_with_neighbors(THETA, &neighbors).embedding()
    });
    Ok(Some(map.into_iter().map(|v| v as f32).collect()))
}

/// The first two principal coordinates, small; `None` where there are not two.
fn start(rows: Rows) -> Option<Vec<f64>> {
    let pca = Pca::of_finite(rows, 2);
    let scale = INITIAL / pca.variances.get(..2).filter(|v| v[1] > 0.0)?[0].sqrt();
    Some(pca.apply(rows).into_iter().map(|v| scale * f64::from(v)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    #[test]
    fn clusters_stay_together_and_apart_the_same_every_time() {
        let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
        let (rows, dim) = (240, 8);
        let values: Vec<f32> =
            (0..rows * dim).map(|i| 0.1 * rng.normal() + if (i / dim) % 3 == i % dim { 3.0 } else { 0.0 }).collect();
        let map_of = |values: &[f32]| tsne(Rows::new(values, dim));
        let map = map_of(&values).unwrap().unwrap();
        assert_eq!(map.len(), 2 * rows);
        let distance = |a: usize, b: usize| (map[2 * a] - map[2 * b]).hypot(map[2 * a + 1] - map[2 * b + 1]);
        for row in 0..rows {
            let nearest =
                (0..rows).filter(|&other| other != row).min_by(|&a, &b| distance(row, a).total_cmp(&distance(row, b)));
            assert_eq!(nearest.unwrap() % 3, row % 3);
        }
        assert_eq!(map_of(&values).unwrap(), Some(map));
        assert_eq!(map_of(&values[..4 * dim]).unwrap(), None);
        assert_eq!(map_of(&vec![1.0; 6 * dim]).unwrap(), None);
        assert!(map_of(&vec![f32::NAN; 6 * dim]).unwrap_err().to_string().contains("not finite"));
    }
}
