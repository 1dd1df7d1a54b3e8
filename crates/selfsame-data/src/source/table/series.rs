//! Series in tables.
//!
//! | form | a row is | columns |
//! | --- | --- | --- |
//! | wide, `data.modality = "signal"` | a sample of one channel | its steps, in their order; what is missing at the end of a row lies behind the end |
//! | long, `data.sample_column = "…"` | a step of the sample that this column names | its channels, which another table is to have by the same names; `data.time_column` has the time stamps |
//!
//! The label is a column of its own, and in the long form the same in all steps of a sample.

use super::cells::Cells;
use super::columns::{listed, present};
use super::{Labels, check_header, column};
use crate::modality::{Column, Modality};
use crate::settings::{DataRequest, NONE};
use crate::source::series::{Series, stamps};
use crate::source::{LabelSource, bad_file, no_folder_labels};
use selfsame_base::DataError;
use std::collections::HashMap;
use std::path::Path;

/// Whether a table is asked for as series.
pub fn holds(request: &DataRequest) -> bool {
    request.of_source() == Some(Modality::Signal) || request.sample_column != NONE
}

pub fn open(request: &DataRequest, asked: LabelSource) -> Result<Series, DataError> {
    let path = &request.path;
    if asked == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let table = Cells::read(path)?;
    check_header(path, &table)?;
    if table.len() == 0 {
        return Err(bad_file(path, "has no row below the names of its columns"));
    }
    let labels = Labels::of(path, &table, request, asked)?;
    let series = Table { path, table: &table, request, label: labels.column };
    let is_long = request.sample_column != NONE;
    let mut series = if is_long { series.long(&labels)? } else { series.wide(&labels)? };
    series.notes.splice(0..0, labels.notes);
    series.classes = labels.classes;
    Ok(series)
}

struct Table<'a> {
    path: &'a Path,
    table: &'a Cells,
    request: &'a DataRequest,
    /// The column of the labels.
    label: Option<usize>,
}

