//! Brightness, contrast, saturation and hue, each changed by a random amount, in random order, clipped after each.
//!
//! Crops of one image share their histogram; without this jitter a network can tell them by it and learns nothing
//! else (Chen et al. 2020, <https://arxiv.org/abs/2002.05709>). Definitions are torchvision's:
//!
//! - brightness: `f · v`
//! - contrast: `f · v + (1 − f) · mean`, the mean being that of the gray image (of all channels where there are not 3)
//! - saturation: `f · v + (1 − f) · gray`
//! - hue: turned by a share of the full circle in HSV

use super::grayscale::{GRAY, gray};
use super::*;
use crate::augment::vectorized::{unit, vectorized};
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "color_jitter" }`
    pub struct ColorJitterSettings {
        /// factor within 1 ± this
        brightness: f32 = 0.8, Kind::Number(Range::Within(0.0, 2.0));
        /// factor within 1 ± this
        contrast: f32 = 0.8, Kind::Number(Range::Within(0.0, 2.0));
        /// factor within 1 ± this; needs 3 channels
        saturation: f32 = 0.8, Kind::Number(Range::Within(0.0, 2.0));
        /// turn within ± this share of the circle; needs 3 channels
        hue: f32 = 0.2, Kind::Number(Range::Within(0.0, 0.5));
        /// multiplies the four amounts
        strength: f32 = 1.0, Kind::Number(Range::Within(0.0, 2.0));
        /// probability of being applied
        p: f32 = 0.8, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "color_jitter",
    summary: "Random brightness, contrast, saturation and hue, in random order",
    modalities: &[Modality::Image],
    keys: ColorJitterSettings::GROUP,
    build: |cx| {
        let settings: ColorJitterSettings = cx.read()?;
        let amounts = [settings.brightness, settings.contrast, settings.saturation, settings.hue];
        let [brightness, contrast, saturation, hue] = amounts.map(|amount| settings.strength * amount);
        if hue > 0.5 {
            return Err(cx.error("hue", format_args!("hue · strength must be at most 0.5, is {hue}")));
        }
        for (key, amount) in [("saturation", saturation), ("hue", hue)] {
            if amount > 0.0 {
                cx.need_rgb(key, "set saturation = 0 and hue = 0: brightness and contrast work on any channels")?;
            }
        }
        Ok(Box::new(ColorJitter { brightness, contrast, saturation, hue, p: settings.p }))
    },
};

pub(in crate::augment) struct ColorJitter {
    pub brightness: f32,
    pub contrast: f32,
    pub saturation: f32,
    pub hue: f32,
    pub p: f32,
}

impl Augmentation for ColorJitter {
    /// `order` lists the four in the order of their application: its decimal digits are 1 brightness, 2 contrast,
    /// 3 saturation, 4 hue.
    fn parameter_names(&self) -> &'static [&'static str] {
        &["brightness_factor", "contrast_factor", "saturation_factor", "hue_turns", "order"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        let mut order = [1u16, 2, 3, 4];
        rng.shuffle(&mut order);
        let order = order.iter().fold(0, |digits, operation| 10 * digits + operation);
        let mut factor = |amount: f32| rng.uniform((1.0 - amount).max(0.0), 1.0 + amount);
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        Draw::of([factors[0], factors[1], factors[2], rng.uniform(-self.hue, self.hue), f32::from(order)])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [brightness, contrast, saturation, hue, order] = draw.values;
        for place in [1000, 100, 10, 1] {
            match order as u16 / place % 10 {
                1 if brightness != 1.0 => adjust_brightness(view, brightness),
                2 if contrast != 1.0 => adjust_contrast(view, contrast),
                3 if saturation != 1.0 => adjust_saturation(view, saturation),
                4 if hue != 0.0 => adjust_hue(view, hue),
                _ => {}
            }
        }
    }
}

fn adjust_brightness(view: &mut View, factor: f32) {
    blend(&mut view.values, factor, 0.0, view.unit_range);
}

fn adjust_contrast(view: &mut View, factor: f32) {
    let plane = view.height * view.width;
    let mean: f32 = vectorized!(match view.channels {
        3 => view.values.chunks_exact(plane).zip(GRAY).map(|(plane, weight)| weight * mean(plane)).sum(),
        _ => mean(&view.values),
    });
    blend(&mut view.values, factor, (1.0 - factor) * mean, view.unit_range);
}

/// `factor · v + shift`, clipped when asked.
fn blend(values: &mut [f32], factor: f32, shift: f32, clip: bool) {
    vectorized!(match clip {
        true => values.iter_mut().for_each(|v| *v = unit(factor * *v + shift)),
        false => values.iter_mut().for_each(|v| *v = factor * *v + shift),
    });
}

fn adjust_saturation(view: &mut View, factor: f32) {
    let [red, green, blue] = view.rgb_mut();
    vectorized!({
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let gray = (1.0 - factor) * gray(*r, *g, *b);
            (*r, *g, *b) = (factor * *r + gray, factor * *g + gray, factor * *b + gray);
        }
    });
    view.clip();
}

/// HSV and back without a branch: with `d = max − min` and the hue `h` in sixths of the circle, channel `n` of the
/// result is `max − d · clip(min(k, 4 − k))`, `k = (n + h) mod 6`, `n` = 5, 3, 1 for red, green, blue.
fn adjust_hue(view: &mut View, turns: f32) {
    let [red, green, blue] = view.rgb_mut();
    vectorized!({
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let high = if *r > *g { *r } else { *g };
            let high = if high > *b { high } else { *b };
            let low = if *r < *g { *r } else { *g };
            let low = if low < *b { low } else { *b };
            let range = high - low;
            // Gray has no hue: its differences are 0, whatever they are multiplied by.
            let per_range = 1.0 / if range > f32::MIN_POSITIVE { range } else { f32::MIN_POSITIVE };
            let from_red = (*g - *b) * per_range;
            let from_green = 2.0 + (*b - *r) * per_range;
            let from_blue = 4.0 + (*r - *g) * per_range;
            let hue = if high == *g { from_green } else { from_blue };
            let hue = if high == *r { from_red } else { hue } + 6.0 * turns;
            let channel = |n: f32| {
                // −1 ≤ hue before the turn ≤ 5, |turn| ≤ 3, so n + hue lies in −3..=13.
                let k = n + hue;
                let k = if k < 0.0 { k + 6.0 } else { k };
                let k = if k >= 6.0 { k - 6.0 } else { k };
                let k = if k >= 6.0 { k - 6.0 } else { k };
                let share = if k < 4.0 - k { k } else { 4.0 - k };
                high - range * unit(share)
            };
            (*r, *g, *b) = (channel(5.0), channel(3.0), channel(1.0));
        }
    });
}
