//! Scores as a table for a terminal.

use crate::bootstrap;
use crate::diagnosis;
use crate::label_subsets::LabelBudget;
use crate::representation::RepresentationName;
use crate::scores::{Metric, Predictor, Scores};

/// Characters of a column.
const WIDTH: usize = 13;

impl Scores {
    /// The conclusion and the table for a terminal, and below it what the scores are and the verdicts; `color` makes bold what is
    /// better than the rest of its column by more than chance.
    pub fn table(&self, color: bool) -> String {
        let shown = |metric: &Metric| !matches!(metric, Metric::RecallAt(_));
        let columns: Vec<Metric> = self.metrics().into_iter().filter(shown).collect();
        let titles: Vec<String> = columns.iter().map(|metric| self.title(*metric)).collect();
        // One column is at least as wide as its title and a space.
        let widths: Vec<usize> = titles.iter().map(|title| WIDTH.max(title.chars().count() + 1)).collect();
        let mut text: String = self.conclusion.iter().map(|line| format!("{line}\n")).collect();
        if !text.is_empty() {
            text.push('\n');
        }
        let names = self.representations.keys().map(|name| name.as_str().len() + 1).fold(10, usize::max);
        text += &format!("{:names$}", "");
        titles.iter().zip(&widths).for_each(|(title, width)| text += &format!("{title:>width$}"));
        for name in self.representations.keys() {
            text += &format!("\n{name:names$}");
            for (metric, width) in columns.iter().zip(&widths) {
                let score = self.get(name, *metric);
                let shown = score.map(|score| match score.interval {
                    Some([low, high]) => {
                        let half = format!("{:.3}", (high - low) / 2.0);
                        format!("{:.3} ±{}", score.value, half.trim_start_matches('0'))
                    }
                    None => format!("{:.3}", score.value),
                });
                let padded = format!("{:>width$}", shown.unwrap_or_default());
                let leads = score.is_some_and(|score| score.leads);
                text += &if leads && color { format!("\x1b[1m{padded}\x1b[0m") } else { padded };
            }
        }
        if !self.chance.is_empty() {
            text += &format!("\n{:names$}", "chance");
            for (metric, width) in columns.iter().zip(&widths) {
                // In line with the values, not with their spreads.
                let shown = self.chance(*metric).map_or(String::new(), |chance| format!("{chance:.3}      "));
                text += &format!("{shown:>width$}");
            }
            text.truncate(text.trim_end().len());
        }
        text += &format!("\n±: half of the 95 % interval (bootstrap, {} resamples)\n", bootstrap::RESAMPLES);
        Metric::explanations(&columns).into_iter().for_each(|line| text += &format!("{line}\n"));
        self.hardest_class().into_iter().for_each(|line| text += &format!("{line}\n"));
        if !self.diagnosis.is_empty() {
            text += &format!("\n{}", diagnosis::page(&self.diagnosis, color));
        }
        self.warnings.iter().for_each(|warning| text += &format!("warning: {warning}\n"));
        text
    }

    /// What a column is called.
    fn title(&self, metric: Metric) -> String {
        match metric {
            Metric::Knn(k) if k == self.protocol.knn.k => "kNN".into(),
            Metric::Knn(k) => format!("kNN {k}"),
            Metric::BalancedKnn(_) => "balanced".into(),
            Metric::LinearProbe(LabelBudget::All) => "probe".into(),
            Metric::LinearProbe(labels) => labels.to_string(),
            Metric::BalancedProbe => "balanced".into(),
            Metric::MeanAveragePrecision => "mAP".into(),
            Metric::RecallAt(at) => format!("recall@{at}"),
            Metric::Targets { measure, by: Predictor::Knn(_) } => format!("kNN {measure}"),
            Metric::Targets { measure, by: Predictor::LinearProbe(LabelBudget::All) } => format!("probe {measure}"),
            Metric::Targets { measure, by: Predictor::LinearProbe(labels) } => format!("{measure}, {labels}"),
        }
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
