//! Colour removed: all three channels become the luma of ITU-R BT.601.

use super::*;
use crate::augment::view::vectorised;
use crate::image::Size;
use crate::rng::ViewRng;

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "grayscale",
    summary: "Colour removed from every view; the channels stay three",
    keys: &[Key::p("1.0")],
    build,
};

/// Builds it for `grayscale` and `color_drop`.
pub(super) fn build(values: &Values<'_>) -> Result<Box<dyn ImageAugmentation>, crate::DataError> {
    values.need_rgb("name", "leave it out: there is no colour to remove")?;
    Ok(Box::new(Grayscale { p: values.number("p") }))
}

/// Weights of red, green and blue.
pub(super) const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

#[inline(always)]
pub(super) fn grey(red: f32, green: f32, blue: f32) -> f32 {
    GREY[0] * red + GREY[1] * green + GREY[2] * blue
}

pub(in crate::augment) struct Grayscale {
    pub p: f32,
}

impl ImageAugmentation for Grayscale {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        let [red, green, blue] = view.rgb_mut();
        vectorised!({
            for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                let grey = grey(*r, *g, *b);
                (*r, *g, *b) = (grey, grey, grey);
            }
        });
    }
}
