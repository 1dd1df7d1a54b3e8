//! Errors of the training side. What a user can fix says how.

use selfsame_base::DataError;
use std::path::{Path, PathBuf};

/// What can go wrong between a plan and a trained encoder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bad data or settings.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The run folder cannot take this run.
    #[error("{}: {problem}", run.display())]
    Run {
        /// The run folder.
        run: PathBuf,
        /// What is wrong and what would work.
        problem: String,
    },
    /// The run folder is no longer where it was when the training began.
    #[error("{}: was removed, renamed or replaced while it was trained in, so the training has ended; if it was renamed, its training goes on under the new name", run.display())]
    Vanished {
        /// Where it was.
        run: PathBuf,
    },
    /// Another process writes into the run folder.
    #[error("{}: another process is training in this folder; wait for it, or choose another out=…", run.display())]
    InUse {
        /// The run folder.
        run: PathBuf,
    },
    /// A run has checkpoints, and none that can be used.
    #[error("{}: {problem}", folder.display())]
    NoCheckpoint {
        /// The folder of the checkpoints.
        folder: PathBuf,
        /// What is wrong and what would work.
        problem: String,
    },
    /// A step could not be used, and the plan says to stop, or no longer not to.
    #[error(
        "{reason} at step {step} (lr {lr:.3e}; {terms}); last good checkpoint: {checkpoint}; in a new run, lower optimizer.base_lr, lengthen optimizer.warmup_epochs, or let training cope: train.on_divergence=rollback"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// What was wrong with it.
        reason: String,
        /// Learning rate of the step.
        lr: f64,
        /// The named terms, `name value, …`.
        terms: String,
        /// Path of the last checkpoint, or `none`.
        checkpoint: String,
    },
    /// The weights stopped being numbers.
    #[error(
        "{name} is not finite (NaN or infinity) after step {step}, which is not saved; last good checkpoint: {checkpoint}; lower optimizer.base_lr or lengthen optimizer.warmup_epochs"
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// The first of the weights that are not.
        name: String,
        /// Path of the last checkpoint, or `none`.
        checkpoint: String,
    },
    /// The device cannot be had, or not as the environment asks for it.
    #[error("{0}")]
    Device(String),
}

impl Error {
    /// A bad setting.
    pub fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Data(DataError::setting(key, problem))
    }

    /// A run folder that cannot serve.
    pub fn run(run: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Run { run: run.into(), problem: problem.into() }
    }

    /// A failed read or write.
    pub fn io(path: &Path, cause: std::io::Error) -> Self {
        Self::Data(DataError::io(path, cause))
    }
}
