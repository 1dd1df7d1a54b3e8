//! What data were when a training began, to say in numbers how they have changed since.
//!
//! A file of 32 bytes per sample between a head of 40 bytes and a hash of all before it: nothing depends on it but these
//! numbers, so one that is missing, damaged or of another version is none.

use crate::source::Stat;
use selfsame_base::{DataError, atomic, files};
use std::fmt;
use std::path::Path;

/// What a sample was: hash of its id, bytes and time of its file, and hash of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    pub key: u64,
    pub size_bytes: u64,
    pub modified_ns: i64,
    /// `None` as long as no training has read the sample.
    pub content: Option<u64>,
}

impl Entry {
    pub fn new(key: u64, Stat { size_bytes, modified_ns }: Stat, content: Option<u64>) -> Self {
        Self { key, size_bytes, modified_ns, content }
    }
}

/// Entries of all samples, and the fingerprint of their data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRecord {
    fingerprint: String,
    /// Sorted by key.
    entries: Vec<Entry>,
}

/// First bytes of the file; the digit is its version.
const MAGIC: &[u8; 8] = b"ssdata1\n";
const HEX: usize = 32;
const HEAD: usize = MAGIC.len() + HEX;
const ENTRY: usize = 32;

impl DataRecord {
    pub(crate) fn new(fingerprint: String, mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable();
        Self { fingerprint, entries }
    }

    /// Fingerprint of the data that it is of.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Hashes of the contents that were read.
    pub fn contents(&self) -> impl Iterator<Item = u64> + '_ {
        self.entries.iter().filter_map(|entry| entry.content)
    }

    pub(crate) fn get(&self, key: u64) -> Option<&Entry> {
        self.entries.binary_search_by_key(&key, |entry| entry.key).ok().map(|at| &self.entries[at])
    }

    /// Writes it to `path`, whole or not at all.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.fingerprint.bytes().chain(std::iter::repeat(b' ')).take(HEX));
        for Entry { key, size_bytes, modified_ns, content } in &self.entries {
            let numbers = [*key, *size_bytes, modified_ns.cast_unsigned(), content.unwrap_or(0)];
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        let hash = blake3::hash(&bytes);
        bytes.extend(hash.as_bytes());
        atomic::write(path, &bytes)
    }

    /// Reads what [`Self::write`] wrote; `None` where there is no such file, or it is not whole.
    pub fn read(path: &Path) -> Option<Self> {
        let bytes = files::read(path, u64::MAX).ok()?;
        let (bytes, hash) = bytes.split_last_chunk::<{ blake3::OUT_LEN }>()?;
        let entries = bytes.get(HEAD..)?;
        if blake3::hash(bytes) != *hash || !bytes.starts_with(MAGIC) || !entries.len().is_multiple_of(ENTRY) {
            return None;
        }
        let fingerprint = std::str::from_utf8(&bytes[MAGIC.len()..HEAD]).ok()?.trim_end().to_owned();
        let entries = entries.as_chunks::<ENTRY>().0.iter().map(|entry| {
            let [key, size_bytes, modified_ns, content] =
                [0, 1, 2, 3].map(|i| u64::from_le_bytes(entry.as_chunks().0[i]));
            let content = (content != 0).then_some(content);
            Entry { key, size_bytes, modified_ns: modified_ns.cast_signed(), content }
        });
        Some(Self { fingerprint, entries: entries.collect() })
    }
}

/// How data differ from what they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Samples that were not there.
    pub added: usize,
    /// Samples that are there no more.
    pub removed: usize,
    /// Samples of another content.
    pub replaced: usize,
    /// Id of the first that was added or replaced.
    pub first: Option<String>,
}

impl Changes {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.added + self.removed + self.replaced > 0
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, removed, replaced, first } = self;
        write!(f, "{added} added, {removed} removed, {replaced} replaced")?;
        first.as_ref().map_or(Ok(()), |first| write!(f, " (the first: {first})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> DataRecord {
        let stat = |size_bytes, modified_ns| Stat { size_bytes, modified_ns };
        let entries = vec![
            Entry::new(u64::MAX, stat(100, -5), Some(7)),
            Entry::new(3, stat(u64::MAX, i64::MAX), None),
            Entry::new(9, stat(0, 0), Some(u64::MAX)),
        ];
        DataRecord::new("0123456789abcdef0123456789abcdef".into(), entries)
    }

    #[test]
    fn a_record_reads_back_and_takes_32_bytes_per_sample() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        assert_eq!(DataRecord::read(&path), None);
        record().write(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 40 + 3 * 32 + 32);
        let read = DataRecord::read(&path).unwrap();
        assert_eq!(read, record());
        assert_eq!((read.get(9).unwrap().content, read.get(4)), (Some(u64::MAX), None));
        assert_eq!(read.contents().collect::<Vec<_>>(), [u64::MAX, 7]);
    }

    #[test]
    fn a_damaged_record_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.bin");
        record().write(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(DataRecord::read(&path), None, "a flipped bit in byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(DataRecord::read(&path), None, "{at} bytes");
        }
    }
}
