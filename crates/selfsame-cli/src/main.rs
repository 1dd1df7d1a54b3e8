//! `selfsame`: representations without labels, from raw files to a judged encoder.

mod commands;
mod dashboard;
mod plans;
mod studies;
mod terminal;

use clap::{Parser, Subcommand};
use commands::{
    demo, diagnose, embed, evaluate, finetune, list, plan, pretrain, preview, report, selftest, study, watch,
};
use std::process::ExitCode;

/// Learn representations of images without labels, and judge them.
#[derive(Parser)]
#[command(name = "selfsame", version, arg_required_else_help = true, after_help = EXAMPLES)]
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
    /// Write the features of a data set to .parquet or .npy
    Embed(embed::Embed),
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
}

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if !selfsame_base::panics::are_caught() {
            eprintln!("error: this is a bug in selfsame, please report it: {panic}");
        }
    }));
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    selfsame_kernels::Isa::select()?;
    selfsame_kernels::conv::largest_tile()?;
    match command {
        Command::Demo(arguments) => arguments.run(),
        Command::Pretrain(arguments) => arguments.run(),
        Command::Evaluate(arguments) => arguments.run(),
        Command::Diagnose(arguments) => arguments.run(),
        Command::Finetune(arguments) => arguments.run(),
        Command::Embed(arguments) => arguments.run(),
        Command::Study(arguments) => arguments.run(),
        Command::Report(arguments) => arguments.run(),
        Command::Preview(arguments) => arguments.run(),
        Command::Watch(arguments) => arguments.run(),
        Command::List(arguments) => arguments.run(),
        Command::Plan(arguments) => arguments.run(),
        Command::Selftest(arguments) => arguments.run(),
    }
}
