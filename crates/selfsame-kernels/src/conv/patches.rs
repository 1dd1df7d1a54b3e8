//! Patches: the input values that meet one output pixel, laid out for the micro-kernel.
//!
//! A convolution is the matmul `Y[pixel, co] = Σ_k P[pixel, k] · W[k, co]` with `k = (tap y, tap x, ci)`. The matrix `P` is
//! k² times the input, so it never exists as a whole: a task copies the patches of a few hundred pixels into L2, as blocks
//! `[k / 16][pixel][16]`, and multiplies them with all of `W`. A copied vector serves one multiply-add per output channel, so
//! the copying is a few percent of the work; in return pixels of different rows and images sit next to each other, and
//! strides, padding, odd sizes and 1×1 maps are the business of this file alone.

use crate::lanes::{Kernel, LANES, Lanes};
use std::ops::Range;

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

    /// Floats that [`FillPatches`] needs for so many blocks of so many pixels: of `out` and of `staging`.
    pub fn room(&self, blocks: usize, pixels: usize) -> [usize; 2] {
        let staged = !self.channels.is_multiple_of(LANES) && self.blocks() > 1;
        [(blocks * pixels + 1) * LANES, if staged { (pixels * self.blocks() + 1) * LANES } else { 0 }]
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

/// Copies the patches of `pixels` (counted over batch, height, width) into `out`, `[block in blocks][pixel][16]`. Values
/// from outside the image and beyond the depth are 0.
pub(super) struct FillPatches<'a> {
    pub patches: &'a Patches<'a>,
    pub pixels: Range<usize>,
    pub blocks: Range<usize>,
    /// See [`Patches::room`], as for `staging`, which is scratch.
    pub out: &'a mut [f32],
    pub staging: &'a mut [f32],
}

impl Kernel for FillPatches<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let count = self.pixels.len();
        let [out, staging] = self.patches.room(self.blocks.len(), count);
        assert!(self.out.len() >= out && self.staging.len() >= staging, "patches do not fit");
        if self.patches.channels.is_multiple_of(LANES) {
            self.copy_vectors::<V>(count);
        } else {
            self.copy_runs::<V>(count);
        }
    }
}

impl FillPatches<'_> {
    /// Channels in whole vectors: a block is sixteen channels of one tap. For every pixel and tap row, the taps inside the image
    /// are one run of the input, read from end to end.
    #[inline(always)]
    fn copy_vectors<V: Lanes>(self, count: usize) {
        let Patches { x, channels, y_axis, x_axis } = *self.patches;
        let per_tap = channels / LANES;
        let per_row = x_axis.taps * per_tap;
        for segment in self.patches.segments(self.pixels) {
            let ys = y_axis.inside(segment.row);
            for (pixel, column) in segment.columns.clone().enumerate() {
                let place = (segment.first + pixel) * LANES;
                let xs = x_axis.inside(column);
                for ty in self.blocks.start / per_row..self.blocks.end.div_ceil(per_row) {
                    // The blocks of this tap row, and those of them with values.
                    let row = self.blocks.start.max(ty * per_row)..self.blocks.end.min((ty + 1) * per_row);
                    let first = (ty * per_row + xs.start * per_tap).clamp(row.start, row.end);
                    let end = (ty * per_row + xs.end * per_tap).clamp(first, row.end);
                    let (first, end) = if ys.contains(&ty) { (first, end) } else { (row.start, row.start) };
                    let mut to = self.out[(row.start - self.blocks.start) * count * LANES..].chunks_mut(count * LANES);
                    for to in to.by_ref().take(first - row.start) {
                        V::splat(0.0).store_slice(&mut to[place..place + LANES]);
                    }
                    if first < end {
                        let source = (segment.image * y_axis.len + y_axis.at(segment.row, ty)) * x_axis.len;
                        let source = (source + x_axis.at(column, xs.start)) * channels;
                        let source = source + (first - ty * per_row) * LANES - xs.start * channels;
                        let (from, _) = x[source..source + (end - first) * LANES].as_chunks::<LANES>();
                        for (from, to) in from.iter().zip(to.by_ref()) {
                            V::load(from).store_slice(&mut to[place..place + LANES]);
                        }
                    }
                    for to in to.take(row.end - end) {
                        V::splat(0.0).store_slice(&mut to[place..place + LANES]);
                    }
                }
            }
        }
    }

    /// Any number of channels: for every tap row, the taps and channels inside the image are one run of the input. Patches
    /// are put together one after the other, `[pixel][block][16]`, in runs of whole vectors: what a run writes too much, the
    /// next run or patch writes again. Lanes beyond the depth keep what they hold; nobody reads them.
    #[inline(always)]
    fn copy_runs<V: Lanes>(self, count: usize) {
        let Patches { x, channels, y_axis, x_axis } = *self.patches;
        let (row_len, blocks) = (x_axis.taps * channels, self.patches.blocks());
        let staging = if blocks == 1 { &mut *self.out } else { &mut *self.staging };
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
        if blocks == 1 {
            return;
        }
        for (slot, block) in self.blocks.enumerate() {
            let (to, _) = self.out[slot * count * LANES..(slot + 1) * count * LANES].as_chunks_mut::<LANES>();
            for (to, patch) in to.iter_mut().zip(self.staging.chunks(blocks * LANES)) {
                V::load_slice(&patch[block * LANES..(block + 1) * LANES]).store(to);
            }
        }
    }
}
