//! `selfsame export`.

#[cfg(feature = "tract")]
mod check;

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::note;
use anyhow::Result;
use clap::Args;
use selfsame::encoder_folder::{EncoderConfig, EncoderFolder};
use selfsame::predictor;
use selfsame_base::{atomic, lookup};
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Scores;
use selfsame_interop::card::Row;
use selfsame_interop::{FORMATS, Graph, Input};
use std::path::{Path, PathBuf};

/// Write an encoder as another tool loads it: timm and transformers, torchvision, or ONNX.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame export runs/mine out=mine                          for timm.create_model(\"local-dir:mine\", pretrained=True)
  selfsame export runs/mine out=mine format=torchvision       a state_dict
  selfsame export runs/mine out=mine format=onnx              a graph of every backbone: images [n, channels, height, width]
  selfsame export runs/mine out=mine format=onnx input=u8     of bytes [n, height, width, channels]
  selfsame export runs/mine out=mine format=onnx tokens=true fold=true   tokens beside h; batch norms folded
  selfsame export model out=deploy format=onnx                of a model: logits and probabilities beside h
  selfsame export runs/mine out=mine format=onnx --check      only if another tool computes the same with it
  selfsame export runs/mine out=mine format=selfsame          the encoder without its run, with a model card")]
pub struct Export {
    /// A finished run, or the folder of an encoder
    encoder: PathBuf,
    /// out=FOLDER format=timm|torchvision|onnx|selfsame; of onnx input=float|u8 tokens=true fold=true; of --check data=PATH
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
    /// Of onnx: let tract run the graph on 64 samples, tell how far it is from what we compute, and write nothing if that is more than
    /// rounding (a program built with `--features tract`)
    #[arg(long)]
    check: bool,
}

/// The format of our own folders.
const OWN: &str = "selfsame";

impl Export {
    pub fn run(self) -> Result<Code> {
        let keys = ["out", "format", "input", "tokens", "fold", "data"];
        let [out, format, input, tokens, fold, data] = plans::values(&self.words, keys)?;
        let out = out.ok_or_else(|| bad_input("out: missing; say where to write, e.g. out=exported"))?;
        let out = Path::new(&out);
        let format = format.as_deref().unwrap_or("timm");
        let names: Vec<&'static str> = FORMATS.iter().map(|format| format.name).chain([OWN]).collect();
        let name = lookup::find(&names, |name| name, "format", format).map_err(bad_input)?;
        let foreign = FORMATS.iter().find(|format| format.name == *name);
        let input = match input.as_deref() {
            None | Some("float") => Input::Float,
            Some("u8") => Input::U8,
            Some(other) => return Err(bad_input(format!("input: expected float or u8, received {other}"))),
        };
        let graph = Graph { input, tokens: flag("tokens", tokens.as_deref())?, fold: flag("fold", fold.as_deref())? };
        if self.check && !foreign.is_some_and(|format| format.is_graph) {
            return Err(bad_input(format!("--check: is for graphs, and {name} has none; drop it, or use format=onnx")));
        }
        if data.is_some() && !self.check {
            return Err(bad_input("data: is what --check compares on; add --check, or drop it"));
        }
        atomic::check_free(out)?;
        let folder = EncoderFolder::open(&self.encoder)?;
        let scores = scores(&self.encoder, folder.config());
        let summary = match foreign {
            Some(format) => {
                let encoder = predictor::described(&folder, scores)?;
                if self.check {
                    check(&folder, &encoder, graph, data)?;
                }
                format.export(encoder, graph, out)?;
                format.summary
            }
            None => {
                graph.check_none(OWN)?;
                predictor::save(&folder, out, scores)?;
                "an encoder folder, which every command takes"
            }
        };
        note!("{} holds {summary}", out.display());
        Ok(Code::Finished)
    }
}

#[cfg(feature = "tract")]
use check::check;

#[cfg(not(feature = "tract"))]
fn check(_: &EncoderFolder, _: &selfsame_interop::Encoder, _: Graph, _: Option<String>) -> Result<()> {
    let how = "build it with `cargo build --release -p selfsame-cli --features tract`";
    Err(bad_input(format!("--check: this program was built without tract, which would run the graph; {how}")))
}

fn flag(key: &str, word: Option<&str>) -> Result<bool> {
    match word {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(bad_input(format!("{key}: expected true or false, received {other}"))),
    }
}

/// What the evaluation of a run, if there was one, says of these weights.
fn scores(path: &Path, config: &EncoderConfig) -> Vec<Row> {
    let file = path.join("scores.json");
    if !file.is_file() {
        return Vec::new();
    }
    let scores = match Scores::read(&file) {
        Ok(scores) => scores,
        Err(error) => {
            note!("warning: the model card has no scores: {error}");
            return Vec::new();
        }
    };
    if scores.measured_on.weights.as_ref().is_some_and(|weights| weights.fingerprint != config.weights.blake3) {
        note!("warning: the model card has no scores: those in {} are of other weights", file.display());
        return Vec::new();
    }
    let row = |metric| {
        let score = scores.get(&RepresentationName::H, metric)?;
        let interval = score.interval.map(|[low, high]| format!(" ({low:.3} – {high:.3})")).unwrap_or_default();
        let chance = scores.chance(metric).map(|chance| format!("{chance:.3}")).unwrap_or_default();
        Some(Row { score: metric.to_string(), value: format!("{:.3}{interval}", score.value), chance })
    };
    scores.metrics().into_iter().filter_map(row).collect()
}
