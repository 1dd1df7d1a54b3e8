//! Sixteen f32 lanes, and how code written once over them is compiled for each instruction set.
//!
//! A kernel is a struct that implements [`Kernel`]: its `run::<V>` is generic over the vector type `V` and marked
//! `#[inline(always)]`, as is everything it calls. [`Isa::run`](crate::Isa::run) then instantiates it inside one of three
//! `#[target_feature]` functions (`enter`), where the whole body is compiled with that instruction set: no copy of any
//! kernel per instruction set, one run-time branch per call. (NEON needs no such function: all code for 64-bit ARM may use it.)
//!
//! Two rules follow. A closure inside `run` is a function of its own, not `#[inline(always)]`: write loops instead. And a
//! rayon task must enter again with `isa.run`, inside the task.
//!
//! Soundness: the vector types of instruction sets that a machine may lack are named only here and in `isa.rs`, which
//! instantiates them only through an [`Isa`](crate::Isa) value, and such a value exists only where the set was detected.
//! So within `run::<V>`, that `V` was instantiated at all proves that its instructions exist, and its methods are safe.

use std::ops::{Add, Div, Mul, Sub};

/// Lanes per vector, of every instruction set.
pub(crate) const LANES: usize = 16;

/// Asks for the cache line of `at`, which may be any address, to be read or written soon. Passes that go through several rows of a map at
/// once, a few pixels of each at a time, wait for memory otherwise: the processor's own prefetching follows few streams, and long ones.
#[inline(always)]
pub(crate) fn prefetch(at: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which accesses nothing.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which accesses nothing.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

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

    /// Lane `j` of vector `i` as lane `i` of vector `j`.
    fn transpose(block: [Self; LANES]) -> [Self; LANES];

    /// Each lane rounded to the nearest bf16, ties to even: an f32 whose lower half is 0. NaN stays NaN.
    fn rounded(self) -> Self;
    /// The words of pairs of bf16: `low` in the lower halves, `high` in the upper ones, both [`rounded`](Self::rounded).
    fn join(low: Self, high: Self) -> Self;
    /// The lower halves of words.
    fn low(self) -> Self;
    /// The upper halves of words.
    fn high(self) -> Self;
    /// Each lane rounded to bf16, to `to`.
    /// # Safety
    /// `to` is valid for writing 16 values.
    #[inline(always)]
    unsafe fn store_rounded(self, to: *mut u16) {
        let rounded = self.rounded().to_array();
        for i in 0..LANES {
            // SAFETY: the caller's promise.
            unsafe { *to.add(i) = (rounded[i].to_bits() >> 16) as u16 };
        }
    }
    /// `sums` and the products of both halves of words with those of other words.
    #[inline(always)]
    fn dot(self, words: Self, sums: Self) -> Self {
        self.low().mul_add(words.low(), self.high().mul_add(words.high(), sums))
    }

    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        self.store(&mut array);
        array
    }
}

/// The upper half of a word.
pub(crate) const HIGH_BITS: u32 = 0xffff_0000;

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
    #[inline(never)]
    unsafe fn load_masked(from: *const f32, n: usize) -> Self {
        let mut out = [0.0; LANES];
        for i in 0..n {
            // SAFETY: the caller's promise on the first `n` values.
            out[i] = unsafe { *from.add(i) };
        }
        Scalar(out)
    }
    #[inline(never)]
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
    #[inline(never)]
    fn times_power_of_two(self, n: Self) -> Self {
        self.zip(n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
    #[inline(never)]
    fn positive(self) -> u16 {
        let mut bits = 0;
        for i in 0..LANES {
            bits |= u16::from(self.0[i] > 0.0) << i;
        }
        bits
    }
    #[inline(never)]
    fn keep(self, bits: u16) -> Self {
        let mut out = self;
        for i in 0..LANES {
            out.0[i] = if bits >> i & 1 == 1 { self.0[i] } else { 0.0 };
        }
        out
    }
    #[inline(never)]
    fn if_greater(self, other: Self, then: Self, otherwise: Self) -> Self {
        let mut out = otherwise;
        for i in 0..LANES {
            out.0[i] = if self.0[i] > other.0[i] { then.0[i] } else { otherwise.0[i] };
        }
        out
    }
    #[inline(never)]
    fn transpose(block: [Self; LANES]) -> [Self; LANES] {
        let mut out = block;
        for i in 0..LANES {
            for j in 0..LANES {
                out[j].0[i] = block[i].0[j];
            }
        }
        out
    }
    #[inline(never)]
    fn rounded(self) -> Self {
        let mut out = self;
        for i in 0..LANES {
            let bits = self.0[i].to_bits();
            let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
            let rounded = if self.0[i].is_nan() { bits | 0x0040_0000 } else { nearest };
            out.0[i] = f32::from_bits(rounded & HIGH_BITS);
        }
        out
    }
    #[inline(always)]
    fn join(low: Self, high: Self) -> Self {
        low.zip(high, |low, high| f32::from_bits(low.to_bits() >> 16 | high.to_bits()))
    }
    #[inline(always)]
    fn low(self) -> Self {
        self.zip(self, |word, _| f32::from_bits(word.to_bits() << 16))
    }
    #[inline(always)]
    fn high(self) -> Self {
        self.zip(self, |word, _| f32::from_bits(word.to_bits() & HIGH_BITS))
    }
}

/// An intrinsic of an instruction set whose vector type is instantiated.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! intrinsic {
    ($call:expr) => {{
        // SAFETY: the vector type whose method this is was instantiated, so its instructions exist (head of this file);
        // pointers are valid as the method's caller promises, or come from references of the right length.
        unsafe { $call }
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::Avx2, avx512::Avx512};

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
            let block = std::array::from_fn(|i| V::load(&std::array::from_fn(|j| (LANES * i + j) as f32)));
            for (j, vector) in V::transpose(block).into_iter().enumerate() {
                assert_eq!(vector.to_array(), std::array::from_fn(|i| (LANES * i + j) as f32));
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

    /// What is chosen by comparing, of values that only bits tell apart.
    struct Choices;
    impl Kernel for Choices {
        type Output = ();
        #[inline(always)]
        fn run<V: Lanes>(self) {
            let values = [f32::NAN, 0.0, -0.0, 1.0];
            let (mut xs, mut ys) = ([0.0; LANES], [0.0; LANES]);
            for i in 0..LANES {
                (xs[i], ys[i]) = (values[i / 4], values[i % 4]);
            }
            let (x, y) = (V::load(&xs), V::load(&ys));
            let (max, chosen) = (x.max(y).to_array(), x.if_greater(y, x, y).to_array());
            let (bits, rounded) = (x.positive(), x.rounded().to_array());
            for i in 0..LANES {
                let larger = if xs[i] > ys[i] { xs[i] } else { ys[i] };
                assert_eq!(
                    [max[i], chosen[i], rounded[i]].map(f32::to_bits),
                    [larger, larger, xs[i]].map(f32::to_bits)
                );
                assert_eq!(bits >> i & 1 == 1, xs[i] > 0.0);
            }
        }
    }

    #[test]
    fn every_instruction_set_computes_the_same_lanes() {
        for isa in Isa::available() {
            isa.run(Operations);
            isa.run(Choices);
        }
    }
}
