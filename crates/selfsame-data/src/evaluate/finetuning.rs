//! What fine-tuning found: the label-efficiency curve, a cell a number of labels.

use super::bootstrap;
use super::json;
use super::labelled::Labels;
use crate::DataError;
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

/// Accuracy on the test samples, mean over the draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fit {
    /// Share classified rightly.
    pub accuracy: f64,
    /// Its 95 % interval, over test samples and draws.
    pub interval: [f64; 2],
}

/// One number of labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// As asked for.
    pub labels: Labels,
    /// Labelled samples in all.
    pub labelled: usize,
    /// Draws of them.
    pub draws: u64,
    /// Begun at the encoder.
    pub finetuned: Fit,
    /// The same network, begun at its initial weights.
    pub scratch: Fit,
    /// The linear probe on the encoder's `h`.
    pub linear_probe: Fit,
}

/// `finetune.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finetuning {
    /// How it was done.
    pub settings: Value,
    /// Training samples, labels of which were given or held back.
    pub train_samples: usize,
    /// Test samples.
    pub test_samples: usize,
    /// Number of classes.
    pub classes: usize,
    /// In the order asked for.
    pub cells: Vec<Cell>,
}

impl Finetuning {
    /// Writes `finetune.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, &serde_json::to_value(self).expect("plain values"))
    }

    /// The table for a terminal; `colour` makes the best of each line bold.
    pub fn table(&self, colour: bool) -> String {
        let mut text = format!("{:22}{:>14}{:>14}{:>14}", "labels", "fine-tuned", "linear probe", "from scratch");
        for cell in &self.cells {
            let fits = [cell.finetuned, cell.linear_probe, cell.scratch];
            text += &format!("\n{:22}", format!("{} ({})", cell.labels, cell.labelled));
            for fit in fits {
                let half = format!("{:.3}", (fit.interval[1] - fit.interval[0]) / 2.0);
                let padded = format!("{:>14}", format!("{:.3} ±{}", fit.accuracy, half.trim_start_matches('0')));
                let best = fits.iter().all(|other| other.accuracy <= fit.accuracy);
                text += &if best && colour { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        text + &format!("\n±: half of the 95 % interval (bootstrap, {} resamples)\n", bootstrap::RESAMPLES)
    }
}
