//! Panels: the right operand of a matmul in the order the micro-kernel reads it, `[panel][row][16·NV]`, columns padded with 0.

use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
    memory::Buffer,
    micro::Micro,
};
use rayon::prelude::*;

/// Rows that a task packs.
const TASK_ROWS: usize = 32;

/// Floats of `rows` rows of `columns` columns in panels.
pub(super) fn packed_len(rows: usize, columns: usize) -> usize {
    rows * columns.next_multiple_of(LANES)
}

/// Panels of the matrix `[rows, columns]`.
pub(super) fn pack(isa: Isa, micro: &Micro, matrix: &[f32], columns: usize) -> Buffer {
    let rows = matrix.len() / columns;
    let mut panels = Buffer::for_overwrite(packed_len(rows, columns));
    // SAFETY: tasks write the rows of their part alone.
    let out = unsafe { Disjoint::new(&mut panels) };
    matrix.par_chunks(TASK_ROWS * columns).enumerate().for_each(|(task, part)| {
        isa.run(PackRows { micro, part, columns, first: task * TASK_ROWS, rows, out });
    });
    panels
}

/// Panels of `part`, rows from `first` on of a matrix `[rows, columns]`.
pub(super) struct PackRows<'a> {
    pub micro: &'a Micro,
    pub part: &'a [f32],
    pub columns: usize,
    pub first: usize,
    pub rows: usize,
    pub out: Disjoint<'a>,
}

impl Kernel for PackRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let count = self.part.len() / self.columns;
        for panel in self.micro.panels(self.columns) {
            let width = panel.len().next_multiple_of(LANES);
            let start = panel.start * self.rows + self.first * width;
            let to = self.out.part(start..start + count * width);
            for (to, from) in to.chunks_exact_mut(width).zip(self.part.chunks_exact(self.columns)) {
                for (to, from) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(from[panel.clone()].chunks(LANES)) {
                    V::load_slice(from).store(to);
                }
            }
        }
    }
}

/// Panels of `[(tap, column), row]` from weights `[tap, rows, columns]`: `taps` taps transposed, tap `t` being `tap_at(t)`.
pub(super) fn pack_transposed(
    isa: Isa,
    micro: &Micro,
    w: &[f32],
    (taps, tap_at): (usize, impl Fn(usize) -> usize + Sync),
    rows: usize,
    columns: usize,
    panels: &mut [f32],
) {
    // SAFETY: tasks write the columns of their tap alone.
    let out = unsafe { Disjoint::new(panels) };
    (0..taps).into_par_iter().for_each(|t| {
        let w = &w[tap_at(t) * rows * columns..][..rows * columns];
        (0..columns.div_ceil(LANES)).into_par_iter().for_each(|block| {
            let first = block * LANES;
            for panel in micro.panels(rows) {
                let width = panel.len().next_multiple_of(LANES);
                let lanes = LANES.min(columns - first);
                let start = panel.start * taps * columns + (t * columns + first) * width;
                let to = out.part(start..start + lanes * width);
                for part in (0..width).step_by(LANES) {
                    let row = panel.start + part;
                    let corner = &w[row * columns + first..];
                    isa.run(Transpose {
                        from: corner,
                        from_stride: columns,
                        rows: LANES.min(panel.end - row),
                        columns: lanes,
                        to: &mut to[part..],
                        to_stride: width,
                    });
                }
            }
        });
    });
}

/// `to[column][row] = from[row][column]` for at most sixteen rows and columns; further rows become 0.
///
/// The block goes through a buffer of odd stride: the columns of a matrix whose rows are a power of two apart share one set of
/// the cache.
pub(super) struct Transpose<'a> {
    pub from: &'a [f32],
    pub from_stride: usize,
    pub rows: usize,
    pub columns: usize,
    pub to: &'a mut [f32],
    pub to_stride: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        const STRIDE: usize = LANES + 1;
        let mut block = [0.0; LANES * STRIDE];
        for row in 0..self.rows {
            let from = &self.from[row * self.from_stride..][..self.columns];
            V::load_slice(from).store_slice(&mut block[row * STRIDE..row * STRIDE + LANES]);
        }
        for column in 0..self.columns {
            let to = &mut self.to[column * self.to_stride..][..LANES];
            for row in 0..LANES {
                to[row] = block[row * STRIDE + column];
            }
        }
    }
}
