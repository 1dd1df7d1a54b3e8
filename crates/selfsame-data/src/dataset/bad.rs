//! Samples that cannot be read.

use super::Dataset;
use crate::threads;
use rayon::prelude::*;
use selfsame_base::DataError;
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

/// A file that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// The sample's id: its path within the data.
    pub id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Dataset {
    /// The samples that could not be read so far, in index order, each once.
    pub fn bad_files(&self) -> Vec<BadFile> {
        let bad = self.lock_bad();
        bad.iter().map(|(&index, reason)| BadFile { id: self.id(index), reason: reason.clone() }).collect()
    }

    /// An error if more than `data.max_bad_share` of all samples could not be read.
    pub fn check_bad_share(&self) -> Result<(), DataError> {
        let bad = self.lock_bad();
        let Some((&index, reason)) = bad.first_key_value() else { return Ok(()) };
        let (count, len) = (bad.len(), self.len());
        if count as f64 <= self.max_bad_share * len as f64 {
            return Ok(());
        }
        Err(DataError::TooManyBad(format!(
            "at least {count} of {len} samples cannot be read, more than data.max_bad_share = {} allows; the first, {}: \
             {reason}",
            self.max_bad_share,
            self.id(index)
        )))
    }

    /// What a person should know of samples that could not be read so far: how many, and the first of them, in one line.
    pub fn skipped(&self) -> Option<String> {
        let bad = self.lock_bad();
        let (&index, reason) = bad.first_key_value()?;
        let (count, len) = (bad.len(), self.len());
        let first = if count == 1 { "" } else { "the first, " };
        let lost = match &self.lost_classes(&bad)[..] {
            [] => String::new(),
            lost => format!("; none is left of class {}", lost.join(", ")),
        };
        Some(format!(
            "{count} of {len} samples cannot be read and are left out: {first}{}: {reason}{lost}",
            self.id(index)
        ))
    }

    /// Classes of which every sample is among `bad`.
    fn lost_classes(&self, bad: &BTreeMap<usize, String>) -> Vec<&str> {
        let mut left = vec![0i64; self.classes().len()];
        let class = |index| self.label(index).map(|label| label as usize);
        (0..self.len()).filter_map(class).for_each(|class| left[class] += 1);
        let has_samples: Vec<bool> = left.iter().map(|&count| count > 0).collect();
        bad.keys().filter_map(|&index| class(index)).for_each(|class| left[class] -= 1);
        let lost = (0..left.len()).filter(|&class| has_samples[class] && left[class] == 0);
        lost.map(|class| self.classes()[class].as_str()).collect()
    }

    /// What `read` tells of the samples at these places; those that cannot be read are counted, and nothing is told of them.
    ///
    /// # Errors
    /// If none can be read, `noun` being what they are, or no sample can be for now.
    pub(super) fn look_at<T: Send>(
        &self,
        places: &[usize],
        noun: &str,
        read: impl Fn(usize) -> Result<T, DataError> + Sync,
    ) -> Result<Vec<Option<T>>, DataError> {
        let look = |&index: &usize| match read(index) {
            Ok(told) => Ok(Some(told)),
            Err(error @ DataError::Sample { .. }) => {
                self.count_bad(index, &error);
                Ok(None)
            }
            Err(error) => Err(error),
        };
        let told: Vec<Option<T>> =
            threads::pool(0)?.install(|| places.par_iter().map(look).collect::<Result<_, DataError>>())?;
        if told.iter().any(Option::is_some) {
            return Ok(told);
        }
        let (index, reason) = self.lock_bad().first_key_value().map(|(&i, r)| (i, r.clone())).expect("all failed");
        Err(DataError::Data(format!(
            "{}: no {noun} can be decoded: {} of {} were tried; the first, {}: {reason}",
            self.path.display(),
            places.len(),
            self.len(),
            self.id(index)
        )))
    }

    pub(super) fn count_bad(&self, index: usize, error: &DataError) {
        if let DataError::Sample { problem, .. } = error {
            self.lock_bad().insert(index, problem.clone());
        }
    }

    pub(super) fn lock_bad(&self) -> MutexGuard<'_, BTreeMap<usize, String>> {
        // The map is whole after every insertion, so a panic elsewhere does not spoil it.
        self.bad.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
