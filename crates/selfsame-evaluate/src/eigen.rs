//! Eigenvalues and eigenvectors of a real symmetric matrix, in `f64`.
//!
//! Householder reflections bring `A` to tridiagonal form, `A = Q T Qᵀ`; implicit QL steps with Wilkinson's shift bring
//! `T` to diagonal form (Golub & Van Loan, *Matrix Computations*, §8.3; EISPACK's `tred2` and `tql2`). Eigenvectors are
//! the product of all these orthogonal factors. Each row of that product evolves by itself, so panels of rows are
//! updated on different threads, and the result does not depend on the number of threads.

use crate::matmul::{Strided, par_matmul};
use rayon::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};

/// Rows of the eigenvector matrix that one task updates: a cache line of `f64` times four.
const PANEL: usize = 32;
/// Rotations gathered before they are applied, per dimension.
const SWEEPS: usize = 16;

/// Eigenvalues and, row by row, eigenvectors; largest eigenvalue first.
pub(crate) struct Eigen {
    /// `[dim]`, descending.
    pub values: Vec<f64>,
    /// `[dim, dim]`: row `i` is the unit eigenvector of `values[i]`, its largest component positive.
    pub vectors: Vec<f64>,
}

/// Eigenvalues of the symmetric `matrix`, `[dim, dim]`, of which only the lower triangle is read; descending.
pub(crate) fn eigenvalues(matrix: Vec<f64>, dim: usize) -> Vec<f64> {
    let mut tridiagonal = tridiagonalize(matrix, dim);
    diagonalize(&mut tridiagonal.diagonal, &mut tridiagonal.off, |_| {});
    tridiagonal.diagonal.sort_unstable_by(|a, b| b.total_cmp(a));
    tridiagonal.diagonal
}

/// Eigenvalues and eigenvectors of the symmetric `matrix`, `[dim, dim]`, of which only the lower triangle is read.
pub(crate) fn eigen(matrix: Vec<f64>, dim: usize) -> Eigen {
    let Tridiagonal { mut diagonal, mut off, reflectors } = tridiagonalize(matrix, dim);
    // A panel holds rows of Q transposed, `[dim, width]`, so that a rotation combines two contiguous runs.
    let mut panels: Vec<Vec<f64>> =
        (0..dim.div_ceil(PANEL)).map(|p| vec![0.0; dim * PANEL.min(dim - p * PANEL)]).collect();
    panels.par_iter_mut().enumerate().for_each(|(p, panel)| {
        let width = panel.len() / dim;
        (0..width).for_each(|r| panel[(p * PANEL + r) * width + r] = 1.0);
        let mut along = vec![0.0; width];
        for k in 0..dim.saturating_sub(2) {
            reflect(&reflectors[k * dim + k + 1..][..dim - k - 1], &mut panel[(k + 1) * width..], &mut along);
        }
    });
    let mut pending: Vec<Rotation> = Vec::new();
    let mut apply = |pending: &mut Vec<Rotation>| {
        panels.par_iter_mut().for_each(|panel| {
            let width = panel.len() / dim;
            pending.iter().for_each(|rotation| rotation.apply(panel, width));
        });
        pending.clear();
    };
    diagonalize(&mut diagonal, &mut off, |rotation| {
        pending.push(rotation);
        if pending.len() >= SWEEPS * dim {
            apply(&mut pending);
        }
    });
    apply(&mut pending);

    let mut order: Vec<usize> = (0..dim).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let mut vectors = vec![0.0; dim * dim];
    for (vector, &k) in vectors.chunks_exact_mut(dim.max(1)).zip(&order) {
        for (part, panel) in vector.chunks_mut(PANEL).zip(&panels) {
            part.copy_from_slice(&panel[k * part.len()..][..part.len()]);
        }
        let largest = vector.iter().fold(0.0f64, |m, &v| if v.abs() > m.abs() { v } else { m });
        if largest < 0.0 {
            vector.iter_mut().for_each(|v| *v = -*v);
        }
    }
    Eigen { values: order.iter().map(|&k| diagonal[k]).collect(), vectors }
}

