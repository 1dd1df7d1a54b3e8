//! L-BFGS (Liu & Nocedal 1989) for a smooth convex function.

use std::collections::VecDeque;

/// Most evaluations of the function; reached only where the rounding of its value hides the last descent.
const MAX_PASSES: usize = 500;
/// Pairs that L-BFGS remembers.
const MEMORY: usize = 10;

/// Moves `weights` to the minimum of a function, until no component of the gradient exceeds `tolerance`. `value_at` gives its
/// value and writes its gradient; `inverse_hessian` is a diagonal to begin with.
pub(super) fn minimize(
    weights: &mut [f64],
    inverse_hessian: &[f64],
    tolerance: f64,
    value_at: &dyn Fn(&[f64], &mut [f64]) -> f64,
) {
    let mut gradient = vec![0.0; weights.len()];
    let mut value = value_at(weights, &mut gradient);
    let mut pairs: VecDeque<Pair> = VecDeque::with_capacity(MEMORY);
    let (mut trial, mut trial_gradient) = (weights.to_vec(), gradient.clone());
    let mut passes = 1;
    while passes < MAX_PASSES && gradient.iter().any(|g| g.abs() > tolerance) {
        let direction = descent(&gradient, &pairs, inverse_hessian);
        let slope = dot(&gradient, &direction);
        // F is convex, so a step that lowers it enough is all that a line search need find.
        let mut step = 1.0;
        let lowered = loop {
            (0..weights.len()).for_each(|i| trial[i] = weights[i] + step * direction[i]);
            let trial_value = value_at(&trial, &mut trial_gradient);
            passes += 1;
            if trial_value <= value + 1e-4 * step * slope {
                break Some(trial_value);
            }
            step *= 0.5;
            if step < 1e-3 {
                break None;
            }
        };
        let Some(lowered) = lowered else {
            // What is left of the slope is rounding.
            break;
        };
        let change: Vec<f64> = trial.iter().zip(&*weights).map(|(a, b)| a - b).collect();
        let of_gradient: Vec<f64> = trial_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let inner = dot(&change, &of_gradient);
        if inner > 0.0 {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back(Pair { change, of_gradient, inner });
        }
        value = lowered;
        weights.copy_from_slice(&trial);
        std::mem::swap(&mut gradient, &mut trial_gradient);
    }
}

/// What a step taught L-BFGS about the curvature.
struct Pair {
    change: Vec<f64>,
    of_gradient: Vec<f64>,
    /// Inner product of the two, positive.
    inner: f64,
}

/// `−H g` by the two-loop recursion (Nocedal & Wright, *Numerical Optimization*, algorithm 7.4).
fn descent(gradient: &[f64], pairs: &VecDeque<Pair>, inverse_hessian: &[f64]) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let add = |q: &mut [f64], factor: f64, x: &[f64]| q.iter_mut().zip(x).for_each(|(q, x)| *q += factor * x);
    let mut factors = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let factor = dot(&pair.change, &q) / pair.inner;
        add(&mut q, -factor, &pair.of_gradient);
        factors.push(factor);
    }
    // The initial Hessian, scaled to the curvature along the last step.
    let scale = pairs.back().map_or(1.0, |pair| {
        pair.inner / pair.of_gradient.iter().zip(inverse_hessian).map(|(y, h)| y * y * h).sum::<f64>()
    });
    q.iter_mut().zip(inverse_hessian).for_each(|(q, h)| *q *= scale * h);
    for (pair, factor) in pairs.iter().zip(factors.into_iter().rev()) {
        let correction = factor - dot(&pair.of_gradient, &q) / pair.inner;
        add(&mut q, correction, &pair.change);
    }
    q
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
