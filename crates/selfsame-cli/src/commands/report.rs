//! `selfsame report`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::writable;
use crate::terminal::{self, Task, note};
use crate::version;
use anyhow::{Context, Result};
use clap::Args;
use selfsame::diagnose::Examined;
use selfsame::embed::Tables;
use selfsame::plan::Plan;
use selfsame::provenance;
use selfsame::weights::WeightsOf;
use selfsame_base::DataError;
use selfsame_base::atomic;
use selfsame_base::commands::Command;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::modality::Modality;
use selfsame_data::playback::{AUDIBLE, wav};
use selfsame_data::preview::{Preview, Shown, ShownView};
use selfsame_data::settings::DataRequest;
use selfsame_data::sheet::Sheet;
use selfsame_evaluate::features::Rows;
use selfsame_evaluate::findings::{FindOptions, Findings, MapKind};
use selfsame_evaluate::metadata::groupings;
use selfsame_evaluate::table::Table;
use selfsame_report::{
    self as pages, GALLERY_BYTES, GALLERY_PX, RunRecords, SOUND_BYTES, SamplePictures, SheetSample, SheetStep,
    SheetView, THUMBNAIL_BYTES, THUMBNAIL_PX, TileSheet, VIEWS_BYTES, ViewSheet,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Samples that a report looks at, at most.
const SAMPLES: usize = 2000;
/// Samples whose views it shows, and their largest side, px.
const SHOWN_SAMPLES: usize = 6;
const SHOWN_PX: usize = 64;
/// Columns of a table that are told of a sample.
const SHOWN_COLUMNS: usize = 16;
/// File of what was found of the samples.
const FINDINGS: &str = "findings.json";

/// Write the page of a run, report.html: one file that opens offline. Several runs are compared in one page.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame report runs/mine                        writes runs/mine/report.html
  selfsame report runs/mine --map tsne             with a map that keeps neighbors together
  selfsame report runs/mine --metadata about.csv   colored by its columns too; its column id names the samples
  selfsame report runs/a runs/b runs/c             writes comparison.html
  selfsame report runs/a runs/b --out a-or-b.html

What it finds of the samples is kept as findings.json in the run folder.")]
pub struct Report {
    /// Run folders; one may be an encoder folder
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write; default: report.html in the run folder, comparison.html here for several runs
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Samples of the run's data that are embedded for map and galleries
    #[arg(long, default_value_t = SAMPLES, value_parser = samples)]
    samples: usize,
    /// How the map is laid out: by PCA at once, by t-SNE in up to two minutes
    #[arg(long, default_value = "pca")]
    map: Map,
    /// Table of what else is known of the samples: column `id`, and others that color the map
    #[arg(long, value_name = "FILE.csv|FILE.tsv")]
    metadata: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Map {
    Pca,
    Tsne,
}

impl From<Map> for MapKind {
    fn from(map: Map) -> Self {
        match map {
            Map::Pca => Self::Pca,
            Map::Tsne => Self::Tsne,
        }
    }
}

fn samples(text: &str) -> Result<usize, String> {
    let most = 10_000;
    text.parse().ok().filter(|n| (3..=most).contains(n)).ok_or_else(|| format!("expected 3 to {most}"))
}

impl Report {
    pub fn run(self) -> Result<Code> {
        let metadata = self.metadata.as_deref().map(Table::read).transpose()?;
        let path = match &self.runs[..] {
            [folder] => {
                let out = self.out.unwrap_or_else(|| folder.join("report.html"));
                check(&out)?;
                let html = match opened(folder) {
                    Ok((plan, dataset)) => {
                        let found = look(&plan, &dataset, self.samples, self.map.into(), metadata.as_ref());
                        plans::tell_skipped(&dataset);
                        // A table that was given and cannot be used is an error, not a page without it.
                        let found = if metadata.is_some() { Ok(found?) } else { found.map_err(|e| format!("{e:#}.")) };
                        page(folder, Some((&plan, &dataset)), &found)?
                    }
                    Err(error) => page(folder, None, &Err(format!("the run's data cannot be opened: {error:#}")))?,
                };
                atomic::write(&out, html.as_bytes())?;
                out
            }
            runs => {
                if metadata.is_some() {
                    return Err(bad_input("--metadata: colors the map of one run; a comparison has no map"));
                }
                let out = self.out.unwrap_or_else(|| "comparison.html".into());
                check(&out)?;
                let runs = runs.iter().map(|run| RunRecords::read(run)).collect::<Result<Vec<_>, _>>()?;
                atomic::write(&out, pages::compare(&runs).as_bytes())?;
                out
            }
        };
        terminal::print(format_args!("{}", path.display()));
        Ok(Code::Finished)
    }
}

/// A page that can be written nowhere is not worth the work.
fn check(out: &Path) -> Result<()> {
    writable(out).context("the report cannot be written; --out FILE takes another place")
}

/// The plan of a run and its data.
fn opened(folder: &Path) -> Result<(Plan, Arc<Dataset>)> {
    let plan = plans::run(folder)?;
    let dataset = Arc::new(Dataset::open(&DataRequest::from(&plan.data))?);
    Ok((plan, dataset))
}

/// Embeds some samples of the run's data by the newest checkpoint, and says what there is to see.
fn look(
    plan: &Plan,
    dataset: &Arc<Dataset>,
    samples: usize,
    map: MapKind,
    metadata: Option<&Table>,
) -> Result<Findings> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let task = Task::new(samples.min(dataset.len()), "embedding samples");
    let examined = Examined { plan, branch: &branch, dataset };
    let plain = examined.embed(samples, &mut |done| task.set(done))?;
    task.finish();
    find(plan, dataset, &plain, map, metadata)
}

/// What there is to see in samples that are embedded already; kept in the run folder, if that can be.
pub fn find(
    plan: &Plan,
    dataset: &Dataset,
    plain: &Tables,
    map: MapKind,
    metadata: Option<&Table>,
) -> Result<Findings> {
    let plain = plain.of_samples(&plain.indices[..plain.indices.len().min(SAMPLES)]);
    let thumbnails = Sheet::of_samples(dataset, &plain.indices, &plan.data, THUMBNAIL_PX)?;
    let findings = Findings::find(
        &plain.h,
        FindOptions {
            map,
            seed: plan.seed,
            measured_on: provenance::measured_on(plan, None, dataset)?,
            indices: &plain.indices,
            data_samples: dataset.len(),
            groupings: metadata.map(|table| groupings(table, &plain.h.ids)).transpose()?.unwrap_or_default(),
            appearance: Some(Rows::new(&thumbnails.values, thumbnails.tile.iter().product())),
        },
    )?;
    if let Err(error) = findings.write(&plan.out.join(FINDINGS)) {
        note!("warning: {error}: what was found of the samples is in the report alone");
    }
    Ok(findings)
}

/// The report of a run folder, whatever state it is in.
fn page(folder: &Path, run: Option<(&Plan, &Arc<Dataset>)>, findings: &Result<Findings, String>) -> Result<String> {
    let records = RunRecords::read(folder)?;
    let pictures = match (findings, run) {
        (Ok(findings), Some((plan, dataset))) => Some(pictures(findings, plan, dataset)?),
        _ => None,
    };
    let views = match run {
        Some((plan, dataset)) => {
            let shown = Preview::new(dataset, &plan.data, plan.training_views()?, SHOWN_SAMPLES, SHOWN_PX);
            shown.map(|shown| view_sheet(&shown, plan.data.modality, VIEWS_BYTES)).map_err(|error| format!("{error}."))
        }
        None => Err("the run's data cannot be opened.".into()),
    };
    let report = pages::Report {
        run: &records,
        findings: findings.as_ref().map_err(Clone::clone),
        pictures: pictures.as_ref(),
        views: views.as_ref().map_err(Clone::clone),
        environment: &version::environment(),
    };
    Ok(report.to_html())
}

/// Tiles of the samples that the findings name.
fn pictures(findings: &Findings, plan: &Plan, dataset: &Dataset) -> Result<SamplePictures> {
    let indices: Vec<usize> = findings.samples.iter().map(|sample| sample.index).collect();
    let shown: Vec<usize> = pages::gallery_samples(findings).iter().map(|&sample| indices[sample]).collect();
    let sheet = |indices: &[usize], px: usize, bytes: usize| -> Result<TileSheet> {
        Ok(tile_sheet(&Sheet::of_samples(dataset, indices, &plan.data, px)?, bytes))
    };
    Ok(SamplePictures {
        thumbnails: sheet(&indices, THUMBNAIL_PX, THUMBNAIL_BYTES)?,
        gallery: sheet(&shown, GALLERY_PX, GALLERY_BYTES)?,
        rows: if plan.data.modality == Modality::Vector { rows(&indices, plan, dataset)? } else { Vec::new() },
        sounds: sounds(findings, plan, dataset)?,
    })
}

/// What these samples of a table hold.
fn rows(indices: &[usize], plan: &Plan, dataset: &Dataset) -> Result<Vec<String>> {
    let columns = plan.data.vector_columns();
    let lines = |row: &Image| {
        let values: Vec<f32> = match &row.pixels {
            Pixels::U8(values) => values.iter().map(|&value| value.into()).collect(),
            Pixels::U16(values) => values.iter().map(|&value| value.into()).collect(),
            Pixels::F32(values) => values.clone(),
        };
        columns.lines(&plan.data.columns, &values, SHOWN_COLUMNS).join("\n")
    };
    let row = |&index: &usize| match dataset.with_sample(index, lines) {
        // It could be read when it was embedded.
        Err(DataError::Sample { .. }) => Ok(String::new()),
        lines => Ok(lines?),
    };
    indices.iter().map(row).collect()
}

/// WAV files of the samples that are worth hearing first, where they can be heard.
fn sounds(findings: &Findings, plan: &Plan, dataset: &Dataset) -> Result<BTreeMap<usize, Vec<u8>>> {
    let audible = if plan.data.rate < AUDIBLE { Vec::new() } else { pages::audible_samples(findings) };
    let most_bytes = SOUND_BYTES / audible.len().max(1);
    let mut sounds = BTreeMap::new();
    for row in audible {
        match dataset.waveform(findings.samples[row].index) {
            Ok(signal) => sounds.insert(row, wav(&signal, plan.data.rate, most_bytes).map_err(anyhow::Error::msg)?),
            // It could be read when it was embedded.
            Err(DataError::Sample { .. }) => None,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(sounds)
}

fn tile_sheet(sheet: &Sheet, most_bytes: usize) -> TileSheet {
    let (png, size) = sheet.to_sprite_within(most_bytes);
    TileSheet { png, columns: sheet.shown_columns(), tile_px: size.sides() }
}

/// What the encoder is shown, as a page takes it in.
pub fn view_sheet(shown: &Preview, modality: Modality, most_bytes: usize) -> ViewSheet {
    let step = |(augmentation, drawn): &(&str, Option<Vec<(&'static str, f32)>>)| SheetStep {
        augmentation: (*augmentation).to_owned(),
        parameters: drawn.as_ref().map(|all| all.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()),
    };
    let view = |view: &ShownView| SheetView {
        group: view.group,
        size: match modality {
            Modality::Signal => format!("{} steps", view.size.width),
            Modality::Image | Modality::Vector => format!("{} px", view.size),
        },
        steps: view.steps.iter().map(step).collect(),
    };
    let sample = |sample: &Shown| SheetSample { id: sample.id.clone(), views: sample.views.iter().map(view).collect() };
    ViewSheet { samples: shown.samples.iter().map(sample).collect(), tiles: tile_sheet(&shown.sheet, most_bytes) }
}

/// Writes the report of a run whose samples are embedded already. That it cannot be written is told, and is no failure of
/// the training or the evaluation before it.
pub fn write_after(plan: &Plan, dataset: &Arc<Dataset>, plain: &Tables) {
    let found = find(plan, dataset, plain, MapKind::Pca, None).map_err(|error| format!("{error:#}."));
    tell(page(&plan.out, Some((plan, dataset)), &found).and_then(|html| write(plan, &html)));
}

/// Draws the report of a run anew, from what was found before.
pub fn draw_again(plan: &Plan) {
    let drawn = || -> Result<PathBuf> {
        let found = Findings::read(&plan.out.join(FINDINGS))
            .map_err(|error| format!("{error}; `{}` looks at the samples.", Command::Report.of(&plan.out)));
        let html = match opened(&plan.out) {
            Ok((plan, dataset)) => page(&plan.out, Some((&plan, &dataset)), &found)?,
            Err(error) => page(&plan.out, None, &Err(format!("the run's data cannot be opened: {error:#}")))?,
        };
        write(plan, &html)
    };
    tell(drawn());
}

fn write(plan: &Plan, html: &str) -> Result<PathBuf> {
    let path = plan.out.join("report.html");
    atomic::write(&path, html.as_bytes())?;
    Ok(path)
}

fn tell(written: Result<PathBuf>) {
    match written.context("the report cannot be written") {
        Ok(path) => note!("the report is in {}", path.display()),
        Err(error) => note!("warning: {error:#}"),
    }
}
