//! SIGKILL before every call that changes a file of a run: its creation, its saves, its end, and its being taken up again.
//! And faults that begin at each call of a save.

use super::fault::{Fault, INPUT_OUTPUT_ERROR, LASTING};
use crate::bench::{Bench, Good};
use crate::calls::{Answer, Call, Kind};
use crate::ledger::Tally;
use crate::product::{CHECKPOINTS, Failure, Place, RUN, completes_a_checkpoint, go_on, pretrain, same_name};
use std::path::Path;

/// Two saves, of which the last is made twice: as one of those that come every two steps, and at the end.
fn words(bench: &Bench, keep: usize) -> Vec<String> {
    pretrain(&bench.data, &["epochs=1", "train.checkpoint_steps=2", &format!("train.keep_checkpoints={keep}")])
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let mut tallies = Vec::new();
    for keep in [1, 3] {
        let words = words(bench, keep);
        let good = bench.undisturbed(&format!("every-call-keep-{keep}"), &words)?;
        tallies.push(creation(bench, keep, &words, &good)?);
        tallies.push(going_on(bench, keep, &words, &good)?);
    }
    let words = words(bench, 3);
    let good = bench.undisturbed("failing-calls", &words)?;
    tallies.push(synced(bench, &words)?);
    for fault in LASTING {
        tallies.push(failing(bench, &words, &good, fault, true)?);
    }
    tallies.push(failing(bench, &words, &good, &INPUT_OUTPUT_ERROR, false)?);
    Ok(tallies)
}

/// The calls of a session that change files of the run, as they came.
fn changes(place: &Place, words: &[String]) -> Result<Vec<Call>, Failure> {
    let run = place.path(RUN);
    let mut calls = Vec::new();
    let session = place.watched(words, |call| {
        if call.touches(&run) && call.changes_files() {
            calls.push(call.clone());
        }
        Answer::Pass
    })?;
    session.succeeded()?;
    Ok(calls)
}

