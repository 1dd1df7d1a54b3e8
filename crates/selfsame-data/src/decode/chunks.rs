//! What PNG and WebP files say beside their pixels, chunk by chunk: which way up they are, and which color is transparent.

use super::orientation;
use flate2::Crc;
use image::ImageFormat;
use image::metadata::Orientation;
use std::borrow::Cow;

/// The orientation that a file states.
pub fn orientation(bytes: &[u8], format: ImageFormat) -> Orientation {
    let find = |name: &[u8; 4]| match format {
        ImageFormat::Png => png(bytes).find(|chunk| chunk.name == name).map(|chunk| chunk.data),
        _ => web_p(bytes).find(|(found, _)| found == name).map(|(_, data)| data),
    };
    match format {
        ImageFormat::Png => {
            let xmp = png(bytes).filter(|chunk| chunk.name == b"iTXt").find_map(|chunk| xmp_text(chunk.data));
            orientation::stated(find(b"eXIf"), xmp)
        }
        // The first chunk says which of them count: 8 EXIF, 4 XMP.
        ImageFormat::WebP => {
            let flags = find(b"VP8X").and_then(|data| data.first()).map_or(0, |&flags| flags);
            let told = |bit: u8, name| if flags & bit == 0 { None } else { find(name) };
            orientation::stated(told(8, b"EXIF"), told(4, b"XMP "))
        }
        _ => Orientation::NoTransforms,
    }
}

/// A PNG whose transparent color has no bits beyond those of its pixels: the specification has them ignored, and the codec
/// compares them.
pub fn with_low_transparency(bytes: &[u8]) -> Cow<'_, [u8]> {
    let Some([_, _, _, _, _, _, _, _, depth @ (1 | 2 | 4 | 8), 0 | 2, ..]) = png(bytes).next().map(|chunk| chunk.data)
    else {
        return Cow::Borrowed(bytes);
    };
    let before_pixels = png(bytes).take_while(|chunk| chunk.name != b"IDAT");
    let Some(Chunk { name, data, at }) = before_pixels.into_iter().find(|chunk| chunk.name == b"tRNS") else {
        return Cow::Borrowed(bytes);
    };
    let mask = u16::MAX >> (16 - depth);
    let low: Vec<u8> =
        data.as_chunks().0.iter().flat_map(|&value| (u16::from_be_bytes(value) & mask).to_be_bytes()).collect();
    if low == data {
        return Cow::Borrowed(bytes);
    }
    let mut crc = Crc::new();
    crc.update(name);
    crc.update(&low);
    let end = at + low.len();
    Cow::Owned([&bytes[..at], &low, &crc.sum().to_be_bytes(), &bytes[(end + 4).min(bytes.len())..]].concat())
}

struct Chunk<'a> {
    name: &'a [u8],
    data: &'a [u8],
    /// Where its data begin.
    at: usize,
}

/// The chunks of a PNG, as far as they are whole.
fn png(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut at = 8;
    std::iter::from_fn(move || {
        let (head, rest) = bytes.get(at..)?.split_at_checked(8)?;
        let len = u32::from_be_bytes(*head.first_chunk()?) as usize;
        let chunk = Chunk { name: &head[4..], data: rest.get(..len)?, at: at + 8 };
        at += 8 + len + 4;
        Some(chunk)
    })
}

/// The chunks of a WebP, likewise: names and data.
fn web_p(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut at = 12;
    std::iter::from_fn(move || {
        let (head, rest) = bytes.get(at..)?.split_at_checked(8)?;
        let len = u32::from_le_bytes(*head[4..].first_chunk()?) as usize;
        at += 8 + len + len % 2;
        Some((&head[..4], rest.get(..len)?))
    })
}

/// The XMP that a text holds, if it is one and not packed: keyword, 0, packed or not, method, language, 0, translated keyword, 0.
fn xmp_text(data: &[u8]) -> Option<&[u8]> {
    let rest = data.strip_prefix(b"XML:com.adobe.xmp\0\0")?.get(1..)?;
    let mut parts = rest.splitn(3, |&byte| byte == 0);
    parts.nth(2)
}
