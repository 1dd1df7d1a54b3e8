//! What the columns of a table become.

use crate::modality::Modality;
use crate::source::bad_file;
use selfsame_base::DataError;
use selfsame_base::delimited::Delimited;
use std::collections::BTreeSet;
use std::path::Path;

/// Different values of a column that is a category, at most.
const MOST_VALUES: usize = 64;

/// What stands for a value that is missing, in any case.
const MISSING: [&str; 7] = ["", "na", "n/a", "nan", "null", "none", "?"];

/// What a flag is written as.
const FLAGS: [(&str, f32); 4] = [("true", 1.0), ("false", 0.0), ("yes", 1.0), ("no", 0.0)];

/// Names that are written out, at most.
const NAMED: usize = 8;

/// Features, column by column.
#[derive(Default)]
pub struct Features {
    /// Each with a value per row.
    pub columns: Vec<Vec<f32>>,
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

/// Names as a sentence has them; not all of many.
pub fn listed<S: AsRef<str>>(names: &[S]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = names.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

impl Features {
    /// The features of the `chosen` columns, in their order.
    pub fn of(path: &Path, table: &Delimited, chosen: &[usize]) -> Result<Self, DataError> {
        let (mut features, mut told) = (Self::default(), Told::default());
        for &column in chosen {
            features.add(path, table, column, &mut told)?;
            let (most, found) = (Modality::Vector.most_channels(), features.columns.len());
            if found > most {
                return Err(bad_file(path, format!("has more than {most} features; data.drop leaves columns out")));
            }
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

    /// The features of each of `rows` rows, one row after the other.
    pub fn rows(&self, rows: usize) -> Vec<f32> {
        (0..rows).flat_map(|row| self.columns.iter().map(move |column| column[row])).collect()
    }

    fn add<'a>(
        &mut self,
        path: &Path,
        table: &'a Delimited,
        column: usize,
        told: &mut Told<'a>,
    ) -> Result<(), DataError> {
        let name = table.names()[column].as_str();
        let values: Vec<Option<&str>> = (0..table.len()).map(|row| present(table.value(row, column))).collect();
        let known = values.iter().flatten().count();
        if known == 0 {
            told.empty.push(name);
            return Ok(());
        }
        let missing = known < values.len();
        if let Some(numbers) = numbers(path, table, column, &values)? {
            self.add_numbers(name, &numbers, told);
        } else {
            let all: BTreeSet<&str> = values.iter().flatten().copied().collect();
            if all.len() > MOST_VALUES || 2 * all.len() > known {
                return Err(text(path, table, column, &values, all.len()));
            }
            match all.len() {
                1 => told.constant.push(name),
                count => {
                    told.categories.push(format!("{name} ({count})"));
                    let is = |value: &str| values.iter().map(|v| f32::from(u8::from(*v == Some(value)))).collect();
                    self.columns.extend(all.iter().map(|value| is(value)));
                }
            }
        }
        if missing {
            told.filled.push(name);
            self.columns.push(values.iter().map(|value| f32::from(u8::from(value.is_none()))).collect());
        }
        Ok(())
    }

    fn add_numbers<'a>(&mut self, name: &'a str, numbers: &[Option<f32>], told: &mut Told<'a>) {
        let (mut sum, mut count) = (0.0, 0.0);
        for number in numbers.iter().flatten() {
            (sum, count) = (sum + f64::from(*number), count + 1.0);
        }
        let first = numbers.iter().flatten().next();
        if numbers.iter().flatten().all(|number| Some(number) == first) {
            told.constant.push(name);
            return;
        }
        let next = |pair: &[Option<f32>]| matches!(pair, [Some(a), Some(b)] if *b == *a + 1.0);
        if numbers.len() > 2 && numbers.windows(2).all(next) {
            told.counting.push(name);
        }
        let mean = (sum / count) as f32;
        self.columns.push(numbers.iter().map(|number| number.unwrap_or(mean)).collect());
    }
}

fn present(value: &str) -> Option<&str> {
    (!MISSING.iter().any(|missing| value.eq_ignore_ascii_case(missing))).then_some(value)
}

/// The numbers or flags of a column; `None` if it holds others.
fn numbers(
    path: &Path,
    table: &Delimited,
    column: usize,
    values: &[Option<&str>],
) -> Result<Option<Vec<Option<f32>>>, DataError> {
    let flag = |value: &str| FLAGS.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)).map(|(_, number)| *number);
    if values.iter().flatten().all(|value| flag(value).is_some()) {
        return Ok(Some(values.iter().map(|value| value.and_then(flag)).collect()));
    }
    let mut numbers = Vec::with_capacity(values.len());
    for (row, value) in values.iter().enumerate() {
        let Some(value) = value else {
            numbers.push(None);
            continue;
        };
        let Ok(number) = value.parse::<f64>() else { return Ok(None) };
        if !(number as f32).is_finite() {
            let (line, name) = (table.line(row), &table.names()[column]);
            let problem = format!(
                "line {line}, column `{name}`: {value} is not finite or beyond ±{:e}; leave it empty if it is not known",
                f32::MAX
            );
            return Err(bad_file(path, problem));
        }
        numbers.push(Some(number as f32));
    }
    Ok(Some(numbers))
}

/// The error about a column of text: of a slip where nearly all values are numbers.
fn text(path: &Path, table: &Delimited, column: usize, values: &[Option<&str>], different: usize) -> DataError {
    let name = &table.names()[column];
    let words = || {
        values.iter().enumerate().filter_map(|(row, v)| Some((row, (*v)?))).filter(|(_, v)| v.parse::<f64>().is_err())
    };
    let (row, first) = words().next().expect("a column of numbers alone is one of numbers");
    let drop = format!("data.drop = [{name:?}] leaves it out");
    let known = values.iter().flatten().count();
    let problem = if 2 * words().count() < known {
        format!(
            "line {}, column `{name}`: {first:?} is no number, as the others are; leave it empty, or {drop}",
            table.line(row)
        )
    } else {
        let shown: String = first.chars().take(40).collect();
        format!(
            "column `{name}` holds text, {different} different values in {known} rows such as {shown:?}: a category has at most {MOST_VALUES}, and two rows for each; {drop}"
        )
    };
    bad_file(path, problem)
}
