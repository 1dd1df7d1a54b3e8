//! Scores as a table for a terminal.

use crate::bootstrap;
use crate::diagnosis;
use crate::label_subsets::LabelBudget;
use crate::protocol::WIDE_K;
use crate::representation::RepresentationName;
use crate::scores::{Metric, Scores};

/// Characters of a column.
const WIDTH: usize = 13;

impl Scores {
    /// The table for a terminal, and below it the verdicts; `color` makes the best of each column bold.
    pub fn table(&self, color: bool) -> String {
        let mut columns = vec![
            ("kNN".to_owned(), Metric::Knn(self.protocol.knn.k)),
            (format!("kNN {WIDE_K}"), Metric::Knn(WIDE_K)),
            ("mAP".into(), Metric::MeanAveragePrecision),
            ("probe".into(), Metric::LinearProbe(LabelBudget::All)),
        ];
        let few = self.protocol.linear_probe.per_class.iter().rev().map(|&count| LabelBudget::PerClass(count));
        columns.extend(few.map(|labels| (labels.to_string(), Metric::LinearProbe(labels))));
        // One column is at least as wide as its title and a space.
        let widths: Vec<usize> = columns.iter().map(|(title, _)| WIDTH.max(title.chars().count() + 1)).collect();
        let value = |name: &RepresentationName, metric| self.get(name, metric).map_or(f64::NEG_INFINITY, |s| s.value);
        let mut text = format!("{:10}", "");
        columns.iter().zip(&widths).for_each(|((title, _), width)| text += &format!("{title:>width$}"));
        for name in self.representations.keys() {
            text += &format!("\n{name:10}");
            for ((_, metric), width) in columns.iter().zip(&widths) {
                let shown = self.get(name, *metric).map(|score| match score.interval {
                    Some([low, high]) => {
                        let half = format!("{:.3}", (high - low) / 2.0);
                        format!("{:.3} ±{}", score.value, half.trim_start_matches('0'))
                    }
                    None => format!("{:.3}", score.value),
                });
                let padded = format!("{:>width$}", shown.unwrap_or_default());
                let own = value(name, *metric);
                let best = self.representations.keys().all(|other| value(other, *metric) <= own);
                text += &if best && color { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        text += &format!("\n±: half of the 95 % interval (bootstrap, {} resamples)\n", bootstrap::RESAMPLES);
        self.hardest_class().into_iter().for_each(|line| text += &format!("{line}\n"));
        if !self.diagnosis.is_empty() {
            text += &format!("\n{}", diagnosis::page(&self.diagnosis, color));
        }
        self.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        text
    }

    /// The class that the probe on `h` knows least, and what it takes it for.
    fn hardest_class(&self) -> Option<String> {
        let h = self.representations.get(&RepresentationName::H)?;
        let known = h.per_class.linear_probe.iter().enumerate().filter_map(|(i, s)| Some((i, s, s.accuracy?)));
        let (class, score, accuracy) = known.min_by(|a, b| a.2.total_cmp(&b.2))?;
        let mut text = format!("hardest class (probe on h): {} {accuracy:.3}", score.class);
        if let Some(row) = h.confusion.as_ref().and_then(|counts| counts.linear_probe.get(class)) {
            let others = (0..row.len().min(self.classes.len())).filter(|&other| other != class);
            let taken = others.max_by_key(|&other| (row[other], usize::MAX - other))?;
            if row[taken] > 0 {
                let share = 100.0 * f64::from(row[taken]) / score.samples.max(1) as f64;
                text += &format!(", {share:.0} % taken for {}", self.classes[taken]);
            }
        }
        Some(text)
    }
}
