//! What a system runs out of, or takes away, in the middle of a run or under a command's results.

use crate::bench::{Bench, Good};
use crate::calls::{Answer, Call, Kind};
use crate::ledger::Tally;
use crate::product::{
    Failure, Place, RUN, Run, code, completes_a_checkpoint, diagnose, embed, evaluate, pretrain, report,
};
use std::fs;
use std::path::Path;

/// Something that fails from a moment on.
struct Fault {
    name: &'static str,
    errno: i32,
    /// Whether a call is among those that fail, where the run folder is the second.
    hits: fn(&Call, &Path) -> bool,
    code: i32,
}

const FAULTS: &[Fault] = &[
    Fault {
        name: "disk full",
        errno: libc::ENOSPC,
        hits: |call, run| call.touches(run) && call.takes_space(),
        code: code::OUT_OF_SPACE,
    },
    Fault {
        name: "read-only folder",
        errno: libc::EROFS,
        hits: |call, run| call.touches(run) && call.changes_files(),
        code: code::OTHER,
    },
    Fault {
        name: "permission denied",
        errno: libc::EACCES,
        // What is open stays open.
        hits: |call, run| {
            call.touches(run) && !matches!(call.kind, Kind::Write | Kind::Resize | Kind::Sync | Kind::Thread)
        },
        code: code::OTHER,
    },
    Fault {
        name: "no file descriptors",
        errno: libc::EMFILE,
        hits: |call, _| matches!(call.kind, Kind::Open | Kind::Create),
        code: code::OTHER,
    },
];

const NO_THREADS: Fault =
    Fault { name: "no threads", errno: libc::EAGAIN, hits: |call, _| call.kind == Kind::Thread, code: code::OTHER };

impl Fault {
    fn answer(&self, call: &Call, run: &Path) -> Answer {
        if (self.hits)(call, run) { Answer::Fail(self.errno) } else { Answer::Pass }
    }
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let words = pretrain(&bench.data, &["epochs=4", "train.checkpoint_steps=4", "train.keep_checkpoints=1"]);
    let good = bench.undisturbed("faults", &words)?;
    Ok(vec![
        in_mid_run(bench, &words, &good),
        folder_taken_away(bench, &words, &good),
        no_threads(bench, &words, &good),
        results(bench, &good)?,
    ])
}

fn names(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| fault.name.into()).collect()
}

fn by_name(name: &str) -> &'static Fault {
    FAULTS.iter().find(|fault| fault.name == name).expect("the name of a fault")
}

/// A place's name for a trial.
fn folder(part: &str, trial: &str) -> String {
    format!("{part}-{}", trial.replace([' ', ':'], "-"))
}

/// A session in which `after` answers all calls after the first checkpoint.
fn after_the_first_checkpoint(
    place: &Place,
    words: &[String],
    mut after: impl FnMut(&Call) -> Answer,
) -> Result<crate::product::Session, Failure> {
    let mut saved = false;
    place.watched(words, |call| {
        let answer = if saved { after(call) } else { Answer::Pass };
        saved |= completes_a_checkpoint(call);
        answer
    })
}

fn goes_on(place: &Place, run: &Run, words: &[String], good: &Good) -> Result<(), Failure> {
    let before = run.records();
    place.run(words)?.succeeded().map_err(|failure| format!("when the cause was gone, {failure}"))?;
    before.kept_by(&run.records())?;
    run.ends_in(good.encoder)?;
    place.is_tidy()
}

fn in_mid_run(bench: &Bench, words: &[String], good: &Good) -> Tally {
    let tally = bench.ledger.each("fault-in-mid-run", &names(FAULTS), |trial| {
        bench.in_place(&folder("fault-in-mid-run", trial), |place| {
            let (fault, run) = (by_name(trial), place.path(RUN));
            let session = after_the_first_checkpoint(&place, words, |call| fault.answer(call, &run))?;
            session.failed_with(fault.code)?;
            if place.run_folder().checkpoints().is_empty() {
                return Err("the first checkpoint is gone".into());
            }
            goes_on(&place, &place.run_folder(), words, good)
        })
    });
    let outcome = "one clear error, the right code, the last checkpoint intact, and the same encoder afterwards";
    tally.named("disk full, read-only, permission denied, no file descriptors in mid-run", outcome)
}

