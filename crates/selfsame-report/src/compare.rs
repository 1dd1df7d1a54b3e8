//! Several runs in one page.

use crate::html::{Page, capitalized, escape, footer, list, missing};
use crate::metrics::Series;
use crate::records::RunRecords;
use crate::scores::{score_cell, table_head, titled};
use crate::svg::{self, Curve, Dot, LineChart};
use crate::verdicts::tone;
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::{Metric, Predictor, Score, Scores};
use std::collections::BTreeMap;
use std::fmt::Write;

/// A page that lays runs over each other.
pub fn compare(runs: &[RunRecords]) -> String {
    let names = unique_names(runs);
    let mut head = format!("<p class=\"over\">Selfsame comparison</p><h1>{} runs</h1>", runs.len());
    head += &svg::keys(names.iter().enumerate().map(|(i, name)| (name.as_str(), i)));
    for (run, name) in runs.iter().zip(&names) {
        let state = if run.finished { None } else { Some("the run is not finished.".to_owned()) };
        run.missing.iter().cloned().chain(state).for_each(|note| head += &missing(&format!("{name}: {note}")));
    }
    let mut page = Page { title: "Runs compared · selfsame report".into(), head, ..Page::default() };
    add_verdicts(&mut page, runs, &names);
    add_scores(&mut page, runs, &names);
    add_curves(&mut page, runs, &names);
    add_differences(&mut page, runs, &names);
    page.finish(&footer())
}

/// Names of the folders, numbered where two have the same.
fn unique_names(runs: &[RunRecords]) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut name = |run: &RunRecords| {
        let count = seen.entry(run.name.clone()).and_modify(|c| *c += 1).or_insert(1);
        if *count > 1 { format!("{} ({count})", run.name) } else { run.name.clone() }
    };
    runs.iter().map(&mut name).collect()
}

fn add_verdicts(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let panels = runs.iter().zip(names).map(|(run, name)| {
        let diagnosis = run.diagnoses().and_then(|diagnoses| diagnoses.get(&RepresentationName::H));
        let evidence = diagnosis.map(|d| &d.evidence[..]).unwrap_or_default();
        let (class, words) = diagnosis.map_or(("", "No verdict: not evaluated".to_owned()), |d| {
            (tone(d.verdict), capitalized(&d.verdict.to_string()))
        });
        format!(
            "<div class=\"panel verdict {class}\"><strong class=\"v\">{}</strong> <span class=\"over\">{}, {}</span>{}</div>",
            escape(&words),
            escape(name),
            escape(&match diagnosis {
                Some(_) => format!("{}, on {}", run.method(), run.diagnosed_on()),
                None => run.method().to_owned(),
            }),
            list(evidence)
        )
    });
    let body = format!("<div class=\"two\">{}</div>", panels.collect::<String>());
    page.section("verdicts", "Verdicts", "Verdicts", "Of each run's representation h.", &body);
}

