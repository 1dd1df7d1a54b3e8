//! A folder of image or sound files, at any depth. Files are known by their extension, hidden ones (`.name`) are ignored, and
//! the order is that of the bytes of the relative paths (`/` between folders), whatever the file system's own order.
//! What is called like an image and is none is listed too, so that a lost one counts as one that cannot be read: a link that
//! leads nowhere, a pipe, a folder without an image. Where there are images and sounds, and nobody said which, those are read of which
//! there are more. All other files are [counted and told](ignored).
//!
//! Links to files are followed; links to folders too, unless what they lead to is listed already, so no loop of links
//! lists anything twice.

mod ignored;
mod walk;

pub use ignored::remedy;

use super::{
    Encoded, IndexedSource, LabelSource, SourceEntry, Stat, bad_file, class_name, failure, hash_key, modified_ns,
    patiently,
};
use crate::decode::FileKind;
use crate::modality::Modality;
use crate::settings::DataRequest;
use selfsame_base::{DataError, atomic, files};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use walk::Walk;

pub const ENTRY: SourceEntry = SourceEntry {
    name: "folder",
    summary: "a folder of image files (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM) or sound files (WAV, FLAC, OGG, MP3), at any depth",
    detect: |path| path.is_dir(),
    open: |request, labels| Ok(Box::new(Folder::open(request, labels)?)),
};

pub const ONE_FILE: SourceEntry = SourceEntry {
    name: "file",
    summary: "one image or sound file",
    detect: |path| path.is_file() && kind_of(path).is_some(),
    open: |request, labels| match labels {
        LabelSource::Folder | LabelSource::File => {
            Err(DataError::setting("data.labels", "one file has no labels; use \"none\""))
        }
        _ => Ok(Box::new(Folder::of_file(&request.path))),
    },
};

/// What a file is by its name.
fn kind_of(path: &Path) -> Option<FileKind> {
    FileKind::of(path.file_name()?.as_encoded_bytes())
}

/// Files that are looked for when one is not there: if none of them is, the folder is gone.
const LOOKED_FOR: usize = 16;

/// Names of folders that are parts of a data set, in lower case.
const PARTS: [&str; 10] =
    ["train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval", "evaluation"];

/// Links that are told one by one.
const TOLD: usize = 3;

/// Relative paths in one piece of memory: 8 bytes per file on top of the characters, for lists of millions.
#[derive(Default)]
struct PathList {
    bytes: Vec<u8>,
    /// Where each path ends, ascending.
    ends: Vec<usize>,
}

