//! Arrays of images: `.npy` and `.npz`, `[n, height, width, channels]` or `[n, height, width]`, unsigned 8 or 16 bits or
//! `f32`, 1 to 16 channels. Rows are read where they lie; packed ones are unpacked first (see [`unpack`]).
//!
//! Labels: beside `NAME.npy` in `NAME_labels.npy` or `labels.npy`; within `.npz` the array `y` or `labels`, the images
//! being `x`, `images` or `data`.

use super::unpack::{self, unpack};
use super::{
    Encoded, IndexedSource, LabelSource, SourceEntry, Stat, bad_file, failure, file_name, modified_ns, no_folder_labels,
};
use crate::image::{Image, Pixels};
use selfsame_base::npy::NpyHeader;
use selfsame_base::{DataError, files};
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use zip::{CompressionMethod, ZipArchive};

pub const ENTRY: SourceEntry = SourceEntry {
    name: "array",
    summary: ".npy or .npz: [n, height, width(, channels)], u8, u16 or f32; labels in NAME_labels.npy, labels.npy or y",
    detect: |path| path.is_file() && (has_extension(path, "npy") || has_extension(path, "npz")),
    open,
};

/// Names under which an archive holds its images and its labels.
const IMAGE_KEYS: [&str; 3] = ["x", "images", "data"];
const LABEL_KEYS: [&str; 2] = ["y", "labels"];

/// Classes are numbered from 0; more than this is a column of something else.
const MAX_CLASSES: u64 = 1 << 16;

/// Most channels of a pixel.
const MAX_CHANNELS: usize = 16;

/// Type of the values, and the order of their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    U8,
    U16 { big_endian: bool },
    F32 { big_endian: bool },
}

impl Depth {
    pub fn size_bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 { .. } => 2,
            Self::F32 { .. } => 4,
        }
    }
}

/// Where the bytes of an array are.
pub enum Storage {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file, read row by row: memory does not grow with the data, and a file that is cut short is an error of the rows
    /// that are gone.
    File { file: File, path: PathBuf },
}

