//! Some features set to their mean, as if they had not been measured.

use super::*;

settings! {
    /// `{ name = "feature_dropout" }`
    pub struct FeatureDropoutSettings {
        /// share of the features that are left out, a category's values together
        rate: f32 = 0.3, Kind::SHARE;
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "feature_dropout",
    summary: "Some features set to their mean over the data",
    modalities: &[Modality::Vector],
    keys: FeatureDropoutSettings::GROUP,
    build: |cx| {
        let FeatureDropoutSettings { rate, p } = cx.read()?;
        Ok(Box::new(FeatureDropout { rate, p }))
    },
};

struct FeatureDropout {
    rate: f32,
    p: f32,
}

impl Augmentation for FeatureDropout {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["rate", "dropout_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.rate, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [rate, seed, ..] = draw.values;
        let columns = view.columns.clone();
        some_of(&columns, rate, &mut noise(seed), |channels, _| view.values[channels].fill(0.0));
    }
}
