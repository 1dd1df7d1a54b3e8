//! Samples that belong together: frames of one film, pictures of one patient. They are no independent evidence, and no group may
//! be on both sides of a split.

use crate::table::{Samples, Table};
use selfsame_base::DataError;
use std::collections::{BTreeMap, HashSet};

/// What tells the group of a sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRule {
    /// The name of the n-th folder of its path within the data, from 1.
    Folder(usize),
    /// What stands at `{group}` of a pattern of its path, in which `*` is any text.
    Pattern(String),
    /// A column of the table of labels.
    Column(String),
}

const GROUP: &str = "{group}";

impl std::str::FromStr for GroupRule {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let wrong = |problem: String| DataError::setting("groups", problem);
        if text.contains(GROUP) {
            return match text.matches(GROUP).count() {
                1 => Ok(Self::Pattern(text.into())),
                count => Err(wrong(format!("expected one {GROUP} in the pattern, received {count}"))),
            };
        }
        match text.split_once(':') {
            None if text == "folder" => Ok(Self::Folder(1)),
            Some(("folder", level)) => match level.parse() {
                Ok(level) if level > 0 => Ok(Self::Folder(level)),
                _ => Err(wrong(format!("expected folder:LEVEL with a level of at least 1, received {text}"))),
            },
            _ if text.is_empty() || text.contains(['*', '/']) => {
                let problem = "expected folder, folder:LEVEL, a pattern with {group} such as {group}_*.png, or a column of the table labels=";
                Err(wrong(format!("{problem}; received {text:?}")))
            }
            _ => Ok(Self::Column(text.into())),
        }
    }
}

impl GroupRule {
    /// The group of each sample of each part.
    ///
    /// # Errors
    /// If a sample has none, or the column is missing.
    pub fn groups<const N: usize>(
        &self,
        parts: [Samples; N],
        table: Option<&Table>,
    ) -> Result<[Vec<String>; N], DataError> {
        let wrong = |problem: String| DataError::setting("groups", problem);
        let groups: [Vec<Option<String>>; N] = match (self, table) {
            (Self::Folder(level), _) => {
                let folder = |id: &String| id.rsplit_once('/')?.0.split('/').nth(level - 1).map(str::to_owned);
                parts.map(|part| part.ids.iter().map(folder).collect())
            }
            (Self::Pattern(pattern), _) => {
                parts.map(|part| part.ids.iter().map(|id| matched(pattern, id).map(str::to_owned)).collect())
            }
            (Self::Column(name), None) => {
                return Err(wrong(format!("column {name} needs a table; give labels=TABLE.csv")));
            }
            (Self::Column(name), Some(table)) => {
                let column = table.column(name)?;
                let group = |row: Option<&[String]>| Some(row?[column].clone()).filter(|group| !group.is_empty());
                table.rows_of_parts(parts)?.map(|rows| rows.into_iter().map(group).collect())
            }
        };
        for (part, groups) in parts.iter().zip(&groups) {
            if let Some(first) = groups.iter().position(Option::is_none) {
                let (without, all) = (groups.iter().filter(|group| group.is_none()).count(), groups.len());
                return Err(wrong(format!("{without} of {all} samples have no group; the first: {}", part.ids[first])));
            }
        }
        Ok(groups.map(|groups| groups.into_iter().flatten().collect()))
    }
}

/// What stands at `{group}`, as long as can be, when `text` as a whole is of the pattern.
fn matched<'a>(pattern: &str, text: &'a str) -> Option<&'a str> {
    let (before, after) = pattern.split_once(GROUP)?;
    let ends = |text: &str| text.char_indices().map(|(at, _)| at).chain([text.len()]).collect::<Vec<_>>();
    let all = ends(text);
    // The longest group of the earliest beginning.
    all.iter().copied().filter(|&start| like(before, &text[..start])).find_map(|start| {
        let mut stops = all.iter().rev().copied().filter(|&stop| stop > start);
        stops.find(|&stop| like(after, &text[stop..])).map(|stop| &text[start..stop])
    })
}

/// Whether all of `text` is of a pattern in which `*` is any text.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            let Some(left) = text.strip_prefix(start) else { return false };
            // The first place for each piece leaves the most for the others; the last piece stands at the end.
            let mut left = left;
            let mut pieces: Vec<&str> = rest.split('*').collect();
            let last = pieces.pop().unwrap_or_default();
            for piece in pieces {
                let Some(at) = left.find(piece) else { return false };
                left = &left[at + piece.len()..];
            }
            left.ends_with(last)
        }
    }
}

/// Groups by number, in the order in which they first come.
pub fn numbered(groups: &[String]) -> Vec<u32> {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    groups
        .iter()
        .map(|group| {
            let next = numbers.len() as u32;
            *numbers.entry(group).or_insert(next)
        })
        .collect()
}

/// Places in `train` whose group is none of `test`: what may be learned from, so that no group is on both sides.
pub fn apart(train: &[String], test: &[String]) -> Vec<usize> {
    let judged: HashSet<&String> = test.iter().collect();
    (0..train.len()).filter(|&row| !judged.contains(&train[row])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(rule: &str, ids: &[&str]) -> Result<Vec<String>, String> {
        let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        let rule: GroupRule = rule.parse().map_err(|error: DataError| error.to_string())?;
        let [groups] = rule.groups([Samples { root: "", ids: &ids }], None).map_err(|error| error.to_string())?;
        Ok(groups)
    }

    #[test]
    fn folders_and_patterns_tell_groups() {
        assert_eq!(groups("folder", &["a/1.png", "b/c/2.png"]).unwrap(), ["a", "b"]);
        assert_eq!(groups("folder:2", &["cat/p1/1.png", "dog/p2/2.png"]).unwrap(), ["p1", "p2"]);
        assert_eq!(groups("{group}_*.png", &["film_01_003.png", "b_1.png"]).unwrap(), ["film_01", "b"]);
        assert_eq!(groups("*/p{group}-*.*", &["x/y/p07-1.png", "x/p9-a-b.tif"]).unwrap(), ["07", "9-a"]);
        assert_eq!(groups("{group}.png", &["é.png"]).unwrap(), ["é"]);
    }

    #[test]
    fn a_sample_without_a_group_is_told() {
        assert!(
            groups("folder", &["a/1.png", "2.png"])
                .unwrap_err()
                .contains("1 of 2 samples have no group; the first: 2.png")
        );
        assert!(groups("{group}_*.png", &["a.png"]).unwrap_err().contains("the first: a.png"));
        assert!(groups("folder:0", &[]).unwrap_err().contains("folder:LEVEL"));
        assert!(groups("{group}{group}", &[]).unwrap_err().contains("one {group}"));
        assert!(groups("a*", &[]).unwrap_err().contains("{group}_*.png"));
        assert!(groups("patient", &["a"]).unwrap_err().contains("give labels=TABLE.csv"));
    }

    #[test]
    fn no_group_stays_on_both_sides() {
        let names = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(apart(&names(&["a", "b", "a", "c"]), &names(&["b", "d"])), [0, 2, 3]);
        assert_eq!(numbered(&names(&["x", "a", "x", "b"])), [0, 1, 0, 2]);
    }
}
