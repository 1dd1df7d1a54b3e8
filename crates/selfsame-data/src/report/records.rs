//! What a run folder holds, read without insisting on any of it: a report of a run that was cut off, or that a newer
//! version wrote, shows what there is.

use crate::DataError;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;

/// Bytes of all pictures together that a page takes in.
const PICTURE_BYTES: usize = 700 << 10;
/// Warnings that are kept.
const WARNINGS: usize = 50;

/// Events of a run by name, grown as the file grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Points `(epoch, value)` of every number of the steps: `total`, `lr`, `terms.contrast`, ….
    pub series: BTreeMap<String, Vec<(f64, f64)>>,
    /// Online kNN scores, `(epoch, accuracy)`.
    pub online_knn: Vec<(f64, f64)>,
    /// Steps and texts of warnings.
    pub warnings: Vec<(u64, String)>,
    /// The last `started` event.
    pub started: Option<Value>,
    /// The `finished` event.
    pub finished: Option<Value>,
    /// Times that training started or went on.
    pub sessions: usize,
    /// The last step that was recorded.
    pub step: u64,
    /// Lines that are not JSON.
    pub torn_lines: usize,
    /// Whether the last line has no end: its writer was cut off, or is still at it.
    pub torn_end: bool,
    read_bytes: u64,
}

impl Metrics {
    /// Takes in what was appended to `metrics.jsonl` since the last call; starts again when the file became shorter, as it
    /// does when a run is resumed. A last line without its end is left for the next call.
    pub fn update(&mut self, path: &Path) -> Result<(), DataError> {
        let io = |cause| DataError::io(path, cause);
        let mut file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() < self.read_bytes {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.read_bytes)).map_err(io)?;
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io)?;
            if !line.ends_with(b"\n") {
                self.torn_end = read > 0;
                return Ok(());
            }
            self.read_bytes += read as u64;
            match serde_json::from_slice::<Value>(&line) {
                Ok(event) => self.take(event),
                Err(_) => self.torn_lines += 1,
            }
        }
    }

    fn take(&mut self, event: Value) {
        self.step = event["step"].as_u64().unwrap_or(0).max(self.step);
        match event["event"].as_str() {
            Some("step") => self.take_step(&event),
            Some("online_knn") => {
                if let (Some(epoch), Some(accuracy)) = (event["epoch"].as_f64(), event["accuracy"].as_f64()) {
                    self.online_knn.push((epoch, accuracy));
                }
            }
            Some("warning") if self.warnings.len() < WARNINGS => {
                let message = event["message"].as_str().unwrap_or_default().to_owned();
                self.warnings.push((event["step"].as_u64().unwrap_or(0), message));
            }
            Some("started") => {
                self.sessions += 1;
                self.started = Some(event);
            }
            Some("finished") => self.finished = Some(event),
            _ => {}
        }
    }

    fn take_step(&mut self, event: &Value) {
        let Some(epoch) = event["epoch"].as_f64() else { return };
        let mut keep = |name: &str, value: &Value| {
            if let Some(value) = value.as_f64() {
                match self.series.get_mut(name) {
                    Some(points) => points.push((epoch, value)),
                    None => drop(self.series.insert(name.to_owned(), vec![(epoch, value)])),
                }
            }
        };
        for (name, value) in event.as_object().into_iter().flatten() {
            match value {
                Value::Object(parts) => parts.iter().for_each(|(part, value)| keep(&format!("{name}.{part}"), value)),
                _ if !["step", "epoch"].contains(&name.as_str()) => keep(name, value),
                _ => {}
            }
        }
    }

    /// The last value of a series.
    pub fn last(&self, name: &str) -> Option<f64> {
        self.series.get(name)?.last().map(|point| point.1)
    }
}

/// A picture that the method drew.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureFile {
    /// File name without its ending.
    pub name: String,
    /// What is seen; empty if nothing says.
    pub caption: String,
    /// The file.
    pub png: Vec<u8>,
}

/// A run folder's records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunRecords {
    /// Name of the folder.
    pub name: String,
    /// `plan.toml` as it is.
    pub plan_text: String,
    /// The plan, as far as it is TOML.
    pub plan: toml::Table,
    /// `metrics.jsonl`
    pub metrics: Metrics,
    /// `scores.json`
    pub scores: Option<Value>,
    /// `diagnosis.json`
    pub diagnosis: Option<Value>,
    /// `finetune.json`
    pub finetuning: Option<Value>,
    /// `invariance.json`
    pub invariance: Option<Value>,
    /// `pictures/*.png`, by name.
    pub pictures: Vec<PictureFile>,
    /// Whether the encoder is written.
    pub finished: bool,
    /// One line for everything that should be there and is not, or cannot be read.
    pub missing: Vec<String>,
}

