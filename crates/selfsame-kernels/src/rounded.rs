//! Matrix products of operands rounded to bf16 (`precision.rs`), with f32 sums, on the micro-kernel of the convolutions.
//!
//! The right operand is packed once, into panels. A task multiplies a block of rows with some of them; it packs its rows a part of the
//! inner dimension at a time, so that they stay in L2. A left operand whose rows lie one after the other becomes words along them, one
//! that is transposed words across: so both are read in vectors. Blocks and parts are cut by shape alone.

use crate::{
    Isa,
    conv::panels::{Transpose, packed_len},
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
    precision::{Element, Rounded},
    strided::Strided,
};
use rayon::prelude::*;
use std::{marker::PhantomData, ops::Range};

/// Values of the inner dimension that a task packs at once, in whole blocks of words.
const PART: usize = 1024;

/// A right operand in panels.
pub(crate) struct Right<'a> {
    panels: &'a [f32],
    shape: [usize; 2],
}

impl<'a> Right<'a> {
    /// Words that the panels of a matrix `[inner, columns]` take.
    pub(crate) fn len(shape: [usize; 2]) -> usize {
        packed_len::<Rounded>(shape[0], shape[1])
    }

    /// Packs `b` into `panels`, on this thread.
    fn pack(isa: Isa, b: Strided, panels: &'a mut [f32]) -> Right<'a> {
        let each = Self::panel(isa, b.shape[0]);
        panels.chunks_mut(each).enumerate().for_each(|(panel, out)| pack_panel(isa, b, panel, out));
        Right { panels, shape: b.shape }
    }

    /// The same, shared out.
    pub(crate) fn pack_shared(isa: Isa, b: Strided, panels: &'a mut [f32]) -> Right<'a> {
        let each = Self::panel(isa, b.shape[0]);
        panels.par_chunks_mut(each).enumerate().for_each(|(panel, out)| pack_panel(isa, b, panel, out));
        Right { panels, shape: b.shape }
    }

    /// Words of a full panel.
    fn panel(isa: Isa, inner: usize) -> usize {
        Rounded::words(inner) * Micro::pixels::<Rounded>(isa).panel_width()
    }
}

fn pack_panel(isa: Isa, b: Strided, panel: usize, out: &mut [f32]) {
    let width = Micro::pixels::<Rounded>(isa).panel_width();
    let columns = panel * width..b.shape[1].min((panel + 1) * width);
    Rounded::run(isa, PackPanel { b, columns, out });
}

/// Columns of a right operand as one panel, `[inner][width]`, columns padded with 0.
struct PackPanel<'a> {
    b: Strided<'a>,
    columns: Range<usize>,
    out: &'a mut [f32],
}

impl Kernel for PackPanel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Strided { values, shape: [inner, _], strides } = self.b;
        let width = self.columns.len().next_multiple_of(LANES);
        let mut part = 0;
        while part < width {
            let first = self.columns.start + part;
            let lanes = (self.columns.end - first).min(LANES);
            if strides[1] == 1 {
                for row in 0..inner {
                    let to = &mut self.out[row / Rounded::PER_WORD * width + part..][..LANES];
                    let from = V::load_slice(&values[row * strides[0] + first..][..lanes]);
                    // SAFETY: sixteen words.
                    unsafe { Rounded::store_across(from, row, to.as_mut_ptr()) };
                }
            } else {
                let mut row = 0;
                while row < inner {
                    Transpose::<Rounded> {
                        from: &values[first * strides[1] + row..],
                        from_stride: strides[1],
                        rows: lanes,
                        columns: (inner - row).min(LANES),
                        to: &mut self.out[row / Rounded::PER_WORD * width + part..],
                        to_stride: width,
                        place: 0,
                        element: PhantomData,
                    }
                    .run::<V>();
                    row += LANES;
                }
            }
            part += LANES;
        }
    }
}

/// Rows of a left operand, times a factor, and a part of its inner dimension as the micro-kernel reads them: along the rows, or
/// across them where it is transposed.
struct PackLeft<'a> {
    a: Strided<'a>,
    rows: Range<usize>,
    inner: Range<usize>,
    factor: f32,
    out: &'a mut [f32],
}

impl Kernel for PackLeft<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Strided { values, strides, .. } = self.a;
        let (rows, inner, factor) = (self.rows.len(), self.inner.len(), V::splat(self.factor));
        if strides[1] == 1 {
            for row in 0..rows {
                let from = &values[(self.rows.start + row) * strides[0] + self.inner.start..][..inner];
                for (block, from) in from.chunks(LANES).enumerate() {
                    let at = Rounded::along(block, rows * LANES) + row * LANES;
                    let to = &mut self.out[at..at + LANES / Rounded::PER_WORD];
                    // SAFETY: as many words as sixteen values have.
                    unsafe { Rounded::store_along(V::load_slice(from) * factor, to.as_mut_ptr()) };
                }
            }
        } else {
            for place in 0..inner {
                let from = &values[(self.inner.start + place) * strides[1] + self.rows.start..][..rows];
                for (block, from) in from.chunks(LANES).enumerate() {
                    let at = (block * Rounded::words(inner) + place / Rounded::PER_WORD) * LANES;
                    let to = &mut self.out[at..at + LANES];
                    // SAFETY: sixteen words.
                    unsafe { Rounded::store_across(V::load_slice(from) * factor, place, to.as_mut_ptr()) };
                }
            }
        }
    }
}

/// A block of `out = factor · a · b`, whose rows are `stride` apart and begin at `start`.
pub(crate) fn multiply_block(
    isa: Isa,
    a: Strided,
    b: &Right,
    factor: f32,
    [rows, columns]: [Range<usize>; 2],
    out: Disjoint,
    [start, stride]: [usize; 2],
) {
    let [inner, all_columns] = b.shape;
    let along = a.strides[1] == 1;
    let micro = if along { Micro::pixels::<Rounded>(isa) } else { Micro::channels::<Rounded>(isa) };
    let words = Rounded::words(inner);
    scratch(
        [rows.len().next_multiple_of(LANES) * Rounded::words(inner.min(PART)).next_multiple_of(LANES)],
        |[left]| {
            for first in (0..inner).step_by(PART) {
                let part = first..inner.min(first + PART);
                let k = Rounded::words(part.len());
                Rounded::run(isa, PackLeft { a, rows: rows.clone(), inner: part, factor, out: left });
                for panel in micro.panels(all_columns).filter(|panel| columns.contains(&panel.start)) {
                    let width = panel.len().next_multiple_of(LANES);
                    micro.multiply(
                        rows.len(),
                        &Product {
                            a: left,
                            a_block: if along { rows.len() } else { k } * LANES,
                            b: &b.panels[panel.start * words + Rounded::words(first) * width..],
                            k,
                            c: out,
                            start: start + rows.start * stride + panel.start,
                            rows: RowPlaces::Stride(stride),
                            columns: panel.len(),
                            accumulate: first > 0,
                        },
                    );
                }
            }
        },
    );
}

/// `out = factor · a · b`, on this thread, rows `stride` apart from `start` on.
pub(crate) fn multiply(isa: Isa, a: Strided, b: Strided, factor: f32, out: Disjoint, place: [usize; 2]) {
    let mut panels = Buffer::for_overwrite(Right::len(b.shape));
    let right = Right::pack(isa, b, &mut panels);
    multiply_block(isa, a, &right, factor, [0..a.shape[0], 0..b.shape[1]], out, place);
}