fn add_scores(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let score = |run: usize, metric| runs[run].scores.as_ref()?.get(&RepresentationName::H, metric);
    let mut columns: Vec<Metric> = Vec::new();
    for metric in runs.iter().filter_map(|run| run.scores.as_ref()).flat_map(Scores::metrics) {
        if !columns.contains(&metric) {
            columns.push(metric);
        }
    }
    columns.retain(|&metric| (0..runs.len()).any(|run| score(run, metric).is_some()));
    if columns.is_empty() {
        return page.section("scores", "Scores", "Scores", "", &missing("None of the runs is evaluated."));
    }
    let judged: Vec<Option<String>> = runs.iter().map(judged_on).collect();
    let alike = alike(runs);
    let mut body = String::new();
    if !alike {
        body += &missing(
            "Not all runs are known to be judged on the same data with the same labels, so their scores do not compare: nothing is \
             drawn side by side, and nothing is bold.",
        );
    }
    let charted = |metric: &&Metric| {
        let whole = Predictor::LinearProbe(LabelBudget::All);
        alike
            && match metric {
                Metric::Knn(_) | Metric::LinearProbe(LabelBudget::All) => true,
                Metric::Targets { by, .. } => *by == whole,
                _ => false,
            }
    };
    let charts = columns.iter().filter(charted).take(3).map(|&metric| {
        let dots: Vec<Dot> = (0..runs.len())
            .filter_map(|run| {
                let Score { value, interval, .. } = score(run, metric)?;
                Some(Dot { name: names[run].chars().take(13).collect(), value, interval, color: run })
            })
            .collect();
        svg::dot_chart(&format!("{} of h", titled(metric)), "", &dots, None)
    });
    let charts: String = charts.collect();
    if !charts.is_empty() {
        let _ = write!(body, "<div class=\"grid\">{charts}</div>");
    }
    let _ = write!(body, "<h3>Scores of h</h3>{}", table_head(&columns));
    for (run, name) in names.iter().enumerate() {
        let _ = write!(body, "<tr><td>{}</td>", escape(name));
        for &metric in &columns {
            let others = || (0..runs.len()).filter(|&other| other != run).filter_map(|other| score(other, metric));
            let best = |own: Score| {
                let better = |other: Score| (own.value > other.value) != metric.less_is_better();
                alike && others().next().is_some() && others().all(|other| apart(own, other) && better(other))
            };
            body += &score(run, metric).map_or("<td>–</td>".to_owned(), |own| score_cell(own, best(own)));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
    let on = names.iter().zip(&judged).filter_map(|(name, on)| Some(format!("{name}: {}", on.as_deref()?)));
    body += &list(&on.collect::<Vec<_>>());
    let conclusions = names
        .iter()
        .zip(runs)
        .filter_map(|(name, run)| Some(format!("{name}: {}", run.scores.as_ref()?.conclusion.first()?)));
    body += &list(&conclusions.collect::<Vec<_>>());
    page.section(
        "scores",
        "Scores",
        "Scores",
        "Bold: the best of its column, where its interval is apart from all others.",
        &body,
    );
}

/// Whether two intervals have nothing in common; unknown ones are not apart.
fn apart(a: Score, b: Score) -> bool {
    let intervals = a.interval.zip(b.interval);
    intervals.is_some_and(|([a_low, a_high], [b_low, b_high])| a_low > b_high || b_low > a_high)
}

/// What a run's scores are of, in words.
fn judged_on(run: &RunRecords) -> Option<String> {
    let scores = run.scores.as_ref()?;
    Some(format!("judged on {}", crate::scores::judged_on(scores)))
}

/// Whether all scores are known to be of the same data.
fn alike(runs: &[RunRecords]) -> bool {
    let mut scores = runs.iter().filter_map(|run| run.scores.as_ref());
    let Some(first) = scores.next() else { return true };
    scores.all(|other| first.measured_on.data.is(&other.measured_on.data) && first.labels_from.is(&other.labels_from))
}

fn add_curves(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let mut series = vec![Series::EmbeddingStd, Series::EffectiveRank];
    let mut of_training: Vec<Series> = runs.iter().flat_map(|run| run.metrics.of_training()).cloned().collect();
    of_training.sort();
    of_training.dedup();
    series.extend(of_training);
    let same_method = runs.iter().all(|run| run.method() == runs[0].method());
    let mut body = String::new();
    for series in &series {
        let curves: Vec<Curve> = runs
            .iter()
            .enumerate()
            .filter_map(|(i, run)| Some(Curve::new(&names[i], i, run.metrics.series.get(series)?.clone())))
            .collect();
        if curves.is_empty() {
            continue;
        }
        let title = capitalized(&series.title());
        let note =
            if *series == Series::Loss && !same_method { "Losses of different methods do not compare." } else { "" };
        let from_zero = series.starts_at_zero();
        body += &LineChart { title: &title, note, x: "epoch", curves, from_zero, ..Default::default() }.figure();
    }
    let knn = runs.iter().enumerate().filter(|(_, run)| !run.metrics.online_knn.is_empty());
    let curves: Vec<Curve> = knn.map(|(i, run)| Curve::new(&names[i], i, run.metrics.online_knn.clone())).collect();
    if !curves.is_empty() {
        body += &LineChart { title: "Online kNN accuracy", x: "epoch", curves, ..Default::default() }.figure();
    }
    let body = if body.is_empty() {
        missing("None of the runs has recorded a step.")
    } else {
        format!("<div class=\"grid\">{body}</div>")
    };
    page.section("curves", "Curves", "Curves", "", &body);
}

/// Dotted keys and values of a plan; lists of tables by their place.
fn flatten(path: &str, value: &toml::Value, out: &mut BTreeMap<String, String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&join(key), value, out)),
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&join(&i.to_string()), item, out));
        }
        other => drop(out.insert(path.to_owned(), other.to_string())),
    }
}

fn add_differences(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let plans: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|run| {
            let mut plan = BTreeMap::new();
            flatten("", &toml::Value::Table(run.plan.clone()), &mut plan);
            plan.remove("out");
            plan
        })
        .collect();
    let mut keys: Vec<&String> = plans.iter().flat_map(BTreeMap::keys).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| plans.iter().any(|plan| plan.get(*key) != plans[0].get(*key)));
    let body = if keys.is_empty() {
        String::from("<p>None: the plans are the same.</p>")
    } else {
        let head: String =
            names.iter().map(|name| format!("<th style=\"text-align:left\">{}</th>", escape(name))).collect();
        let rows = keys.iter().map(|key| {
            let cells = plans
                .iter()
                .map(|plan| format!("<td class=\"wrap\">{}</td>", escape(plan.get(*key).map_or("–", String::as_str))));
            format!("<tr><td>{}</td>{}</tr>", escape(key), cells.collect::<String>())
        });
        format!("<div class=\"panel scroll\"><table><tr><th></th>{head}</tr>{}</table></div>", rows.collect::<String>())
    };
    page.section("plans", "Plans", "Differences of the plans", "", &body);
}
