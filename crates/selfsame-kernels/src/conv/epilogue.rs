//! What a forward convolution does to a part of its output while that part is still in cache.

use super::ChannelMoments;
use crate::disjoint::Disjoint;
use crate::lanes::{Kernel, LANES, Lanes};
use std::ops::Range;

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
    /// `act(value)`.
    #[inline(always)]
    pub(super) fn act<V: Lanes>(&self, value: V) -> V {
        // In this order NaN stays NaN, so that a diverged network is noticed.
        if self.relu { V::splat(0.0).max(value) } else { value }
    }
}

/// Applies [`Activate`] to some pixels and channels of the output `y`, `[pixels, channels]`.
pub(super) struct ActivatePanel<'a> {
    pub y: Disjoint<'a>,
    pub pixels: Range<usize>,
    pub columns: Range<usize>,
    pub activate: Activate<'a>,
}

impl Kernel for ActivatePanel<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { y, pixels, columns, activate } = self;
        let channels = activate.bias.len();
        for first in columns.clone().step_by(LANES) {
            let block = first..columns.end.min(first + LANES);
            let bias = V::load_slice(&activate.bias[block.clone()]);
            for pixel in pixels.clone() {
                let place = pixel * channels + block.start..pixel * channels + block.end;
                let y = y.part(place.clone());
                let mut value = V::load_slice(y) + bias;
                if let Some(residual) = activate.residual {
                    value = value + V::load_slice(&residual[place]);
                }
                activate.act(value).store_slice(y);
            }
        }
    }
}
