//! `selfsame probe`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::{self, Task, note};
use anyhow::Result;
use clap::Args;
use selfsame::labels::{Keys, Told};
use selfsame::predictor::{self, Meaning};
use selfsame::probe::{self, Probing};
use selfsame::weights::WeightsOf;
use selfsame_base::atomic;
use selfsame_base::commands::Command;
use std::path::{Path, PathBuf};

/// Fit a classifier to all labels on a run's frozen encoder, and save both for `selfsame predict`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame probe runs/mine train=labeled/ test=held-out/ out=model
  selfsame probe runs/mine train=photos/ test=more/ labels=about.csv targets=age out=model groups=patient
  selfsame predict model data=new/ out=predictions.csv

labels=TABLE.csv, targets=, task= and groups= are those of selfsame evaluate.
To train the encoder too: finetune with save=.")]
pub struct Probe {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// train=PATH test=PATH out=FOLDER labels=TABLE.csv targets=COLUMN,… task=TASK groups=GROUPS
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Probe {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let keys = ["train", "test", "out", "labels", "targets", "task", "groups"];
        let [train, test, out, labels, targets, task, groups] = plans::values(&self.words, keys)?;
        let told = Told::read(Keys { labels, targets, task, groups })?;
        let out = out.ok_or_else(|| bad_input("out: missing; say where to save the model, e.g. out=model"))?;
        let out = Path::new(&out);
        atomic::check_free(out)?;
        let test =
            test.ok_or_else(|| bad_input("test: missing; say which labeled data to judge it on, e.g. test=held-out/"))?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        let (train, test) = (plans::sibling(&plan, &train)?, plans::sibling(&plan, &test)?);
        let branch = plans::branch(&plan, WeightsOf::Trained)?;
        let parts = told.parts([&train, &test], &mut |line| note!("note: {line}"))?;
        let task = Task::new(train.len() + test.len(), "embedding");
        let probing = Probing { plan: &plan, branch: &branch, data: [&train, &test], told: &told, parts: &parts };
        let (head, meaning) = probe::fit(&probing, &mut |done| task.set(done))?;
        predictor::write(out, &branch.encoder, &plan, &head, &meaning)?;
        task.finish();
        [&train, &test].into_iter().for_each(|data| plans::tell_skipped(data));
        tell(&meaning, out);
        Ok(Code::Finished)
    }
}

/// Tells what was saved.
pub fn tell(meaning: &Meaning, out: &Path) {
    let [low, high] = meaning.tested.interval;
    let (name, score, samples) = (meaning.score_name(), meaning.tested.score, meaning.tested.samples);
    terminal::print(format_args!("{name} {score:.3} ({low:.3} – {high:.3}) on {samples} test samples"));
    match (meaning.tested.calibration_error, meaning.calibrated_on) {
        (Some([before, after]), held @ 1..) => terminal::print(format_args!(
            "calibration error {after:.3} there, {before:.3} without the temperature {:.2}, found on {held} held-out labels",
            meaning.temperature
        )),
        (Some([before, _]), 0) => terminal::print(format_args!(
            "calibration error {before:.3} there; too few labels to hold some out, so probabilities are not calibrated"
        )),
        (None, _) => {}
    }
    note!("the model is in {}; `{}` says how it is used", out.display(), Command::Help.of("predict"));
}
