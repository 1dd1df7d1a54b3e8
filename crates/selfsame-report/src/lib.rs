//! The page that one looks at: a run, or several side by side, as one HTML file that opens offline.
//!
//! Everything is in the file: style, script, images and sounds; it asks the network for nothing, and says so to the browser
//! (`Content-Security-Policy`). Without JavaScript only what appears on hovering is lost. The same run gives the same bytes.
//!
//! A page draws what was found and finds nothing itself: records of a run folder come as [`RunRecords`], what is known of
//! samples as [`Findings`], and pictures as tiles in PNG files ([`SamplePictures`], [`ViewSheet`]), so that nothing here
//! reads pixels.

mod collapse;
mod compare;
mod finetuning;
mod galleries;
mod head;
mod html;
mod invariance;
mod metrics;
mod records;
mod sample_map;
mod scores;
mod study;
mod svg;
mod tiles;
mod training;
mod verdicts;
mod views;

#[cfg(test)]
mod tests;

pub use compare::compare;
pub use galleries::{audible_samples, gallery_samples};
pub use metrics::{End, Metrics, Series, Start};
pub use records::{DataFacts, Drawn, Named, PictureFile, PlanFacts, ProjectorFacts, RunRecords, TrainFacts};
pub use study::{study_page, study_picture};
pub use tiles::{
    GALLERY_BYTES, GALLERY_PX, PREVIEW_BYTES, SOUND_BYTES, SOUNDS, SamplePictures, THUMBNAIL_BYTES, THUMBNAIL_PX,
    TileSheet, VIEWS_BYTES,
};
pub use views::{SheetSample, SheetStep, SheetView, ViewSheet, preview_page};

use head::head;
use html::{Page, capitalized, data_uri, escape, footer, missing};
use selfsame_evaluate::findings::Findings;

/// What a report of one run shows.
pub struct Report<'a> {
    /// The run folder's records.
    pub run: &'a RunRecords,
    /// What was found of some samples, or why nothing was.
    pub findings: Result<&'a Findings, String>,
    /// Pictures of them, where samples are something to look at.
    pub pictures: Option<&'a SamplePictures>,
    /// What the encoder was shown, or why that cannot be shown.
    pub views: Result<&'a ViewSheet, String>,
    /// One line: program, system, instruction set.
    pub environment: &'a str,
}

impl Report<'_> {
    /// The page.
    pub fn to_html(&self) -> String {
        let run = self.run;
        let mut page = Page { title: format!("{} · selfsame report", run.name), head: head(run), ..Page::default() };
        let found = self.findings.as_ref().ok().map(|findings| &findings.diagnosis);
        verdicts::add_section(&mut page, run, found);
        scores::add_section(&mut page, run);
        finetuning::add_section(&mut page, run);
        training::add_section(&mut page, run);
        collapse::add_section(&mut page, run, found);
        match &self.findings {
            Ok(findings) => {
                sample_map::add_section(&mut page, findings, self.pictures);
                galleries::add_sections(&mut page, findings, self.pictures);
            }
            Err(reason) => {
                let what = format!("No map, neighbors or near-duplicates: {reason}");
                page.section("map", "Map", "Map of the representations", "", &missing(&what));
            }
        }
        match &self.views {
            Ok(views) => views::add_section(&mut page, views, false),
            Err(reason) => {
                let what = format!("The views cannot be shown: {reason}");
                page.section("views", "Views", "What the encoder was shown", "", &missing(&what));
            }
        }
        add_pictures(&mut page, run);
        invariance::add_section(&mut page, run);
        add_plan(&mut page, run, self.environment);
        page.finish(&footer())
    }
}

/// The page of a run that is still going on: curves and gauges, no samples. It asks for itself again every `refresh_s`
/// seconds.
pub fn live_page(run: &RunRecords, refresh_s: u32, environment: &str) -> String {
    let mut page = Page {
        title: format!("{} · selfsame watch", run.name),
        head: head(run),
        refresh_s: (!run.finished).then_some(refresh_s),
        ..Page::default()
    };
    training::add_section(&mut page, run);
    collapse::add_section(&mut page, run, None);
    if run.scores.is_some() {
        scores::add_section(&mut page, run);
    }
    add_plan(&mut page, run, environment);
    page.finish(&footer())
}

fn add_pictures(page: &mut Page, run: &RunRecords) {
    if run.pictures.is_empty() {
        return;
    }
    let figures: String = run
        .pictures
        .iter()
        .map(|picture| {
            let name = escape(&capitalized(&picture.name.replace('_', " ")));
            let drawn = match &picture.drawn {
                Drawn::Png(png) => format!("<img class=\"pic\" alt=\"{name}\" src=\"{}\">", data_uri("image/png", png)),
                Drawn::Table(lines) => table_of(lines),
            };
            let caption = escape(&picture.caption);
            format!("<figure><figcaption>{name}</figcaption>{drawn}<p class=\"note\">{caption}</p></figure>")
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

/// A table that a method has drawn. What a line has in common with the line before in its first column is not said again.
fn table_of(lines: &[Vec<String>]) -> String {
    let mut before = None;
    let mut table = String::from("<div class=\"pictable scroll\"><table>");
    for (number, line) in lines.iter().enumerate() {
        let tag = if number == 0 { "th" } else { "td" };
        let again = before.replace(line.first()) == Some(line.first());
        let cell = |(place, text): (usize, &String)| match place == 0 && again {
            true => format!("<{tag}></{tag}>"),
            false => format!("<{tag}>{}</{tag}>", escape(text)),
        };
        table += &format!("<tr>{}</tr>", line.iter().enumerate().map(cell).collect::<String>());
    }
    table + "</table></div>"
}

fn add_plan(page: &mut Page, run: &RunRecords, environment: &str) {
    let sessions = match run.metrics.sessions {
        0 | 1 => String::new(),
        count => format!(" Trained in {count} sessions."),
    };
    let skipped = run.metrics.end.map(|end| end.skipped_files).filter(|skipped| *skipped > 0);
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
        "The same plan gives the same run: a training takes it as a recipe.",
        &body,
    );
}
