//! What was tried and how it went, kept so that a stopped torture goes on where it was.

use crate::product::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// One line per trial that has ended.
pub struct Ledger {
    file: Mutex<File>,
    before: BTreeMap<String, Option<Failure>>,
    jobs: usize,
}

/// How the trials of a kind went.
#[derive(Debug, Default)]
pub struct Tally {
    /// What was done.
    what: String,
    /// What is true of those that did not fail.
    outcome: String,
    trials: usize,
    /// Name and failure of each that failed.
    failed: Vec<(String, Failure)>,
}

impl Ledger {
    /// Opens `trials.jsonl` of `folder`, which must be of trials with the same binary.
    pub fn open(folder: &Path, binary: &Path, jobs: usize) -> Result<Self, Failure> {
        let path = folder.join("trials.jsonl");
        let wrong = |problem: String| format!("{}: {problem}", path.display());
        let hash = blake3::hash(&std::fs::read(binary).map_err(|e| format!("{}: {e}", binary.display()))?).to_string();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // The last line may have been cut off in the middle.
        let mut lines =
            text.split_inclusive('\n').filter_map(|line| serde_json::from_str::<Value>(line.trim_end()).ok());
        let first = lines.next();
        if first.as_ref().is_some_and(|first| first["binary"] != hash.as_str()) {
            return Err(wrong("trials of another binary; give another folder".into()));
        }
        let before = lines
            .filter_map(|line| Some((line["trial"].as_str()?.to_owned(), line["failure"].as_str().map(str::to_owned))));
        let before = before.collect();
        let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(|e| wrong(e.to_string()))?;
        let start = if first.is_none() { json!({ "binary": hash }).to_string() } else { String::new() };
        writeln!(file, "{start}").map_err(|e| wrong(e.to_string()))?;
        Ok(Self { file: Mutex::new(file), before, jobs })
    }

    /// Makes each of `trials` that was not made before, several at once.
    pub fn each(&self, part: &str, trials: &[String], make: impl Fn(&str) -> Result<(), Failure> + Sync) -> Tally {
        self.with_jobs(self.jobs, part, trials, make)
    }

    /// Makes each of `trials` that was not made before, in their order.
    pub fn in_turn(&self, part: &str, trials: &[String], make: impl Fn(&str) -> Result<(), Failure> + Sync) -> Tally {
        self.with_jobs(1, part, trials, make)
    }

    fn with_jobs(
        &self,
        jobs: usize,
        part: &str,
        trials: &[String],
        make: impl Fn(&str) -> Result<(), Failure> + Sync,
    ) -> Tally {
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                let name = format!("{part}/{trial}");
                let failure = match self.before.get(&name) {
                    Some(failure) => failure.clone(),
                    None => {
                        let failure = make(trial).err();
                        self.record(&name, failure.as_deref());
                        failure
                    }
                };
                if let Some(failure) = failure {
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push((name, failure));
                }
            }
        };
        std::thread::scope(|scope| {
            (0..jobs).for_each(|_| {
                scope.spawn(work);
            });
        });
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort();
        Tally { trials: trials.len(), failed, ..Tally::default() }
    }

    fn record(&self, trial: &str, failure: Option<&str>) {
        let line = json!({ "trial": trial, "failure": failure }).to_string();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // A trial that is not recorded is made again.
        let _ = writeln!(file, "{line}");
    }
}

impl Tally {
    /// With what its line says.
    pub fn named(self, what: impl Into<String>, outcome: impl Into<String>) -> Self {
        Self { what: what.into(), outcome: outcome.into(), ..self }
    }

    /// Together with the trials of another.
    pub fn and(mut self, other: Self) -> Self {
        self.trials += other.trials;
        self.failed.extend(other.failed);
        self
    }

    /// Prints the line, and below it the failures that differ in more than numbers and what stands in brackets; whether there
    /// are none.
    pub fn print(&self) -> bool {
        let Self { what, outcome, trials, failed } = self;
        println!("{what}: {} of {trials} {outcome}", trials - failed.len());
        let mut kinds: BTreeMap<String, Vec<&(String, Failure)>> = BTreeMap::new();
        for failure in failed {
            let kind = failure.1.split(" (").next().unwrap_or_default();
            let kind = kind.chars().filter(|c| !c.is_ascii_digit()).collect();
            kinds.entry(kind).or_default().push(failure);
        }
        for failures in kinds.values() {
            println!("    {} ×, first {}: {}", failures.len(), failures[0].0, failures[0].1);
        }
        failed.is_empty()
    }
}
