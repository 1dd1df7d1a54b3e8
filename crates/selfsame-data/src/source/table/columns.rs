//! What the columns of a table become.

use super::cells::Cells;
use crate::modality::{Column, Modality};
use crate::source::bad_file;
use selfsame_base::DataError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Different values of a column that is a category unasked, at most.
const MOST_VALUES: usize = 64;

/// What stands for a value that is missing, in any case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// What a flag is written as.
const FLAGS: [(&str, f32); 4] = [("true", 1.0), ("false", 0.0), ("yes", 1.0), ("no", 0.0)];

/// Names that are written out, at most.
const NAMED: usize = 8;

/// The columns that are features.
#[derive(Default)]
pub struct Features {
    /// What an encoder must know of them.
    pub columns: Vec<Column>,
    /// Each with a value per row.
    pub channels: Vec<Vec<f32>>,
    /// What a person should know of them.
    pub notes: Vec<String>,
}

/// What was done to columns, by their names.
#[derive(Default)]
struct Told<'a> {
    constant: Vec<&'a str>,
    empty: Vec<&'a str>,
    filled: Vec<&'a str>,
    categories: Vec<String>,
    counting: Vec<&'a str>,
}

/// A column of a table, and what is there in each row.
struct Values<'a> {
    path: &'a Path,
    table: &'a Cells,
    column: usize,
    values: Vec<Option<&'a str>>,
}

/// Names as a sentence has them; not all of many.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Features {
    /// What becomes of the `chosen` columns, in their order; those of `categories` are categories whatever they hold.
    pub fn of(path: &Path, table: &Cells, chosen: &[usize], categories: &[usize]) -> Result<Self, DataError> {
        let (mut features, mut told) = (Self::default(), Told::default());
        for &column in chosen {
            let values = Values::of(path, table, column);
            let Some(found) = values.kind(categories.contains(&column), &mut told)? else { continue };
            features.add(&values, found)?;
        }
        if features.columns.is_empty() {
            return Err(bad_file(path, "no column is left that tells rows apart"));
        }
        let lines = [
            (&told.constant, "the same value in every row, so left out"),
            (&told.empty, "no value in any row, so left out"),
            (&told.filled, "values are missing: they are the column's mean, and a further feature says where"),
            (&told.counting, "rises by one from row to row, as a number of the row does; data.drop leaves it out"),
        ];
        let lines = lines.into_iter().filter(|(names, _)| !names.is_empty());
        features.notes.extend(lines.map(|(names, what)| format!("{}: {what}", listed(names))));
        if !told.categories.is_empty() {
            features.notes.push(format!("categories, with a feature for each value: {}", listed(&told.categories)));
        }
        Ok(features)
    }

    /// What becomes of the columns that are `known`, whatever else the table holds.
    pub fn known(path: &Path, table: &Cells, known: &[String]) -> Result<Self, DataError> {
        let mut features = Self::default();
        for column in known.iter().map(|text| Column::parse(text)) {
            let Some(place) = table.names().iter().position(|name| *name == column.name) else {
                let problem = format!(
                    "has no column `{}`, which data.columns lists; its columns are {}",
                    column.name,
                    listed(table.names())
                );
                return Err(bad_file(path, problem));
            };
            features.add(&Values::of(path, table, place), column)?;
        }
        Ok(features)
    }

    /// The features of each of `rows` rows, one row after the other.
    pub fn rows(&self, rows: usize) -> Vec<f32> {
        (0..rows).flat_map(|row| self.channels.iter().map(move |channel| channel[row])).collect()
    }

    fn add(&mut self, values: &Values, column: Column) -> Result<(), DataError> {
        let most = Modality::Vector.most_channels();
        if self.channels.len() + column.channels() > most {
            let problem = format!("has more than {most} features; data.drop leaves columns out");
            return Err(bad_file(values.path, problem));
        }
        match column.is_number() {
            true => self.channels.push(values.filled(&column)?),
            false => self.note_unknown(values, &column),
        }
        for value in &column.values {
            let is = |found: &Option<&str>| f32::from(u8::from(found.unwrap_or("") == value.as_str()));
            self.channels.push(values.values.iter().map(is).collect());
        }
        self.columns.push(column);
        Ok(())
    }

    /// Tells of values that a category does not have.
    fn note_unknown(&mut self, values: &Values, column: &Column) {
        let unknown = |value: &&str| column.values.iter().all(|known| known != value);
        let unknown: Vec<&str> = values.values.iter().map(|value| value.unwrap_or("")).filter(unknown).collect();
        if let Some(first) = unknown.first() {
            let (name, rows) = (&column.name, unknown.len());
            self.notes.push(format!("column `{name}`: {rows} rows hold a value that data.columns does not list, such as {first:?}: they are of no category"));
        }
    }
}

impl<'a> Values<'a> {
    fn of(path: &'a Path, table: &'a Cells, column: usize) -> Self {
        let values = (0..table.len()).map(|row| present(table.value(row, column))).collect();
        Self { path, table, column, values }
    }

