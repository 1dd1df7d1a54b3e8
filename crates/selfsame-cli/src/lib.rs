//! `selfsame`: representations without labels, from raw files to a judged encoder.

mod commands;
mod dashboard;
mod exit;
mod plans;
mod profile;
mod progress;
mod results;
mod signals;
mod studies;
mod terminal;
mod version;

use anyhow::Result;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};
use commands::{
    demo, diagnose, embed, evaluate, export, finetune, generate, list, plan, predict, pretrain, preview, probe, report,
    selftest, study, watch,
};
use exit::Code;
use selfsame_base::DataError;
use selfsame_base::text::pasted;
use std::process::ExitCode;
use terminal::note;

/// Learn representations of images without labels, and judge them.
#[derive(Parser)]
#[command(name = "selfsame", version = version::VERSION.as_str(), arg_required_else_help = true, after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  selfsame demo                                         train and judge on bundled images
  selfsame pretrain data=photos/ method=simclr          train on your own
  selfsame pretrain runs/simclr-photos                  go on with a run that was stopped
  selfsame evaluate runs/simclr-photos train=a/ test=b/ judge it with labels
  selfsame embed runs/simclr-photos data=photos/ out=features.parquet
  selfsame report runs/a runs/b                         compare two runs in one page
  selfsame preview data=photos/                         see what the encoder would be shown
  selfsame plan barlow_twins epochs=20                  see what would be done, and why";

#[derive(Subcommand)]
enum Command {
    /// Train on bundled images, evaluate, and print the table
    Demo(demo::Demo),
    /// Train an encoder without labels, or go on with a run
    Pretrain(pretrain::Pretrain),
    /// Judge a run's encoder by kNN and linear probe
    Evaluate(evaluate::Evaluate),
    /// Say without labels whether a run's encoder is healthy, and what it ignores
    Diagnose(diagnose::Diagnose),
    /// Train with few labels from a run's encoder, and from scratch
    Finetune(finetune::Finetune),
    /// Fit a classifier to all labels on a run's encoder, and save both
    Probe(probe::Probe),
    /// Write what a saved model says of new samples, with probabilities
    Predict(predict::Predict),
    /// Write the features of a data set to .parquet or .npy
    Embed(embed::Embed),
    /// Write an encoder for timm, transformers, torchvision or ONNX
    Export(export::Export),
    /// Answer a question with a small grid of runs
    Study(study::RunStudy),
    /// Write the page of a run, or one that compares several
    Report(report::Report),
    /// Show samples with the views that training would make of them
    Preview(preview::ShowViews),
    /// Serve the page of a run while it goes on
    Watch(watch::Watch),
    /// Show what there is to choose from
    List(list::List),
    /// Show the resolved plan and where each value came from; train nothing
    Plan(plan::ShowPlan),
    /// Check a device against golden values
    Selftest(selftest::Selftest),
    /// Write completions for a shell, or manual pages
    Generate(generate::Generate),
}

/// Stack of the thread that does the work: enough whatever the system gives to the first one (`ulimit -s`).
const STACK_BYTES: usize = 8 << 20;

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if !selfsame_base::panics::are_caught() {
            note!("error: this is a bug in selfsame, please report it: {panic}");
        }
    }));
    let worker = std::thread::Builder::new().name("selfsame".into()).stack_size(STACK_BYTES).spawn(work);
    let code = match worker {
        Ok(worker) => worker.join().unwrap_or(Code::Bug),
        Err(cause) => failed(&DataError::threads(1, cause).into()),
    };
    code.settle()
}

fn work() -> Code {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(shown) if let Some(hint) = meant_as_key(&shown) => {
            note!("error: {hint}");
            return Code::BadInput;
        }
        Err(shown) => {
            let printed = shown.print();
            if shown.use_stderr() {
                return Code::BadInput;
            }
            printed.unwrap_or_else(|error| terminal::output_lost(&error));
            return Code::Finished;
        }
    };
    run(arguments.command).unwrap_or_else(|error| failed(&error))
}

/// What to write for `--epochs 10`, where settings are `epochs=10`.
fn meant_as_key(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return None };
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let key = flag.strip_prefix("--")?.split('=').next()?.replace('-', "_");
    let is_key = |row: &selfsame_config::KeyRow| row.path == key || row.path.ends_with(&format!(".{key}"));
    let known = ["data", "method", "backbone", "train", "test", "out"].contains(&key.as_str());
    if !known && !plans::plan_keys().iter().any(is_key) {
        return None;
    }
    let mut words = std::env::args().skip_while(|word| word != flag && !word.starts_with(&format!("{flag}=")));
    let value = match words.next()?.split_once('=') {
        Some((_, value)) => value.to_owned(),
        None => words.next().unwrap_or_else(|| "…".into()),
    };
    Some(format!("{flag}: settings are given as key=value; write {}", pasted(format!("{key}={value}"))))
}

fn failed(error: &anyhow::Error) -> Code {
    note!("error: {error:#}");
    Code::of(error)
}

fn run(command: Command) -> Result<Code> {
    signals::install().map_err(|cause| DataError::threads(1, cause))?;
    // Work outside of any other pool is shared out over this one. Where it cannot be had, its first use would panic.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new().build_global().map_err(|cause| DataError::threads(threads, cause))?;
    selfsame_kernels::Isa::select()?;
    selfsame_kernels::conv::largest_tile()?;
    match command {
        Command::Demo(arguments) => arguments.run(),
        Command::Pretrain(arguments) => arguments.run(),
        Command::Evaluate(arguments) => arguments.run(),
        Command::Diagnose(arguments) => arguments.run(),
        Command::Finetune(arguments) => arguments.run(),
        Command::Probe(arguments) => arguments.run(),
        Command::Predict(arguments) => arguments.run(),
        Command::Embed(arguments) => arguments.run(),
        Command::Export(arguments) => arguments.run(),
        Command::Study(arguments) => arguments.run(),
        Command::Report(arguments) => arguments.run(),
        Command::Preview(arguments) => arguments.run(),
        Command::Watch(arguments) => arguments.run(),
        Command::List(arguments) => arguments.run(),
        Command::Plan(arguments) => arguments.run(),
        Command::Selftest(arguments) => arguments.run(),
        Command::Generate(arguments) => arguments.run(Arguments::command()),
    }
}
