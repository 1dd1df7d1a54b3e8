//! The views of samples, with the parameters that were drawn.

use crate::html::{Page, escape, footer, number};
use crate::tiles::{Sprite, TileSheet};
use std::fmt::Write;

/// Samples beside the views that training makes of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ViewSheet {
    /// In the order of training.
    pub samples: Vec<SheetSample>,
    /// Tiles: of each sample first itself, then its views.
    pub tiles: TileSheet,
}

/// A sample and what was drawn for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetSample {
    /// Its id.
    pub id: String,
    /// Its views.
    pub views: Vec<SheetView>,
}

/// A view and how it was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetView {
    /// Group of views that it belongs to, from 0.
    pub group: usize,
    /// Sides that the encoder sees, with their unit.
    pub size: String,
    /// Augmentations, in their order.
    pub steps: Vec<SheetStep>,
}

/// What an augmentation did to a view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SheetStep {
    /// Name of the augmentation.
    pub augmentation: String,
    /// Parameters that were drawn, by name; `None` where it was left out.
    pub parameters: Option<Vec<(String, f32)>>,
}

/// Parameters as text: `top 3 px, left 0 px`.
fn parameters(values: &[(String, f32)]) -> String {
    let value = |(name, value): &(String, f32)| {
        let suffixes = [("_px", " px"), ("_steps", " steps"), ("_db", " dB")];
        let known = suffixes.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)));
        let (name, unit) = known.unwrap_or((name.as_str(), ""));
        format!("{} {}{unit}", name.replace('_', " "), number(f64::from(*value)))
    };
    values.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// What was drawn, a line per step.
fn steps_text(view: &SheetView) -> String {
    let line = |SheetStep { augmentation: name, parameters: drawn }: &SheetStep| match drawn {
        Some(values) if values.is_empty() => format!("{name}: applied"),
        Some(values) => format!("{name}: {}", parameters(values)),
        None => format!("{name}: left out"),
    };
    view.steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `full`: the parameters stand beside each view instead of appearing on hovering.
pub(crate) fn add_section(page: &mut Page, sheet: &ViewSheet, full: bool) {
    let sprite = Sprite::add(page, "sv", &sheet.tiles);
    let shown = sprite.shown_px(if full { 128 } else { 64 });
    let (mut body, mut next) = (String::new(), 0);
    if !full {
        body.push_str("<div class=\"panel scroll\">");
    }
    for sample in &sheet.samples {
        let first = next;
        next += 1 + sample.views.len();
        let own = sprite.tile(first, shown, &sample.id);
        if !full {
            let _ = write!(body, "<div class=\"row\">{own}<span class=\"gap\"></span>");
            for (v, view) in sample.views.iter().enumerate() {
                body += &sprite.tile(first + 1 + v, shown, &steps_text(view));
            }
            body.push_str("</div>");
            continue;
        }
        let _ = write!(
            body,
            "<h3>{}</h3><div class=\"views\"><div class=\"view\">{own}<p><b>sample</b>as it is, cut to its middle</p></div>",
            escape(&sample.id)
        );
        for (v, view) in sample.views.iter().enumerate() {
            let tile = sprite.tile(first + 1 + v, shown, "");
            let _ = write!(
                body,
                "<div class=\"view\">{tile}<p><b>view {} · group {} · {}</b>",
                v + 1,
                view.group + 1,
                view.size
            );
            for SheetStep { augmentation: name, parameters: drawn } in &view.steps {
                let name = escape(&name.replace('_', " "));
                let _ = match drawn {
                    Some(values) if values.is_empty() => write!(body, "{name}<br>"),
                    Some(values) => write!(body, "{name}: {}<br>", escape(&parameters(values))),
                    None => write!(body, "<span class=\"off\">{name}: left out</span><br>"),
                };
            }
            body.push_str("</p></div>");
        }
        body.push_str("</div>");
    }
    if !full {
        body.push_str("</div>");
    }
    let lead = if full {
        "Exactly the views that training makes of these samples in its first epoch."
    } else {
        "The first samples of the first epoch, each followed by its views; hover over a view to see what was drawn."
    };
    page.section("views", "Views", "What the encoder was shown", lead, &body);
}

/// A page of samples and views alone, with `plan_text` below.
pub fn preview_page(sheet: &ViewSheet, title: &str, plan_text: &str) -> String {
    let head = format!("<p class=\"over\">Selfsame preview</p><h1>{}</h1>", escape(title));
    let mut page = Page { title: format!("{title} · selfsame preview"), head, ..Page::default() };
    add_section(&mut page, sheet, true);
    let plan = format!("<div class=\"panel\"><pre>{}</pre></div>", escape(plan_text.trim()));
    page.section("plan", "Plan", "Plan", "", &plan);
    page.finish(&footer())
}
