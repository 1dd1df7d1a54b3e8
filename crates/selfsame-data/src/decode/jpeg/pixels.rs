//! From the coefficients of a JPEG to samples at full size, value for value as libjpeg-turbo computes them: the accurate
//! integer inverse DCT, and triangle filters where a component has half the samples ("fancy upsampling").

use super::coefficients::Plane;
use super::layout::{Component, Layout};

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
        let table = plane.quantization.unwrap_or([0; 64]);
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
        let beside = |at: usize| {
            self.row(if y.is_multiple_of(2) { at.saturating_sub(1) } else { (at + 1).min(self.height - 1) })
        };
        match (self.across, self.down) {
            (1, 1) => out[..self.width].copy_from_slice(row),
            (2, 1) if self.width > 2 => triangle(&sums(row, row, 1, 0), 4, (1, 2), out),
            (2, 2) if self.width > 2 => triangle(&sums(row, beside(y / 2), 3, 1), 16, (8, 7), out),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                for (out, sum) in out.iter_mut().zip(sums(row, beside(y / 2), 3, 1)) {
                    *out = ((sum + bias) / 4) as u8;
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

/// Sums of two rows with their weights.
fn sums(near: &[u8], far: &[u8], near_weight: u32, far_weight: u32) -> Vec<u32> {
    near.iter().zip(far).map(|(&near, &far)| near_weight * u32::from(near) + far_weight * u32::from(far)).collect()
}

/// Two pixels for each sum: three parts of it, one part of the neighbor on the pixel's side. `whole` is what the parts and the
/// weights of the sums come to; the rounding of left and right pixels differs, so that there is no drift.
fn triangle(sums: &[u32], whole: u32, (left_bias, right_bias): (u32, u32), out: &mut [u8]) {
    let last = sums.len() - 1;
    for (x, &sum) in sums.iter().enumerate() {
        let left = if x == 0 { sum } else { sums[x - 1] };
        let right = if x == last { sum } else { sums[x + 1] };
        out[2 * x] = ((3 * sum + left + left_bias) / whole) as u8;
        out[2 * x + 1] = ((3 * sum + right + right_bias) / whole) as u8;
    }
}

/// The inverse DCT of Loeffler, Ligtenberg and Moschytz with 13 bits behind the point, as in `jidctint.c`.
fn inverse_dct(block: &[i16; 64], table: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut middle = [0i32; 64];
    for x in 0..8 {
        let column = std::array::from_fn(|y| i32::from(block[8 * y + x]).wrapping_mul(i32::from(table[8 * y + x])));
        // Two bits more than samples have are kept between the passes.
        for (y, value) in inverse_dct_1d(column, 13 - 2).into_iter().enumerate() {
            middle[8 * y + x] = value;
        }
    }
    for (y, row) in middle.as_chunks().0.iter().enumerate() {
        for (out, value) in out[y * stride..][..8].iter_mut().zip(inverse_dct_1d(*row, 13 + 2 + 3)) {
            *out = value.wrapping_add(128).clamp(0, 255) as u8;
        }
    }
}

/// Wraps around where values are none that a coder can have written.
fn inverse_dct_1d(input: [i32; 8], shift: u32) -> [i32; 8] {
    use std::num::Wrapping as W;
    let [i0, i1, i2, i3, i4, i5, i6, i7] = input.map(W);
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
    let half = W(1 << (shift - 1));
    std::array::from_fn(|at| {
        let sum = if at < 4 { even[at] + odd[at] } else { even[7 - at] - odd[7 - at] };
        ((sum + half) >> shift as usize).0
    })
}
