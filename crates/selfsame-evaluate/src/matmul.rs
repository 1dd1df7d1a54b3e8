//! Matrix products for evaluation: the one file here that names the matmul crate.

use crate::features::Rows;
use rayon::prelude::*;

/// A matrix operand, read through strides.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a, T> {
    data: &'a [T],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, T> Strided<'a, T> {
    /// `[rows, cols]`, row by row.
    pub(crate) fn new(data: &'a [T], rows: usize, cols: usize) -> Self {
        assert_eq!(data.len(), rows * cols, "{} values as a {rows}×{cols} matrix", data.len());
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }
    /// The transpose.
    pub(crate) fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }
    /// Rows `start .. start + count`.
    pub(crate) fn rows(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.rows);
        Self { data: &self.data[start * self.row_stride..], rows: count, ..self }
    }
    /// Columns `start .. start + count`.
    fn cols(self, start: usize, count: usize) -> Self {
        assert!(start + count <= self.cols);
        Self { data: &self.data[start * self.col_stride..], cols: count, ..self }
    }
}

impl<'a> From<Rows<'a>> for Strided<'a, f32> {
    fn from(rows: Rows<'a>) -> Self {
        Self::new(rows.values, rows.len(), rows.dim)
    }
}

/// Element types of [`matmul`].
pub(crate) trait Real: Copy + Send + Sync + 'static {
    const ZERO: Self;
    const ONE: Self;
}
impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}
impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
}

/// `c = a·b` on the calling thread.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, `c: [m, n]` row by row.
pub(crate) fn matmul<T: Real>(a: Strided<T>, b: Strided<T>, c: &mut [T]) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "{m}×{k} times {}×{n}", b.rows);
    assert_eq!(c.len(), m * n, "the product of {m}×{k} and {k}×{n} into {} values", c.len());
    if m == 0 || n == 0 || k == 0 {
        c.fill(T::ZERO);
        return;
    }
    for matrix in [&a, &b] {
        let last = (matrix.rows - 1) * matrix.row_stride + (matrix.cols - 1) * matrix.col_stride;
        assert!(last < matrix.data.len(), "strides leave the operand");
    }
    // SAFETY: for every i < rows and j < cols of either operand, i·row_stride + j·col_stride is at most `last`, which
    // was checked to lie within its slice; `c` holds m·n values and is borrowed mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.data.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            T::ZERO,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// [`matmul`] on all threads of the pool. The partition is fixed, so the result does not depend on their number.
pub(crate) fn par_matmul<T: Real>(a: Strided<T>, b: Strided<T>, c: &mut [T]) {
    const PANEL: usize = 256;
    assert_eq!(c.len(), a.rows * b.cols);
    c.par_chunks_mut((PANEL * b.cols).max(1)).enumerate().for_each(|(index, c)| {
        matmul(a.rows(index * PANEL, PANEL.min(a.rows - index * PANEL)), b, c);
    });
}

/// `Σ xᵢ xᵢᵀ` over the rows `x = (row − mean) ⊙ scale`, `[dim, dim]`, products and sums in `f64`.
pub(crate) fn gram(rows: Rows, mean: &[f64], scale: Option<&[f64]>) -> Vec<f64> {
    /// Rows that are converted at a time, and columns of the result that a task makes.
    const BLOCK: usize = 256;
    const PANEL: usize = 64;
    let dim = rows.dim;
    let mut gram = vec![0.0; dim * dim];
    gram.par_chunks_mut((PANEL * dim).max(1)).enumerate().for_each(|(index, gram)| {
        // Columns past the panel's own are the transposes of what other tasks make.
        let (start, width) = (index * PANEL, gram.len() / dim);
        let end = start + width;
        let (mut block, mut product) = (Vec::with_capacity(BLOCK * end), vec![0.0; width * end]);
        for values in rows.values.chunks(BLOCK * dim) {
            block.clear();
            for row in values.chunks_exact(dim) {
                block.extend(row[..end].iter().zip(mean).map(|(&v, m)| f64::from(v) - m));
                if let Some(scale) = scale {
                    let row = block.len() - end;
                    block[row..].iter_mut().zip(scale).for_each(|(v, s)| *v *= s);
                }
            }
            let all = Strided::new(&block, values.len() / dim, end);
            matmul(all.cols(start, width).t(), all, &mut product);
            for (sums, terms) in gram.chunks_exact_mut(dim).zip(product.chunks_exact(end)) {
                sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
            }
        }
    });
    for i in 0..dim {
        for j in 0..i {
            gram[j * dim + i] = gram[i * dim + j];
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_four_orientations_are_the_triple_loop() {
        let (m, n, k) = (37, 19, 23);
        let a: Vec<f64> = (0..m * k).map(|i| (i as f64).sin()).collect();
        let b: Vec<f64> = (0..k * n).map(|i| (i as f64).cos()).collect();
        let transpose = |x: &[f64], rows: usize, cols: usize| -> Vec<f64> {
            (0..rows * cols).map(|i| x[(i % rows) * cols + i / rows]).collect()
        };
        let (at, bt) = (transpose(&a, m, k), transpose(&b, k, n));
        for a in [Strided::new(&a, m, k), Strided::new(&at, k, m).t()] {
            for b in [Strided::new(&b, k, n), Strided::new(&bt, n, k).t()] {
                let mut c = vec![f64::NAN; m * n];
                par_matmul(a, b, &mut c);
                for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    let exact: f64 = (0..k)
                        .map(|l| {
                            a.data[i * a.row_stride + l * a.col_stride] * b.data[l * b.row_stride + j * b.col_stride]
                        })
                        .sum();
                    assert!((c[i * n + j] - exact).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn gram_matrices_are_the_triple_loop() {
        for (count, dim) in [(300, 5), (10, 130), (0, 3)] {
            let values: Vec<f32> = (0..count * dim).map(|i| (i as f32).sin()).collect();
            let (mean, scale): (Vec<f64>, Vec<f64>) = (0..dim).map(|j| (0.1 * j as f64, 1.0 / (1 + j) as f64)).unzip();
            let x = |i: usize, j: usize| (f64::from(values[i * dim + j]) - mean[j]) * scale[j];
            let gram = gram(Rows::new(&values, dim), &mean, Some(&scale));
            for (i, j) in (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j))) {
                let exact: f64 = (0..count).map(|row| x(row, i) * x(row, j)).sum();
                assert!((gram[i * dim + j] - exact).abs() < 1e-10);
            }
        }
    }
}
