//! What follows from scores, in words: differences by what is compared, each with the interval that its resamples give.
//!
//! "Above" and "below" are said where the 95 % interval of the difference does not hold 0, "no difference" where it does. Scores are
//! compared in points, which are hundredths; errors in their own units.

use crate::bootstrap::Difference;
use crate::finetuning::Finetuning;
use crate::label_subsets::LabelBudget;
use crate::measures::Measure;
use crate::overlap::Overlap;
use crate::representation::RepresentationName;
use crate::scores::{Metric, Predictor, Scores};
use crate::targets::Task;

/// What `h` is compared with, and what it is called.
const OTHERS: [(RepresentationName, &str); 4] = [
    (RepresentationName::Raw, "the raw input"),
    (RepresentationName::Untrained, "the untrained encoder"),
    (RepresentationName::RandomKernels, "random kernels"),
    (RepresentationName::Mfcc, "cepstral coefficients"),
];

/// A number of labels, in words.
fn labels_in_words(labels: LabelBudget) -> String {
    match labels {
        LabelBudget::PerClass(1) => "1 label per class".into(),
        LabelBudget::PerClass(count) => format!("{count} labels per class"),
        LabelBudget::Share(_) => format!("{labels} of the labels"),
        LabelBudget::All => "all labels".into(),
    }
}

/// A signed number of points, or of whatever a score is measured in.
fn amount(value: f64) -> String {
    let text = format!("{:.1}", 100.0 * value);
    if text == "-0.0" { "0.0".into() } else { text.replace('-', "−") }
}

fn range([low, high]: [f64; 2]) -> String {
    format!("({} to {})", amount(low), amount(high))
}

/// "With 1 label per class h is 8.0 points above the raw input (3.1 to 12.9); with all labels there is no difference (−0.9 to 0.6)."
fn along_labels(own: &str, other: &str, found: &[(LabelBudget, Difference)]) -> String {
    let mut text = String::new();
    let mut before = None;
    for (labels, difference) in found {
        let sign = difference.sign();
        let (with, between) = (labels_in_words(*labels), range(difference.interval));
        text += match before {
            None => "",
            Some(last) if last == sign => ", ",
            Some(_) => "; ",
        };
        let size = amount(difference.value.abs());
        text += &match (sign, before) {
            (0, Some(0)) => format!("nor with {with} {between}"),
            (0, None) => format!("with {with} there is no difference between {own} and {other} {between}"),
            (0, _) => format!("with {with} there is no difference {between}"),
            (sign, Some(last)) if last == sign => format!("with {with} {size} {between}"),
            (sign, _) => {
                let side = if sign > 0 { "above" } else { "below" };
                format!("with {with} {own} is {size} points {side} {other} {between}")
            }
        };
        before = Some(sign);
    }
    sentence(&text)
}

/// With a first capital and an end.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    first + chars.as_str() + "."
}

/// How far `scores` say that the encoder has learned something, the most important first; empty where nothing is compared.
pub(crate) fn of_scores(scores: &Scores) -> Vec<String> {
    let mut lines = Vec::new();
    let main = if scores.protocol.task == Task::Numbers { Measure::R2 } else { Measure::Auroc };
    lines.extend(standing(scores));
    lines.extend(at_chance(scores));
    for (other, called) in &OTHERS {
        let mut found: Vec<(LabelBudget, Difference)> = Vec::new();
        let mut more = Vec::new();
        for comparison in scores.comparisons.iter().filter(|comparison| comparison.with == *other) {
            let difference = comparison.difference;
            match comparison.metric {
                Metric::LinearProbe(labels) => found.push((labels, difference)),
                Metric::Targets { measure, by: Predictor::LinearProbe(labels) } if measure == main => {
                    found.push((labels, difference));
                }
                Metric::Knn(k) if k == scores.protocol.knn.k => more.push(points("kNN", difference)),
                Metric::MeanAveragePrecision => more.push(points("retrieval", difference)),
                Metric::Targets { measure: Measure::AbsoluteError, by: Predictor::LinearProbe(LabelBudget::All) } => {
                    more.push(error(difference));
                }
                Metric::Targets { measure, by: Predictor::LinearProbe(LabelBudget::All) } => {
                    more.push(points(&measure.to_string(), difference));
                }
                Metric::Targets { measure, by: Predictor::Knn(_) } if measure == main => {
                    more.push(points(&format!("{measure} by kNN"), difference));
                }
                _ => {}
            }
        }
        found.sort_by(|(a, _), (b, _)| share(*a).total_cmp(&share(*b)));
        if !found.is_empty() {
            let measured = if scores.protocol.task == Task::Classes { String::new() } else { format!(", {main}") };
            lines.push(format!("Linear probe{measured}: {}", along_labels("h", called, &found)));
        }
        if !more.is_empty() {
            lines.push(format!("h beside {called} by other scores: {}.", more.join(", ")));
        }
    }
    lines
}

/// Numbers of labels in order.
fn share(labels: LabelBudget) -> f64 {
    match labels {
        LabelBudget::PerClass(count) => count as f64,
        LabelBudget::Share(share) => share,
        LabelBudget::All => f64::INFINITY,
    }
}

/// "kNN 3.0 points above (1.0 to 5.0)"
fn points(what: &str, difference: Difference) -> String {
    let size = amount(difference.value.abs());
    let said = match difference.sign() {
        0 => "no difference".to_owned(),
        1 => format!("{size} points above"),
        _ => format!("{size} points below"),
    };
    format!("{what} {said} {}", range(difference.interval))
}

