//! All that the trials know of the binary: its words, files, records and exit codes.

use crate::calls::{self, Answer, Call};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What is wrong, in one line.
pub type Failure = String;

/// Exit codes that say why.
pub mod code {
    pub const FINISHED: i32 = 0;
    pub const OTHER: i32 = 1;
    pub const DIVERGED: i32 = 4;
    pub const OUT_OF_SPACE: i32 = 5;
    pub const IN_USE: i32 = 6;
}

/// The run folder of every trial, within its place.
pub const RUN: &str = "run";
/// File of the weights: a run that has it is finished.
pub const ENCODER: &str = "encoder.safetensors";
/// Where checkpoints lie in the run folder.
pub const CHECKPOINTS: &str = "checkpoints";
/// What a killed save may leave there until the next.
const WRITING: &str = ".writing";
/// How files begin that are not whole yet.
const PARTIAL: &str = ".partial-";

/// A network and batches so small that a run takes a fraction of a second.
const TINY: [&str; 12] = [
    "pretrain",
    "out=run",
    "backbone=resnet_micro",
    "backbone.widths=[2]",
    "projector.hidden=4",
    "projector.out=4",
    "batch_size=8",
    "optimizer.warmup_epochs=0",
    "train.log_steps=1",
    "train.online_knn_epochs=0",
    "evaluate.draws=1",
    "threads=1",
];

/// The words that begin a tiny run, or go on with it.
pub fn pretrain(data: &Path, more: &[&str]) -> Vec<String> {
    let data = format!("data={}", data.display());
    TINY.iter().copied().chain([data.as_str()]).chain(more.iter().copied()).map(str::to_owned).collect()
}

/// The words that go on with a run, known by its folder alone.
pub fn go_on() -> Vec<String> {
    words(&["pretrain", RUN])
}

/// The commands that load the newest checkpoint of [`RUN`], by name.
pub fn embed(data: &Path) -> Vec<String> {
    words(&["embed", RUN, &format!("data={}", data.display()), "out=h.npy"])
}

pub fn evaluate(data: &Path) -> Vec<String> {
    words(&["evaluate", RUN, &format!("train={}", data.display()), &format!("test={}", data.display())])
}

pub fn diagnose() -> Vec<String> {
    words(&["diagnose", RUN])
}

pub fn report() -> Vec<String> {
    words(&["report", RUN])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Longest that a session may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A folder in which the binary works, and the binary.
pub struct Place<'a> {
    pub binary: &'a Path,
    pub folder: PathBuf,
    /// A session that takes longer counts as hanging.
    pub limit: Duration,
    /// How the names of the files begin that hold what sessions print.
    pub prints: &'static str,
}

/// How a session ended.
pub struct Session {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Session {
    pub fn killed(&self) -> bool {
        self.status.signal() == Some(libc::SIGKILL)
    }

    /// The last line of standard error, for messages.
    pub fn last_line(&self) -> &str {
        self.stderr.lines().last().unwrap_or("nothing on standard error")
    }

    /// An error unless it ended well.
    pub fn succeeded(&self) -> Result<(), Failure> {
        if self.status.code() == Some(code::FINISHED) {
            return Ok(());
        }
        Err(format!("{}: {}", ending(self.status), self.last_line()))
    }

    /// An error unless it failed as it should: with this code and a single line that is no panic's.
    pub fn failed_with(&self, code: i32) -> Result<&str, Failure> {
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        match errors[..] {
            _ if self.stderr.contains("bug in selfsame") => Err(format!("a panic: {}", errors.join(" | "))),
            [line] if self.status.code() == Some(code) => Ok(line),
            _ => Err(format!(
                "{}, expected code {code}; {} error lines: {}",
                ending(self.status),
                errors.len(),
                errors.first().copied().unwrap_or(self.last_line())
            )),
        }
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, signal) => format!("ended by signal {}", signal.unwrap_or_default()),
    }
}

