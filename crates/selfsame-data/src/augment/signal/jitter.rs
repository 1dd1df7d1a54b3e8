//! Normal noise on every value, as sensors have (Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's
//! Disease Monitoring using Convolutional Neural Networks").

use super::*;

settings! {
    /// `{ name = "jitter" }`
    pub struct JitterSettings {
        /// standard deviation, in the channel's own
        sigma: [f32; 2] = [0.0, 0.1], Kind::Interval(Range::Within(0.0, 10.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "jitter",
    summary: "Normal noise of random strength on every value",
    modalities: &[Modality::Signal],
    keys: JitterSettings::GROUP,
    build: |cx| {
        let JitterSettings { sigma, p } = cx.read()?;
        Ok(Box::new(GaussianNoise { sigma, p }))
    },
};
