//! Packed data: how much may come out of them, and where it goes.

use super::array::Storage;
use super::bad_file;
use selfsame_base::DataError;
use std::io::{ErrorKind, Read};
use std::path::Path;
use tempfile::{SpooledData, SpooledTempFile};

/// Unpacked bytes that are kept in memory; more go to a temporary file, so that memory does not grow with the data.
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

/// Unpacks the `promised` bytes of `reader` into memory when they are few, otherwise into a temporary file without a name. No
/// more is unpacked than one byte beyond.
pub fn unpack(path: &Path, reader: &mut impl Read, promised: u64) -> Result<Storage, DataError> {
    let mut spool = SpooledTempFile::new(IN_MEMORY_BYTES);
    let found = std::io::copy(&mut reader.take(promised.saturating_add(1)), &mut spool).map_err(|cause| match cause
        .kind()
    {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DataError::Io {
            path: std::env::temp_dir(),
            cause,
            hint: Some(
                "data are unpacked there; free some space, set TMPDIR to a larger disk, or unpack them yourself",
            ),
        },
        _ => bad_file(path, format!("truncated or damaged: {cause}")),
    })?;
    if found != promised {
        let found = if found > promised { "more".to_owned() } else { found.to_string() };
        return Err(bad_file(path, format!("its header promises {promised} bytes of data, the file holds {found}")));
    }
    Ok(match spool.into_inner() {
        SpooledData::InMemory(bytes) => Storage::Memory(bytes.into_inner()),
        SpooledData::OnDisk(file) => Storage::File { file, path: path.to_owned() },
    })
}
