//! Writes what a diagnosis looks at, for `benchmarks/verdict`: `observe OUT RUN…` gives `OUT/RUN.safetensors` (features of the
//! samples, of their views and by the untrained twin, trivial attributes, labels) and `OUT/RUN.json` (what is known of the
//! training) for every run folder.

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use selfsame::Error;
use selfsame::catalogue::Catalogue;
use selfsame::diagnose::{Examined, SAMPLES, observe};
use selfsame::known;
use selfsame::tensor::parameters::{Array, to_safetensors};
use selfsame::weights::WeightsOf;
use selfsame_base::atomic;
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataRequest;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let out = words.next().expect("usage: observe OUT RUN…");
    for run in words {
        write(Path::new(&out), Path::new(&run))?;
        println!("{run}");
    }
    Ok(())
}

fn write(out: &Path, run: &Path) -> Result<(), Error> {
    let catalogue = Catalogue::default();
    let plan = catalogue.load(run, &[])?;
    let method = catalogue.method(&plan)?;
    let dataset = Arc::new(Dataset::open(&DataRequest::from(&plan.data))?);
    let branch = |weights| (method.branch)(&plan, weights, &mut |line| println!("{line}"));
    let (branch, untrained) = (branch(WeightsOf::Trained)?, branch(WeightsOf::Fresh)?);
    let examined = Examined { plan: &plan, branch: &branch, dataset: &dataset };
    let plain = examined.embed(SAMPLES, &mut |_| {})?;
    let training = known::of_run(&plan, method, &branch, &untrained)?;
    let seen = observe(examined, &untrained, &plain, training, &mut |_| {})?;
    let labels: Vec<f32> = plain.h.labels.iter().map(|&label| label as f32).collect();
    let arrays: BTreeMap<String, Array> = [
        ("h", &plain.h.values),
        ("z", &plain.z.values),
        ("trivial", &plain.trivial.values),
        ("untrained_h", &seen.untrained.h.values),
        ("untrained_z", &seen.untrained.z.values),
        ("views_h", &seen.viewed.h),
        ("views_z", &seen.viewed.z),
        ("labels", &labels),
    ]
    .into_iter()
    .filter(|(_, values)| !values.is_empty())
    .map(|(name, values)| (name.to_owned(), Array { shape: vec![values.len()], values: values.clone() }))
    .collect();
    let name = run.file_name().unwrap_or_default().to_string_lossy();
    atomic::write(&out.join(format!("{name}.safetensors")), &to_safetensors(&arrays))?;
    let about = serde_json::json!({
        "training": seen.training, "kinds": seen.kinds, "samples": plain.indices.len(), "views": seen.views,
    });
    Ok(atomic::write(&out.join(format!("{name}.json")), about.to_string().as_bytes())?)
}
