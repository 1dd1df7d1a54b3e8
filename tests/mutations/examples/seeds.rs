//! Writes the seeds of every fuzz target that are not copies of other files. `fuzz/seeds` runs it.
//!
//! `seeds RUN CORPUS`: `RUN` is a run folder with all its records.

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use mutations::RECORDS;
use selfsame_base::npy::npy_header;
use selfsame_config::Recipe;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn main() {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(run), Some(corpus)) = (words.next(), words.next()) else {
        panic!("usage: seeds RUN CORPUS");
    };
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    };
    for name in ["simclr", "swav", "dino", "vit_moco", "masked_autoencoder", "clusterfit", "deep_belief_network"] {
        write("recipe", name, Recipe::builtin(name).unwrap().text.as_bytes());
    }
    write("plan", "run", &fs::read(run.join("plan.toml")).unwrap());
    // A file, and what is done to it: seven bytes for each edit.
    for (name, edits) in [
        ("flip", &[0, 0, 20, 0, 0, 0, 3, 0][..]),
        ("cut", &[1, 2, 100, 0, 0, 0, 0, 0]),
        ("number", &[0, 6, 200, 0, 0, 0, 7, 0]),
        ("repeat", &[2, 4, 9, 1, 0, 0, 8, 0, 3, 1, 0, 0, 0, 16, 0]),
    ] {
        write("checkpoint", name, edits);
    }
    write("encoder_config", "config", &fs::read(run.join("config.json")).unwrap());
    write("safetensors", "encoder", &fs::read(run.join("encoder.safetensors")).unwrap());
    for name in ["f16.safetensors", "windows-gray.pt", "moco-legacy.pth.tar"] {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/import");
        write("weights", name, &fs::read(golden.join(name)).unwrap());
    }
    arrays(&write);
    series(&write);
    images(&write);
    for (which, name) in RECORDS.iter().enumerate() {
        let record = fs::read(run.join(name)).unwrap();
        write("records", name, &[&[which as u8], &*first(&record, 12_000)].concat());
    }
}

/// The leading lines of a file that take no more than `most` bytes, or all of a smaller one.
fn first(bytes: &[u8], most: usize) -> Vec<u8> {
    if bytes.len() <= most {
        return bytes.to_vec();
    }
    let end = bytes[..most].iter().rposition(|&byte| byte == b'\n').unwrap_or(most - 1);
    bytes[..=end].to_vec()
}

fn pixels(count: usize) -> Vec<u8> {
    (0..count).map(|i| (i * 37 % 251) as u8).collect()
}

