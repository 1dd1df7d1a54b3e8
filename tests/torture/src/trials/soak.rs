//! Very many tiny steps: resident memory and open files stay as they were after the first thousand.

use crate::bench::{Bench, SAMPLES};
use crate::ledger::Tally;
use crate::product::{ENCODER, Failure, pretrain};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// Steps after which nothing may grow.
const SETTLED: u64 = 1000;
/// What the allocator and the kernel may add later, KiB.
const SLACK_KIB: u64 = 2048;

/// What a process held at a step.
#[derive(Clone, Copy)]
struct Sample {
    step: u64,
    resident_kib: u64,
    files: u64,
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let steps = bench.count(100_000, 3000);
    let figures = bench.folder.join("soak.txt");
    let tally = bench.ledger.each("soak", &[format!("{steps}-steps")], |_| {
        bench.in_place("soak", |mut place| {
            place.limit = Duration::from_secs(3600);
            let epochs = format!("epochs={}", steps * 8 / SAMPLES);
            let words = pretrain(&bench.data, &[&epochs, "train.checkpoint_steps=500"]);
            let (records, encoder) = (place.run_folder().path("metrics.jsonl"), place.run_folder().path(ENCODER));
            let (mut samples, mut next) = (Vec::new(), Duration::ZERO);
            let session = place.observed(&words, |process, elapsed| {
                if elapsed >= next && !encoder.exists() {
                    next = elapsed + Duration::from_millis(20);
                    samples.extend(sample(process, &records));
                }
                false
            })?;
            session.succeeded()?;
            let said = compare(&samples, steps as u64)?;
            fs::write(&figures, said).map_err(|e| e.to_string())
        })
    });
    let figures = fs::read_to_string(&figures).unwrap_or_default();
    Ok(vec![tally.named(format!("{steps} tiny steps{figures}"), "runs with memory and open files flat")])
}

/// What the process holds now; nothing before its first step, and when it is gone.
fn sample(process: u32, records: &Path) -> Option<Sample> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let files = fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64;
    let resident_kib = resident.trim().split(' ').next()?.parse().ok()?;
    Some(Sample { step: last_step(records)?, resident_kib, files })
}

/// The step of the last whole line.
fn last_step(records: &Path) -> Option<u64> {
    let file = File::open(records).ok()?;
    let mut end = vec![0; 4096];
    let start = file.metadata().ok()?.len().saturating_sub(end.len() as u64);
    let read = file.read_at(&mut end, start).ok()?;
    let text = String::from_utf8_lossy(&end[..read]).into_owned();
    let whole = &text[..text.rfind('\n')?];
    serde_json::from_str::<serde_json::Value>(whole.lines().next_back()?).ok()?["step"].as_u64()
}

/// The first fifth after the settling, and the last fifth: the most memory, and the fewest open files, since a leak raises these
/// too, and a file that a save holds open at the moment of a sample does not.
fn compare(samples: &[Sample], steps: u64) -> Result<String, Failure> {
    let fifth = (steps - SETTLED) / 5;
    let within = |from: u64, to: u64| samples.iter().filter(move |sample| (from..to).contains(&sample.step));
    let (early, late) = (|| within(SETTLED, SETTLED + fifth), || within(steps - fifth, steps));
    let too_few = "too few samples: the steps are too fast";
    let resident = |sample: &Sample| sample.resident_kib;
    let resident = early().map(resident).max().zip(late().map(resident).max()).ok_or(too_few)?;
    let files = |sample: &Sample| sample.files;
    let files = early().map(files).min().zip(late().map(files).min()).ok_or(too_few)?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    let said = format!(
        " ({:.1} MiB after {SETTLED}, {:.1} MiB at the end; {} open files, then {})",
        mib(resident.0),
        mib(resident.1),
        files.0,
        files.1
    );
    if resident.1 > resident.0 + SLACK_KIB || files.1 > files.0 { Err(format!("not flat{said}")) } else { Ok(said) }
}
