//! Files that appear whole or not at all.

use crate::DataError;
use crate::error::is_out_of_space;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{self, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempPath;

/// How the names of temporary files begin.
const PREFIX: &str = ".partial-selfsame-";

/// Temporary files of this process that are neither renamed nor removed yet. Whoever makes one, or renames it, holds the
/// lock, so that none is made while [`abandon`] removes them.
static PENDING: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn pending() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    PENDING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes the temporary files of this process, which must end now: from here on none is made or renamed.
pub fn abandon() {
    // Whoever holds the lock makes or renames one file; if the file system does not answer, the file stays.
    for _ in 0..100 {
        let pending = match PENDING.try_lock() {
            Ok(pending) => pending,
            Err(sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(sync::TryLockError::WouldBlock) => {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        for path in pending.iter() {
            let _ = fs::remove_file(path);
        }
        return std::mem::forget(pending);
    }
}

/// An entry of [`PENDING`].
#[derive(Debug)]
struct Pending(PathBuf);

impl Drop for Pending {
    fn drop(&mut self) {
        pending().remove(&self.0);
    }
}

/// A file written under a temporary name in its own folder and renamed by [`commit`](Self::commit), so that a reader
/// never sees half of it. Dropped without `commit`, it leaves nothing behind; what a killed process left, the next one
/// that is created in the folder removes.
#[derive(Debug)]
pub struct AtomicFile {
    file: BufWriter<File>,
    temporary: TempPath,
    /// After `temporary`: first the file goes, then its entry.
    entry: Pending,
    path: PathBuf,
}

impl AtomicFile {
    /// Starts a file that will replace whatever is at `path`; the folder must exist and be writable.
    pub fn create(path: &Path) -> Result<Self, DataError> {
        let folder = folder_of(path);
        sweep(folder);
        // Opened by us, not by `tempfile`: with the permissions of any other new file instead of private ones, and
        // with errors that do not speak of a temporary file.
        let open = |path: &Path| {
            let file = OpenOptions::new().write(true).create_new(true).open(path)?;
            claim(&file, path)?;
            Ok(file)
        };
        let mut pending = pending();
        let created = tempfile::Builder::new().prefix(PREFIX).make_in(folder, open);
        let (file, temporary) = created
            .map_err(|cause| {
                let hint = Some("its folder must exist and be writable");
                DataError::Io { path: path.to_owned(), cause, hint }
            })?
            .into_parts();
        pending.insert(temporary.to_path_buf());
        let entry = Pending(temporary.to_path_buf());
        Ok(Self { file: BufWriter::with_capacity(1 << 20, file), temporary, entry, path: path.to_owned() })
    }

    /// Flushes to the disk and renames to the final path.
    pub fn commit(self) -> Result<(), DataError> {
        let folder = folder_of(&self.path).to_owned();
        let Self { file, temporary, entry: _entry, path } = self;
        let io = |source| write_error(&path, source);
        let file = file.into_inner().map_err(|e| io(e.into_error()))?;
        // Some file systems report a full disk only here.
        file.sync_all().map_err(io)?;
        {
            let _pending = pending();
            temporary.persist(&path).map_err(|e| io(e.error))?;
        }
        sync_folder(&folder).map_err(io)
    }

    /// The final path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// Locks a temporary file for as long as it is open: one that can be locked is nobody's any more.
fn claim(file: &File, path: &Path) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) if path.try_exists()? => Ok(()),
        // Where a file system has no locks, nothing is taken for litter.
        Err(fs::TryLockError::Error(_)) => Ok(()),
        // Another process swept it away between its creation and here; `tempfile` goes on with another name.
        Ok(()) | Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::AlreadyExists.into()),
    }
}

/// Whether a file of that name is a temporary one of ours.
pub fn is_temporary(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
}

/// Removes the temporary files that killed processes left in `folder`: ours by name, and held by no process. What cannot be
/// removed stays.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_temporary(&entry.file_name()) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            let path = entry.path();
            // Open, and so locked, until it is removed.
            let file = OpenOptions::new().write(true).open(&path);
            if file.as_ref().is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(&path);
            }
        }
    }
}

/// Hands the names in a folder to the disk: a file that was created or renamed is there once its folder is.
///
/// Only Unix opens folders as files. Windows has no such call, and its file systems keep a journal of names.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// The folder that holds `path`.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Checks that a folder can be made at `path`: nothing is there, or an empty folder.
///
/// # Errors
/// If something is.
pub fn check_free(path: &Path) -> Result<(), DataError> {
    let is_empty_folder = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.symlink_metadata().is_err() || is_empty_folder() {
        return Ok(());
    }
    Err(DataError::Data(format!("{}: is there and not empty; choose another folder", path.display())))
}

/// Makes the folder `path`, which must not hold anything.
///
/// # Errors
/// If it does, or cannot be made.
pub fn make_free(path: &Path) -> Result<(), DataError> {
    check_free(path)?;
    let hint = Some("its folder must be writable");
    fs::create_dir_all(path).map_err(|cause| DataError::Io { path: path.to_owned(), cause, hint })
}

/// A failed write to `path`; the temporary file goes when its [`AtomicFile`] is dropped.
pub fn write_error(path: &Path, cause: io::Error) -> DataError {
    let hint = is_out_of_space(&cause).then_some("nothing was left behind; free some space or write elsewhere");
    DataError::Io { path: path.to_owned(), cause, hint }
}

/// Writes `bytes` to `path`, whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| write_error(path, source))?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_old_file_stands_until_the_new_one_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["a".to_owned()]));
        write(&path, b"new").unwrap();
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"new".to_vec(), vec!["a".to_owned()]));
    }

    #[test]
    fn what_a_killed_process_left_goes_and_what_another_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let [litter, foreign] =
            [format!("{PREFIX}a1B2c3"), ".partial-theirs".to_owned()].map(|n| folder.path().join(n));
        fs::write(&litter, "half").unwrap();
        fs::write(&foreign, "not ours").unwrap();
        fs::create_dir(folder.path().join(format!("{PREFIX}folder"))).unwrap();
        let mut written = AtomicFile::create(&folder.path().join("a")).unwrap();
        written.write_all(b"new").unwrap();
        assert!(!litter.exists());
        sweep(folder.path());
        let before = names(folder.path()).len();
        assert_eq!(before, 3, "the foreign file, the folder, and what is being written");
        written.commit().unwrap();
        assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"new");
        assert!(foreign.exists() && names(folder.path()).len() == 3);
    }

    #[test]
    fn a_folder_is_made_where_nothing_or_an_empty_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/folder");
        make_free(&path).unwrap();
        make_free(&path).unwrap();
        write(&path.join("a"), b"").unwrap();
        for taken in [path.clone(), path.join("a")] {
            let error = make_free(&taken).unwrap_err().to_string();
            assert!(error.contains("is there and not empty"), "{error}");
        }
    }

    #[test]
    fn a_missing_folder_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(&folder.path().join("no/a"), b"").unwrap_err().to_string();
        assert!(error.contains("no/a: No such file") && error.contains("folder must exist"), "{error}");
        assert!(!error.contains("partial"), "{error}");
    }
}
