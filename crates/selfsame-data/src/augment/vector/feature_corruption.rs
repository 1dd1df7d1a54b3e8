//! Some features replaced by those of other samples: "SCARF: Self-Supervised Contrastive Learning using Random Feature
//! Corruption" (Bahri, Jiang, Tay & Metzler 2022). Each is drawn by itself from the values that its column has.

use super::*;

settings! {
    /// `{ name = "feature_corruption" }`
    pub struct FeatureCorruptionSettings {
        /// share of the features that are replaced, a category's values together
        rate: f32 = 0.6, Kind::SHARE;
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "feature_corruption",
    summary: "Some features replaced by those of other samples, each by another's",
    modalities: &[Modality::Vector],
    keys: FeatureCorruptionSettings::GROUP,
    build: |cx| {
        let FeatureCorruptionSettings { rate, p } = cx.read()?;
        Ok(Box::new(FeatureCorruption { rate, p }))
    },
};

struct FeatureCorruption {
    rate: f32,
    p: f32,
}

impl Augmentation for FeatureCorruption {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["rate", "corruption_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.rate, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [rate, seed, ..] = draw.values;
        let (others, columns, values) = view.with_others();
        some_of(columns, rate, &mut noise(seed), |channels, rng| {
            let other = others.row(rng.below(others.len()));
            values[channels.clone()].copy_from_slice(&other[channels]);
        });
    }

    fn needs_others(&self) -> bool {
        true
    }
}
