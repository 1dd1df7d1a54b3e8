//! Sounds go the way of images once they are pictures, and what makes them pictures goes with the encoder.

use super::training::{encoder, losses, train, train_to};
use selfsame::Embedder;
use selfsame::catalogue::{Catalogue, Planned};
use selfsame_config::Recipe;
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;
use selfsame_data::signal::SignalView;
use std::f64::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

/// 24 tones of 16 bits, low ones and high ones, each in the folder of its kind.
fn tones(folder: &Path, rate: u32) -> PathBuf {
    let root = folder.join(format!("tones-{rate}"));
    for tone in 0..24 {
        let (kind, hz) = [("low", 200.0), ("high", 1200.0)][tone % 2];
        let hz = hz + 10.0 * tone as f64;
        let steps = rate * (15 + tone as u32 % 4) / 100;
        let value = |i: u32| (8000.0 * (TAU * hz * f64::from(i) / f64::from(rate)).sin()) as i16;
        let data: Vec<u8> = (0..steps).flat_map(|i| value(i).to_le_bytes()).collect();
        let mut bytes = b"RIFF".to_vec();
        bytes.extend((data.len() as u32 + 36).to_le_bytes());
        bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        bytes.extend(rate.to_le_bytes());
        bytes.extend((2 * rate).to_le_bytes());
        bytes.extend(b"\x02\0\x10\0data");
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        fs::create_dir_all(root.join(kind)).unwrap();
        fs::write(root.join(kind).join(format!("{tone:02}.wav")), bytes).unwrap();
    }
    root
}

fn planned(folder: &Path, run: &str, more: &[&str]) -> Planned {
    let mut arguments = vec![
        format!("data={}", tones(folder, 8000).display()),
        format!("out={}", folder.join(run).display()),
        "epochs=2".into(),
        "batch_size=8".into(),
        "backbone=resnet_micro".into(),
        "backbone.widths=[4]".into(),
        "train.checkpoint_steps=2".into(),
    ];
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    Catalogue::default().plan_fitted(&arguments).unwrap()
}

#[test]
fn views_of_photographs_are_told_where_the_data_are_sounds() {
    let folder = tempfile::tempdir().unwrap();
    let data = format!("data={}", tones(folder.path(), 8000).display());
    let words = [&data, "data.view=log_mel", "data.size=16", "batch_size=8"].map(str::to_owned);
    let of_images = Catalogue::default().plan(Some(&Recipe::builtin("simclr").unwrap()), &words).unwrap();
    let notes = of_images.notes();
    assert!(notes.iter().any(|note| note.contains("horizontal_flip turns pictures of sounds around")), "{notes:?}");
    let fitted = planned(folder.path(), "fitted", &PICTURES);
    assert!(fitted.notes().is_empty(), "{:?}", fitted.notes());
}

const PICTURES: [&str; 3] = ["data.view=log_mel", "data.mel_bands=16", "data.labels=folder"];

#[test]
fn pictures_of_sounds_train_and_the_encoder_knows_how_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let run = |run: &str, threads: &str| planned(folder.path(), run, &[&PICTURES[..], &[threads]].concat());
    let (whole, parts) = (run("whole", "threads=1"), run("parts", "threads=3"));
    let data = &whole.plan.data;
    assert_eq!((data.modality, data.channels, data.rate), (Modality::Image, 1, 8000));
    // 0.18 s with a hop of 10 ms are 19 frames, up to a multiple of 8.
    assert_eq!(data.size, Size::of([16, 24]));
    train(&whole.plan, &whole.dataset);
    train_to(&parts.plan, &parts.dataset, 3);
    train(&parts.plan, &parts.dataset);
    assert_eq!(losses(&whole.plan), losses(&parts.plan));
    assert!(encoder(&whole.plan) == encoder(&parts.plan));
    // Other recordings of the same, at twice the rate, have the same pictures and so the same features.
    let embedder = Embedder::load(&whole.plan.out).unwrap();
    let signal = &embedder.config().signal;
    assert_eq!((signal["view"].as_str(), signal["mel_bands"].as_integer()), (Some("log_mel"), Some(16)));
    let [own, other] = [8000, 16_000].map(|rate| embedder.embed_path(tones(folder.path(), rate)).unwrap());
    assert_eq!((own.len(), other.len()), (24, 24));
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
    let apart = square(&mut own.values.iter().zip(&other.values).map(|(a, b)| a - b));
    let mean = |at: usize| own.values.iter().skip(at).step_by(own.dim).sum::<f32>() / 24.0;
    let spread = square(&mut own.values.iter().enumerate().map(|(at, v)| v - mean(at % own.dim)));
    assert!(apart < 0.05 * spread, "{apart} {spread}");
    // A training that starts from it is fed likewise.
    let init = format!("init={}", whole.plan.out.display());
    let further = planned(folder.path(), "further", &[&init, "data.labels=folder"]).plan.data;
    assert_eq!((further.view, further.mel_bands, further.size), (SignalView::LogMel, 16, Size::of([16, 24])));
}
