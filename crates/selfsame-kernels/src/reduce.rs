//! Sums in a fixed order: the same bytes for any number of threads.
//!
//! Where a sum decides what follows (norms of the LARS ratio and of gradients, losses), every term is added in f64, where
//! also the square of an f32 is exact: sixteen running sums per part of the slice, then a tree over the parts that the
//! length alone determines. These sums are the same for every instruction set too.

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    norm::{OutputGradient, add_bias_backward},
    partition::{PART, sum_parts},
};

/// `Σ x`.
pub fn sum(x: &[f32]) -> f64 {
    let isa = Isa::active();
    let [sum] = sum_parts(x, x.len(), PART, &|x| [isa.run(PowerSum::<1>(x))]);
    sum
}

/// `Σ x²`.
pub fn sum_squares(x: &[f32]) -> f64 {
    let isa = Isa::active();
    let [sum] = sum_parts(x, x.len(), PART, &|x| [isa.run(PowerSum::<2>(x))]);
    sum
}

/// `‖x‖ = √Σ x²`.
pub fn norm(x: &[f32]) -> f64 {
    sum_squares(x).sqrt()
}

/// Sum of every column of `x`, `[rows, channels]`, with `channels` the length of `sums`, which is overwritten.
///
/// Runs of 32 values are added in f32, these sums in f64.
///
/// # Panics
/// If the shapes do not fit.
pub fn column_sums(x: &[f32], sums: &mut [f32]) {
    add_bias_backward(OutputGradient::Read(x), None, sums);
}

struct PowerSum<'a, const POWER: usize>(&'a [f32]);

impl<const POWER: usize> Kernel for PowerSum<'_, POWER> {
    type Output = f64;
    #[inline(always)]
    fn run<V: Lanes>(self) -> f64 {
        let (vectors, rest) = self.0.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for vector in vectors {
            add_powers::<POWER>(&mut sums, vector);
        }
        add_powers::<POWER>(&mut sums, rest);
        sums.iter().sum()
    }
}

/// Adds `x^POWER` of at most sixteen elements to a sum of each lane.
#[inline(always)]
fn add_powers<const POWER: usize>(sums: &mut [f64; LANES], x: &[f32]) {
    for (sum, &x) in sums.iter_mut().zip(x) {
        let x = f64::from(x);
        *sum += if POWER == 2 { x * x } else { x };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{on_every_path, random};

    #[test]
    fn sums_are_those_of_f64() {
        for len in [0, 1, 15, 16, 17, 1000, PART - 1, PART, PART + 1, 5 * PART + 7] {
            let x = random(len, len as u64);
            on_every_path(|| {
                let (direct, squares) =
                    x.iter().fold((0.0, 0.0), |(s, q), &x| (s + f64::from(x), q + f64::from(x) * f64::from(x)));
                assert!((sum(&x) - direct).abs() <= 1e-13 * len as f64);
                assert!((sum_squares(&x) - squares).abs() <= 1e-13 * len as f64);
                assert_eq!(norm(&x), sum_squares(&x).sqrt());
                (sum(&x), sum_squares(&x))
            });
        }
    }

    #[test]
    fn terms_that_f32_would_lose_are_kept() {
        let mut x = vec![1e-4; 4 * PART];
        x[0] = 1e8;
        assert!((sum(&x) - 1e8 - (4 * PART - 1) as f64 * f64::from(1e-4f32)).abs() < 1e-3);
        assert!(sum_squares(&[f32::MAX; 3]).is_finite());
    }

    #[test]
    fn column_sums_of_a_constant_matrix_count_its_rows() {
        for channels in [1, 3, 16, 70] {
            let x: Vec<f32> = (0..1001 * channels).map(|i| (i % channels) as f32).collect();
            on_every_path(|| {
                let mut sums = vec![f32::NAN; channels];
                column_sums(&x, &mut sums);
                assert!(sums.iter().enumerate().all(|(c, &sum)| sum == 1001.0 * c as f32));
                sums
            });
        }
    }
}
