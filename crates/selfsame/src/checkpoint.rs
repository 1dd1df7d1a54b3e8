//! Checkpoints: written under another name, hashed, synced, then renamed. A reader sees a whole checkpoint or none.

use crate::error::Error;
use crate::plan::{Plan, another_plan};
use crate::tensor::parameters::{Array, from_safetensors, to_safetensors};
use selfsame_base::{DataError, atomic};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Everything that a run needs to go on as if it had never stopped. Random streams are keyed by step, so the step is
/// all there is to say about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// The method's tensors.
    pub model: BTreeMap<String, Array>,
    /// The optimizer's tensors.
    pub optimizer: BTreeMap<String, Array>,
}

/// `state.json`: what the folder holds, and the hashes that say whether it still does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    step: u64,
    /// The part of the plan that results depend on, so that a user who edited the plan is told what was changed.
    plan: toml::Table,
    model_blake3: String,
    optimizer_blake3: String,
}

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// Writes `checkpoint` into `folder/step-00000000` and removes all but the newest that the plan keeps.
pub fn save(folder: &Path, checkpoint: &Checkpoint, plan: &Plan) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join(format!("step-{:08}", checkpoint.step));
    let temporary = folder.join(".writing");
    remove_folder(&temporary)?; // what a killed process may have left
    fs::create_dir(&temporary).map_err(|e| Error::io(&temporary, e))?;
    let (model, optimizer) = (to_safetensors(&checkpoint.model), to_safetensors(&checkpoint.optimizer));
    let state = State {
        step: checkpoint.step,
        plan: plan.identity(),
        model_blake3: blake3::hash(&model).to_string(),
        optimizer_blake3: blake3::hash(&optimizer).to_string(),
    };
    let state = serde_json::to_vec_pretty(&state).expect("strings and numbers serialize");
    for (name, bytes) in [(MODEL, &model), (OPTIMIZER, &optimizer), (STATE, &state)] {
        if let Err(cause) = write_synced(&temporary.join(name), bytes) {
            // Half a checkpoint is of no use, and its space may be what is lacking.
            let _ = remove_folder(&temporary);
            let hint = Some("the checkpoints before it are intact; make room, then go on with: selfsame pretrain RUN");
            return Err(Error::Data(DataError::Io { path: path.join(name), cause, hint }));
        }
    }
    remove_folder(&path)?;
    fs::rename(&temporary, &path).map_err(|e| Error::io(&path, e))?;
    atomic::sync_folder(folder).map_err(|e| Error::io(folder, e))?;
    let all = list(folder)?;
    for old in &all[..all.len().saturating_sub(plan.train.keep_checkpoints.max(1))] {
        remove_folder(old)?;
    }
    Ok(path)
}

/// The newest checkpoint in `folder` whose files match their hashes; problems of the others go to `warn`.
///
/// # Errors
/// If it is another plan's, with what was changed; or if there are checkpoints and none is intact.
pub fn load_newest(folder: &Path, plan: &Plan, mut warn: impl FnMut(String)) -> Result<Option<Checkpoint>, Error> {
    let all = list(folder)?;
    for path in all.iter().rev() {
        match load(path) {
            Ok((checkpoint, identity)) => {
                let differences = plan.differences(&identity);
                if differences.is_empty() {
                    return Ok(Some(checkpoint));
                }
                return Err(Error::run(&plan.out, another_plan(&differences)));
            }
            Err(problem) => {
                warn(format!("checkpoint {} cannot be used: {problem}; trying the one before", path.display()));
            }
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    Err(Error::run(
        folder,
        "no checkpoint is intact; nothing was changed here, start anew in another folder with out=…",
    ))
}

/// A checkpoint, and the identity of its plan.
fn load(path: &Path) -> Result<(Checkpoint, toml::Table), String> {
    let read = |name| fs::read(path.join(name)).map_err(|e| format!("{name}: {e}"));
    let state: State = serde_json::from_slice(&read(STATE)?).map_err(|e| format!("{STATE}: {e}"))?;
    let arrays = |name, hash: &str| {
        let bytes = read(name)?;
        if blake3::hash(&bytes).to_string() != hash {
            return Err(format!("{name} does not match its hash"));
        }
        from_safetensors(&bytes).map_err(|e| format!("{name}: {e}"))
    };
    let checkpoint = Checkpoint {
        step: state.step,
        model: arrays(MODEL, &state.model_blake3)?,
        optimizer: arrays(OPTIMIZER, &state.optimizer_blake3)?,
    };
    Ok((checkpoint, state.plan))
}

/// Path of the newest checkpoint.
pub fn newest(folder: &Path) -> Result<Option<PathBuf>, Error> {
    Ok(list(folder)?.pop())
}

/// Checkpoint folders, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(folder, e)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("step-")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
