//! `selfsame diagnose`.

use super::report;
use crate::exit::{Code, bad_input};
use crate::plans;
use crate::results::Kept;
use crate::terminal::{self, Task};
use anyhow::Result;
use clap::Args;
use selfsame::branch::Branch;
use selfsame::diagnose::{self, Examined};
use selfsame::embed::Tables;
use selfsame::known;
use selfsame::plan::Plan;
use selfsame::provenance;
use selfsame::weights::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::diagnosis::{self, DiagnosisRecord};
use std::path::PathBuf;
use std::sync::Arc;

/// File of the last diagnosis, in the run folder.
pub const FILE: &str = "diagnosis.json";
/// File of the invariance profile.
const INVARIANCE: &str = "invariance.json";

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
    /// A run folder, or an encoder folder without its run
    run: PathBuf,
    /// data=PATH samples=NUMBER
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
    /// Measure the response to every augmentation over a range of strengths too
    #[arg(long)]
    invariance: bool,
}

impl Diagnose {
    pub fn run(self) -> Result<Code> {
        let plan = plans::run(&self.run)?;
        let [data, samples] = plans::values(&self.words, ["data", "samples"])?;
        let samples = match samples {
            Some(text) => {
                let number = text.parse().ok().filter(|&number: &usize| number >= 2);
                number.ok_or_else(|| {
                    bad_input(format!("samples: expected a whole number of at least 2, received {text}"))
                })?
            }
            None => diagnose::SAMPLES,
        };
        let data = data.unwrap_or_else(|| plan.data.path.display().to_string());
        let dataset = plans::sibling(&plan, &data)?;
        let mut files = vec![plan.out.join(FILE)];
        files.extend(self.invariance.then(|| plan.out.join(INVARIANCE)));
        let mut kept = Kept::ahead(&files);
        let branch = plans::branch(&plan, WeightsOf::Trained)?;
        let examined = Examined { plan: &plan, branch: &branch, dataset: &dataset };
        let (record, plain) = measure(examined, samples)?;
        terminal::print(format_args!("{}", diagnosis::page(&record.diagnosis, terminal::color()).trim_end()));
        kept.write(plan.out.join(FILE), |path| record.write(path));
        plans::tell_skipped(&dataset);
        let profiled = if self.invariance { profile(examined, &plain, &mut kept) } else { Ok(()) };
        kept.finish();
        profiled?;
        report::draw_again(&plan);
        Ok(Code::Finished)
    }
}

/// Diagnoses a run's branch. Gives the features that it looked at, too.
pub fn measure(examined: Examined, samples: usize) -> Result<(DiagnosisRecord, Tables)> {
    let untrained = plans::branch(examined.plan, WeightsOf::Fresh)?;
    let task = Task::new(samples.min(examined.dataset.len()), "embedding");
    let plain = examined.embed(samples, &mut |done| task.set(done))?;
    task.finish();
    Ok((examine(examined, &untrained, &plain)?, plain))
}

/// Diagnoses a branch by features that an evaluation has made, of as many samples as a diagnosis looks at.
pub fn of_tables(
    plan: &Plan,
    dataset: &Arc<Dataset>,
    branch: &Branch,
    untrained: &Branch,
    tables: &Tables,
) -> Result<DiagnosisRecord> {
    let examined = Examined { plan, branch, dataset };
    examine(examined, untrained, &tables.of_samples(&examined.samples(diagnose::SAMPLES)))
}

fn examine(examined: Examined, untrained: &Branch, plain: &Tables) -> Result<DiagnosisRecord> {
    let Examined { plan, dataset, branch } = examined;
    let training = known::of_run(plan, plans::method(plan)?, branch, untrained)?;
    let task = Task::new(diagnose::passes(plain.indices.len()), "diagnosing");
    let observations = diagnose::observe(examined, untrained, plain, training, &mut |done| task.advance(done))?;
    let diagnosis = observations.diagnose()?;
    task.finish();
    Ok(DiagnosisRecord { measured_on: provenance::measured_on(plan, Some(branch), dataset)?, diagnosis })
}

/// Measures the invariance profile, prints it and writes its file.
fn profile(examined: Examined, plain: &Tables, kept: &mut Kept) -> Result<()> {
    let task = Task::new(0, "turning dials");
    let Examined { plan, branch, dataset } = examined;
    let measured_on = provenance::measured_on(plan, Some(branch), dataset)?;
    let mut progress = |done, all| task.follow("turning dials", done as u64, all as u64);
    let profile = diagnose::invariance(examined, plain, measured_on, &mut progress)?;
    task.finish();
    terminal::print(format_args!("\n{}", profile.table().trim_end()));
    kept.write(plan.out.join(INVARIANCE), |path| profile.write(path));
    Ok(())
}
