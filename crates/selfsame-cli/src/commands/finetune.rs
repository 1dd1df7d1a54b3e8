//! `selfsame finetune`.

use super::report;
use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::Kept;
use crate::terminal::{self, Task};
use anyhow::Result;
use clap::Args;
use selfsame::finetune::settings::FinetuneSettings;
use selfsame::finetune::{self, Tuning};
use selfsame::trainer::WeightsOf;
use selfsame_evaluate::label_subsets::LabelBudget;
use std::path::PathBuf;

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
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let named = |word: &String| ["train=", "test=", "labels="].iter().any(|key| word.starts_with(key));
        let (named, settings): (Vec<_>, Vec<_>) = self.words.into_iter().partition(named);
        let [train, test, labels] = plans::values(&named, ["train", "test", "labels"])?;
        let test =
            test.ok_or_else(|| bad_input("test: missing; say which labeled data to test on, e.g. test=held-out/"))?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        let labels = labels.unwrap_or_else(|| "1,10,100".into());
        let labels = labels.split(',').map(str::parse).collect::<Result<Vec<LabelBudget>, _>>()?;
        let settings = FinetuneSettings::parse(&settings)?;
        let (train, test) = (plans::kept_sibling(&plan, &train)?, plans::kept_sibling(&plan, &test)?);
        let path = plan.out.join("finetune.json");
        let mut kept = Kept::ahead(std::slice::from_ref(&path));
        let branch = plans::branch(&plan, WeightsOf::Trained)?;
        let method = plans::method(&plan)?;
        let tuning = Tuning { plan: &plan, method, branch: &branch, train: &train, test: &test };
        let task = Task::new(0, "embedding");
        let mut progress = |what: &str, step, steps| task.follow(what, step, steps);
        let mut table = String::new();
        let ended = finetune::finetune(&tuning, &labels, &settings, &mut progress, &mut |found| {
            found.cells.last().into_iter().for_each(|cell| task.say(&cell.to_string()));
            table = found.table(terminal::color());
            kept.write(path.clone(), |path| found.write(path));
            Ok(())
        });
        task.finish();
        [&train, &test].into_iter().for_each(|data| plans::tell_skipped(data));
        if !table.is_empty() {
            terminal::print(format_args!("{}", table.trim_end()));
            kept.finish();
            report::draw_again(&plan);
        }
        ended?;
        Ok(Code::Finished)
    }
}
