//! Sixteen f32 lanes, and how code written once over them is compiled for each instruction set.
//!
//! A kernel is a struct that implements [`Kernel`]: its `run::<V>` is generic over the vector type `V` and marked
//! `#[inline(always)]`, as is everything it calls. [`Isa::run`](crate::Isa::run) then instantiates it inside one of three
//! `#[target_feature]` functions (`enter`), where the whole body is compiled with that instruction set: no copy of any
//! kernel per instruction set, one run-time branch per call.
//!
//! Two rules follow. A closure inside `run` is a function of its own, not `#[inline(always)]`: write loops instead. And a
//! rayon task must enter again with `isa.run`, inside the task.
//!
//! Soundness: the vector types of instruction sets that a machine may lack are named only here and in `isa.rs`, which
//! instantiates them only through an [`Isa`](crate::Isa) value, and such a value exists only where the set was detected.
//! So within `run::<V>`, that `V` was instantiated at all proves that its instructions exist, and its methods are safe.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;
use std::ops::{Add, Div, Mul, Sub};

/// Lanes per vector, of every instruction set.
pub(crate) const LANES: usize = 16;

/// Code generic over the vector type; see the head of this file.
pub(crate) trait Kernel {
    /// What the kernel returns.
    type Output;
    /// The body. Implementations must be `#[inline(always)]`.
    fn run<V: Lanes>(self) -> Self::Output;
}

/// Sixteen f32 values.
pub(crate) trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Send + Sync + 'static
{
    /// Most rows of a matmul micro-tile, by its width in vectors (1, then 2); 0: this width has too few registers.
    const TILE_ROWS: [usize; 2];

    /// Compiles and runs `kernel` for this instruction set.
    fn enter<K: Kernel>(kernel: K) -> K::Output;

    /// All lanes `x`.
    fn splat(x: f32) -> Self;
    /// Sixteen values.
    fn load(from: &[f32; LANES]) -> Self;
    /// The first `from.len()` lanes (at most 16), the others 0.
    #[inline(always)]
    fn load_slice(from: &[f32]) -> Self {
        if let Ok(from) = from.try_into() {
            return Self::load(from);
        }
        assert!(from.len() <= LANES, "{} values into {LANES} lanes", from.len());
        // SAFETY: `from` holds the lanes that are read.
        unsafe { Self::load_first(from.as_ptr(), from.len()) }
    }
    /// Writes all lanes.
    fn store(self, to: &mut [f32; LANES]);
    /// Writes the first `to.len()` lanes (at most 16).
    #[inline(always)]
    fn store_slice(self, to: &mut [f32]) {
        if let Ok(to) = to.try_into() {
            return self.store(to);
        }
        assert!(to.len() <= LANES, "{LANES} lanes into {} values", to.len());
        // SAFETY: `to` holds the lanes that are written.
        unsafe { self.store_first(to.as_mut_ptr(), to.len()) }
    }

    /// Sixteen values from `from`.
    /// # Safety
    /// `from` is valid for reading 16 values.
    #[inline(always)]
    unsafe fn load_ptr(from: *const f32) -> Self {
        // SAFETY: the caller's promise; an array of f32 has the alignment of f32.
        Self::load(unsafe { &*from.cast() })
    }
    /// Sixteen values to `to`.
    /// # Safety
    /// `to` is valid for writing 16 values.
    #[inline(always)]
    unsafe fn store_ptr(self, to: *mut f32) {
        // SAFETY: the caller's promise; an array of f32 has the alignment of f32.
        self.store(unsafe { &mut *to.cast() });
    }
    /// A choice of leading lanes.
    type Mask: Copy;
    /// The first `n <= 16` lanes.
    fn mask(n: usize) -> Self::Mask;
    /// The lanes of the mask from `from`, the others 0; memory beyond is not touched.
    /// # Safety
    /// `from` is valid for reading the lanes of the mask (any pointer if there are none).
    unsafe fn load_masked(from: *const f32, mask: Self::Mask) -> Self;
    /// The lanes of the mask to `to`; memory beyond is not touched.
    /// # Safety
    /// `to` is valid for writing the lanes of the mask (any pointer if there are none).
    unsafe fn store_masked(self, to: *mut f32, mask: Self::Mask);
    /// The first `n` lanes from `from`, the others 0.
    /// # Safety
    /// `n <= 16`, and `from` is valid for reading `n` values.
    #[inline(always)]
    unsafe fn load_first(from: *const f32, n: usize) -> Self {
        // SAFETY: the caller's promise.
        unsafe { Self::load_masked(from, Self::mask(n)) }
    }
    /// The first `n` lanes to `to`.
    /// # Safety
    /// `n <= 16`, and `to` is valid for writing `n` values.
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, n: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.store_masked(to, Self::mask(n)) }
    }

    /// `self · a + b`, fused where the instruction set fuses.
    fn mul_add(self, a: Self, b: Self) -> Self;
    /// The larger of each pair of lanes; `other` where `self` is NaN.
    fn max(self, other: Self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// `self · 2ⁿ`, for integral lanes n from −126 to 127.
    fn times_power_of_two(self, n: Self) -> Self;
    /// Bit `i` is set where lane `i` is greater than 0 (clear for NaN).
    fn positive(self) -> u16;
    /// Lane `i` where bit `i` is set, otherwise 0.
    fn keep(self, bits: u16) -> Self;
    /// The lanes of `then` where `self` is greater than `other`, elsewhere (also at NaN) those of `otherwise`.
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self;

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        self.store(&mut array);
        array
    }
}

