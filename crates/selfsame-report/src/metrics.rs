//! `metrics.jsonl`, read as it grows.

use selfsame_base::events::{Event, FORMAT, StepRecord};
use selfsame_base::{DataError, files};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Warnings that are kept.
const WARNINGS: usize = 50;

/// A number that every step records. In this order they are drawn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// The objective's total.
    Loss,
    /// A named term of it.
    Term(String),
    /// Learning rate.
    LearningRate,
    /// Throughput.
    SamplesPerSecond,
    /// Standard deviation of the normalized embeddings.
    EmbeddingStd,
    /// Effective rank of the embeddings.
    EffectiveRank,
    /// Share of the time that training waited for views.
    WaitShare,
}

impl Series {
    /// What it is called, with its unit.
    pub fn title(&self) -> String {
        match self {
            Self::Loss => "loss".into(),
            Self::Term(name) => format!("loss term: {}", name.replace('_', " ")),
            Self::LearningRate => "learning rate".into(),
            Self::SamplesPerSecond => "throughput, samples/s".into(),
            Self::EmbeddingStd => "standard deviation of unit embeddings × √dim".into(),
            Self::EffectiveRank => "effective rank of the embeddings".into(),
            Self::WaitShare => "share of time spent waiting for views".into(),
        }
    }

    /// Whether 0 belongs on its axis.
    pub(crate) fn starts_at_zero(&self) -> bool {
        !matches!(self, Self::Loss | Self::Term(_))
    }
}

/// What training started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Trained parameters.
    pub parameters: usize,
    /// Samples in the data.
    pub samples: usize,
    /// Steps in all.
    pub steps: u64,
}

/// What training ended with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// Seconds of the last session.
    pub elapsed_s: f64,
    /// Files that could not be read.
    pub skipped_files: usize,
}

/// What a run has recorded, grown as the file grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// Points `(epoch, value)`; what is not finite is left out.
    pub series: BTreeMap<Series, Vec<(f64, f64)>>,
    /// Online kNN scores, `(epoch, accuracy)`.
    pub online_knn: Vec<(f64, f64)>,
    /// Steps and texts of warnings.
    pub warnings: Vec<(u64, String)>,
    /// How training started, the last time.
    pub start: Option<Start>,
    /// How it ended.
    pub end: Option<End>,
    /// Times that training started or went on.
    pub sessions: usize,
    /// The last step that was recorded.
    pub step: u64,
    /// The format of the records, where it is another than this version's.
    pub other_format: Option<u32>,
    /// Lines that are not JSON.
    pub torn_lines: usize,
    /// Whether the last line has no end: its writer was cut off, or is still at it.
    pub torn_end: bool,
    read_bytes: u64,
}

