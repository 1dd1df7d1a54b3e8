//! Probabilities that mean what they say: temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks").
//!
//! A network's outputs `a` are divided by one number `T`, fitted on labeled samples that it did not learn from, so that
//! `softmax(a / T)` (of labels, each of which a sample has or has not: `σ(a / T)`) has the least cross-entropy there. No class
//! changes its place, so the accuracy stays. The samples are told with Platt's correction (1999): a class is the right one with
//! probability `(n + 1) / (n + 2)`, as `n` samples cannot show more; so `T` stays above 0 where all of them are right.

use crate::knn::argmax;

/// Bins of [`calibration_error`].
const BINS: usize = 15;
/// Bounds of `1 / T`.
const INVERSE: [f64; 2] = [1e-3, 1e3];

/// What is known of samples.
#[derive(Clone, Copy, Debug)]
pub enum Known<'a> {
    /// The class of each.
    Classes(&'a [u32]),
    /// Whether each has each label, `[samples, labels]` of 0 and 1.
    Labels(&'a [f32]),
}

impl Known<'_> {
    /// Whether `index` of row `row` is what is known of it.
    fn is(self, row: usize, index: usize, width: usize) -> bool {
        match self {
            Self::Classes(classes) => classes[row] as usize == index,
            Self::Labels(labels) => labels[row * width + index] > 0.5,
        }
    }

    fn is_classes(self) -> bool {
        matches!(self, Self::Classes(_))
    }
}

/// Probabilities of outputs, `[samples, width]` both: of classes, of which a sample has one, or of labels.
pub fn probabilities(outputs: &[f32], width: usize, are_classes: bool, temperature: f64) -> Vec<f32> {
    let mut all = Vec::with_capacity(outputs.len());
    for row in outputs.chunks_exact(width) {
        all.extend(of_row(row, are_classes, temperature.recip()).map(|p| p as f32));
    }
    all
}

fn of_row(row: &[f32], are_classes: bool, inverse: f64) -> impl Iterator<Item = f64> + '_ {
    let largest = if are_classes { row.iter().copied().fold(f32::NEG_INFINITY, f32::max) } else { 0.0 };
    let weight = move |output: f32| ((f64::from(output) - f64::from(largest)) * inverse).exp();
    let sum: f64 = if are_classes { row.iter().map(|&output| weight(output)).sum() } else { 1.0 };
    row.iter().map(move |&output| match are_classes {
        true => weight(output) / sum,
        false => (1.0 + (-f64::from(output) * inverse).exp()).recip(),
    })
}

/// The temperature that fits `outputs`, `[samples, width]`, to what is known of the samples.
///
/// The cross-entropy is convex in `1 / T`, so its slope is brought to 0 by halving an interval.
pub fn temperature(outputs: &[f32], width: usize, known: Known) -> f64 {
    let samples = (outputs.len() / width) as f64;
    let sure = (samples + 1.0) / (samples + 2.0);
    // Of the other classes together, of a label that a sample has not.
    let rest = (1.0 - sure) / if known.is_classes() { (width as f64 - 1.0).max(1.0) } else { 1.0 };
    let slope = |inverse: f64| -> f64 {
        let of_sample = |(row, outputs): (usize, &[f32])| -> f64 {
            let found = of_row(outputs, known.is_classes(), inverse);
            let each = found.zip(outputs).enumerate().map(|(index, (p, &output))| {
                let told = if known.is(row, index, width) { sure } else { rest };
                (p - told) * f64::from(output)
            });
            each.sum()
        };
        outputs.chunks_exact(width).enumerate().map(of_sample).sum()
    };
    let [mut low, mut high] = INVERSE;
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    (low * high).sqrt().recip()
}

/// Mean cross-entropy of outputs, `[samples, width]`, divided by `temperature`, for what is known of the samples, in nats; of labels, the sum
/// over a sample's labels.
pub fn cross_entropy(outputs: &[f32], width: usize, known: Known, temperature: f64) -> f64 {
    let of_sample = |(row, outputs): (usize, &[f32])| -> f64 {
        let found = of_row(outputs, known.is_classes(), temperature.recip()).enumerate();
        let of_each = found.map(|(index, p)| match (known.is(row, index, width), known.is_classes()) {
            (true, _) => -p.max(f64::MIN_POSITIVE).ln(),
            (false, true) => 0.0,
            (false, false) => -(1.0 - p).max(f64::EPSILON).ln(),
        });
        of_each.sum()
    };
    outputs.chunks_exact(width).enumerate().map(of_sample).sum::<f64>() * width as f64 / outputs.len() as f64
}

