//! Several runs in one page.

use super::html::{Page, escape, missing};
use super::records::{RunRecords, Score, ScoreTable, column_title};
use super::svg::{self, Curve, Dot, LineChart};
use super::{capitalised, score_cell, series_title, tone, training_series};
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
    page.finish(&super::footer())
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
        let diagnosis = run.diagnosis().and_then(|d| d.get("h"));
        let verdict = diagnosis.and_then(|d| d["verdict"].as_str());
        let evidence = diagnosis.map(|d| super::texts(&d["evidence"])).unwrap_or_default();
        let (class, words) = verdict.map_or(("", "No verdict: not evaluated".to_owned()), |v| (tone(v), capitalised(v)));
        format!(
            "<div class=\"panel verdict {class}\"><strong class=\"v\">{}</strong> <span class=\"over\">{}, {}</span>{}</div>",
            escape(&words),
            escape(name),
            escape(run.method()),
            super::list(&evidence)
        )
    });
    let body = format!("<div class=\"two\">{}</div>", panels.collect::<String>());
    page.section("verdicts", "Verdicts", "Verdicts", "Of each run's representation h.", &body);
}

fn add_scores(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let tables: Vec<Option<ScoreTable>> = runs.iter().map(|run| run.scores.as_ref().map(ScoreTable::of)).collect();
    let mut columns: Vec<(String, String)> = Vec::new();
    for table in tables.iter().flatten() {
        table.columns.iter().for_each(|c| {
            if !columns.contains(c) {
                columns.push(c.clone());
            }
        });
    }
    let score = |run: usize, column: &(String, String)| -> Option<Score> { tables[run].as_ref()?.get("h", column) };
    columns.retain(|column| (0..runs.len()).any(|run| score(run, column).is_some()));
    if columns.is_empty() {
        return page.section("scores", "Scores", "Scores", "", &missing("None of the runs is evaluated."));
    }
    let charts = columns.iter().filter(|(s, v)| s == "knn" || v == "all").take(3).map(|column| {
        let dots: Vec<Dot> = (0..runs.len())
            .filter_map(|run| {
                let Score { value, interval, .. } = score(run, column)?;
                Some(Dot { name: names[run].chars().take(13).collect(), value, interval, colour: run })
            })
            .collect();
        svg::dot_chart(&format!("{}: accuracy of h", capitalised(&column_title(column))), "", &dots, None)
    });
    let mut body = format!("<div class=\"grid\">{}</div><h3>Scores of h</h3>", charts.collect::<String>());
    body.push_str("<div class=\"panel scroll\"><table><tr><th></th>");
    columns.iter().for_each(|column| {
        let _ = write!(body, "<th>{}</th>", escape(&column_title(column)));
    });
    body.push_str("</tr>");
    for (run, name) in names.iter().enumerate() {
        let _ = write!(body, "<tr><td>{}</td>", escape(name));
        for column in &columns {
            let best = (0..runs.len()).filter_map(|r| score(r, column)).map(|s| s.value).fold(f64::MIN, f64::max);
            body += &score(run, column).map_or("<td>–</td>".to_owned(), |s| score_cell(s, s.value == best));
        }
        body.push_str("</tr>");
    }
    body.push_str("</table></div>");
    page.section(
        "scores",
        "Scores",
        "Scores",
        "A difference within the intervals, where there are any, may be chance.",
        &body,
    );
}

fn add_curves(page: &mut Page, runs: &[RunRecords], names: &[String]) {
    let mut series: Vec<String> = ["embedding_std", "effective_rank"].map(str::to_owned).to_vec();
    for run in runs {
        training_series(&run.metrics).into_iter().for_each(|s| {
            if !series.contains(&s) {
                series.push(s);
            }
        });
    }
    let same_method = runs.iter().all(|run| run.method() == runs[0].method());
    let mut body = String::new();
    for name in &series {
        let curves: Vec<Curve> = runs
            .iter()
            .enumerate()
            .filter_map(|(i, run)| Some(Curve::new(&names[i], i, run.metrics.series.get(name)?.clone())))
            .collect();
        if curves.is_empty() {
            continue;
        }
        let title = capitalised(&series_title(name));
        let note = if name == "total" && !same_method { "Losses of different methods do not compare." } else { "" };
        let from_zero = ["embedding_std", "effective_rank", "lr", "samples_per_s"].contains(&name.as_str());
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
