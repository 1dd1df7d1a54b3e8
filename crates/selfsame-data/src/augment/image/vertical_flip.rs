//! Up becomes down.

use super::*;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "vertical_flip" }`
    pub struct VerticalFlipSettings {
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "vertical_flip",
    summary: "Up becomes down",
    modalities: &[Modality::Image],
    keys: VerticalFlipSettings::GROUP,
    build: |cx| {
        let settings: VerticalFlipSettings = cx.read()?;
        Ok(Box::new(VerticalFlip { p: settings.p }))
    },
};

pub(in crate::augment) struct VerticalFlip {
    pub p: f32,
}

impl Augmentation for VerticalFlip {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        let (height, width) = (view.height, view.width);
        for plane in view.planes_mut() {
            let (above, below) = plane.split_at_mut(height / 2 * width);
            let below = below.rchunks_exact_mut(width);
            above.chunks_exact_mut(width).zip(below).for_each(|(a, b)| a.swap_with_slice(b));
        }
    }
}
