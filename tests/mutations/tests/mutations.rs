//! Every reader of foreign bytes on its committed seeds, and on a fixed number of mutations of them.

#![allow(clippy::print_stderr, reason = "nobody but a person who runs it reads along")]

use mutations::TARGETS;
use mutations::mutator::Mutator;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Tries the seeds of a target as they are, then `count` mutations of them.
fn mutate(name: &str, count: usize) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut mutator = Mutator::new(count as u64);
    let mutated = (0..count).map(|_| mutator.input(&seeds));
    for input in seeds.iter().cloned().chain(mutated) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.body)(&input))) {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            std::fs::write(&path, &input).unwrap();
            eprintln!("the input lies in {}; mended, it belongs to {}", path.display(), folder.display());
            resume_unwind(panic);
        }
    }
}

macro_rules! targets {
    ($($name:ident $count:literal),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                mutate(stringify!($name), $count);
            }
        )*

        #[test]
        fn every_target_is_mutated_and_fuzzed() {
            let mut names = vec![$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), names);
            let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
            let files = std::fs::read_dir(targets).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
            files.sort();
            names.sort();
            assert_eq!(files, names);
        }
    };
}

targets! {
    recipe 400,
    plan 400,
    checkpoint 200,
    encoder_config 300,
    safetensors 1000,
    idx 1500,
    cifar 300,
    npy 1500,
    npz 1500,
    table 1000,
    parquet 1500,
    ts 1500,
    sound 1000,
    image 3000,
    records 1000,
    weights 1500,
}
