//! SIGKILL of commands that write results, at random moments and before every call that changes a file: a file under its final
//! name is whole, and what is left is gone after the next start.

use crate::bench::{Bench, draw, numbered};
use crate::calls::{Answer, Call};
use crate::ledger::Tally;
use crate::product::{Failure, Place, embed, evaluate, pretrain, report, same_name};
use std::fs;
use std::time::Duration;

/// A command, and the files that it writes.
struct Command<'a> {
    name: &'static str,
    words: Vec<String>,
    results: &'static [&'static str],
    /// A finished run, and what the command has written.
    template: Place<'a>,
    good: Vec<Vec<u8>>,
    took: Duration,
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let all: [(&str, Vec<String>, &[&str]); 3] = [
        ("embed", embed(&bench.data), &["h.npy", "h.rows.jsonl"]),
        ("evaluate", evaluate(&bench.data), &["run/scores.json", "run/diagnosis.json", "run/report.html"]),
        ("report", report(), &["run/findings.json", "run/report.html"]),
    ];
    let mut tallies = Vec::new();
    for (name, words, results) in all {
        let template = bench.undisturbed(&format!("kill-{name}"), &pretrain(&bench.data, &["epochs=1"]))?.place;
        let session = template.run(&words)?;
        session.succeeded()?;
        let read = |name: &&str| fs::read(template.path(name)).map_err(|e| format!("{name}: {e}"));
        let good = results.iter().map(read).collect::<Result<_, _>>()?;
        let command = Command { name, words, results, template, good, took: session.took };
        tallies.push(command.at_random(bench));
        tallies.push(command.at_every_call(bench)?);
    }
    Ok(tallies)
}

impl Command<'_> {
    fn at_random(&self, bench: &Bench) -> Tally {
        let part = format!("kill-{}", self.name);
        let tally = bench.ledger.each(&part, &numbered(bench.count(50, 10)), |trial| {
            let index: usize = trial.parse().expect("a number");
            self.killed(bench, &format!("{part}-{trial}"), |place| {
                for attempt in 0.. {
                    let delay = draw(&part, index + 1000 * attempt, self.took.as_micros() as u64);
                    if place.killed_after(&self.words, Duration::from_micros(delay))?.killed() {
                        break;
                    }
                    self.remove_results(place);
                }
                Ok(())
            })
        });
        tally.named(format!("kill of {} at random moments", self.name), "no half file, no litter after the next start")
    }

    fn at_every_call(&self, bench: &Bench) -> Result<Tally, Failure> {
        let part = format!("kill-{}-before-call", self.name);
        let mut trials = Vec::new();
        let place = self.template.copy(bench.folder.join(format!("{part}-calls")))?;
        self.remove_results(&place);
        let counts = |place: &Place, call: &Call| {
            let prints = [place.printed("stdout.txt"), place.printed("stderr.txt")];
            call.touches(&place.folder) && call.changes_files() && !prints.contains(&call.path)
        };
        place.watched(&self.words, |call| {
            if counts(&place, call) {
                trials.push(format!("{}-{:?}-{}", trials.len(), call.kind, same_name(&call.path)));
            }
            Answer::Pass
        })?;
        let tally = bench.ledger.each(&part, &trials, |trial| {
            let number: usize = trial.split('-').next().and_then(|n| n.parse().ok()).expect("begins with a number");
            self.killed(bench, &format!("{part}-{number}"), |place| {
                let mut seen = 0;
                let session = place.watched(&self.words, |call| {
                    let counted = counts(place, call);
                    seen += usize::from(counted);
                    if counted && seen == number + 1 { Answer::Kill } else { Answer::Pass }
                })?;
                if session.killed() { Ok(()) } else { Err(format!("not killed: {seen} calls")) }
            })
        });
        let what = format!("kill of {} before each call that changes a file", self.name);
        Ok(tally.named(what, "no half file, no litter after the next start"))
    }

    /// A kill in a place of its own without results, and what must hold after it.
    fn killed(
        &self,
        bench: &Bench,
        name: &str,
        kill: impl FnOnce(&Place) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let place = self.template.copy(bench.folder.join(name))?;
        self.remove_results(&place);
        kill(&place)?;
        self.whole(&place, false).map_err(|failure| format!("after the kill, {failure}"))?;
        place.run(&self.words)?.succeeded()?;
        self.whole(&place, true)?;
        place.is_tidy()?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    }

    fn remove_results(&self, place: &Place) {
        self.results.iter().for_each(|name| drop(fs::remove_file(place.path(name))));
    }

    /// An error unless each result is what an undisturbed command writes, or not there and need not be.
    fn whole(&self, place: &Place, must_be_there: bool) -> Result<(), Failure> {
        let differs = self.results.iter().zip(&self.good).find(|(name, good)| match fs::read(place.path(name)) {
            Ok(found) => found != **good && (must_be_there || !lacks_the_diagnosis(&found, good)),
            Err(_) => must_be_there,
        });
        differs.map_or(Ok(()), |(name, _)| Err(format!("{name} is not what an undisturbed {} writes", self.name)))
    }
}

/// Whether `found` is `good` before its diagnosis: `evaluate` writes its scores as soon as it has them, and again with the
/// diagnosis.
fn lacks_the_diagnosis(found: &[u8], good: &[u8]) -> bool {
    let read = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let (Some(found), Some(mut good)) = (read(found), read(good)) else { return false };
    if let Some(diagnosis) = good.get_mut("diagnosis") {
        *diagnosis = serde_json::json!({});
    }
    found == good
}
