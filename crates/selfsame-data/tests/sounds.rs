//! Sound files as other tools write them (`sounds/make.py`), and damaged ones.

use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels, Size};
use selfsame_data::modality::Modality;
use selfsame_data::settings::DataRequest;
use selfsame_data::signal::{CutOff, Normalize, SignalView};
use std::f64::consts::TAU;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn sound(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sounds").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(sound(name)).unwrap()
}

/// A folder of these files.
fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

/// A WAV of 16 bits, `[time, channels]`, whose header promises `promised` bytes.
fn wav(rate: u32, channels: u16, values: &[i16], promised: Option<u32>) -> Vec<u8> {
    let size = promised.unwrap_or(2 * values.len() as u32);
    let mut bytes = Vec::new();
    bytes.extend(b"RIFF");
    bytes.extend(size.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate * 2 * u32::from(channels)).to_le_bytes());
    bytes.extend((2 * channels).to_le_bytes());
    bytes.extend(b"\x10\0data");
    bytes.extend(size.to_le_bytes());
    values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes
}

fn opened(folder: &TempDir, more: impl Fn(&mut DataRequest)) -> Result<Dataset, String> {
    let mut request = DataRequest { max_bad_share: 0.9, ..DataRequest::new(folder.path()) };
    more(&mut request);
    let shown = folder.path().display().to_string();
    Dataset::open(&request).map_err(|error| error.to_string().replace(&shown, "FOLDER"))
}

fn notes(data: &Dataset, folder: &TempDir) -> String {
    data.notes().join("\n").replace(&folder.path().display().to_string(), "FOLDER")
}

fn values(data: &Dataset, index: usize) -> Vec<f32> {
    let sample = data.sample(index).unwrap();
    match &sample.pixels {
        Pixels::F32(values) => values.clone(),
        other => panic!("{other:?}"),
    }
}

fn shape(image: &Image) -> [usize; 3] {
    [image.height, image.width, image.channels]
}

/// The largest difference from the tone, away from the ends.
fn off_tone(values: &[f32], rate: f64) -> f64 {
    let inner = values.len() / 8..values.len() * 7 / 8;
    let tone = |step: usize| 0.5 * (TAU * 440.0 * step as f64 / rate).sin();
    inner.map(|step| (f64::from(values[step]) - tone(step)).abs()).fold(0.0, f64::max)
}

#[test]
fn every_format_is_read_as_what_was_written() {
    for (name, most) in [
        ("u8.wav", 0.01),
        ("i16.wav", 1e-4),
        ("i24.wav", 1e-5),
        ("f32.wav", 1e-5),
        ("tone.flac", 1e-4),
        ("tone.ogg", 0.05),
        ("tone.mp3", 0.1),
    ] {
        let data = Dataset::open(&DataRequest::new(sound(name))).unwrap();
        assert_eq!((data.modality(), data.channels(), data.len()), (Modality::Signal, 1, 1));
        let sample = data.sample(0).unwrap();
        assert_eq!(shape(&sample), [1, 2000, 1], "{name}");
        let off = off_tone(&values(&data, 0), 8000.0);
        assert!(off < most, "{name}: {off}");
        assert_eq!(data.facts(&toml::Table::new()).unwrap()["rate"].as_integer(), Some(8000));
    }
}

