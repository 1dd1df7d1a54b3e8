//! What the tests of several modules share.

use crate::Isa;
use std::{
    fmt::Debug,
    sync::{Mutex, OnceLock, PoisonError},
};

/// `len` values, uniform in (−1, 1), from a splitmix64 sequence.
pub(crate) fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Runs `test` with every instruction set and in pools of 1, 2 and 3 threads; what it returns must not depend on the pool.
pub(crate) fn on_every_path<R: PartialEq + Debug + Send>(test: impl Fn() -> R + Sync) {
    static POOLS: OnceLock<Vec<rayon::ThreadPool>> = OnceLock::new();
    // One test at a time: a thread that waits takes up what another test left to the pool, and has settings of its own test.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pools = POOLS.get_or_init(|| {
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        (1..=3).map(pool).collect()
    });
    for isa in Isa::available() {
        let run = |pool: &rayon::ThreadPool| pool.install(|| isa.force(&test));
        let alone = run(&pools[0]);
        for pool in &pools[1..] {
            assert!(run(pool) == alone, "{isa}: another result with {} threads", pool.current_num_threads());
        }
    }
}

/// Largest deviation from the reference, relative to its largest value.
pub(crate) fn deviation(values: &[f32], reference: &[f64]) -> f64 {
    assert_eq!(values.len(), reference.len());
    let scale = reference.iter().fold(1e-30, |scale: f64, r| scale.max(r.abs()));
    values.iter().zip(reference).fold(0.0, |worst: f64, (&v, r)| {
        let distance = (f64::from(v) - r).abs();
        assert!(distance.is_finite(), "{v} where {r} is expected");
        worst.max(distance / scale)
    })
}

/// `u · Φ(u)` and its derivative, by the series `Φ(u) = ½ + φ(u) Σ u^(2k+1) / (1·3·5…(2k+1))`.
pub(crate) fn normal_gelu(u: f64) -> [f64; 2] {
    let density = (-u * u / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let (mut term, mut sum, mut odd) = (u, u, 1.0);
    while term.abs() > 1e-18 * sum.abs() && u.abs() < 8.0 {
        odd += 2.0;
        term *= u * u / odd;
        sum += term;
    }
    let below = if u.abs() < 8.0 { 0.5 + sum * density } else { f64::from(u8::from(u > 0.0)) };
    [u * below, below + u * density]
}
