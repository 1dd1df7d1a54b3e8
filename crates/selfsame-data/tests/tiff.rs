//! TIFFs of every layout: the right pixels, or one line that says what is not read.

use selfsame_data::dataset::Dataset;
use selfsame_data::decode::{FileDecoder, Wanted};
use selfsame_data::image::{Image, Pixels};
use selfsame_data::settings::{DataRequest, PageChoice};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use zip::ZipArchive;

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/tiff")
}

fn decoder(channels: usize, bands: &[usize]) -> FileDecoder {
    let wanted = Wanted { channels, bands: bands.to_vec() };
    FileDecoder { wanted, gray_only: false, background: [30, 120, 250], max_megapixels: 1.0, memory_bytes: 64 << 20 }
}

/// The decoded file, or what is said of it.
fn decoded(bytes: &[u8], channels: usize, bands: &[usize]) -> Result<Image, String> {
    let decoder = decoder(channels, bands);
    let header = decoder.probe(bytes, "a file").map_err(|error| error.to_string());
    let image = decoder.decode(bytes, "a file").map_err(|error| error.to_string()).map(|(image, _)| image);
    if let Ok(image) = &image {
        assert_eq!(header.map(|header| header.size), Ok(image.size()));
    }
    let told = image.as_ref().err();
    assert!(told.is_none_or(|told| !told.contains('\n') && !told.contains("gave up")), "{told:?}");
    image
}

/// A file of `cases/tiff/files`.
fn file(name: &str, channels: usize, bands: &[usize]) -> Result<Image, String> {
    decoded(&fs::read(cases().join("files").join(name)).unwrap(), channels, bands)
}

/// Pixels as numbers: 8 bits 0..=255, 16 bits 0..=65535.
fn numbers(image: &Image) -> Vec<f64> {
    match &image.pixels {
        Pixels::U8(values) => values.iter().map(|&v| v.into()).collect(),
        Pixels::U16(values) => values.iter().map(|&v| v.into()).collect(),
        Pixels::F32(values) => values.iter().map(|&v| v.into()).collect(),
    }
}

