//! Sounds that one core decodes, mixes, resamples and makes log-mel pictures of.
//!
//! `sound_throughput FOLDER RATE` prints `{"files_per_s": …, "bad": …}`; with `--listed` before it, for each file
//! its name, its steps and the mean of their squares, for comparison with other programs.

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use selfsame_base::DataError;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::modality::Modality;
use selfsame_data::settings::DataRequest;
use selfsame_data::signal::SignalView;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let listed = arguments.first().is_some_and(|first| first == "--listed");
    arguments.drain(..usize::from(listed));
    let [folder, rate] = &arguments[..] else {
        return Err("usage: sound_throughput [--listed] FOLDER RATE".into());
    };
    let rate: usize = rate.parse()?;
    let view = if listed { SignalView::Waveform } else { SignalView::LogMel };
    let modality = listed.then_some(Modality::Signal);
    let request =
        DataRequest { view, modality, rate: Some(rate), cache_mb: 0, max_bad_share: 1.0, ..DataRequest::new(folder) };
    let data = Dataset::open(&request)?;
    let mean_square = |image: &Image| match &image.pixels {
        Pixels::F32(values) => values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64,
        other => unreachable!("sounds are floats, and not {other:?}"),
    };
    let started = Instant::now();
    for index in 0..data.len() {
        match data.sample(index) {
            Ok(sample) if listed => println!("{}\t{}\t{:e}", data.id(index), sample.width, mean_square(&sample)),
            Ok(sample) => drop(std::hint::black_box(sample)),
            Err(error @ DataError::Sample { .. }) if listed => println!("{error}"),
            Err(DataError::Sample { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if !listed {
        let (files_per_s, bad) = (data.len() as f64 / started.elapsed().as_secs_f64(), data.bad_files().len());
        println!("{{\"files_per_s\": {files_per_s:.1}, \"bad\": {bad}}}");
    }
    Ok(())
}
