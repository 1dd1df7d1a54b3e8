//! How well the representations tell the classes apart.

use crate::html::{Page, capitalized, escape, missing, number};
use crate::records::RunRecords;
use crate::svg::{self, Dot};
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::{Metric, RepresentationScores, Score, Scores};
use std::fmt::Write;

/// Classes whose accuracies are drawn, and most classes of a confusion matrix that is.
const CLASSES: usize = 40;
const CONFUSION_CLASSES: usize = 100;

/// Color of a representation in every chart of scores.
fn color(name: &RepresentationName) -> usize {
    match name {
        RepresentationName::H => 0,
        RepresentationName::Z => 6,
        RepresentationName::Raw => 9,
        RepresentationName::Untrained => 8,
        RepresentationName::Other(_) => 3,
    }
}

fn described(name: &RepresentationName) -> &str {
    match name {
        RepresentationName::Raw => "raw pixels",
        other => other.as_str(),
    }
}

/// The section of a run's scores.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords) {
    let Some(scores) = &run.scores else {
        let what = format!("No scores yet: `selfsame evaluate {} test=…` judges the encoder with labels.", run.name);
        return page.section("scores", "Scores", "Scores", "", &missing(&what));
    };
    let metrics = scores.metrics();
    let chance = Some(scores.protocol.classes).filter(|classes| *classes > 1).map(|classes| 1.0 / classes as f64);
    let mut charts = String::new();
    let first = |kind: fn(&Metric) -> bool| metrics.iter().copied().find(kind);
    let knn = first(|metric| matches!(metric, Metric::Knn(_)));
    let probe = first(|metric| matches!(metric, Metric::LinearProbe(_)));
    for metric in [knn, probe].into_iter().flatten() {
        let dot = |(name, scores): (&RepresentationName, &RepresentationScores)| {
            let Score { value, interval, .. } = scores.get(metric)?;
            Some(Dot { name: described(name).to_owned(), value, interval, color: color(name) })
        };
        let dots: Vec<Dot> = scores.representations.iter().filter_map(dot).collect();
        let near = chance.filter(|c| dots.iter().any(|d| d.value < 3.0 * c));
        let note = if dots.iter().any(|d| d.interval.is_some()) { "Bars: confidence intervals." } else { "" };
        charts += &svg::dot_chart(&format!("{}: accuracy", capitalized(&metric.to_string())), note, &dots, near);
    }
    let mut body = format!("<div class=\"grid\">{charts}{}</div>", per_class(scores));
    body += &table(scores, &metrics);
    let _ = write!(body, "<p class=\"note\">{}</p>", escape(&protocol(scores)));
    for warning in &scores.warnings {
        let _ = write!(body, "<p class=\"note\">{}</p>", escape(warning));
    }
    let lead = "h is what the encoder gives; z, raw pixels and an untrained encoder of the same plan stand beside it.";
    page.section("scores", "Scores", "Scores", lead, &body);
}

fn table(scores: &Scores, metrics: &[Metric]) -> String {
    if scores.representations.is_empty() {
        return missing("scores.json holds no scores.");
    }
    let mut html = format!("<h3>All scores</h3>{}", table_head(metrics));
    let best = |metric| {
        let values = scores.representations.values().filter_map(|scores| scores.get(metric));
        values.map(|score| score.value).fold(f64::MIN, f64::max)
    };
    for (name, scores) in &scores.representations {
        let _ = write!(html, "<tr><td>{}</td>", escape(described(name)));
        for &metric in metrics {
            let cell = scores.get(metric).map(|score| score_cell(score, score.value == best(metric)));
            html += &cell.unwrap_or_else(|| "<td></td>".to_owned());
        }
        html.push_str("</tr>");
    }
    html + "</table></div>"
}

/// The beginning of a table with a column for every metric.
pub(crate) fn table_head(metrics: &[Metric]) -> String {
    let columns = metrics.iter().map(|metric| format!("<th>{}</th>", escape(&metric.to_string())));
    format!("<div class=\"panel scroll\"><table><tr><th></th>{}</tr>", columns.collect::<String>())
}

/// A cell with a score and what is known of its spread.
pub(crate) fn score_cell(score: Score, best: bool) -> String {
    let class = if best { " class=\"best\"" } else { "" };
    let spread = match (score.interval, score.std) {
        (Some([low, high]), _) => format!("<small>{low:.3} – {high:.3}</small>"),
        (None, Some(std)) => format!("<small>± {std:.3}</small>"),
        _ => String::new(),
    };
    format!("<td{class}>{:.3}{spread}</td>", score.value)
}

fn protocol(scores: &Scores) -> String {
    let p = &scores.protocol;
    let [train, test, classes, draws] =
        [p.train_samples, p.test_samples, p.classes, p.linear_probe.draws].map(|count| number(count as f64));
    format!(
        "{train} training and {test} test samples, {classes} classes; kNN: cosine, temperature {}; probe: L2 chosen on held-out \
         training labels; few labels: means over {draws} draws.",
        number(p.knn.temperature)
    )
}

/// Accuracies by class and the confusion matrix, of the linear probe on `h`.
fn per_class(scores: &Scores) -> String {
    let Some(h) = scores.representations.get(&RepresentationName::H) else { return String::new() };
    let mut html = String::new();
    let dots = h.per_class.linear_probe.iter().filter_map(|score| {
        Some(Dot {
            name: score.class.chars().take(13).collect(),
            value: score.accuracy?,
            interval: score.interval,
            color: color(&RepresentationName::H),
        })
    });
    let dots: Vec<Dot> = dots.take(CLASSES).collect();
    if !dots.is_empty() {
        html += &svg::dot_chart("Accuracy by class, linear probe on h", "Bars: confidence intervals.", &dots, None);
    }
    let drawn = |counts: &&Vec<Vec<u32>>| {
        (1..=CONFUSION_CLASSES).contains(&counts.len()) && counts.iter().all(|row| row.len() == counts.len())
    };
    if let Some(counts) = h.confusion.as_ref().map(|confusion| &confusion.linear_probe).filter(drawn) {
        html += &svg::confusion(&scores.classes, counts);
    }
    html
}
