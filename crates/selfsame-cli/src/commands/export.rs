//! `selfsame export`.

use crate::exit::{Code, bad_input};
use crate::plans;
use crate::terminal::note;
use anyhow::Result;
use clap::Args;
use selfsame::encoder_folder::{EncoderConfig, EncoderFolder, WEIGHTS};
use selfsame_base::DataError;
use selfsame_base::lookup;
use selfsame_data::augment::Interpolation;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::Scores;
use selfsame_interop::card::Row;
use selfsame_interop::tensors::Tensors;
use selfsame_interop::{Encoder, FORMATS, Format, Input, Origin};
use std::path::{Path, PathBuf};

/// Write an encoder as another tool loads it: timm and transformers, torchvision, or ONNX.
#[derive(Args)]
#[command(after_help = "\
Examples:
  selfsame export runs/mine out=mine                          for timm.create_model(\"local-dir:mine\", pretrained=True)
  selfsame export runs/mine out=mine format=torchvision       a state_dict
  selfsame export runs/mine out=mine format=onnx              a graph of every backbone: numbers [n, channels, height, width]
  selfsame export runs/mine out=mine format=onnx input=u8     of bytes [n, height, width, channels]")]
pub struct Export {
    /// A finished run, or the folder of an encoder
    encoder: PathBuf,
    /// out=FOLDER format=timm|torchvision|onnx input=float|u8
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl Export {
    pub fn run(self) -> Result<Code> {
        let [out, format, input] = plans::values(&self.words, ["out", "format", "input"])?;
        let out = out.ok_or_else(|| bad_input("out: missing; say where to write, e.g. out=exported"))?;
        let out = Path::new(&out);
        let format = format.as_deref().unwrap_or("timm");
        let format: &Format = lookup::find(FORMATS, |format| format.name, "format", format).map_err(bad_input)?;
        let input = match input.as_deref() {
            None | Some("float") => Input::Float,
            Some("u8") => Input::U8,
            Some(other) => return Err(bad_input(format!("input: expected float or u8, received {other}"))),
        };
        selfsame_interop::check_free(out)?;
        format.export(encoder(&self.encoder)?, input, out)?;
        note!("{} holds {}", out.display(), format.summary);
        Ok(Code::Finished)
    }
}

/// The encoder in a folder, as formats know it.
fn encoder(path: &Path) -> Result<Encoder> {
    let folder = EncoderFolder::open(path)?;
    let damaged = |problem: String| DataError::Data(format!("{}: {problem}", path.join(WEIGHTS).display()));
    let tensors = Tensors::read(folder.weights()).map_err(damaged)?;
    let config = folder.into_config();
    let scores = scores(path, &config);
    let EncoderConfig { backbone, channels, size, mean, std, range, interpolation, width, .. } = config;
    let interpolation = match interpolation {
        Interpolation::Bicubic => "bicubic",
        Interpolation::Bilinear => "bilinear",
    };
    let origin = Origin {
        method: if config.imported.is_empty() { config.method } else { String::new() },
        steps: config.trained.step,
        epochs: config.trained.epochs(),
        selfsame: config.selfsame,
        plan: config.plan,
        scores,
    };
    Ok(Encoder { backbone, channels, size, mean, std, range, interpolation, width, tensors, origin })
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
