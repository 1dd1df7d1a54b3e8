//! Trivial attributes of pixels: values that stay the same when the pixels are shuffled, such as brightness and color.
//!
//! Crops of one image share them, so a network that has learned nothing else can still match the views of a sample. An
//! evaluation measures how much of a representation they explain.

/// Quantiles of a channel that count as trivial.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// Trivial attributes of a sample's pixels: the mean of all channels, and for every channel its mean, its standard deviation
/// and five quantiles. As many for every sample; their names are [`names`].
///
/// # Shapes
/// `pixels: [height, width, channels]` → `[1 + 7 · channels]`
pub fn attributes(pixels: &[f32], channels: usize) -> Vec<f32> {
    let count = (pixels.len() / channels.max(1)).max(1);
    let mut all = vec![pixels.iter().map(|&v| f64::from(v)).sum::<f64>() as f32 / pixels.len().max(1) as f32];
    for channel in 0..channels {
        let mut values: Vec<f32> = pixels.iter().skip(channel).step_by(channels).copied().collect();
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count as f64;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count as f64;
        values.sort_unstable_by(f32::total_cmp);
        all.extend([mean as f32, variance.sqrt() as f32]);
        all.extend(QUANTILES.map(|q| values.get((q * (count - 1) as f64).round() as usize).copied().unwrap_or(0.0)));
    }
    all
}

/// Names of the [`attributes`] of samples with so many channels, in their order.
pub fn names(channels: usize) -> Vec<String> {
    let mut names = vec!["mean brightness".to_owned()];
    for channel in 0..channels {
        let of = if channels == 1 { String::new() } else { format!(" of channel {channel}") };
        names.extend([format!("mean{of}"), format!("contrast{of}")]);
        names.extend(QUANTILES.map(|q| format!("{:.0} % quantile{of}", 100.0 * q)));
    }
    names
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
        assert_eq!((a.len(), names(3).len()), (1 + 3 * 7, 1 + 3 * 7));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        // Mean and standard deviation of 0, 1, 2, 3, 4 and its quantiles.
        let found = attributes(&[4.0, 1.0, 3.0, 0.0, 2.0], 1);
        assert_eq!(found, [2.0, 2.0, 2f32.sqrt(), 0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn attributes_are_named_in_their_order() {
        assert_eq!(
            [names(3)[0].as_str(), &names(3)[8], &names(1)[2], &names(1)[7]],
            ["mean brightness", "mean of channel 1", "contrast", "95 % quantile"]
        );
        // A sample without pixels has as many.
        assert_eq!(attributes(&[], 2).len(), names(2).len());
    }
}
