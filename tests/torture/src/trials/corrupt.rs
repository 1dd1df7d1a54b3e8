//! A folder of images of which some are corrupt, in twelve ways: exactly these are listed.

use crate::bench::Bench;
use crate::ledger::Tally;
use crate::product::{Failure, Place, embed, pretrain};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SIDE: usize = 8;

/// The ways, by the ending that the file has.
type Way = (&'static str, fn() -> Vec<u8>);

const WAYS: [Way; 12] = [
    ("pgm", Vec::new),
    ("jpg", || vec![0xff]),
    ("png", || b"<!doctype html><title>404 Not Found</title>\n".to_vec()),
    ("pgm", || pgm()[..pgm().len() - 7].to_vec()),
    ("pgm", || pgm()[..9].to_vec()),
    ("pgm", || b"P5\n0 0\n255\n".to_vec()),
    ("png", || png()[..png().len() / 2].to_vec()),
    ("png", || changed(png(), 60, 0x10)),
    ("png", || changed(png(), 1, 0x01)),
    // A header of 60,000 × 60,000 pixels.
    ("png", || png_of(60_000, 60_000)),
    ("bmp", || bmp()[..bmp().len() - 20].to_vec()),
    // JPEG's first bytes, and nothing after them.
    ("jpg", || b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec()),
];

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    let (images, every) = (bench.count(10_000, 240), bench.count(100, 10));
    let tally = bench.ledger.each("corrupt", &["pretrain".into(), "embed".into()], |trial| {
        bench.in_place(&format!("corrupt-{trial}"), |place| {
            let bad = write_images(&place, images, every).map_err(|e| e.to_string())?;
            let data = place.path("images");
            let share = format!("data.max_bad_share={}", 1.5 / every as f64);
            let session = place.run(&pretrain(&data, &["epochs=1", "data.channels=1", "size=8", &share]))?;
            session.succeeded()?;
            let listed = match trial {
                "pretrain" => listed(&place.run_folder().path("skipped.jsonl"))?,
                _ => {
                    let session = place.run(&embed(&data))?;
                    session.succeeded()?;
                    let lines =
                        session.stderr.lines().filter_map(|line| line.strip_prefix("skipped ")?.split_once(": "));
                    lines.map(|(id, _)| id.to_owned()).collect()
                }
            };
            let (missing, wrong) = (bad.difference(&listed).next(), listed.difference(&bad).next());
            if let (None, None) = (missing, wrong) {
                return Ok(());
            }
            let some = |which: Option<&String>| which.cloned().unwrap_or("none".into());
            Err(format!(
                "{} are listed of {}; not listed: {}; listed and good: {}",
                listed.len(),
                bad.len(),
                some(missing),
                some(wrong)
            ))
        })
    });
    let what = format!("{images} images, {} corrupt in {} ways", images / every, WAYS.len());
    Ok(vec![tally.named(what, "commands list exactly these")])
}

/// Names in `skipped.jsonl`; each has a reason.
fn listed(path: &Path) -> Result<BTreeSet<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let record = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).map_err(|e| format!("{line}: {e}"))?;
        let text = |key: &str| record[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        text("reason").and(text("id")).ok_or_else(|| format!("no id or no reason: {line}"))
    };
    text.lines().map(record).collect()
}

/// Writes `images`, every `every`-th corrupt; the names of those.
fn write_images(place: &Place, images: usize, every: usize) -> std::io::Result<BTreeSet<String>> {
    let folder = place.path("images");
    fs::create_dir(&folder)?;
    let mut bad = BTreeSet::new();
    for index in 0..images {
        let (name, bytes) = if index % every == every / 2 {
            let (ending, make) = WAYS[index / every % WAYS.len()];
            let name = format!("{index:05}.{ending}");
            bad.insert(name.clone());
            (name, make())
        } else {
            let (ending, bytes) = [("pgm", pgm()), ("png", png()), ("bmp", bmp())][index % 3].clone();
            (format!("{index:05}.{ending}"), changed_pixel(bytes, index))
        };
        fs::write(folder.join(name), bytes)?;
    }
    Ok(bad)
}

/// Another picture, where that needs no new checksum.
fn changed_pixel(mut bytes: Vec<u8>, index: usize) -> Vec<u8> {
    if !bytes.starts_with(b"\x89PNG") {
        let end = bytes.len() - 1;
        bytes[end - index % SIDE] ^= (index % 251) as u8;
    }
    bytes
}

fn changed(mut bytes: Vec<u8>, at: usize, bits: u8) -> Vec<u8> {
    bytes[at] ^= bits;
    bytes
}

fn pixels() -> impl Iterator<Item = u8> {
    (0..SIDE * SIDE).map(|i| (i * 37 % 251) as u8)
}

fn pgm() -> Vec<u8> {
    format!("P5\n{SIDE} {SIDE}\n255\n").into_bytes().into_iter().chain(pixels()).collect()
}

/// 24 bits, rows from below; eight pixels fill a row without padding.
fn bmp() -> Vec<u8> {
    let data: Vec<u8> = pixels().flat_map(|pixel| [pixel; 3]).collect();
    let number = |number: usize| (number as u32).to_le_bytes();
    let mut bytes = b"BM".to_vec();
    [54 + data.len(), 0, 54, 40, SIDE, SIDE].iter().for_each(|&n| bytes.extend(number(n)));
    bytes.extend([1, 0, 24, 0]);
    [0, data.len(), 2835, 2835, 0, 0].iter().for_each(|&n| bytes.extend(number(n)));
    bytes.extend(data);
    bytes
}

fn png() -> Vec<u8> {
    png_of(SIDE as u32, SIDE as u32)
}

/// Gray, 8 bits, with the data of an image of `SIDE`, stored without compression.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    pixels().enumerate().for_each(|(i, pixel)| {
        if i % SIDE == 0 {
            rows.push(0); // no filter
        }
        rows.push(pixel);
    });
    let length = (rows.len() as u16).to_le_bytes();
    let inverted = (!(rows.len() as u16)).to_le_bytes();
    let (low, high) = rows.iter().fold((1u32, 0u32), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65521;
        (low, (high + low) % 65521)
    });
    let adler = (high << 16 | low).to_be_bytes();
    let data = [&[0x78, 0x01, 0x01], &length[..], &inverted, &rows, &adler].concat();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let named = [name, data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &named, &crc32(&named).to_be_bytes()].concat()
    };
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &data), chunk(b"IEND", b"")].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0u32, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| bit(crc)))
}
