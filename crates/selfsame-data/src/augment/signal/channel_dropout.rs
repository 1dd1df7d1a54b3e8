//! Some channels at their mean over the data, as if they had not been measured (random lead masking, Oh et al. 2022,
//! "Lead-agnostic Self-supervised Learning for Local and Global Representations of Electrocardiogram"). One channel, which is
//! drawn, always stays; each of the others is left out by itself.

use super::*;

settings! {
    /// `{ name = "channel_dropout" }`
    pub struct ChannelDropoutSettings {
        /// probability of each channel to be left out
        rate: f32 = 0.2, Kind::SHARE;
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "channel_dropout",
    summary: "Some channels set to their mean over the data",
    modalities: &[Modality::Signal],
    keys: ChannelDropoutSettings::GROUP,
    build: |cx| {
        let ChannelDropoutSettings { rate, p } = cx.read()?;
        if cx.shape.channels < 2 {
            return Err(cx.error("name", "needs signals of at least 2 channels, these have 1; leave it out"));
        }
        Ok(Box::new(ChannelDropout { rate, p }))
    },
};

struct ChannelDropout {
    rate: f32,
    p: f32,
}

impl Augmentation for ChannelDropout {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["rate", "dropout_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.rate, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [rate, seed, ..] = draw.values;
        let mut rng = noise(seed);
        let stays = rng.below(view.channels);
        let others = view.planes_mut().enumerate().filter(|(c, _)| *c != stays);
        others.filter(|_| rng.chance(rate)).for_each(|(_, channel)| channel.fill(0.0));
    }
}
