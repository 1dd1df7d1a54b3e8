//! A gated recurrent unit (Cho et al. 2014, arXiv:1406.1078; PyTorch's convention), forward and backward.
//!
//! ```text
//! u = h W + b          r, z = σ(x_r + u_r), σ(x_z + u_z)     n = tanh(x_n + r ∘ u_n)     h' = n + z ∘ (h − n)
//! ```
//!
//! `x` has the gates' share of the input, bias and all, of all steps at once: a linear layer's work. Samples do not meet, so a
//! task is some samples over all steps, and the product of a step is a single-threaded call.

use crate::{
    Isa,
    exponential::exp,
    lanes::{Kernel, LANES, Lanes},
    memory::Buffer,
    profile::{self, Work},
    strided::{Strided, multiply},
};
use rayon::prelude::*;
use std::ops::Range;

/// Samples of a task.
const TASK: usize = 16;
/// What is kept of a step for the backward pass: `r`, `z`, `n` and `u_n`.
const KEPT: usize = 4;

/// The shape of a recurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GruShape {
    /// Sequences.
    pub batch: usize,
    /// Steps of a sequence.
    pub steps: usize,
    /// Values of the state.
    pub width: usize,
}

impl GruShape {
    /// Elements of the result, `[batch, steps, width]`.
    pub fn output_len(&self) -> usize {
        self.batch * self.steps * self.width
    }

    /// Elements of the gates, `[batch, steps, 3 · width]`.
    pub fn gates_len(&self) -> usize {
        3 * self.output_len()
    }

    /// Elements of what the forward pass keeps.
    pub fn kept_len(&self) -> usize {
        KEPT * self.output_len()
    }

    fn work(&self) -> Work {
        let Self { batch, steps, width } = self;
        Work {
            shape: format!("{batch}×{steps}×{width}"),
            products: self.gates_len() * width,
            values: self.gates_len() + self.output_len() + self.kept_len(),
        }
    }

    /// Elements of a task of one value to a sample, step and unit.
    fn task_len(&self) -> usize {
        TASK * self.steps * self.width
    }

    fn check(&self, gates: &[f32], weight: &[f32], y: &[f32], kept: &[f32]) {
        assert_eq!(gates.len(), self.gates_len(), "elements of the gates");
        assert_eq!(weight.len(), 3 * self.width * self.width, "elements of the weight");
        assert_eq!(y.len(), self.output_len(), "elements of the states");
        assert_eq!(kept.len(), self.kept_len(), "elements of what is kept");
    }

