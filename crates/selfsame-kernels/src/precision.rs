//! What products are computed of: operands as they are, or rounded to bf16.
//!
//! The micro-kernel reads *words* of 32 bits. A word is an f32, or a pair of bf16 that follow each other along the dimension a
//! product sums over. So panels and blocks have one layout for both, with half as many words of pairs, and the loops are one
//! source over an [`Element`]: a word of `A`, broadcast, meets sixteen words of `B`, and sixteen f32 sums take up the products.
//! Operands are rounded as they are packed or transformed, to the nearest, ties to even; everything that is not a product stays f32.
//!
//! **Error.** Rounding moves an operand by at most 2⁻⁸ of itself, so a sum of products deviates by at most about
//! `2⁻⁷ Σ|a·b|`, and the sums are f32. Winograd rounds its points instead, and transforms enlarge that: of
//! normally distributed operands and 64 channels, results deviate by .3 % of their deviation if computed directly, .4 % with F(2×2), 1.2 %
//! with F(4×4) and its points at 0, ±√½, ±√2, ∞, where the usual 0, ±1, ±2, ∞ give 2.2 %; so elements choose their points. The bounds
//! that tests hold all shapes to are in `conv/tests.rs`: 1, 2 and 6 % of the largest of many results.
//!
//! Words lie in f32 memory, whichever they are: moving an f32 never changes its bits.

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    scoped,
};
use std::{
    cell::Cell,
    f32::consts::{FRAC_1_SQRT_2, SQRT_2},
};

/// What operands of products are rounded to. It belongs to the thread that calls a kernel: see [`Precision::within`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To bf16, with f32 sums.
    Bf16,
}

thread_local! { static ACTIVE: Cell<Precision> = const { Cell::new(Precision::F32) }; }

impl Precision {
    /// Runs `work` with the products of layers (convolutions and `linear`) that this thread asks for at this precision.
    pub fn within<R>(self, work: impl FnOnce() -> R) -> R {
        scoped::within(&ACTIVE, self, work)
    }

    /// The precision of this thread.
    pub fn active() -> Precision {
        ACTIVE.get()
    }
}

/// What operands are made of.
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// Values in a word.
    const PER_WORD: usize;
    /// The interpolation points ±a, ±b of Winograd's F(4×4), beside 0 and ∞.
    const POINTS: [f32; 2];
    /// a², b².
    const SQUARES: [f32; 2];

    /// Runs a kernel that packs or multiplies these.
    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output;
    /// `sums` and the products of `a`'s words with `b`'s.
    fn multiply<V: Lanes>(a: V, b: V, sums: V) -> V;
    /// Writes values that are sixteen in a row along the sum: 16 / [`PER_WORD`](Self::PER_WORD) words.
    /// # Safety
    /// `to` is valid for writing them.
    unsafe fn store_along<V: Lanes>(values: V, to: *mut f32);
    /// Writes values of one place along the sum, the `place`-th, to the sixteen words that hold it, which begin at `to`. Places of
    /// a word are written in their order.
    /// # Safety
    /// `to` is valid for reading and writing sixteen words.
    unsafe fn store_across<V: Lanes>(values: V, place: usize, to: *mut f32);

    /// Words of so many values.
    #[inline(always)]
    fn words(values: usize) -> usize {
        values.div_ceil(Self::PER_WORD)
    }
    /// Offset of the `block`-th sixteen values along the sum in blocks of sixteen words that are `step` apart.
    #[inline(always)]
    fn along(block: usize, step: usize) -> usize {
        block / Self::PER_WORD * step + block % Self::PER_WORD * (LANES / Self::PER_WORD)
    }
}

/// `$call` with `$element` the type of elements of a precision.
macro_rules! at_precision {
    ($precision:expr, $element:ident => $call:expr) => {
        match $precision {
            $crate::Precision::F32 => {
                type $element = $crate::precision::Whole;
                $call
            }
            $crate::Precision::Bf16 => {
                type $element = $crate::precision::Rounded;
                $call
            }
        }
    };
}
pub(crate) use at_precision;

/// Values as they are.
#[derive(Clone, Copy)]
pub(crate) struct Whole;

impl Element for Whole {
    const PER_WORD: usize = 1;
    const POINTS: [f32; 2] = [1.0, 2.0];
    const SQUARES: [f32; 2] = [1.0, 4.0];

    #[inline]
    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run(kernel)
    }
    #[inline(always)]
    fn multiply<V: Lanes>(a: V, b: V, sums: V) -> V {
        a.mul_add(b, sums)
    }
    #[inline(always)]
    unsafe fn store_along<V: Lanes>(values: V, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store_ptr(to) }
    }
    #[inline(always)]
    unsafe fn store_across<V: Lanes>(values: V, _place: usize, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store_ptr(to) }
    }
}

