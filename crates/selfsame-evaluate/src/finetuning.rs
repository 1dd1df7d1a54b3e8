//! What fine-tuning found: the label-efficiency curve, a cell per number of labels.

use crate::bootstrap::{self, Difference};
use crate::conclusion;
use crate::json;
use crate::label_subsets::LabelBudget;
use crate::overlap::Overlap;
use crate::representation::{DataOrigin, MeasuredOn};
use crate::targets::Task;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format of `finetune.json`.
pub const FORMAT: u32 = 2;

/// Further scores of the same predictions, where they are of use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    /// Mean of the accuracies within the classes, where these are uneven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// Of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average_precision: Option<f64>,
    /// Of labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub f1: Option<f64>,
    /// Of a number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_error: Option<f64>,
}

impl Beside {
    /// Those that there are, with their names.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [
            ("balanced", self.balanced_accuracy),
            ("mean AP", self.average_precision),
            ("macro F1", self.f1),
            ("MAE", self.absolute_error),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A score on the test samples, mean over the draws: accuracy of classes, AUROC of labels, R² of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// The score.
    pub value: f64,
    /// Its 95 % interval, over test samples and draws.
    pub interval: [f64; 2],
    /// Further scores.
    #[serde(flatten)]
    pub beside: Beside,
    /// Whether it is better than the others with the same labels, by more than chance would explain.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leads: bool,
}

/// How far training may move a network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// Learning rate. With 0 nothing moves: what is fine-tuned is the linear probe then.
    pub lr: f64,
    /// Share of it that a stage has of the one above it.
    pub layer_decay: f64,
}

impl std::fmt::Display for Strength {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lr {
            0.0 => f.write_str("the linear probe as it is"),
            lr => write!(f, "lr={lr} layer_decay={}", self.layer_decay),
        }
    }
}

/// What was chosen by labels that were held out of the given ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// For the network that starts from the encoder.
    pub finetuned: Strength,
    /// For the one that starts from its initial weights.
    pub scratch: Strength,
    /// Held-out samples in all; with 0 it is what is usual.
    pub held_out: usize,
}

/// One number of labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelCell {
    /// As asked for.
    pub labels: LabelBudget,
    /// Labeled samples in all.
    pub labeled: usize,
    /// Draws of them.
    pub draws: u64,
    /// Started from the encoder.
    pub finetuned: Fit,
    /// The same network, started from its initial weights.
    pub scratch: Fit,
    /// The linear probe on the encoder's `h`.
    pub linear_probe: Fit,
    /// How strongly both were trained, where that was to be chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// By how much fine-tuning is above training from scratch, on the same test samples and draws.
    #[serde(default)]
    pub over_scratch: Option<Difference>,
    /// The same of the linear probe.
    #[serde(default)]
    pub over_linear_probe: Option<Difference>,
}

impl LabelCell {
    /// What was fitted, by its name, in the order of tables.
    pub fn fits(&self) -> [(&'static str, Fit); 3] {
        [("fine-tuned", self.finetuned), ("linear probe", self.linear_probe), ("from scratch", self.scratch)]
    }
}

impl std::fmt::Display for LabelCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = self.fits().map(|(name, fit)| format!("{name} {:.3}", fit.value));
        write!(f, "{} ({}): {}", self.labels, self.labeled, fits.join(", "))
    }
}

/// `finetune.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finetuning {
    /// How it was done: the keys of fine-tuning and their values, for the record.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// The test data, and the encoder.
    #[serde(default)]
    pub measured_on: MeasuredOn,
    /// The labeled training data.
    #[serde(default)]
    pub labels_from: DataOrigin,
    /// Test samples that are among the labeled training samples too.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// Training samples, labels of which were given or held back.
    pub train_samples: usize,
    /// Test samples.
    pub test_samples: usize,
    /// What is told of the samples.
    #[serde(default)]
    pub task: Task,
    /// Number of classes, labels or numbers.
    pub classes: usize,
    /// The table that told it, where it was none of the folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_table: Option<DataOrigin>,
    /// Number of groups of the test samples, of which resamples are made; `None` where samples stand for themselves.
    #[serde(default)]
    pub test_groups: Option<usize>,
    /// In the order asked for.
    pub cells: Vec<LabelCell>,
    /// What the score would be without looking at the samples: of classes, by naming the most frequent of the training data.
    #[serde(default)]
    pub chance: Option<f64>,
    /// What follows, in words.
    #[serde(default)]
    pub conclusion: Vec<String>,
}

impl Finetuning {
    /// Writes `finetune.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `finetune.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }

