//! SIGKILL at random moments of a training: a run is killed and taken up again until it is finished, and then the next one.

use crate::bench::{Bench, draw, numbered};
use crate::ledger::Tally;
use crate::product::{Failure, Place, RUN, go_on, pretrain};
use std::fs;
use std::time::Duration;

const KEPT: [usize; 2] = [1, 3];

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    // A run cannot be killed at two moments at once, but two runs can.
    std::thread::scope(|scope| {
        let parts = KEPT.map(|keep| scope.spawn(move || kills(bench, keep)));
        parts.into_iter().map(|part| part.join().expect("a thread that does not panic")).collect()
    })
}

fn kills(bench: &Bench, keep: usize) -> Result<Tally, Failure> {
    let part = format!("random-kills-keep-{keep}");
    let words =
        pretrain(&bench.data, &["epochs=6", "train.checkpoint_steps=3", &format!("train.keep_checkpoints={keep}")]);
    let good = bench.undisturbed(&part, &words)?;
    let place = Place::at(&bench.binary, bench.folder.join(&part))?;
    let run = place.run_folder();
    let kill = |trial: &str| -> Result<(), Failure> {
        let index: usize = trial.parse().expect("a number");
        for attempt in 0.. {
            let most_us = good.session.took.as_micros() as u64 * 11 / 10;
            let delay = Duration::from_micros(draw(&part, index + 1000 * attempt, most_us));
            let by_folder = run.has_plan() && index.is_multiple_of(2);
            let before = run.records();
            let session = place.killed_after(&if by_folder { go_on() } else { words.clone() }, delay)?;
            if session.killed() {
                return before.kept_by(&run.records()).and_then(|()| run.takes_no_more_than(keep));
            }
            session
                .succeeded()
                .and_then(|()| before.kept_by(&run.records()))
                .and_then(|()| run.ends_in(good.encoder))?;
            place.is_tidy()?;
            fs::remove_dir_all(&run.0).map_err(|e| format!("{RUN}: {e}"))?;
        }
        unreachable!("attempts have no end")
    };
    let kills = bench.ledger.in_turn(&part, &numbered(bench.count(200, 50)), |trial| {
        // What is lost stays to be looked at, and the next trial begins anew.
        kill(trial).inspect_err(|_| drop(fs::rename(&run.0, bench.folder.join(format!("{part}-failed-{trial}")))))
    });
    let rest = bench.ledger.in_turn(&part, &["rest".into()], |_| {
        let before = run.records();
        place.run(&words)?.succeeded()?;
        before.kept_by(&run.records()).and_then(|()| run.ends_in(good.encoder)).and_then(|()| place.is_tidy())
    });
    let what = format!("kill at random moments and an end, keep_checkpoints {keep}");
    Ok(kills.and(rest).named(what, "nothing lost, final encoders identical"))
}
