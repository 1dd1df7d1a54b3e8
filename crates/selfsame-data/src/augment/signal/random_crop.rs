//! A random stretch of time: "what lasts can be told from a part". The crop of images on one axis, as the best augmentation of
//! ECGs in Mehari and Strodthoff 2022 ("Self-supervised representation learning from 12-lead ECG data").
//!
//! It is as long as the view, or as the sample where that is shorter. With `scale` below 1 it is a share of this, and is resized
//! back to it: then it is also slower. The filter never reads outside the crop.

use super::*;
use crate::augment::resample::Crop;

settings! {
    /// `{ name = "random_crop" }`
    pub struct RandomCropSettings {
        /// share of the view's length that is cut out; less than 1 is resized to all of it
        scale: [f32; 2] = [1.0, 1.0], Kind::Interval(Range::Within(0.01, 1.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "random_crop",
    summary: "A random stretch of the view's length, or of a share of it (the centered one when not applied)",
    modalities: &[Modality::Signal],
    keys: RandomCropSettings::GROUP,
    build: |cx| {
        let RandomCropSettings { scale, p } = cx.read()?;
        Ok(Box::new(RandomCrop { scale, p, length: cx.shape.size.width }))
    },
};

struct RandomCrop {
    scale: [f32; 2],
    p: f32,
    /// Of the view.
    length: usize,
}

impl Augmentation for RandomCrop {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["start_steps", "length_steps"]
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        let whole = self.length.min(size.width);
        let (start, length) = if rng.chance(self.p) {
            let share = rng.uniform(self.scale[0], self.scale[1]);
            let length = ((share * whole as f32).round() as usize).clamp(1, whole);
            (rng.below(size.width - length + 1), length)
        } else {
            ((size.width - whole) / 2, whole)
        };
        Draw::of([start as f32, length as f32])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [left, width] = [draw.values[0] as usize, draw.values[1] as usize];
        let size = self.output_size(view.size(), draw);
        view.resize_crop(Crop { top: 0, left, height: 1, width }, size);
    }

    fn output_size(&self, size: Size, _draw: &Draw) -> Size {
        Size { height: 1, width: self.length.min(size.width) }
    }

    fn resizes(&self) -> bool {
        true
    }
}
