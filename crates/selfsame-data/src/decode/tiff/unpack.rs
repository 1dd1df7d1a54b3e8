//! From the packed bytes of a strip or a tile to its values as they would lie there unpacked.

use super::fax;
use super::layout::{Compression, Layout, Predictor};
use crate::decode::jpeg::Jpeg;
use flate2::read::ZlibDecoder;
use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use std::borrow::Cow;
use std::io::{Cursor, Read};
use weezl::{BitOrder, LzwStatus};

/// Unpacks a chunk of `[width, height]` px: `height · row_bytes` bytes, neither more nor fewer, with differences undone.
pub fn unpack<'a>(layout: &Layout, packed: Cow<'a, [u8]>, size: [usize; 2]) -> Result<Cow<'a, [u8]>, String> {
    let row_bytes = layout.row_bytes().expect("checked when it was opened");
    let len = layout.color.packed_len(size).unwrap_or(row_bytes * size[1]);
    let packed = if layout.reversed_bits && layout.compression != Compression::Jpeg {
        Cow::Owned(packed.iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        packed
    };
    let mut bytes = match layout.compression {
        Compression::None if packed.len() < len => return Err(short(packed.len(), len)),
        Compression::None => match packed {
            Cow::Borrowed(packed) => Cow::Borrowed(&packed[..len]),
            Cow::Owned(mut packed) => {
                packed.truncate(len);
                Cow::Owned(packed)
            }
        },
        Compression::Lzw => Cow::Owned(lzw(&packed, len)?),
        Compression::Deflate => Cow::Owned(streamed(ZlibDecoder::new(&*packed), len, "deflate")?),
        Compression::PackBits => Cow::Owned(pack_bits(&packed, len)?),
        Compression::Zstd => {
            let stream = ruzstd::decoding::StreamingDecoder::new(&*packed);
            Cow::Owned(streamed(stream.map_err(|error| format!("damaged zstd data: {error}"))?, len, "zstd")?)
        }
        Compression::Jpeg => Cow::Owned(jpeg(layout, &packed, size)?),
        Compression::Fax(kind) => Cow::Owned(fax::unpack(kind, &packed, size)?),
        Compression::WebP => Cow::Owned(web_p(&packed, size, layout.chunk_samples())?),
    };
    let stride = layout.chunk_samples();
    match layout.predictor {
        Predictor::None => {}
        Predictor::Difference => {
            let width = layout.kind.bits() as usize / 8;
            bytes.to_mut().chunks_exact_mut(row_bytes).for_each(|row| add_up(row, stride, width, layout.big_endian));
        }
        Predictor::Float => {
            let width = layout.kind.bits() as usize / 8;
            let mut sorted = vec![0; row_bytes];
            for row in bytes.to_mut().chunks_exact_mut(row_bytes) {
                add_up(row, stride, 1, true);
                sorted.copy_from_slice(row);
                let count = row_bytes / width;
                for (index, value) in row.chunks_exact_mut(width).enumerate() {
                    for place in 0..width {
                        let weight = if layout.big_endian { place } else { width - 1 - place };
                        value[place] = sorted[weight * count + index];
                    }
                }
            }
        }
    }
    Ok(layout.color.unfolded(bytes, size))
}

fn short(found: usize, expected: usize) -> String {
    format!("truncated: {found} bytes of pixels where {expected} are expected")
}

/// Adds to each value of `width` bytes the one `stride` before it.
fn add_up(row: &mut [u8], stride: usize, width: usize, big_endian: bool) {
    fn add<const N: usize>(row: &mut [u8], stride: usize, value: fn([u8; N]) -> u64, bytes: fn(u64) -> [u8; N]) {
        let row = row.as_chunks_mut().0;
        for index in stride..row.len() {
            row[index] = bytes(value(row[index]).wrapping_add(value(row[index - stride])));
        }
    }
    match (width, big_endian) {
        (1, _) => (stride..row.len()).for_each(|index| row[index] = row[index].wrapping_add(row[index - stride])),
        (2, false) => add(row, stride, |v| u16::from_le_bytes(v).into(), |v| (v as u16).to_le_bytes()),
        (2, true) => add(row, stride, |v| u16::from_be_bytes(v).into(), |v| (v as u16).to_be_bytes()),
        (4, false) => add(row, stride, |v| u32::from_le_bytes(v).into(), |v| (v as u32).to_le_bytes()),
        (4, true) => add(row, stride, |v| u32::from_be_bytes(v).into(), |v| (v as u32).to_be_bytes()),
        (_, false) => add(row, stride, u64::from_le_bytes, u64::to_le_bytes),
        (_, true) => add(row, stride, u64::from_be_bytes, u64::to_be_bytes),
    }
}

