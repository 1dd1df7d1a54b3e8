//! `selfsame selftest`.

use crate::exit::Code;
use crate::terminal;
use anyhow::{Context, Result};
use clap::Args;
use selfsame::selftest::{self, GRADIENT_TOLERANCE, VALUE_TOLERANCE};
use selfsame_base::files;
use selfsame_data::augment::{golden, signal};
use selfsame_kernels::{Isa, conv};
use std::path::PathBuf;

/// Check a device and this build against golden values; exit code 1 beyond tolerance.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame selftest
  selfsame selftest --device cpu --objectives mine.json
  SELFSAME_ISA=scalar selfsame selftest       without vector instructions (any command: avx512, avx2, neon, scalar)
  SELFSAME_WINOGRAD=2 selfsame selftest       3×3 convolutions as accurate as direct ones, at some speed")]
pub struct Selftest {
    /// Device
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Golden objectives, in the format of crates/selfsame/tests/golden/objectives.json
    #[arg(long, value_name = "FILE")]
    objectives: Option<PathBuf>,
    /// Golden augmentations of images, in the format of crates/selfsame-data/tests/golden/augmentations.json
    #[arg(long, value_name = "FILE")]
    augmentations: Option<PathBuf>,
}

impl Selftest {
    pub fn run(self) -> Result<Code> {
        let read = |file: Option<PathBuf>, built_in: &str| match file {
            Some(path) => files::read_text(&path).with_context(|| format!("{}", path.display())),
            None => Ok(built_in.to_owned()),
        };
        let device = selfsame::device::open(&self.device)?;
        let (isa, tile) = (Isa::active(), conv::largest_tile()?);
        terminal::print(format_args!(
            "device {}, instruction set {isa}, Winograd tiles up to {tile}×{tile}",
            self.device
        ));

        let rows = selftest::objectives(&read(self.objectives, selftest::OBJECTIVES)?, &device)?;
        terminal::print(format_args!(
            "\n{:46} {:>9} {:>9} {:>9}   largest deviation",
            "objective", "total", "terms", "gradient"
        ));
        for row in &rows {
            let verdict = if row.passes() { "ok" } else { "FAILED" };
            terminal::print(format_args!(
                "{:46} {:9.1e} {:9.1e} {:9.1e}   {verdict}",
                row.case, row.total, row.terms, row.gradient
            ));
        }
        terminal::print(format_args!(
            "{:46} {VALUE_TOLERANCE:9.1e} {VALUE_TOLERANCE:9.1e} {GRADIENT_TOLERANCE:9.1e}",
            "tolerance"
        ));

        let mut deviations = golden::selftest(&read(self.augmentations, golden::GOLDEN)?)?;
        deviations.extend(signal::golden::selftest());
        terminal::print(format_args!("\n{:46} {:>9} {:>9}", "augmentation", "cases", "largest"));
        for d in &deviations {
            let verdict = if d.largest <= golden::TOLERANCE { "ok" } else { "FAILED" };
            terminal::print(format_args!("{:46} {:>9} {:9.1e}   {verdict}", d.operation, d.cases, d.largest));
        }
        terminal::print(format_args!("{:46} {:>9} {:9.1e}", "tolerance", "", golden::TOLERANCE));
        let good = rows.iter().all(selftest::Row::passes) && deviations.iter().all(|d| d.largest <= golden::TOLERANCE);
        Ok(if good { Code::Finished } else { Code::Failed })
    }
}
