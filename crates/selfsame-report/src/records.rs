//! What a run folder holds, read without insisting on any of it: a report of a run that was cut off, or that a newer
//! version wrote, shows what there is.

use crate::metrics::Metrics;
use selfsame_base::delimited::Delimited;
use selfsame_base::seal::{self, SealedFile};
use selfsame_base::{DataError, files};
use selfsame_evaluate::diagnosis::{Diagnoses, DiagnosisRecord};
use selfsame_evaluate::finetuning::Finetuning;
use selfsame_evaluate::invariance::Profile;
use selfsame_evaluate::scores::Scores;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;

/// Bytes of all pictures together that a page takes in.
const PICTURE_BYTES: u64 = 700 << 10;

/// What the method shows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureFile {
    /// File name without its ending.
    pub name: String,
    /// What is seen; empty if nothing says.
    pub caption: String,
    /// The file.
    pub drawn: Drawn,
}

/// What a method has drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum Drawn {
    /// A PNG file.
    Png(Vec<u8>),
    /// The lines of a table, the first of which names its columns.
    Table(Vec<Vec<String>>),
}

/// What a page says of a plan beside its text; nothing of it has to be there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PlanFacts {
    /// `[data]`
    pub data: DataFacts,
    /// `[backbone]`
    pub backbone: Named,
    /// `[method]`
    pub method: Named,
    /// `[projector]`
    pub projector: ProjectorFacts,
    /// `[train]`
    pub train: TrainFacts,
}

/// Of `[data]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DataFacts {
    /// Where the samples are.
    pub path: Option<String>,
}

/// Of a table that chooses something by name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// The name.
    pub name: Option<String>,
}

/// Of `[projector]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ProjectorFacts {
    /// Width of the embeddings.
    pub out: Option<u64>,
}

/// Of `[train]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TrainFacts {
    /// Epochs in all.
    pub epochs: Option<u64>,
    /// Samples per batch.
    pub batch_size: Option<u64>,
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
    /// What pages say of it.
    pub facts: PlanFacts,
    /// `metrics.jsonl`
    pub metrics: Metrics,
    /// `scores.json`
    pub scores: Option<Scores>,
    /// `diagnosis.json`
    pub diagnosis: Option<DiagnosisRecord>,
    /// `finetune.json`
    pub finetuning: Option<Finetuning>,
    /// `invariance.json`
    pub invariance: Option<Profile>,
    /// `pictures/*.png` and `pictures/*.csv`, by name.
    pub pictures: Vec<PictureFile>,
    /// Whether the encoder is written, and whole.
    pub finished: bool,
    /// One line for everything that should be there and is not, or cannot be read.
    pub missing: Vec<String>,
    /// Whether the folder was gone when it was last looked at.
    away: bool,
}

/// Said of a folder that was read, and is gone.
const GONE: &str = "The run folder is gone; this is what it held before.";

