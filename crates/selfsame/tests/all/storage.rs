//! What lies in a run folder is whole, or is told not to be: at every byte, and at every moment at which a process can be killed.

use crate::training::{Warnings, encoder, losses, method, plan, pretrain, train, train_to};
use selfsame::Error;
use selfsame::branch::Branch;
use selfsame::checkpoint::{self, Checkpoint, Judged};
use selfsame::embed::{Tables, Wanted};
use selfsame::encoder_folder::EncoderFolder;
use selfsame::events::{Event, Observer, Silent};
use selfsame::plan::Plan;
use selfsame::progress::Progress;
use selfsame::run::{Run, RunState};
use selfsame::tensor::parameters::Array;
use selfsame::train_settings::BestBy;
use selfsame::trainer::Outcome;
use selfsame::weights::WeightsOf;
use selfsame_base::seal;
use selfsame_data::dataset::Dataset;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Barrier};

/// A checkpoint of a few numbers; `value` tells it from others.
fn small(step: u64, value: f32) -> Checkpoint {
    let arrays = |name: &str| BTreeMap::from([(name.to_owned(), Array { shape: vec![3], values: vec![value; 3] })]);
    let progress = Progress { step, steps: 200_000_000, steps_per_epoch: 5 };
    Checkpoint { progress, model: arrays("weight"), optimizer: arrays("weight.0") }
}

fn save(plan: &Plan, step: u64, judged: Option<Judged>) -> PathBuf {
    fs::create_dir_all(&plan.out).unwrap();
    checkpoint::save(&plan.out.join("checkpoints"), &small(step, step as f32), plan, judged).unwrap()
}

/// Step of the newest checkpoint that is whole, and what was said of newer ones.
fn newest(plan: &Plan) -> Result<(Option<u64>, Vec<String>), Error> {
    let mut heard = Vec::new();
    let found = checkpoint::load_newest(&plan.out.join("checkpoints"), plan, &mut |line| heard.push(line))?;
    let step = found.map(|(checkpoint, _)| {
        assert_eq!(checkpoint, small(checkpoint.progress.step, checkpoint.progress.step as f32));
        checkpoint.progress.step
    });
    Ok((step, heard))
}

/// Names in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

fn checkpoints(plan: &Plan) -> Vec<String> {
    names(&plan.out.join("checkpoints"))
}

/// Goes on to the end; the step that it begins after, and the warnings.
fn go_on(plan: &Plan, dataset: &Arc<Dataset>) -> (u64, Vec<String>) {
    #[derive(Default)]
    struct Heard(Option<u64>, Warnings);
    impl Observer for Heard {
        fn event(&mut self, event: &Event) {
            if let Event::Started { step, .. } = event {
                self.0 = Some(*step);
            }
            self.1.event(event);
        }
    }
    let mut heard = Heard::default();
    let outcome = pretrain(plan, dataset, &mut heard, &AtomicBool::new(false));
    assert_eq!(outcome, Outcome::Finished { run: plan.out.clone() });
    (heard.0.unwrap(), heard.1.0.into_iter().map(|(_, message)| message).collect())
}

fn try_train(plan: &Plan, dataset: &Arc<Dataset>) -> Result<Outcome, Error> {
    (method(plan).pretrain)(plan, dataset.clone(), &mut Silent, &AtomicBool::new(false))
}

fn branch(plan: &Plan) -> Result<(Branch, Vec<String>), Error> {
    let mut heard = Vec::new();
    let branch = (method(plan).branch)(plan, WeightsOf::Trained, &mut |line| heard.push(line))?;
    Ok((branch, heard))
}

/// Puts another value into a sealed record, and seals it again.
fn edit(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    record.as_object_mut().unwrap().remove("blake3").unwrap();
    edit(&mut record);
    fs::write(path, seal::seal(&record)).unwrap();
}

