//! Measures of predictions that are no single classes: of labels, any number per sample, and of numbers.
//!
//! With the test samples sorted by the score that they get for a label, best first, equal scores together as one step `s`, `pₛ`
//! positive and `nₛ` negative samples in it, `P = Σ pₛ` and `N = Σ nₛ`:
//!
//! ```text
//! AUROC = Σₛ nₛ (p₁ + … + pₛ₋₁ + pₛ/2) / (P N)
//! AP    = Σₛ (pₛ/P) (p₁ + … + pₛ) / (p₁ + n₁ + … + pₛ + nₛ)
//! F1    = 2 TP / (2 TP + FP + FN)        of those that are predicted to have the label
//! ```
//!
//! and for numbers `y` that are predicted as `ŷ`, `R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)²` and the mean absolute error `Σ |y − ŷ| / n`.
//! Means over labels or numbers are macro means: each weighs the same. A label that no test sample has, or all have, cannot be ranked
//! and does not count; neither does a number that does not vary.

use crate::bootstrap::Statistic;
use serde::{Deserialize, Serialize};

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Probability that a sample with the label is ranked before one without.
    Auroc,
    /// Average precision of the ranking.
    AveragePrecision,
    /// Harmonic mean of precision and recall.
    F1,
    /// Share of the variance that is explained.
    R2,
    /// Mean absolute error.
    AbsoluteError,
}

impl Measure {
    /// Whether less is better.
    pub fn is_error(self) -> bool {
        self == Self::AbsoluteError
    }
}

impl std::fmt::Display for Measure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Auroc => "AUROC",
            Self::AveragePrecision => "mean AP",
            Self::F1 => "macro F1",
            Self::R2 => "R²",
            Self::AbsoluteError => "MAE",
        })
    }
}

/// Predictions of one target for all test samples.
#[derive(Clone, Debug)]
pub enum Predicted {
    /// Of a label.
    Label(Ranking),
    /// Of a number: what it is, and what was predicted.
    Number(Vec<[f32; 2]>),
}

/// Test samples in the order of their scores for a label.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Best first.
    order: Vec<Ranked>,
}

#[derive(Clone, Copy, Debug)]
struct Ranked {
    sample: u32,
    positive: bool,
    /// Whether it is predicted to have the label.
    predicted: bool,
    /// Whether the next has another score.
    ends_step: bool,
}

impl Ranking {
    /// Ranks samples by `scores`; those above `threshold` are predicted to have the label.
    pub fn new(scores: &[f32], positive: &[bool], threshold: f32) -> Self {
        let mut samples: Vec<u32> = (0..scores.len() as u32).collect();
        samples.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let score = |place: usize| samples.get(place).map(|&sample| scores[sample as usize]);
        let ranked = |(place, &sample): (usize, &u32)| Ranked {
            sample,
            positive: positive[sample as usize],
            predicted: scores[sample as usize] > threshold,
            ends_step: score(place + 1) != score(place),
        };
        Self { order: samples.iter().enumerate().map(ranked).collect() }
    }

    fn measure(&self, measure: Measure, times: &[f64]) -> Option<f64> {
        let (mut positives, mut negatives, mut predicted, mut hits) = (0.0, 0.0, 0.0, 0.0);
        // Of the step, then of all before it.
        let (mut step_positives, mut step_negatives) = (0.0, 0.0);
        let (mut area, mut precision) = (0.0, 0.0);
        for ranked in &self.order {
            let count = times[ranked.sample as usize];
            if ranked.predicted {
                predicted += count;
            }
            if ranked.positive {
                step_positives += count;
                hits += if ranked.predicted { count } else { 0.0 };
            } else {
                step_negatives += count;
            }
            if ranked.ends_step && step_positives + step_negatives > 0.0 {
                area += step_negatives * (positives + step_positives / 2.0);
                positives += step_positives;
                negatives += step_negatives;
                precision += step_positives * positives / (positives + negatives);
                (step_positives, step_negatives) = (0.0, 0.0);
            }
        }
        if positives == 0.0 || negatives == 0.0 {
            return None;
        }
        Some(match measure {
            Measure::Auroc => area / (positives * negatives),
            Measure::AveragePrecision => precision / positives,
            // 2 TP + FP + FN is all predicted ones and all positive ones.
            _ => 2.0 * hits / (predicted + positives),
        })
    }
}

