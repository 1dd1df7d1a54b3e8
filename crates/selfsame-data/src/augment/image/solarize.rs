//! Values at and above a threshold are inverted (Grill et al. 2020, BYOL, <https://arxiv.org/abs/2006.07733>).

use super::*;
use crate::augment::vectorized::vectorized;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "solarize" }`
    pub struct SolarizeSettings {
        /// smallest value that is inverted, with data.range as 0..1
        threshold: f32 = 0.5, Kind::Number(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.2, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "solarize",
    summary: "Values at and above a threshold become 1 − value",
    modalities: &[Modality::Image],
    keys: SolarizeSettings::GROUP,
    build: |cx| {
        let settings: SolarizeSettings = cx.read()?;
        Ok(Box::new(Solarize { threshold: settings.threshold, p: settings.p }))
    },
};

pub(in crate::augment) struct Solarize {
    pub threshold: f32,
    pub p: f32,
}

impl Augmentation for Solarize {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        let threshold = self.threshold;
        // Into another buffer: in place, the values that stay would become conditional stores, which are slow.
        view.spare.resize(view.values.len(), 0.0);
        vectorized!({
            let pairs = view.spare.iter_mut().zip(&view.values);
            pairs.for_each(|(out, &v)| *out = if v >= threshold { 1.0 - v } else { v });
        });
        std::mem::swap(&mut view.values, &mut view.spare);
    }
}
