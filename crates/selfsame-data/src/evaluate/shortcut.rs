//! Has the objective been solved by something trivial?
//!
//! Crops of one image share their histogram: without augmentations that change it, a network can match views by
//! brightness and colour and learn nothing else (Chen et al. 2020, §3.1; Geirhos et al. 2020 on shortcuts in general).
//! Trivial is here what survives a shuffling of the pixels: for every channel its mean, its standard deviation and five
//! quantiles, and the mean of all channels, the brightness. Two ridge regressions on held-out samples (every fourth)
//! relate them to the representation:
//!
//! | number | definition |
//! | --- | --- |
//! | `predicted` | `R²` of the trivial attribute that `h` predicts best |
//! | `explained` | share of `h`'s variance that all trivial attributes together explain |
//!
//! Healthy encoders know the brightness too, so `predicted` alone proves nothing; suspicious is a representation of which
//! trivial attributes explain most *and* which still finds the other view of a sample (the rule in [`super::verdict`]).

use super::ridge;
use crate::features::Rows;
use serde::Serialize;

/// Quantiles of a channel that count as trivial.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];
/// One sample of so many is held out.
const HELD_OUT: usize = 4;
/// Fewest samples of which a regression says anything.
const FEWEST: usize = 64;
/// Most training samples of a regression.
const MOST: usize = 12_000;

/// How much of a representation is trivial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shortcut {
    /// The attribute that is predicted best.
    pub attribute: String,
    /// `R²` of its prediction.
    pub predicted: f64,
    /// Share of the variance that all attributes explain.
    pub explained: f64,
}

/// Trivial attributes of a sample's pixels, `[height, width, channels]`: as many for every sample.
pub fn attributes(pixels: &[f32], channels: usize) -> Vec<f32> {
    let count = (pixels.len() / channels).max(1);
    let mut all = vec![pixels.iter().map(|&v| f64::from(v)).sum::<f64>() as f32 / pixels.len().max(1) as f32];
    for channel in 0..channels {
        let mut values: Vec<f32> = pixels.iter().skip(channel).step_by(channels).copied().collect();
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count as f64;
        values.sort_unstable_by(f32::total_cmp);
        all.extend([mean as f32, variance.sqrt() as f32]);
        all.extend(QUANTILES.map(|q| values[(q * (count - 1) as f64).round() as usize]));
    }
    all
}

/// Name of an attribute.
fn name(attribute: usize, channels: usize) -> String {
    let Some(attribute) = attribute.checked_sub(1) else { return "mean brightness".into() };
    let (channel, which) = (attribute / (2 + QUANTILES.len()), attribute % (2 + QUANTILES.len()));
    let of = if channels == 1 { String::new() } else { format!(" of channel {channel}") };
    match which {
        0 => format!("mean{of}"),
        1 => format!("contrast{of}"),
        quantile => format!("{:.0} % quantile{of}", 100.0 * QUANTILES[quantile - 2]),
    }
}

/// How much of `embeddings`, `[samples, dim]`, is in `trivial`, `[samples, attributes]`; `None` for too few samples.
pub fn shortcut(embeddings: Rows, trivial: Rows) -> Option<Shortcut> {
    assert_eq!(embeddings.len(), trivial.len(), "attributes of every sample");
    if embeddings.len() < FEWEST {
        return None;
    }
    let (trivial, attributes) = (standardised(trivial), trivial.dim);
    let trivial = Rows::new(&trivial, attributes);
    let split = |rows: Rows| -> [Vec<f32>; 2] {
        let pick = |held_out: bool| -> Vec<f32> {
            let chosen = (0..rows.len().min(MOST)).filter(|i| (i % HELD_OUT == HELD_OUT - 1) == held_out);
            chosen.flat_map(|i| rows.row(i)).copied().collect()
        };
        [pick(false), pick(true)]
    };
    let (h, t) = (split(embeddings), split(trivial));
    let [h_train, h_test] = h.each_ref().map(|values| Rows::new(values, embeddings.dim));
    let [t_train, t_test] = t.each_ref().map(|values| Rows::new(values, attributes));
    let predicted = ridge::held_out([h_train, t_train], [h_test, t_test]).r2();
    let best = (0..attributes).fold(0, |best, i| if predicted[i] > predicted[best] { i } else { best });
    Some(Shortcut {
        attribute: name(best, (attributes - 1) / (2 + QUANTILES.len())),
        predicted: predicted[best],
        explained: ridge::held_out([t_train, h_train], [t_test, h_test]).r2_of_all(),
    })
}

/// Columns with mean 0 and variance 1, so that one strength suits them all; constant columns become 0.
fn standardised(rows: Rows) -> Vec<f32> {
    let (mean, squares) = super::collapse::mean_and_squares(rows);
    let scale: Vec<f64> = squares.iter().map(|s| (s / rows.len() as f64).sqrt()).collect();
    let standard = |j: usize, v: f32| if scale[j] > 1e-12 { (f64::from(v) - mean[j]) / scale[j] } else { 0.0 };
    rows.values.iter().enumerate().map(|(i, &v)| standard(i % rows.dim, v) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trivial_attributes_survive_a_shuffling_of_the_pixels() {
        let pixels: Vec<f32> = (0..48).map(|i| ((i * 37) % 48) as f32 / 48.0).collect();
        let mut shuffled = pixels.clone();
        shuffled.as_chunks_mut::<3>().0.reverse();
        let (a, b) = (attributes(&pixels, 3), attributes(&shuffled, 3));
        assert_eq!(a.len(), 1 + 3 * 7);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        assert_eq!(
            (name(0, 3), name(8, 3), name(2, 1)),
            ("mean brightness".into(), "mean of channel 1".into(), "contrast".into())
        );
        // Mean and standard deviation of 0, 1, 2, 3, 4 and its quantiles.
        let found = attributes(&[4.0, 1.0, 3.0, 0.0, 2.0], 1);
        assert_eq!(found, [2.0, 2.0, 2f32.sqrt(), 0.0, 1.0, 2.0, 3.0, 4.0]);
    }
}
