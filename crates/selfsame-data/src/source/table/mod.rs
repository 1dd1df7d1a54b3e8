//! Tables of vectors, `.csv`, `.tsv` and `.parquet`: a row per sample, a column per feature, names in the first line or the schema.
//!
//! | column | features |
//! | --- | --- |
//! | numbers | as they are |
//! | `true`, `false`, `yes`, `no` | 1 and 0 |
//! | other text, of at most 64 different values, each in two rows on average | one for each value, 1 where it is there: a category |
//! | a value is missing (empty, `NA`, `NaN`, `null`, `none` or `?`) | of numbers the mean of the column, and one more that says where; of a category one value more |
//! | one value alone, or none | none |
//!
//! Other text is refused, unless `data.categories` names the column. Whole numbers are numbers, however few there are.
//!
//! `data.columns` has what came of it, so that another table becomes the same features: its columns are found by name, its
//! categories have the same values, and what is missing in it is its own column's mean.
//!
//! A table may hold [series] instead.

mod cells;
mod columns;
mod series;

use self::cells::Cells;
use self::columns::{Features, listed};
use super::{Encoded, IndexedSource, LabelSource, SourceEntry, Stat, bad_file, class_name, file_name, modified_ns};
use super::{no_folder_labels, no_labels};
use crate::image::{Image, Pixels};
use crate::modality::{Column, Modality};
use crate::settings::{AUTO, DataRequest};
use selfsame_base::DataError;
use std::collections::BTreeSet;
use std::path::Path;

/// Columns that hold labels where nobody named one, in any case.
const LABEL_NAMES: [&str; 5] = ["label", "labels", "class", "target", "y"];

/// More classes than this are a column of something else.
const MOST_CLASSES: usize = 1 << 16;

pub const ENTRY: SourceEntry = SourceEntry {
    name: "table",
    summary: ".csv or .tsv with names in its first line, or .parquet: vectors of numbers, flags and categories; labels in data.label_column",
    detect: |path| path.is_file() && Cells::knows(path),
    open: |request, labels| match series::holds(request) {
        true => Ok(Box::new(series::open(request, labels)?)),
        false => Ok(Box::new(open(request, labels)?)),
    },
};

/// Rows of features, in memory.
struct TableSource {
    name: String,
    /// `[rows, features]`
    values: Vec<f32>,
    features: usize,
    columns: Vec<Column>,
    modified_ns: i64,
    /// One per row, or none at all.
    labels: Vec<u32>,
    classes: Vec<String>,
    notes: Vec<String>,
}

fn open(request: &DataRequest, asked: LabelSource) -> Result<TableSource, DataError> {
    let path = &request.path;
    if asked == LabelSource::Folder {
        return Err(no_folder_labels(path));
    }
    let table = Cells::read(path)?;
    check_header(path, &table)?;
    if table.names().iter().all(|name| name.parse::<f64>().is_ok()) {
        let problem = format!("its first line must name the columns, and holds {}", listed(table.names()));
        return Err(bad_file(path, problem));
    }
    let is_new = request.columns.is_empty();
    if table.len() < if is_new { 2 } else { 1 } {
        let rows = if table.len() == 0 { "no row" } else { "one row alone" };
        return Err(bad_file(path, format!("has {rows} below the names of its columns, expected at least 2")));
    }
    let Labels { column: label_column, labels, classes, mut notes } = Labels::of(path, &table, request, asked)?;
    let mut features = if is_new {
        let named = |key: &str, names: &[String]| {
            names.iter().map(|name| column(path, &table, key, name)).collect::<Result<Vec<usize>, _>>()
        };
        let (dropped, categories) =
            (named("data.drop", &request.drop)?, named("data.categories", &request.categories)?);
        let chosen: Vec<usize> =
            (0..table.names().len()).filter(|c| Some(*c) != label_column && !dropped.contains(c)).collect();
        let mut features = Features::of(path, &table, &chosen, &categories)?;
        features.notes.extend(note_on_labels(&table, &chosen, &labels, classes.len()));
        features
    } else {
        Features::known(path, &table, &request.columns)?
    };
    notes.extend(features.notes.drain(..).map(|note| format!("{}: {note}", path.display())));
    let modified_ns = std::fs::metadata(path).map_or(0, |found| modified_ns(&found));
    let values = features.rows(table.len());
    Ok(TableSource {
        name: file_name(path),
        features: features.channels.len(),
        columns: features.columns,
        values,
        modified_ns,
        labels,
        classes,
        notes,
    })
}

/// What a table says of labels.
struct Labels {
    column: Option<usize>,
    /// One per row, or none at all.
    labels: Vec<u32>,
    classes: Vec<String>,
    notes: Vec<String>,
}