    /// The states `y` `[batch, steps, width]` after each step, the first from a state of zeros, of the gates' inputs `x`
    /// `[batch, steps, 3 · width]` (r, z, n), with a weight `[width, 3 · width]` and a bias `[3 · width]`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32], kept: &mut [f32]) {
        let _span = profile::kernel("gru", || self.work());
        self.check(x, weight, y, kept);
        assert_eq!(bias.len(), 3 * self.width, "elements of the bias");
        if y.is_empty() {
            return;
        }
        let (isa, &Self { steps, width, .. }, task) = (Isa::active(), self, self.task_len());
        let parts = y.par_chunks_mut(task).zip(kept.par_chunks_mut(KEPT * task)).zip(x.par_chunks(3 * task));
        parts.for_each(|((y, kept), x)| {
            let samples = y.len() / (steps * width);
            let mut u = Buffer::for_overwrite(samples * 3 * width);
            for step in 0..steps {
                if step > 0 {
                    let state = Strided::new(&y[(step - 1) * width..], samples, width, steps * width);
                    let weight = Strided::new(weight, width, 3 * width, 3 * width);
                    // SAFETY: `u` is whole.
                    unsafe { multiply(isa, state, weight, 1.0, u.as_mut_ptr(), 3 * width) };
                } else {
                    u.fill(0.0);
                }
                for sample in 0..samples {
                    let row = sample * steps + step;
                    let (before, now) = y[..(row + 1) * width].split_at_mut(row * width);
                    isa.run(Advance {
                        x: &x[3 * row * width..][..3 * width],
                        u: &u[3 * sample * width..][..3 * width],
                        bias,
                        before: (step > 0).then(|| &before[(row - 1) * width..]),
                        now,
                        kept: &mut kept[KEPT * row * width..][..KEPT * width],
                    });
                }
            }
        });
    }

    /// From the gradient of the states, `dy`, and what the forward pass made and kept, the gradients of the gates' inputs, `dx`,
    /// and of `u = h W + b`, `du`, both `[batch, steps, 3 · width]`: those of weight and bias are products and sums of it.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(&self, weight: &[f32], y: &[f32], kept: &[f32], dy: &[f32], dx: &mut [f32], du: &mut [f32]) {
        let _span = profile::kernel("gru, backward", || self.work());
        self.check(dx, weight, y, kept);
        assert_eq!((dy.len(), du.len()), (y.len(), dx.len()), "elements of the gradients");
        if y.is_empty() {
            return;
        }
        let (isa, &Self { steps, width, .. }, task) = (Isa::active(), self, self.task_len());
        let read = y.par_chunks(task).zip(kept.par_chunks(KEPT * task)).zip(dy.par_chunks(task));
        dx.par_chunks_mut(3 * task).zip(du.par_chunks_mut(3 * task)).zip(read).for_each(
            |((dx, du), ((y, kept), dy))| {
                let samples = y.len() / (steps * width);
                // The gradient that comes back from the step after, and its part that has gone through the gates.
                let [mut carried, mut through] = [0, 1].map(|_| Buffer::for_overwrite(samples * width));
                carried.fill(0.0);
                for step in (0..steps).rev() {
                    for sample in 0..samples {
                        let row = sample * steps + step;
                        isa.run(Retreat {
                            kept: &kept[KEPT * row * width..][..KEPT * width],
                            before: (step > 0).then(|| &y[(row - 1) * width..][..width]),
                            dy: &dy[row * width..][..width],
                            carried: &mut carried[sample * width..][..width],
                            dx: &mut dx[3 * row * width..][..3 * width],
                            du: &mut du[3 * row * width..][..3 * width],
                        });
                    }
                    if step > 0 {
                        let gates = Strided::new(&du[3 * step * width..], samples, 3 * width, 3 * steps * width);
                        let weight = Strided::new(weight, width, 3 * width, 3 * width);
                        // SAFETY: `through` is whole.
                        unsafe { multiply(isa, gates, weight.transposed(), 1.0, through.as_mut_ptr(), width) };
                        carried.iter_mut().zip(through.iter()).for_each(|(carried, through)| *carried += through);
                    }
                }
            },
        );
    }
}

/// `1 / (1 + exp(−x))`
#[inline(always)]
fn sigmoid<V: Lanes>(x: V) -> V {
    let v = V::splat;
    let below = v(0.0) - x.max(v(-87.0));
    v(1.0) / (v(1.0) + exp(below))
}

/// The units of `range` of each of N parts, which have `width` values.
#[inline(always)]
fn parts<V: Lanes, const N: usize>(values: &[f32], width: usize, range: Range<usize>) -> [V; N] {
    let mut parts = [V::splat(0.0); N];
    for part in 0..N {
        parts[part] = V::load_slice(&values[part * width + range.start..part * width + range.end]);
    }
    parts
}

/// One step of one sample.
struct Advance<'a> {
    x: &'a [f32],
    u: &'a [f32],
    bias: &'a [f32],
    before: Option<&'a [f32]>,
    now: &'a mut [f32],
    kept: &'a mut [f32],
}

impl Kernel for Advance<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { x, u, bias, before, now, kept } = self;
        let (width, v) = (now.len(), V::splat);
        for start in (0..width).step_by(LANES) {
            let end = width.min(start + LANES);
            let [x_r, x_z, x_n] = parts::<V, 3>(x, width, start..end);
            let [u_r, u_z, u_n] = parts::<V, 3>(u, width, start..end);
            let [b_r, b_z, b_n] = parts::<V, 3>(bias, width, start..end);
            let (r, z, own) = (sigmoid(x_r + (u_r + b_r)), sigmoid(x_z + (u_z + b_z)), u_n + b_n);
            // tanh(s) = 2 σ(2 s) − 1
            let n = sigmoid((x_n + r * own) * v(2.0)) * v(2.0) - v(1.0);
            let before = match before {
                Some(before) => V::load_slice(&before[start..end]),
                None => v(0.0),
            };
            (n + z * (before - n)).store_slice(&mut now[start..end]);
            for (place, value) in [r, z, n, own].into_iter().enumerate() {
                value.store_slice(&mut kept[place * width + start..place * width + end]);
            }
        }
    }
}

