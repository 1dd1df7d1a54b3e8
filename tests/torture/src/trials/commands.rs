//! SIGKILL at random moments of commands that write results: a file under its final name is whole, and what is left is gone
//! after the next start.

use crate::bench::{Bench, draw, numbered};
use crate::ledger::Tally;
use crate::product::{Failure, embed, evaluate, pretrain, report};
use std::fs;
use std::time::Duration;

/// A command, and the files that it writes.
struct Command {
    name: &'static str,
    words: Vec<String>,
    results: &'static [&'static str],
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let commands = [
        Command { name: "embed", words: embed(&bench.data), results: &["h.npy", "h.rows.jsonl"] },
        Command {
            name: "evaluate",
            words: evaluate(&bench.data),
            results: &["run/scores.json", "run/diagnosis.json", "run/report.html"],
        },
        Command { name: "report", words: report(), results: &["run/findings.json", "run/report.html"] },
    ];
    std::thread::scope(|scope| {
        let parts = commands.each_ref().map(|command| scope.spawn(move || kills(bench, command)));
        parts.into_iter().map(|part| part.join().expect("a thread that does not panic")).collect()
    })
}

fn kills(bench: &Bench, command: &Command) -> Result<Tally, Failure> {
    let Command { name, words, results } = command;
    let part = format!("kill-{name}");
    let place = bench.undisturbed(&part, &pretrain(&bench.data, &["epochs=1"]))?.place;
    let first = place.run(words)?;
    first.succeeded()?;
    let good: Vec<_> = results.iter().map(|name| fs::read(place.path(name)).ok()).collect();
    if let Some(missing) = good.iter().position(Option::is_none) {
        return Err(format!("{name} does not write {}", results[missing]));
    }
    let tally = bench.ledger.in_turn(&part, &numbered(bench.count(50, 6)), |trial| {
        results.iter().for_each(|name| drop(fs::remove_file(place.path(name))));
        let most_us = first.took.as_micros() as u64;
        let delay = Duration::from_micros(draw(&part, trial.parse().expect("a number"), most_us));
        place.killed_after(words, delay)?;
        let halves = |must_be_there: bool| {
            let found = results.iter().map(|name| fs::read(place.path(name)).ok());
            let differs = found.zip(&good).position(|(found, good)| match found {
                Some(_) => found != *good,
                None => must_be_there,
            });
            differs.map_or(Ok(()), |index| Err(format!("{} is not what an undisturbed {name} writes", results[index])))
        };
        halves(false).map_err(|failure| format!("after the kill, {failure}"))?;
        place.run(words)?.succeeded()?;
        halves(true)?;
        place.is_tidy()
    });
    Ok(tally.named(format!("kill of {name} at random moments"), "no half file, no litter after the next start"))
}
