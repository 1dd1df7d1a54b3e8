//! What a system runs out of, or takes away, between two saves of a run or under a command's results.

use super::fault::{DISK_FULL, Fault, LASTING, NO_PERMISSION, NO_THREADS, READ_ONLY};
use crate::bench::{Bench, Good};
use crate::calls::{Answer, Call, Kind};
use crate::ledger::Tally;
use crate::product::{
    Failure, Place, RUN, Session, code, completes_a_checkpoint, diagnose, embed, evaluate, pretrain, report,
};
use std::fs;
use std::path::Path;
use std::time::Duration;

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let words = pretrain(&bench.data, &["epochs=4", "train.checkpoint_steps=4", "train.keep_checkpoints=1"]);
    let good = bench.undisturbed("faults", &words)?;
    Ok(vec![
        in_mid_run(bench, &words, &good),
        folder_taken_away(bench, &words, &good),
        no_threads(bench, &words, &good)?,
        results(bench, &good)?,
    ])
}

/// A session in which `answer` is asked at all calls after the first checkpoint and two steps.
fn between_saves(place: &Place, words: &[String], mut answer: impl FnMut(&Call) -> Answer) -> Result<Session, Failure> {
    let records = place.run_folder().path("metrics.jsonl");
    let (mut saved, mut lines) = (false, 0);
    place.watched(words, |call| {
        saved |= completes_a_checkpoint(call);
        lines += usize::from(saved && call.path == records && call.kind == Kind::Write);
        // The line of the checkpoint and those of two steps are written.
        if lines > 3 { answer(call) } else { Answer::Pass }
    })
}

fn goes_on(place: &Place, words: &[String], good: &Good) -> Result<(), Failure> {
    let run = place.run_folder();
    let before = run.records();
    place.run(words)?.succeeded().map_err(|failure| format!("when the cause was gone, {failure}"))?;
    before.kept_by(&run.records())?;
    run.ends_in(good.encoder)?;
    place.is_tidy()
}

fn in_mid_run(bench: &Bench, words: &[String], good: &Good) -> Tally {
    let trials = LASTING.map(Fault::word);
    let tally = bench.ledger.each("fault-in-mid-run", &trials, |trial| {
        bench.in_place(&format!("fault-in-mid-run-{trial}"), |place| {
            let fault = LASTING.into_iter().find(|fault| fault.word() == trial).expect("the word of a fault");
            let run = place.path(RUN);
            let session = between_saves(&place, words, |call| fault.answer(call, &run))?;
            session.failed_with(fault.code)?;
            if place.run_folder().checkpoints().is_empty() {
                return Err("the first checkpoint is gone".into());
            }
            goes_on(&place, words, good)
        })
    });
    let what = LASTING.map(|fault| fault.name).join(", ");
    let outcome = "one clear error, the right code, the last checkpoint intact, and the same encoder afterwards";
    tally.named(format!("{what} between two saves"), outcome)
}

/// The run folder is removed or renamed. A run that would last for hours must notice.
fn folder_taken_away(bench: &Bench, words: &[String], good: &Good) -> Tally {
    let trials = ["removed", "renamed", "removed-for-long"].map(String::from);
    let tally = bench.ledger.each("folder-taken-away", &trials, |trial| {
        bench.in_place(&format!("folder-{trial}"), |mut place| {
            place.limit = Duration::from_secs(20);
            let (run, moved) = (place.path(RUN), place.path("moved"));
            let long = pretrain(&bench.data, &["epochs=250000", "train.checkpoint_steps=4"]);
            let mut taken = false;
            let session = between_saves(&place, if trial == "removed-for-long" { &long } else { words }, |_| {
                if !std::mem::replace(&mut taken, true) {
                    let _ = if trial == "renamed" { fs::rename(&run, &moved) } else { fs::remove_dir_all(&run) };
                }
                Answer::Pass
            })?;
            let line = session.failed_with(code::OTHER)?;
            if !line.contains(RUN) {
                return Err(format!("the error does not name the run folder: {line}"));
            }
            if run.exists() {
                return Err("the run folder was made anew, without what makes it a run".into());
            }
            if trial != "renamed" {
                return Ok(());
            }
            fs::rename(&moved, &run).map_err(|e| e.to_string())?;
            goes_on(&place, words, good)
        })
    });
    tally
        .named("run folder removed or renamed between two saves", "one clear error, soon, and going on where it can be")
}

