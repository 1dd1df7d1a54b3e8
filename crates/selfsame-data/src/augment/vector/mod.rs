//! Augmentations of vectors, one file each. All work on standardized features: of each, the mean is 0 and the standard
//! deviation 1.

mod feature_corruption;
mod feature_dropout;
mod mixup;

use super::image::{noise, noise_seed};
use super::{Augmentation, AugmentationEntry, Draw, View};
use crate::image::Size;
use crate::modality::Modality;
use selfsame_base::rng::ViewRng;
use selfsame_config::{Kind, Range, Settings, settings};

/// The augmentations of vectors alone.
pub(super) static ENTRIES: &[AugmentationEntry] = &[feature_corruption::ENTRY, feature_dropout::ENTRY, mixup::ENTRY];

/// Visits `share` of the `features`, rounded down, drawn without replacement.
fn some_features(features: usize, share: f32, rng: &mut ViewRng, mut visit: impl FnMut(usize, &mut ViewRng)) {
    let mut order: Vec<u32> = (0..features as u32).collect();
    for place in 0..(share * features as f32) as usize {
        order.swap(place, place + rng.below(features - place));
        visit(order[place] as usize, rng);
    }
}

#[cfg(test)]
mod tests;
