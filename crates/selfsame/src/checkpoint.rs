//! Checkpoints: written beside, synced, hashed, renamed. A reader sees a whole one or none.

use crate::error::Error;
use crate::tensor::parameters::{Array, from_safetensors, to_safetensors};
use selfsame_data::DataError;
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
    /// The optimiser's tensors.
    pub optimiser: BTreeMap<String, Array>,
}

/// `state.json`: what the folder holds, and the hashes that say whether it still does.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    step: u64,
    plan: String,
    model_blake3: String,
    optimiser_blake3: String,
}

const MODEL: &str = "model.safetensors";
const OPTIMISER: &str = "optimiser.safetensors";
const STATE: &str = "state.json";

/// Writes `checkpoint` into `folder/step-00000000` and removes all but the newest `keep`.
pub fn save(folder: &Path, checkpoint: &Checkpoint, plan: &str, keep: usize) -> Result<PathBuf, Error> {
    fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let path = folder.join(format!("step-{:08}", checkpoint.step));
    let temporary = folder.join(".writing");
    remove_folder(&temporary)?; // what a killed process may have left
    fs::create_dir(&temporary).map_err(|e| Error::io(&temporary, e))?;
    let (model, optimiser) = (to_safetensors(&checkpoint.model), to_safetensors(&checkpoint.optimiser));
    let state = State {
        step: checkpoint.step,
        plan: plan.to_owned(),
        model_blake3: blake3::hash(&model).to_string(),
        optimiser_blake3: blake3::hash(&optimiser).to_string(),
    };
    let state = serde_json::to_vec_pretty(&state).expect("strings and numbers serialise");
    for (name, bytes) in [(MODEL, &model), (OPTIMISER, &optimiser), (STATE, &state)] {
        if let Err(cause) = write_synced(&temporary.join(name), bytes) {
            // Half a checkpoint is of no use, and its space may be what is lacking.
            let _ = remove_folder(&temporary);
            let hint = Some("the checkpoints before it are intact; make room, then go on with: selfsame pretrain RUN");
            return Err(Error::Data(DataError::Io { path: path.join(name), cause, hint }));
        }
    }
    remove_folder(&path)?;
    fs::rename(&temporary, &path).map_err(|e| Error::io(&path, e))?;
    sync_folder(folder)?;
    let all = list(folder)?;
    for old in &all[..all.len().saturating_sub(keep.max(1))] {
        remove_folder(old)?;
    }
    Ok(path)
}

/// The newest checkpoint in `folder` whose files are what their hashes say; the others' faults go to `warn`.
pub fn load_newest(folder: &Path, plan: &str, mut warn: impl FnMut(String)) -> Result<Option<Checkpoint>, Error> {
    let all = list(folder)?;
    for path in all.iter().rev() {
        match load(path, plan) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(problem) => {
                warn(format!("checkpoint {} cannot be used: {problem}; trying the one before", path.display()));
            }
        }
    }
    if all.is_empty() {
        return Ok(None);
    }
    Err(Error::run(folder, "no checkpoint is intact; remove the run folder to start again"))
}

fn load(path: &Path, plan: &str) -> Result<Checkpoint, String> {
    let read = |name| fs::read(path.join(name)).map_err(|e| format!("{name}: {e}"));
    let state: State = serde_json::from_slice(&read(STATE)?).map_err(|e| format!("{STATE}: {e}"))?;
    if state.plan != plan {
        return Err("it is another plan's".into());
    }
    let arrays = |name, hash: &str| {
        let bytes = read(name)?;
        if blake3::hash(&bytes).to_string() != hash {
            return Err(format!("{name} does not match its hash"));
        }
        from_safetensors(&bytes).map_err(|e| format!("{name}: {e}"))
    };
    Ok(Checkpoint {
        step: state.step,
        model: arrays(MODEL, &state.model_blake3)?,
        optimiser: arrays(OPTIMISER, &state.optimiser_blake3)?,
    })
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

fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io(folder, e))
}
