//! Whether the data of a run are still those that it began with.
//!
//! The plan's fingerprint tells, wherever the data lie. `data.bin` in the run folder, 32 bytes per sample, has besides what the
//! training has read so far: when that is replaced, it is noticed, and what has changed is said in numbers. Nothing else depends
//! on it.

use crate::error::Error;
use crate::plan::Plan;
use selfsame_base::DataError;
use selfsame_data::dataset::Dataset;
use selfsame_data::record::DataRecord;
use selfsame_data::settings::OnDataChange;
use std::path::{Path, PathBuf};

/// File of the run folder.
pub(crate) const RECORD: &str = "data.bin";

/// Keeps the record of a run's data as its training reads them.
pub(crate) struct DataWatch {
    path: PathBuf,
    fingerprint: String,
    /// How many contents the file holds; `None` where it is missing, or its times are those of another copy.
    kept: Option<usize>,
}

impl DataWatch {
    /// Compares the data with those that `plan` was made for, and takes up the record in the folder `run`. The inner error is what is
    /// to be told where the training may go on with others.
    ///
    /// # Errors
    /// If they have changed and may not have, or are gone.
    pub fn open(run: &Path, plan: &Plan, dataset: &Dataset) -> Result<Result<Self, String>, Error> {
        let (path, fingerprint) = (run.join(RECORD), plan.data.fingerprint.clone());
        let then = DataRecord::read(&path).filter(|then| then.fingerprint() == fingerprint);
        let changes = then.as_ref().map(|then| dataset.changes(then)).transpose()?;
        let numbers = match changes {
            Some(changes) if changes.any() => Some(changes.to_string()),
            _ if dataset.fingerprint()? == fingerprint => None,
            Some(_) => Some("samples were replaced that the training has not read yet".into()),
            None => Some("samples were added, removed or replaced".into()),
        };
        if let Some(numbers) = numbers {
            let what = format!("{}: not the data that the run began with: {numbers}", dataset.path().display());
            return match plan.data.on_data_change {
                OnDataChange::Warn => Ok(Err(what)),
                OnDataChange::Refuse => Err(Error::setting(
                    "data.path",
                    format!(
                        "{what}; put them back, start a new run with out=…, or go on with what is there by data.on_data_change=warn"
                    ),
                )),
            };
        }
        dataset.remember(then.as_ref());
        let same = then.is_some_and(|then| then == dataset.to_record(&fingerprint));
        Ok(Ok(Self { path, fingerprint, kept: same.then(|| dataset.remembered()) }))
    }

    /// Writes the record if the training has read what is not in it.
    ///
    /// # Errors
    /// The system's. The training does not depend on it.
    pub fn keep(&mut self, dataset: &Dataset) -> Result<(), DataError> {
        let known = Some(dataset.remembered());
        if self.kept != known {
            dataset.to_record(&self.fingerprint).write(&self.path)?;
            self.kept = known;
        }
        Ok(())
    }
}
