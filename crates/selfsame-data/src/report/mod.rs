//! The page that one looks at: a run, or several side by side, as one HTML file that opens offline.
//!
//! Everything is in the file: style, script and images; it asks the network for nothing, and says so to the browser
//! (`Content-Security-Policy`). Without JavaScript only what appears on hovering is lost. The same run gives the same bytes.

mod compare;
mod html;
mod records;
mod samples;
mod svg;
mod views;

pub use compare::compare;
pub use records::{Metrics, PictureFile, RunRecords, Score, ScoreTable};
pub use samples::Samples;
pub use views::preview_page;

use crate::evaluate::collapse::{Diagnosis, Side, THRESHOLDS, Verdict};
use crate::preview::Preview;
use html::{Page, data_uri, duration, escape, missing, number};
use records::column_title;
use samples::spectrum_chart;
use serde_json::Value;
use std::fmt::Write;
use svg::{Curve, Dot, LineChart};

/// What a report of one run shows.
pub struct Report<'a> {
    /// The run folder's records.
    pub run: &'a RunRecords,
    /// The samples, or why there are none.
    pub samples: Result<Samples<'a>, String>,
    /// What the encoder was shown, or why that cannot be.
    pub preview: Result<&'a Preview, String>,
    /// One line: program, system, instruction set.
    pub environment: &'a str,
}

impl Report<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let run = self.run;
        let mut page = Page { title: format!("{} · selfsame report", run.name), head: head(run), ..Page::default() };
        let measured = self.samples.as_ref().ok().and_then(Samples::diagnosis);
        add_verdict(&mut page, run, measured.as_ref());
        add_scores(&mut page, run);
        add_training(&mut page, run);
        add_collapse(&mut page, run, measured.as_ref());
        match &self.samples {
            Ok(samples) => samples.add_sections(&mut page),
            Err(reason) => {
                let what = format!("No map, neighbours or near-duplicates: {reason}");
                page.section("map", "Map", "Map of the representations", "", &missing(&what));
            }
        }
        match &self.preview {
            Ok(preview) => views::add_section(&mut page, preview, false),
            Err(reason) => {
                let what = format!("The views cannot be shown: {reason}");
                page.section("views", "Views", "What the encoder was shown", "", &missing(&what));
            }
        }
        add_pictures(&mut page, run);
        add_invariance(&mut page, run);
        add_plan(&mut page, run, self.environment);
        page.finish(&footer())
    }
}

/// The page of a run that is still going on: curves and gauges, no samples. It asks for itself again every `refresh_s`.
pub fn live_page(run: &RunRecords, refresh_s: u32, environment: &str) -> String {
    let mut page = Page {
        title: format!("{} · selfsame watch", run.name),
        head: head(run),
        refresh_s: (!run.finished).then_some(refresh_s),
        ..Page::default()
    };
    add_training(&mut page, run);
    add_collapse(&mut page, run, None);
    if run.scores.is_some() {
        add_scores(&mut page, run);
    }
    add_plan(&mut page, run, environment);
    page.finish(&footer())
}

fn footer() -> String {
    "One file; it asks the network for nothing. Hovering needs JavaScript, nothing else does.".into()
}

