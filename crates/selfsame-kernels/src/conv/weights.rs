//! Weights of forward passes, packed for each call or once for many.

use super::{Algorithm, By, ConvShape, Span, direct, winograd};
use crate::{memory::Buffer, precision::at_precision};
use std::ops::Deref;

/// Weights in the order in which a forward pass reads them, made once for many calls: panels, or the panels of Winograd's points.
pub struct PackedWeights {
    by: By,
    kernel: [Span; 2],
    channels: [usize; 2],
    pub(super) panels: Buffer,
}

impl PackedWeights {
    /// Those of `w` for a shape, at the precision of this thread. They serve every shape of these weights that is computed alike:
    /// see [`Self::serve`].
    ///
    /// # Panics
    /// If the weights do not have the length of the shape.
    pub fn new(conv: &ConvShape, w: &[f32]) -> PackedWeights {
        PackedWeights::by(By::active(conv), conv, w)
    }

    pub(super) fn by(by: By, conv: &ConvShape, w: &[f32]) -> PackedWeights {
        conv.check(conv.input_len(), w.len(), conv.output_len());
        let isa = by.isa;
        let panels = at_precision!(by.precision, E => match by.algorithm {
            Algorithm::Direct => direct::packed_weights::<E>(isa, conv, w),
            Algorithm::Winograd2 => winograd::packed_weights::<E, 2>(isa, conv, w),
            Algorithm::Winograd4 => winograd::packed_weights::<E, 4>(isa, conv, w),
        });
        PackedWeights { by, kernel: [conv.y, conv.x], channels: [conv.channels_in, conv.channels_out], panels }
    }

    /// Whether a shape is computed with these, at the precision of this thread.
    pub fn serve(&self, conv: &ConvShape) -> bool {
        self.fit(By::active(conv), conv)
    }

    fn fit(&self, by: By, conv: &ConvShape) -> bool {
        let kernel_and_channels = ([conv.y, conv.x], [conv.channels_in, conv.channels_out]);
        (self.by, (self.kernel, self.channels)) == (by, kernel_and_channels)
    }
}

/// Weights of a forward pass.
#[derive(Clone, Copy)]
pub enum Weights<'a> {
    /// As they are, `[kernel y, kernel x, channels in, channels out]`.
    Plain(&'a [f32]),
    /// Packed before.
    Packed(&'a PackedWeights),
}

impl Weights<'_> {
    /// Values of the weights, of packed ones those of the shape that they are for.
    pub(super) fn len(&self, by: By, conv: &ConvShape) -> usize {
        match self {
            Weights::Plain(w) => w.len(),
            Weights::Packed(packed) => {
                assert!(
                    packed.fit(by, conv),
                    "weights packed for {:?} by {:?}, for {conv:?}",
                    packed.kernel,
                    packed.by
                );
                conv.weight_len()
            }
        }
    }

    /// The panels: those of before, or those that `pack` makes of the weights.
    pub(super) fn panels(&self, pack: impl FnOnce(&[f32]) -> Buffer) -> Panels<'_> {
        match self {
            Weights::Plain(w) => Panels::Own(pack(w)),
            Weights::Packed(packed) => Panels::Kept(&packed.panels),
        }
    }
}

/// Panels of this call, or of many.
pub(super) enum Panels<'a> {
    Own(Buffer),
    Kept(&'a [f32]),
}

impl Deref for Panels<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        match self {
            Panels::Own(panels) => panels,
            Panels::Kept(panels) => panels,
        }
    }
}
