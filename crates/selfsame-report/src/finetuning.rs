//! Accuracy over the number of labels: what pretraining saves.

use crate::html::{Page, capitalized, escape, list, number};
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
            ((i as f64, fit.value), Some(fit.interval))
        });
        Curve::with_intervals(name, color, points)
    });
    let curves = curves.collect();
    let categories: Vec<String> = cells.iter().map(|cell| cell.labels.to_string()).collect();
    let title = format!("{} on the test samples", capitalized(finetuning.measure()));
    let chart =
        LineChart { title: &title, x: "labels", categories: &categories, curves, ..Default::default() }.figure();
    let mut table = String::from("<div class=\"panel scroll\"><table><tr><th>labels</th>");
    names.iter().for_each(|name| {
        let _ = write!(table, "<th>{name}</th>");
    });
    for cell in cells {
        let (labels, labeled) = (escape(&cell.labels.to_string()), number(cell.labeled as f64));
        let _ = write!(table, "</tr><tr><td>{labels} ({labeled})</td>");
        let fits = cell.fits().map(|(_, fit)| fit);
        for fit in fits {
            let score = Score { value: fit.value, interval: Some(fit.interval), std: None, leads: fit.leads };
            table += &score_cell(score, fit.leads);
        }
        for (which, (name, _)) in fits[0].beside.named().enumerate() {
            let _ = write!(table, "</tr><tr><td>{name}</td>");
            for (_, value) in fits.iter().filter_map(|fit| fit.beside.named().nth(which)) {
                let _ = write!(table, "<td>{value:.3}</td>");
            }
        }
    }
    let chance = finetuning
        .chance
        .map_or(String::new(), |chance| format!(" By chance the {} is {chance:.3}.", finetuning.measure()));
    let by = finetuning.label_table.as_ref().map_or(String::new(), |table| format!(" by the table {table}"));
    let groups = finetuning.test_groups.map_or(String::new(), |groups| {
        format!(" The test samples are of {groups} groups, which are resampled whole.")
    });
    let on = format!("Judged on {}, with labels from {}{by}.{groups}", finetuning.measured_on, finetuning.labels_from);
    let note = format!("Bold: better than the rest of its line by more than chance would explain.{chance} {on}");
    let body = format!(
        "{}<div class=\"two\">{chart}{table}</tr></table></div></div><p class=\"note\">{}</p>{}",
        list(&finetuning.conclusion),
        escape(&note),
        list(&finetuning.choices())
    );
    let lead = "The network fine-tuned from this run's encoder, the same network trained from its initial weights on the same labels, and the linear probe on h.";
    page.section("labels", "Labels", "Few labels", lead, &body);
}
