//! K-means (Lloyd 1982), started by k-means++ (Arthur & Vassilvitskii 2007).

use crate::features::Rows;
use crate::matmul::{Strided, matmul};
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::StreamRng;

/// Rows whose distances a task computes at a time.
const BLOCK: usize = 256;

/// Clusters of rows by Euclidean distance.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// `[clusters, dim]`, row by row.
    pub centers: Vec<f32>,
    /// Cluster of each row.
    pub assignments: Vec<u32>,
    /// Sum of squared distances to the centers, after each round; it never rises.
    pub inertia: Vec<f64>,
}

impl KMeans {
    /// Clusters `rows`, until no row changes its cluster or `iterations` rounds are done. The same bits for any number
    /// of threads.
    ///
    /// # Shapes
    /// `rows: [rows, dim]`
    ///
    /// # Errors
    /// If a value is not finite.
    ///
    /// # Panics
    /// Unless there are 1 to `rows.len()` clusters.
    pub fn fit(rows: Rows, clusters: usize, iterations: usize, rng: StreamRng) -> Result<Self, DataError> {
        rows.check_finite("the features that are to be clustered")?;
        assert!((1..=rows.len()).contains(&clusters), "{clusters} clusters of {} rows", rows.len());
        let mut centers = start(rows, clusters, rng);
        let (mut assignments, mut inertia) = (Vec::new(), Vec::new());
        for _ in 0..iterations.max(1) {
            let nearest = nearest(rows, &centers);
            inertia.push(nearest.iter().map(|(_, distance)| f64::from(*distance)).sum());
            let before = std::mem::replace(&mut assignments, nearest.iter().map(|(cluster, _)| *cluster).collect());
            if assignments == before {
                break;
            }
            move_to_means(rows, &nearest, &mut centers);
        }
        Ok(Self { centers, assignments, inertia })
    }
}

/// Rows drawn one after the other, each with a probability that grows with the squared distance to those before.
fn start(rows: Rows, clusters: usize, mut rng: StreamRng) -> Vec<f32> {
    let row = |index: usize| &rows.values[index * rows.dim..(index + 1) * rows.dim];
    let mut centers = row(rng.below(rows.len())).to_vec();
    let mut distances = vec![f32::INFINITY; rows.len()];
    while centers.len() < clusters * rows.dim {
        let last = &centers[centers.len() - rows.dim..];
        distances.par_iter_mut().enumerate().for_each(|(index, distance)| {
            let squared = row(index).iter().zip(last).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
            *distance = distance.min(squared);
        });
        let total: f64 = distances.iter().map(|&d| f64::from(d)).sum();
        let mut left = total * f64::from(rng.unit());
        let drawn = distances.iter().position(|&d| {
            left -= f64::from(d);
            left < 0.0
        });
        // All rows may equal a center already; then any will do.
        let drawn = drawn.unwrap_or_else(|| rng.below(rows.len()));
        centers.extend_from_slice(row(drawn));
    }
    centers
}

/// The nearest center of each row, and the squared distance to it; the first of equals.
fn nearest(rows: Rows, centers: &[f32]) -> Vec<(u32, f32)> {
    let (dim, clusters) = (rows.dim, centers.len() / rows.dim);
    let squares: Vec<f32> = centers.chunks_exact(dim).map(|c| c.iter().map(|v| v * v).sum()).collect();
    let mut nearest = vec![(0, 0.0); rows.len()];
    let tasks = nearest.par_chunks_mut(BLOCK).zip(rows.values.par_chunks(BLOCK * dim));
    tasks.for_each_init(Vec::new, |products, (nearest, values)| {
        products.resize(nearest.len() * clusters, 0.0);
        matmul(Strided::new(values, nearest.len(), dim), Strided::new(centers, clusters, dim).t(), products);
        let found = nearest.iter_mut().zip(values.chunks_exact(dim)).zip(products.chunks_exact(clusters));
        for ((nearest, row), products) in found {
            // ‖x − c‖² = ‖x‖² + (‖c‖² − 2 x·c); the first part is the same for all centers.
            let distances = squares.iter().zip(products).map(|(square, product)| square - 2.0 * product);
            let (cluster, least) = distances.enumerate().fold((0, f32::INFINITY), |best, (cluster, distance)| {
                if distance < best.1 { (cluster, distance) } else { best }
            });
            let square: f32 = row.iter().map(|v| v * v).sum();
            *nearest = (cluster as u32, (square + least).max(0.0));
        }
    });
    nearest
}

