//! Randomness is an argument: one counter-based generator, keyed by what is drawn and for whom, never by when.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng};

/// What a stream of numbers is for. Streams of different purposes never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Order of the samples in an epoch; stream `(epoch, 0, 0)`.
    Shuffle = 1,
    /// Augmentation draws; stream `(epoch, sample key, view)`.
    View = 2,
    /// Initial weights; stream `(0, hash of the parameter's path, 0)`.
    Init = 3,
    /// Draws of layers and methods within a step; stream `(step, sample, round)`.
    Step = 4,
    /// Label subsets, held-out parts and resamples of an evaluation; stream `(part of the evaluation, draw, 0)`.
    Evaluate = 5,
    /// Choice of a sample of the data, e.g. for normalization constants.
    Survey = 6,
    /// Pixel noise of an augmentation; its seed is drawn from a view's stream, stream `(0, 0, 0)`.
    Noise = 7,
    /// Starting points of a clustering; stream `(0, 0, 0)`.
    Cluster = 8,
    /// Markov chains that live through the training; stream `(step, chain, round)`.
    Chain = 9,
    /// Random projection of wide features; stream `(0, 0, 0)`.
    Sketch = 10,
    /// Random kernels that signals are compared by; stream `(0, 0, 0)`.
    Kernels = 11,
}

/// A ChaCha8 stream. The same arguments give the same numbers on every machine.
#[derive(Clone, Debug)]
pub struct StreamRng(ChaCha8Rng);

/// The generator that augmentations draw from.
pub type ViewRng = StreamRng;

impl StreamRng {
    /// The stream `(a, b, c)` of `purpose` under `seed`.
    pub fn new(seed: u64, purpose: Purpose, a: u64, b: u64, c: u32) -> Self {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&a.to_le_bytes());
        key[16..24].copy_from_slice(&b.to_le_bytes());
        key[24..28].copy_from_slice(&c.to_le_bytes());
        key[28..].copy_from_slice(&(purpose as u32).to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// 32 random bits.
    #[inline]
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Uniform in `[0, 1)`, 24 bits.
    #[inline]
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[low, high)`; `low` when the two are equal.
    #[inline]
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n` without bias (Lemire's multiply, rejection on the low word); `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0 && u32::try_from(n).is_ok(), "below({n}): the range must fit 1..2³²");
        let n = n as u32;
        loop {
            let product = u64::from(self.bits()) * u64::from(n);
            if (product as u32) >= n.wrapping_neg() % n {
                return (product >> 32) as usize;
            }
        }
    }

    /// `true` with probability `p`.
    #[inline]
    pub fn chance(&mut self, p: f32) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box–Muller, one value per call).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - f64::from(self.unit())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * f64::from(self.unit())).cos()) as f32
    }

    /// Fisher–Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_depend_on_every_argument_and_on_nothing_else() {
        let draw = |seed, purpose, a, b, c| StreamRng::new(seed, purpose, a, b, c).bits();
        let base = draw(1, Purpose::View, 2, 3, 4);
        assert_eq!(base, draw(1, Purpose::View, 2, 3, 4));
        for other in [
            draw(2, Purpose::View, 2, 3, 4),
            draw(1, Purpose::Shuffle, 2, 3, 4),
            draw(1, Purpose::View, 3, 3, 4),
            draw(1, Purpose::View, 2, 4, 4),
            draw(1, Purpose::View, 2, 3, 5),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn below_is_uniform() {
        let mut rng = StreamRng::new(0, Purpose::Survey, 0, 0, 0);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[rng.below(7)] += 1);
        // Chi-square with 6 degrees of freedom stays under 22.5 with probability 0.999.
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 1e4).powi(2) / 1e4).sum();
        assert!(chi2 < 22.5, "{counts:?}");
    }
}
