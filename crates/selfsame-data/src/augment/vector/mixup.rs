//! A weighted mean with another sample ("mixup: Beyond Empirical Risk Minimization", Zhang et al. 2018), here as a view of the
//! sample that has the larger weight.

use super::*;

settings! {
    /// `{ name = "mixup" }`
    pub struct MixupSettings {
        /// weight of the sample itself
        weight: [f32; 2] = [0.7, 1.0], Kind::Interval(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "mixup",
    summary: "A weighted mean with another sample",
    modalities: &[Modality::Vector],
    keys: MixupSettings::GROUP,
    build: |cx| {
        let MixupSettings { weight, p } = cx.read()?;
        Ok(Box::new(Mixup { weight, p }))
    },
};

struct Mixup {
    weight: [f32; 2],
    p: f32,
}

impl Augmentation for Mixup {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["weight", "other_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        Draw::of([rng.uniform(self.weight[0], self.weight[1]), noise_seed(rng)])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [weight, seed, ..] = draw.values;
        let (others, _, values) = view.with_others();
        let other = others.row(noise(seed).below(others.len()));
        values.iter_mut().zip(other).for_each(|(value, other)| *value = weight * *value + (1.0 - weight) * other);
    }

    fn needs_others(&self) -> bool {
        true
    }
}
