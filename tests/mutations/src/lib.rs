//! What every reader of foreign bytes must hold, whatever the bytes: no panic, memory within the limits, an error of one line, and
//! what was read is what was written.
//!
//! Each function here is the body of a fuzz target (`fuzz/`), and of a bounded test with [`mutator`] on committed seeds
//! (`fuzz/corpus/`), so that what a fuzzer once found is tried by every `cargo test`.

mod arrays;
mod good_run;
mod image_files;
pub mod mutator;
mod plans;
mod records;
mod tensors;
mod weights;

pub use arrays::{cifar, idx, npy, npz, parquet, sound, table, ts};
pub use image_files::image;
pub use plans::{plan, recipe};
pub use records::{RECORDS, records};
pub use tensors::{checkpoint, encoder_config, safetensors};
pub use weights::weights;

use std::cell::OnceCell;
use std::path::PathBuf;
use tempfile::TempDir;

/// A reader of foreign bytes.
pub struct Target {
    /// Name of the fuzz target, and of its folder of seeds.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub body: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "recipe", body: recipe },
    Target { name: "plan", body: plan },
    Target { name: "checkpoint", body: checkpoint },
    Target { name: "encoder_config", body: encoder_config },
    Target { name: "safetensors", body: safetensors },
    Target { name: "idx", body: idx },
    Target { name: "cifar", body: cifar },
    Target { name: "npy", body: npy },
    Target { name: "npz", body: npz },
    Target { name: "table", body: table },
    Target { name: "parquet", body: parquet },
    Target { name: "ts", body: ts },
    Target { name: "sound", body: sound },
    Target { name: "image", body: image },
    Target { name: "records", body: records },
    Target { name: "weights", body: weights },
];

/// An error is one line, and not an empty one.
fn told(error: impl std::fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "not one line: {text:?}");
}

/// A path in a folder of this thread's own.
fn scratch(name: &str) -> PathBuf {
    thread_local!(static FOLDER: OnceCell<TempDir> = const { OnceCell::new() });
    FOLDER.with(|folder| folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path().join(name))
}

/// A file of this thread's own.
fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = scratch(name);
    std::fs::create_dir_all(path.parent().expect("a path in a folder")).expect("a folder can be made");
    std::fs::write(&path, bytes).expect("a file can be written");
    path
}
