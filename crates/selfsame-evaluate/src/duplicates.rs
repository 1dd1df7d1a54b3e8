//! Samples that are nearly the same.

use crate::features::Rows;
use serde::{Deserialize, Serialize};

/// Two samples are near-duplicates when the cosine of their representations is above the first, and the root mean square
/// difference of their appearance (on a scale from 0 to 1) under the second: nearly the same to the encoder and to the eye.
/// The first alone would call the samples of a collapsed encoder copies.
const COSINE_ABOVE: f32 = 0.98;
const DIFFERENCE_BELOW: f32 = 0.03;

/// Two samples that are nearly the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DuplicatePair {
    /// Places of both in the list of samples, the lower first.
    pub samples: [usize; 2],
    /// Cosine of their representations.
    pub cosine: f32,
    /// Root mean square difference of their appearance, where that is known.
    pub difference: Option<f32>,
}

/// Near-duplicates, and what counts as one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Duplicates {
    /// Cosine that both representations exceed.
    pub cosine_above: f32,
    /// Difference of appearance that is not reached, where appearance is known.
    pub difference_below: Option<f32>,
    /// Every pair, the most alike first.
    pub pairs: Vec<DuplicatePair>,
}

/// The near-duplicates among the `neighbors` of each row. `appearance` is what the samples look like, `[rows, values]`.
pub(crate) fn duplicates(neighbors: &[Vec<(usize, f32)>], appearance: Option<Rows>) -> Duplicates {
    let mut pairs = Vec::new();
    for (a, others) in neighbors.iter().enumerate() {
        for &(b, cosine) in others.iter().filter(|pair| pair.1 > COSINE_ABOVE) {
            let samples = [a.min(b), a.max(b)];
            let difference = appearance.map(|rows| difference(rows.row(samples[0]), rows.row(samples[1])));
            if difference.is_none_or(|difference| difference < DIFFERENCE_BELOW) {
                pairs.push(DuplicatePair { samples, cosine, difference });
            }
        }
    }
    pairs.sort_by(|a, b| {
        let by_difference = a.difference.unwrap_or(0.0).total_cmp(&b.difference.unwrap_or(0.0));
        let by_cosine = if appearance.is_none() { b.cosine.total_cmp(&a.cosine) } else { std::cmp::Ordering::Equal };
        by_difference.then(by_cosine).then(a.samples.cmp(&b.samples))
    });
    pairs.dedup_by_key(|pair| pair.samples);
    let difference_below = appearance.map(|_| DIFFERENCE_BELOW);
    Duplicates { cosine_above: COSINE_ABOVE, difference_below, pairs }
}

/// Root mean square.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
    (squares / a.len().max(1) as f32).sqrt()
}
