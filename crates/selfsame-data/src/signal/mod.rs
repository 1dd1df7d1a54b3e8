//! What a signal becomes when it is read, before its views are made: gaps are filled, it is normalized by its own mean and deviation if
//! that is asked for, and it becomes a picture.

mod log_mel;
mod missing;

pub use log_mel::{LogMel, LogMelSettings};
pub use missing::{Missing, mend};

use crate::image::{Image, Pixels};
use serde::{Deserialize, Serialize};

/// What a signal is looked at as (`data.view`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignalView {
    /// Itself.
    #[default]
    Waveform,
    /// The [picture](LogMel) of its energy in bands over time.
    LogMel,
}

impl SignalView {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["waveform", "log_mel"];
}

/// Whose mean and deviation a signal is normalized by (`data.normalize`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// Those of all data, in each channel.
    #[default]
    Channel,
    /// First its own, in each channel.
    Sample,
}

impl Normalize {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["channel", "sample"];
}

/// What is done about a sound that ends amid a packet (`data.cut_off`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutOff {
    /// The sample is a bad one.
    #[default]
    Refuse,
    /// It is what lies before that packet.
    Keep,
}

impl CutOff {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["refuse", "keep"];
}

/// Subtracts from each channel of a signal its mean and divides by its deviation; of a constant channel 0 is left.
pub fn standardize(signal: &mut Image) {
    let Pixels::F32(values) = &mut signal.pixels else { unreachable!("signals are made of floats before") };
    let (channels, steps) = (signal.channels, signal.width as f64);
    for channel in 0..channels {
        let own = values.iter().skip(channel).step_by(channels).map(|&value| f64::from(value));
        let mean = own.clone().sum::<f64>() / steps;
        let deviation = (own.map(|value| (value - mean).powi(2)).sum::<f64>() / steps).sqrt();
        let scale = if deviation > 1e-6 * mean.abs() { 1.0 / deviation } else { 0.0 };
        let own = values.iter_mut().skip(channel).step_by(channels);
        own.for_each(|value| *value = ((f64::from(*value) - mean) * scale) as f32);
    }
}

/// A signal of any numbers as one of floats; 8 and 16 bits become 0..1.
pub fn to_floats(signal: Image) -> Image {
    let pixels = match signal.pixels {
        Pixels::U8(values) => values.into_iter().map(|value| f32::from(value) / 255.0).collect(),
        Pixels::U16(values) => values.into_iter().map(|value| f32::from(value) / 65535.0).collect(),
        Pixels::F32(values) => values,
    };
    Image { pixels: Pixels::F32(pixels), ..signal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_normalized_by_its_own_channels() {
        let mut signal = Image::new(1, 4, 2, Pixels::F32(vec![1.0, 5.0, 3.0, 5.0, 1.0, 5.0, 3.0, 5.0]));
        standardize(&mut signal);
        assert_eq!(signal.pixels, Pixels::F32(vec![-1.0, 0.0, 1.0, 0.0, -1.0, 0.0, 1.0, 0.0]));
        let bytes = to_floats(Image::new(1, 2, 1, Pixels::U8(vec![0, 255])));
        assert_eq!(bytes.pixels, Pixels::F32(vec![0.0, 1.0]));
    }
}
