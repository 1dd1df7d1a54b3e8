use super::*;
use crate::testing::{deviation, on_every_path, random};
use proptest::prelude::*;

/// `relu(γ x̂ + β + r)` with batch statistics, in f64. The ReLU is given by its mask, so that the block is smooth.
#[derive(Clone)]
struct Block {
    x: Vec<f64>,
    gamma: Vec<f64>,
    beta: Vec<f64>,
    residual: Vec<f64>,
    mask: Vec<f64>,
}

const EPSILON: f32 = 1e-5;

impl Block {
    fn moments(&self, channel: usize) -> [f64; 2] {
        let column = || self.x[channel..].iter().step_by(self.gamma.len());
        let count = column().count() as f64;
        let mean = column().sum::<f64>() / count;
        [mean, column().map(|x| (x - mean).powi(2)).sum::<f64>() / count]
    }

    fn before_relu(&self) -> Vec<f64> {
        let channels = self.gamma.len();
        let moments: Vec<_> = (0..channels).map(|c| self.moments(c)).collect();
        let value = |i: usize| {
            let (c, [mean, variance]) = (i % channels, moments[i % channels]);
            let normal = (self.x[i] - mean) / (variance + f64::from(EPSILON)).sqrt();
            self.gamma[c] * normal + self.beta[c] + self.residual[i]
        };
        (0..self.x.len()).map(value).collect()
    }

    /// `Σ w y`.
    fn loss(&self, weights: &[f32]) -> f64 {
        let terms = self.before_relu().into_iter().zip(&self.mask).zip(weights);
        terms.map(|((y, mask), &w)| y * mask * f64::from(w)).sum()
    }

