//! What is asked for, and the answer.

use crate::bench::Bench;
use crate::product::Failure;
use crate::trials;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: torture --binary PATH [--short] [--only PART]... [--jobs N] [FOLDER]";

/// The words of the command line.
struct Arguments {
    binary: PathBuf,
    short: bool,
    only: Vec<String>,
    jobs: usize,
    folder: PathBuf,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let fresh = std::env::temp_dir().join(format!("torture-{}", std::process::id()));
        let mut all = Self { binary: PathBuf::new(), short: false, only: Vec::new(), jobs, folder: fresh };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word}: expected a value; {USAGE}"));
            match word.as_str() {
                "--binary" => all.binary = value()?.into(),
                "--short" => all.short = true,
                "--only" => all.only.push(value()?),
                "--jobs" => all.jobs = value()?.parse().ok().filter(|&jobs| jobs > 0).ok_or(USAGE)?,
                option if option.starts_with('-') => return Err(format!("{option}: unknown; {USAGE}")),
                folder => all.folder = folder.into(),
            }
        }
        if !all.binary.is_file() {
            return Err(format!("{}: no binary; {USAGE}", all.binary.display()));
        }
        if let Some(unknown) = all.only.iter().find(|only| trials::PARTS.iter().all(|(name, _)| name != only)) {
            let names: Vec<&str> = trials::PARTS.iter().map(|(name, _)| *name).collect();
            return Err(format!("--only {unknown}: no such part; there are {}", names.join(", ")));
        }
        Ok(all)
    }
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    match Arguments::read(std::env::args().skip(1)).and_then(|arguments| torture(&arguments)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

/// Makes the parts that are asked for; whether nothing was lost.
fn torture(arguments: &Arguments) -> Result<bool, Failure> {
    let Arguments { binary, short, only, jobs, folder } = arguments;
    let bench = Bench::new(folder, binary, *short, *jobs)?;
    let mut whole = true;
    for (name, part) in trials::PARTS.iter().filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name)) {
        let started = Instant::now();
        match part(&bench) {
            Ok(tallies) => whole &= tallies.iter().fold(true, |good, tally| good & tally.print()),
            Err(failure) => {
                println!("{name}: not tried: {failure}");
                whole = false;
            }
        }
        eprintln!("    ({name}: {:.0} s)", started.elapsed().as_secs_f64());
    }
    if whole {
        std::fs::remove_dir_all(&bench.folder).map_err(|e| format!("{}: {e}", bench.folder.display()))?;
    } else {
        println!("what failed lies in {}", bench.folder.display());
    }
    Ok(whole)
}