/// The `count` largest eigenvalues of the positive semidefinite `matrix`, `[dim, dim]`, both triangles given, with their
/// eigenvectors, `[count, dim]`.
///
/// Exact where that is affordable. Wide matrices are first projected on a subspace that a few multiplications by the
/// matrix have turned towards the leading eigenvectors (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.3); the
/// start is a fixed random matrix.
pub(crate) fn leading(matrix: Vec<f64>, dim: usize, count: usize) -> Eigen {
    const EXACT: usize = 1536;
    const MULTIPLICATIONS: usize = 4;
    let size = count + count / 8 + 8;
    let mut eigen = if dim <= EXACT || 2 * size >= dim {
        eigen(matrix, dim)
    } else {
        let whole = Strided::new(&matrix, dim, dim);
        let mut rng = StreamRng::new(0, Purpose::Evaluate, dim as u64, count as u64, 0);
        let mut basis: Vec<f64> = (0..size * dim).map(|_| f64::from(rng.normal())).collect();
        let mut image = vec![0.0; basis.len()];
        for _ in 0..MULTIPLICATIONS {
            basis = orthonormal(&basis, dim);
            image.resize(basis.len(), 0.0);
            par_matmul(Strided::new(&basis, basis.len() / dim, dim), whole, &mut image);
            std::mem::swap(&mut basis, &mut image);
        }
        basis = orthonormal(&basis, dim);
        let rank = basis.len() / dim;
        let rows = Strided::new(&basis, rank, dim);
        image.resize(basis.len(), 0.0);
        par_matmul(rows, whole, &mut image);
        let mut small = vec![0.0; rank * rank];
        par_matmul(Strided::new(&image, rank, dim), rows.t(), &mut small);
        let Eigen { values, vectors } = eigen(small, rank);
        image.resize(rank * dim, 0.0);
        par_matmul(Strided::new(&vectors, rank, rank), rows, &mut image);
        Eigen { values, vectors: image }
    };
    eigen.values.truncate(count);
    eigen.vectors.truncate(count * dim);
    eigen
}

/// An orthonormal basis of the span of the rows of `vectors`, `[rows, dim]`: `Λ^(−1/2) Vᵀ X` where `X Xᵀ = V Λ Vᵀ`.
fn orthonormal(vectors: &[f64], dim: usize) -> Vec<f64> {
    let rows = vectors.len() / dim;
    let x = Strided::new(vectors, rows, dim);
    let mut gram = vec![0.0; rows * rows];
    par_matmul(x, x.t(), &mut gram);
    let Eigen { values, vectors: mut turn } = eigen(gram, rows);
    // Directions of which only rounding is left are dropped.
    let rank = values.iter().take_while(|&&v| v > 1e-13 * values[0]).count();
    for (row, value) in turn.chunks_exact_mut(rows).zip(&values).take(rank) {
        row.iter_mut().for_each(|v| *v /= value.sqrt());
    }
    let mut basis = vec![0.0; rank * dim];
    par_matmul(Strided::new(&turn[..rank * rows], rank, rows), x, &mut basis);
    basis
}

struct Tridiagonal {
    /// `[dim]`
    diagonal: Vec<f64>,
    /// `[dim]`: `off[i]` couples `i` and `i + 1`; the last is 0.
    off: Vec<f64>,
    /// `[dim, dim]`: row `k` holds, from column `k + 1` on, the vector `v` of the reflection `I − v vᵀ`, `‖v‖² = 2` or 0.
    reflectors: Vec<f64>,
}

