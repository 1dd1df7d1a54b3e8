//! What a classifier, or what tells labels or numbers, says of samples: the table of `selfsame predict`.
//!
//! | task | columns after `id` |
//! | --- | --- |
//! | classes | `label`, `probability`, and `p(NAME)` of every class |
//! | labels | `labels`, `unsure` (names joined by `;`), and `p(NAME)` of every label |
//! | numbers | `NAME` of every number |
//!
//! A threshold leaves open what is less sure: the label of a sample is empty (null in a `.parquet` file), a label of many is
//! listed as unsure.

use crate::features::failed_write;
use crate::knn::argmax;
use crate::targets::Task;
use arrow_array::{ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use selfsame_base::DataError;
use selfsame_base::atomic::{AtomicFile, write_error};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a row group of a `.parquet` file.
const ROW_GROUP: usize = 1 << 16;

/// Writes predictions as they come: memory does not grow with the number of rows, and the file appears when it is whole.
pub struct PredictionWriter {
    sink: Sink,
    path: PathBuf,
    task: Task,
    names: Vec<String>,
    threshold: f32,
    counts: Counts,
}

/// What was said of how many samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples.
    pub rows: usize,
    /// Samples of which nothing was sure enough, or not every label.
    pub open: usize,
    /// Samples that were given each class or label; empty for numbers.
    pub given: Vec<usize>,
}

enum Sink {
    Csv(Box<csv::Writer<AtomicFile>>),
    Parquet(Box<ArrowWriter<AtomicFile>>, Arc<Schema>),
}

/// What is said of one sample.
struct Said {
    label: Option<String>,
    /// Names that are left open, where a sample may have several labels.
    unsure: String,
    probability: f32,
}

impl PredictionWriter {
    /// Starts `path`, which ends in `.csv` or `.parquet`. `names` are those of the classes, labels or numbers; what is less probable
    /// than `threshold` is left open.
    ///
    /// # Errors
    /// If the name has another ending, or the file cannot be made.
    pub fn create(path: &Path, task: Task, names: &[String], threshold: f32) -> Result<Self, DataError> {
        let texts: &[&str] = match task {
            Task::Classes => &["id", "label"],
            Task::MultiLabel => &["id", "labels", "unsure"],
            Task::Numbers => &["id"],
        };
        let columns: Vec<String> = match task {
            Task::Numbers => names.to_vec(),
            Task::MultiLabel => names.iter().map(|name| format!("p({name})")).collect(),
            Task::Classes => {
                std::iter::once("probability".to_owned()).chain(names.iter().map(|name| format!("p({name})"))).collect()
            }
        };
        let sink = match path.extension().and_then(|extension| extension.to_str()) {
            Some("csv") => {
                let mut writer = csv::Writer::from_writer(AtomicFile::create(path)?);
                let head = texts.iter().copied().chain(columns.iter().map(String::as_str));
                writer.write_record(head).map_err(|error| write_error(path, error.into()))?;
                Sink::Csv(Box::new(writer))
            }
            Some("parquet") => {
                let texts = texts.iter().map(|name| Field::new(*name, DataType::Utf8, *name == "label"));
                let numbers = columns.iter().map(|name| Field::new(name, DataType::Float32, false));
                let schema = Arc::new(Schema::new(texts.chain(numbers).collect::<Vec<_>>()));
                let properties = WriterProperties::builder()
                    .set_max_row_group_row_count(Some(ROW_GROUP))
                    .set_compression(Compression::SNAPPY)
                    .build();
                let writer = ArrowWriter::try_new(AtomicFile::create(path)?, schema.clone(), Some(properties));
                Sink::Parquet(Box::new(writer.map_err(|error| failed_write(path, error))?), schema)
            }
            _ => {
                let problem = "predictions are kept in .csv or .parquet files; end the name in one of these";
                return Err(DataError::Data(format!("{}: {problem}", path.display())));
            }
        };
        let given = if task == Task::Numbers { Vec::new() } else { vec![0; names.len()] };
        let counts = Counts { given, ..Counts::default() };
        Ok(Self { sink, path: path.to_owned(), task, names: names.to_vec(), threshold, counts })
    }

