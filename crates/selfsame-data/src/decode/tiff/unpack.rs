//! From the packed bytes of a strip or a tile to its values as they would lie there unpacked.

use super::layout::{Compression, Layout, Predictor};
use flate2::read::ZlibDecoder;
use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;
use std::borrow::Cow;
use std::io::{Cursor, Read};
use weezl::{BitOrder, LzwStatus};
use zune_core::bytestream::ZCursor;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

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
    let samples = layout.chunk_samples();
    let failed = |error: zune_jpeg::errors::DecodeErrors| {
        format!("the JPEG inside: {}", error.to_string().lines().next().unwrap_or_default())
    };
    // Tables: SOI, tables, EOI; pixels: SOI, the rest.
    let tables = layout.jpeg_tables.strip_suffix(&[0xff, 0xd9]).unwrap_or(&layout.jpeg_tables);
    let data = match packed.strip_prefix(&[0xff, 0xd8]) {
        Some(rest) if tables.starts_with(&[0xff, 0xd8]) => Cow::Owned([tables, rest].concat()),
        _ => Cow::Borrowed(packed),
    };
    if !is_plain(&data) {
        return Err(
            "a TIFF with a JPEG inside whose components are sampled or coded in an unusual way is not read".to_owned()
        );
    }
    let options = DecoderOptions::new_fast()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(failed)?;
    let (found_width, found_height) = decoder.dimensions().ok_or("the JPEG inside has no size")?;
    let found = decoder.info().map_or(0, |info| usize::from(info.components));
    if found_width != width || !(height..=layout.chunks.height).contains(&found_height) || found != samples {
        return Err(format!(
            "damaged: a JPEG of {found_width}×{found_height} px and {found} components where {width}×{height} px of {samples} \
             are expected"
        ));
    }
    let stored = decoder.input_colorspace().ok_or("the JPEG inside has no color")?;
    decoder.set_options(decoder.options().jpeg_set_out_colorspace(stored));
    let mut bytes = decoder.decode().map_err(failed)?;
    bytes.truncate(width * height * samples);
    Ok(bytes)
}

/// Whether `zune-jpeg` is known to be right about a JPEG: its first component has up to twice the samples of the others in each
/// direction, and one scan has them all.
fn is_plain(jpeg: &[u8]) -> bool {
    let mut at = 2;
    let mut sampling: &[u8] = &[];
    while let Some(&[0xff, marker, high, low]) = jpeg.get(at..at + 4) {
        let body = jpeg.get(at + 4..at + 2 + usize::from(u16::from_be_bytes([high, low]))).unwrap_or(&[]);
        match marker {
            0xc0..=0xc2 => sampling = body.get(6..).unwrap_or(&[]),
            0xda => {
                let mut parts = sampling.chunks_exact(3).map(|part| part[1]);
                let count = parts.len();
                let first = parts.next();
                return count == 1
                    || matches!(first, Some(0x11 | 0x12 | 0x21 | 0x22))
                        && parts.all(|sampling| sampling == 0x11)
                        && body.first() == Some(&(count as u8));
            }
            _ => {}
        }
        at += 4 + body.len();
    }
    false
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