fn tridiagonalize(mut a: Vec<f64>, dim: usize) -> Tridiagonal {
    assert_eq!(a.len(), dim * dim, "{} values as a {dim}×{dim} matrix", a.len());
    let mut off = vec![0.0; dim];
    let (mut v, mut p) = (vec![0.0; dim], vec![0.0; dim]);
    for k in 0..dim.saturating_sub(1) {
        let rest = dim - k - 1;
        let (v, p) = (&mut v[..rest], &mut p[..rest]);
        (0..rest).for_each(|i| v[i] = a[(k + 1 + i) * dim + k]);
        // Scaled, so that squares neither overflow nor vanish.
        let scale = v.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        if scale == 0.0 || rest == 1 {
            off[k] = v[0];
            a[k * dim + k + 1..][..rest].fill(0.0);
            continue;
        }
        v.iter_mut().for_each(|x| *x /= scale);
        let norm = dot(v, v).sqrt();
        // The sign that adds up avoids cancellation.
        let alpha = if v[0] > 0.0 { -norm } else { norm };
        off[k] = alpha * scale;
        v[0] -= alpha;
        let root = (2.0 / dot(v, v)).sqrt();
        v.iter_mut().for_each(|x| *x *= root);
        a[k * dim + k + 1..][..rest].copy_from_slice(v);
        // A ← (I − vvᵀ) A (I − vvᵀ) = A − v wᵀ − w vᵀ with p = A v, w = p − ½ (vᵀp) v, on the lower triangle.
        p.fill(0.0);
        for i in 0..rest {
            let row = &a[(k + 1 + i) * dim + k + 1..][..=i];
            p[i] += dot(row, &v[..=i]);
            axpy(v[i], &row[..i], &mut p[..i]);
        }
        let half = 0.5 * dot(v, p);
        axpy(-half, v, p);
        for i in 0..rest {
            let row = &mut a[(k + 1 + i) * dim + k + 1..][..=i];
            let (vi, pi) = (v[i], p[i]);
            row.iter_mut().zip(&v[..=i]).zip(&p[..=i]).for_each(|((x, vj), pj)| *x -= vi * pj + pi * vj);
        }
    }
    let diagonal = (0..dim).map(|i| a[i * dim + i]).collect();
    Tridiagonal { diagonal, off, reflectors: a }
}

/// `panel ← (I − v vᵀ) panel`, panel `[len(v), width]`.
fn reflect(v: &[f64], panel: &mut [f64], along: &mut [f64]) {
    along.fill(0.0);
    v.iter().zip(panel.chunks_exact(along.len())).for_each(|(&x, row)| axpy(x, row, along));
    v.iter().zip(panel.chunks_exact_mut(along.len())).for_each(|(&x, row)| axpy(-x, along, row));
}

/// A rotation of the components `index` and `index + 1`.
struct Rotation {
    index: usize,
    cos: f64,
    sin: f64,
}

impl Rotation {
    fn apply(&self, panel: &mut [f64], width: usize) {
        let (low, high) = panel[self.index * width..][..2 * width].split_at_mut(width);
        for (x, y) in low.iter_mut().zip(high) {
            (*x, *y) = (self.cos * *x - self.sin * *y, self.sin * *x + self.cos * *y);
        }
    }
}

/// Implicit QL on a tridiagonal matrix: leaves the eigenvalues in `d` and hands out every rotation.
fn diagonalize(d: &mut [f64], e: &mut [f64], mut rotated: impl FnMut(Rotation)) {
    let norm = d.iter().chain(e.iter()).fold(0.0f64, |m, x| m.max(x.abs()));
    assert!(norm.is_finite(), "eigenvalues of a matrix that is not finite");
    // The reflections have already moved every eigenvalue by about this much. A bound relative to the neighbors on the
    // diagonal would chase rounding noise, and on graded matrices not converge.
    let negligible = f64::EPSILON * norm;
    for l in 0..d.len() {
        let mut steps = 0;
        loop {
            let m = (l..d.len() - 1).find(|&i| e[i].abs() <= negligible).unwrap_or(d.len() - 1);
            if m == l {
                break;
            }
            steps += 1;
            assert!(steps <= 100, "QL did not converge");
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = g.hypot(1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut sin, mut cos, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (sin * e[i], cos * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    // The matrix has come apart between the two: start over on the smaller part.
                    d[i + 1] -= p;
                    split = true;
                    break;
                }
                (sin, cos) = (f / r, g / r);
                g = d[i + 1] - p;
                let r = (d[i] - g) * sin + 2.0 * cos * b;
                p = sin * r;
                d[i + 1] = g + p;
                g = cos * r - b;
                rotated(Rotation { index: i, cos, sin });
            }
            if !split {
                d[l] -= p;
                e[l] = g;
            }
            e[m] = 0.0;
        }
    }
}

/// Inner product with eight partial sums, so that it vectorizes; the order is fixed.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_tail), (b, b_tail)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0; 8];
    for (x, y) in a.iter().zip(b) {
        (0..8).for_each(|i| sums[i] += x[i] * y[i]);
    }
    sums.iter().sum::<f64>() + a_tail.iter().zip(b_tail).map(|(x, y)| x * y).sum::<f64>()
}

