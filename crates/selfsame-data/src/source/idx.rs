//! IDX files, the format of MNIST and its family: two zero bytes, the type (8: unsigned byte), the number of axes,
//! their lengths as big-endian 32-bit numbers, the data. Plain or gzip-compressed; the content tells, not the name.
//! Source: <https://yann.lecun.org/exdb/mnist/>.
//!
//! The path is an `…images-idx3…` file, or a folder that holds `train-images-idx3…`: a folder means its training part,
//! the test part is named as a file (`FOLDER/t10k-images-idx3-ubyte.gz`). Labels lie beside it in `…labels-idx1…`.

use super::array::{Depth, Rows, Storage, check_label_count, image_shape, no_labels, numbered_classes};
use super::{IndexedSource, Labels, SourceEntry, bad_file, file_name, no_folder_labels};
use crate::DataError;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub const ENTRY: SourceEntry = SourceEntry {
    name: "idx",
    summary: "IDX files of the MNIST family, .gz or not: …images-idx3…, or a folder with train-images-idx3…",
    detect: |path| if path.is_dir() { !train_files(path).is_empty() } else { open_file(path).is_ok() },
    open,
};

fn open(path: &Path, labels: Labels) -> Result<Box<dyn IndexedSource>, DataError> {
    if labels == Labels::Folder {
        return Err(no_folder_labels(path));
    }
    let images = if path.is_dir() { train_file(path)? } else { path.to_owned() };
    let (shape, data) = open_file(&images)?.read(&images)?;
    let shape = image_shape(&images, &shape)?;
    let labels = if labels == Labels::None { Vec::new() } else { labels_beside(&images, shape[0], labels)? };
    let classes = numbered_classes(&labels);
    let storage = Storage::Owned(data);
    let files = vec![(file_name(&images), 0)];
    Ok(Box::new(Rows { files, shape, depth: Depth::U8, storage, offset: 0, labels, classes }))
}

/// The training images among a folder's files, sorted by name.
fn train_files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| ["train", "images", "idx"].iter().all(|part| file_name(path).contains(part)))
        .collect();
    found.sort();
    found
}

fn train_file(folder: &Path) -> Result<PathBuf, DataError> {
    let mut found = train_files(folder);
    // A file that lies there packed and unpacked is one file.
    found.dedup_by(|packed, plain| packed.with_extension("") == *plain);
    match found.as_slice() {
        [file] => Ok(file.clone()),
        [] => Err(bad_file(folder, "expected IDX files named train-images-idx3-ubyte or …ubyte.gz, found none")),
        several => {
            let names: Vec<_> = several.iter().map(|path| file_name(path)).collect();
            Err(bad_file(folder, format!("several files could be meant; name one of {}", names.join(", "))))
        }
    }
}

fn labels_beside(images: &Path, count: usize, asked: Labels) -> Result<Vec<u32>, DataError> {
    let name = file_name(images);
    let labels_name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = labels_name.strip_suffix(".gz").unwrap_or(&labels_name);
    let candidates = [images.with_file_name(plain), images.with_file_name(format!("{plain}.gz"))];
    let beside = candidates.iter().find(|candidate| candidate.as_path() != images && candidate.is_file());
    let Some(beside) = beside else {
        return if asked == Labels::File {
            Err(no_labels(images, &candidates[0].display().to_string()))
        } else {
            Ok(Vec::new())
        };
    };
    let (shape, data) = open_file(beside)?.read(beside)?;
    if shape.len() != 1 {
        return Err(bad_file(beside, format!("expected one axis of labels, found the shape {shape:?}")));
    }
    check_label_count(beside, data.len(), count)?;
    Ok(data.into_iter().map(u32::from).collect())
}

/// An IDX file whose axes are read and whose data are not.
pub struct IdxReader<R> {
    shape: Vec<usize>,
    data: R,
}

fn open_file(path: &Path) -> Result<IdxReader<Box<dyn Read>>, DataError> {
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let start = reader.fill_buf().map_err(|error| DataError::io(path, error))?;
    let data: Box<dyn Read> =
        if start.starts_with(&[0x1f, 0x8b]) { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
    IdxReader::new(path, data)
}

impl<R: Read> IdxReader<R> {
    /// Reads the header.
    pub fn new(path: &Path, mut data: R) -> Result<Self, DataError> {
        let mut word = || -> Result<[u8; 4], DataError> {
            let mut bytes = [0; 4];
            data.read_exact(&mut bytes).map_err(|error| bad_file(path, format!("no IDX header: {error}")))?;
            Ok(bytes)
        };
        let [0, 0, kind, axes] = word()? else {
            return Err(bad_file(path, "not an IDX file: it does not start with two zero bytes"));
        };
        if kind != 8 || !(1..=4).contains(&axes) {
            let problem = format!("expected unsigned bytes (type 8) with 1 to 4 axes, found type {kind} with {axes}");
            return Err(bad_file(path, problem));
        }
        let shape = (0..axes).map(|_| Ok(u32::from_be_bytes(word()?) as usize)).collect::<Result<_, DataError>>()?;
        Ok(Self { shape, data })
    }

    /// Reads the data; takes no more memory than the header promises and the file holds.
    pub fn read(self, path: &Path) -> Result<(Vec<usize>, Vec<u8>), DataError> {
        let expected = self.shape.iter().try_fold(1u64, |count, &axis| count.checked_mul(axis as u64));
        let Some(expected) = expected.filter(|&count| count < 1 << 48) else {
            return Err(bad_file(path, format!("its header promises the shape {:?}", self.shape)));
        };
        let mut data = Vec::with_capacity(expected.min(1 << 26) as usize);
        let mut limited = self.data.take(expected + 1);
        limited.read_to_end(&mut data).map_err(|error| bad_file(path, format!("truncated or damaged: {error}")))?;
        if data.len() as u64 != expected {
            let found = if data.len() as u64 > expected { "more".to_owned() } else { data.len().to_string() };
            let problem =
                format!("its header promises {expected} bytes (shape {:?}), the file holds {found}", self.shape);
            return Err(bad_file(path, problem));
        }
        Ok((self.shape, data))
    }
}