fn flip(path: &Path, at: usize, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn no_damage_of_a_checkpoint_goes_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = plan(folder.path(), "run", &[]);
    save(&plan, 4, None);
    let path = save(&plan, 8, None);
    assert_eq!(newest(&plan).unwrap(), (Some(8), Vec::new()));
    let told = |what: &str| {
        let (step, heard) = newest(&plan).unwrap();
        assert_eq!(step, Some(4), "{what}: {heard:?}");
        let all = ["step-00000008", "cannot be used", "step 4 is used"];
        assert!(heard.len() == 1 && all.iter().all(|part| heard[0].contains(part)), "{what}: {heard:?}");
    };
    for name in ["manifest.json", "model.safetensors", "optimizer.safetensors"] {
        let file = path.join(name);
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            flip(&file, at, at % 8);
            told(&format!("{name}: byte {at} flipped"));
            if at % 3 == 0 {
                fs::write(&file, &whole[..at]).unwrap();
                told(&format!("{name}: cut to {at}"));
            }
            fs::write(&file, &whole).unwrap();
        }
        fs::write(&file, [&whole[..], &[0]].concat()).unwrap();
        told(&format!("{name}: longer"));
        fs::remove_file(&file).unwrap();
        told(&format!("{name}: gone"));
        fs::create_dir(&file).unwrap();
        told(&format!("{name}: a folder"));
        fs::remove_dir(&file).unwrap();
        fs::write(&file, &whole).unwrap();
    }
    fs::write(path.join("more"), "").unwrap();
    told("a file more");
    fs::remove_file(path.join("more")).unwrap();
    fs::write(path.join(".DS_Store"), "").unwrap();
    assert_eq!(newest(&plan).unwrap(), (Some(8), Vec::new()), "hidden files are none of ours");

    // A step that is not the manifest's.
    let renamed = path.with_file_name("step-00000071");
    fs::rename(&path, &renamed).unwrap();
    let (step, heard) = newest(&plan).unwrap();
    assert!(step == Some(4) && heard.len() == 1 && heard[0].contains("its manifest is of step 8"), "{heard:?}");
    fs::rename(&renamed, &path).unwrap();

    // All of them: said in one line, and nothing is removed.
    for path in [&path, &path.with_file_name("step-00000004")] {
        fs::write(path.join("model.safetensors"), "").unwrap();
    }
    let error = newest(&plan).unwrap_err();
    assert!(matches!(error, Error::NoCheckpoint { .. }), "{error:?}");
    let error = error.to_string();
    let parts = ["no checkpoint is whole", "step-00000008", "model.safetensors: 0 bytes long", "nothing was changed"];
    assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
    assert!(!error.contains("remove"), "{error}");
    assert_eq!(checkpoints(&plan), ["step-00000004", "step-00000008"]);
}

#[test]
fn checkpoints_are_ordered_by_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = plan(folder.path(), "run", &["train.keep_checkpoints=9"]);
    for step in [9, 10, 99_999_999, 100_000_000] {
        save(&plan, step, None);
    }
    for other in ["step-x", "step-+200000000", "step-", "step-99999999999999999999999"] {
        fs::create_dir(plan.out.join("checkpoints").join(other)).unwrap();
    }
    assert_eq!(newest(&plan).unwrap(), (Some(100_000_000), Vec::new()));
}

#[test]
fn only_those_that_the_plan_keeps_stay_and_what_was_overtaken_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = plan(folder.path(), "run", &["train.keep_checkpoints=2"]);
    for step in [4, 8, 12, 16] {
        save(&plan, step, None);
    }
    assert_eq!(checkpoints(&plan), ["step-00000012", "step-00000016"]);
    // A damaged one that claims a later step must push out none that is whole.
    let later = plan.out.join("checkpoints/step-00000100");
    fs::create_dir(&later).unwrap();
    assert_eq!(newest(&plan).unwrap().0, Some(16));
    checkpoint::prune(&plan.out.join("checkpoints"), 16, &plan).unwrap();
    assert!(later.exists(), "nothing that was not overtaken goes");
    save(&plan, 20, None);
    assert_eq!(checkpoints(&plan), ["step-00000016", "step-00000020"]);
    // Not even a file in its place is in the way.
    fs::write(plan.out.join("checkpoints/step-00000024"), "").unwrap();
    save(&plan, 24, None);
    assert_eq!(newest(&plan).unwrap(), (Some(24), Vec::new()));
}