/// "mean absolute error 0.31 less (−0.40 to −0.22)"
fn error(difference: Difference) -> String {
    let text = |value: f64| format!("{value:.3}").replace('-', "−");
    let said = match difference.sign() {
        0 => "without a difference".to_owned(),
        1 => format!("{} more", text(difference.value.abs())),
        _ => format!("{} less", text(difference.value.abs())),
    };
    let [low, high] = difference.interval.map(text);
    format!("mean absolute error {said} ({low} to {high})")
}

/// In one line, how often `h` is better than what it is compared with.
fn standing(scores: &Scores) -> Option<String> {
    let mut parts = Vec::new();
    let mut nothing = Vec::new();
    for (other, called) in &OTHERS {
        let signs: Vec<i8> = scores
            .comparisons
            .iter()
            .filter(|comparison| comparison.with == *other)
            .map(|comparison| comparison.metric.better(comparison.difference))
            .collect();
        let count = |sign| signs.iter().filter(|found| **found == sign).count();
        let (better, worse, all) = (count(1), count(-1), signs.len());
        match (better, worse) {
            _ if all == 0 => {}
            (0, 0) => nothing.push(format!("not better than {called} by any score")),
            (0, worse) if worse == all => nothing.push(format!("worse than {called} by every score")),
            (0, worse) => nothing.push(format!("not better than {called} by any score, and worse by {worse} of {all}")),
            (better, 0) if better == all => parts.push(format!("better than {called} by every score")),
            (better, 0) => parts.push(format!("better than {called} by {better} of {all} scores, worse by none")),
            (better, worse) => {
                parts.push(format!("better than {called} by {better} of {all} scores, worse by {worse}"));
            }
        }
    }
    let all: Vec<String> = nothing.into_iter().chain(parts).collect();
    (!all.is_empty()).then(|| format!("h is {}.", all.join("; ")))
}

/// Said where even the probe with all labels may be guessing.
fn at_chance(scores: &Scores) -> Option<String> {
    let by = Predictor::LinearProbe(LabelBudget::All);
    let metric = match scores.protocol.task {
        Task::MultiLabel => Metric::Targets { measure: Measure::Auroc, by },
        Task::Numbers => Metric::Targets { measure: Measure::R2, by },
        Task::Classes if scores.metrics().contains(&Metric::BalancedProbe) => Metric::BalancedProbe,
        Task::Classes => Metric::LinearProbe(LabelBudget::All),
    };
    let (score, chance) = (scores.get(&RepresentationName::H, metric)?, scores.chance(metric)?);
    let [low, high] = score.interval?;
    let which = match metric {
        Metric::BalancedProbe => " by its balanced accuracy".to_owned(),
        Metric::Targets { measure, .. } => format!(" by {measure}"),
        _ => String::new(),
    };
    (low <= chance).then(|| {
        format!(
            "The linear probe on h with all labels cannot be told from chance{which}: {:.3} ({low:.3} to {high:.3}), chance is \
             {chance:.3}.",
            score.value
        )
    })
}

/// What the label-efficiency curve says.
pub(crate) fn of_finetuning(found: &Finetuning) -> Vec<String> {
    let of = |difference: fn(&crate::finetuning::LabelCell) -> Option<Difference>| -> Vec<(LabelBudget, Difference)> {
        found.cells.iter().filter_map(|cell| Some((cell.labels, difference(cell)?))).collect()
    };
    let scratch = of(|cell| cell.over_scratch);
    let probe = of(|cell| cell.over_linear_probe);
    let line = |other, found: &[_]| (!found.is_empty()).then(|| along_labels("fine-tuning", other, found));
    let never = !scratch.is_empty() && scratch.iter().all(|(_, difference)| difference.sign() <= 0);
    let nothing =
        never.then(|| "Fine-tuning is not better than training from scratch with any number of labels.".to_owned());
    let overlap = found.overlap.as_ref().and_then(Overlap::warning);
    let first = overlap.into_iter().chain(nothing);
    first.chain(line("training from scratch", &scratch)).chain(line("the linear probe", &probe)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(value: f64, half: f64) -> Difference {
        Difference { value, interval: [value - half, value + half] }
    }

    #[test]
    fn differences_along_labels_are_one_sentence() {
        let found = [
            (LabelBudget::PerClass(1), difference(0.08, 0.049)),
            (LabelBudget::PerClass(10), difference(0.052, 0.01)),
            (LabelBudget::Share(0.5), difference(0.0, 0.01)),
            (LabelBudget::All, difference(-0.0004, 0.01)),
        ];
        let said = "With 1 label per class h is 8.0 points above the raw input (3.1 to 12.9), with 10 labels per class 5.2 (4.2 to \
                    6.2); with 50 % of the labels there is no difference (−1.0 to 1.0), nor with all labels (−1.0 to 1.0).";
        assert_eq!(along_labels("h", "the raw input", &found), said);
        let worse = [(LabelBudget::All, difference(-0.123, 0.05))];
        assert_eq!(along_labels("h", "x", &worse), "With all labels h is 12.3 points below x (−17.3 to −7.3).");
        let same = [(LabelBudget::All, difference(0.0, 0.02))];
        let said = "With all labels there is no difference between h and x (−2.0 to 2.0).";
        assert_eq!(along_labels("h", "x", &same), said);
    }
}
