//! How the memory-bound passes cut their work: at places given by the shape alone, never by the number of threads.
//!
//! A pass is written for one *part*, a contiguous run of elements. [`for_each_part`] halves the operands (anything that is
//! [`Split`]) until parts are left and lets rayon run them; [`sum_parts`] adds up what the parts return along that same tree.
//! So every part, every partial sum and every order of additions is the same for any number of threads.
//!
//! A `[rows, channels]` matrix is seen as a flat run of [`Quad`]s, four vectors, whose per-channel parameters repeat with a
//! *period* of `channels / gcd(channels, 64)` quads ([`Period`]): 1 quad for 64 channels, 3 quads (64 rows) for 3 channels.
//! Thus full vectors serve any channel count, and only the very last quad of a matrix can be partial.

use crate::lanes::{LANES, Lanes};
use crate::memory::Buffer;
use rayon::prelude::*;

/// Elements of a part of an elementwise pass: large enough to hide the cost of a task, small enough to balance the load.
pub(crate) const PART: usize = 1 << 15;
/// At most this many parts, and so partial sums, of a reduction to channels.
const REDUCTION_PARTS: usize = 64;

/// Operands of a pass that can be cut in two at an element.
pub(crate) trait Split: Sized + Send {
    /// The elements before `at` and those from `at` on; `at` is a multiple of 64.
    fn split(self, at: usize) -> (Self, Self);
}

impl<T: Sync> Split for &[T] {
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl<T: Send> Split for &mut [T] {
    fn split(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

impl<S: Split> Split for Option<S> {
    fn split(self, at: usize) -> (Self, Self) {
        self.map(|operand| operand.split(at)).unzip()
    }
}

macro_rules! split_tuple {
    ($($name:ident)+) => {
        impl<$($name: Split),+> Split for ($($name,)+) {
            #[allow(non_snake_case, reason = "a type parameter names its value too")]
            fn split(self, at: usize) -> (Self, Self) {
                let ($($name,)+) = self;
                $(let $name = $name.split(at);)+
                (($($name.0,)+), ($($name.1,)+))
            }
        }
    };
}
split_tuple!(A B);
split_tuple!(A B C);

/// One bit per element in words of sixteen, to be read (`&[u16]`) or written (`&mut [u16]`).
pub(crate) struct Words<W>(pub(crate) W);

impl<W: Split> Split for Words<W> {
    fn split(self, at: usize) -> (Self, Self) {
        let (left, right) = self.0.split(at / LANES);
        (Words(left), Words(right))
    }
}

/// The accumulators of all parts of a reduction, `each` values per part of `part` elements.
pub(crate) struct Partials<'a, T> {
    pub(crate) values: &'a mut [T],
    pub(crate) each: usize,
    pub(crate) part: usize,
}

impl<T: Send> Split for Partials<'_, T> {
    fn split(self, at: usize) -> (Self, Self) {
        let Partials { values, each, part } = self;
        let (left, right) = values.split_at_mut(at / part * each);
        (Partials { values: left, each, part }, Partials { values: right, each, part })
    }
}

/// A slice that is read and, or instead, written: a result may replace its operand, which saves a pass over fresh memory.
pub enum InOut<'a> {
    /// The operand, and the slice that receives the result.
    Apart(&'a [f32], &'a mut [f32]),
    /// The operand, which the result replaces.
    InPlace(&'a mut [f32]),
}

impl<'a> InOut<'a> {
    /// Elements of the operand.
    ///
    /// # Panics
    /// If operand and result differ in length.
    pub(crate) fn len(&self) -> usize {
        match self {
            InOut::Apart(from, to) => {
                assert_eq!(from.len(), to.len(), "elements of an operand and of its result");
                from.len()
            }
            InOut::InPlace(slice) => slice.len(),
        }
    }

    /// The operand.
    pub(crate) fn operand(&self) -> &[f32] {
        match self {
            InOut::Apart(from, _) => from,
            InOut::InPlace(slice) => slice,
        }
    }

