//! Left becomes right.

use super::*;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "horizontal_flip" }`
    pub struct HorizontalFlipSettings {
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "horizontal_flip",
    summary: "Left becomes right",
    modalities: &[Modality::Image],
    keys: HorizontalFlipSettings::GROUP,
    build: |cx| {
        let settings: HorizontalFlipSettings = cx.read()?;
        Ok(Box::new(HorizontalFlip { p: settings.p }))
    },
};

pub(in crate::augment) struct HorizontalFlip {
    pub p: f32,
}

impl Augmentation for HorizontalFlip {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        view.values.chunks_exact_mut(view.width).for_each(<[f32]>::reverse);
    }
}
