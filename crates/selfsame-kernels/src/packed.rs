//! Matrix products on the micro-kernel of the convolutions, of values as they are or rounded to bf16 (`precision.rs`), with f32 sums.
//!
//! The inner dimension is taken a part at a time, in which both operands are read from memory once and packed into what stays in the
//! caches. The part's right operand is packed for all tasks, into panels. A task then multiplies some rows with some panels; it packs
//! its rows itself, unless they lie across memory, or are few for many panels: then that is done once for all. Parts and blocks are cut
//! by shape alone.

use crate::{
    Isa,
    conv::panels::{Transpose, packed_len},
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
    matmul::Matrix,
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
    partition::for_each_task,
    precision::{Element, Whole},
    strided::Strided,
};
use std::{marker::PhantomData, ops::Range};

/// Values of the inner dimension in a part, at most.
const PART: usize = 1024;
/// Floats of a left operand that is packed once for all: what an L2 holds.
const SHARED_FLOATS: usize = 256 << 10;
/// Blocks of columns from which on that is worth it.
const MANY_ACROSS: usize = 4;
/// Rows of an operand that a task packs for all: whole words and blocks.
const SHARED_ROWS: usize = 64;

/// Nearly equal parts of the inner dimension, in whole blocks of words.
fn parts(inner: usize) -> impl Iterator<Item = Range<usize>> {
    let each = part_len(inner);
    (0..inner.div_ceil(each)).map(move |part| part * each..inner.min((part + 1) * each))
}

/// Values of the longest part.
fn part_len(inner: usize) -> usize {
    inner.div_ceil(inner.div_ceil(PART).max(1)).next_multiple_of(2 * LANES)
}

/// Where a task's block of the result is, and how far apart all its rows are.
#[derive(Clone, Copy)]
struct Target<'a> {
    out: Disjoint<'a>,
    /// Offset of the whole result, and from row to row.
    place: [usize; 2],
    accumulate: bool,
}

/// A right operand of a product that is shared out.
#[derive(Clone, Copy)]
pub(crate) enum RightOperand<'a> {
    Matrix(Strided<'a>),
    /// What [`pack_right`] made of one of this shape.
    Panels(&'a [f32], [usize; 2]),
}

impl RightOperand<'_> {
    /// `[inner, columns]`
    pub(crate) fn shape(&self) -> [usize; 2] {
        match self {
            Self::Matrix(matrix) => matrix.shape,
            Self::Panels(_, shape) => *shape,
        }
    }
}

impl<'a> From<Matrix<'a>> for RightOperand<'a> {
    fn from(matrix: Matrix<'a>) -> Self {
        Self::Matrix(matrix.into())
    }
}

/// The panels of every part of the inner dimension, one part after the other.
pub(crate) fn pack_right<E: Element>(isa: Isa, b: Strided) -> Buffer {
    let [inner, columns] = b.shape;
    let mut panels = Buffer::for_overwrite(right_len::<E>(b.shape));
    for part in parts(inner) {
        let [start, end] = [part.start, part.end].map(|end| packed_len::<E>(end, columns));
        pack_right_shared::<E>(isa, b.rows(part), &mut panels[start..end]);
    }
    panels
}

/// `out = a · b`, row after row, in blocks of the given shape, each of which is handed to `then` when it is complete.
pub(crate) fn product<E: Element>(
    isa: Isa,
    a: Strided,
    b: RightOperand,
    block: [usize; 2],
    out: Disjoint,
    then: &(impl Fn([Range<usize>; 2]) + Sync),
) {
    let ([rows, inner], columns) = (a.shape, b.shape()[1]);
    let across = columns.div_ceil(block[1]);
    let blocks = rows.div_ceil(block[0]) * across;
    // What lies across is turned once for all; so are few rows that meet many blocks.
    let few = left_len::<E>(rows, part_len(inner)) <= SHARED_FLOATS && across >= MANY_ACROSS;
    let shared = a.strides[1] != 1 || few;
    let own = matches!(b, RightOperand::Matrix(_));
    let mut right = Buffer::for_overwrite(if own { packed_len::<E>(part_len(inner), columns) } else { 0 });
    let mut left = Buffer::for_overwrite(if shared { left_len::<E>(rows, part_len(inner)) } else { 0 });
    for part in parts(inner) {
        let a = a.columns(part.clone());
        if let RightOperand::Matrix(b) = b {
            pack_right_shared::<E>(isa, b.rows(part.clone()), &mut right);
        }
        if shared {
            pack_left_shared::<E>(isa, a, &mut left);
        }
        let (left, part_shape) = (&left[..], [part.len(), columns]);
        let right = match b {
            RightOperand::Matrix(_) => &right[..],
            RightOperand::Panels(panels, _) => &panels[packed_len::<E>(part.start, columns)..],
        };
        let task = |index: usize| {
            let (row, column) = (index / across * block[0], index % across * block[1]);
            let [task_rows, task_columns] = [row..rows.min(row + block[0]), column..columns.min(column + block[1])];
            let to = Target { out, place: [0, columns], accumulate: part.start > 0 };
            let block = [task_rows.clone(), task_columns.clone()];
            if shared {
                multiply_block::<E>(isa, (&left[row * LANES..], rows), right, part_shape, block, to);
            } else {
                let a = a.rows(task_rows.clone());
                scratch([left_len::<E>(a.shape[0], a.shape[1])], |[left]| {
                    pack_left::<E>(isa, a, 1.0, left);
                    multiply_block::<E>(isa, (left, a.shape[0]), right, part_shape, block, to);
                });
            }
            if part.end == inner {
                then([task_rows, task_columns]);
            }
        };
        match blocks {
            1 => task(0),
            blocks => for_each_task(blocks, task),
        }
    }
}