    /// Derivative of the loss by the element that `at` picks, by central differences.
    fn slope(&self, weights: &[f32], at: impl Fn(&mut Block) -> &mut f64) -> f64 {
        const STEP: f64 = 1e-5;
        let loss = |step: f64| {
            let mut moved = self.clone();
            *at(&mut moved) += step;
            moved.loss(weights)
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

struct Inputs {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
    dy: Vec<f32>,
    relu: bool,
}

impl Inputs {
    fn new(rows: usize, channels: usize, residual: bool, relu: bool) -> Inputs {
        let values = |seed| random(rows * channels, seed);
        Inputs {
            x: values(1).iter().map(|x| 3.0 * x + 2.0).collect(),
            gamma: random(channels, 2).iter().map(|g| 1.5 + g).collect(),
            beta: random(channels, 3),
            residual: residual.then(|| values(4)),
            dy: values(5),
            relu,
        }
    }

    fn block(&self, mask: Option<&[u16]>) -> Block {
        let active = |i: usize| mask.is_none_or(|mask| mask[i / LANES] >> (i % LANES) & 1 == 1);
        Block {
            x: wide(&self.x),
            gamma: wide(&self.gamma),
            beta: wide(&self.beta),
            residual: self.residual.as_deref().map_or(vec![0.0; self.x.len()], wide),
            mask: (0..self.x.len()).map(|i| f64::from(u8::from(active(i)))).collect(),
        }
    }
}

/// What the kernels make of a block, forward and backward.
#[derive(Clone, Debug, PartialEq)]
struct Outcome {
    moments: ChannelMoments,
    y: Vec<f32>,
    mask: Option<Vec<u16>>,
    dx: Vec<f32>,
    dgamma: Vec<f32>,
    dbeta: Vec<f32>,
    dresidual: Vec<f32>,
}

/// Runs the block; `in_place` asks for the gradients in the place of `x` and `dy`, which must change no byte.
fn run(inputs: &Inputs, in_place: bool) -> Outcome {
    let (channels, len) = (inputs.gamma.len(), inputs.x.len());
    let [mut dgamma, mut dbeta] = [(); 2].map(|()| vec![f32::NAN; channels]);
    let moments = ChannelMoments::of(&inputs.x, channels);
    let (gamma, beta) = (Some(&inputs.gamma[..]), Some(&inputs.beta[..]));
    let norm = BatchNorm { moments: &moments, gamma, beta, epsilon: EPSILON };
    let (mut y, mut mask) = (vec![f32::NAN; len], inputs.relu.then(|| vec![0; mask_words(len)]));
    let activation = mask.as_deref_mut().map_or(Activation::Identity, Activation::ReluMask);
    normalize(&inputs.x, norm, inputs.residual.as_deref(), activation, &mut y);

    let (mut dx, mut dresidual) = (vec![f32::NAN; len], vec![f32::NAN; len]);
    let (x, dy) = if in_place {
        dx.copy_from_slice(&inputs.x);
        dresidual.copy_from_slice(&inputs.dy);
        (InOut::InPlace(&mut dx), OutputGradient::Mask(&mut dresidual))
    } else {
        (InOut::Apart(&inputs.x, &mut dx), OutputGradient::Write(&inputs.dy, &mut dresidual))
    };
    normalize_backward(x, norm, dy, mask.as_deref(), &mut dgamma, &mut dbeta);
    Outcome { moments, y, mask, dx, dgamma, dbeta, dresidual }
}

/// Runs a block on every path and compares it with f64, in which the backward pass is written out.
fn check(rows: usize, channels: usize, residual: bool, relu: bool) {
    let inputs = Inputs::new(rows, channels, residual, relu);
    on_every_path(|| {
        let outcome = run(&inputs, false);
        assert!(outcome == run(&inputs, true), "another result in place");
        let block = inputs.block(outcome.mask.as_deref());
        let before = block.before_relu();
        for ((&y, &mask), &before) in outcome.y.iter().zip(&block.mask).zip(&before) {
            assert!((f64::from(y) - if relu { before.max(0.0) } else { before }).abs() < 2e-5, "{y} for {before}");
            assert!(!relu || (mask == 1.0) == (y > 0.0));
        }
        let (moments, count): (Vec<_>, _) = ((0..channels).map(|c| block.moments(c)).collect(), rows as f64);
        let inverse = |c: usize| (moments[c][1] + f64::from(EPSILON)).sqrt().recip();
        let normal = |i: usize| (block.x[i] - moments[i % channels][0]) * inverse(i % channels);
        let gradient: Vec<f64> = wide(&inputs.dy).iter().zip(&block.mask).map(|(dy, mask)| dy * mask).collect();
        let (mut dbeta, mut dgamma) = (vec![0.0; channels], vec![0.0; channels]);
        for i in 0..rows * channels {
            dbeta[i % channels] += gradient[i];
            dgamma[i % channels] += gradient[i] * normal(i);
        }
        let input = |i: usize| {
            let c = i % channels;
            block.gamma[c] * inverse(c) * (gradient[i] - dbeta[c] / count - normal(i) * dgamma[c] / count)
        };
        let dx: Vec<f64> = (0..rows * channels).map(input).collect();
        assert!(deviation(&outcome.dresidual, &gradient) == 0.0);
        assert!(deviation(&outcome.dbeta, &dbeta) < 1e-5);
        assert!(deviation(&outcome.dgamma, &dgamma) < 1e-5);
        // With few rows all of dx is a cancellation, so it is measured against what cancels.
        let largest = (0..channels).fold(0.0, |largest: f64, c| largest.max(block.gamma[c] * inverse(c)));
        for (&value, &reference) in outcome.dx.iter().zip(&dx) {
            assert!((f64::from(value) - reference).abs() < 1e-5 * largest, "{value} for {reference}");
        }
        outcome
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn blocks_agree_with_f64(rows in 3usize..160, channels in 1usize..=70, residual: bool, relu: bool) {
        check(rows, channels, residual, relu);
    }
}

#[test]
fn blocks_of_many_parts_agree_with_f64() {
    for (rows, channels) in [(70_001, 1), (25_003, 3), (5001, 16), (2047, 37), (2501, 64), (9, 8192)] {
        check(rows, channels, true, true);
    }
}

#[test]
fn gradients_are_the_slopes_of_the_whole_block() {
    for (rows, channels) in [(7, 5), (40, 3), (3, 17)] {
        let inputs = Inputs::new(rows, channels, true, true);
        on_every_path(|| {
            let outcome = run(&inputs, false);
            let block = inputs.block(outcome.mask.as_deref());
            let slopes = |len: usize, at: fn(&mut Block) -> &mut Vec<f64>| -> Vec<f64> {
                (0..len).map(|i| block.slope(&inputs.dy, |block| &mut at(block)[i])).collect()
            };
            assert!(deviation(&outcome.dx, &slopes(rows * channels, |block| &mut block.x)) < 1e-5);
            assert!(deviation(&outcome.dresidual, &slopes(rows * channels, |block| &mut block.residual)) < 1e-5);
            assert!(deviation(&outcome.dgamma, &slopes(channels, |block| &mut block.gamma)) < 1e-5);
            assert!(deviation(&outcome.dbeta, &slopes(channels, |block| &mut block.beta)) < 1e-5);
            outcome
        });
    }
}

#[test]
fn moments_survive_a_large_mean_and_an_outlier() {
    for channels in [1, 3, 16, 50] {
        let rows = 4001;
        let mut x: Vec<f32> = random(rows * channels, 9).iter().map(|x| 1000.0 + 0.1 * x).collect();
        x[channels - 1] = -5000.0;
        let block = Block { x: wide(&x), gamma: vec![1.0; channels], beta: vec![], residual: vec![], mask: vec![] };
        let reference: Vec<_> = (0..channels).map(|c| block.moments(c)).collect();
        on_every_path(|| {
            let moments = ChannelMoments::of(&x, channels);
            for (c, [m, v]) in reference.iter().enumerate() {
                let [mean, variance] = [moments.mean()[c], moments.variance()[c]];
                assert!((mean / m - 1.0).abs() < 2e-8, "{mean} for {m}");
                assert!((variance / v - 1.0).abs() < 1e-4, "{variance} for {v}");
            }
            moments
        });
    }
}

#[test]
fn moments_of_equal_rows_are_the_row_and_zero() {
    let row = random(70, 1);
    for rows in [1, 2, 33, 1000] {
        let moments = ChannelMoments::of(&row.repeat(rows), 70);
        assert!(deviation(&row, moments.mean()) < 1e-6);
        assert!(moments.variance().iter().all(|v| (0.0..1e-12).contains(v)));
        assert_eq!(moments.count(), rows);
    }
}

#[test]
fn normalized_columns_have_mean_0_and_variance_1() {
    let inputs = Inputs::new(3000, 24, false, false);
    let (moments, mut y) = (ChannelMoments::of(&inputs.x, 24), vec![0.0; inputs.x.len()]);
    let norm = BatchNorm { moments: &moments, gamma: None, beta: None, epsilon: 0.0 };
    normalize(&inputs.x, norm, None, Activation::Identity, &mut y);
    let moments = ChannelMoments::of(&y, 24);
    assert!(moments.mean().iter().all(|m| m.abs() < 1e-6));
    assert!(moments.variance().iter().all(|v| (v - 1.0).abs() < 1e-5));
}

#[test]
fn bias_forward_and_backward() {
    for (rows, channels) in [(1, 1), (50, 16), (21, 70), (30_000, 3)] {
        let inputs = Inputs::new(rows, channels, true, true);
        let residual = inputs.residual.as_deref().unwrap();
        on_every_path(|| {
            let mut y = inputs.x.clone();
            let mut mask = vec![0; mask_words(y.len())];
            add_bias(InOut::InPlace(&mut y), &inputs.beta, Some(residual), Activation::ReluMask(&mut mask));
            let masked: Vec<f32> = inputs.dy.iter().zip(&y).map(|(&dy, &y)| if y > 0.0 { dy } else { 0.0 }).collect();
            for i in 0..y.len() {
                assert!((y[i] - (inputs.x[i] + inputs.beta[i % channels] + residual[i]).max(0.0)).abs() < 1e-6);
            }
            let mut sums = vec![0.0; channels];
            masked.iter().enumerate().for_each(|(i, &g)| sums[i % channels] += f64::from(g));
            let (mut dbias, mut gradient) = (vec![f32::NAN; channels], inputs.dy.clone());
            add_bias_backward(OutputGradient::Mask(&mut gradient), Some(&mask), &mut dbias);
            assert_eq!(gradient, masked);
            assert!(deviation(&dbias, &sums) < 1e-5);
            let mut added = residual.to_vec();
            add_bias_backward(OutputGradient::Add(&inputs.dy, &mut added), Some(&mask), &mut dbias);
            assert!((0..y.len()).all(|i| added[i] == residual[i] + masked[i]));
            (dbias, added)
        });
    }
}

#[test]
fn not_a_number_passes_through_relu() {
    let mut y = [f32::NAN, -1.0, 1.0];
    add_bias(InOut::InPlace(&mut y), &[0.0], None, Activation::Relu);
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [0.0, 1.0]);
}

#[test]
#[should_panic(expected = "7 elements are not whole rows of 2 channels")]
fn shapes_that_do_not_fit_are_named() {
    add_bias(InOut::InPlace(&mut [0.0; 7]), &[0.0; 2], None, Activation::Identity);
}
