//! Crop and resize in one operation: bicubic with a = −0.5 (Keys 1981), or bilinear. When it shrinks, the kernel is widened
//! against aliasing. Nothing outside the crop is read.
//!
//! Two passes. The horizontal one takes [`LANES`] rows at a time and lays them side by side, so that a weighted sum of
//! vectors is one output pixel of each of the rows; it reads any pixel format and any channel count and writes planes.
//! The vertical one then adds whole weighted rows.

use super::vectorized::{block_starts, vectorized};
use crate::image::{Image, Pixels, Size};
use serde::{Deserialize, Serialize};

/// Rows that the horizontal pass takes together.
const LANES: usize = 8;

/// How an image is resized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Keys' cubic, over 4 × 4 pixels: sharper, and overshoots a little.
    #[default]
    Bicubic,
    /// A triangle, over 2 × 2 pixels.
    Bilinear,
}

impl Interpolation {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["bicubic", "bilinear"];

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The one with that word.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Bicubic, Self::Bilinear].into_iter().find(|interpolation| interpolation.word() == word)
    }

    /// Distance at which the kernel ends, px.
    fn support(self) -> f64 {
        match self {
            Self::Bicubic => 2.0,
            Self::Bilinear => 1.0,
        }
    }
}

/// A part of an image, px.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crop {
    pub top: usize,
    pub left: usize,
    pub height: usize,
    pub width: usize,
}

impl Crop {
    /// The largest part in the middle that has the proportions of `like`.
    pub fn centered_like(size: Size, like: Size) -> Self {
        let part = |most: usize, own: usize, other: usize| (most * own + other / 2) / other;
        if size.height * like.width <= size.width * like.height {
            Self::centered(size, size.height, part(size.height, like.width, like.height).max(1))
        } else {
            Self::centered(size, part(size.width, like.height, like.width).max(1), size.width)
        }
    }

    /// `height` × `width` in the middle of `size`.
    pub fn centered(size: Size, height: usize, width: usize) -> Self {
        Self { top: (size.height - height) / 2, left: (size.width - width) / 2, height, width }
    }
}

/// Weights of the inputs of every output along one axis. All outputs have the same number of taps, the surplus ones
/// weighing nothing.
#[derive(Clone, Debug, Default)]
struct Filter {
    built_for: Option<(usize, usize, u32, Interpolation)>,
    taps: usize,
    /// First input of each output.
    starts: Vec<usize>,
    /// `[output, taps]`.
    weights: Vec<f32>,
    /// Distance of the first input's center from the output's, in input pixels.
    offsets: Vec<f32>,
    /// As `weights`, `[taps, output]`, not normalized.
    by_tap: Vec<f32>,
    sums: Vec<f32>,
}

impl Filter {
    /// From `input` to `output` pixels; the weights of an output sum to `gain`.
    fn build(&mut self, input: usize, output: usize, gain: f32, interpolation: Interpolation) {
        let key = Some((input, output, gain.to_bits(), interpolation));
        if self.built_for == key {
            return;
        }
        self.built_for = key;
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let support = interpolation.support() * stretch;
        self.taps = ((2.0 * support).ceil() as usize).min(input);
        self.starts.clear();
        self.offsets.clear();
        for i in 0..output {
            let center = (i as f64 + 0.5) * scale;
            // Positive before the conversion, which cuts the fraction off.
            let start = ((center - support + 0.5).max(0.0) as usize).min(input - self.taps);
            self.starts.push(start);
            self.offsets.push((start as f64 + 0.5 - center) as f32);
        }
        self.sums.clear();
        self.sums.resize(output, 0.0);
        self.by_tap.resize(self.taps * output, 0.0);
        self.weights.resize(self.taps * output, 0.0);
        let per_pixel = (1.0 / stretch) as f32;
        vectorized!({
            match interpolation {
                Interpolation::Bicubic => self.weigh(output, per_pixel, bicubic),
                Interpolation::Bilinear => self.weigh(output, per_pixel, bilinear),
            }
            self.sums.iter_mut().for_each(|sum| *sum = gain / *sum);
        });
        for (i, (weights, factor)) in self.weights.chunks_exact_mut(self.taps).zip(&self.sums).enumerate() {
            let unscaled = self.by_tap[i..].iter().step_by(output);
            weights.iter_mut().zip(unscaled).for_each(|(weight, unscaled)| *weight = unscaled * factor);
        }
    }

