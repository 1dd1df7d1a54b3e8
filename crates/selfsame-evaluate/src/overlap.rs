//! Test samples that are among other samples too: the same content, or nearly so. A score that counts them is too high.

use crate::columns::mean_and_squares;
use crate::features::{FeatureTable, Rows};
use crate::knn::Neighbors;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Cosine of the representations that near-duplicates exceed.
const COSINE_ABOVE: f32 = 0.98;
/// Squared distance of their pixels at most, in units of the mean squared distance of the training samples from their mean: a
/// tenth of the standard deviation.
const DISTANCE_BELOW: f64 = 0.01;
/// Nearest samples that are looked at.
const NEAREST: usize = 5;

/// A part of the data.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Its representations, with its ids.
    pub h: &'a FeatureTable,
    /// Hash of the content of each sample, where it is known.
    pub contents: &'a [Option<u64>],
    /// What the samples look like, `[samples, values]`, where that is known.
    pub looks: Option<Rows<'a>>,
}

/// How many test samples are among other samples too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Overlap {
    /// Test samples with the very content of another.
    pub same_content: usize,
    /// Test samples that are nearly the same as another, to the encoder and to the eye, beside those; `None` where it was not looked.
    pub near_duplicates: Option<usize>,
    /// Test samples in all.
    pub test_samples: usize,
    /// The first of them, and the sample that it is.
    pub first: Option<[String; 2]>,
}

impl Overlap {
    /// Compares every test sample with the training samples.
    ///
    /// # Errors
    /// If a representation is not finite.
    pub fn find(test: Seen, train: Seen) -> Result<Self, DataError> {
        let count = test.h.len();
        assert!(test.contents.len() == count && train.contents.len() == train.h.len(), "a content for every sample");
        let mut known: HashMap<u64, usize> = HashMap::new();
        for (row, content) in train.contents.iter().enumerate() {
            if let Some(content) = content {
                known.entry(*content).or_insert(row);
            }
        }
        let same = |row: usize| test.contents[row].and_then(|content| known.get(&content).copied());
        let mut found: Vec<Option<usize>> = (0..count).map(same).collect();
        let same_content = found.iter().flatten().count();
        let near_duplicates = match (test.looks, train.looks) {
            (Some(test_looks), Some(train_looks)) => {
                let near = near(test.h.rows(), train.h.rows(), test_looks, train_looks)?;
                found.iter_mut().zip(near).for_each(|(found, near)| *found = found.or(near));
                Some(found.iter().flatten().count() - same_content)
            }
            _ => None,
        };
        let first = found.iter().enumerate().find_map(|(row, other)| Some((row, (*other)?)));
        let first = first.map(|(row, other)| [test.h.ids[row].clone(), train.h.ids[other].clone()]);
        Ok(Self { same_content, near_duplicates, test_samples: count, first })
    }

    /// How many contents of test samples are among `others`, such as those that an encoder was trained on.
    pub fn of_contents(contents: &[Option<u64>], others: impl Iterator<Item = u64>) -> Self {
        let known: std::collections::HashSet<u64> = others.collect();
        let same_content = contents.iter().flatten().filter(|content| known.contains(content)).count();
        Self { same_content, near_duplicates: None, test_samples: contents.len(), first: None }
    }

    /// Samples that are counted.
    pub fn count(&self) -> usize {
        self.same_content + self.near_duplicates.unwrap_or(0)
    }

    /// In words, where there is one: test samples among the labeled training samples, and what that does to scores.
    pub fn warning(&self) -> Option<String> {
        self.told("the labeled training samples").map(|told| format!("{told}: the scores are too high."))
    }

