//! Tables with a row per sample: what else is known of samples, and labels that no folder tells.
//!
//! A `.csv` or `.tsv` file with a header. One column, `id`, `path`, `file`, `filename`, `image` or `name`, names the samples: as
//! `selfsame embed` does (the path within the data's folder), by a longer path that ends in this, or by a shorter one, down to a
//! file's name with or without its ending, where that is the name of one sample alone. Samples of an array may be named by their
//! number.

use crate::representation::DataOrigin;
use selfsame_base::DataError;
use selfsame_base::delimited::Delimited;
use selfsame_base::seal::SealedFile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Columns that may name the samples, in the order in which they are looked for.
const IDS: [&str; 6] = ["id", "path", "file", "filename", "image", "name"];

/// Samples as a table may name them: their ids, and the path of the folder that the ids are within; empty where there is none.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// Path of the folder.
    pub root: &'a str,
    /// Path of each sample within it.
    pub ids: &'a [String],
}

/// A table with a row per sample.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    origin: DataOrigin,
    /// The column that names the samples.
    id: String,
    /// All other columns.
    columns: Vec<String>,
    /// A value for every column; empty where there is none.
    rows: Vec<Vec<String>>,
    /// Rows by what names the sample.
    by_name: HashMap<String, usize>,
}

impl Table {
    /// Reads a table (see the [module](self) for the format).
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let bad = |problem: String| DataError::Data(format!("{}: {problem}", path.display()));
        let (read, bytes) = Delimited::read(path)?;
        let names = read.names();
        let Some(id) = IDS.iter().find_map(|id| names.iter().position(|name| name == id)) else {
            return Err(bad(format!(
                "has no column that names the samples ({}); its columns are {}",
                IDS.join(", "),
                names.join(", ")
            )));
        };
        let mut table = Self {
            path: path.into(),
            origin: DataOrigin::default(),
            id: names[id].clone(),
            columns: names.iter().enumerate().filter(|(i, _)| *i != id).map(|(_, name)| name.clone()).collect(),
            rows: Vec::new(),
            by_name: HashMap::new(),
        };
        for record in 0..read.len() {
            let values = read.row(record).enumerate().filter(|(column, _)| *column != id);
            let row: Vec<String> = values.map(|(_, value)| value.to_owned()).collect();
            let name = normal(read.value(record, id));
            if table.by_name.get(&name).is_some_and(|&before| table.rows[before] != row) {
                return Err(bad(format!("has two different rows for {name:?}; keep one")));
            }
            table.by_name.insert(name, table.rows.len());
            table.rows.push(row);
        }
        table.origin = DataOrigin {
            path: path.display().to_string(),
            samples: table.rows.len(),
            bytes: bytes.len() as u64,
            fingerprint: SealedFile::of("", &bytes).blake3[..32].to_owned(),
        };
        Ok(table)
    }

    /// What was read: path, rows, bytes and hash.
    pub fn origin(&self) -> &DataOrigin {
        &self.origin
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns beside that which names the samples.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The place of the column of that name.
    ///
    /// # Errors
    /// With the names of those that there are.
    pub fn column(&self, name: &str) -> Result<usize, DataError> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let known = self.columns.join(", ");
            DataError::Data(format!("{}: has no column `{name}`; its columns are {known}", self.path.display()))
        })
    }

    /// What is in a column of every row, whether it is of a sample or not.
    pub(crate) fn values(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |row| row[column].as_str())
    }

    /// The row of each sample, `None` where the table does not know it.
    ///
    /// # Errors
    /// When the table knows none of them, or one row is that of two samples.
    pub fn rows_of(&self, samples: Samples) -> Result<Vec<Option<&[String]>>, DataError> {
        let [rows] = self.rows_of_parts([samples])?;
        Ok(rows)
    }

    /// As [`rows_of`](Self::rows_of), for parts of the data that are looked for at once: a row is that of one sample among all.
    ///
    /// # Errors
    /// Also when the table knows none of a part.
    pub fn rows_of_parts<const N: usize>(&self, parts: [Samples; N]) -> Result<[Vec<Option<&[String]>>; N], DataError> {
        let bad = |problem: String| DataError::Data(format!("{}: {problem}", self.path.display()));
        // Names in the table that are longer than paths of samples: by every end that begins with a folder or file.
        let mut ends: HashMap<&str, Option<usize>> = HashMap::new();
        for (name, &row) in &self.by_name {
            for (at, _) in name.match_indices('/') {
                ends.entry(&name[at + 1..]).and_modify(|known| *known = None).or_insert(Some(row));
            }
        }
        let mut owner: HashMap<usize, String> = HashMap::new();
        let mut found = [const { Vec::new() }; N];
        for (Samples { root, ids }, found) in parts.into_iter().zip(&mut found) {
            *found = self.find(root, ids, &ends);
            for (id, row) in ids.iter().zip(&*found) {
                let whole = Path::new(root).join(id).to_string_lossy().into_owned();
                if let Some(other) = row.and_then(|row| owner.insert(row, whole.clone()))
                    && other != whole
                {
                    let column = &self.id;
                    return Err(bad(format!(
                        "one row is that of both {other:?} and {whole:?}; give more of the path in its column `{column}`"
                    )));
                }
            }
            if let (Some(id), true) = (ids.iter().min(), found.iter().all(Option::is_none)) {
                let of_table = self.by_name.keys().min().map_or("", String::as_str);
                return Err(bad(format!(
                    "its column `{}` names none of the samples; it has {of_table:?} where the data have {id:?}",
                    self.id
                )));
            }
        }
        Ok(found.map(|rows| rows.into_iter().map(|row| row.map(|row| &self.rows[row][..])).collect()))
    }

    /// The rows of samples, all found in the same way: by as much of the path as names any of them, so that a sample that the table
    /// lacks is not taken for one of another folder.
    fn find(&self, root: &str, ids: &[String], ends: &HashMap<&str, Option<usize>>) -> Vec<Option<usize>> {
        let exact = |name: &str| self.by_name.get(name).copied();
        let within = |prefix: &str, id: &str| {
            let name = format!("{prefix}{id}");
            exact(&name).or_else(|| ends.get(name.as_str()).copied().flatten())
        };
        let root = normal(root);
        let root = root.trim_end_matches('/');
        let starts = std::iter::once(0).chain(root.match_indices('/').map(|(at, _)| at + 1));
        let folders = starts.map(|start| format!("{}/", &root[start..])).filter(|_| !root.is_empty());
        let ids: Vec<String> = ids.iter().map(|id| normal(id)).collect();
        let all = |way: &dyn Fn(&str) -> Option<usize>| -> Option<Vec<Option<usize>>> {
            let found: Vec<Option<usize>> = ids.iter().map(|id| way(id)).collect();
            found.iter().any(Option::is_some).then_some(found)
        };
        let shorter = |id: &str| id.match_indices('/').find_map(|(at, _)| exact(&id[at + 1..]));
        let stem = |id: &str| {
            let mut starts = std::iter::once(0).chain(id.match_indices('/').map(|(at, _)| at + 1));
            starts.find_map(|start| exact(id[start..].rsplit_once('.')?.0))
        };
        let number = |id: &str| exact(id.rsplit_once('[')?.1.strip_suffix(']')?);
        (folders.chain([String::new()]).find_map(|prefix| all(&|id| within(&prefix, id))))
            .or_else(|| all(&shorter))
            .or_else(|| all(&stem))
            .or_else(|| all(&number))
            .unwrap_or_else(|| vec![None; ids.len()])
    }
}