    /// Weights, not normalized, and their sums.
    #[inline(always)]
    fn weigh(&mut self, output: usize, per_pixel: f32, kernel: impl Fn(f32) -> f32) {
        for (k, weights) in self.by_tap.chunks_exact_mut(output).enumerate() {
            for ((weight, sum), offset) in weights.iter_mut().zip(&mut self.sums).zip(&self.offsets) {
                *weight = kernel((offset + k as f32) * per_pixel);
                *sum += *weight;
            }
        }
    }

    /// First input and weights of each output.
    #[inline(always)]
    fn outputs(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.taps))
    }
}

/// Keys' cubic with a = −0.5; 0 beyond 2.
#[inline(always)]
fn bicubic(x: f32) -> f32 {
    let x = x.abs();
    let near = (1.5 * x - 2.5) * x * x + 1.0;
    let far = ((2.5 - 0.5 * x) * x - 4.0) * x + 2.0;
    let far = if x < 2.0 { far } else { 0.0 };
    if x < 1.0 { near } else { far }
}

/// A triangle; 0 beyond 1.
#[inline(always)]
fn bilinear(x: f32) -> f32 {
    let near = 1.0 - x.abs();
    if near > 0.0 { near } else { 0.0 }
}

/// The resampler and its buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Resampler {
    pub interpolation: Interpolation,
    horizontal: Filter,
    vertical: Filter,
    /// [`LANES`] input rows side by side, `[input width, channels]`.
    columns: Vec<[f32; LANES]>,
    /// [`LANES`] output rows side by side, `[output width, channels of a group]`.
    sums: Vec<[f32; LANES]>,
    /// Output of the horizontal pass, `[channels, input height in whole blocks, output width]`.
    rows: Vec<f32>,
}

impl Resampler {
    /// `crop` of an interleaved image to `size` (`[height, width]`), into `out`, `[channels, height, width]`. 8-bit
    /// and 16-bit pixels are scaled to `0..=1`; the cubic may overshoot that by a little.
    pub fn interleaved(&mut self, image: &Image, crop: Crop, size: [usize; 2], out: &mut [f32]) {
        let (width, channels) = (image.width, image.channels);
        match &image.pixels {
            Pixels::U8(pixels) => self.run(pixels, width, channels, 1.0 / 255.0, crop, size, out),
            Pixels::U16(pixels) => self.run(pixels, width, channels, 1.0 / 65535.0, crop, size, out),
            Pixels::F32(pixels) => self.run(pixels, width, channels, 1.0, crop, size, out),
        }
    }

    /// As [`Self::interleaved`], from planes of `from`.
    pub fn planar(&mut self, planes: &[f32], from: Size, crop: Crop, size: [usize; 2], out: &mut [f32]) {
        let planes = planes.chunks_exact(from.height * from.width);
        for (plane, out) in planes.zip(out.chunks_exact_mut(size[0] * size[1])) {
            self.run(plane, from.width, 1, 1.0, crop, size, out);
        }
    }