#[test]
fn the_sweep_has_the_right_pixels_or_a_refusal_that_is_listed() {
    let mut archive = ZipArchive::new(File::open(cases().join("sweep.zip")).unwrap()).unwrap();
    let mut entry = |name: &str| {
        let mut bytes = Vec::new();
        archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let (list, files, references) = (entry("cases.json"), entry("files"), entry("references"));
    let list: Vec<Value> = serde_json::from_slice(&list).unwrap();
    let mut wrong = Vec::new();
    for case in &list {
        let index = |value: &Value| value.as_u64().unwrap() as usize;
        let bands: Vec<usize> = case["bands"].as_array().map_or(Vec::new(), |bands| bands.iter().map(index).collect());
        let channels = if bands.is_empty() { index(&case["channels"]) } else { bands.len() };
        let [start, len] = [0, 1].map(|i| index(&case["file"][i]));
        let found = decoded(&files[start..start + len], channels, &bands);
        let right = match (&found, case["refused"].as_str()) {
            (Err(told), Some(words)) => told.contains(words),
            (Ok(image), None) => {
                let reference = &case["reference"];
                let [height, width, found_channels, at] = [1, 2, 3, 4].map(|i| index(&reference[i]));
                let (count, kind) = (height * width * found_channels, reference[0].as_str().unwrap());
                let bytes = &references[at..];
                let expected: Vec<f64> = match kind {
                    "uint8" => bytes[..count].iter().map(|&v| v.into()).collect(),
                    "uint16" => bytes.as_chunks().0[..count].iter().map(|&v| u16::from_le_bytes(v).into()).collect(),
                    _ => bytes.as_chunks().0[..count].iter().map(|&v| f32::from_le_bytes(v).into()).collect(),
                };
                let depth = match image.pixels {
                    Pixels::U8(_) => "uint8",
                    Pixels::U16(_) => "uint16",
                    Pixels::F32(_) => "float32",
                };
                let tolerance = case["tolerance"].as_f64().unwrap();
                // Of floats, what composites alpha rounds otherwise than the reference does.
                let near = |(a, b): (&f64, &f64)| {
                    (a - b).abs() <= tolerance + if kind == "float32" { 1e-6 * b.abs().max(0.1) } else { 0.0 }
                };
                depth == kind
                    && [image.height, image.width, image.channels] == [height, width, found_channels]
                    && numbers(image).iter().zip(&expected).all(near)
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {:?}", case["name"], found.map(|image| numbers(&image)[..6].to_vec())));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), list.len(), wrong.join("\n"));
}

/// The picture that `make_files.py` writes, and its fourth band.
fn rgb(x: usize, y: usize) -> [f64; 3] {
    [6 * x, 5 * y, 2 * (x + y)].map(|value| (value % 256) as f64)
}

fn nir(x: usize, y: usize) -> f64 {
    (20 + x + 2 * y).min(255) as f64
}

/// Says whether an image of 40×48 px has these channels, up to `tolerance`.
fn holds(image: &Image, tolerance: f64, expected: impl Fn(usize, usize) -> Vec<f64>) {
    assert_eq!((image.width, image.height), (40, 48));
    let found = numbers(image);
    for (at, pixel) in found.chunks_exact(image.channels).enumerate() {
        let expected = expected(at % 40, at / 40);
        let near =
            pixel.len() == expected.len() && pixel.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= tolerance);
        assert!(near, "pixel {at}: {pixel:?} and not {expected:?}");
    }
}

#[test]
fn pictures_come_out_as_they_were_written() {
    for name in ["big", "lzw_tiled_edge_48x40", "rgb_lsb", "rgb_webp", "rgb_zstd"] {
        holds(&file(&format!("{name}.tif"), 3, &[]).unwrap(), 0.0, |x, y| rgb(x, y).to_vec());
    }
    for name in ["fax_runs", "fax_g3_2d", "fax_g4"] {
        let value = |x, y| if (x + 2 * y) % 31 < 9 + y / 3 { 0.0 } else { 255.0 };
        holds(&file(&format!("{name}.tif"), 1, &[]).unwrap(), 0.0, |x, y| vec![value(x, y)]);
    }
    // A list of bits that goes on beyond the samples.
    let mut bytes = fs::read(cases().join("files/rgb_zstd.tif")).unwrap();
    let tag = bytes.windows(8).position(|entry| entry == [2, 1, 3, 0, 3, 0, 0, 0]).unwrap();
    bytes[tag + 4] = 4;
    holds(&decoded(&bytes, 3, &[]).unwrap(), 0.0, |x, y| rgb(x, y).to_vec());
    // Written as luma and chroma.
    holds(&file("rgb_jpeg_ycbcr.tif", 3, &[]).unwrap(), 12.0, |x, y| {
        let [luma, cb, cr] = rgb(x, y);
        let (cb, cr) = (cb - 128.0, cr - 128.0);
        let rgb = [luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb];
        rgb.map(|value| value.clamp(0.0, 255.0)).to_vec()
    });
    holds(&file("palette8.tif", 3, &[]).unwrap(), 0.0, |x, y| vec![nir(x, y); 3]);
    for name in ["grey_float16", "grey_float64", "grey_int16"] {
        holds(&file(&format!("{name}.tif"), 1, &[]).unwrap(), 0.0, |x, y| vec![(20 * x + y) as f64 - 50.0]);
    }
    let over =
        |value: f64, alpha: f64, background: f64| ((value * alpha + background * (255.0 - alpha)) / 255.0).round();
    let background = [30.0, 120.0, 250.0];
    holds(&file("la8.tif", 3, &[]).unwrap(), 0.0, |x, y| {
        background.map(|background| over(nir(x, y), nir(x, y), background)).to_vec()
    });
    holds(&file("la8.tif", 2, &[]).unwrap(), 0.0, |x, y| vec![nir(x, y); 2]);
    holds(&file("rgba_assoc.tif", 3, &[]).unwrap(), 1.0, |x, y| {
        (0..3).map(|i| over(rgb(x, y)[i], nir(x, y), background[i])).collect()
    });
    // Rows are columns, from the right.
    let image = file("orient_float32_6.tif", 1, &[]).unwrap();
    assert_eq!((image.width, image.height), (48, 40));
    let near =
        |(at, &value): (usize, &f64)| (value - (0.02 * (at / 48) as f64 + 0.03 * (47 - at % 48) as f64)).abs() < 1e-6;
    assert!(numbers(&image).iter().enumerate().all(near));
    let image = file("tiled_planar_70x50.tif", 3, &[]).unwrap();
    assert_eq!((image.width, image.height), (50, 70));
    let pixel = |at: usize| [5 * (at % 50), 3 * (at / 50), 2 * (at % 50 + at / 50)].map(|value| value as f64);
    assert!(numbers(&image).chunks_exact(3).enumerate().all(|(at, found)| found == pixel(at)));
}

#[test]
fn bands_are_taken_by_number_or_all() {
    let five = |x, y| [rgb(x, y).to_vec(), vec![nir(x, y); 2]].concat();
    holds(&file("band5_contig.tif", 5, &[]).unwrap(), 0.0, five);
    holds(&file("band5_contig.tif", 3, &[4, 3, 1]).unwrap(), 0.0, |x, y| {
        [3, 2, 0].map(|band| five(x, y)[band]).to_vec()
    });
    let told = file("band5_contig.tif", 3, &[]).unwrap_err();
    assert!(told.contains("data.channels = 5 takes all, data.bands takes some"), "{told}");
    holds(&file("rgbnir_minisblack.tif", 4, &[]).unwrap(), 0.0, |x, y| five(x, y)[..4].to_vec());
    let image = file("band13_contig.tif", 13, &[]).unwrap();
    let first = [3402, 1032, 2162, 1121, 972, 3865, 3204, 3607, 2004, 1015, 1559, 2420, 1145].map(f64::from);
    assert_eq!(numbers(&image)[..13], first);
    assert_eq!(numbers(&file("band13_contig.tif", 3, &[4, 3, 2]).unwrap())[..3], [first[3], first[2], first[1]]);
    let told = file("band13_contig.tif", 3, &[4, 3, 14]).unwrap_err();
    assert!(told.contains("has 13 bands, data.bands asks for band 14"), "{told}");
}

/// A folder with a copy of each of these files.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::copy(cases().join("files").join(name), folder.path().join(name)).unwrap();
    }
    folder
}

#[test]
fn pages_are_samples_on_request_and_else_told() {
    let folder = folder(&["band13_pages.tif", "stack_pages.tif", "rgb_lsb.tif"]);
    let request = DataRequest { channels: Some(1), ..DataRequest::new(folder.path()) };
    let first = Dataset::open(&request).unwrap();
    assert_eq!(first.len(), 3);
    let told = "2 of 3 files looked at have more pages, up to 12, that are left out; data.pages = \"all\" takes each as a sample";
    assert_eq!((first.notes().len(), &*first.notes()[0]), (2, told));

    let all = Dataset::open(&DataRequest { pages: PageChoice::All, ..request.clone() }).unwrap();
    assert_eq!((all.len(), all.notes().len()), (13 + 1 + 3, 1));
    assert!(all.notes()[0].contains("keeps the luma"), "{:?}", all.notes());
    let ids: Vec<String> = [0, 12, 13, 14, 16].map(|index| all.id(index)).to_vec();
    assert_eq!(
        ids,
        ["band13_pages.tif[0]", "band13_pages.tif[12]", "rgb_lsb.tif", "stack_pages.tif[0]", "stack_pages.tif[2]"]
    );
    // Each page is the band of that number in the file that has all as bands.
    let bands = numbers(&file("band13_contig.tif", 13, &[]).unwrap());
    for page in 0..13 {
        let found = numbers(&all.sample(page).unwrap());
        assert!(found.iter().zip(bands.iter().skip(page).step_by(13)).all(|(a, b)| a == b), "page {page}");
    }
    holds(&all.sample(14).unwrap(), 0.0, |_, _| vec![0.0]);
    holds(&all.sample(16).unwrap(), 0.0, |x, y| vec![nir(x, y)]);
    assert_eq!(numbers(&first.sample(0).unwrap()), numbers(&all.sample(0).unwrap()));
    // Pages are told apart, in a list of samples and in what a training has read.
    assert_ne!(all.key(14), all.key(15));
    all.remember(None);
    (0..all.len()).for_each(|index| drop(all.sample(index).unwrap()));
    let then = all.to_record("then");
    let again = Dataset::open(&DataRequest { pages: PageChoice::All, ..request }).unwrap();
    let touched = File::options().write(true).open(folder.path().join("stack_pages.tif")).unwrap();
    touched.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(again.changes(&then).unwrap(), selfsame_data::record::Changes::default());
}

#[test]
fn a_thumbnail_is_no_page() {
    let mut bytes = fs::read(cases().join("files/stack_pages.tif")).unwrap();
    // The first page's resolution becomes the note that it is a smaller version of another.
    let tag = bytes.windows(4).position(|entry| entry == [0x1a, 1, 5, 0]).unwrap();
    bytes[tag..tag + 12].copy_from_slice(&[254, 0, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    holds(&decoded(&bytes, 1, &[]).unwrap(), 0.0, |x, y| vec![nir(x, y)]);
    assert_eq!(decoder(1, &[]).probe(&bytes, "a file").unwrap().pages, 2);
}

#[test]
fn bands_that_a_picture_leaves_out_are_told() {
    // Its one band beyond red, green and blue is neither alpha nor asked for.
    let mut bytes = fs::read(cases().join("files/rgba_assoc.tif")).unwrap();
    let tag = bytes.windows(4).position(|entry| entry == [0x52, 1, 3, 0]).unwrap();
    bytes[tag + 8] = 0;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.tif"), &bytes).unwrap();
    let dataset = Dataset::open(&DataRequest::new(folder.path())).unwrap();
    let told = "1 of 1 files looked at have more bands, up to 1, that are left out; data.channels takes all, data.bands some, e.g. [4, 3, 2]";
    assert_eq!(dataset.notes(), [told]);
    assert_eq!(
        Dataset::open(&DataRequest { bands: vec![4, 1], ..DataRequest::new(folder.path()) }).unwrap().channels(),
        2
    );
    let both = DataRequest { bands: vec![4, 1], channels: Some(3), ..DataRequest::new(folder.path()) };
    let told = Dataset::open(&both).err().unwrap().to_string();
    assert!(told.starts_with("data.bands: 2 bands are named, data.channels is 3"), "{told}");
}

/// A TIFF of these tags, all of them LONG, and of these bytes at offset 8.
fn made(tags: &[(u16, u32)], bytes: &[u8]) -> Vec<u8> {
    let entry =
        |&(tag, value): &(u16, u32)| [&tag.to_le_bytes()[..], &[4, 0, 1, 0, 0, 0], &value.to_le_bytes()].concat();
    let entries: Vec<u8> = tags.iter().flat_map(entry).collect();
    let head = [&b"II\x2a\0"[..], &(8 + bytes.len() as u32).to_le_bytes()].concat();
    [&head[..], bytes, &(tags.len() as u16).to_le_bytes(), &entries, &[0; 4]].concat()
}

#[test]
fn headers_are_not_believed() {
    let gray = |width: u32, height: u32, more: &[(u16, u32)]| {
        let tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (278, height), (279, 64)];
        let kept = tags.iter().filter(|tag| more.iter().all(|other| other.0 != tag.0));
        made(&kept.chain(more).copied().collect::<Vec<_>>(), &[7; 64])
    };
    assert_eq!(numbers(&decoded(&gray(8, 8, &[]), 1, &[]).unwrap()), [7.0; 64]);
    for (bytes, words) in [
        (gray(8, 9, &[]), "truncated: 64 bytes of pixels where 72 are expected"),
        (gray(2000, 1000, &[]), "2.0 megapixels, data.max_megapixels is 1"),
        (gray(0, 8, &[]), "an image of 0×8 px"),
        (gray(8, 8, &[(277, 60000)]), "has 60000 channels"),
        (gray(8, 8, &[(279, 1 << 30), (259, 5)]), "truncated: strip 0 goes beyond the end"),
        (gray(8, 8, &[(273, 1 << 30)]), "strip 0 is empty"),
        (gray(8, 8, &[(278, 0)]), "tag 278 is 0"),
        (gray(8, 8, &[(278, 1)]), "1 strips where its size needs 8"),
        (gray(8, 8, &[(322, 1 << 30), (323, 1 << 30), (324, 8), (325, 64), (259, 8)]), "decoding it needs"),
        (gray(8, 8, &[(322, u32::MAX), (323, u32::MAX), (324, 8), (325, 64), (258, 64)]), "more memory than there is"),
        (gray(8, 8, &[(259, 5)]), "LZW"),
        (gray(8, 8, &[(259, 8)]), "damaged deflate data"),
        (gray(8, 8, &[(259, 50000)]), "zstd"),
        (gray(8, 8, &[(259, 50001)]), "WebP"),
        (gray(8, 8, &[(259, 7)]), "JPEG"),
        (gray(8, 8, &[(259, 32773)]), "truncated: 56 bytes of pixels where 64 are expected"),
        (b"II\x2a\0\xff\0\0\0".to_vec(), "its directory goes beyond the end"),
        (b"II\x2b\0\x08\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), "its directory goes beyond the end"),
    ] {
        let told = decoded(&bytes, 1, &[]).unwrap_err();
        assert!(told.contains(words), "{told} and not {words}");
    }
    // Pages that follow each other in a circle end.
    let mut bytes = gray(8, 8, &[]);
    let end = bytes.len() - 4;
    bytes[end..].copy_from_slice(&72u32.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("circle.tif"), &bytes).unwrap();
    let request = DataRequest {
        pages: PageChoice::All,
        channels: Some(1),
        max_bad_share: 0.9,
        ..DataRequest::new(folder.path())
    };
    let dataset = Dataset::open(&request).unwrap();
    assert!((1..=3).contains(&dataset.len()), "{}", dataset.len());
    let last = dataset.sample(dataset.len() - 1).unwrap_err().to_string();
    assert!(last.contains("in a circle"), "{last}");
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused_or_whole() {
    let colored = ["rgb_zstd.tif", "rgb_webp.tif", "lzw_tiled_edge_48x40.tif", "big.tif", "rgb_jpeg_ycbcr.tif"];
    for name in colored.into_iter().chain(["fax_runs.tif", "fax_g3_2d.tif", "fax_g4.tif"]) {
        let bytes = fs::read(cases().join("files").join(name)).unwrap();
        let whole = decoded(&bytes, 3, &[]).unwrap();
        for end in (0..bytes.len()).step_by(61) {
            let other = decoded(&bytes[..end], 3, &[]).is_ok_and(|image| image != whole);
            assert!(!other, "{name} cut at {end}");
        }
    }
}

#[test]
fn damaged_files_are_decoded_or_refused_in_one_line() {
    let mut state = 17u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for entry in fs::read_dir(cases().join("files")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        for turn in 0..150 {
            let mut damaged = bytes.clone();
            // Where tags lie, and anywhere: `decoded` sees to what is said.
            for _ in 0..=random(3) {
                let at = random(if turn % 2 == 0 { 256 } else { damaged.len() });
                damaged[at] = random(256) as u8;
            }
            let _ = decoded(&damaged, [1, 3, 4][turn % 3], &[]);
        }
    }
}
