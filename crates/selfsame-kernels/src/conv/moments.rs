//! Mean and variance of every channel, gathered while a convolution writes its output.
//!
//! Each task adds, over the few hundred pixels it has just written, `Σ d` and `Σ d²` of the differences `d = y − shift` in f32,
//! group by group of sixteen pixels. The shift is the mean of the first group, so the squares are as small as the spread of
//! the channel, however far its mean is from 0 and however untypical its first pixel.
//! The tasks' sums are then moved to one common shift and added in f64, in the order of the tasks:
//! `Σ(y − s) = Σd + n·δ`, `Σ(y − s)² = Σd² + 2δ·Σd + n·δ²` with `δ = shift − s`.

use crate::{
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
};
use std::ops::Range;

/// Mean and biased variance per channel of a `[pixels, channels]` matrix.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelMoments {
    mean: Vec<f64>,
    variance: Vec<f64>,
    count: usize,
}

/// Rows of a task's sums: shift, `Σ d`, `Σ d²`, each of one value per channel.
pub(super) const SUMS: usize = 3;
/// Pixels whose sums are added to the others' as one.
const GROUP: usize = 16;

impl ChannelMoments {
    /// Room for `channels` channels, to be filled by a convolution.
    pub fn new(channels: usize) -> ChannelMoments {
        ChannelMoments { mean: vec![0.0; channels], variance: vec![0.0; channels], count: 0 }
    }

    /// Given statistics, as the running ones of a batch normalization; their count is 0.
    ///
    /// # Panics
    /// If their numbers differ.
    pub fn given(mean: &[f32], variance: &[f32]) -> ChannelMoments {
        assert_eq!(mean.len(), variance.len(), "means and variances");
        let [mean, variance] = [mean, variance].map(|values| values.iter().map(|&value| f64::from(value)).collect());
        ChannelMoments { mean, variance, count: 0 }
    }

    /// Of `count` pixels, mean and variance as `moments` tells them channel by channel.
    pub(crate) fn by_channel(channels: usize, count: usize, moments: impl Fn(usize) -> [f64; 2]) -> ChannelMoments {
        let (mean, variance) = (0..channels).map(|channel| moments(channel).into()).unzip();
        ChannelMoments { mean, variance, count }
    }

    /// Mean of each channel.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Biased variance (divided by the count) of each channel.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Number of pixels (batch × height × width) behind each moment.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Combines the sums `[task][3][channels]` of tasks that saw `pixels(task)` of the `count` pixels.
    pub(super) fn combine(&mut self, sums: &[f32], count: usize, pixels: impl Fn(usize) -> usize) {
        let channels = self.mean.len();
        self.count = count;
        // While adding, `mean` and `variance` hold the two sums about the first task's shift.
        self.mean.fill(0.0);
        self.variance.fill(0.0);
        let common = &sums[..channels];
        for (task, sums) in sums.chunks_exact(SUMS * channels).enumerate() {
            let n = pixels(task) as f64;
            let (shift, sums) = sums.split_at(channels);
            let (sum, squares) = sums.split_at(channels);
            for c in 0..channels {
                let (delta, sum) = (f64::from(shift[c]) - f64::from(common[c]), f64::from(sum[c]));
                self.mean[c] += sum + n * delta;
                self.variance[c] += f64::from(squares[c]) + delta * (2.0 * sum + n * delta);
            }
        }
        for c in 0..channels {
            let mean = self.mean[c] / count as f64;
            self.variance[c] = (self.variance[c] / count as f64 - mean * mean).max(0.0);
            self.mean[c] = mean + f64::from(common[c]);
        }
    }
}

/// Sums `[3][channels]` of some columns of the pixels `y`, `[pixels, channels]`, of one task.
pub(super) struct BlockSums<'a> {
    /// These columns of all pixels are read.
    pub y: Disjoint<'a>,
    pub pixels: Range<usize>,
    pub columns: Range<usize>,
    pub channels: usize,
    pub sums: &'a mut [f32],
}

impl Kernel for BlockSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { y, pixels, columns, channels, sums } = self;
        let (shifts, sums) = sums.split_at_mut(channels);
        let (sums, squares_of_channels) = sums.split_at_mut(channels);
        for first in columns.clone().step_by(LANES) {
            let block = first..columns.end.min(first + LANES);
            let mut shift = V::load_slice(y.part(pixels.start * channels + first..pixels.start * channels + block.end));
            let (mut sum, mut squares) = (V::splat(0.0), V::splat(0.0));
            for start in pixels.clone().step_by(GROUP) {
                let group = start..pixels.end.min(start + GROUP);
                let (mut group_sum, mut group_squares) = (V::splat(0.0), V::splat(0.0));
                for pixel in group.clone() {
                    let d = V::load_slice(y.part(pixel * channels + first..pixel * channels + block.end)) - shift;
                    group_sum = group_sum + d;
                    group_squares = d.mul_add(d, group_squares);
                }
                if start == pixels.start {
                    (shift, group_sum, group_squares) = about_mean(shift, group_sum, group_squares, group.len());
                }
                sum = sum + group_sum;
                squares = squares + group_squares;
            }
            shift.store_slice(&mut shifts[block.clone()]);
            sum.store_slice(&mut sums[block.clone()]);
            squares.store_slice(&mut squares_of_channels[block]);
        }
    }
}

/// The shift, `Σ d` and `Σ d²` of `n` values moved to (nearly) their mean, given them about another shift.
#[inline(always)]
pub(super) fn about_mean<V: Lanes>(shift: V, sum: V, squares: V, n: usize) -> (V, V, V) {
    let n = V::splat(n as f32);
    let mean = shift + sum / n;
    // The mean is rounded, so the differences from it do not add up to exactly 0.
    let moved = mean - shift;
    (mean, sum - n * moved, squares - moved * (sum + sum - n * moved))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_far_from_zero_does_not_cancel_the_variance() {
        // Channel c holds 1000·c + a sawtooth of variance (n² − 1)/12 · step².
        let (pixels, channels) = (1700, 21);
        let y: Vec<f32> = (0..pixels * channels)
            .map(|i| 1000.0 * (i % channels) as f32 + ((i / channels) % 17) as f32 / 64.0)
            .collect();
        let moments = ChannelMoments::of(&y, channels);
        for c in 0..channels {
            assert!((moments.mean()[c] - (1000.0 * c as f64 + 0.125)).abs() < 1e-9);
            assert!((moments.variance()[c] / (24.0 / 4096.0) - 1.0).abs() < 1e-6, "{}", moments.variance()[c]);
        }
        assert_eq!(moments.count(), pixels);
    }

    #[test]
    fn blocks_combine_to_the_moments_of_the_whole() {
        let (pixels, channels) = (1300, 3);
        let y: Vec<f32> = (0..pixels * channels).map(|i| (i as f32 * 0.37).sin() + i as f32 / 400.0).collect();
        let moments = ChannelMoments::of(&y, channels);
        for c in 0..channels {
            let column = || (0..pixels).map(|p| f64::from(y[p * channels + c]));
            let mean = column().sum::<f64>() / pixels as f64;
            let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / pixels as f64;
            assert!((moments.mean()[c] - mean).abs() < 1e-6 * mean.abs());
            assert!((moments.variance()[c] - variance).abs() < 1e-6 * variance);
        }
    }
}
