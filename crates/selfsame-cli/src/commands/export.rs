//! `selfsame export`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::note;
use anyhow::Result;
use clap::Args;
use selfsame::encoder_folder::{EncoderConfig, EncoderFolder};
use selfsame_base::lookup;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Scores;
use selfsame_interop::card::Row;
use selfsame_interop::{FORMATS, Input};
use std::path::{Path, PathBuf};

/// Write an encoder as another tool loads it: timm and transformers, torchvision, or ONNX.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame export runs/mine out=mine                          for timm.create_model(\"local-dir:mine\", pretrained=True)
  selfsame export runs/mine out=mine format=torchvision       a state_dict
  selfsame export runs/mine out=mine format=onnx              a graph of every backbone: numbers [n, channels, height, width]
  selfsame export runs/mine out=mine format=onnx input=u8     of bytes [n, height, width, channels]
  selfsame export runs/mine out=mine format=selfsame          the encoder without its run, with a model card")]
pub struct Export {
    /// A finished run, or the folder of an encoder
    encoder: PathBuf,
    /// out=FOLDER format=timm|torchvision|onnx|selfsame input=float|u8
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

/// The format of our own folders.
const OWN: &str = "selfsame";

impl Export {
    pub fn run(self) -> Result<Code> {
        let [out, format, input] = plans::values(&self.words, ["out", "format", "input"])?;
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
        selfsame_interop::check_free(out)?;
        let folder = EncoderFolder::open(&self.encoder)?;
        let scores = scores(&self.encoder, folder.config());
        let summary = match foreign {
            Some(format) => {
                format.export(folder.described(scores)?, input, out)?;
                format.summary
            }
            None if input == Input::U8 => {
                return Err(bad_input("input: u8 is for graphs; drop it, or use format=onnx"));
            }
            None => {
                folder.save(out, scores)?;
                "an encoder folder, which every command takes"
            }
        };
        note!("{} holds {summary}", out.display());
        Ok(Code::Finished)
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
