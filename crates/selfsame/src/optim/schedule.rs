//! The learning rate, step by step.

use super::settings::CommonSettings;

/// Linear warm-up to `base_lr · batch / 256`, then half a cosine down to a share of it (Goyal et al. 2017; Loshchilov
/// & Hutter 2017). Defined per step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    peak: f64,
    floor: f64,
    warmup_steps: f64,
    steps: f64,
}

impl Schedule {
    /// The schedule of a run of `steps_per_epoch · epochs` steps with batches of `batch_size`.
    pub fn new(optimizer: &CommonSettings, batch_size: usize, epochs: usize, steps_per_epoch: u64) -> Self {
        let peak = optimizer.base_lr * batch_size as f64 / 256.0;
        let steps = (steps_per_epoch * epochs as u64) as f64;
        let warmup_steps = (optimizer.warmup_epochs * steps_per_epoch as f64).min(steps);
        Self { peak, floor: peak * optimizer.final_lr_share, warmup_steps, steps }
    }

    /// Learning rate of step `step`, counted from 0. The first step already moves; the last is one short of the floor.
    pub fn at(&self, step: u64) -> f64 {
        let step = step as f64;
        if step < self.warmup_steps {
            return self.peak * (step + 1.0) / self.warmup_steps.ceil();
        }
        let done = (step - self.warmup_steps) / (self.steps - self.warmup_steps).max(1.0);
        self.floor + (self.peak - self.floor) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_config::Settings;

    #[test]
    fn warms_up_to_the_scaled_peak_and_ends_at_the_floor() {
        let optimizer =
            CommonSettings { base_lr: 0.1, warmup_epochs: 2.0, final_lr_share: 0.01, ..CommonSettings::defaults() };
        let schedule = Schedule::new(&optimizer, 512, 10, 10);
        assert_eq!(schedule.at(0), 0.2 / 20.0);
        assert!((schedule.at(19) - 0.2).abs() < 1e-12 && (schedule.at(20) - 0.2).abs() < 1e-12);
        assert!((schedule.at(60) - (0.002 + 0.198 / 2.0)).abs() < 1e-12, "half way down at half the cosine");
        assert!((schedule.at(100) - 0.002).abs() < 1e-12);
        assert!((20..99).all(|s| schedule.at(s) > schedule.at(s + 1)));
    }
}
