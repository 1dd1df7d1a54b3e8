//! The table by which a representation is judged: kNN, linear probe and retrieval, with all labels and with few, the same
//! draws for every representation that is compared.
//!
//! Keys of `scores.json`, with `R` a representation (`h`, `z`, `raw`, `untrained`):
//!
//! | key | meaning |
//! | --- | --- |
//! | `knn.R.k20`, `knn.R.k200` | accuracy of the kNN vote |
//! | `linear_probe.R.all` | accuracy of the probe with all training labels |
//! | `linear_probe.R.per_class_10.mean`, `.std` | mean and standard deviation over the draws with 10 labels a class |
//! | `retrieval.R.map`, `.recall_at_1`, `_5`, `_10` | see [`super::retrieval`]; among the test samples |
//! | `intervals` | by each of the keys above but `.std`: `[low, high]`, the 95 % interval (see [`super::bootstrap`]) |
//! | `per_class` | by `knn.R` (the plan's k) and `linear_probe.R` (all labels), by class: `accuracy`, `interval`, `samples` |
//! | `confusion` | by `knn.h` and `linear_probe.h`: rows are true classes, columns predicted ones, counts of test samples; left out beyond 256 classes |
//! | `classes` | their names, in the order of `confusion` |
//! | `diagnosis` | by `h` and `z`: see [`super::diagnosis`] |
//! | `protocol`, `warnings` | what the figures stand for |

use super::bootstrap::{self, Score};
use super::diagnosis::{self, Diagnoses};
use super::json;
use super::knn::Neighbours;
use super::labelled::{self, Labels};
use super::linear_probe::ProbeFeatures;
use super::retrieval::{self, RECALL_AT};
use crate::DataError;
use crate::config::EvaluateSettings;
use crate::features::FeatureTable;
use crate::rng::{Purpose, StreamRng};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// The larger neighbourhood that is shown beside the plan's.
const WIDE_K: usize = 200;

/// Most classes of which a confusion matrix is kept.
const CONFUSION_CLASSES: usize = 256;

/// One thing to judge: a name (`h`, `z`, `raw`, `untrained`) and its features.
#[derive(Clone, Debug)]
pub struct Representation {
    /// Name in the table and in the keys of `scores.json`.
    pub name: &'static str,
    /// Features of the labelled training samples.
    pub train: FeatureTable,
    /// Features of the test samples.
    pub test: FeatureTable,
}

/// Accuracy within a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassScore {
    /// Share classified rightly; `None` without test samples.
    pub accuracy: Option<f64>,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
    /// Test samples of the class.
    pub samples: usize,
}

/// What a judgement found.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Scores by flat key: `knn.h.k20`, `linear_probe.h.all`, `linear_probe.raw.per_class_10.mean` and `.std`.
    pub values: BTreeMap<String, f64>,
    /// 95 % intervals by the same keys.
    pub intervals: BTreeMap<String, [f64; 2]>,
    /// By `knn.h`, `linear_probe.h` …: an entry a class.
    pub per_class: BTreeMap<String, Vec<ClassScore>>,
    /// By `knn.h` and `linear_probe.h`: `[classes, classes]`, rows are true classes.
    pub confusion: BTreeMap<String, Vec<u32>>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Names of the representations, in the order of the table.
    pub names: Vec<&'static str>,
    /// State of `h` and of `z`, for whoever has it to put in.
    pub diagnoses: Diagnoses,
    /// What should be known when the figures are read.
    pub warnings: Vec<String>,
    protocol: Value,
    settings: EvaluateSettings,
}

