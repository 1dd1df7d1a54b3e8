//! `selfsame evaluate`.

use super::{diagnose, report};
use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::Kept;
use crate::terminal::{self, Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::backbone::Output;
use selfsame::branch::Branch;
use selfsame::embed::{self, Pixels, Tables, Wanted};
use selfsame::labels::{Keys, Part, Told};
use selfsame::plan::Plan;
use selfsame::provenance;
use selfsame::weights::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_data::fixed::Fixed;
use selfsame_data::modality::Modality;
use selfsame_evaluate::diagnosis;
use selfsame_evaluate::features::FeatureTable;
use selfsame_evaluate::overlap::Overlap;
use selfsame_evaluate::protocol::{self, Representation, SampleGroups};
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::{Overlaps, Scores};
use selfsame_evaluate::target_protocol::{SampleTargets, evaluate_targets, target_steps};
use selfsame_evaluate::targets;
use std::path::PathBuf;
use std::sync::Arc;

/// Judge a run's encoder: kNN and linear probe on h, with z, the raw input and an untrained encoder beside it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame evaluate runs/mine train=labeled/ test=held-out/     folders with one sub-folder per class
  selfsame evaluate runs/simclr-demo test=demo/test             train=… defaults to the run's own data
  selfsame evaluate runs/mine test=held-out/ evaluate.knn_k=5   any key of selfsame list keys evaluate
  selfsame evaluate runs/mine test=held-out/ labels=about.csv   a table: column id or path, and classes, labels or numbers
  selfsame evaluate runs/mine test=held-out/ labels=about.csv targets=age task=numbers groups=patient
  selfsame evaluate runs/mine test=held-out/ groups=folder:2    or a pattern: groups='{group}_*.png'

A table's columns of 0 and 1 are labels (AUROC, mean AP, macro F1), numbers are numbers (R², mean absolute error), a column of names
is classes; targets= chooses columns and task= says classes, multi_label or numbers. Samples of a group (frames of a film, pictures of
a patient) are resampled together, and no group is in both parts.
The table goes to standard output and, as scores.json, into the run folder.")]
pub struct Evaluate {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// train=PATH test=PATH labels=TABLE.csv targets=COLUMN,… task=TASK groups=GROUPS, and keys of evaluate
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Evaluate {
    pub fn run(self) -> Result<Code> {
        let (keys, words): (Vec<_>, Vec<_>) = self.words.into_iter().partition(|word| word.starts_with("evaluate."));
        let plan = plans::run_with(&self.run, &keys)?;
        let names = ["train", "test", "labels", "targets", "task", "groups"];
        let [train, test, labels, targets, task, groups] = plans::values(&words, names)?;
        let told = Told::read(Keys { labels, targets, task, groups })?;
        let test =
            test.ok_or_else(|| bad_input("test: missing; say which labeled data to test on, e.g. test=held-out/"))?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        judge(&plan, &plans::sibling(&plan, &train)?, &plans::sibling(&plan, &test)?, &told)?;
        report::draw_again(&plan);
        Ok(Code::Finished)
    }
}

/// Judges a trained run and diagnoses it, prints what it finds and writes `scores.json` and `diagnosis.json`. Gives the
/// features of the training data.
pub fn judge(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>, told: &Told) -> Result<Tables> {
    let [scores_path, diagnosis_path] = ["scores.json", diagnose::FILE].map(|name| plan.out.join(name));
    let mut kept = Kept::ahead(&[scores_path.clone(), diagnosis_path.clone()]);
    let mut left_out = Vec::new();
    let parts = told.parts([train, test], &mut |line| left_out.push(line))?;
    left_out.iter().for_each(|line| note!("note: {line}"));
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    // Their contents are compared, as they are read.
    [train, test].iter().for_each(|data| data.remember(None));
    let (sketch, fixed) = (embed::sketch(plan, [train, test]), Fixed::of(&plan.data, plan.seed));
    let wanted = Wanted {
        of: Output::H,
        z: branch.has_z(),
        raw: Pixels::kept(sketch.as_ref()),
        trivial: plan.data.modality == Modality::Image,
        fixed: fixed.as_ref(),
    };
    let [train_tables, test_tables] = embedded(plan, &branch, [train, test], (told, &parts), wanted, "embedding")?;
    let untrained = plans::branch(plan, WeightsOf::Fresh)?;
    let before = embedded(plan, &untrained, [train, test], (told, &parts), Wanted::default(), "untrained encoder")?;
    let tables = [&train_tables, &test_tables];
    let mut compared = representations(tables, Some(&before));
    compared.extend(fixed.map(|fixed| Representation {
        name: fixed.name().to_owned().into(),
        train: &train_tables.fixed,
        test: &test_tables.fixed,
    }));
    let mut scores = score(plan, &compared, (told, &parts), tables)?;
    scores.warnings.extend(left_out);
    scores.label_table = told.table.as_ref().map(|(table, _)| table.origin().clone());
    scores.measured_on = provenance::measured_on(plan, Some(&branch), test)?;
    scores.labels_from = provenance::data_origin(train)?;
    scores.add_overlap(overlaps(plan, [train, test], [&train_tables, &test_tables])?);
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

/// Which test samples are training samples too.
fn overlaps(plan: &Plan, [train, test]: [&Arc<Dataset>; 2], tables: [&Tables; 2]) -> Result<Overlaps> {
    let labeled = provenance::labeled_overlap([train, test], tables)?;
    // Where the labeled samples are those that the encoder was trained on, they are compared already.
    let own = train.fingerprint()?;
    let others = provenance::trained_on(plan).filter(|record| record.fingerprint() != own);
    let contents = || tables[1].indices.iter().map(|&index| test.content(index)).collect::<Vec<_>>();
    let pretraining = others.map(|record| Overlap::of_contents(&contents(), record.contents()));
    Ok(Overlaps { labeled: Some(labeled), pretraining })
}

/// Scores of `h` and `z` of a trained run alone.
pub fn scores(plan: &Plan, train: &Arc<Dataset>, test: &Arc<Dataset>) -> Result<Scores> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    [train, test].iter().for_each(|data| data.remember(None));
    let sketch = embed::sketch(plan, [train, test]);
    let wanted = Wanted { z: branch.has_z(), raw: Pixels::kept(sketch.as_ref()), ..Wanted::default() };
    let (told, parts) = (Told::default(), <[Part; 2]>::default());
    let mut tables = embedded(plan, &branch, [train, test], (&told, &parts), wanted, "embedding")?;
    [train, test].into_iter().for_each(|data| plans::tell_skipped(data));
    let overlap = overlaps(plan, [train, test], tables.each_ref())?;
    // Pixels are here to be compared alone.
    tables.iter_mut().for_each(|tables| tables.raw = FeatureTable::default());
    let tables = tables.each_ref();
    let mut scores = score(plan, &representations(tables, None), (&told, &parts), tables)?;
    scores.add_overlap(overlap);
    Ok(scores)
}

fn embedded(
    plan: &Plan,
    branch: &Branch,
    data: [&Arc<Dataset>; 2],
    (told, parts): (&Told, &[Part; 2]),
    wanted: Wanted,
    what: &'static str,
) -> Result<[Tables; 2]> {
    let table = |data: &Arc<Dataset>, part: &Part| -> Result<Tables> {
        let samples = part.samples.clone();
        let task = Task::new(samples.as_ref().map_or(data.len(), Vec::len), what);
        let mut tables = Tables::embed(branch, data, plan, samples, wanted, &mut |done| task.set(done))?;
        task.finish();
        told.relabel(part, &mut tables);
        Ok(tables)
    };
    Ok([table(data[0], &parts[0])?, table(data[1], &parts[1])?])
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

fn score(
    plan: &Plan,
    representations: &[Representation],
    (told, parts): (&Told, &[Part; 2]),
    tables: [&Tables; 2],
) -> Result<Scores> {
    // Of the rows that could be read.
    let rows = || parts.iter().zip(tables);
    let groups = rows().map(|(part, tables)| match part.is_grouped() {
        true => part.numbered_groups(&tables.indices),
        false => Vec::new(),
    });
    let groups: Vec<Vec<u32>> = groups.collect();
    let groups = parts[0].is_grouped().then(|| SampleGroups { train: &groups[0], test: &groups[1] });
    let (task, mut done) = (Task::new(0, "judging"), 0);
    let mut progress = |what: &str, steps: usize| {
        done += 1;
        task.follow(what, done, steps as u64);
    };
    let (settings, count) = (&plan.evaluate, representations.len());
    let scores = match told.table.as_ref().filter(|_| told.task() != targets::Task::Classes) {
        None => {
            let steps = protocol::steps(count, settings);
            protocol::evaluate(representations, groups, settings, plan.seed, &mut |what| progress(what, steps))?
        }
        Some((_, columns)) => {
            let values: Vec<Vec<f32>> = rows().map(|(part, tables)| part.values(&tables.indices)).collect();
            let asked =
                SampleTargets { task: columns.task(), names: columns.names(), train: &values[0], test: &values[1] };
            let steps = target_steps(count);
            let mut progress = |what: &str| progress(what, steps);
            evaluate_targets(representations, asked, groups, settings, plan.seed, &mut progress)?
        }
    };
    task.finish();
    Ok(scores)
}