impl Table<'_> {
    fn column(&self, key: &str, name: &str) -> Result<usize, DataError> {
        column(self.path, self.table, key, name)
    }

    /// The columns that hold values: all but those for other uses.
    fn chosen(&self, others: &[usize]) -> Result<Vec<usize>, DataError> {
        let dropped = self.request.drop.iter().map(|name| self.column("data.drop", name));
        let dropped = dropped.collect::<Result<Vec<_>, _>>()?;
        let chosen = (0..self.table.names().len())
            .filter(|column| Some(*column) != self.label && !dropped.contains(column) && !others.contains(column));
        let chosen: Vec<usize> = chosen.collect();
        if chosen.is_empty() { Err(bad_file(self.path, "has no column with values")) } else { Ok(chosen) }
    }

    /// The values of a row in these columns, NaN where one is missing.
    fn values(&self, row: usize, columns: &[usize]) -> Result<Vec<f32>, DataError> {
        let value = |&column: &usize| {
            let Some(text) = present(self.table.value(row, column)) else { return Ok(f32::NAN) };
            text.parse::<f32>().map_err(|_| {
                let (place, name) = (self.table.place(row), &self.table.names()[column]);
                let shown: String = text.chars().take(40).collect();
                let problem = format!(
                    "{place}, column `{name}`: {shown:?} is no number; leave it empty if it is missing, or data.drop = [{name:?}] leaves the column out"
                );
                bad_file(self.path, problem)
            })
        };
        columns.iter().map(value).collect()
    }

    fn wide(&self, labels: &Labels) -> Result<Series, DataError> {
        let columns = self.chosen(&[])?;
        self.check_names(&columns)?;
        let samples = (0..self.table.len()).map(|row| self.values(row, &columns)).collect::<Result<_, _>>()?;
        let place = |row| self.table.place(row);
        let mut series = Series::new(self.path, samples, 1, self.request.missing, place)?;
        series.labels.clone_from(&labels.labels);
        Ok(series)
    }

    /// Numbers as the names of steps count them; others are values of a table without a line of names.
    fn check_names(&self, columns: &[usize]) -> Result<(), DataError> {
        let names = || columns.iter().map(|&column| self.table.names()[column].as_str());
        let Ok(numbers) = names().map(str::parse).collect::<Result<Vec<f64>, _>>() else { return Ok(()) };
        if numbers.windows(2).all(|pair| pair[1] == pair[0] + 1.0) && [0.0, 1.0].contains(&numbers[0]) {
            return Ok(());
        }
        let names: Vec<&str> = names().collect();
        Err(bad_file(self.path, format!("its first line must name the columns, and holds {}", listed(&names))))
    }

    fn long(&self, labels: &Labels) -> Result<Series, DataError> {
        let own = self.column("data.sample_column", &self.request.sample_column)?;
        let time = match self.request.time_column.as_str() {
            NONE => None,
            name => Some(self.column("data.time_column", name)?),
        };
        let columns = if self.request.columns.is_empty() {
            self.chosen(&[Some(own), time].into_iter().flatten().collect::<Vec<_>>())?
        } else {
            let known = self.request.columns.iter().map(|text| self.column("data.columns", &Column::parse(text).name));
            known.collect::<Result<_, _>>()?
        };
        let (names, rows) = self.rows(own)?;
        let mut notes = Vec::new();
        let rows = match time {
            Some(time) => self.in_order(time, &names, rows, &mut notes)?,
            None => rows,
        };
        let sample = |rows: &Vec<usize>| {
            let steps = rows.iter().map(|&row| self.values(row, &columns)).collect::<Result<Vec<_>, _>>()?;
            Ok(steps.concat())
        };
        let samples = rows.iter().map(sample).collect::<Result<_, DataError>>()?;
        let place = |sample: usize| format!("sample `{}` ({})", names[sample], self.table.place(rows[sample][0]));
        let mut series = Series::new(self.path, samples, columns.len(), self.request.missing, place)?;
        if !labels.labels.is_empty() {
            series.labels = self.labels(&names, &rows, labels)?;
        }
        let column = |&column: &usize| Column { name: self.table.names()[column].clone(), values: Vec::new() };
        series.columns = columns.iter().map(column).collect();
        series.notes.extend(notes);
        series.names = names;
        Ok(series)
    }

    /// The names of the samples, as they appear, and their rows.
    fn rows(&self, own: usize) -> Result<(Vec<String>, Vec<Vec<usize>>), DataError> {
        let (mut names, mut rows): (Vec<String>, Vec<Vec<usize>>) = Default::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        for row in 0..self.table.len() {
            let name = self.table.value(row, own);
            if name.is_empty() {
                let (place, column) = (self.table.place(row), &self.table.names()[own]);
                return Err(bad_file(self.path, format!("{place} names no sample in column `{column}`")));
            }
            let sample = *known.entry(name).or_insert_with(|| {
                names.push(name.to_owned());
                rows.push(Vec::new());
                names.len() - 1
            });
            rows[sample].push(row);
        }
        Ok((names, rows))
    }

    /// The rows of each sample by their time stamps.
    fn in_order(
        &self,
        time: usize,
        names: &[String],
        rows: Vec<Vec<usize>>,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Vec<usize>>, DataError> {
        let (mut late, mut uneven) = (Vec::new(), Vec::new());
        let mut ordered = Vec::with_capacity(rows.len());
        for (mut rows, name) in rows.into_iter().zip(names) {
            let stamp = |&row: &usize| {
                let text = self.table.value(row, time);
                stamps::parse(text).ok_or_else(|| {
                    let (place, column) = (self.table.place(row), &self.table.names()[time]);
                    let problem = format!(
                        "{place}, column `{column}`: {text:?} is no time stamp; expected a number or a date such as 2007-01-31 23:59:00"
                    );
                    bad_file(self.path, problem)
                })
            };
            let mut all = rows.iter().map(stamp).collect::<Result<Vec<_>, _>>()?;
            match stamps::order(&all) {
                stamps::Order::Listed => {}
                stamps::Order::Twice(first, second) => {
                    let (stamp, first, second) = (
                        self.table.value(rows[second], time),
                        self.table.place(rows[first]),
                        self.table.place(rows[second]),
                    );
                    let problem = format!("{second}: sample `{name}` has the time stamp {stamp} already on {first}");
                    return Err(bad_file(self.path, problem));
                }
                stamps::Order::Sorted(order, first) => {
                    late.push(rows[first]);
                    rows = order.iter().map(|&step| rows[step]).collect();
                    all.sort_unstable();
                }
            }
            if !stamps::is_even(all.iter().copied()) {
                uneven.push(rows[0]);
            }
            ordered.push(rows);
        }
        let mut tell = |found: &[usize], what: &str| {
            if let Some(&first) = found.first() {
                let (path, count, place) = (self.path.display(), found.len(), self.table.place(first));
                notes.push(format!("{path}: time stamps of {count} samples {what}, the first on {place}"));
            }
        };
        tell(&late, "are out of order, and their steps were put in order");
        tell(&uneven, "are not equally far from each other, which no encoder sees");
        Ok(ordered)
    }

    /// The label of each sample, which all its steps have.
    fn labels(&self, names: &[String], rows: &[Vec<usize>], labels: &Labels) -> Result<Vec<u32>, DataError> {
        let label = |(rows, name): (&Vec<usize>, &String)| {
            let of = |row: usize| labels.labels[row];
            let first = rows[0];
            match rows.iter().find(|&&row| of(row) != of(first)) {
                None => Ok(of(first)),
                Some(&other) => {
                    let class = |row: usize| &labels.classes[of(row) as usize];
                    let (place, before) = (self.table.place(other), self.table.place(first));
                    let problem = format!(
                        "{place}: sample `{name}` is of class {}, and on {before} of class {}; data.labels = \"none\" ignores them",
                        class(other),
                        class(first)
                    );
                    Err(bad_file(self.path, problem))
                }
            }
        };
        rows.iter().zip(names).map(label).collect()
    }
}

#[cfg(test)]
mod tests;