impl Predicted {
    /// With test sample `i` counted `times[i]` times; `None` where it cannot be measured.
    fn measure(&self, measure: Measure, times: &[f64]) -> Option<f64> {
        let pairs = match self {
            Self::Label(ranking) => return ranking.measure(measure, times),
            Self::Number(pairs) => pairs,
        };
        let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
            pairs.iter().zip(times).map(|(&[y, found], count)| count * of(f64::from(y), f64::from(found))).sum()
        };
        let count: f64 = times.iter().sum();
        if measure == Measure::AbsoluteError {
            return (count > 0.0).then(|| sum(&|y, found| (y - found).abs()) / count);
        }
        let mean = sum(&|y, _| y) / count;
        let variance = sum(&|y, _| (y - mean).powi(2));
        (variance > 0.0).then(|| 1.0 - sum(&|y, found| (y - found).powi(2)) / variance)
    }
}

/// The macro mean of a measure over all targets.
#[derive(Clone, Copy, Debug)]
pub struct Macro<'a> {
    /// What is measured.
    pub measure: Measure,
    /// `[draws of labels, targets]`
    pub draws: &'a [Vec<Predicted>],
}

impl Statistic for Macro<'_> {
    fn draws(&self) -> usize {
        self.draws.len()
    }

    fn of_draw(&self, draw: usize, times: &[f64]) -> Option<f64> {
        let found: Vec<f64> =
            self.draws[draw].iter().filter_map(|target| target.measure(self.measure, times)).collect();
        (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
    }
}

/// A measure of one target.
#[derive(Clone, Copy, Debug)]
pub struct OfTarget<'a> {
    /// What is measured.
    pub measure: Measure,
    /// What was predicted.
    pub predicted: &'a Predicted,
}

