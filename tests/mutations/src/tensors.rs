//! Files that hold tensors: checkpoints, encoder folders, safetensors.

use crate::good_run::GoodRun;
use crate::mutator::Edit;
use crate::{told, written};
use selfsame::tensor::parameters::{from_safetensors, to_safetensors};

/// A checkpoint to whose files something was done: the bytes are a list of edits, and the number of the file to which they are.
/// It loads as what it was, or not at all.
pub fn checkpoint(bytes: &[u8]) {
    let Some((&file, edits)) = bytes.split_first() else { return };
    let good = GoodRun::get();
    let _alone = good.lock();
    let (path, whole) = &good.checkpoint[usize::from(file) % good.checkpoint.len()];
    std::fs::write(path, Edit::apply_all(edits, whole)).expect("a file can be written");
    match good.load() {
        Ok(encoder) => assert!(encoder == good.encoder, "another encoder from a damaged checkpoint"),
        Err(error) => told(error),
    }
    std::fs::write(path, whole).expect("a file can be written");
}

/// `config.json` of an encoder folder whose weights are good.
pub fn encoder_config(bytes: &[u8]) {
    encoder_folder("config.json", bytes);
}

/// Tensors. What reads is written as the same tensors; and weights of an encoder folder whose `config.json` is good.
pub fn safetensors(bytes: &[u8]) {
    match from_safetensors(bytes) {
        Ok(arrays) => {
            let again = to_safetensors(&arrays);
            let arrays = from_safetensors(&again).expect("what was written reads");
            assert!(to_safetensors(&arrays) == again, "other tensors read than were written");
        }
        Err(error) => told(error),
    }
    encoder_folder("encoder.safetensors", bytes);
}

fn encoder_folder(name: &str, bytes: &[u8]) {
    for (file, whole) in &GoodRun::get().encoder_folder {
        written(&format!("encoder/{file}"), if *file == name { bytes } else { whole });
    }
    if let Err(error) = GoodRun::load_encoder(&crate::scratch("encoder")) {
        told(error);
    }
}
