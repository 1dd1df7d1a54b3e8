//! Arrays of images: `.npy` (memory-mapped) and `.npz` (read into memory), `[n, height, width, channels]` or
//! `[n, height, width]`, unsigned 8 or 16 bits or `f32`, 1 to 16 channels.
//!
//! Labels: beside `NAME.npy` in `NAME_labels.npy` or `labels.npy`; within `.npz` the array `y` or `labels`, the images
//! being `x`, `images` or `data`.

use super::{Encoded, IndexedSource, LabelSource, SourceEntry, bad_file, file_name, no_folder_labels};
use crate::image::{Image, Pixels};
use memmap2::Mmap;
use selfsame_base::DataError;
use selfsame_base::npy::NpyHeader;
use std::borrow::Cow;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use zip::ZipArchive;

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
    Owned(Vec<u8>),
    Mapped(Mmap),
    /// Read row by row, so that memory does not grow with the data.
    File(Mutex<File>),
}

impl Storage {
    fn read(&self, range: Range<usize>) -> std::io::Result<Cow<'_, [u8]>> {
        match self {
            Self::Owned(bytes) => Ok(bytes[range].into()),
            Self::Mapped(map) => Ok(map[range].into()),
            Self::File(file) => {
                let mut bytes = vec![0; range.len()];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(range.start as u64))?;
                file.read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
        }
    }
}

/// Images of one shape, row after row: the form in which every array-like source ends.
pub struct ArraySource {
    /// Name of each file and the index of its first row, ascending.
    pub files: Vec<(String, usize)>,
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

impl IndexedSource for ArraySource {
    fn len(&self) -> usize {
        self.shape[0]
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let [_, height, width, channels] = self.shape;
        let row_bytes = height * width * channels * self.depth.size_bytes();
        let first = self.offset + index * row_bytes;
        let read = self.storage.read(first..first + row_bytes);
        let row = read.map_err(|error| DataError::sample(self.id(index), error.to_string()))?;
        let (pairs, quads) = (|| row.as_chunks().0.iter().copied(), || row.as_chunks().0.iter().copied());
        let pixels = match self.depth {
            Depth::U8 => Pixels::U8(row.into_owned()),
            Depth::U16 { big_endian: false } => Pixels::U16(pairs().map(u16::from_le_bytes).collect()),
            Depth::U16 { big_endian: true } => Pixels::U16(pairs().map(u16::from_be_bytes).collect()),
            Depth::F32 { big_endian: false } => Pixels::F32(quads().map(f32::from_le_bytes).collect()),
            Depth::F32 { big_endian: true } => Pixels::F32(quads().map(f32::from_be_bytes).collect()),
        };
        Ok(Encoded::Image(Image::new(height, width, channels, pixels)))
    }

    fn id(&self, index: usize) -> String {
        let file = self.files.partition_point(|&(_, first)| first <= index) - 1;
        let (name, first) = &self.files[file];
        format!("{name}[{}]", index - first)
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
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    // SAFETY: the map is read-only and lives in `ArraySource` alone. That no other process shortens the file meanwhile cannot
    // be guaranteed; as with every reader of mapped files, the system then ends the process, and no memory is harmed.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| DataError::io(path, error))?;
    let header = NpyHeader::read(&mut &map[..]).map_err(|error| DataError::io(path, error))?;
    let (shape, depth) = check_header(path, &header)?;
    let expected = shape.iter().product::<usize>() * depth.size_bytes();
    let found = map.len() - header.size_bytes;
    if found != expected {
        return Err(bad_file(path, format!("its header promises {expected} bytes of data, the file holds {found}")));
    }
    let labels = match labels {
        LabelSource::None => Vec::new(),
        _ => labels_beside(path, shape[0], labels)?,
    };
    Ok(rows(path, shape, depth, Storage::Mapped(map), header.size_bytes, labels))
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
    ArraySource { files: vec![(file_name(path), 0)], shape, depth, storage, offset, labels, classes }
}

fn labels_beside(path: &Path, images: usize, asked: LabelSource) -> Result<Vec<u32>, DataError> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let candidates = [path.with_file_name(format!("{stem}_labels.npy")), path.with_file_name("labels.npy")];
    let Some(beside) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let expected = format!("{} or {}", candidates[0].display(), file_name(&candidates[1]));
        return if asked == LabelSource::File { Err(no_labels(path, &expected)) } else { Ok(Vec::new()) };
    };
    let mut file = File::open(beside).map_err(|error| DataError::io(beside, error))?;
    let (header, data) = read_array(beside, &mut file)?;
    let labels = parse_labels(beside, &header, &data)?;
    check_label_count(beside, labels.len(), images)?;
    Ok(labels)
}

