//! Image augmentations, one file each. All work on `f32` planes, on which `data.range` is 0..1.

mod color_drop;
mod color_jitter;
mod cutout;
mod gaussian_blur;
mod gaussian_noise;
mod grayscale;
mod horizontal_flip;
mod normalize;
mod random_erase;
mod random_resized_crop;
mod rotate;
mod sobel;
mod solarize;
mod vertical_flip;

pub(super) use color_jitter::ColorJitter;
pub(super) use gaussian_blur::GaussianBlur;
pub(super) use gaussian_noise::{GaussianNoise, noise, noise_seed};
pub(super) use grayscale::Grayscale;
pub(super) use horizontal_flip::HorizontalFlip;
pub(super) use random_resized_crop::RandomResizedCrop;
pub(super) use rotate::QuarterTurns;
pub(super) use solarize::Solarize;
pub(super) use vertical_flip::VerticalFlip;

use super::{Augmentation, AugmentationContext, AugmentationEntry, Draw, View};
use crate::modality::Modality;
use selfsame_config::{Kind, Range, Settings, settings};
use toml::Value;

/// Those after which time or frequency run the other way, where an image is one of a sound (`data.view = log_mel`): what no sound is like.
pub const TURNING: [&str; 3] = ["horizontal_flip", "vertical_flip", "rotate"];

/// The augmentations of images; some are for vectors too.
pub(super) static ENTRIES: &[AugmentationEntry] = &[
    random_resized_crop::ENTRY,
    horizontal_flip::ENTRY,
    vertical_flip::ENTRY,
    rotate::ENTRY,
    color_jitter::ENTRY,
    color_drop::ENTRY,
    grayscale::ENTRY,
    solarize::ENTRY,
    gaussian_blur::ENTRY,
    gaussian_noise::ENTRY,
    sobel::ENTRY,
    cutout::ENTRY,
    random_erase::ENTRY,
    normalize::ENTRY,
];

/// A rectangle that hides a part of the view, `[top, left, height, width]` in px.
const RECTANGLE: [&str; 4] = ["top_px", "left_px", "height_px", "width_px"];

/// The rows of a rectangle within a plane of `width` columns.
pub(in crate::augment) fn rectangle_rows<'a>(
    plane: &'a mut [f32],
    width: usize,
    rectangle: &[f32],
) -> impl Iterator<Item = &'a mut [f32]> {
    let [top, left, height, across] = std::array::from_fn(|i| rectangle[i] as usize);
    plane.chunks_exact_mut(width).skip(top).take(height).map(move |row| &mut row[left..left + across])
}

/// Mean of a plane, summed in 32 fixed lanes.
#[inline(always)]
pub(in crate::augment) fn mean(plane: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 32];
    let (blocks, rest) = plane.as_chunks::<32>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, v)| *lane += v);
    }
    let sum = lanes.iter().chain(rest).map(|&v| f64::from(v)).sum::<f64>();
    (sum / plane.len() as f64) as f32
}
