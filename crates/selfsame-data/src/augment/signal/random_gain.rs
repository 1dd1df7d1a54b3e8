//! All channels louder or quieter by one factor, which is drawn in dB: `10^(dB / 20)`, 6 dB being about twice.

use super::*;

settings! {
    /// `{ name = "random_gain" }`
    pub struct RandomGainSettings {
        /// gain, dB; below 0 is quieter
        gain_db: [f32; 2] = [-6.0, 6.0], Kind::Interval(Range::Within(-60.0, 60.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "random_gain",
    summary: "All channels louder or quieter by one factor",
    modalities: &[Modality::Signal],
    keys: RandomGainSettings::GROUP,
    build: |cx| {
        let RandomGainSettings { gain_db, p } = cx.read()?;
        Ok(Box::new(RandomGain { gain_db, p }))
    },
};

struct RandomGain {
    gain_db: [f32; 2],
    p: f32,
}

impl Augmentation for RandomGain {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["gain_db"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([rng.uniform(self.gain_db[0], self.gain_db[1])]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let factor = 10.0f32.powf(draw.values[0] / 20.0);
        view.values.iter_mut().for_each(|v| *v *= factor);
    }
}
