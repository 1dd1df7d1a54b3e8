//! Results that are printed, and kept in files too: what was computed is never lost with a file that cannot be written.

use crate::exit::{self, Code};
use crate::terminal::note;
use selfsame_base::DataError;
use selfsame_base::atomic::{self, AtomicFile};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Files that cannot be written, each told once.
#[derive(Default)]
pub struct Kept {
    lost: Vec<(PathBuf, DataError)>,
}

impl Kept {
    /// Says now, before long work, which of these files cannot be written; their content will be printed all the same.
    pub fn ahead(paths: &[PathBuf]) -> Self {
        for path in paths {
            if let Err(error) = writable(path) {
                note!("warning: {error}: it will not be written; what it would hold is printed");
            }
        }
        Self::default()
    }

    /// Writes a file with `write`.
    pub fn write(&mut self, path: PathBuf, write: impl FnOnce(&Path) -> Result<(), DataError>) {
        if let Err(error) = write(&path)
            && self.lost.iter().all(|(lost, _)| *lost != path)
        {
            self.lost.push((path, error));
        }
    }

    /// Says what was not written. Called once the results are printed.
    pub fn finish(self) {
        let Some((_, first)) = self.lost.first() else { return };
        exit::remember(if first.is_out_of_space() { Code::OutOfSpace } else { Code::Failed });
        let names: Vec<_> = self.lost.iter().filter_map(|(path, _)| path.file_name()?.to_str()).collect();
        note!(
            "error: {first}: {} not written; what would be there is printed above. To have the files too, copy the run \
             folder to a place that can be written, and give the copy",
            names.join(", ")
        );
    }
}

/// Whether a file can be written, by writing a temporary one beside it.
///
/// # Errors
/// Why it cannot.
pub fn writable(path: &Path) -> Result<(), DataError> {
    if path.is_dir() {
        return Err(DataError::io(path, std::io::ErrorKind::IsADirectory.into()));
    }
    let mut file = AtomicFile::create(path)?;
    let written = file.write_all(&[0; 4096]).and_then(|()| file.flush());
    written.map_err(|cause| atomic::write_error(path, cause))
}
