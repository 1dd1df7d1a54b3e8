//! How representations are scored: kNN, linear probe and retrieval, with all labels and with few, the same draws for every
//! representation that is compared. What comes out is [`Scores`].

use crate::bootstrap::{self, Balanced, Outcomes, Units, correct};
use crate::chance;
use crate::conclusion;
use crate::features::{FeatureTable, Rows};
use crate::knn::Neighbors;
use crate::label_subsets::{self, LabelBudget};
use crate::linear_probe::{ProbeFeatures, Truth};
use crate::representation::RepresentationName;
use crate::retrieval::{self, RECALL_AT, Retrieval};
use crate::scores::{
    BalancedScores, ClassScore, Comparison, Confusion, FewLabelsScore, IntervalProtocol, KnnProtocol, KnnScore, Metric,
    PerClassScores, ProbeProtocol, ProbeScores, Protocol, RecallScore, RepresentationScores, RetrievalProtocol,
    RetrievalScores, Score, Scores,
};
use crate::settings::EvaluateSettings;
use crate::tally::{Tallied, Tally};
use crate::targets::Task;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use std::collections::BTreeMap;

/// The larger neighborhood that is shown beside the plan's.
pub const WIDE_K: usize = 200;

/// Classes are uneven where the largest has so many times the test samples of the smallest.
const UNEVEN: f64 = 1.5;

/// Most classes of which a confusion matrix is kept.
const CONFUSION_CLASSES: usize = 256;

/// One thing to score: its name and its features.
#[derive(Clone, Debug)]
pub struct Representation<'a> {
    /// Name in tables and in `scores.json`.
    pub name: RepresentationName,
    /// Features of the labeled training samples.
    pub train: &'a FeatureTable,
    /// Features of the test samples.
    pub test: &'a FeatureTable,
}

/// The group of every sample, where samples come in groups; none is on both sides. Numbered from 0 without gaps on each.
#[derive(Clone, Copy, Debug)]
pub struct SampleGroups<'a> {
    /// Of the labeled training samples.
    pub train: &'a [u32],
    /// Of the test samples.
    pub test: &'a [u32],
}

impl<'a> SampleGroups<'a> {
    /// What resamples are made of.
    pub(crate) fn units(groups: Option<Self>, samples: usize) -> Units<'a> {
        groups.map_or(Units::Samples(samples), |groups| Units::Groups(groups.test))
    }
}

/// What one representation predicted of the test samples, yet without intervals.
struct Predicted {
    /// By `k`.
    knn: Vec<(usize, Outcomes)>,
    probe: Outcomes,
    /// By labels per class.
    few_labels: Vec<(usize, Outcomes)>,
    retrieval: Retrieval,
    /// Classes by the vote of the plan's `k`, and by the probe.
    classes: [Vec<u32>; 2],
}

/// What all representations are scored by.
struct Exam<'a> {
    settings: &'a EvaluateSettings,
    seed: u64,
    labels: &'a [u32],
    classes: &'a [String],
    /// Classes of the test samples.
    truth: &'a [u32],
    /// By labels per class, the labeled rows of each draw.
    draws: &'a [(usize, Vec<Vec<u32>>)],
    groups: Option<SampleGroups<'a>>,
}

/// Calls of `progress` that [`evaluate`] makes for so many representations, for a progress bar.
pub fn steps(representations: usize, settings: &EvaluateSettings) -> usize {
    representations * (3 + settings.per_class.len()) + 1
}