    fn name(&self) -> &'a str {
        &self.table.names()[self.column]
    }

    fn present(&self) -> impl Iterator<Item = &'a str> {
        self.values.iter().flatten().copied()
    }

    /// What the column is; `None` if it tells nothing.
    fn kind(&self, as_category: bool, told: &mut Told<'a>) -> Result<Option<Column>, DataError> {
        let (name, known) = (self.name(), self.present().count());
        if known == 0 {
            told.empty.push(name);
            return Ok(None);
        }
        let all: BTreeSet<&str> = self.present().collect();
        let missing = known < self.values.len();
        let numbers = if as_category { None } else { self.numbers()? };
        if numbers.is_none() && !as_category && (all.len() > MOST_VALUES || 2 * all.len() > known) {
            return Err(self.text(all.len()));
        }
        let constant = match &numbers {
            Some(numbers) => numbers.iter().flatten().all(|number| Some(number) == numbers.iter().flatten().next()),
            None => all.len() == 1,
        };
        if constant && !missing {
            told.constant.push(name);
            return Ok(None);
        }
        let mut values = Vec::new();
        match numbers {
            Some(numbers) => {
                let next = |pair: &[Option<f32>]| matches!(pair, [Some(a), Some(b)] if *b == *a + 1.0);
                if numbers.len() > 2 && numbers.windows(2).all(next) {
                    told.counting.push(name);
                }
                if missing {
                    told.filled.push(name);
                }
            }
            None => {
                if let Some(tab) = all.iter().find(|value| value.contains('\t')) {
                    let problem = format!(
                        "column `{name}`: {tab:?} holds a tab, which data.columns has between values; data.drop = [{name:?}] leaves the column out"
                    );
                    return Err(bad_file(self.path, problem));
                }
                let gaps = if missing { ", or missing" } else { "" };
                told.categories.push(format!("{name} ({}{gaps})", all.len()));
                values.extend(all.into_iter().map(str::to_owned));
            }
        }
        values.extend(missing.then(String::new));
        Ok(Some(Column { name: name.to_owned(), values }))
    }

    /// The numbers of a column of them, the mean where there is none.
    fn filled(&self, column: &Column) -> Result<Vec<f32>, DataError> {
        let numbers = self.numbers()?.ok_or_else(|| self.text(self.present().collect::<BTreeSet<_>>().len()))?;
        let (mut sum, mut count) = (0.0, 0.0);
        for number in numbers.iter().flatten() {
            (sum, count) = (sum + f64::from(*number), count + 1.0);
        }
        if count == 0.0 {
            let problem = format!("column `{}` has no value in any row, expected numbers", column.name);
            return Err(bad_file(self.path, problem));
        }
        let mean = (sum / count) as f32;
        Ok(numbers.into_iter().map(|number| number.unwrap_or(mean)).collect())
    }

    /// The numbers or flags of the column; `None` if it holds others.
    fn numbers(&self) -> Result<Option<Vec<Option<f32>>>, DataError> {
        let flags: BTreeMap<&str, f32> = FLAGS.into();
        let flag = |value: &str| flags.get(value.to_ascii_lowercase().as_str()).copied();
        if self.present().all(|value| flag(value).is_some()) {
            return Ok(Some(self.values.iter().map(|value| value.and_then(flag)).collect()));
        }
        let mut numbers = Vec::with_capacity(self.values.len());
        for (row, value) in self.values.iter().enumerate() {
            let Some(value) = value else {
                numbers.push(None);
                continue;
            };
            let Ok(number) = value.parse::<f64>() else { return Ok(None) };
            if !(number as f32).is_finite() {
                let (place, name) = (self.table.place(row), self.name());
                let problem = format!(
                    "{place}, column `{name}`: {value} is not finite or beyond ±{:e}; leave it empty if it is not known",
                    f32::MAX
                );
                return Err(bad_file(self.path, problem));
            }
            numbers.push(Some(number as f32));
        }
        Ok(Some(numbers))
    }

    /// The error about a column of text: of a slip where nearly all values are numbers.
    fn text(&self, different: usize) -> DataError {
        let name = self.name();
        let words = || {
            let known = self.values.iter().enumerate().filter_map(|(row, v)| Some((row, (*v)?)));
            known.filter(|(_, v)| v.parse::<f64>().is_err())
        };
        let (row, first) = words().next().expect("a column of numbers alone is one of numbers");
        let drop = format!("data.drop = [{name:?}] leaves it out");
        let known = self.present().count();
        let problem = if 2 * words().count() < known {
            format!(
                "{}, column `{name}`: {first:?} is no number, as the others are; leave it empty, or {drop}",
                self.table.place(row)
            )
        } else {
            let shown: String = first.chars().take(40).collect();
            format!(
                "column `{name}` holds text, {different} different values in {known} rows such as {shown:?}: a category has at most {MOST_VALUES}, and two rows for each; {drop}, data.categories = [{name:?}] makes it one"
            )
        };
        bad_file(self.path, problem)
    }
}

/// A value that is there.
pub fn present(value: &str) -> Option<&str> {
    (!MISSING.iter().any(|missing| value.eq_ignore_ascii_case(missing))).then_some(value)
}
