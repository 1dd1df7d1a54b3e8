//! `selfsame report`.

use crate::{plans, terminal};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use selfsame::catalogue;
use selfsame::embed;
use selfsame::trainer::Weights;
use selfsame_data::atomic;
use selfsame_data::config::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::features::FeatureTable;
use selfsame_data::metadata::Metadata;
use selfsame_data::preview;
use selfsame_data::report::{self, MapKind, RunRecords, Samples};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Samples that a report embeds, at most.
const SAMPLES: usize = 2000;
/// Samples whose views it shows, and their largest side, px.
const SHOWN_SAMPLES: usize = 6;
const SHOWN_PX: usize = 64;

/// Write the page of a run, report.html: one file that opens offline. Several runs are compared in one page.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame report runs/mine                        writes runs/mine/report.html
  selfsame report runs/mine --map tsne             with a map that keeps neighbours together
  selfsame report runs/mine --metadata about.csv   coloured by its columns too; its column id names the samples
  selfsame report runs/a runs/b runs/c             writes comparison.html
  selfsame report runs/a runs/b --out a-or-b.html")]
pub struct Report {
    /// Run folders
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
    /// Table of what else is known of the samples: column `id`, and others that colour the map
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
    pub fn run(self) -> Result<ExitCode> {
        let metadata = self.metadata.as_deref().map(Metadata::read).transpose()?;
        let asked = Asked { samples: self.samples, map: self.map.into(), metadata };
        let path = match &self.runs[..] {
            [run] => {
                let out = self.out.unwrap_or_else(|| run.join("report.html"));
                let html = one(run, &asked)?;
                atomic::write(&out, html.as_bytes())?;
                out
            }
            runs => {
                ensure!(asked.metadata.is_none(), "--metadata: colours the map of one run; a comparison has no map");
                let runs = runs.iter().map(|run| RunRecords::read(run)).collect::<Result<Vec<_>, _>>()?;
                let out = self.out.unwrap_or_else(|| "comparison.html".into());
                atomic::write(&out, report::compare(&runs).as_bytes())?;
                out
            }
        };
        terminal::print(format_args!("{}", path.display()));
        Ok(ExitCode::SUCCESS)
    }
}

/// What the part of a page that shows samples is asked for.
struct Asked {
    samples: usize,
    map: MapKind,
    metadata: Option<Metadata>,
}

impl Default for Asked {
    fn default() -> Self {
        Self { samples: SAMPLES, map: MapKind::Pca, metadata: None }
    }
}

/// The report of a run folder, whatever state it is in.
fn one(folder: &Path, asked: &Asked) -> Result<String> {
    let records = RunRecords::read(folder)?;
    // What the page can say of the samples needs the plan, and the plan's data.
    let opened = plans::run(folder).and_then(|plan| {
        let dataset = Dataset::open(&plan.data)?;
        Ok((plan, Arc::new(dataset)))
    });
    match opened {
        Ok((plan, dataset)) => page(&records, &plan, &dataset, asked),
        Err(error) => {
            let reason = format!("the run's data cannot be opened: {error:#}");
            let (samples, preview) = (Err(reason.clone()), Err(reason));
            Ok(report::Report { run: &records, samples, preview, environment: &environment() }.to_html())
        }
    }
}

fn page(records: &RunRecords, plan: &Plan, dataset: &Arc<Dataset>, asked: &Asked) -> Result<String> {
    let preview = preview::Preview::new(dataset, plan, SHOWN_SAMPLES, SHOWN_PX);
    let embedded = embedded(plan, dataset, asked.samples);
    let groupings = match (&asked.metadata, &embedded) {
        (Some(metadata), Ok((h, _))) => metadata.groupings(&h.ids)?,
        _ => Vec::new(),
    };
    let samples = match &embedded {
        Ok((h, indices)) => Ok(Samples { dataset, plan, indices, h, map: asked.map, groupings: &groupings }),
        Err(error) => Err(format!("{error:#}.")),
    };
    let preview = preview.as_ref().map_err(|error| format!("{error}."));
    Ok(report::Report { run: records, samples, preview, environment: &environment() }.to_html())
}

/// Representations of evenly spaced samples, by the newest checkpoint.
fn embedded(plan: &Plan, dataset: &Arc<Dataset>, samples: usize) -> Result<(FeatureTable, Vec<usize>)> {
    let branch = (catalogue::method(plan)?.branch)(plan, Weights::Trained)?;
    let count = samples.min(dataset.len());
    let indices = (0..count).map(|i| i * dataset.len() / count).collect();
    let bar = terminal::bar(count, "embedding samples");
    let (h, seen) = embed::representations(&branch, dataset, plan, indices, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    if h.is_empty() {
        bail!("none of {count} samples can be read");
    }
    Ok((h, seen))
}

/// What a report says of the program that wrote it.
pub fn environment() -> String {
    format!(
        "selfsame {} on {} {}, instruction set {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
        selfsame_kernels::Isa::active()
    )
}

/// Writes the report of a run whose training or evaluation went well. That it cannot be written is told, and is no failure
/// of theirs.
pub fn write_after(plan: &Plan, dataset: &Arc<Dataset>) {
    let written = || -> Result<PathBuf> {
        let records = RunRecords::read(&plan.out)?;
        let path = plan.out.join("report.html");
        atomic::write(&path, page(&records, plan, dataset, &Asked::default())?.as_bytes())?;
        Ok(path)
    };
    tell(written());
}

/// As [`write_after`], opening the run's data.
pub fn write_after_opening(plan: &Plan) {
    let written = || -> Result<PathBuf> {
        let path = plan.out.join("report.html");
        atomic::write(&path, one(&plan.out, &Asked::default())?.as_bytes())?;
        Ok(path)
    };
    tell(written());
}

fn tell(written: Result<PathBuf>) {
    match written.context("the report cannot be written") {
        Ok(path) => eprintln!("the report is in {}", path.display()),
        Err(error) => eprintln!("warning: {error:#}"),
    }
}