/// Moves each center to the mean of its rows; one that has none, to the row farthest from its own center.
fn move_to_means(rows: Rows, nearest: &[(u32, f32)], centers: &mut [f32]) {
    let dim = rows.dim;
    let (mut sums, mut counts) = (vec![0.0_f64; centers.len()], vec![0_usize; centers.len() / dim]);
    for ((cluster, _), row) in nearest.iter().zip(rows.values.chunks_exact(dim)) {
        let cluster = *cluster as usize;
        counts[cluster] += 1;
        sums[cluster * dim..][..dim].iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    let mut farthest: Vec<usize> = (0..nearest.len()).collect();
    farthest.sort_by(|&a, &b| nearest[b].1.total_cmp(&nearest[a].1).then(a.cmp(&b)));
    let mut farthest = farthest.into_iter();
    for ((center, sum), count) in centers.chunks_exact_mut(dim).zip(sums.chunks_exact(dim)).zip(counts) {
        if count > 0 {
            center.iter_mut().zip(sum).for_each(|(v, sum)| *v = (sum / count as f64) as f32);
        } else if let Some(row) = farthest.next() {
            center.copy_from_slice(&rows.values[row * dim..][..dim]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::Purpose;

    fn rng(seed: u64) -> StreamRng {
        StreamRng::new(seed, Purpose::Cluster, 0, 0, 0)
    }

    #[test]
    fn finds_separate_clouds_whatever_the_seed_and_the_threads() {
        let mut noise = rng(9);
        // So far apart that two starting points in one cloud are out of the question.
        let corners = [[0.0, 0.0], [100.0, 0.0], [0.0, 100.0], [100.0, 100.0]];
        let values: Vec<f32> = (0..400).flat_map(|i| corners[i % 4]).map(|v: f32| v + noise.normal()).collect();
        for seed in 0..5 {
            let fit = || KMeans::fit(Rows::new(&values, 2), 4, 50, rng(seed)).unwrap();
            let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool(1).install(fit);
            assert_eq!(found, pool(3).install(fit));
            assert!(found.inertia.windows(2).all(|pair| pair[1] <= pair[0] * (1.0 + 1e-6)), "{:?}", found.inertia);
            let agree = |i: usize, j: usize| found.assignments[i] == found.assignments[j];
            assert!((0..400).all(|i| agree(i, i % 4)) && !(0..4).any(|i| (0..i).any(|j| agree(i, j))));
            let variance = found.inertia.last().unwrap() / 800.0;
            assert!((0.8..1.2).contains(&variance), "the noise has variance 1, found {variance}");
        }
    }

    #[test]
    fn as_many_clusters_as_rows_leaves_no_distance_and_equal_rows_are_no_trouble() {
        let values: Vec<f32> = (0..14).map(|i| (i * i) as f32).collect();
        let found = KMeans::fit(Rows::new(&values, 2), 7, 20, rng(0)).unwrap();
        assert_eq!(*found.inertia.last().unwrap(), 0.0);
        let equal = KMeans::fit(Rows::new(&[1.0; 12], 3), 2, 20, rng(0)).unwrap();
        assert_eq!(equal.assignments, [0; 4]);
    }

    #[test]
    fn values_that_are_no_numbers_are_an_error() {
        for none in [f32::NAN, f32::INFINITY] {
            let error = KMeans::fit(Rows::new(&[1.0, 2.0, none, 4.0], 2), 1, 5, rng(0)).unwrap_err().to_string();
            assert!(error.contains("row 1 of the features") && error.contains("not finite"), "{error}");
        }
        // Squares that leave f32 are no reason to panic.
        KMeans::fit(Rows::new(&[1e30, -1e30, 0.0, 1e-30], 1), 2, 5, rng(0)).unwrap();
    }
}
