//! `selfsame evaluate`.

use super::{diagnose, report};
use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::Kept;
use crate::terminal::{self, Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::branch::Branch;
use selfsame::embed::{Pixels, Tables, Wanted};
use selfsame::plan::Plan;
use selfsame::trainer::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::diagnosis;
use selfsame_evaluate::protocol::{self, Representation};
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Scores;
use selfsame_evaluate::sketch::Sketch;
use std::path::PathBuf;
use std::sync::Arc;

/// Judge a run's encoder: kNN and linear probe on h, with z, raw pixels and an untrained encoder beside it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame evaluate runs/mine train=labeled/ test=held-out/     folders with one sub-folder per class
  selfsame evaluate runs/simclr-demo test=demo/test             train=… defaults to the run's own data
  selfsame evaluate runs/mine test=held-out/ evaluate.knn_k=5   any key of selfsame list keys evaluate

The table goes to standard output and, as scores.json, into the run folder.")]
pub struct Evaluate {
    /// A run folder
    run: PathBuf,
    /// train=PATH test=PATH, and keys of evaluate as key=value
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Evaluate {
    pub fn run(self) -> Result<Code> {
        let (keys, words): (Vec<_>, Vec<_>) = self.words.into_iter().partition(|word| word.starts_with("evaluate."));
        let plan = plans::run_with(&self.run, &keys)?;
        let [train, test] = plans::values(&words, ["train", "test"])?;
        let test =
            test.ok_or_else(|| bad_input("test: missing; say which labeled data to test on, e.g. test=held-out/"))?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        judge(&plan, &plans::sibling(&plan, &train)?, &plans::sibling(&plan, &test)?)?;
        report::draw_again(&plan);
        Ok(Code::Finished)
    }
}

/// Judges a trained run and diagnoses it, prints what it finds and writes `scores.json` and `diagnosis.json`. Gives the
/// features of the training data.
pub fn judge(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<Tables> {
    let [scores_path, diagnosis_path] = ["scores.json", diagnose::FILE].map(|name| plan.out.join(name));
    let mut kept = Kept::ahead(&[scores_path.clone(), diagnosis_path.clone()]);
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let pixels = plan.data.size.pow(2) * plan.data.channels;
    let sketch = Sketch::needed(train.len() + test.len(), pixels, plan.seed);
    let wanted = Wanted { z: branch.has_z(), raw: Pixels::kept(sketch.as_ref()), trivial: true };
    let [train_tables, test_tables] = embed(plan, &branch, [train, test], wanted, "embedding")?;
    let untrained = plans::branch(plan, WeightsOf::Fresh)?;
    let before = embed(plan, &untrained, [train, test], Wanted::default(), "untrained encoder")?;
    let mut scores = score(plan, &representations([&train_tables, &test_tables], Some(&before)))?;
    scores.warnings.extend(sketch.map(|sketch| sketch.warning("raw")));
    [train, test].into_iter().for_each(|data| plans::tell_skipped(data));
    // Before the diagnosis, which takes its time and may be stopped.
    terminal::print(format_args!("{}", scores.table(terminal::color()).trim_end()));
    kept.write(scores_path.clone(), |path| scores.write(path));
    match diagnose::of_tables(plan, test, &branch, &untrained, &test_tables) {
        Ok(record) => {
            terminal::print(format_args!("\n{}", diagnosis::page(&record.diagnosis, terminal::color()).trim_end()));
            kept.write(diagnosis_path, |path| record.write(path));
            scores.diagnosis = record.diagnosis;
            kept.write(scores_path, |path| scores.write(path));
        }
        Err(error) => note!("warning: no diagnosis: {error:#}"),
    }
    kept.finish();
    Ok(train_tables)
}

/// Scores of `h` and `z` of a trained run alone.
pub fn scores(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<Scores> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let wanted = Wanted { z: branch.has_z(), ..Wanted::default() };
    let [train_tables, test_tables] = embed(plan, &branch, [train, test], wanted, "embedding")?;
    [train, test].into_iter().for_each(|data| plans::tell_skipped(data));
    score(plan, &representations([&train_tables, &test_tables], None))
}

fn embed(
    plan: &Plan,
    branch: &Branch,
    data: [&Arc<Dataset>; 2],
    wanted: Wanted,
    what: &'static str,
) -> Result<[Tables; 2]> {
    let table = |data: &Arc<Dataset>| -> Result<Tables> {
        let task = Task::new(data.len(), what);
        let tables = Tables::embed(branch, data, plan, None, wanted, &mut |done| task.set(done))?;
        task.finish();
        Ok(tables)
    };
    Ok([table(data[0])?, table(data[1])?])
}

/// What there is to compare, of training and test data.
fn representations<'a>([train, test]: [&'a Tables; 2], untrained: Option<&'a [Tables; 2]>) -> Vec<Representation<'a>> {
    let mut all = vec![Representation { name: RepresentationName::H, train: &train.h, test: &test.h }];
    if !train.z.is_empty() {
        all.push(Representation { name: RepresentationName::Z, train: &train.z, test: &test.z });
    }
    if !train.raw.is_empty() {
        all.push(Representation { name: RepresentationName::Raw, train: &train.raw, test: &test.raw });
    }
    if let Some([train, test]) = untrained {
        all.push(Representation { name: RepresentationName::Untrained, train: &train.h, test: &test.h });
    }
    all
}

fn score(plan: &Plan, representations: &[Representation]) -> Result<Scores> {
    let (task, mut done) = (Task::new(0, "judging"), 0);
    let steps = protocol::steps(representations.len(), &plan.evaluate) as u64;
    let scores = protocol::evaluate(representations, &plan.evaluate, plan.seed, &mut |what| {
        done += 1;
        task.follow(what, done, steps);
    })?;
    task.finish();
    Ok(scores)
}
