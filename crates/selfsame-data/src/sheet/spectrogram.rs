//! Sounds as what frequencies they hold, over time.

use super::color_map::mapped;
use crate::image::Size;
use selfsame_spectrum::PowerSpectrum;
use std::f64::consts::PI;

/// Length of a window, s: long enough for the pitch of a voice, short enough for its syllables.
const WINDOW_S: f64 = 0.025;
/// What lies this far below the loudest is dark.
const RANGE_DB: f32 = 70.0;
/// The loudest is taken to be no less than this: silence is dark too.
const SILENCE_DB: f32 = -60.0;

/// Steps `[time, channels]` of `rate` Hz as a picture `[height, width, 3]`: time from left to right, frequency from below on the mel
/// scale up to half the rate, and the power of the channels' mean as color, in dB below the loudest. Where the signal is NaN, it is
/// `ground`.
pub(super) fn spectrogram(steps: &[f32], channels: usize, rate: usize, size: Size, ground: f32) -> Vec<f32> {
    let Size { height, width } = size;
    let mono: Vec<f32> = steps.chunks_exact(channels).map(|step| step.iter().sum::<f32>() / channels as f32).collect();
    let there = mono.iter().position(|v| v.is_nan()).unwrap_or(mono.len());
    let length = ((rate as f64 * WINDOW_S) as usize).next_power_of_two().clamp(32, 4096);
    let window: Vec<f32> = (0..length).map(|n| (PI * (n as f64 + 0.5) / length as f64).sin().powi(2) as f32).collect();
    let rows: Vec<[usize; 2]> = (0..height).map(|row| bins(row, height, rate, length)).collect();
    let spectrum = PowerSpectrum::new(length);
    let mut frame = spectrum.frame();
    // `[width, height]`, the lowest frequency first.
    let mut decibels = Vec::with_capacity(size.area());
    let center = |x: usize| ((x as f64 + 0.5) * mono.len() as f64 / width as f64) as usize;
    for x in (0..width).take_while(|&x| center(x) < there) {
        let start = center(x) as isize - (length / 2) as isize;
        for (n, (value, weight)) in frame.steps.iter_mut().zip(&window).enumerate() {
            let step = usize::try_from(start + n as isize).ok().filter(|step| *step < there);
            *value = step.map_or(0.0, |step| weight * mono[step]);
        }
        let powers = spectrum.powers(&mut frame);
        decibels.extend(rows.iter().map(|&[first, end]| {
            let power = powers[first..end].iter().copied().fold(0.0, f32::max);
            10.0 * power.max(f32::MIN_POSITIVE).log10()
        }));
    }
    let loudest = decibels.iter().copied().fold(SILENCE_DB, f32::max);
    let mut picture = vec![ground; size.area() * 3];
    for (x, column) in decibels.chunks_exact(height).enumerate() {
        for (row, value) in column.iter().enumerate() {
            let color = mapped(1.0 + (value - loudest) / RANGE_DB);
            picture[((height - 1 - row) * width + x) * 3..][..3].copy_from_slice(&color);
        }
    }
    picture
}

/// The frequencies of a transform of `length` that lie in a row, counted from below; at least the nearest.
fn bins(row: usize, rows: usize, rate: usize, length: usize) -> [usize; 2] {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let bin = |row: usize| {
        let frequency = hz(mel(rate as f64 / 2.0) * row as f64 / rows as f64);
        (frequency * length as f64 / rate as f64).round() as usize
    };
    let first = bin(row).min(length / 2);
    [first, bin(row + 1).max(first + 1)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    const SIZE: Size = Size { height: 40, width: 60 };

    #[test]
    fn a_rising_tone_is_a_rising_line_and_padding_is_ground() {
        let rate = 8000;
        // From 0 to 4000 Hz within three quarters of a second, then nothing.
        let steps: Vec<f32> = (0..8000)
            .map(|t| if t < 6000 { (TAU / 2.0 * 4000.0 / 6000.0 * (t * t) as f32 / 8000.0).sin() } else { f32::NAN })
            .collect();
        let picture = spectrogram(&steps, 1, rate, SIZE, 0.97);
        let pixel = |y: usize, x: usize| &picture[(y * SIZE.width + x) * 3..][..3];
        let brightest = |x: usize| {
            let light = |&y: &usize| pixel(y, x).iter().sum::<f32>();
            (0..SIZE.height).max_by(|a, b| light(a).total_cmp(&light(b))).unwrap()
        };
        let line: Vec<usize> = (3..42).map(brightest).collect();
        assert!(line.windows(2).all(|pair| pair[1] <= pair[0] + 1) && line[0] > 28 && line[38] < 4, "{line:?}");
        assert!((0..SIZE.height).all(|y| (45..60).all(|x| pixel(y, x) == [0.97; 3])));
    }

    #[test]
    fn rows_hold_all_frequencies_from_the_lowest_to_the_highest() {
        for (rows, rate, length) in [(40, 16_000, 512), (13, 1000, 32), (200, 44_100, 2048), (1, 8000, 256)] {
            let rows: Vec<[usize; 2]> = (0..rows).map(|row| bins(row, rows, rate, length)).collect();
            assert!(
                rows[0][0] == 0 && rows.last().unwrap()[1] >= length / 2 && rows.last().unwrap()[1] <= length / 2 + 1
            );
            assert!(rows.windows(2).all(|pair| pair[0][1] >= pair[1][0] && pair[0][0] <= pair[1][0]), "{rows:?}");
        }
    }

    #[test]
    fn silence_and_nothing_are_pictures() {
        let picture = |steps: &[f32]| spectrogram(steps, 1, 1000, SIZE, 0.97);
        assert!(picture(&[0.0; 500]).chunks(3).all(|pixel| pixel == mapped(0.0)));
        assert_eq!(picture(&[f32::NAN; 500]), vec![0.97; SIZE.area() * 3]);
        assert_eq!(picture(&[1.0]).len(), SIZE.area() * 3);
    }
}
