//! Patches: the input values that meet one output pixel, laid out for the micro-kernel.
//!
//! A convolution is the matmul `Y[pixel, co] = Σ_k P[pixel, k] · W[k, co]` with `k = (tap y, tap x, ci)`. The matrix `P` is
//! k² times the input, so it never exists as a whole: a task copies the patches of a few hundred pixels into L2, as blocks
//! `[k / 16][pixel][16]` of values or, where they are rounded, of pairs of values of successive `k` or, for a sum over pixels, of
//! successive pixels, and multiplies them with all of `W`. A copied vector serves one multiply-add per output channel, so
//! the copying is a few percent of the work; in return pixels of different rows and images sit next to each other, and
//! strides, padding, odd sizes and 1×1 maps are the business of this file alone.

use crate::lanes::{Kernel, LANES, Lanes, prefetch};
use crate::precision::Element;
use std::{marker::PhantomData, ops::Range};

/// How the output positions of one axis meet the input: output `i`, tap `t` reads `i · stride + offset + t`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    /// Input length.
    pub len: usize,
    /// Output length.
    pub out: usize,
    /// Input step per output step.
    pub stride: usize,
    /// Input position of output 0, tap 0; negative in the padding.
    pub offset: isize,
    /// Number of taps.
    pub taps: usize,
}

impl Axis {
    /// Taps of output `i` that read inside the input.
    #[inline(always)]
    fn inside(&self, i: usize) -> Range<usize> {
        let first = (i * self.stride) as isize + self.offset;
        let start = (-first).clamp(0, self.taps as isize);
        let end = (self.len as isize - first).clamp(start, self.taps as isize);
        start as usize..end as usize
    }

    /// Input position of output `i`, tap `t`, which is inside.
    #[inline(always)]
    fn at(&self, i: usize, t: usize) -> usize {
        ((i * self.stride + t) as isize + self.offset) as usize
    }
}

/// All patches of a batch of images `[batch, height, width, channels]`.
#[derive(Clone, Copy)]
pub(super) struct Patches<'a> {
    /// The images.
    pub x: &'a [f32],
    /// Their channels.
    pub channels: usize,
    /// Vertical axis.
    pub y_axis: Axis,
    /// Horizontal axis.
    pub x_axis: Axis,
}

impl Patches<'_> {
    /// Values of a patch.
    pub fn depth(&self) -> usize {
        self.y_axis.taps * self.x_axis.taps * self.channels
    }

    /// Blocks of sixteen values that hold a patch.
    pub fn blocks(&self) -> usize {
        self.depth().div_ceil(LANES)
    }

    /// Floats from one block of so many pixels to the next. A vector more than a block has: at a power-of-two distance the same pixel of
    /// all blocks would share one set of the L1 cache, and patches are written pixel by pixel.
    pub fn block_step<E: Element, const ACROSS: bool>(pixels: usize) -> usize {
        (if ACROSS { E::words(pixels) } else { pixels } + 1) * LANES
    }

    /// Floats that [`FillPatches`] needs for so many blocks of so many pixels: of `out` and of `staging`.
    pub fn room<E: Element, const ACROSS: bool>(&self, blocks: usize, pixels: usize) -> [usize; 2] {
        let staged = !self.channels.is_multiple_of(LANES) && (self.blocks() > 1 || E::PER_WORD > 1);
        let count = if ACROSS { blocks } else { E::words(blocks) };
        [count * Self::block_step::<E, ACROSS>(pixels), if staged { (pixels * self.blocks() + 1) * LANES } else { 0 }]
    }

    /// The runs of pixels in `pixels` that share an output row.
    pub fn segments(&self, pixels: Range<usize>) -> impl Iterator<Item = Segment> + use<> {
        let (height, width) = (self.y_axis.out, self.x_axis.out);
        let mut next = pixels.start;
        std::iter::from_fn(move || {
            let (row, column) = (next / width, next % width);
            let len = (width - column).min(pixels.end - next);
            let segment = Segment {
                first: next - pixels.start,
                image: row / height,
                row: row % height,
                columns: column..column + len,
            };
            next += len;
            (len > 0).then_some(segment)
        })
    }
}

/// Pixels of one output row.
pub(super) struct Segment {
    /// Place of the first pixel in the range.
    pub first: usize,
    pub image: usize,
    pub row: usize,
    pub columns: Range<usize>,
}

/// Copies the patches of `pixels` (counted over batch, height, width) into `out`, `[block in blocks][pixel][16]`, of which words hold
/// successive values of a patch or, `ACROSS`, successive pixels. Values from outside the image are 0.
pub(super) struct FillPatches<'a, E, const ACROSS: bool> {
    pub patches: &'a Patches<'a>,
    pub pixels: Range<usize>,
    pub blocks: Range<usize>,
    /// See [`Patches::room`], as for `staging`, which is scratch.
    pub out: &'a mut [f32],
    pub staging: &'a mut [f32],
    pub element: PhantomData<E>,
}

impl<E: Element, const ACROSS: bool> Kernel for FillPatches<'_, E, ACROSS> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let count = self.pixels.len();
        let [out, staging] = self.patches.room::<E, ACROSS>(self.blocks.len(), count);
        assert!(self.out.len() >= out && self.staging.len() >= staging, "patches do not fit");
        if self.patches.channels.is_multiple_of(LANES) {
            self.copy_vectors::<V>(Patches::block_step::<E, ACROSS>(count));
        } else {
            self.copy_runs::<V>(count);
        }
    }
}

