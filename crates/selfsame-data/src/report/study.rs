//! A study: a grid of real runs and the picture that answers its question.

use super::html::{Page, escape};
use super::svg::{self, COLOURS, Curve, LineChart};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// One score of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyPoint {
    /// Which curve it is on, or which row it is in.
    pub series: String,
    /// Where it lies on the horizontal axis, or which column it is in.
    pub x: String,
    /// The score, 0 to 1.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: Option<[f64; 2]>,
}

/// `study.json`: what was asked, and what has been found so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyRecord {
    /// Name in the catalogue.
    pub name: String,
    /// Whether it is the short form.
    pub quick: bool,
    /// Keys that the user gave.
    pub overrides: Vec<String>,
    /// The question.
    pub question: String,
    /// What the literature says.
    pub claim: String,
    /// The horizontal axis.
    pub x: String,
    /// The score.
    pub score: String,
    /// Whether it is a matrix that is the same both ways.
    pub symmetric: bool,
    /// What one job found, by the job's name, in the order of the jobs.
    pub jobs: Vec<(String, Vec<StudyPoint>)>,
    /// Jobs in all.
    pub planned: usize,
}

impl StudyRecord {
    fn points(&self) -> impl Iterator<Item = &StudyPoint> {
        self.jobs.iter().flat_map(|(_, points)| points)
    }

    /// Names of the series and of the places on the axis, in the order in which they were measured; of a symmetric matrix the
    /// same.
    fn names(&self) -> [Vec<String>; 2] {
        let mut names = [Vec::new(), Vec::new()];
        for point in self.points() {
            for (names, name) in names.iter_mut().zip([&point.series, &point.x]) {
                if !names.contains(name) {
                    names.push(name.clone());
                }
            }
        }
        if self.symmetric {
            names[0] = names[1].clone();
        }
        names
    }

    fn value(&self, series: &str, x: &str) -> Option<&StudyPoint> {
        let at = |s: &str, x: &str| self.points().find(|p| p.series == s && p.x == x);
        at(series, x).or_else(|| self.symmetric.then(|| at(x, series)).flatten())
    }

    fn figure(&self) -> String {
        let [series, x] = self.names();
        if self.symmetric {
            let values: Vec<Vec<Option<f64>>> =
                series.iter().map(|s| x.iter().map(|x| Some(self.value(s, x)?.value)).collect()).collect();
            return svg::heat_map(&self.score, "In per cent; the diagonal is one alone.", [&series, &x], &values);
        }
        let curves = series.iter().enumerate().map(|(i, name)| {
            let at = |(i, x): (usize, &String)| self.value(name, x).map(|p| ((i as f64, p.value), p.interval));
            Curve::with_intervals(name, i % COLOURS, x.iter().enumerate().filter_map(at))
        });
        let curves = curves.collect();
        let note = "Bars: 95 % intervals of the score; they do not hold what another seed would change.";
        LineChart { title: &self.score, note, x: &self.x, categories: &x, curves, ..Default::default() }.figure()
    }

    /// The picture alone, as an SVG file; `None` while there is nothing to draw.
    pub fn picture(&self) -> Option<String> {
        let [series, _] = if self.symmetric { Default::default() } else { self.names() };
        svg::standalone(&self.figure(), &format!("{}: {}", self.name.replace('_', " "), self.score), &series)
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let [series, x] = self.names();
        let width = series.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
        let column = x.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(5) + 2;
        let mut text = format!("{}\n{:width$}", self.score, "");
        x.iter().for_each(|x| text += &format!("{x:>column$}"));
        for name in &series {
            text += &format!("\n{name:width$}");
            for x in &x {
                let shown = self.value(name, x).map_or(String::new(), |p| format!("{:.3}", p.value));
                text += &format!("{shown:>column$}");
            }
        }
        text + "\n"
    }

    /// The page.
    pub fn to_html(&self, environment: &str) -> String {
        let short = if self.quick { " (quick)" } else { "" };
        let mut head = format!("<p class=\"over\">Selfsame study{short}</p><h1>{}</h1>", escape(&self.name));
        let _ = write!(head, "<p class=\"sub\">{}</p>", escape(&self.question));
        if self.jobs.len() < self.planned {
            head += &super::missing(&format!("{} of {} runs are done.", self.jobs.len(), self.planned));
        }
        let mut page = Page { title: format!("{} · selfsame study", self.name), head, ..Page::default() };
        let [series, x] = self.names();
        let mut table = String::from("<div class=\"panel scroll\"><table><tr><th></th>");
        x.iter().for_each(|x| {
            let _ = write!(table, "<th>{}</th>", escape(x));
        });
        for name in &series {
            let _ = write!(table, "</tr><tr><td>{}</td>", escape(name));
            for x in &x {
                table += &self.value(name, x).map_or("<td></td>".to_owned(), |p| {
                    let interval = p.interval.map(|[l, h]| format!("<small>{l:.3} – {h:.3}</small>"));
                    format!("<td>{:.3}{}</td>", p.value, interval.unwrap_or_default())
                });
            }
        }
        let body = format!("<div class=\"two\">{}{table}</tr></table></div></div>", self.figure());
        page.section("answer", "Answer", "What was measured", "", &body);
        let claim = format!("<div class=\"panel\"><p>{}</p></div>", escape(&self.claim));
        page.section("literature", "Literature", "What the literature says", "", &claim);
        let overrides = if self.overrides.is_empty() { "none".into() } else { self.overrides.join(" ") };
        let body =
            format!("<p class=\"note\">Keys given: {}. Written by {}.</p>", escape(&overrides), escape(environment));
        page.section("how", "How", "How it was done", "", &body);
        page.finish(&super::footer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(series: &str, x: &str, value: f64) -> StudyPoint {
        StudyPoint { series: series.into(), x: x.into(), value, interval: Some([value - 0.1, value + 0.1]) }
    }

    fn record(symmetric: bool, points: Vec<StudyPoint>) -> StudyRecord {
        StudyRecord {
            name: "a_study".into(),
            quick: true,
            overrides: vec!["a=<b>".into()],
            question: "<i>Which?".into(),
            claim: "This & that.".into(),
            x: "<x>".into(),
            score: "accuracy".into(),
            symmetric,
            jobs: vec![("job".into(), points)],
            planned: 2,
        }
    }

    #[test]
    fn a_study_is_drawn_as_far_as_it_has_come() {
        let lines = record(false, vec![point("a", "<1>", 0.5), point("a", "2", 0.625), point("b", "2", 0.75)]);
        let heat = record(true, vec![point("a", "a", 0.25), point("a", "b", 0.625), point("b", "b", 0.75)]);
        for study in [&lines, &heat, &record(false, Vec::new()), &record(true, Vec::new())] {
            let html = study.to_html("a test");
            assert!(html.ends_with("</html>\n") && html.contains("1 of 2 runs are done"));
            assert!(!html.contains("<i>") && !html.contains("<1>") && !html.contains("NaN"));
        }
        assert!(lines.picture().unwrap().contains("&lt;1&gt;") && lines.table().contains("0.625"));
        let heat = heat.picture().unwrap();
        assert_eq!(heat.matches(">62.5<").count(), 2, "both ways");
        assert!(heat.starts_with("<svg xmlns") && heat.ends_with("</svg>\n"));
    }
}
