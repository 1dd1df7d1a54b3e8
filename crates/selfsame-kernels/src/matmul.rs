//! Row-major matrix products, bit-identical for any number of threads, of operands as they are or rounded (`precision.rs`).
//!
//! The output is cut into blocks by its shape alone, and each block is one task (`packed.rs`), which sums over the whole
//! inner dimension in an order that its own shape determines; threads only share out the blocks. Used for linear layers, the
//! similarities of NT-Xent and cross-correlations.

use crate::disjoint::Disjoint;
use crate::memory::Buffer;
use crate::packed::{self, RightOperand};
use crate::partition::for_each_chunk;
use crate::precision::{Element, at_precision};
use crate::profile::{self, Work};
use crate::{Isa, Precision};
use std::ops::Range;

/// Rows and columns that a block of the output has at most, by preference: large blocks pack their rows less often, small ones
/// share out better.
const BLOCKS: [[usize; 2]; 6] = [[256, 384], [128, 384], [128, 192], [64, 192], [64, 96], [32, 96]];
/// The first block size that gives as many blocks is taken: enough that many threads end at about the same time.
const ENOUGH_BLOCKS: usize = 32;
/// Products of values that are one task's: a block of fewer would cost more to hand out than it saves.
const LEAST_PRODUCTS: usize = 1 << 18;
/// Columns of the widest panel: no block cuts one.
const PANEL: usize = 32;

/// Rows and columns of a block of a product of the given shape and inner dimension: nearly equal parts of at most the size
/// preferred, in whole panels.
fn block_shape(shape: [usize; 2], inner: usize) -> [usize; 2] {
    let parts = |block: [usize; 2]| [shape[0].div_ceil(block[0]), shape[1].div_ceil(block[1])];
    let worth = |block: &[usize; 2]| block[0] * block[1] * inner >= LEAST_PRODUCTS;
    let [largest, smaller @ ..] = BLOCKS;
    let sizes = || std::iter::once(largest).chain(smaller.into_iter().filter(worth));
    let enough = sizes().map(parts).find(|parts| parts[0] * parts[1] >= ENOUGH_BLOCKS);
    let parts = enough.or_else(|| sizes().map(parts).next_back()).expect("the largest is always one");
    [shape[0].div_ceil(parts[0]), shape[1].div_ceil(parts[1]).next_multiple_of(PANEL)]
}

/// A row-major matrix, or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) shape: [usize; 2],
    pub(crate) strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// `values` as a row-major matrix of shape `[rows, columns]`.
    ///
    /// # Panics
    /// If their number is not `rows · columns`.
    pub fn new(values: &'a [f32], shape: [usize; 2]) -> Matrix<'a> {
        assert_eq!(values.len(), shape[0] * shape[1], "elements of a matrix of shape {shape:?}");
        Matrix { values, shape, strides: [shape[1], 1] }
    }

    /// `[rows, columns]`
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// The transpose, `[columns, rows]`, of the same values.
    pub fn transposed(self) -> Matrix<'a> {
        let ([rows, columns], [row, column]) = (self.shape, self.strides);
        Matrix { values: self.values, shape: [columns, rows], strides: [column, row] }
    }
}

/// A right operand in the order in which products read it, made once for many.
pub struct PackedMatrix {
    isa: Isa,
    precision: Precision,
    shape: [usize; 2],
    panels: Buffer,
}

impl PackedMatrix {
    /// Of a matrix, at the precision of this thread.
    pub fn new(matrix: Matrix) -> PackedMatrix {
        let (isa, precision) = (Isa::active(), Precision::active());
        let panels = at_precision!(precision, E => packed::pack_right::<E>(isa, matrix.into()));
        PackedMatrix { isa, precision, shape: matrix.shape, panels }
    }

    /// `[inner, columns]`
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Whether products that this thread asks for can read it.
    pub fn serves(&self) -> bool {
        (self.isa, self.precision) == (Isa::active(), Precision::active())
    }
}

