//! What loops over many values share; the only file that names the crate which compiles for the machine's vectors.

/// `v` clipped to `0..=1`, as two selects; a NaN becomes 0.
#[inline(always)]
pub(super) fn unit(v: f32) -> f32 {
    let v = if v > 0.0 { v } else { 0.0 };
    if v < 1.0 { v } else { 1.0 }
}

/// Starts of the blocks of `B` values that cover `length` values; the last one overlaps the one before instead of being
/// shorter.
#[inline(always)]
pub(super) fn block_starts<const B: usize>(length: usize) -> impl Iterator<Item = usize> {
    (0..length).step_by(B).map(move |start| start.min(length - B))
}

/// What only a call by value can consume; see [`vectorized`].
pub(super) struct Once;

/// Evaluates an expression compiled for the widest vectors of this machine. Products and sums are never fused or
/// reordered, so the result does not depend on the machine. Only what is inlined is compiled so; of a closure that could be called
/// twice that would be a mere wrapper, which is why this one consumes something.
macro_rules! vectorized {
    ($expression:expr) => {{
        let once = $crate::augment::vectorized::Once;
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || {
                let $crate::augment::vectorized::Once = { once };
                $expression
            },
        )
    }};
}
pub(super) use vectorized;
