//! `scores.json`: how well the representations of a run tell the classes apart.
//!
//! | key | meaning |
//! | --- | --- |
//! | `format` | version of this table: [`FORMAT`] |
//! | `protocol` | how it was measured: settings, numbers of samples and classes, seed |
//! | `classes` | their names; lists by class are in this order |
//! | `representations` | by name (`h`, `z`, `raw`, `untrained`), each with the following |
//! | `….targets` | of labels and numbers: lists of scores by `measure` (`auroc`, `average_precision`, `f1`; `r2`, `absolute_error`) and by what predicts (`by`: kNN, or the probe with so many labels), and of the probe by target |
//! | `….knn` | list: accuracy of the kNN vote, by `k` |
//! | `….linear_probe.all_labels` | accuracy of the linear probe with all training labels |
//! | `….linear_probe.few_labels` | list: the same with few labels, by `per_class`; the accuracy of each of the `draws` of labels |
//! | `….retrieval.map`, `.recall` | see [`crate::retrieval`]; among the test samples |
//! | `….balanced.knn`, `.linear_probe` | where classes are uneven: mean of the accuracies within the classes, by the plan's `k` and by all labels |
//! | `….per_class.knn`, `.linear_probe` | lists: accuracy within each class, by the plan's `k` and by all labels |
//! | `….confusion.knn`, `.linear_probe` | of `h`: rows are true classes, columns predicted ones, counts of test samples; left out beyond 256 classes |
//! | `chance` | list: what each score would be without looking at the samples |
//! | `comparisons` | list: by how much `h` is above each other representation, by score, with the interval of the difference |
//! | `measured_on` | the test data and the encoder: path, number and size of samples, fingerprint; method, step, weights |
//! | `labels_from` | the labeled training data, likewise |
//! | `label_table` | the table of labels, likewise, where there is one |
//! | `overlap` | test samples that are among the labeled training samples, or among those that the encoder was trained on |
//! | `conclusion` | what follows, in words |
//! | `diagnosis` | by `h` and `z`: see [`crate::diagnosis`] |
//! | `warnings` | what should be known when the figures are read |
//!
//! Every score has a `value`, its 95 % `interval` `[low, high]` (see [`crate::bootstrap`]) and, as a mean over draws of labels,
//! their standard deviation, `std`; `leads` stands where it is better than the same score of every other representation by more
//! than chance would explain: where no interval of a difference holds 0.

use crate::bootstrap::Difference;
use crate::diagnosis::Diagnoses;
use crate::json;
use crate::label_subsets::LabelBudget;
use crate::measures::Measure;
use crate::overlap::Overlap;
use crate::representation::{DataOrigin, MeasuredOn, RepresentationName};
use crate::targets::Task;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Format of `scores.json`.
pub const FORMAT: u32 = 1;

/// A score: a mean over test samples, and over draws of labels where those are several.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// From 0, the worst, to 1.
    pub value: f64,
    /// Its 95 % interval, low and high.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Standard deviation over the draws of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// Whether it is better than that of every other representation, by more than chance would explain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leads: bool,
}

/// Accuracy of a kNN vote.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnScore {
    /// Neighbors that vote.
    pub k: usize,
    /// Share classified correctly.
    #[serde(flatten)]
    pub score: Score,
}

/// Accuracy of a linear probe with few labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FewLabelsScore {
    /// Labels per class; all of a class that has fewer.
    pub per_class: usize,
    /// Share classified correctly, mean over the draws.
    #[serde(flatten)]
    pub score: Score,
    /// The same for each draw of the labels.
    #[serde(default)]
    pub draws: Vec<f64>,
}

/// Accuracies of the linear probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeScores {
    /// With all training labels.
    pub all_labels: Score,
    /// With few, as listed in the plan.
    #[serde(default)]
    pub few_labels: Vec<FewLabelsScore>,
}

/// Accuracies where each class weighs the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalancedScores {
    /// By the kNN vote with the plan's `k`.
    pub knn: KnnScore,
    /// By the linear probe with all labels.
    pub linear_probe: Score,
}

