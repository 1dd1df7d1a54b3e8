//! Time runs now faster, now slower (Um et al. 2017, "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring
//! using Convolutional Neural Networks").
//!
//! The speed is a natural cubic spline through values from N(1, σ²), at both ends and at `knots` places between them, and never
//! below [`SLOWEST`]. Its integral, by trapezoids, is where a step's value is read, between two steps along a straight line; it is
//! scaled so that the last step stays the last one. All channels have one clock.

use super::*;

/// Time never stands still, nor runs backwards.
const SLOWEST: f64 = 0.1;

settings! {
    /// `{ name = "time_warp" }`
    pub struct TimeWarpSettings {
        /// standard deviation of the speed, whose mean is 1
        sigma: f32 = 0.2, Kind::Number(Range::Within(0.0, 1.0));
        /// values of the speed's curve between its two ends
        knots: usize = 4, Kind::Integer(Range::Within(1.0, 64.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "time_warp",
    summary: "Time runs now faster, now slower, within the same length",
    modalities: &[Modality::Signal],
    keys: TimeWarpSettings::GROUP,
    build: |cx| {
        let TimeWarpSettings { sigma, knots, p } = cx.read()?;
        Ok(Box::new(TimeWarp { sigma, knots, p }))
    },
};

struct TimeWarp {
    sigma: f32,
    knots: usize,
    p: f32,
}

impl Augmentation for TimeWarp {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["sigma", "knots", "speed_seed"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([self.sigma, self.knots as f32, noise_seed(rng)]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let [sigma, knots, seed, ..] = draw.values;
        let places = places(&curve(knots as usize, sigma, view.width, &mut noise(seed)));
        let mut before = std::mem::take(&mut view.line);
        for channel in view.planes_mut() {
            before.clear();
            before.extend_from_slice(channel);
            for (v, &(step, rest)) in channel.iter_mut().zip(&places) {
                // Beyond the last step there is nothing, and the rest is 0.
                let next = before[(step + 1).min(before.len() - 1)];
                *v = before[step] + rest * (next - before[step]);
            }
        }
        view.line = before;
    }
}

/// Where each step is read: a step of the input, and how far on the way to the next.
fn places(speed: &[f64]) -> Vec<(usize, f32)> {
    let (mut sum, mut places) = (0.0, vec![0.0]);
    for pair in speed.windows(2) {
        sum += (pair[0].max(SLOWEST) + pair[1].max(SLOWEST)) / 2.0;
        places.push(sum);
    }
    let last = speed.len() - 1;
    let scale = if last == 0 { 0.0 } else { last as f64 / sum };
    let split = |place: f64| {
        let place = (place * scale).min(last as f64);
        (place as usize, place.fract() as f32)
    };
    places.into_iter().map(split).collect()
}
