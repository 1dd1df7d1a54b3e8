//! AVX2 with FMA: two registers of eight.

use super::{HIGH_BITS, Kernel, LANES, Lanes};
use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

/// The upper half of a word.
const HIGH: i32 = HIGH_BITS as i32;

/// Sixteen values.
#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256; 2]);

operators!(Avx2:
    Add add = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_add_ps(a.0[0], b.0[0]), _mm256_add_ps(a.0[1], b.0[1])])),
    Sub sub = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_sub_ps(a.0[0], b.0[0]), _mm256_sub_ps(a.0[1], b.0[1])])),
    Mul mul = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_mul_ps(a.0[0], b.0[0]), _mm256_mul_ps(a.0[1], b.0[1])])),
    Div div = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_div_ps(a.0[0], b.0[0]), _mm256_div_ps(a.0[1], b.0[1])])),
);

impl Lanes for Avx2 {
    const TILE_ROWS: [usize; 2] = [6, 0];
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,bmi2")]
        fn compiled<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx2>()
        }
        intrinsic!(compiled(kernel))
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        intrinsic!(Avx2([_mm256_set1_ps(x); 2]))
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        intrinsic!(Avx2([_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))]))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        intrinsic!({
            _mm256_storeu_ps(to.as_mut_ptr(), self.0[0]);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), self.0[1]);
        });
    }
    type Mask = [__m256i; 2];
    #[inline(always)]
    fn mask(n: usize) -> Self::Mask {
        // A window of sixteen that begins `n` before the zeros.
        static LEADING: [i32; 2 * LANES] = {
            let mut lanes = [0; 2 * LANES];
            let mut i = 0;
            while i < LANES {
                lanes[i] = -1;
                i += 1;
            }
            lanes
        };
        let window = &LEADING[LANES - n..][..LANES];
        intrinsic!([_mm256_loadu_si256(window.as_ptr().cast()), _mm256_loadu_si256(window.as_ptr().add(8).cast())])
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self {
        intrinsic!(Avx2([_mm256_maskload_ps(from, mask[0]), _mm256_maskload_ps(from.wrapping_add(8), mask[1])]))
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask) {
        intrinsic!({
            _mm256_maskstore_ps(to, mask[0], self.0[0]);
            _mm256_maskstore_ps(to.wrapping_add(8), mask[1], self.0[1]);
        });
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        intrinsic!(Avx2([_mm256_fmadd_ps(self.0[0], a.0[0], b.0[0]), _mm256_fmadd_ps(self.0[1], a.0[1], b.0[1])]))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        intrinsic!(Avx2([_mm256_max_ps(self.0[0], other.0[0]), _mm256_max_ps(self.0[1], other.0[1])]))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        intrinsic!(Avx2([_mm256_sqrt_ps(self.0[0]), _mm256_sqrt_ps(self.0[1])]))
    }
    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        intrinsic!({
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n.0[0]), bias));
            let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(n.0[1]), bias));
            self * Avx2([_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)])
        })
    }
    #[inline(always)]
    fn positive(self) -> u16 {
        intrinsic!({
            let zero = _mm256_setzero_ps();
            let low = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0[0], zero));
            let high = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(self.0[1], zero));
            (low | high << 8) as u16
        })
    }
    #[inline(always)]
    fn keep(self, bits: u16) -> Self {
        intrinsic!({
            // Each lane tests its own bit of the broadcast word.
            let word = _mm256_set1_epi32(i32::from(bits));
            let low = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let high = _mm256_slli_epi32::<8>(low);
            let low = _mm256_cmpeq_epi32(_mm256_and_si256(word, low), low);
            let high = _mm256_cmpeq_epi32(_mm256_and_si256(word, high), high);
            Avx2([
                _mm256_and_ps(self.0[0], _mm256_castsi256_ps(low)),
                _mm256_and_ps(self.0[1], _mm256_castsi256_ps(high)),
            ])
        })
    }
    #[inline(always)]
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self {
        intrinsic!({
            let low = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0[0], other.0[0]);
            let high = _mm256_cmp_ps::<_CMP_GT_OQ>(self.0[1], other.0[1]);
            Avx2([_mm256_blendv_ps(otherwise.0[0], then.0[0], low), _mm256_blendv_ps(otherwise.0[1], then.0[1], high)])
        })
    }
    #[inline(always)]
    fn transpose(block: [Self; LANES]) -> [Self; LANES] {
        let mut out = block;
        for rows in 0..2 {
            for columns in 0..2 {
                let mut quarter = [block[0].0[0]; LANES / 2];
                for i in 0..LANES / 2 {
                    quarter[i] = block[rows * LANES / 2 + i].0[columns];
                }
                let quarter = transpose_eight(quarter);
                for i in 0..LANES / 2 {
                    out[columns * LANES / 2 + i].0[rows] = quarter[i];
                }
            }
        }
        out
    }
    #[inline(always)]
    fn rounded(self) -> Self {
        intrinsic!({
            let mut halves = self.0;
            for x in &mut halves {
                let bits = _mm256_castps_si256(*x);
                let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let nearest = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
                let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
                let is_nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(*x, *x);
                let bits = _mm256_blendv_ps(_mm256_castsi256_ps(nearest), _mm256_castsi256_ps(quiet), is_nan);
                *x = _mm256_and_ps(bits, _mm256_castsi256_ps(_mm256_set1_epi32(HIGH)));
            }
            Avx2(halves)
        })
    }
    #[inline(always)]
    fn low(self) -> Self {
        intrinsic!({
            let mut halves = self.0;
            for x in &mut halves {
                *x = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(*x)));
            }
            Avx2(halves)
        })
    }
    #[inline(always)]
    fn high(self) -> Self {
        intrinsic!({
            let mask = _mm256_castsi256_ps(_mm256_set1_epi32(HIGH));
            Avx2([_mm256_and_ps(self.0[0], mask), _mm256_and_ps(self.0[1], mask)])
        })
    }
    #[inline(always)]
    fn join(low: Self, high: Self) -> Self {
        intrinsic!({
            let mut halves = high.0;
            for i in 0..2 {
                let low = _mm256_srli_epi32::<16>(_mm256_castps_si256(low.0[i]));
                halves[i] = _mm256_or_ps(_mm256_castsi256_ps(low), halves[i]);
            }
            Avx2(halves)
        })
    }
}

/// A block of eight by eight, transposed: pairs, then fours, then halves.
#[inline(always)]
fn transpose_eight(r: [__m256; 8]) -> [__m256; 8] {
    intrinsic!({
        let mut fours = r;
        for half in [0, 4] {
            let [a, b, c, d] = [r[half], r[half + 1], r[half + 2], r[half + 3]];
            let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (next_low, next_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            fours[half] = _mm256_shuffle_ps::<0x44>(low, next_low);
            fours[half + 1] = _mm256_shuffle_ps::<0xee>(low, next_low);
            fours[half + 2] = _mm256_shuffle_ps::<0x44>(high, next_high);
            fours[half + 3] = _mm256_shuffle_ps::<0xee>(high, next_high);
        }
        let mut out = r;
        for i in 0..4 {
            out[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            out[i + 4] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
        out
    })
}
