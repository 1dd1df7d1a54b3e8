//! `selfsame pretrain`.

use super::{diagnose, report};
use crate::dashboard::Dashboard;
use crate::exit::{self, Code, bad_input};
use crate::plans;
use crate::profile;
use crate::progress::{Progress, Records};
use crate::signals::{self, Training};
use crate::terminal::note;
use anyhow::{Context, Result};
use clap::Args;
use selfsame::Error;
use selfsame::diagnose::Examined;
use selfsame::events::{Event, Observer, StepRecord};
use selfsame::plan::Plan;
use selfsame::run::{Run, RunState};
use selfsame::trainer::Outcome;
use selfsame::weights::WeightsOf;
use selfsame_base::DataError;
use selfsame_base::commands::Command;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::diagnosis;
use std::io::IsTerminal;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  selfsame pretrain data=photos/                            SimCLR with defaults
  selfsame pretrain data=photos/ method=barlow_twins epochs=50 batch_size=128
  selfsame pretrain fashion_mnist_simclr data=photos/ out=runs/mine
  selfsame pretrain data=big/ batch_size=4096 chunk_size=256   a large batch in little memory
  selfsame pretrain runs/mine                               go on where it stopped
  selfsame pretrain init=runs/mine epochs=20                train a finished encoder further, in a new run
  selfsame pretrain init=runs/mine data=scans/              the same, on other data
  selfsame pretrain data=photos/ --tui                      with charts
  selfsame pretrain data=photos/ --records > steps.jsonl    with every record on standard output

Ctrl-C, like SIGTERM, SIGHUP and SIGUSR1, finishes the step, saves, and says how to go on; a second Ctrl-C stops at once. A
resumed run is bit-identical to one that never stopped.";

fn help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::HELP)
}

/// Train an encoder without labels, or go on with a run.
#[derive(Args)]
#[command(after_help = help(), after_long_help = plans::long_help(&help(), &plans::plan_keys()))]
pub struct Pretrain {
    /// A recipe (file or name), or a run folder to go on with; then any recipe key as key=value
    #[arg(value_name = "RECIPE|RUN] [KEY=VALUE")]
    words: Vec<String>,
    /// Charts in the terminal instead of a bar
    #[arg(long)]
    tui: bool,
    /// The run's records on standard output too, a JSON object per line, as in its metrics.jsonl
    #[arg(long)]
    records: bool,
}

impl Pretrain {
    pub fn run(self) -> Result<Code> {
        let (plan, dataset) = plans::open(&self.words)?;
        let finished = |run: Run| run.state().is_ok_and(|state| state == RunState::Finished);
        let reported = Run::existing(&plan.out).is_ok_and(finished) && plan.out.join("report.html").is_file();
        let observer: Box<dyn Observer> = match self.tui {
            false => Box::new(Progress::new()),
            true if std::io::stderr().is_terminal() => {
                Box::new(Dashboard::new().context("--tui: the terminal cannot be drawn on")?)
            }
            true => {
                let watch = Command::Watch.of(&plan.out);
                return Err(bad_input(format!(
                    "--tui: needs a terminal; leave it out, and see the charts, as soon as the training has begun, with: {watch}"
                )));
            }
        };
        let judgement = if reported { 0.0 } else { judgement(&plan, dataset.len()) };
        let mut observer: Box<dyn Observer> = Box::new(UntilJudged { observer, samples: judgement });
        if self.records {
            observer = Box::new(Records(observer));
        }
        let trained = train(&plan, dataset.clone(), &mut *observer)?;
        // Gives the terminal back.
        drop(observer);
        if !trained {
            return Ok(Code::Saved);
        }
        if !reported && let Err(error) = judge(&plan, &dataset) {
            let (run, diagnose) = (plan.out.display(), Command::Diagnose.of(&plan.out));
            note!("warning: {run} is trained, but not diagnosed: {error:#}; `{diagnose}` tries again");
        }
        Ok(Code::Finished)
    }
}

/// What the diagnosis after a training takes, in samples of the training.
fn judgement(plan: &Plan, samples: usize) -> f64 {
    /// A backward pass takes as long as two forward ones.
    const PASSES_OF_A_VIEW: usize = 3;
    let samples = samples.min(selfsame::diagnose::SAMPLES);
    let views: usize = plan.views.iter().map(|group| group.count).sum();
    (samples + selfsame::diagnose::passes(samples)) as f64 / (PASSES_OF_A_VIEW * views) as f64
}

/// Hands events on, in which the time left goes on until the run is judged.
struct UntilJudged {
    observer: Box<dyn Observer>,
    /// What the judgement takes, in samples of the training.
    samples: f64,
}

impl Observer for UntilJudged {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Step(record) => {
                let eta_s = record.eta_s + self.samples / record.samples_per_s;
                self.observer.event(&Event::Step(StepRecord { eta_s, ..record.clone() }));
            }
            other => self.observer.event(other),
        }
    }
}

/// Diagnoses a run that is just trained, and writes its report.
fn judge(plan: &Plan, dataset: &Arc<Dataset>) -> Result<()> {
    let branch = plans::branch(plan, WeightsOf::Trained)?;
    let (record, plain) = diagnose::measure(Examined { plan, branch: &branch, dataset }, selfsame::diagnose::SAMPLES)?;
    // Standard output is the records'.
    note!("{}", diagnosis::page(&record.diagnosis, std::io::stderr().is_terminal()).trim_end());
    if let Err(error) = record.write(&plan.out.join(diagnose::FILE)) {
        note!("warning: {error}: the diagnosis above is not kept");
    }
    report::write_after(plan, dataset, &plain);
    Ok(())
}

/// Trains the plan; `false` when it was asked to stop, and saved.
pub fn train(plan: &Plan, dataset: Arc<Dataset>, observer: &mut dyn Observer) -> Result<bool> {
    let training = Training::begin();
    let ended = (plans::method(plan)?.pretrain)(plan, dataset, observer, training.stop());
    drop(training);
    profile::show("pretrain", &plan.out);
    match ended.map_err(in_training)? {
        Outcome::Finished { run } => note!("the encoder is in {}", run.join("encoder.safetensors").display()),
        Outcome::AlreadyFinished { run } => note!("{} is finished; nothing to do", run.display()),
        Outcome::Interrupted { run, step, steps } => {
            note!("stopped after step {step} of {steps}, saved; go on with: {}", Command::GoOn.of(&run));
            return Ok(false);
        }
    }
    signals::leave_if_asked();
    Ok(true)
}

/// The plan and the data were good when the training began, so a path that fails now is no bad input.
fn in_training(error: Error) -> anyhow::Error {
    match error {
        Error::Data(error @ DataError::Io { .. }) if !error.is_out_of_space() => anyhow::Error::msg(error.to_string()),
        other => other.into(),
    }
}
