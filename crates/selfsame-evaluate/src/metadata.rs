//! What else is known of samples: a [table](crate::table) with one row per sample, by whose columns a map is colored. Numbers
//! that take many values are cut into ranges of equally many samples, and everything else is a name.

use crate::table::{Samples, Table};
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Ranges that numbers are cut into, where they take more different values than that.
const RANGES: usize = 8;
/// Names that are told apart, the most frequent ones.
const NAMES: usize = 20;
/// Groups of what has none of these names, and of what has no value.
const OTHER: &str = "other";
const UNKNOWN: &str = "unknown";

/// Samples in groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grouping {
    /// What groups them.
    pub name: String,
    /// Names of the groups.
    pub groups: Vec<String>,
    /// Whether the groups have an order, as ranges of numbers do.
    pub ordered: bool,
    /// Group of each sample; `None` where it is not known.
    pub of: Vec<Option<u32>>,
}

/// The samples `ids` grouped by each column of `table`.
///
/// # Errors
/// When the table knows none of them.
pub fn groupings(table: &Table, ids: &[String]) -> Result<Vec<Grouping>, DataError> {
    let rows = table.rows_of(Samples { root: "", ids })?;
    let of_column = |(column, name): (usize, &String)| {
        let value = |row: &Option<&[String]>| -> Option<String> { Some(row.as_ref()?[column].clone()) };
        let values: Vec<Option<String>> = rows.iter().map(|row| value(row).filter(|v| !v.is_empty())).collect();
        grouping(name, &values.iter().map(Option::as_deref).collect::<Vec<_>>())
    };
    Ok(table.columns().iter().enumerate().map(of_column).collect())
}

fn grouping(name: &str, values: &[Option<&str>]) -> Grouping {
    let mut counts = BTreeMap::<&str, usize>::new();
    values.iter().flatten().for_each(|value| *counts.entry(value).or_default() += 1);
    let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
    let numbers: Option<Vec<f64>> = values.iter().flatten().map(|text| number(text)).collect();
    let name = name.to_owned();
    if let Some(numbers) = numbers.filter(|_| counts.len() > RANGES) {
        let ranges = ranges(numbers);
        let of = |value: &Option<&str>| {
            let value = number(value.as_deref()?)?;
            Some(ranges.iter().rposition(|range| value >= range[0]).unwrap_or(0) as u32)
        };
        let groups =
            ranges.iter().map(|[low, high]| if low == high { low.to_string() } else { format!("{low} – {high}") });
        return Grouping { name, groups: groups.collect(), ordered: true, of: values.iter().map(of).collect() };
    }
    let mut names: Vec<&str> = counts.keys().copied().collect();
    names.sort_by_key(|name| std::cmp::Reverse(counts[name]));
    let more = names.len() > NAMES;
    names.truncate(NAMES);
    let of = |value: &Option<&str>| {
        let value = value.as_deref()?;
        Some(names.iter().position(|name| *name == value).unwrap_or(NAMES) as u32)
    };
    let of = values.iter().map(of).collect();
    names.extend(more.then_some(OTHER));
    Grouping { name, groups: names.into_iter().map(str::to_owned).collect(), ordered: false, of }
}

/// Lowest and highest value of up to [`RANGES`] groups of about equally many values; equal ones are in one group.
fn ranges(mut values: Vec<f64>) -> Vec<[f64; 2]> {
    values.sort_by(f64::total_cmp);
    let mut lows: Vec<f64> = (0..RANGES).map(|i| values[i * values.len() / RANGES]).collect();
    lows.dedup();
    let high = |next: usize| match lows.get(next) {
        Some(next) => values[values.partition_point(|v| v < next) - 1],
        None => values[values.len() - 1],
    };
    lows.iter().enumerate().map(|(i, &low)| [low, high(i + 1)]).collect()
}

impl Grouping {
    /// What a sample's group is called.
    pub fn name_of(&self, sample: usize) -> &str {
        self.of[sample].map_or(UNKNOWN, |group| &self.groups[group as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_groups_and_numbers_are_ranges() {
        let mut text = String::from("camera\tid\tseen\n");
        for i in 0..100 {
            text += &format!("{}\tday/{i}.png\t{}\n", ["left", "right", "", "left"][i % 4], 10 * i);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("about.tsv");
        std::fs::write(&path, text).unwrap();
        let table = Table::read(&path).unwrap();
        let ids: Vec<String> = (0..101).map(|i| format!("day/{i}.png")).collect();
        let [camera, seen] = &groupings(&table, &ids).unwrap()[..] else { panic!("two columns") };
        assert_eq!(
            (camera.name.as_str(), &camera.groups[..], camera.ordered),
            ("camera", &["left", "right"].map(String::from)[..], false)
        );
        assert_eq!([0, 1, 2, 3, 100].map(|i| camera.name_of(i)), ["left", "right", "unknown", "left", "unknown"]);
        assert_eq!((seen.groups.len(), seen.ordered), (RANGES, true));
        assert_eq!((seen.name_of(0), seen.name_of(99), seen.of[100]), ("0 – 110", "870 – 990", None));
        let sizes: Vec<usize> =
            (0..RANGES).map(|g| seen.of.iter().flatten().filter(|&&of| of as usize == g).count()).collect();
        assert!(sizes.iter().all(|size| (12..=13).contains(size)), "{sizes:?}");
    }

    #[test]
    fn rare_names_are_joined_and_equal_numbers_stay_together() {
        let rare: Vec<String> = (0..50).map(|i| format!("n{i}")).chain((0..5).map(|_| "common".into())).collect();
        let found = grouping("x", &rare.iter().map(|v| Some(v.as_str())).collect::<Vec<_>>());
        assert_eq!((found.groups.len(), found.name_of(54), found.name_of(49)), (NAMES + 1, "common", OTHER));
        let skewed: Vec<String> = (0..100).map(|i| if i < 80 { 0 } else { i }.to_string()).collect();
        let found = grouping("x", &skewed.iter().map(|v| Some(v.as_str())).collect::<Vec<_>>());
        assert_eq!(found.groups, ["0 – 86", "87 – 99"]);
    }
}
