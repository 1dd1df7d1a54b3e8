//! The verdict on a run's representations.

use crate::html::{Page, capitalized, escape, list, missing, number};
use crate::records::RunRecords;
use selfsame_evaluate::diagnosis::Diagnosis;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::verdict::Verdict;

/// How a verdict looks: a class of the style.
pub(crate) fn tone(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Healthy => "good",
        Verdict::CompleteCollapse
        | Verdict::DimensionalCollapse
        | Verdict::TrainedTowardsNothing
        | Verdict::InputsAlike
        | Verdict::NothingLearned => "bad",
        _ => "warn",
    }
}

fn panel(name: &RepresentationName, diagnosis: &Diagnosis, run: &RunRecords) -> String {
    let what = match name {
        RepresentationName::H => "representation h, what downstream tasks use",
        RepresentationName::Z => "embedding z, what the objective sees",
        other => other.as_str(),
    };
    let advice: Vec<String> =
        diagnosis.advice.iter().map(|line| line.replace(" RUN", &format!(" {}", run.name))).collect();
    let advice = list(&advice);
    let advice = if advice.is_empty() { advice } else { format!("<h3>What to try</h3>{advice}") };
    format!(
        "<div class=\"panel verdict {}\"><strong class=\"v\">{}</strong> <span class=\"over\">{}</span>{}{advice}</div>",
        tone(diagnosis.verdict),
        escape(&capitalized(&diagnosis.verdict.to_string())),
        escape(what),
        list(&diagnosis.evidence)
    )
}

/// `found` is the diagnosis of the samples that the page shows, for runs without one of their own.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords, found: Option<&Diagnosis>) {
    let (body, lead);
    if let Some(diagnoses) = run.diagnoses() {
        body = diagnoses.iter().map(|(name, diagnosis)| panel(name, diagnosis, run)).collect::<String>();
        let of =
            if diagnoses.len() > 1 { "Of the representation and of the embedding" } else { "Of the representation h" };
        lead = format!("{of}, on {}.", run.diagnosed_on());
    } else if let Some(diagnosis) = found {
        let untrained = if run.finished { "" } else { "; training is not finished" };
        let samples = number(diagnosis.measurements.statistics.samples as f64);
        lead = format!("Of the representation h, on {samples} samples of the run's own data{untrained}.");
        body = panel(&RepresentationName::H, diagnosis, run);
    } else {
        lead = String::new();
        body = missing("No verdict: there are neither scores nor an encoder whose representations could be judged.");
    }
    page.section("verdict", "Verdict", "Verdict", &lead, &format!("<div class=\"two\">{body}</div>"));
}