    /// What the scores are.
    pub fn measure(&self) -> &'static str {
        match self.task {
            Task::Classes => "accuracy",
            Task::MultiLabel => "AUROC",
            Task::Numbers => "R²",
        }
    }

    /// Adds what was found with a number of labels, and says what follows from all so far.
    pub fn add(&mut self, cell: LabelCell) {
        self.cells.push(cell);
        self.conclusion = conclusion::of_finetuning(self);
    }

    /// How strongly was trained with each number of labels, a line for each where that was to be chosen.
    pub fn choices(&self) -> Vec<String> {
        let of_cell = |cell: &LabelCell| {
            let Chosen { finetuned, scratch, held_out } = cell.chosen?;
            let by = match held_out {
                0 => "labels are too few to choose by".to_owned(),
                samples => format!("chosen by {samples} held-out samples"),
            };
            Some(format!("{}, {by}: {finetuned}; from scratch lr={}", cell.labels, scratch.lr))
        };
        self.cells.iter().filter_map(of_cell).collect()
    }

    /// The conclusion and the table for a terminal; `color` makes bold what is better than the rest of its line by more than chance.
    pub fn table(&self, color: bool) -> String {
        let mut text: String = self.conclusion.iter().map(|line| format!("{line}\n")).collect();
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!(
            "{:22}{:>14}{:>14}{:>14}",
            format!("labels, {}", self.measure()),
            "fine-tuned",
            "linear probe",
            "from scratch"
        );
        for cell in &self.cells {
            let fits = cell.fits().map(|(_, fit)| fit);
            text += &format!("\n{:22}", format!("{} ({})", cell.labels, cell.labeled));
            for fit in fits {
                let half = format!("{:.3}", (fit.interval[1] - fit.interval[0]) / 2.0);
                let padded = format!("{:>14}", format!("{:.3} ±{}", fit.value, half.trim_start_matches('0')));
                text += &if fit.leads && color { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
            for (which, (name, _)) in fits[0].beside.named().enumerate() {
                text += &format!("\n{:22}", format!("  {name}"));
                let values = fits.map(|fit| fit.beside.named().nth(which).map_or(f64::NAN, |(_, value)| value));
                values.iter().for_each(|value| text += &format!("{value:>14.3}"));
            }
        }
        let chance = self.chance.map_or(String::new(), |chance| format!("; {} by chance: {chance:.3}", self.measure()));
        text += &format!("\n±: half of the 95 % interval (bootstrap, {} resamples){chance}\n", bootstrap::RESAMPLES);
        text + &self.choices().iter().map(|line| format!("{line}\n")).collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reads_back_equal_and_is_a_table() {
        let fit = |value: f64| Fit {
            value,
            interval: [value - 0.1, value + 0.05],
            beside: Beside { balanced_accuracy: Some(value - 0.25), ..Beside::default() },
            leads: value > 0.75,
        };
        let cell = |labels| LabelCell {
            labels,
            labeled: 20,
            draws: 3,
            finetuned: fit(0.8),
            scratch: fit(1.0 / 3.0),
            linear_probe: fit(0.7),
            chosen: Some(Chosen {
                finetuned: Strength { lr: 0.0, layer_decay: 1.0 },
                scratch: Strength { lr: 3e-3, layer_decay: 1.0 },
                held_out: 20,
            }),
            over_scratch: Some(Difference { value: 0.8 - 1.0 / 3.0, interval: [0.25, 0.5] }),
            over_linear_probe: Some(Difference { value: 0.1, interval: [-0.1, 0.3] }),
        };
        let mut record = Finetuning {
            measured_on: MeasuredOn { step: 3, ..MeasuredOn::default() },
            labels_from: "photos".into(),
            overlap: Some(Overlap { same_content: 2, test_samples: 50, ..Overlap::default() }),
            settings: [("lr".to_owned(), 1e-3.into())].into_iter().collect(),
            train_samples: 100,
            test_samples: 50,
            task: Task::Classes,
            classes: 2,
            label_table: None,
            test_groups: None,
            cells: Vec::new(),
            chance: Some(0.625),
            conclusion: Vec::new(),
        };
        for labels in [LabelBudget::PerClass(10), LabelBudget::Share(0.01), LabelBudget::All] {
            record.add(cell(labels));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("finetune.json");
        record.write(&path).unwrap();
        assert_eq!(Finetuning::read(&path).unwrap(), record);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen('{', "{\"newer\": {},", 1)).unwrap();
        assert_eq!(Finetuning::read(&path).unwrap(), record);
        let table = record.table(false);
        assert!(table.contains("10 per class (20)") && table.contains("0.800 ±.075"), "{table}");
        assert!(
            table.contains("  balanced") && table.contains("0.550") && table.contains("accuracy by chance: 0.625"),
            "{table}"
        );
        let first = "2 of 50 test samples are among the labeled training samples (2 with the same content): the scores are too high.";
        assert!(table.starts_with(first), "{table}");
        let then = "\nWith 10 labels per class fine-tuning is 46.7 points above training from scratch (25.0 to 50.0), with 1 % of the";
        assert!(table.contains(then) && table.contains("between fine-tuning and the linear probe"), "{table}");
        assert_eq!(record.table(true).matches("\x1b[1m").count(), 3);
    }
}
