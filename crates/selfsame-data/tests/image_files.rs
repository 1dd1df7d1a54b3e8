//! PNG and WebP: which way up they are, what is transparent, and what is too large.

use selfsame_data::decode::{FileDecoder, Wanted, encode_png};
use selfsame_data::image::{Image, Pixels};
use std::fs;
use std::path::Path;

fn decoder(channels: usize, bands: &[usize], max_megapixels: f64) -> FileDecoder {
    let wanted = Wanted { channels, bands: bands.to_vec() };
    FileDecoder { wanted, gray_only: false, background: [9, 99, 199], max_megapixels, memory_bytes: 64 << 20 }
}

fn decoded(bytes: &[u8], channels: usize, bands: &[usize]) -> Result<Image, String> {
    decoder(channels, bands, 100.0).decode(bytes, "a file").map(|(image, _)| image).map_err(|error| error.to_string())
}

fn case(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)).unwrap()
}

fn pixel(image: &Image, x: usize, y: usize) -> Vec<u8> {
    let Pixels::U8(values) = &image.pixels else { panic!("8 bits") };
    values[(y * image.width + x) * image.channels..][..image.channels].to_vec()
}

/// A chunk of a PNG.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(data);
    [&(data.len() as u32).to_be_bytes()[..], name, data, &crc.sum().to_be_bytes()].concat()
}

/// A PNG with a chunk more: before its pixels, or after them.
fn with_chunk(png: &[u8], chunk: &[u8], before: bool) -> Vec<u8> {
    let at = if before { 33 } else { png.len() - 12 };
    [&png[..at], chunk, &png[at..]].concat()
}

const EXIF_6: &[u8] = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
const XMP_6: &[u8] = b"<x:xmpmeta><rdf:Description tiff:Orientation=\"6\"/></x:xmpmeta>";

#[test]
fn a_webp_is_turned_as_its_exif_says_with_its_name_before_it_or_not() {
    let jpeg = decoded(&case("webp_orientation/same_orientation6.jpg"), 3, &[]).unwrap();
    for name in ["plain", "prefix"] {
        let image = decoded(&case(&format!("webp_orientation/{name}_exif_orientation6.webp")), 3, &[]).unwrap();
        assert_eq!((image.width, image.height), (70, 50));
        let corners = [(0, 0, [0, 207, 138]), (69, 0, [0, 0, 0]), (69, 49, [245, 0, 98]), (0, 49, [245, 207, 236])];
        for (x, y, expected) in corners {
            assert_eq!(pixel(&image, x, y), expected, "{name}");
            let near = |(a, b): (&u8, &u8)| a.abs_diff(*b) < 12;
            assert!(pixel(&image, x, y).iter().zip(&pixel(&jpeg, x, y)).all(near), "as the JPEG");
        }
    }
    // The same, said in XMP.
    let webp = case("webp_orientation/plain_exif_orientation6.webp");
    let exif = webp.windows(4).position(|name| name == b"EXIF").unwrap();
    let padded = [XMP_6, &[b' '; 1][..XMP_6.len() % 2]].concat();
    let mut bytes = [&webp[..exif], b"XMP ", &(padded.len() as u32).to_le_bytes(), &padded].concat();
    let size = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&size.to_le_bytes());
    bytes[20] = 4;
    let image = decoded(&bytes, 3, &[]).unwrap();
    assert_eq!((image.width, pixel(&image, 69, 49)), (70, vec![245, 0, 98]));
}

#[test]
fn a_png_is_turned_as_its_exif_says_or_its_xmp() {
    let png = encode_png(&[10, 20, 30, 40, 50, 60], 3, 2);
    let text = [b"XML:com.adobe.xmp\0\0\0\0\0".as_slice(), XMP_6].concat();
    let exif_1 = EXIF_6.iter().enumerate().map(|(at, &byte)| if at == 18 { 1 } else { byte }).collect::<Vec<_>>();
    let both = with_chunk(&with_chunk(&png, &chunk(b"iTXt", &text), true), &chunk(b"eXIf", &exif_1), true);
    for (bytes, expected) in [
        (png.clone(), [[10, 20, 30], [40, 50, 60]].concat()),
        (with_chunk(&png, &chunk(b"eXIf", EXIF_6), true), vec![40, 10, 50, 20, 60, 30]),
        (with_chunk(&png, &chunk(b"eXIf", EXIF_6), false), vec![40, 10, 50, 20, 60, 30]),
        (with_chunk(&png, &chunk(b"iTXt", &text), true), vec![40, 10, 50, 20, 60, 30]),
        (both, [[10, 20, 30], [40, 50, 60]].concat()),
    ] {
        let header = decoder(1, &[], 100.0).probe(&bytes, "a file").unwrap();
        let image = decoded(&bytes, 1, &[]).unwrap();
        assert_eq!((header.size, &image.pixels), (image.size(), &Pixels::U8(expected)));
    }
}

