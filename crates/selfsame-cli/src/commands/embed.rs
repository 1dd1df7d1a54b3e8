//! `selfsame embed`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::profile;
use crate::terminal::{Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::backbone::Output;
use selfsame::embed::{self, Wanted};
use selfsame::weights::WeightsOf;
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
  selfsame embed runs/mine of=layer3 out=l3.npy             of a layer: its mean over the image, of a transformer its class token
  selfsame embed runs/mine of=tokens dtype=f16 out=t.npy    of every place, one after the other in a row: [rows, places · features]
  selfsame embed runs/mine weights=best out=best.npy        of the checkpoint that train.keep_best kept")]
pub struct Embed {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// data=PATH out=FILE.parquet|FILE.npy of=h|z|tokens|layer3 dtype=f32|f16 weights=newest|best
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Embed {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let [data, out, of, dtype, weights] = plans::values(&self.words, ["data", "out", "of", "dtype", "weights"])?;
        let (of, z) = match of.as_deref() {
            None | Some("h") => (Output::H, false),
            Some("z") => (Output::H, true),
            Some("tokens") => (Output::Tokens, false),
            Some(other) => match other.strip_prefix("layer").and_then(|number| number.parse().ok()) {
                Some(stage) => (Output::Layer(stage), false),
                None => {
                    let expected = "h, z, tokens or a layer (layer0, layer1 …)";
                    return Err(bad_input(format!("of: expected {expected}, received {other}")));
                }
            },
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
        let out = Path::new(&out);
        let (mut writer, mut dim) = (None, 0);
        let task = Task::new(dataset.len(), "embedding");
        let mut rows = 0;
        let loader = EvalLoader::new(dataset.clone(), plan.plain_view()?, None)?;
        embed::for_each_batch(&branch, plan.train.precision, loader, Wanted { of, z, ..Wanted::default() }, |batch| {
            let values = if z { batch.z } else { batch.h };
            dim = values.len() / batch.indices.len();
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(FeatureWriter::create(out, dim, precision, dataset.classes())?),
            };
            let mut table = FeatureTable { values, dim, ..FeatureTable::default() };
            table.ids = batch.indices.iter().map(|&index| dataset.id(index)).collect();
            table.labels = batch.indices.iter().filter_map(|&index| dataset.label(index)).collect();
            rows += batch.indices.len();
            task.set(rows);
            Ok(writer.push(&table)?)
        })?;
        profile::show("embed", &self.run);
        dataset.check_bad_share()?;
        match writer {
            Some(writer) => writer.finish()?,
            None => return Err(bad_input(format!("{}: not one sample can be read", dataset.path().display()))),
        }
        task.finish();
        let skipped = dataset.bad_files();
        for file in &skipped {
            note!("skipped {}: {}", file.id, file.reason);
        }
        note!("{rows} rows of {dim} features in {}; {} skipped", out.display(), skipped.len());
        Ok(Code::Finished)
    }
}
