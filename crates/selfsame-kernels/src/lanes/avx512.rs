//! AVX-512: one register. With `DOTS` there are the instructions of bf16 too, for products of rounded operands.

use super::{HIGH_BITS, Kernel, LANES, Lanes};
use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

/// Sixteen values.
#[derive(Clone, Copy)]
pub(crate) struct Avx512<const DOTS: bool>(__m512);

macro_rules! operator {
    ($trait:ident $method:ident $intrinsic:ident) => {
        impl<const DOTS: bool> $trait for Avx512<DOTS> {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                intrinsic!(Avx512($intrinsic(self.0, other.0)))
            }
        }
    };
}
operator!(Add add _mm512_add_ps);
operator!(Sub sub _mm512_sub_ps);
operator!(Mul mul _mm512_mul_ps);
operator!(Div div _mm512_div_ps);

impl<const DOTS: bool> Lanes for Avx512<DOTS> {
    const TILE_ROWS: [usize; 2] = [16, 14];
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
        fn compiled<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512<false>>()
        }
        #[target_feature(enable = "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
        fn compiled_with_dots<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512<true>>()
        }
        if DOTS { intrinsic!(compiled_with_dots(kernel)) } else { intrinsic!(compiled(kernel)) }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        intrinsic!(Avx512(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        intrinsic!(Avx512(_mm512_loadu_ps(from.as_ptr())))
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        intrinsic!(_mm512_storeu_ps(to.as_mut_ptr(), self.0));
    }
    type Mask = __mmask16;
    #[inline(always)]
    fn mask(n: usize) -> __mmask16 {
        ((1u32 << n) - 1) as __mmask16
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const f32, mask: __mmask16) -> Self {
        intrinsic!(Avx512(_mm512_maskz_loadu_ps(mask, from)))
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, mask: __mmask16) {
        intrinsic!(_mm512_mask_storeu_ps(to, mask, self.0));
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        intrinsic!(Avx512(_mm512_fmadd_ps(self.0, a.0, b.0)))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        intrinsic!(Avx512(_mm512_max_ps(self.0, other.0)))
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        intrinsic!(Avx512(_mm512_sqrt_ps(self.0)))
    }
    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        intrinsic!(Avx512(_mm512_scalef_ps(self.0, n.0)))
    }
    #[inline(always)]
    fn positive(self) -> u16 {
        intrinsic!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, _mm512_setzero_ps()))
    }
    #[inline(always)]
    fn keep(self, bits: u16) -> Self {
        intrinsic!(Avx512(_mm512_maskz_mov_ps(bits, self.0)))
    }
    #[inline(always)]
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self {
        intrinsic!(Avx512(_mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0), otherwise.0, then.0)))
    }
    #[inline(always)]
    fn transpose(block: [Self; LANES]) -> [Self; LANES] {
        // To interleave vectors `i` and `i + 8` turns the digits of all places, [row, column], by one; four turns exchange them.
        intrinsic!({
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            let mut from = block;
            for _ in 0..4 {
                let mut to = from;
                for i in 0..LANES / 2 {
                    to[2 * i] = Avx512(_mm512_permutex2var_ps(from[i].0, low, from[i + 8].0));
                    to[2 * i + 1] = Avx512(_mm512_permutex2var_ps(from[i].0, high, from[i + 8].0));
                }
                from = to;
            }
            from
        })
    }
    #[inline(always)]
    fn rounded(self) -> Self {
        intrinsic!({
            if DOTS {
                let halves =
                    _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0)));
                return Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves)));
            }
            let bits = _mm512_castps_si512(self.0);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
            let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
            let is_nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0);
            Avx512(_mm512_castsi512_ps(_mm512_mask_mov_epi32(nearest, is_nan, quiet))).high()
        })
    }
    #[inline(always)]
    fn low(self) -> Self {
        intrinsic!(Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(self.0)))))
    }
    #[inline(always)]
    fn high(self) -> Self {
        intrinsic!({
            let high = _mm512_and_si512(_mm512_castps_si512(self.0), _mm512_set1_epi32(HIGH_BITS as i32));
            Avx512(_mm512_castsi512_ps(high))
        })
    }
    #[inline(always)]
    fn join(low: Self, high: Self) -> Self {
        intrinsic!({
            let low = _mm512_srli_epi32::<16>(_mm512_castps_si512(low.0));
            Avx512(_mm512_castsi512_ps(_mm512_or_si512(low, _mm512_castps_si512(high.0))))
        })
    }
    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u16) {
        intrinsic!({
            let halves = if DOTS {
                std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(self.0))
            } else {
                _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(_mm512_castps_si512(self.rounded().0)))
            };
            _mm256_storeu_si256(to.cast(), halves);
        });
    }
    #[inline(always)]
    fn dot(self, a: Self, sums: Self) -> Self {
        intrinsic!({
            if DOTS {
                // SAFETY: both are 64 bytes without invalid values.
                let (x, a) =
                    (std::mem::transmute::<__m512, __m512bh>(self.0), std::mem::transmute::<__m512, __m512bh>(a.0));
                return Avx512(_mm512_dpbf16_ps(sums.0, x, a));
            }
            self.low().mul_add(a.low(), self.high().mul_add(a.high(), sums))
        })
    }
}
