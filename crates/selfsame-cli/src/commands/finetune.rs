//! `selfsame finetune`.

use super::{probe, report};
use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::Kept;
use crate::terminal::{self, note};
use anyhow::Result;
use clap::Args;
use selfsame::finetune::settings::FinetuneSettings;
use selfsame::finetune::{self, Tuning};
use selfsame::labels::{Keys, Told};
use selfsame::weights::WeightsOf;
use selfsame_base::atomic;
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::targets::Task;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  selfsame finetune runs/mine train=labeled/ test=held-out/           1, 10 and 100 labels per class
  selfsame finetune runs/simclr-demo test=demo/test labels=1%,10%,all
  selfsame finetune runs/mine test=held-out/ stages=1 lr=3e-4          the classifier and the last stage learn
  selfsame finetune runs/mine test=held-out/ labels=about.csv targets=age labels=10%,all groups=patient
  selfsame finetune runs/mine train=labeled/ test=held-out/ save=model     for selfsame predict; by all labels

labels=TABLE.csv, targets=, task= and groups= are those of selfsame evaluate.

Keys: selfsame list keys finetune.
The table goes to standard output and, as finetune.json, into the run folder.";

/// Fine-tune a run's encoder with few labels, beside the same network from scratch and the linear probe.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = plans::long_help(EXAMPLES, &plans::finetune_keys()))]
pub struct Finetune {
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// train=PATH test=PATH save=FOLDER labels=NUMBERS labels=TABLE.csv targets=COLUMN,… task=TASK groups=GROUPS, and how to fine-tune
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

/// Whether a word names a table of labels.
fn is_table(word: &str) -> bool {
    word.strip_prefix("labels=").is_some_and(|value| [".csv", ".tsv"].iter().any(|end| value.ends_with(end)))
}

impl Finetune {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let keys = ["train", "test", "save", "labels", "targets", "task", "groups"];
        let named = |word: &String| word.split_once('=').is_some_and(|(key, _)| keys.contains(&key));
        let (named, settings): (Vec<_>, Vec<_>) = self.words.into_iter().partition(named);
        // A table of labels, and numbers of labels.
        let (table, named): (Vec<_>, Vec<_>) = named.into_iter().partition(|word| is_table(word));
        let [table] = plans::values(&table, ["labels"])?;
        let [train, test, save, labels, targets, task, groups] = plans::values(&named, keys)?;
        let told = Told::read(Keys { labels: table, targets, task, groups })?;
        let test =
            test.ok_or_else(|| bad_input("test: missing; say which labeled data to test on, e.g. test=held-out/"))?;
        let train = train.unwrap_or_else(|| plan.data.path.display().to_string());
        let save = save.map(PathBuf::from);
        save.as_deref().map_or(Ok(()), atomic::check_free)?;
        let usual = match (&save, told.task()) {
            (Some(_), _) => "all",
            (None, Task::Classes) => "1,10,100",
            (None, _) => "1%,10%,all",
        };
        let labels = labels.unwrap_or_else(|| usual.into());
        let labels = labels.split(',').map(str::parse).collect::<Result<Vec<LabelBudget>, _>>()?;
        let settings = FinetuneSettings::parse(&settings)?;
        let (train, test) = (plans::kept_sibling(&plan, &train)?, plans::kept_sibling(&plan, &test)?);
        let path = plan.out.join("finetune.json");
        let mut kept = Kept::ahead(std::slice::from_ref(&path));
        let branch = plans::branch(&plan, WeightsOf::Trained)?;
        let method = plans::method(&plan)?;
        let parts = told.parts([&train, &test], &mut |line| note!("note: {line}"))?;
        let save = save.as_deref();
        let (train, test, parts) = (&train, &test, &parts);
        let tuning = Tuning { plan: &plan, method, branch: &branch, train, test, told: &told, parts, save };
        let task = terminal::Task::new(0, "embedding");
        let mut progress = |what: &str, step, steps| task.follow(what, step, steps);
        let mut table = String::new();
        let ended = finetune::finetune(&tuning, &labels, &settings, &mut progress, &mut |found| {
            found.cells.last().into_iter().for_each(|cell| task.say(&cell.to_string()));
            table = found.table(terminal::color());
            kept.write(path.clone(), |path| found.write(path));
            Ok(())
        });
        task.finish();
        [train, test].into_iter().for_each(|data| plans::tell_skipped(data));
        if !table.is_empty() {
            terminal::print(format_args!("{}", table.trim_end()));
            kept.finish();
            report::draw_again(&plan);
        }
        if let (Some(meaning), Some(folder)) = (ended?, save) {
            probe::tell(&meaning, folder);
        }
        Ok(Code::Finished)
    }
}
