//! Augmentations: what a representation should not care about, said as random operations on images.
//!
//! Parameters are drawn, then applied. So the same draw can be shown, replayed, measured, or used as a target, and
//! an operation can be compared with a reference at fixed parameters.
//!
//! A new augmentation is one file in [`image`], [`signal`] or [`vector`], one `mod` line and one line in `ENTRIES` there; or, outside of
//! this crate, one file and [`Augmentations::with`].

mod context;
pub mod dials;
pub mod golden;
pub mod image;
mod others;
mod pipeline;
mod registry;
mod resample;
pub mod signal;
#[cfg(test)]
mod tests;
pub mod vector;
mod vectorized;
mod view;

pub use context::AugmentationContext;
pub use dials::{DIALS, Dial};
pub use golden::{Deviation, GOLDEN, TOLERANCE, selftest};
pub use others::Others;
pub use pipeline::{Normalization, Pipeline};
pub use registry::{AugmentationEntry, Augmentations};
pub use resample::Interpolation;
pub use view::View;

use crate::image::{Image, Size};
use crate::modality::Modality;
use selfsame_base::rng::ViewRng;
use serde::Serialize;

/// An operation on images with random parameters.
///
/// [`Self::apply`] works on a [`View`], not on an [`Image`]: the decoded sample is shared by all its views and must
/// not be copied, and the buffers of a view serve one view after the other.
pub trait Augmentation: Send + Sync {
    /// Names of the values of a [`Draw`], in their order.
    fn parameter_names(&self) -> &'static [&'static str];

    /// Draws the parameters for an image of `size`.
    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw;

    /// Applies the operation. Called for draws with [`Draw::applied`] only.
    fn apply(&self, view: &mut View, draw: &Draw);

    /// Applies the operation to a decoded sample, leaving the result in `view`. Operations that read only a part of
    /// the sample can do better than to load the whole of it.
    fn apply_to_sample(&self, sample: &Image, view: &mut View, draw: &Draw) {
        view.load(sample);
        self.apply(view, draw);
    }

    /// Size after the operation on an image of `size`.
    fn output_size(&self, size: Size, _draw: &Draw) -> Size {
        size
    }

    /// Whether the output has the size that the recipe asks for, whatever the input's.
    fn resizes(&self) -> bool {
        false
    }

    /// Whether it borrows from other samples, which the view then holds.
    fn needs_others(&self) -> bool {
        false
    }
}

/// The parameters of one application of one augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Draw {
    /// Whether the operation is applied at all.
    pub applied: bool,
    /// Values as [`Augmentation::parameter_names`] lists them; the rest is 0.
    pub values: [f32; 5],
}

impl Draw {
    /// The operation is left out.
    pub const SKIP: Self = Self { applied: false, values: [0.0; 5] };

    /// The operation is applied with these values.
    pub fn of<const N: usize>(values: [f32; N]) -> Self {
        const { assert!(N <= 5) }
        Self { applied: true, values: std::array::from_fn(|i| values.get(i).copied().unwrap_or(0.0)) }
    }
}

/// Size and channels of the views that a recipe asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewShape {
    /// Height and width, px; of signals 1 and steps in time.
    pub size: Size,
    /// Channels per pixel: 1 to 16 of images, the features of vectors, the channels of signals.
    pub channels: usize,
    /// What they are views of.
    pub modality: Modality,
}

impl ViewShape {
    /// Of square images.
    pub const fn image(side: usize, channels: usize) -> Self {
        Self { size: Size::square(side), channels, modality: Modality::Image }
    }

    /// Of vectors.
    pub const fn vector(features: usize) -> Self {
        Self { size: Size::square(1), channels: features, modality: Modality::Vector }
    }

    /// Of signals, `steps` in time.
    pub const fn signal(steps: usize, channels: usize) -> Self {
        Self { size: Size { height: 1, width: steps }, channels, modality: Modality::Signal }
    }
}
