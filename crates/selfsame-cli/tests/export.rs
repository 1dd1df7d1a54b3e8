//! `selfsame export`, from a run to folders that others load.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn selfsame(folder: &Path, words: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("selfsame")).args(words).current_dir(folder).output().unwrap()
}

/// The one line of a command that must not take what it is given.
fn refused(folder: &Path, words: &[&str]) -> String {
    let output = selfsame(folder, &[&["export"], words].concat());
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), told.lines().count()), (Some(2), 1), "{words:?}: {told}");
    told
}

#[test]
fn a_run_becomes_a_folder_of_each_format_that_has_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let pretrain =
        ["pretrain", "simclr", "data=demo/test", "backbone=vit_micro", "data.size=8", "train.batch_size=256"];
    let small = ["backbone.dim=8", "backbone.depth=1", "backbone.heads=2", "epochs=1", "out=run"];
    let output = selfsame(path, &[&pretrain[..], &small].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    for (format, file) in [("timm", "config.json"), ("onnx", "model.onnx"), ("selfsame", "encoder.safetensors")] {
        let output = selfsame(path, &["export", "run", &format!("out={format}"), &format!("format={format}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(path.join(format).join(file).is_file());
        let card = fs::read_to_string(path.join(format).join("README.md")).unwrap();
        assert!(card.contains("simclr") && card.contains("| epochs | 1.0 ("), "{card}");
    }
    for (encoder, out) in [("run", "run.npy"), ("selfsame", "own.npy")] {
        let output = selfsame(path, &["embed", encoder, "data=demo/test", &format!("out={out}")]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(fs::read(path.join("run.npy")).unwrap() == fs::read(path.join("own.npy")).unwrap());
    // One block: its layer is h, and the class token before four patches.
    for of in ["layer1", "tokens"] {
        let words = ["embed", "run", "data=demo/test", &format!("of={of}"), &format!("out={of}.npy")];
        let output = selfsame(path, &words);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(fs::read(path.join("run.npy")).unwrap() == fs::read(path.join("layer1.npy")).unwrap());
    let values = |name: &str| {
        let bytes = fs::read(path.join(name)).unwrap();
        bytes[128..].chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
    };
    let (h, tokens) = (values("run.npy"), values("tokens.npy"));
    assert_eq!(tokens.len(), 5 * h.len());
    assert!(tokens.chunks_exact(5 * 8).flat_map(|row| &row[..8]).eq(&h));
    let told = selfsame(path, &["embed", "run", "data=demo/test", "of=layer2", "out=no.npy"]);
    let told = String::from_utf8(told.stderr).unwrap();
    assert!(told.contains("of: expected layer0 to layer1, received layer2") && !path.join("no.npy").exists(), "{told}");
    for input in ["input=float", "input=u8"] {
        let (out, words) = (input.replace('=', "-"), ["export", "run", "format=onnx", input, "--check"]);
        let output = selfsame(path, &[&words[..], &[&format!("out={out}")]].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        if cfg!(feature = "tract") {
            assert!(output.status.success() && told.contains("tract computes the same h"), "{told}");
        } else {
            assert!(output.status.code() == Some(2) && told.contains("built without tract"), "{told}");
        }
        assert_eq!(path.join(out).join("model.onnx").is_file(), cfg!(feature = "tract"));
    }
    let cases: [(&[&str], &str); 9] = [
        (&["run", "out=new", "--check"], "is for graphs, and timm has none"),
        (&["run", "out=new", "format=onnx", "data=demo"], "add --check, or drop it"),
        (&["run", "out=new", "format=selfsame", "input=u8"], "u8 is for graphs"),
        (&["run"], "out: missing"),
        (&["run", "out=timm"], "is there and not empty"),
        (&["run", "out=new", "format=tim"], "did you mean `timm`? (there are timm, torchvision, onnx, selfsame)"),
        (&["run", "out=new", "format=torchvision"], "use format=onnx"),
        (&["run", "out=new", "input=f16"], "expected float or u8, received f16"),
        (&["timm/nothing", "out=new"], "timm/nothing"),
    ];
    for (words, part) in cases {
        let told = refused(path, words);
        assert!(told.contains(part), "{told}");
    }
    let weights = path.join("run/encoder.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    assert!(refused(path, &["run", "out=new"]).contains("does not match its hash"));
    fs::remove_file(&weights).unwrap();
    assert!(refused(path, &["run", "out=new"]).contains("is not finished"));
    assert!(!path.join("new").exists());
}

#[test]
fn signals_and_pictures_of_sounds_have_graphs_and_cards_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let signal = |i: usize| {
        let steps = 200 + 25 * (i % 5);
        (0..steps).map(|t| format!("{:.4}", ((i + 1) as f32 * t as f32 * 0.05).sin())).collect::<Vec<_>>()
    };
    // What is empty at the end of a row lies behind the end of its signal.
    let rows = (0..16).map(signal).map(|mut row| {
        row.resize(300, String::new());
        row.join(",")
    });
    let header = (0..300).map(|step| format!("t{step}")).collect::<Vec<_>>().join(",");
    let rows: Vec<String> = std::iter::once(header).chain(rows).collect();
    fs::write(path.join("series.csv"), rows.join("\n")).unwrap();
    let pretrain = |words: &str| {
        let of_all = "pretrain method=simclr data=series.csv data.labels=none data.rate=1000 epochs=1 batch_size=8 backbone.widths=[4]";
        selfsame(path, &of_all.split(' ').chain(words.split(' ')).collect::<Vec<_>>())
    };
    let drawn = "backbone=resnet1d_micro data.modality=signal data.normalize=sample";
    let heard =
        "backbone=resnet_micro data.view=log_mel data.mel_bands=8 data.mel_window=40 data.mel_hop=20 data.size=[8,16]";
    let runs = [
        ("curves", drawn, "Each channel is less its own mean"),
        ("pictures", heard, "MelSpectrogram(1000, n_fft=64, win_length=40"),
    ];
    for (out, words, told) in runs {
        let output = pretrain(&format!("{words} out={out}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let graph = format!("{out}-graph");
        let check: &[&str] = if cfg!(feature = "tract") { &["--check"] } else { &[] };
        let output = selfsame(path, &[&["export", out, "format=onnx", &format!("out={graph}")], check].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let card = fs::read_to_string(path.join(&graph).join("README.md")).unwrap();
        assert!(card.contains(told) && path.join(graph).join("model.onnx").is_file(), "{card}");
    }
    assert!(refused(path, &["curves", "out=new"]).contains("timm has no network like this: resnet1d_micro"));
    let output = pretrain(&format!("{heard} data.modality=signal out=new"));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("data.modality: signals, but data.view makes images of signals; drop data.modality"),
        "{told}"
    );
}
