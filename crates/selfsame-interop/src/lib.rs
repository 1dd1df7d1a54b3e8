//! Encoders in the formats of other tools.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`network`] | the networks that have a mapping, told by `config.json` |
//! | [`timm`] | the folder that timm and transformers load |
//! | [`torchvision`] | a `state_dict` |
//! | [`onnx`] | a graph with everything in it |
//! | [`read`] | files of weights: safetensors, and what `torch.save` writes |
//! | [`names`] | what others call the parameters of these networks |
//! | [`import`] | the encoder in such a file |
//! | [`card`] | the page that goes with the weights |
//!
//! Nothing here computes a feature: a format is names, shapes and an order of operations, and `benchmarks/interop` holds what
//! other tools make of it against what Selfsame computes.

pub mod card;
pub mod import;
pub mod names;
pub mod network;
pub mod onnx;
pub mod read;
pub mod tensors;
pub mod timm;
pub mod torchvision;

use selfsame_base::{DataError, atomic};
use selfsame_config::Choice;
use std::fs;
use std::path::Path;
use tensors::Tensors;

/// An encoder, and what is known of it.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The `[backbone]` table.
    pub backbone: Choice,
    /// Whether it takes vectors, of as many features as channels, and not images.
    pub of_vectors: bool,
    /// Input channels.
    pub channels: usize,
    /// Input side, px.
    pub size: [usize; 2],
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
    /// Black and white, on the same scale.
    pub range: [f32; 2],
    /// How images are resized: `bicubic` or `bilinear`, in Pillow's sense.
    pub interpolation: &'static str,
    /// Width of the representation.
    pub width: usize,
    /// Parameters and running statistics, with torchvision's or timm's names and PyTorch's layout.
    pub tensors: Tensors,
    /// Where it comes from.
    pub origin: Origin,
}

/// How an encoder was trained, and what it scored.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Method; empty where that is not known.
    pub method: String,
    /// Steps of training.
    pub steps: u64,
    /// Passes over the data.
    pub epochs: f64,
    /// Version of Selfsame that trained it.
    pub selfsame: String,
    /// Fingerprint of the plan.
    pub plan: String,
    /// What it scored, if it was evaluated.
    pub scores: Vec<card::Row>,
}

/// What an ONNX graph is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Input {
    /// Numbers `[n, channels, height, width]`, on the scale of the encoder's mean; 0..1 for images of 8 bits.
    #[default]
    Float,
    /// Bytes `[n, height, width, channels]`.
    U8,
}

/// A file to be written: its name and its content.
pub type File = (&'static str, Vec<u8>);

/// A format that encoders are exported to.
#[derive(Debug)]
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// One line of what it is.
    pub summary: &'static str,
    /// Whether [`Input::U8`] is one of its inputs.
    pub takes_bytes: bool,
    files: fn(Encoder, Input) -> Result<Vec<File>, DataError>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "timm",
        summary: "a folder that timm and transformers load",
        takes_bytes: false,
        files: |encoder, _| timm::files(&encoder),
    },
    Format {
        name: "torchvision",
        summary: "a state_dict of torchvision's ResNets",
        takes_bytes: false,
        files: |encoder, _| torchvision::files(&encoder),
    },
    Format {
        name: "onnx",
        summary: "a graph of every backbone, normalization included",
        takes_bytes: true,
        files: onnx::files,
    },
];

impl Format {
    /// Writes `encoder` into the new folder `out`, what is read first of it last. Nothing stays of a folder that could not be
    /// finished.
    ///
    /// # Errors
    /// If `out` exists, the format has nothing that is equal to the network, or the folder cannot be written.
    pub fn export(&self, encoder: Encoder, input: Input, out: &Path) -> Result<(), DataError> {
        check_free(out)?;
        if input == Input::U8 && !self.takes_bytes {
            let problem = format!("u8 is for graphs, and {} has none; drop it, or use format=onnx", self.name);
            return Err(DataError::setting("input", problem));
        }
        let files = (self.files)(encoder, input)?;
        let io = |cause| DataError::Io { path: out.to_owned(), cause, hint: Some("its folder must be writable") };
        fs::create_dir_all(atomic::folder_of(out)).and_then(|()| fs::create_dir(out)).map_err(io)?;
        let written = files.iter().try_for_each(|(name, bytes)| atomic::write(&out.join(name), bytes));
        if written.is_err() {
            let _ = fs::remove_dir_all(out);
        }
        written
    }
}

/// Checks that nothing is at `out`.
///
/// # Errors
/// If something is.
pub fn check_free(out: &Path) -> Result<(), DataError> {
    if out.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(DataError::setting("out", format!("{} exists already; name a new folder, or remove it", out.display())))
}

/// A format that lacks the network.
fn lacks(format: &str, what: &str) -> DataError {
    DataError::setting("format", format!("{format} has no network like this: {what}; use format=onnx"))
}
