//! Each channel times a factor of its own, as sensors differ in sensitivity (Um et al. 2017, "Data Augmentation of Wearable
//! Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural Networks"). The factors are drawn from N(1, σ²).

use super::*;

settings! {
    /// `{ name = "scaling" }`
    pub struct ScalingSettings {
        /// standard deviation of the factors, whose mean is 1
        sigma: f32 = 0.1, Kind::Number(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "scaling",
    summary: "Each channel times a factor of its own",
    modalities: &[Modality::Signal],
    keys: ScalingSettings::GROUP,
    build: |cx| {
        let ScalingSettings { sigma, p } = cx.read()?;
        Ok(Box::new(Scaling { sigma, p }))
    },
};

struct Scaling {
    sigma: f32,
    p: f32,
}

impl Augmentation for Scaling {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["sigma", "factors_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.sigma, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [sigma, seed, ..] = draw.values;
        let mut rng = noise(seed);
        for channel in view.planes_mut() {
            let factor = 1.0 + sigma * rng.normal();
            channel.iter_mut().for_each(|v| *v *= factor);
        }
    }
}