/// `y += s·x`
fn axpy(s: f64, x: &[f64], y: &mut [f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += s * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random_symmetric(dim: usize) -> Vec<f64> {
        let mut rng = StreamRng::new(dim as u64, Purpose::Survey, 0, 0, 0);
        let mut a = vec![0.0; dim * dim];
        for i in 0..dim {
            for j in 0..=i {
                a[i * dim + j] = f64::from(rng.normal());
                a[j * dim + i] = a[i * dim + j];
            }
        }
        a
    }

    #[test]
    fn vectors_are_orthonormal_and_rebuild_the_matrix() {
        for dim in [1, 2, 3, 31, 32, 33, 100] {
            let a = random_symmetric(dim);
            let Eigen { values, vectors } = eigen(a.clone(), dim);
            for i in 0..dim {
                for j in 0..dim {
                    let inner = dot(&vectors[i * dim..][..dim], &vectors[j * dim..][..dim]);
                    assert!((inner - f64::from(u8::from(i == j))).abs() < 1e-12, "{dim}: ⟨v{i}, v{j}⟩ = {inner}");
                    let rebuilt: f64 = (0..dim).map(|k| values[k] * vectors[k * dim + i] * vectors[k * dim + j]).sum();
                    assert!((rebuilt - a[i * dim + j]).abs() < 1e-11, "{dim}: {rebuilt} for {}", a[i * dim + j]);
                }
            }
            assert!(values.is_sorted_by(|x, y| x >= y));
            let alone = eigenvalues(a, dim);
            assert_eq!(values, alone, "eigenvalues do not depend on whether vectors are asked for");
        }
    }

    #[test]
    fn spectrum_of_the_second_difference_is_known() {
        // 2 on the diagonal, −1 beside it: λ_k = 2 − 2 cos(kπ / (n + 1)).
        let dim = 50;
        let mut a = vec![0.0; dim * dim];
        for i in 0..dim {
            a[i * dim + i] = 2.0;
            if i > 0 {
                a[i * dim + i - 1] = -1.0;
            }
        }
        for (k, value) in eigenvalues(a, dim).iter().rev().enumerate() {
            let exact = 2.0 - 2.0 * ((k + 1) as f64 * std::f64::consts::PI / (dim + 1) as f64).cos();
            assert!((value - exact).abs() < 1e-13, "{value} {exact}");
        }
    }

    #[test]
    fn leading_pairs_of_a_wide_matrix_are_those_of_the_whole() {
        // A = Σ λ_k v_k v_kᵀ with the orthonormal cosine basis, wider than what is solved exactly.
        let (dim, count) = (1600, 12);
        let value = |k: usize| 2.0f64.powi(-(k as i32));
        let basis: Vec<f64> = (0..40 * dim)
            .map(|at| {
                let (k, i) = (at / dim + 1, at % dim);
                (2.0 / dim as f64).sqrt() * (std::f64::consts::PI * k as f64 * (i as f64 + 0.5) / dim as f64).cos()
            })
            .collect();
        let scaled: Vec<f64> = basis.iter().enumerate().map(|(at, v)| v * value(at / dim)).collect();
        let mut a = vec![0.0; dim * dim];
        par_matmul(Strided::new(&scaled, 40, dim).t(), Strided::new(&basis, 40, dim), &mut a);
        let found = leading(a, dim, count);
        assert_eq!((found.values.len(), found.vectors.len()), (count, count * dim));
        for k in 0..count {
            assert!((found.values[k] / value(k) - 1.0).abs() < 1e-9, "{k}: {}", found.values[k]);
            let inner = dot(&found.vectors[k * dim..][..dim], &basis[k * dim..][..dim]);
            assert!((inner.abs() - 1.0).abs() < 1e-9, "{k}: {inner}");
        }
    }

    #[test]
    fn degenerate_matrices_are_no_trouble() {
        assert_eq!(eigenvalues(Vec::new(), 0), Vec::<f64>::new());
        assert_eq!(eigenvalues(vec![0.0; 25], 5), vec![0.0; 5]);
        for scale in [1e-160, 1.0, 1e150] {
            // Rank one, all ones: a single eigenvalue, the dimension.
            let values = eigenvalues(vec![scale; 400], 20);
            assert!(
                (values[0] / scale - 20.0).abs() < 1e-12 && values[1..].iter().all(|v| v.abs() < 1e-13 * scale),
                "{values:?}"
            );
        }
    }
}
