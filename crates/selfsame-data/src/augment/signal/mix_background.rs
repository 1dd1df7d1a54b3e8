//! Another sample sounds in the background: the mixup of BYOL-A (Niizumi et al. 2021, "BYOL for Audio: Self-Supervised Learning for
//! General-Purpose Audio Representation"). What is in front should not depend on what is behind.
//!
//! Sounds add up in energy and log-mel images hold logarithms, so they are mixed as `ln((1 − λ) eˣ + λ eᵒ)`, `o` the other sample.
//! Another size than the view's is resized to it.

use super::*;
use crate::augment::resample::Crop;

settings! {
    /// `{ name = "mix_background" }`
    pub struct MixBackgroundSettings {
        /// the other sample's share of the energy
        share: [f32; 2] = [0.0, 0.4], Kind::Interval(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 1.0, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "mix_background",
    summary: "Another sample in the background, of images of logarithms (data.view = log_mel)",
    modalities: &[Modality::Image],
    keys: MixBackgroundSettings::GROUP,
    build: |cx| {
        let MixBackgroundSettings { share, p } = cx.read()?;
        Ok(Box::new(MixBackground { share, p, size: cx.shape.size }))
    },
};

struct MixBackground {
    share: [f32; 2],
    p: f32,
    /// Of the others.
    size: Size,
}

impl Augmentation for MixBackground {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["share", "other_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        Draw::of([rng.uniform(self.share[0], self.share[1]), noise_seed(rng)])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [share, seed, ..] = draw.values;
        if share == 0.0 {
            return;
        }
        let others = view.others.clone().expect("a pipeline whose steps borrow is given samples");
        let other = others.row(noise(seed).below(others.len()));
        let Size { height, width } = view.size();
        view.spare.resize(view.values.len(), 0.0);
        let whole = Crop::centered(self.size, self.size.height, self.size.width);
        view.resampler.planar(other, self.size, whole, [height, width], &mut view.spare);
        // Logarithms in a unit of the view.
        let unit = view.range.span();
        for (v, other) in view.values.iter_mut().zip(&view.spare) {
            let most = v.max(*other);
            let [own, other] = [*v, *other].map(|v| (unit * (v - most)).exp());
            *v = most + ((1.0 - share) * own + share * other).ln() / unit;
        }
        view.clip();
    }

    fn needs_others(&self) -> bool {
        true
    }
}