/// `out (+)= factor · a · b` of operands as they are, on this thread; `place`: the offset of the result, and from row to row.
pub(crate) fn multiply(
    isa: Isa,
    a: Strided,
    b: Strided,
    factor: f32,
    out: Disjoint,
    place: [usize; 2],
    accumulate: bool,
) {
    scratch([right_len::<Whole>(b.shape)], |[panels]| {
        pack_right_alone(isa, b, panels);
        multiply_panels(isa, a, (panels, b.shape[1]), factor, out, place, accumulate);
    });
}

/// Words of all panels of a right operand of this shape.
pub(crate) fn right_len<E: Element>([inner, columns]: [usize; 2]) -> usize {
    packed_len::<E>(inner, columns)
}

/// Panels of `b`, those of every part of the inner dimension one after the other, on this thread.
pub(crate) fn pack_right_alone(isa: Isa, b: Strided, panels: &mut [f32]) {
    let ([inner, columns], micro) = (b.shape, Micro::pixels::<Whole>(isa));
    for part in parts(inner) {
        // SAFETY: one task.
        let to = unsafe { Disjoint::new(&mut panels[packed_len::<Whole>(part.start, columns)..]) };
        let b = b.rows(part);
        micro.panels(columns).for_each(|panel| pack_panel::<Whole>(isa, b, panel, 0..b.shape[0], to));
    }
}

/// [`multiply`] with panels of a right operand of so many columns.
pub(crate) fn multiply_panels(
    isa: Isa,
    a: Strided,
    (panels, columns): (&[f32], usize),
    factor: f32,
    out: Disjoint,
    place: [usize; 2],
    accumulate: bool,
) {
    let [rows, inner] = a.shape;
    scratch([left_len::<Whole>(rows, part_len(inner))], |[left]| {
        for part in parts(inner) {
            pack_left::<Whole>(isa, a.columns(part.clone()), factor, left);
            let right = &panels[packed_len::<Whole>(part.start, columns)..];
            let to = Target { out, place, accumulate: accumulate || part.start > 0 };
            multiply_block::<Whole>(isa, (left, rows), right, [part.len(), columns], [0..rows, 0..columns], to);
        }
    });
}

/// A block of a product with a part of the inner dimension. `left`: from the block's first row on, and the number of rows packed with it.
fn multiply_block<E: Element>(
    isa: Isa,
    (left, left_rows): (&[f32], usize),
    right: &[f32],
    [inner, all_columns]: [usize; 2],
    [rows, columns]: [Range<usize>; 2],
    Target { out, place: [start, stride], accumulate }: Target,
) {
    let micro = Micro::pixels::<E>(isa);
    let k = E::words(inner);
    for panel in micro.panels(all_columns).filter(|panel| columns.contains(&panel.start)) {
        micro.multiply(
            rows.len(),
            &Product {
                a: left,
                a_block: left_rows * LANES,
                b: &right[panel.start * k..],
                far: Micro::is_far(k * all_columns),
                k,
                c: out,
                start: start + rows.start * stride + panel.start,
                rows: RowPlaces::Stride(stride),
                columns: panel.len(),
                accumulate,
                beside: None,
            },
        );
    }
}

/// Panels of `b`, shared out: by rows where these lie one after the other, otherwise by columns.
fn pack_right_shared<E: Element>(isa: Isa, b: Strided, panels: &mut [f32]) {
    let micro = Micro::pixels::<E>(isa);
    // SAFETY: every task writes rows, or panels, of its own.
    let panels = unsafe { Disjoint::new(panels) };
    let [inner, columns] = b.shape;
    if b.strides[1] == 1 {
        for_each_task(inner.div_ceil(SHARED_ROWS), |task| {
            let rows = task * SHARED_ROWS..inner.min((task + 1) * SHARED_ROWS);
            micro.panels(columns).for_each(|panel| pack_panel::<E>(isa, b, panel, rows.clone(), panels));
        });
    } else {
        let width = micro.panel_width();
        for_each_task(columns.div_ceil(width), |panel| {
            pack_panel::<E>(isa, b, panel * width..columns.min((panel + 1) * width), 0..inner, panels);
        });
    }
}

