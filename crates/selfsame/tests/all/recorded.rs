//! Encoders of short runs, byte for byte as they were when `tests/golden/encoders.json` was recorded.
//!
//! The instruction set is chosen once per process, so the test runs itself again for each of them that this machine has: what one gives
//! is the same on all machines, so Burn is built without instructions that it would choose by itself. `SELFSAME_RECORD=1 cargo test -p
//! selfsame recorded` writes the file anew, after a change that is meant to change results, on a machine that has all of those of x86-64.
//!
//! Of NEON nothing is recorded: its bytes are AVX2's, for tiles are as high, products are fused in the same places, and sums have the same order.

use crate::signals_learnt::plan_for_series;
use crate::training::{every_method, plan, train, words};
use selfsame::plan::Plan;
use selfsame::tensor::parameters::read_safetensors;
use selfsame_kernels::Isa;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/encoders.json");

/// Instruction set, run, tensor, and the first 16 digits of the hash of its shape and values.
type Hashes = BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>;

#[test]
fn encoders_are_as_recorded() {
    let names: BTreeSet<&str> = Isa::available().map(Isa::name).collect();
    let found: Hashes = names.into_iter().map(|name| (name.to_owned(), hashes(name))).collect();
    let mut recorded: Hashes = serde_json::from_str(&std::fs::read_to_string(RECORDED).unwrap()).unwrap();
    if std::env::var_os("SELFSAME_RECORD").is_some() {
        assert!(recorded.keys().eq(found.keys()), "this machine has {:?} alone", found.keys());
        std::fs::write(RECORDED, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
        recorded.clone_from(&found);
    }
    for (isa, found) in &found {
        let recorded = &recorded[if isa == "neon" { "avx2" } else { isa }];
        assert!(recorded.keys().eq(found.keys()), "{isa}: {:?}", found.keys());
        let differs: Vec<_> = found.iter().filter(|(run, tensors)| recorded[*run] != **tensors).collect();
        assert!(differs.is_empty(), "{} of {} with {isa}: {differs:#?}", differs.len(), found.len());
    }
}

/// This program; with `SELFSAME_TEST_RUNNER`, in the emulator of that name (`scripts/aarch64.sh`).
pub fn again() -> Command {
    let program = std::env::current_exe().unwrap();
    let Some(runner) = std::env::var_os("SELFSAME_TEST_RUNNER") else { return Command::new(program) };
    let mut command = Command::new(runner);
    command.arg(program);
    command
}

/// What [`in_this_process`] prints in a process that runs on `isa`.
fn hashes(isa: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let words = ["--exact", "recorded::in_this_process", "--ignored", "--nocapture"];
    let output = again().args(words).env("SELFSAME_ISA", isa).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{isa}: {text}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(text.lines().find(|line| line.starts_with('{')).unwrap()).unwrap()
}

#[test]
#[ignore = "run by encoders_are_as_recorded, once for each instruction set"]
fn in_this_process() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["epochs=1"]);
    train(&source, &dataset);
    let mut runs: Vec<(String, Vec<String>)> = every_method(&source.out)
        .into_iter()
        .map(|run| (run.iter().filter(|word| !word.contains("source")).cloned().collect::<Vec<_>>().join(" "), run))
        .collect();
    let mut more = vec![
        &["optimizer.name=adamw", "chunk_size=3"][..],
        &["optimizer.name=lars", "backbone.norm=group", "projector.norm=none"],
        &["backbone.stem=imagenet", "backbone.zero_init_last=true", "projector.layers=3", "projector.last_norm=true"],
    ];
    // The large ones would take minutes without wide vectors.
    if std::env::var("SELFSAME_ISA").is_ok_and(|isa| isa == "avx512") {
        more.push(&["backbone=resnet18", "epochs=1", "data.channels=3"]);
        more.push(&["backbone=resnet50", "epochs=1", "size=20", "data.channels=3"]);
    }
    for more in more {
        runs.push((more.join(" "), more.iter().map(|&word| word.to_owned()).collect()));
    }
    let mut hashes = BTreeMap::new();
    for (index, (name, run)) in runs.iter().enumerate() {
        let (plan, dataset) = plan(folder.path(), &format!("run-{index}"), &words(run));
        train(&plan, &dataset);
        hashes.insert(name.clone(), hashes_of(&plan));
    }
    for method in ["simclr", "masked_autoencoder", "cpc", "ts2vec"] {
        let run = plan_for_series(folder.path(), &format!("signals-{method}"), method, &[]);
        train(&run.plan, &run.dataset);
        hashes.insert(format!("method={method} on signals"), hashes_of(&run.plan));
    }
    println!("{}", serde_json::to_string(&hashes).unwrap());
}

/// Of the tensors of a run's encoder.
fn hashes_of(plan: &Plan) -> BTreeMap<String, String> {
    let tensors = read_safetensors(&plan.out.join("encoder.safetensors")).unwrap().into_iter();
    let hash = tensors.map(|(tensor, array)| {
        let values: Vec<u8> = array.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let hash = blake3::hash(&[format!("{:?}", array.shape).as_bytes(), &values].concat());
        (tensor, hash.to_hex()[..16].to_owned())
    });
    hash.collect()
}
