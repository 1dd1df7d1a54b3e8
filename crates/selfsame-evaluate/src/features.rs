//! Features as evaluations see them: plain rows of numbers, and the files that hold them.
//!
//! | file | content |
//! | --- | --- |
//! | `NAME.parquet` | columns `id` (string), `label` (int32, when there are labels), `feature` (fixed-size list of f32 or f16); the names of the classes as a JSON list in the file's metadata under `classes` |
//! | `NAME.npy` | `[rows, dim]` little-endian f32 or f16 |
//! | `NAME.rows.jsonl` | beside `NAME.npy`: one JSON object per row, in the same order: `{"id": …, "label": …, "class": …}` |

mod npy;
mod parquet;
mod table;

pub(crate) use parquet::failed_write;
pub use table::{FeatureTable, Rows};

use selfsame_base::DataError;
use std::path::Path;

impl FeatureTable {
    /// Reads a file that [`FeatureWriter`], or another program, wrote (see the [module](self) for the format).
    ///
    /// Files of others may lack ids (then `FILE[row]`) and labels, may hold `f16` or `f64`, and labels may be strings in a
    /// `.parquet` file (then classes are numbered in alphabetical order).
    pub fn read(path: &Path) -> Result<Self, DataError> {
        match Format::of(path)? {
            Format::Parquet => parquet::read(path),
            Format::Npy => npy::read(path),
        }
    }
}

enum Format {
    Parquet,
    Npy,
}

impl Format {
    fn of(path: &Path) -> Result<Self, DataError> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("parquet") => Ok(Self::Parquet),
            Some("npy") => Ok(Self::Npy),
            _ => Err(DataError::Data(format!(
                "{}: features are kept in .parquet or .npy files; end the name in one of these",
                path.display()
            ))),
        }
    }
}

/// How features are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Eleven bits of a number, in half the space; values reach to ±65,504.
    F16,
    /// As they were computed.
    #[default]
    F32,
}

/// The largest value of [`Precision::F16`].
const F16_MOST: f32 = 65_504.0;

/// Writes features as they come: memory does not grow with the number of rows, and the file appears at
/// [`finish`](Self::finish), whole, replacing what was there.
pub struct FeatureWriter {
    sink: Sink,
    dim: usize,
    precision: Precision,
    labeled: bool,
}

enum Sink {
    Parquet(Box<parquet::Writer>),
    Npy(Box<npy::Writer>),
}

impl FeatureWriter {
    /// Starts `path`, which ends in `.parquet` or `.npy`. Labels are kept when `classes` names any.
    pub fn create(path: &Path, dim: usize, precision: Precision, classes: &[String]) -> Result<Self, DataError> {
        let sink = match Format::of(path)? {
            Format::Parquet => Sink::Parquet(Box::new(parquet::Writer::create(path, dim, precision, classes)?)),
            Format::Npy => Sink::Npy(Box::new(npy::Writer::create(path, dim, precision, classes)?)),
        };
        Ok(Self { sink, dim, precision, labeled: !classes.is_empty() })
    }

    /// Appends the rows of `batch`; its `classes` are not looked at.
    pub fn push(&mut self, batch: &FeatureTable) -> Result<(), DataError> {
        assert_eq!((batch.dim, batch.values.len()), (self.dim, batch.len() * self.dim), "a batch of another width");
        assert_eq!(batch.labels.len(), if self.labeled { batch.len() } else { 0 }, "labels and classes disagree");
        if self.precision == Precision::F16
            && let Some(at) = batch.values.iter().position(|value| value.abs() > F16_MOST)
        {
            let (id, value) = (&batch.ids[at / self.dim], batch.values[at]);
            return Err(DataError::Data(format!(
                "{id}: the feature {value} is beyond what f16 holds, ±{F16_MOST}; write f32"
            )));
        }
        match &mut self.sink {
            Sink::Parquet(writer) => writer.push(batch),
            Sink::Npy(writer) => writer.push(batch),
        }
    }

