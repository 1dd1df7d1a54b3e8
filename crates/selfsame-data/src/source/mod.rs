//! Where samples come from. One file per source; each yields *encoded* samples, decoding is its own stage.

mod array;
mod cifar;
mod demo;
mod folder;
mod idx;

use crate::image::Image;
use selfsame_base::{DataError, lookup};
use std::path::Path;

/// A sample as its source holds it.
#[derive(Clone, Debug)]
pub enum Encoded {
    /// The bytes of an image file.
    File(Vec<u8>),
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
    fn get(&self, index: usize) -> Result<Encoded, DataError>;
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
    /// `[height, width, channels]` that every sample has, where that is known without decoding.
    fn shape(&self) -> Option<[usize; 3]> {
        None
    }
}

/// Where labels come from (`data.labels`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelSource {
    /// Those that the data files hold or have beside them, if any. Folder names are not taken for labels unasked.
    Auto,
    /// Nowhere.
    None,
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
pub type OpenSource = fn(&Path, LabelSource) -> Result<Box<dyn IndexedSource>, DataError>;

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
pub static SOURCES: &[SourceEntry] = &[demo::ENTRY, idx::ENTRY, cifar::ENTRY, array::ENTRY, folder::ENTRY];

/// The source of that name or, without one, the first that knows the path.
pub fn find(path: &Path, kind: Option<&str>) -> Result<&'static SourceEntry, DataError> {
    let entry = match kind {
        Some(name) => lookup::find(SOURCES, |entry| entry.name, "source", name)
            .map_err(|problem| DataError::setting("data.kind", problem))?,
        None if (demo::ENTRY.detect)(path) => &SOURCES[0],
        None => {
            std::fs::metadata(path).map_err(|cause| DataError::Io {
                path: path.to_owned(),
                cause,
                hint: Some("data.path names a folder of images, a data file, or the bundled images: demo"),
            })?;
            SOURCES.iter().find(|entry| (entry.detect)(path)).ok_or_else(|| {
                DataError::Data(format!(
                    "{}: not a data set of a known kind; expected a folder of images, an IDX file (MNIST family), a \
                     CIFAR binary (.bin), .npy or .npz",
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

/// An error about a data file as a whole.
fn bad_file(path: &Path, problem: impl std::fmt::Display) -> DataError {
    DataError::Data(format!("{}: {problem}", path.display()))
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