/// Judges every representation by the same protocol. `progress` is told what is done, one call a score.
pub fn judge(
    representations: &[Representation],
    settings: &EvaluateSettings,
    seed: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Scores, DataError> {
    let first = representations.first().expect("something to judge");
    let classes = first.train.classes.clone();
    let truth = check(&first.train, &first.test)?;
    for r in representations {
        for (part, table) in [("training", &r.train), ("test", &r.test)] {
            if let Some(row) = table.rows().first_not_finite() {
                let id = &table.ids[row];
                return Err(DataError::Data(format!(
                    "{} of {part} sample {id} is not a finite number; the encoder is broken",
                    r.name
                )));
            }
        }
    }
    let mut warnings = Vec::new();
    let most_axes = settings.probe_axes;
    for r in representations.iter().filter(|r| r.train.dim > most_axes) {
        warnings.push(format!("the probe sees {} along its first {most_axes} principal axes", r.name));
    }

    let labels = representations[0].train.labels.clone();
    let draws = draws(&labels, classes.len(), settings, seed, &mut warnings);
    let bank = labels.len();
    if settings.knn_k > bank {
        warnings.push(format!("k = {} is more than the {bank} training samples; k is {bank}", settings.knn_k));
    }
    if classes.len() > CONFUSION_CLASSES {
        warnings.push(format!("no confusion matrix is kept of more than {CONFUSION_CLASSES} classes"));
    }
    let members = labelled::members(&truth, classes.len());
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut of_classes: BTreeMap<String, Vec<Score>> = BTreeMap::new();
    let (mut values, mut confusion) = (BTreeMap::new(), BTreeMap::new());
    for Representation { name, train, test } in representations {
        let mut by_class = |score: &str, predicted: &[u32]| {
            let right = right(predicted, &truth);
            let of_class = |rows: &Vec<u32>| Score {
                samples: Some(rows.clone()),
                draws: vec![rows.iter().map(|&row| right[row as usize]).collect()],
            };
            of_classes.insert(format!("{score}.{name}"), members.iter().map(of_class).collect());
            if *name == "h" && classes.len() <= CONFUSION_CLASSES {
                let mut counts = vec![0u32; classes.len() * classes.len()];
                predicted.iter().zip(&truth).for_each(|(&p, &t)| counts[t as usize * classes.len() + p as usize] += 1);
                confusion.insert(format!("{score}.{name}"), counts);
            }
        };
        progress(&format!("{name}: kNN"));
        let widest = WIDE_K.max(settings.knn_k).min(bank);
        let neighbours = Neighbours::find(test.rows(), train.rows(), widest);
        for k in [WIDE_K, settings.knn_k] {
            let predicted = neighbours.vote(&labels, classes.len(), k.min(widest), settings.knn_temperature);
            by_class("knn", &predicted); // the plan's k stays
            scores.insert(format!("knn.{name}.k{k}"), Score::of(right(&predicted, &truth)));
        }
        let features = match train.dim {
            dim if dim > most_axes => ProbeFeatures::reduced(train.rows(), most_axes),
            _ => ProbeFeatures::new(train.rows()),
        };
        let coordinates = features.coordinates(test.rows());
        let probe = |rows: &[u32], draw: u64| {
            let rng = StreamRng::new(seed, Purpose::Evaluate, 1, draw, 0);
            features.fit(rows, &labels, classes.len(), rng).predict(&coordinates)
        };
        progress(&format!("{name}: linear probe"));
        let all: Vec<u32> = (0..bank as u32).collect();
        let predicted = probe(&all, 0);
        by_class("linear_probe", &predicted);
        scores.insert(format!("linear_probe.{name}.all"), Score::of(right(&predicted, &truth)));
        for (per_class, draws) in &draws {
            progress(&format!("{name}: linear probe, {per_class} a class"));
            let draws = draws.par_iter().enumerate().map(|(i, rows)| right(&probe(rows, i as u64 + 1), &truth));
            let score = Score { samples: None, draws: draws.collect() };
            let each: Vec<f64> = score.draws.iter().filter_map(|draw| Score::of(draw.clone()).mean()).collect();
            values.insert(format!("linear_probe.{name}.per_class_{per_class}.std"), mean_std(&each).1);
            scores.insert(format!("linear_probe.{name}.per_class_{per_class}.mean"), score);
        }
        progress(&format!("{name}: retrieval"));
        let found = retrieval::retrieve(test.rows(), &truth);
        scores.insert(format!("retrieval.{name}.map"), found.map);
        for (k, recall) in RECALL_AT.iter().zip(found.recall) {
            scores.insert(format!("retrieval.{name}.recall_at_{k}"), recall);
        }
    }
    if members.iter().all(|rows| rows.len() < 2) {
        warnings.push("no class has two test samples, so there is nothing to retrieve".into());
    }
    progress("intervals");
    let every: Vec<&Score> = scores.values().chain(of_classes.values().flatten()).collect();
    let mut found = bootstrap::intervals(&every, truth.len(), seed).into_iter();
    let mut intervals = BTreeMap::new();
    for (key, score) in &scores {
        if let (Some(mean), Some(interval)) = (score.mean(), found.next().expect("one a score")) {
            values.insert(key.clone(), mean);
            intervals.insert(key.clone(), interval);
        }
    }
    let of_class = |(key, of_classes): (&String, &Vec<Score>)| {
        let score = |score: &Score| ClassScore {
            accuracy: score.mean(),
            interval: found.next().expect("one a class"),
            samples: score.samples.as_ref().map_or(0, Vec::len),
        };
        (key.clone(), of_classes.iter().map(score).collect())
    };
    let per_class = of_classes.iter().map(of_class).collect();
    let protocol = json!({
        "knn": { "k": settings.knn_k, "temperature": settings.knn_temperature, "metric": "cosine" },
        "linear_probe": { "standardised": true, "l2": "chosen on held-out training labels" },
        "retrieval": { "metric": "cosine", "gallery": "test samples, leave-one-out", "queries": truth.len().min(retrieval::QUERIES) },
        "intervals": { "method": "bootstrap percentile", "level": bootstrap::LEVEL, "resamples": bootstrap::RESAMPLES },
        "seed": seed, "draws": settings.draws, "per_class": settings.per_class,
        "train_samples": bank, "test_samples": truth.len(), "classes": classes.len(),
    });
    let names = representations.iter().map(|r| r.name).collect();
    let (settings, diagnoses) = (settings.clone(), Vec::new());
    Ok(Scores { values, intervals, per_class, confusion, classes, names, diagnoses, warnings, protocol, settings })
}

/// 1 where a prediction is right, 0 where it is not.
pub fn right(predicted: &[u32], truth: &[u32]) -> Vec<f32> {
    predicted.iter().zip(truth).map(|(p, t)| if p == t { 1.0 } else { 0.0 }).collect()
}

/// The test samples' classes by their place among the training classes, which are matched by name.
pub fn check(train: &FeatureTable, test: &FeatureTable) -> Result<Vec<u32>, DataError> {
    for (part, table) in [("train", train), ("test", test)] {
        if table.is_empty() {
            return Err(DataError::Data(format!("the {part} data has no readable sample")));
        }
        if table.labels.len() != table.len() {
            let problem = "has no labels, which an evaluation needs; give labelled data, e.g. a folder with one sub-folder a class, or judge without labels: selfsame diagnose RUN";
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
            let problem = "of which the train data has no sample; leave it out of test=…, or add it to train=…";
            DataError::Data(format!("the test data has class \"{name}\", {problem}"))
        })
    };
    test.labels.iter().map(|&label| place(label)).collect()
}

