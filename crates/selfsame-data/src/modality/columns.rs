//! Columns of a table, and where they lie in a vector.

use std::fmt;
use std::ops::Range;

/// A column of a table: what an encoder must know to be fed with another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The values that have a channel of their own, 1 where the value is there. Of a category all; of a number, which has a channel
    /// besides, none. The empty one says that the value is missing, and comes last.
    pub values: Vec<String>,
}

/// Between the parts of a column's text.
const TAB: char = '\t';

impl Column {
    /// Reads what [`fmt::Display`] writes: the name, and after tabs the values.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(TAB).map(str::to_owned);
        Self { name: parts.next().unwrap_or_default(), values: parts.collect() }
    }

    /// Whether it holds numbers.
    pub fn is_number(&self) -> bool {
        self.values.iter().all(String::is_empty)
    }

    /// Whether a channel says that the value is missing.
    pub fn can_miss(&self) -> bool {
        self.values.last().is_some_and(String::is_empty)
    }

    /// Channels that it takes.
    pub fn channels(&self) -> usize {
        usize::from(self.is_number()) + self.values.len()
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.values.iter().try_for_each(|value| write!(f, "{TAB}{value}"))
    }
}

/// Where a column lies in a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its channels.
    pub channels: Range<usize>,
    /// Whether one of them is 1 and all others are 0, before they are standardized.
    pub is_category: bool,
}

/// The columns of a vector, one after the other: what is corrupted, left out or given back as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Vec<Place>);

impl Columns {
    /// The columns that `data.columns` lists; where it lists none, each of the channels is one.
    pub fn of(listed: &[String], channels: usize) -> Self {
        if listed.is_empty() {
            return Self((0..channels).map(|c| Place { channels: c..c + 1, is_category: false }).collect());
        }
        let mut start = 0;
        let place = |text: &String| {
            let column = Column::parse(text);
            let channels = start..start + column.channels();
            start = channels.end;
            Place { channels, is_category: !column.is_number() }
        };
        Self(listed.iter().map(place).collect())
    }

    /// The first `most` columns of a row, `[channels]`, as the table `listed` has them: a line each, `name: value`, and one that says how many more
    /// there are. Columns without names are numbered from 0.
    pub fn lines(&self, listed: &[String], row: &[f32], most: usize) -> Vec<String> {
        let line = |number| format!("{}: {}", self.name(listed, number), self.value(listed, row, number));
        let mut lines: Vec<String> = (0..self.len().min(most)).map(line).collect();
        if self.len() > most {
            lines.push(format!("and {} more columns", self.len() - most));
        }
        lines
    }

    /// The name of column `number` of the table `listed`; without names, the number.
    pub fn name(&self, listed: &[String], number: usize) -> String {
        listed.get(number).map_or_else(|| number.to_string(), |text| Column::parse(text).name)
    }

    /// What column `number` of a row, `[channels]`, of the table `listed` holds.
    pub fn value(&self, listed: &[String], row: &[f32], number: usize) -> String {
        let channels = &row[self.channels_of(number)];
        let Some(column) = listed.get(number).map(|text| Column::parse(text)) else { return channels[0].to_string() };
        let first = usize::from(column.is_number());
        let there = channels[first..].iter().position(|&value| value > 0.5);
        match there.map(|at| column.values[at].as_str()) {
            Some("") => "missing".into(),
            Some(value) => value.to_owned(),
            None if column.is_number() => channels[0].to_string(),
            None => "of no category".into(),
        }
    }

    /// How many columns a share of them is, rounded down.
    pub fn part(&self, share: f32) -> usize {
        (share * self.len() as f32) as usize
    }

    /// Number of columns.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Channels of all.
    pub fn channels(&self) -> usize {
        self.0.last().map_or(0, |place| place.channels.end)
    }

    /// Where each lies.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Place> {
        self.0.iter()
    }

    /// The channels of one.
    pub fn channels_of(&self, column: usize) -> Range<usize> {
        self.0[column].channels.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_written_and_read_as_it_is_and_takes_its_channels() {
        let column = |name: &str, values: &[&str]| Column {
            name: name.into(),
            values: values.iter().map(|&v| v.into()).collect(),
        };
        let cases = [
            (column("age", &[]), "age", (true, false, 1)),
            (column("age", &[""]), "age\t", (true, true, 2)),
            (column("a color", &["blue", "red"]), "a color\tblue\tred", (false, false, 2)),
            (column("color", &["blue", ""]), "color\tblue\t", (false, true, 2)),
        ];
        let mut texts = Vec::new();
        for (column, text, (number, missing, channels)) in cases {
            assert_eq!((column.to_string().as_str(), &Column::parse(text)), (text, &column));
            assert_eq!((column.is_number(), column.can_miss(), column.channels()), (number, missing, channels));
            texts.push(text.to_owned());
        }
        let columns = Columns::of(&texts, 7);
        assert_eq!((columns.len(), columns.channels()), (4, 7));
        let places: Vec<_> = columns.iter().map(|place| (place.channels.clone(), place.is_category)).collect();
        assert_eq!(places, [(0..1, false), (1..3, false), (3..5, true), (5..7, true)]);
        let lines = |row: &[f32], most| columns.lines(&texts, row, most);
        let said = ["age: 41.5", "age: missing", "a color: red", "color: blue"];
        assert_eq!(lines(&[41.5, 7.0, 1.0, 0.0, 1.0, 1.0, 0.0], 4), said);
        assert_eq!(lines(&[1.0; 7], 1), ["age: 1", "and 3 more columns"]);
        assert_eq!(Columns::of(&[], 2).lines(&[], &[0.25, -3.0], 9), ["0: 0.25", "1: -3"]);
        assert_eq!(Columns::of(&[], 3).iter().map(|place| place.channels.len()).sum::<usize>(), 3);
    }
}
