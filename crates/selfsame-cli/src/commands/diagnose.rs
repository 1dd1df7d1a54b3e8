//! `selfsame diagnose`.

use super::report;
use crate::{plans, terminal};
use anyhow::{Context, Result};
use clap::Args;
use selfsame::catalogue;
use selfsame::diagnose::{self, Subject};
use selfsame::run::Run;
use selfsame::trainer::Weights;
use selfsame_data::config::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::evaluate::diagnosis::{self, Diagnoses};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Say whether a run's encoder is healthy, collapsed, untrained or has found a shortcut, with the evidence and what to try.
/// No labels are needed.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame diagnose runs/mine                        on the run's own data
  selfsame diagnose runs/mine data=photos/           on any other
  selfsame diagnose runs/mine --invariance           and what it has become invariant to
  selfsame diagnose runs/mine samples=20000          wide encoders: ten samples for each dimension are good

The page goes to standard output; diagnosis.json (and invariance.json) into the run folder.")]
pub struct Diagnose {
    /// A run folder
    run: PathBuf,
    /// data=PATH samples=NUMBER
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
    /// Measure the response to every augmentation over a range of strengths too
    #[arg(long)]
    invariance: bool,
}

impl Diagnose {
    pub fn run(self) -> Result<ExitCode> {
        let plan = plans::run(&self.run)?;
        let [data, samples] = plans::values(&self.words, ["data", "samples"])?;
        let samples = match samples {
            Some(text) => {
                let number = text.parse().ok().filter(|&number: &usize| number >= 2);
                number.with_context(|| format!("samples: expected a whole number of at least 2, received {text}"))?
            }
            None => diagnose::SAMPLES,
        };
        let data = data.unwrap_or_else(|| plan.data.path.display().to_string());
        let dataset = plans::sibling(&plan, &data)?;
        let diagnoses = measure(&plan, &dataset, samples)?;
        terminal::print(format_args!("{}", diagnosis::page(&diagnoses, terminal::colour()).trim_end()));
        if self.invariance {
            profile(&plan, &dataset)?;
        }
        report::write_after_opening(&plan);
        Ok(ExitCode::SUCCESS)
    }
}

/// Diagnoses a run's newest checkpoint, and writes `diagnosis.json`.
pub fn measure(plan: &Plan, dataset: &Arc<Dataset>, samples: usize) -> Result<Diagnoses> {
    let method = catalogue::method(plan)?;
    let (branch, untrained) = ((method.branch)(plan, Weights::Trained)?, (method.branch)(plan, Weights::Fresh)?);
    let (_, epochs) = Run::existing(&plan.out)?.done(plan)?;
    let bar = terminal::bar(diagnose::passes(dataset, samples), "diagnosing");
    let subject = Subject { plan, branch: &branch, dataset };
    let diagnoses = diagnose::diagnose(subject, &untrained, epochs, samples, &mut |done| bar.inc(done as u64))?;
    bar.finish_and_clear();
    diagnosis::write(&diagnoses, about(plan, dataset)?, &plan.out.join("diagnosis.json"))?;
    Ok(diagnoses)
}

/// Measures the invariance profile, prints it and writes `invariance.json`.
fn profile(plan: &Plan, dataset: &Arc<Dataset>) -> Result<()> {
    let branch = (catalogue::method(plan)?.branch)(plan, Weights::Trained)?;
    let bar = terminal::bar(1, "turning dials");
    let profile = diagnose::invariance(Subject { plan, branch: &branch, dataset }, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    profile.write(about(plan, dataset)?, &plan.out.join("invariance.json"))?;
    terminal::print(format_args!("\n{}", profile.table().trim_end()));
    Ok(())
}

/// What was measured on what.
fn about(plan: &Plan, dataset: &Dataset) -> Result<Map<String, Value>> {
    let (step, epochs) = Run::existing(&plan.out)?.done(plan)?;
    let about = [
        ("data", json!(dataset.path())),
        ("method", json!(plan.method_name())),
        ("step", json!(step)),
        ("epochs", json!(epochs)),
    ];
    Ok(about.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}