/// Share of queries one of whose nearest samples is of their class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecallScore {
    /// Nearest samples that are looked at.
    pub at: usize,
    /// The share.
    #[serde(flatten)]
    pub score: Score,
}

/// Scores of retrieval; missing where no class has two test samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetrievalScores {
    /// Mean average precision.
    pub map: Option<Score>,
    /// Recall at 1, 5 and 10.
    pub recall: Vec<RecallScore>,
}

/// Accuracy within a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScore {
    /// Name of the class.
    pub class: String,
    /// Share classified correctly; `None` without test samples.
    pub accuracy: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Test samples of the class.
    pub samples: usize,
}

/// Accuracies by class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PerClassScores {
    /// By the kNN vote with the plan's `k`.
    pub knn: Vec<ClassScore>,
    /// By the linear probe with all labels.
    pub linear_probe: Vec<ClassScore>,
}

/// Who is taken for whom: `[classes, classes]` counts of test samples; rows are true classes, columns predicted ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Confusion {
    /// By the kNN vote with the plan's `k`.
    pub knn: Vec<Vec<u32>>,
    /// By the linear probe with all labels.
    pub linear_probe: Vec<Vec<u32>>,
}

/// What predicts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Predictor {
    /// The mean of so many neighbors.
    Knn(usize),
    /// The linear probe with so many labels.
    LinearProbe(LabelBudget),
}

/// A macro mean over labels or numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetScore {
    /// What is measured.
    pub measure: Measure,
    /// What predicts.
    pub by: Predictor,
    /// Mean over the draws, where the labels are few.
    #[serde(flatten)]
    pub score: Score,
    /// The same for each draw of the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draws: Vec<f64>,
}

/// A measure of one label or number, by the linear probe with all labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneTargetScore {
    /// Name of the label or number.
    pub target: String,
    /// What is measured.
    pub measure: Measure,
    /// `None` where it cannot be measured: a label that no test sample has, or all have.
    pub score: Option<Score>,
}

/// Scores of labels or numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetScores {
    /// Macro means.
    pub scores: Vec<TargetScore>,
    /// By target.
    pub per_target: Vec<OneTargetScore>,
}

/// All scores of one representation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RepresentationScores {
    /// By `k`, smallest first; of classes.
    #[serde(default)]
    pub knn: Vec<KnnScore>,
    /// Linear probe, of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_probe: Option<ProbeScores>,
    /// Labels or numbers, where these are told instead of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetScores>,
    /// Where classes are uneven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced: Option<BalancedScores>,
    /// Retrieval.
    #[serde(default)]
    pub retrieval: RetrievalScores,
    /// By class.
    #[serde(default)]
    pub per_class: PerClassScores,
    /// Of `h`, unless there are too many classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confusion: Option<Confusion>,
}

/// Settings of the kNN vote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnnProtocol {
    /// The plan's number of neighbors.
    pub k: usize,
    /// Temperature of the vote.
    pub temperature: f64,
    /// Measure of nearness.
    pub metric: String,
}

/// Settings of the linear probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeProtocol {
    /// Whether features are standardized.
    pub standardized: bool,
    /// How the strength of the regularization is found.
    pub l2: String,
    /// Principal axes that it sees, at most.
    pub most_axes: usize,
    /// Labels per class, where few are given.
    pub per_class: Vec<usize>,
    /// Draws of them.
    pub draws: usize,
}

/// Settings of retrieval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievalProtocol {
    /// Measure of nearness.
    pub metric: String,
    /// What is searched.
    pub gallery: String,
    /// Number of queries.
    pub queries: usize,
}

/// How intervals are made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IntervalProtocol {
    /// Method.
    pub method: String,
    /// Share of the resamples that an interval holds.
    pub level: f64,
    /// Resamples.
    pub resamples: usize,
}