impl Place<'_> {
    /// A new, empty place.
    pub fn fresh<'a>(binary: &'a Path, folder: PathBuf) -> Result<Place<'a>, Failure> {
        let _ = fs::remove_dir_all(&folder);
        Place::at(binary, folder)
    }

    /// A place that may be there already.
    pub fn at<'a>(binary: &'a Path, folder: PathBuf) -> Result<Place<'a>, Failure> {
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(Place { binary, folder, limit: LIMIT, prints: "" })
    }

    /// A new place with the files of this one.
    pub fn copy(&self, folder: PathBuf) -> Result<Place<'_>, Failure> {
        let copy = Place::fresh(self.binary, folder)?;
        let mut copied = Ok(());
        walk(&self.folder, &mut |path| {
            let to = copy.folder.join(path.strip_prefix(&self.folder).expect("a path below it"));
            let made = if path.is_dir() { fs::create_dir(&to) } else { fs::copy(path, &to).map(drop) };
            if let Err(error) = made {
                copied = Err(format!("{}: {error}", to.display()));
            }
        });
        copied.map(|()| copy)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub fn run_folder(&self) -> Run {
        Run(self.path(RUN))
    }

    /// Where what sessions print goes; `name` is `stdout.txt` or `stderr.txt`.
    pub fn printed(&self, name: &str) -> PathBuf {
        self.path(&format!("{}{name}", self.prints))
    }

    fn command(&self, words: &[String]) -> Result<Command, Failure> {
        let output = |name| File::create(self.printed(name)).map_err(|e| format!("{name}: {e}"));
        let mut command = Command::new(self.binary);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null());
        command.stdout(output("stdout.txt")?).stderr(output("stderr.txt")?);
        Ok(command)
    }

    fn session(&self, status: std::io::Result<ExitStatus>, started: Instant) -> Result<Session, Failure> {
        let took = started.elapsed();
        let status = status.map_err(|e| format!("the session: {e}"))?;
        let text = |name| match fs::read(self.printed(name)) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(format!("{name}: {error}")),
        };
        Ok(Session { status, stdout: text("stdout.txt")?, stderr: text("stderr.txt")?, took })
    }

    /// A session to its end. `look` is called every few milliseconds with the process's number, and kills it by `true`.
    pub fn observed(&self, words: &[String], mut look: impl FnMut(u32, Duration) -> bool) -> Result<Session, Failure> {
        let mut command = self.command(words)?;
        // SAFETY: a single system call.
        unsafe { command.pre_exec(calls::die_with_parent) };
        let started = Instant::now();
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", self.binary.display()))?;
        let status = loop {
            match child.try_wait() {
                Ok(None) if started.elapsed() > self.limit => {
                    let _ = child.kill().and_then(|()| child.wait());
                    return Err(format!("still running after {} s", self.limit.as_secs()));
                }
                Ok(None) if look(child.id(), started.elapsed()) => break child.kill().and_then(|()| child.wait()),
                Ok(None) => std::thread::sleep(Duration::from_micros(500)),
                Ok(Some(status)) => break Ok(status),
                Err(error) => break Err(error),
            }
        };
        self.session(status, started)
    }

    /// A session to its end.
    pub fn run(&self, words: &[String]) -> Result<Session, Failure> {
        self.observed(words, |_, _| false)
    }

    /// A session that is killed after `delay`, if it is still there.
    pub fn killed_after(&self, words: &[String], delay: Duration) -> Result<Session, Failure> {
        self.observed(words, |_, elapsed| elapsed >= delay)
    }

    /// A session whose calls of the system are asked about.
    pub fn watched(&self, words: &[String], answer: impl FnMut(&Call) -> Answer) -> Result<Session, Failure> {
        let started = Instant::now();
        let status = calls::watch(self.command(words)?, self.limit, answer);
        self.session(status, started)
    }

    /// An error if there are files and folders that a finished command must not leave.
    pub fn is_tidy(&self) -> Result<(), Failure> {
        let mut found = None;
        walk(&self.folder, &mut |path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(PARTIAL) || name == WRITING {
                let folder = path.parent().and_then(|folder| folder.strip_prefix(&self.folder).ok());
                found = folder.map(|folder| format!("{} is left", folder.join(same_name(path)).display()));
            }
        });
        found.map_or(Ok(()), Err)
    }
}