/// Reads `len` bytes, and to the end where there are no more: so that a checksum is looked at.
fn streamed(mut stream: impl Read, len: usize, what: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(len);
    let failed = |error: std::io::Error| format!("damaged {what} data: {error}");
    stream.by_ref().take(len as u64).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() < len {
        return Err(short(bytes.len(), len));
    }
    stream.read(&mut [0]).map_err(failed)?;
    Ok(bytes)
}

fn lzw(packed: &[u8], len: usize) -> Result<Vec<u8>, String> {
    if let [0, second, ..] = packed
        && second & 1 == 1
    {
        return Err("a TIFF with old-style LZW compression (before 1988) is not read; write it again".to_owned());
    }
    let mut bytes = vec![0; len];
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    // Not every writer ends with the end code, so what counts is that the pixels are all there.
    while written < len {
        let step = decoder.decode_bytes(&packed[read..], &mut bytes[written..]);
        (read, written) = (read + step.consumed_in, written + step.consumed_out);
        match step.status {
            Ok(LzwStatus::Ok) if step.consumed_in + step.consumed_out > 0 => {}
            Ok(_) => break,
            Err(error) => return Err(format!("damaged LZW data: {error}")),
        }
    }
    if written < len { Err(short(written, len)) } else { Ok(bytes) }
}

fn pack_bits(packed: &[u8], len: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(len);
    let mut rest = packed;
    while bytes.len() < len {
        let Some((&head, after)) = rest.split_first() else { return Err(short(bytes.len(), len)) };
        let (count, taken) = match head {
            0..=127 => (usize::from(head) + 1, usize::from(head) + 1),
            128 => (0, 0),
            _ => (257 - usize::from(head), 1),
        };
        let Some((values, after)) = after.split_at_checked(taken) else { return Err(short(bytes.len(), len)) };
        if head > 128 {
            bytes.extend(std::iter::repeat_n(values[0], count));
        } else {
            bytes.extend_from_slice(values);
        }
        rest = after;
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The components of a JPEG as they are stored: what they mean, the TIFF says.
fn jpeg(layout: &Layout, packed: &[u8], [width, height]: [usize; 2]) -> Result<Vec<u8>, String> {
    let failed = |problem: String| format!("the JPEG inside: {problem}");
    // Tables: SOI, tables, EOI; pixels: SOI, the rest.
    let tables = layout.jpeg_tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(&layout.jpeg_tables);
    let data = match packed.strip_prefix(&[0xff, 0xd8]) {
        Some(rest) if tables.starts_with(&[0xff, 0xd8]) => Cow::Owned([tables, rest].concat()),
        Some(_) => Cow::Borrowed(packed),
        None => return Err(failed("damaged: it does not begin as one".to_owned())),
    };
    let jpeg = Jpeg::open(&data).map_err(failed)?;
    let (samples, found) = (layout.chunk_samples(), jpeg.components());
    let (found_width, found_height) = jpeg.dimensions();
    // The last strip may be written as high as the others.
    if found_width != width || !(height..=layout.chunks.height).contains(&found_height) || found != samples {
        return Err(failed(format!(
            "damaged: {found_width}×{found_height} px and {found} components where {width}×{height} px of {samples} are expected"
        )));
    }
    let mut bytes = jpeg.decode_stored().map_err(failed)?;
    bytes.truncate(width * height * samples);
    Ok(bytes)
}

fn web_p(packed: &[u8], [width, height]: [usize; 2], samples: usize) -> Result<Vec<u8>, String> {
    let failed =
        |error: image::ImageError| format!("the WebP inside: {}", error.to_string().lines().next().unwrap_or_default());
    if !matches!(samples, 3 | 4) {
        return Err(format!("a TIFF with WebP inside and {samples} values per pixel is not read; expected 3 or 4"));
    }
    let decoder = WebPDecoder::new(Cursor::new(packed)).map_err(failed)?;
    let (found_width, found_height) = decoder.dimensions();
    let found = usize::from(decoder.color_type().channel_count());
    if found_width as usize != width || found_height as usize != height {
        return Err(format!(
            "damaged: a WebP of {found_width}×{found_height} px where {width}×{height} px are expected"
        ));
    }
    let mut bytes = vec![0; width * height * found];
    decoder.read_image(&mut bytes).map_err(failed)?;
    Ok(match (found, samples) {
        // A WebP leaves out an alpha that is opaque everywhere.
        (3, 4) => bytes.as_chunks().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect(),
        (4, 3) => bytes.as_chunks().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
        _ => bytes,
    })
}
