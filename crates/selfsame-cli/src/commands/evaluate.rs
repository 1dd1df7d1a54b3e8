//! `selfsame evaluate`.

use super::{diagnose, report};
use crate::{plans, terminal};
use anyhow::{Context, Result};
use clap::Args;
use selfsame::branch::Branch;
use selfsame::embed::{Tables, Wanted};
use selfsame::plan::Plan;
use selfsame::trainer::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::protocol::{self, Representation};
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Scores;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Judge a run's encoder: kNN and linear probe on h, with z, raw pixels and an untrained encoder beside it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame evaluate runs/mine train=labeled/ test=held-out/     folders with one sub-folder per class
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
        let test = test.context("test: missing; say which labeled data to test on, e.g. test=held-out/")?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        judge(&plan, &plans::sibling(&plan, &train)?, &plans::sibling(&plan, &test)?)?;
        report::draw_again(&plan);
        Ok(ExitCode::SUCCESS)
    }
}

/// Judges a trained run and diagnoses it, prints the table and writes `scores.json`. Gives the features of the training
/// data.
pub fn judge(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<Tables> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let wanted = Wanted { z: branch.has_z(), raw: true, trivial: true };
    let [train_tables, test_tables] = embed(plan, &branch, [train, test], wanted, "embedding")?;
    let untrained = plans::branch(plan, WeightsOf::Fresh)?;
    let before = embed(plan, &untrained, [train, test], Wanted::default(), "untrained encoder")?;
    let mut scores = score(plan, &representations([&train_tables, &test_tables], Some(before)))?;
    scores.diagnosis = diagnose::of_tables(plan, test, &branch, &untrained, &test_tables)?;
    scores.write(&plan.out.join("scores.json"))?;
    terminal::print(format_args!("{}", scores.table(terminal::color())));
    Ok(train_tables)
}

/// Scores of `h` and `z` of a trained run alone.
pub fn scores(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<Scores> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let wanted = Wanted { z: branch.has_z(), ..Wanted::default() };
    let [train, test] = embed(plan, &branch, [train, test], wanted, "embedding")?;
    score(plan, &representations([&train, &test], None))
}

fn embed(
    plan: &Plan,
    branch: &Branch,
    data: [&Arc<Dataset>; 2],
    wanted: Wanted,
    what: &'static str,
) -> Result<[Tables; 2]> {
    let table = |data: &Arc<Dataset>| -> Result<Tables> {
        let bar = terminal::bar(data.len(), what);
        let tables = Tables::embed(branch, data, plan, None, wanted, &mut |done| bar.set_position(done as u64))?;
        bar.finish_and_clear();
        Ok(tables)
    };
    Ok([table(data[0])?, table(data[1])?])
}

/// What there is to compare, of training and test data.
fn representations([train, test]: [&Tables; 2], untrained: Option<[Tables; 2]>) -> Vec<Representation> {
    let of = |name, train: &_, test: &_| Representation { name, train: Clone::clone(train), test: Clone::clone(test) };
    let mut all = vec![of(RepresentationName::H, &train.h, &test.h)];
    if !train.z.is_empty() {
        all.push(of(RepresentationName::Z, &train.z, &test.z));
    }
    if !train.raw.is_empty() {
        all.push(of(RepresentationName::Raw, &train.raw, &test.raw));
    }
    if let Some([train, test]) = untrained {
        all.push(Representation { name: RepresentationName::Untrained, train: train.h, test: test.h });
    }
    all
}

fn score(plan: &Plan, representations: &[Representation]) -> Result<Scores> {
    let bar = terminal::bar(protocol::steps(representations.len(), &plan.evaluate), "judging");
    let scores = protocol::evaluate(representations, &plan.evaluate, plan.seed, &mut |what| {
        bar.inc(1);
        bar.set_message(what.to_owned());
    })?;
    bar.finish_and_clear();
    Ok(scores)
}
