//! What a forward convolution does to a part of its output while that part is still in cache.

use super::ChannelMoments;
use crate::lanes::{Kernel, LANES, Lanes};

/// What follows a forward convolution, in the same pass over its output.
#[derive(Debug)]
pub enum Epilogue<'a> {
    /// Nothing.
    None,
    /// Mean and variance of every channel are gathered, for a normalization by them.
    Moments(&'a mut ChannelMoments),
    /// Bias, residual and ReLU are applied.
    Activate(Activate<'a>),
}

/// `y ← act(y + bias [+ residual])`.
#[derive(Clone, Copy, Debug)]
pub struct Activate<'a> {
    /// `[channels_out]`
    pub bias: &'a [f32],
    /// As large as the output.
    pub residual: Option<&'a [f32]>,
    /// Whether `act` is `max(·, 0)`, or nothing.
    pub relu: bool,
}

impl Activate<'_> {
    /// The same for the elements of `part` alone.
    pub(super) fn of_part(&self, part: std::ops::Range<usize>) -> Self {
        Self { residual: self.residual.map(|residual| &residual[part]), ..*self }
    }

    /// `act(value)`.
    #[inline(always)]
    pub(super) fn act<V: Lanes>(&self, value: V) -> V {
        // In this order NaN stays NaN, so that a diverged network is noticed.
        if self.relu { V::splat(0.0).max(value) } else { value }
    }
}

/// Applies [`Activate`] to whole pixels `y`, `[pixels, channels]`.
pub(super) struct ActivateRows<'a> {
    pub y: &'a mut [f32],
    pub activate: Activate<'a>,
}

impl Kernel for ActivateRows<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { y, activate } = self;
        let channels = activate.bias.len();
        for first in (0..channels).step_by(LANES) {
            let block = first..channels.min(first + LANES);
            let bias = V::load_slice(&activate.bias[block.clone()]);
            for (pixel, y) in y.chunks_exact_mut(channels).enumerate() {
                let mut value = V::load_slice(&y[block.clone()]) + bias;
                if let Some(residual) = activate.residual {
                    value = value + V::load_slice(&residual[pixel * channels..][block.clone()]);
                }
                activate.act(value).store_slice(&mut y[block.clone()]);
            }
        }
    }
}
