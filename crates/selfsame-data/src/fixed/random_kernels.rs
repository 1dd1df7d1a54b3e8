//! Random convolutional kernels: "ROCKET: exceptionally fast and accurate time series classification using random convolutional
//! kernels" (Dempster, Petitjean & Webb 2020).
//!
//! Kernels of random length, weights, bias, dilation, padding and channels are run over a signal, and of each only two numbers are
//! kept: the largest output, and the share of outputs above zero. A linear model on these is hard to beat. The paper takes 10,000
//! kernels; these are fewer, so that they stay within the width that a probe sees whole.

use selfsame_base::rng::{Purpose, StreamRng};

/// Number of kernels; each gives two features.
const KERNELS: usize = 500;
/// Taps of a kernel, one of these.
const LENGTHS: [usize; 3] = [7, 9, 11];

/// Kernels for signals of one length and number of channels.
#[derive(Clone, Debug)]
pub struct RandomKernels(Vec<Kernel>);

#[derive(Clone, Debug)]
struct Kernel {
    /// Each with its taps, whose mean is 0.
    channels: Vec<(usize, Vec<f32>)>,
    bias: f32,
    dilation: usize,
    /// Zeros before and after the signal.
    padding: usize,
}

impl RandomKernels {
    /// Kernels for signals of `steps` and `channels`, as the paper draws them.
    pub fn new(steps: usize, channels: usize, seed: u64) -> Self {
        let mut rng = StreamRng::new(seed, Purpose::Kernels, 0, 0, 0);
        Self((0..KERNELS).map(|_| Kernel::draw(steps, channels, &mut rng)).collect())
    }

    /// `[largest output, share above zero]` of each kernel, over the steps of `signal`, `[1, time, channels]`, that are there.
    pub fn apply(&self, signal: &[f32], [_, steps, channels]: [usize; 3]) -> Vec<f32> {
        let length = signal.chunks_exact(channels).take_while(|step| !step[0].is_nan()).count();
        let planes: Vec<Vec<f32>> =
            (0..channels).map(|c| signal[c..].iter().step_by(channels).take(length).copied().collect()).collect();
        let mut outputs = Vec::with_capacity(2 * steps);
        self.0.iter().flat_map(|kernel| kernel.features(&planes, length, &mut outputs)).collect()
    }
}

impl Kernel {
    fn draw(steps: usize, channels: usize, rng: &mut StreamRng) -> Self {
        let taps = LENGTHS[rng.below(LENGTHS.len())];
        // Of a random number of channels, on a logarithmic scale.
        let most = (channels.min(taps) as f32 + 1.0).log2();
        let count = (rng.uniform(0.0, most).exp2() as usize).clamp(1, channels);
        let mut order: Vec<usize> = (0..channels).collect();
        rng.shuffle(&mut order);
        let weights = |rng: &mut StreamRng| {
            let drawn: Vec<f32> = (0..taps).map(|_| rng.normal()).collect();
            let mean = drawn.iter().sum::<f32>() / taps as f32;
            drawn.into_iter().map(|weight| weight - mean).collect()
        };
        let channels = order.into_iter().take(count).map(|channel| (channel, weights(rng))).collect();
        let bias = rng.uniform(-1.0, 1.0);
        let widest = (steps.saturating_sub(1) as f32 / (taps - 1) as f32).max(1.0);
        let dilation = rng.uniform(0.0, widest.log2()).exp2() as usize;
        let padding = if rng.chance(0.5) { (taps - 1) * dilation / 2 } else { 0 };
        Self { channels, bias, dilation, padding }
    }

    fn features(&self, planes: &[Vec<f32>], length: usize, outputs: &mut Vec<f32>) -> [f32; 2] {
        let taps = self.channels[0].1.len();
        let Some(count) = (length + 2 * self.padding).checked_sub((taps - 1) * self.dilation).filter(|&n| n > 0) else {
            // The kernel is longer than the signal.
            return [0.0; 2];
        };
        outputs.clear();
        outputs.resize(count, self.bias);
        for (channel, weights) in &self.channels {
            for (tap, weight) in weights.iter().enumerate() {
                // Output `t` reads the step `t + start`, where that is one.
                let start = (tap * self.dilation) as isize - self.padding as isize;
                let from = (-start).max(0) as usize;
                let to = (length as isize - start).clamp(0, count as isize) as usize;
                if from < to {
                    let read = &planes[*channel][(from as isize + start) as usize..];
                    outputs[from..to].iter_mut().zip(read).for_each(|(out, x)| *out += weight * x);
                }
            }
        }
        let above = outputs.iter().filter(|v| **v > 0.0).count();
        [outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max), above as f32 / count as f32]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a kernel is said to do, output by output.
    fn plainly(kernel: &Kernel, signal: &[f32], length: usize, channels: usize) -> [f32; 2] {
        let taps = kernel.channels[0].1.len();
        let padded = length + 2 * kernel.padding;
        let outputs: Vec<f32> = (0..padded.saturating_sub((taps - 1) * kernel.dilation))
            .map(|t| {
                let terms = kernel.channels.iter().flat_map(|(channel, weights)| {
                    weights.iter().enumerate().filter_map(move |(tap, weight)| {
                        let step = (t + tap * kernel.dilation).checked_sub(kernel.padding).filter(|s| *s < length)?;
                        Some(weight * signal[step * channels + channel])
                    })
                });
                kernel.bias + terms.sum::<f32>()
            })
            .collect();
        if outputs.is_empty() {
            return [0.0; 2];
        }
        let above = outputs.iter().filter(|v| **v > 0.0).count() as f32 / outputs.len() as f32;
        [outputs.iter().copied().fold(f32::NEG_INFINITY, f32::max), above]
    }

    #[test]
    fn kernels_do_what_the_paper_says_and_see_no_padding() {
        let (steps, channels) = (60, 3);
        let kernels = RandomKernels::new(steps, channels, 7);
        let signal: Vec<f32> = (0..steps * channels).map(|i| ((i * i) as f32 * 0.37).sin()).collect();
        for length in [60, 41, 8, 1] {
            let mut view = signal.clone();
            view[length * channels..].fill(f32::NAN);
            let features = kernels.apply(&view, [1, steps, channels]);
            assert_eq!(features, kernels.apply(&signal[..length * channels], [1, length, channels]), "{length} alone");
            for (kernel, found) in kernels.0.iter().zip(features.chunks_exact(2)) {
                let expected = plainly(kernel, &signal, length, channels);
                assert!((found[0] - expected[0]).abs() < 1e-4 && (found[1] - expected[1]).abs() < 0.05, "{kernel:?}");
            }
        }
        let all = |property: fn(&Kernel) -> bool| kernels.0.iter().filter(|kernel| property(kernel)).count();
        assert!((100..400).contains(&all(|kernel| kernel.padding == 0)), "half of them pad");
        assert!(all(|kernel| kernel.channels.len() == 1) > 100 && all(|kernel| kernel.channels.len() > 1) > 100);
        assert!(all(|kernel| kernel.dilation > 2) > 50 && all(|kernel| kernel.dilation == 1) > 50);
    }
}
