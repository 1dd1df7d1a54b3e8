//! Independent normal noise on every value, σ uniform, clipped.

use super::*;
use crate::image::Size;
use selfsame_base::rng::{Purpose, StreamRng, ViewRng};
use std::f32::consts::TAU;

settings! {
    /// `{ name = "gaussian_noise" }`
    pub struct GaussianNoiseSettings {
        /// standard deviation, as a share of data.range; of vectors, in the feature's own
        sigma: [f32; 2] = [0.0, 0.1], Kind::Interval(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(in crate::augment) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "gaussian_noise",
    summary: "Normal noise of random strength on every value",
    modalities: &[Modality::Image, Modality::Vector],
    keys: GaussianNoiseSettings::GROUP,
    build: |cx| {
        let settings: GaussianNoiseSettings = cx.read()?;
        Ok(Box::new(GaussianNoise { sigma: settings.sigma, p: settings.p }))
    },
};

pub(in crate::augment) struct GaussianNoise {
    pub sigma: [f32; 2],
    pub p: f32,
}

impl Augmentation for GaussianNoise {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["sigma", "noise_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        Draw::of([rng.uniform(self.sigma[0], self.sigma[1]), noise_seed(rng)])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [sigma, seed, ..] = draw.values;
        let mut noise = noise(seed);
        for pair in view.values.chunks_mut(2) {
            // Box and Muller: a point of the plane with normal coordinates, by its distance and its direction.
            let distance = sigma * (-2.0 * (1.0 - noise.unit()).ln()).sqrt();
            let (sin, cos) = (TAU * noise.unit()).sin_cos();
            pair.iter_mut().zip([cos, sin]).for_each(|(v, direction)| *v += distance * direction);
        }
        view.clip();
    }
}

/// A seed that `f32` holds exactly: 24 bits.
pub(in crate::augment) fn noise_seed(rng: &mut ViewRng) -> f32 {
    (rng.bits() >> 8) as f32
}

/// The noise of a seed.
pub(in crate::augment) fn noise(seed: f32) -> ViewRng {
    StreamRng::new(seed as u64, Purpose::Noise, 0, 0, 0)
}
