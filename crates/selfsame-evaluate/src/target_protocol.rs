//! How representations are scored where labels, any number per sample, or numbers are told: kNN and linear probe, with all labels
//! and with few.
//!
//! A label's probe is a logistic regression of its own, a number's a ridge regression; the strength of each is chosen on held-out
//! training labels. The kNN gives the mean of what the neighbors have, weighted as they vote.

use crate::bootstrap::Statistic;
use crate::chance;
use crate::conclusion;
use crate::features::Rows;
use crate::knn::Neighbors;
use crate::label_subsets::LabelBudget;
use crate::linear_probe::{Coordinates, LinearProbe, ProbeFeatures, Truth};
use crate::measures::{Macro, Measure, OfTarget, Predicted, Ranking};
use crate::protocol::{Representation, SampleGroups, check, probe_features, protocol, reductions, standard_deviation};
use crate::representation::RepresentationName;
use crate::scores::{
    Metric, OneTargetScore, Predictor, RepresentationScores, Score, Scores, TargetScore, TargetScores,
};
use crate::settings::EvaluateSettings;
use crate::tally::Tally;
use crate::targets::Task;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use std::collections::BTreeMap;

/// Shares of the labeled samples that the probe is also given, where they hold at least [`FEWEST`].
const SHARES: [f64; 2] = [0.1, 0.01];
const FEWEST: f64 = 10.0;

/// What is told of the samples.
#[derive(Clone, Copy, Debug)]
pub struct SampleTargets<'a> {
    /// Labels or numbers.
    pub task: Task,
    /// Their names.
    pub names: &'a [String],
    /// Of the training samples, `[samples, targets]`: 1 or 0 for each label, or numbers.
    pub train: &'a [f32],
    /// Of the test samples, likewise.
    pub test: &'a [f32],
}

/// What one representation predicted, `[draws of labels, targets]` by what predicts.
struct Answers {
    by: Vec<(Predictor, Vec<Vec<Predicted>>)>,
}

/// Calls of `progress` that [`evaluate_targets`] makes for so many representations at most, for a progress bar.
pub fn target_steps(representations: usize) -> usize {
    representations * (2 + SHARES.len()) + 1
}

/// Scores every representation by what it tells of labels or numbers. `progress` is told what is done next.
///
/// # Errors
/// If a setting is out of its range, samples are missing, or a value is not finite.
pub fn evaluate_targets(
    representations: &[Representation],
    targets: SampleTargets,
    groups: Option<SampleGroups>,
    settings: &EvaluateSettings,
    seed: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Scores, DataError> {
    assert!(targets.task != Task::Classes, "classes are scored by `protocol::evaluate`");
    check(representations, settings)?;
    let (count, width) = (representations[0].test.len(), targets.names.len());
    let train_count = representations[0].train.len();
    assert_eq!((targets.train.len(), targets.test.len()), (train_count * width, count * width), "a target per sample");
    let same = unvaried(targets.names, targets.test)?;
    let mut warnings = reductions(representations, settings);
    let what = if targets.task == Task::Numbers { "numbers" } else { "labels" };
    if !same.is_empty() {
        let names = same.join(", ");
        warnings.push(format!(
            "{what} that are the same for all test samples cannot be scored and are left out of the means: {names}"
        ));
    }
    let exam = TargetExam { targets, groups, settings, seed };
    let answers = representations.iter().map(|r| exam.answer(r, progress)).collect::<Result<Vec<_>, _>>()?;
    progress("intervals");
    let names: Vec<RepresentationName> = representations.iter().map(|r| r.name.clone()).collect();
    let macros: Vec<Vec<(Metric, Macro)>> = answers.iter().map(|answers| exam.macros(answers)).collect();
    let singles: Vec<Vec<(usize, Measure, OfTarget)>> = answers.iter().map(|answers| exam.singles(answers)).collect();
    let mut tally = Tally::default();
    let mut places = Vec::new();
    for (which, (macros, singles)) in macros.iter().zip(&singles).enumerate() {
        macros.iter().for_each(|(metric, statistic)| tally.add_score(which, *metric, statistic));
        places.push(singles.iter().map(|(.., one)| tally.add(one as &dyn Statistic)).collect::<Vec<_>>());
    }
    let tallied = tally.resample(SampleGroups::units(groups, count), seed);
    let mut scored = BTreeMap::new();
    for (which, name) in names.iter().enumerate() {
        let score = |(metric, statistic): &(Metric, Macro)| {
            let Metric::Targets { measure, by } = *metric else { unreachable!("made above") };
            let score = tallied.score(which, *metric)?;
            let draws = if statistic.draws() > 1 { tallied.draws(which, *metric) } else { Vec::new() };
            let std = (!draws.is_empty()).then(|| standard_deviation(&draws));
            Some(TargetScore { measure, by, score: Score { std, ..score }, draws })
        };
        let of_target = |((target, measure, _), place): (&(usize, Measure, OfTarget), &usize)| OneTargetScore {
            target: targets.names[*target].clone(),
            measure: *measure,
            score: tallied.at(*place),
        };
        let targets = TargetScores {
            scores: macros[which].iter().filter_map(score).collect(),
            per_target: singles[which].iter().zip(&places[which]).map(of_target).collect(),
        };
        scored.insert(name.clone(), RepresentationScores { targets: Some(targets), ..RepresentationScores::default() });
    }
    let own = names.iter().position(|name| *name == RepresentationName::H);
    let comparisons = own.map(|own| tallied.comparisons(own, &names)).unwrap_or_default();
    let protocol = protocol(settings, seed, [train_count, count], targets.task, width, groups);
    let mut scores = Scores::new(protocol, targets.names.to_vec(), scored, comparisons, warnings);
    let rows = [targets.train, targets.test].map(|values| Rows::new(values, width));
    scores.chance = chance::of_targets(&scores.metrics(), rows[0], rows[1]);
    scores.conclusion = conclusion::of_scores(&scores);
    Ok(scores)
}

/// What all representations are scored by.
struct TargetExam<'a> {
    targets: SampleTargets<'a>,
    groups: Option<SampleGroups<'a>>,
    settings: &'a EvaluateSettings,
    seed: u64,
}

