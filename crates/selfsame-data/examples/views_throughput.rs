//! SimCLR views per second on one core: our side of `benchmarks/torchvision/views.py`.
//!
//! `views_throughput gray28|color32 PIXELS SECONDS`, where PIXELS holds raw 8-bit images one after the other, or
//! `views_throughput photo224 FOLDER SECONDS`, where every JPEG of FOLDER is decoded for each pair of views.
//! Prints `{"views_per_s": …}`.

#![allow(clippy::print_stdout, reason = "nobody but a person who runs it reads along")]

use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::augment::{Augmentations, Normalization, Pipeline, View, ViewShape};
use selfsame_data::decode::{FileDecoder, Wanted};
use selfsame_data::image::{Image, Pixels, ValueRange};
use std::error::Error;
use std::time::Instant;

const GRAY28: &str = r#"augmentations = [
    { name = "random_resized_crop" },
    { name = "horizontal_flip" },
    { name = "color_jitter", brightness = 0.4, contrast = 0.4, saturation = 0.0, hue = 0.0 },
]"#;
const COLOR32: &str = r#"augmentations = [
    { name = "random_resized_crop" },
    { name = "horizontal_flip" },
    { name = "color_jitter", strength = 0.5 },
    { name = "color_drop" },
]"#;
const PHOTO224: &str = r#"augmentations = [
    { name = "random_resized_crop" },
    { name = "horizontal_flip" },
    { name = "color_jitter" },
    { name = "color_drop" },
    { name = "gaussian_blur" },
]"#;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, workload, path, seconds] = &arguments[..] else {
        return Err("usage: views_throughput gray28|color32|photo224 PIXELS|FOLDER SECONDS".into());
    };
    let (recipe, size, channels) = match workload.as_str() {
        "gray28" => (GRAY28, 28, 1),
        "color32" => (COLOR32, 32, 3),
        "photo224" => (PHOTO224, 224, 3),
        other => return Err(format!("no workload {other}").into()),
    };
    let files: Vec<Vec<u8>> = match workload.as_str() {
        "photo224" => std::fs::read_dir(path)?.map(|entry| std::fs::read(entry?.path())).collect::<Result<_, _>>()?,
        _ => std::fs::read(path)?.chunks_exact(size * size * channels).map(<[u8]>::to_vec).collect(),
    };
    let wanted = Wanted::channels(3);
    let decoder =
        FileDecoder { wanted, gray_only: false, background: [0; 3], max_megapixels: 100.0, memory_bytes: 1 << 30 };
    let decoded = |file: &Vec<u8>| match workload.as_str() {
        "photo224" => decoder.decode(file, "photo").expect("a JPEG").0,
        _ => Image::new(size, size, channels, Pixels::U8(file.clone())),
    };
    let cached: Vec<Image> = if size < 64 { files.iter().map(decoded).collect() } else { Vec::new() };

    let recipe: toml::Table = toml::from_str(recipe)?;
    let choices: Vec<selfsame_config::Choice> = recipe["augmentations"].clone().try_into()?;
    let normalization = Normalization::new(&vec![0.5; channels], &vec![0.25; channels], ValueRange::UNIT);
    let pipeline = Pipeline::new(
        &Augmentations::default(),
        &choices,
        "augmentations",
        ViewShape::image(size, channels),
        normalization,
    )?;
    let (mut view, mut draws, mut out) = (View::default(), Vec::new(), vec![0.0; size * size * channels]);
    let mut pass = |epoch: u64| {
        for i in 0..files.len() {
            let fresh = cached.is_empty().then(|| decoded(&files[i]));
            let sample = fresh.as_ref().unwrap_or_else(|| &cached[i]);
            for v in 0..2 {
                let mut rng = StreamRng::new(0, Purpose::View, epoch, i as u64, v);
                pipeline.draw(sample.size(), &mut rng, &mut draws);
                pipeline.write(sample, &draws, &mut view, &mut out);
            }
        }
        std::hint::black_box(&out);
        2 * files.len()
    };
    pass(0);
    let (started, cpu) = (Instant::now(), cpu_s());
    let mut views = 0;
    for epoch in 1.. {
        views += pass(epoch);
        if started.elapsed().as_secs_f64() > seconds.parse()? {
            break;
        }
    }
    let used_s = match (cpu, cpu_s()) {
        (Some(before), Some(after)) => after - before,
        _ => started.elapsed().as_secs_f64(),
    };
    println!("{{\"views_per_s\": {:.1}}}", views as f64 / used_s);
    Ok(())
}

/// Time that this thread has been on a core, where the system tells (Linux): others' load does not count then.
fn cpu_s() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(stat.split_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}
