//! Confidence intervals of scores, by the bootstrap.
//!
//! Efron 1979: the spread of a score over test sets drawn anew is estimated by drawing from the test set itself, with
//! replacement. A [`Statistic`] says what it would be with every test sample as often as a resample has it; its interval lies
//! between the 2.5 % and the 97.5 % quantile over [`RESAMPLES`] resamples. Where the labeled samples were drawn several times,
//! a resample draws among the draws too, with replacement.
//!
//! Samples that belong together (frames of one film, pictures of one patient) are no independent evidence: where groups are
//! known, a resample draws whole groups, as many as there are.
//!
//! All scores of an evaluation see the same resamples. The interval of a difference is taken over the differences within each
//! resample: it is narrower than the two intervals would make believe, as samples that are hard are hard for both.

use rayon::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};

/// Resamples of the test set.
pub const RESAMPLES: usize = 1000;
/// Share of the resamples that an interval holds.
pub const LEVEL: f64 = 0.95;
/// First number of the keyed streams, apart from those of the draws of labels.
const STREAM: u64 = u64::MAX;

/// A score that can be computed anew with every test sample as often as a resample has it.
pub trait Statistic: Sync {
    /// Draws of the labels: 1 where there are none, 0 where nothing was scored.
    fn draws(&self) -> usize;
    /// The score by one draw, with test sample `i` counted `times[i]` times; `None` where nothing counts.
    fn of_draw(&self, draw: usize, times: &[f64]) -> Option<f64>;
}

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

    /// The rows of these outcomes that are among `rows`, which are sorted; of all test samples.
    pub fn among(&self, rows: &[u32]) -> Self {
        assert!(self.samples.is_none(), "outcomes of all test samples");
        let of_draw = |draw: &Vec<f32>| rows.iter().map(|&row| draw[row as usize]).collect();
        Self { samples: Some(rows.to_vec()), draws: self.draws.iter().map(of_draw).collect() }
    }
}

impl Statistic for Outcomes {
    fn draws(&self) -> usize {
        self.draws.len()
    }

    fn of_draw(&self, draw: usize, times: &[f64]) -> Option<f64> {
        let (mut sum, mut count) = (0.0, 0.0);
        let mut add = |sample: usize, value: f32| {
            sum += times[sample] * f64::from(value);
            count += times[sample];
        };
        let values = self.draws[draw].iter();
        match &self.samples {
            Some(samples) => values.zip(samples).for_each(|(&value, &sample)| add(sample as usize, value)),
            None => values.enumerate().for_each(|(sample, &value)| add(sample, value)),
        }
        (count > 0.0).then(|| sum / count)
    }
}

/// Mean of the accuracies within the classes, so that each class weighs the same: what accuracy is where all are as frequent.
/// Classes without a sample do not count.
#[derive(Clone, Copy, Debug)]
pub struct Balanced<'a>(
    /// What the test samples of each class are worth.
    pub &'a [Outcomes],
);

impl Statistic for Balanced<'_> {
    fn draws(&self) -> usize {
        self.0.first().map_or(0, Outcomes::draws)
    }

    fn of_draw(&self, draw: usize, times: &[f64]) -> Option<f64> {
        let within: Vec<f64> = self.0.iter().filter_map(|class| class.of_draw(draw, times)).collect();
        (!within.is_empty()).then(|| within.iter().sum::<f64>() / within.len() as f64)
    }
}

/// 1 where a prediction is correct, 0 where it is not.
pub fn correct(predicted: &[u32], truth: &[u32]) -> Vec<f32> {
    predicted.iter().zip(truth).map(|(p, t)| if p == t { 1.0 } else { 0.0 }).collect()
}

/// What a resample draws.
#[derive(Clone, Copy, Debug)]
pub enum Units<'a> {
    /// Single test samples, so many.
    Samples(usize),
    /// Whole groups: that of each test sample, numbered from 0 without gaps.
    Groups(&'a [u32]),
}

impl Units<'_> {
    fn samples(self) -> usize {
        match self {
            Self::Samples(samples) => samples,
            Self::Groups(of) => of.len(),
        }
    }

    /// How often a resample has each test sample.
    fn draw(self, rng: &mut StreamRng) -> Vec<f64> {
        let pick = |units: usize, rng: &mut StreamRng| {
            let mut times = vec![0.0f64; units];
            (0..units).for_each(|_| times[rng.below(units)] += 1.0);
            times
        };
        match self {
            Self::Samples(samples) => pick(samples, rng),
            Self::Groups(of) => {
                let groups = of.iter().max().map_or(0, |&last| last as usize + 1);
                let times = pick(groups, rng);
                of.iter().map(|&group| times[group as usize]).collect()
            }
        }
    }
}

