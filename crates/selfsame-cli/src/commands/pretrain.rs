//! `selfsame pretrain`.

use super::{diagnose, report};
use crate::dashboard::Dashboard;
use crate::plans;
use crate::terminal::ProgressLine;
use anyhow::{Context, Result, ensure};
use clap::Args;
use selfsame::events::Observer;
use selfsame::plan::Plan;
use selfsame::run::{Run, RunState};
use selfsame::trainer::Outcome;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::diagnosis;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const EXAMPLES: &str = "\
Examples:
  selfsame pretrain data=photos/                            SimCLR with defaults
  selfsame pretrain data=photos/ method=barlow_twins epochs=50 batch_size=128
  selfsame pretrain recipes/simclr.toml data=photos/ out=runs/mine
  selfsame pretrain data=big/ batch_size=4096 chunk_size=256   a large batch in little memory
  selfsame pretrain runs/mine                               go on where it stopped
  selfsame pretrain data=photos/ --tui                      with charts

Ctrl-C finishes the step, saves, and says how to go on. A resumed run is bit-identical to one that never stopped.";

/// Train an encoder without labels, or go on with a run.
#[derive(Args)]
#[command(after_help = EXAMPLES, after_long_help = plans::long_help(EXAMPLES, &plans::plan_keys()))]
pub struct Pretrain {
    /// A recipe (file or name), or a run folder to go on with; then any recipe key as key=value
    #[arg(value_name = "RECIPE|RUN] [KEY=VALUE")]
    words: Vec<String>,
    /// Charts in the terminal instead of a bar
    #[arg(long)]
    tui: bool,
}

impl Pretrain {
    pub fn run(self) -> Result<ExitCode> {
        let (plan, dataset) = plans::open(&self.words)?;
        let finished = |run: Run| run.state().is_ok_and(|state| state == RunState::Finished);
        let reported = Run::existing(&plan.out).is_ok_and(finished) && plan.out.join("report.html").is_file();
        let trained = if self.tui {
            ensure!(
                std::io::stderr().is_terminal(),
                "--tui: needs a terminal; leave it out, or follow with: selfsame watch"
            );
            train(&plan, dataset.clone(), &mut Dashboard::new().context("--tui: the terminal cannot be drawn on")?)?
        } else {
            train(&plan, dataset.clone(), &mut ProgressLine::new())?
        };
        if trained && !reported {
            let (diagnoses, plain) = diagnose::measure(&plan, &dataset, selfsame::diagnose::SAMPLES)?;
            // Standard output is the records'.
            eprintln!("{}", diagnosis::page(&diagnoses, std::io::stderr().is_terminal()).trim_end());
            report::write_after(&plan, &dataset, &plain);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Trains the plan; `false` when it was asked to stop. The first signal finishes the step and saves, the second ends at
/// once.
pub fn train(plan: &Plan, dataset: Arc<Dataset>, observer: &mut dyn Observer) -> Result<bool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    match (plans::method(plan)?.pretrain)(plan, dataset, observer, &stop)? {
        Outcome::Finished { run } => eprintln!("the encoder is in {}", run.join("encoder.safetensors").display()),
        Outcome::AlreadyFinished { run } => eprintln!("{} is finished; nothing to do", run.display()),
        Outcome::Interrupted { run, step, steps } => {
            eprintln!("stopped after step {step} of {steps}, saved; go on with: selfsame pretrain {}", run.display());
            return Ok(false);
        }
    }
    Ok(true)
}
