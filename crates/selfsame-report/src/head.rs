//! The head of a run's page.

use crate::html::{escape, list, missing, number};
use crate::records::RunRecords;
use selfsame_base::text::duration;

/// What stands above the sections: what was trained, on what, how far, and what is missing.
pub(crate) fn head(run: &RunRecords) -> String {
    let (plan, metrics) = (&run.facts, &run.metrics);
    let data = plan.data.path.as_deref().unwrap_or("unknown data");
    let mut facts = Vec::new();
    let mut fact = |value: Option<String>, what: &str| {
        if let Some(value) = value {
            facts.push(format!("<li><b>{}</b> {}</li>", escape(&value), escape(what)));
        }
    };
    let count = |value: u64| number(value as f64);
    fact(plan.backbone.name.clone(), "");
    fact(metrics.start.map(|start| number(start.parameters as f64)), "parameters");
    fact(metrics.start.map(|start| number(start.samples as f64)), "samples");
    fact(plan.train.epochs.map(count), "epochs");
    fact(plan.train.batch_size.map(count), "per batch");
    if metrics.sessions <= 1 {
        fact(metrics.end.map(|end| duration(end.elapsed_s)), "of training");
    }
    let steps = metrics.start.map(|start| start.steps);
    let state = match (run.finished, steps) {
        (true, _) => "finished".to_owned(),
        (false, Some(steps)) => {
            format!("not finished: {} of {} steps recorded", count(metrics.step), count(steps))
        }
        (false, None) => "not finished: no step recorded".into(),
    };
    let mut html = format!(
        "<p class=\"over\">Selfsame · {}</p><h1>{} on {}</h1><ul class=\"facts\"><li><b>{}</b></li>{}</ul>",
        escape(&run.name),
        escape(run.method()),
        escape(data),
        escape(&state),
        facts.concat()
    );
    let first = |conclusion: &[String]| conclusion.first().cloned();
    let of_scores = run.scores.as_ref().and_then(|scores| first(&scores.conclusion));
    let of_labels = run.finetuning.as_ref().and_then(|found| first(&found.conclusion));
    let mut conclusions: Vec<_> = of_scores.into_iter().chain(of_labels).collect();
    // Both may begin with what is to be known of the data.
    conclusions.dedup();
    html += &list(&conclusions);
    let mut notes = run.missing.clone();
    if let Some(format) = metrics.other_format {
        let known = selfsame_base::events::FORMAT;
        notes.push(format!(
            "metrics.jsonl has format {format}, and this version knows {known}: what it knows is shown."
        ));
    }
    if metrics.torn_lines > 0 {
        notes.push(format!("Lines of metrics.jsonl that cannot be read and are left out: {}.", metrics.torn_lines));
    }
    if metrics.torn_end && !run.finished {
        notes.push("The last line of metrics.jsonl is not whole: its writer was cut off, or is still at it.".into());
    }
    if !notes.is_empty() {
        html.push_str("<div style=\"margin-top:14px\">");
        notes.iter().for_each(|note| html.push_str(&missing(note)));
        html.push_str("</div>");
    }
    html
}