    /// Completes the file and puts it in its place.
    pub fn finish(self) -> Result<(), DataError> {
        match self.sink {
            Sink::Parquet(writer) => writer.finish(),
            Sink::Npy(writer) => writer.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, dim: usize, labeled: bool) -> FeatureTable {
        FeatureTable {
            values: (0..rows * dim).map(|i| (i as f32).sin()).collect(),
            dim,
            ids: (0..rows).map(|i| format!("cats/\"é\" {i}.png")).collect(),
            labels: if labeled { (0..rows as u32).map(|i| i % 3).collect() } else { Vec::new() },
            classes: if labeled { ["cat", "dog", "owl"].map(String::from).to_vec() } else { Vec::new() },
        }
    }

    fn write(path: &Path, table: &FeatureTable, batch: usize) -> Result<(), DataError> {
        write_as(path, table, batch, Precision::F32)
    }

    fn write_as(path: &Path, table: &FeatureTable, batch: usize, precision: Precision) -> Result<(), DataError> {
        let mut writer = FeatureWriter::create(path, table.dim, precision, &table.classes)?;
        for start in (0..table.len()).step_by(batch) {
            let rows = start..(start + batch).min(table.len());
            writer.push(&FeatureTable {
                values: table.values[rows.start * table.dim..rows.end * table.dim].to_vec(),
                dim: table.dim,
                ids: table.ids[rows.clone()].to_vec(),
                labels: table.labels.get(rows).unwrap_or_default().to_vec(),
                classes: Vec::new(),
            })?;
        }
        writer.finish()
    }

    #[test]
    fn what_is_written_is_read_whatever_the_batches() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.parquet", "f.npy"] {
            for (rows, dim, labeled, batch) in
                [(7, 3, true, 2), (5, 1, false, 5), (0, 4, false, 1), (300, 40, true, 64)]
            {
                let path = folder.path().join(name);
                let expected = table(rows, dim, labeled);
                write(&path, &expected, batch).unwrap();
                assert_eq!(FeatureTable::read(&path).unwrap(), expected, "{name} {rows}×{dim}");
            }
        }
    }

    #[test]
    fn half_precision_takes_half_the_space_and_refuses_what_it_cannot_hold() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.parquet", "f.npy"] {
            let path = folder.path().join(name);
            let exact = table(300, 40, true);
            write(&path, &exact, 64).unwrap();
            let whole = std::fs::metadata(&path).unwrap().len();
            write_as(&path, &exact, 64, Precision::F16).unwrap();
            assert!(std::fs::metadata(&path).unwrap().len() < whole * 6 / 10, "{name}");
            let read = FeatureTable::read(&path).unwrap();
            assert_eq!((&read.ids, &read.labels, read.dim), (&exact.ids, &exact.labels, 40));
            // Eleven bits of numbers within ±1.
            assert!(read.values.iter().zip(&exact.values).all(|(a, b)| (a - b).abs() <= 2f32.powi(-12)), "{name}");
            let large =
                FeatureTable { values: vec![7e4; 2], dim: 2, ids: vec!["a.png".into()], ..FeatureTable::default() };
            let error = write_as(&path, &large, 1, Precision::F16).unwrap_err().to_string();
            assert!(error.contains("a.png") && error.contains("write f32"), "{error}");
        }
    }

    #[test]
    fn bytes_do_not_depend_on_the_batches() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.parquet", "f.npy"] {
            let path = folder.path().join(name);
            let bytes = [1, 3, 50].map(|batch| {
                write(&path, &table(50, 6, true), batch).unwrap();
                std::fs::read(&path).unwrap()
            });
            assert!(bytes[0] == bytes[1] && bytes[1] == bytes[2], "{name}");
        }
    }

    #[test]
    fn an_unfinished_file_never_appears() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["f.parquet", "f.npy"] {
            let mut writer =
                FeatureWriter::create(&folder.path().join(name), 6, Precision::F32, &table(1, 6, true).classes)
                    .unwrap();
            writer.push(&table(50, 6, true)).unwrap();
            drop(writer);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn bad_paths_and_bad_files_are_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let create = |name| FeatureWriter::create(&path(name), 2, Precision::F32, &[]).err().unwrap().to_string();
        assert!(create("features.csv").contains(".parquet or .npy"));
        assert!(create("missing/f.npy").contains("missing/f.npy: No such file"));
        for (name, bytes) in
            [("short.npy", &b"\x93NUMPY\x01\x00\x76\x00{'descr'"[..]), ("not.parquet", b"PAR1 and nothing else")]
        {
            std::fs::write(path(name), bytes).unwrap();
            let error = FeatureTable::read(&path(name)).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains('\n'), "{error}");
        }
        // A file cut short after its header.
        write(&path("f.npy"), &table(5, 4, false), 5).unwrap();
        let bytes = std::fs::read(path("f.npy")).unwrap();
        std::fs::write(path("f.npy"), &bytes[..bytes.len() - 3]).unwrap();
        let error = FeatureTable::read(&path("f.npy")).unwrap_err().to_string();
        assert!(error.contains("80 bytes") && error.contains("77"), "{error}");
    }
}