/// Text or number of a plan's key.
fn plan_value(run: &RunRecords, key: &str) -> Option<String> {
    run.setting(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn head(run: &RunRecords) -> String {
    let data = plan_value(run, "data.path").unwrap_or_else(|| "unknown data".into());
    let method = run.method();
    let started = run.metrics.started.as_ref();
    let mut facts = Vec::new();
    let mut fact = |value: Option<String>, what: &str| {
        if let Some(value) = value {
            facts.push(format!("<li><b>{}</b> {}</li>", escape(&value), escape(what)));
        }
    };
    let of_start = |key: &str| started.and_then(|s| s[key].as_f64());
    fact(plan_value(run, "backbone.name"), "");
    fact(of_start("parameters").map(number), "parameters");
    fact(of_start("samples").map(number), "samples");
    fact(plan_value(run, "train.epochs"), "epochs");
    fact(plan_value(run, "train.batch_size"), "a batch");
    let elapsed = run.metrics.finished.as_ref().and_then(|f| f["elapsed_s"].as_f64());
    if run.metrics.sessions <= 1 {
        fact(elapsed.map(duration), "of training");
    }
    let steps = of_start("steps");
    let state = match (run.finished, steps) {
        (true, _) => "finished".to_owned(),
        (false, Some(steps)) => {
            format!("not finished: {} of {} steps recorded", number(run.metrics.step as f64), number(steps))
        }
        (false, None) => "not finished: no step recorded".into(),
    };
    let mut html = format!(
        "<p class=\"over\">Selfsame · {}</p><h1>{} on {}</h1><ul class=\"facts\"><li><b>{}</b></li>{}</ul>",
        escape(&run.name),
        escape(method),
        escape(&data),
        escape(&state),
        facts.concat()
    );
    let mut notes = run.missing.clone();
    if run.metrics.torn_lines > 0 {
        notes.push(format!("{} lines of metrics.jsonl cannot be read and are left out.", run.metrics.torn_lines));
    }
    if run.metrics.torn_end && !run.finished {
        notes.push("The last line of metrics.jsonl is not whole: its writer was cut off, or is still at it.".into());
    }
    if !notes.is_empty() {
        html.push_str("<div style=\"margin-top:14px\">");
        notes.iter().for_each(|note| html.push_str(&missing(note)));
        html.push_str("</div>");
    }
    html
}

/// How a verdict looks.
fn tone(verdict: &str) -> &'static str {
    match verdict {
        "healthy" => "good",
        verdict if verdict.contains("collapse") => "bad",
        _ => "warn",
    }
}

/// Texts of a JSON list, or a single text.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect();
    if items.is_empty() { items } else { format!("<ul>{items}</ul>") }
}

fn add_verdict(page: &mut Page, run: &RunRecords, measured: Option<&Diagnosis>) {
    let mut body = String::new();
    let judged: Vec<(&String, &Value)> = run
        .scores
        .iter()
        .filter_map(|s| s["diagnosis"].as_object())
        .flatten()
        .filter(|(_, d)| d["verdict"].is_string())
        .collect();
    let mut lead = "Of the representation h, on the test samples of the last evaluation.".to_owned();
    let mut panel = |name: &str, verdict: &str, evidence: &[String], advice: &[String]| {
        let what = match name {
            "h" => "representation h, what downstream tasks use",
            "z" => "embedding z, what the objective sees",
            other => other,
        };
        let advice = if advice.is_empty() { String::new() } else { format!("<h3>What to try</h3>{}", list(advice)) };
        let _ = write!(
            body,
            "<div class=\"panel verdict {}\"><strong class=\"v\">{}</strong> <span class=\"over\">{}</span>{}{advice}</div>",
            tone(verdict),
            escape(&capitalised(verdict)),
            escape(what),
            list(evidence)
        );
    };
    if !judged.is_empty() {
        for (name, d) in &judged {
            panel(name, d["verdict"].as_str().unwrap_or_default(), &texts(&d["evidence"]), &texts(&d["advice"]));
        }
        if judged.len() > 1 {
            lead = "Of the representation and of the embedding, on the test samples of the last evaluation.".into();
        }
    } else if let Some(d) = measured {
        let untrained = if run.finished { "" } else { "; training is not finished" };
        lead = format!(
            "Of the representation h, on {} samples of the run's own data{untrained}.",
            number(d.samples as f64)
        );
        panel("h", &d.verdict.to_string(), &d.evidence, &[]);
    } else {
        body = missing("No verdict: there are neither scores nor an encoder whose representations could be judged.");
    }
    page.section("verdict", "Verdict", "Verdict", &lead, &format!("<div class=\"two\">{body}</div>"));
}

