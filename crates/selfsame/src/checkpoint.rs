//! Checkpoints: folders `step-00000000`, each with a manifest that covers every byte of it, its own included.
//!
//! A checkpoint is written as `.writing`, synced, and renamed. What must go is renamed to `.removing` before it is removed. So a
//! step's folder is whole under its name at every moment, or it is not there; and what a process leaves that is killed between
//! any two calls of the system is put in order by [`tidy`] at the next start.

use crate::device::Kernels;
use crate::divergence::Policy;
use crate::error::Error;
use crate::plan::{Plan, another_plan};
use crate::progress::Progress;
use crate::tensor::parameters::{Array, from_safetensors, to_safetensors};
use crate::train_settings::BestBy;
use selfsame_base::error::is_out_of_space;
use selfsame_base::seal::{self, SealedFile, Unusable};
use selfsame_base::text::size;
use selfsame_base::{DataError, atomic, machine};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Everything that a run needs to go on as if it had never stopped. Random streams are keyed by step, so the step is
/// all there is to say about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub progress: Progress,
    /// The method's tensors.
    pub model: BTreeMap<String, Array>,
    /// The optimizer's tensors.
    pub optimizer: BTreeMap<String, Array>,
}

/// Format of checkpoints.
pub const FORMAT: u64 = 1;

/// `manifest.json`: what a checkpoint is of, and what its folder holds. It is [sealed](seal).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u64,
    /// How far the training had come.
    #[serde(flatten)]
    pub progress: Progress,
    /// What the results depend on, so that a user who edited the plan is told what was changed.
    #[serde(with = "as_toml")]
    pub plan: toml::Table,
    /// Fingerprint of the data.
    pub data: String,
    /// What the last steps ran on.
    pub kernels: Kernels,
    /// How good the encoder is, where that was asked for and an epoch has just ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// The other files of the folder.
    pub files: Vec<SealedFile>,
}

/// How good an encoder is, by what the plan keeps the best of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// By what.
    pub by: BestBy,
    /// More is better.
    pub value: f64,
}

/// A table as TOML, which reads numbers back to the last digit, within JSON.
mod as_toml {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(table: &toml::Table, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&table.to_string())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<toml::Table, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|error: toml::de::Error| D::Error::custom(error.message()))
    }
}

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const MANIFEST: &str = "manifest.json";
/// What stood in the place of the manifest before there were formats.
const BEFORE_FORMATS: &str = "state.json";
/// A checkpoint that is being written.
const WRITING: &str = ".writing";
/// A folder that is being removed.
const REMOVING: &str = ".removing";

/// Writes `checkpoint` into `folder/step-00000000` and removes what the plan does not keep: all but the newest and, where it
/// asks for it, the best. At no moment is there more than one checkpoint beyond those.
///
/// # Errors
/// If it cannot be written, also for want of space, which is looked at before; the others are then as they were.
pub fn save(folder: &Path, checkpoint: &Checkpoint, plan: &Plan, judged: Option<Judged>) -> Result<PathBuf, Error> {
    let files = [(MODEL, to_safetensors(&checkpoint.model)), (OPTIMIZER, to_safetensors(&checkpoint.optimizer))];
    let manifest = Manifest {
        format: FORMAT,
        progress: checkpoint.progress,
        plan: plan.identity(),
        data: plan.data.fingerprint.clone(),
        kernels: Kernels::of(plan.train.precision)?,
        judged,
        files: files.iter().map(|(name, bytes)| SealedFile::of(name, bytes)).collect(),
    };
    make_folder(folder)?;
    let path = path(folder, checkpoint.progress.step);
    // The same plan and step come to the same bytes, so that a step that is saved twice is there already.
    let there = read(&path).is_ok_and(|(there, _)| there.files == manifest.files && there.plan == manifest.plan);
    if !there {
        write(folder, &path, &files, &manifest)?;
        install(folder, &path)?;
    }
    // Later steps than this one are of no use, or the run would have gone on from them.
    let all = list(folder)?;
    let later = all.iter().filter(|(step, _)| *step > checkpoint.progress.step).map(|(_, path)| path);
    surplus(&all, checkpoint.progress.step, plan).into_iter().chain(later).try_for_each(|path| remove(folder, path))?;
    Ok(path)
}

