//! Color removed: all three channels become the luma of ITU-R BT.601.

use super::*;
use crate::augment::vectorized::vectorized;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "grayscale" }`
    pub struct GrayscaleSettings {
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "grayscale",
    summary: "Color removed from every view; the channels stay three",
    modalities: &[Modality::Image],
    keys: GrayscaleSettings::GROUP,
    build,
};

/// Builds it for `grayscale` and `color_drop`.
pub(super) fn build(cx: &AugmentationContext<'_>) -> Result<Box<dyn Augmentation>, selfsame_base::DataError> {
    let settings: GrayscaleSettings = cx.read()?;
    cx.need_rgb("name", "leave it out: there is no color to remove")?;
    Ok(Box::new(Grayscale { p: settings.p }))
}

/// Weights of red, green and blue.
pub(super) const GRAY: [f32; 3] = [0.2989, 0.587, 0.114];

#[inline(always)]
pub(super) fn gray(red: f32, green: f32, blue: f32) -> f32 {
    GRAY[0] * red + GRAY[1] * green + GRAY[2] * blue
}

pub(in crate::augment) struct Grayscale {
    pub p: f32,
}

impl Augmentation for Grayscale {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        let [red, green, blue] = view.rgb_mut();
        vectorized!({
            for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                let gray = gray(*r, *g, *b);
                (*r, *g, *b) = (gray, gray, gray);
            }
        });
    }
}
