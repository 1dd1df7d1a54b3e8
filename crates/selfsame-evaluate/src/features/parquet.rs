//! Apache Parquet: one row group after the other, so memory holds one of them.

use super::Precision;
use super::table::{FeatureTable, MOST_CLASSES, number_classes};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type, Int32Type, Int64Type, UInt8Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, Int32Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use half::f16;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use selfsame_base::atomic::{AtomicFile, write_error};
use selfsame_base::{DataError, files};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Features in a row group, bytes: large enough for fast reading, small enough to hold in memory.
const ROW_GROUP_BYTES: usize = 4 << 20;
/// Key of the names of the classes in the file's metadata.
const CLASSES_KEY: &str = "classes";

pub(super) struct Writer {
    writer: ArrowWriter<AtomicFile>,
    schema: Arc<Schema>,
    item: Arc<Field>,
    path: PathBuf,
}

impl Writer {
    pub(super) fn create(path: &Path, dim: usize, precision: Precision, classes: &[String]) -> Result<Self, DataError> {
        let number = match precision {
            Precision::F16 => DataType::Float16,
            Precision::F32 => DataType::Float32,
        };
        let item = Arc::new(Field::new("item", number, false));
        let list = DataType::FixedSizeList(item.clone(), i32::try_from(dim).expect("width fits an i32"));
        let mut fields = vec![Field::new("id", DataType::Utf8, false), Field::new("feature", list, false)];
        let mut properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some((ROW_GROUP_BYTES / (4 * dim)).max(1)))
            // Features neither compress nor repeat; ids and labels do both.
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_column_compression("id".into(), Compression::SNAPPY)
            .set_column_compression("label".into(), Compression::SNAPPY)
            .set_column_dictionary_enabled("label".into(), true);
        if !classes.is_empty() {
            fields.insert(1, Field::new("label", DataType::Int32, false));
            let names = serde_json::to_string(classes).expect("strings always serialize");
            properties = properties.set_key_value_metadata(Some(vec![KeyValue::new(CLASSES_KEY.to_owned(), names)]));
        }
        let schema = Arc::new(Schema::new(fields));
        let writer = ArrowWriter::try_new(AtomicFile::create(path)?, schema.clone(), Some(properties.build()))
            .map_err(|e| failed_write(path, e))?;
        Ok(Self { writer, schema, item, path: path.to_owned() })
    }

    pub(super) fn push(&mut self, batch: &FeatureTable) -> Result<(), DataError> {
        let values: ArrayRef = match self.item.data_type() {
            DataType::Float16 => {
                Arc::new(Float16Array::from_iter_values(batch.values.iter().map(|&value| f16::from_f32(value))))
            }
            _ => Arc::new(Float32Array::from(batch.values.clone())),
        };
        let features = FixedSizeListArray::new(self.item.clone(), batch.dim as i32, values, None);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from_iter_values(&batch.ids)), Arc::new(features)];
        if self.schema.column_with_name("label").is_some() {
            columns.insert(1, Arc::new(Int32Array::from_iter_values(batch.labels.iter().map(|&l| l as i32))));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns).expect("columns follow the schema");
        self.writer.write(&batch).map_err(|e| failed_write(&self.path, e))
    }

    pub(super) fn finish(self) -> Result<(), DataError> {
        self.writer.into_inner().map_err(|e| failed_write(&self.path, e))?.commit()
    }
}

/// The error of a writer, which is one of the file beneath it.
pub(crate) fn failed_write(path: &Path, error: ParquetError) -> DataError {
    let source = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(io) => *io,
            Err(other) => std::io::Error::other(other),
        },
        other => std::io::Error::other(other),
    };
    write_error(path, source)
}