#[test]
fn a_step_that_is_saved_again_is_kept_or_replaced_by_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = plan(folder.path(), "run", &["train.keep_checkpoints=1"]);
    let judged = Some(Judged { by: BestBy::Lidar, value: 3.5 });
    let path = save(&plan, 8, judged);
    let written = || fs::metadata(path.join("model.safetensors")).unwrap().modified().unwrap();
    let before = (written(), fs::read(path.join("manifest.json")).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(20));
    save(&plan, 8, None);
    assert!(before == (written(), fs::read(path.join("manifest.json")).unwrap()), "it was there already");
    // Damaged, or another course of the training: there is a new one.
    flip(&path.join("model.safetensors"), 80, 0);
    save(&plan, 8, None);
    assert_eq!(newest(&plan).unwrap(), (Some(8), Vec::new()));
    let other = small(8, 1.5);
    checkpoint::save(&plan.out.join("checkpoints"), &other, &plan, None).unwrap();
    let loaded = checkpoint::load_newest(&plan.out.join("checkpoints"), &plan, &mut |_| {}).unwrap().unwrap();
    assert_eq!(loaded.0, other);
    assert_eq!(checkpoints(&plan), ["step-00000008"]);
}

#[test]
fn the_best_is_kept_beside_the_newest_and_is_never_taken_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, _) = plan(folder.path(), "run", &["train.keep_checkpoints=1", "train.keep_best=lidar"]);
    let at = |step, value| save(&plan, step, Some(Judged { by: BestBy::Lidar, value }));
    let mut kept = Vec::new();
    for (step, value) in [(5, 2.0), (10, 9.0), (15, 1.0), (20, 9.0)] {
        at(step, value);
        kept.push(checkpoints(&plan).len());
    }
    save(&plan, 21, Some(Judged { by: BestBy::EffectiveRank, value: 100.0 }));
    save(&plan, 22, None);
    assert_eq!(kept, [1, 1, 2, 1]);
    assert_eq!(checkpoints(&plan), ["step-00000020", "step-00000022"]);
    assert_eq!(newest(&plan).unwrap().0, Some(22));
    let best = |warn: &mut dyn FnMut(String)| checkpoint::load_best(&plan.out.join("checkpoints"), &plan, warn);
    assert_eq!(best(&mut |_| {}).unwrap().unwrap().0.progress.step, 20);
    flip(&plan.out.join("checkpoints/step-00000020/model.safetensors"), 80, 3);
    assert!(matches!(best(&mut |_| {}), Err(Error::NoCheckpoint { .. })));
}

#[test]
fn keeping_the_best_changes_no_result_and_survives_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, dataset) = plan(folder.path(), "plain", &[]);
    train(&plain, &dataset);
    for by in ["lidar", "effective_rank"] {
        let more = [&format!("train.keep_best={by}"), "train.keep_checkpoints=1", "train.checkpoint_steps=0"];
        let (whole, dataset) = plan(folder.path(), by, &more);
        train(&whole, &dataset);
        assert!(encoder(&plain) == encoder(&whole));
        let (parts, dataset) = plan(folder.path(), &format!("{by}-parts"), &more);
        [2, 5, 7, 10].into_iter().for_each(|step| train_to(&parts, &dataset, step));
        go_on(&parts, &dataset);
        assert!(encoder(&plain) == encoder(&parts));
        let best = |plan: &Plan| {
            let found = checkpoint::load_best(&plan.out.join("checkpoints"), plan, &mut |line| panic!("{line}"));
            let (checkpoint, manifest) = found.unwrap().unwrap();
            (checkpoint, manifest.judged)
        };
        assert!(best(&whole) == best(&parts) && checkpoints(&whole) == checkpoints(&parts));
        assert!(best(&whole).1.unwrap().value > 0.0 && checkpoints(&whole).len() <= 2);
        (method(&whole).branch)(&whole, WeightsOf::Best, &mut |line| panic!("{line}")).unwrap();
    }
    let (plan, dataset) = plan(folder.path(), "knn", &["train.keep_best=online_knn"]);
    let error = try_train(&plan, &dataset).unwrap_err().to_string();
    assert!(error.contains("train.keep_best") && error.contains("labels"), "{error}");
}

