//! Targets that a table tells: a class, any number of labels, or numbers, for each sample.
//!
//! | task | the table has | score |
//! | --- | --- | --- |
//! | `classes` | one column of names | accuracy |
//! | `multi_label` | several columns of 0 and 1 (or true, false, yes, no), or one of names joined by `\|` or `;` | AUROC, mean AP, macro F1 |
//! | `numbers` | columns of numbers | R², mean absolute error |

use crate::table::Table;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is to be told of a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// Which of several classes it is of.
    #[default]
    Classes,
    /// Which of several labels it has, any number of them.
    MultiLabel,
    /// One or more numbers.
    Numbers,
}

impl std::str::FromStr for Task {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        match text {
            "classes" => Ok(Self::Classes),
            "multi_label" => Ok(Self::MultiLabel),
            "numbers" => Ok(Self::Numbers),
            other => {
                let problem = format!("expected classes, multi_label or numbers, received {other}");
                Err(DataError::setting("task", problem))
            }
        }
    }
}

/// Columns of a table, read as targets.
#[derive(Clone, Debug)]
pub struct TargetColumns {
    columns: Vec<usize>,
    task: Task,
    /// Whether the one column lists the labels of a sample; otherwise each label has a column.
    lists: bool,
    /// Names of the classes, of the labels, or of the columns of numbers.
    names: Vec<String>,
}

impl TargetColumns {
    /// Reads the columns `chosen` (all but `apart`, where none are chosen) as targets of `task`, or of that which their values tell.
    ///
    /// # Errors
    /// If a column is missing, or its values are not of one task, or may be of two.
    pub fn of(table: &Table, chosen: &[&str], task: Option<Task>, apart: Option<usize>) -> Result<Self, DataError> {
        let columns: Vec<usize> = match chosen {
            [] => (0..table.columns().len()).filter(|column| Some(*column) != apart).collect(),
            names => names.iter().map(|name| table.column(name)).collect::<Result<_, _>>()?,
        };
        let bad = |problem: String| DataError::Data(format!("{}: {problem}", table.path().display()));
        if columns.is_empty() {
            return Err(bad("has no column of labels beside that which names the samples".into()));
        }
        let task = match task {
            Some(task) => task,
            None => inferred(table, &columns).map_err(bad)?,
        };
        let column_names = || columns.iter().map(|&column| table.columns()[column].clone()).collect::<Vec<_>>();
        let words = |split: bool| -> Vec<String> {
            let cells = columns.iter().flat_map(|&column| table.values(column));
            let words = cells.flat_map(|cell| if split { listed(cell).collect() } else { vec![cell] });
            words.filter(|word| !word.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
        };
        let lists =
            task == Task::MultiLabel && columns.len() == 1 && !all(table, &columns, |cell| truth(cell).is_some());
        let names = match (task, columns.len()) {
            (Task::Classes, 1) => words(false),
            (Task::Classes, _) => {
                return Err(bad(format!(
                    "classes are told by one column; say which by targets=, of {}",
                    column_names().join(", ")
                )));
            }
            (Task::MultiLabel, _) if lists => words(true),
            (Task::MultiLabel | Task::Numbers, _) => column_names(),
        };
        let targets = Self { columns, task, lists, names };
        // Every cell is read once, so that a later one is no surprise.
        for &column in targets.columns.iter().filter(|_| task != Task::Classes && !lists) {
            if let Some(cell) = table.values(column).find(|cell| !cell.is_empty() && targets.cell(cell).is_none()) {
                let expected = if task == Task::Numbers { "a number" } else { "0 or 1" };
                return Err(bad(format!(
                    "column `{}`: expected {expected}, received {cell:?}",
                    table.columns()[column]
                )));
            }
        }
        Ok(targets)
    }

    /// What is to be told.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Names of the classes, of the labels, or of the numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// What a row tells: the place of its class, 1 or 0 for each label, or its numbers; `None` where a cell is empty.
    pub fn of_row(&self, row: &[String]) -> Option<Vec<f32>> {
        let cells: Vec<&str> = self.columns.iter().map(|&column| row[column].as_str()).collect();
        if cells.iter().any(|cell| cell.is_empty()) {
            return None;
        }
        match self.task {
            Task::Classes => Some(vec![self.names.iter().position(|name| name == cells[0])? as f32]),
            Task::MultiLabel if self.lists => {
                let has = |name: &String| if listed(cells[0]).any(|word| word == name) { 1.0 } else { 0.0 };
                Some(self.names.iter().map(has).collect())
            }
            Task::MultiLabel | Task::Numbers => cells.iter().map(|cell| self.cell(cell)).collect(),
        }
    }

    /// The value of a cell that is not empty, where cells are values.
    fn cell(&self, cell: &str) -> Option<f32> {
        if self.task == Task::Numbers { number(cell).map(|value| value as f32) } else { truth(cell) }
    }
}

/// The task that all values of the columns are of.
fn inferred(table: &Table, columns: &[usize]) -> Result<Task, String> {
    let names = columns.iter().map(|&column| table.columns()[column].as_str()).collect::<Vec<_>>().join(", ");
    let numbers = all(table, columns, |cell| number(cell).is_some());
    if columns.len() > 1 {
        return match (all(table, columns, |cell| truth(cell).is_some()), numbers) {
            (true, _) => Ok(Task::MultiLabel),
            (_, true) => Ok(Task::Numbers),
            _ => Err(format!(
                "its columns {names} are not all of 0 and 1, nor all of numbers; say which are meant by targets=COLUMN,…"
            )),
        };
    }
    if !numbers {
        let lists = !all(table, columns, |cell| !cell.contains(['|', ';']));
        return Ok(if lists { Task::MultiLabel } else { Task::Classes });
    }
    if !all(table, columns, |cell| number(cell).is_some_and(|value| value.fract() == 0.0)) {
        return Ok(Task::Numbers);
    }
    let distinct: BTreeSet<&str> = table.values(columns[0]).filter(|cell| !cell.is_empty()).collect();
    match distinct.len() {
        0..=2 => Ok(Task::Classes),
        count => Err(format!(
            "column `{names}` has {count} different whole numbers, which may name classes or be amounts; say task=classes or task=numbers"
        )),
    }
}

/// Whether every cell that is not empty is so.
fn all(table: &Table, columns: &[usize], is: impl Fn(&str) -> bool) -> bool {
    columns.iter().all(|&column| table.values(column).all(|cell| cell.is_empty() || is(cell)))
}

fn number(cell: &str) -> Option<f64> {
    cell.parse::<f64>().ok().filter(|value| value.is_finite() && (*value as f32).is_finite())
}

fn truth(cell: &str) -> Option<f32> {
    match cell.to_ascii_lowercase().as_str() {
        "1" | "1.0" | "true" | "yes" => Some(1.0),
        "0" | "0.0" | "false" | "no" => Some(0.0),
        _ => None,
    }
}

/// The names in a cell.
fn listed(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(['|', ';']).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Samples;

    fn table(text: &str) -> Table {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path).unwrap()
    }