    /// In words, where there is one: `others` is what the test samples are among.
    pub fn told(&self, others: &str) -> Option<String> {
        let near = self.near_duplicates.map_or(String::new(), |near| format!(", {near} near-duplicates"));
        let first =
            self.first.as_ref().map_or(String::new(), |[test, train]| format!("; the first: {test} is {train}"));
        (self.count() > 0).then(|| {
            format!(
                "{} of {} test samples are among {others} ({} with the same content{near}{first})",
                self.count(),
                self.test_samples,
                self.same_content
            )
        })
    }
}

/// The training sample that each test sample is nearly the same as.
fn near(test: Rows, train: Rows, test_looks: Rows, train_looks: Rows) -> Result<Vec<Option<usize>>, DataError> {
    let neighbors = Neighbors::find(test, train, NEAREST)?;
    let (_, squares) = mean_and_squares(train_looks);
    let limit = DISTANCE_BELOW * squares.iter().sum::<f64>() / train_looks.len() as f64;
    let of_row = |row: usize| {
        let k = neighbors.k;
        let nearest = neighbors.indices[row * k..][..k].iter().zip(&neighbors.cosines[row * k..][..k]);
        let mut alike = nearest.filter(|(_, cosine)| **cosine > COSINE_ABOVE).map(|(&other, _)| other as usize);
        alike.find(|&other| {
            let pairs = test_looks.row(row).iter().zip(train_looks.row(other));
            pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() < limit
        })
    };
    Ok((0..test.len()).map(of_row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::normals;

    #[test]
    fn copies_and_near_copies_are_counted_once() {
        let (dim, rows) = (16, 40);
        let table = |values: Vec<f32>, name: &str| FeatureTable {
            ids: (0..values.len() / dim).map(|row| format!("{name}/{row}")).collect(),
            values,
            dim,
            ..FeatureTable::default()
        };
        let train = table(normals(rows, dim, 1), "train");
        // Test samples 0 and 1 are training samples 7 and 8; the second with noise of a twentieth of the standard deviation, which
        // makes another content.
        let mut values = normals(10, dim, 2);
        let noise = normals(1, dim, 3);
        for j in 0..dim {
            values[j] = train.row(7)[j];
            values[dim + j] = train.row(8)[j] + 0.05 * noise[j];
        }
        let test = table(values, "test");
        let contents = |table: &FeatureTable| -> Vec<Option<u64>> {
            let bits = |row: usize| {
                table.row(row).iter().fold(1, |hash: u64, v| hash.wrapping_mul(31) + u64::from(v.to_bits()))
            };
            (0..table.len()).map(|row| Some(bits(row))).collect()
        };
        let (of_test, of_train) = (contents(&test), contents(&train));
        let part = |table, contents, looks| Seen { h: table, contents, looks };
        let found =
            Overlap::find(part(&test, &of_test, Some(test.rows())), part(&train, &of_train, Some(train.rows())))
                .unwrap();
        assert_eq!((found.same_content, found.near_duplicates, found.count()), (1, Some(1), 2));
        let said = "2 of 10 test samples are among the rest (1 with the same content, 1 near-duplicates; the first: test/0 is train/7)";
        assert_eq!(found.told("the rest").as_deref(), Some(said));
        // Alike to the encoder alone is not the same.
        let other_looks = normals(10, dim, 4);
        let found = Overlap::find(
            part(&test, &of_test, Some(Rows::new(&other_looks, dim))),
            part(&train, &of_train, Some(train.rows())),
        )
        .unwrap();
        assert_eq!((found.same_content, found.near_duplicates), (1, Some(0)));
        let blind = Overlap::find(part(&test, &of_test, None), part(&train, &of_train, None)).unwrap();
        assert_eq!((blind.count(), blind.near_duplicates), (1, None));
        let nothing = vec![None; 10];
        let nothing = Overlap::find(part(&test, &nothing, None), part(&train, &of_train, None)).unwrap();
        assert_eq!((nothing.count(), nothing.told("x")), (0, None));
        assert_eq!(Overlap::of_contents(&of_test, of_train.iter().flatten().copied()).same_content, 1);
    }
}
