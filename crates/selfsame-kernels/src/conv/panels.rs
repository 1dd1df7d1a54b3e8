//! Panels: the right operand of a matmul in the order the micro-kernel reads it, `[panel][row][16·NV]`, columns padded with 0; of
//! rounded operands, a word holds two rows.

use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
    memory::Buffer,
    micro::Micro,
    partition::for_each_task,
    precision::Element,
};
use std::marker::PhantomData;

/// Rows that a task packs, an even number.
const TASK_ROWS: usize = 32;

/// Floats of `rows` rows of `columns` columns in panels.
pub(crate) fn packed_len<E: Element>(rows: usize, columns: usize) -> usize {
    E::words(rows) * columns.next_multiple_of(LANES)
}

/// Panels of the matrix `[rows, columns]`.
pub(super) fn pack<E: Element>(isa: Isa, micro: &Micro, matrix: &[f32], columns: usize) -> Buffer {
    let rows = matrix.len() / columns;
    let mut panels = Buffer::for_overwrite(packed_len::<E>(rows, columns));
    // SAFETY: tasks write the rows of their part alone.
    let out = unsafe { Disjoint::new(&mut panels) };
    for_each_task(rows.div_ceil(TASK_ROWS), |task| {
        let part = &matrix[task * TASK_ROWS * columns..rows.min((task + 1) * TASK_ROWS) * columns];
        let element = PhantomData::<E>;
        E::run(isa, PackRows { micro, part, columns, first: task * TASK_ROWS, rows, out, element });
    });
    panels
}

/// Panels of `part`, rows from `first` on, an even number, of a matrix `[rows, columns]`.
pub(super) struct PackRows<'a, E> {
    pub micro: &'a Micro,
    pub part: &'a [f32],
    pub columns: usize,
    pub first: usize,
    pub rows: usize,
    pub out: Disjoint<'a>,
    pub element: PhantomData<E>,
}

impl<E: Element> Kernel for PackRows<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let count = self.part.len() / self.columns;
        for panel in self.micro.panels(self.columns) {
            let width = panel.len().next_multiple_of(LANES);
            let start = panel.start * E::words(self.rows) + E::words(self.first) * width;
            let to = self.out.part(start..start + E::words(count) * width);
            for (row, from) in self.part.chunks_exact(self.columns).enumerate() {
                let to = &mut to[row / E::PER_WORD * width..][..width];
                for (to, from) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(from[panel.clone()].chunks(LANES)) {
                    // SAFETY: sixteen words.
                    unsafe { E::store_across(V::load_slice(from), row, to.as_mut_ptr()) };
                }
            }
        }
    }
}

/// Panels of `[(tap, column), row]` from weights `[tap, rows, columns]`: `taps` taps transposed, tap `t` being `tap_at(t)`.
pub(super) fn pack_transposed<E: Element>(
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
    let blocks = columns.div_ceil(LANES);
    let pack = |task: usize| {
        let (t, first) = (task / blocks, task % blocks * LANES);
        let w = &w[tap_at(t) * rows * columns..][..rows * columns];
        for panel in micro.panels(rows) {
            let width = panel.len().next_multiple_of(LANES);
            let lanes = LANES.min(columns - first);
            let place = t * columns + first;
            let start = panel.start * E::words(taps * columns) + place / E::PER_WORD * width;
            let to = out.part(start..start + E::words(place % E::PER_WORD + lanes) * width);
            for part in (0..width).step_by(LANES) {
                let row = panel.start + part;
                let corner = &w[row * columns + first..];
                E::run(
                    isa,
                    Transpose::<E> {
                        from: corner,
                        from_stride: columns,
                        rows: LANES.min(panel.end - row),
                        columns: lanes,
                        to: &mut to[part..],
                        to_stride: width,
                        place: place % E::PER_WORD,
                        element: PhantomData,
                    },
                );
            }
        }
    };
    // With an odd number of columns, words hold places of two taps or blocks, which are written in their order.
    if columns.is_multiple_of(E::PER_WORD) {
        for_each_task(taps * blocks, pack);
    } else {
        (0..taps * blocks).for_each(pack);
    }
}

/// `to[column][row] = from[row][column]` for at most sixteen rows and columns, of which a word holds successive ones; further rows
/// become 0.
pub(crate) struct Transpose<'a, E> {
    pub from: &'a [f32],
    pub from_stride: usize,
    pub rows: usize,
    pub columns: usize,
    pub to: &'a mut [f32],
    pub to_stride: usize,
    /// Place of the first column in its word.
    pub place: usize,
    pub element: PhantomData<E>,
}

impl<E: Element> Kernel for Transpose<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let mut block = [V::splat(0.0); LANES];
        for row in 0..self.rows {
            block[row] = V::load_slice(&self.from[row * self.from_stride..][..self.columns]);
        }
        let block = V::transpose(block);
        for column in 0..self.columns {
            let place = self.place + column;
            let to = &mut self.to[place / E::PER_WORD * self.to_stride..][..LANES];
            // SAFETY: sixteen words.
            unsafe { E::store_across(block[column], place, to.as_mut_ptr()) };
        }
    }
}
