//! Mel-frequency cepstral coefficients, and their means and deviations over time: what speech was recognized by for decades (Davis
//! & Mermelstein 1980).
//!
//! The cosine transform of a frame's log energies parts the shape of its spectrum, low coefficients, from its details.

use std::f64::consts::PI;

/// Coefficients of a frame, the lowest; the first is its loudness.
const COEFFICIENTS: usize = 20;

/// The cosine transform over a picture's bands.
#[derive(Clone, Debug)]
pub struct Mfcc {
    /// `[coefficients, bands]`, orthonormal rows.
    cosines: Vec<f32>,
    bands: usize,
}

impl Mfcc {
    /// For pictures of `bands` rows.
    pub fn new(bands: usize) -> Self {
        let row = |k: usize| {
            let norm = (if k == 0 { 1.0 } else { 2.0 } / bands as f64).sqrt();
            (0..bands).map(move |band| (norm * (PI * k as f64 * (band as f64 + 0.5) / bands as f64).cos()) as f32)
        };
        Self { cosines: (0..COEFFICIENTS.min(bands)).flat_map(row).collect(), bands }
    }

    /// The mean of each coefficient over the frames of a log-mel `picture`, `[bands, frames, 1]`, then the standard deviations.
    pub fn apply(&self, picture: &[f32], [bands, frames, _]: [usize; 3]) -> Vec<f32> {
        assert_eq!(bands, self.bands, "a picture of other bands");
        let moments = self.cosines.chunks_exact(bands).map(|cosines| {
            let coefficient = |frame: usize| -> f64 {
                cosines.iter().enumerate().map(|(band, c)| f64::from(c * picture[band * frames + frame])).sum()
            };
            let values: Vec<f64> = (0..frames).map(coefficient).collect();
            let mean = values.iter().sum::<f64>() / frames as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / frames as f64;
            [mean as f32, variance.sqrt() as f32]
        });
        let moments: Vec<[f32; 2]> = moments.collect();
        [0, 1].into_iter().flat_map(|which| moments.iter().map(move |moment| moment[which])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_over_the_bands_is_its_coefficient_alone() {
        let (bands, frames, k) = (32, 6, 3);
        let value = |band: usize| (PI * k as f64 * (band as f64 + 0.5) / bands as f64).cos() as f32;
        let picture: Vec<f32> = (0..bands).flat_map(|band| (0..frames).map(move |t| t as f32 * value(band))).collect();
        let features = Mfcc::new(bands).apply(&picture, [bands, frames, 1]);
        let (means, deviations) = features.split_at(COEFFICIENTS);
        // Orthonormal: a cosine's length is the root of half of the bands.
        let length = (bands as f32 / 2.0).sqrt();
        for (at, (mean, deviation)) in means.iter().zip(deviations).enumerate() {
            let expected = if at == k { [2.5 * length, (35.0f32 / 12.0).sqrt() * length] } else { [0.0; 2] };
            assert!((mean - expected[0]).abs() < 1e-3 && (deviation - expected[1]).abs() < 1e-3, "{at}");
        }
    }
}
