//! Features that are too wide to keep, such as the pixels of photos, are kept as sketches: a sparse random projection of each
//! row, made as it comes.
//!
//! Every value of a row is added, with a random sign, to `S` of the `K` values of its sketch, one in each of `S` blocks, and the
//! sums are divided by `√S` (Kane, Nelson 2014: *Sparser Johnson–Lindenstrauss Transforms*). For rows `x`, `y` and their sketches
//!
//! ```text
//! E ⟨Px, Py⟩ = ⟨x, y⟩        Var ⟨Px, Py⟩ = Σ_{i≠j} (xᵢ² yⱼ² + xᵢ yᵢ xⱼ yⱼ) / K ≤ (‖x‖² ‖y‖² + ⟨x, y⟩²) / K
//! ```
//!
//! and the cosine `c` of two rows is that of their sketches with a standard deviation of about `(1 − c²) / √K`: at most 0.016,
//! and least for the nearest, which decide votes and rankings. A probe with a penalty on the squared length of its weights
//! depends on features by their inner products alone, so it sees nearly the same, too.

use crate::features::Rows;
use rayon::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};

/// Features of all samples that are kept as they are, bytes.
pub const KEPT_BYTES: usize = 256 << 20;
/// `K`: width of a sketch.
pub const WIDTH: usize = 4096;
/// `S`: values of a sketch that each value of a row goes to.
const SPREAD: usize = 4;
const BLOCK: usize = WIDTH / SPREAD;

/// A random projection, the same for all rows that are compared.
pub struct Sketch {
    /// `[dim]`: place in each block, and the sign in the highest bit.
    places: Vec<[u16; SPREAD]>,
}

impl Sketch {
    /// The projection for `rows` rows of width `dim`; `None` where they take no more than [`KEPT_BYTES`], or a sketch would be no
    /// narrower: they are kept as they are then.
    pub fn needed(rows: usize, dim: usize, seed: u64) -> Option<Self> {
        let bytes = rows.saturating_mul(dim).saturating_mul(size_of::<f32>());
        (dim > WIDTH && bytes > KEPT_BYTES).then(|| Self::new(dim, seed))
    }

    /// The projection for rows of width `dim`; the same for each seed.
    pub fn new(dim: usize, seed: u64) -> Self {
        const { assert!(BLOCK.is_power_of_two() && BLOCK < 1 << 15) };
        let mut rng = StreamRng::new(seed, Purpose::Sketch, 0, 0, 0);
        let mask = (BLOCK - 1) as u16 | 1 << 15;
        Self { places: (0..dim).map(|_| std::array::from_fn(|_| (rng.bits() >> 16) as u16 & mask)).collect() }
    }

    /// Sketches of `rows`, `[rows, WIDTH]`. A row's does not depend on the others.
    pub fn apply(&self, rows: Rows) -> Vec<f32> {
        assert_eq!(rows.dim, self.places.len(), "rows of another width");
        let mut sketches = vec![0.0f32; rows.len() * WIDTH];
        sketches.par_chunks_exact_mut(WIDTH).enumerate().for_each(|(row, sketch)| {
            for (value, places) in rows.row(row).iter().zip(&self.places) {
                for (block, place) in sketch.as_chunks_mut::<BLOCK>().0.iter_mut().zip(places) {
                    let sign = u32::from(place >> 15) << 31;
                    block[usize::from(*place) % BLOCK] += f32::from_bits(value.to_bits() ^ sign);
                }
            }
            sketch.iter_mut().for_each(|v| *v /= (SPREAD as f32).sqrt());
        });
        sketches
    }

    /// What a reader of scores should know of `features` that are seen as sketches.
    pub fn warning(&self, features: &str) -> String {
        format!(
            "{features} has {} values per sample, seen through a random projection to {WIDTH}: cosines are within ±{:.2}",
            self.places.len(),
            2.0 / (WIDTH as f64).sqrt()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f64 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    #[test]
    fn what_fits_is_kept_as_it_is() {
        let needed = |rows, dim| Sketch::needed(rows, dim, 0).is_some();
        // Fashion-MNIST, CIFAR, 64 px emoji, 10,000 photos of 224 px, as many rows as any.
        assert!(!needed(70_000, 784) && !needed(60_000, 3072) && !needed(5_000, 12_288));
        assert!(needed(10_000, 150_528) && needed(usize::MAX, 5000) && !needed(usize::MAX, WIDTH));
    }

    #[test]
    fn cosines_of_sketches_deviate_as_stated() {
        const DIM: usize = 20_000;
        const SEEDS: u64 = 30;
        let mut rng = StreamRng::new(1, Purpose::Survey, 0, 0, 0);
        for shared in [0.0f32, 0.7, 0.95] {
            // Two rows with a smooth part in common, as images have, and each with a part of its own.
            let smooth = |i: usize| (shared * 2.0).sqrt() * (i as f32 / 300.0).sin();
            let rows: Vec<f32> = (0..2 * DIM).map(|i| smooth(i % DIM) + (1.0 - shared).sqrt() * rng.normal()).collect();
            let exact = cosine(&rows[..DIM], &rows[DIM..]);
            let deviation = |seed| {
                let sketches = Sketch::new(DIM, seed).apply(Rows::new(&rows, DIM));
                cosine(&sketches[..WIDTH], &sketches[WIDTH..]) - exact
            };
            let deviations: Vec<f64> = (0..SEEDS).map(deviation).collect();
            let mean = |f: fn(f64) -> f64| deviations.iter().map(|&d| f(d)).sum::<f64>() / SEEDS as f64;
            let (bias, deviation) = (mean(|d| d), mean(|d| d * d).sqrt());
            let stated = (1.0 - exact * exact) / (WIDTH as f64).sqrt();
            // Thirty seeds tell a deviation to about an eighth, and a mean to about a sixth of it.
            assert!((0.6..1.5).contains(&(deviation / stated)), "{exact}: {deviation}, {stated} is stated");
            assert!(bias.abs() < 0.6 * stated, "{exact}: {bias}");
        }
    }

    #[test]
    fn a_sketch_is_the_same_bits_in_any_batch_and_on_any_threads() {
        let dim = 5000;
        let values: Vec<f32> = (0..7 * dim).map(|i| (i as f32).sin()).collect();
        let rows = Rows::new(&values, dim);
        let all = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Sketch::new(dim, 5).apply(rows))
        };
        assert_eq!(all(1), all(3));
        assert_eq!(all(1)[3 * WIDTH..5 * WIDTH], Sketch::new(dim, 5).apply(rows.slice(3, 2)));
        assert_ne!(all(1), Sketch::new(dim, 6).apply(rows));
    }
}
