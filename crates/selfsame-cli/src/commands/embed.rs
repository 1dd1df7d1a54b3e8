//! `selfsame embed`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::{Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::embed;
use selfsame::trainer::WeightsOf;
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::features::{FeatureTable, FeatureWriter};
use std::path::{Path, PathBuf};

/// Write the features of a data set, `h = f(x)`, to .parquet or .npy. Memory does not grow with the data.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame embed runs/mine data=photos/ out=features.parquet
  selfsame embed runs/mine data=scans.npy out=features.npy
  selfsame embed runs/mine weights=best out=best.npy        of the checkpoint that train.keep_best kept")]
pub struct Embed {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// data=PATH out=FILE.parquet|FILE.npy weights=newest|best
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Embed {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let [data, out, weights] = plans::values(&self.words, ["data", "out", "weights"])?;
        let weights = match weights.as_deref() {
            None | Some("newest") => WeightsOf::Trained,
            Some("best") => WeightsOf::Best,
            Some(other) => return Err(bad_input(format!("weights: expected newest or best, received {other}"))),
        };
        let out = out.ok_or_else(|| bad_input("out: missing; say where to write, e.g. out=features.parquet"))?;
        let dataset = match data {
            Some(path) => plans::sibling(&plan, &path)?,
            None => plans::sibling(&plan, &plan.data.path.display().to_string())?,
        };
        let branch = plans::branch(&plan, weights)?;
        let dim = branch.encoder.width();
        let mut writer = FeatureWriter::create(Path::new(&out), dim, dataset.classes())?;
        let task = Task::new(dataset.len(), "embedding");
        let mut rows = 0;
        let loader = EvalLoader::new(dataset.clone(), plan.plain_view()?, None)?;
        embed::for_each_batch(&branch, loader, embed::Wanted::default(), |batch| {
            let mut table = FeatureTable { values: batch.h, dim, ..FeatureTable::default() };
            table.ids = batch.indices.iter().map(|&index| dataset.id(index)).collect();
            table.labels = batch.indices.iter().filter_map(|&index| dataset.label(index)).collect();
            rows += batch.indices.len();
            task.set(rows);
            Ok(writer.push(&table)?)
        })?;
        dataset.check_bad_share()?;
        writer.finish()?;
        task.finish();
        let skipped = dataset.bad_files();
        for file in &skipped {
            note!("skipped {}: {}", file.id, file.reason);
        }
        note!("{rows} rows of {dim} features in {out}; {} skipped", skipped.len());
        Ok(Code::Finished)
    }
}
