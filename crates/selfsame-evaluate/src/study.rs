//! `study.json`: a grid of real runs that answers a question, as far as it has come.

use crate::json;
use crate::overlap::Overlap;
use crate::representation::DataOrigin;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format of `study.json`.
pub const FORMAT: u32 = 1;

/// One score of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyPoint {
    /// Which curve it is on, or which row it is in.
    pub series: String,
    /// Where it lies on the horizontal axis, or which column it is in.
    pub x: String,
    /// The score, 0 to 1.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
}

/// What one run of the grid found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyJob {
    /// Name of the job.
    pub name: String,
    /// Its scores.
    pub points: Vec<StudyPoint>,
}

/// `study.json`: what was asked, and what has been found so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Name in the catalogue.
    pub name: String,
    /// Whether it is the short form.
    pub quick: bool,
    /// Keys that the user gave.
    pub overrides: Vec<String>,
    /// The question.
    pub question: String,
    /// What the literature says.
    pub claim: String,
    /// The horizontal axis.
    pub x: String,
    /// The score.
    pub score: String,
    /// Whether it is a matrix that is the same both ways.
    pub symmetric: bool,
    /// Jobs that are done, in their order.
    pub jobs: Vec<StudyJob>,
    /// Jobs in all.
    pub planned: usize,
    /// What all runs were judged on, and the data that their labels are from; `None` before the first.
    #[serde(default)]
    pub judged_on: Option<[DataOrigin; 2]>,
    /// Test samples that are among the labeled training samples too, by the first run.
    #[serde(default)]
    pub overlap: Option<Overlap>,
}

impl StudyRecord {
    /// Writes `study.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `study.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }

    /// Takes down what a run was judged on, the test data and the labeled training data.
    ///
    /// # Errors
    /// If other runs of this study were judged on others: their scores would not compare.
    pub fn judged_on(&mut self, found: [DataOrigin; 2]) -> Result<(), DataError> {
        for (before, now) in self.judged_on.iter().flatten().zip(&found) {
            if !before.is(now) {
                let problem =
                    "scores of different data do not compare; put the data back, or begin anew with another out=…";
                return Err(DataError::Data(format!(
                    "{}: earlier runs of this study were judged with {before}, now it is {now}: {problem}",
                    self.name
                )));
            }
        }
        self.judged_on = Some(found);
        Ok(())
    }

    /// Whether the job of that name is done.
    pub fn has(&self, job: &str) -> bool {
        self.jobs.iter().any(|done| done.name == job)
    }

    fn points(&self) -> impl Iterator<Item = &StudyPoint> {
        self.jobs.iter().flat_map(|job| &job.points)
    }

    /// Names of the series and of the places on the axis, in the order in which they were measured; of a symmetric matrix the
    /// same.
    pub fn names(&self) -> [Vec<String>; 2] {
        let mut names = [Vec::new(), Vec::new()];
        for point in self.points() {
            for (names, name) in names.iter_mut().zip([&point.series, &point.x]) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        if self.symmetric {
            names[0] = names[1].clone();
        }
        names
    }

    /// What was measured of a series at a place on the axis.
    pub fn point(&self, series: &str, x: &str) -> Option<&StudyPoint> {
        let at = |s: &str, x: &str| self.points().find(|p| p.series == s && p.x == x);
        at(series, x).or_else(|| self.symmetric.then(|| at(x, series)).flatten())
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let [series, x] = self.names();
        let width = series.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
        let column = x.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5) + 2;
        let warning = self.overlap.as_ref().and_then(Overlap::warning).map_or(String::new(), |told| told + "\n");
        let mut text = format!("{warning}{}\n{:width$}", self.score, "");
        x.iter().for_each(|x| text += &format!("{x:>column$}"));
        for name in &series {
            text += &format!("\n{name:width$}");
            for x in &x {
                let shown = self.point(name, x).map_or(String::new(), |p| format!("{:.3}", p.value));
                text += &format!("{shown:>column$}");
            }
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_reads_back_equal_and_is_a_table() {
        let point = |series: &str, x: &str, value: f64| StudyPoint {
            series: series.into(),
            x: x.into(),
            value,
            interval: (value > 0.5).then_some([value - 0.1, value + 0.1]),
        };
        let record = StudyRecord {
            name: "a_study".into(),
            quick: true,
            overrides: vec!["a=1".into()],
            question: "Which?".into(),
            claim: "This.".into(),
            x: "second".into(),
            score: "accuracy".into(),
            symmetric: true,
            jobs: vec![StudyJob { name: "a-b".into(), points: vec![point("a", "a", 0.5), point("a", "b", 0.625)] }],
            planned: 2,
            judged_on: None,
            overlap: None,
        };
        let of = |fingerprint: &str| DataOrigin { fingerprint: fingerprint.into(), ..DataOrigin::from("photos") };
        let mut record = record;
        record.judged_on([of("1"), of("2")]).unwrap();
        record.judged_on([of("1"), of("2")]).unwrap();
        let error = record.judged_on([of("1"), of("3")]).unwrap_err().to_string();
        assert!(error.contains("fingerprint 2), now it is photos (0 samples, 0.0 MB, fingerprint 3)"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.json");
        record.write(&path).unwrap();
        assert_eq!(StudyRecord::read(&path).unwrap(), record);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"interval\": null", "\"newer\": 1")).unwrap();
        assert_eq!(StudyRecord::read(&path).unwrap(), record);
        assert!(record.has("a-b") && !record.has("b-b"));
        assert_eq!(record.point("b", "a").unwrap().value, 0.625, "both ways");
        assert!(record.table().contains("0.625"), "{}", record.table());
    }
}
