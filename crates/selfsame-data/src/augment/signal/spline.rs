//! Smooth random curves.

use super::ViewRng;

/// A natural cubic spline at the steps `0..length`, through `knots + 2` values at even distances, the first at the first step and
/// the last at the last one. The values are drawn from N(1, σ²).
pub(super) fn curve(knots: usize, sigma: f32, length: usize, rng: &mut ViewRng) -> Vec<f64> {
    // Of the distances from 1: where σ is 0, the curve is 1 to the last bit.
    let values: Vec<f64> = (0..knots + 2).map(|_| f64::from(sigma) * f64::from(rng.normal())).collect();
    let slopes = second_derivatives(&values);
    let per_step = (values.len() - 1) as f64 / (length.max(2) - 1) as f64;
    let at = |step: usize| {
        let place = step as f64 * per_step;
        // The last step belongs to the last piece.
        let i = (place as usize).min(values.len() - 2);
        let (right, left) = (place - i as f64, 1.0 - (place - i as f64));
        let bend = (left.powi(3) - left) * slopes[i] + (right.powi(3) - right) * slopes[i + 1];
        1.0 + left * values[i] + right * values[i + 1] + bend / 6.0
    };
    (0..length).map(at).collect()
}

/// Second derivatives at knots of distance 1: `m[i − 1] + 4 m[i] + m[i + 1] = 6 (y[i − 1] − 2 y[i] + y[i + 1])`, both ends 0.
fn second_derivatives(y: &[f64]) -> Vec<f64> {
    let last = y.len() - 1;
    // Thomas' algorithm: what is left of the upper diagonal, and of the right side.
    let (mut upper, mut m) = (vec![0.0; y.len()], vec![0.0; y.len()]);
    for i in 1..last {
        let pivot = 4.0 - upper[i - 1];
        upper[i] = 1.0 / pivot;
        m[i] = (6.0 * (y[i - 1] - 2.0 * y[i] + y[i + 1]) - m[i - 1]) / pivot;
    }
    for i in (1..last).rev() {
        m[i] -= upper[i] * m[i + 1];
    }
    m
}
