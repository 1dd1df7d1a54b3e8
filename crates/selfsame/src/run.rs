//! The run folder: what lies where, who may write, and the records of a training.

use crate::checkpoint;
use crate::encoder_folder::{CONFIG, EncoderFolder};
use crate::error::Error;
use crate::events::Event;
use crate::picture::Picture;
use crate::plan::{Plan, another_plan, listed};
use crate::progress::Progress;
use crate::tensorboard::EventFile;
use selfsame_base::seal::Unusable;
use selfsame_base::{atomic, files};
use selfsame_config::Recipe;
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataSettings;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A run folder, held against other writers.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    metrics: Option<(File, EventFile)>,
    _lock: Option<File>,
    /// The folder that was locked, so that another one in its place can be told from it.
    #[cfg(unix)]
    folder: Option<File>,
}

/// Whether there is anything left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Training is to start or to go on.
    Open,
    /// The encoder is written, and whole.
    Finished,
    /// The encoder was written, and is no longer what was written: this is wrong with it.
    Damaged(String),
}

/// File of the plan.
pub const PLAN: &str = "plan.toml";
/// Its first line: the format of run folders.
pub const PLAN_HEADER: &str = "# selfsame run, format 1\n";
const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";
const CHECKPOINTS: &str = "checkpoints";

/// The text of a run's plan.
pub(crate) fn read_plan(run: &Path) -> Result<Recipe, Error> {
    let path = run.join(PLAN);
    let recipe = Recipe::read(&path)?;
    match recipe.text.starts_with(PLAN_HEADER) {
        true => Ok(recipe),
        false => {
            let (expected, found) = (PLAN_HEADER.trim_end(), recipe.text.lines().next().unwrap_or_default());
            let problem = format!(
                "the first line must be `{expected}`, not `{found}`: use the selfsame that wrote it, or put the line back"
            );
            Err(Error::run(path, problem))
        }
    }
}

impl Run {
    /// Opens the plan's run folder for training: makes a new one, or finds the same plan's. Anything else is refused
    /// and left as it is. A folder that is not a run yet, because its making was cut short, and one whose training never came to
    /// a checkpoint, take any plan. What should be known goes to `warn`.
    pub fn open(plan: &Plan, warn: &mut dyn FnMut(String)) -> Result<Self, Error> {
        let path = plan.out.clone();
        let lock_path = path.join(LOCK);
        if !path.join(PLAN).exists() && path.join(CONFIG).exists() {
            let problem = "is an encoder folder without its run; to train the encoder further, start a new run with it as init.path";
            return Err(Error::run(path, problem));
        }
        if holds_anything_else(&path) {
            // Unless another process is making it a run at this moment.
            if let Ok(lock) = OpenOptions::new().write(true).open(&lock_path) {
                locked(&lock, &path)?;
            }
            if holds_anything_else(&path) {
                return Err(Error::run(path, "is not empty and not a run of this plan; choose another out=…"));
            }
        }
        fs::create_dir_all(&path).map_err(|e| Error::io(&path, e))?;
        let lock = OpenOptions::new().create(true).write(true).truncate(false).open(&lock_path);
        let lock = lock.map_err(|e| Error::io(&lock_path, e))?;
        locked(&lock, &path)?;
        // From here on there is no other process.
        let run = Self {
            metrics: None,
            _lock: Some(lock),
            #[cfg(unix)]
            folder: Some(File::open(&path).map_err(|e| Error::io(&path, e))?),
            path,
        };
        run.check_place()?;
        atomic::sweep(&run.path);
        run.take_plan(plan, warn)?;
        Ok(run)
    }

    /// Writes the plan where there is none, or another one's and nothing has come of it.
    fn take_plan(&self, plan: &Plan, warn: &mut dyn FnMut(String)) -> Result<(), Error> {
        let plan_path = self.path.join(PLAN);
        if plan_path.symlink_metadata().is_ok() {
            let differences = plan.differences_from(&read_plan(&self.path)?)?;
            if differences.is_empty() {
                return Ok(());
            }
            if !self.is_blank()? {
                return Err(Error::run(&self.path, another_plan(&differences)));
            }
            let records =
                self.put_records_aside()?.map_or(String::new(), |name| format!("; its records are {name} now"));
            warn(format!(
                "{}: takes another plan ({}), since the one before came to no checkpoint{records}",
                self.path.display(),
                listed(&differences)
            ));
        }
        atomic::write(&plan_path, (PLAN_HEADER.to_owned() + &plan.to_toml()).as_bytes())?;
        // The folder itself is there once the one around it is on the disk; that may not be ours to open.
        if let Ok(path) = std::path::absolute(&self.path) {
            let _ = atomic::sync_folder(atomic::folder_of(&path));
        }
        Ok(())
    }

