//! A method, a backbone, an augmentation and a source from outside.

pub mod alignment_uniformity;
pub mod bag_of_patches;
pub mod posterize;
pub mod rings;

use alignment_uniformity::AlignmentUniformity;
use bag_of_patches::BAG_OF_PATCHES;
use posterize::POSTERIZE;
use selfsame::catalogue::{Catalogue, MethodEntry};

static ALIGNMENT_UNIFORMITY: MethodEntry =
    MethodEntry::of::<AlignmentUniformity>("contrastive: views close together, samples spread over the sphere");

/// Everything that there is to choose from, and these three.
pub fn catalogue() -> Catalogue {
    Catalogue::default().with_method(&ALIGNMENT_UNIFORMITY).with_backbone(&BAG_OF_PATCHES).with_augmentation(&POSTERIZE)
}
