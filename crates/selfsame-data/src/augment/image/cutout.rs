//! A square anywhere on the view is hidden (DeVries and Taylor 2017, <https://arxiv.org/abs/1708.04552>). Its center is
//! drawn uniformly, so a part of it may lie outside the view.

use super::*;
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "cutout" }`
    pub struct CutoutSettings {
        /// side as a share of the shorter side of the view
        size: [f32; 2] = [0.5, 0.5], Kind::Interval(Range::Within(0.01, 1.0));
        /// what is put there: the channel's mean over the view, or a value with data.range as 0..1
        fill: Value = "mean", Kind::WordOrNumber(&["mean"], Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "cutout",
    summary: "A square of random place is hidden",
    modalities: &[Modality::Image],
    keys: CutoutSettings::GROUP,
    build: |cx| {
        let settings: CutoutSettings = cx.read()?;
        let fill = (!settings.fill.is_str()).then(|| cx.number("fill", &settings.fill)).transpose()?;
        Ok(Box::new(Cutout { size: settings.size, fill, p: settings.p }))
    },
};

struct Cutout {
    size: [f32; 2],
    /// `None`: the mean.
    fill: Option<f32>,
    p: f32,
}

impl Augmentation for Cutout {
    fn parameter_names(&self) -> &'static [&'static str] {
        &RECTANGLE
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        let share = rng.uniform(self.size[0], self.size[1]);
        let side = (share * size.height.min(size.width) as f32).round().max(1.0) as usize;
        let mut extent = |length: usize| {
            let middle = rng.below(length);
            let start = middle.saturating_sub(side / 2);
            (start as f32, ((middle + side.div_ceil(2)).min(length) - start) as f32)
        };
        let ((top, height), (left, width)) = (extent(size.height), extent(size.width));
        Draw::of([top, left, height, width])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let width = view.width;
        for plane in view.planes_mut() {
            let fill = self.fill.unwrap_or_else(|| mean(plane));
            rectangle_rows(plane, width, &draw.values).for_each(|row| row.fill(fill));
        }
    }
}