/// Operators of a vector type, from the functions that do them on its content.
macro_rules! operators {
    ($vector:ident: $($trait:ident $method:ident = $body:expr),+ $(,)?) => {$(
        impl $trait for $vector {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                $body(self, other)
            }
        }
    )+};
}

/// Portable code; the compiler vectorizes it for the baseline of the target (SSE2, NEON). Products are not fused.
#[derive(Clone, Copy)]
pub(crate) struct Scalar([f32; LANES]);

impl Scalar {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = f(self.0[i], other.0[i]);
        }
        out
    }
}

operators!(Scalar:
    Add add = |a: Scalar, b| a.zip(b, |a, b| a + b),
    Sub sub = |a: Scalar, b| a.zip(b, |a, b| a - b),
    Mul mul = |a: Scalar, b| a.zip(b, |a, b| a * b),
    Div div = |a: Scalar, b| a.zip(b, |a, b| a / b),
);

impl Lanes for Scalar {
    const TILE_ROWS: [usize; 2] = [2, 0];
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        kernel.run::<Scalar>()
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Scalar([x; LANES])
    }
    #[inline(always)]
    fn load(from: &[f32; LANES]) -> Self {
        Scalar(*from)
    }
    #[inline(always)]
    fn store(self, to: &mut [f32; LANES]) {
        *to = self.0;
    }
    type Mask = usize;
    #[inline(always)]
    fn mask(n: usize) -> usize {
        n
    }
    #[inline(always)]
    unsafe fn load_masked(from: *const f32, n: usize) -> Self {
        let mut out = [0.0; LANES];
        for i in 0..n {
            // SAFETY: the caller's promise on the first `n` values.
            out[i] = unsafe { *from.add(i) };
        }
        Scalar(out)
    }
    #[inline(always)]
    unsafe fn store_masked(self, to: *mut f32, n: usize) {
        for i in 0..n {
            // SAFETY: the caller's promise on the first `n` values.
            unsafe { *to.add(i) = self.0[i] };
        }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.zip(self, |a, _| a.sqrt())
    }
    #[inline(always)]
    fn times_power_of_two(self, n: Self) -> Self {
        self.zip(n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn positive(self) -> u16 {
        let mut bits = 0;
        for i in 0..LANES {
            bits |= u16::from(self.0[i] > 0.0) << i;
        }
        bits
    }
    #[inline(always)]
    fn keep(self, bits: u16) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = if bits >> i & 1 == 1 { self.0[i] } else { 0.0 };
        }
        out
    }
    #[inline(always)]
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self {
        let mut out = otherwise;
        for i in 0..LANES {
            out.0[i] = if self.0[i] > other.0[i] { then.0[i] } else { otherwise.0[i] };
        }
        out
    }
}

/// An intrinsic of an instruction set whose vector type is instantiated.
#[cfg(target_arch = "x86_64")]
macro_rules! intrinsic {
    ($call:expr) => {{
        // SAFETY: the vector type whose method this is was instantiated, so its instructions exist (head of this file);
        // pointers are valid as the method's caller promises, or come from references of the right length.
        unsafe { $call }
    }};
}

