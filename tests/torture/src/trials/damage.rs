//! One flipped bit or a truncation at random places of every file of the newest checkpoint: each is noticed and said by every
//! command that loads it, and the one before serves.

use crate::bench::{Bench, draw};
use crate::calls::Answer;
use crate::ledger::Tally;
use crate::product::{
    Failure, Place, completes_a_checkpoint, diagnose, embed, evaluate, go_on, pretrain, report, walk,
};
use std::fs;
use std::path::{Path, PathBuf};

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let words = pretrain(&bench.data, &["epochs=5", "train.checkpoint_steps=4", "train.keep_checkpoints=3"]);
    let good = bench.undisturbed("damage", &words)?;
    let template = unfinished(bench, &words)?;
    let newest = template.run_folder().checkpoints().pop_last().ok_or("no checkpoint to damage")?.1;
    let name = newest.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut files = Vec::new();
    walk(&newest, &mut |path| files.push(path.strip_prefix(&template.folder).expect("below it").to_owned()));
    files.sort();

    let before = template.copy(bench.folder.join("damage-before"))?;
    fs::remove_dir_all(before.folder.join(newest.strip_prefix(&template.folder).expect("below it")))
        .map_err(|e| e.to_string())?;
    before.run(&embed(&bench.data))?.succeeded()?;
    let features = fs::read(before.path("h.npy")).map_err(|e| format!("h.npy: {e}"))?;

    let commands = [
        ("pretrain", go_on()),
        ("embed", embed(&bench.data)),
        ("evaluate", evaluate(&bench.data)),
        ("diagnose", diagnose()),
        ("report", report()),
    ];
    let trials: Vec<String> = (0..bench.count(500, 40))
        .map(|i| {
            let file = files[i / commands.len() % files.len()].file_name().unwrap_or_default().to_string_lossy();
            format!("{i}-{}-{file}", commands[i % commands.len()].0)
        })
        .collect();
    let tally = bench.ledger.each("damage", &trials, |trial| {
        let index: usize = trial.split('-').next().and_then(|n| n.parse().ok()).expect("begins with a number");
        let (command, words) = &commands[index % commands.len()];
        let place = template.copy(bench.folder.join(format!("damage-{index}")))?;
        let how = damage(&place.folder.join(&files[index / commands.len() % files.len()]), index)?;
        let session = place.run(words)?;
        let failed = |failure: Failure| format!("{command} after {how}: {failure}");
        session.succeeded().map_err(failed)?;
        if !session.stderr.contains(&name) {
            return Err(failed(format!("standard error does not name {name}: {}", session.last_line())));
        }
        match *command {
            "pretrain" => place.run_folder().ends_in(good.encoder).map_err(failed)?,
            "embed" if fs::read(place.path("h.npy")).ok().as_deref() != Some(&features) => {
                return Err(failed("other features than those of the checkpoint before".into()));
            }
            _ => {}
        }
        fs::remove_dir_all(&place.folder).map_err(|e| e.to_string())
    });
    Ok(vec![tally.named("damaged checkpoints", "detected and said, with the one before in its place")])
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
fn damage(path: &Path, index: usize) -> Result<String, Failure> {
    let wrong = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut bytes = fs::read(path).map_err(wrong)?;
    let place = draw("damage", index, bytes.len() as u64) as usize;
    let name = PathBuf::from(path.file_name().unwrap_or_default());
    let how = if draw("how", index, 3) == 0 {
        bytes.truncate(place);
        format!("a cut of {} at byte {place}", name.display())
    } else {
        let bit = draw("bit", index, 8);
        bytes[place] ^= 1 << bit;
        format!("a flip of bit {bit} of byte {place} of {}", name.display())
    };
    fs::write(path, bytes).map_err(wrong)?;
    Ok(how)
}