pub(super) fn read(path: &Path) -> Result<FeatureTable, DataError> {
    let file = files::open(path).map_err(|e| DataError::io(path, e))?;
    let bad = |problem: String| DataError::sample(path.display().to_string(), problem.replace('\n', " "));
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| bad(e.to_string()))?;
    let metadata = builder.metadata().file_metadata().key_value_metadata();
    let classes = metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == CLASSES_KEY)?.value.clone());
    let mut table = FeatureTable::default();
    if let Some(DataType::FixedSizeList(_, dim)) =
        builder.schema().field_with_name("feature").ok().map(Field::data_type)
    {
        table.dim = *dim as usize;
    }
    let mut names: Vec<String> = Vec::new();
    for batch in builder.build().map_err(|e| bad(e.to_string()))? {
        let batch = batch.map_err(|e| bad(e.to_string()))?;
        let features = batch.column_by_name("feature").ok_or_else(|| bad("has no column `feature`".into()))?;
        read_features(features, &mut table).map_err(bad)?;
        match batch.column_by_name("id") {
            Some(ids) => table.ids.extend(strings(ids).ok_or_else(|| bad(unexpected("id", ids, "strings")))?),
            None => {
                let unnamed = table.ids.len()..table.ids.len() + batch.num_rows();
                table.ids.extend(unnamed.map(|row| format!("{}[{row}]", path.display())));
            }
        }
        match batch.column_by_name("label") {
            None => {}
            Some(labels) if let Some(labels) = integers(labels) => {
                for label in labels {
                    let label = u32::try_from(label).ok().filter(|&l| l < MOST_CLASSES);
                    table.labels.push(label.ok_or_else(|| bad("labels must lie in 0..2²⁴".into()))?);
                }
            }
            Some(labels) => {
                let unexpected = || bad(unexpected("label", labels, "integers or strings"));
                names.extend(strings(labels).ok_or_else(unexpected)?);
            }
        }
    }
    if !names.is_empty() {
        table.classes.clone_from(&names);
        table.classes.sort_unstable();
        table.classes.dedup();
        let number = |name: &String| table.classes.binary_search(name).expect("it is in the list") as u32;
        table.labels = names.iter().map(number).collect();
    } else if let Some(classes) = classes {
        table.classes = serde_json::from_str(&classes).map_err(|e| bad(format!("metadata `{CLASSES_KEY}`: {e}")))?;
    }
    number_classes(&table.labels, &mut table.classes);
    Ok(table)
}

fn unexpected(column: &str, array: &ArrayRef, expected: &str) -> String {
    let nulls = if array.null_count() > 0 { " with nulls" } else { "" };
    format!("column `{column}`: expected {expected}, found {}{nulls}", array.data_type())
}

fn read_features(array: &ArrayRef, table: &mut FeatureTable) -> Result<(), String> {
    let lists: Vec<ArrayRef> = if let Some(list) = array.as_fixed_size_list_opt() {
        vec![list.values().slice(list.value_offset_at(0), list.len() * list.value_length() as usize)]
    } else if let Some(list) = array.as_list_opt::<i32>() {
        (0..list.len()).map(|row| list.value(row)).collect()
    } else if let Some(list) = array.as_list_opt::<i64>() {
        (0..list.len()).map(|row| list.value(row)).collect()
    } else {
        return Err(unexpected("feature", array, "lists of f16, f32 or f64"));
    };
    if !matches!(array.data_type(), DataType::FixedSizeList(..)) {
        if table.dim == 0 {
            table.dim = lists.first().map_or(0, Array::len);
        }
        if let Some(at) = lists.iter().position(|list| list.len() != table.dim) {
            let (row, found) = (table.ids.len() + at, lists[at].len());
            return Err(format!("column `feature`: row {row} has {found} values, those before have {}", table.dim));
        }
    }
    if table.dim == 0 && !array.is_empty() {
        return Err("column `feature`: lists of length 0".into());
    }
    for list in lists {
        if list.null_count() > 0 || array.null_count() > 0 {
            return Err(unexpected("feature", array, "numbers"));
        } else if let Some(values) = list.as_primitive_opt::<Float32Type>() {
            table.values.extend_from_slice(values.values());
        } else if let Some(values) = list.as_primitive_opt::<Float16Type>() {
            table.values.extend(values.values().iter().map(|v| v.to_f32()));
        } else if let Some(values) = list.as_primitive_opt::<Float64Type>() {
            table.values.extend(values.values().iter().map(|&v| v as f32));
        } else {
            return Err(unexpected("feature", array, "lists of f16, f32 or f64"));
        }
    }
    Ok(())
}

fn strings(array: &ArrayRef) -> Option<Vec<String>> {
    if let Some(array) = array.as_string_opt::<i32>() {
        array.iter().map(|s| s.map(str::to_owned)).collect()
    } else if let Some(array) = array.as_string_opt::<i64>() {
        array.iter().map(|s| s.map(str::to_owned)).collect()
    } else {
        array.as_string_view_opt()?.iter().map(|s| s.map(str::to_owned)).collect()
    }
}

fn integers(array: &ArrayRef) -> Option<Vec<i64>> {
    macro_rules! try_types {
        ($($kind:ty),*) => {
            $(if let Some(array) = array.as_primitive_opt::<$kind>() {
                return array.iter().map(|v| v.map(i64::from)).collect();
            })*
        };
    }
    try_types!(Int32Type, Int64Type, UInt32Type, UInt8Type);
    None
}
