//! Layer normalization, forward and backward, each in one pass (Ba, Kiros & Hinton 2016, arXiv:1607.06450).
//!
//! Activations are `[rows, dim]` matrices, and every row is normalized by its own moments, so a row is read once from memory
//! and everything is done while it lies in the L1 cache:
//!
//! ```text
//! forward    μ = Σ x / dim,  σ² = Σ (x − μ)² / dim,  y = γ x̂ + β,  x̂ = (x − μ) / √(σ² + ε)
//! backward   g = γ dy,  dx = (g − Σ g / dim − x̂ Σ g x̂ / dim) / √(σ² + ε),  dγ = Σ_rows dy x̂,  dβ = Σ_rows dy
//! ```
//!
//! The moments are taken again in the backward pass: that is cheaper than keeping x̂. Sums over rows run in f32 over the rows of
//! a part, at most `PART_ROWS`, then in f64 over the parts in their order.

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    memory::{Buffer, Pooled},
    partition::rows,
    profile::{self, Work},
};
use rayon::prelude::*;

/// Rows of a part.
const PART_ROWS: usize = 64;

/// `y = γ (x − μ) / √(σ² + ε) + β`, with the moments of each row of `x`, `[rows, dim]`; `gamma` and `beta` are `[dim]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, y: &mut [f32]) {
    let _span = profile::kernel("layer norm", || Work::pass(x.len(), gamma.len(), 2));
    let dim = gamma.len();
    rows(x.len(), dim, "activations");
    assert_eq!([beta.len(), y.len()], [dim, x.len()], "shifts, and elements of the result");
    let (isa, part) = (Isa::active(), PART_ROWS * dim);
    y.par_chunks_mut(part).zip(x.par_chunks(part)).for_each(|(y, x)| {
        isa.run(Forward { x, gamma, beta, epsilon, y });
    });
}

/// Backward pass of [`layer_norm`]: `dx`, `dgamma` and `dbeta` are overwritten.
///
/// # Panics
/// If the shapes do not fit.
pub fn layer_norm_backward(
    x: &[f32],
    gamma: &[f32],
    epsilon: f32,
    dy: &[f32],
    dx: &mut [f32],
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let _span = profile::kernel("layer norm, backward", || Work::pass(x.len(), gamma.len(), 3));
    let dim = gamma.len();
    rows(x.len(), dim, "activations");
    assert_eq!([dy.len(), dx.len()], [x.len(); 2], "elements of the gradients and of the activations");
    assert_eq!([dgamma.len(), dbeta.len()], [dim; 2], "gradients of scales and shifts of {dim} channels");
    let (isa, part) = (Isa::active(), PART_ROWS * dim);
    let mut partials = Buffer::zeroed(x.len().div_ceil(part) * 2 * dim);
    let operands = dx.par_chunks_mut(part).zip(x.par_chunks(part)).zip(dy.par_chunks(part));
    operands.zip(partials.par_chunks_mut(2 * dim)).for_each(|(((dx, x), dy), sums)| {
        isa.run(Backward { x, gamma, epsilon, dy, dx, sums });
    });
    let mut totals = Pooled::<f64>::for_overwrite(2 * dim);
    totals.fill(0.0);
    for part in partials.chunks_exact(2 * dim) {
        for (total, &value) in totals.iter_mut().zip(part) {
            *total += f64::from(value);
        }
    }
    for (to, &total) in dgamma.iter_mut().chain(dbeta).zip(&*totals) {
        *to = total as f32;
    }
}

/// Sum of the lanes, in a fixed order.
#[inline(always)]
pub(crate) fn sum<V: Lanes>(v: V) -> f32 {
    let lanes = v.to_array();
    let mut halves = [0.0; LANES / 2];
    for i in 0..LANES / 2 {
        halves[i] = lanes[i] + lanes[i + LANES / 2];
    }
    (halves[0] + halves[4] + (halves[1] + halves[5])) + (halves[2] + halves[6] + (halves[3] + halves[7]))
}

/// Mean and `1 / √(σ² + ε)` of a row, with σ² = Σ (x − μ)² / `of`.
#[inline(always)]
pub(crate) fn moments<V: Lanes>(row: &[f32], of: f32, epsilon: f32) -> [V; 2] {
    let (full, rest) = row.as_chunks::<LANES>();
    let mut total = V::load_slice(rest);
    for x in full {
        total = total + V::load(x);
    }
    let mean = V::splat(sum(total) / row.len() as f32);
    let mut squares = V::splat(0.0);
    for x in full {
        let x = V::load(x) - mean;
        squares = x.mul_add(x, squares);
    }
    let mut last = 0.0;
    for &x in rest {
        let x = x - any_lane(mean);
        last += x * x;
    }
    let variance = (sum(squares) + last) / of;
    [mean, V::splat(1.0) / V::splat(variance + epsilon).sqrt()]
}

/// The value that all lanes hold.
#[inline(always)]
fn any_lane<V: Lanes>(v: V) -> f32 {
    v.to_array()[0]
}