    /// A run folder to read from.
    pub fn existing(path: &Path) -> Result<Self, Error> {
        if !path.join(PLAN).exists() && !path.join(CONFIG).exists() {
            let problem = format!("is no run folder (it has no {PLAN}), and no encoder folder (it has no {CONFIG})");
            return Err(Error::run(path, problem));
        }
        Ok(Self {
            path: path.to_owned(),
            metrics: None,
            _lock: None,
            #[cfg(unix)]
            folder: None,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// Whether the encoder is written, and is what was written.
    ///
    /// # Errors
    /// If another version wrote it.
    pub fn state(&self) -> Result<RunState, Error> {
        match EncoderFolder::find(&self.path) {
            Ok(None) => Ok(RunState::Open),
            Ok(Some(_)) => Ok(RunState::Finished),
            Err(Unusable::Damaged(problem)) => Ok(RunState::Damaged(problem)),
            Err(other @ Unusable::Format { .. }) => Err(Error::run(&self.path, format!("the encoder {other}"))),
        }
    }

    /// Whether nothing has come of the run yet: neither a checkpoint nor an encoder.
    pub fn is_blank(&self) -> Result<bool, Error> {
        Ok(!checkpoint::any(&self.checkpoints())? && self.state()? == RunState::Open)
    }

    /// Whether the folder is still where it was when it was opened: writes go by its path.
    ///
    /// # Errors
    /// If it was removed, renamed, or replaced by another.
    pub fn check_place(&self) -> Result<(), Error> {
        #[cfg(unix)]
        if let Some(folder) = &self.folder {
            use std::os::unix::fs::MetadataExt;
            let there = match fs::metadata(&self.path) {
                Ok(there) => Some((there.dev(), there.ino())),
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(Error::io(&self.path, e)),
            };
            let opened = folder.metadata().map_err(|e| Error::io(&self.path, e))?;
            if there != Some((opened.dev(), opened.ino())) {
                return Err(Error::Vanished { run: self.path.clone() });
            }
        }
        Ok(())
    }

    /// How far the encoder has come: by the newest checkpoint that is whole, or by the encoder itself where there is none.
    pub fn progress(&self) -> Result<Option<Progress>, Error> {
        let saved = checkpoint::progress(&self.checkpoints())?;
        let written = || EncoderFolder::find(&self.path).ok().flatten().map(|folder| folder.into_config().trained);
        Ok(saved.or_else(written))
    }

    /// Opens the records for a session that starts after `step` steps. What an interrupted session had recorded beyond
    /// its last checkpoint will happen again, so it is cut off. Whatever is wrong with the records of before goes to `warn`:
    /// a training does not depend on them.
    pub fn start_records(&mut self, step: u64, warn: &mut dyn FnMut(String)) -> Result<(), Error> {
        let path = self.path.join(METRICS);
        match files::read(&path, u64::MAX) {
            Ok(bytes) => {
                let Readable { kept, lost } = Readable::up_to(&bytes, step);
                if lost > 0 {
                    let lines = if lost == 1 { "1 line".into() } else { format!("{lost} lines") };
                    warn(format!("{}: {lines} could not be read, and are left out", path.display()));
                }
                if kept != bytes {
                    atomic::write(&path, &kept)?;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => {
                let name = self.put_records_aside()?.unwrap_or_default();
                warn(format!("{}: {e}; it is {name} now, and new records begin", path.display()));
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| Error::io(&path, e))?;
        self.metrics = Some((file, EventFile::create(&self.path, step)?));
        Ok(())
    }

    /// Gives `metrics.jsonl` another name, which is told, if it is there.
    fn put_records_aside(&self) -> Result<Option<String>, Error> {
        let path = self.path.join(METRICS);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let mut names = (1..).map(|number| format!("metrics-{number}.jsonl"));
        let free = |name: &String| self.path.join(name).symlink_metadata().is_err();
        let name = names.find(free).expect("numbers do not end");
        fs::rename(&path, self.path.join(&name)).map_err(|e| Error::io(&path, e))?;
        Ok(Some(name))
    }

    /// Appends an event to the records.
    pub fn record(&mut self, event: &Event) -> Result<(), Error> {
        let Some((metrics, tensorboard)) = &mut self.metrics else { return Ok(()) };
        let mut line = serde_json::to_vec(event).expect("events serialize");
        line.push(b'\n');
        metrics.write_all(&line).map_err(|e| Error::io(&self.path.join(METRICS), e))?;
        tensorboard.add(event)
    }

    /// The objective's totals of the last recorded steps, at most `count`; none where the records cannot be read.
    pub fn last_losses(&self, count: usize) -> Vec<f64> {
        let bytes = files::read(&self.path.join(METRICS), u64::MAX).unwrap_or_default();
        let lines = bytes.rsplit(|&byte| byte == b'\n').filter_map(|line| str::from_utf8(line).ok());
        let steps = lines.filter_map(|line| match serde_json::from_str(line) {
            Ok(Event::Step(record)) => Some(f64::from(record.total)),
            _ => None,
        });
        steps.filter(|total| total.is_finite()).take(count).collect()
    }

    /// Hands the records to the disk.
    pub fn sync_records(&mut self) -> Result<(), Error> {
        let Some((metrics, tensorboard)) = &mut self.metrics else { return Ok(()) };
        metrics.sync_all().map_err(|e| Error::io(&self.path.join(METRICS), e))?;
        tensorboard.flush()
    }

    /// Writes `pictures/NAME.png` or `NAME.csv`, and its caption beside it as `pictures/NAME.txt`.
    pub fn write_picture(&self, picture: &Picture, data: &DataSettings) -> Result<(), Error> {
        let folder = self.path.join("pictures");
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
        atomic::write(&folder.join(format!("{}.txt", picture.name)), picture.caption.as_bytes())?;
        let (ending, file) = picture.to_file(data);
        Ok(atomic::write(&folder.join(format!("{}.{ending}", picture.name)), &file)?)
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

/// Whether `path` is a folder that is no run and holds more than the making of a run leaves when it is cut short.
fn holds_anything_else(path: &Path) -> bool {
    let Ok(entries) = fs::read_dir(path) else { return false };
    let entries: Vec<_> = entries.flatten().collect();
    let of_making = |entry: &fs::DirEntry| {
        let name = entry.file_name();
        let empty = || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
        name == LOCK || atomic::is_temporary(&name) || name == CHECKPOINTS && empty()
    };
    entries.iter().all(|entry| entry.file_name() != PLAN) && !entries.iter().all(of_making)
}

/// Locks a run folder for this process.
fn locked(lock: &File, run: &Path) -> Result<(), Error> {
    match lock.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { run: run.to_owned() }),
        Err(TryLockError::Error(e)) => Err(Error::io(&run.join(LOCK), e)),
    }
}

/// What can be kept of the records when a run goes on.
struct Readable {
    /// Lines about a step and before.
    kept: Vec<u8>,
    /// Lines that cannot be read.
    lost: usize,
}

impl Readable {
    fn up_to(bytes: &[u8], last: u64) -> Self {
        #[derive(Deserialize)]
        struct Line {
            step: u64,
        }
        let lines: Vec<(&[u8], Option<u64>)> = bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            // As text first: what is passed over in a line is not looked at.
            .map(|line| (line, str::from_utf8(line).ok().and_then(|line| serde_json::from_str::<Line>(line).ok())))
            .map(|(line, read)| (line, read.map(|read| read.step)))
            .collect();
        let past = |step: &Option<u64>| step.is_some_and(|step| step > last);
        // Steps never fall, so a later one in front of those that are kept is a number that was damaged.
        let end = lines.iter().rposition(|(_, step)| step.is_some() && !past(step)).map_or(0, |last| last + 1);
        let mut found = Self { kept: Vec::with_capacity(bytes.len()), lost: 0 };
        for (index, (line, step)) in lines.into_iter().enumerate() {
            match step.is_none() || past(&step) && index < end {
                true => found.lost += 1,
                false if past(&step) => {}
                false => found.kept.extend(line.iter().chain(b"\n")),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readable_line_up_to_the_step_is_kept_and_the_others_are_counted() {
        let lines: Vec<String> = (0..6).map(|step| format!("{{\"event\":\"step\",\"step\":{step}}}")).collect();
        let text = |lines: &[&str]| lines.join("\n") + "\n";
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5].map(|i| lines[i].as_str());
        let damaged_step = b.replace('1', "9");
        for (before, kept, lost) in [
            (text(&[a, b, c, d, e, f]), text(&[a, b, c, d]), 0),
            (text(&[a, "{\"event\":\"st\u{0}p\"", c, d, e]), text(&[a, c, d]), 1),
            (text(&[a, "", c, d, &e[..9]]), text(&[a, c, d]), 1),
            (text(&[a, &damaged_step, c, d, e]), text(&[a, c, d]), 1),
            (text(&[a, d]).trim_end().to_owned(), text(&[a, d]), 0),
            (text(&["[]", "3", "garbage"]), String::new(), 3),
            (String::new(), String::new(), 0),
        ] {
            let found = Readable::up_to(before.as_bytes(), 3);
            assert_eq!((String::from_utf8(found.kept).unwrap(), found.lost), (kept, lost), "{before}");
        }
    }
}