/// A path as it is compared.
fn normal(name: &str) -> String {
    let name = name.trim().replace('\\', "/");
    name.strip_prefix("./").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, text: &str) -> Result<Table, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Table::read(&path)
    }

    fn values(text: &str, ids: &[&str]) -> Result<Vec<Option<String>>, String> {
        let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        let table = table("a.csv", text).map_err(|error| error.to_string())?;
        let rows = table.rows_of(Samples { root: "photos", ids: &ids }).map_err(|error| error.to_string())?;
        Ok(rows.into_iter().map(|row| row.map(|row| row[0].clone())).collect())
    }

    #[test]
    fn samples_are_found_by_id_by_longer_paths_and_by_names() {
        let found = |text: &str, ids: &[&str]| -> Vec<String> {
            values(text, ids).unwrap().into_iter().map(|value| value.unwrap_or_else(|| "-".into())).collect()
        };
        assert_eq!(found("id,x\na/1.png,5\n./a/2.png,6\n", &["a/2.png", "a/1.png", "a/3.png"]), ["6", "5", "-"]);
        assert_eq!(
            found("x,path\n5,/home/me/photos/a/1.png\n6,photos\\a\\2.png\n", &["a/1.png", "a/2.png"]),
            ["5", "6"]
        );
        assert_eq!(found("\u{feff}filename,x\n1.png,5\n2.png,6\n", &["a/1.png", "b/2.png"]), ["5", "6"]);
        assert_eq!(found("image,x\n1,5\n2,6\n", &["a/1.png", "b/2.png"]), ["5", "6"]);
        assert_eq!(found("id,x\n0,5\n1,6\n", &["images.npy[1]", "images.npy[0]"]), ["6", "5"]);
        // The name of a file in another folder is not that of this one.
        assert_eq!(found("id,x\nb/1.png,5\na/2.png,6\n", &["a/1.png", "a/2.png"]), ["-", "6"]);
    }

    #[test]
    fn parts_with_the_same_names_are_told_apart_by_their_folders() {
        let ids = ["1.png", "2.png"].map(String::from);
        let parts = || ["data/train", "data/test"].map(|root| Samples { root, ids: &ids });
        let whole = table("a.csv", "path,x\ntrain/1.png,5\ntest/1.png,6\ntest/2.png,7\n").unwrap();
        let [train, test] = whole.rows_of_parts(parts()).unwrap();
        assert_eq!((train[0].unwrap(), test[0].unwrap()), (&["5".to_owned()][..], &["6".to_owned()][..]));
        // What one part lacks is not taken from the other.
        assert!(train[1].is_none() && test[1].is_some());
        let short = table("a.csv", "path,x\n1.png,5\n").unwrap();
        let both = short.rows_of_parts(parts()).unwrap_err().to_string();
        assert!(both.contains("both \"data/train/1.png\" and \"data/test/1.png\""), "{both}");
        assert!(whole.origin().samples == 3 && whole.origin().fingerprint.len() == 32);
    }

    #[test]
    fn what_two_samples_may_mean_is_refused() {
        let both = values("id,x\n1.png,5\n", &["a/1.png", "b/1.png"]).unwrap_err();
        assert!(both.contains("one row is that of both \"photos/a/1.png\" and \"photos/b/1.png\""), "{both}");
        let none = values("id,x\nx/1.png,5\n", &["b.png"]).unwrap_err();
        assert!(none.contains("\"x/1.png\" where the data have \"b.png\""), "{none}");
        // An end that two rows share names neither.
        assert!(values("id,x\np/1.png,5\nq/1.png,6\n", &["1.png"]).unwrap_err().contains("names none"));
        let twice = table("a.csv", "id,x\na,1\na,2\n").unwrap_err().to_string();
        assert!(twice.contains("two different rows for \"a\""), "{twice}");
        assert!(table("a.csv", "id,x\na,1\na,1\n").is_ok());
        assert!(
            table("a.csv", "who,x\na,1\n")
                .unwrap_err()
                .to_string()
                .contains("no column that names the samples (id, path")
        );
        assert!(table("a.txt", "id\n").unwrap_err().to_string().contains(".csv"));
        let torn = table("a.csv", "id,x\na,2\nb\n").unwrap_err().to_string();
        assert!(torn.contains("a.csv: line 3 has 1 values, the first line names 2 columns"), "{torn}");
        assert!(
            table("a.csv", "id,x\n")
                .unwrap()
                .column("y")
                .unwrap_err()
                .to_string()
                .contains("no column `y`; its columns are x")
        );
    }
}