/// AVX2 with FMA: two registers of eight.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx2([__m256; 2]);

#[cfg(target_arch = "x86_64")]
operators!(Avx2:
    Add add = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_add_ps(a.0[0], b.0[0]), _mm256_add_ps(a.0[1], b.0[1])])),
    Sub sub = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_sub_ps(a.0[0], b.0[0]), _mm256_sub_ps(a.0[1], b.0[1])])),
    Mul mul = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_mul_ps(a.0[0], b.0[0]), _mm256_mul_ps(a.0[1], b.0[1])])),
    Div div = |a: Avx2, b: Avx2| intrinsic!(Avx2([_mm256_div_ps(a.0[0], b.0[0]), _mm256_div_ps(a.0[1], b.0[1])])),
);

#[cfg(target_arch = "x86_64")]
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
}

/// AVX-512: one register.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

#[cfg(target_arch = "x86_64")]
operators!(Avx512:
    Add add = |a: Avx512, b: Avx512| intrinsic!(Avx512(_mm512_add_ps(a.0, b.0))),
    Sub sub = |a: Avx512, b: Avx512| intrinsic!(Avx512(_mm512_sub_ps(a.0, b.0))),
    Mul mul = |a: Avx512, b: Avx512| intrinsic!(Avx512(_mm512_mul_ps(a.0, b.0))),
    Div div = |a: Avx512, b: Avx512| intrinsic!(Avx512(_mm512_div_ps(a.0, b.0))),
);

#[cfg(target_arch = "x86_64")]
impl Lanes for Avx512 {
    const TILE_ROWS: [usize; 2] = [16, 14];
    #[inline(always)]
    fn enter<K: Kernel>(kernel: K) -> K::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi2")]
        fn compiled<K: Kernel>(kernel: K) -> K::Output {
            kernel.run::<Avx512>()
        }
        intrinsic!(compiled(kernel))
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    /// Every operation on lanes that tell themselves apart.
    struct Operations;
    impl Kernel for Operations {
        type Output = ();
        #[inline(always)]
        fn run<V: Lanes>(self) {
            let mut values = [0.0f32; 3 * LANES];
            for i in 0..3 * LANES {
                values[i] = (i as f32 * 0.75 - 9.0) * if i % 3 == 0 { -1.0 } else { 1.0 };
            }
            let (xs, rest) = values.split_first_chunk::<LANES>().unwrap();
            let (ys, rest) = rest.split_first_chunk::<LANES>().unwrap();
            let (x, y, z) = (V::load(xs), V::load(ys), V::load_slice(rest));
            let (add, sub, mul, div) = ((x + y).to_array(), (x - y).to_array(), (x * y).to_array(), (x / y).to_array());
            let (fma, max, root) = (x.mul_add(y, z).to_array(), x.max(y).to_array(), (x * x).sqrt().to_array());
            let scaled = y.times_power_of_two(V::splat(-3.0)).to_array();
            let bits = x.positive();
            let kept = y.keep(bits).to_array();
            let chosen = x.if_greater(y, z, x).to_array();
            for i in 0..LANES {
                let (a, b, c) = (xs[i], ys[i], rest[i]);
                assert_eq!([add[i], sub[i], mul[i], div[i]], [a + b, a - b, a * b, a / b]);
                assert!((fma[i] - (a * b + c)).abs() <= 1e-6 * (a * b).abs());
                assert_eq!([max[i], root[i]], [a.max(b), a.abs()]);
                assert_eq!(scaled[i], b / 8.0);
                assert_eq!(bits >> i & 1 == 1, a > 0.0);
                assert_eq!(kept[i], if a > 0.0 { b } else { 0.0 });
                assert_eq!(chosen[i], if a > b { c } else { a });
            }
            for n in 0..=LANES {
                let part = V::load_slice(&xs[..n]).to_array();
                assert_eq!(part[..n], xs[..n]);
                assert_eq!(part[n..], [0.0; LANES][n..]);
                let mut target = *ys;
                x.store_slice(&mut target[..n]);
                assert_eq!(target[..n], xs[..n]);
                assert_eq!(target[n..], ys[n..]);
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same_lanes() {
        for isa in Isa::available() {
            isa.run(Operations);
        }
    }
}