/// How it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// The kNN vote.
    pub knn: KnnProtocol,
    /// The linear probe.
    pub linear_probe: ProbeProtocol,
    /// Retrieval.
    pub retrieval: RetrievalProtocol,
    /// Intervals.
    pub intervals: IntervalProtocol,
    /// Seed of all draws.
    pub seed: u64,
    /// Labeled training samples.
    pub train_samples: usize,
    /// Test samples.
    pub test_samples: usize,
    /// Number of classes.
    pub classes: usize,
    /// What is told of the samples.
    #[serde(default)]
    pub task: Task,
    /// Number of groups of the test samples, of which resamples are made; `None` where samples stand for themselves.
    #[serde(default)]
    pub test_groups: Option<usize>,
}

/// What a score would be without looking at the samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChanceScore {
    /// Which score.
    pub metric: Metric,
    /// What it would be.
    pub value: f64,
}

/// By how much a score of `h` is above that of another representation, over the same resamples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Which score.
    pub metric: Metric,
    /// The other representation.
    pub with: RepresentationName,
    /// The score of `h` less that of the other.
    #[serde(flatten)]
    pub difference: Difference,
}

/// Test samples that are training samples too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlaps {
    /// Among the labeled training samples.
    pub labeled: Option<Overlap>,
    /// Among the samples that the encoder was trained on, where these are others.
    pub pretraining: Option<Overlap>,
}

impl Overlaps {
    /// In words, what is to be known before scores are read.
    pub fn told(&self) -> Vec<String> {
        let labeled = self.labeled.as_ref().and_then(Overlap::warning);
        let pretraining =
            self.pretraining.as_ref().and_then(|overlap| overlap.told("those that the encoder was trained on"));
        let pretraining =
            pretraining.map(|told| format!("{told}, without labels: samples that it never saw may score lower."));
        labeled.into_iter().chain(pretraining).collect()
    }
}

/// `scores.json`. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How it was measured.
    pub protocol: Protocol,
    /// Names of the classes, of the labels, or of the numbers.
    pub classes: Vec<String>,
    /// Scores of each representation.
    pub representations: BTreeMap<RepresentationName, RepresentationScores>,
    /// What each score would be without looking at the samples.
    #[serde(default)]
    pub chance: Vec<ChanceScore>,
    /// `h` beside each other representation.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// The test data, and the encoder.
    #[serde(default)]
    pub measured_on: MeasuredOn,
    /// The labeled training data.
    #[serde(default)]
    pub labels_from: DataOrigin,
    /// The table that told what is told of the samples, where it was none of the folders.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_table: Option<DataOrigin>,
    /// Test samples that are training samples too, as far as that was looked at.
    #[serde(default)]
    pub overlap: Overlaps,
    /// What follows, in words.
    #[serde(default)]
    pub conclusion: Vec<String>,
    /// State of `h` and of `z`, for whoever has it to put in.
    #[serde(default)]
    pub diagnosis: Diagnoses,
    /// What should be known when the figures are read.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Scores {
    /// What was measured; what it is compared with, where it came from and what follows are for whoever knows to put in.
    pub(crate) fn new(
        protocol: Protocol,
        classes: Vec<String>,
        representations: BTreeMap<RepresentationName, RepresentationScores>,
        comparisons: Vec<Comparison>,
        warnings: Vec<String>,
    ) -> Self {
        Self {
            protocol,
            classes,
            representations,
            chance: Vec::new(),
            comparisons,
            measured_on: MeasuredOn::default(),
            labels_from: DataOrigin::default(),
            label_table: None,
            overlap: Overlaps::default(),
            conclusion: Vec::new(),
            diagnosis: BTreeMap::new(),
            warnings,
        }
    }
}