fn pack_panel<E: Element>(isa: Isa, b: Strided, columns: Range<usize>, rows: Range<usize>, panels: Disjoint) {
    let width = columns.len().next_multiple_of(LANES);
    let start = columns.start * E::words(b.shape[0]) + E::words(rows.start) * width;
    let out = panels.part(start..start + E::words(rows.len()) * width);
    E::run(isa, PackPanel::<E> { b, columns, rows, out, element: PhantomData });
}

/// Rows of a right operand, which begin with a word, in a panel of its columns, `[row][width]`; columns are padded with 0.
struct PackPanel<'a, E> {
    b: Strided<'a>,
    columns: Range<usize>,
    rows: Range<usize>,
    out: &'a mut [f32],
    element: PhantomData<E>,
}

impl<E: Element> Kernel for PackPanel<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Strided { values, strides, .. } = self.b;
        let (values, rows) = (&values[self.rows.start * strides[0]..], self.rows.len());
        let width = self.columns.len().next_multiple_of(LANES);
        for part in (0..width).step_by(LANES) {
            let first = self.columns.start + part;
            let lanes = (self.columns.end - first).min(LANES);
            if strides[1] == 1 {
                for row in 0..rows {
                    let to = &mut self.out[row / E::PER_WORD * width + part..][..LANES];
                    let from = V::load_slice(&values[row * strides[0] + first..][..lanes]);
                    // SAFETY: sixteen words.
                    unsafe { E::store_across(from, row, to.as_mut_ptr()) };
                }
            } else {
                for row in (0..rows).step_by(LANES) {
                    Transpose::<E> {
                        from: &values[first * strides[1] + row..],
                        from_stride: strides[1],
                        rows: lanes,
                        columns: (rows - row).min(LANES),
                        to: &mut self.out[row / E::PER_WORD * width + part..],
                        to_stride: width,
                        place: 0,
                        element: PhantomData,
                    }
                    .run::<V>();
                }
            }
        }
    }
}

/// Words of packed rows of a left operand.
fn left_len<E: Element>(rows: usize, inner: usize) -> usize {
    rows * E::words(inner).next_multiple_of(LANES)
}

/// Packs `a`, times a factor, on this thread.
fn pack_left<E: Element>(isa: Isa, a: Strided, factor: f32, out: &mut [f32]) {
    // SAFETY: one task.
    let out = unsafe { Disjoint::new(out) };
    E::run(isa, PackLeft::<E> { a, rows: 0..a.shape[0], factor, out, element: PhantomData });
}

/// Packs `a`, shared out.
fn pack_left_shared<E: Element>(isa: Isa, a: Strided, out: &mut [f32]) {
    // SAFETY: every task writes rows of its own.
    let out = unsafe { Disjoint::new(out) };
    let rows = a.shape[0];
    for_each_task(rows.div_ceil(SHARED_ROWS), |task| {
        let rows = task * SHARED_ROWS..rows.min((task + 1) * SHARED_ROWS);
        E::run(isa, PackLeft::<E> { a, rows, factor: 1.0, out, element: PhantomData });
    });
}

/// Rows of a left operand, times a factor, as the micro-kernel reads them: `[block][row of all][16 words]`.
struct PackLeft<'a, E> {
    a: Strided<'a>,
    rows: Range<usize>,
    factor: f32,
    out: Disjoint<'a>,
    element: PhantomData<E>,
}

impl<E: Element> Kernel for PackLeft<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Strided { values, shape: [all, inner], strides } = self.a;
        let factor = V::splat(self.factor);
        for block in 0..inner.div_ceil(LANES) {
            let places = (inner - block * LANES).min(LANES);
            let to = |row: usize| {
                let at = E::along(block, all * LANES) + row * LANES;
                at..at + LANES / E::PER_WORD
            };
            if strides[1] == 1 {
                for row in self.rows.clone() {
                    let from = &values[row * strides[0] + block * LANES..][..places];
                    let to = self.out.part(to(row));
                    // SAFETY: as many words as sixteen values have.
                    unsafe { E::store_along(V::load_slice(from) * factor, to.as_mut_ptr()) };
                }
                continue;
            }
            for first in self.rows.clone().step_by(LANES) {
                let count = (self.rows.end - first).min(LANES);
                let mut turned = [V::splat(0.0); LANES];
                for place in 0..places {
                    let from = &values[(block * LANES + place) * strides[1] + first..][..count];
                    turned[place] = V::load_slice(from) * factor;
                }
                let turned = V::transpose(turned);
                for row in 0..count {
                    let to = self.out.part(to(first + row));
                    // SAFETY: as many words as sixteen values have.
                    unsafe { E::store_along(turned[row], to.as_mut_ptr()) };
                }
            }
        }
    }
}
