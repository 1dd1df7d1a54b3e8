//! From a run to a model that is used: `selfsame probe` and `finetune save=`, then `selfsame predict`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn selfsame(folder: &Path, words: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("selfsame")).args(words).current_dir(folder).output().unwrap()
}

/// What a command that succeeds says on standard output.
fn said(folder: &Path, words: &[&str]) -> String {
    let output = selfsame(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line of a command that must not take what it is given.
fn refused(folder: &Path, words: &[&str]) -> String {
    let output = selfsame(folder, words);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{words:?}: {told}");
    told
}

/// The number after `word` in what is told of scores.
fn number(text: &str, word: &str) -> f64 {
    let mut lines = text.lines().filter(|line| line.starts_with("accuracy") || line.starts_with("calibration"));
    let line = lines.find(|line| line.contains(word)).unwrap_or_else(|| panic!("no {word} in {text}"));
    let after = line.split(word).nth(1).unwrap();
    after.split_whitespace().next().unwrap().trim_end_matches([',', ';']).parse().unwrap()
}

fn run(folder: &Path) {
    let words =
        ["pretrain", "simclr", "data=demo/test", "backbone.widths=[8]", "batch_size=200", "epochs=1", "out=run"];
    said(folder, &words);
}

#[test]
fn a_model_predicts_with_the_accuracy_that_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path);
    let probed = said(path, &["probe", "run", "train=demo/test", "test=demo/test", "out=probed"]);
    let tuning = ["finetune", "run", "train=demo/test", "test=demo/test", "labels=1,40", "save=tuned"];
    // So that its encoder is another.
    let short = ["lr=1e-3", "epochs=1", "min_steps=10", "draws=1"];
    let tuned = said(path, &[&tuning[..], &short].concat());
    // 40 of each of 10 classes, a fifth of which is held out.
    assert!(tuned.contains("held-out labels") && probed.contains("held-out labels"), "{tuned}\n{probed}");
    for (model, told) in [("probed", &probed), ("tuned", &tuned)] {
        let predicted = said(path, &["predict", model, "data=demo/test", "out=said.csv", "abstain_below=0.5"]);
        // The accuracy of all predictions; the next is of those that are sure.
        assert_eq!(number(&predicted, "accuracy"), number(told, "accuracy"), "{predicted}\n{told}");
        assert_eq!(number(&predicted, "calibration error"), number(told, "calibration error"), "{predicted}\n{told}");
        let mut table = csv::Reader::from_path(path.join("said.csv")).unwrap();
        assert_eq!(
            table.headers().unwrap().iter().take(4).collect::<Vec<_>>(),
            ["id", "label", "probability", "p(T-shirt/top)"]
        );
        let rows: Vec<csv::StringRecord> = table.records().map(Result::unwrap).collect();
        assert_eq!((rows.len(), &rows[0][0]), (2000, "demo/test[0]"));
        for row in &rows {
            let all: f32 = row.iter().skip(3).map(|p| p.parse::<f32>().unwrap()).sum();
            let sure = row[2].parse::<f32>().unwrap();
            assert!((all - 1.0).abs() < 1e-4 && row[1].is_empty() == (sure < 0.5), "{row:?}");
        }
        let open = rows.iter().filter(|row| row[1].is_empty()).count();
        assert!(predicted.contains(&format!("{open} samples (")), "{predicted}");
    }
    // A model is an encoder folder too: the probe's is the run's encoder.
    said(path, &["embed", "run", "data=demo/test", "out=run.npy"]);
    said(path, &["embed", "probed", "data=demo/test", "out=probed.npy"]);
    assert!(fs::read(path.join("run.npy")).unwrap() == fs::read(path.join("probed.npy")).unwrap());

    // Handed on it is a model still, and a graph has its head.
    said(path, &["export", "probed", "out=copied", "format=selfsame"]);
    said(path, &["predict", "copied", "data=demo/test", "out=copied.csv"]);
    said(path, &["predict", "probed", "data=demo/test", "out=again.csv"]);
    assert!(fs::read(path.join("copied.csv")).unwrap() == fs::read(path.join("again.csv")).unwrap());
    said(path, &["export", "probed", "out=graph", "format=onnx", "fold=true"]);
    let graph = fs::read(path.join("graph/model.onnx")).unwrap();
    let holds = |name: &str| graph.windows(name.len()).any(|part| part == name.as_bytes());
    assert!(holds("probabilities") && holds("logits") && !holds("BatchNormalization"));

    for (words, part) in [
        (&["predict", "run", "data=demo", "out=x.csv"][..], "has an encoder and no head"),
        (&["predict", "probed", "data=demo", "out=x.txt"], ".csv or .parquet"),
        (&["predict", "probed", "data=demo", "out=x.csv", "abstain_below=2"], "from 0 to 1"),
        (&["predict", "probed", "out=x.csv"], "data: missing"),
        (&["probe", "run", "test=demo/test", "out=probed"], "is there and not empty"),
        (&["finetune", "run", "test=demo/test", "save=probed"], "is there and not empty"),
        (&["probe", "run", "test=demo/test"], "out: missing"),
    ] {
        let told = refused(path, words);
        assert!(told.contains(part), "{told}");
    }
    // A head on another encoder, and a damaged one.
    let (mine, other) = (path.join("probed/encoder.safetensors"), path.join("tuned/encoder.safetensors"));
    for (from, to) in [(&other, &mine), (&path.join("tuned/config.json"), &path.join("probed/config.json"))] {
        fs::copy(from, to).unwrap();
    }
    let told = refused(path, &["predict", "probed", "data=demo", "out=x.csv"]);
    assert!(told.contains("another encoder"), "{told}");
    let head = path.join("tuned/head.safetensors");
    let mut bytes = fs::read(&head).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&head, bytes).unwrap();
    let told = refused(path, &["predict", "tuned", "data=demo", "out=x.csv"]);
    assert!(told.contains("does not match its hash"), "{told}");
    assert!(!path.join("x.csv").exists());
}

