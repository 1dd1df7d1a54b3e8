//! Products of matrices that lie within larger ones, on the thread that asks: those of recurrent layers. Attention packs such matrices itself.

use crate::{Isa, disjoint::Disjoint, matmul::Matrix, packed};
use std::ops::Range;

/// A matrix within a larger one, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Strided<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) shape: [usize; 2],
    pub(crate) strides: [usize; 2],
}

impl<'a> Strided<'a> {
    pub(crate) fn new(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(values.len() >= (rows - 1) * stride + columns, "rows within the slice");
        Self { values, shape: [rows, columns], strides: [stride, 1] }
    }

    /// Some of the rows.
    pub(crate) fn rows(self, rows: Range<usize>) -> Self {
        Self { values: &self.values[rows.start * self.strides[0]..], shape: [rows.len(), self.shape[1]], ..self }
    }

    /// Some of the columns.
    pub(crate) fn columns(self, columns: Range<usize>) -> Self {
        self.transposed().rows(columns).transposed()
    }

    pub(crate) fn transposed(self) -> Self {
        let ([rows, columns], [row, column]) = (self.shape, self.strides);
        Self { shape: [columns, rows], strides: [column, row], ..self }
    }
}

impl<'a> From<Matrix<'a>> for Strided<'a> {
    fn from(Matrix { values, shape, strides }: Matrix<'a>) -> Self {
        Self { values, shape, strides }
    }
}

/// `out = factor · a · b`, on this thread; never rounded, whatever the precision of layers is.
///
/// # Safety
/// `out` is valid for writing the product's rows, `stride` floats apart.
pub(crate) unsafe fn multiply(isa: Isa, a: Strided, b: Strided, factor: f32, out: *mut f32, stride: usize) {
    let ([rows, _], [_, columns]) = (a.shape, b.shape);
    // SAFETY: the rows of the result are the caller's.
    let out = unsafe { Disjoint::at(out, (rows - 1) * stride + columns) };
    packed::multiply(isa, a, b, factor, out, [0, stride], false);
}
