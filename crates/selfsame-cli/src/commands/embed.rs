//! `selfsame embed`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::{Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::embed::{self, Wanted};
use selfsame::trainer::WeightsOf;
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::features::{FeatureTable, FeatureWriter, Precision};
use std::path::{Path, PathBuf};

/// Write the features of a data set, `h = f(x)`, to .parquet or .npy. Memory does not grow with the data.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame embed runs/mine data=photos/ out=features.parquet
  selfsame embed runs/mine data=scans.npy out=features.npy
  selfsame embed runs/mine data=photo.jpg out=one.npy       of one image
  selfsame embed runs/mine of=z dtype=f16 out=z.parquet     embeddings, in half the space
  selfsame embed runs/mine weights=best out=best.npy        of the checkpoint that train.keep_best kept")]
pub struct Embed {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// data=PATH out=FILE.parquet|FILE.npy of=h|z dtype=f32|f16 weights=newest|best
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Embed {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let [data, out, of, dtype, weights] = plans::values(&self.words, ["data", "out", "of", "dtype", "weights"])?;
        let z = match of.as_deref() {
            None | Some("h") => false,
            Some("z") => true,
            Some(other) => return Err(bad_input(format!("of: expected h or z, received {other}"))),
        };
        let precision = match dtype.as_deref() {
            None | Some("f32") => Precision::F32,
            Some("f16") => Precision::F16,
            Some(other) => return Err(bad_input(format!("dtype: expected f32 or f16, received {other}"))),
        };
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
        if z && !branch.has_z() {
            let problem = "of=z: no projector is here: an encoder folder holds the encoder alone, and some methods have none; of=h works";
            return Err(bad_input(format!("{}: {problem}", self.run.display())));
        }
        let dim = if z { branch.projector.width() } else { branch.encoder.width() };
        let mut writer = FeatureWriter::create(Path::new(&out), dim, precision, dataset.classes())?;
        let task = Task::new(dataset.len(), "embedding");
        let mut rows = 0;
        let loader = EvalLoader::new(dataset.clone(), plan.plain_view()?, None)?;
        embed::for_each_batch(&branch, loader, Wanted { z, ..Wanted::default() }, |batch| {
            let mut table = FeatureTable { values: if z { batch.z } else { batch.h }, dim, ..FeatureTable::default() };
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