    /// The operand, if it is not where the result goes, and the result.
    #[inline(always)]
    pub(crate) fn into_parts(self) -> (Option<&'a [f32]>, &'a mut [f32]) {
        match self {
            InOut::Apart(from, to) => (Some(from), to),
            InOut::InPlace(slice) => (None, slice),
        }
    }
}

impl Split for InOut<'_> {
    fn split(self, at: usize) -> (Self, Self) {
        match self {
            InOut::Apart(from, to) => {
                let ((a, b), (c, d)) = (from.split_at(at), to.split_at_mut(at));
                (InOut::Apart(a, c), InOut::Apart(b, d))
            }
            InOut::InPlace(slice) => {
                let (a, b) = slice.split_at_mut(at);
                (InOut::InPlace(a), InOut::InPlace(b))
            }
        }
    }
}

/// Where a part begins in the whole.
pub(crate) struct Offset(pub(crate) usize);

impl Split for Offset {
    fn split(self, at: usize) -> (Self, Self) {
        (Offset(self.0), Offset(self.0 + at))
    }
}

/// Runs `task` on every part of `part` elements (the last may be shorter) of operands with `len` elements.
pub(crate) fn for_each_part<S: Split>(operands: S, len: usize, part: usize, task: &(impl Fn(S) + Sync)) {
    if len <= part {
        return task(operands);
    }
    let at = len.div_ceil(part) / 2 * part;
    let (left, right) = operands.split(at);
    join(|| for_each_part(left, at, part, task), || for_each_part(right, len - at, part, task));
}

/// Sum of what `task` returns for every part; see [`for_each_part`].
pub(crate) fn sum_parts<S: Split, const N: usize>(
    operands: S,
    len: usize,
    part: usize,
    task: &(impl Fn(S) -> [f64; N] + Sync),
) -> [f64; N] {
    if len <= part {
        return task(operands);
    }
    let at = len.div_ceil(part) / 2 * part;
    let (left, right) = operands.split(at);
    let (left, right) = join(|| sum_parts(left, at, part, task), || sum_parts(right, len - at, part, task));
    std::array::from_fn(|i| left[i] + right[i])
}

/// Runs `task` on the index and the values of every chunk of `len` values; the last may be shorter.
pub(crate) fn for_each_chunk<T: Send>(values: &mut [T], len: usize, task: impl Fn(usize, &mut [T]) + Sync) {
    let count = values.len();
    if count > 0 {
        for_each_part((Offset(0), values), count, len, &|(start, values)| task(start.0 / len, values));
    }
}

/// Runs `task` on every index below `count`.
pub(crate) fn for_each_task(count: usize, task: impl Fn(usize) + Sync) {
    // Not generic: rayon's part of a parallel loop is ten times the code of most tasks, so it is compiled once and not for each.
    fn run(count: usize, task: &(dyn Fn(usize) + Sync)) {
        (0..count).into_par_iter().for_each(task);
    }
    run(count, &task);
}

/// Both results, perhaps side by side.
fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    // Not generic, as above.
    fn run(a: &mut (dyn FnMut() + Send), b: &mut (dyn FnMut() + Send)) {
        rayon::join(a, b);
    }
    let (mut results, mut a, mut b) = ((None, None), Some(a), Some(b));
    run(&mut || results.0 = a.take().map(|a| a()), &mut || results.1 = b.take().map(|b| b()));
    match results {
        (Some(a), Some(b)) => (a, b),
        _ => unreachable!("both have run"),
    }
}

/// Vector `i` of a slice; lanes beyond its end are 0.
#[inline(always)]
pub(crate) fn load<V: Lanes>(from: &[f32], i: usize) -> V {
    let rest = &from[i * LANES..];
    match rest.first_chunk() {
        Some(full) => V::load(full),
        None => V::load_slice(rest),
    }
}

/// Writes vector `i` of a slice; lanes beyond its end are dropped.
#[inline(always)]
pub(crate) fn store<V: Lanes>(to: &mut [f32], i: usize, value: V) {
    let rest = &mut to[i * LANES..];
    match rest.first_chunk_mut() {
        Some(full) => value.store(full),
        None => value.store_slice(rest),
    }
}

/// Elements of a [`Quad`].
pub(crate) const QUAD: usize = 4 * LANES;

/// Four vectors: what a loop does for every slice, such as the check of an index, it does once per quad.
pub(crate) type Quad = [[f32; LANES]; 4];

/// The whole quads of a slice.
#[inline(always)]
pub(crate) fn quads(x: &[f32]) -> &[Quad] {
    x.as_chunks().0.as_chunks().0
}

/// The whole quads of a slice.
#[inline(always)]
pub(crate) fn quads_mut(x: &mut [f32]) -> &mut [Quad] {
    x.as_chunks_mut().0.as_chunks_mut().0
}

