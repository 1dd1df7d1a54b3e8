//! Images of one shape, row after row: the form in which every array-like source ends. Rows are read where they lie.

use super::array::Layout;
use super::values::Depth;
use super::{Encoded, IndexedSource, Stat, bad_file, failure, file_name, modified_ns};
use crate::image::{Image, Pixels};
use crate::modality::Modality;
use selfsame_base::{DataError, files};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where the bytes of an array are.
pub enum Storage {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file, read row by row: memory does not grow with the data, and a file that is cut short is an error of the rows
    /// that are gone.
    File { file: File, path: PathBuf },
}

impl Storage {
    pub fn read(&self, start: usize, len: usize) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(bytes[start..start + len].to_vec()),
            Self::File { file, .. } => {
                let mut bytes = vec![0; len];
                files::read_exact_at(file, &mut bytes, start as u64)?;
                Ok(bytes)
            }
        }
    }
}

/// A file that rows of an array come from.
pub struct ArrayFile {
    pub name: String,
    /// Index of its first row.
    pub first: usize,
    pub modified_ns: i64,
}

impl ArrayFile {
    /// The file at `path`, whose first row has the index `first`.
    pub fn new(path: &Path, first: usize) -> Self {
        let modified_ns = std::fs::metadata(path).map_or(0, |found| modified_ns(&found));
        Self { name: file_name(path), first, modified_ns }
    }
}

/// Images of one shape, row after row.
pub struct ArraySource {
    /// In the order of their rows.
    pub files: Vec<ArrayFile>,
    pub layout: Layout,
    pub depth: Depth,
    /// Holds the rows from `offset` on.
    pub storage: Storage,
    pub offset: usize,
    /// One per row, or none at all.
    pub labels: Vec<u32>,
    pub classes: Vec<String>,
    pub notes: Vec<String>,
}

impl ArraySource {
    fn row_bytes(&self) -> usize {
        self.layout.row() * self.depth.size_bytes()
    }

    fn file(&self, index: usize) -> &ArrayFile {
        &self.files[self.files.partition_point(|file| file.first <= index) - 1]
    }
}

impl IndexedSource for ArraySource {
    fn len(&self) -> usize {
        self.layout.images
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let Layout { height, width, channels, planar, .. } = self.layout;
        let read = self.storage.read(self.offset + index * self.row_bytes(), self.row_bytes());
        let row = read.map_err(|cause| match (&self.storage, cause.kind()) {
            (_, ErrorKind::UnexpectedEof) => {
                DataError::sample(self.id(index), "the file ends before: it was cut short")
            }
            (Storage::File { path, .. }, _) => failure(path, self.id(index), cause),
            (Storage::Memory(_), _) => unreachable!("memory is read without fail"),
        })?;
        let mut pixels = self.depth.pixels(row);
        if planar && channels > 1 {
            pixels = match pixels {
                Pixels::U8(values) => Pixels::U8(interleaved(&values, channels)),
                Pixels::U16(values) => Pixels::U16(interleaved(&values, channels)),
                Pixels::F32(values) => Pixels::F32(interleaved(&values, channels)),
            };
        }
        Ok(Encoded::Image(Image::new(height, width, channels, pixels)))
    }

    fn id(&self, index: usize) -> String {
        let ArrayFile { name, first, .. } = self.file(index);
        format!("{name}[{}]", index - first)
    }

    fn stat(&self, index: usize) -> Stat {
        Stat { size_bytes: self.row_bytes() as u64, modified_ns: self.file(index).modified_ns }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        let Layout { height, width, channels, .. } = self.layout;
        Some([height, width, channels])
    }

    fn modality(&self) -> Modality {
        self.layout.modality
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// `[channels, height, width]` → `[height, width, channels]`.
fn interleaved<T: Copy>(planes: &[T], channels: usize) -> Vec<T> {
    let plane = planes.len() / channels;
    (0..plane).flat_map(|pixel| (0..channels).map(move |channel| planes[channel * plane + pixel])).collect()
}

/// Names of the classes `0..=max`, for labels without names.
pub fn numbered_classes(labels: &[u32]) -> Vec<String> {
    labels.iter().max().map_or_else(Vec::new, |&max| (0..=max).map(|class| class.to_string()).collect())
}

/// Checks that there is one label per image.
pub fn check_label_count(path: &Path, labels: usize, images: usize) -> Result<(), DataError> {
    if labels == images {
        return Ok(());
    }
    let problem = format!("holds {labels} labels for {images} images; data.labels = \"none\" ignores it");
    Err(bad_file(path, problem))
}