/// Scores, and what they are in each resample.
pub struct Resampled {
    /// By score, the value of each draw of the labels.
    draws: Vec<Vec<Option<f64>>>,
    /// `[resamples, scores]`
    resamples: Vec<Vec<Option<f64>>>,
}

impl Resampled {
    /// Computes every score as it is and over all resamples of the test samples.
    pub fn of(scores: &[&dyn Statistic], units: Units, seed: u64) -> Self {
        let resample = |resample: u64| -> Vec<Option<f64>> {
            let times = units.draw(&mut StreamRng::new(seed, Purpose::Evaluate, STREAM, resample, 0));
            let of = |score: &&dyn Statistic| {
                let count = score.draws();
                // Every score draws from its own copy of the stream: how many there are changes none, and scores of the same
                // draws are paired.
                let mut rng = StreamRng::new(seed, Purpose::Evaluate, STREAM, resample, 1);
                let picked = (0..count).map(|_| score.of_draw(if count > 1 { rng.below(count) } else { 0 }, &times));
                mean(&picked.collect::<Vec<_>>())
            };
            scores.iter().map(of).collect()
        };
        let once = vec![1.0; units.samples()];
        let of_draws = |score: &&dyn Statistic| (0..score.draws()).map(|draw| score.of_draw(draw, &once)).collect();
        Self {
            draws: scores.iter().map(of_draws).collect(),
            resamples: (0..RESAMPLES as u64).into_par_iter().map(resample).collect(),
        }
    }

    /// The score, a mean over the draws of labels; `None` where nothing counts.
    pub fn value(&self, score: usize) -> Option<f64> {
        mean(&self.draws[score])
    }

    /// The score by each draw of the labels.
    pub fn draws(&self, score: usize) -> Vec<f64> {
        self.draws[score].iter().copied().flatten().collect()
    }

    /// `[low, high]`; `None` where nothing counts.
    pub fn interval(&self, score: usize) -> Option<[f64; 2]> {
        interval(self.resamples.iter().filter_map(|of_all| of_all[score]).collect())
    }

    /// By how much score `a` is above score `b`.
    pub fn difference(&self, a: usize, b: usize) -> Option<Difference> {
        let differences = self.resamples.iter().filter_map(|of_all| Some(of_all[a]? - of_all[b]?)).collect();
        Some(Difference { value: self.value(a)? - self.value(b)?, interval: interval(differences)? })
    }
}

/// A difference of two scores that were made by the same resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The first less the second.
    #[serde(rename = "difference")]
    pub value: f64,
    /// Its 95 % interval.
    pub interval: [f64; 2],
}

impl Difference {
    /// Whether more than chance speaks for one of the two: 1 for the first, −1 for the second, 0 where the interval holds 0.
    pub fn sign(&self) -> i8 {
        i8::from(self.interval[0] > 0.0) - i8::from(self.interval[1] < 0.0)
    }
}

/// `None` where one is missing, or there are none.
fn mean(values: &[Option<f64>]) -> Option<f64> {
    let sum: f64 = values.iter().copied().sum::<Option<f64>>()?;
    (!values.is_empty()).then(|| sum / values.len() as f64)
}

