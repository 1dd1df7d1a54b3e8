//! `exp` and what is made of it, over sixteen lanes: the normal distribution's Φ and the exact GELU.
//!
//! `exp(x) = 2ⁿ · exp(r)` with `n = round(x / ln 2)`, so that |r| ≤ ln 2 / 2, where a polynomial of degree 6 is good to the last
//! bit or two (Cephes' `expf`). `Φ(−u)`, u ≥ 0, is `φ(u)` times a rational function: Abramowitz & Stegun 7.1.26, off by at most
//! 8e-8. The GELU `u · Φ(u)` and its derivative `Φ(u) + u · φ(u)` share that one exponential.

use crate::lanes::{LANES, Lanes};
use crate::layer_norm::sum;
use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// Below this, 2ⁿ is no normal number; the result is as good as 0.
const SMALLEST: f32 = -87.0;

/// `exp(x)` for x up to 87.
#[inline(always)]
pub(crate) fn exp<V: Lanes>(x: V) -> V {
    // Adding 1.5 · 2²³ leaves no bits for a fraction.
    let (round, v) = (V::splat(12_582_912.0), V::splat);
    let x = v(SMALLEST).max(x);
    let n = (x * v(LOG2_E) + round) - round;
    // ln 2 in two parts, the first with few bits, so that its multiple is exact.
    let r = n.mul_add(v(-0.693_359_4), x);
    let r = n.mul_add(v(2.121_944_4e-4), r);
    let mut sum = v(1.987_569_1e-4);
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum.mul_add(r, v(coefficient));
    }
    (sum.mul_add(r * r, r) + v(1.0)).times_power_of_two(n)
}

/// `exp(x − largest)` of a row's values, in place; what was the largest of them, and their sum.
#[inline(always)]
pub(crate) fn exp_row<V: Lanes>(row: &mut [f32]) -> [f32; 2] {
    let (full, rest) = row.as_chunks_mut::<LANES>();
    let mut largest = V::splat(f32::NEG_INFINITY);
    for x in &*full {
        largest = V::load(x).max(largest);
    }
    let mut top = f32::NEG_INFINITY;
    for lane in largest.to_array() {
        top = if lane > top { lane } else { top };
    }
    for &x in &*rest {
        top = if x > top { x } else { top };
    }
    let mut total = V::splat(0.0);
    for x in full {
        let e = exp(V::load(x) - V::splat(top));
        e.store(x);
        total = total + e;
    }
    exp(V::load_slice(rest) - V::splat(top)).store_slice(rest);
    [top, sum(total + V::load_slice(rest))]
}

/// The exact GELU `u · Φ(u)`, and its derivative.
#[inline(always)]
pub(crate) fn gelu<V: Lanes>(u: V) -> [V; 2] {
    let v = V::splat;
    let magnitude = u.max(v(0.0) - u);
    let t = v(1.0) / magnitude.mul_add(v(0.327_591_1 * FRAC_1_SQRT_2), v(1.0));
    let bell = exp(u * u * v(-0.5));
    let mut sum = v(1.061_405_4);
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        sum = sum.mul_add(t, v(coefficient));
    }
    let tail = sum * t * bell * v(0.5); // Φ(−|u|)
    let below = u.if_greater(v(0.0), v(1.0) - tail, tail); // Φ(u)
    [u * below, (u * bell).mul_add(v(0.398_942_3), below)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Kernel;
    use crate::{
        Isa,
        testing::{normal_gelu, random},
    };

    struct Both<'a>(&'a [f32; LANES]);
    impl Kernel for Both<'_> {
        type Output = [[f32; LANES]; 3];
        #[inline(always)]
        fn run<V: Lanes>(self) -> Self::Output {
            let u = V::load(self.0);
            let [value, slope] = gelu(u);
            [exp(u).to_array(), value.to_array(), slope.to_array()]
        }
    }

    #[test]
    fn are_those_of_f64() {
        let mut inputs: Vec<f32> = random(16 * 400, 1).into_iter().map(|x| 6.0 * x).collect();
        inputs
            .extend([0.0, -0.0, 1e-20, -1e-20, 9.0, -9.0, 12.0, -12.0, 30.0, -30.0, -80.0, 80.0, 1.0, -1.0, 3.0, -3.0]);
        for isa in Isa::available() {
            for us in inputs.as_chunks::<LANES>().0 {
                let [exps, values, slopes] = isa.run(Both(us));
                for i in 0..LANES {
                    let u = f64::from(us[i]);
                    let [value, slope] = normal_gelu(u);
                    assert!((f64::from(exps[i]) / u.exp() - 1.0).abs() < 4e-7, "{isa} exp({u}): {}", exps[i]);
                    assert!((f64::from(values[i]) - value).abs() < 1e-6 * u.abs().max(1.0), "{isa} gelu({u})");
                    assert!((f64::from(slopes[i]) - slope).abs() < 1e-6, "{isa} gelu'({u}): {} {slope}", slopes[i]);
                }
            }
            let [exps, ..] = isa.run(Both(&[-1e9; LANES]));
            assert!(exps.iter().all(|&e| (0.0..1e-37).contains(&e)), "{isa}: {exps:?}");
        }
    }
}