impl TargetExam<'_> {
    /// What is measured of a mean over all targets. Errors of several numbers, each in its own units, have no mean.
    fn measures(&self) -> &'static [Measure] {
        match self.targets.task {
            Task::Numbers if self.targets.names.len() > 1 => &[Measure::R2],
            Task::Numbers => &[Measure::R2, Measure::AbsoluteError],
            _ => &[Measure::Auroc, Measure::AveragePrecision, Measure::F1],
        }
    }

    fn column(&self, values: &[f32], target: usize) -> Vec<f32> {
        column(values, self.targets.names.len(), target)
    }

    fn answer(&self, r: &Representation, progress: &mut dyn FnMut(&str)) -> Result<Answers, DataError> {
        let &Self { targets, settings, seed, .. } = self;
        let (bank, width) = (r.train.len(), targets.names.len());
        progress(&format!("{}: kNN", r.name));
        let neighbors = Neighbors::find(r.test.rows(), r.train.rows(), settings.knn_k.min(bank))?;
        let found = neighbors.mean(Rows::new(targets.train, width), neighbors.k, settings.knn_temperature);
        let by_knn = (0..width).map(|target| self.predicted(target, &self.column(&found, target), 0.5)).collect();
        let mut by = vec![(Predictor::Knn(settings.knn_k), vec![by_knn])];
        let features = probe_features(r.train.rows(), settings)?;
        let coordinates = features.coordinates(r.test.rows())?;
        progress(&format!("{}: linear probe", r.name));
        let all: Vec<u32> = (0..bank as u32).collect();
        let fitted = |rows: &[u32], draw| self.probe(&features, &coordinates, rows, draw);
        by.push((Predictor::LinearProbe(LabelBudget::All), vec![fitted(&all, 0)]));
        for share in SHARES.into_iter().filter(|share| bank as f64 * share >= FEWEST) {
            let budget = LabelBudget::Share(share);
            progress(&format!("{}: linear probe, {budget}", r.name));
            let draw = |draw: u64| fitted(&budget.rows(&vec![0; bank], 1, seed, draw), draw + 1);
            by.push((Predictor::LinearProbe(budget), (0..settings.draws as u64).map(draw).collect()));
        }
        Ok(Answers { by })
    }

    /// A probe for each target, fitted to `rows`.
    fn probe(&self, features: &ProbeFeatures, test: &Coordinates, rows: &[u32], draw: u64) -> Vec<Predicted> {
        let SampleTargets { task, names, train, .. } = self.targets;
        let groups = self.groups.map(|groups| groups.train);
        let of_target = |target: usize| {
            let rng = StreamRng::new(self.seed, Purpose::Evaluate, 1, draw, 0);
            let probe = TargetProbe::fit(features, rows, &self.column(train, target), task, groups, rng);
            self.predicted(target, &probe.outputs(test), 0.0)
        };
        (0..names.len()).into_par_iter().map(of_target).collect()
    }

    /// What was predicted of a target for the test samples.
    fn predicted(&self, target: usize, found: &[f32], threshold: f32) -> Predicted {
        predicted(self.targets.task, &self.column(self.targets.test, target), found, threshold)
    }

    fn macros<'b>(&self, answers: &'b Answers) -> Vec<(Metric, Macro<'b>)> {
        let mut all = Vec::new();
        for &measure in self.measures() {
            for (by, draws) in &answers.by {
                all.push((Metric::Targets { measure, by: *by }, Macro { measure, draws }));
            }
        }
        all
    }

    /// Every target by itself, by the probe with all labels.
    fn singles<'b>(&self, answers: &'b Answers) -> Vec<(usize, Measure, OfTarget<'b>)> {
        let measures: &[Measure] = match self.targets.task {
            Task::Numbers => &[Measure::R2, Measure::AbsoluteError],
            _ => self.measures(),
        };
        let whole = answers.by.iter().find(|(by, _)| *by == Predictor::LinearProbe(LabelBudget::All));
        let targets = whole.into_iter().flat_map(|(_, draws)| draws[0].iter().enumerate());
        targets
            .flat_map(|(target, predicted)| {
                measures.iter().map(move |&measure| (target, measure, OfTarget { measure, predicted }))
            })
            .collect()
    }
}