/// Puts in order what a killed process has left in `folder`: takes in a checkpoint that was whole and had not got its name,
/// and removes halves. For the one process that trains in the folder.
pub fn tidy(folder: &Path) -> Result<(), Error> {
    let writing = folder.join(WRITING);
    match read(&writing) {
        Ok((manifest, _)) => install(folder, &path(folder, manifest.progress.step))?,
        Err(_) => remove(folder, &writing)?,
    }
    remove_for_good(&folder.join(REMOVING))
}

/// Removes what the plan does not keep of the checkpoints up to `step`, which is whole: a killed process may have left one.
pub fn prune(folder: &Path, step: u64, plan: &Plan) -> Result<(), Error> {
    surplus(&list(folder)?, step, plan).into_iter().try_for_each(|path| remove(folder, path))
}

/// The newest checkpoint in `folder` that is whole, and its manifest; problems of newer ones go to `warn`.
///
/// # Errors
/// [`Error::NoCheckpoint`] if there are checkpoints and none is whole, or the newest that is whole is of another format; another
/// error if it is another plan's, with what was changed.
pub fn load_newest(
    folder: &Path,
    plan: &Plan,
    warn: &mut dyn FnMut(String),
) -> Result<Option<(Checkpoint, Manifest)>, Error> {
    load_first(folder, plan, warn, |all| all.reverse())
}

/// The checkpoint of a step.
///
/// # Errors
/// [`Error::NoCheckpoint`] if it is not there or not whole; another error if it is another plan's.
pub fn load_step(folder: &Path, step: u64, plan: &Plan) -> Result<Checkpoint, Error> {
    let loaded = load(step, &path(folder, step), plan)?;
    let none = |problem: Unusable| Error::NoCheckpoint {
        folder: path(folder, step),
        problem: format!("training would go back to here, and cannot: {problem}"),
    };
    Ok(loaded.map_err(none)?.0)
}

/// The best checkpoint in `folder` that is whole, by what the plan keeps the best of; problems of better ones go to `warn`.
///
/// # Errors
/// As for [`load_newest`].
pub fn load_best(
    folder: &Path,
    plan: &Plan,
    warn: &mut dyn FnMut(String),
) -> Result<Option<(Checkpoint, Manifest)>, Error> {
    load_first(folder, plan, warn, |all| {
        let found = std::mem::take(all).into_iter().rev();
        let mut best: Vec<_> = found.filter_map(|found| Some((judged(&found, plan.train.keep_best)?, found))).collect();
        best.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        all.extend(best.into_iter().map(|(_, found)| found));
    })
}

/// How good the best checkpoint in `folder` is, by `by`.
pub fn best(folder: &Path, by: BestBy) -> Result<Option<f64>, Error> {
    Ok(list(folder)?.iter().filter_map(|found| judged(found, by)).max_by(f64::total_cmp))
}

/// How far the newest whole checkpoint has come.
pub fn progress(folder: &Path) -> Result<Option<Progress>, Error> {
    let whole = |(step, path): &(u64, PathBuf)| Some(read_step(*step, path).ok()?.0.progress);
    Ok(list(folder)?.iter().rev().find_map(whole))
}

/// Where the checkpoint of a step lies in `folder`.
pub fn path(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:08}"))
}

/// Whether `folder` holds any checkpoint, damaged ones included.
pub fn any(folder: &Path) -> Result<bool, Error> {
    Ok(!list(folder)?.is_empty() || read(&folder.join(WRITING)).is_ok())
}

/// The first whole checkpoint in the order that `sort` puts them in.
fn load_first(
    folder: &Path,
    plan: &Plan,
    warn: &mut dyn FnMut(String),
    sort: impl Fn(&mut Vec<(u64, PathBuf)>),
) -> Result<Option<(Checkpoint, Manifest)>, Error> {
    let none = |problem: String| Error::NoCheckpoint { folder: folder.to_owned(), problem };
    'listed: loop {
        let mut all = list(folder)?;
        sort(&mut all);
        let mut problems = Vec::new();
        for (step, path) in all {
            match load(step, &path, plan)? {
                Ok(loaded) => {
                    problems.iter().for_each(|problem| {
                        warn(format!("checkpoint {problem}; that of step {step} is used in its place"));
                    });
                    return Ok(Some(loaded));
                }
                // A training that goes on has removed it for a newer one.
                Err(_) if path.symlink_metadata().is_err() => continue 'listed,
                Err(Unusable::Damaged(problem)) => {
                    problems.push(format!("{} cannot be used ({problem})", path.display()));
                }
                Err(other @ Unusable::Format { .. }) => {
                    let problem = format!(
                        "the checkpoint of step {step} {other}; an encoder.safetensors beside it can be used still"
                    );
                    return Err(none(problem));
                }
            }
        }
        return match problems.first() {
            None => Ok(None),
            Some(problem) => Err(none(format!(
                "no checkpoint is whole: {problem}; nothing was changed here; put a copy back, or train anew in another folder with out=…"
            ))),
        };
    }
}

