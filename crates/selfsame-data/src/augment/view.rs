//! A view in the making.

use super::Others;
use super::resample::{Crop, Resampler};
use super::vectorized::{unit, vectorized};
use crate::image::{Image, Pixels, Size, ValueRange};
use crate::modality::Columns;
use std::sync::Arc;

/// The image that augmentations work on: planar `f32`, so that every loop runs over neighbors in memory whatever
/// the channel count, with the buffers that operations need, kept from one view to the next.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    /// What of the samples becomes 0 and 1.
    pub(super) range: ValueRange,
    /// Whether values lie in `0..=1` and are clipped to it: not so when the sample itself was `f32`, or has another range.
    pub(super) unit_range: bool,
    /// `[channels, height, width]`.
    pub(super) values: Vec<f32>,
    /// Output of operations that cannot work in place; swapped with `values`.
    pub(super) spare: Vec<f32>,
    /// One line with its borders.
    pub(super) line: Vec<f32>,
    pub(super) resampler: Resampler,
    /// Samples to borrow from.
    pub(super) others: Option<Arc<Others>>,
    /// Of a vector.
    pub(super) columns: Arc<Columns>,
}

impl View {
    /// The whole of `sample`, converted.
    pub fn load(&mut self, sample: &Image) {
        self.reset(sample, sample.size());
        let channels = self.channels;
        match &sample.pixels {
            Pixels::U8(pixels) => planes(pixels, channels, &mut self.values, |v| f32::from(v) * (1.0 / 255.0)),
            Pixels::U16(pixels) => planes(pixels, channels, &mut self.values, |v| f32::from(v) * (1.0 / 65535.0)),
            Pixels::F32(pixels) => planes(pixels, channels, &mut self.values, |v| v),
        }
        self.rescale();
    }

    /// The whole of a vector or signal, `value · scale + shift`, both by channel; it has no bounds.
    pub(super) fn load_normalized(&mut self, sample: &Image, scale: &[f32], shift: &[f32]) {
        self.load(sample);
        self.unit_range = false;
        let plane = self.height * self.width;
        for ((values, scale), shift) in self.values.chunks_exact_mut(plane).zip(scale).zip(shift) {
            values.iter_mut().for_each(|value| *value = *value * scale + shift);
        }
    }

    /// Samples to borrow from, the columns of them all, and the values of this view.
    pub(super) fn with_others(&mut self) -> (&Others, &Columns, &mut [f32]) {
        let others = self.others.as_deref().expect("a pipeline whose steps borrow is given samples");
        (others, &self.columns, &mut self.values)
    }

    /// From now on, loads samples so that `range` becomes 0..1.
    pub fn set_range(&mut self, range: ValueRange) {
        self.range = range;
    }

    /// Brings what was loaded from the scale of the data to 0..1.
    fn rescale(&mut self) {
        if self.range != ValueRange::UNIT {
            let (low, scale) = (self.range.low, 1.0 / self.range.span());
            vectorized!(self.values.iter_mut().for_each(|v| *v = (*v - low) * scale));
        }
    }

    /// The largest centered part of `sample` in the proportions of `size`, resized to it: the view for evaluation, without chance.
    pub fn fit(&mut self, sample: &Image, size: Size) {
        self.load_crop(sample, Crop::centered_like(sample.size(), size), size);
    }

    /// `crop` of `sample`, resized to `size`.
    pub(super) fn load_crop(&mut self, sample: &Image, crop: Crop, size: Size) {
        self.reset(sample, size);
        self.resampler.interleaved(sample, crop, size.sides(), &mut self.values);
        self.rescale();
        self.clip();
    }

    /// The `length` steps of a signal from `start` on, in place of the whole.
    pub fn keep_steps(&mut self, start: usize, length: usize) {
        for channel in 0..self.channels {
            let from = channel * self.width + start;
            self.values.copy_within(from..from + length, channel * length);
        }
        self.values.truncate(self.channels * length);
        self.width = length;
    }

    /// `crop` of this view, resized to `size`.
    pub(super) fn resize_crop(&mut self, crop: Crop, size: Size) {
        self.spare.resize(self.channels * size.area(), 0.0);
        self.resampler.planar(&self.values, self.size(), crop, size.sides(), &mut self.spare);
        (self.height, self.width) = (size.height, size.width);
        std::mem::swap(&mut self.values, &mut self.spare);
        self.clip();
    }

    fn reset(&mut self, sample: &Image, size: Size) {
        (self.height, self.width, self.channels) = (size.height, size.width, sample.channels);
        self.unit_range = !matches!(sample.pixels, Pixels::F32(_)) && self.range == ValueRange::UNIT;
        self.values.resize(size.height * size.width * sample.channels, 0.0);
    }

    /// Height and width.
    pub fn size(&self) -> Size {
        Size { height: self.height, width: self.width }
    }

    /// Channels.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// `[channels, height, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The planes, each `[height, width]`.
    pub fn planes_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut((self.height * self.width).max(1))
    }

    /// Red, green and blue, each `[height, width]`.
    pub(super) fn rgb_mut(&mut self) -> [&mut [f32]; 3] {
        assert_eq!(self.channels, 3, "color operations on other channel counts are refused when the recipe is read");
        let (red, rest) = self.values.split_at_mut(self.height * self.width);
        let (green, blue) = rest.split_at_mut(self.height * self.width);
        [red, green, blue]
    }

    /// Clips to `0..=1`, unless the sample was `f32` or has another range.
    pub fn clip(&mut self) {
        if self.unit_range {
            vectorized!(self.values.iter_mut().for_each(|v| *v = unit(*v)));
        }
    }

    /// Writes `value · scale + shift`, both by channel, to `out`, `[height, width, channels]`.
    pub fn write(&self, scale: &[f32], shift: &[f32], out: &mut [f32]) {
        let plane = self.height * self.width;
        assert_eq!(out.len(), self.values.len(), "a view of {plane} px and {} channels", self.channels);
        vectorized!(match self.channels {
            1 => out.iter_mut().zip(&self.values).for_each(|(out, v)| *out = v * scale[0] + shift[0]),
            3 => {
                let (red, rest) = self.values.split_at(plane);
                let (green, blue) = rest.split_at(plane);
                for (((out, r), g), b) in out.chunks_exact_mut(3).zip(red).zip(green).zip(blue) {
                    out[0] = r * scale[0] + shift[0];
                    out[1] = g * scale[1] + shift[1];
                    out[2] = b * scale[2] + shift[2];
                }
            }
            channels => {
                for (c, values) in self.values.chunks_exact(plane).enumerate() {
                    let out = out[c..].iter_mut().step_by(channels);
                    out.zip(values).for_each(|(out, v)| *out = v * scale[c] + shift[c]);
                }
            }
        });
    }

    /// The view as an image, `[height, width, channels]`.
    pub fn to_image(&self) -> Image {
        let mut pixels = vec![0.0; self.values.len()];
        self.write(&vec![1.0; self.channels], &vec![0.0; self.channels], &mut pixels);
        Image::new(self.height, self.width, self.channels, Pixels::F32(pixels))
    }
}

/// Interleaved to planar.
fn planes<T: Copy>(pixels: &[T], channels: usize, values: &mut [f32], convert: impl Fn(T) -> f32) {
    let plane = (pixels.len() / channels).max(1);
    for (c, values) in values.chunks_exact_mut(plane).enumerate() {
        let pixels = pixels.chunks_exact(channels);
        values.iter_mut().zip(pixels).for_each(|(v, pixel)| *v = convert(pixel[c]));
    }
}
