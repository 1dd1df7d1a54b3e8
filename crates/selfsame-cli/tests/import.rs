//! Weights that other tools wrote, in the place of a run.

use selfsame_base::npy::npy_header;
use std::path::Path;
use std::process::{Command, Output};

fn selfsame(folder: &Path, words: &[&str]) -> Output {
    Command::new(assert_cmd::cargo::cargo_bin!("selfsame")).args(words).current_dir(folder).output().unwrap()
}

#[test]
fn a_file_of_weights_embeds_and_is_exported_and_trains_only_by_init() {
    let folder = tempfile::tempdir().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../selfsame/tests/golden/import/moco-legacy.pth.tar");
    let file = file.to_str().unwrap();
    let told = |words: &[&str], code: i32| {
        let output = selfsame(folder.path(), words);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {told}");
        told
    };
    let images: Vec<u8> = (0..8 * 64).map(|i| (i * 37 % 251) as u8).collect();
    std::fs::write(folder.path().join("images.npy"), [npy_header("|u1", &[8, 8, 8]), images].concat()).unwrap();
    let embed = ["embed", file, "data=images.npy", "out=h.npy"];
    let first = told(&embed, 0);
    for part in
        ["encoder_q", "left out: state_dict.module.encoder_k (", "runs/moco-legacy is its encoder folder", "8 features"]
    {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(!told(&embed, 0).contains("is its encoder folder"), "made once");
    assert!(folder.path().join("runs/moco-legacy/encoder.safetensors").is_file());
    told(&["export", file, "out=graph", "format=onnx"], 0);
    let error = told(&["pretrain", file], 2);
    assert!(error.contains("init=") && error.lines().count() == 1, "{error}");
    std::fs::write(folder.path().join("no.ckpt"), "nothing").unwrap();
    let error = told(&["embed", "no.ckpt", "data=images.npy", "out=no.npy"], 2);
    assert!(error.contains("no.ckpt: neither a safetensors file") && error.lines().count() == 1, "{error}");
}