#[test]
fn folders_are_labels_and_other_rates_and_channels_are_told() {
    let folder = folder(&[
        ("a/1.ogg", bytes("tone.ogg")),
        ("a/2.wav", bytes("i16.wav")),
        ("b/3.flac", bytes("stereo.flac")),
        ("b/4.ogg", bytes("rate.ogg")),
        ("b/cover.png", vec![1]),
    ]);
    let data = opened(&folder, |request| request.labels = Some("folder".into())).unwrap();
    assert_eq!((data.classes(), data.len()), (&["a".to_owned(), "b".to_owned()][..], 4));
    assert_eq!((0..4).map(|i| data.label(i).unwrap()).collect::<Vec<_>>(), [0, 0, 1, 1]);
    let told = notes(&data, &folder);
    for said in [
        "1 of 5 files are not read: 1 .png (data.modality = \"image\" reads images)",
        "FOLDER: 1 of 4 sounds looked at have another rate than data.rate = 8000 Hz (44100 Hz): they are resampled",
        "FOLDER: 1 of 4 sounds looked at have more channels, up to 2, which are mixed to one; data.channels = 2 keeps them",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
    // The channels of the stereo file are the tone and its half with the other sign.
    let mixed = values(&data, 2);
    let off = off_tone(&mixed.iter().map(|value| 4.0 * value).collect::<Vec<_>>(), 8000.0);
    assert!(off < 1e-3, "{off}");
    let resampled = values(&data, 3);
    assert_eq!(resampled.len(), 2000);
    assert!(off_tone(&resampled, 8000.0) < 0.05);
    let two = opened(&folder, |request| request.channels = Some(2)).unwrap();
    assert_eq!(shape(&two.sample(0).unwrap()), [1, 2000, 2]);
    let stereo = values(&two, 2);
    assert!(stereo.chunks_exact(2).all(|pair| (pair[0] + 2.0 * pair[1]).abs() < 1e-4));
}

#[test]
fn resampling_keeps_a_tone_and_its_place() {
    let tone = |rate: u32| {
        let steps = (0..rate).map(|i| (16384.0 * (TAU * 440.0 * f64::from(i) / f64::from(rate)).sin()) as i16);
        wav(rate, 1, &steps.collect::<Vec<_>>(), None)
    };
    for (from, to) in [(44_100, 16_000), (8000, 16_000), (16_000, 11_025), (22_050, 22_051)] {
        let folder = folder(&[("a.wav", tone(from))]);
        let data = opened(&folder, |request| request.rate = Some(to)).unwrap();
        let values = values(&data, 0);
        assert_eq!(values.len(), to, "{from} to {to}");
        let off = off_tone(&values, to as f64);
        assert!(off < 1e-3, "{from} to {to}: {off}");
        assert!(notes(&data, &folder).contains("are resampled"));
    }
}

#[test]
fn bad_sounds_are_left_out_counted_and_listed() {
    let whole = bytes("tone.ogg");
    let mut flipped = whole.clone();
    let middle = flipped.len() * 3 / 4;
    flipped[middle..middle + 8].fill(0x5a);
    let (tone, noise) = ([0; 4000], bytes("noise.ogg"));
    let folder = folder(&[
        ("good.ogg", whole.clone()),
        ("cut.ogg", noise[..noise.len() * 3 / 4].to_vec()),
        ("head.ogg", whole[..whole.len() / 2].to_vec()),
        ("flipped.ogg", flipped),
        ("text.ogg", b"not a sound at all, but some words".to_vec()),
        ("empty.ogg", Vec::new()),
        ("cut.flac", bytes("tone.flac")[..800].to_vec()),
        ("hours.wav", wav(8000, 1, &tone, Some(8000 * 2 * 3600 * 2))),
        ("cut.wav", wav(8000, 1, &tone, Some(12_000))),
        ("none.wav", wav(8000, 1, &[], None)),
        ("rate.wav", wav(4_000_000, 1, &[], None)),
        ("three.wav", wav(8000, 3, &[0; 30], None)),
    ]);
    let data = opened(&folder, |request| request.channels = Some(2)).unwrap();
    for index in 0..data.len() {
        let _ = data.sample(index);
    }
    let bad: Vec<String> = data.bad_files().iter().map(|bad| format!("{}: {}", bad.id, bad.reason)).collect();
    assert_eq!(bad.len(), 11, "{bad:#?}");
    for said in [
        "cut.ogg: ends amid a packet; data.cut_off = \"keep\" takes what is before it",
        "head.ogg: not a sound",
        "flipped.ogg: ",
        "text.ogg: not a sound in a format that is read (WAV, FLAC, OGG, MP3), or damaged",
        "empty.ogg: an empty file",
        "cut.flac: ",
        "hours.wav: its header promises 7200 s of sound, data.max_seconds is 600",
        "cut.wav: ",
        "none.wav: ",
        "rate.wav: its header tells a rate of 4000000 Hz, expected 100 to 768000 Hz",
        "three.wav: has 3 channels, data.channels is 2; data.channels = 1 mixes them",
    ] {
        assert!(bad.iter().any(|bad| bad.starts_with(said)), "{said}: {bad:#?}");
    }
    let cut = opened(&folder, |request| {
        request.path = request.path.join("cut.ogg");
        request.cut_off = CutOff::Keep;
    });
    let cut = cut.unwrap().sample(0).unwrap().width;
    assert!((2000..15_000).contains(&cut), "{cut} of 16000");
    let all = opened(&folder, |request| request.path = request.path.join("text.ogg")).err().unwrap();
    assert!(all.contains("no sound can be decoded: 1 of 1 were tried; the first, text.ogg: not a sound"), "{all}");
}

#[test]
fn a_folder_is_read_as_what_it_holds_most_of_or_is_asked_for() {
    let png = selfsame_data::decode::encode_png(&[0; 64], 8, 8);
    let folder = folder(&[("a.png", png.clone()), ("b.png", png), ("c.ogg", bytes("tone.ogg"))]);
    let data = opened(&folder, |_| {}).unwrap();
    assert_eq!((data.modality(), data.len()), (Modality::Image, 2));
    assert!(notes(&data, &folder).contains("1 .ogg (data.modality = \"signal\" reads sounds)"));
    let data = opened(&folder, |request| request.modality = Some(Modality::Signal)).unwrap();
    assert_eq!((data.modality(), data.len()), (Modality::Signal, 1));
    let error = opened(&folder, |request| request.normalize = Normalize::Sample).err().unwrap();
    assert_eq!(error, "data.normalize: \"sample\" is for signals, FOLDER holds images");
    let images = tempfile::tempdir().unwrap();
    let error = opened(&images, |request| request.modality = Some(Modality::Signal)).err().unwrap();
    assert_eq!(error, "FOLDER: an empty folder; expected sound files (WAV, FLAC, OGG, MP3)");
}

#[test]
fn log_mel_makes_images_of_sounds() {
    let folder = folder(&[("a.ogg", bytes("tone.ogg")), ("b.wav", wav(8000, 1, &[0; 900], None))]);
    let log_mel = |request: &mut DataRequest| {
        request.view = SignalView::LogMel;
        (request.mel_bands, request.mel_window, request.mel_hop) = (24, 32.0, 10.0);
    };
    let data = opened(&folder, log_mel).unwrap();
    assert_eq!((data.modality(), data.channels()), (Modality::Image, 1));
    // 26 frames, as 2,000 steps with a hop of 80 have, up to a multiple of 8; the shorter one has silence after its 900 steps, too.
    assert_eq!(shape(&data.sample(0).unwrap()), [24, 32, 1]);
    assert_eq!(shape(&data.sample(1).unwrap()), [24, 32, 1]);
    let silent = values(&data, 1);
    assert!(silent.iter().all(|value| *value == 1e-5f32.ln()), "{silent:?}");
    let wide = opened(&folder, |request| {
        log_mel(request);
        request.size = Some(Size { height: 12, width: 20 });
    });
    // A view of 12×20 is one of 24×40.
    assert_eq!(shape(&wide.unwrap().sample(0).unwrap()), [24, 40, 1]);
    let tone = values(&data, 0);
    let at = |row: usize| tone[row * 32 + 13];
    let loudest = (0..24).max_by(|&a, &b| at(a).total_cmp(&at(b))).unwrap();
    // mel(440 Hz) = 549.6, and 25 steps lead to mel(4 kHz) = 2146.1.
    assert!((5..=6).contains(&loudest), "{loudest}");
    let facts = data.facts(&toml::Table::new()).unwrap();
    assert_eq!((facts["modality"].as_str(), facts["mean"].as_array().unwrap().len()), (Some("image"), 1));
    let error = opened(&folder, |request| {
        log_mel(request);
        request.mel_bands = 300;
    });
    assert!(error.err().unwrap().starts_with("data.mel_bands: band "));
}

#[test]
fn a_signal_is_normalized_by_itself_where_that_is_asked_for() {
    let folder = folder(&[("a.wav", bytes("i16.wav")), ("b.wav", wav(8000, 1, &[300; 100], None))]);
    let data = opened(&folder, |request| request.normalize = Normalize::Sample).unwrap();
    let tone = values(&data, 0);
    let square = tone.iter().map(|value| value * value).sum::<f32>() / tone.len() as f32;
    assert!((square - 1.0).abs() < 1e-4, "{square}");
    assert_eq!(values(&data, 1), [0.0; 100]);
}