fn arrays(write: &impl Fn(&str, &str, &[u8])) {
    let images = [&[0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4][..], &pixels(64)].concat();
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&images).unwrap();
    write("idx", "images", &images);
    write("idx", "images-gz", &packed.finish().unwrap());
    write("idx", "color", &[&[0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 3][..], &pixels(48)].concat());
    write("idx", "labels", &[0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 2, 1]);

    write("cifar", "ten", &[&[9][..], &pixels(3072)].concat());
    write("cifar", "hundred", &[&[19, 99][..], &pixels(3072)].concat());

    let array = |kind: &str, shape: &[usize], data: &[u8]| [&npy_header(kind, shape)[..], data].concat();
    let floats: Vec<u8> = (0..16).flat_map(|i| (i as f32 / 16.0).to_le_bytes()).collect();
    write("npy", "gray", &array("|u1", &[4, 4, 4], &pixels(64)));
    write("npy", "color", &array("|u1", &[2, 3, 3, 3], &pixels(54)));
    write("npy", "sixteen-bits", &array(">u2", &[2, 4, 4], &pixels(64)));
    write("npy", "floats", &array("<f4", &[1, 4, 4, 1], &floats));
    let labels = array("<i4", &[4], &[0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
    write("npy", "labels", &labels);
    let names: Vec<u8> = "catox\0catdog".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    write("npy", "names", &array("<U3", &[4], &names));
    let mut fortran = array("<f8", &[2, 3, 3, 1], &pixels(144));
    let order = fortran.windows(5).position(|word| word == b"False").unwrap();
    fortran[order..order + 5].copy_from_slice(b"True ");
    write("npy", "fortran", &fortran);
    write("npy", "planar", &array(">i2", &[2, 3, 5, 5], &pixels(300)));

    let gray = array("|u1", &[4, 4, 4], &pixels(64));
    let (plain, parts) = (["x.npy", "y.npy", ""], ["x_train.npy", "y_train.npy", "x_test.npy"]);
    for (name, method, [images, classes, more]) in [
        ("stored", CompressionMethod::Stored, plain),
        ("deflated", CompressionMethod::Deflated, plain),
        ("parts", CompressionMethod::Deflated, parts),
    ] {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        for (entry, data) in [(images, &gray), (classes, &labels), (more, &gray)] {
            if !entry.is_empty() {
                archive.start_file(entry, SimpleFileOptions::default().compression_method(method)).unwrap();
                archive.write_all(data).unwrap();
            }
        }
        write("npz", name, &archive.finish().unwrap().into_inner());
    }
}

fn series(write: &impl Fn(&str, &str, &[u8])) {
    let head = "@problemName s\n@timeStamps false\n@univariate false\n@dimensions 2\n@equalLength false\n";
    let lines = "1,2.5,?,4:-1,0,1e-3,2:up\n7,8:9,10:down\n";
    write("ts", "channels", format!("# of seeds\n{head}@classLabel true up down\n@data\n{lines}").as_bytes());
    let stamps = "(2007-01-01 00:00:00,1),(2007-01-01 00:02:00,3),(2007-01-01 00:01:00,2):1\n(1,1),(2,?),(4,5):2\n";
    write("ts", "stamps", format!("@timeStamps true\n@classLabel true 1 2\n@data\n{stamps}").as_bytes());
    write("ts", "target", b"@univariate true\n@equalLength true\n@targetLabel true\n@data\n1,2:0.5\n3,4:0.25\n");
    let steps = "who,t,x,z,label\nann,1,1,10,u\nbob,2020-01-02,5,50,v\nann,2,2,,u\nbob,2020-01-01T12:30Z,4,40,v\n";
    write("table", "steps.csv", steps.as_bytes());
    write("table", "series.csv", b"0,1,2,3,class\n1,2,,4,a\n5,6,7,,b\n");
    let sounds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/selfsame-data/tests/sounds");
    for name in ["u8.wav", "i24.wav", "stereo.flac", "tone.flac", "tone.ogg", "tone.mp3"] {
        write("sound", name, &fs::read(sounds.join(name)).unwrap());
    }
}

fn images(write: &impl Fn(&str, &str, &[u8])) {
    let color = |x: u32, y: u32| Rgb([(x * 30) as u8, (y * 30) as u8, (x * y) as u8]);
    let rgb = DynamicImage::ImageRgb8(RgbImage::from_fn(9, 7, color));
    for (name, image) in [
        ("rgb", rgb.clone()),
        ("rgba", rgb.to_rgba8().into()),
        ("gray", rgb.to_luma8().into()),
        ("gray-alpha", rgb.to_luma_alpha8().into()),
        ("rgb16", rgb.to_rgb16().into()),
    ] {
        for (ending, format) in [
            ("png", ImageFormat::Png),
            ("webp", ImageFormat::WebP),
            ("bmp", ImageFormat::Bmp),
            ("gif", ImageFormat::Gif),
            ("pnm", ImageFormat::Pnm),
        ] {
            let mut bytes = Cursor::new(Vec::new());
            // Not every format has every kind of pixels.
            if image.write_to(&mut bytes, format).is_ok() {
                write("image", &format!("{name}.{ending}"), bytes.get_ref());
            }
        }
    }
    let floats: Vec<u8> = (0..12).flat_map(|i| (i as f32 / 12.0).to_le_bytes()).collect();
    write("image", "gray-float.tif", &tiff(4, 3, &floats));
}

/// A TIFF of one strip of gray `f32`, little-endian.
fn tiff(width: u32, height: u32, data: &[u8]) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, value: u32| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1u32.to_le_bytes(), &value.to_le_bytes()].concat()
    };
    let entries = [
        entry(256, 4, width),
        entry(257, 4, height),
        entry(258, 3, 32),
        entry(259, 3, 1),
        entry(262, 3, 1),
        entry(273, 4, 8),
        entry(277, 3, 1),
        entry(278, 4, height),
        entry(279, 4, data.len() as u32),
        entry(339, 3, 3),
    ];
    let count = (entries.len() as u16).to_le_bytes();
    let start = [b"II\x2a\0", &(8 + data.len() as u32).to_le_bytes()[..]].concat();
    [&start[..], data, &count, &entries.concat(), &0u32.to_le_bytes()].concat()
}
