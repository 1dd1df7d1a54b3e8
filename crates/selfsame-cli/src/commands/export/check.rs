//! `selfsame export --check`: what another tool computes with a graph, beside what we do.

use crate::exit::bad_input;
use crate::plans;
use crate::terminal::note;
use anyhow::Result;
use selfsame::branch::Branch;
use selfsame::catalogue::Catalogue;
use selfsame::device;
use selfsame::embed::{Pixels, Tables, Wanted};
use selfsame::encoder_folder::EncoderFolder;
use selfsame::plan::Plan;
use selfsame::train_settings::Precision;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{self, Image};
use selfsame_data::source::Memory;
use selfsame_interop::onnx::proto::Model;
use selfsame_interop::onnx::runtime::{self, Samples};
use selfsame_interop::onnx::{self, FEATURES, LOGITS, NUMBERS};
use selfsame_interop::{Encoder as Described, Graph, Head, Input, Sample};
use std::sync::Arc;

/// Samples that are compared, at most.
const SAMPLES: usize = 64;
/// Largest deviation, as a share of the largest value, of numbers and of bytes.
const TOLERANCES: [f32; 2] = [1e-4, 1e-3];

/// Runs the graph of `described` on samples of `data`, or of what the encoder was trained on, and compares what it gives with what the
/// encoder of `folder` gives.
///
/// # Errors
/// If it deviates by more than rounding can.
pub fn check(folder: &EncoderFolder, described: &Described, asked: Graph, data: Option<String>) -> Result<()> {
    let mut plan = Catalogue::default().load_encoder(folder)?;
    // What is exported are numbers of full precision.
    plan.train.precision = Precision::F32;
    let path = data.unwrap_or_else(|| plan.data.path.display().to_string());
    let dataset = plans::sibling(&plan, &path)?;
    let encoder = folder.load_with(plan.backbones(), &device::open(&plan.device)?)?;
    let branch = Branch::without_projector(encoder);
    let ours = embedded(&branch, &dataset, &plan)?;
    let rows = ours.h.len();
    let raw = restored(described, &ours.raw.values);
    let ([height, width], channels) = (described.size, described.channels);
    let whole = height * width * channels;

    let graph = onnx::model(described.clone(), asked)?;
    let (h, theirs, tolerance) = match (asked.input, &described.sample) {
        (Input::Float, Sample::Signal { .. }) => {
            let signals = signals(&dataset, &ours.indices, &raw, whole)?;
            (ours.h.values, run_by_length(&graph, &signals, channels)?, TOLERANCES[0])
        }
        (Input::Float, sample) => {
            let values = by_channel(&raw, channels, height * width);
            let shape =
                if *sample == Sample::Vector { vec![rows, channels] } else { vec![rows, channels, height, width] };
            (ours.h.values, runtime::run(&graph, Samples::Floats(&values), &shape)?, TOLERANCES[0])
        }
        (Input::U8, _) => {
            let bytes: Vec<u8> = raw.iter().map(|value| (value * 255.0).round() as u8).collect();
            let pixels = |pixels: &[u8]| Image { height, width, channels, pixels: image::Pixels::U8(pixels.into()) };
            let images = bytes.chunks_exact(whole).map(pixels).collect();
            let same = embedded(&branch, &Arc::new(Dataset::in_memory(Memory::new(images)?)?), &plan)?;
            let shape = [rows, height, width, channels];
            (same.h.values, runtime::run(&graph, Samples::Bytes(&bytes), &shape)?, TOLERANCES[1])
        }
    };
    let outputs = described.head.as_ref().map(|head| outputs(head, &h));
    for (name, theirs) in theirs {
        let ours = match (&outputs, name.as_str()) {
            (_, FEATURES) => &h,
            (Some(outputs), LOGITS | NUMBERS) => outputs,
            _ => continue,
        };
        let deviation = deviation(&theirs, ours);
        let told = format!("{deviation:.1e} of the largest value, on {rows} samples of {path}");
        if deviation.is_nan() || deviation > tolerance {
            let problem = format!("the {name} that tract computes with the graph differ by up to {told}");
            return Err(bad_input(format!("{problem}; {tolerance:.0e} can be rounding: nothing was written")));
        }
        note!("tract computes the same {name}: they differ by at most {told}");
    }
    Ok(())
}