/// Scores every representation by the same protocol. `progress` is told what is done next, one call per score.
///
/// # Errors
/// If a setting is out of its range, samples or labels are missing, the test data have a class that the training data lack,
/// or a value is not finite.
pub fn evaluate(
    representations: &[Representation],
    groups: Option<SampleGroups>,
    settings: &EvaluateSettings,
    seed: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Scores, DataError> {
    check(representations, settings)?;
    let first = &representations[0];
    let classes = first.train.classes.clone();
    let truth = match_classes(first.train, first.test)?;
    let mut warnings = reductions(representations, settings);
    let labels = &first.train.labels;
    let draws = draws(labels, classes.len(), settings, seed, &mut warnings);
    if classes.len() > CONFUSION_CLASSES {
        warnings.push(format!("no confusion matrix is kept of more than {CONFUSION_CLASSES} classes"));
    }
    let members = label_subsets::members(&truth, classes.len());
    if members.iter().all(|rows| rows.len() < 2) {
        warnings.push("no class has two test samples, so there is nothing to retrieve".into());
    }
    let exam = Exam { settings, seed, labels, classes: &classes, truth: &truth, draws: &draws, groups };
    let predicted = representations.iter().map(|r| exam.predict(r, progress)).collect::<Result<Vec<_>, _>>()?;
    progress("intervals");
    let names: Vec<RepresentationName> = representations.iter().map(|r| r.name.clone()).collect();
    let (scored, comparisons) = exam.score(&predicted, &members, &names);
    let mut scored: BTreeMap<_, _> = names.into_iter().zip(scored).collect();
    for (r, predicted) in representations.iter().zip(&predicted) {
        if r.name == RepresentationName::H && classes.len() <= CONFUSION_CLASSES {
            scored.get_mut(&r.name).expect("scored above").confusion = Some(exam.confusion(predicted));
        }
    }
    let protocol = protocol(settings, seed, [labels.len(), truth.len()], Task::Classes, classes.len(), groups);
    let mut scores = Scores::new(protocol, classes, scored, comparisons, warnings);
    scores.chance = chance::of_classes(&scores.metrics(), labels, &truth, &members);
    scores.conclusion = conclusion::of_scores(&scores);
    Ok(scores)
}

impl Exam<'_> {
    fn predict(
        &self,
        Representation { name, train, test }: &Representation,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Predicted, DataError> {
        let &Self { settings, seed, labels, classes, truth, draws, groups } = self;
        progress(&format!("{name}: kNN"));
        let (bank, classes) = (labels.len(), classes.len());
        let widest = WIDE_K.max(settings.knn_k).min(bank);
        let neighbors = Neighbors::find(test.rows(), train.rows(), widest)?;
        let vote = |k: usize| neighbors.vote(labels, classes, k.min(widest), settings.knn_temperature);
        let by_knn = vote(settings.knn_k);
        let mut knn = vec![(settings.knn_k, Outcomes::of(correct(&by_knn, truth)))];
        if settings.knn_k != WIDE_K {
            knn.push((WIDE_K, Outcomes::of(correct(&vote(WIDE_K), truth))));
        }
        knn.sort_by_key(|(k, _)| *k);

        let features = probe_features(train.rows(), settings)?;
        let coordinates = features.coordinates(test.rows())?;
        let probe = |rows: &[u32], draw: u64| {
            let rng = StreamRng::new(seed, Purpose::Evaluate, 1, draw, 0);
            let groups = groups.map(|groups| groups.train);
            features.fit_to(rows, Truth::Classes(labels, classes), groups, rng).predict(&coordinates)
        };
        progress(&format!("{name}: linear probe"));
        let all: Vec<u32> = (0..bank as u32).collect();
        let by_probe = probe(&all, 0);
        let mut few_labels = Vec::new();
        for (per_class, draws) in draws {
            progress(&format!("{name}: linear probe, {per_class} per class"));
            let draws = draws.par_iter().enumerate().map(|(i, rows)| correct(&probe(rows, i as u64 + 1), truth));
            few_labels.push((*per_class, Outcomes { samples: None, draws: draws.collect() }));
        }
        progress(&format!("{name}: retrieval"));
        let retrieval = retrieval::retrieve(test.rows(), truth, groups.map(|groups| groups.test))?;
        let probe = Outcomes::of(correct(&by_probe, truth));
        Ok(Predicted { knn, probe, few_labels, retrieval, classes: [by_knn, by_probe] })
    }

    /// The scores of each representation, all by the same resamples, and `h` beside the others.
    fn score(
        &self,
        predicted: &[Predicted],
        members: &[Vec<u32>],
        names: &[RepresentationName],
    ) -> (Vec<RepresentationScores>, Vec<Comparison>) {
        let k = self.settings.knn_k;
        let within = |classes: &Vec<u32>| {
            let correct = Outcomes::of(correct(classes, self.truth));
            members.iter().map(|rows| correct.among(rows)).collect::<Vec<_>>()
        };
        let within: Vec<[Vec<Outcomes>; 2]> = predicted.iter().map(|p| p.classes.each_ref().map(within)).collect();
        let balanced: Vec<[Balanced; 2]> = within.iter().map(|both| both.each_ref().map(|of| Balanced(of))).collect();
        let uneven = uneven(members);
        let mut tally = Tally::default();
        let mut places = Vec::new();
        for (which, (p, (within, balanced))) in predicted.iter().zip(within.iter().zip(&balanced)).enumerate() {
            p.knn.iter().for_each(|(k, outcomes)| tally.add_score(which, Metric::Knn(*k), outcomes));
            tally.add_score(which, Metric::LinearProbe(LabelBudget::All), &p.probe);
            for (per_class, outcomes) in &p.few_labels {
                tally.add_score(which, Metric::LinearProbe(LabelBudget::PerClass(*per_class)), outcomes);
            }
            if uneven {
                tally.add_score(which, Metric::BalancedKnn(k), &balanced[0]);
                tally.add_score(which, Metric::BalancedProbe, &balanced[1]);
            }
            tally.add_score(which, Metric::MeanAveragePrecision, &p.retrieval.map);
            for (at, outcomes) in RECALL_AT.into_iter().zip(&p.retrieval.recall) {
                tally.add_score(which, Metric::RecallAt(at), outcomes);
            }
            places.push(within.each_ref().map(|of| of.iter().map(|of| tally.add(of)).collect::<Vec<_>>()));
        }
        let tallied = tally.resample(SampleGroups::units(self.groups, self.truth.len()), self.seed);
        let all = predicted.iter().zip(&places).enumerate();
        let scored = all.map(|(which, (p, places))| self.scores_of(which, p, places, members, &tallied)).collect();
        let own = names.iter().position(|name| *name == RepresentationName::H);
        (scored, own.map(|own| tallied.comparisons(own, names)).unwrap_or_default())
    }

    /// The scores of representation `which`; `places` are those of its accuracies by class.
    fn scores_of(
        &self,
        which: usize,
        predicted: &Predicted,
        places: &[Vec<usize>; 2],
        members: &[Vec<u32>],
        tallied: &Tallied,
    ) -> RepresentationScores {
        let k = self.settings.knn_k;
        let whole = |metric| tallied.score(which, metric).expect("there are test samples");
        let few = |(per_class, _): &(usize, Outcomes)| {
            let metric = Metric::LinearProbe(LabelBudget::PerClass(*per_class));
            let draws = tallied.draws(which, metric);
            let score = Score { std: Some(standard_deviation(&draws)), ..whole(metric) };
            FewLabelsScore { per_class: *per_class, score, draws }
        };
        let balanced = tallied.score(which, Metric::BalancedKnn(k)).zip(tallied.score(which, Metric::BalancedProbe));
        let recall = RECALL_AT
            .into_iter()
            .filter_map(|at| Some(RecallScore { at, score: tallied.score(which, Metric::RecallAt(at))? }));
        let [by_knn, by_probe] = places.each_ref().map(|places| {
            let of_class = |(class, place): (usize, &usize)| {
                let score = tallied.at(*place);
                ClassScore {
                    class: self.classes[class].clone(),
                    accuracy: score.map(|score| score.value),
                    interval: score.and_then(|score| score.interval),
                    samples: members[class].len(),
                }
            };
            places.iter().enumerate().map(of_class).collect()
        });
        RepresentationScores {
            knn: predicted.knn.iter().map(|(k, _)| KnnScore { k: *k, score: whole(Metric::Knn(*k)) }).collect(),
            linear_probe: Some(ProbeScores {
                all_labels: whole(Metric::LinearProbe(LabelBudget::All)),
                few_labels: predicted.few_labels.iter().map(few).collect(),
            }),
            targets: None,
            balanced: balanced
                .map(|(knn, linear_probe)| BalancedScores { knn: KnnScore { k, score: knn }, linear_probe }),
            retrieval: RetrievalScores {
                map: tallied.score(which, Metric::MeanAveragePrecision),
                recall: recall.collect(),
            },
            per_class: PerClassScores { knn: by_knn, linear_probe: by_probe },
            confusion: None,
        }
    }

    fn confusion(&self, predicted: &Predicted) -> Confusion {
        let [knn, linear_probe] = predicted.classes.each_ref().map(|predicted| {
            let mut counts = vec![vec![0u32; self.classes.len()]; self.classes.len()];
            predicted.iter().zip(self.truth).for_each(|(&p, &t)| counts[t as usize][p as usize] += 1);
            counts
        });
        Confusion { knn, linear_probe }
    }
}

/// How scores of so many training and test samples are made.
pub(crate) fn protocol(
    settings: &EvaluateSettings,
    seed: u64,
    [train_samples, test_samples]: [usize; 2],
    task: Task,
    classes: usize,
    groups: Option<SampleGroups>,
) -> Protocol {
    let apart = if groups.is_some() { ", whole groups" } else { "" };
    Protocol {
        knn: KnnProtocol { k: settings.knn_k, temperature: settings.knn_temperature, metric: "cosine".into() },
        linear_probe: ProbeProtocol {
            standardized: true,
            l2: format!("chosen on held-out training labels{apart}"),
            most_axes: settings.probe_axes,
            per_class: if task == Task::Classes { settings.per_class.clone() } else { Vec::new() },
            draws: settings.draws,
        },
        retrieval: RetrievalProtocol {
            metric: "cosine".into(),
            gallery: if groups.is_some() { "test samples of other groups" } else { "test samples, leave-one-out" }
                .into(),
            queries: if task == Task::Classes { test_samples.min(retrieval::QUERIES) } else { 0 },
        },
        intervals: IntervalProtocol {
            method: format!("bootstrap percentile{apart}"),
            level: bootstrap::LEVEL,
            resamples: bootstrap::RESAMPLES,
        },
        seed,
        train_samples,
        test_samples,
        classes,
        task,
        test_groups: groups.map(|groups| groups.test.iter().max().map_or(0, |&last| last as usize + 1)),
    }
}

/// Checks that all representations are of the same samples and finite.
pub(crate) fn check(representations: &[Representation], settings: &EvaluateSettings) -> Result<(), DataError> {
    settings.check()?;
    let Some(first) = representations.first() else {
        return Err(DataError::Data("there is no representation to evaluate".into()));
    };
    for r in representations {
        let samples = |r: &Representation| (r.train.len(), r.test.len());
        assert_eq!(samples(r), samples(first), "{} of other samples than {}", r.name, first.name);
        r.train.check_finite(&format!("{} (training data)", r.name))?;
        r.test.check_finite(&format!("{} (test data)", r.name))?;
    }
    Ok(())
}

/// What should be known of how the probe and the kNN see the representations.
pub(crate) fn reductions(representations: &[Representation], settings: &EvaluateSettings) -> Vec<String> {
    let most_axes = settings.probe_axes;
    let wide = representations.iter().filter(|r| r.train.dim > most_axes);
    let mut warnings: Vec<String> =
        wide.map(|r| format!("the probe sees {} along its first {most_axes} principal axes", r.name)).collect();
    let bank = representations.first().map_or(0, |r| r.train.len());
    if settings.knn_k > bank {
        warnings.push(format!("k = {} is more than the {bank} training samples; k is {bank}", settings.knn_k));
    }
    warnings
}

/// Features as the probe sees them.
pub(crate) fn probe_features(train: Rows, settings: &EvaluateSettings) -> Result<ProbeFeatures, DataError> {
    match train.dim {
        dim if dim > settings.probe_axes => ProbeFeatures::reduced(train, settings.probe_axes),
        _ => ProbeFeatures::new(train),
    }
}

/// The test samples' classes by their place among the training classes, which are matched by name, `[test samples]`.
///
/// # Errors
/// If samples or labels are missing, or the test data have a class that the training data lack.
pub fn match_classes(train: &FeatureTable, test: &FeatureTable) -> Result<Vec<u32>, DataError> {
    for (part, table) in [("train", train), ("test", test)] {
        if table.is_empty() {
            return Err(DataError::Data(format!("the {part} data has no readable sample")));
        }
        if table.labels.len() != table.len() {
            let problem = "has no labels, which an evaluation needs; give labeled data, e.g. a folder with one sub-folder per class (a diagnosis needs no labels)";
            return Err(DataError::Data(format!("the {part} data {problem}")));
        }
    }
    if train.classes.len() < 2 {
        return Err(DataError::Data(format!("the train data has {} class, expected at least 2", train.classes.len())));
    }
    let mut present = vec![false; train.classes.len()];
    train.labels.iter().for_each(|&label| present[label as usize] = true);
    let place = |label: u32| {
        let name = &test.classes[label as usize];
        let found = train.classes.iter().position(|class| class == name).filter(|&class| present[class]);
        found.map(|class| class as u32).ok_or_else(|| {
            let problem =
                "of which the train data has no sample; leave it out of the test data, or add it to the train data";
            DataError::Data(format!("the test data has class \"{name}\", {problem}"))
        })
    };
    test.labels.iter().map(|&label| place(label)).collect()
}

/// Whether some class has far more test samples than another, so that accuracy says little of the rare ones.
pub fn uneven(members: &[Vec<u32>]) -> bool {
    let counts = || members.iter().map(Vec::len).filter(|&count| count > 0);
    let (most, fewest) = (counts().max().unwrap_or(0), counts().min().unwrap_or(0));
    most as f64 >= UNEVEN * fewest as f64 && most > fewest
}

/// For every number of labels per class, the labeled rows of each draw.
fn draws(
    labels: &[u32],
    classes: usize,
    settings: &EvaluateSettings,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Vec<(usize, Vec<Vec<u32>>)> {
    let smallest = label_subsets::members(labels, classes).iter().map(Vec::len).min().unwrap_or(0);
    let mut all = Vec::new();
    for &per_class in &settings.per_class {
        if per_class > smallest {
            warnings.push(format!(
                "{per_class} labels per class were asked for, one class has {smallest}; all of it is used"
            ));
        }
        let of_draw = |draw| LabelBudget::PerClass(per_class).rows(labels, classes, seed, draw);
        all.push((per_class, (0..settings.draws as u64).map(of_draw).collect()));
    }
    all
}

/// Unbiased standard deviation; 0 of a single value.
pub(crate) fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests;
