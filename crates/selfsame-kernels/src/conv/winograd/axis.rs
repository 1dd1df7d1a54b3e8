//! The one-dimensional transforms of Winograd's F(M×M, 3×3), for M = 2 and 4, on sixteen channels at once (formulas in
//! `transform.rs`).

use crate::{lanes::Lanes, precision::Element};

/// Most points per axis.
pub(super) const POINTS: usize = 6;

/// The factors of `G` for M = 4: rows `1/a²b²`, `(1, ±a, a²) · near`, `(1, ±b, b²) · far`, 1.
struct WeightFactors {
    zero: f32,
    /// `near`, `a · near`, where `a² · near = −b² · far`.
    near: [f32; 2],
    /// `far`, `b · far`, `b² · far`.
    far: [f32; 3],
}

impl WeightFactors {
    const fn of<E: Element>() -> WeightFactors {
        let ([a, b], [aa, bb]) = (E::POINTS, E::SQUARES);
        let (a, b, aa, bb) = (a as f64, b as f64, aa as f64, bb as f64);
        let (near, far) = (0.5 / (aa * (aa - bb)), 0.5 / (bb * (bb - aa)));
        WeightFactors {
            zero: (1.0 / (aa * bb)) as f32,
            near: [near as f32, (a * near) as f32],
            far: [far as f32, (b * far) as f32, (bb * far) as f32],
        }
    }
}

/// `Bᵀ x`, A values to A.
#[inline(always)]
pub(super) fn input_1d<V: Lanes, E: Element, const M: usize>(x: [V; POINTS]) -> [V; POINTS] {
    if M == 4 {
        let (c, [a, b], [aa, bb]) = (V::splat, E::POINTS, E::SQUARES);
        let (even, odd) = (c(-bb).mul_add(x[2], x[4]), c(-bb).mul_add(x[1], x[3]));
        let (even2, odd2) = (c(-aa).mul_add(x[2], x[4]), c(-aa).mul_add(x[1], x[3]));
        [
            c(aa * bb).mul_add(x[0], c(-aa - bb).mul_add(x[2], x[4])),
            c(a).mul_add(odd, even),
            c(-a).mul_add(odd, even),
            c(b).mul_add(odd2, even2),
            c(-b).mul_add(odd2, even2),
            c(aa * bb).mul_add(x[1], c(-aa - bb).mul_add(x[3], x[5])),
        ]
    } else {
        [x[0] - x[2], x[1] + x[2], x[2] - x[1], x[1] - x[3], x[0], x[0]]
    }
}

/// `Aᵀ m`, A values to M.
#[inline(always)]
pub(super) fn output_1d<V: Lanes, E: Element, const M: usize>(m: [V; POINTS]) -> [V; POINTS] {
    if M == 4 {
        let (c, [a, b], [aa, bb]) = (V::splat, E::POINTS, E::SQUARES);
        let (sum, difference) = (m[1] + m[2], c(a) * (m[1] - m[2]));
        let (sum2, difference2) = (m[3] + m[4], c(b) * (m[3] - m[4]));
        [
            m[0] + sum + sum2,
            difference2 + difference,
            c(bb).mul_add(sum2, c(aa) * sum),
            c(bb).mul_add(difference2, c(aa) * difference) + m[5],
            m[0],
            m[0],
        ]
    } else {
        [m[0] + m[1] + m[2], m[1] - m[2] - m[3], m[0], m[0], m[0], m[0]]
    }
}

/// `A y`, M values to A.
#[inline(always)]
pub(super) fn output_transposed_1d<V: Lanes, E: Element, const M: usize>(y: [V; POINTS]) -> [V; POINTS] {
    let c = V::splat;
    if M == 4 {
        let ([a, b], [aa, bb]) = (E::POINTS, E::SQUARES);
        let (even, odd) = (c(aa).mul_add(y[2], y[0]), c(a) * c(aa).mul_add(y[3], y[1]));
        let (even2, odd2) = (c(bb).mul_add(y[2], y[0]), c(b * bb).mul_add(y[3], c(b) * y[1]));
        [y[0], even + odd, even - odd, even2 + odd2, even2 - odd2, y[3]]
    } else {
        [y[0], y[0] + y[1], y[0] - y[1], c(0.0) - y[1], y[0], y[0]]
    }
}

/// `G w`, 3 values to A.
#[inline(always)]
pub(super) fn weight_1d<V: Lanes, E: Element, const M: usize>(w: [V; 3]) -> [V; POINTS] {
    let c = V::splat;
    if M == 4 {
        let WeightFactors { zero, near, far } = const { WeightFactors::of::<E>() };
        let (even, odd) = (c(near[0]) * c(E::SQUARES[0]).mul_add(w[2], w[0]), c(near[1]) * w[1]);
        let even2 = c(far[0]).mul_add(w[0], c(far[2]) * w[2]);
        let odd2 = c(far[1]) * w[1];
        [c(zero) * w[0], even + odd, even - odd, even2 + odd2, even2 - odd2, w[2]]
    } else {
        let (even, odd) = (c(0.5) * (w[0] + w[2]), c(0.5) * w[1]);
        [w[0], even + odd, even - odd, w[2], even, even]
    }
}

/// `Gᵀ m`, A values to 3.
#[inline(always)]
pub(super) fn weight_transposed_1d<V: Lanes, E: Element, const M: usize>(m: [V; POINTS]) -> [V; 3] {
    let c = V::splat;
    if M == 4 {
        let WeightFactors { zero, near, far } = const { WeightFactors::of::<E>() };
        let (sum, difference) = (m[1] + m[2], m[1] - m[2]);
        let (sum2, difference2) = (m[3] + m[4], m[3] - m[4]);
        [
            c(zero).mul_add(m[0], c(near[0]).mul_add(sum, c(far[0]) * sum2)),
            c(near[1]).mul_add(difference, c(far[1]) * difference2),
            c(far[2]).mul_add(sum2 - sum, m[5]),
        ]
    } else {
        let (sum, difference) = (c(0.5) * (m[1] + m[2]), c(0.5) * (m[1] - m[2]));
        [m[0] + sum, difference, sum + m[3]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::{Rounded, Whole};

    #[test]
    fn whole_values_have_the_factors_of_the_paper() {
        let WeightFactors { zero, near, far } = WeightFactors::of::<Whole>();
        assert_eq!((zero, near), (0.25, [-1.0 / 6.0, -1.0 / 6.0]));
        assert_eq!(far, [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0]);
    }

    #[test]
    fn squares_are_those_of_the_points() {
        fn check<E: Element>() {
            for (point, square) in E::POINTS.into_iter().zip(E::SQUARES) {
                assert!((point * point - square).abs() <= f32::EPSILON * square);
            }
        }
        check::<Whole>();
        check::<Rounded>();
    }
}
