//! Curves of the training.

use crate::html::{Page, capitalized, list, missing};
use crate::metrics::Series;
use crate::records::RunRecords;
use crate::svg::{Curve, LineChart};
use std::fmt::Write;

/// The chart of one series, with `note` below and horizontal lines to compare with.
pub(crate) fn series_chart(run: &RunRecords, series: &Series, note: &str, references: Vec<(f64, &str)>) -> String {
    let points = run.metrics.series.get(series).cloned().unwrap_or_default();
    let title = capitalized(&series.title());
    LineChart {
        title: &title,
        note,
        x: "epoch",
        curves: vec![Curve::new(&title, 0, points)],
        references,
        from_zero: series.starts_at_zero(),
        shows_last: true,
        ..Default::default()
    }
    .figure()
}

/// The section of the training's curves and warnings.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords) {
    let mut body = String::new();
    for series in run.metrics.of_training() {
        let wait = run.metrics.last(&Series::WaitShare).filter(|_| *series == Series::SamplesPerSecond);
        let note =
            wait.map(|share| format!("At the end training waited for views {:.1} % of the time.", 100.0 * share));
        body += &series_chart(run, series, &note.unwrap_or_default(), Vec::new());
    }
    if !run.metrics.online_knn.is_empty() {
        let curves = vec![Curve::new("accuracy", 0, run.metrics.online_knn.clone())];
        let note = "On held-out samples of the training data, drawn one by one: frames of one film, or pictures of one patient, may be \
                    on both sides, and make it too high. Labels are never trained on.";
        body += &LineChart {
            title: "Online kNN accuracy",
            note,
            x: "epoch",
            curves,
            shows_last: true,
            ..Default::default()
        }
        .figure();
    }
    let mut body = if body.is_empty() {
        missing("No step of the training is recorded.")
    } else {
        format!("<div class=\"grid\">{body}</div>")
    };
    if !run.metrics.warnings.is_empty() {
        let lines: Vec<String> =
            run.metrics.warnings.iter().map(|(step, text)| format!("step {step}: {text}")).collect();
        let _ = write!(body, "<h3>Warnings</h3><div class=\"panel verdict warn\">{}</div>", list(&lines));
    }
    let lead = "Lines are means over neighboring steps, bands their extremes.";
    page.section("training", "Training", "Training", lead, &body);
}