/// The states in which a process that is killed while it saves step 8 leaves the folder, with `keep` checkpoints kept.
fn cut_short(folder: &Path, keep: usize) -> Vec<(String, Plan, u64)> {
    let mut states: Vec<(String, Plan, u64)> = Vec::new();
    let mut state = |what: &str, goes_on_from: u64, make: &dyn Fn(&Path)| {
        // That more are kept is a record, which a run takes anew when it goes on.
        let (mut plan, dataset) = plan(folder, &format!("{keep}-{}", states.len()), &["train.keep_checkpoints=9"]);
        train_to(&plan, &dataset, 8);
        plan.train.keep_checkpoints = keep;
        make(&plan.out.join("checkpoints"));
        states.push((format!("{what}, {keep} kept"), plan, goes_on_from));
    };
    let files = ["model.safetensors", "optimizer.safetensors", "manifest.json"];
    let to_writing = |folder: &Path| fs::rename(folder.join("step-00000008"), folder.join(".writing")).unwrap();
    for count in 0..files.len() {
        state(&format!("{count} files written"), 4, &|folder| {
            to_writing(folder);
            files[count..].iter().for_each(|name| fs::remove_file(folder.join(".writing").join(name)).unwrap());
        });
    }
    state("the manifest half written", 4, &|folder| {
        to_writing(folder);
        let path = folder.join(".writing/manifest.json");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    });
    state("whole, and not renamed", 8, &to_writing);
    state("whole, and a damaged one of the same step set aside", 8, &|folder| {
        to_writing(folder);
        fs::create_dir(folder.join(".removing")).unwrap();
        fs::write(folder.join(".removing/model.safetensors"), "damaged").unwrap();
    });
    state("whole, and a damaged one of the same step there", 8, &|folder| {
        to_writing(folder);
        fs::create_dir(folder.join("step-00000008")).unwrap();
    });
    state("the first ever, and not renamed", 8, &|folder| {
        to_writing(folder);
        fs::remove_dir_all(folder.join("step-00000004")).unwrap();
    });
    state("renamed, and the old one not removed", 8, &|_| {});
    state("the old one half removed", 8, &|folder| {
        fs::rename(folder.join("step-00000004"), folder.join(".removing")).unwrap();
        fs::remove_file(folder.join(".removing/manifest.json")).unwrap();
    });
    states
}

#[test]
fn a_save_that_is_killed_at_any_moment_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &[]);
    train(&whole, &dataset);
    for keep in [1, 3] {
        for (what, plan, goes_on_from) in cut_short(folder.path(), keep) {
            let (step, warnings) = go_on(&plan, &dataset);
            assert_eq!((step, &warnings), (goes_on_from, &Vec::new()), "{what}");
            assert!(encoder(&plan) == encoder(&whole), "{what}");
            assert_eq!(losses(&plan), losses(&whole), "{what}");
            let left = checkpoints(&plan);
            assert!(left.len() <= keep && left.iter().all(|name| name.starts_with("step-")), "{what}: {left:?}");
        }
    }
}

#[test]
fn a_folder_whose_making_was_cut_short_becomes_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &["epochs=1"]);
    train(&whole, &dataset);
    let partial = ".partial-selfsame-aB3dE6";
    let states: [&[&str]; 6] =
        [&[], &[".lock"], &[".lock", partial], &["checkpoints/"], &["checkpoints/", ".lock", partial], &[partial]];
    for (index, state) in states.iter().enumerate() {
        let (plan, dataset) = plan(folder.path(), &format!("cut-{index}"), &["epochs=1"]);
        fs::create_dir(&plan.out).unwrap();
        for name in *state {
            match name.strip_suffix('/') {
                Some(name) => fs::create_dir(plan.out.join(name)).unwrap(),
                None => fs::write(plan.out.join(name), "half").unwrap(),
            }
        }
        go_on(&plan, &dataset);
        assert!(encoder(&plan) == encoder(&whole), "{state:?}");
        assert!(!plan.out.join(partial).exists(), "{state:?}");
    }
    // Anything else is somebody's.
    let (occupied, dataset) = plan(folder.path(), "occupied", &["epochs=1"]);
    fs::create_dir_all(occupied.out.join("checkpoints/mine")).unwrap();
    let error = try_train(&occupied, &dataset).unwrap_err().to_string();
    assert!(error.contains("not empty") && names(&occupied.out) == ["checkpoints"], "{error}");
}

