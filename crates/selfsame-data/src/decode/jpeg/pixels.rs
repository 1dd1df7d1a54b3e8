//! From the coefficients of a JPEG to samples at full size, value for value as libjpeg-turbo computes them: the accurate
//! integer inverse DCT, and triangle filters where a component has half the samples ("fancy upsampling").

use super::coefficients::Plane;
use super::layout::{Component, Layout};
use std::num::Wrapping as W;

/// The samples of one component.
pub(super) struct Samples {
    values: Vec<u8>,
    stride: usize,
    /// Samples that belong to the image; the last blocks hold more, which nothing may look at.
    width: usize,
    height: usize,
    /// How many pixels share a sample.
    across: usize,
    down: usize,
}

impl Samples {
    /// Takes the coefficients of the component at `position` to samples.
    pub fn new(layout: &Layout, position: usize, plane: &Plane) -> Self {
        let (frame, (most_across, most_down)) = (&layout.frame, layout.frame.sampling());
        let Component { across, down, .. } = frame.components[position];
        let stride = 8 * plane.stride;
        let mut values = vec![0; stride * 8 * plane.rows];
        let table = plane.quantization.unwrap_or([0; 64]).map(i32::from);
        for (at, block) in plane.blocks.iter().enumerate() {
            let start = at / plane.stride * 8 * stride + at % plane.stride * 8;
            inverse_dct(block, &table, &mut values[start..], stride);
        }
        Self {
            values,
            stride,
            width: (frame.width * across).div_ceil(most_across),
            height: (frame.height * down).div_ceil(most_down),
            across: most_across / across,
            down: most_down / down,
        }
    }

    fn row(&self, y: usize) -> &[u8] {
        &self.values[y * self.stride..][..self.width]
    }

    /// Row `y` of the image at full size; `out` has room for the pixels of all samples of a row.
    pub fn upsample(&self, y: usize, out: &mut [u8]) {
        let row = self.row(y / self.down);
        // The nearer of the rows above and below, the row itself at the edges.
        let beside = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
        let beside = self.row(beside.min(self.height - 1));
        let rows = row.iter().map(|&value| u16::from(value)).zip(beside.iter().map(|&value| u16::from(value)));
        match (self.across, self.down) {
            (1, 1) => out[..self.width].copy_from_slice(row),
            (2, 1) if self.width > 2 => triangle::<4>(&rows.map(|(near, _)| near).collect::<Vec<_>>(), [1, 2], out),
            (2, 2) if self.width > 2 => {
                triangle::<16>(&rows.map(|(near, far)| 3 * near + far).collect::<Vec<_>>(), [8, 7], out);
            }
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for (out, (near, far)) in out.iter_mut().zip(rows) {
                    *out = ((3 * near + far + bias) / 4) as u8;
                }
            }
            (across, _) => {
                for (pixels, &value) in out.chunks_exact_mut(across).zip(row) {
                    pixels.fill(value);
                }
            }
        }
    }

    /// Values that [`Self::upsample`] writes.
    pub fn row_pixels(&self) -> usize {
        self.width * self.across
    }
}

/// Two pixels for each sum of a row: three parts of it, one part of the neighbor on the pixel's side. `WHOLE` is what the parts and
/// the weights of the sums come to; left and right pixels are rounded by their own `bias`, so that there is no drift.
fn triangle<const WHOLE: u16>(sums: &[u16], bias: [u16; 2], out: &mut [u8]) {
    let pixel = |sum: u16, neighbor: u16, bias: u16| ((3 * sum + neighbor + bias) / WHOLE) as u8;
    let last = sums.len() - 1;
    let ends = |x: usize| {
        [pixel(sums[x], sums[x.saturating_sub(1)], bias[0]), pixel(sums[x], sums[(x + 1).min(last)], bias[1])]
    };
    let pairs = out.as_chunks_mut().0;
    for (pair, around) in pairs[1..].iter_mut().zip(sums.array_windows()) {
        let &[left, sum, right] = around;
        *pair = [pixel(sum, left, bias[0]), pixel(sum, right, bias[1])];
    }
    (pairs[0], pairs[last]) = (ends(0), ends(last));
}

/// The inverse DCT of Loeffler, Ligtenberg and Moschytz with 13 bits behind the point, as in `jidctint.c`.
fn inverse_dct(block: &[i16; 64], table: &[i32; 64], out: &mut [u8], stride: usize) {
    let mut values = [[0; 8]; 8];
    for (row, (block, table)) in values.iter_mut().zip(block.as_chunks::<8>().0.iter().zip(table.as_chunks::<8>().0)) {
        for (value, (&coefficient, &factor)) in row.iter_mut().zip(block.iter().zip(table)) {
            *value = i32::from(coefficient).wrapping_mul(factor);
        }
    }
    if block[1..].iter().fold(0, |any, &coefficient| any | coefficient) == 0 {
        let level = (values[0][0].wrapping_mul(4).wrapping_add(16) >> 5).wrapping_add(128).clamp(0, 255) as u8;
        (0..8).for_each(|y| out[y * stride..][..8].fill(level));
        return;
    }
    // Two bits more than samples have are kept between the passes.
    let columns = transposed(&inverse_dct_of_columns(&values, 13 - 2));
    let rows = transposed(&inverse_dct_of_columns(&columns, 13 + 2 + 3));
    for (y, row) in rows.iter().enumerate() {
        for (out, value) in out[y * stride..][..8].iter_mut().zip(row) {
            *out = value.wrapping_add(128).clamp(0, 255) as u8;
        }
    }
}

fn transposed(values: &[[i32; 8]; 8]) -> [[i32; 8]; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| values[x][y]))
}

/// Wraps around where values are none that a coder can have written.
#[inline(always)]
fn inverse_dct_of_columns(values: &[[i32; 8]; 8], shift: usize) -> [[i32; 8]; 8] {
    let mut out = [[0; 8]; 8];
    let half = W(1 << (shift - 1));
    for x in 0..8 {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = std::array::from_fn(|y| W(values[y][x]));
        // Even part.
        let z = (i2 + i6) * W(4433);
        let (t2, t3) = (z - i6 * W(15137), z + i2 * W(6270));
        let (t0, t1) = ((i0 + i4) << 13, (i0 - i4) << 13);
        let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
        // Odd part.
        let (z1, z2, z3, z4) = (i7 + i1, i5 + i3, i7 + i3, i5 + i1);
        let z5 = (z3 + z4) * W(9633);
        let (z1, z2) = (z1 * W(-7373), z2 * W(-20995));
        let (z3, z4) = (z3 * W(-16069) + z5, z4 * W(-3196) + z5);
        let odd = [i1 * W(12299) + z1 + z4, i3 * W(25172) + z2 + z3, i5 * W(16819) + z2 + z4, i7 * W(2446) + z1 + z3];
        for y in 0..4 {
            out[y][x] = ((even[y] + odd[y] + half) >> shift).0;
            out[7 - y][x] = ((even[y] - odd[y] + half) >> shift).0;
        }
    }
    out
}
