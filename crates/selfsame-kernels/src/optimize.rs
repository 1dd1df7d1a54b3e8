//! Optimizer steps, each one pass over a parameter, its gradient and its state, and the moving average of a teacher.
//!
//! The structs hold what all parameters of a step share. Which parameters are decayed or adapted is for the caller to say:
//! biases and norm parameters take [`Sgd`] with `weight_decay: 0.0` where the others take [`Lars`].

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    partition::{PART, for_each_part, load, store, sum_parts},
    profile::{self, Work},
};

/// A teacher that follows a parameter: `t ← βt + (1 − β)p`.
pub struct MovingAverage<'a> {
    /// The teacher's parameter t.
    pub teacher: &'a mut [f32],
    /// β.
    pub decay: f32,
}

impl MovingAverage<'_> {
    /// Moves the teacher toward `parameter`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn follow(self, parameter: &[f32]) {
        let _span = profile::kernel("moving average", || Work::update(parameter.len(), 3));
        let Self { teacher, decay } = self;
        assert_eq!(teacher.len(), parameter.len(), "elements of a teacher and of the parameter it follows");
        let (isa, len) = (Isa::active(), teacher.len());
        for_each_part((teacher, parameter), len, PART, &|(teacher, parameter)| {
            isa.run(Follow { teacher, parameter, decay });
        });
    }
}

/// Stochastic gradient descent with momentum: `m ← μm + (g + wd·p)`, `p ← p − lr·m`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate lr of this step.
    pub learning_rate: f32,
    /// μ.
    pub momentum: f32,
    /// wd.
    pub weight_decay: f32,
}

impl Sgd {
    /// Updates `parameter` and its `momentum` (0 before the first step).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, parameter: &mut [f32], gradient: &[f32], momentum: &mut [f32]) {
        self.scaled_step(1.0, parameter, gradient, momentum);
    }

    /// `m ← μm + ratio·(g + wd·p)`, `p ← p − lr·m`.
    fn scaled_step(&self, ratio: f32, parameter: &mut [f32], gradient: &[f32], momentum: &mut [f32]) {
        let _span = profile::kernel("sgd", || Work::update(parameter.len(), 5));
        let len = check(parameter, gradient, &[momentum]);
        let isa = Isa::active();
        for_each_part((parameter, gradient, momentum), len, PART, &|(parameter, gradient, momentum)| {
            isa.run(SgdStep { rule: self, ratio, parameter, gradient, momentum });
        });
    }
}

/// Layer-wise adaptive rate scaling (You et al. 2017, arXiv:1708.03888), the step of [`Sgd`] on a gradient scaled by
/// `η‖p‖ / ‖g + wd·p‖`, or by 1 if either norm is 0: `m ← μm + ratio·(g + wd·p)`, `p ← p − lr·m`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lars {
    /// Learning rate, momentum and weight decay.
    pub sgd: Sgd,
    /// Trust coefficient η.
    pub trust: f32,
}

impl Lars {
    /// Updates `parameter` and its `momentum` (0 before the first step); two passes, the first for the norms.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn step(&self, parameter: &mut [f32], gradient: &[f32], momentum: &mut [f32]) {
        let ratio = self.ratio(parameter, gradient);
        self.sgd.scaled_step(ratio, parameter, gradient, momentum);
    }

    /// The factor on the gradient of `parameter`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn ratio(&self, parameter: &[f32], gradient: &[f32]) -> f32 {
        let _span = profile::kernel("lars ratio", || Work::update(parameter.len(), 2));
        let len = check(parameter, gradient, &[]);
        let (isa, weight_decay) = (Isa::active(), self.sgd.weight_decay);
        let [parameter, update] = sum_parts((parameter, gradient), len, PART, &|(parameter, gradient)| {
            isa.run(LarsNorms { parameter, gradient, weight_decay })
        })
        .map(f64::sqrt);
        if parameter == 0.0 || update == 0.0 { 1.0 } else { (f64::from(self.trust) * parameter / update) as f32 }
    }
}

/// Sum of the squares of `values`, in `f64` and in an order that no thread count changes.
pub fn square_sum(values: &[f32]) -> f64 {
    let _span = profile::kernel("square sum", || Work::update(values.len(), 1));
    let isa = Isa::active();
    let [sum] = sum_parts(values, values.len(), PART, &|values: &[f32]| [isa.run(SquareSum { values })]);
    sum
}

/// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101):
/// `p ← (1 − lr·wd)p`, `m ← β₁m + (1 − β₁)g`, `v ← β₂v + (1 − β₂)g²`, `p ← p − lr · m̂ / (√v̂ + ε)`
/// with `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate lr of this step.
    pub learning_rate: f32,
    /// β₁.
    pub beta1: f32,
    /// β₂.
    pub beta2: f32,
    /// ε.
    pub epsilon: f32,
    /// wd.
    pub weight_decay: f32,
}

impl AdamW {
    /// Updates `parameter` and its `moments` m and v (0 before the first step). `time` is t, 1 at the first step.
    ///
    /// # Panics
    /// If the lengths differ, or if `time` is 0.
    pub fn step(&self, time: u64, parameter: &mut [f32], gradient: &[f32], moments: [&mut [f32]; 2]) {
        let _span = profile::kernel("adamw", || Work::update(parameter.len(), 7));
        assert!(time > 0, "AdamW counts steps from 1");
        let [first, second] = moments;
        let len = check(parameter, gradient, &[first, second]);
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(time as f64);
        let rate = (f64::from(self.learning_rate) / correction(self.beta1)) as f32;
        let root = correction(self.beta2).sqrt().recip() as f32;
        let isa = Isa::active();
        let operands = ((parameter, gradient), (first, second));
        for_each_part(operands, len, PART, &|((parameter, gradient), (first, second))| {
            isa.run(AdamStep { rule: self, rate, root, parameter, gradient, first, second });
        });
    }
}

/// The length that all slices of a step have.
fn check(parameter: &[f32], gradient: &[f32], state: &[&mut [f32]]) -> usize {
    let len = parameter.len();
    assert_eq!(gradient.len(), len, "elements of a gradient and of its parameter");
    for state in state {
        assert_eq!(state.len(), len, "elements of an optimizer's state and of its parameter");
    }
    len
}

/// `t ← βt + (1 − β)p`, as `p + β(t − p)`: equal values stay exactly equal.
struct Follow<'a> {
    teacher: &'a mut [f32],
    parameter: &'a [f32],
    decay: f32,
}

impl Kernel for Follow<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let decay = V::splat(self.decay);
        for i in 0..self.teacher.len().div_ceil(LANES) {
            let parameter = load::<V>(self.parameter, i);
            let distance = load::<V>(self.teacher, i) - parameter;
            store(self.teacher, i, distance.mul_add(decay, parameter));
        }
    }
}

struct SgdStep<'a> {
    rule: &'a Sgd,
    ratio: f32,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    momentum: &'a mut [f32],
}

impl Kernel for SgdStep<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let rate = V::splat(-self.rule.learning_rate);
        let (momentum, weight_decay) = (V::splat(self.rule.momentum), V::splat(self.rule.weight_decay));
        let ratio = V::splat(self.ratio);
        for i in 0..self.parameter.len().div_ceil(LANES) {
            let parameter = load::<V>(self.parameter, i);
            let gradient = weight_decay.mul_add(parameter, load(self.gradient, i));
            let velocity = momentum.mul_add(load(self.momentum, i), ratio * gradient);
            let parameter = rate.mul_add(velocity, parameter);
            store(self.momentum, i, velocity);
            store(self.parameter, i, parameter);
        }
    }
}

/// `Σ p²` and `Σ (g + wd·p)²`.
struct LarsNorms<'a> {
    parameter: &'a [f32],
    gradient: &'a [f32],
    weight_decay: f32,
}

impl Kernel for LarsNorms<'_> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<V: Lanes>(self) -> [f64; 2] {
        let weight_decay = f64::from(self.weight_decay);
        let ((parameters, parameter), (gradients, gradient)) =
            (self.parameter.as_chunks::<LANES>(), self.gradient.as_chunks::<LANES>());
        let (mut squares, mut updates) = ([0.0; LANES], [0.0; LANES]);
        for (parameter, gradient) in parameters.iter().zip(gradients) {
            add_squares(&mut squares, &mut updates, weight_decay, parameter, gradient);
        }
        add_squares(&mut squares, &mut updates, weight_decay, parameter, gradient);
        [squares, updates].map(|sums| sums.iter().sum())
    }
}

