//! `selfsame evaluate`.

use super::{diagnose, report};
use crate::{plans, terminal};
use anyhow::{Context, Result};
use clap::Args;
use selfsame::catalogue;
use selfsame::embed::{self, Wanted};
use selfsame::trainer::Weights;
use selfsame_data::config::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::evaluate::protocol::{self, Representation, Scores};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Judge a run's encoder: kNN and linear probe on h, with z, raw pixels and an untrained encoder beside it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame evaluate runs/mine train=labelled/ test=held-out/    folders with one sub-folder a class
  selfsame evaluate runs/simclr-demo test=demo/test             train=… defaults to the run's own data

The table goes to standard output and, as scores.json, into the run folder.")]
pub struct Evaluate {
    /// A run folder
    run: PathBuf,
    /// train=PATH test=PATH
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Evaluate {
    pub fn run(self) -> Result<ExitCode> {
        let plan = plans::run(&self.run)?;
        let [train, test] = plans::values(&self.words, ["train", "test"])?;
        let test = test.context("test: missing; say which labelled data to test on, e.g. test=held-out/")?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        judge(&plan, &plans::sibling(&plan, &train)?, &plans::sibling(&plan, &test)?)?;
        report::write_after_opening(&plan);
        Ok(ExitCode::SUCCESS)
    }
}

/// Judges a trained run and diagnoses it, prints the table and writes `scores.json`.
pub fn judge(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<()> {
    let mut scores = scores(plan, train, test, true)?;
    scores.diagnoses = diagnose::measure(plan, test, selfsame::diagnose::SAMPLES)?;
    scores.write(&plan.out.join("scores.json"))?;
    terminal::print(format_args!("{}", scores.table(terminal::colour())));
    Ok(())
}

/// Scores of `h` and `z` of a trained run and, when `baselines` are wanted, of raw pixels and the untrained encoder.
pub fn scores(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>, baselines: bool) -> Result<Scores> {
    let method = catalogue::method(plan)?;
    let tables = |weights, wanted, what: &'static str| -> Result<[embed::Tables; 2]> {
        let branch = (method.branch)(plan, weights)?;
        let table = |data: &Arc<Dataset>| -> Result<embed::Tables> {
            let bar = terminal::bar(data.len(), what);
            let tables = embed::tables(&branch, data, plan, wanted, &mut |done| bar.set_position(done as u64))?;
            data.check_bad_share()?;
            bar.finish_and_clear();
            Ok(tables)
        };
        Ok([table(train)?, table(test)?])
    };
    let wanted = Wanted { z: plan.projector.layers > 0, raw: baselines };
    let [train, test] = tables(Weights::Trained, wanted, "embedding")?;
    let mut representations = vec![Representation { name: "h", train: train.h, test: test.h }];
    if wanted.z {
        representations.push(Representation { name: "z", train: train.z, test: test.z });
    }
    if baselines {
        representations.push(Representation { name: "raw", train: train.raw, test: test.raw });
        let [train, test] = tables(Weights::Fresh, Wanted::default(), "untrained encoder")?;
        representations.push(Representation { name: "untrained", train: train.h, test: test.h });
    }
    let steps = representations.len() * (3 + plan.evaluate.per_class.len()) + 1;
    let bar = terminal::bar(steps, "judging");
    let scores = protocol::judge(&representations, &plan.evaluate, plan.seed, &mut |what| {
        bar.inc(1);
        bar.set_message(what.to_owned());
    })?;
    bar.finish_and_clear();
    Ok(scores)
}
