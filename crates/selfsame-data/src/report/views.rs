//! The views of samples, with the parameters that were drawn.

use super::html::{Page, escape, number};
use super::samples::Sprite;
use crate::preview::{Preview, ShownView};
use std::fmt::Write;

/// Bytes that the tiles of a report's section, and of a page of their own, may take as PNG.
const SECTION_BYTES: usize = 350_000;
const PAGE_BYTES: usize = 3_000_000;

/// Parameters as text: `top 3 px, left 0 px`.
fn parameters(values: &[(&str, f32)]) -> String {
    let value = |(name, value): &(&str, f32)| {
        let (name, unit) = name.strip_suffix("_px").map_or((*name, ""), |name| (name, " px"));
        format!("{} {}{unit}", name.replace('_', " "), number(f64::from(*value)))
    };
    values.iter().map(value).collect::<Vec<_>>().join(", ")
}

/// What was drawn, a line a step.
fn steps_text(view: &ShownView) -> String {
    let line = |(name, drawn): &(&str, Option<Vec<(&str, f32)>>)| match drawn {
        Some(values) if values.is_empty() => format!("{name}: applied"),
        Some(values) => format!("{name}: {}", parameters(values)),
        None => format!("{name}: left out"),
    };
    view.steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `full`: the parameters stand beside each view instead of appearing on hovering.
pub(super) fn add_section(page: &mut Page, preview: &Preview, full: bool) {
    let sprite = Sprite::add(page, "sv", &preview.sheet, if full { PAGE_BYTES } else { SECTION_BYTES });
    let shown = sprite.shown_px(if full { 112 } else { 64 });
    let (mut body, stride) = (String::new(), 1 + preview.views);
    if !full {
        body.push_str("<div class=\"panel scroll\">");
    }
    for (row, sample) in preview.samples.iter().enumerate() {
        let own = sprite.tile(row * stride, shown, &sample.id);
        if !full {
            let _ = write!(body, "<div class=\"row\">{own}<span class=\"gap\"></span>");
            for (v, view) in sample.views.iter().enumerate() {
                body += &sprite.tile(row * stride + 1 + v, shown, &steps_text(view));
            }
            body.push_str("</div>");
            continue;
        }
        let _ = write!(
            body,
            "<h3>{}</h3><div class=\"views\"><div class=\"view\">{own}<p><b>sample</b>as it is, centred square</p></div>",
            escape(&sample.id)
        );
        for (v, view) in sample.views.iter().enumerate() {
            let tile = sprite.tile(row * stride + 1 + v, shown, "");
            let _ = write!(
                body,
                "<div class=\"view\">{tile}<p><b>view {} · group {} · {} px</b>",
                v + 1,
                view.group + 1,
                view.size_px
            );
            for (name, drawn) in &view.steps {
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
pub fn preview_page(preview: &Preview, title: &str, plan_text: &str) -> String {
    let head = format!("<p class=\"over\">Selfsame preview</p><h1>{}</h1>", escape(title));
    let mut page = Page { title: format!("{title} · selfsame preview"), head, ..Page::default() };
    add_section(&mut page, preview, true);
    let plan = format!("<div class=\"panel\"><pre>{}</pre></div>", escape(plan_text.trim()));
    page.section("plan", "Plan", "Plan", "", &plan);
    page.finish(&super::footer())
}
