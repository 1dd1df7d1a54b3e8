//! A band of frequencies is removed, which made CPC on speech more robust (Kharitonov et al. 2021, "Data Augmenting Contrastive
//! Learning of Speech Representations in the Time Domain").
//!
//! The filter is the second-order notch of Bristow-Johnson's cookbook, run once, forward in time. Nothing of the center is left, and
//! at both ends of the band half of the power. With `ω = π · frequency` and `α = sin ω · sinh(ln 2 / 2 · octaves · ω / sin ω)`:
//!
//! `(1 + α) y[t] = x[t] − 2 cos ω x[t − 1] + x[t − 2] + 2 cos ω y[t − 1] − (1 − α) y[t − 2]`.
//!
//! Before the first step the signal had its first value forever, which the filter lets through: it starts without a jump.

use super::*;
use std::f64::consts::{LN_2, PI};

settings! {
    /// `{ name = "band_stop" }`
    pub struct BandStopSettings {
        /// center of the band, as a share of half the sampling rate, log-uniform
        frequency: [f32; 2] = [0.02, 0.8], Kind::Interval(Range::Within(0.0001, 0.99));
        /// width of the band, octaves
        octaves: [f32; 2] = [0.5, 1.5], Kind::Interval(Range::Within(0.0, 4.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "band_stop",
    summary: "A band of frequencies is removed",
    modalities: &[Modality::Signal],
    keys: BandStopSettings::GROUP,
    build: |cx| {
        let BandStopSettings { frequency, octaves, p } = cx.read()?;
        Ok(Box::new(BandStop { frequency, octaves, p }))
    },
};

struct BandStop {
    frequency: [f32; 2],
    octaves: [f32; 2],
    p: f32,
}

impl Augmentation for BandStop {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["frequency", "octaves"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        let [low, high] = self.frequency;
        let frequency = (low * (high / low).powf(rng.unit())).clamp(low, high);
        Draw::of([frequency, rng.uniform(self.octaves[0], self.octaves[1])])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [frequency, octaves] = [f64::from(draw.values[0]), f64::from(draw.values[1])];
        if octaves == 0.0 {
            return;
        }
        let omega = PI * frequency;
        let alpha = omega.sin() * (LN_2 / 2.0 * octaves * omega / omega.sin()).sinh();
        let (scale, turn) = (1.0 / (1.0 + alpha), 2.0 * omega.cos());
        for channel in view.planes_mut() {
            let first = f64::from(channel[0]);
            let ([mut x1, mut x2], [mut y1, mut y2]) = ([first; 2], [first; 2]);
            for v in channel {
                let x = f64::from(*v);
                let y = scale * (x - turn * x1 + x2 + turn * y1 - (1.0 - alpha) * y2);
                (x2, x1, y2, y1) = (x1, x, y1, y);
                *v = y as f32;
            }
        }
    }
}