impl RunRecords {
    /// Reads what a run folder holds.
    ///
    /// # Errors
    /// Only when it is no run folder: when it has no `plan.toml`.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let plan_path = folder.join("plan.toml");
        if !plan_path.is_file() {
            let folder = folder.display();
            let problem = format!("{folder}: not a run folder (it has no plan.toml); `selfsame pretrain` makes one");
            return Err(DataError::Data(problem));
        }
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut run = Self { name, finished: folder.join("encoder.safetensors").is_file(), ..Self::default() };
        match std::fs::read_to_string(&plan_path) {
            Ok(text) => {
                match text.parse() {
                    Ok(plan) => run.plan = plan,
                    Err(_) => run.missing.push("plan.toml is not TOML; it is shown as it is.".into()),
                }
                run.plan_text = text;
            }
            Err(error) => run.missing.push(format!("plan.toml cannot be read: {error}.")),
        }
        if run.metrics.update(&folder.join("metrics.jsonl")).is_err() {
            run.missing.push("There is no metrics.jsonl: no curves of the training.".into());
        }
        run.scores = run.json(folder, "scores.json");
        run.diagnosis = run.json(folder, "diagnosis.json");
        run.finetuning = run.json(folder, "finetune.json");
        run.invariance = run.json(folder, "invariance.json");
        run.read_pictures(&folder.join("pictures"));
        Ok(run)
    }

    /// Takes in what has changed in a folder that was read before and is still being written.
    pub fn refresh(&mut self, folder: &Path) {
        self.finished = folder.join("encoder.safetensors").is_file();
        let readable = self.metrics.update(&folder.join("metrics.jsonl")).is_ok();
        let again = |note: &String| {
            ["scores.json", "diagnosis.json"].iter().any(|name| note.contains(name))
                || readable && note.contains("metrics.jsonl")
        };
        self.missing.retain(|note| !again(note));
        self.scores = self.json(folder, "scores.json");
        self.diagnosis = self.json(folder, "diagnosis.json");
    }

    /// The last diagnosis by representation.
    pub fn diagnosis(&self) -> Option<&serde_json::Map<String, Value>> {
        self.diagnosis.as_ref()?["diagnosis"].as_object().filter(|parts| !parts.is_empty())
    }

    /// What the last diagnosis looked at.
    pub fn diagnosed_on(&self) -> String {
        let about = self.diagnosis.as_ref().unwrap_or(&Value::Null);
        let samples = self.diagnosis().and_then(|parts| parts.values().next()?["samples"].as_u64()).unwrap_or(0);
        let step = about["step"].as_u64().map(|step| format!(" after step {step}")).unwrap_or_default();
        format!("{samples} samples of {}{step}", about["data"].as_str().unwrap_or("its data"))
    }

    fn json(&mut self, folder: &Path, name: &str) -> Option<Value> {
        let bytes = std::fs::read(folder.join(name)).ok()?;
        let value = serde_json::from_slice(&bytes);
        value.map_err(|error| self.missing.push(format!("{name} cannot be read: {error}."))).ok()
    }

    fn read_pictures(&mut self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "png"));
        paths.sort();
        let mut left = PICTURE_BYTES;
        for path in paths {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let size = std::fs::metadata(&path).map_or(0, |m| m.len() as usize);
            if size > left {
                self.missing
                    .push(format!("pictures/{name}.png is too large to be taken in; it lies in the run folder."));
                continue;
            }
            let Ok(png) = std::fs::read(&path) else { continue };
            left -= size;
            let caption = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
            self.pictures.push(PictureFile { name, caption: caption.trim().to_owned(), png });
        }
    }

    /// A text of the plan, by dotted key.
    pub fn setting(&self, key: &str) -> Option<&toml::Value> {
        let mut parts = key.split('.');
        let first = self.plan.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// Name of the method.
    pub fn method(&self) -> &str {
        self.setting("method.name").and_then(toml::Value::as_str).unwrap_or("unknown method")
    }
}

/// A score of one representation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The score, or its mean over draws.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Option<[f64; 2]>,
    /// Its standard deviation over draws.
    pub std: Option<f64>,
}

/// The flat keys of `scores.json`, `SCORE.REPRESENTATION.VARIANT`, as a table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTable {
    /// Representations, `h` first.
    pub names: Vec<String>,
    /// `SCORE.VARIANT`, in the order in which they are read.
    pub columns: Vec<(String, String)>,
    cells: BTreeMap<(String, String, String), Score>,
}