    /// Task, names, and what each of the ids a, b, c has.
    type Targets = (Task, Vec<String>, Vec<Option<Vec<f32>>>);

    fn read(text: &str, chosen: &[&str], task: Option<Task>) -> Result<Targets, String> {
        let table = table(text);
        let targets = TargetColumns::of(&table, chosen, task, None).map_err(|error| error.to_string())?;
        let rows = table.rows_of(Samples { root: "", ids: &["a", "b", "c"].map(String::from) }).unwrap();
        let rows = rows.iter().map(|row| targets.of_row(row.as_ref().unwrap())).collect();
        Ok((targets.task(), targets.names().to_vec(), rows))
    }

    #[test]
    fn values_tell_the_task() {
        let (task, names, rows) = read("id,kind\na,owl\nb,\nc,cat\n", &[], None).unwrap();
        assert_eq!((task, names), (Task::Classes, vec!["cat".to_owned(), "owl".to_owned()]));
        assert_eq!(rows, [Some(vec![1.0]), None, Some(vec![0.0])]);

        let several =
            (Task::MultiLabel, vec!["red".to_owned(), "round".to_owned()], [[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]);
        for text in ["id,red,round\na,1,0\nb,0,0\nc,1,1\n", "id,red,round\na,yes,No\nb,false,0.0\nc,True,1\n"] {
            let (task, names, rows) = read(text, &[], None).unwrap();
            assert_eq!(
                (task, names, rows),
                (several.0, several.1.clone(), several.2.map(|row| Some(row.to_vec())).to_vec())
            );
        }
        let (task, names, rows) = read("id,what\na,red\nb,\nc,round | red\n", &[], None).unwrap();
        assert_eq!((task, names), (several.0, several.1));
        assert_eq!(rows, [Some(vec![1.0, 0.0]), None, Some(vec![1.0, 1.0])]);
        // One column of 0 and 1 as one label.
        let (task, names, rows) = read("id,red\na,1\nb,0\nc,1\n", &[], Some(Task::MultiLabel)).unwrap();
        assert_eq!(
            (task, names, rows),
            (Task::MultiLabel, vec!["red".into()], vec![Some(vec![1.0]), Some(vec![0.0]), Some(vec![1.0])])
        );

        let (task, names, rows) = read("id,age,x\na,1.5,-2\nb,,1\nc,7,1e3\n", &[], None).unwrap();
        assert_eq!((task, names), (Task::Numbers, vec!["age".to_owned(), "x".to_owned()]));
        assert_eq!(rows, [Some(vec![1.5, -2.0]), None, Some(vec![7.0, 1000.0])]);
        let (task, ..) = read("id,age,note\na,1,x\nb,2,y\nc,3,z\n", &["age"], Some(Task::Numbers)).unwrap();
        assert_eq!(task, Task::Numbers);
    }

    #[test]
    fn what_may_be_two_things_is_asked_and_never_guessed() {
        let problem = |text, chosen: &[&str], task| read(text, chosen, task).unwrap_err();
        let whole = problem("id,grade\na,1\nb,2\nc,3\n", &[], None);
        assert!(whole.contains("say task=classes or task=numbers"), "{whole}");
        let mixed = problem("id,age,note\na,1,x\nb,2,y\nc,3,z\n", &[], None);
        assert!(mixed.contains("age, note") && mixed.contains("targets=COLUMN"), "{mixed}");
        let cell = problem("id,age\na,1\nb,old\nc,3\n", &[], Some(Task::Numbers));
        assert!(cell.contains("column `age`: expected a number, received \"old\""), "{cell}");
        let cell = problem("id,x,y\na,1,1\nb,2,0\nc,0,0\n", &[], Some(Task::MultiLabel));
        assert!(cell.contains("column `x`: expected 0 or 1, received \"2\""), "{cell}");
        let two = problem("id,x,y\na,1,1\nb,0,0\nc,0,0\n", &[], Some(Task::Classes));
        assert!(two.contains("targets="), "{two}");
        assert!(problem("id,x\na,1\nb,1\nc,1\n", &["y"], None).contains("no column `y`"));
        assert!(
            "class".parse::<Task>().unwrap_err().to_string().contains("task: expected classes, multi_label or numbers")
        );
    }
}
