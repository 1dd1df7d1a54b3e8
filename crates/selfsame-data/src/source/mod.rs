//! Where samples come from. One file per source; each yields *encoded* samples, decoding is its own stage.

mod array;
mod cifar;
mod demo;
mod folder;
mod idx;
pub(crate) mod memory;
mod pages;
mod rows;
mod series;
mod table;
mod tiles;
mod unpack;
mod values;

pub use array::AXES;
pub use memory::Memory;
pub use pages::Pages;
pub use tiles::{Place, Tiles, places};

use crate::image::Image;
use crate::modality::{Column, Modality};
use crate::settings::DataRequest;
use selfsame_base::error::{is_gone, is_scarce};
use selfsame_base::{DataError, files, lookup};
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};
use unicode_normalization::UnicodeNormalization;

/// A sample as its source holds it.
#[derive(Debug)]
pub enum Encoded {
    /// An image file, open.
    File(File),
    /// One of the pages of an image file, from 0.
    Page(File, usize),
    /// A sound file, open.
    Sound(File),
    /// A row of an array: nothing left to decode.
    Image(Image),
}

/// Random access to a fixed number of samples, from any number of threads.
pub trait IndexedSource: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The sample `index`, not decoded.
    ///
    /// # Errors
    /// [`DataError::Sample`] if this sample cannot be read. Any other says that no sample can be, for now.
    fn get(&self, index: usize) -> Result<Encoded, DataError>;
    /// What is known of the sample `index` without reading it.
    fn stat(&self, index: usize) -> Stat;
    /// What a person calls the sample: its path relative to the folder, or `FILE[index]`. Unique within the source.
    fn id(&self, index: usize) -> String;
    /// Key of the sample's random streams: a hash of what identifies it, independent of the order of listing.
    fn key(&self, index: usize) -> u64 {
        hash_key(self.id(index).as_bytes())
    }
    /// Class of the sample, an index into [`Self::classes`]; `None` when the source has no labels.
    fn label(&self, index: usize) -> Option<u32>;
    /// Names of the classes, empty when the source has no labels.
    fn classes(&self) -> &[String];
    /// `[height, width, channels]` that every sample has, where that is known without decoding; of signals of several lengths that of
    /// the longest.
    fn shape(&self) -> Option<[usize; 3]> {
        None
    }
    /// Whether every sample has that shape.
    fn is_uniform(&self) -> bool {
        true
    }
    /// What a sample is.
    fn modality(&self) -> Modality {
        Modality::Image
    }
    /// Of tables, the columns that its channels are of.
    fn columns(&self) -> &[Column] {
        &[]
    }
    /// Where the sample lies in its image, when it is a tile of one; [`Self::get`] gives the image.
    fn tile(&self, _index: usize) -> Option<Place> {
        None
    }
    /// Number of the image that the sample is, or is a tile of. Never less than that of the sample before.
    fn image(&self, index: usize) -> usize {
        index
    }
    /// What a person calls that image.
    fn image_id(&self, index: usize) -> String {
        self.id(index)
    }
    /// Number of the file that the sample is of. Never less than that of the sample before.
    fn file(&self, index: usize) -> usize {
        index
    }
    /// Where that file is, when it holds no other samples than those of this number.
    fn file_path(&self, _index: usize) -> Option<PathBuf> {
        None
    }
    /// What a person should know of what is read and what is not, one line each.
    fn notes(&self) -> &[String] {
        &[]
    }
}

/// What can be known of a sample without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Bytes as they are stored; `u64::MAX` where it is not known.
    pub size_bytes: u64,
    /// When it was last written, ns since 1970; 0 where it is not known. A copy has another time.
    pub modified_ns: i64,
}

impl Stat {
    /// Of what is not there.
    pub const NONE: Self = Self { size_bytes: u64::MAX, modified_ns: 0 };
}

/// Where labels come from (`data.labels`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSource {
    /// Those that the data files hold or have beside them, if any. Folder names are not taken for labels unasked.
    Auto,
    /// Nowhere.
    None,
    /// Those that data files hold, or of a folder its first level, where that names classes: for commands that look at labels.
    Any,
    /// The first folder level.
    Folder,
    /// Beside or within the data file.
    File,
}

impl LabelSource {
    /// From the value of `data.labels`; absent is [`LabelSource::Auto`].
    pub fn parse(value: Option<&str>) -> Result<Self, DataError> {
        match value {
            None => Ok(Self::Auto),
            Some("any") => Ok(Self::Any),
            Some("none") => Ok(Self::None),
            Some("folder") => Ok(Self::Folder),
            Some("file") => Ok(Self::File),
            Some(other) => Err(DataError::setting(
                "data.labels",
                format!("expected \"none\", \"folder\" or \"file\", received {other:?}"),
            )),
        }
    }
}