impl ScoreTable {
    /// Reads the keys of `scores`.
    pub fn of(scores: &Value) -> Self {
        let mut table = Self::default();
        for (key, value) in scores.as_object().into_iter().flatten() {
            let (Some(value), [score, name, variant @ ..]) = (value.as_f64(), &key.split('.').collect::<Vec<_>>()[..])
            else {
                continue;
            };
            let variant = match variant {
                [] => "",
                [variant] => variant,
                [variant, "mean"] => variant,
                _ => continue,
            };
            let interval = &scores["intervals"][key];
            let interval = interval[0].as_f64().zip(interval[1].as_f64()).map(|(low, high)| [low, high]);
            let std = scores[format!("{score}.{name}.{variant}.std")].as_f64();
            let cell = (String::from(*score), String::from(*name), String::from(variant));
            table.cells.insert(cell, Score { value, interval, std });
            let (name, column) = (String::from(*name), (String::from(*score), String::from(variant)));
            if !table.names.contains(&name) {
                table.names.push(name);
            }
            if !table.columns.contains(&column) {
                table.columns.push(column);
            }
        }
        let place = |name: &String| ["h", "z", "raw", "untrained"].iter().position(|n| n == name).unwrap_or(9);
        table.names.sort_by_key(place);
        table.columns.sort_by_key(|(score, variant)| {
            let group = ["knn", "linear_probe"].iter().position(|n| n == score).unwrap_or(9);
            let count = variant.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<i64>().unwrap_or(-1);
            // Fewer neighbours first; more labels first, all of them before any count.
            let order = match (score.as_str(), count) {
                ("knn", k) => k,
                (_, -1) => i64::MIN,
                (_, labels) => -labels,
            };
            (group, score.clone(), order, variant.clone())
        });
        table
    }

    /// A cell of the table.
    pub fn get(&self, name: &str, (score, variant): &(String, String)) -> Option<Score> {
        self.cells.get(&(score.clone(), name.to_owned(), variant.clone())).copied()
    }
}

/// What a column of [`ScoreTable`] is called.
pub fn column_title((score, variant): &(String, String)) -> String {
    let labels = variant.strip_prefix("per_class_").map(|n| format!("{n} a class"));
    match (score.as_str(), variant.as_str(), labels) {
        ("knn", variant, _) => format!("kNN, k = {}", variant.trim_start_matches('k')),
        ("linear_probe", "all", _) => "linear probe".into(),
        ("linear_probe", _, Some(labels)) => format!("probe, {labels}"),
        (score, _, Some(labels)) => format!("{}, {labels}", score.replace('_', " ")),
        (score, "", _) => score.replace('_', " "),
        (score, variant, _) => format!("{}, {}", score.replace('_', " "), variant.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metrics_grow_with_the_file_and_start_again_when_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let step = |n: u64| {
            format!(
                "{{\"event\":\"step\",\"step\":{n},\"epoch\":{n},\"total\":1.5,\"terms\":{{\"a\":2}},\"lr\":null}}\n"
            )
        };
        let mut metrics = Metrics::default();
        std::fs::write(&path, format!("{}not json\n{}", step(1), &step(2)[..20])).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!((metrics.step, metrics.torn_lines), (1, 1));
        assert_eq!(metrics.series["terms.a"], [(1.0, 2.0)]);
        assert!(!metrics.series.contains_key("lr"));
        std::fs::write(&path, format!("{}not json\n{}{}", step(1), step(2), step(3))).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!(metrics.series["total"], [(1.0, 1.5), (2.0, 1.5), (3.0, 1.5)]);
        std::fs::write(&path, step(1)).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!((metrics.step, metrics.series["total"].len()), (1, 1));
    }

    #[test]
    fn scores_become_a_table() {
        let scores = json!({
            "knn.raw.k20": 0.5, "knn.h.k200": 0.6, "knn.h.k20": 0.7, "linear_probe.h.per_class_1.mean": 0.3,
            "linear_probe.h.per_class_1.std": 0.1, "linear_probe.h.all": 0.8, "linear_probe.h.per_class_100.mean": 0.7,
            "intervals": { "knn.h.k20": [0.6, 0.75] }, "warnings": [],
        });
        let table = ScoreTable::of(&scores);
        assert_eq!(table.names, ["h", "raw"]);
        let titles: Vec<String> = table.columns.iter().map(column_title).collect();
        assert_eq!(titles, ["kNN, k = 20", "kNN, k = 200", "linear probe", "probe, 100 a class", "probe, 1 a class"]);
        assert_eq!(table.get("h", &table.columns[0]).unwrap().interval, Some([0.6, 0.75]));
        assert_eq!(table.get("h", &table.columns[4]).unwrap().std, Some(0.1));
        assert_eq!(table.get("raw", &table.columns[4]), None);
    }
}