/// Adds `p²` and `(g + wd·p)²` of at most sixteen elements to a sum of each lane.
#[inline(always)]
fn add_squares(
    squares: &mut [f64; LANES],
    updates: &mut [f64; LANES],
    weight_decay: f64,
    parameter: &[f32],
    gradient: &[f32],
) {
    let sums = squares.iter_mut().zip(updates);
    for ((square, update), (&parameter, &gradient)) in sums.zip(parameter.iter().zip(gradient)) {
        let (parameter, gradient) = (f64::from(parameter), f64::from(gradient));
        let sum = gradient + weight_decay * parameter;
        *square += parameter * parameter;
        *update += sum * sum;
    }
}

struct SquareSum<'a> {
    values: &'a [f32],
}

impl Kernel for SquareSum<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<V: Lanes>(self) -> f64 {
        let (values, rest) = self.values.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        let mut add = |values: &[f32]| {
            for (sum, &value) in sums.iter_mut().zip(values) {
                *sum += f64::from(value) * f64::from(value);
            }
        };
        values.iter().for_each(|values| add(values));
        add(rest);
        sums.iter().sum()
    }
}

struct AdamStep<'a> {
    rule: &'a AdamW,
    /// `lr / (1 − β₁ᵗ)`.
    rate: f32,
    /// `1 / √(1 − β₂ᵗ)`.
    root: f32,
    parameter: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Kernel for AdamStep<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = *self.rule;
        let [keep, rest] = [V::splat(beta1), V::splat(1.0 - beta1)];
        let [keep_square, rest_square] = [V::splat(beta2), V::splat(1.0 - beta2)];
        let [rate, root, epsilon] = [self.rate, self.root, epsilon].map(V::splat);
        let shrink = V::splat(1.0 - learning_rate * weight_decay);
        for i in 0..self.parameter.len().div_ceil(LANES) {
            let gradient = load::<V>(self.gradient, i);
            let first = keep.mul_add(load(self.first, i), rest * gradient);
            let second = keep_square.mul_add(load(self.second, i), rest_square * gradient * gradient);
            let update = rate * first / second.sqrt().mul_add(root, epsilon);
            let parameter = shrink * load(self.parameter, i) - update;
            store(self.first, i, first);
            store(self.second, i, second);
            store(self.parameter, i, parameter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    const LENGTHS: [usize; 5] = [1, 16, 70, 1000, 2 * PART + 5];
    const STEPS: usize = 3;

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    /// Three steps by a rule, each with another gradient, against the same in f64: `step` gets the time, parameter, gradient
    /// and two states; `reference` does it to one element, given what `shared` made of the whole parameter and gradient.
    fn check(
        step: impl Fn(u64, &mut [f32], &[f32], [&mut [f32]; 2]) + Sync,
        shared: impl Fn(&[f64], &[f64]) -> f64 + Sync,
        reference: impl Fn(f64, i32, &mut f64, f64, [&mut f64; 2]) + Sync,
    ) {
        for len in LENGTHS {
            on_every_path(|| {
                let (mut p, mut m, mut v) = (random(len, 1), vec![0.0; len], vec![0.0; len]);
                let [mut p64, mut m64, mut v64] = [&p, &m, &v].map(|values| wide(values));
                for time in 1..=STEPS {
                    let gradient = random(len, 10 + time as u64);
                    step(time as u64, &mut p, &gradient, [&mut m, &mut v]);
                    let factor = shared(&p64, &wide(&gradient));
                    for i in 0..len {
                        let states = [&mut m64[i], &mut v64[i]];
                        reference(factor, time as i32, &mut p64[i], f64::from(gradient[i]), states);
                    }
                }
                for (values, reference) in [(&p, &p64), (&m, &m64), (&v, &v64)] {
                    assert!(deviation(values, reference) < 2e-6);
                }
                (p, m, v)
            });
        }
    }

    const RATE: f32 = 0.1;
    const MOMENTUM: f32 = 0.9;
    const WEIGHT_DECAY: f32 = 0.01;
    const SGD: Sgd = Sgd { learning_rate: RATE, momentum: MOMENTUM, weight_decay: WEIGHT_DECAY };

    fn heavy_ball(ratio: f64, p: &mut f64, g: f64, m: &mut f64) {
        *m = f64::from(MOMENTUM) * *m + ratio * (g + f64::from(WEIGHT_DECAY) * *p);
        *p -= f64::from(RATE) * *m;
    }

    #[test]
    fn sgd_follows_its_formula() {
        check(|_, p, g, [m, _]| SGD.step(p, g, m), |_, _| 1.0, |ratio, _, p, g, [m, _]| heavy_ball(ratio, p, g, m));
    }

    #[test]
    fn lars_follows_its_formula() {
        let lars = Lars { sgd: SGD, trust: 0.5 };
        check(
            |_, p, g, [m, _]| lars.step(p, g, m),
            |p, g| {
                let update = p.iter().zip(g).map(|(p, g)| (g + f64::from(WEIGHT_DECAY) * p).powi(2)).sum::<f64>();
                0.5 * (p.iter().map(|p| p * p).sum::<f64>() / update).sqrt()
            },
            |ratio, _, p, g, [m, _]| heavy_ball(ratio, p, g, m),
        );
    }

    #[test]
    fn lars_scales_by_1_where_a_norm_is_0() {
        let lars = Lars { sgd: Sgd { weight_decay: 0.0, ..SGD }, trust: 0.5 };
        assert_eq!(lars.ratio(&[0.0; 40], &[1.0; 40]), 1.0);
        assert_eq!(lars.ratio(&[1.0; 40], &[0.0; 40]), 1.0);
        assert_eq!(lars.ratio(&[3.0; 40], &[1.0; 40]), 1.5);
    }

    #[test]
    fn adamw_follows_its_formula() {
        let (beta1, beta2, epsilon) = (0.9, 0.99, 1e-6);
        let rule = AdamW { learning_rate: RATE, beta1, beta2, epsilon, weight_decay: WEIGHT_DECAY };
        let [beta1, beta2, epsilon] = [beta1, beta2, epsilon].map(f64::from);
        check(
            |time, p, g, moments| rule.step(time, p, g, moments),
            |_, _| 1.0,
            |_, time, p, g, [m, v]| {
                *p *= 1.0 - f64::from(RATE) * f64::from(WEIGHT_DECAY);
                *m = beta1 * *m + (1.0 - beta1) * g;
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                let (first, second) = (*m / (1.0 - beta1.powi(time)), *v / (1.0 - beta2.powi(time)));
                *p -= f64::from(RATE) * first / (second.sqrt() + epsilon);
            },
        );
    }

    #[test]
    fn the_first_step_of_adamw_has_the_length_of_the_rate() {
        let rule = AdamW { learning_rate: RATE, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 };
        let (gradient, mut p) = (random(100, 1), vec![0.0; 100]);
        rule.step(1, &mut p, &gradient, [&mut [0.0; 100], &mut [0.0; 100]]);
        assert!(p.iter().zip(&gradient).all(|(p, g)| (p + RATE * g.signum()).abs() < 1e-5));
    }

    #[test]
    fn a_teacher_stays_where_the_parameter_is_and_else_moves_by_its_share() {
        let parameter = random(PART + 9, 1);
        on_every_path(|| {
            let (mut same, mut other) = (parameter.clone(), vec![0.0; parameter.len()]);
            MovingAverage { teacher: &mut same, decay: 0.996 }.follow(&parameter);
            assert_eq!(same, parameter);
            MovingAverage { teacher: &mut other, decay: 0.75 }.follow(&parameter);
            assert!(other.iter().zip(&parameter).all(|(t, p)| (t - 0.25 * p).abs() < 1e-6));
            other
        });
    }

    #[test]
    fn a_sum_of_squares_is_exact_in_f64_and_not_finite_where_a_value_is_not() {
        let mut values: Vec<f32> = (0..3 * PART + 5).map(|i| (i % 7) as f32 - 3.0).collect();
        assert_eq!(square_sum(&values), values.iter().map(|&v| f64::from(v * v)).sum::<f64>());
        values[PART + 1] = f32::NAN;
        assert!(square_sum(&values).is_nan());
        assert_eq!(square_sum(&[]), 0.0);
    }

    #[test]
    #[should_panic(expected = "elements of a gradient and of its parameter")]
    fn shapes_that_do_not_fit_are_named() {
        SGD.step(&mut [0.0; 3], &[0.0; 4], &mut [0.0; 3]);
    }
}
