//! Each channel times a smooth curve around 1 (Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease
//! Monitoring using Convolutional Neural Networks"): a natural cubic spline through values from N(1, σ²), at both ends and at
//! `knots` places between them.

use super::*;

settings! {
    /// `{ name = "magnitude_warp" }`
    pub struct MagnitudeWarpSettings {
        /// standard deviation of the curve's values, whose mean is 1
        sigma: f32 = 0.2, Kind::Number(Range::Within(0.0, 1.0));
        /// values of the curve between its two ends
        knots: usize = 4, Kind::Integer(Range::Within(1.0, 64.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "magnitude_warp",
    summary: "Each channel times a smooth curve around 1",
    modalities: &[Modality::Signal],
    keys: MagnitudeWarpSettings::GROUP,
    build: |cx| {
        let MagnitudeWarpSettings { sigma, knots, p } = cx.read()?;
        Ok(Box::new(MagnitudeWarp { sigma, knots, p }))
    },
};

struct MagnitudeWarp {
    sigma: f32,
    knots: usize,
    p: f32,
}

impl Augmentation for MagnitudeWarp {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["sigma", "knots", "curve_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.sigma, self.knots as f32, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [sigma, knots, seed, ..] = draw.values;
        let mut rng = noise(seed);
        for channel in view.planes_mut() {
            let curve = curve(knots as usize, sigma, channel.len(), &mut rng);
            channel.iter_mut().zip(curve).for_each(|(v, factor)| *v *= factor as f32);
        }
    }
}
