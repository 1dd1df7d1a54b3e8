//! Gauges of collapse: during the training, and of the last diagnosis.

use crate::html::{Page, escape, missing, number};
use crate::metrics::Series;
use crate::records::RunRecords;
use crate::svg::{Curve, LineChart};
use crate::training::series_chart;
use selfsame_evaluate::diagnosis::Diagnosis;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::verdict::RANK_SHARE;

/// `found` is the diagnosis of the samples that the page shows, for runs without one of their own.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords, found: Option<&Diagnosis>) {
    let mut body = String::new();
    if run.metrics.series.contains_key(&Series::EmbeddingStd) {
        let note = "Of one batch. 1 is isotropic; 0 is a constant.";
        body += &series_chart(run, &Series::EmbeddingStd, note, vec![(1.0, "isotropic")]);
    }
    if run.metrics.series.contains_key(&Series::EffectiveRank) {
        // The same bound as in the verdict, for embeddings as wide as the plan's, batches as large, and h as wide.
        let h = run.diagnoses().and_then(|d| d.get(&RepresentationName::H)).map(|h| h.measurements.statistics.dim);
        let widths = run.facts.projector.out.zip(run.facts.train.batch_size);
        let width = widths.map(|(out, batch)| out.min(batch.saturating_sub(1)).min(h.map_or(out, |h| h as u64)) as f64);
        let bound = width.map(|width| (width * RANK_SHARE, "dimensional collapse below"));
        let note = width
            .map_or("Of one batch, centered.".into(), |w| format!("Of one batch, centered; at most {}.", number(w)));
        body += &series_chart(run, &Series::EffectiveRank, &note, bound.into_iter().collect());
    }
    let diagnoses = diagnoses(run, found);
    let spectra: Vec<(&str, &[f64])> = diagnoses
        .iter()
        .filter(|(_, d)| !d.measurements.statistics.spectrum.is_empty())
        .map(|(name, d)| (name.as_str(), &d.measurements.statistics.spectrum[..]))
        .collect();
    if !spectra.is_empty() {
        body += &spectrum_chart(&spectra);
    }
    let mut body =
        if body.is_empty() { missing("No gauge is recorded.") } else { format!("<div class=\"grid\">{body}</div>") };
    body += &statistics(&diagnoses);
    let lead = "Has the embedding kept its variety while the loss went down?";
    page.section("collapse", "Collapse", "Collapse gauges", lead, &body);
}

/// The run's own diagnoses, or what was found.
fn diagnoses<'a>(run: &'a RunRecords, found: Option<&'a Diagnosis>) -> Vec<(&'a RepresentationName, &'a Diagnosis)> {
    match run.diagnoses() {
        Some(diagnoses) => diagnoses.iter().collect(),
        None => found.map(|diagnosis| (&RepresentationName::H, diagnosis)).into_iter().collect(),
    }
}

/// Every number of the diagnoses, in a table.
fn statistics(diagnoses: &[(&RepresentationName, &Diagnosis)]) -> String {
    if diagnoses.is_empty() {
        return String::new();
    }
    let numbers: Vec<Vec<(&str, f64)>> = diagnoses.iter().map(|(_, d)| d.measurements.numbers()).collect();
    let mut rows: Vec<&str> = Vec::new();
    for (name, _) in numbers.iter().flatten() {
        if !rows.contains(name) {
            rows.push(name);
        }
    }
    let head: String = diagnoses.iter().map(|(name, _)| format!("<th>{}</th>", escape(name.as_str()))).collect();
    let lines = rows.iter().map(|row| {
        let cells = numbers.iter().map(|numbers| {
            let value = numbers.iter().find(|(name, _)| name == row).map(|(_, value)| number(*value));
            format!("<td>{}</td>", value.unwrap_or_default())
        });
        format!("<tr><td>{}</td>{}</tr>", escape(row), cells.collect::<String>())
    });
    format!(
        "<details style=\"margin-top:14px\"><summary>All statistics</summary><div class=\"panel scroll\" style=\"margin-top:8px\">\
         <table><tr><th></th>{head}</tr>{}</table></div></details>",
        lines.collect::<String>()
    )
}

/// Eigenvalues of a covariance, largest first, over their index.
fn spectrum_chart(spectra: &[(&str, &[f64])]) -> String {
    let curves = spectra.iter().enumerate().map(|(color, (name, values))| {
        let largest = values.first().copied().unwrap_or(1.0).max(f64::MIN_POSITIVE);
        let points = values.iter().enumerate().map(|(i, v)| ((i + 1) as f64, (v / largest).max(1e-12))).collect();
        Curve::new(name, color, points)
    });
    LineChart {
        title: "Spectrum of the covariance",
        note: "Variance along each principal direction, as a share of the largest. A cliff means that the rest of the width says nothing.",
        x: "principal direction",
        curves: curves.collect(),
        log: true,
        ..Default::default()
    }
    .figure()
}