impl<E: Element, const ACROSS: bool> FillPatches<'_, E, ACROSS> {
    /// Writes sixteen values of a pixel, those of the `slot`-th block, in the order of pixels; blocks are `step` apart.
    #[inline(always)]
    fn put<V: Lanes>(out: &mut [f32], values: V, slot: usize, pixel: usize, step: usize) {
        if ACROSS {
            let at = slot * step + pixel / E::PER_WORD * LANES;
            // SAFETY: sixteen words.
            unsafe { E::store_across(values, pixel, out[at..at + LANES].as_mut_ptr()) };
        } else {
            let at = E::along(slot, step) + pixel * LANES;
            // SAFETY: as many words as sixteen values have.
            unsafe { E::store_along(values, out[at..at + LANES / E::PER_WORD].as_mut_ptr()) };
        }
    }

    /// Channels in whole vectors: a block is sixteen channels of one tap. For every pixel and tap row, the taps inside the image
    /// are one run of the input, read from end to end.
    #[inline(always)]
    fn copy_vectors<V: Lanes>(self, step: usize) {
        let Patches { x, channels, y_axis, x_axis } = *self.patches;
        let per_tap = channels / LANES;
        let per_row = x_axis.taps * per_tap;
        // From a run to that of the next output row, which is asked for where no other tap row reads it before.
        let below = y_axis.stride * x_axis.len * channels;
        let all = self.blocks.len() == y_axis.taps * per_row;
        for segment in self.patches.segments(self.pixels) {
            let ys = y_axis.inside(segment.row);
            for (pixel, column) in segment.columns.clone().enumerate() {
                let place = segment.first + pixel;
                let xs = x_axis.inside(column);
                for ty in self.blocks.start / per_row..self.blocks.end.div_ceil(per_row) {
                    // The blocks of this tap row, and those of them with values.
                    let row = self.blocks.start.max(ty * per_row)..self.blocks.end.min((ty + 1) * per_row);
                    let first = (ty * per_row + xs.start * per_tap).clamp(row.start, row.end);
                    let end = (ty * per_row + xs.end * per_tap).clamp(first, row.end);
                    let (first, end) = if ys.contains(&ty) { (first, end) } else { (row.start, row.start) };
                    for block in row.start..first {
                        Self::put(self.out, V::splat(0.0), block - self.blocks.start, place, step);
                    }
                    if first < end {
                        let source = (segment.image * y_axis.len + y_axis.at(segment.row, ty)) * x_axis.len;
                        let source = (source + x_axis.at(column, xs.start)) * channels;
                        let source = source + (first - ty * per_row) * LANES - xs.start * channels;
                        let (from, _) = x[source..source + (end - first) * LANES].as_chunks::<LANES>();
                        let fresh = !all || ty + y_axis.stride >= y_axis.taps;
                        for (block, from) in (first..end).zip(from) {
                            if fresh {
                                prefetch(from.as_ptr().wrapping_add(below));
                            }
                            Self::put(self.out, V::load(from), block - self.blocks.start, place, step);
                        }
                    }
                    for block in end..row.end {
                        Self::put(self.out, V::splat(0.0), block - self.blocks.start, place, step);
                    }
                }
            }
        }
    }

    /// Any number of channels: for every tap row, the taps and channels inside the image are one run of the input. Patches
    /// are put together one after the other, `[pixel][block][16]`, in runs of whole vectors: what a run writes too much, the
    /// next run or patch writes again. Whole values beyond the depth keep what they hold, nobody reads them; a word of two may be read
    /// for the other, so those become 0.
    #[inline(always)]
    fn copy_runs<V: Lanes>(self, count: usize) {
        let Patches { x, channels, y_axis, x_axis } = *self.patches;
        let (row_len, blocks) = (x_axis.taps * channels, self.patches.blocks());
        let in_place = blocks == 1 && E::PER_WORD == 1;
        let staging = if in_place { &mut *self.out } else { &mut *self.staging };
        for segment in self.patches.segments(self.pixels) {
            let ys = y_axis.inside(segment.row);
            let image_row = segment.image * y_axis.len;
            for (pixel, column) in segment.columns.clone().enumerate() {
                let xs = x_axis.inside(column);
                let patch = (segment.first + pixel) * blocks * LANES;
                let patch = &mut staging[patch..patch + (blocks + 1) * LANES];
                let whole = xs.len() == x_axis.taps && ys.len() == y_axis.taps;
                if !whole {
                    patch.fill(0.0);
                }
                if xs.is_empty() {
                    continue;
                }
                for ty in ys.clone() {
                    let row = image_row + y_axis.at(segment.row, ty);
                    let from = &x[(row * x_axis.len + x_axis.at(column, xs.start)) * channels..];
                    let (len, start) = (xs.len() * channels, ty * row_len + xs.start * channels);
                    for part in (0..len).step_by(LANES) {
                        let to = &mut patch[start + part..][..LANES];
                        match from[part..].first_chunk() {
                            Some(from) if whole => V::load(from).store_slice(to),
                            _ => V::load_slice(&from[part..len.min(part + LANES)]).store_slice(to),
                        }
                    }
                }
            }
        }
        if in_place {
            return;
        }
        let (depth, step) = (self.patches.depth(), Patches::block_step::<E, ACROSS>(count));
        for (slot, block) in self.blocks.enumerate() {
            let end = if E::PER_WORD > 1 { depth.min((block + 1) * LANES) } else { (block + 1) * LANES };
            for (pixel, patch) in self.staging.chunks(blocks * LANES).take(count).enumerate() {
                Self::put(self.out, V::load_slice(&patch[block * LANES..end]), slot, pixel, step);
            }
        }
    }
}
