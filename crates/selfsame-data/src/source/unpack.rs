//! Packed data: how much may come out of them, and where it goes.

use super::bad_file;
use super::rows::Storage;
use selfsame_base::{DataError, error};
use std::io::{self, Read, Write};
use std::path::Path;
use tempfile::{SpooledData, SpooledTempFile};

/// Bytes that are kept in memory; more go to a temporary file, so that memory does not grow with the data.
const IN_MEMORY_BYTES: usize = 16 << 20;

/// Bytes that a byte of DEFLATE can hold at most: 258 for each two bits.
const MOST_PER_BYTE: u64 = 1032;

/// Refuses a promise that `packed_bytes` cannot keep, before anything is unpacked.
pub fn check_ratio(path: &Path, packed_bytes: u64, promised: u64) -> Result<(), DataError> {
    if promised <= packed_bytes.saturating_mul(MOST_PER_BYTE) {
        return Ok(());
    }
    let problem =
        format!("its header promises {promised} bytes of data, more than {packed_bytes} packed bytes can hold");
    Err(bad_file(path, problem))
}

/// Data on their way to where they are read: memory when they are few, otherwise a temporary file without a name.
pub struct Spool(SpooledTempFile);

impl Spool {
    pub fn new() -> Self {
        Self(SpooledTempFile::new(IN_MEMORY_BYTES))
    }

    /// Appends `bytes` made of the file at `path`.
    pub fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), DataError> {
        self.0.write_all(bytes).map_err(|cause| failed(path, cause))
    }

    pub fn into_storage(self, path: &Path) -> Storage {
        match self.0.into_inner() {
            SpooledData::InMemory(bytes) => Storage::Memory(bytes.into_inner()),
            SpooledData::OnDisk(file) => Storage::File { file, path: path.to_owned() },
        }
    }
}

fn failed(path: &Path, cause: io::Error) -> DataError {
    if error::is_out_of_space(&cause) {
        let hint =
            Some("data are unpacked there; free some space, set TMPDIR to a larger disk, or unpack them yourself");
        return DataError::Io { path: std::env::temp_dir(), cause, hint };
    }
    bad_file(path, format!("truncated or damaged: {cause}"))
}

/// Unpacks the `promised` bytes of `reader`. No more is unpacked than one byte beyond.
pub fn unpack(path: &Path, reader: &mut impl Read, promised: u64) -> Result<Storage, DataError> {
    let mut spool = Spool::new();
    let found = io::copy(&mut reader.take(promised.saturating_add(1)), &mut spool.0);
    let found = found.map_err(|cause| failed(path, cause))?;
    if found != promised {
        let found = if found > promised { "more".to_owned() } else { found.to_string() };
        return Err(bad_file(path, format!("its header promises {promised} bytes of data, the file holds {found}")));
    }
    Ok(spool.into_storage(path))
}
