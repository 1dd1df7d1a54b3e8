//! What the encoder has become invariant to.

use crate::html::{Page, capitalized};
use crate::records::RunRecords;
use crate::svg::{Curve, LineChart};
use selfsame_evaluate::invariance::DialResponses;
use selfsame_evaluate::representation::RepresentationName;

/// The section of the invariance profile, where there is one.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords) {
    let Some(profile) = &run.invariance else { return };
    let charts: String = profile.profile.iter().map(chart).collect();
    let body = format!("<div class=\"grid\">{charts}</div>");
    let lead = "Between a sample and its transformed copy, by the strength of the transformation: 1 is untouched, 0 as far as another sample. R\u{b2}: how well the strength can be read off.";
    page.section("invariance", "Invariance", "Invariance profile", lead, &body);
}

fn chart(DialResponses { dial, responses }: &DialResponses) -> String {
    let color = |name: &RepresentationName| match name {
        RepresentationName::H => 0,
        RepresentationName::Z => 6,
        _ => 3,
    };
    let strengths = || dial.strengths.iter().map(|&strength| f64::from(strength));
    let curves = responses.iter().map(|(name, response)| {
        Curve::new(name.as_str(), color(name), strengths().zip(response.invariance.iter().copied()).collect())
    });
    let r2 = responses.iter().map(|(name, response)| format!("{name} {:.2}", response.r2));
    let note = format!("R\u{b2}: {}", r2.collect::<Vec<_>>().join(", "));
    let title = capitalized(&dial.augmentation.replace('_', " "));
    let (parameter, unit) = (dial.parameter.replace('_', " "), dial.unit.trim());
    let x = if unit.is_empty() { parameter } else { format!("{parameter}, {unit}") };
    LineChart { title: &title, note: &note, x: &x, curves: curves.collect(), ..Default::default() }.figure()
}