impl Statistic for OfTarget<'_> {
    fn draws(&self) -> usize {
        1
    }

    fn of_draw(&self, _: usize, times: &[f64]) -> Option<f64> {
        self.predicted.measure(self.measure, times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    }

    fn close(found: f64, expected: f64, what: &str) {
        assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{what}: {found} for {expected}");
    }

    /// The file's generator, `tests/measures.py`, stands beside it; some scores are equal, and some samples count several times.
    #[test]
    fn measures_are_those_of_scikit_learn() {
        let cases: Value = serde_json::from_str(include_str!("../tests/measures.json")).unwrap();
        let mut seen = 0;
        for case in cases["labels"].as_array().unwrap() {
            let times = numbers(&case["times"]);
            let targets: Vec<Predicted> = (case["targets"].as_array().unwrap().iter())
                .map(|target| {
                    let scores: Vec<f32> = numbers(&target["scores"]).iter().map(|&v| v as f32).collect();
                    let positive: Vec<bool> = numbers(&target["truth"]).iter().map(|&v| v > 0.0).collect();
                    Predicted::Label(Ranking::new(&scores, &positive, 0.5))
                })
                .collect();
            for measure in [Measure::Auroc, Measure::AveragePrecision, Measure::F1] {
                let name = serde_json::to_value(measure).unwrap();
                let name = name.as_str().unwrap();
                for (predicted, target) in targets.iter().zip(case["targets"].as_array().unwrap()) {
                    let found = OfTarget { measure, predicted }.of_draw(0, &times).unwrap();
                    close(found, target[name].as_f64().unwrap(), name);
                    seen += 1;
                }
                let draws = [targets.clone()];
                close(Macro { measure, draws: &draws }.of_draw(0, &times).unwrap(), case[name].as_f64().unwrap(), name);
            }
        }
        for case in cases["numbers"].as_array().unwrap() {
            let (truth, found) = (numbers(&case["truth"]), numbers(&case["predicted"]));
            let pairs = truth.iter().zip(&found).map(|(&y, &p)| [y as f32, p as f32]).collect();
            let predicted = Predicted::Number(pairs);
            let times = numbers(&case["times"]);
            let measure = |measure| OfTarget { measure, predicted: &predicted }.of_draw(0, &times).unwrap();
            close(measure(Measure::R2), case["r2"].as_f64().unwrap(), "r2");
            close(measure(Measure::AbsoluteError), case["absolute_error"].as_f64().unwrap(), "absolute error");
            seen += 1;
        }
        assert!(seen > 30, "{seen}");
    }

    #[test]
    fn ties_and_edges_have_their_closed_forms() {
        let label = |scores: &[f32], positive: &[bool]| Predicted::Label(Ranking::new(scores, positive, 0.5));
        let measure = |predicted: &Predicted, measure, times: &[f64]| predicted.measure(measure, times);
        let positive = [true, true, false, false, false];
        // All equal: as good as a coin, and every precision is the share of positives.
        let tied = label(&[0.2; 5], &positive);
        let once = [1.0; 5];
        assert_eq!(measure(&tied, Measure::Auroc, &once), Some(0.5));
        assert_eq!(measure(&tied, Measure::AveragePrecision, &once), Some(0.4));
        assert_eq!(measure(&tied, Measure::F1, &once), Some(0.0), "none is predicted");
        let right = label(&[0.9, 0.8, 0.3, 0.2, 0.1], &positive);
        let wrong = label(&[0.1, 0.2, 0.7, 0.8, 0.9], &positive);
        for which in [Measure::Auroc, Measure::AveragePrecision, Measure::F1] {
            assert_eq!(measure(&right, which, &once), Some(1.0));
        }
        assert_eq!(measure(&wrong, Measure::Auroc, &once), Some(0.0));
        // The last two of five: (1/4 + 2/5) / 2.
        close(measure(&wrong, Measure::AveragePrecision, &once).unwrap(), 0.325, "AP");
        // A resample without a positive, or a number that does not vary, cannot be measured; a macro mean leaves it out.
        let none = [0.0, 0.0, 1.0, 2.0, 0.0];
        assert_eq!(measure(&right, Measure::Auroc, &none), None);
        let draws = [vec![right, label(&[0.5; 5], &[false; 5])]];
        assert_eq!(Macro { measure: Measure::Auroc, draws: &draws }.of_draw(0, &once), Some(1.0));
        assert_eq!(Macro { measure: Measure::Auroc, draws: &draws }.of_draw(0, &none), None);
        let flat = Predicted::Number(vec![[2.0, 1.0]; 5]);
        assert_eq!(
            (measure(&flat, Measure::R2, &once), measure(&flat, Measure::AbsoluteError, &once)),
            (None, Some(1.0))
        );
    }

    #[test]
    fn counting_a_sample_twice_is_having_it_twice() {
        let scores = [0.9f32, 0.4, 0.6, 0.6, 0.2, 0.7];
        let positive = [true, false, true, false, true, false];
        let times = [2.0, 0.0, 1.0, 3.0, 1.0, 1.0];
        let repeated: Vec<usize> = (0..6).flat_map(|i| std::iter::repeat_n(i, times[i] as usize)).collect();
        let many_scores: Vec<f32> = repeated.iter().map(|&i| scores[i]).collect();
        let many_positive: Vec<bool> = repeated.iter().map(|&i| positive[i]).collect();
        let [few, many] = [(&scores[..], &positive[..]), (&many_scores, &many_positive)]
            .map(|(scores, positive)| Predicted::Label(Ranking::new(scores, positive, 0.5)));
        for which in [Measure::Auroc, Measure::AveragePrecision, Measure::F1] {
            let (a, b) = (few.measure(which, &times).unwrap(), many.measure(which, &[1.0; 8]).unwrap());
            assert!((a - b).abs() < 1e-12, "{which}: {a} {b}");
        }
    }
}
