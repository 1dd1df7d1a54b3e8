//! From unpacked bytes to numbers: any depth, either order of bytes, into the pixels of the page.

use super::layout::{Kind, Layout};
use crate::image::Pixels;
use half::f16;

/// The kept samples of a page, `[height, width, kept]`, as they fill up chunk by chunk.
///
/// Integers that fill a range are spread over 8 or 16 bits (12 bits: 4095 becomes 65535), so that white is white; floats, signed
/// integers and those over 16 bits keep their values.
pub struct Raster<'a> {
    layout: &'a Layout<'a>,
    kept: &'a [usize],
    pub pixels: Pixels,
}

/// Where a chunk lies.
pub struct Place {
    /// The sample that it holds; of chunks that hold all, 0.
    pub plane: usize,
    pub x: usize,
    pub y: usize,
    /// Height of what it holds; tiles may go beyond the page.
    pub height: usize,
}

impl<'a> Raster<'a> {
    pub fn new(layout: &'a Layout, kept: &'a [usize]) -> Self {
        let len = layout.width * layout.height * kept.len();
        let pixels = match layout.kind.depth_bytes() {
            1 => Pixels::U8(vec![0; len]),
            2 => Pixels::U16(vec![0; len]),
            _ => Pixels::F32(vec![0.0; len]),
        };
        Self { layout, kept, pixels }
    }

    /// Fills in a chunk.
    pub fn place(&mut self, bytes: &[u8], at: &Place) {
        let Self { layout, kept, pixels } = self;
        let big = layout.big_endian;
        let bits = layout.kind.bits() as usize;
        // What a color looks up is no amount.
        let spread = |value: u32, most: u64| {
            let own = (1 << bits) - 1;
            if layout.color.is_index() { value.into() } else { (u64::from(value) * most + own / 2) / own }
        };
        match (pixels, layout.kind) {
            (Pixels::U8(out), Kind::Unsigned(8)) => fill(layout, kept, out, bytes, at, |row, i| row[i]),
            (Pixels::U8(out), _) => {
                fill(layout, kept, out, bytes, at, |row, i| spread(packed(row, i, bits), 0xff) as u8);
            }
            (Pixels::U16(out), Kind::Unsigned(16)) => {
                fill(layout, kept, out, bytes, at, |row, i| word(row, i, big, u16::from_le_bytes));
            }
            (Pixels::U16(out), _) => {
                fill(layout, kept, out, bytes, at, |row, i| spread(packed(row, i, bits), 0xffff) as u16);
            }
            (Pixels::F32(out), kind) => {
                let value: fn(&[u8], usize, bool) -> f32 = match kind {
                    Kind::Unsigned(32) => |row, i, big| word(row, i, big, u32::from_le_bytes) as f32,
                    Kind::Unsigned(_) => |row, i, big| word(row, i, big, u64::from_le_bytes) as f32,
                    Kind::Signed(8) => |row, i, _| f32::from(row[i] as i8),
                    Kind::Signed(16) => |row, i, big| f32::from(word(row, i, big, i16::from_le_bytes)),
                    Kind::Signed(32) => |row, i, big| word(row, i, big, i32::from_le_bytes) as f32,
                    Kind::Signed(_) => |row, i, big| word(row, i, big, i64::from_le_bytes) as f32,
                    Kind::Float(16) => |row, i, big| word(row, i, big, f16::from_le_bytes).to_f32(),
                    Kind::Float(32) => |row, i, big| word(row, i, big, f32::from_le_bytes),
                    Kind::Float(_) => |row, i, big| word(row, i, big, f64::from_le_bytes) as f32,
                };
                fill(layout, kept, out, bytes, at, |row, i| value(row, i, big));
            }
        }
    }
}

fn fill<T>(
    layout: &Layout,
    kept: &[usize],
    out: &mut [T],
    bytes: &[u8],
    at: &Place,
    value: impl Fn(&[u8], usize) -> T,
) {
    let (columns, rows) = (layout.chunks.width.min(layout.width - at.x), at.height.min(layout.height - at.y));
    let (samples, channels) = (layout.chunk_samples(), kept.len());
    let row_bytes = layout.row_bytes().expect("checked when it was opened");
    let mine: Vec<(usize, usize)> = kept
        .iter()
        .enumerate()
        .filter(|&(_, &sample)| !layout.planar || sample == at.plane)
        .map(|(channel, &sample)| (channel, if layout.planar { 0 } else { sample }))
        .collect();
    for (y, row) in bytes.chunks_exact(row_bytes).take(rows).enumerate() {
        let start = ((at.y + y) * layout.width + at.x) * channels;
        for (x, pixel) in out[start..].chunks_exact_mut(channels).take(columns).enumerate() {
            for &(channel, sample) in &mine {
                pixel[channel] = value(row, x * samples + sample);
            }
        }
    }
}

/// The value `index` of a row of values of `bits` bits, the highest bit first.
fn packed(row: &[u8], index: usize, bits: usize) -> u32 {
    let start = index * bits;
    let byte = |at: usize| u32::from(row.get(at).copied().unwrap_or(0));
    let first = start / 8;
    let window = byte(first) << 16 | byte(first + 1) << 8 | byte(first + 2);
    window >> (24 - start % 8 - bits) & ((1 << bits) - 1)
}

fn word<T, const N: usize>(row: &[u8], index: usize, big_endian: bool, value: fn([u8; N]) -> T) -> T {
    let mut bytes: [u8; N] = row.as_chunks().0[index];
    if big_endian {
        bytes.reverse();
    }
    value(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_bits_are_cut_out_of_a_row() {
        for bits in 1..=16 {
            let values: Vec<u32> = (0..40u32).map(|i| i.wrapping_mul(2_654_435_761) >> (32 - bits)).collect();
            let stream: Vec<u8> =
                values.iter().flat_map(|value| (0..bits).rev().map(move |bit| (value >> bit & 1) as u8)).collect();
            let byte = |bits: &[u8]| bits.iter().enumerate().map(|(i, bit)| bit << (7 - i)).sum::<u8>();
            let row: Vec<u8> = stream.chunks(8).map(byte).collect();
            assert_eq!((0..40).map(|i| packed(&row, i, bits as usize)).collect::<Vec<_>>(), values, "{bits} bits");
        }
    }
}