struct Forward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let dim = self.gamma.len();
        for (x, y) in self.x.chunks_exact(dim).zip(self.y.chunks_exact_mut(dim)) {
            let [mean, inverse] = moments::<V>(x, dim as f32, self.epsilon);
            let parameters = self.gamma.chunks(LANES).zip(self.beta.chunks(LANES));
            for ((x, y), (gamma, beta)) in x.chunks(LANES).zip(y.chunks_mut(LANES)).zip(parameters) {
                let normalized = (V::load_slice(x) - mean) * inverse;
                normalized.mul_add(V::load_slice(gamma), V::load_slice(beta)).store_slice(y);
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    epsilon: f32,
    dy: &'a [f32],
    dx: &'a mut [f32],
    /// `Σ dy x̂`, then `Σ dy`: `[2, dim]`.
    sums: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let dim = self.gamma.len();
        let (products, sums) = self.sums.split_at_mut(dim);
        let rows = self.x.chunks_exact(dim).zip(self.dy.chunks_exact(dim)).zip(self.dx.chunks_exact_mut(dim));
        for ((x, dy), dx) in rows {
            let [mean, inverse] = moments::<V>(x, dim as f32, self.epsilon);
            let (mut along, mut across) = (V::splat(0.0), V::splat(0.0));
            let totals = products.chunks_mut(LANES).zip(sums.chunks_mut(LANES));
            let operands = x.chunks(LANES).zip(dy.chunks(LANES)).zip(self.gamma.chunks(LANES));
            for (((x, dy), gamma), (product, sum)) in operands.zip(totals) {
                // Lanes beyond the end meet a gradient of 0.
                let (normalized, dy) = ((V::load_slice(x) - mean) * inverse, V::load_slice(dy));
                dy.mul_add(normalized, V::load_slice(product)).store_slice(product);
                (dy + V::load_slice(sum)).store_slice(sum);
                let g = dy * V::load_slice(gamma);
                along = g + along;
                across = g.mul_add(normalized, across);
            }
            let count = dim as f32;
            let (along, across) = (V::splat(sum(along) / count), V::splat(sum(across) / count));
            let operands = x.chunks(LANES).zip(dy.chunks(LANES)).zip(self.gamma.chunks(LANES));
            for (((x, dy), gamma), dx) in operands.zip(dx.chunks_mut(LANES)) {
                let normalized = (V::load_slice(x) - mean) * inverse;
                let g = V::load_slice(dy) * V::load_slice(gamma);
                ((g - along - normalized * across) * inverse).store_slice(dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    /// Result and gradients in f64.
    fn direct(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f64, dy: &[f32]) -> [Vec<f64>; 4] {
        let dim = gamma.len();
        let (mut y, mut dx) = (Vec::new(), Vec::new());
        let (mut dgamma, mut dbeta) = (vec![0.0; dim], vec![0.0; dim]);
        for (x, dy) in x.chunks(dim).zip(dy.chunks(dim)) {
            let x: Vec<f64> = x.iter().copied().map(f64::from).collect();
            let count = dim as f64;
            let mean = x.iter().sum::<f64>() / count;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
            let inverse = (variance + epsilon).sqrt().recip();
            let normalized: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
            let g: Vec<f64> = dy.iter().zip(gamma).map(|(&dy, &gamma)| f64::from(dy) * f64::from(gamma)).collect();
            let along = g.iter().sum::<f64>() / count;
            let across = g.iter().zip(&normalized).map(|(g, n)| g * n).sum::<f64>() / count;
            for i in 0..dim {
                y.push(normalized[i] * f64::from(gamma[i]) + f64::from(beta[i]));
                dx.push((g[i] - along - normalized[i] * across) * inverse);
                dgamma[i] += f64::from(dy[i]) * normalized[i];
                dbeta[i] += f64::from(dy[i]);
            }
        }
        [y, dx, dgamma, dbeta]
    }

    #[test]
    fn agrees_with_f64_forward_and_backward() {
        for (rows, dim) in [(1, 1), (3, 7), (5, 16), (130, 40), (200, 192), (65, 33)] {
            // A mean far from 0, which must not cancel.
            let x: Vec<f32> = random(rows * dim, 1).into_iter().map(|x| 2.0 * x + 5.0).collect();
            let (gamma, beta, dy) = (random(dim, 2), random(dim, 3), random(rows * dim, 4));
            let [y_direct, dx_direct, dgamma_direct, dbeta_direct] = direct(&x, &gamma, &beta, 1e-3, &dy);
            on_every_path(|| {
                let (mut y, mut dx) = (vec![f32::NAN; rows * dim], vec![f32::NAN; rows * dim]);
                let (mut dgamma, mut dbeta) = (vec![f32::NAN; dim], vec![f32::NAN; dim]);
                layer_norm(&x, &gamma, &beta, 1e-3, &mut y);
                layer_norm_backward(&x, &gamma, 1e-3, &dy, &mut dx, &mut dgamma, &mut dbeta);
                assert!(deviation(&y, &y_direct) < 1e-5, "{rows} × {dim}");
                if dim > 1 {
                    assert!(deviation(&dx, &dx_direct) < 1e-5, "{rows} × {dim}");
                    assert!(deviation(&dgamma, &dgamma_direct) < 1e-5, "{rows} × {dim}");
                } else {
                    assert_eq!([dx[0], dgamma[0]], [0.0; 2], "one value is its own mean");
                }
                assert!(deviation(&dbeta, &dbeta_direct) < 1e-5, "{rows} × {dim}");
                (y, dx, dgamma, dbeta)
            });
        }
    }
}
