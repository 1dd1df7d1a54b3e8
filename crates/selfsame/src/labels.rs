//! What an evaluation is told of samples beside the folders that they lie in: a table of labels, and groups.

use crate::embed::Tables;
use selfsame_base::DataError;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::groups::{self, GroupRule};
use selfsame_evaluate::table::{Samples, Table};
use selfsame_evaluate::targets::{TargetColumns, Task};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Keys of the command line that say it.
#[derive(Default)]
pub struct Keys {
    /// `labels=TABLE.csv`
    pub labels: Option<String>,
    /// `targets=COLUMN,…`
    pub targets: Option<String>,
    /// `task=classes|multi_label|numbers`
    pub task: Option<String>,
    /// `groups=folder:LEVEL|PATTERN|COLUMN`
    pub groups: Option<String>,
}

/// What is told of samples.
#[derive(Default)]
pub struct Told {
    /// The table, and which of its columns are to be told.
    pub table: Option<(Table, TargetColumns)>,
    groups: Option<GroupRule>,
}

/// A part of the data, as far as it is used.
#[derive(Clone, Default)]
pub struct Part {
    /// Samples that are used; `None`: all.
    pub samples: Option<Vec<usize>>,
    /// What the table tells of each sample of the data set; empty without a table.
    pub targets: Vec<Option<Vec<f32>>>,
    /// The group of each sample of the data set; empty without groups.
    pub groups: Vec<String>,
}

impl Part {
    /// What the table tells of the samples at these places in the data set, row by row.
    pub fn values(&self, indices: &[usize]) -> Vec<f32> {
        indices.iter().flat_map(|&index| self.targets[index].iter().flatten().copied()).collect()
    }

    /// Whether samples come in groups.
    pub fn is_grouped(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The group of each of these samples, by number.
    pub fn numbered_groups(&self, indices: &[usize]) -> Vec<u32> {
        groups::numbered(&indices.iter().map(|&index| self.groups[index].clone()).collect::<Vec<_>>())
    }
}

/// The group of each of these samples of both parts, by number, where samples come in groups.
pub fn numbered_groups(parts: &[Part; 2], rows: [&[usize]; 2]) -> Option<[Vec<u32>; 2]> {
    parts[0].is_grouped().then(|| [0, 1].map(|part| parts[part].numbered_groups(rows[part])))
}

/// The file of each of these samples, by number; `numbers` knows those of other data already.
fn by_file_of(data: &Dataset, samples: &[usize], numbers: &mut HashMap<(PathBuf, usize), usize>) -> Vec<String> {
    let mut groups: Vec<String> = Vec::with_capacity(samples.len());
    for (row, &index) in samples.iter().enumerate() {
        // Samples of one file follow each other.
        let same = row.checked_sub(1).filter(|&last| data.file(samples[last]) == data.file(index));
        let group = same.map_or_else(
            || {
                let next = numbers.len();
                numbers.entry(data.file_identity(index)).or_insert(next).to_string()
            },
            |last| groups[last].clone(),
        );
        groups.push(group);
    }
    groups
}

impl Told {
    /// Gives the rows of `tables` the classes that the table tells, where it tells classes.
    pub fn relabel(&self, part: &Part, tables: &mut Tables) {
        if let Some((_, columns)) = self.table.as_ref().filter(|_| self.task() == Task::Classes) {
            let class = |index: usize| part.targets[index].as_ref().map_or(0, |class| class[0] as u32);
            tables.relabel(columns.names(), class);
        }
    }

    /// Reads the keys, and the table that they name.
    pub fn read(keys: Keys) -> Result<Self, DataError> {
        let groups = keys.groups.as_deref().map(str::parse::<GroupRule>).transpose()?;
        let Some(path) = keys.labels else {
            let alone = [("targets", keys.targets.is_some()), ("task", keys.task.is_some())];
            if let Some((key, _)) = alone.into_iter().find(|(_, given)| *given) {
                return Err(DataError::setting(key, "says how a table is read; give labels=TABLE.csv too"));
            }
            return Ok(Self { table: None, groups });
        };
        let table = Table::read(Path::new(&path))?;
        let apart = match &groups {
            Some(GroupRule::Column(name)) => Some(table.column(name)?),
            _ => None,
        };
        let task = keys.task.as_deref().map(str::parse::<Task>).transpose()?;
        let chosen: Vec<&str> = keys.targets.iter().flat_map(|names| names.split(',')).map(str::trim).collect();
        let columns = TargetColumns::of(&table, &chosen, task, apart)?;
        Ok(Self { table: Some((table, columns)), groups })
    }

