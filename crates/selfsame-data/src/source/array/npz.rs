//! Archives of arrays, and which of them are images and labels.
//!
//! Without `data.key` these names are known: `x`, `X`, `images`, `image`, `data` or `arr_0` with `y`, `Y`, `labels`, `label`,
//! `target` or `arr_1`; and by parts, as Keras (`x_train`, `y_train`) and MedMNIST (`train_images`, `train_labels`) name them. Of
//! several parts the training part is meant; `FILE.npz/test` and `FILE.npz/val` name another. A single array needs no name.

use super::labels::Labels;
use super::{Images, has_extension};
use crate::settings::{AUTO, DataRequest};
use crate::source::rows::{ArraySource, Storage};
use crate::source::unpack::{self, unpack};
use crate::source::{LabelSource, bad_file, file_name, no_labels};
use selfsame_base::lookup::one_of;
use selfsame_base::npy::NpyHeader;
use selfsame_base::{DataError, files};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Names under which an archive without parts holds its images and its labels.
const IMAGE_KEYS: [&str; 6] = ["x", "images", "data", "X", "image", "arr_0"];
const LABEL_KEYS: [&str; 7] = ["y", "labels", "Y", "label", "target", "targets", "arr_1"];

/// Parts of a data set in one archive, the one that is meant first.
const PARTS: [&str; 3] = ["train", "val", "test"];

/// Names of the images and of the labels of a part.
fn part_keys(part: &str) -> [[String; 2]; 3] {
    [
        [format!("x_{part}"), format!("y_{part}")],
        [format!("{part}_images"), format!("{part}_labels")],
        [format!("X_{part}"), format!("Y_{part}")],
    ]
}

/// A part of an archive, named as if it were a folder: `FILE.npz/test`.
pub struct Part {
    file: PathBuf,
    name: &'static str,
}

impl Part {
    /// The part that `path` names, if it is one.
    pub fn of(path: &Path) -> Option<Self> {
        let name = PARTS.into_iter().find(|part| path.file_name().is_some_and(|name| name == *part))?;
        let file = path.parent().filter(|file| has_extension(file, "npz") && file.is_file())?;
        Some(Self { file: file.to_owned(), name })
    }
}

/// An archive and the names of its arrays.
struct Archive<'a> {
    path: &'a Path,
    file: File,
    zip: ZipArchive<BufReader<File>>,
    names: Vec<String>,
}

/// The arrays that are meant.
#[derive(Debug, PartialEq)]
struct Chosen {
    images: String,
    labels: Option<String>,
    /// The other parts of the archive.
    others: Vec<&'static str>,
    /// Whether the images have a name that says of which part they are, or were named by the user.
    named: bool,
}

pub fn open(request: &DataRequest, labels: LabelSource) -> Result<ArraySource, DataError> {
    let part = Part::of(&request.path);
    let path = part.as_ref().map_or(request.path.as_path(), |part| &part.file);
    let mut archive = Archive::open(path)?;
    let chosen = choose(path, &archive.names, part.as_ref().map(|part| part.name), request)?;
    let (images, header, storage, offset) = archive.images(&chosen.images, request)?;
    let labels = match (labels, &chosen.labels) {
        (LabelSource::None, _) | (LabelSource::Auto | LabelSource::Any, None) => Labels::default(),
        (_, None) => return Err(no_labels(path, &format!("an array named {}", one_of(&LABEL_KEYS)))),
        (_, Some(key)) => archive.labels(key, images.layout.images)?,
    };
    let mut rows = images.rows(path, &header, storage, offset, labels)?;
    if chosen.named {
        rows.files[0].name = format!("{}/{}", file_name(path), chosen.images);
    }
    if let [first, ..] = chosen.others[..] {
        rows.notes.push(format!(
            "{}: the training part, {:?}, is read; the archive also holds {}, named as {}/{first}",
            path.display(),
            chosen.images,
            chosen.others.join(" and "),
            path.display(),
        ));
    }
    Ok(rows)
}

