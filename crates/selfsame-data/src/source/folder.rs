//! A folder of image files, at any depth. Files are known by their extension, hidden ones (`.name`) are ignored, and
//! the order is that of the bytes of the relative paths (`/` between folders), whatever the file system's own order.
//! What is called like an image and is none is listed too, so that a lost one counts as one that cannot be read: a link that
//! leads nowhere, a pipe, a folder without an image.
//!
//! Links to files are followed; links to folders too, unless what they lead to is listed already, so no loop of links
//! lists anything twice.

use super::{
    Encoded, IndexedSource, LabelSource, SourceEntry, Stat, bad_file, failure, hash_key, modified_ns, patiently,
};
use crate::decode::has_image_extension;
use selfsame_base::{DataError, files};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub const ENTRY: SourceEntry = SourceEntry {
    name: "folder",
    summary: "a folder of image files (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM), at any depth",
    detect: |path| path.is_dir(),
    open: |request, labels| Ok(Box::new(Folder::open(&request.path, labels)?)),
};

/// Files that are looked for when one is not there: if none of them is, the folder is gone.
const LOOKED_FOR: usize = 16;

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
}

struct Folder {
    root: PathBuf,
    paths: PathList,
    labels: Vec<u32>,
    classes: Vec<String>,
}

impl Folder {
    fn open(root: &Path, labels: LabelSource) -> Result<Self, DataError> {
        if labels == LabelSource::File {
            let problem = "a folder of images has no label file; use \"folder\" (first folder level) or \"none\"";
            return Err(DataError::setting("data.labels", problem));
        }
        let mut walk = Walk::default();
        walk.seen.insert(root.canonicalize().map_err(|error| DataError::io(root, error))?);
        walk.folder(root, &mut Vec::new(), None)?;
        let mut paths = walk.paths;
        if paths.ends.is_empty() {
            let problem = match walk.other_files {
                0 => "an empty folder; expected image files (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM)".to_owned(),
                n => format!(
                    "no image among its {n} files; expected JPEG, PNG, WebP, TIFF, BMP, GIF or PNM by extension"
                ),
            };
            return Err(bad_file(root, problem));
        }
        paths.bytes.shrink_to_fit();
        paths.ends.shrink_to_fit();
        let mut folder = Self { root: root.to_owned(), paths, labels: Vec::new(), classes: Vec::new() };
        if labels == LabelSource::Folder {
            folder.label_by_folder()?;
        }
        Ok(folder)
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

    /// Files of one first-level folder are neighbors in the list, so a new name is a new class.
    fn label_by_folder(&mut self) -> Result<(), DataError> {
        let mut last: Option<&[u8]> = None;
        for index in 0..self.paths.ends.len() {
            let path = self.paths.get(index);
            let slash = path.iter().position(|&byte| byte == b'/').ok_or_else(|| {
                let problem = format!(
                    "{} lies directly in {}; labels = \"folder\" needs every image in a folder of its class",
                    readable(path),
                    self.root.display()
                );
                DataError::setting("data.labels", problem)
            })?;
            let class = &path[..slash];
            if last != Some(class) {
                self.classes.push(readable(class));
                last = Some(class);
            }
            self.labels.push(self.classes.len() as u32 - 1);
        }
        Ok(())
    }
}

impl IndexedSource for Folder {
    fn len(&self) -> usize {
        self.paths.ends.len()
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let path = self.path(index);
        patiently(|| files::open(&path)).map(Encoded::File).map_err(|cause| match cause.kind() {
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
}

/// What an entry of a folder is to us.
#[derive(Clone, Copy)]
enum EntryKind {
    Image,
    Folder,
    /// A link to a folder.
    Link,
}

/// Name, with a `/` after it if it is a folder's.
type Entry = (Box<[u8]>, EntryKind);

#[derive(Default)]
struct Walk {
    paths: PathList,
    other_files: usize,
    /// Real paths of the root and of every folder that a link led to.
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// Lists the folder at `path`, `relative` (empty or ending in `/`) to the root. `real` is its real path if a link
    /// led here. Each level is sorted by itself with `/` after the names of folders: the order of whole paths.
    fn folder(&mut self, path: &Path, relative: &mut Vec<u8>, real: Option<&Path>) -> Result<(), DataError> {
        for (name, kind) in self.entries(path)? {
            let start = relative.len();
            if let EntryKind::Image = kind {
                self.paths.push(relative, &name);
                continue;
            }
            let folder = path.join(os_path(&name[..name.len() - 1]));
            let real = match (kind, real) {
                (EntryKind::Link, _) => Some(folder.canonicalize().map_err(|error| DataError::io(&folder, error))?),
                (_, Some(real)) => Some(real.join(os_path(&name[..name.len() - 1]))),
                _ => None,
            };
            if let Some(real) = &real {
                let listed = match kind {
                    EntryKind::Link => real.ancestors().any(|ancestor| self.seen.contains(ancestor)),
                    _ => self.seen.contains(real),
                };
                if listed {
                    continue;
                }
                if let EntryKind::Link = kind {
                    self.seen.insert(real.clone());
                }
            }
            let before = self.paths.ends.len();
            relative.extend_from_slice(&name);
            self.folder(&folder, relative, real.as_deref())?;
            relative.truncate(start);
            let name = &name[..name.len() - 1];
            if self.paths.ends.len() == before && has_image_extension(name) {
                self.paths.push(relative, name);
            }
        }
        Ok(())
    }

    /// The images and folders within a folder, sorted.
    fn entries(&mut self, path: &Path) -> Result<Vec<Entry>, DataError> {
        let io = |error| DataError::io(path, error);
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            if name.starts_with(b".") {
                continue;
            }
            let mut file_type = entry.file_type().map_err(io)?;
            let link = file_type.is_symlink();
            if link && let Ok(target) = std::fs::metadata(entry.path()) {
                file_type = target.file_type();
            }
            if file_type.is_dir() {
                let kind = if link { EntryKind::Link } else { EntryKind::Folder };
                entries.push(([name, b"/"].concat().into_boxed_slice(), kind));
            } else if has_image_extension(name) {
                entries.push((name.into(), EntryKind::Image));
            } else {
                self.other_files += 1;
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
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
