//! A table in memory, from text or from Parquet, value by value as text.

use crate::source::bad_file;
use parquet::basic::Compression;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use selfsame_base::delimited::Delimited;
use selfsame_base::{DataError, panics};
use std::fs::File;
use std::path::Path;

/// Values of a table, at most: what keeps a header from promising more than memory holds.
const MOST_VALUES: i64 = 1 << 28;

/// Names and values.
pub enum Cells {
    /// `.csv` and `.tsv`.
    Text(Delimited),
    /// `.parquet`: names, and `[rows, columns]`. What is not there is empty.
    Parquet(Vec<String>, Vec<String>),
}

impl Cells {
    /// Whether a path is named like a table.
    pub fn knows(path: &Path) -> bool {
        Delimited::knows(path) || is_parquet(path)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// If it cannot be read, or holds what is no value: which row or column.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        if !is_parquet(path) {
            return Ok(Self::Text(Delimited::read(path)?.0));
        }
        let file = File::open(path).map_err(|cause| DataError::io(path, cause))?;
        let read = panics::caught(|| parquet_values(file)).unwrap_or_else(|| Err("is damaged".into()));
        let (names, values) = read.map_err(|problem| bad_file(path, problem))?;
        Ok(Self::Parquet(names, values))
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        match self {
            Self::Text(table) => table.names(),
            Self::Parquet(names, _) => names,
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(table) => table.len(),
            Self::Parquet(names, values) => values.len() / names.len().max(1),
        }
    }

    /// The value of a row in a column.
    pub fn value(&self, row: usize, column: usize) -> &str {
        match self {
            Self::Text(table) => table.value(row, column),
            Self::Parquet(names, values) => &values[row * names.len() + column],
        }
    }

    /// Where a person finds a row.
    pub fn place(&self, row: usize) -> String {
        match self {
            Self::Text(table) => format!("line {}", table.line(row)),
            Self::Parquet(..) => format!("row {row}"),
        }
    }
}

fn is_parquet(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet"))
}

/// Names of the columns, and the values of each row.
fn parquet_values(file: File) -> Result<(Vec<String>, Vec<String>), String> {
    let told = |error: parquet::errors::ParquetError| error.to_string().replace('\n', "; ");
    let reader = SerializedFileReader::new(file).map_err(told)?;
    let metadata = reader.metadata().file_metadata();
    let fields = metadata.schema_descr().root_schema().get_fields();
    if let Some(nested) = fields.iter().find(|field| !field.is_primitive()) {
        let name = nested.name();
        return Err(format!(
            "column `{name}` holds lists or groups, not one value per row; data.drop cannot leave it out, so write the table without it"
        ));
    }
    let names: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    if metadata.num_rows().saturating_mul(names.len() as i64) > MOST_VALUES {
        return Err(format!("its {} rows of {} values are more than {MOST_VALUES}", metadata.num_rows(), names.len()));
    }
    let chunks = reader.metadata().row_groups().iter().flat_map(parquet::file::metadata::RowGroupMetaData::columns);
    let unread = |compression: &Compression| !matches!(compression, Compression::UNCOMPRESSED | Compression::SNAPPY);
    if let Some(compression) = chunks.map(parquet::file::metadata::ColumnChunkMetaData::compression).find(unread) {
        return Err(format!("is compressed with {compression}; write it with snappy, or not compressed"));
    }
    let mut values = Vec::new();
    for row in reader.get_row_iter(None).map_err(told)? {
        let row: Row = row.map_err(told)?;
        values.extend(row.get_column_iter().map(|(_, field)| text(field)));
    }
    Ok((names, values))
}

/// A value as a table of text would have it.
fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Bool(flag) => flag.to_string(),
        Field::Byte(v) => v.to_string(),
        Field::Short(v) => v.to_string(),
        Field::Int(v) => v.to_string(),
        Field::Long(v) => v.to_string(),
        Field::UByte(v) => v.to_string(),
        Field::UShort(v) => v.to_string(),
        Field::UInt(v) => v.to_string(),
        Field::ULong(v) => v.to_string(),
        Field::Float16(v) => v.to_string(),
        Field::Float(v) => v.to_string(),
        Field::Double(v) => v.to_string(),
        Field::Str(text) => text.trim().to_owned(),
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).trim().to_owned(),
        other => other.to_string().trim().to_owned(),
    }
}
