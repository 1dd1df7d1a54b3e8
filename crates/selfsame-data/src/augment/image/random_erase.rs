//! A rectangle of random place, area and shape is hidden (Zhong et al. 2017, <https://arxiv.org/abs/1708.04896>). It
//! lies within the view; if none of ten tries fits, the view is left as it is.

use super::gaussian_noise::{noise, noise_seed};
use super::*;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "random_erase" }`
    pub struct RandomEraseSettings {
        /// share of the area
        scale: [f32; 2] = [0.02, 0.33], Kind::Interval(Range::Within(1e-4, 1.0));
        /// width over height, log-uniform
        ratio: [f32; 2] = [0.3, 3.3], Kind::Interval(Range::Within(0.01, 100.0));
        /// what is put there: uniform noise over data.range, the channel's mean over the view, or a value with data.range as 0..1
        fill: Value = "noise", Kind::WordOrNumber(&["noise", "mean"], Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "random_erase",
    summary: "A rectangle of random place, area and shape is hidden",
    modalities: &[Modality::Image],
    keys: RandomEraseSettings::GROUP,
    build: |cx| {
        let settings: RandomEraseSettings = cx.read()?;
        let fill = match settings.fill {
            Value::String(word) if word == "noise" => Fill::Noise,
            Value::String(_) => Fill::Mean,
            number => Fill::Value(cx.number("fill", &number)?),
        };
        let [scale, ratio] = [settings.scale, settings.ratio];
        Ok(Box::new(RandomErase { scale, ratio, fill, p: settings.p }))
    },
};

struct RandomErase {
    scale: [f32; 2],
    ratio: [f32; 2],
    fill: Fill,
    p: f32,
}

enum Fill {
    Noise,
    Mean,
    Value(f32),
}

impl Augmentation for RandomErase {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["top_px", "left_px", "height_px", "width_px", "noise_seed"]
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        let [low, high] = self.ratio.map(f32::ln);
        for _ in 0..10 {
            let area = (size.height * size.width) as f32 * rng.uniform(self.scale[0], self.scale[1]);
            let ratio = rng.uniform(low, high).exp();
            let [height, width] = [area / ratio, area * ratio].map(|v| v.sqrt().round() as usize);
            if (1..=size.height).contains(&height) && (1..=size.width).contains(&width) {
                let [top, left] = [size.height - height, size.width - width].map(|room| rng.below(room + 1));
                return Draw::of([top as f32, left as f32, height as f32, width as f32, noise_seed(rng)]);
            }
        }
        Draw::SKIP
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let width = view.width;
        let mut noise = noise(draw.values[4]);
        for plane in view.planes_mut() {
            let fill = match self.fill {
                Fill::Noise => None,
                Fill::Mean => Some(mean(plane)),
                Fill::Value(value) => Some(value),
            };
            for row in rectangle_rows(plane, width, &draw.values) {
                match fill {
                    Some(value) => row.fill(value),
                    None => row.fill_with(|| noise.unit()),
                }
            }
        }
    }
}