fn interval(mut values: Vec<f64>) -> Option<[f64; 2]> {
    values.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - LEVEL) / 2.0;
    (!values.is_empty()).then(|| [quantile(&values, tail), quantile(&values, 1.0 - tail)])
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

    fn intervals(scores: &[&dyn Statistic], samples: usize) -> Vec<Option<[f64; 2]>> {
        let resampled = Resampled::of(scores, Units::Samples(samples), 3);
        (0..scores.len()).map(|score| resampled.interval(score)).collect()
    }

    fn half([low, high]: [f64; 2]) -> f64 {
        (high - low) / 2.0
    }

    /// 1 for this share of `samples` samples, then 0.
    fn right(samples: usize, share: f64) -> Vec<f32> {
        (0..samples).map(|i| if (i as f64) < share * samples as f64 { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_the_binomial_one() {
        let samples = 2000;
        let score = Outcomes::of(right(samples, 0.8));
        let found = intervals(&[&score], samples)[0].unwrap();
        // ±1.96 √(p (1 − p) / n), to a tenth: 25 resamples lie in either tail.
        let expected = 1.96 * (0.8 * 0.2 / samples as f64).sqrt();
        assert!(half(found) > 0.9 * expected && half(found) < 1.1 * expected, "{found:?}");
        assert!(((found[0] + found[1]) / 2.0 - 0.8).abs() < 0.1 * expected);

        // Draws that differ far more than the samples: the spread is that of the mean of five draws, √(v/5).
        let draws = [0.4, 0.5, 0.6, 0.7, 0.8].map(|share| right(samples, share)).to_vec();
        let draws = Outcomes { samples: None, draws };
        let found = intervals(&[&draws], samples)[0].unwrap();
        let expected = 1.96 * (0.02f64 / 5.0).sqrt();
        assert!(half(found) > 0.85 * expected && half(found) < 1.15 * expected, "{found:?}");

        assert_eq!(intervals(&[&draws, &score], samples)[1], intervals(&[&score], samples)[0]);
        assert_eq!(intervals(&[&Outcomes::of(vec![1.0; samples])], samples), [Some([1.0, 1.0])]);
        // Of a part of the samples, and of none.
        let part = Outcomes { samples: Some((0..200).collect()), draws: vec![right(200, 0.5)] };
        let found = intervals(&[&part], samples)[0].unwrap();
        let expected = 1.96 * (0.25f64 / 200.0).sqrt();
        assert!(half(found) > 0.85 * expected && half(found) < 1.15 * expected, "{found:?}");
        for none in [Outcomes { samples: Some(Vec::new()), draws: vec![Vec::new()] }, Outcomes::default()] {
            let resampled = Resampled::of(&[&none], Units::Samples(samples), 3);
            assert_eq!((resampled.value(0), resampled.interval(0)), (None, None));
        }
    }

    #[test]
    fn differences_are_paired_and_their_interval_is_the_binomial_one() {
        // Both know the same 1,200 of 2,000 samples; the first 100 more.
        let samples = 2000;
        let (a, b) = (Outcomes::of(right(samples, 0.65)), Outcomes::of(right(samples, 0.6)));
        let resampled = Resampled::of(&[&a, &b], Units::Samples(samples), 3);
        let found = resampled.difference(0, 1).unwrap();
        assert!((found.value - 0.05).abs() < 1e-9, "{found:?}");
        // A share of 0.05 that is 1 and otherwise 0; unpaired it would be 0.030.
        let expected = 1.96 * (0.05 * 0.95 / samples as f64).sqrt();
        assert!(half(found.interval) > 0.9 * expected && half(found.interval) < 1.1 * expected, "{found:?}");
        assert_eq!((found.sign(), resampled.difference(1, 0).unwrap().sign()), (1, -1));
        assert_eq!(resampled.difference(0, 0), Some(Difference { value: 0.0, interval: [0.0, 0.0] }));
        assert_eq!(resampled.difference(0, 0).unwrap().sign(), 0);
    }

    #[test]
    fn samples_of_a_group_are_one_piece_of_evidence() {
        // 50 films of 40 frames, every film all right or all wrong: as if there were 50 samples.
        let samples = 2000;
        let score = Outcomes::of(right(samples, 0.5));
        let films: Vec<u32> = (0..samples as u32).map(|frame| frame / 40).collect();
        let grouped = Resampled::of(&[&score], Units::Groups(&films), 3);
        let expected = 1.96 * (0.25f64 / 50.0).sqrt();
        let found = grouped.interval(0).unwrap();
        assert!(half(found) > 0.9 * expected && half(found) < 1.1 * expected, "{found:?}");
        assert_eq!(grouped.value(0), Some(0.5));
        // Groups of one sample each are samples.
        let single: Vec<u32> = (0..samples as u32).collect();
        let single = Resampled::of(&[&score], Units::Groups(&single), 3).interval(0);
        assert_eq!(single, intervals(&[&score], samples)[0]);
    }

    #[test]
    fn each_class_weighs_the_same_when_balanced() {
        // Nine tenths of the samples are of the first class, of which 8 in 9 are known, and none of the second.
        let samples = 1000;
        let correct = Outcomes::of(right(samples, 0.8));
        let classes = [(0..900).collect::<Vec<u32>>(), (900..1000).collect(), Vec::new()];
        let within: Vec<Outcomes> = classes.iter().map(|rows| correct.among(rows)).collect();
        let balanced = Balanced(&within);
        let resampled = Resampled::of(&[&correct, &balanced], Units::Samples(samples), 3);
        assert!((resampled.value(0).unwrap() - 0.8).abs() < 1e-9);
        assert!((resampled.value(1).unwrap() - 800.0 / 900.0 / 2.0).abs() < 1e-9);
        // Half of the spread of the first class; the second is always 0.
        let expected = 1.96 * (800.0 / 900.0 * (100.0 / 900.0) / 900.0f64).sqrt() / 2.0;
        let found = resampled.interval(1).unwrap();
        assert!(half(found) > 0.85 * expected && half(found) < 1.15 * expected, "{found:?}");
    }
}