/// Expected calibration error: by how much the probability of what is predicted differs from the share of samples for which it is
/// right, in 15 bins of probability, on average over the samples. Of labels, of each label of each sample.
pub fn calibration_error(probabilities: &[f32], width: usize, known: Known) -> f64 {
    let mut bins = [(0.0f64, 0.0f64); BINS];
    let mut count = 0.0;
    let mut see = |p: f32, is: bool| {
        let bin = &mut bins[((p * BINS as f32) as usize).min(BINS - 1)];
        *bin = (bin.0 + f64::from(p), bin.1 + f64::from(u8::from(is)));
        count += 1.0;
    };
    for (row, of_sample) in probabilities.chunks_exact(width).enumerate() {
        match known {
            Known::Classes(_) => {
                let predicted = argmax(of_sample) as usize;
                see(of_sample[predicted], known.is(row, predicted, width));
            }
            Known::Labels(_) => {
                of_sample.iter().enumerate().for_each(|(index, &p)| see(p, known.is(row, index, width)));
            }
        }
    }
    bins.iter().map(|(p, is)| (p - is).abs()).sum::<f64>() / f64::max(count, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    /// Outputs whose probabilities are right, and samples drawn by them.
    fn drawn(samples: usize, width: usize, spread: f32) -> (Vec<f32>, Vec<u32>) {
        let mut rng = StreamRng::new(3, Purpose::Evaluate, 0, 0, 0);
        let outputs: Vec<f32> = (0..samples * width).map(|_| spread * rng.normal()).collect();
        let mut draw = |row: &[f32]| {
            let mut left = rng.unit();
            row.iter()
                .position(|p| {
                    left -= p;
                    left < 0.0
                })
                .unwrap_or(width - 1) as u32
        };
        let classes = probabilities(&outputs, width, true, 1.0).chunks_exact(width).map(&mut draw).collect();
        (outputs, classes)
    }

    #[test]
    fn outputs_that_were_scaled_are_scaled_back() {
        let (outputs, classes) = drawn(20_000, 5, 1.5);
        for factor in [0.25f32, 1.0, 7.0] {
            let scaled: Vec<f32> = outputs.iter().map(|v| v * factor).collect();
            let found = temperature(&scaled, 5, Known::Classes(&classes));
            assert!((found / f64::from(factor) - 1.0).abs() < 0.05, "{found} for {factor}");
            let error = |t| calibration_error(&probabilities(&scaled, 5, true, t), 5, Known::Classes(&classes));
            assert!(error(found) < 0.015 && (factor == 1.0 || error(1.0) > 0.1), "{} {}", error(found), error(1.0));
        }
    }

    #[test]
    fn labels_are_scaled_too() {
        let mut rng = StreamRng::new(5, Purpose::Evaluate, 0, 0, 0);
        let outputs: Vec<f32> = (0..30_000).map(|_| 2.0 * rng.normal()).collect();
        let has = |output: &f32| if rng.unit() < (1.0 + (-output).exp()).recip() { 1.0 } else { 0.0 };
        let labels: Vec<f32> = outputs.iter().map(has).collect();
        let scaled: Vec<f32> = outputs.iter().map(|v| v * 3.0).collect();
        let found = temperature(&scaled, 3, Known::Labels(&labels));
        assert!((found / 3.0 - 1.0).abs() < 0.05, "{found}");
        let error = |t| calibration_error(&probabilities(&scaled, 3, false, t), 3, Known::Labels(&labels));
        assert!(error(found) < 0.015 && error(1.0) > 0.05, "{} {}", error(found), error(1.0));
    }

    /// Hard cases by hand: all right, all alike, one sample, one bin.
    #[test]
    fn what_is_certain_stays_a_probability() {
        let outputs = [4.0f32, 0.0, 0.0, 4.0];
        let found = temperature(&outputs, 2, Known::Classes(&[0, 1]));
        // (n + 1) / (n + 2) = 3/4 = 1 / (1 + exp(−4 / T))
        assert!((found - 4.0 / 3f64.ln()).abs() < 1e-6, "{found}");
        assert!(temperature(&[1.0, 1.0], 2, Known::Classes(&[0])).is_finite());
        let half = probabilities(&[0.0, 0.0, 0.0, 0.0], 2, true, 1.0);
        assert_eq!(half, [0.5; 4]);
        assert_eq!(calibration_error(&half, 2, Known::Classes(&[0, 1])), 0.0);
        assert_eq!(calibration_error(&half, 2, Known::Classes(&[0, 0])), 0.5);
    }
}
