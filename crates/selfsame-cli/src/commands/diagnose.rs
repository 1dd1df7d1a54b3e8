//! `selfsame diagnose`.

use super::report;
use crate::{plans, terminal};
use anyhow::{Context, Result};
use clap::Args;
use selfsame::branch::Branch;
use selfsame::diagnose::{self, Examined};
use selfsame::embed::Tables;
use selfsame::plan::Plan;
use selfsame::progress::Progress;
use selfsame::run::Run;
use selfsame::trainer::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::diagnosis::{self, Diagnoses, DiagnosisRecord};
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
        let (diagnoses, plain) = measure(&plan, &dataset, samples)?;
        terminal::print(format_args!("{}", diagnosis::page(&diagnoses, terminal::color()).trim_end()));
        if self.invariance {
            profile(&plan, &dataset, &plain)?;
        }
        report::draw_again(&plan);
        Ok(ExitCode::SUCCESS)
    }
}

/// Diagnoses a run's newest checkpoint, and writes `diagnosis.json`. Gives the features that it looked at, too.
pub fn measure(plan: &Plan, dataset: &Arc<Dataset>, samples: usize) -> Result<(Diagnoses, Tables)> {
    let (branch, untrained) = (plans::branch(plan, WeightsOf::Trained)?, plans::branch(plan, WeightsOf::Fresh)?);
    let bar = terminal::bar(samples.min(dataset.len()), "embedding");
    let plain =
        Examined { plan, branch: &branch, dataset }.embed(samples, &mut |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    let diagnoses = examine(Examined { plan, branch: &branch, dataset }, &untrained, &plain)?;
    let record = DiagnosisRecord { measured_on: report::measured_on(plan, dataset)?, diagnosis: diagnoses.clone() };
    record.write(&plan.out.join("diagnosis.json"))?;
    Ok((diagnoses, plain))
}

/// Diagnoses a branch by features that an evaluation has made, of as many samples as a diagnosis looks at.
pub fn of_tables(
    plan: &Plan,
    dataset: &Arc<Dataset>,
    branch: &Branch,
    untrained: &Branch,
    tables: &Tables,
) -> Result<Diagnoses> {
    let examined = Examined { plan, branch, dataset };
    let plain = tables.of_samples(&examined.samples(diagnose::SAMPLES));
    let diagnoses = examine(examined, untrained, &plain)?;
    let record = DiagnosisRecord { measured_on: report::measured_on(plan, dataset)?, diagnosis: diagnoses.clone() };
    record.write(&plan.out.join("diagnosis.json"))?;
    Ok(diagnoses)
}

fn examine(examined: Examined, untrained: &Branch, plain: &Tables) -> Result<Diagnoses> {
    let epochs = Run::existing(&examined.plan.out)?.progress()?.map(Progress::epochs);
    let bar = terminal::bar(diagnose::passes(plain.indices.len()), "diagnosing");
    let diagnoses = diagnose::diagnose(examined, untrained, plain, epochs, &mut |done| bar.inc(done as u64))?;
    bar.finish_and_clear();
    Ok(diagnoses)
}

/// Measures the invariance profile, prints it and writes `invariance.json`.
fn profile(plan: &Plan, dataset: &Arc<Dataset>, plain: &Tables) -> Result<()> {
    // What should be known of it was told with the diagnosis.
    let branch = (plans::method(plan)?.branch)(plan, WeightsOf::Trained, &mut |_| {})?;
    let bar = terminal::bar(1, "turning dials");
    let examined = Examined { plan, branch: &branch, dataset };
    let profile = diagnose::invariance(examined, plain, report::measured_on(plan, dataset)?, &mut |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    profile.write(&plan.out.join("invariance.json"))?;
    terminal::print(format_args!("\n{}", profile.table().trim_end()));
    Ok(())
}
