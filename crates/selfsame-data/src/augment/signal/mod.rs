//! Augmentations of signals, and of the log-mel images of sounds, one file each.
//!
//! All work on standardized steps in time (of each channel, the mean is 0 and the standard deviation 1), so strengths mean the
//! same for data of any unit. They see the steps that a sample has and nothing else: a short one is padded when they are done.
//! Images of sounds are images: `data.range` is 0..1, time runs along the columns, frequency along the rows.

mod band_stop;
mod channel_dropout;
mod frequency_mask;
pub mod golden;
mod jitter;
mod magnitude_warp;
mod mix_background;
mod permutation;
mod random_crop;
mod random_gain;
mod scaling;
mod spline;
#[cfg(test)]
mod tests;
mod time_mask;
mod time_shift;
mod time_warp;

use super::image::{GaussianNoise, mean, noise, noise_seed, rectangle_rows};
use super::{Augmentation, AugmentationEntry, Draw, View};
use crate::image::Size;
use crate::modality::Modality;
use selfsame_base::rng::ViewRng;
use selfsame_config::{Kind, Range, Settings, settings};
use spline::curve;

/// The augmentations of signals and of the images of sounds.
pub(super) static ENTRIES: &[AugmentationEntry] = &[
    random_crop::ENTRY,
    jitter::ENTRY,
    scaling::ENTRY,
    random_gain::ENTRY,
    magnitude_warp::ENTRY,
    time_warp::ENTRY,
    permutation::ENTRY,
    time_shift::ENTRY,
    channel_dropout::ENTRY,
    time_mask::ENTRY,
    frequency_mask::ENTRY,
    band_stop::ENTRY,
    mix_background::ENTRY,
];

/// A part of `0..length` that covers a share of it between `share[0]` and `share[1]`: start and length, rounded.
fn part(length: usize, share: [f32; 2], rng: &mut ViewRng) -> [f32; 2] {
    let covered = (rng.uniform(share[0], share[1]) * length as f32).round() as usize;
    [rng.below(length - covered.min(length) + 1), covered].map(|v| v as f32)
}