/// A checkpoint and its manifest; the outer error is about the plan.
fn load(step: u64, path: &Path, plan: &Plan) -> Result<Result<(Checkpoint, Manifest), Unusable>, Error> {
    // The plan first: one that was edited is no damage.
    if let Ok(manifest) = manifest(path) {
        let differences = plan.differences(&plan.completed(&manifest.plan));
        if !differences.is_empty() {
            return Err(Error::run(&plan.out, another_plan(&differences)));
        }
    }
    Ok(read_step(step, path).and_then(|(manifest, [model, optimizer])| {
        let arrays = |bytes: &[u8]| from_safetensors(bytes).map_err(Unusable::Damaged);
        let (model, optimizer) = (arrays(&model)?, arrays(&optimizer)?);
        Ok((Checkpoint { progress: manifest.progress, model, optimizer }, manifest))
    }))
}

/// Manifest and files of the checkpoint folder of `step`, every byte of it verified.
fn read_step(step: u64, path: &Path) -> Result<(Manifest, [Vec<u8>; 2]), Unusable> {
    let (manifest, files) = read(path)?;
    if manifest.progress.step != step {
        return Err(Unusable::Damaged(format!("its manifest is of step {}", manifest.progress.step)));
    }
    Ok((manifest, files))
}

/// Manifest and files of a checkpoint folder, every byte of it verified.
fn read(path: &Path) -> Result<(Manifest, [Vec<u8>; 2]), Unusable> {
    let manifest = manifest(path)?;
    let io_error = |error: io::Error| Unusable::Damaged(error.to_string());
    let files: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    if files != [MODEL, OPTIMIZER] {
        return Err(Unusable::Damaged(format!("{MANIFEST} lists {}", files.join(", "))));
    }
    for entry in fs::read_dir(path).map_err(io_error)? {
        let name = entry.map_err(io_error)?.file_name();
        let name = name.to_string_lossy();
        // Hidden files are the system's or a file manager's.
        if ![MODEL, OPTIMIZER, MANIFEST].contains(&&*name) && !name.starts_with('.') {
            return Err(Unusable::Damaged(format!("{name} does not belong there")));
        }
    }
    Ok((manifest.clone(), [manifest.files[0].read(path)?, manifest.files[1].read(path)?]))
}

fn manifest(path: &Path) -> Result<Manifest, Unusable> {
    match seal::open(path, MANIFEST, FORMAT) {
        Err(Unusable::Damaged(_)) if path.join(BEFORE_FORMATS).is_file() && !path.join(MANIFEST).exists() => {
            Err(Unusable::Format { found: 0, expected: FORMAT })
        }
        result => result,
    }
}

/// How good a checkpoint is, where that was judged by `by`.
fn judged((step, path): &(u64, PathBuf), by: BestBy) -> Option<f64> {
    let manifest = manifest(path).ok().filter(|manifest| manifest.progress.step == *step)?;
    manifest.judged.filter(|judged| judged.by == by).map(|judged| judged.value)
}

/// Starts of epochs that are kept where training may go back to one: at the first step of an epoch, it goes to the one before.
const POINTS_OF_RETURN: usize = 2;

