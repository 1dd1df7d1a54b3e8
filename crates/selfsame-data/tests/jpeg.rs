//! JPEG files of every layout: the pixels that libjpeg gives, or a refusal that names the layout.
//!
//! `cases/jpeg/sweep.zip` is written by `benchmarks/conformance/jpeg_sweep.py --small`: files, the pixels that libjpeg-turbo
//! makes of them, and `index.txt`, which says what belongs together.

use selfsame_data::decode::{FileDecoder, Wanted};
use selfsame_data::image::{Image, Pixels};
use std::io::{Cursor, Read};

const DECODER: FileDecoder = FileDecoder {
    wanted: Wanted { channels: 3, bands: Vec::new() },
    gray_only: false,
    background: [0; 3],
    max_megapixels: 1.0,
    memory_bytes: 1 << 20,
};

/// Layouts that go to `zune-jpeg` may be off by its rounding in the inverse DCT and in the conversion of colors; a wrong block,
/// or a wrong filter for chroma, is off by more. What is decoded here is equal, and most of the sweep is.
const NEAR: u8 = 4;

fn decode(bytes: &[u8], name: &str) -> Result<Image, String> {
    DECODER.decode(bytes, name).map(|(image, _)| image).map_err(|error| error.to_string())
}

/// What reads the files of the sweep by their names.
fn sweep() -> impl FnMut(&str) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(Cursor::new(include_bytes!("cases/jpeg/sweep.zip"))).unwrap();
    move |name| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }
}

fn distance(image: &Image, expected: &[u8]) -> u8 {
    let Pixels::U8(values) = &image.pixels else { panic!("a JPEG has 8 bits") };
    assert_eq!(values.len(), expected.len());
    values.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn every_layout_is_read_as_by_libjpeg_or_refused_by_its_name() {
    let mut read = sweep();
    let index = String::from_utf8(read("index.txt")).unwrap();
    let (mut equal, mut wrong, mut count) = (0, Vec::new(), 0);
    for line in index.lines() {
        let (name, expected) = line.split_once(' ').unwrap();
        let decoded = decode(&read(name), name);
        count += 1;
        if let Some(words) = expected.strip_prefix("refused ") {
            match decoded {
                Ok(_) => wrong.push(format!("{name}: read, expected a refusal with {words:?}")),
                Err(said) if !said.contains(words) || said.contains('\n') || said.contains("gave up") => {
                    wrong.push(said);
                }
                Err(_) => {}
            }
            continue;
        }
        let image = match decoded {
            Ok(image) => image,
            Err(said) => {
                wrong.push(said);
                continue;
            }
        };
        let mut pixels = read(expected);
        let shape: Vec<usize> = expected.split(['.', 'x']).filter_map(|part| part.parse().ok()).skip(1).collect();
        assert_eq!([image.height, image.width], shape[..2], "{name}");
        if shape.len() == 2 {
            pixels = pixels.into_iter().flat_map(|gray| [gray; 3]).collect();
        }
        match distance(&image, &pixels) {
            0 => equal += 1,
            1..=NEAR => {}
            apart => wrong.push(format!("{name}: off by {apart}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 400 && 2 * equal > count, "{equal} of {count} files are equal");
}

#[test]
fn files_that_once_came_out_wrong_are_right() {
    let read = |name: &str| std::fs::read(format!("{}/tests/cases/jpeg/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for (name, reference) in [
        ("base_1x1+2x2+2x2_64x64.jpg", "1x1+2x2+2x2.png"),
        ("ni_1x1+2x2+2x2_64x64.jpg", "1x1+2x2+2x2.png"),
        ("ni_2x2_64x64.jpg", "2x2.png"),
        ("cby_2x2_64x64.jpg", "2x2.png"),
        ("zero_between_headers.jpg", "2x2.png"),
        ("base_3x1_64x64.jpg", "3x1.png"),
    ] {
        let image = decode(&read(name), name).unwrap();
        let Pixels::U8(expected) = decode(&read(reference), reference).unwrap().pixels else {
            panic!("{reference} has 8 bits")
        };
        let apart = distance(&image, &expected);
        assert!(apart <= NEAR, "{name}: off by {apart}");
    }
    for (name, words) in [("arith_64.jpg", "a JPEG with arithmetic coding"), ("j12.jpg", "a JPEG of 12 bits per value")]
    {
        let said = decode(&read(name), name).unwrap_err();
        assert!(said.contains(words) && said.starts_with(name), "{said}");
        assert_eq!(DECODER.probe(&read(name), name).unwrap_err().to_string(), said);
    }
}

/// Whatever is done to a file, it is decoded or refused in one line; no panic reaches the caller.
#[test]
fn damaged_files_are_decoded_or_refused_in_one_line() {
    let mut read = sweep();
    let index = String::from_utf8(read("index.txt")).unwrap();
    let mut state = 17u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for line in index.lines() {
        let (name, _) = line.split_once(' ').unwrap();
        let bytes = read(name);
        for _ in 0..20 {
            let mut damaged = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
            if random(4) == 0 {
                damaged.truncate(random(damaged.len()));
            }
            if let Err(said) = decode(&damaged, "file") {
                assert!(said.starts_with("file: ") && !said.contains('\n'), "{name}: {said}");
            }
        }
    }
}
