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
use tensors::{Tensor, Tensors};

/// An encoder, and what is known of it.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The `[backbone]` table.
    pub backbone: Choice,
    /// What it takes.
    pub sample: Sample,
    /// Input channels; of vectors, features.
    pub channels: usize,
    /// Height and width of an image, px; of a signal, 1 and steps.
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
    /// What was fitted to labels on `h`, if anything.
    pub head: Option<Head>,
    /// Where it comes from.
    pub origin: Origin,
}

/// What an encoder takes.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// An image.
    Image,
    /// The picture of a sound, which is an image; in words, how it is made.
    Sound(String),
    /// A vector.
    Vector,
    /// A signal.
    Signal {
        /// Steps in a second; 0 where that is not known.
        rate: usize,
        /// Whether it is first normalized by its own mean and deviation, channel by channel.
        by_itself: bool,
    },
}

/// An affine map of `h`, and what its outputs stand for.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `[outputs, width of h]`
    pub weight: Tensor,
    /// `[outputs]`
    pub bias: Tensor,
    /// Name of each output.
    pub names: Vec<String>,
    /// What is made of the outputs.
    pub reading: Reading,
    /// What they are divided by before they become probabilities.
    pub temperature: f32,
    /// What it was worth on test samples, in words.
    pub tested: String,
}

/// What is made of a head's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Probabilities of classes, of which a sample has one: softmax.
    Classes,
    /// Probabilities of labels, each of which a sample has or has not: sigmoid.
    Labels,
    /// They are the numbers that are told.
    Numbers,
}

/// How an encoder was trained, and what it scored.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Method; empty where that is not known.
    pub method: String,
    /// Whether the weights are a teacher's: the slow average of those that were trained.
    pub averaged: bool,
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
    /// Numbers `[n, channels, height, width]`, of signals `[n, steps, channels]`, of vectors `[n, features]`, on the scale of the
    /// encoder's mean; 0..1 for images of 8 bits.
    #[default]
    Float,
    /// Bytes `[n, height, width, channels]`.
    U8,
}

/// What a graph is to be, beside its network; other formats have no such choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// What it is given.
    pub input: Input,
    /// Whether it gives the tokens, beside `h`.
    pub tokens: bool,
    /// Whether every batch norm is folded into the layer before it.
    pub fold: bool,
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
    /// Whether it is a graph, and not weights alone.
    pub is_graph: bool,
    files: fn(Encoder, Graph) -> Result<Vec<File>, DataError>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "timm",
        summary: "a folder that timm and transformers load",
        is_graph: false,
        files: |encoder, _| timm::files(&encoder),
    },
    Format {
        name: "torchvision",
        summary: "a state_dict of torchvision's ResNets",
        is_graph: false,
        files: |encoder, _| torchvision::files(&encoder),
    },
    Format {
        name: "onnx",
        summary: "a graph of every backbone, normalization included",
        is_graph: true,
        files: onnx::files,
    },
];

impl Head {
    /// Puts it among `tensors`, as the layer called `name`.
    fn add_to(&self, tensors: &mut Tensors, name: &str) {
        tensors.insert(format!("{name}.weight"), self.weight.clone());
        tensors.insert(format!("{name}.bias"), self.bias.clone());
    }

    /// The line that makes probabilities of `outputs`, if they stand for some.
    fn in_python(&self) -> String {
        let activation = match self.reading {
            Reading::Classes => "softmax(-1)",
            Reading::Labels => "sigmoid()",
            Reading::Numbers => return String::new(),
        };
        format!("probabilities = (outputs / {}).{activation}\n", self.temperature)
    }
}

impl Graph {
    /// Checks that nothing is asked for of which `format` knows nothing.
    ///
    /// # Errors
    /// If something is.
    pub fn check_none(self, format: &str) -> Result<(), DataError> {
        let asked =
            [("input", self.input == Input::U8, "u8"), ("tokens", self.tokens, "true"), ("fold", self.fold, "true")];
        let Some((key, _, value)) = asked.into_iter().find(|(_, is_asked, _)| *is_asked) else { return Ok(()) };
        let problem = format!("{value} is for graphs, and {format} has none; drop it, or use format=onnx");
        Err(DataError::setting(key, problem))
    }
}

impl Format {
    /// Writes `encoder` into the folder `out`, new or empty, what is read first of it last. Nothing stays of a folder that could not be
    /// finished.
    ///
    /// # Errors
    /// If something is in `out`, the format has nothing that is equal to the network, or the folder cannot be written.
    pub fn export(&self, encoder: Encoder, graph: Graph, out: &Path) -> Result<(), DataError> {
        atomic::check_free(out)?;
        if !self.is_graph {
            graph.check_none(self.name)?;
        }
        let files = (self.files)(encoder, graph)?;
        atomic::make_free(out)?;
        let written = files.iter().try_for_each(|(name, bytes)| atomic::write(&out.join(name), bytes));
        if written.is_err() {
            let _ = fs::remove_dir_all(out);
        }
        written
    }
}

/// A format that lacks the network.
fn lacks(format: &str, what: &str) -> DataError {
    DataError::setting("format", format!("{format} has no network like this: {what}; use format=onnx"))
}