/// Which score of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Accuracy of the vote of so many neighbors.
    Knn(usize),
    /// The same, each class weighing the same.
    BalancedKnn(usize),
    /// Accuracy of the linear probe with so many labels.
    LinearProbe(LabelBudget),
    /// Accuracy of the linear probe with all labels, each class weighing the same.
    BalancedProbe,
    /// Mean average precision of retrieval.
    MeanAveragePrecision,
    /// Share of queries one of whose so many nearest samples is of their class.
    RecallAt(usize),
    /// A macro mean over labels or numbers.
    Targets {
        /// What is measured.
        measure: Measure,
        /// What predicts.
        by: Predictor,
    },
}

impl std::fmt::Display for Metric {
    /// As a column of a table is called.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Knn(k) => write!(f, "kNN, k = {k}"),
            Self::BalancedKnn(k) => write!(f, "balanced kNN, k = {k}"),
            Self::BalancedProbe => f.write_str("balanced probe"),
            Self::LinearProbe(LabelBudget::All) => f.write_str("linear probe"),
            Self::LinearProbe(labels) => write!(f, "probe, {labels}"),
            Self::MeanAveragePrecision => f.write_str("retrieval, mAP"),
            Self::RecallAt(k) => write!(f, "retrieval, recall at {k}"),
            Self::Targets { measure, by: Predictor::Knn(k) } => write!(f, "{measure}, kNN, k = {k}"),
            Self::Targets { measure, by: Predictor::LinearProbe(LabelBudget::All) } => {
                write!(f, "{measure}, linear probe")
            }
            Self::Targets { measure, by: Predictor::LinearProbe(labels) } => write!(f, "{measure}, probe, {labels}"),
        }
    }
}

impl Metric {
    /// 1 where a difference of two such scores says, by more than chance, that the first is better; −1 for the second.
    pub(crate) fn better(&self, difference: Difference) -> i8 {
        if self.less_is_better() { -difference.sign() } else { difference.sign() }
    }

    /// Whether it is an error.
    pub fn less_is_better(&self) -> bool {
        matches!(self, Self::Targets { measure, .. } if measure.is_error())
    }

    /// One line for each kind of these scores.
    pub fn explanations(metrics: &[Self]) -> Vec<&'static str> {
        let mut lines: Vec<&str> = metrics.iter().map(Self::explained).collect();
        let mut seen = BTreeSet::new();
        lines.retain(|line| seen.insert(*line));
        lines
    }

    /// What it says, and what is usual, in one line.
    pub fn explained(&self) -> &'static str {
        match self {
            Self::Knn(_) => {
                "kNN: share of the test samples whose class most of the k nearest training samples have; usually a few points \
                 below the linear probe with all labels"
            }
            Self::BalancedKnn(_) | Self::BalancedProbe => {
                "balanced: mean of the accuracies within the classes, each weighing the same; where it is far below the accuracy, \
                 rare classes are not told apart"
            }
            Self::LinearProbe(LabelBudget::All) => {
                "linear probe: share that a linear classifier on the frozen features gets right; a useful h is usually well above \
                 raw and untrained"
            }
            Self::LinearProbe(_) => {
                "few labels: the probe with so many labels, mean over draws of them; usually pretraining helps most where they are \
                 fewest"
            }
            Self::MeanAveragePrecision => {
                "mAP: how far in front the samples of a query's class stand in its ranking (1: all first); usually well below kNN"
            }
            Self::RecallAt(_) => {
                "recall at k: share of queries one of whose k nearest is of their class; usually at 1 about as high as kNN"
            }
            Self::Targets { measure: Measure::Auroc, .. } => {
                "AUROC: probability that a sample with a label is ranked before one without, mean over the labels; chance is 0.5, \
                 above 0.9 is usually called very good"
            }
            Self::Targets { measure: Measure::AveragePrecision, .. } => {
                "mean AP: how far in front the samples with a label stand, mean over the labels; usually far below AUROC where \
                 labels are rare, whose chance is their share"
            }
            Self::Targets { measure: Measure::F1, .. } => {
                "macro F1: harmonic mean of precision and recall at a probability of one half, mean over the labels; usually low \
                 for rare labels even where the ranking is good"
            }
            Self::Targets { measure: Measure::R2, .. } => {
                "R²: share of the variance that is predicted, mean over the numbers; 1 is perfect, 0 what their mean predicts, and \
                 below 0 is worse than that"
            }
            Self::Targets { measure: Measure::AbsoluteError, .. } => {
                "MAE: mean absolute error, in the units of the number; less is better, and usually it is compared with that of the \
                 median (chance)"
            }
        }
    }
}

