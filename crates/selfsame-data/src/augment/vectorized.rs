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

/// Evaluates an expression compiled for the widest vectors of this machine. Products and sums are never fused or
/// reordered, so the result does not depend on the machine. Only what is inlined is compiled so.
macro_rules! vectorized {
    ($expression:expr) => {
        pulp::Arch::new().dispatch(
            #[inline(always)]
            || $expression,
        )
    };
}
pub(super) use vectorized;