    fn run<T: Copy + Into<f32>>(
        &mut self,
        pixels: &[T],
        image_width: usize,
        channels: usize,
        gain: f32,
        crop: Crop,
        size: [usize; 2],
        out: &mut [f32],
    ) {
        self.horizontal.build(crop.width, size[1], gain, self.interpolation);
        self.vertical.build(crop.height, size[0], 1.0, self.interpolation);
        self.columns.resize(crop.width * channels, [0.0; LANES]);
        let padded = crop.height.next_multiple_of(LANES);
        self.rows.resize(channels * padded * size[1], 0.0);
        let first = (crop.top * image_width + crop.left) * channels;
        vectorized!({
            self.horizontal_pass(&pixels[first..], image_width * channels, channels, crop.height);
            let planes = self.rows.chunks_exact(padded * size[1]);
            for (rows, out) in planes.zip(out.chunks_exact_mut(size[0] * size[1])) {
                match size[1] {
                    32.. => vertical_pass::<32>(rows, size[1], &self.vertical, out),
                    8.. => vertical_pass::<8>(rows, size[1], &self.vertical, out),
                    _ => vertical_pass::<1>(rows, size[1], &self.vertical, out),
                }
            }
        });
    }

    /// From `height` rows, `stride` values apart, to `self.rows`.
    #[inline(always)]
    fn horizontal_pass<T: Copy + Into<f32>>(&mut self, pixels: &[T], stride: usize, channels: usize, height: usize) {
        let values = self.columns.len();
        for y in (0..height).step_by(LANES) {
            // The last block repeats the last row instead of having fewer.
            let lines: [&[T]; LANES] = std::array::from_fn(|r| &pixels[(y + r).min(height - 1) * stride..][..values]);
            for (j, column) in self.columns.iter_mut().enumerate() {
                *column = std::array::from_fn(|r| lines[r][j].into());
            }
            // Colors together, so that a weight that is loaded serves all three.
            let mut c = 0;
            while c < channels {
                c += match channels - c {
                    3.. => self.horizontal_sums::<3>(c, channels, y, height),
                    _ => self.horizontal_sums::<1>(c, channels, y, height),
                };
            }
        }
    }

    /// The sums of the rows in `self.columns` for the `C` channels from `first` on; returns `C`.
    #[inline(always)]
    fn horizontal_sums<const C: usize>(&mut self, first: usize, channels: usize, y: usize, height: usize) -> usize {
        let width = self.horizontal.starts.len();
        self.sums.resize(width * C, [0.0; LANES]);
        let sums = self.sums.as_chunks_mut::<C>().0;
        for (out, (start, weights)) in sums.iter_mut().zip(self.horizontal.outputs()) {
            let mut sum = [[0.0; LANES]; C];
            for (weight, column) in weights.iter().zip(self.columns[start * channels..].chunks_exact(channels)) {
                for (sum, column) in sum.iter_mut().zip(&column[first..first + C]) {
                    sum.iter_mut().zip(column).for_each(|(sum, v)| *sum += weight * v);
                }
            }
            *out = sum;
        }
        let padded = height.next_multiple_of(LANES);
        for c in 0..C {
            let rows = &mut self.rows[((first + c) * padded + y) * width..][..LANES * width];
            for (x, sum) in sums.iter().enumerate() {
                // Eight stores: gathering a row's values from the sums takes several times as long.
                sum[c].iter().enumerate().for_each(|(r, v)| rows[r * width + x] = *v);
            }
        }
        C
    }
}

/// From `rows`, `[input height, width]`, to `out`, `[output height, width]`; `B` sums at a time stay in registers.
#[inline(always)]
fn vertical_pass<const B: usize>(rows: &[f32], width: usize, filter: &Filter, out: &mut [f32]) {
    for (out, (start, weights)) in out.chunks_exact_mut(width).zip(filter.outputs()) {
        for from in block_starts::<B>(width) {
            let mut sums = [0.0; B];
            for (weight, row) in weights.iter().zip(rows[start * width..].chunks_exact(width)) {
                sums.iter_mut().zip(&row[from..][..B]).for_each(|(sum, v)| *sum += weight * v);
            }
            out[from..][..B].copy_from_slice(&sums);
        }
    }
}