impl PathList {
    fn push(&mut self, folder: &[u8], name: &[u8]) {
        self.bytes.extend_from_slice(folder);
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

struct Folder {
    root: PathBuf,
    kind: FileKind,
    paths: PathList,
    labels: Vec<u32>,
    classes: Vec<String>,
    notes: Vec<String>,
}

/// What the first level of a folder holds.
#[derive(Default)]
struct FirstLevel {
    /// Names of its folders, as classes are named, and their images.
    folders: Vec<(String, usize)>,
    /// Place of its folder among them for each image; `None` of one that lies in no folder.
    places: Vec<Option<u32>>,
    /// The first image that lies in no folder, and how many do.
    strays: Option<(usize, usize)>,
}

impl FirstLevel {
    fn of(paths: &PathList) -> Self {
        let mut level = Self::default();
        // Of one name there may be several spellings, which are one class.
        let mut known: HashMap<String, u32> = HashMap::new();
        let mut last: Option<(&[u8], u32)> = None;
        for index in 0..paths.len() {
            let path = paths.get(index);
            let Some(slash) = path.iter().position(|&byte| byte == b'/') else {
                level.strays.get_or_insert((index, 0)).1 += 1;
                level.places.push(None);
                continue;
            };
            let folder = &path[..slash];
            // Files of one folder are neighbors in the list.
            let place = last.filter(|(name, _)| *name == folder).map_or_else(
                || {
                    let name = class_name(&readable(folder));
                    let next = known.len() as u32;
                    *known.entry(name.clone()).or_insert_with(|| {
                        level.folders.push((name, 0));
                        next
                    })
                },
                |(_, place)| place,
            );
            last = Some((folder, place));
            level.folders[place as usize].1 += 1;
            level.places.push(Some(place));
        }
        level
    }

    /// Whether the folders are parts of a data set, such as `train` and `test`, and not classes.
    fn is_split(&self) -> bool {
        let is = |name: &str, parts: &[&str]| parts.contains(&name.to_lowercase().as_str());
        let training = self.folders.iter().any(|(name, _)| is(name, &PARTS[..2]));
        training && self.folders.iter().all(|(name, _)| is(name, &PARTS))
    }

    /// The folders with their images: `train (120), test (30)`.
    fn listed(&self) -> String {
        let listed: Vec<String> = self.folders.iter().map(|(name, count)| format!("{name} ({count})")).collect();
        listed.join(", ")
    }
}

impl Folder {
    fn open(request: &DataRequest, labels: LabelSource) -> Result<Self, DataError> {
        let root = request.path.as_path();
        let Walk { images, sounds, mut ignored, repeated, .. } = Walk::through(root)?;
        let kind = match request.of_source() {
            Some(Modality::Signal) => FileKind::Sound,
            Some(_) => FileKind::Image,
            None if sounds.len() > images.len() => FileKind::Sound,
            None => FileKind::Image,
        };
        let (noun, formats) = (kind.noun(), kind.formats());
        if labels == LabelSource::File {
            let problem =
                format!("a folder of {noun}s has no label file; use \"folder\" (first folder level) or \"none\"");
            return Err(DataError::setting("data.labels", problem));
        }
        let (mut paths, others) = match kind {
            FileKind::Image => (images, sounds),
            FileKind::Sound => (sounds, images),
        };
        (0..others.len()).for_each(|index| ignored.count(others.get(index)));
        if paths.len() == 0 {
            let problem = match ignored.total() {
                0 => format!("an empty folder; expected {noun} files ({formats})"),
                n => format!(
                    "no {noun} among its {n} files; expected {formats} by extension, found {}",
                    ignored.listed()
                ),
            };
            return Err(bad_file(root, problem));
        }
        paths.bytes.shrink_to_fit();
        paths.ends.shrink_to_fit();
        let mut folder =
            Self { root: root.to_owned(), kind, paths, labels: Vec::new(), classes: Vec::new(), notes: Vec::new() };
        if ignored.total() > 0 {
            let (total, all) = (ignored.total(), ignored.total() + folder.len());
            folder.tell(&format!("{total} of {all} files are not read: {}", ignored.listed()));
        }
        for (link, listed) in repeated.iter().take(TOLD) {
            folder.tell(&format!(
                "{link} leads to {listed}, whose {noun}s are listed already: it adds none, and no class"
            ));
        }
        if repeated.len() > TOLD {
            folder.tell(&format!("{} more links lead to folders that are listed already", repeated.len() - TOLD));
        }
        folder.take_classes(labels)?;
        Ok(folder)
    }

    /// One file, as if it were alone in its folder.
    fn of_file(path: &Path) -> Self {
        let mut paths = PathList::default();
        paths.push(&[], path.file_name().unwrap_or_default().as_encoded_bytes());
        let root = atomic::folder_of(path).to_owned();
        let kind = kind_of(path).unwrap_or(FileKind::Image);
        Self { root, kind, paths, labels: Vec::new(), classes: Vec::new(), notes: Vec::new() }
    }

    fn tell(&mut self, note: &str) {
        self.notes.push(format!("{}: {note}", self.root.display()));
    }

    /// Takes the folders of the first level for classes, if that is asked for; tells of them if they are none.
    fn take_classes(&mut self, labels: LabelSource) -> Result<(), DataError> {
        let level = FirstLevel::of(&self.paths);
        let refused = |problem: String| Err(DataError::setting("data.labels", problem));
        let (root, asked) = (self.root.display().to_string(), labels == LabelSource::Folder);
        if level.is_split() {
            let (listed, first) = (level.listed(), &level.folders[0].0);
            if asked {
                return refused(format!(
                    "the folders of {root} are parts of a data set, not classes: {listed}; name one, e.g. {root}/{first}"
                ));
            }
            self.tell(&format!("its folders are parts of a data set, all of which are read: {listed}; name one to read it alone, e.g. {root}/{first}"));
            return Ok(());
        }
        if !matches!(labels, LabelSource::Folder | LabelSource::Any) {
            return Ok(());
        }
        if let Some((first, count)) = level.strays {
            let name = readable(self.paths.get(first));
            let stray = match count {
                1 => format!("{name} lies directly in {root}"),
                _ => format!("{count} {}s lie directly in {root}, the first: {name}", self.kind.noun()),
            };
            if asked {
                return refused(format!(
                    "{stray}; labels = \"folder\" needs every {} in a folder of its class: move it there, or out",
                    self.kind.noun()
                ));
            }
            // Pictures beside a few folders are no classes.
            if 2 * count > self.len() {
                return Ok(());
            }
            let them = if count == 1 { "it has no class and is" } else { "they have no class and are" };
            self.tell(&format!("{stray}, beside folders of classes: {them} left out"));
            let mut kept = PathList::default();
            let labeled = (0..self.len()).filter(|&index| level.places[index].is_some());
            labeled.for_each(|index| kept.push(&[], self.paths.get(index)));
            self.paths = kept;
        }
        self.classes = level.folders.into_iter().map(|(name, _)| name).collect();
        self.labels = level.places.into_iter().flatten().collect();
        Ok(())
    }

    fn path(&self, index: usize) -> PathBuf {
        self.root.join(os_path(self.paths.get(index)))
    }

    /// Whether any of some files, evenly spaced over the list, is where it was. A share that is not mounted leaves an empty
    /// folder.
    fn is_there(&self) -> bool {
        let (len, looked_for) = (self.len(), self.len().min(LOOKED_FOR));
        (0..looked_for).any(|i| self.path(i * len / looked_for).symlink_metadata().is_ok())
    }
}

impl IndexedSource for Folder {
    fn len(&self) -> usize {
        self.paths.ends.len()
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let path = self.path(index);
        let encoded = match self.kind {
            FileKind::Image => Encoded::File,
            FileKind::Sound => Encoded::Sound,
        };
        patiently(|| files::open(&path)).map(encoded).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::PermissionDenied if !self.is_there() => {
                let hint = Some("none of the files is there any more; go on when the folder is back");
                DataError::Io { path: self.root.clone(), cause, hint }
            }
            _ => failure(path, self.id(index), cause),
        })
    }

    fn stat(&self, index: usize) -> Stat {
        let found = std::fs::metadata(self.path(index));
        found.map_or(Stat::NONE, |found| Stat { size_bytes: found.len(), modified_ns: modified_ns(&found) })
    }

    fn id(&self, index: usize) -> String {
        readable(self.paths.get(index))
    }

    fn key(&self, index: usize) -> u64 {
        hash_key(self.paths.get(index))
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn modality(&self) -> Modality {
        match self.kind {
            FileKind::Image => Modality::Image,
            FileKind::Sound => Modality::Signal,
        }
    }

    fn file_path(&self, index: usize) -> Option<PathBuf> {
        Some(self.path(index))
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// A path as text; bytes that are no UTF-8 are escaped, so that different paths stay different.
fn readable(path: &[u8]) -> String {
    String::from_utf8(path.to_vec()).unwrap_or_else(|_| path.escape_ascii().to_string())
}

#[cfg(unix)]
fn os_path(path: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(path)
}

/// Names that are no Unicode lead nowhere here and count as unreadable.
#[cfg(not(unix))]
fn os_path(path: &[u8]) -> &OsStr {
    OsStr::new(std::str::from_utf8(path).unwrap_or("\u{fffd}"))
}

#[cfg(test)]
mod tests;
