//! Two sessions that begin the same run at the same moment: one trains, the other is told so or finds it finished.

use crate::bench::{Bench, draw, numbered};
use crate::ledger::Tally;
use crate::product::{Failure, Place, code, pretrain};
use std::time::Duration;

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let words = pretrain(&bench.data, &["epochs=2", "train.checkpoint_steps=2"]);
    let good = bench.undisturbed("two-at-once", &words)?;
    let tally = bench.ledger.in_turn("two-at-once", &numbered(bench.count(100, 20)), |trial| {
        bench.in_place(&format!("two-at-once-{trial}"), |place| {
            let other = Place { folder: place.folder.clone(), prints: "other-", ..place };
            let later = Duration::from_micros(draw("two-at-once", trial.parse().expect("a number"), 10_000));
            let both = std::thread::scope(|scope| {
                let first = scope.spawn(|| place.run(&words));
                let second = scope.spawn(|| {
                    std::thread::sleep(later);
                    other.run(&words)
                });
                [first, second].map(|session| session.join().expect("a thread that does not panic"))
            });
            for session in both {
                let session = session?;
                if !session.status.success() {
                    session.failed_with(code::IN_USE)?;
                }
            }
            place.run(&words)?.succeeded()?;
            place.run_folder().ends_in(good.encoder)?;
            place.is_tidy()
        })
    });
    Ok(vec![tally.named("two sessions that begin one run at once", "one run, and the other session told so")])
}
