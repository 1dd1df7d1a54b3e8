//! Confidence intervals of scores, by the bootstrap.
//!
//! Efron 1979: the spread of a score over test sets drawn anew is estimated by drawing from the test set itself, with
//! replacement. A score is a mean over test samples of something between 0 and 1 (right or wrong, average precision);
//! its interval lies between the 2.5 % and the 97.5 % quantile over [`RESAMPLES`] resamples. Where the labeled samples
//! were drawn several times, a resample draws among the draws too, with replacement.
//!
//! All scores of an evaluation see the same resamples, so that differences between representations can be compared.

use rayon::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};

/// Resamples of the test set.
pub const RESAMPLES: usize = 1000;
/// Share of the resamples that an interval holds.
pub const LEVEL: f64 = 0.95;
/// First number of the keyed streams, apart from those of the draws of labels.
const STREAM: u64 = u64::MAX;

/// What a score is the mean of: what each test sample is worth, such as 1 where it is classified correctly.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    /// The test samples that count; `None`: all.
    pub samples: Option<Vec<u32>>,
    /// One entry per draw of the labels (one in all where there are no draws): what each sample that counts is worth.
    pub draws: Vec<Vec<f32>>,
}

impl Outcomes {
    /// Of all test samples, without draws.
    pub fn of(values: Vec<f32>) -> Self {
        Self { samples: None, draws: vec![values] }
    }

    /// The mean; `None` where nothing counts.
    pub fn mean(&self) -> Option<f64> {
        let means: Vec<f64> = self.draws.iter().map(|draw| self.mean_of(draw, |_| 1.0)).collect::<Option<_>>()?;
        (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
    }

    /// The mean of each draw.
    pub(crate) fn means(&self) -> Vec<f64> {
        self.draws.iter().filter_map(|draw| self.mean_of(draw, |_| 1.0)).collect()
    }

    /// Mean of a draw with sample `i` as often as `times(i)` says.
    fn mean_of(&self, values: &[f32], times: impl Fn(usize) -> f64) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        let mut add = |sample: usize, value: f32| {
            sum += times(sample) * f64::from(value);
            count += times(sample);
        };
        match &self.samples {
            Some(samples) => values.iter().zip(samples).for_each(|(&value, &sample)| add(sample as usize, value)),
            None => values.iter().enumerate().for_each(|(sample, &value)| add(sample, value)),
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// 1 where a prediction is correct, 0 where it is not.
pub fn correct(predicted: &[u32], truth: &[u32]) -> Vec<f32> {
    predicted.iter().zip(truth).map(|(p, t)| if p == t { 1.0 } else { 0.0 }).collect()
}

/// `[low, high]` of every score over `samples` test samples; `None` where nothing counts.
pub fn intervals(scores: &[&Outcomes], samples: usize, seed: u64) -> Vec<Option<[f64; 2]>> {
    let resampled: Vec<Vec<Option<f64>>> = (0..RESAMPLES as u64)
        .into_par_iter()
        .map(|resample| {
            let mut rng = StreamRng::new(seed, Purpose::Evaluate, STREAM, resample, 0);
            let mut times = vec![0.0f64; samples];
            (0..samples).for_each(|_| times[rng.below(samples)] += 1.0);
            let of = |score: &&Outcomes| {
                let count = score.draws.len();
                // Every score draws from its own copy of the stream: how many there are changes none.
                let mut rng = StreamRng::new(seed, Purpose::Evaluate, STREAM, resample, 1);
                let picked: Option<Vec<f64>> = (0..count)
                    .map(|_| score.mean_of(&score.draws[if count > 1 { rng.below(count) } else { 0 }], |i| times[i]))
                    .collect();
                picked.filter(|means| !means.is_empty()).map(|means| means.iter().sum::<f64>() / count as f64)
            };
            scores.iter().map(of).collect()
        })
        .collect();
    (0..scores.len())
        .map(|score| {
            let mut values: Vec<f64> = resampled.iter().filter_map(|of_all| of_all[score]).collect();
            values.sort_unstable_by(f64::total_cmp);
            let tail = (1.0 - LEVEL) / 2.0;
            (!values.is_empty()).then(|| [quantile(&values, tail), quantile(&values, 1.0 - tail)])
        })
        .collect()
}

/// Quantile of sorted values, linear between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_share_is_the_binomial_one() {
        let samples = 2000;
        let right = |share: f64| -> Vec<f32> {
            (0..samples).map(|i| if (i as f64) < share * samples as f64 { 1.0 } else { 0.0 }).collect()
        };
        let score = Outcomes::of(right(0.8));
        let [low, high] = intervals(&[&score], samples, 3)[0].unwrap();
        // ±1.96 √(p (1 − p) / n), to a tenth: 25 resamples lie in either tail.
        let half = 1.96 * (0.8 * 0.2 / samples as f64).sqrt();
        assert!((high - low) / 2.0 > 0.9 * half && (high - low) / 2.0 < 1.1 * half, "{low} {high}");
        assert!(((low + high) / 2.0 - 0.8).abs() < 0.1 * half);

        // Draws that differ far more than the samples: the spread is that of the mean of five draws, √(v/5).
        let draws = Outcomes { samples: None, draws: [0.4, 0.5, 0.6, 0.7, 0.8].map(right).to_vec() };
        let [low, high] = intervals(&[&draws], samples, 3)[0].unwrap();
        let half = 1.96 * (0.02f64 / 5.0).sqrt();
        assert!((high - low) / 2.0 > 0.85 * half && (high - low) / 2.0 < 1.15 * half, "{low} {high}");

        assert_eq!(intervals(&[&draws, &score], samples, 3)[1], intervals(&[&score], samples, 3)[0]);
        assert_eq!(intervals(&[&Outcomes::of(vec![1.0; samples])], samples, 3), [Some([1.0, 1.0])]);
        // Of a part of the samples, and of none.
        let part =
            Outcomes { samples: Some((0..200).collect()), draws: vec![[vec![0.0; 100], vec![1.0; 100]].concat()] };
        let [low, high] = intervals(&[&part], samples, 3)[0].unwrap();
        let half = 1.96 * (0.25f64 / 200.0).sqrt();
        assert!((high - low) / 2.0 > 0.85 * half && (high - low) / 2.0 < 1.15 * half, "{low} {high}");
        let none = Outcomes { samples: Some(Vec::new()), draws: vec![Vec::new()] };
        assert_eq!((none.mean(), intervals(&[&none], samples, 3)), (None, vec![None]));
        let no_draws = Outcomes::default();
        assert_eq!((no_draws.mean(), intervals(&[&no_draws], samples, 3)), (None, vec![None]));
    }
}