/// For every number of labels per class, the labelled rows of each draw.
fn draws(
    labels: &[u32],
    classes: usize,
    settings: &EvaluateSettings,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Vec<(usize, Vec<Vec<u32>>)> {
    let smallest = labelled::members(labels, classes).iter().map(Vec::len).min().unwrap_or(0);
    let mut all = Vec::new();
    for &per_class in &settings.per_class {
        if per_class > smallest {
            warnings.push(format!(
                "{per_class} labels per class were asked for, one class has {smallest}; all of it is used"
            ));
        }
        let of_draw = |draw| Labels::PerClass(per_class).rows(labels, classes, seed, draw);
        all.push((per_class, (0..settings.draws as u64).map(of_draw).collect()));
    }
    all
}

/// Mean and unbiased standard deviation; 0 for a single value.
fn mean_std(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt())
}

impl Scores {
    /// Writes `scores.json`; see the [module](self) for its keys.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut object = serde_json::Map::new();
        object.extend(self.values.iter().map(|(key, value)| (key.clone(), json!(value))));
        object.insert("intervals".into(), json!(self.intervals));
        let per_class = self.per_class.iter().map(|(key, scores)| {
            let of = |(class, s): (&String, &ClassScore)| {
                (class.clone(), json!({ "accuracy": s.accuracy, "interval": s.interval, "samples": s.samples }))
            };
            (key.clone(), Value::Object(self.classes.iter().zip(scores).map(of).collect()))
        });
        object.insert("per_class".into(), Value::Object(per_class.collect()));
        let confusion = self
            .confusion
            .iter()
            .map(|(key, counts)| (key.clone(), json!(counts.chunks_exact(self.classes.len()).collect::<Vec<_>>())));
        object.insert("confusion".into(), Value::Object(confusion.collect()));
        object.insert("classes".into(), json!(self.classes));
        object.insert("diagnosis".into(), diagnosis::to_json(&self.diagnoses));
        object.insert("protocol".into(), self.protocol.clone());
        object.insert("warnings".into(), json!(self.warnings));
        json::write(path, &Value::Object(object))
    }

    /// The class that the probe on `h` knows least, and what it takes it for.
    fn hardest_class(&self) -> Option<String> {
        let scores = self.per_class.get("linear_probe.h")?;
        let known = scores.iter().enumerate().filter_map(|(class, s)| Some((class, s.accuracy?, s.samples)));
        let (class, accuracy, samples) = known.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let mut text = format!("hardest class (probe on h): {} {accuracy:.3}", self.classes[class]);
        if let Some(counts) = self.confusion.get("linear_probe.h") {
            let row = &counts[class * self.classes.len()..][..self.classes.len()];
            let taken =
                (0..row.len()).filter(|&other| other != class).max_by_key(|&other| (row[other], usize::MAX - other))?;
            if row[taken] > 0 {
                let share = 100.0 * f64::from(row[taken]) / samples as f64;
                text += &format!(", {share:.0} % taken for {}", self.classes[taken]);
            }
        }
        Some(text)
    }

    /// The table for a terminal, and below it the verdicts; `colour` makes the best of each column bold.
    pub fn table(&self, colour: bool) -> String {
        const WIDTH: usize = 13;
        let mut columns = vec![("kNN".to_owned(), format!("k{}", self.settings.knn_k), "knn")];
        columns.push((format!("kNN {WIDE_K}"), format!("k{WIDE_K}"), "knn"));
        columns.push(("mAP".into(), "map".into(), "retrieval"));
        columns.push(("probe".into(), "all".into(), "linear_probe"));
        for per_class in self.settings.per_class.iter().rev() {
            columns.push((format!("{per_class} a class"), format!("per_class_{per_class}.mean"), "linear_probe"));
        }
        let cell = |name: &str, (_, key, score): &(String, String, &str)| {
            let key = format!("{score}.{name}.{key}");
            match (self.values.get(&key), self.intervals.get(&key)) {
                (Some(&value), Some([low, high])) => {
                    let half = format!("{:.3}", (high - low) / 2.0);
                    (value, format!("{value:.3} ±{}", half.trim_start_matches('0')))
                }
                _ => (f64::NEG_INFINITY, String::new()),
            }
        };
        let mut text = format!("{:10}", "");
        columns.iter().for_each(|(title, ..)| text += &format!("{title:>WIDTH$}"));
        for name in &self.names {
            text += &format!("\n{name:10}");
            for column in &columns {
                let (value, shown) = cell(name, column);
                let best = self.names.iter().all(|other| cell(other, column).0 <= value);
                let padded = format!("{shown:>WIDTH$}");
                text += &if best && colour { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        text += &format!("\n±: half of the 95 % interval (bootstrap, {} resamples)\n", bootstrap::RESAMPLES);
        self.hardest_class().into_iter().for_each(|line| text += &format!("{line}\n"));
        if !self.diagnoses.is_empty() {
            text += &format!("\n{}", diagnosis::page(&self.diagnoses, colour));
        }
        self.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes on two axes.
    fn table(rows: usize, seed: u64) -> FeatureTable {
        let mut rng = StreamRng::new(seed, Purpose::Survey, 0, 0, 0);
        let mut table = FeatureTable { dim: 2, classes: vec!["a".into(), "b".into()], ..Default::default() };
        for row in 0..rows {
            let label = (row % 2) as u32;
            table
                .values
                .extend([4.0 * label as f32 + 0.1 * rng.normal(), 4.0 * (1 - label) as f32 + 0.1 * rng.normal()]);
            table.ids.push(row.to_string());
            table.labels.push(label);
        }
        table
    }

    fn settings() -> EvaluateSettings {
        EvaluateSettings { per_class: vec![1, 5], draws: 3, ..Default::default() }
    }

    #[test]
    fn separable_classes_score_one_everywhere_and_the_same_every_time() {
        // Standardised noise would outweigh the classes where a probe has one label of each to go by.
        let h = Representation { name: "h", train: table(60, 1), test: table(20, 2) };
        let scores = judge(std::slice::from_ref(&h), &settings(), 0, &mut |_| {}).unwrap();
        for key in
            ["knn.h.k20", "linear_probe.h.all", "linear_probe.h.per_class_1.mean", "linear_probe.h.per_class_5.mean"]
        {
            assert_eq!(scores.values[key], 1.0, "{key}");
        }
        assert_eq!(scores.values["linear_probe.h.per_class_5.std"], 0.0);
        assert_eq!(scores.values, judge(&[h], &settings(), 0, &mut |_| {}).unwrap().values);
    }

    #[test]
    fn what_cannot_be_judged_is_said_in_one_line() {
        let good = Representation { name: "h", train: table(60, 1), test: table(20, 2) };
        let problem = |change: fn(&mut Representation)| {
            let mut r = good.clone();
            change(&mut r);
            judge(&[r], &settings(), 0, &mut |_| {}).unwrap_err().to_string()
        };
        assert!(problem(|r| r.train.labels.clear()).contains("no labels"));
        assert!(problem(|r| r.test.classes[1] = "c".into()).contains("class \"c\", of which the train data has no"));
        assert!(problem(|r| r.train.labels.fill(0)).contains("class \"b\", of which the train data has no"));
        assert!(problem(|r| r.test.values[3] = f32::NAN).contains("sample 1 is not a finite number"));
    }

    #[test]
    fn classes_are_matched_by_name_and_counted_by_class() {
        let train = table(60, 1);
        // The test data lists its classes the other way round, one more without a sample, and calls two samples wrongly.
        let mut test = FeatureTable { classes: vec!["b".into(), "a".into(), "none".into()], ..table(20, 2) };
        test.labels.iter_mut().for_each(|label| *label = 1 - *label);
        test.labels[0] = 0;
        test.labels[2] = 0;
        let h = Representation { name: "h", train, test };
        let scores = judge(&[h], &settings(), 0, &mut |_| {}).unwrap();
        assert_eq!(scores.values["linear_probe.h.all"], 0.9);
        assert_eq!(scores.confusion["linear_probe.h"], [8, 0, 2, 10]);
        let of_b = scores.per_class["linear_probe.h"][1];
        assert_eq!(
            (of_b.accuracy, of_b.samples, scores.per_class["knn.h"][0].accuracy),
            (Some(10.0 / 12.0), 12, Some(1.0))
        );
        let [low, high] = scores.intervals["linear_probe.h.all"];
        assert!(low > 0.6 && low < 0.9 && high > 0.9 && high <= 1.0, "{low} {high}");
        assert!(
            of_b.interval.unwrap()[0] < 10.0 / 12.0 && !scores.intervals.contains_key("linear_probe.h.per_class_5.std")
        );
        assert!(
            scores.table(false).contains("hardest class (probe on h): b 0.833, 17 % taken for a"),
            "{}",
            scores.table(false)
        );
        let folder = tempfile::tempdir().unwrap();
        scores.write(&folder.path().join("scores.json")).unwrap();
        let file = std::fs::read(folder.path().join("scores.json")).unwrap();
        let file: Value = serde_json::from_slice(&file).unwrap();
        assert_eq!(file["confusion"]["linear_probe.h"], json!([[8, 0], [2, 10]]));
        assert_eq!(file["per_class"]["knn.h"]["a"]["accuracy"], json!(1.0));
        assert_eq!(file["intervals"]["linear_probe.h.all"], json!([low, high]));
    }

    #[test]
    fn fewer_samples_than_neighbours_are_said() {
        let h = Representation { name: "h", train: table(6, 1), test: table(4, 2) };
        let scores = judge(&[h], &settings(), 0, &mut |_| {}).unwrap();
        assert!(scores.warnings.iter().any(|w| w == "k = 20 is more than the 6 training samples; k is 6"));
        assert!(scores.warnings.iter().any(|w| w.starts_with("5 labels per class were asked for")));
        assert_eq!(scores.values["retrieval.h.map"], 1.0);
    }
}
