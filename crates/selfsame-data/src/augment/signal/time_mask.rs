//! A stretch of time is hidden: the time mask of SpecAugment (Park et al. 2019, "SpecAugment: A Simple Data Augmentation Method for
//! Automatic Speech Recognition"), the time-out of ECGs (Mehari and Strodthoff 2022). All channels and frequencies of it become
//! their channel's mean over the view.

use super::*;

settings! {
    /// `{ name = "time_mask" }`
    pub struct TimeMaskSettings {
        /// share of the time that is hidden
        share: [f32; 2] = [0.0, 0.2], Kind::Interval(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "time_mask",
    summary: "A stretch of time is hidden, of images some columns",
    modalities: &[Modality::Signal, Modality::Image],
    keys: TimeMaskSettings::GROUP,
    build: |cx| {
        let TimeMaskSettings { share, p } = cx.read()?;
        Ok(Box::new(TimeMask { share, p }))
    },
};

struct TimeMask {
    share: [f32; 2],
    p: f32,
}

impl Augmentation for TimeMask {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["start_steps", "length_steps"]
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of(part(size.width, self.share, rng)) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let (Size { height, width }, [start, length, ..]) = (view.size(), draw.values);
        for plane in view.planes_mut() {
            let fill = mean(plane);
            rectangle_rows(plane, width, &[0.0, start, height as f32, length]).for_each(|row| row.fill(fill));
        }
    }
}