/// Which of the arrays `names` are images and labels.
fn choose(
    path: &Path,
    names: &[String],
    part: Option<&'static str>,
    request: &DataRequest,
) -> Result<Chosen, DataError> {
    let is_there = |key: &str| names.iter().any(|name| name == key);
    let asked = |key: &str, value: &str| match value {
        AUTO => Ok(None),
        value if is_there(value) => Ok(Some(value.to_owned())),
        value => Err(DataError::setting(
            key,
            format!("{} has no array named {value:?}; it has {}", path.display(), shown(names)),
        )),
    };
    let of_part = |part: &str| part_keys(part).into_iter().find(|[images, _]| is_there(images));
    let partner = |labels: &str| is_there(labels).then(|| labels.to_owned());
    let plain = |keys: &[&str]| keys.iter().find(|key| is_there(key)).map(|&key| key.to_owned());
    let labels = asked("data.label_key", &request.label_key)?;
    let chosen = |images: String, partner: Option<String>, others, named| {
        Ok(Chosen { images, labels: labels.clone().or(partner), others, named })
    };
    if let Some(part) = part {
        let [images, labels] = of_part(part).ok_or_else(|| {
            bad_file(path, format!("has no part called {part}, such as x_{part}; it has {}", shown(names)))
        })?;
        return chosen(images, partner(&labels), Vec::new(), true);
    }
    if let Some(images) = asked("data.key", &request.key)? {
        let mut known = PARTS.into_iter().flat_map(part_keys);
        let labels = match known.find(|[known, _]| *known == images) {
            Some([_, labels]) => partner(&labels),
            None => plain(&LABEL_KEYS).filter(|labels| *labels != images),
        };
        return chosen(images, labels, Vec::new(), true);
    }
    if let Some(images) = plain(&IMAGE_KEYS) {
        return chosen(images, plain(&LABEL_KEYS), Vec::new(), false);
    }
    let mut parts = PARTS.into_iter().filter_map(|part| Some((part, of_part(part)?)));
    if let Some((_, [images, labels])) = parts.next() {
        let others = parts.map(|(part, _)| part).collect();
        return chosen(images, partner(&labels), others, true);
    }
    if let [only] = names {
        return chosen(only.clone(), None, Vec::new(), false);
    }
    let problem = format!(
        "{} has no array of a known name ({}, …); say which holds the images: {}",
        path.display(),
        IMAGE_KEYS.join(", "),
        shown(names)
    );
    Err(DataError::setting("data.key", problem))
}

/// Names as a message has them: an archive may call its arrays anything, and a message is one line.
fn shown(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().map(|name| name.escape_debug().to_string()).collect();
    shown.join(", ")
}

impl<'a> Archive<'a> {
    fn open(path: &'a Path) -> Result<Self, DataError> {
        let io = |error| DataError::io(path, error);
        let file = files::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(bad_file(path, "an empty file"));
        }
        let zip =
            ZipArchive::new(BufReader::new(file.try_clone().map_err(io)?)).map_err(|error| failed(path, &error))?;
        let names =
            zip.file_names().flatten().map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()).collect();
        Ok(Self { path, file, zip, names })
    }

    fn entry(&mut self, key: &str) -> Result<ZipFile<'_, BufReader<File>>, DataError> {
        self.zip.by_name(&format!("{key}.npy")).map_err(|error| failed(self.path, &error))
    }

    /// The images of that name, where they lie, or unpacked.
    fn images(&mut self, key: &str, request: &DataRequest) -> Result<(Images, NpyHeader, Storage, usize), DataError> {
        let path = self.path;
        let io = |error| DataError::io(path, error);
        let file = self.file.try_clone().map_err(io)?;
        let mut entry = self.entry(key)?;
        let header = NpyHeader::read(&mut entry).map_err(io)?;
        let images = Images::new(path, &header, request)?;
        let size_bytes = images.check_size(path, &header, entry.size())?;
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
        Ok((images, header, storage, offset))
    }

    fn labels(&mut self, key: &str, images: usize) -> Result<Labels, DataError> {
        let path = self.path;
        let mut entry = self.entry(key)?;
        let size_bytes = entry.size();
        Labels::read(path, &mut entry, size_bytes, images)
    }
}

fn failed(path: &Path, error: &ZipError) -> DataError {
    bad_file(path, format!("not a readable .npz archive: {error}"))
}
