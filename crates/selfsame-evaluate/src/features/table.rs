//! Rows of features in memory.

use selfsame_base::DataError;

/// Rows of `f32` features with their ids and, where known, labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureTable {
    /// `[rows, dim]`, row by row.
    pub values: Vec<f32>,
    /// Width of a row.
    pub dim: usize,
    /// Id (path) of each row.
    pub ids: Vec<String>,
    /// Class of each row, or empty when there are no labels.
    pub labels: Vec<u32>,
    /// Names of the classes, or empty.
    pub classes: Vec<String>,
}

/// Rows of a matrix, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// `[rows, dim]`, row by row.
    pub values: &'a [f32],
    /// Width of a row.
    pub dim: usize,
}

impl FeatureTable {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Row `index`, `[dim]`.
    pub fn row(&self, index: usize) -> &[f32] {
        self.rows().row(index)
    }

    /// The features alone.
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(&self.values, self.dim)
    }

    /// Name of the class of row `index`, where it is known.
    pub fn class(&self, index: usize) -> Option<&str> {
        self.classes.get(*self.labels.get(index)? as usize).map(String::as_str)
    }

    /// Whether all values are numbers.
    ///
    /// # Errors
    /// With the id of the first sample that holds a NaN or an infinity. `what` is what the table holds, for the message.
    pub fn check_finite(&self, what: &str) -> Result<(), DataError> {
        match self.rows().first_not_finite() {
            None => Ok(()),
            Some(row) => Err(DataError::Data(format!(
                "{what} of sample {} is not finite (NaN or infinity): the encoder has diverged",
                self.ids[row]
            ))),
        }
    }
}

impl<'a> Rows<'a> {
    /// Borrows `values` as rows of width `dim`.
    pub fn new(values: &'a [f32], dim: usize) -> Self {
        assert!(dim > 0 || values.is_empty(), "rows of width 0");
        assert!(values.is_empty() || values.len().is_multiple_of(dim), "{} values in rows of {dim}", values.len());
        Self { values, dim }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len().checked_div(self.dim).unwrap_or(0)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Row `index`, `[dim]`.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.dim..][..self.dim]
    }

    /// Rows `start .. start + count`.
    pub fn slice(&self, start: usize, count: usize) -> Self {
        Self { values: &self.values[start * self.dim..][..count * self.dim], dim: self.dim }
    }

    /// First row that holds a NaN or an infinity.
    pub fn first_not_finite(&self) -> Option<usize> {
        self.values.iter().position(|v| !v.is_finite()).map(|at| at / self.dim)
    }

    /// Whether all values are numbers.
    ///
    /// # Errors
    /// With the first row that holds a NaN or an infinity. `what` is what the rows are, for the message.
    pub fn check_finite(&self, what: &str) -> Result<(), DataError> {
        match self.first_not_finite() {
            None => Ok(()),
            Some(row) => Err(DataError::Data(format!(
                "row {row} of {what} is not finite (NaN or infinity): the encoder has diverged"
            ))),
        }
    }
}

/// Labels of files lie below this.
pub(super) const MOST_CLASSES: u32 = 1 << 24;

/// Names for classes that a file numbers but does not name: their numbers.
pub(super) fn number_classes(labels: &[u32], classes: &mut Vec<String>) {
    let count = labels.iter().max().map_or(0, |&max| max as usize + 1);
    (classes.len()..count).for_each(|class| classes.push(class.to_string()));
}
