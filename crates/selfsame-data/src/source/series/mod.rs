//! Series in memory: what the sources of text end in.

pub mod stamps;
mod ts;

pub use ts::ENTRY;

use super::{Encoded, IndexedSource, Stat, bad_file, file_name, modified_ns};
use crate::image::{Image, Pixels};
use crate::modality::{Column, Modality};
use crate::signal::{Missing, mend};
use selfsame_base::DataError;
use std::path::Path;

/// Series of one number of channels and any lengths.
pub struct Series {
    name: String,
    modified_ns: i64,
    channels: usize,
    /// Each `[time, channels]`.
    samples: Vec<Vec<f32>>,
    /// Steps of the shortest and of the longest.
    lengths: [usize; 2],
    /// What samples are called within the file; their numbers, unless it names them.
    pub names: Vec<String>,
    /// What the channels are called, if they have names.
    pub columns: Vec<Column>,
    /// One per sample, or none at all.
    pub labels: Vec<u32>,
    pub classes: Vec<String>,
    pub notes: Vec<String>,
}

impl Series {
    /// These `samples` of the file at `path`, each `[time, channels]`, in which NaN is what is missing. `place` says where a person finds
    /// a sample.
    ///
    /// # Errors
    /// If there are none, or the gaps of one cannot be filled.
    pub fn new(
        path: &Path,
        mut samples: Vec<Vec<f32>>,
        channels: usize,
        missing: Missing,
        place: impl Fn(usize) -> String,
    ) -> Result<Self, DataError> {
        let most = Modality::Signal.most_channels();
        if !(1..=most).contains(&channels) {
            return Err(bad_file(path, format!("has {channels} channels, expected 1 to {most}")));
        }
        let (mut gaps, mut with_gaps) = (0, 0);
        for (index, sample) in samples.iter_mut().enumerate() {
            let found = mend(sample, channels, missing)
                .map_err(|problem| bad_file(path, format!("{} {problem}", place(index))))?;
            gaps += found;
            with_gaps += usize::from(found > 0);
        }
        let lengths = samples.iter().map(|sample| sample.len() / channels);
        let (Some(shortest), Some(longest)) = (lengths.clone().min(), lengths.max()) else {
            return Err(bad_file(path, "holds no series"));
        };
        let len = samples.len();
        let mut notes = Vec::new();
        if gaps > 0 {
            notes.push(format!(
                "{}: {gaps} values are missing, in {with_gaps} of {len} samples: they lie on the line between their neighbors in time; data.missing = \"refuse\" refuses them",
                path.display()
            ));
        }
        if shortest < longest {
            notes.push(format!("{}: samples have {shortest} to {longest} steps", path.display()));
        }
        let modified_ns = std::fs::metadata(path).map_or(0, |found| modified_ns(&found));
        Ok(Self {
            name: file_name(path),
            modified_ns,
            channels,
            lengths: [shortest, longest],
            names: Vec::new(),
            columns: Vec::new(),
            labels: Vec::new(),
            classes: Vec::new(),
            notes,
            samples,
        })
    }
}

impl IndexedSource for Series {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let values = self.samples[index].clone();
        Ok(Encoded::Image(Image::new(1, values.len() / self.channels, self.channels, Pixels::F32(values))))
    }

    fn stat(&self, index: usize) -> Stat {
        Stat { size_bytes: 4 * self.samples[index].len() as u64, modified_ns: self.modified_ns }
    }

    fn id(&self, index: usize) -> String {
        match self.names.get(index) {
            Some(name) => format!("{}[{name}]", self.name),
            None => format!("{}[{index}]", self.name),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        Some([1, self.lengths[1], self.channels])
    }

    fn is_uniform(&self) -> bool {
        self.lengths[0] == self.lengths[1]
    }

    fn modality(&self) -> Modality {
        Modality::Signal
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests;