/// With a first capital, but for words like kNN.
fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    if chars.clone().nth(1).is_some_and(char::is_uppercase) {
        return text.to_owned();
    }
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Colour of a representation in every chart of scores.
fn score_colour(name: &str) -> usize {
    match name {
        "h" => 0,
        "z" => 6,
        "raw" => 9,
        "untrained" => 8,
        _ => 3,
    }
}

fn described(name: &str) -> &str {
    match name {
        "raw" => "raw pixels",
        other => other,
    }
}

fn add_scores(page: &mut Page, run: &RunRecords) {
    let Some(scores) = &run.scores else {
        let what = format!("No scores yet: `selfsame evaluate {} test=…` judges the encoder with labels.", run.name);
        return page.section("scores", "Scores", "Scores", "", &missing(&what));
    };
    let table = ScoreTable::of(scores);
    let chance = scores["protocol"]["classes"].as_f64().filter(|c| *c > 1.0).map(|c| 1.0 / c);
    let mut body = String::new();
    let mut charts = String::new();
    let first = |score: &str| table.columns.iter().find(|(s, _)| s == score);
    for column in [first("knn"), first("linear_probe")].into_iter().flatten() {
        let dots: Vec<Dot> = table
            .names
            .iter()
            .filter_map(|name| {
                let score = table.get(name, column)?;
                let interval = score.interval;
                Some(Dot { name: described(name).to_owned(), value: score.value, interval, colour: score_colour(name) })
            })
            .collect();
        let near = chance.filter(|c| dots.iter().any(|d| d.value < 3.0 * c));
        let note = if dots.iter().any(|d| d.interval.is_some()) { "Bars: confidence intervals." } else { "" };
        charts += &svg::dot_chart(&format!("{}: accuracy", capitalised(&column_title(column))), note, &dots, near);
    }
    let _ = write!(body, "<div class=\"grid\">{charts}{}</div>", per_class(scores));
    body += &score_table(&table);
    if let Some(protocol) = protocol(scores) {
        let _ = write!(body, "<p class=\"note\">{}</p>", escape(&protocol));
    }
    for warning in texts(&scores["warnings"]) {
        let _ = write!(body, "<p class=\"note\">{}</p>", escape(&warning));
    }
    let lead = "h is what the encoder gives; z, raw pixels and an untrained encoder of the same plan stand beside it.";
    page.section("scores", "Scores", "Scores", lead, &body);
}

fn score_table(table: &ScoreTable) -> String {
    if table.names.is_empty() {
        return missing("scores.json holds no scores.");
    }
    let mut html = String::from("<h3>All scores</h3><div class=\"panel scroll\"><table><tr><th></th>");
    table.columns.iter().for_each(|column| {
        let _ = write!(html, "<th>{}</th>", escape(&column_title(column)));
    });
    html.push_str("</tr>");
    let best = |column| {
        table.names.iter().filter_map(|name| table.get(name, column)).map(|s| s.value).fold(f64::MIN, f64::max)
    };
    for name in &table.names {
        let _ = write!(html, "<tr><td>{}</td>", escape(described(name)));
        for column in &table.columns {
            html += &table
                .get(name, column)
                .map_or("<td></td>".to_owned(), |score| score_cell(score, score.value == best(column)));
        }
        html.push_str("</tr>");
    }
    html + "</table></div>"
}

fn score_cell(score: Score, best: bool) -> String {
    let class = if best { " class=\"best\"" } else { "" };
    let spread = match (score.interval, score.std) {
        (Some([low, high]), _) => format!("<small>{low:.3} – {high:.3}</small>"),
        (None, Some(std)) => format!("<small>± {std:.3}</small>"),
        _ => String::new(),
    };
    format!("<td{class}>{:.3}{spread}</td>", score.value)
}