/// The run folder is removed or renamed. A run that would last for hours must notice.
fn folder_taken_away(bench: &Bench, words: &[String], good: &Good) -> Tally {
    let trials = ["removed".to_owned(), "renamed".to_owned(), "removed from a long run".to_owned()];
    let tally = bench.ledger.each("folder-taken-away", &trials, |trial| {
        bench.in_place(&folder("folder-taken-away", trial), |place| {
            let (run, moved) = (place.path(RUN), place.path("moved"));
            let words = if trial.ends_with("long run") {
                pretrain(&bench.data, &["epochs=250000", "train.checkpoint_steps=4", "train.keep_checkpoints=1"])
            } else {
                words.to_vec()
            };
            let mut taken = false;
            let session = after_the_first_checkpoint(&place, &words, |_| {
                if !std::mem::replace(&mut taken, true) {
                    let _ = if trial == "renamed" { fs::rename(&run, &moved) } else { fs::remove_dir_all(&run) };
                }
                Answer::Pass
            })?;
            let line = session.failed_with(code::OTHER)?;
            if !line.contains(RUN) {
                return Err(format!("the error does not name the run folder: {line}"));
            }
            if trial != "renamed" {
                return Ok(());
            }
            // What the session may have made anew is no run, and not in the way of the one that comes back.
            fs::remove_dir_all(&run).or_else(|e| if run.exists() { Err(e.to_string()) } else { Ok(()) })?;
            fs::rename(&moved, &run).map_err(|e| e.to_string())?;
            goes_on(&place, &place.run_folder(), &words, good)
        })
    });
    tally.named(
        "run folder removed or renamed in mid-run",
        "one clear error, soon, and going on where there is something",
    )
}

fn no_threads(bench: &Bench, words: &[String], good: &Good) -> Tally {
    let commands = commands(bench, words);
    let trials: Vec<String> = commands.iter().map(|(name, _)| (*name).to_owned()).collect();
    let tally = bench.ledger.each("no-threads", &trials, |trial| {
        let (_, command) = commands.iter().find(|(name, _)| *name == trial).expect("the name of a command");
        let place = good.place.copy(bench.folder.join(folder("no-threads", trial)))?;
        if trial == "pretrain" {
            fs::remove_dir_all(place.path(RUN)).map_err(|e| e.to_string())?;
        }
        let session = place.watched(command, |call| NO_THREADS.answer(call, Path::new("")))?;
        // A command that needs none does its work.
        if !session.status.success() {
            session.failed_with(NO_THREADS.code)?;
        }
        let again = place.run(command)?;
        again.succeeded().map_err(|failure| format!("when there were threads again, {failure}"))?;
        place.run_folder().ends_in(good.encoder)?;
        place.is_tidy()?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    tally.named("no threads", "one clear error, the right code, and the same afterwards")
}

fn commands(bench: &Bench, words: &[String]) -> [(&'static str, Vec<String>); 5] {
    [
        ("pretrain", words.to_vec()),
        ("embed", embed(&bench.data)),
        ("evaluate", evaluate(&bench.data)),
        ("diagnose", diagnose()),
        ("report", report()),
    ]
}

/// Results that cannot be written are printed, where they are printed.
fn results(bench: &Bench, good: &Good) -> Result<Tally, Failure> {
    let commands = [("evaluate", evaluate(&bench.data)), ("diagnose", diagnose())];
    let mut printed = Vec::new();
    for (name, command) in &commands {
        let place = good.place.copy(bench.folder.join(folder("results-undisturbed", name)))?;
        let session = place.run(command)?;
        session.succeeded()?;
        printed.push(session.stdout);
    }
    let trials = commands.iter().flat_map(|(name, _)| FAULTS[..3].iter().map(move |f| format!("{name}: {}", f.name)));
    let tally = bench.ledger.each("results", &trials.collect::<Vec<_>>(), |trial| {
        let (name, fault) = trial.split_once(": ").expect("a command and a fault");
        let index = commands.iter().position(|(command, _)| *command == name).expect("the name of a command");
        let fault = by_name(fault);
        let place = good.place.copy(bench.folder.join(folder("results", trial)))?;
        let run = place.path(RUN);
        // What is read stays readable.
        let session = place.watched(&commands[index].1, |call| match call.kind {
            Kind::Open => Answer::Pass,
            _ => fault.answer(call, &run),
        })?;
        if session.stdout != printed[index] {
            return Err(format!("{} bytes are printed, of {}", session.stdout.len(), printed[index].len()));
        }
        session.failed_with(fault.code)?;
        place.is_tidy()?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    Ok(tally.named("results that cannot be written", "printed all the same, one clear error, the right code"))
}