/// Labels and numbers of a table: the head gives probabilities of each label, and numbers in their own units.
#[test]
fn labels_and_numbers_are_predicted_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    run(path);
    let mut table = String::from("id,bright,even,size\n");
    for index in 0..2000 {
        table += &format!("demo/test[{index}],{},{},{}\n", index / 200 % 3 / 2, index % 2, 1000 + index / 200);
    }
    fs::write(path.join("about.csv"), table).unwrap();
    let probe = |targets: &[&str], out: &str| {
        let words = ["probe", "run", "train=demo/test", "test=demo/test", "labels=about.csv"];
        said(path, &[&words[..], targets, &[out]].concat())
    };
    let labels = probe(&["targets=bright,even"], "out=labels");
    assert!(labels.contains("macro AUROC 0.") && labels.contains("calibration error"), "{labels}");
    said(path, &["predict", "labels", "data=demo/test", "out=labels.csv", "abstain_below=0.9"]);
    let head = fs::read_to_string(path.join("labels.csv")).unwrap();
    assert!(head.starts_with("id,labels,unsure,p(bright),p(even)\n"), "{}", &head[..80]);

    let numbers = probe(&["targets=size", "task=numbers"], "out=numbers");
    assert!(numbers.contains("R² ") && !numbers.contains("calibration"), "{numbers}");
    said(path, &["predict", "numbers", "data=demo/test", "out=numbers.csv"]);
    let mut table = csv::Reader::from_path(path.join("numbers.csv")).unwrap();
    let found: Vec<f64> = table.records().map(|row| row.unwrap()[1].parse().unwrap()).collect();
    let mean = found.iter().sum::<f64>() / 2000.0;
    assert!((mean - 1004.5).abs() < 1.0 && found.iter().any(|v| (v - mean).abs() > 0.1), "{mean}");
    let told = refused(path, &["predict", "numbers", "data=demo", "out=x.csv", "abstain_below=0.5"]);
    assert!(told.contains("numbers, which have no probability"), "{told}");
}