/// The trials of a session with these calls, named `NUMBER-kind-file`. The short form leaves out lines of the records, which are
/// many and alike.
fn trials(bench: &Bench, calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<String> {
    let alike =
        |call: &Call| call.kind == Kind::Write && call.path.parent().is_some_and(|folder| folder.ends_with(RUN));
    let chosen = calls.iter().enumerate().filter(|(_, call)| wanted(call) && !(bench.short && alike(call)));
    chosen.map(|(index, call)| format!("{index}-{:?}-{}", call.kind, same_name(&call.path))).collect()
}

/// The number of the call that a trial's name begins with.
fn number(trial: &str) -> usize {
    trial.split('-').next().and_then(|number| number.parse().ok()).expect("a trial's name begins with a number")
}

/// A session that is killed before the call `number` of those that change files of the run.
fn killed_before(place: &Place, words: &[String], number: usize) -> Result<(), Failure> {
    let (run, mut seen) = (place.path(RUN), 0);
    let session = place.watched(words, |call| {
        let counts = call.touches(&run) && call.changes_files();
        seen += usize::from(counts);
        if counts && seen == number + 1 { Answer::Kill } else { Answer::Pass }
    })?;
    if session.killed() { Ok(()) } else { Err(format!("not killed: {seen} calls; {}", session.last_line())) }
}

/// Goes on with what a session left, and compares the end.
fn goes_on(place: &Place, words: &[String], good: &Good) -> Result<(), Failure> {
    let run = place.run_folder();
    let before = run.records();
    place.run(words)?.succeeded()?;
    before.kept_by(&run.records())?;
    run.ends_in(good.encoder)?;
    place.is_tidy()
}

fn creation(bench: &Bench, keep: usize, words: &[String], good: &Good) -> Result<Tally, Failure> {
    let part = format!("kill-before-call-keep-{keep}");
    let calls = changes(&bench.place(&format!("{part}-calls"))?, words)?;
    let trials = trials(bench, &calls, |_| true);
    let tally = bench.ledger.each(&part, &trials, |trial| {
        bench.in_place(&format!("{part}-{}", number(trial)), |place| {
            killed_before(&place, words, number(trial))?;
            place.run_folder().takes_no_more_than(keep)?;
            goes_on(&place, words, good)
        })
    });
    let what = format!("kill before each call of a run's creation, saves and end, keep_checkpoints {keep}");
    Ok(tally.named(what, "nothing lost, final encoder identical"))
}

/// The same for the second session of a run whose first was killed in its second save.
fn going_on(bench: &Bench, keep: usize, words: &[String], good: &Good) -> Result<Tally, Failure> {
    let part = format!("kill-before-call-again-keep-{keep}");
    let template = bench.place(&format!("{part}-template"))?;
    let mut saves = 0;
    template.watched(words, |call| {
        saves += usize::from(completes_a_checkpoint(call));
        if saves == 2 { Answer::Kill } else { Answer::Pass }
    })?;
    let go_on = go_on();
    let calls = changes(&template.copy(bench.folder.join(format!("{part}-calls")))?, &go_on)?;
    let tally = bench.ledger.each(&part, &trials(bench, &calls, |_| true), |trial| {
        let place = template.copy(bench.folder.join(format!("{part}-{}", number(trial))))?;
        let before = place.run_folder().records();
        killed_before(&place, &go_on, number(trial))?;
        before.kept_by(&place.run_folder().records())?;
        place.run_folder().takes_no_more_than(keep)?;
        goes_on(&place, &go_on, good)?;
        std::fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    let what = format!("kill before each call of a run that is taken up again, keep_checkpoints {keep}");
    Ok(tally.named(what, "nothing lost, final encoder identical"))
}

/// Every file is handed to the disk before it gets its final name, and the name after that.
fn synced(bench: &Bench, words: &[String]) -> Result<Tally, Failure> {
    let place = bench.place("synced")?;
    let calls = changes(&place, words)?;
    let trials = trials(bench, &calls, |call| call.kind == Kind::Rename);
    let tally = bench.ledger.each("synced", &trials, |trial| {
        let (before, rest) = calls.split_at(number(trial));
        let (rename, after) = rest.split_first().expect("the call of this number");
        let to = rename.to.as_deref().expect("the new name");
        let is_synced = |calls: &[Call], path: &Path| calls.iter().any(|c| c.kind == Kind::Sync && c.path == path);
        for (index, write) in before.iter().enumerate() {
            let written = matches!(write.kind, Kind::Create | Kind::Write | Kind::Resize);
            if written && write.path.starts_with(&rename.path) && !is_synced(&before[index..], &write.path) {
                return Err(format!("{} is renamed before {} is synced", to.display(), write.path.display()));
            }
        }
        let folder = to.parent().unwrap_or(to);
        if is_synced(after, folder) { Ok(()) } else { Err(format!("the name of {} is not synced", to.display())) }
    });
    Ok(tally.named("files that get their names", "synced before, and the name after"))
}

/// A fault that begins at each call of a save, or that hits this call alone.
fn failing(bench: &Bench, words: &[String], good: &Good, fault: &Fault, lasts: bool) -> Result<Tally, Failure> {
    let part = format!("{}-at-call", fault.word());
    let place = bench.place(&format!("{part}-calls"))?;
    let (run, checkpoints) = (place.path(RUN), place.path(RUN).join(CHECKPOINTS));
    let calls = changes(&place, words)?;
    let trials = trials(bench, &calls, |call| call.touches(&checkpoints) && fault.hits(call, &run));
    let tally = bench.ledger.each(&part, &trials, |trial| {
        bench.in_place(&format!("{part}-{}", number(trial)), |place| {
            let (run, mut seen) = (place.path(RUN), 0);
            let session = place.watched(words, |call| {
                let counts = call.touches(&run) && call.changes_files();
                seen += usize::from(counts);
                let now = if lasts { seen > number(trial) } else { counts && seen == number(trial) + 1 };
                if now { fault.answer(call, &run) } else { Answer::Pass }
            })?;
            // What does not matter to the run may fail without a word; then nothing may be missing.
            if session.status.success() {
                place.run_folder().ends_in(good.encoder)?;
            } else {
                session.failed_with(fault.code)?;
            }
            goes_on(&place, words, good)
        })
    });
    let what = if lasts { "from each call of a save on" } else { "at each call of a save" };
    let outcome = "nothing lost, one clear error, the right code, and the same encoder afterwards";
    Ok(tally.named(format!("{} {what}", fault.name), outcome))
}
