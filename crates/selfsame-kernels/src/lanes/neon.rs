//! NEON, which every 64-bit ARM has: four registers of four.
//!
//! Tiles are as high as AVX2's, products are fused as there, and each operation gives the same bits (but for the sign of a NaN): so do kernels.

use super::{HIGH_BITS, Kernel, LANES, Lanes};
use std::arch::aarch64::*;
use std::ops::{Add, Div, Mul, Sub};

/// Sixteen values.
#[derive(Clone, Copy)]
pub(crate) struct Neon([float32x4_t; 4]);

/// What the expression is for each quarter.
macro_rules! four {
    ($i:ident => $quarter:expr) => { four!($i => $quarter; 0 1 2 3) };
    ($i:ident => $quarter:expr; $($number:literal)+) => { intrinsic!([$({ let $i = $number; $quarter }),+]) };
}

/// The bit of each lane.
const BITS: [u32; LANES] = {
    let mut bits = [1; LANES];
    let mut i = 1;
    while i < LANES {
        bits[i] = 2 * bits[i - 1];
        i += 1;
    }
    bits
};

operators!(Neon:
    Add add = |a: Neon, b: Neon| Neon(four!(i => vaddq_f32(a.0[i], b.0[i]))),
    Sub sub = |a: Neon, b: Neon| Neon(four!(i => vsubq_f32(a.0[i], b.0[i]))),
    Mul mul = |a: Neon, b: Neon| Neon(four!(i => vmulq_f32(a.0[i], b.0[i]))),
    Div div = |a: Neon, b: Neon| Neon(four!(i => vdivq_f32(a.0[i], b.0[i]))),
);

impl Lanes for Neon {
    const TILE_ROWS: [usize; 2] = [6, 0];
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Neon>()
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        intrinsic!(Neon([vdupq_n_f32(x); 4]))
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Neon(four!(i => vld1q_f32(from.as_ptr().add(4 * i))))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        four!(i => vst1q_f32(to.as_mut_ptr().add(4 * i), self.0[i]));
    }
    type Mask = usize;
    #[inline(always)]
    fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const f32, n: usize) -> Self {
        Neon(four!(i => match n.saturating_sub(4 * i) {
            0 => vdupq_n_f32(0.0),
            left @ 1..4 => load_some(from.add(4 * i), left),
            _ => vld1q_f32(from.add(4 * i)),
        }))
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, n: usize) {
        four!(i => match n.saturating_sub(4 * i) {
            0 => {}
            left @ 1..4 => store_some(self.0[i], to.add(4 * i), left),
            _ => vst1q_f32(to.add(4 * i), self.0[i]),
        });
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Neon(four!(i => vfmaq_f32(b.0[i], self.0[i], a.0[i])))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // The instruction for it would give NaN where `other` is not NaN, and order zeros.
        self.if_greater(other, self, other)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Neon(four!(i => vsqrtq_f32(self.0[i])))
    }
    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        Neon(four!(i => {
            let exponent = vaddq_s32(vcvtnq_s32_f32(n.0[i]), vdupq_n_s32(127));
            vmulq_f32(self.0[i], vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }))
    }
    #[inline(always)]
    fn positive(self) -> u16 {
        let [a, b, c, d] = four!(i => vandq_u32(vcgtzq_f32(self.0[i]), vld1q_u32(BITS[4 * i..].as_ptr())));
        intrinsic!(vaddvq_u32(vorrq_u32(vorrq_u32(a, b), vorrq_u32(c, d))) as u16)
    }
    #[inline(always)]
    fn keep(self, bits: u16) -> Self {
        Neon(four!(i => {
            let kept = vtstq_u32(vdupq_n_u32(u32::from(bits)), vld1q_u32(BITS[4 * i..].as_ptr()));
            vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0[i]), kept))
        }))
    }
    #[inline(always)]
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self {
        Neon(four!(i => vbslq_f32(vcgtq_f32(self.0[i], other.0[i]), then.0[i], otherwise.0[i])))
    }
    #[inline(always)]
    fn transpose(block: [Self; LANES]) -> [Self; LANES] {
        let mut out = block;
        for row in [0, 4, 8, 12] {
            for i in 0..4 {
                let [a, b, c, d] = [block[row].0[i], block[row + 1].0[i], block[row + 2].0[i], block[row + 3].0[i]];
                // Rows that are two apart are interleaved, twice.
                intrinsic!({
                    let (even, odd) = ([vzip1q_f32(a, c), vzip2q_f32(a, c)], [vzip1q_f32(b, d), vzip2q_f32(b, d)]);
                    for half in 0..2 {
                        out[4 * i + 2 * half].0[row / 4] = vzip1q_f32(even[half], odd[half]);
                        out[4 * i + 2 * half + 1].0[row / 4] = vzip2q_f32(even[half], odd[half]);
                    }
                });
            }
        }
        out
    }
    #[inline(always)]
    fn rounded(self) -> Self {
        let nearest = Neon(four!(i => {
            let bits = vreinterpretq_u32_f32(self.0[i]);
            let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
            let nearest = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
            let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
            vreinterpretq_f32_u32(vbslq_u32(vceqq_f32(self.0[i], self.0[i]), nearest, quiet))
        }));
        nearest.high()
    }
    #[inline(always)]
    fn join(low: Self, high: Self) -> Self {
        Neon(four!(i => {
            let low = vshrq_n_u32::<16>(vreinterpretq_u32_f32(low.0[i]));
            vreinterpretq_f32_u32(vorrq_u32(low, vreinterpretq_u32_f32(high.0[i])))
        }))
    }
    #[inline(always)]
    fn low(self) -> Self {
        Neon(four!(i => vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(self.0[i])))))
    }
    #[inline(always)]
    fn high(self) -> Self {
        Neon(four!(i => vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(self.0[i]), vdupq_n_u32(HIGH_BITS)))))
    }
}

/// The first `n < 4` values, then zeros; no part of a kernel, as few ask for it.
/// # Safety
/// `from` is valid for reading them.
#[inline(never)]
unsafe fn load_some(from: *const f32, n: usize) -> float32x4_t {
    let mut lanes = [0.0; 4];
    intrinsic!({
        from.copy_to_nonoverlapping(lanes.as_mut_ptr(), n);
        vld1q_f32(lanes.as_ptr())
    })
}

/// Writes the first `n < 4` lanes.
/// # Safety
/// `to` is valid for writing them.
#[inline(never)]
unsafe fn store_some(lanes: float32x4_t, to: *mut f32, n: usize) {
    let mut array = [0.0; 4];
    intrinsic!({
        vst1q_f32(array.as_mut_ptr(), lanes);
        array.as_ptr().copy_to_nonoverlapping(to, n);
    });
}
