//! The run folder: what lies where, who may write, and the records of a training.

use crate::checkpoint;
use crate::encoder_folder;
use crate::error::Error;
use crate::events::Event;
use crate::picture::Picture;
use crate::plan::{Plan, another_plan};
use crate::tensorboard::EventFile;
use selfsame_base::atomic;
use selfsame_config::{Draft, Recipe};
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataSettings;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// A run folder, held against other writers.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    metrics: Option<(File, EventFile)>,
    _lock: Option<File>,
}

/// Whether there is anything left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Training is to start or to go on.
    Open,
    /// The encoder is written.
    Finished,
}

/// File of the plan.
pub const PLAN: &str = "plan.toml";
const METRICS: &str = "metrics.jsonl";

impl Run {
    /// Opens the plan's run folder for training: makes a new one, or finds the same plan's. Anything else is refused
    /// and left as it is.
    pub fn open(plan: &Plan) -> Result<Self, Error> {
        let path = plan.out.clone();
        let plan_path = path.join(PLAN);
        if plan_path.exists() {
            let before = Draft::new(&plan.schema, Some(&Recipe::read(&plan_path)?), &[])?.resolve(true)?;
            let differences = plan.differences(&plan.schema.identity(&before.table("")));
            if !differences.is_empty() {
                return Err(Error::run(path, another_plan(&differences)));
            }
        } else {
            let occupied = fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some());
            if occupied {
                return Err(Error::run(path, "is not empty and not a run of this plan; choose another out=…"));
            }
            fs::create_dir_all(path.join("checkpoints")).map_err(|e| Error::io(&path, e))?;
        }
        let lock_path = path.join(".lock");
        let lock = File::create(&lock_path).map_err(|e| Error::io(&lock_path, e))?;
        if lock.try_lock().is_err() {
            return Err(Error::InUse { run: path });
        }
        if !plan_path.exists() {
            atomic::write(&plan_path, plan.to_toml().as_bytes())?;
        }
        Ok(Self { path, metrics: None, _lock: Some(lock) })
    }

    /// A run folder to read from.
    pub fn existing(path: &Path) -> Result<Self, Error> {
        if !path.join(PLAN).exists() {
            return Err(Error::run(
                path,
                format!("is not a run folder (it has no {PLAN}); `selfsame pretrain` makes one"),
            ));
        }
        Ok(Self { path: path.to_owned(), metrics: None, _lock: None })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Whether the encoder is written.
    pub fn state(&self) -> RunState {
        if self.path.join(encoder_folder::WEIGHTS).exists() { RunState::Finished } else { RunState::Open }
    }

    /// Steps of the newest checkpoint, and the passes over the data that they made, where the records tell how many
    /// samples there were.
    pub fn done(&self, plan: &Plan) -> Result<(u64, Option<f64>), Error> {
        #[derive(Deserialize)]
        struct Started {
            samples: usize,
        }
        let newest = checkpoint::newest(&self.checkpoints())?;
        let name = newest.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        let step = name.strip_prefix("step-").and_then(|step| step.parse().ok()).unwrap_or(0);
        let samples = File::open(self.path.join(METRICS)).ok().and_then(|file| {
            let mut lines = BufReader::new(file).lines().map_while(Result::ok);
            lines.find_map(|line| serde_json::from_str::<Started>(&line).ok())
        });
        let steps_per_epoch = samples.map(|s| s.samples / plan.train.batch_size).filter(|&steps| steps > 0);
        Ok((step, steps_per_epoch.map(|steps| step as f64 / steps as f64)))
    }

    /// Opens the records for a session that starts after `step` steps. What an interrupted session had recorded beyond
    /// its last checkpoint will happen again, so it is cut off.
    pub fn start_records(&mut self, step: u64) -> Result<(), Error> {
        if self.state() == RunState::Finished {
            return Ok(());
        }
        let path = self.path.join(METRICS);
        let file = OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path);
        let mut file = file.map_err(|e| Error::io(&path, e))?;
        let keep = length_up_to(&file, step).map_err(|e| Error::io(&path, e))?;
        let cut = file.set_len(keep).and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(|e| Error::io(&path, e))?;
        self.metrics = Some((file, EventFile::create(&self.path, step)?));
        Ok(())
    }

    /// Appends an event to the records.
    pub fn record(&mut self, event: &Event) -> Result<(), Error> {
        let Some((metrics, tensorboard)) = &mut self.metrics else { return Ok(()) };
        let mut line = serde_json::to_vec(event).expect("events serialize");
        line.push(b'\n');
        metrics.write_all(&line).map_err(|e| Error::io(&self.path.join(METRICS), e))?;
        tensorboard.add(event)
    }

    /// Hands the records to the disk.
    pub fn sync_records(&mut self) -> Result<(), Error> {
        let Some((metrics, tensorboard)) = &mut self.metrics else { return Ok(()) };
        metrics.sync_all().map_err(|e| Error::io(&self.path.join(METRICS), e))?;
        tensorboard.flush()
    }

    /// Writes `pictures/NAME.png`, and its caption beside it as `pictures/NAME.txt`.
    pub fn write_picture(&self, picture: &Picture, data: &DataSettings) -> Result<(), Error> {
        let folder = self.path.join("pictures");
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        atomic::write(&folder.join(format!("{}.txt", picture.name)), picture.caption.as_bytes())?;
        Ok(atomic::write(&folder.join(format!("{}.png", picture.name)), &picture.to_png(data))?)
    }

    /// Writes `skipped.jsonl`: the files that could not be read, with the reasons. Nothing when there are none.
    pub fn write_skipped(&self, dataset: &Dataset) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Skipped<'a> {
            id: &'a str,
            reason: &'a str,
        }
        let bad = dataset.bad_files();
        if bad.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> = bad
            .iter()
            .map(|file| {
                serde_json::to_string(&Skipped { id: &file.id, reason: &file.reason }).expect("strings serialize")
            })
            .collect();
        Ok(atomic::write(&self.path.join("skipped.jsonl"), (lines.join("\n") + "\n").as_bytes())?)
    }
}

/// Bytes of the leading lines about `step` and before.
fn length_up_to(file: &File, step: u64) -> std::io::Result<u64> {
    #[derive(Deserialize)]
    struct Line {
        step: u64,
    }
    let mut reader = BufReader::new(file);
    let (mut kept, mut line) = (0, String::new());
    loop {
        line.clear();
        let read = reader.read_line(&mut line)? as u64;
        let whole = line.ends_with('\n');
        match serde_json::from_str::<Line>(&line) {
            Ok(record) if whole && record.step <= step => kept += read,
            _ => return Ok(kept),
        }
    }
}
