//! Tables of text, `.csv` and `.tsv`, whose first line names the columns.

use crate::{DataError, files};
use csv::{ErrorKind, ReaderBuilder, StringRecord};
use std::fmt::Display;
use std::path::Path;

/// A table in memory; every row has a value, perhaps empty, for each column.
#[derive(Debug)]
pub struct Delimited {
    names: Vec<String>,
    records: Vec<StringRecord>,
}

impl Delimited {
    /// Whether a path is named like such a table.
    pub fn knows(path: &Path) -> bool {
        delimiter(path).is_some()
    }

    /// Reads a table; with it comes what the file holds.
    ///
    /// # Errors
    /// If it cannot be read, or is no such table: which line is wrong.
    pub fn read(path: &Path) -> Result<(Self, Vec<u8>), DataError> {
        delimiter_of(path)?;
        let bytes = files::read(path, files::MOST_TEXT_BYTES).map_err(|cause| DataError::io(path, cause))?;
        Ok((Self::parse(path, &bytes)?, bytes))
    }

    /// The table that the file at `path` holds.
    ///
    /// # Errors
    /// If it is no such table: which line is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let delimiter = delimiter_of(path)?;
        let bad = |problem: &dyn Display| bad(path, problem);
        let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(bytes);
        let wrong = |error: csv::Error| match error.kind() {
            ErrorKind::UnequalLengths { pos: Some(place), expected_len, len } => bad(&format_args!(
                "line {} has {len} values, the first line names {expected_len} columns",
                place.line()
            )),
            ErrorKind::Utf8 { pos: Some(place), .. } => bad(&format_args!("line {} is not UTF-8", place.line())),
            _ => bad(&error),
        };
        let header = reader.headers().map_err(wrong)?.clone();
        // Spreadsheets begin their files with a mark that belongs to no name.
        let names = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        let records = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { names, records })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The values of a row, without the blanks around them.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        self.records[row].iter().map(str::trim)
    }

    /// The value of a row in a column.
    pub fn value(&self, row: usize, column: usize) -> &str {
        self.records[row][column].trim()
    }

    /// The line on which a row begins, from 1.
    pub fn line(&self, row: usize) -> u64 {
        self.records[row].position().map_or(0, csv::Position::line)
    }
}

/// A `.csv` file with these columns, which [`Delimited::read`] reads back.
///
/// # Panics
/// If a row has another number of values.
pub fn csv_file(names: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(names).expect("memory takes all");
    rows.into_iter().for_each(|row| writer.write_record(row).expect("as many values as columns"));
    writer.into_inner().expect("memory takes all")
}

fn bad(path: &Path, problem: &dyn Display) -> DataError {
    DataError::Data(format!("{}: {problem}", path.display()))
}

fn delimiter_of(path: &Path) -> Result<u8, DataError> {
    delimiter(path).ok_or_else(|| bad(path, &"tables are kept in .csv or .tsv files; end the name in one of these"))
}

fn delimiter(path: &Path) -> Option<u8> {
    let extension = path.extension()?.to_str()?;
    let known = [("csv", b','), ("tsv", b'\t')];
    known.into_iter().find(|(name, _)| extension.eq_ignore_ascii_case(name)).map(|(_, delimiter)| delimiter)
}
