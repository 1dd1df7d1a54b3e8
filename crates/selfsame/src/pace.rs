//! How fast a training goes.

use std::time::Instant;

/// Throughput over the last steps: an exponential average, so that it settles and still follows.
pub struct Pace {
    last: Instant,
    wait_s: f64,
    step_s: f64,
    samples: f64,
    wait_share: f64,
    steps: u32,
}

impl Pace {
    pub fn new() -> Self {
        Self { last: Instant::now(), wait_s: 0.0, step_s: 0.0, samples: 0.0, wait_share: 0.0, steps: 0 }
    }

    pub fn step(&mut self, samples: usize, wait_s: f64) {
        let step_s = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        self.steps += 1;
        let new = f64::max(0.05, 1.0 / f64::from(self.steps));
        let blend = |old: &mut f64, value: f64| *old += (value - *old) * new;
        blend(&mut self.step_s, step_s);
        blend(&mut self.samples, samples as f64);
        blend(&mut self.wait_share, (wait_s - self.wait_s) / step_s);
        self.wait_s = wait_s;
    }

    pub fn step_s(&self) -> f64 {
        self.step_s
    }

    pub fn samples_per_s(&self) -> f64 {
        self.samples / self.step_s
    }

    pub fn wait_share(&self) -> f64 {
        self.wait_share
    }
}