impl Labels {
    fn of(path: &Path, table: &Cells, request: &DataRequest, asked: LabelSource) -> Result<Self, DataError> {
        let column = match request.label_column.as_str() {
            AUTO => table.names().iter().position(|name| LABEL_NAMES.contains(&name.to_lowercase().as_str())),
            // Another table than the one that the name was given for may have none.
            name if !request.columns.is_empty()
                && asked == LabelSource::Any
                && !table.names().iter().any(|own| own == name) =>
            {
                None
            }
            name => Some(column(path, table, "data.label_column", name)?),
        };
        let mut notes = Vec::new();
        if let (Some(label), AUTO) = (column, request.label_column.as_str()) {
            let name = &table.names()[label];
            notes.push(format!(
                "{}: column `{name}` is taken for the labels; data.label_column names another",
                path.display()
            ));
        }
        let (labels, classes) = match (asked, column) {
            (LabelSource::None, _) | (LabelSource::Auto | LabelSource::Any, None) => Default::default(),
            (_, None) => return Err(no_labels(path, &format!("a column named {}", LABEL_NAMES.join(", ")))),
            (_, Some(label)) => labels_of(path, table, label)?,
        };
        Ok(Self { column, labels, classes, notes })
    }
}

/// Names of columns, each once.
fn check_header(path: &Path, table: &Cells) -> Result<(), DataError> {
    let names = table.names();
    if let Some(tab) = names.iter().find(|name| name.contains('\t')) {
        return Err(bad_file(path, format!("the name {tab:?} of a column holds a tab; rename it")));
    }
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(bad_file(path, format!("two columns are called `{twice}`; rename one"))),
        None => Ok(()),
    }
}

/// The place of the column that the value of `key` names.
fn column(path: &Path, table: &Cells, key: &str, name: &str) -> Result<usize, DataError> {
    table.names().iter().position(|known| known == name).ok_or_else(|| {
        let known = listed(table.names());
        DataError::setting(key, format!("{} has no column `{name}`; its columns are {known}", path.display()))
    })
}

/// The labels in a column, and the names of the classes: numbers by size, others by name.
fn labels_of(path: &Path, table: &Cells, column: usize) -> Result<(Vec<u32>, Vec<String>), DataError> {
    let name = &table.names()[column];
    let mut names = Vec::with_capacity(table.len());
    for row in 0..table.len() {
        let value = table.value(row, column);
        if value.is_empty() {
            let place = table.place(row);
            let problem = format!("{place} has no label in column `{name}`; data.labels = \"none\" ignores them");
            return Err(bad_file(path, problem));
        }
        names.push(class_name(value));
    }
    let mut classes: Vec<String> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    if classes.len() > MOST_CLASSES {
        let problem =
            format!("column `{name}` has {} different labels; data.labels = \"none\" ignores them", classes.len());
        return Err(bad_file(path, problem));
    }
    if let Ok(numbers) = classes.iter().map(|class| class.parse::<f64>()).collect::<Result<Vec<_>, _>>() {
        let mut order: Vec<usize> = (0..classes.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        classes = order.into_iter().map(|class| classes[class].clone()).collect();
    }
    let place: std::collections::HashMap<&str, u32> = classes.iter().map(String::as_str).zip(0..).collect();
    let labels = names.iter().map(|name| place[name.as_str()]).collect();
    Ok((labels, classes))
}

/// What a person should know of columns that may be the labels under another name.
fn note_on_labels(table: &Cells, chosen: &[usize], labels: &[u32], classes: usize) -> Option<String> {
    let telling = chosen.iter().filter(|&&column| tells(table, column, labels, classes));
    let telling: Vec<&str> = telling.map(|&column| table.names()[column].as_str()).collect();
    (!telling.is_empty()).then(|| {
        format!(
            "each value of {} belongs to one label: if it is the label under another name, data.drop = {telling:?} leaves it out",
            listed(&telling)
        )
    })
}

/// Whether a column with as many values as there are classes tells the label of every row.
fn tells(table: &Cells, column: usize, labels: &[u32], classes: usize) -> bool {
    let mut label_of = std::collections::HashMap::new();
    let told = labels.iter().enumerate().all(|(row, label)| {
        *label_of.entry(table.value(row, column)).or_insert(label) == label && label_of.len() <= classes
    });
    told && classes > 1 && label_of.len() == classes
}

impl IndexedSource for TableSource {
    fn len(&self) -> usize {
        self.values.len() / self.features
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        let row = self.values[index * self.features..][..self.features].to_vec();
        Ok(Encoded::Image(Image::new(1, 1, self.features, Pixels::F32(row))))
    }

    fn stat(&self, _index: usize) -> Stat {
        Stat { size_bytes: 4 * self.features as u64, modified_ns: self.modified_ns }
    }

    fn id(&self, index: usize) -> String {
        format!("{}[{index}]", self.name)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn shape(&self) -> Option<[usize; 3]> {
        Some([1, 1, self.features])
    }

    fn modality(&self) -> Modality {
        Modality::Vector
    }

    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests;
