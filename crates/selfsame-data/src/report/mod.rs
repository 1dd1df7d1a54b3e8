//! The page that one looks at: a run, or several side by side, as one HTML file that opens offline.
//!
//! Everything is in the file: style, script and images; it asks the network for nothing, and says so to the browser
//! (`Content-Security-Policy`). Without JavaScript only what appears on hovering is lost. The same run gives the same bytes.

mod compare;
mod html;
mod records;
mod samples;
mod study;
mod svg;
mod views;

pub use compare::compare;
pub use records::{Metrics, PictureFile, RunRecords, Score, ScoreTable};
pub use samples::{MapKind, Samples};
pub use study::{StudyPoint, StudyRecord};
pub use views::preview_page;

use crate::evaluate::diagnosis::Diagnosis;
use crate::evaluate::verdict::RANK_SHARE;
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
        add_finetuning(&mut page, run);
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
    let judged: Vec<(&String, &Value)> =
        run.diagnosis().into_iter().flatten().filter(|(_, d)| d["verdict"].is_string()).collect();
    let mut lead = format!("Of the representation h, on {}.", run.diagnosed_on());
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
            lead = format!("Of the representation and of the embedding, on {}.", run.diagnosed_on());
        }
    } else if let Some(d) = measured {
        let untrained = if run.finished { "" } else { "; training is not finished" };
        lead = format!(
            "Of the representation h, on {} samples of the run's own data{untrained}.",
            number(d.statistics.samples as f64)
        );
        let advice: Vec<String> = d.advice.iter().map(|line| (*line).to_owned()).collect();
        panel("h", &d.verdict.to_string(), &d.evidence, &advice);
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

/// Accuracies by class and the confusion matrix, of the linear probe on `h`.
fn per_class(scores: &Value) -> String {
    const SCORE: &str = "linear_probe.h";
    let mut html = String::new();
    let of_class = |(name, score): (&String, &Value)| {
        Some(Dot {
            name: name.chars().take(13).collect(),
            value: score["accuracy"].as_f64()?,
            interval: interval(&score["interval"]),
            colour: score_colour("h"),
        })
    };
    let dots: Vec<Dot> =
        scores["per_class"][SCORE].as_object().into_iter().flatten().filter_map(of_class).take(40).collect();
    if !dots.is_empty() {
        html += &svg::dot_chart("Accuracy by class, linear probe on h", "Bars: confidence intervals.", &dots, None);
    }
    let row = |row: &Value| row.as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>();
    let counts =
        scores["confusion"][SCORE].as_array().and_then(|rows| rows.iter().map(row).collect::<Option<Vec<_>>>());
    let square =
        |rows: &Vec<Vec<f64>>| (1..=100).contains(&rows.len()) && rows.iter().all(|row| row.len() == rows.len());
    if let Some(counts) = counts.filter(square) {
        html += &svg::confusion(&texts(&scores["classes"]), &counts);
    }
    html
}

fn interval(value: &Value) -> Option<[f64; 2]> {
    Some([value[0].as_f64()?, value[1].as_f64()?])
}

/// Accuracy over the number of labels: what pretraining saves.
fn add_finetuning(page: &mut Page, run: &RunRecords) {
    let cells = run.finetuning.as_ref().and_then(|f| f["cells"].as_array()).filter(|cells| !cells.is_empty());
    let Some(cells) = cells else { return };
    let fits = [("finetuned", "fine-tuned", 0), ("linear_probe", "linear probe", 6), ("scratch", "from scratch", 8)];
    let curves = fits.iter().map(|(key, name, colour)| {
        let of_cell = |(i, cell): (usize, &Value)| {
            let fit = &cell[key];
            Some(((i as f64, fit["accuracy"].as_f64()?), interval(&fit["interval"])))
        };
        Curve::with_intervals(name, *colour, cells.iter().enumerate().filter_map(of_cell))
    });
    let curves = curves.collect();
    let categories: Vec<String> =
        cells.iter().map(|cell| cell["labels"].as_str().unwrap_or_default().to_owned()).collect();
    let title = "Accuracy on the test samples";
    let chart = LineChart { title, x: "labels", categories: &categories, curves, ..Default::default() }.figure();
    let mut table = String::from("<div class=\"panel scroll\"><table><tr><th>labels</th>");
    fits.iter().for_each(|(_, name, _)| {
        let _ = write!(table, "<th>{name}</th>");
    });
    for cell in cells {
        let labels = cell["labels"].as_str().unwrap_or_default();
        let labelled = cell["labelled"].as_f64().map(number).unwrap_or_default();
        let _ = write!(table, "</tr><tr><td>{} ({labelled})</td>", escape(labels));
        let score = |key: &str| {
            let value = cell[key]["accuracy"].as_f64()?;
            Some(Score { value, interval: interval(&cell[key]["interval"]), std: None })
        };
        let best = fits.iter().filter_map(|(key, ..)| score(key)).map(|s| s.value).fold(f64::MIN, f64::max);
        for (key, ..) in &fits {
            table += &score(key).map_or("<td></td>".to_owned(), |score| score_cell(score, score.value == best));
        }
    }
    let body = format!("<div class=\"two\">{chart}{table}</tr></table></div></div>");
    let lead = "The network fine-tuned from this run's encoder, the same network trained from its initial weights on the same labels, and the linear probe on h.";
    page.section("labels", "Labels", "Few labels", lead, &body);
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
    let curves = vec![Curve::new(title, 0, points)];
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
        let curves = vec![Curve::new("accuracy", 0, run.metrics.online_knn.clone())];
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
        let bound = width.map(|width| (width * RANK_SHARE, "dimensional collapse below"));
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
        let values = run.diagnosis()?.get(name)?["spectrum"].as_array()?;
        Some(values.iter().filter_map(Value::as_f64).collect())
    };
    let mut spectra: Vec<(&str, Vec<f64>)> =
        ["h", "z"].into_iter().filter_map(|name| Some((name, spectrum(name)?))).collect();
    if spectra.is_empty()
        && let Some(d) = measured
    {
        spectra.push(("h", d.statistics.spectrum.clone()));
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
    let columns: Vec<(&str, &Value)> = match (run.diagnosis(), &own) {
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
    let charts: String = profile["profile"].as_array().into_iter().flatten().map(invariance_chart).collect();
    let body = format!("<div class=\"grid\">{charts}</div>");
    let lead = "Between a sample and its transformed copy, by the strength of the transformation: 1 is untouched, 0 as far as another sample. R\u{b2}: how well the strength can be read off.";
    page.section("invariance", "Invariance", "Invariance profile", lead, &body);
}

/// The chart of one entry of `invariance.json`'s `profile`.
fn invariance_chart(entry: &Value) -> String {
    let numbers =
        |value: &Value| -> Vec<f64> { value.as_array().into_iter().flatten().filter_map(Value::as_f64).collect() };
    let text = |key: &str| entry[key].as_str().unwrap_or_default().replace('_', " ");
    let strengths = numbers(&entry["strengths"]);
    let parts = [("h", 0), ("z", 6)].map(|(name, colour)| (name, colour, &entry[name]));
    let curves = parts.iter().filter(|(.., part)| part.is_object()).map(|(name, colour, part)| {
        Curve::new(name, *colour, strengths.iter().copied().zip(numbers(&part["invariance"])).collect())
    });
    let r2 = parts.iter().filter_map(|(name, _, part)| Some(format!("{name} {:.2}", part["r2"].as_f64()?)));
    let note = format!("R\u{b2}: {}", r2.collect::<Vec<_>>().join(", "));
    let title = capitalised(&text("augmentation"));
    let unit = text("unit");
    let x = if unit.is_empty() { text("parameter") } else { format!("{}, {unit}", text("parameter")) };
    LineChart { title: &title, note: &note, x: &x, curves: curves.collect(), ..Default::default() }.figure()
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