impl RepresentationScores {
    /// The score that `metric` selects, if it was measured.
    pub fn get(&self, metric: Metric) -> Option<Score> {
        match metric {
            Metric::Knn(k) => self.knn.iter().find(|score| score.k == k).map(|found| found.score),
            Metric::BalancedKnn(k) => self.balanced.filter(|found| found.knn.k == k).map(|found| found.knn.score),
            Metric::BalancedProbe => self.balanced.map(|found| found.linear_probe),
            Metric::LinearProbe(LabelBudget::All) => self.linear_probe.as_ref().map(|probe| probe.all_labels),
            Metric::LinearProbe(LabelBudget::PerClass(count)) => self
                .linear_probe
                .as_ref()?
                .few_labels
                .iter()
                .find(|score| score.per_class == count)
                .map(|found| found.score),
            Metric::LinearProbe(LabelBudget::Share(_)) => None,
            Metric::MeanAveragePrecision => self.retrieval.map,
            Metric::RecallAt(at) => self.retrieval.recall.iter().find(|score| score.at == at).map(|found| found.score),
            Metric::Targets { measure, by } => {
                let mut scores = self.targets.iter().flat_map(|targets| &targets.scores);
                scores.find(|score| (score.measure, score.by) == (measure, by)).map(|found| found.score)
            }
        }
    }

    /// What was measured, in the order in which it is read: fewer neighbors first, more labels first.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut ks: Vec<usize> = self.knn.iter().map(|score| score.k).collect();
        ks.sort_unstable();
        let few = self.linear_probe.iter().flat_map(|probe| &probe.few_labels);
        let mut counts: Vec<usize> = few.map(|score| score.per_class).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let mut metrics: Vec<Metric> = ks.into_iter().map(Metric::Knn).collect();
        metrics.extend(self.balanced.map(|found| Metric::BalancedKnn(found.knn.k)));
        metrics.extend(self.linear_probe.iter().map(|_| Metric::LinearProbe(LabelBudget::All)));
        metrics.extend(self.balanced.map(|_| Metric::BalancedProbe));
        metrics.extend(counts.into_iter().map(|count| Metric::LinearProbe(LabelBudget::PerClass(count))));
        metrics.extend(self.retrieval.map.map(|_| Metric::MeanAveragePrecision));
        metrics.extend(self.retrieval.recall.iter().map(|score| Metric::RecallAt(score.at)));
        let targets = self.targets.iter().flat_map(|targets| &targets.scores);
        metrics.extend(targets.map(|score| Metric::Targets { measure: score.measure, by: score.by }));
        metrics
    }
}

impl Scores {
    /// The score of a representation that `metric` selects, if it was measured.
    pub fn get(&self, name: &RepresentationName, metric: Metric) -> Option<Score> {
        self.representations.get(name)?.get(metric)
    }

    /// What was measured of any representation, in the order in which it is read.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut all: Vec<Metric> = Vec::new();
        for metric in self.representations.values().flat_map(RepresentationScores::metrics) {
            if !all.contains(&metric) {
                all.push(metric);
            }
        }
        all
    }

    /// Takes down which test samples are training samples too, and says so before everything else.
    pub fn add_overlap(&mut self, overlap: Overlaps) {
        self.conclusion.splice(0..0, overlap.told());
        self.overlap = overlap;
    }

    /// What `metric` would be without looking at the samples, where that is known.
    pub fn chance(&self, metric: Metric) -> Option<f64> {
        self.chance.iter().find(|chance| chance.metric == metric).map(|chance| chance.value)
    }

    /// Writes `scores.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `scores.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }
}