impl RunRecords {
    /// Reads what a run folder holds.
    ///
    /// # Errors
    /// Only when it is no run folder and no encoder folder.
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let [plan_path, config_path] = ["plan.toml", "config.json"].map(|name| folder.join(name));
        let plan = match () {
            () if plan_path.is_file() => files::read_text(&plan_path),
            () if config_path.is_file() => files::read_text(&config_path).map(|config| plan_of_encoder(&config)),
            () => {
                let problem = "neither a run folder (no plan.toml) nor an encoder folder (no config.json)";
                return Err(DataError::Data(format!("{}: {problem}", folder.display())));
            }
        };
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut run = Self { name, finished: is_finished(folder), ..Self::default() };
        match plan {
            Ok(text) => run.take_plan(text),
            Err(error) => run.missing.push(format!("plan.toml cannot be read: {error}.")),
        }
        if run.metrics.update(&folder.join("metrics.jsonl")).is_err() {
            run.missing.push("There is no metrics.jsonl: no curves of the training.".into());
        }
        run.scores = run.record(folder, "scores.json", Scores::read);
        run.diagnosis = run.record(folder, "diagnosis.json", DiagnosisRecord::read);
        run.finetuning = run.record(folder, "finetune.json", Finetuning::read);
        run.invariance = run.record(folder, "invariance.json", Profile::read);
        run.read_pictures(&folder.join("pictures"));
        Ok(run)
    }

    /// Takes in what has changed in a folder that was read before and is still being written. What was read of a folder that
    /// is gone stays, and another run's in its place is read from the start.
    pub fn refresh(&mut self, folder: &Path) {
        let plan = files::read_text(&folder.join("plan.toml"));
        if let Err(error) = &plan
            && error.kind() == ErrorKind::NotFound
        {
            self.away = true;
            self.missing.retain(|note| note != GONE);
            return self.missing.push(GONE.into());
        }
        if self.away || plan.is_ok_and(|text| text != self.plan_text) {
            // Where it cannot be read right now, the next call tries again.
            if let Ok(read) = Self::read(folder) {
                *self = read;
            }
            return;
        }
        self.finished = self.finished || is_finished(folder);
        let readable = self.metrics.update(&folder.join("metrics.jsonl")).is_ok();
        let again = |note: &String| {
            ["scores.json", "diagnosis.json"].iter().any(|name| note.contains(name))
                || readable && note.contains("metrics.jsonl")
        };
        self.missing.retain(|note| !again(note));
        self.scores = self.record(folder, "scores.json", Scores::read);
        self.diagnosis = self.record(folder, "diagnosis.json", DiagnosisRecord::read);
    }

    /// The last diagnosis by representation.
    pub fn diagnoses(&self) -> Option<&Diagnoses> {
        self.diagnosis.as_ref().map(|record| &record.diagnosis).filter(|diagnoses| !diagnoses.is_empty())
    }

    /// What the last diagnosis looked at.
    pub fn diagnosed_on(&self) -> String {
        let Some(record) = &self.diagnosis else { return "its data".into() };
        let samples = record.diagnosis.values().next().map_or(0, |d| d.measurements.statistics.samples);
        let on = match &record.measured_on {
            on if on.data.path.is_empty() => "its data".into(),
            on => on.to_string(),
        };
        format!("{samples} samples of {on}")
    }

    /// Name of the method.
    pub fn method(&self) -> &str {
        self.facts.method.name.as_deref().unwrap_or("unknown method")
    }

    fn take_plan(&mut self, text: String) {
        match text.parse::<toml::Table>() {
            Ok(plan) => {
                self.facts = plan.clone().try_into().unwrap_or_default();
                self.plan = plan;
            }
            Err(_) => self.missing.push("plan.toml is not TOML; it is shown as it is.".into()),
        }
        self.plan_text = text;
    }

    fn record<T>(&mut self, folder: &Path, name: &str, read: impl FnOnce(&Path) -> Result<T, DataError>) -> Option<T> {
        let path = folder.join(name);
        if !path.is_file() {
            return None;
        }
        let record = read(&path);
        let problem = |error: DataError| match error {
            DataError::Sample { problem, .. } => problem,
            other => other.to_string(),
        };
        record.map_err(|error| self.missing.push(format!("{name} cannot be read: {}.", problem(error)))).ok()
    }

    fn read_pictures(&mut self, folder: &Path) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "png" || e == "csv"));
        paths.sort();
        let mut left = PICTURE_BYTES;
        for path in paths {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let bytes = match files::read(&path, left) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                    let problem = "is too large to be taken in; it lies in the run folder.";
                    self.missing.push(format!("pictures/{file} {problem}"));
                    continue;
                }
                Err(_) => continue,
            };
            left -= bytes.len() as u64;
            let drawn = match Delimited::knows(&path) {
                false => Drawn::Png(bytes),
                true => match Delimited::parse(&path, &bytes) {
                    Ok(table) => {
                        let rows = (0..table.len()).map(|row| table.row(row).map(str::to_owned).collect());
                        Drawn::Table(std::iter::once(table.names().to_vec()).chain(rows).collect())
                    }
                    Err(_) => {
                        self.missing.push(format!("pictures/{file} cannot be read: it is no table."));
                        continue;
                    }
                },
            };
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let caption = files::read_text(&path.with_extension("txt")).unwrap_or_default();
            self.pictures.push(PictureFile { name, caption: caption.trim().to_owned(), drawn });
        }
    }
}

/// Whether the encoder is what was written; its presence would not say so.
fn is_finished(folder: &Path) -> bool {
    #[derive(Deserialize)]
    struct EncoderConfig {
        weights: SealedFile,
    }
    let config = seal::open::<EncoderConfig>(folder, "config.json", 1);
    config.is_ok_and(|config| config.weights.read(folder).is_ok())
}

/// The plan that an encoder's `config.json` holds; nothing where it holds none.
fn plan_of_encoder(config: &str) -> String {
    let config: serde_json::Value = serde_json::from_str(config).unwrap_or_default();
    config["recipe"].as_str().unwrap_or_default().to_owned()
}
