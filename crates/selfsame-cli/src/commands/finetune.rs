//! `selfsame finetune`.

use super::report;
use crate::{plans, terminal};
use anyhow::{Context, Result};
use clap::Args;
use selfsame::finetune::settings::FinetuneSettings;
use selfsame::finetune::{self, Tuning};
use selfsame_evaluate::finetuning::Finetuning;
use selfsame_evaluate::label_subsets::LabelBudget;
use std::path::PathBuf;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  selfsame finetune runs/mine train=labeled/ test=held-out/           1, 10 and 100 labels per class
  selfsame finetune runs/simclr-demo test=demo/test labels=1%,10%,all
  selfsame finetune runs/mine test=held-out/ stages=1 lr=3e-4          the classifier and the last stage learn

Keys: selfsame list keys finetune.
The table goes to standard output and, as finetune.json, into the run folder.";

/// Fine-tune a run's encoder with few labels, beside the same network from scratch and the linear probe.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = plans::long_help(EXAMPLES, &plans::finetune_keys()))]
pub struct Finetune {
    /// A run folder
    run: PathBuf,
    /// train=PATH test=PATH labels=NUMBERS, and how to fine-tune
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Finetune {
    pub fn run(self) -> Result<ExitCode> {
        let plan = plans::run(&self.run)?;
        let named = |word: &String| ["train=", "test=", "labels="].iter().any(|key| word.starts_with(key));
        let (named, settings): (Vec<_>, Vec<_>) = self.words.into_iter().partition(named);
        let [train, test, labels] = plans::values(&named, ["train", "test", "labels"])?;
        let test = test.context("test: missing; say which labeled data to test on, e.g. test=held-out/")?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        let labels = labels.unwrap_or_else(|| "1,10,100".into());
        let labels = labels.split(',').map(str::parse).collect::<Result<Vec<LabelBudget>, _>>()?;
        let settings = FinetuneSettings::parse(&settings)?;
        let tuning = Tuning {
            plan: &plan,
            method: plans::method(&plan)?,
            train: &plans::sibling(&plan, &train)?,
            test: &plans::sibling(&plan, &test)?,
        };
        let bar = terminal::bar(1, "embedding");
        let mut table = String::new();
        let mut done = |found: &Finetuning| -> Result<(), selfsame::Error> {
            table = found.table(terminal::color());
            Ok(found.write(&plan.out.join("finetune.json"))?)
        };
        let (progress, warn) = (&mut terminal::follow(&bar), &mut plans::warn);
        finetune::finetune(&tuning, &labels, &settings, progress, &mut done, warn)?;
        bar.finish_and_clear();
        terminal::print(format_args!("{}", table.trim_end()));
        report::draw_again(&plan);
        Ok(ExitCode::SUCCESS)
    }
}