/// What [`SourceEntry::open`] is.
pub type OpenSource = fn(&DataRequest, LabelSource) -> Result<Box<dyn IndexedSource>, DataError>;

/// A line of the catalogue of sources.
pub struct SourceEntry {
    /// Value of `data.kind`.
    pub name: &'static str,
    /// What it reads, in one line.
    pub summary: &'static str,
    /// Whether a path looks like this source's.
    pub detect: fn(&Path) -> bool,
    /// Opens the source.
    pub open: OpenSource,
}

/// Every source, in the order in which a path is offered to them.
pub static SOURCES: &[SourceEntry] = &[
    demo::ENTRY,
    idx::ENTRY,
    cifar::ENTRY,
    array::ENTRY,
    table::ENTRY,
    series::ENTRY,
    folder::ENTRY,
    folder::ONE_FILE,
];

/// The source of that name or, without one, the first that knows the path.
pub fn find(path: &Path, kind: Option<&str>) -> Result<&'static SourceEntry, DataError> {
    let entry = match kind {
        Some(name) => lookup::find(SOURCES, |entry| entry.name, "source", name)
            .map_err(|problem| DataError::setting("data.kind", problem))?,
        None => {
            // What is named in another way than by the file system.
            if !(demo::ENTRY.detect)(path) && array::Part::of(path).is_none() {
                std::fs::metadata(path).map_err(|cause| DataError::Io {
                    path: path.to_owned(),
                    cause,
                    hint: Some(
                        "data.path names a folder of images or sounds, a data file, or the bundled images: demo",
                    ),
                })?;
                if !path.is_dir() {
                    files::open(path).map_err(|cause| DataError::io(path, cause))?;
                }
            }
            SOURCES.iter().find(|entry| (entry.detect)(path)).ok_or_else(|| {
                let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
                let remedy = extension.and_then(|extension| folder::remedy(&extension));
                let remedy = remedy.map_or(String::new(), |remedy| format!(" ({remedy})"));
                DataError::Data(format!(
                    "{}: not a data set of a known kind{remedy}; expected a folder of images or sounds, an image, a sound, an IDX file (MNIST \
                     family), a CIFAR binary (.bin), .npy, .npz, .csv, .tsv, .parquet or .ts",
                    path.display()
                ))
            })?
        }
    };
    Ok(entry)
}

/// A key of a sample's random streams: the first 64 bits of the BLAKE3 hash of its identity.
pub fn hash_key(identity: &[u8]) -> u64 {
    let hash = blake3::hash(identity);
    u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
}

/// The last component of a path, for messages and ids.
fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Tries again while the system has no descriptor or no memory to give, for a second in all: others may give some back.
fn patiently<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..20 {
        match attempt() {
            Err(cause) if is_scarce(&cause) => std::thread::sleep(Duration::from_millis(50)),
            result => return result,
        }
    }
    attempt()
}

/// What a failed read of the sample `id` in the file `path` means: a sample that cannot be read, or, where the place or the
/// system fails, the end of all reading.
pub(crate) fn failure(path: impl Into<PathBuf>, id: String, cause: io::Error) -> DataError {
    let hint = if is_gone(&cause) {
        "the disk or the share with the data fails; go on when it is back"
    } else if is_scarce(&cause) {
        "the system has no descriptor or no memory left; raise the limits (ulimit -n, -v) or use fewer threads"
    } else {
        return DataError::sample(id, cause.to_string());
    };
    DataError::Io { path: path.into(), cause, hint: Some(hint) }
}

/// When a file was last written, ns since 1970; 0 where the system does not say.
fn modified_ns(found: &Metadata) -> i64 {
    let since = found.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as i64)
}

/// The name of a class. One name has several spellings in Unicode, and file systems differ in which they keep.
fn class_name(name: &str) -> String {
    name.nfc().collect()
}

/// An error about a data file as a whole.
fn bad_file(path: &Path, problem: impl std::fmt::Display) -> DataError {
    DataError::Data(format!("{}: {problem}", path.display()))
}

/// The error for labels that are asked for and not there.
fn no_labels(path: &Path, expected: &str) -> DataError {
    DataError::setting("data.labels", format!("{} has no labels: {expected} is not there", path.display()))
}

/// The error for `data.labels = "folder"` on a source that is no folder.
fn no_folder_labels(path: &Path) -> DataError {
    DataError::setting(
        "data.labels",
        format!(
            "{} is no folder of images, so labels = \"folder\" has no meaning; use \"file\" or \"none\"",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests;