/// The linear probe of one label or number.
#[derive(Clone, Debug)]
pub struct TargetProbe {
    task: Task,
    /// `None` of a label that all labeled samples have, or none.
    probe: Option<LinearProbe>,
    /// Logit of such a label, or mean and spread of a number, in which the probe is fitted.
    units: [f64; 2],
}

impl TargetProbe {
    /// Fits a probe to what is told of the samples `rows`; `told` has a value for every training sample.
    pub fn fit(
        features: &ProbeFeatures,
        rows: &[u32],
        told: &[f32],
        task: Task,
        groups: Option<&[u32]>,
        rng: StreamRng,
    ) -> Self {
        if task == Task::Numbers {
            // In units of their spread, so that a tolerance means the same for all.
            let [mean, spread] = moments(rows, told);
            let units: Vec<f32> = told.iter().map(|&value| ((f64::from(value) - mean) / spread) as f32).collect();
            let probe = features.fit_to(rows, Truth::Numbers(&units), groups, rng);
            return Self { task, probe: Some(probe), units: [mean, spread] };
        }
        let has: Vec<u32> = told.iter().map(|&value| u32::from(value > 0.5)).collect();
        let positive = rows.iter().filter(|&&row| has[row as usize] == 1).count();
        if positive == 0 || positive == rows.len() {
            return Self { task, probe: None, units: [if positive == 0 { -1.0 } else { 1.0 }, 0.0] };
        }
        let probe = features.fit_to(rows, Truth::Classes(&has, 2), groups, rng);
        Self { task, probe: Some(probe), units: [0.0, 1.0] }
    }

    /// The number of each row, or how much the label's logit is above that of its absence.
    pub fn outputs(&self, features: &Coordinates) -> Vec<f32> {
        let ([mean, spread], Some(probe)) = (self.units, &self.probe) else {
            return vec![self.units[0] as f32; features.len()];
        };
        let outputs = probe.outputs(features);
        match self.task {
            Task::Numbers => outputs.iter().map(|&v| (mean + spread * f64::from(v)) as f32).collect(),
            _ => outputs.chunks_exact(2).map(|logits| logits[1] - logits[0]).collect(),
        }
    }

    /// The same as an affine map of features as they are, weights `[dim]` and a bias; of numbers in units of their spread.
    pub fn affine(&self, features: &ProbeFeatures) -> (Vec<f32>, f32) {
        let Some(probe) = &self.probe else { return (vec![0.0; features.dim()], self.units[0] as f32) };
        let (weights, biases) = features.affine(probe);
        match self.task {
            Task::Numbers => (weights, biases[0]),
            _ => (weights.chunks_exact(2).map(|pair| pair[1] - pair[0]).collect(), biases[1] - biases[0]),
        }
    }
}

/// Mean and standard deviation of the values at `rows`; a deviation of 1 where they do not vary.
pub fn moments(rows: &[u32], values: &[f32]) -> [f64; 2] {
    let of_rows = || rows.iter().map(|&row| f64::from(values[row as usize]));
    let count = rows.len() as f64;
    let mean = of_rows().sum::<f64>() / count;
    let spread = (of_rows().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    [mean, if spread > 0.0 { spread } else { 1.0 }]
}

/// A column of `values`, `[samples, width]`.
pub fn column(values: &[f32], width: usize, target: usize) -> Vec<f32> {
    values.iter().skip(target).step_by(width).copied().collect()
}

/// Targets that are the same for all test samples: labels that none has, or all have. They cannot be scored.
///
/// # Errors
/// If all are so, and nothing can be scored.
pub fn unvaried<'a>(names: &'a [String], test: &[f32]) -> Result<Vec<&'a str>, DataError> {
    let same = |target: &usize| column(test, names.len(), *target).windows(2).all(|pair| pair[0] == pair[1]);
    let same: Vec<&str> = (0..names.len()).filter(same).map(|target| names[target].as_str()).collect();
    if same.len() == names.len() {
        let problem = "the same for all test samples, so nothing can be scored";
        return Err(DataError::Data(format!("{}: {problem}", same.join(", "))));
    }
    Ok(same)
}

/// What was predicted of a target, `found` beside `truth`; above `threshold` a label is given.
pub fn predicted(task: Task, truth: &[f32], found: &[f32], threshold: f32) -> Predicted {
    if task == Task::Numbers {
        return Predicted::Number(truth.iter().zip(found).map(|(&truth, &found)| [truth, found]).collect());
    }
    let positive: Vec<bool> = truth.iter().map(|&value| value > 0.5).collect();
    Predicted::Label(Ranking::new(found, &positive, threshold))
}

#[cfg(test)]
mod tests;