/// Quad `i` of an operand, if there is one.
#[inline(always)]
pub(crate) fn quad(x: Option<&[f32]>, i: usize) -> Option<&Quad> {
    x.map(|x| &quads(x)[i])
}

/// What follows the whole quads of a slice, and then zeros.
#[inline(always)]
pub(crate) fn last_quad(x: &[f32]) -> Quad {
    let rest = &x[x.len() / QUAD * QUAD..];
    let mut last = [[0.0; LANES]; 4];
    last.as_flattened_mut()[..rest.len()].copy_from_slice(rest);
    last
}

/// Writes what [`last_quad`] read.
#[inline(always)]
pub(crate) fn store_last_quad(to: &mut [f32], last: &Quad) {
    let whole = to.len() / QUAD * QUAD;
    let rest = &mut to[whole..];
    rest.copy_from_slice(&last.as_flattened()[..rest.len()]);
}

/// The period in which per-channel parameters meet the quads of a `[rows, channels]` matrix seen flat.
#[derive(Clone, Copy)]
pub(crate) struct Period {
    pub(crate) channels: usize,
    /// Quads until the first lane meets channel 0 again.
    pub(crate) quads: usize,
}

impl Period {
    pub(crate) fn new(channels: usize) -> Period {
        assert!(channels > 0, "a matrix without channels");
        // 64 is a power of two, so the greatest common divisor is 2^min(trailing zeros, 6).
        Period { channels, quads: channels >> channels.trailing_zeros().min(QUAD.trailing_zeros()) }
    }

    /// Elements of a period.
    pub(crate) fn elements(self) -> usize {
        self.quads * QUAD
    }

    /// `N` parameters of every channel as the lanes meet them; see [`parameters`].
    pub(crate) fn spread<const N: usize>(self, channel: impl Fn(usize) -> [f32; N]) -> Buffer {
        let mut spread = Buffer::for_overwrite(N * self.elements());
        for c in 0..self.channels {
            let values = channel(c);
            for lane in (c..self.elements()).step_by(self.channels) {
                for (i, value) in values.into_iter().enumerate() {
                    spread[(lane / QUAD * N + i) * QUAD + lane % QUAD] = value;
                }
            }
        }
        spread
    }

    /// Elements of a part of an elementwise pass: whole periods.
    pub(crate) fn part(self) -> usize {
        PART.next_multiple_of(self.elements())
    }

    /// Elements of a part of a reduction of `len` elements to channels: whole periods, and a bounded number of parts.
    pub(crate) fn reduction_part(self, len: usize) -> usize {
        PART.max(len.div_ceil(REDUCTION_PARTS)).next_multiple_of(self.elements())
    }
}

/// For every quad of a period the `N` parameters that [`Period::spread`] laid out.
#[inline(always)]
pub(crate) fn parameters<const N: usize>(spread: &[f32]) -> &[[Quad; N]] {
    quads(spread).as_chunks().0
}

/// Rows of a `[rows, channels]` matrix of `len` elements.
///
/// # Panics
/// If the elements do not fill whole rows.
pub(crate) fn rows(len: usize, channels: usize, what: &str) -> usize {
    assert!(
        channels > 0 && len.is_multiple_of(channels),
        "{what}: {len} elements are not whole rows of {channels} channels"
    );
    len / channels
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn every_chunk_is_met_once_with_its_index_and_none_where_there_is_nothing() {
        for (count, len) in [(0, 3), (1, 3), (3, 3), (10, 3), (12, 3), (100, 7)] {
            let mut values = vec![0; count];
            for_each_chunk(&mut values, len, |index, chunk| {
                assert!((1..=len).contains(&chunk.len()));
                chunk.iter_mut().for_each(|value| *value += 1 + index);
            });
            assert!(values.iter().enumerate().all(|(i, &value)| value == 1 + i / len), "{count} {len}: {values:?}");
        }
        for_each_chunk(&mut [0.0; 0], 0, |_, _| unreachable!("no chunk"));
    }

    #[test]
    fn every_task_runs_once() {
        let runs: Vec<_> = (0..50).map(|_| AtomicUsize::new(0)).collect();
        for_each_task(runs.len(), |task| _ = runs[task].fetch_add(1, Ordering::Relaxed));
        assert!(runs.into_iter().all(|runs| runs.into_inner() == 1));
    }
}