/// Those of `all` up to `step` that the plan does not keep: neither among the newest nor the best, nor where training may go
/// back to.
fn surplus<'a>(all: &'a [(u64, PathBuf)], newest: u64, plan: &Plan) -> Vec<&'a PathBuf> {
    let by = plan.train.keep_best;
    let best = all.iter().filter_map(|found| Some((judged(found, by)?, &found.1)));
    let best = best.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, path)| path);
    let before: Vec<&PathBuf> = all.iter().filter(|(found, _)| *found <= newest).map(|(_, path)| path).collect();
    let old = before.len().saturating_sub(plan.train.keep_checkpoints.max(1));
    let starts_epoch = |(step, path): &&(u64, PathBuf)| {
        *step <= newest && manifest(path).is_ok_and(|m| m.progress.step.is_multiple_of(m.progress.steps_per_epoch))
    };
    let returns: Vec<&PathBuf> = match plan.train.on_divergence {
        Policy::Rollback => {
            all.iter().rev().filter(starts_epoch).take(POINTS_OF_RETURN).map(|(_, path)| path).collect()
        }
        Policy::Stop | Policy::Skip => Vec::new(),
    };
    before[..old].iter().copied().filter(|path| Some(*path) != best && !returns.contains(path)).collect()
}

/// The step that a folder's name tells.
fn step_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("step-")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Checkpoint folders by step, oldest first.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let step = path.file_name().and_then(|name| name.to_str()).and_then(step_of);
        all.extend(step.map(|step| (step, path)));
    }
    all.sort();
    Ok(all)
}

/// Writes `folder/.writing`, whole and synced, which is to become `path`.
fn write(folder: &Path, path: &Path, files: &[(&str, Vec<u8>)], manifest: &Manifest) -> Result<(), Error> {
    let manifest = seal::seal(manifest);
    let files = || files.iter().map(|(name, bytes)| (*name, bytes)).chain([(MANIFEST, &manifest)]);
    let needed = files().map(|(_, bytes)| bytes.len() as u64).sum();
    if let Some(free) = machine::free_bytes(folder).filter(|&free| free < needed) {
        let problem = format!("a checkpoint takes {}, and {} are free", size(needed), size(free));
        return Err(not_written(path, io::Error::new(io::ErrorKind::StorageFull, problem)));
    }
    let writing = folder.join(WRITING);
    remove(folder, &writing)?;
    let written = || -> Result<(), (PathBuf, io::Error)> {
        fs::create_dir(&writing).map_err(|cause| (path.to_owned(), cause))?;
        for (name, bytes) in files() {
            write_synced(&writing.join(name), bytes).map_err(|cause| (path.join(name), cause))?;
        }
        atomic::sync_folder(&writing).map_err(|cause| (path.to_owned(), cause))
    };
    written().map_err(|(path, cause)| {
        // Half a checkpoint is of no use, and its space may be what is lacking.
        let _ = remove_for_good(&writing);
        not_written(&path, cause)
    })
}

fn not_written(path: &Path, cause: io::Error) -> Error {
    let hint = match is_out_of_space(&cause) {
        true => "the checkpoints before it are intact; make room, then give the same command again",
        false => "the checkpoints before it are intact; mend this, then give the same command again",
    };
    Error::Data(DataError::Io { path: path.to_owned(), cause, hint: Some(hint) })
}

/// Gives the checkpoint in `.writing`, which is whole, its name. What is in its place is damaged, or another course of the same
/// training; it goes only now that its successor is whole.
fn install(folder: &Path, path: &Path) -> Result<(), Error> {
    set_aside(folder, path)?;
    fs::rename(folder.join(WRITING), path).map_err(|e| Error::io(path, e))?;
    atomic::sync_folder(folder).map_err(|e| Error::io(folder, e))?;
    remove_for_good(&folder.join(REMOVING))
}

/// Takes `path` out of the list of checkpoints at once: removing a folder takes many steps.
fn set_aside(folder: &Path, path: &Path) -> Result<(), Error> {
    let removing = folder.join(REMOVING);
    remove_for_good(&removing)?;
    match fs::rename(path, &removing) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

fn remove(folder: &Path, path: &Path) -> Result<(), Error> {
    set_aside(folder, path)?;
    remove_for_good(&folder.join(REMOVING))
}

/// Removes a folder or a file, if it is there.
fn remove_for_good(path: &Path) -> Result<(), Error> {
    let removed = fs::symlink_metadata(path)
        .and_then(|found| if found.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) });
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}

/// Makes the folder of the checkpoints, not those around it: a run folder that is gone stays so.
fn make_folder(folder: &Path) -> Result<(), Error> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| atomic::sync_folder(atomic::folder_of(folder))).map_err(|e| Error::io(folder, e)),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
