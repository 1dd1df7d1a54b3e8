//! A random part of the image at the size of the view: "what belongs to the whole can be told from a part". The
//! strongest augmentation of the SimCLR study (Chen et al. 2020, <https://arxiv.org/abs/2002.05709>).
//!
//! The part covers a uniform share of the area and has a log-uniform ratio of width to height (Szegedy et al. 2015). If
//! none of ten tries fits, it is the largest centered part of an allowed ratio, as in torchvision. The part is cut out
//! first and resized afterwards, so that nothing outside it leaks in.

use super::*;
use crate::augment::resample::Crop;
use crate::image::{Image, Size};
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "random_resized_crop" }`
    pub struct RandomResizedCropSettings {
        /// share of the area
        scale: [f32; 2] = [0.08, 1.0], Kind::Interval(Range::Within(1e-4, 1.0));
        /// width over height, log-uniform
        ratio: [f32; 2] = [0.75, 1.3333333], Kind::Interval(Range::Within(0.01, 100.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "random_resized_crop",
    summary: "A random part, resized to the size of the view (the centered part of its proportions when not applied)",
    modalities: &[Modality::Image],
    keys: RandomResizedCropSettings::GROUP,
    build: |cx| {
        let settings: RandomResizedCropSettings = cx.read()?;
        let [scale, ratio] = [settings.scale, settings.ratio];
        Ok(Box::new(RandomResizedCrop { scale, ratio, p: settings.p, size: cx.shape.size }))
    },
};

pub(in crate::augment) struct RandomResizedCrop {
    pub scale: [f32; 2],
    pub ratio: [f32; 2],
    pub p: f32,
    pub size: Size,
}

impl RandomResizedCrop {
    fn draw_crop(&self, size: Size, rng: &mut ViewRng) -> Crop {
        if !rng.chance(self.p) {
            return Crop::centered_like(size, self.size);
        }
        let (image_height, image_width) = (size.height as f64, size.width as f64);
        // Of width to height, where the view's is 1.
        let view = self.size.width as f64 / self.size.height as f64;
        let ratio = self.ratio.map(|ratio| f64::from(ratio) * view);
        for _ in 0..10 {
            let area = image_height * image_width * f64::from(rng.uniform(self.scale[0], self.scale[1]));
            let ratio = (ratio[0].ln() + (ratio[1] / ratio[0]).ln() * f64::from(rng.unit())).exp();
            let [height, width] = [area / ratio, area * ratio].map(|v| v.sqrt().round_ties_even() as usize);
            if (1..=size.height).contains(&height) && (1..=size.width).contains(&width) {
                let top = rng.below(size.height - height + 1);
                return Crop { top, left: rng.below(size.width - width + 1), height, width };
            }
        }
        let allowed = (image_width / image_height).clamp(ratio[0], ratio[1]);
        let height = (image_width / allowed).round_ties_even().clamp(1.0, image_height);
        let width = (image_height * allowed).round_ties_even().clamp(1.0, image_width);
        Crop::centered(size, height as usize, width as usize)
    }
}

fn crop_of(draw: &Draw) -> Crop {
    let [top, left, height, width] = std::array::from_fn(|i| draw.values[i] as usize);
    Crop { top, left, height, width }
}

impl Augmentation for RandomResizedCrop {
    fn parameter_names(&self) -> &'static [&'static str] {
        &RECTANGLE
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        let Crop { top, left, height, width } = self.draw_crop(size, rng);
        Draw::of([top, left, height, width].map(|v| v as f32))
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        view.resize_crop(crop_of(draw), self.size);
    }

    fn apply_to_sample(&self, sample: &Image, view: &mut View, draw: &Draw) {
        view.load_crop(sample, crop_of(draw), self.size);
    }

    fn output_size(&self, _size: Size, _draw: &Draw) -> Size {
        self.size
    }

    fn resizes(&self) -> bool {
        true
    }
}
