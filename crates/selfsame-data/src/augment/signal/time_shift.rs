//! Everything earlier or later. What leaves at one end comes in at the other: nothing is lost, and nothing is invented.

use super::*;

settings! {
    /// `{ name = "time_shift" }`
    pub struct TimeShiftSettings {
        /// largest shift in both directions, as a share of the length
        share: f32 = 0.25, Kind::SHARE;
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "time_shift",
    summary: "Everything earlier or later, around the ends",
    modalities: &[Modality::Signal],
    keys: TimeShiftSettings::GROUP,
    build: |cx| {
        let TimeShiftSettings { share, p } = cx.read()?;
        Ok(Box::new(TimeShift { share, p }))
    },
};

struct TimeShift {
    share: f32,
    p: f32,
}

impl Augmentation for TimeShift {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["later_steps"]
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        Draw::of([(rng.uniform(-self.share, self.share) * size.width as f32).round()])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let later = (draw.values[0] as i64).rem_euclid(view.width as i64) as usize;
        view.planes_mut().for_each(|channel| channel.rotate_right(later));
    }
}