/// A right operand.
#[derive(Clone, Copy)]
pub enum Right<'a> {
    /// As it is.
    Matrix(Matrix<'a>),
    /// Packed before.
    Packed(&'a PackedMatrix),
}

impl Right<'_> {
    /// `[inner, columns]`
    pub fn shape(&self) -> [usize; 2] {
        match self {
            Right::Matrix(matrix) => matrix.shape,
            Right::Packed(packed) => packed.shape,
        }
    }
}

impl<'a> From<Matrix<'a>> for Right<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Right::Matrix(matrix)
    }
}

/// `out = a · b` of operands as they are, with `a` `[rows, inner]`, `b` `[inner, columns]` and `out` `[rows, columns]`, row-major.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul(a: Matrix, b: Matrix, out: &mut [f32]) {
    let _span = profile::kernel("product", || Work::product(a.shape, b.shape));
    matmul_then(Precision::F32, a, b.into(), out, &|_, _| {});
}

/// `out[i] = a(i) · b(i)` for each of the products whose results lie one after the other in `out`, each of `len` elements.
///
/// # Panics
/// If the shapes do not fit.
pub fn matmul_each<'a>(
    a: impl Fn(usize) -> Matrix<'a> + Sync,
    b: impl Fn(usize) -> Matrix<'a> + Sync,
    out: &mut [f32],
    len: usize,
) {
    if out.is_empty() {
        return;
    }
    let _span = profile::kernel("products", || Work::product(a(0).shape, b(0).shape).times(out.len() / len));
    for_each_chunk(out, len, |index, out| matmul_then(Precision::F32, a(index), b(index).into(), out, &|_, _| {}));
}

/// A block of a product's output.
pub(crate) struct OutputBlock {
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
}

/// [`matmul`], and then, for each block while it is in the cache, `then(block, out)`, which may touch the block's elements of
/// the output.
pub(crate) fn matmul_then(
    precision: Precision,
    a: Matrix,
    b: Right,
    out: &mut [f32],
    then: &(impl Fn(OutputBlock, Disjoint) + Sync),
) {
    let ([rows, inner], [inner_b, columns]) = (a.shape, b.shape());
    assert_eq!(inner, inner_b, "inner dimensions of {:?} · {:?}", a.shape, b.shape());
    assert_eq!(out.len(), rows * columns, "elements of the product {:?} · {:?}", a.shape, b.shape());
    if rows * columns == 0 || inner == 0 {
        // An empty sum.
        out.fill(0.0);
        // SAFETY: one task.
        return then(OutputBlock { rows: 0..rows, columns: 0..columns }, unsafe { Disjoint::new(out) });
    }
    let isa = Isa::active();
    let b = match b {
        Right::Matrix(b) => b.into(),
        Right::Packed(packed) => {
            assert!((packed.isa, packed.precision) == (isa, precision), "packed for another kind of product");
            RightOperand::Panels(&packed.panels, packed.shape)
        }
    };
    at_precision!(precision, E => product_by::<E>(isa, a, b, out, then));
}