impl Storage {
    fn read(&self, start: usize, len: usize) -> std::io::Result<Vec<u8>> {
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

/// Images of one shape, row after row: the form in which every array-like source ends.
pub struct ArraySource {
    /// In the order of their rows.
    pub files: Vec<ArrayFile>,
    /// `[n, height, width, channels]`.
    pub shape: [usize; 4],
    pub depth: Depth,
    /// Holds the rows from `offset` on.
    pub storage: Storage,
    pub offset: usize,
    /// One per row, or none at all.
    pub labels: Vec<u32>,
    pub classes: Vec<String>,
}

impl ArraySource {
    fn row_bytes(&self) -> usize {
        self.shape[1..].iter().product::<usize>() * self.depth.size_bytes()
    }

    fn file(&self, index: usize) -> &ArrayFile {
        &self.files[self.files.partition_point(|file| file.first <= index) - 1]
    }
}

impl IndexedSource for ArraySource {
    fn len(&self) -> usize {
        self.shape[0]
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let [_, height, width, channels] = self.shape;
        let read = self.storage.read(self.offset + index * self.row_bytes(), self.row_bytes());
        let row = read.map_err(|cause| match (&self.storage, cause.kind()) {
            (_, ErrorKind::UnexpectedEof) => {
                DataError::sample(self.id(index), "the file ends before: it was cut short")
            }
            (Storage::File { path, .. }, _) => failure(path, self.id(index), cause),
            (Storage::Memory(_), _) => unreachable!("memory is read without fail"),
        })?;
        let (pairs, quads) = (|| row.as_chunks().0.iter().copied(), || row.as_chunks().0.iter().copied());
        let pixels = match self.depth {
            Depth::U8 => Pixels::U8(row),
            Depth::U16 { big_endian: false } => Pixels::U16(pairs().map(u16::from_le_bytes).collect()),
            Depth::U16 { big_endian: true } => Pixels::U16(pairs().map(u16::from_be_bytes).collect()),
            Depth::F32 { big_endian: false } => Pixels::F32(quads().map(f32::from_le_bytes).collect()),
            Depth::F32 { big_endian: true } => Pixels::F32(quads().map(f32::from_be_bytes).collect()),
        };
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
        let [_, height, width, channels] = self.shape;
        Some([height, width, channels])
    }
}

/// `[n, height, width, channels]` of an image array of that shape.
pub fn image_shape(path: &Path, shape: &[usize]) -> Result<[usize; 4], DataError> {
    let shape4 = match *shape {
        [n, height, width] => [n, height, width, 1],
        [n, height, width, channels] => [n, height, width, channels],
        _ => {
            let problem =
                format!("expected an array [n, height, width] or [n, height, width, channels], found {shape:?}");
            return Err(bad_file(path, problem));
        }
    };
    let [n, height, width, channels] = shape4;
    if n == 0 || height == 0 || width == 0 {
        return Err(bad_file(path, format!("holds no images: its shape is {shape:?}")));
    }
    if channels == 0 || channels > MAX_CHANNELS {
        let hint = if height <= MAX_CHANNELS {
            "; it looks like [n, channels, height, width]: move the channels last"
        } else {
            ""
        };
        return Err(bad_file(
            path,
            format!("expected 1 to {MAX_CHANNELS} channels last, found the shape {shape:?}{hint}"),
        ));
    }
    Ok(shape4)
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

/// The error for labels that are asked for and not there.
pub fn no_labels(path: &Path, expected: &str) -> DataError {
    DataError::setting("data.labels", format!("{} has no labels: {expected} is not there", path.display()))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}

fn open(path: &Path, labels: LabelSource) -> Result<Box<dyn IndexedSource>, DataError> {
    if labels == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let rows = if has_extension(path, "npz") { open_npz(path, labels)? } else { open_npy(path, labels)? };
    Ok(Box::new(rows))
}

fn open_npy(path: &Path, labels: LabelSource) -> Result<ArraySource, DataError> {
    let io = |error| DataError::io(path, error);
    let mut file = files::open(path).map_err(io)?;
    let header = NpyHeader::read(&mut file).map_err(io)?;
    let (shape, depth) = check_header(path, &header)?;
    check_size(path, &header, depth.size_bytes(), file.metadata().map_err(io)?.len())?;
    let labels = match labels {
        LabelSource::None => Vec::new(),
        _ => labels_beside(path, shape[0], labels)?,
    };
    Ok(rows(path, shape, depth, Storage::File { file, path: path.to_owned() }, header.size_bytes, labels))
}

fn rows(
    path: &Path,
    shape: [usize; 4],
    depth: Depth,
    storage: Storage,
    offset: usize,
    labels: Vec<u32>,
) -> ArraySource {
    let classes = numbered_classes(&labels);
    ArraySource { files: vec![ArrayFile::new(path, 0)], shape, depth, storage, offset, labels, classes }
}

fn labels_beside(path: &Path, images: usize, asked: LabelSource) -> Result<Vec<u32>, DataError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let candidates = [path.with_file_name(format!("{stem}_labels.npy")), path.with_file_name("labels.npy")];
    let Some(beside) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let expected = format!("{} or {}", candidates[0].display(), file_name(&candidates[1]));
        return if asked == LabelSource::File { Err(no_labels(path, &expected)) } else { Ok(Vec::new()) };
    };
    let io = |error| DataError::io(beside, error);
    let mut file = files::open(beside).map_err(io)?;
    let size_bytes = file.metadata().map_err(io)?.len();
    read_labels(beside, &mut file, size_bytes, images)
}

fn open_npz(path: &Path, labels: LabelSource) -> Result<ArraySource, DataError> {
    let zip_error = |error: zip::result::ZipError| bad_file(path, format!("not a readable .npz archive: {error}"));
    let io = |error| DataError::io(path, error);
    let file = files::open(path).map_err(io)?;
    let mut archive = ZipArchive::new(BufReader::new(file.try_clone().map_err(io)?)).map_err(zip_error)?;
    let names: Vec<String> =
        archive.file_names().flatten().map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()).collect();
    let find = |keys: &[&'static str]| keys.iter().find(|&key| names.iter().any(|name| name == key)).copied();
    let image_key = find(&IMAGE_KEYS).ok_or_else(|| {
        bad_file(path, format!("expected an array named {}, found {}", IMAGE_KEYS.join(" or "), names.join(", ")))
    })?;
    let mut entry = archive.by_name(&format!("{image_key}.npy")).map_err(zip_error)?;
    let header = NpyHeader::read(&mut entry).map_err(io)?;
    let (shape, depth) = check_header(path, &header)?;
    let size_bytes = check_size(path, &header, depth.size_bytes(), entry.size())?;
    let (storage, offset) = match (entry.compression(), entry.data_start()) {
        (CompressionMethod::Stored, Some(start)) => {
            if start.saturating_add(entry.size()) > file.metadata().map_err(io)?.len() {
                return Err(bad_file(path, "truncated: its images go beyond its end"));
            }
            (Storage::File { file, path: path.to_owned() }, start as usize + header.size_bytes)
        }
        _ => {
            unpack::check_ratio(path, entry.compressed_size(), size_bytes)?;
            (unpack(path, &mut entry, size_bytes)?, 0)
        }
    };
    drop(entry);
    let labels = match (labels, find(&LABEL_KEYS)) {
        (LabelSource::None, _) | (LabelSource::Auto, None) => Vec::new(),
        (_, None) => return Err(no_labels(path, &format!("an array named {}", LABEL_KEYS.join(" or ")))),
        (_, Some(key)) => {
            let mut entry = archive.by_name(&format!("{key}.npy")).map_err(zip_error)?;
            let size_bytes = entry.size();
            read_labels(path, &mut entry, size_bytes, shape[0])?
        }
    };
    Ok(rows(path, shape, depth, storage, offset, labels))
}

/// Bytes of data that a header promises, which must be what there is besides it in `size_bytes`.
fn check_size(path: &Path, header: &NpyHeader, item_bytes: usize, size_bytes: u64) -> Result<u64, DataError> {
    let promised =
        header.count().and_then(|count| count.checked_mul(item_bytes)).ok_or_else(|| unsupported(path, header))?;
    let (promised, found) = (promised as u64, size_bytes.saturating_sub(header.size_bytes as u64));
    if found == promised {
        return Ok(promised);
    }
    Err(bad_file(path, format!("its header promises {promised} bytes of data, the file holds {found}")))
}

fn unsupported(path: &Path, header: &NpyHeader) -> DataError {
    let problem = format!(
        "expected values of type uint8, uint16 or float32 in C order, found {:?}{} of shape {:?}",
        header.descr,
        if header.fortran_order { " in Fortran order" } else { "" },
        header.shape
    );
    bad_file(path, problem)
}

fn check_header(path: &Path, header: &NpyHeader) -> Result<([usize; 4], Depth), DataError> {
    let depth = match header.descr.as_str() {
        "|u1" => Depth::U8,
        "<u2" => Depth::U16 { big_endian: false },
        ">u2" => Depth::U16 { big_endian: true },
        "<f4" => Depth::F32 { big_endian: false },
        ">f4" => Depth::F32 { big_endian: true },
        _ => return Err(unsupported(path, header)),
    };
    let fits = header.count().and_then(|count| count.checked_mul(depth.size_bytes())).is_some();
    if header.fortran_order || !fits {
        return Err(unsupported(path, header));
    }
    Ok((image_shape(path, &header.shape)?, depth))
}

/// Labels of any integer type, `[n]` or `[n, 1]`, in an array of `size_bytes`; no more is read than `images` labels need.
fn read_labels(path: &Path, reader: &mut impl Read, size_bytes: u64, images: usize) -> Result<Vec<u32>, DataError> {
    let header = NpyHeader::read(reader).map_err(|error| DataError::io(path, error))?;
    let [order, kind, ref size @ ..] = *header.descr.as_bytes() else { return Err(unsupported(path, &header)) };
    let integer = matches!(kind, b'i' | b'u') && matches!(size, b"1" | b"2" | b"4" | b"8");
    let ([count] | [count, 1], true) = (&*header.shape, integer) else {
        let problem = format!("expected integer labels [n], found type {:?} of shape {:?}", header.descr, header.shape);
        return Err(bad_file(path, problem));
    };
    check_label_count(path, *count, images)?;
    let width = usize::from(size[0] - b'0');
    let promised = check_size(path, &header, width, size_bytes)?;
    let mut data = Vec::new();
    let read = reader.take(promised + 1).read_to_end(&mut data);
    read.map_err(|error| bad_file(path, format!("truncated or damaged: {error}")))?;
    check_size(path, &header, width, (header.size_bytes + data.len()) as u64)?;
    data.chunks_exact(width)
        .enumerate()
        .map(|(index, bytes)| {
            let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            let value = if order == b'>' { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) };
            // A negative label is a huge one here.
            let negative = kind == b'i' && value >> (8 * width - 1) == 1;
            if negative || value >= MAX_CLASSES {
                let shown = if negative { "negative".to_owned() } else { value.to_string() };
                return Err(bad_file(
                    path,
                    format!("label {index} is {shown}; classes are numbered from 0 to {}", MAX_CLASSES - 1),
                ));
            }
            Ok(value as u32)
        })
        .collect()
}