/// The system has so many threads for each command and no more, from none to those that it starts.
fn no_threads(bench: &Bench, words: &[String], good: &Good) -> Result<Tally, Failure> {
    let commands = [
        ("pretrain", words.to_vec()),
        ("embed", embed(&bench.data)),
        ("evaluate", evaluate(&bench.data)),
        ("diagnose", diagnose()),
        ("report", report()),
    ];
    let place_of = |name: &str| {
        let place = good.place.copy(bench.folder.join(name))?;
        if name.contains("pretrain") {
            fs::remove_dir_all(place.path(RUN)).map_err(|e| e.to_string())?;
        }
        Ok::<_, Failure>(place)
    };
    // Of as many as have a moment of their own: later ones are like earlier ones, and their number differs by a few.
    let mut trials = Vec::new();
    for (name, command) in &commands {
        let (place, mut threads) = (place_of(&format!("threads-of-{name}"))?, 0);
        place.watched(command, |call| {
            threads += usize::from(call.kind == Kind::Thread);
            Answer::Pass
        })?;
        trials.extend((0..threads.min(bench.count(40, 8))).map(|number| format!("{name}-{number}")));
    }
    let tally = bench.ledger.each("no-threads", &trials, |trial| {
        let (name, number) = trial.split_once('-').expect("a command and a number");
        let number: usize = number.parse().expect("a number");
        let (_, command) = commands.iter().find(|(command, _)| *command == name).expect("the name of a command");
        let place = place_of(&format!("no-threads-{trial}"))?;
        let mut threads = 0;
        let session = place.watched(command, |call| {
            threads += usize::from(call.kind == Kind::Thread);
            if threads > number { NO_THREADS.answer(call, Path::new("")) } else { Answer::Pass }
        })?;
        // A command that can do without does its work.
        if !session.status.success() {
            session.failed_with(NO_THREADS.code).map_err(|failure| format!("{name}: {failure}"))?;
        }
        let again = place.run(command)?;
        again.succeeded().map_err(|failure| format!("{name}, when there were threads again: {failure}"))?;
        place.run_folder().ends_in(good.encoder)?;
        place.is_tidy().map_err(|failure| format!("{name}: {failure}"))?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    Ok(tally.named("no more threads", "one clear error, the right code, and the same afterwards"))
}

/// Results that cannot be written are printed all the same.
fn results(bench: &Bench, good: &Good) -> Result<Tally, Failure> {
    let faults = [&DISK_FULL, &READ_ONLY, &NO_PERMISSION];
    let commands = [("evaluate", evaluate(&bench.data)), ("diagnose", diagnose())];
    let (mut trials, mut printed) = (Vec::new(), Vec::new());
    for (name, command) in &commands {
        let session = good.place.copy(bench.folder.join(format!("results-{name}")))?.run(command)?;
        session.succeeded()?;
        printed.push(session.stdout);
        trials.extend(faults.map(|fault| format!("{name}-{}", fault.word())));
    }
    let tally = bench.ledger.each("results", &trials, |trial| {
        let (name, word) = trial.split_once('-').expect("a command and a fault");
        let index = commands.iter().position(|(command, _)| *command == name).expect("the name of a command");
        let fault = faults.into_iter().find(|fault| fault.word() == word).expect("the word of a fault");
        let place = good.place.copy(bench.folder.join(format!("results-{trial}")))?;
        let run = place.path(RUN);
        // What is read stays readable.
        let session = place.watched(&commands[index].1, |call| match call.kind {
            Kind::Open => Answer::Pass,
            _ => fault.answer(call, &run),
        })?;
        if session.stdout != printed[index] {
            let (found, all) = (session.stdout.len(), printed[index].len());
            return Err(format!("{name}: not all that was computed is printed ({found} bytes of {all})"));
        }
        session.failed_with(fault.code)?;
        place.is_tidy()?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    Ok(tally.named("results that cannot be written", "printed all the same, one clear error, the right code"))
}