impl Metrics {
    /// Takes in what was appended to `metrics.jsonl` since the last call; starts again when the file became shorter, as it
    /// does when a run is resumed. A last line without its end is left for the next call; events that this version does not
    /// know are passed over.
    pub fn update(&mut self, path: &Path) -> Result<(), DataError> {
        let io = |cause| DataError::io(path, cause);
        let mut file = files::open(path).map_err(io)?;
        let size_bytes = file.metadata().map_err(io)?.len();
        if size_bytes < self.read_bytes {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.read_bytes)).map_err(io)?;
        let (mut reader, mut line) = (BufReader::new(file.take(size_bytes - self.read_bytes)), Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(io)?;
            if !line.ends_with(b"\n") {
                self.torn_end = read > 0;
                return Ok(());
            }
            self.read_bytes += read as u64;
            match serde_json::from_slice::<Event>(&line) {
                Ok(event) => self.take(event),
                // JSON, but not an event that this version knows.
                Err(error) if error.is_data() => {}
                Err(_) => self.torn_lines += 1,
            }
        }
    }

    fn take(&mut self, event: Event) {
        self.step = event.step().max(self.step);
        if let Some(message) = event.warning().filter(|_| self.warnings.len() < WARNINGS) {
            self.warnings.push((event.step(), message));
        }
        match event {
            Event::Step(record) => self.take_step(&record),
            Event::OnlineKnn { epoch, accuracy, .. } if accuracy.is_finite() => {
                self.online_knn.push((epoch as f64, accuracy));
            }
            Event::Started { format, parameters, samples, steps, .. } => {
                self.other_format = (format != FORMAT).then_some(format);
                self.sessions += 1;
                self.start = Some(Start { parameters, samples, steps });
            }
            Event::Finished { elapsed_s, skipped_files, .. } => self.end = Some(End { elapsed_s, skipped_files }),
            _ => {}
        }
    }

    fn take_step(&mut self, record: &StepRecord) {
        if !record.epoch.is_finite() {
            return;
        }
        let mut keep = |series: Series, value: f64| {
            if value.is_finite() {
                self.series.entry(series).or_default().push((record.epoch, value));
            }
        };
        keep(Series::Loss, record.total.into());
        record.terms.iter().for_each(|(name, value)| keep(Series::Term(name.clone()), (*value).into()));
        keep(Series::LearningRate, record.lr);
        keep(Series::SamplesPerSecond, record.samples_per_s);
        keep(Series::EmbeddingStd, record.embedding_std);
        keep(Series::EffectiveRank, record.effective_rank);
        keep(Series::WaitShare, record.wait_share);
    }

    /// The series of the training itself, in the order in which they are drawn: not the gauges of collapse.
    pub(crate) fn of_training(&self) -> impl Iterator<Item = &Series> {
        let elsewhere = [Series::EmbeddingStd, Series::EffectiveRank, Series::WaitShare];
        self.series.keys().filter(move |series| !elsewhere.contains(series))
    }

    /// The last value of a series.
    pub fn last(&self, series: &Series) -> Option<f64> {
        self.series.get(series)?.last().map(|point| point.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_grow_with_the_file_and_start_again_when_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let step = |n: u64| {
            format!(
                "{{\"event\":\"step\",\"step\":{n},\"epoch\":{n},\"total\":1.5,\"terms\":{{\"a\":2}},\"lr\":null}}\n"
            )
        };
        let newer = "{\"event\":\"of a newer version\",\"step\":1}\n[3]\n";
        let mut metrics = Metrics::default();
        std::fs::write(&path, format!("{}{newer}not json\n{}", step(1), &step(2)[..20])).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!((metrics.step, metrics.torn_lines), (1, 1));
        assert_eq!(metrics.series[&Series::Term("a".into())], [(1.0, 2.0)]);
        assert!(!metrics.series.contains_key(&Series::LearningRate));
        std::fs::write(&path, format!("{}{newer}not json\n{}{}", step(1), step(2), step(3))).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!(metrics.series[&Series::Loss], [(1.0, 1.5), (2.0, 1.5), (3.0, 1.5)]);
        std::fs::write(&path, step(1)).unwrap();
        metrics.update(&path).unwrap();
        assert_eq!((metrics.step, metrics.series[&Series::Loss].len()), (1, 1));
    }

    #[test]
    fn events_are_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let started = Event::Started {
            format: FORMAT,
            run: "runs/a".into(),
            method: "simclr".into(),
            backbone: "resnet".into(),
            parameters: 10,
            samples: 20,
            step: 0,
            steps: 30,
            epochs: 4,
        };
        let events = [
            started.clone(),
            Event::OnlineKnn { step: 2, epoch: 1, accuracy: 0.5 },
            Event::OnlineKnn { step: 3, epoch: 2, accuracy: f64::NAN },
            Event::Warning { step: 3, message: "careful".into() },
            started,
            Event::Finished { step: 30, elapsed_s: 7.0, wait_share: 0.1, skipped_files: 2 },
        ];
        let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect();
        std::fs::write(&path, lines.concat()).unwrap();
        let mut metrics = Metrics::default();
        metrics.update(&path).unwrap();
        assert_eq!((metrics.sessions, metrics.step, metrics.torn_lines), (2, 30, 0));
        assert_eq!(metrics.start, Some(Start { parameters: 10, samples: 20, steps: 30 }));
        assert_eq!(metrics.end, Some(End { elapsed_s: 7.0, skipped_files: 2 }));
        assert_eq!((metrics.online_knn, metrics.warnings), (vec![(1.0, 0.5)], vec![(3, "careful".to_owned())]));
    }
}