fn embedded(branch: &Branch, dataset: &Arc<Dataset>, plan: &Plan) -> Result<Tables> {
    let indices = (0..dataset.len().min(SAMPLES)).collect();
    let wanted = Wanted { raw: Pixels::Whole, ..Wanted::default() };
    Ok(Tables::embed(branch, dataset, plan, Some(indices), wanted, &mut |_| {})?)
}

/// Signals `[steps, channels]` of so many values at most, one of each row, without what lies behind their end.
fn signals<'a>(dataset: &Dataset, indices: &[usize], raw: &'a [f32], most: usize) -> Result<Vec<&'a [f32]>> {
    let rows = raw.chunks_exact(most).zip(indices);
    rows.map(|(signal, &index)| Ok(&signal[..dataset.sample(index)?.len().min(most)])).collect()
}

/// The outputs of a graph for signals `[steps, channels]`, those of one length after another at once.
fn run_by_length(graph: &Model, signals: &[&[f32]], channels: usize) -> Result<Vec<(String, Vec<f32>)>> {
    let mut outputs: Vec<(String, Vec<f32>)> = Vec::new();
    for alike in signals.chunk_by(|a, b| a.len() == b.len()) {
        let shape = [alike.len(), alike[0].len() / channels, channels];
        let found = runtime::run(graph, Samples::Floats(&alike.concat()), &shape)?;
        if outputs.is_empty() {
            outputs = found;
        } else {
            outputs.iter_mut().zip(found).for_each(|((_, all), (_, values))| all.extend(values));
        }
    }
    Ok(outputs)
}

/// Values before their normalization, channel by channel.
fn restored(described: &Described, normalized: &[f32]) -> Vec<f32> {
    let channels = described.mean.iter().zip(&described.std).cycle();
    normalized.iter().zip(channels).map(|(value, (mean, std))| value * std + mean).collect()
}

/// `[n, places, channels]` as `[n, channels, places]`.
fn by_channel(values: &[f32], channels: usize, places: usize) -> Vec<f32> {
    let sample = |sample: &[f32]| -> Vec<f32> {
        (0..channels).flat_map(|channel| sample.iter().copied().skip(channel).step_by(channels)).collect()
    };
    values.chunks_exact(channels * places).flat_map(sample).collect()
}

/// What a head makes of `h`, row by row.
fn outputs(head: &Head, h: &[f32]) -> Vec<f32> {
    let width = head.weight.shape[1];
    let weights = || head.weight.values.chunks_exact(width).zip(&head.bias.values);
    let row = |h: &[f32]| -> Vec<f32> {
        weights().map(|(weight, bias)| bias + weight.iter().zip(h).map(|(w, h)| w * h).sum::<f32>()).collect()
    };
    h.chunks_exact(width).flat_map(row).collect()
}

/// The largest difference, as a share of the largest value; no number if there is none or the lengths differ.
fn deviation(theirs: &[f32], ours: &[f32]) -> f32 {
    let largest = |values: &mut dyn Iterator<Item = f32>| values.map(f32::abs).fold(0.0, f32::max);
    if theirs.len() != ours.len() || !theirs.iter().chain(ours).all(|value| value.is_finite()) {
        return f32::NAN;
    }
    largest(&mut theirs.iter().zip(ours).map(|(theirs, ours)| theirs - ours)) / largest(&mut ours.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deviation_is_a_share_and_no_number_where_there_is_none() {
        assert_eq!(deviation(&[1.0, -2.0], &[1.0, -4.0]), 0.5);
        assert!(deviation(&[1.0], &[1.0, 2.0]).is_nan());
        assert!(deviation(&[f32::NAN], &[1.0]).is_nan());
    }

    #[test]
    fn channels_come_first() {
        assert_eq!(
            by_channel(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0, 4.0, 40.0], 2, 2),
            [1.0, 2.0, 10.0, 20.0, 3.0, 4.0, 30.0, 40.0]
        );
    }
}
