//! `selfsame predict`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::{self, Task as Progress, note};
use anyhow::Result;
use clap::Args;
use selfsame::predictor::{Meaning, Predictor};
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::calibration::{Known, calibration_error};
use selfsame_evaluate::knn::argmax;
use selfsame_evaluate::predictions::{Counts, PredictionWriter};
use selfsame_evaluate::targets::Task;
use std::path::{Path, PathBuf};

/// Write what a saved model says of new samples, with probabilities. Memory does not grow with the data.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame predict model data=new/ out=predictions.csv
  selfsame predict model data=new/ out=predictions.parquet abstain_below=0.8    no label where none is that probable

Models are made by probe, and by finetune with save=. Where the data have labels in their folders, the accuracy is told.")]
pub struct Predict {
    /// A model: the folder that selfsame probe or selfsame finetune saved
    model: PathBuf,
    /// data=PATH out=FILE.csv|FILE.parquet abstain_below=PROBABILITY
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Predict {
    pub fn run(self) -> Result<Code> {
        let [data, out, threshold] = plans::values(&self.words, ["data", "out", "abstain_below"])?;
        let data = data.ok_or_else(|| bad_input("data: missing; say what to predict for, e.g. data=new/"))?;
        let out = out.ok_or_else(|| bad_input("out: missing; say where to write, e.g. out=predictions.csv"))?;
        let predictor = Predictor::load(&self.model)?;
        let meaning = predictor.meaning();
        let threshold = threshold.map_or(Ok(0.0), |word| probability(&word, meaning.task))?;
        let dataset = plans::sibling(predictor.plan(), &data)?;
        let mut writer = PredictionWriter::create(Path::new(&out), meaning.task, &meaning.names, threshold)?;
        let mut judged = Judged::new(meaning, &dataset);
        let (task, mut rows) = (Progress::new(dataset.len(), "predicting"), 0);
        predictor.for_each_batch(&dataset, |batch| {
            let ids: Vec<String> = batch.indices.iter().map(|&index| dataset.id(index)).collect();
            writer.push(&ids, &batch.values)?;
            if let Some(judged) = &mut judged {
                judged.see(&dataset, &batch.indices, batch.values);
            }
            rows += ids.len();
            task.set(rows);
            Ok(())
        })?;
        let counts = writer.finish()?;
        task.finish();
        plans::tell_skipped(&dataset);
        tell(&counts, meaning, threshold);
        if let Some(judged) = judged {
            judged.tell(meaning, threshold);
        }
        note!("{rows} predictions in {out}");
        Ok(Code::Finished)
    }
}

fn probability(word: &str, task: Task) -> Result<f32> {
    if task == Task::Numbers {
        return Err(bad_input("abstain_below: this model tells numbers, which have no probability; leave it out"));
    }
    let value: Option<f32> = word.parse().ok().filter(|p| (0.0..=1.0).contains(p));
    value.ok_or_else(|| bad_input(format!("abstain_below: expected a probability from 0 to 1, received {word}")))
}

fn tell(counts: &Counts, meaning: &Meaning, threshold: f32) {
    const SHOWN: usize = 20;
    let width = meaning.names.iter().take(SHOWN).map(|name| name.chars().count()).max().unwrap_or(0);
    let share = |count: usize| 100.0 * count as f64 / counts.rows.max(1) as f64;
    for (name, &count) in meaning.names.iter().zip(&counts.given).take(SHOWN) {
        terminal::print(format_args!("{name:width$}  {count:7}  {:5.1} %", share(count)));
    }
    if counts.given.len() > SHOWN {
        terminal::print(format_args!("and {} more", counts.given.len() - SHOWN));
    }
    if threshold > 0.0 {
        let (open, share) = (counts.open, share(counts.open));
        terminal::print(format_args!("{open} samples ({share:.1} %) are left open: less sure than {threshold}"));
    }
}

/// Predictions beside the labels that the data have.
struct Judged {
    /// The model's number of each class of the data.
    classes: Vec<u32>,
    truth: Vec<u32>,
    probabilities: Vec<f32>,
}

impl Judged {
    /// `None` where the data have no labels, or others than the model's.
    fn new(meaning: &Meaning, dataset: &Dataset) -> Option<Self> {
        let number = |name: &String| meaning.names.iter().position(|other| other == name).map(|at| at as u32);
        let classes: Option<Vec<u32>> = dataset.classes().iter().map(number).collect();
        let classes = classes.filter(|classes| meaning.task == Task::Classes && !classes.is_empty())?;
        Some(Self { classes, truth: Vec::new(), probabilities: Vec::new() })
    }

    fn see(&mut self, dataset: &Dataset, indices: &[usize], probabilities: Vec<f32>) {
        let label = |&index: &usize| dataset.label(index).map_or(u32::MAX, |label| self.classes[label as usize]);
        self.truth.extend(indices.iter().map(label));
        self.probabilities.extend(probabilities);
    }

    fn tell(&self, meaning: &Meaning, threshold: f32) {
        let width = meaning.names.len();
        let (mut sure, mut right, mut right_of_sure) = (0, 0, 0);
        for (row, &truth) in self.probabilities.chunks_exact(width).zip(&self.truth) {
            let best = argmax(row);
            let (is_sure, is_right) = (row[best as usize] >= threshold, best == truth);
            (sure, right) = (sure + usize::from(is_sure), right + usize::from(is_right));
            right_of_sure += usize::from(is_sure && is_right);
        }
        let samples = self.truth.len().max(1);
        let error = calibration_error(&self.probabilities, width, Known::Classes(&self.truth));
        let accuracy = right as f64 / samples as f64;
        terminal::print(format_args!("accuracy {accuracy:.3} by the labels of the data; calibration error {error:.3}"));
        if threshold > 0.0 && sure > 0 {
            let accuracy = right_of_sure as f64 / sure as f64;
            terminal::print(format_args!("accuracy {accuracy:.3} of the {sure} that are not left open"));
        }
    }
}
