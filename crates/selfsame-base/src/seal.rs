//! Records under a seal: JSON whose last field is the hash of every byte before it, so that no flipped bit goes unnoticed.
//!
//! A record tells its format by its field `format`. The way of sealing is the same in every format: what another version
//! wrote can be told from what is damaged.

use crate::files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Why a record, or a file that it describes, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is not what was written, or cannot be read.
    #[error("{0}")]
    Damaged(String),
    /// It is whole, and another version's.
    #[error("has format {found}, and this version reads format {expected}; use the selfsame that wrote it")]
    Format {
        /// Its format.
        found: u64,
        /// The one that is read.
        expected: u64,
    },
}

/// A file as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedFile {
    /// Name in the folder of the record.
    pub name: String,
    /// Length.
    pub bytes: u64,
    /// Hash of the contents, hexadecimal.
    pub blake3: String,
}

impl SealedFile {
    /// The file `name` with these contents.
    pub fn of(name: &str, contents: &[u8]) -> Self {
        Self { name: name.into(), bytes: contents.len() as u64, blake3: blake3::hash(contents).to_string() }
    }

    /// The contents of the file in `folder`, if they are what was written.
    ///
    /// # Errors
    /// What is wrong with it, beginning with its name.
    pub fn read(&self, folder: &Path) -> Result<Vec<u8>, Unusable> {
        let contents = read(folder, &self.name)?;
        let damaged = |problem: String| Err(Unusable::Damaged(format!("{}: {problem}", self.name)));
        if contents.len() as u64 != self.bytes {
            return damaged(format!("{} bytes long, expected {}", contents.len(), self.bytes));
        }
        if *self != Self::of(&self.name, &contents) {
            return damaged("does not match its hash".into());
        }
        Ok(contents)
    }
}

/// The contents of a file; what stands in the way begins with its name.
fn read(folder: &Path, name: &str) -> Result<Vec<u8>, Unusable> {
    files::read(&folder.join(name), u64::MAX).map_err(|error| Unusable::Damaged(format!("{name}: {error}")))
}

/// What stands between the contents of a record and its hash.
const BEFORE_HASH: &str = ",\n  \"blake3\": \"";
/// What ends a record.
const END: &str = "\"\n}\n";

/// The bytes of `record`, a struct with a field `format`, under a seal.
pub fn seal(record: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(record).expect("plain values serialize");
    assert!(bytes.ends_with(b"\n}"), "a record has fields");
    bytes.truncate(bytes.len() - 2);
    bytes.extend(BEFORE_HASH.bytes());
    let hash = blake3::hash(&bytes).to_hex();
    bytes.extend(hash.bytes().chain(END.bytes()));
    bytes
}

/// Reads the record `name` in `folder`, if it is what was sealed, and of that format.
///
/// # Errors
/// What is wrong with it, beginning with its name.
pub fn open<T: DeserializeOwned>(folder: &Path, name: &str, format: u64) -> Result<T, Unusable> {
    #[derive(Deserialize)]
    struct Versioned {
        format: u64,
    }
    let damaged = |problem: String| Unusable::Damaged(format!("{name}: {problem}"));
    let bytes = read(folder, name)?;
    let (contents, seal) = bytes.split_at(bytes.len().saturating_sub(blake3::OUT_LEN * 2 + END.len()));
    let expected = [blake3::hash(contents).to_hex().as_bytes(), END.as_bytes()].concat();
    if seal != expected {
        return Err(damaged("does not match its hash".into()));
    }
    let parse = |error: serde_json::Error| damaged(error.to_string());
    let Versioned { format: found } = serde_json::from_slice(&bytes).map_err(parse)?;
    if found != format {
        return Err(Unusable::Format { found, expected: format });
    }
    serde_json::from_slice(&bytes).map_err(parse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Record {
        format: u64,
        step: u64,
        files: Vec<SealedFile>,
    }

    /// A folder with a record, and the file that it describes.
    fn folder() -> (tempfile::TempDir, Record) {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { format: 1, step: 31, files: vec![SealedFile::of("a", b"contents")] };
        std::fs::write(folder.path().join("a"), b"contents").unwrap();
        std::fs::write(folder.path().join("record.json"), seal(&record)).unwrap();
        (folder, record)
    }

    fn read(folder: &Path) -> Result<Record, Unusable> {
        let record: Record = open(folder, "record.json", 1)?;
        record.files[0].read(folder)?;
        Ok(record)
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_told() {
        let (folder, record) = folder();
        let folder = folder.path();
        assert_eq!(read(folder), Ok(record));
        for name in ["record.json", "a"] {
            let path = folder.join(name);
            let whole = std::fs::read(&path).unwrap();
            let told = |bytes: &[u8], what: &str| {
                std::fs::write(&path, bytes).unwrap();
                let problem = read(folder).expect_err(what);
                assert!(matches!(&problem, Unusable::Damaged(text) if text.starts_with(name)), "{what}: {problem}");
            };
            for at in 0..whole.len() {
                for bit in [at % 8, 5] {
                    let mut bytes = whole.clone();
                    bytes[at] ^= 1 << bit;
                    told(&bytes, &format!("{name}, byte {at}, bit {bit}"));
                }
                told(&whole[..at], &format!("{name}, {at} bytes"));
            }
            told(&[&whole[..], b"\n"].concat(), "longer");
            std::fs::remove_file(&path).unwrap();
            assert!(read(folder).is_err(), "{name} is gone");
            std::fs::write(&path, &whole).unwrap();
        }
    }

    #[test]
    fn a_record_of_another_format_is_not_taken_for_a_damaged_one() {
        let (folder, record) = folder();
        std::fs::write(folder.path().join("record.json"), seal(&Record { format: 2, ..record })).unwrap();
        assert_eq!(read(folder.path()), Err(Unusable::Format { found: 2, expected: 1 }));
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_in_a_files_place_is_not_waited_for() {
        let (folder, _) = folder();
        for name in ["a", "record.json"] {
            let path = folder.path().join(name);
            std::fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            let problem = read(folder.path()).unwrap_err().to_string();
            assert!(problem.starts_with(name) && problem.contains("pipe"), "{problem}");
        }
    }
}