fn protocol(scores: &Value) -> Option<String> {
    let p = &scores["protocol"];
    let count = |key: &str| p[key].as_f64().map(number);
    Some(format!(
        "{} training and {} test samples, {} classes; kNN: cosine, temperature {}; probe: L2 chosen on held-out training labels; few labels: \
         {} draws, ± is their standard deviation.",
        count("train_samples")?,
        count("test_samples")?,
        count("classes")?,
        p["knn"]["temperature"].as_f64().map(number)?,
        count("draws")?
    ))
}

/// Per-class accuracies and the confusion matrix, where they are there in a form that is known.
fn per_class(scores: &Value) -> String {
    let matrix = find_matrix(&scores["confusion"]);
    let names = class_names(scores);
    let mut html = String::new();
    let mut shares: Vec<(String, f64)> = named_numbers(&scores["per_class"], &names);
    if shares.is_empty()
        && let Some(rows) = &matrix
    {
        let share = |(i, row): (usize, &Vec<f64>)| {
            let name = names.get(i).cloned().unwrap_or_else(|| i.to_string());
            (name, row.get(i).copied().unwrap_or(0.0) / row.iter().sum::<f64>().max(1.0))
        };
        shares = rows.iter().enumerate().map(share).collect();
    }
    if !shares.is_empty() {
        let dots: Vec<Dot> = shares
            .iter()
            .take(40)
            .map(|(name, value)| Dot {
                name: name.chars().take(13).collect(),
                value: *value,
                interval: None,
                colour: 0,
            })
            .collect();
        html += &svg::dot_chart("Accuracy by class, h", "", &dots, None);
    }
    if let Some(rows) = matrix.filter(|rows| rows.len() <= 100) {
        html += &svg::confusion(&names, &rows);
    }
    html
}

fn class_names(scores: &Value) -> Vec<String> {
    let places = [
        &scores["class_names"],
        &scores["protocol"]["class_names"],
        &scores["confusion"]["classes"],
        &scores["classes"],
    ];
    places.into_iter().map(texts).find(|names| !names.is_empty()).unwrap_or_default()
}

/// The first square matrix of numbers within a value, `h` before others.
fn find_matrix(value: &Value) -> Option<Vec<Vec<f64>>> {
    if let Value::Array(rows) = value {
        let row = |row: &Value| row.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        let matrix = rows.iter().map(row).collect::<Option<Vec<_>>>()?;
        return (!matrix.is_empty() && matrix.iter().all(|row| row.len() == matrix.len())).then_some(matrix);
    }
    let parts = value.as_object()?;
    parts.get("h").and_then(find_matrix).or_else(|| parts.values().find_map(find_matrix))
}

/// Numbers by class: an object of them, a list in the order of `names`, or one of these under `h`.
fn named_numbers(value: &Value, names: &[String]) -> Vec<(String, f64)> {
    match value {
        Value::Array(items) => {
            let named = items.iter().enumerate().map(|(i, item)| {
                let name = names.get(i).cloned().or_else(|| item["class"].as_str().map(str::to_owned));
                Some((name.unwrap_or_else(|| i.to_string()), item.as_f64().or_else(|| item["accuracy"].as_f64())?))
            });
            named.collect::<Option<_>>().unwrap_or_default()
        }
        Value::Object(parts) => match parts.get("h") {
            Some(h) if !h.is_number() => named_numbers(h, names),
            _ => parts.iter().filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect(),
        },
        _ => Vec::new(),
    }
}

/// What a series of the metrics is called, and in which unit.
fn series_title(name: &str) -> String {
    match name {
        "total" => "loss".into(),
        "lr" => "learning rate".into(),
        "samples_per_s" => "throughput, samples/s".into(),
        "embedding_std" => "standard deviation of unit embeddings × √dim".into(),
        "effective_rank" => "effective rank of the embeddings".into(),
        other => other
            .strip_prefix("terms.")
            .map_or_else(|| other.replace('_', " "), |term| format!("loss term: {}", term.replace('_', " "))),
    }
}