/// The gradients of one step of one sample; `carried` becomes the part of the state's gradient before that goes past the gates.
struct Retreat<'a> {
    kept: &'a [f32],
    before: Option<&'a [f32]>,
    dy: &'a [f32],
    carried: &'a mut [f32],
    dx: &'a mut [f32],
    du: &'a mut [f32],
}

impl Kernel for Retreat<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { kept, before, dy, carried, dx, du } = self;
        let (width, one) = (dy.len(), V::splat(1.0));
        for start in (0..width).step_by(LANES) {
            let end = width.min(start + LANES);
            let [r, z, n, own] = parts::<V, KEPT>(kept, width, start..end);
            let before = match before {
                Some(before) => V::load_slice(&before[start..end]),
                None => V::splat(0.0),
            };
            let dh = V::load_slice(&carried[start..end]) + V::load_slice(&dy[start..end]);
            let dz = dh * (before - n) * z * (one - z);
            let dn = dh * (one - z) * (one - n * n);
            let dr = dn * own * r * (one - r);
            (dh * z).store_slice(&mut carried[start..end]);
            for (gate, [to_x, to_u]) in [[dr; 2], [dz; 2], [dn, dn * r]].into_iter().enumerate() {
                let place = gate * width + start..gate * width + end;
                to_x.store_slice(&mut dx[place.clone()]);
                to_u.store_slice(&mut du[place]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    /// The states in f64, by the definition.
    fn direct(shape: GruShape, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let GruShape { batch, steps, width } = shape;
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let mut y = vec![0.0; shape.output_len()];
        for sample in 0..batch {
            let mut state = vec![0.0; width];
            for step in 0..steps {
                let row = sample * steps + step;
                let u =
                    |unit: usize| bias[unit] + (0..width).map(|i| state[i] * weight[i * 3 * width + unit]).sum::<f64>();
                let next: Vec<f64> = (0..width)
                    .map(|unit| {
                        let x = |gate: usize| x[(3 * row + gate) * width + unit];
                        let (r, z) = (sigmoid(x(0) + u(unit)), sigmoid(x(1) + u(width + unit)));
                        let n = (x(2) + r * u(2 * width + unit)).tanh();
                        (1.0 - z) * n + z * state[unit]
                    })
                    .collect();
                y[row * width..][..width].copy_from_slice(&next);
                state = next;
            }
        }
        y
    }

    #[test]
    fn agrees_with_f64_forward_and_with_its_differences_backward() {
        for (batch, steps, width) in [(1, 1, 1), (2, 5, 3), (17, 4, 2), (3, 6, 17)] {
            let shape = GruShape { batch, steps, width };
            let (x, dy) = (random(shape.gates_len(), 1), random(shape.output_len(), 2));
            let (weight, bias) = (random(3 * width * width, 3), random(3 * width, 4));
            let wide = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>();
            let (x64, weight64, bias64) = (wide(&x), wide(&weight), wide(&bias));
            let expected = direct(shape, &x64, &weight64, &bias64);
            let loss = |x: &[f64], bias: &[f64]| -> f64 {
                direct(shape, x, &weight64, bias).iter().zip(wide(&dy)).map(|(y, dy)| y * dy).sum()
            };
            let difference = |values: &[f64], loss: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
                let moved = |i: usize, by: f64| {
                    let mut values = values.to_vec();
                    values[i] += by;
                    loss(&values)
                };
                (0..values.len()).map(|i| (moved(i, 1e-5) - moved(i, -1e-5)) / 2e-5).collect()
            };
            let dx_expected = difference(&x64, &|x| loss(x, &bias64));
            let dbias_expected = difference(&bias64, &|bias| loss(&x64, bias));
            on_every_path(|| {
                let (mut y, mut kept) = (vec![f32::NAN; dy.len()], vec![f32::NAN; shape.kept_len()]);
                let [mut dx, mut du] = [0, 1].map(|_| vec![f32::NAN; x.len()]);
                shape.forward(&x, &weight, &bias, &mut y, &mut kept);
                shape.backward(&weight, &y, &kept, &dy, &mut dx, &mut du);
                assert!(deviation(&y, &expected) < 1e-5, "{shape:?}");
                assert!(deviation(&dx, &dx_expected) < 1e-4, "{shape:?}");
                let dbias: Vec<f32> =
                    (0..3 * width).map(|unit| du.iter().skip(unit).step_by(3 * width).sum()).collect();
                assert!(deviation(&dbias, &dbias_expected) < 1e-4, "{shape:?}");
                (y, dx, du)
            });
        }
    }
}
