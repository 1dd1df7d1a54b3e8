//! Features as evaluations see them: plain rows of numbers, and the files that hold them.
//!
//! | file | content |
//! | --- | --- |
//! | `NAME.parquet` | columns `id` (string), `label` (int32, when there are labels), `feature` (fixed-size list of f32); the names of the classes as a JSON list in the file's metadata under `classes` |
//! | `NAME.npy` | `[rows, dim]` little-endian f32 |
//! | `NAME.rows.jsonl` | beside `NAME.npy`: one JSON object a row, in the same order: `{"id": …, "label": …, "class": …}` |

mod npy;
mod parquet;

use crate::DataError;
use std::path::Path;

/// Rows of `f32` features with their ids and, where known, labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    /// `[rows, dim]`, row by row.
    pub values: Vec<f32>,
    /// Width of a row.
    pub dim: usize,
    /// Id (path) of each row.
    pub ids: Vec<String>,
    /// Class of each row, or empty when there are no labels.
    pub labels: Vec<u32>,
    /// Names of the classes, or empty.
    pub classes: Vec<String>,
}

/// Rows of a matrix, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[rows, dim]`, row by row.
    pub values: &'a [f32],
    /// Width of a row.
    pub dim: usize,
}

impl FeatureTable {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }
    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
    /// Row `index`, `[dim]`.
    pub fn row(&self, index: usize) -> &[f32] {
        self.rows().row(index)
    }
    /// The features alone.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.values, self.dim)
    }
    /// Appends the rows of `other`, which has the same width and labels where this one has them.
    pub fn append(&mut self, other: Self) {
        assert!(self.is_empty() || self.dim == other.dim, "rows of width {} after {}", other.dim, self.dim);
        self.dim = other.dim;
        self.values.extend(other.values);
        self.ids.extend(other.ids);
        self.labels.extend(other.labels);
        assert!(self.labels.is_empty() || self.labels.len() == self.ids.len(), "labels for some rows only");
    }
    /// Reads a file that [`FeatureWriter`], or another program, wrote (see the [module](self) for the format).
    ///
    /// Files of others may lack ids (then `FILE[row]`) and labels, may hold `f64`, and labels may be strings in a
    /// `.parquet` file (then classes are numbered in alphabetical order).
    pub fn read(path: &Path) -> Result<Self, DataError> {
        match Format::of(path)? {
            Format::Parquet => parquet::read(path),
            Format::Npy => npy::read(path),
        }
    }
}

impl<'a> Rows<'a> {
    /// Borrows `values` as rows of width `dim`.
    pub fn new(values: &'a [f32], dim: usize) -> Self {
        assert!(dim > 0 || values.is_empty(), "rows of width 0");
        assert!(values.is_empty() || values.len().is_multiple_of(dim), "{} values in rows of {dim}", values.len());
        Self { values, dim }
    }
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }
    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
    /// Row `index`, `[dim]`.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..][..self.dim]
    }
    /// Rows `start .. start + count`.
    pub fn slice(&self, start: usize, count: usize) -> Self {
        Self { values: &self.values[start * self.dim..][..count * self.dim], dim: self.dim }
    }
    /// First row that holds a NaN or an infinity.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.values.iter().position(|v| !v.is_finite()).map(|at| at / self.dim)
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

/// Writes features as they come: memory does not grow with the number of rows, and the file appears at
/// [`finish`](Self::finish), whole, replacing what was there.
pub struct FeatureWriter {
    sink: Sink,
    dim: usize,
    labelled: bool,
}

enum Sink {
    Parquet(Box<parquet::Writer>),
    Npy(npy::Writer),
}

impl FeatureWriter {
    /// Starts `path`, which ends in `.parquet` or `.npy`. Labels are kept when `classes` names any.
    pub fn create(path: &Path, dim: usize, classes: &[String]) -> Result<Self, DataError> {
        let sink = match Format::of(path)? {
            Format::Parquet => Sink::Parquet(Box::new(parquet::Writer::create(path, dim, classes)?)),
            Format::Npy => Sink::Npy(npy::Writer::create(path, dim, classes)?),
        };
        Ok(Self { sink, dim, labelled: !classes.is_empty() })
    }

    /// Appends the rows of `batch`; its `classes` are not looked at.
    pub fn push(&mut self, batch: &FeatureTable) -> Result<(), DataError> {
        assert_eq!((batch.dim, batch.values.len()), (self.dim, batch.len() * self.dim), "a batch of another width");
        assert_eq!(batch.labels.len(), if self.labelled { batch.len() } else { 0 }, "labels and classes disagree");
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

/// Names for classes that a file numbers but does not name: their numbers.
fn number_classes(labels: &[u32], classes: &mut Vec<String>) {
    let count = labels.iter().max().map_or(0, |&max| max as usize + 1);
    (classes.len()..count).for_each(|class| classes.push(class.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: usize, dim: usize, labelled: bool) -> FeatureTable {
        FeatureTable {
            values: (0..rows * dim).map(|i| (i as f32).sin()).collect(),
            dim,
            ids: (0..rows).map(|i| format!("cats/\"é\" {i}.png")).collect(),
            labels: if labelled { (0..rows as u32).map(|i| i % 3).collect() } else { Vec::new() },
            classes: if labelled { ["cat", "dog", "owl"].map(String::from).to_vec() } else { Vec::new() },
        }
    }

    fn write(path: &Path, table: &FeatureTable, batch: usize) -> Result<(), DataError> {
        let mut writer = FeatureWriter::create(path, table.dim, &table.classes)?;
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
            for (rows, dim, labelled, batch) in
                [(7, 3, true, 2), (5, 1, false, 5), (0, 4, false, 1), (300, 40, true, 64)]
            {
                let path = folder.path().join(name);
                let expected = table(rows, dim, labelled);
                write(&path, &expected, batch).unwrap();
                assert_eq!(FeatureTable::read(&path).unwrap(), expected, "{name} {rows}×{dim}");
            }
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
            let mut writer = FeatureWriter::create(&folder.path().join(name), 6, &table(1, 6, true).classes).unwrap();
            writer.push(&table(50, 6, true)).unwrap();
            drop(writer);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        }
    }

    #[test]
    fn bad_paths_and_bad_files_are_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let create = |name| FeatureWriter::create(&path(name), 2, &[]).err().unwrap().to_string();
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
