//! Listing a folder.

use super::ignored::Ignored;
use super::{PathList, os_path, readable};
use crate::decode::FileKind;
use selfsame_base::DataError;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What an entry of a folder is to us.
#[derive(Clone, Copy)]
enum EntryKind {
    File(FileKind),
    Folder,
    /// A link to a folder.
    Link,
}

/// Name, with a `/` after it if it is a folder's.
type Entry = (Box<[u8]>, EntryKind);

/// What there is in a folder.
pub struct Walk {
    /// The images, in the order of their paths.
    pub images: PathList,
    /// The sounds, likewise.
    pub sounds: PathList,
    pub ignored: Ignored,
    /// Links to folders that are listed elsewhere, and where.
    pub repeated: Vec<(String, String)>,
    /// Real paths of the root and of every folder that a link led to, and under which name, relative to the root.
    seen: HashMap<PathBuf, Vec<u8>>,
}

impl Walk {
    /// Lists the folder `root`.
    pub fn through(root: &Path) -> Result<Self, DataError> {
        let real = root.canonicalize().map_err(|error| DataError::io(root, error))?;
        let seen = [(real, Vec::new())].into();
        let mut walk = Self {
            images: PathList::default(),
            sounds: PathList::default(),
            ignored: Ignored::default(),
            repeated: Vec::new(),
            seen,
        };
        walk.folder(root, &mut Vec::new(), None)?;
        Ok(walk)
    }

    /// Lists the folder at `path`, `relative` (empty or ending in `/`) to the root. `real` is its real path if a link
    /// led here. Each level is sorted by itself with `/` after the names of folders: the order of whole paths.
    fn folder(&mut self, path: &Path, relative: &mut Vec<u8>, real: Option<&Path>) -> Result<(), DataError> {
        for (name, kind) in self.entries(path)? {
            let start = relative.len();
            if let EntryKind::File(kind) = kind {
                self.paths(kind).push(relative, &name);
                continue;
            }
            let folder = path.join(os_path(&name[..name.len() - 1]));
            let real = match (kind, real) {
                (EntryKind::Link, _) => Some(folder.canonicalize().map_err(|error| DataError::io(&folder, error))?),
                (_, Some(real)) => Some(real.join(os_path(&name[..name.len() - 1]))),
                _ => None,
            };
            if let Some(real) = &real {
                let alias = [&relative[..], &name[..name.len() - 1]].concat();
                let listed = match kind {
                    EntryKind::Link => real.ancestors().find(|ancestor| self.seen.contains_key(*ancestor)),
                    _ => Some(real.as_path()).filter(|real| self.seen.contains_key(*real)),
                };
                if let Some(ancestor) = listed {
                    self.repeated.push((readable(&alias), self.name_of(real, ancestor)));
                    continue;
                }
                if let EntryKind::Link = kind {
                    self.seen.insert(real.clone(), alias);
                }
            }
            let before = self.images.len() + self.sounds.len();
            relative.extend_from_slice(&name);
            self.folder(&folder, relative, real.as_deref())?;
            relative.truncate(start);
            let name = &name[..name.len() - 1];
            if self.images.len() + self.sounds.len() == before
                && let Some(kind) = FileKind::of(name)
            {
                self.paths(kind).push(relative, name);
            }
        }
        Ok(())
    }

    fn paths(&mut self, kind: FileKind) -> &mut PathList {
        match kind {
            FileKind::Image => &mut self.images,
            FileKind::Sound => &mut self.sounds,
        }
    }

    /// What the folder with the real path `real` is listed as, within the listed `ancestor`.
    fn name_of(&self, real: &Path, ancestor: &Path) -> String {
        let within = real.strip_prefix(ancestor).unwrap_or(real);
        // Of parts, since to join an empty one would add a slash.
        let name: PathBuf = Path::new(os_path(&self.seen[ancestor])).iter().chain(within).collect();
        if name.as_os_str().is_empty() { "the folder itself".to_owned() } else { name.display().to_string() }
    }

    /// The files and folders within a folder that are read, sorted.
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
            } else if let Some(kind) = FileKind::of(name) {
                entries.push((name.into(), EntryKind::File(kind)));
            } else {
                self.ignored.count(name);
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(entries)
    }
}