#[test]
fn of_two_that_start_at_once_one_trains() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..8 {
        let (plan, dataset) = plan(folder.path(), &format!("run-{round}"), &["epochs=1", "threads=1"]);
        let start = Barrier::new(2);
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let one = || {
                start.wait();
                try_train(&plan, &dataset)
            };
            let both = [scope.spawn(one), scope.spawn(one)];
            both.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let finished = |outcome: &&Result<Outcome, Error>| matches!(outcome, Ok(Outcome::Finished { .. }));
        let too_late = |outcome: &&Result<Outcome, Error>| {
            matches!(outcome, Err(Error::InUse { .. }) | Ok(Outcome::AlreadyFinished { .. }))
        };
        let counts = (outcomes.iter().filter(finished).count(), outcomes.iter().filter(too_late).count());
        assert_eq!(counts, (1, 1), "{outcomes:?}");
    }
}

#[test]
fn a_run_does_not_depend_on_its_records() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &["epochs=2"]);
    train(&whole, &dataset);
    type Damage<'a> = (&'a str, &'a dyn Fn(&Path), usize);
    let damage: [Damage; 5] = [
        (
            "a flipped bit",
            // Of a line, not of what ends one, which would take two.
            &|path| {
                let bytes = fs::read(path).unwrap();
                let half = bytes.len() / 2;
                flip(path, half + bytes[half..].iter().position(|&byte| byte == b'{').unwrap(), 7);
            },
            1,
        ),
        (
            "a torn end",
            &|path| fs::write(path, &fs::read(path).unwrap()[..fs::read(path).unwrap().len() - 5]).unwrap(),
            0,
        ),
        ("garbage in front", &|path| fs::write(path, [b"\0\xff\n", &fs::read(path).unwrap()[..]].concat()).unwrap(), 0),
        ("nothing", &|path| fs::remove_file(path).unwrap(), 6),
        (
            "a folder",
            &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            6,
        ),
    ];
    for (index, (what, damage, lost)) in damage.iter().enumerate() {
        let (plan, dataset) = plan(folder.path(), &format!("run-{index}"), &["epochs=2"]);
        train_to(&plan, &dataset, 6);
        damage(&plan.out.join("metrics.jsonl"));
        assert_eq!(Run::existing(&plan.out).unwrap().progress().unwrap().unwrap().epochs(), 1.2, "{what}");
        let (step, warnings) = go_on(&plan, &dataset);
        assert_eq!(step, 6, "{what}");
        assert_eq!(warnings.len(), usize::from(*what != "nothing"), "{what}: {warnings:?}");
        assert!(warnings.iter().all(|line| line.contains("metrics.jsonl") && !line.contains('\n')), "{warnings:?}");
        assert!(encoder(&plan) == encoder(&whole), "{what}");
        let (all, kept) = (losses(&whole), losses(&plan));
        assert!(all.len() - kept.len() <= *lost && kept.iter().all(|line| all.contains(line)), "{what}");
    }
}