fn open_npz(path: &Path, labels: LabelSource) -> Result<ArraySource, DataError> {
    let zip_error = |error: zip::result::ZipError| bad_file(path, format!("not a readable .npz archive: {error}"));
    let file = File::open(path).map_err(|error| DataError::io(path, error))?;
    let mut archive = ZipArchive::new(std::io::BufReader::new(file)).map_err(zip_error)?;
    let names: Vec<String> =
        archive.file_names().flatten().map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()).collect();
    let find = |keys: &[&'static str]| keys.iter().find(|&key| names.iter().any(|name| name == key)).copied();
    let mut read = |key: &str| {
        let mut entry = archive.by_name(&format!("{key}.npy")).map_err(zip_error)?;
        read_array(path, &mut entry)
    };
    let image_key = find(&IMAGE_KEYS).ok_or_else(|| {
        bad_file(path, format!("expected an array named {}, found {}", IMAGE_KEYS.join(" or "), names.join(", ")))
    })?;
    let (header, data) = read(image_key)?;
    let (shape, depth) = check_header(path, &header)?;
    let labels = match (labels, find(&LABEL_KEYS)) {
        (LabelSource::None, _) | (LabelSource::Auto, None) => Vec::new(),
        (_, None) => return Err(no_labels(path, &format!("an array named {}", LABEL_KEYS.join(" or ")))),
        (_, Some(key)) => {
            let (header, data) = read(key)?;
            let labels = parse_labels(path, &header, &data)?;
            check_label_count(path, labels.len(), shape[0])?;
            labels
        }
    };
    Ok(rows(path, shape, depth, Storage::Owned(data), 0, labels))
}

/// Reads a whole array; takes no more memory than its header promises.
fn read_array(path: &Path, reader: &mut impl Read) -> Result<(NpyHeader, Vec<u8>), DataError> {
    let header = NpyHeader::read(reader).map_err(|error| DataError::io(path, error))?;
    let item_bytes: Option<usize> = header.descr.get(2..).and_then(|size| size.parse().ok());
    let expected = header
        .count()
        .zip(item_bytes)
        .and_then(|(count, size)| count.checked_mul(size))
        .ok_or_else(|| unsupported(path, &header))?;
    let mut data = Vec::new();
    reader.take(expected as u64 + 1).read_to_end(&mut data).map_err(|error| DataError::io(path, error))?;
    if data.len() != expected {
        let found = if data.len() > expected { "more".to_owned() } else { data.len().to_string() };
        return Err(bad_file(path, format!("its header promises {expected} bytes of data, the file holds {found}")));
    }
    Ok((header, data))
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

/// Labels of any integer type, `[n]` or `[n, 1]`.
fn parse_labels(path: &Path, header: &NpyHeader, data: &[u8]) -> Result<Vec<u32>, DataError> {
    let [order, kind, ref size @ ..] = *header.descr.as_bytes() else { return Err(unsupported(path, header)) };
    let integer = matches!(kind, b'i' | b'u') && matches!(size, b"1" | b"2" | b"4" | b"8");
    if !integer || !matches!(*header.shape, [_] | [_, 1]) {
        let problem = format!("expected integer labels [n], found type {:?} of shape {:?}", header.descr, header.shape);
        return Err(bad_file(path, problem));
    }
    let width = usize::from(size[0] - b'0');
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
