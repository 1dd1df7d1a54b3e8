//! Accuracy over the number of labels: what pretraining saves.

use crate::html::{Page, escape, number};
use crate::records::RunRecords;
use crate::scores::score_cell;
use crate::svg::{Curve, LineChart};
use selfsame_evaluate::scores::Score;
use std::fmt::Write;

/// Colors of the three fits, in their order.
const COLORS: [usize; 3] = [0, 6, 8];

/// The section of the label-efficiency curve, where there is one.
pub(crate) fn add_section(page: &mut Page, run: &RunRecords) {
    let Some(finetuning) = run.finetuning.as_ref().filter(|finetuning| !finetuning.cells.is_empty()) else { return };
    let cells = &finetuning.cells;
    let names = cells[0].fits().map(|(name, _)| name);
    let curves = names.iter().zip(COLORS).enumerate().map(|(which, (name, color))| {
        let points = cells.iter().enumerate().map(|(i, cell)| {
            let (_, fit) = cell.fits()[which];
            ((i as f64, fit.accuracy), Some(fit.interval))
        });
        Curve::with_intervals(name, color, points)
    });
    let curves = curves.collect();
    let categories: Vec<String> = cells.iter().map(|cell| cell.labels.to_string()).collect();
    let title = "Accuracy on the test samples";
    let chart = LineChart { title, x: "labels", categories: &categories, curves, ..Default::default() }.figure();
    let mut table = String::from("<div class=\"panel scroll\"><table><tr><th>labels</th>");
    names.iter().for_each(|name| {
        let _ = write!(table, "<th>{name}</th>");
    });
    for cell in cells {
        let (labels, labeled) = (escape(&cell.labels.to_string()), number(cell.labeled as f64));
        let _ = write!(table, "</tr><tr><td>{labels} ({labeled})</td>");
        let fits = cell.fits().map(|(_, fit)| fit);
        let best = fits.iter().map(|fit| fit.accuracy).fold(f64::MIN, f64::max);
        for fit in fits {
            let score = Score { value: fit.accuracy, interval: Some(fit.interval), std: None };
            table += &score_cell(score, score.value == best);
        }
    }
    let body = format!("<div class=\"two\">{chart}{table}</tr></table></div></div>");
    let lead = "The network fine-tuned from this run's encoder, the same network trained from its initial weights on the same labels, and the linear probe on h.";
    page.section("labels", "Labels", "Few labels", lead, &body);
}