/// Values rounded to bf16, two in a word: the first in the lower half.
#[derive(Clone, Copy)]
pub(crate) struct Rounded;

impl Element for Rounded {
    const PER_WORD: usize = 2;
    const POINTS: [f32; 2] = [FRAC_1_SQRT_2, SQRT_2];
    const SQUARES: [f32; 2] = [0.5, 2.0];

    #[inline]
    fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
        isa.run_rounded(kernel)
    }
    #[inline(always)]
    fn multiply<V: Lanes>(a: V, b: V, sums: V) -> V {
        a.dot(b, sums)
    }
    #[inline(always)]
    unsafe fn store_along<V: Lanes>(values: V, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { values.store_rounded(to.cast()) }
    }
    #[inline(always)]
    unsafe fn store_across<V: Lanes>(values: V, place: usize, to: *mut f32) {
        let values = values.rounded();
        // SAFETY: the caller's promise.
        unsafe {
            if place.is_multiple_of(2) {
                V::join(values, V::splat(0.0)).store_ptr(to);
            } else {
                V::join(V::load_ptr(to).low(), values).store_ptr(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The nearest bf16, ties to even, in f64.
    fn nearest(x: f32) -> f64 {
        let (below, above) = (f32::from_bits(x.to_bits() & 0xffff_0000), x.to_bits() >> 16);
        let above = f32::from_bits((above + 1) << 16);
        let (to_below, to_above) = ((x - below).abs(), (above - x).abs());
        let even = (below.to_bits() >> 16).is_multiple_of(2);
        f64::from(if to_below < to_above || to_below == to_above && even { below } else { above })
    }

    struct Halves([f32; LANES], [f32; LANES]);

    impl Kernel for Halves {
        type Output = [[f32; LANES]; 3];
        #[inline(always)]
        fn run<V: Lanes>(self) -> Self::Output {
            let (x, y) = (V::load(&self.0), V::load(&self.1));
            let (mut along, mut across) = ([0.0; 2 * LANES], [f32::NAN; LANES]);
            // SAFETY: both hold what is written.
            unsafe {
                Rounded::store_along(x, along.as_mut_ptr());
                Rounded::store_across(x, 0, across.as_mut_ptr());
                Rounded::store_across(y, 1, across.as_mut_ptr());
            }
            let words = V::load(&across);
            let pairs = V::load(along.first_chunk().unwrap());
            let mut ordered = [0.0; LANES];
            let (low, high) = (pairs.low().to_array(), pairs.high().to_array());
            for i in 0..LANES {
                ordered[i] = if i % 2 == 0 { low[i / 2] } else { high[i / 2] };
            }
            [words.low().to_array(), words.high().to_array(), ordered]
        }
    }

    #[test]
    fn every_instruction_set_rounds_to_the_nearest_and_keeps_what_is_not_finite() {
        let half = 1.0 / 256.0;
        let ties = [1.0 + half, 1.0 + 3.0 * half, -1.0 - half, 0.0, -0.0, 3.0e38, 1.0e-30, 65_535.0];
        for isa in Isa::available() {
            for seed in 0..50 {
                let x: [f32; LANES] = crate::testing::random(LANES, seed).try_into().unwrap();
                let mut y = x.map(|x| 1e4 * x);
                y[..8].copy_from_slice(&ties);
                let [low, high, ordered] = isa.run_rounded(Halves(x, y));
                assert_eq!(low.map(f64::from), x.map(nearest), "{isa}");
                assert_eq!(high.map(f64::from), y.map(nearest), "{isa}");
                assert_eq!(ordered, low);
            }
            let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(0x7fff_ffff)];
            let x = std::array::from_fn(|i| odd[i % 4]);
            let [low, high, _] = isa.run_rounded(Halves(x, x));
            for values in [low, high] {
                assert!(values.iter().zip(x).all(|(&a, b)| a == b || a.is_nan() && b.is_nan()), "{isa}: {values:?}");
            }
        }
    }

    #[test]
    fn a_precision_holds_within_and_ends_with_a_panic() {
        let inner = Precision::Bf16.within(|| {
            let panicked =
                std::panic::catch_unwind(|| Precision::F32.within(|| std::panic::resume_unwind(Box::new(()))));
            assert!(panicked.is_err());
            Precision::active()
        });
        assert_eq!([inner, Precision::active()], [Precision::Bf16, Precision::F32]);
    }
}
