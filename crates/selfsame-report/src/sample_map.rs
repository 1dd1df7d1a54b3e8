//! Samples as the encoder places them.

use crate::html::{Page, escape, number, short};
use crate::svg::COLORS;
use crate::tiles::{SamplePictures, Sprite};
use selfsame_evaluate::findings::{Findings, MapKind};
use selfsame_evaluate::metadata::Grouping;
use std::fmt::Write;

/// Groups that a legend lists, and that have a color of their own.
const LEGEND: usize = 24;
const COLORED: usize = 256;

/// What a sample is: its class, its id, its groups, and of a table its row, a line each.
pub(crate) fn describe(findings: &Findings, pictures: Option<&SamplePictures>, row: usize) -> String {
    let about = findings.groupings.iter().map(|g| format!("{}: {}", g.name, g.name_of(row)));
    let id = short(&findings.samples[row].id);
    let holds = pictures.and_then(|pictures| pictures.rows.get(row)).cloned();
    let lines = findings.class(row).map(str::to_owned).into_iter().chain([id]).chain(about).chain(holds);
    lines.collect::<Vec<_>>().join("\n")
}

/// Everything that the map can be colored by: labels, what the caller knew, clusters.
fn groupings(findings: &Findings) -> Vec<Grouping> {
    let named = |name: &str, groups, of| Grouping { name: name.into(), groups, ordered: false, of };
    let mut groupings = Vec::new();
    if !findings.classes.is_empty() {
        let labels = findings.samples.iter().map(|sample| sample.label).collect();
        groupings.push(named("label", findings.classes.clone(), labels));
    }
    groupings.extend_from_slice(&findings.groupings);
    let clusters = (1..=findings.clusters).map(|c| format!("cluster {c}")).collect();
    groupings.push(named("k-means cluster", clusters, findings.samples.iter().map(|s| Some(s.cluster)).collect()));
    groupings
}

/// The section of the map. Without `pictures` of the samples, hovering tells only what they are.
pub(crate) fn add_section(page: &mut Page, findings: &Findings, pictures: Option<&SamplePictures>) {
    let sprite = pictures.map(|pictures| Sprite::add(page, "st", &pictures.thumbnails));
    let (width, height, margin) = (720.0f32, 500.0f32, 12.0f32);
    let range = |axis: usize| {
        let values = findings.samples.iter().map(|sample| sample.place[axis]);
        values.fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
    };
    let [(x0, x1), (y0, y1)] = [range(0), range(1)];
    let scale = |v: f32, low: f32, high: f32, length: f32| {
        margin + if high > low { (v - low) / (high - low) } else { 0.5 } * (length - 2.0 * margin)
    };
    let groupings = groupings(findings);
    let mut body = String::new();
    for (i, grouping) in groupings.iter().enumerate() {
        let (checked, name) = (if i == 0 { " checked" } else { "" }, escape(&grouping.name));
        let _ = write!(
            body,
            "<input class=\"pick\" type=\"radio\" name=\"color\" id=\"by-{i}\"{checked}><label for=\"by-{i}\">by {name}</label>"
        );
        let _ = writeln!(page.style, "#by-{i}:checked~.by-{i}{{display:block}}");
        for group in 0..grouping.groups.len().min(COLORED) {
            let color = group_color(grouping, group);
            let _ = writeln!(page.style, "#by-{i}:checked~figure .g{i}-{group}{{fill:{color}}}");
        }
    }
    for (i, grouping) in groupings.iter().enumerate() {
        let mut used = vec![false; grouping.groups.len()];
        grouping.of.iter().flatten().for_each(|&group| used[group as usize] = true);
        let entries = grouping.groups.iter().enumerate().filter(|(g, _)| used[*g]).take(LEGEND).map(|(g, name)| {
            format!("<li><i style=\"background:{}\"></i>{}</li>", group_color(grouping, g), escape(name))
        });
        let entries: String = entries.collect();
        let more = used.iter().filter(|used| **used).count().saturating_sub(LEGEND);
        let more = if more > 0 { format!("<li>and {more} more</li>") } else { String::new() };
        let _ = write!(body, "<div class=\"by by-{i}\"><ul class=\"keys\">{entries}{more}</ul></div>");
    }
    let sprite = sprite.map(|s| format!(" data-sprite=\"{}\" data-columns=\"{}\"", s.classes(), s.columns));
    let _ = write!(
        body,
        "<figure class=\"map\"><svg class=\"map\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"map of {} samples\"{} \
         fill=\"var(--c9)\">",
        findings.samples.len(),
        sprite.unwrap_or_default()
    );
    for (row, sample) in findings.samples.iter().enumerate() {
        let class = |(i, grouping): (usize, &Grouping)| Some(format!("g{i}-{}", grouping.of[row]?));
        let classes: Vec<String> = groupings.iter().enumerate().filter_map(class).collect();
        let _ = write!(
            body,
            "<circle class=\"{}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.6\"><title>{}</title></circle>",
            classes.join(" "),
            scale(sample.place[0], x0, x1, width),
            height - scale(sample.place[1], y0, y1, height),
            escape(&describe(findings, pictures, row))
        );
    }
    let axes = match (findings.map, findings.variance_shares) {
        (MapKind::Tsne, _) => {
            "t-SNE on cosine neighbors: groups are true, distances between them mean little.".to_owned()
        }
        (MapKind::Pca, shares) => {
            let [first, second] = shares.unwrap_or_default().map(|share| format!("{:.0} %", 100.0 * share));
            format!("Horizontal: first principal component, {first} of the variance of h; vertical: second, {second}.")
        }
    };
    let _ =
        write!(body, "</svg><p class=\"note\">{axes} Hover over a point, or touch it, to see the sample.</p></figure>");
    let (shown, all) = (findings.samples.len(), findings.data_samples);
    let lead = if shown < all {
        format!(
            "{} of {} samples, evenly spaced, as the encoder places them.",
            number(shown as f64),
            number(all as f64)
        )
    } else {
        format!("All {} samples, as the encoder places them.", number(all as f64))
    };
    page.section("map", "Map", "Map of the representations", &lead, &body);
}

/// Color of a group.
fn group_color(grouping: &Grouping, group: usize) -> String {
    let count = grouping.groups.len();
    if grouping.ordered {
        // From blue to yellow, ever lighter: the order is seen without a legend.
        let share = group as f64 / (count - 1).max(1) as f64;
        return format!("oklch({:.0}% .13 {:.0})", 45.0 + 40.0 * share, 280.0 - 180.0 * share);
    }
    if count <= COLORS {
        return format!("var(--c{group})");
    }
    // Steps of the golden angle keep neighbors in the list apart.
    format!("oklch({}% .13 {:.0})", [64, 74, 55][group % 3], (group as f64 * 137.508) % 360.0)
}
