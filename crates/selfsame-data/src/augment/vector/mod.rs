//! Augmentations of vectors, one file each. All work on standardized features: of each, the mean is 0 and the standard
//! deviation 1.

mod feature_corruption;
mod feature_dropout;
mod mixup;

use super::image::{noise, noise_seed};
use super::{Augmentation, AugmentationEntry, Draw, View};
use crate::image::Size;
use crate::modality::{Columns, Modality};
use selfsame_base::rng::ViewRng;
use selfsame_config::{Kind, Range, Settings, settings};
use std::ops;

/// The augmentations of vectors alone.
pub(super) static ENTRIES: &[AugmentationEntry] = &[feature_corruption::ENTRY, feature_dropout::ENTRY, mixup::ENTRY];

/// Visits the channels of `share` of the `columns`, rounded down, drawn without replacement.
fn some_of(columns: &Columns, share: f32, rng: &mut ViewRng, mut visit: impl FnMut(ops::Range<usize>, &mut ViewRng)) {
    let count = columns.len();
    let mut order: Vec<u32> = (0..count as u32).collect();
    for place in 0..columns.part(share) {
        order.swap(place, place + rng.below(count - place));
        visit(columns.channels_of(order[place] as usize), rng);
    }
}

#[cfg(test)]
mod tests;
