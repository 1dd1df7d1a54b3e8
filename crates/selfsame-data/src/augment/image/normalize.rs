//! `(value − mean) / std` by channel. Every view ends with the data's own constants unless its recipe ends with this.

use super::*;
use crate::augment::vectorized::vectorized;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "normalize" }`
    pub struct NormalizeSettings {
        /// subtracted, on the scale that has data.range as 0..1
        mean: Vec<f32> = (required), Kind::PerChannel(Range::Any);
        /// divides, on the scale that has data.range as 0..1
        std: Vec<f32> = (required), Kind::PerChannel(Range::AtLeast(1e-6));
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "normalize",
    summary: "(value − mean) / std, in place of the data's own constants; must be the last",
    modalities: &[Modality::Image],
    keys: NormalizeSettings::GROUP,
    build: |cx| {
        let settings: NormalizeSettings = cx.read()?;
        Ok(Box::new(Normalize {
            mean: cx.per_channel("mean", settings.mean)?,
            std: cx.per_channel("std", settings.std)?,
        }))
    },
};

struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Augmentation for Normalize {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, _rng: &mut ViewRng) -> Draw {
        Draw::of([])
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        for ((plane, mean), std) in view.planes_mut().zip(&self.mean).zip(&self.std) {
            let (scale, shift) = (1.0 / std, -mean / std);
            vectorized!(plane.iter_mut().for_each(|v| *v = *v * scale + shift));
        }
    }
}