#[test]
fn an_encoder_is_finished_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &["epochs=1"]);
    train(&plan, &dataset);
    let state = || Run::existing(&plan.out).unwrap().state().unwrap();
    let before = (encoder(&plan), fs::read(plan.out.join("config.json")).unwrap());
    assert_eq!(state(), RunState::Finished);
    let [weights, config] = ["encoder.safetensors", "config.json"].map(|name| plan.out.join(name));
    let damage: [(&str, &dyn Fn()); 5] = [
        ("emptied", &|| fs::write(&weights, "").unwrap()),
        ("a flipped bit of the weights", &|| flip(&weights, before.0.len() - 1, 0)),
        ("a flipped bit of the description", &|| flip(&config, before.1.len() / 3, 1)),
        ("no description", &|| fs::remove_file(&config).unwrap()),
        ("no weights", &|| fs::remove_file(&weights).unwrap()),
    ];
    for (what, damage) in &damage {
        damage();
        assert!(state() != RunState::Finished, "{what}");
        assert!(EncoderFolder::open(&plan.out).is_err(), "{what}");
        let (step, warnings) = go_on(&plan, &dataset);
        assert_eq!(step, 5, "{what}");
        // Without weights there was no encoder.
        assert_eq!(warnings.len(), usize::from(*what != "no weights"), "{what}: {warnings:?}");
        let told = |line: &String| line.contains("damaged") && line.contains("written again");
        assert!(warnings.iter().all(told), "{what}: {warnings:?}");
        assert!(before == (encoder(&plan), fs::read(&config).unwrap()), "{what}");
    }
    // A finished run is finished whatever became of its checkpoints.
    let whole = branch(&plan).unwrap();
    assert!(whole.1.is_empty() && whole.0.has_z(), "{:?}", whole.1);
    fs::write(plan.out.join("checkpoints/step-00000005/model.safetensors"), "").unwrap();
    fs::remove_dir_all(plan.out.join("checkpoints/step-00000004")).unwrap();
    let damaged = branch(&plan).unwrap();
    assert!(damaged.1.len() == 1 && damaged.1[0].contains("no checkpoint is whole"), "{:?}", damaged.1);
    fs::remove_dir_all(plan.out.join("checkpoints")).unwrap();
    let alone = branch(&plan).unwrap();
    assert!(alone.1.len() == 1 && alone.1[0].contains("checkpoints are gone") && alone.1[0].contains("without z"));
    let h = |branch: &Branch| Tables::embed(branch, &dataset, &plan, None, Wanted::default(), &mut |_| {}).unwrap().h;
    assert!(h(&whole.0) == h(&damaged.0) && h(&whole.0) == h(&alone.0) && !alone.0.has_z());
    assert_eq!(Run::existing(&plan.out).unwrap().progress().unwrap().unwrap().step, 5);
    assert_eq!(try_train(&plan, &dataset).unwrap(), Outcome::AlreadyFinished { run: plan.out.clone() });
    // Of an older version, which did not know a key, it is the same.
    let mut older = EncoderFolder::open(&plan.out).unwrap().into_config();
    assert!(older.recipe.contains("keep = \"student\"\n"));
    older.recipe = older.recipe.replace("keep = \"student\"\n", "");
    older.plan = "0".repeat(64);
    fs::write(&config, seal::seal(&older)).unwrap();
    assert!(h(&branch(&plan).unwrap().0) == h(&whole.0));
    // Of a plan that was edited since, it is not.
    let mut edited = plan.clone();
    edited.seed = 7;
    let error = branch(&edited).unwrap_err().to_string();
    assert!(error.contains("is not the plan that the encoder was trained by (seed 0 → 7)"), "{error}");
    // With neither, there is nothing to write it from.
    fs::write(&weights, "").unwrap();
    for error in [try_train(&plan, &dataset).map(drop), branch(&plan).map(drop)] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("encoder.safetensors: 0 bytes long") && !error.contains('\n'), "{error}");
    }
    assert!(fs::read(&weights).unwrap().is_empty(), "nothing was trained anew over it");
}

#[test]
fn an_older_checkpoint_and_an_unfinished_run_are_told_by_whatever_loads_them() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &[]);
    train_to(&plan, &dataset, 9);
    let (_, heard) = branch(&plan).unwrap();
    assert!(heard.len() == 1 && heard[0].contains("step 9 of 15: its encoder is not trained to the end"), "{heard:?}");
    flip(&plan.out.join("checkpoints/step-00000009/optimizer.safetensors"), 50, 5);
    let (_, heard) = branch(&plan).unwrap();
    let older = heard[0].contains("step-00000009") && heard[0].contains("that of step 8 is used");
    assert!(heard.len() == 2 && older && heard[1].contains("step 8 of 15"), "{heard:?}");
    assert_eq!(Run::existing(&plan.out).unwrap().progress().unwrap().unwrap().step, 8);
}