/// [`matmul_then`] of operands that fit and are not empty.
pub(crate) fn product_by<E: Element>(
    isa: Isa,
    a: Matrix,
    b: RightOperand,
    out: &mut [f32],
    then: &(impl Fn(OutputBlock, Disjoint) + Sync),
) {
    let block = block_shape([a.shape[0], b.shape()[1]], a.shape[1]);
    // SAFETY: every task writes the elements of its own block.
    let out = unsafe { Disjoint::new(out) };
    let then = |[rows, columns]: [Range<usize>; 2]| then(OutputBlock { rows, columns }, out);
    packed::product::<E>(isa, a.into(), b, block, out, &then);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};
    use proptest::prelude::*;

    /// `a · b` in f64, of row-major matrices.
    fn direct(a: &[f32], b: &[f32], [rows, inner, columns]: [usize; 3]) -> Vec<f64> {
        let mut out = vec![0.0; rows * columns];
        for i in 0..rows * columns {
            for k in 0..inner {
                let product = f64::from(a[i / columns * inner + k]) * f64::from(b[k * columns + i % columns]);
                out[i] += product;
            }
        }
        out
    }

    fn transpose(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
        (0..rows * columns).map(|i| values[i % rows * columns + i / rows]).collect()
    }

    fn check(shape: [usize; 3], transposes: [bool; 2]) {
        let [rows, inner, columns] = shape;
        let (a, b) = (random(rows * inner, 1), random(inner * columns, 2));
        let (kept_a, kept_b) = (transpose(&a, [rows, inner]), transpose(&b, [inner, columns]));
        let matrix = |values, turned, stored, [rows, columns]: [usize; 2]| match turned {
            false => Matrix::new(values, [rows, columns]),
            true => Matrix::new(stored, [columns, rows]).transposed(),
        };
        // What rounding may do to each sum: 2⁻⁷ of the products' sizes, and a little for rounding both operands.
        let absolute = |values: &[f32]| values.iter().map(|v| v.abs()).collect::<Vec<_>>();
        let bounds: Vec<f64> = direct(&absolute(&a), &absolute(&b), shape).iter().map(|sum| sum / 127.0).collect();
        let expected = direct(&a, &b, shape);
        on_every_path(|| {
            let a_matrix = matrix(&a, transposes[0], &kept_a, [rows, inner]);
            let b_matrix = matrix(&b, transposes[1], &kept_b, [inner, columns]);
            let mut product = vec![f32::NAN; rows * columns];
            matmul(a_matrix, b_matrix, &mut product);
            assert!(deviation(&product, &expected) < 1e-5);
            let mut rounded = vec![f32::NAN; rows * columns];
            matmul_then(Precision::Bf16, a_matrix, b_matrix.into(), &mut rounded, &|_, _| {});
            for ((&rounded, expected), bound) in rounded.iter().zip(&expected).zip(&bounds) {
                assert!((f64::from(rounded) - expected).abs() <= *bound, "{shape:?}: {rounded} for {expected}");
            }
            (product, rounded)
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn products_are_those_of_f64(
            rows in 1usize..70, inner in 1usize..70, columns in 1usize..70, turned: [bool; 2],
        ) {
            check([rows, inner, columns], turned);
        }
    }

    #[test]
    fn blocks_join_without_a_seam() {
        for (index, shape) in
            [[129, 33, 387], [513, 5, 7], [1, 130, 769], [300, 40, 1000], [40, 2500, 70]].into_iter().enumerate()
        {
            check(shape, [index & 1 == 1, index & 1 == 0]);
        }
    }

    #[test]
    fn blocks_are_many_or_small() {
        for shape in [[1, 1], [512, 512], [128, 2048], [4096, 4096], [64, 10], [1000, 1]] {
            for inner in [1, 64, 4096] {
                let block = block_shape(shape, inner);
                let count = shape[0].div_ceil(block[0]) * shape[1].div_ceil(block[1]);
                assert!(block[0] <= BLOCKS[0][0] && block[1] <= BLOCKS[0][1]);
                let small = block[0] * block[1] * inner < 4 * LEAST_PRODUCTS
                    || block[0] <= BLOCKS[5][0] && block[1] <= BLOCKS[5][1];
                assert!(count >= ENOUGH_BLOCKS || small, "{shape:?} over {inner}: {block:?}");
            }
        }
    }

    #[test]
    fn an_empty_inner_dimension_gives_zero() {
        let mut out = vec![f32::NAN; 6];
        matmul(Matrix::new(&[], [2, 0]), Matrix::new(&[], [0, 3]), &mut out);
        assert_eq!(out, [0.0; 6]);
    }
}
