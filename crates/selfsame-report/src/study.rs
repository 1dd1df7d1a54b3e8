//! A study as a page: a grid of real runs and the picture that answers its question.

use crate::html::{Page, escape, footer, missing};
use crate::svg::{self, COLORS, Curve, LineChart};
use selfsame_evaluate::overlap::Overlap;
use selfsame_evaluate::study::StudyRecord;
use std::fmt::Write;

fn figure(study: &StudyRecord) -> String {
    let [series, x] = study.names();
    if study.symmetric {
        let values: Vec<Vec<Option<f64>>> =
            series.iter().map(|s| x.iter().map(|x| Some(study.point(s, x)?.value)).collect()).collect();
        return svg::heat_map(&study.score, "In per cent; the diagonal is one alone.", [&series, &x], &values);
    }
    let curves = series.iter().enumerate().map(|(i, name)| {
        let at = |(i, x): (usize, &String)| study.point(name, x).map(|p| ((i as f64, p.value), p.interval));
        Curve::with_intervals(name, i % COLORS, x.iter().enumerate().filter_map(at))
    });
    let curves = curves.collect();
    let note = "Bars: 95 % intervals of the score; they do not hold what another seed would change.";
    LineChart { title: &study.score, note, x: &study.x, categories: &x, curves, ..Default::default() }.figure()
}

/// The picture alone, as an SVG file; `None` while there is nothing to draw.
pub fn study_picture(study: &StudyRecord) -> Option<String> {
    let [series, _] = if study.symmetric { Default::default() } else { study.names() };
    svg::standalone(&figure(study), &format!("{}: {}", study.name.replace('_', " "), study.score), &series)
}

/// The page.
pub fn study_page(study: &StudyRecord, environment: &str) -> String {
    let short = if study.quick { " (quick)" } else { "" };
    let mut head = format!("<p class=\"over\">Selfsame study{short}</p><h1>{}</h1>", escape(&study.name));
    let _ = write!(head, "<p class=\"sub\">{}</p>", escape(&study.question));
    if let Some(warning) = study.overlap.as_ref().and_then(Overlap::warning) {
        head += &missing(&warning);
    }
    if study.jobs.len() < study.planned {
        head += &missing(&format!("{} of {} runs are done.", study.jobs.len(), study.planned));
    }
    let mut page = Page { title: format!("{} · selfsame study", study.name), head, ..Page::default() };
    let [series, x] = study.names();
    let mut table = String::from("<div class=\"panel scroll\"><table><tr><th></th>");
    x.iter().for_each(|x| {
        let _ = write!(table, "<th>{}</th>", escape(x));
    });
    for name in &series {
        let _ = write!(table, "</tr><tr><td>{}</td>", escape(name));
        for x in &x {
            table += &study.point(name, x).map_or("<td></td>".to_owned(), |p| {
                let interval = p.interval.map(|[l, h]| format!("<small>{l:.3} – {h:.3}</small>"));
                format!("<td>{:.3}{}</td>", p.value, interval.unwrap_or_default())
            });
        }
    }
    let body = format!("<div class=\"two\">{}{table}</tr></table></div></div>", figure(study));
    page.section("answer", "Answer", "What was measured", "", &body);
    let claim = format!("<div class=\"panel\"><p>{}</p></div>", escape(&study.claim));
    page.section("literature", "Literature", "What the literature says", "", &claim);
    let judged = study
        .judged_on
        .as_ref()
        .map_or(String::new(), |[test, train]| format!(" All runs were judged on {test}, with labels from {train}."));
    let overrides = if study.overrides.is_empty() { "none".into() } else { study.overrides.join(" ") };
    let body = format!(
        "<p class=\"note\">Keys given: {}.{} Written by {}.</p>",
        escape(&overrides),
        escape(&judged),
        escape(environment)
    );
    page.section("how", "How", "How it was done", "", &body);
    page.finish(&footer())
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_evaluate::study::{StudyJob, StudyPoint};

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
            jobs: vec![StudyJob { name: "job".into(), points }],
            planned: 2,
            judged_on: Some(["<b>test".into(), "train".into()]),
            overlap: Some(Overlap { same_content: 2, test_samples: 9, ..Overlap::default() }),
        }
    }

    #[test]
    fn a_study_is_drawn_as_far_as_it_has_come() {
        let lines = record(false, vec![point("a", "<1>", 0.5), point("a", "2", 0.625), point("b", "2", 0.75)]);
        let heat = record(true, vec![point("a", "a", 0.25), point("a", "b", 0.625), point("b", "b", 0.75)]);
        for study in [&lines, &heat, &record(false, Vec::new()), &record(true, Vec::new())] {
            let html = study_page(study, "a test");
            assert!(html.ends_with("</html>\n") && html.contains("1 of 2 runs are done"));
            assert!(html.contains("judged on &lt;b&gt;test, with labels from train."));
            assert!(!html.contains("<i>") && !html.contains("<1>") && !html.contains("NaN"));
        }
        assert!(study_picture(&lines).unwrap().contains("&lt;1&gt;"));
        let heat = study_picture(&heat).unwrap();
        assert_eq!(heat.matches(">62.5<").count(), 2, "both ways");
        assert!(heat.starts_with("<svg xmlns") && heat.ends_with("</svg>\n"));
    }
}
