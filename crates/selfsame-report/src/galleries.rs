//! Samples beside each other: neighbors, the typical and the unusual, and copies.

use crate::html::{Page, data_uri, escape, short};
use crate::sample_map::describe;
use crate::tiles::{SOUNDS, SamplePictures, Sprite};
use selfsame_evaluate::findings::{Disputed, DuplicatePair, Duplicates, Findings, FoundNeighbor, Query};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Pairs of copies that are shown.
const PAIRS: usize = 12;
/// Side of a tile on the page, about, px.
const SHOWN_PX: usize = 64;

/// The samples that the galleries of a report show, by their place in `findings.samples`, lowest first.
pub fn gallery_samples(findings: &Findings) -> Vec<usize> {
    let mut shown: Vec<usize> = [&findings.typical[..], &findings.unusual].concat();
    for query in &findings.queries {
        shown.push(query.sample);
        shown.extend(query.neighbors.iter().map(|neighbor| neighbor.sample));
    }
    shown.extend(findings.disputed.iter().map(|disputed| disputed.sample));
    shown.extend(findings.duplicates.pairs.iter().take(PAIRS).flat_map(|pair| pair.samples));
    shown.sort_unstable();
    shown.dedup();
    shown
}

/// Those of them that are worth hearing first, at most [`SOUNDS`], where samples are sounds: queries, each with its two nearest, then
/// the typical and the unusual, the disputed and the copies.
pub fn audible_samples(findings: &Findings) -> Vec<usize> {
    let queries = findings.queries.iter().flat_map(|Query { sample, neighbors }| {
        [*sample].into_iter().chain(neighbors.iter().take(2).map(|neighbor| neighbor.sample))
    });
    let extremes = findings.typical.iter().chain(&findings.unusual).copied();
    let disputed = findings.disputed.iter().map(|disputed| disputed.sample);
    let copies = findings.duplicates.pairs.iter().take(PAIRS).flat_map(|pair| pair.samples);
    let mut audible = Vec::new();
    for row in queries.chain(extremes).chain(disputed).chain(copies) {
        if audible.len() < SOUNDS && !audible.contains(&row) {
            audible.push(row);
        }
    }
    audible
}

/// The sections below the map. Without `pictures` of the samples, their ids stand in the place of tiles.
pub(crate) fn add_sections(page: &mut Page, findings: &Findings, pictures: Option<&SamplePictures>) {
    let sprite = pictures.map(|pictures| Sprite::add(page, "sg", &pictures.gallery));
    let sounds = pictures.map(|pictures| pictures.sounds.iter().map(|(row, wav)| (*row, &wav[..])).collect());
    let mut galleries =
        Galleries { findings, pictures, shown: gallery_samples(findings), sprite, sounds: sounds.unwrap_or_default() };
    galleries.add_neighbors(page);
    galleries.add_extremes(page);
    galleries.add_duplicates(page);
}

struct Galleries<'a> {
    findings: &'a Findings,
    pictures: Option<&'a SamplePictures>,
    /// Rows that have a tile, sorted.
    shown: Vec<usize>,
    sprite: Option<Sprite>,
    /// WAV files that do not stand in the page yet: each does once.
    sounds: BTreeMap<usize, &'a [u8]>,
}