#[test]
fn of_a_transparent_color_the_low_bits_count() {
    let image = decoded(&case("png/bit1_trns255.png"), 3, &[]).unwrap();
    assert_eq!((image.width, image.height), (8, 2));
    // The first row is of that color, the second black.
    assert!((0..16).all(|at| pixel(&image, at % 8, at / 8) == if at < 8 { [9, 99, 199] } else { [0; 3] }));
    // Gray of 8 bits: 0x3414 means 0x14.
    let png = with_chunk(&encode_png(&[10, 20, 30, 40], 4, 1), &chunk(b"tRNS", &[0x34, 20]), true);
    let image = decoded(&png, 3, &[]).unwrap();
    assert_eq!([pixel(&image, 0, 0), pixel(&image, 1, 0)], [vec![10; 3], vec![9, 99, 199]]);
}

#[test]
fn a_png_has_its_alpha_as_a_fourth_channel() {
    let rgba = |color: u8, pixels: &[u8]| {
        let packed = {
            use std::io::Write;
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&[&[0], pixels].concat()).unwrap();
            encoder.finish().unwrap()
        };
        let header = [&[0, 0, 0, 2, 0, 0, 0, 1][..], &[8, color, 0, 0, 0]].concat();
        [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header), &chunk(b"IDAT", &packed), &chunk(b"IEND", &[])].concat()
    };
    let png = rgba(6, &[1, 2, 3, 40, 50, 60, 70, 80]);
    let pixels = |image: Result<Image, String>| image.unwrap().pixels;
    assert_eq!(pixels(decoded(&png, 4, &[])), Pixels::U8(vec![1, 2, 3, 40, 50, 60, 70, 80]));
    assert_eq!(pixels(decoded(&png, 2, &[4, 1])), Pixels::U8(vec![40, 1, 80, 50]));
    // What has no alpha is opaque.
    assert_eq!(
        pixels(decoded(&rgba(2, &[1, 2, 3, 50, 60, 70]), 4, &[])),
        Pixels::U8(vec![1, 2, 3, 255, 50, 60, 70, 255])
    );
    assert_eq!(pixels(decoded(&rgba(0, &[1, 50]), 2, &[])), Pixels::U8(vec![1, 255, 50, 255]));
    assert_eq!(pixels(decoded(&rgba(4, &[1, 200, 50, 100]), 2, &[])), Pixels::U8(vec![1, 200, 50, 100]));
    let jpeg = decoded(&case("webp_orientation/same_orientation6.jpg"), 4, &[]).unwrap();
    assert_eq!((jpeg.channels, pixel(&jpeg, 0, 0)[3]), (4, 255));
    for (channels, bands, words) in [
        (5, &[][..], "has 4 channels, data.channels is 5"),
        (2, &[], "has 4 channels, data.channels is 2"),
        (1, &[5], "has 4 bands, data.bands asks for band 5"),
    ] {
        let told = decoded(&png, channels, bands).unwrap_err();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_png_that_would_fill_the_memory_is_refused_before_it_does() {
    // The header of `bomb_9990x9990_rgba16.png`, and as many bytes.
    let header = [&9990u32.to_be_bytes()[..], &9990u32.to_be_bytes(), &[16, 6, 0, 0, 0]].concat();
    let start = [&b"\x89PNG\r\n\x1a\n"[..], &chunk(b"IHDR", &header)].concat();
    let bytes = [&start[..], &chunk(b"IDAT", &vec![0; 775_000]), &chunk(b"IEND", &[])].concat();
    let told = decoded(&bytes, 3, &[]).unwrap_err();
    assert!(
        told.contains("unpacks to 1030 times its size, 798 MB") && told.contains("raise data.max_megapixels"),
        "{told}"
    );
    // A large empty page is read, where the limit says so.
    let page = encode_png(&vec![255; 3 * 1200 * 1200], 1200, 1200);
    assert!(decoder(3, &[], 1.44).decode(&page, "a page").is_ok());
}