    /// What is to be told of each sample.
    pub fn task(&self) -> Task {
        self.table.as_ref().map_or(Task::Classes, |(_, columns)| columns.task())
    }

    /// The labeled samples of the training and of the test data, with no group in both. Without a rule, the pages and tiles of a file
    /// are a group. What is left out is told by `note`.
    pub fn parts(&self, data: [&Dataset; 2], note: &mut dyn FnMut(String)) -> Result<[Part; 2], DataError> {
        let by_file = self.groups.is_none() && data.iter().any(|data| data.is_grouped());
        if self.table.is_none() && self.groups.is_none() && !by_file {
            return Ok(Default::default());
        }
        // What is told of an image is told of its tiles.
        let ids = data.map(|data| (0..data.len()).map(|index| data.image_id(index)).collect::<Vec<_>>());
        let roots = data.map(|data| {
            let path = data.path();
            let folder = if path.is_dir() { Some(path) } else { path.parent() };
            folder.map_or_else(String::new, |folder| folder.to_string_lossy().into_owned())
        });
        let samples = || [0, 1].map(|part| Samples { root: &roots[part], ids: &ids[part] });
        let mut parts: [Part; 2] = Default::default();
        if let Some((table, columns)) = &self.table {
            for ((part, rows), name) in parts.iter_mut().zip(table.rows_of_parts(samples())?).zip(["train", "test"]) {
                part.targets = rows.into_iter().map(|row| columns.of_row(row?)).collect();
                let known: Vec<usize> = (0..part.targets.len()).filter(|&i| part.targets[i].is_some()).collect();
                let unknown = part.targets.len() - known.len();
                let path = table.path().display();
                if known.is_empty() {
                    return Err(DataError::Data(format!("{path}: has no label for any of the {name} samples")));
                }
                if unknown > 0 {
                    let all = part.targets.len();
                    note(format!("{unknown} of {all} {name} samples have no label in {path} and are left out"));
                    part.samples = Some(known);
                }
            }
        }
        if self.groups.is_none() && !by_file {
            return Ok(parts);
        }
        // Of the samples that are used; the others need none.
        let used = [0, 1].map(|p| parts[p].samples.clone().unwrap_or_else(|| (0..ids[p].len()).collect::<Vec<_>>()));
        let used_ids = [0, 1].map(|p| used[p].iter().map(|&index| ids[p][index].clone()).collect::<Vec<_>>());
        let table = self.table.as_ref().map(|(table, _)| table);
        let found = match &self.groups {
            Some(rule) => rule.groups([0, 1].map(|p| Samples { root: &roots[p], ids: &used_ids[p] }), table)?,
            None => {
                note("pages and tiles of one file are one group; groups= says otherwise".to_owned());
                let mut numbers = HashMap::new();
                [0, 1].map(|p| by_file_of(data[p], &used[p], &mut numbers))
            }
        };
        let mut apart = groups::apart(&found[0], &found[1]);
        if apart.is_empty() && by_file {
            // The same data twice, which nobody asked to keep apart; that they are the same is told elsewhere.
            apart = (0..found[0].len()).collect();
        }
        if apart.is_empty() {
            return Err(DataError::setting(
                "groups",
                "every group of the train data is in the test data too; nothing is left to learn from",
            ));
        }
        if apart.len() < found[0].len() {
            let (left, all) = (found[0].len() - apart.len(), found[0].len());
            note(format!("{left} of {all} train samples are of groups that are in the test data too and are left out"));
            parts[0].samples = Some(apart.into_iter().map(|row| used[0][row]).collect());
        }
        for ((part, found), (used, ids)) in parts.iter_mut().zip(found).zip(used.iter().zip(&ids)) {
            part.groups = vec![String::new(); ids.len()];
            used.iter().zip(found).for_each(|(&index, group)| part.groups[index] = group);
        }
        Ok(parts)
    }
}