impl Galleries<'_> {
    fn shown_px(&self) -> usize {
        self.sprite.as_ref().map_or(SHOWN_PX, |sprite| sprite.shown_px(SHOWN_PX))
    }

    fn tile(&self, row: usize) -> String {
        let title = describe(self.findings, self.pictures, row);
        match &self.sprite {
            Some(sprite) => {
                let place = self.shown.binary_search(&row).expect("every shown row has a tile");
                sprite.tile(place, self.shown_px(), &title)
            }
            None => {
                let id = escape(&short(&self.findings.samples[row].id));
                format!("<span class=\"t\" style=\"--d:{SHOWN_PX}px\" title=\"{}\">{id}</span>", escape(&title))
            }
        }
    }

    /// A sample that can be heard, the first time that it is shown.
    fn sound(&mut self, row: usize) -> String {
        let Some(wav) = self.sounds.remove(&row) else { return String::new() };
        // Without the menu there is room for the button that plays.
        format!(
            "<audio controls controlslist=\"nodownload noplaybackrate noremoteplayback\" preload=\"none\" src=\"{}\"></audio>",
            data_uri("audio/wav", wav)
        )
    }

    /// A tile with words below.
    fn cell(&mut self, row: usize, class: &str, below: &[String]) -> String {
        let lines: String =
            below.iter().filter(|line| !line.is_empty()).map(|line| format!("<span>{line}</span>")).collect();
        let (shown, tile, sound) = (self.shown_px(), self.tile(row), self.sound(row));
        format!("<div class=\"cell {class}\" style=\"--d:{shown}px\">{tile}{sound}{lines}</div>")
    }

    fn add_neighbors(&mut self, page: &mut Page) {
        let findings = self.findings;
        let mut body = String::from("<div class=\"panel scroll\">");
        let class_of = |row: usize| escape(findings.class(row).unwrap_or_default());
        for Query { sample: query, neighbors } in &findings.queries {
            let cell = self.cell(*query, "q", &[class_of(*query)]);
            let _ = write!(body, "<div class=\"row\">{cell}<span class=\"gap\"></span>");
            for &FoundNeighbor { sample: row, cosine } in neighbors {
                let class = class_of(row);
                let class = if findings.class(row) == findings.class(*query) {
                    class
                } else {
                    format!("<b class=\"other\">{class}</b>")
                };
                body += &self.cell(row, "", &[class, format!("{cosine:.3}")]);
            }
            body.push_str("</div>");
        }
        body.push_str("</div>");
        let lead = format!(
            "Queries drawn evenly, not chosen (outlined), and their {} nearest by cosine of h among the {} samples of the map.",
            findings.queries.first().map_or(0, |query| query.neighbors.len()),
            findings.samples.len()
        );
        page.section("neighbors", "Neighbors", "Nearest neighbors", &lead, &body);
    }

    fn add_extremes(&mut self, page: &mut Page) {
        let findings = self.findings;
        let mut row = |title: &str, rows: &mut dyn Iterator<Item = (usize, String)>| {
            let class_of = |row: usize| escape(findings.class(row).unwrap_or_default());
            let tiles: String = rows.map(|(row, value)| self.cell(row, "", &[class_of(row), value])).collect();
            format!("<h3>{}</h3><div class=\"tiles\">{tiles}</div>", escape(title))
        };
        let density = |&row: &usize| (row, format!("{:.3}", findings.samples[row].density));
        let mut body = row("Most typical: the densest of each cluster", &mut findings.typical.iter().map(density));
        body += &row("Most unusual: farthest from all others", &mut findings.unusual.iter().map(density));
        if !findings.disputed.is_empty() {
            let share = |disputed: &Disputed| (disputed.sample, format!("{:.0} % differ", 100.0 * disputed.share));
            let title = "Disputed: neighbors bear another label; hard, or labeled wrongly";
            body += &row(title, &mut findings.disputed.iter().map(share));
        }
        let lead = "Below each: its mean cosine with its 10 nearest neighbors.";
        page.section("extremes", "Extremes", "Typical and unusual samples", lead, &body);
    }

    fn add_duplicates(&mut self, page: &mut Page) {
        let findings = self.findings;
        let Duplicates { cosine_above, difference_below, pairs } = &findings.duplicates;
        let lead = match difference_below {
            Some(difference) => format!(
                "Pairs with a cosine of h over {cosine_above} whose pixels differ by under {difference} (root mean square, 0 to 1), \
                 among the samples of the map."
            ),
            None => format!("Pairs with a cosine of h over {cosine_above}, among the samples of the map."),
        };
        let body = if pairs.is_empty() {
            String::from("<p>None found.</p>")
        } else {
            let shown: String = pairs.iter().take(PAIRS).map(|pair| self.pair(pair)).collect();
            let more = if pairs.len() > PAIRS { format!(", the closest {PAIRS} here") } else { String::new() };
            format!("<p>{} found{more}.</p><div class=\"pairs\">{shown}</div>", pairs.len())
        };
        page.section("duplicates", "Duplicates", "Near-duplicates", &lead, &body);
    }

    fn pair(&mut self, pair: &DuplicatePair) -> String {
        let tiles = pair.samples.map(|row| self.tile(row) + &self.sound(row));
        let ids = pair.samples.map(|row| escape(&short(&self.findings.samples[row].id)));
        let difference = pair.difference.map(|difference| format!(", pixels {difference:.3}")).unwrap_or_default();
        format!("<div>{}<br>cosine {:.4}{difference}<br>{}</div>", tiles.concat(), pair.cosine, ids.join("<br>"))
    }
}
