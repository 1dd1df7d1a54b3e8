//! LiDAR: how many directions tell the samples apart, measured against how far augmentation moves each of them?
//!
//! Thilak, Huang, Saremi, Dinh, Goh, Nakkiran, Susskind, Littwin: *LiDAR: Sensing Linear Probing Performance in Joint
//! Embedding SSL Architectures* (2024). The views of a sample are a class of linear discriminant analysis; a direction
//! counts by the ratio of the variance between samples to that within them, so that unlike the rank of RankMe, noise that
//! merely fills dimensions does not. With `q` views `e` of each of `n` samples, their means `μₓ` and the grand mean `μ`:
//!
//! ```text
//! Σ_b = E (μₓ − μ)(μₓ − μ)ᵀ      Σ_w = E (e − μₓ)(e − μₓ)ᵀ + δ I
//! λ = eigenvalues of Σ_w^(−1/2) Σ_b Σ_w^(−1/2)      LiDAR = exp(−Σ pₖ ln pₖ),  pₖ = λₖ / Σ λ
//! ```

use crate::collapse::effective_rank;
use crate::eigen::{Eigen, eigen, eigenvalues};
use crate::features::Rows;
use crate::matmul::{Strided, gram, par_matmul};
use selfsame_base::DataError;

/// Regularization of the variance within samples.
pub const DELTA: f64 = 1e-4;

/// LiDAR of `embeddings`.
///
/// # Shapes
/// `embeddings: [samples · views, dim]`, the two or more views of a sample in consecutive rows
///
/// # Errors
/// If a value is not finite.
pub fn lidar(embeddings: Rows, views: usize) -> Result<f64, DataError> {
    embeddings.check_finite("the embeddings of augmented views")?;
    let (dim, samples) = (embeddings.dim, embeddings.len() / views.max(1));
    assert!(views > 1 && samples * views == embeddings.len(), "{} rows of {views} views", embeddings.len());
    let mut means = Vec::with_capacity(samples * dim);
    let mut within = Vec::with_capacity(embeddings.values.len());
    for class in embeddings.values.chunks_exact(views * dim) {
        let mean: Vec<f64> = (0..dim)
            .map(|j| class.iter().skip(j).step_by(dim).map(|&v| f64::from(v)).sum::<f64>() / views as f64)
            .collect();
        within
            .extend(class.chunks_exact(dim).flat_map(|e| e.iter().zip(&mean).map(|(&v, m)| (f64::from(v) - m) as f32)));
        means.extend(mean);
    }
    let grand: Vec<f64> = (0..dim).map(|j| means.iter().skip(j).step_by(dim).sum::<f64>() / samples as f64).collect();
    means.chunks_exact_mut(dim).for_each(|row| row.iter_mut().zip(&grand).for_each(|(v, g)| *v -= g));

    let rows = (samples * views) as f64;
    let Eigen { values, mut vectors } = eigen(gram(Rows::new(&within, dim), &vec![0.0; dim], None), dim);
    for (axis, value) in vectors.chunks_exact_mut(dim).zip(&values) {
        let scale = (value.max(0.0) / rows + DELTA).sqrt().recip();
        axis.iter_mut().for_each(|v| *v *= scale);
    }
    // Means in coordinates where the variance within is the identity, [samples, dim].
    let mut whitened = vec![0.0; samples * dim];
    par_matmul(Strided::new(&means, samples, dim), Strided::new(&vectors, dim, dim).t(), &mut whitened);
    let (whitened, side) = (Strided::new(&whitened, samples, dim), samples.min(dim));
    let mut between = vec![0.0; side * side];
    match side == dim {
        true => par_matmul(whitened.t(), whitened, &mut between),
        false => par_matmul(whitened, whitened.t(), &mut between),
    }
    let ratios: Vec<f64> = eigenvalues(between, side).into_iter().map(|v| v.max(0.0)).collect();
    Ok(effective_rank(&ratios))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// Rows `k` of a cosine basis over `count` points: mean 0, mean square 1, mutually orthogonal.
    fn wave(count: usize, k: usize, at: usize) -> f64 {
        2f64.sqrt() * (PI * (k + 1) as f64 * (at as f64 + 0.5) / count as f64).cos()
    }

    #[test]
    fn variances_between_and_within_that_are_known_give_the_closed_form() {
        // More and fewer samples than dimensions, and directions that are not the axes.
        for (samples, dim) in [(40, 5), (5, 12)] {
            let (views, rank) = (8, 4);
            let (between, within) = ([3.0, 2.0, 1.0, 0.3], [0.5, 2.0, 0.0, 0.02]);
            let basis = |k: usize, j: usize| {
                let scale = if k == 0 { (1.0 / dim as f64).sqrt() } else { (2.0 / dim as f64).sqrt() };
                scale * (PI * k as f64 * (j as f64 + 0.5) / dim as f64).cos()
            };
            let mut values = Vec::new();
            for (i, v) in (0..samples).flat_map(|i| (0..views).map(move |v| (i, v))) {
                let along: Vec<f64> =
                    (0..rank).map(|k| between[k] * wave(samples, k, i) + within[k] * wave(views, k, v)).collect();
                values.extend((0..dim).map(|j| (7.0 + (0..rank).map(|k| along[k] * basis(k, j)).sum::<f64>()) as f32));
            }
            let ratios: Vec<f64> = (0..rank).map(|k| between[k].powi(2) / (within[k].powi(2) + DELTA)).collect();
            let (found, exact) = (lidar(Rows::new(&values, dim), views).unwrap(), effective_rank(&ratios));
            assert!((found / exact - 1.0).abs() < 1e-2, "{samples}×{dim}: {found} for {exact}");
        }
    }

    #[test]
    fn equal_ratios_count_all_directions_and_a_constant_none() {
        let (samples, views, dim) = (64, 8, 6);
        let mut values = Vec::new();
        for (i, v) in (0..samples).flat_map(|i| (0..views).map(move |v| (i, v))) {
            values.extend((0..dim).map(|k| {
                (10f64.powi(k as i32 - 3)
                    * (wave(samples, k, i) + if k < 5 { wave(views, k, v) } else { wave(views, 5, v) }))
                    as f32
            }));
        }
        // Scales of the axes cancel, down to where δ counts: axis 0 has variance 1e-6, a hundredth of it.
        let found = lidar(Rows::new(&values, dim), views).unwrap();
        assert!(found > 4.5 && found < 5.5, "{found}");
        assert_eq!(lidar(Rows::new(&vec![1.0; samples * views * dim], dim), views).unwrap(), 0.0);
    }
}