/// The name of a file, without what is drawn anew each time of one that is not whole yet.
pub fn same_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(PARTIAL) { format!("{PARTIAL}…") } else { name.into_owned() }
}

/// Every file and folder below `folder`.
pub fn walk(folder: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        see(&path);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, see);
        }
    }
}

/// A run folder.
pub struct Run(pub PathBuf);

impl Run {
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn has_plan(&self) -> bool {
        self.path("plan.toml").is_file()
    }

    /// Hash of the encoder; `None` if there is none.
    pub fn encoder(&self) -> Option<blake3::Hash> {
        fs::read(self.path(ENCODER)).ok().map(|bytes| blake3::hash(&bytes))
    }

    /// Steps and folders of the checkpoints, oldest first.
    pub fn checkpoints(&self) -> BTreeMap<u64, PathBuf> {
        let entries = fs::read_dir(self.path(CHECKPOINTS)).into_iter().flatten().flatten();
        entries.filter_map(|entry| Some((checkpoint_step(&entry.path())?, entry.path()))).collect()
    }

    /// An error if there are more checkpoints on the disk than are kept and one, that which is being written included.
    pub fn takes_no_more_than(&self, keep: usize) -> Result<(), Failure> {
        let found = self.checkpoints().len() + usize::from(self.path(CHECKPOINTS).join(WRITING).exists());
        if found <= keep + 1 { Ok(()) } else { Err(format!("{found} checkpoints on the disk, {keep} are kept")) }
    }

    /// An error unless the encoder is this one.
    pub fn ends_in(&self, encoder: blake3::Hash) -> Result<(), Failure> {
        match self.encoder() {
            Some(found) if found == encoder => Ok(()),
            Some(_) => Err("another encoder than an undisturbed run's".into()),
            None => Err("no encoder".into()),
        }
    }

    /// What the run has recorded.
    pub fn records(&self) -> Records {
        let text = fs::read(self.path("metrics.jsonl")).unwrap_or_default();
        let mut records = Records::default();
        for line in text.split(|&byte| byte == b'\n') {
            let Ok(record) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            let step = record["step"].as_u64().unwrap_or_default();
            match record["event"].as_str() {
                Some("started") => records.sessions.push(step),
                Some("checkpoint") => records.checkpoint = records.checkpoint.max(step),
                _ => {}
            }
        }
        records
    }
}

/// Whether a call gives a checkpoint its final name.
pub fn completes_a_checkpoint(call: &Call) -> bool {
    call.to.as_deref().is_some_and(|to| {
        checkpoint_step(to).is_some() && to.parent().is_some_and(|parent| parent.ends_with(CHECKPOINTS))
    })
}

/// The step in the name of a checkpoint's folder.
fn checkpoint_step(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// What `metrics.jsonl` says.
#[derive(Debug, Default)]
pub struct Records {
    /// The step at which each session started.
    pub sessions: Vec<u64>,
    /// The last checkpoint that was reported.
    pub checkpoint: u64,
}

impl Records {
    /// An error if the records after a session show that something was lost which those before it (`self`) reported: the
    /// session started before the last checkpoint, or that checkpoint's line is gone.
    pub fn kept_by(&self, after: &Self) -> Result<(), Failure> {
        let started = after.sessions.last().filter(|_| after.sessions != self.sessions);
        match started {
            Some(&step) if step < self.checkpoint => {
                Err(format!("checkpoint {} was reported, the run went on from {step}", self.checkpoint))
            }
            _ if after.checkpoint < self.checkpoint => Err(format!(
                "checkpoint {} was reported, the records now end with {}",
                self.checkpoint, after.checkpoint
            )),
            _ => Ok(()),
        }
    }
}
