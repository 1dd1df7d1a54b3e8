//! `scores.json`: how well the representations of a run tell the classes apart.
//!
//! | key | meaning |
//! | --- | --- |
//! | `format` | version of this table: [`FORMAT`] |
//! | `protocol` | how it was measured: settings, numbers of samples and classes, seed |
//! | `classes` | their names; lists by class are in this order |
//! | `representations` | by name (`h`, `z`, `raw`, `untrained`), each with the following |
//! | `….knn` | list: accuracy of the kNN vote, by `k` |
//! | `….linear_probe.all_labels` | accuracy of the linear probe with all training labels |
//! | `….linear_probe.few_labels` | list: the same with few labels, by `per_class`; the accuracy of each of the `draws` of labels |
//! | `….retrieval.map`, `.recall` | see [`crate::retrieval`]; among the test samples |
//! | `….per_class.knn`, `.linear_probe` | lists: accuracy within each class, by the plan's `k` and by all labels |
//! | `….confusion.knn`, `.linear_probe` | of `h`: rows are true classes, columns predicted ones, counts of test samples; left out beyond 256 classes |
//! | `diagnosis` | by `h` and `z`: see [`crate::diagnosis`] |
//! | `warnings` | what should be known when the figures are read |
//!
//! Every score has a `value`, its 95 % `interval` `[low, high]` (see [`crate::bootstrap`]) and, as a mean over draws of labels,
//! their standard deviation, `std`.

use crate::diagnosis::Diagnoses;
use crate::json;
use crate::label_subsets::LabelBudget;
use crate::representation::RepresentationName;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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

/// All scores of one representation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RepresentationScores {
    /// By `k`, smallest first.
    pub knn: Vec<KnnScore>,
    /// Linear probe.
    pub linear_probe: ProbeScores,
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
}

/// `scores.json`. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// How it was measured.
    pub protocol: Protocol,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Scores of each representation.
    pub representations: BTreeMap<RepresentationName, RepresentationScores>,
    /// State of `h` and of `z`, for whoever has it to put in.
    #[serde(default)]
    pub diagnosis: Diagnoses,
    /// What should be known when the figures are read.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// Which score of a representation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// Accuracy of the vote of so many neighbors.
    Knn(usize),
    /// Accuracy of the linear probe with so many labels.
    LinearProbe(LabelBudget),
    /// Mean average precision of retrieval.
    MeanAveragePrecision,
    /// Share of queries one of whose so many nearest samples is of their class.
    RecallAt(usize),
}

impl std::fmt::Display for Metric {
    /// As a column of a table is called.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Knn(k) => write!(f, "kNN, k = {k}"),
            Self::LinearProbe(LabelBudget::All) => f.write_str("linear probe"),
            Self::LinearProbe(labels) => write!(f, "probe, {labels}"),
            Self::MeanAveragePrecision => f.write_str("retrieval, mAP"),
            Self::RecallAt(k) => write!(f, "retrieval, recall at {k}"),
        }
    }
}

impl RepresentationScores {
    /// The score that `metric` selects, if it was measured.
    pub fn get(&self, metric: Metric) -> Option<Score> {
        match metric {
            Metric::Knn(k) => self.knn.iter().find(|score| score.k == k).map(|found| found.score),
            Metric::LinearProbe(LabelBudget::All) => Some(self.linear_probe.all_labels),
            Metric::LinearProbe(LabelBudget::PerClass(count)) => {
                self.linear_probe.few_labels.iter().find(|score| score.per_class == count).map(|found| found.score)
            }
            Metric::LinearProbe(LabelBudget::Share(_)) => None,
            Metric::MeanAveragePrecision => self.retrieval.map,
            Metric::RecallAt(at) => self.retrieval.recall.iter().find(|score| score.at == at).map(|found| found.score),
        }
    }

    /// What was measured, in the order in which it is read: fewer neighbors first, more labels first.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut ks: Vec<usize> = self.knn.iter().map(|score| score.k).collect();
        ks.sort_unstable();
        let mut counts: Vec<usize> = self.linear_probe.few_labels.iter().map(|score| score.per_class).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let mut metrics: Vec<Metric> = ks.into_iter().map(Metric::Knn).collect();
        metrics.push(Metric::LinearProbe(LabelBudget::All));
        metrics.extend(counts.into_iter().map(|count| Metric::LinearProbe(LabelBudget::PerClass(count))));
        metrics.extend(self.retrieval.map.map(|_| Metric::MeanAveragePrecision));
        metrics.extend(self.retrieval.recall.iter().map(|score| Metric::RecallAt(score.at)));
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

    /// Writes `scores.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `scores.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }
}