/// Series of the training section, in their order; further ones that are recorded come after.
fn training_series(metrics: &Metrics) -> Vec<String> {
    let mut names = vec!["total".to_owned()];
    names.extend(metrics.series.keys().filter(|name| name.starts_with("terms.")).cloned());
    names.extend(["lr", "samples_per_s"].map(str::to_owned));
    let elsewhere = ["eta_s", "embedding_std", "effective_rank", "wait_share"];
    let further = metrics.series.keys().filter(|name| !elsewhere.contains(&name.as_str()) && !names.contains(name));
    let further: Vec<String> = further.cloned().collect();
    names.extend(further);
    names
}

fn series_chart(
    run: &RunRecords,
    name: &str,
    title: &str,
    note: &str,
    references: Vec<(f64, &str)>,
    from_zero: bool,
) -> String {
    let points = run.metrics.series.get(name).cloned().unwrap_or_default();
    let curves = vec![Curve { name: title, colour: 0, points }];
    LineChart { title, note, x: "epoch", curves, references, from_zero, shows_last: true, ..Default::default() }
        .figure()
}

fn add_training(page: &mut Page, run: &RunRecords) {
    let mut body = String::new();
    for name in training_series(&run.metrics) {
        if run.metrics.series.contains_key(&name) {
            let wait = run.metrics.last("wait_share").filter(|_| name == "samples_per_s");
            let note =
                wait.map(|share| format!("At the end training waited for views {:.1} % of the time.", 100.0 * share));
            let from_zero = ["lr", "samples_per_s"].contains(&name.as_str());
            body += &series_chart(
                run,
                &name,
                &capitalised(&series_title(&name)),
                &note.unwrap_or_default(),
                Vec::new(),
                from_zero,
            );
        }
    }
    if !run.metrics.online_knn.is_empty() {
        let curves = vec![Curve { name: "accuracy", colour: 0, points: run.metrics.online_knn.clone() }];
        let note = "On held-out samples of the training data; labels are never trained on.";
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
    page.section(
        "training",
        "Training",
        "Training",
        "Lines are means over neighbouring steps, bands their extremes.",
        &body,
    );
}

fn add_collapse(page: &mut Page, run: &RunRecords, measured: Option<&Diagnosis>) {
    let mut body = String::new();
    if run.metrics.series.contains_key("embedding_std") {
        let title = capitalised(&series_title("embedding_std"));
        body += &series_chart(
            run,
            "embedding_std",
            &title,
            "Of one batch. 1 is isotropic; 0 is a constant.",
            vec![(1.0, "isotropic")],
            true,
        );
    }
    if run.metrics.series.contains_key("effective_rank") {
        // The same bound as in the verdict, for embeddings as wide as the plan's and batches as large.
        let number_of = |key: &str| run.setting(key).and_then(toml::Value::as_integer).map(|v| v as f64);
        let width =
            number_of("projector.out").zip(number_of("train.batch_size")).map(|(out, batch)| out.min(batch - 1.0));
        let bound = THRESHOLDS.iter().find(|t| t.verdict == Verdict::DimensionalCollapse && t.side == Side::Below);
        let bound = width.zip(bound).map(|(width, t)| (width * t.bound, "dimensional collapse below"));
        let note =
            width.map_or("Of one batch, centred.".into(), |w| format!("Of one batch, centred; at most {}.", number(w)));
        body += &series_chart(
            run,
            "effective_rank",
            &capitalised(&series_title("effective_rank")),
            &note,
            bound.into_iter().collect(),
            true,
        );
    }
    let spectrum = |name: &str| -> Option<Vec<f64>> {
        let values = run.scores.as_ref()?["diagnosis"][name]["spectrum"].as_array()?;
        Some(values.iter().filter_map(Value::as_f64).collect())
    };
    let mut spectra: Vec<(&str, Vec<f64>)> =
        ["h", "z"].into_iter().filter_map(|name| Some((name, spectrum(name)?))).collect();
    if spectra.is_empty()
        && let Some(d) = measured
    {
        spectra.push(("h", d.spectrum.clone()));
    }
    if !spectra.is_empty() {
        body += &spectrum_chart(&spectra);
    }
    let mut body =
        if body.is_empty() { missing("No gauge is recorded.") } else { format!("<div class=\"grid\">{body}</div>") };
    body += &statistics(run, measured);
    page.section(
        "collapse",
        "Collapse",
        "Collapse gauges",
        "Has the embedding kept its variety while the loss went down?",
        &body,
    );
}

/// Every number of the diagnoses, in a table.
fn statistics(run: &RunRecords, measured: Option<&Diagnosis>) -> String {
    let own = measured.map(|d| serde_json::to_value(d).unwrap_or_default());
    let of_scores = run.scores.as_ref().and_then(|s| s["diagnosis"].as_object());
    let columns: Vec<(&str, &Value)> = match (of_scores, &own) {
        (Some(parts), _) if !parts.is_empty() => parts.iter().map(|(name, d)| (name.as_str(), d)).collect(),
        (_, Some(own)) => vec![("h", own)],
        _ => return String::new(),
    };
    let mut rows: Vec<&String> = Vec::new();
    for (_, d) in &columns {
        let new = d.as_object().into_iter().flatten().filter(|(_, v)| v.is_number()).map(|(name, _)| name);
        new.for_each(|name| {
            if !rows.contains(&name) {
                rows.push(name);
            }
        });
    }
    let head: String = columns.iter().map(|(name, _)| format!("<th>{}</th>", escape(name))).collect();
    let lines = rows.iter().map(|name| {
        let cells = columns
            .iter()
            .map(|(_, d)| format!("<td>{}</td>", d[name.as_str()].as_f64().map_or(String::new(), number)));
        format!("<tr><td>{}</td>{}</tr>", escape(&name.replace('_', " ")), cells.collect::<String>())
    });
    format!(
        "<details style=\"margin-top:14px\"><summary>All statistics</summary><div class=\"panel scroll\" style=\"margin-top:8px\">\
         <table><tr><th></th>{head}</tr>{}</table></div></details>",
        lines.collect::<String>()
    )
}

fn add_pictures(page: &mut Page, run: &RunRecords) {
    if run.pictures.is_empty() {
        return;
    }
    let figures: String = run
        .pictures
        .iter()
        .map(|picture| {
            let name = escape(&capitalised(&picture.name.replace('_', " ")));
            format!(
                "<figure><figcaption>{name}</figcaption><img class=\"pic\" alt=\"{name}\" src=\"{}\"><p class=\"note\">{}</p></figure>",
                data_uri(&picture.png),
                escape(&picture.caption)
            )
        })
        .collect();
    page.section(
        "pictures",
        "Pictures",
        "Pictures of the method",
        "Drawn by the method at the end of its training.",
        &format!("<div class=\"two\">{figures}</div>"),
    );
}

fn add_invariance(page: &mut Page, run: &RunRecords) {
    let Some(profile) = &run.invariance else { return };
    let charts = invariance_charts(profile);
    let body = if charts.is_empty() {
        let text = serde_json::to_string_pretty(profile).unwrap_or_default();
        format!("<details class=\"panel\"><summary>invariance.json</summary><pre>{}</pre></details>", escape(&text))
    } else {
        format!("<div class=\"grid\">{charts}</div>")
    };
    let lead = "Cosine between a sample and its transformed copy, by the strength of the transformation: 1 means that the encoder does not see it.";
    page.section("invariance", "Invariance", "Invariance profile", lead, &body);
}

/// Of an augmentation: its name, curves by name over its strength, and numbers by name.
type Profile = (String, Vec<(String, Vec<(f64, f64)>)>, Vec<(String, f64)>);

/// One chart an augmentation, for every object within the profile that holds strengths and as many cosines: as parallel lists
/// (`strength: […], h: […]`) or as a list of points (`[{strength, h, z}, …]`).
fn invariance_charts(profile: &Value) -> String {
    const STRENGTH: [&str; 6] = ["strength", "strengths", "parameter", "values", "value", "x"];
    fn walk(name: &str, value: &Value, found: &mut Vec<Profile>) {
        let numbers = |value: &Value| value.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
        match value {
            Value::Object(parts) => {
                let own = ["augmentation", "name"].iter().find_map(|key| parts.get(*key)?.as_str()).unwrap_or(name);
                let strengths = STRENGTH.iter().find_map(|key| numbers(parts.get(*key)?)).filter(|s| s.len() > 1);
                let Some(strengths) = strengths else {
                    parts.iter().for_each(|(key, part)| walk(if own == name { key } else { own }, part, found));
                    return;
                };
                let curves =
                    parts.iter().filter(|(key, _)| !STRENGTH.contains(&key.as_str())).filter_map(|(key, part)| {
                        let values = numbers(part).filter(|v| v.len() == strengths.len())?;
                        Some((key.clone(), strengths.iter().copied().zip(values).collect()))
                    });
                let curves: Vec<_> = curves.collect();
                let scalars = parts.iter().filter(|(key, _)| key.contains("random"));
                let scalars = scalars.filter_map(|(key, part)| Some((key.replace('_', " "), part.as_f64()?))).collect();
                if !curves.is_empty() {
                    found.push((own.to_owned(), curves, scalars));
                }
            }
            Value::Array(items) => {
                let strength = |item: &Value| STRENGTH.iter().find_map(|key| item.get(*key)?.as_f64());
                let strengths: Option<Vec<f64>> = items.iter().map(strength).collect();
                let Some(strengths) = strengths.filter(|s| s.len() > 1) else {
                    items.iter().for_each(|item| walk(name, item, found));
                    return;
                };
                let keys = items[0]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(key, v)| v.is_number() && !STRENGTH.contains(&key.as_str()));
                let curves: Vec<_> = keys
                    .map(|(key, _)| {
                        let points =
                            strengths.iter().zip(items).filter_map(|(s, item)| Some((*s, item[key].as_f64()?)));
                        (key.clone(), points.collect())
                    })
                    .collect();
                if !curves.is_empty() {
                    found.push((name.to_owned(), curves, Vec::new()));
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("profile", profile, &mut found);
    let chart = |(name, curves, scalars): &Profile| {
        let curves = curves.iter().enumerate().map(|(i, (key, points))| Curve {
            name: key,
            colour: match key.as_str() {
                "h" => 0,
                "z" => 6,
                _ => 1 + i,
            },
            points: points.clone(),
        });
        let title = capitalised(&name.replace('_', " "));
        let references = scalars.iter().map(|(name, value)| (*value, name.as_str())).collect();
        LineChart { title: &title, x: "strength", curves: curves.collect(), references, ..Default::default() }.figure()
    };
    found.iter().take(40).map(chart).collect()
}

fn add_plan(page: &mut Page, run: &RunRecords, environment: &str) {
    let sessions = match run.metrics.sessions {
        0 | 1 => String::new(),
        count => format!(" Trained in {count} sessions."),
    };
    let skipped = run.metrics.finished.as_ref().and_then(|f| f["skipped_files"].as_u64()).filter(|s| *s > 0);
    let skipped =
        skipped.map(|s| format!(" {s} files could not be read; skipped.jsonl lists them.")).unwrap_or_default();
    let body = format!(
        "<div class=\"panel\"><pre>{}</pre></div><p class=\"note\">Written by {}.{sessions}{skipped}</p>",
        escape(run.plan_text.trim()),
        escape(environment)
    );
    page.section(
        "plan",
        "Plan",
        "Plan and environment",
        "The same plan gives the same run: `selfsame pretrain` takes it as a recipe.",
        &body,
    );
}

#[cfg(test)]
mod tests;
