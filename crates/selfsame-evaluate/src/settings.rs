//! Keys of `[evaluate]`.

use selfsame_base::DataError;
use selfsame_config::{Kind, Range, settings};

settings! {
    /// `[evaluate]`: how a representation is scored.
    pub struct EvaluateSettings {
        /// neighbors of the kNN vote
        knn_k: usize = 20, Kind::COUNT, records;
        /// temperature of the kNN vote: lower trusts the nearest more
        knn_temperature: f64 = 0.07, Kind::POSITIVE, records;
        /// numbers of labels per class that the linear probe is also given
        per_class: Vec<usize> = [1, 10, 100], Kind::Integers(Range::Within(1.0, 1e9), None), records;
        /// random draws of the labels, where few are given
        draws: usize = 5, Kind::COUNT, records;
        /// principal axes that the linear probe sees of features that are wider
        probe_axes: usize = 1024, Kind::COUNT, records;
        /// samples per batch when features are computed
        batch_size: usize = 256, Kind::COUNT, records;
    }
}

impl EvaluateSettings {
    /// Whether an evaluation can be made with these values. Those of a plan always pass.
    ///
    /// # Errors
    /// With the first key whose value is out of its range.
    pub fn check(&self) -> Result<(), DataError> {
        let counts = [("knn_k", self.knn_k), ("draws", self.draws), ("probe_axes", self.probe_axes)];
        let counts = counts.into_iter().chain(self.per_class.iter().map(|&count| ("per_class", count)));
        for (key, count) in counts {
            if count == 0 {
                return Err(DataError::setting(format!("evaluate.{key}"), "expected at least 1, received 0"));
            }
        }
        if !(self.knn_temperature > 0.0 && self.knn_temperature.is_finite()) {
            let problem = format!("expected a number above 0, received {}", self.knn_temperature);
            return Err(DataError::setting("evaluate.knn_temperature", problem));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_config::Settings;

    #[test]
    fn presets_are_the_documented_ones_and_change_no_training() {
        let settings = EvaluateSettings::read(&EvaluateSettings::preset()).unwrap();
        let expected = EvaluateSettings {
            knn_k: 20,
            knn_temperature: 0.07,
            per_class: vec![1, 10, 100],
            draws: 5,
            probe_axes: 1024,
            batch_size: 256,
        };
        assert_eq!(settings, expected);
        assert!(settings.check().is_ok() && EvaluateSettings::KEYS.iter().all(|key| !key.changes_training));
    }

    #[test]
    fn values_that_no_evaluation_can_use_are_named() {
        let settings = EvaluateSettings::read(&EvaluateSettings::preset()).unwrap();
        let problem = |change: fn(&mut EvaluateSettings)| {
            let mut settings = settings.clone();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(problem(|s| s.knn_k = 0).starts_with("evaluate.knn_k: expected at least 1"));
        assert!(problem(|s| s.draws = 0).contains("draws"));
        assert!(problem(|s| s.per_class.push(0)).contains("per_class"));
        assert!(problem(|s| s.knn_temperature = f64::NAN).contains("received NaN"));
    }
}
