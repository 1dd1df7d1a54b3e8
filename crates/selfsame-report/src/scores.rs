//! How well the representations tell the classes apart.

use crate::html::{Page, capitalized, escape, list, missing, number};
use crate::records::RunRecords;
use crate::svg::{self, Dot};
use selfsame_base::commands::Command;
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::measures::Measure;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::{Metric, Predictor, RepresentationScores, Score, Scores};
use selfsame_evaluate::targets::Task;
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
        RepresentationName::RandomKernels | RepresentationName::Mfcc => 4,
        RepresentationName::Other(_) => 3,
    }
}

fn described(name: &RepresentationName) -> &str {
    match name {
        RepresentationName::Raw => "the raw input",
        RepresentationName::RandomKernels => "random kernels",
        RepresentationName::Mfcc => "cepstral coefficients",
        other => other.as_str(),
    }
}

/// The section of a run's scores.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords) {
    let Some(scores) = &run.scores else {
        let what = format!("No scores yet: `{}` says how labels judge the encoder.", Command::Help.of("evaluate"));
        return page.section("scores", "Scores", "Scores", "", &missing(&what));
    };
    let metrics = scores.metrics();
    let mut charts = String::new();
    let first = |kind: fn(&Metric) -> bool| metrics.iter().copied().find(kind);
    let knn = first(|metric| matches!(metric, Metric::Knn(_) | Metric::Targets { by: Predictor::Knn(_), .. }));
    let probe = first(|metric| {
        matches!(metric, Metric::LinearProbe(_) | Metric::Targets { by: Predictor::LinearProbe(LabelBudget::All), .. })
    });
    for metric in [knn, probe].into_iter().flatten() {
        let dot = |(name, scores): (&RepresentationName, &RepresentationScores)| {
            let Score { value, interval, .. } = scores.get(metric)?;
            Some(Dot { name: described(name).to_owned(), value, interval, color: color(name) })
        };
        let dots: Vec<Dot> = scores.representations.iter().filter_map(dot).collect();
        let near = scores.chance(metric).filter(|c| dots.iter().any(|d| d.value < 3.0 * c));
        let note = if dots.iter().any(|d| d.interval.is_some()) { "Bars: confidence intervals." } else { "" };
        charts += &svg::dot_chart(&titled(metric), note, &dots, near);
    }
    let per_class = per_class(scores);
    if !per_class.is_empty() {
        // As high together as the others are alone.
        charts = format!("<div class=\"stack\">{charts}</div>");
    }
    let mut body = format!("{}<div class=\"grid\">{charts}{per_class}</div>", list(&scores.conclusion));
    body += &per_target(scores);
    body += &table(scores, &metrics);
    let explained = Metric::explanations(&metrics).into_iter().map(|line| format!("{}.", capitalized(line)));
    body += &list(&explained.collect::<Vec<_>>());
    let _ = write!(body, "<p class=\"note\">{}</p>", escape(&protocol(scores)));
    for warning in &scores.warnings {
        let _ = write!(body, "<p class=\"note\">{}</p>", escape(warning));
    }
    let lead =
        "h is what the encoder gives; z, the raw input and an untrained encoder of the same plan stand beside it.";
    page.section("scores", "Scores", "Scores", lead, &body);
}

/// Title of a chart of a score.
pub(crate) fn titled(metric: Metric) -> String {
    let name = capitalized(&metric.to_string());
    if matches!(metric, Metric::Targets { .. }) { name } else { format!("{name}: accuracy") }
}

/// Every label or number by itself, of the linear probe on `h`.
fn per_target(scores: &Scores) -> String {
    let of_h = scores.representations.get(&RepresentationName::H);
    let Some(found) = of_h.and_then(|h| h.targets.as_ref()).map(|targets| &targets.per_target) else {
        return String::new();
    };
    let mut measures: Vec<Measure> = found.iter().map(|one| one.measure).collect();
    measures.sort_unstable();
    measures.dedup();
    let mut html =
        String::from("<h3>By target, linear probe on h</h3><div class=\"panel scroll\"><table><tr><th></th>");
    measures.iter().for_each(|measure| {
        let _ = write!(html, "<th>{measure}</th>");
    });
    for target in &scores.classes {
        let _ = write!(html, "</tr><tr><td>{}</td>", escape(target));
        for measure in &measures {
            let one = found.iter().find(|one| one.target == *target && one.measure == *measure);
            html += &one.and_then(|one| one.score).map_or("<td>–</td>".to_owned(), |score| score_cell(score, false));
        }
    }
    html + "</tr></table></div>"
}

fn table(scores: &Scores, metrics: &[Metric]) -> String {
    if scores.representations.is_empty() {
        return missing("scores.json holds no scores.");
    }
    let mut html = format!("<h3>All scores</h3>{}", table_head(metrics));
    for (name, of_name) in &scores.representations {
        let _ = write!(html, "<tr><td>{}</td>", escape(described(name)));
        for &metric in metrics {
            let cell = of_name.get(metric).map(|score| score_cell(score, score.leads));
            html += &cell.unwrap_or_else(|| "<td></td>".to_owned());
        }
        html.push_str("</tr>");
    }
    if !scores.chance.is_empty() {
        html += "<tr><td>chance</td>";
        for &metric in metrics {
            let chance = scores.chance(metric).map_or(String::new(), |chance| format!("{chance:.3}"));
            let _ = write!(html, "<td>{chance}</td>");
        }
        html += "</tr>";
    }
    let note = "Bold: better than all others of its column by more than chance would explain (no 95 % interval of a difference, over \
                the same resamples, holds 0).";
    html + "</table></div>" + &format!("<p class=\"note\">{note}</p>")
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
    let on = judged_on(scores);
    let what = match p.task {
        Task::Classes => "classes",
        Task::MultiLabel => "labels",
        Task::Numbers => "numbers",
    };
    let groups = p.test_groups.map_or(String::new(), |groups| {
        format!(" The test samples are of {} groups, which are resampled whole.", number(groups as f64))
    });
    format!(
        "Judged on {on}. {train} training and {test} test samples, {classes} {what}; kNN: cosine, temperature {}; probe: L2 {}; few \
         labels: means over {draws} draws.{groups}",
        number(p.knn.temperature),
        p.linear_probe.l2
    )
}

/// What scores are of, in words.
pub(crate) fn judged_on(scores: &Scores) -> String {
    let table = scores.label_table.as_ref().map_or(String::new(), |table| format!(" by the table {table}"));
    format!("{}, with labels from {}{table}", scores.measured_on, scores.labels_from)
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
