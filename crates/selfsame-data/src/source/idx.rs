//! IDX files, the format of MNIST and its family: two zero bytes, the type (8: unsigned byte), the number of axes,
//! their lengths as big-endian 32-bit numbers, the data. Plain or gzip-compressed; the content tells, not the name.
//! Source: <https://yann.lecun.org/exdb/mnist/>.
//!
//! The path is an `…images-idx3…` file, or a folder that holds `train-images-idx3…`: a folder means its training part,
//! the test part is named as a file (`FOLDER/t10k-images-idx3-ubyte.gz`). Labels lie beside it in `…labels-idx1…`.

use super::array::Layout;
use super::rows::{ArrayFile, ArraySource, Storage, check_label_count, numbered_classes};
use super::unpack::{self, unpack};
use super::values::Depth;
use super::{IndexedSource, LabelSource, SourceEntry, bad_file, file_name, no_folder_labels, no_labels};
use crate::settings::DataRequest;
use flate2::bufread::MultiGzDecoder;
use selfsame_base::{DataError, files};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

pub const ENTRY: SourceEntry = SourceEntry {
    name: "idx",
    summary: "IDX files of the MNIST family, .gz or not: …images-idx3…, or a folder with train-images-idx3…",
    detect: |path| if path.is_dir() { !train_files(path).is_empty() } else { open_file(path).is_ok() },
    open,
};

fn open(request: &DataRequest, labels: LabelSource) -> Result<Box<dyn IndexedSource>, DataError> {
    let path = request.path.as_path();
    if labels == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let images = if path.is_dir() { train_file(path)? } else { path.to_owned() };
    let (shape, storage, offset) = open_file(&images)?.store(&images)?;
    let axes = match shape.len() {
        3 => "nhw",
        4 => "nhwc",
        _ => return Err(bad_file(&images, format!("expected images [n, height, width], found the shape {shape:?}"))),
    };
    let layout = Layout::new(&images, &shape, axes, None)?;
    let labels = if labels == LabelSource::None { Vec::new() } else { labels_beside(&images, layout.images, labels)? };
    let classes = numbered_classes(&labels);
    let files = vec![ArrayFile::new(&images, 0)];
    let notes = Vec::new();
    Ok(Box::new(ArraySource { files, layout, depth: Depth::U8, storage, offset, labels, classes, notes }))
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

fn labels_beside(images: &Path, count: usize, asked: LabelSource) -> Result<Vec<u32>, DataError> {
    let name = file_name(images);
    let labels_name = name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1");
    let plain = labels_name.strip_suffix(".gz").unwrap_or(&labels_name);
    let candidates = [images.with_file_name(plain), images.with_file_name(format!("{plain}.gz"))];
    let beside = candidates.iter().find(|candidate| candidate.as_path() != images && candidate.is_file());
    let Some(beside) = beside else {
        return if asked == LabelSource::File {
            Err(no_labels(images, &candidates[0].display().to_string()))
        } else {
            Ok(Vec::new())
        };
    };
    let reader = open_file(beside)?;
    let [labels] = reader.shape[..] else {
        return Err(bad_file(beside, format!("expected one axis of labels, found the shape {:?}", reader.shape)));
    };
    check_label_count(beside, labels, count)?;
    let (_, data) = reader.read(beside)?;
    Ok(data.into_iter().map(u32::from).collect())
}

/// An IDX file whose axes are read and whose data are not.
pub struct IdxReader<R> {
    shape: Vec<usize>,
    data: R,
}

/// A file's bytes as they are, or unpacked on the way.
enum Bytes {
    Plain(BufReader<File>),
    Packed(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Read for Bytes {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Packed(reader) => reader.read(buffer),
        }
    }
}

fn open_file(path: &Path) -> Result<IdxReader<Bytes>, DataError> {
    let file = files::open(path).map_err(|error| DataError::io(path, error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let start = reader.fill_buf().map_err(|error| DataError::io(path, error))?;
    let packed = start.starts_with(&[0x1f, 0x8b]);
    let data = if packed { Bytes::Packed(Box::new(MultiGzDecoder::new(reader))) } else { Bytes::Plain(reader) };
    IdxReader::new(path, data)
}

impl IdxReader<Bytes> {
    /// Shape, data, and where the data begin in their storage. A plain file stays where it is, a packed one is unpacked.
    fn store(self, path: &Path) -> Result<(Vec<usize>, Storage, usize), DataError> {
        let io = |error| DataError::io(path, error);
        let expected = self.expected(path)?;
        match self.data {
            Bytes::Plain(reader) => {
                let offset = 4 + 4 * self.shape.len();
                let file = reader.into_inner();
                let size = file.metadata().map_err(io)?.len();
                check_size(path, &self.shape, expected, size.saturating_sub(offset as u64))?;
                Ok((self.shape, Storage::File { file, path: path.to_owned() }, offset))
            }
            Bytes::Packed(mut reader) => {
                unpack::check_ratio(path, reader.get_ref().get_ref().metadata().map_err(io)?.len(), expected)?;
                Ok((self.shape, unpack(path, &mut reader, expected)?, 0))
            }
        }
    }
}

fn check_size(path: &Path, shape: &[usize], expected: u64, found: u64) -> Result<(), DataError> {
    if found == expected {
        return Ok(());
    }
    let found = if found > expected { "more".to_owned() } else { found.to_string() };
    let problem = format!("its header promises {expected} bytes (shape {shape:?}), the file holds {found}");
    Err(bad_file(path, problem))
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

    /// Bytes of data that the header promises.
    fn expected(&self, path: &Path) -> Result<u64, DataError> {
        let expected = self.shape.iter().try_fold(1u64, |count, &axis| count.checked_mul(axis as u64));
        let promised = || bad_file(path, format!("its header promises the shape {:?}", self.shape));
        expected.filter(|&count| count < u64::MAX).ok_or_else(promised)
    }

    /// Reads the data into memory, which takes no more than the header promises and the file holds.
    pub fn read(self, path: &Path) -> Result<(Vec<usize>, Vec<u8>), DataError> {
        let expected = self.expected(path)?;
        let mut data = Vec::new();
        let mut limited = self.data.take(expected + 1);
        limited.read_to_end(&mut data).map_err(|error| bad_file(path, format!("truncated or damaged: {error}")))?;
        check_size(path, &self.shape, expected, data.len() as u64)?;
        Ok((self.shape, data))
    }
}
