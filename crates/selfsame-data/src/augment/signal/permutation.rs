//! Segments in another order: the order of longer times is forgotten, that of shorter ones kept (Um et al. 2017; the strong
//! augmentation of TS-TCC, Eldele et al. 2021, "Time-Series Representation Learning via Temporal and Contextual Contrasting").
//! Segments are of one length, but for one step that is left over; every order is as likely as any other.

use super::*;

settings! {
    /// `{ name = "permutation" }`
    pub struct PermutationSettings {
        /// segments, at most; their number is drawn, from 2 on
        segments: usize = 5, Kind::Integer(Range::Within(1.0, 256.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "permutation",
    summary: "Segments of time in another order",
    modalities: &[Modality::Signal],
    keys: PermutationSettings::GROUP,
    build: |cx| {
        let PermutationSettings { segments, p } = cx.read()?;
        Ok(Box::new(Permutation { segments, p }))
    },
};

struct Permutation {
    segments: usize,
    p: f32,
}

impl Augmentation for Permutation {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["segments", "order_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if !rng.chance(self.p) {
            return Draw::SKIP;
        }
        let segments = if self.segments < 3 { self.segments } else { 2 + rng.below(self.segments - 1) };
        Draw::of([segments as f32, noise_seed(rng)])
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [segments, seed, ..] = draw.values;
        let length = view.width;
        let segments = (segments as usize).min(length);
        let mut order: Vec<usize> = (0..segments).collect();
        noise(seed).shuffle(&mut order);
        let mut before = std::mem::take(&mut view.line);
        for channel in view.planes_mut() {
            before.clear();
            before.extend_from_slice(channel);
            let mut rest = channel;
            for &segment in &order {
                let from = &before[segment * length / segments..(segment + 1) * length / segments];
                let (to, after) = rest.split_at_mut(from.len());
                to.copy_from_slice(from);
                rest = after;
            }
        }
        view.line = before;
    }
}
