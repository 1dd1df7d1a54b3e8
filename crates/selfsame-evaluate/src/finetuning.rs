//! What fine-tuning found: the label-efficiency curve, a cell per number of labels.

use crate::bootstrap;
use crate::json;
use crate::label_subsets::LabelBudget;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Format of `finetune.json`.
pub const FORMAT: u32 = 1;

/// Accuracy on the test samples, mean over the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fit {
    /// Share classified correctly.
    pub accuracy: f64,
    /// Its 95 % interval, over test samples and draws.
    pub interval: [f64; 2],
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
}

impl LabelCell {
    /// What was fitted, by its name, in the order of tables.
    pub fn fits(&self) -> [(&'static str, Fit); 3] {
        [("fine-tuned", self.finetuned), ("linear probe", self.linear_probe), ("from scratch", self.scratch)]
    }
}

impl std::fmt::Display for LabelCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fits = self.fits().map(|(name, fit)| format!("{name} {:.3}", fit.accuracy));
        write!(f, "{} ({}): {}", self.labels, self.labeled, fits.join(", "))
    }
}

/// `finetune.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finetuning {
    /// How it was done: the keys of fine-tuning and their values, for the record.
    #[serde(default)]
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Training samples, labels of which were given or held back.
    pub train_samples: usize,
    /// Test samples.
    pub test_samples: usize,
    /// Number of classes.
    pub classes: usize,
    /// In the order asked for.
    pub cells: Vec<LabelCell>,
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

    /// The table for a terminal; `color` makes the best of each line bold.
    pub fn table(&self, color: bool) -> String {
        let mut text = format!("{:22}{:>14}{:>14}{:>14}", "labels", "fine-tuned", "linear probe", "from scratch");
        for cell in &self.cells {
            let fits = cell.fits().map(|(_, fit)| fit);
            text += &format!("\n{:22}", format!("{} ({})", cell.labels, cell.labeled));
            for fit in fits {
                let half = format!("{:.3}", (fit.interval[1] - fit.interval[0]) / 2.0);
                let padded = format!("{:>14}", format!("{:.3} ±{}", fit.accuracy, half.trim_start_matches('0')));
                let best = fits.iter().all(|other| other.accuracy <= fit.accuracy);
                text += &if best && color { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        text + &format!("\n±: half of the 95 % interval (bootstrap, {} resamples)\n", bootstrap::RESAMPLES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_reads_back_equal_and_is_a_table() {
        let fit = |accuracy: f64| Fit { accuracy, interval: [accuracy - 0.1, accuracy + 0.05] };
        let cell = |labels| LabelCell {
            labels,
            labeled: 20,
            draws: 3,
            finetuned: fit(0.8),
            scratch: fit(1.0 / 3.0),
            linear_probe: fit(0.7),
        };
        let record = Finetuning {
            settings: [("lr".to_owned(), 1e-3.into())].into_iter().collect(),
            train_samples: 100,
            test_samples: 50,
            classes: 2,
            cells: [LabelBudget::PerClass(10), LabelBudget::Share(0.01), LabelBudget::All].map(cell).to_vec(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("finetune.json");
        record.write(&path).unwrap();
        assert_eq!(Finetuning::read(&path).unwrap(), record);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen('{', "{\"newer\": {},", 1)).unwrap();
        assert_eq!(Finetuning::read(&path).unwrap(), record);
        let table = record.table(false);
        assert!(table.contains("10 per class (20)") && table.contains("0.800 ±.075"), "{table}");
    }
}
