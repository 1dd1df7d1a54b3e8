//! One flipped bit or a truncation at random places of every file of the newest checkpoint; and a file of it that is gone, and
//! another checkpoint's name. Each is noticed and said by every command that loads it, and the one before serves.

use crate::bench::{Bench, draw};
use crate::calls::Answer;
use crate::ledger::Tally;
use crate::product::{
    CHECKPOINTS, Failure, Place, RUN, completes_a_checkpoint, diagnose, embed, evaluate, go_on, pretrain, report,
};
use std::fs;
use std::path::Path;

/// A run whose newest checkpoint is damaged, and what is to come of it.
struct Damage<'a> {
    bench: &'a Bench,
    /// The run as it was before.
    template: Place<'a>,
    /// Name of the newest checkpoint's folder, and its files.
    newest: String,
    files: Vec<String>,
    commands: [(&'static str, Vec<String>); 5],
    /// What going on with the run ends in.
    encoder: blake3::Hash,
    /// Features by the checkpoint before.
    features: Vec<u8>,
}

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let words = pretrain(&bench.data, &["epochs=5", "train.checkpoint_steps=4", "train.keep_checkpoints=3"]);
    let encoder = bench.undisturbed("damage", &words)?.encoder;
    let template = unfinished(bench, &words)?;
    let newest = template.run_folder().checkpoints().pop_last().ok_or("no checkpoint to damage")?.1;
    let entries = fs::read_dir(&newest).map_err(|e| e.to_string())?.flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    files.sort();
    let newest = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();

    let before = template.copy(bench.folder.join("damage-before"))?;
    fs::remove_dir_all(before.run_folder().path(CHECKPOINTS).join(&newest)).map_err(|e| e.to_string())?;
    before.run(&embed(&bench.data))?.succeeded()?;
    let features = fs::read(before.path("h.npy")).map_err(|e| format!("h.npy: {e}"))?;

    let data = &bench.data;
    let commands = [
        ("pretrain", go_on()),
        ("embed", embed(data)),
        ("evaluate", evaluate(data)),
        ("diagnose", diagnose()),
        ("report", report()),
    ];
    let damage = Damage { bench, template, newest, files, commands, encoder, features };
    Ok(vec![damage.places(), damage.names()])
}

impl Damage<'_> {
    fn places(&self) -> Tally {
        let files = self.files.iter();
        let kinds: Vec<_> =
            files.flat_map(|file| self.commands.iter().map(move |(command, _)| (file, *command))).collect();
        let trials = (0..self.bench.count(500, 60)).map(|i| {
            let (file, command) = kinds[i % kinds.len()];
            format!("{i}-{command}-{file}")
        });
        let tally = self.bench.ledger.each("damage", &trials.collect::<Vec<_>>(), |trial| {
            let index: usize = trial.split('-').next().and_then(|n| n.parse().ok()).expect("begins with a number");
            let (file, command) = kinds[index % kinds.len()];
            self.passed_over(trial, command, &self.newest, |newest| spoil(&newest.join(file), index))
        });
        tally.named("damaged checkpoints", "detected and said, with the one before in its place")
    }

    fn names(&self) -> Tally {
        let kinds = std::iter::once("renamed").chain(self.files.iter().map(String::as_str));
        let trials: Vec<_> =
            kinds.flat_map(|kind| self.commands.iter().map(move |(command, _)| format!("{command}-{kind}"))).collect();
        let tally = self.bench.ledger.each("damaged-names", &trials, |trial| {
            let (command, kind) = trial.split_once('-').expect("a command and what happens");
            let other = "step-00000099";
            if kind == "renamed" {
                return self.passed_over(trial, command, other, |newest| {
                    fs::rename(newest, newest.with_file_name(other))?;
                    Ok("renamed".into())
                });
            }
            self.passed_over(trial, command, &self.newest, |newest| {
                fs::remove_file(newest.join(kind))?;
                Ok(format!("{kind} removed"))
            })
        });
        tally.named(
            "checkpoints without a file, or under another's name",
            "detected and said, with the one before in its place",
        )
    }

    /// Does something to the newest checkpoint, and has a command say that it passes `named` over.
    fn passed_over(
        &self,
        trial: &str,
        command: &str,
        named: &str,
        spoil: impl FnOnce(&Path) -> std::io::Result<String>,
    ) -> Result<(), Failure> {
        let place = self.template.copy(self.bench.folder.join(format!("damage-{trial}")))?;
        let newest = place.path(RUN).join(CHECKPOINTS).join(&self.newest);
        let how = spoil(&newest).map_err(|e| format!("{}: {e}", newest.display()))?;
        let (_, words) = self.commands.iter().find(|(name, _)| *name == command).expect("the name of a command");
        let session = place.run(words)?;
        let result = || {
            session.succeeded()?;
            if !session.stderr.contains(named) {
                return Err("standard error does not name the checkpoint".into());
            }
            match command {
                "pretrain" => place.run_folder().ends_in(self.encoder),
                "embed" if fs::read(place.path("h.npy")).ok().as_ref() != Some(&self.features) => {
                    Err("other features than those of the checkpoint before".into())
                }
                _ => Ok(()),
            }
        };
        result().map_err(|failure: Failure| format!("{command}: {failure} ({how})"))?;
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    }
}

/// A run that was killed after its third checkpoint.
fn unfinished<'a>(bench: &'a Bench, words: &[String]) -> Result<Place<'a>, Failure> {
    let place = bench.place("damage-template")?;
    let records = place.run_folder().path("metrics.jsonl");
    let (mut saves, mut lines) = (0, 0);
    let session = place.watched(words, |call| {
        saves += usize::from(completes_a_checkpoint(call));
        lines += usize::from(saves == 3 && call.path == records);
        // The checkpoint's own line is written, and one of the step after it is not.
        if lines == 3 { Answer::Kill } else { Answer::Pass }
    })?;
    if session.killed() { Ok(place) } else { Err("the run ended before its third checkpoint".into()) }
}

/// Flips a bit of a file, or cuts it short; says which.
fn spoil(path: &Path, index: usize) -> std::io::Result<String> {
    let mut bytes = fs::read(path)?;
    let place = draw("damage", index, bytes.len() as u64) as usize;
    let name = path.file_name().unwrap_or_default().display();
    let how = if draw("how", index, 3) == 0 {
        bytes.truncate(place);
        format!("{name} cut at byte {place}")
    } else {
        let bit = draw("bit", index, 8);
        bytes[place] ^= 1 << bit;
        format!("bit {bit} of byte {place} of {name} flipped")
    };
    fs::write(path, bytes)?;
    Ok(how)
}
