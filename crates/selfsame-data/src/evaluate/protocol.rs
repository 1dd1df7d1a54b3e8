//! The table by which a representation is judged: kNN and linear probe, with all labels and with few, the same draws
//! for every representation that is compared.

use super::collapse::{self, Diagnosis};
use super::knn::{self, Neighbours};
use super::linear_probe::ProbeFeatures;
use super::pca::Pca;
use crate::DataError;
use crate::atomic::AtomicFile;
use crate::config::EvaluateSettings;
use crate::features::FeatureTable;
use crate::rng::{Purpose, StreamRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The larger neighbourhood that is shown beside the plan's.
const WIDE_K: usize = 200;

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

/// What a judgement found.
#[derive(Clone, Debug)]
pub struct Scores {
    /// Accuracies by flat key: `knn.h.k20`, `linear_probe.h.all`, `linear_probe.raw.per_class_10.mean` and `.std`.
    pub values: BTreeMap<String, f64>,
    /// Names of the representations, in the order of the table.
    pub names: Vec<&'static str>,
    /// State of `h` and of `z`.
    pub diagnoses: Vec<(&'static str, Diagnosis)>,
    /// What should be known when the figures are read.
    pub warnings: Vec<String>,
    protocol: Value,
    settings: EvaluateSettings,
}

/// Judges every representation by the same protocol. `progress` is told what is done, one call a score.
pub fn judge(
    mut representations: Vec<Representation>,
    settings: &EvaluateSettings,
    seed: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Scores, DataError> {
    let first = representations.first().expect("something to judge");
    let classes = first.train.classes.len();
    check(&first.train, &first.test)?;
    for r in &representations {
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
    for r in representations.iter_mut().filter(|r| r.train.dim > settings.raw_pca_dims) {
        let pca = Pca::fit(r.train.rows(), settings.raw_pca_dims);
        for table in [&mut r.train, &mut r.test] {
            table.values = pca.apply(table.rows());
            table.dim = settings.raw_pca_dims;
        }
        warnings.push(format!("{} was reduced to {} dimensions by PCA", r.name, settings.raw_pca_dims));
    }

    let labels = representations[0].train.labels.clone();
    let draws = draws(&labels, classes, settings, seed, &mut warnings);
    let bank = labels.len();
    if settings.knn_k > bank {
        warnings.push(format!("k = {} is more than the {bank} training samples; k is {bank}", settings.knn_k));
    }
    let mut values = BTreeMap::new();
    let mut diagnoses = Vec::new();
    for Representation { name, train, test } in &representations {
        progress(&format!("{name}: kNN"));
        let widest = WIDE_K.max(settings.knn_k).min(bank);
        let neighbours = Neighbours::find(test.rows(), train.rows(), widest);
        for k in [settings.knn_k, WIDE_K] {
            let predicted = neighbours.vote(&labels, classes, k.min(widest), settings.knn_temperature);
            values.insert(format!("knn.{name}.k{k}"), knn::accuracy(&predicted, &test.labels));
        }
        let features = ProbeFeatures::new(train.rows());
        let coordinates = features.coordinates(test.rows());
        let probe = |rows: &[u32], draw: u64| {
            let rng = StreamRng::new(seed, Purpose::Evaluate, 1, draw, 0);
            let probe = features.fit(rows, &labels, classes, rng);
            knn::accuracy(&probe.predict(&coordinates), &test.labels)
        };
        progress(&format!("{name}: linear probe"));
        let all: Vec<u32> = (0..bank as u32).collect();
        values.insert(format!("linear_probe.{name}.all"), probe(&all, 0));
        for (per_class, draws) in &draws {
            progress(&format!("{name}: linear probe, {per_class} a class"));
            let scores: Vec<f64> = draws.iter().zip(1..).map(|(rows, draw)| probe(rows, draw)).collect();
            let (mean, std) = mean_std(&scores);
            values.insert(format!("linear_probe.{name}.per_class_{per_class}.mean"), mean);
            values.insert(format!("linear_probe.{name}.per_class_{per_class}.std"), std);
        }
        if ["h", "z"].contains(name) {
            diagnoses.push((*name, collapse::diagnose(test.rows(), None)?));
        }
    }
    let protocol = json!({
        "knn": { "k": settings.knn_k, "temperature": settings.knn_temperature, "metric": "cosine" },
        "linear_probe": { "standardised": true, "l2": "chosen on held-out training labels" },
        "seed": seed, "draws": settings.draws, "per_class": settings.per_class,
        "train_samples": bank, "test_samples": representations[0].test.len(), "classes": classes,
    });
    let names = representations.iter().map(|r| r.name).collect();
    Ok(Scores { values, names, diagnoses, warnings, protocol, settings: settings.clone() })
}

fn check(train: &FeatureTable, test: &FeatureTable) -> Result<(), DataError> {
    for (part, table) in [("train", train), ("test", test)] {
        if table.is_empty() {
            return Err(DataError::Data(format!("the {part} data has no readable sample")));
        }
        if table.labels.len() != table.len() {
            let problem = "has no labels, which an evaluation needs; give labelled data, e.g. a folder with one sub-folder a class";
            return Err(DataError::Data(format!("the {part} data {problem}")));
        }
    }
    if train.classes.len() < 2 {
        return Err(DataError::Data(format!("the train data has {} class, expected at least 2", train.classes.len())));
    }
    match test.classes.iter().enumerate().find(|(index, class)| train.classes.get(*index) != Some(*class)) {
        Some((_, class)) => {
            Err(DataError::Data(format!("the test data has class \"{class}\" where the train data has not")))
        }
        None => Ok(()),
    }
}

/// For every number of labels per class, the labelled rows of each draw; all draws are nested in nothing and share no
/// stream, so adding a count or a draw changes no other.
fn draws(
    labels: &[u32],
    classes: usize,
    settings: &EvaluateSettings,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Vec<(usize, Vec<Vec<u32>>)> {
    let mut members = vec![Vec::new(); classes];
    labels.iter().zip(0u32..).for_each(|(&label, row)| members[label as usize].push(row));
    let smallest = members.iter().map(Vec::len).min().unwrap_or(0);
    let draw = |per_class: usize, draw: u64| {
        let mut rng = StreamRng::new(seed, Purpose::Evaluate, per_class as u64 + 2, draw, 0);
        let picked = members.iter().flat_map(|rows| {
            let mut rows = rows.clone();
            rng.shuffle(&mut rows);
            rows.truncate(per_class);
            rows
        });
        picked.collect::<Vec<u32>>()
    };
    let mut all = Vec::new();
    for &per_class in &settings.per_class {
        if per_class > smallest {
            warnings.push(format!(
                "{per_class} labels per class were asked for, one class has {smallest}; all of it is used"
            ));
        }
        all.push((per_class, (0..settings.draws as u64).map(|d| draw(per_class, d)).collect()));
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
    /// Writes `scores.json`: the flat keys of [`Self::values`], and under `protocol`, `diagnosis` and `warnings` what
    /// they stand for.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut object = serde_json::Map::new();
        object.extend(self.values.iter().map(|(key, value)| (key.clone(), json!(value))));
        let diagnoses = self.diagnoses.iter().map(|(name, d)| {
            let value = json!({
                "verdict": d.verdict.to_string(), "evidence": d.evidence, "std": d.std, "mean_cosine": d.mean_cosine,
                "effective_rank": d.effective_rank, "centred_effective_rank": d.centred_effective_rank,
                "dead_share": d.dead_share, "uniformity": d.uniformity, "dim": d.dim,
            });
            ((*name).to_owned(), value)
        });
        object.insert("diagnosis".into(), Value::Object(diagnoses.collect()));
        object.insert("protocol".into(), self.protocol.clone());
        object.insert("warnings".into(), json!(self.warnings));
        let text = serde_json::to_vec_pretty(&Value::Object(object)).expect("plain values serialise");
        let mut file = AtomicFile::create(path)?;
        file.write_all(&text).map_err(|e| DataError::io(path, e))?;
        file.commit()
    }

    /// The table for a terminal, and below it the verdicts; `colour` makes the best of each column bold.
    pub fn table(&self, colour: bool) -> String {
        let mut columns = vec![("kNN".to_owned(), format!("k{}", self.settings.knn_k), "knn")];
        columns.push((format!("kNN {WIDE_K}"), format!("k{WIDE_K}"), "knn"));
        columns.push(("probe".into(), "all".into(), "linear_probe"));
        for per_class in self.settings.per_class.iter().rev() {
            columns.push((format!("{per_class} a class"), format!("per_class_{per_class}"), "linear_probe"));
        }
        let cell = |name: &str, (_, key, score): &(String, String, &str)| {
            let of = |suffix: &str| self.values.get(&format!("{score}.{name}.{key}{suffix}")).copied();
            match (of(""), of(".mean"), of(".std")) {
                (Some(value), ..) => (value, format!("{value:.3}")),
                (_, Some(mean), Some(std)) => (mean, format!("{mean:.3} ± {std:.3}")),
                _ => (f64::NEG_INFINITY, String::new()),
            }
        };
        let mut text = format!("{:12}", "");
        columns.iter().for_each(|(title, ..)| text += &format!("{title:>15}"));
        for name in &self.names {
            text += &format!("\n{name:12}");
            for column in &columns {
                let (value, shown) = cell(name, column);
                let best = self.names.iter().all(|other| cell(other, column).0 <= value);
                let padded = format!("{shown:>15}");
                text += &if best && colour { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        text.push('\n');
        for (name, diagnosis) in &self.diagnoses {
            text += &format!("\n{name}: {} ({})", diagnosis.verdict, diagnosis.evidence.join("; "));
        }
        for warning in &self.warnings {
            text += &format!("\nwarning: {warning}");
        }
        text.push('\n');
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
        let scores = judge(vec![h.clone()], &settings(), 0, &mut |_| {}).unwrap();
        for key in
            ["knn.h.k20", "linear_probe.h.all", "linear_probe.h.per_class_1.mean", "linear_probe.h.per_class_5.mean"]
        {
            assert_eq!(scores.values[key], 1.0, "{key}");
        }
        assert_eq!(scores.values["linear_probe.h.per_class_5.std"], 0.0);
        assert_eq!(scores.values, judge(vec![h], &settings(), 0, &mut |_| {}).unwrap().values);
    }

    #[test]
    fn what_cannot_be_judged_is_said_in_one_line() {
        let good = Representation { name: "h", train: table(60, 1), test: table(20, 2) };
        let problem = |change: fn(&mut Representation)| {
            let mut r = good.clone();
            change(&mut r);
            judge(vec![r], &settings(), 0, &mut |_| {}).unwrap_err().to_string()
        };
        assert!(problem(|r| r.train.labels.clear()).contains("no labels"));
        assert!(problem(|r| r.test.classes[1] = "c".into()).contains("class \"c\""));
        assert!(problem(|r| r.test.values[3] = f32::NAN).contains("sample 1 is not a finite number"));
    }
}