    /// Appends samples: their names, and their probabilities or numbers, `[samples, names]`.
    pub fn push(&mut self, ids: &[String], values: &[f32]) -> Result<(), DataError> {
        let width = self.names.len();
        assert_eq!(ids.len() * width, values.len(), "a row per sample");
        let said: Vec<Said> = values.chunks_exact(width.max(1)).map(|row| self.say(row)).collect();
        self.counts.rows += ids.len();
        let (task, path) = (self.task, &self.path);
        match &mut self.sink {
            Sink::Csv(writer) => {
                for ((id, row), said) in ids.iter().zip(values.chunks_exact(width.max(1))).zip(&said) {
                    let mut record = vec![id.clone()];
                    if task != Task::Numbers {
                        record.push(said.label.clone().unwrap_or_default());
                    }
                    match task {
                        Task::Classes => record.push(said.probability.to_string()),
                        Task::MultiLabel => record.push(said.unsure.clone()),
                        Task::Numbers => {}
                    }
                    record.extend(row.iter().map(f32::to_string));
                    writer.write_record(&record).map_err(|error| write_error(path, error.into()))?;
                }
            }
            Sink::Parquet(writer, schema) => {
                let column = |of: &dyn Fn(usize) -> f32| -> ArrayRef {
                    Arc::new(Float32Array::from_iter_values((0..ids.len()).map(of)))
                };
                let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(ids))];
                if task != Task::Numbers {
                    columns.push(Arc::new(StringArray::from_iter(said.iter().map(|said| said.label.as_deref()))));
                }
                match task {
                    Task::Classes => columns.push(column(&|row| said[row].probability)),
                    Task::MultiLabel => {
                        columns.push(Arc::new(StringArray::from_iter_values(said.iter().map(|said| &said.unsure))));
                    }
                    Task::Numbers => {}
                }
                columns.extend((0..width).map(|index| column(&|row| values[row * width + index])));
                let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns follow the schema");
                writer.write(&batch).map_err(|error| failed_write(path, error))?;
            }
        }
        Ok(())
    }

    fn say(&mut self, row: &[f32]) -> Said {
        let threshold = self.threshold;
        match self.task {
            Task::Numbers => Said { label: None, unsure: String::new(), probability: 0.0 },
            Task::Classes => {
                let class = argmax(row) as usize;
                let label = (row[class] >= threshold).then(|| self.names[class].clone());
                match label {
                    Some(_) => self.counts.given[class] += 1,
                    None => self.counts.open += 1,
                }
                Said { label, unsure: String::new(), probability: row[class] }
            }
            Task::MultiLabel => {
                let is_open = |p: f32| p.max(1.0 - p) < threshold;
                let listed = |wanted: &dyn Fn(f32) -> bool| -> Vec<usize> {
                    (0..row.len()).filter(|&index| wanted(row[index])).collect()
                };
                let (has, open) = (listed(&|p| p >= 0.5 && !is_open(p)), listed(&is_open));
                has.iter().for_each(|&index| self.counts.given[index] += 1);
                self.counts.open += usize::from(!open.is_empty());
                let joined = |of: &[usize]| of.iter().map(|&i| self.names[i].as_str()).collect::<Vec<_>>().join(";");
                Said { label: Some(joined(&has)), unsure: joined(&open), probability: 0.0 }
            }
        }
    }

    /// Completes the file and puts it in its place.
    pub fn finish(self) -> Result<Counts, DataError> {
        let path = &self.path;
        let file = match self.sink {
            Sink::Csv(writer) => writer.into_inner().map_err(|error| write_error(path, error.into_error()))?,
            Sink::Parquet(writer, _) => writer.into_inner().map_err(|error| failed_write(path, error))?,
        };
        file.commit()?;
        Ok(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use std::fs;

    fn names() -> Vec<String> {
        ["cat", "dog, big"].map(String::from).to_vec()
    }

    /// The table that comes of two batches, and its counts.
    fn written(path: &Path, task: Task, threshold: f32) -> Counts {
        let mut writer = PredictionWriter::create(path, task, &names(), threshold).unwrap();
        writer.push(&["a.png".to_owned(), "b \"2\".png".to_owned()], &[0.9, 0.1, 0.375, 0.625]).unwrap();
        writer.push(&["c.png".to_owned()], &[0.75, 0.75]).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn tables_hold_what_was_said() {
        let folder = tempfile::tempdir().unwrap();
        for (task, threshold, expected, counts) in [
            (
                Task::Classes,
                0.7,
                "id,label,probability,p(cat),\"p(dog, big)\"\na.png,cat,0.9,0.9,0.1\n\"b \"\"2\"\".png\",,0.625,0.375,0.625\nc.png,cat,0.75,0.75,0.75\n",
                Counts { rows: 3, open: 1, given: vec![2, 0] },
            ),
            (
                Task::MultiLabel,
                0.7,
                "id,labels,unsure,p(cat),\"p(dog, big)\"\na.png,cat,,0.9,0.1\n\"b \"\"2\"\".png\",,\"cat;dog, big\",0.375,0.625\nc.png,\"cat;dog, big\",,0.75,0.75\n",
                Counts { rows: 3, open: 1, given: vec![2, 1] },
            ),
            (
                Task::Numbers,
                0.0,
                "id,cat,\"dog, big\"\na.png,0.9,0.1\n\"b \"\"2\"\".png\",0.375,0.625\nc.png,0.75,0.75\n",
                Counts { rows: 3, ..Counts::default() },
            ),
        ] {
            let path = folder.path().join("said.csv");
            assert_eq!(written(&path, task, threshold), counts, "{task:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{task:?}");

            let path = folder.path().join("said.parquet");
            assert_eq!(written(&path, task, threshold), counts);
            let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&path).unwrap()).unwrap();
            let schema = reader.schema().clone();
            let rows: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
            assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
            let head: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
            let columns = csv::Reader::from_reader(expected.as_bytes()).headers().unwrap().clone();
            assert!(head.iter().map(|name| name.as_str()).eq(columns.iter()), "{head:?}");
        }
        let error = PredictionWriter::create(&folder.path().join("x.txt"), Task::Classes, &names(), 0.0).err();
        assert!(error.unwrap().to_string().contains(".csv or .parquet"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