#[test]
fn what_another_version_wrote_is_refused_and_not_taken_for_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &[]);
    train_to(&plan, &dataset, 9);
    let before = checkpoints(&plan);
    let manifest = plan.out.join("checkpoints/step-00000009/manifest.json");
    edit(&manifest, |manifest| manifest["format"] = 2.into());
    for error in [try_train(&plan, &dataset).map(drop), branch(&plan).map(drop)] {
        let error = error.unwrap_err().to_string();
        let parts = ["the checkpoint of step 9 has format 2, and this version reads format 1", "encoder.safetensors"];
        assert!(parts.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
    }
    assert_eq!(checkpoints(&plan), before);
    // Before there were manifests.
    fs::rename(&manifest, manifest.with_file_name("state.json")).unwrap();
    assert!(try_train(&plan, &dataset).unwrap_err().to_string().contains("has format 0"));

    let file = plan.out.join("plan.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("format 1", "format 2")).unwrap();
    let error = try_train(&plan, &dataset).unwrap_err().to_string();
    assert!(
        error.contains("plan.toml") && error.contains("`# selfsame run, format 1`, not `# selfsame run, format 2`"),
        "{error}"
    );
    fs::write(&file, text).unwrap();

    fs::remove_dir_all(plan.out.join("checkpoints")).unwrap();
    go_on(&plan, &dataset);
    edit(&plan.out.join("config.json"), |config| config["format"] = 2.into());
    let error = try_train(&plan, &dataset).unwrap_err().to_string();
    assert!(error.contains("the encoder has format 2, and this version reads format 1"), "{error}");
}

#[test]
fn a_run_goes_on_that_began_before_a_key_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["method=byol", "optimizer.base_lr=0.1"];
    let (whole, dataset) = plan(folder.path(), "whole", &words);
    train(&whole, &dataset);
    let (older, _) = plan(folder.path(), "older", &words);
    train_to(&older, &dataset, 9);
    for step in [8, 9] {
        edit(&older.out.join(format!("checkpoints/step-0000000{step}/manifest.json")), |manifest| {
            let mut plan: toml::Table = manifest["plan"].as_str().unwrap().parse().unwrap();
            for (table, key) in [("train", "keep"), ("train", "precision"), ("backbone", "norm")] {
                assert!(plan[table].as_table_mut().unwrap().remove(key).is_some(), "{table}.{key}");
            }
            manifest["plan"] = plan.to_string().into();
        });
    }
    // It had what is preset; nothing else is the same plan.
    let (other, _) = plan(folder.path(), "older", &[&words[..], &["train.precision=bf16"]].concat());
    fs::write(
        other.out.join("plan.toml"),
        fs::read_to_string(other.out.join("plan.toml")).unwrap().replace("\"f32\"", "\"bf16\""),
    )
    .unwrap();
    let error = try_train(&other, &dataset).unwrap_err().to_string();
    assert!(error.contains("train.precision \"f32\" → \"bf16\""), "{error}");
    fs::write(
        older.out.join("plan.toml"),
        fs::read_to_string(older.out.join("plan.toml")).unwrap().replace("\"bf16\"", "\"f32\""),
    )
    .unwrap();
    assert_eq!(branch(&older).unwrap().1.len(), 1, "it can be judged");
    assert_eq!(go_on(&older, &dataset), (9, Vec::new()));
    assert!(encoder(&older) == encoder(&whole) && losses(&older) == losses(&whole));
}

#[test]
fn a_run_that_came_to_nothing_takes_another_plan() {
    let folder = tempfile::tempdir().unwrap();
    let diverging = ["method=barlow_twins", "optimizer.base_lr=1e30", "train.checkpoint_steps=0"];
    let (bad, dataset) = plan(folder.path(), "run", &diverging);
    assert!(matches!(try_train(&bad, &dataset), Err(Error::Diverged { .. })));
    let (whole, _) = plan(folder.path(), "whole", &["method=barlow_twins"]);
    train(&whole, &dataset);
    let (good, dataset) = plan(folder.path(), "run", &["method=barlow_twins"]);
    let (step, warnings) = go_on(&good, &dataset);
    let told = ["takes another plan", "optimizer.base_lr ", "metrics-1.jsonl"];
    assert!(step == 0 && warnings.len() == 1 && told.iter().all(|part| warnings[0].contains(part)), "{warnings:?}");
    assert!(encoder(&good) == encoder(&whole) && losses(&good) == losses(&whole));
    assert!(fs::read_to_string(good.out.join("metrics-1.jsonl")).unwrap().contains("started"));
    // Once something has come of it, no more.
    assert!(try_train(&bad, &dataset).unwrap_err().to_string().contains("another plan than the run began with"));
}

#[test]
fn other_kernels_are_told_when_a_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &["epochs=2"]);
    train_to(&plan, &dataset, 6);
    let manifest = plan.out.join("checkpoints/step-00000006/manifest.json");
    edit(&manifest, |manifest| manifest["kernels"]["isa"] = "altivec".into());
    let (_, warnings) = go_on(&plan, &dataset);
    assert!(
        warnings.len() == 1 && warnings[0].contains("begun on altivec") && warnings[0].contains("differ"),
        "{warnings:?}"
    );
}

/// Does something to the run folder once a step is done.
struct Meanwhile<F>(u64, F);

impl<F: FnMut() + Send> Observer for Meanwhile<F> {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Step(record) if record.step == self.0) {
            (self.1)();
        }
    }
}

#[test]
#[cfg(unix)]
fn a_run_folder_that_vanishes_ends_the_training() {
    let folder = tempfile::tempdir().unwrap();
    for (index, again) in [false, true].into_iter().enumerate() {
        let (plan, dataset) = plan(folder.path(), &format!("run-{index}"), &[]);
        let moved = plan.out.with_extension("moved");
        let mut vanish = Meanwhile(6, || {
            fs::rename(&plan.out, &moved).unwrap();
            if again {
                fs::create_dir(&plan.out).unwrap();
            }
        });
        let error = (method(&plan).pretrain)(&plan, dataset.clone(), &mut vanish, &AtomicBool::new(false)).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("was removed, renamed or replaced") && !error.contains('\n'), "{error}");
        assert!(!plan.out.exists() || names(&plan.out).is_empty(), "nothing was written there");
        // What was saved is where it went to.
        fs::remove_dir_all(&plan.out).ok();
        fs::rename(&moved, &plan.out).unwrap();
        assert_eq!(go_on(&plan, &dataset).0, 4);
    }
}

/// Clusters that a run keeps are found anew when they are damaged.
#[test]
fn damaged_clusters_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["epochs=1"]);
    train(&source, &dataset);
    let from = format!("method.source={}", source.out.display());
    let more = ["method=clusterfit", &from, "method.clusters=5"];
    let (whole, dataset) = plan(folder.path(), "whole", &more);
    train(&whole, &dataset);
    for name in ["clusters.safetensors", "clusters.json"] {
        let (parts, dataset) = plan(folder.path(), name, &more);
        train_to(&parts, &dataset, 6);
        let path = parts.out.join(name);
        flip(&path, fs::read(&path).unwrap().len() - 2, 6);
        go_on(&parts, &dataset);
        assert!(encoder(&parts) == encoder(&whole), "{name}");
    }
}

/// Encoder folders of every format since there are any, with features that were recorded when they were written.
/// `SELFSAME_RECORD=1 cargo test -p selfsame golden_encoders` writes one for a format that has none yet.
#[test]
fn golden_encoders_are_read_for_ever() {
    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let temporary = tempfile::tempdir().unwrap();
    // Pixels that no generator has to be kept for.
    let pixels: Vec<f32> = (0..2 * 12 * 12).map(|i| ((i * 37 % 101) as f32) / 50.0 - 1.0).collect();
    let features = |folder: &Path| -> Vec<f32> {
        let device = selfsame::device::open("cpu").unwrap();
        let encoder = EncoderFolder::open(folder).unwrap().load(&device).unwrap();
        let view = selfsame::tensor::view_to_device(pixels.clone(), [12, 12, 1], &device);
        selfsame::tensor::to_vec(encoder.forward(view, &selfsame::tensor::layers::Pass::evaluate()))
    };
    let current = Path::new(GOLDEN).join(format!("encoder-v{}", selfsame::encoder_folder::FORMAT));
    if std::env::var_os("SELFSAME_RECORD").is_some() && !current.exists() {
        let (plan, dataset) = plan(temporary.path(), "run", &["backbone.widths=[4]"]);
        train(&plan, &dataset);
        fs::create_dir(&current).unwrap();
        for name in ["config.json", "encoder.safetensors"] {
            fs::copy(plan.out.join(name), current.join(name)).unwrap();
        }
        fs::write(current.join("features.json"), serde_json::to_string(&features(&current)).unwrap() + "\n").unwrap();
    }
    for format in 1..=selfsame::encoder_folder::FORMAT {
        let folder = Path::new(GOLDEN).join(format!("encoder-v{format}"));
        let recorded: Vec<f32> = serde_json::from_slice(&fs::read(folder.join("features.json")).unwrap()).unwrap();
        let found = features(&folder);
        assert!(
            found.len() == recorded.len() && recorded.iter().any(|v| v.abs() > 0.01),
            "format {format}: {recorded:?}"
        );
        // Instruction sets differ in rounding.
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-4 * b.abs().max(1.0);
        assert!(found.iter().zip(&recorded).all(close), "format {format}: {found:?} for {recorded:?}");
    }
}
