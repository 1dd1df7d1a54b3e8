//! The log-mel picture of a sound: energy over time in bands that the ear tells apart.
//!
//! With a signal `x` of `T` steps, hop `H`, a window of `W` steps, `N` the power of two that is no less than `W`, `M` bands and the floor
//! `ε`, the picture has a row per band, the lowest first, and a column per frame `t = 0..=⌊T/H⌋`:
//!
//! ```text
//! P[t,k] = |Σ_{n<N} w[n] x̃[tH − N/2 + n] exp(−2πi kn/N)|²      k = 0..=N/2
//! S[m,t] = ln max(ε, Σ_k F[m,k] P[t,k])
//! ```
//!
//! - `w` is the periodic Hann window of `W` steps, `sin²(πn/W)`, with as many zeros before as after it;
//! - `x̃` is `x`, reflected about its first and its last value: frames are centered on steps `tH`;
//! - `F[m,·]` is a triangle of height 1 over the frequencies `f_m < f_{m+1} < f_{m+2}`; these are equally far from each other on the mel
//!   scale of HTK, `2595 log₁₀(1 + f/700)`, from 0 to half the rate.
//!
//! These are the conventions of `torchaudio.transforms.MelSpectrogram(rate, n_fft=N, win_length=W, hop_length=H, n_mels=M)`, all else as
//! preset, followed by `clamp(min=ε).log()`. `librosa.feature.melspectrogram` gives the same with `htk=True, norm=None,
//! pad_mode="reflect"`; its own presets are Slaney's scale and triangles of area 1.

use crate::image::{Image, Pixels};
use selfsame_base::DataError;
use selfsame_spectrum::PowerSpectrum;
use std::fmt;

/// What a picture is made with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogMelSettings {
    /// Steps of the signal in a second.
    pub rate: usize,
    /// Rows of the picture.
    pub bands: usize,
    /// Length of a window, ms.
    pub window_ms: f64,
    /// From one frame to the next, ms.
    pub hop_ms: f64,
    /// Least energy of a band in a frame.
    pub floor: f64,
}

impl LogMelSettings {
    /// Steps of a window, and from one to the next.
    fn steps(&self) -> [usize; 2] {
        [self.window_ms, self.hop_ms].map(|ms| (self.rate as f64 * ms / 1000.0).round() as usize)
    }

    /// Whoever would make the same pictures in Python: what they call on a signal `[channels, time]`.
    pub fn in_torchaudio(&self) -> String {
        let ([window, hop], Self { rate, bands, floor, .. }) = (self.steps(), self);
        let size = window.next_power_of_two();
        let made = format!("{rate}, n_fft={size}, win_length={window}, hop_length={hop}, n_mels={bands}");
        format!("torchaudio.transforms.MelSpectrogram({made})(signal).clamp(min={floor}).log()")
    }
}

/// Makes pictures of signals.
#[derive(Clone)]
pub struct LogMel {
    hop: usize,
    /// `[N]`
    window: Vec<f32>,
    filters: Vec<Filter>,
    floor: f32,
    spectrum: PowerSpectrum,
}

/// A band: its weights from a first frequency on.
#[derive(Clone)]
struct Filter {
    first: usize,
    weights: Vec<f32>,
}

impl LogMel {
    /// # Errors
    /// If a window or a hop is shorter than a step, or so short that a band has no frequency of its own.
    pub fn new(settings: LogMelSettings) -> Result<Self, DataError> {
        let ([width, hop], LogMelSettings { rate, bands, window_ms, hop_ms, floor }) = (settings.steps(), settings);
        for (key, ms, steps, least) in [("mel_window", window_ms, width, 2), ("mel_hop", hop_ms, hop, 1)] {
            if steps < least {
                let problem = format!("{ms} ms are {steps} steps at data.rate = {rate} Hz, expected at least {least}");
                return Err(DataError::setting(format!("data.{key}"), problem));
            }
        }
        let size = width.next_power_of_two();
        let before = (size - width) / 2;
        let hann = |n: usize| (std::f64::consts::PI * n as f64 / width as f64).sin().powi(2);
        let window = (0..size).map(|n| n.checked_sub(before).filter(|n| *n < width).map_or(0.0, hann) as f32).collect();
        let filters = filters(rate, size, bands).map_err(|band| {
            let problem = format!(
                "band {band} of {bands} lies between two of the frequencies that a window of {window_ms} ms tells apart; fewer bands, or a longer data.mel_window"
            );
            DataError::setting("data.mel_bands", problem)
        })?;
        Ok(Self { hop, window, filters, floor: floor as f32, spectrum: PowerSpectrum::new(size) })
    }

    /// Columns of the picture of a signal of so many steps.
    pub fn frames(&self, steps: usize) -> usize {
        steps / self.hop + 1
    }

    /// Rows of a picture.
    pub fn bands(&self) -> usize {
        self.filters.len()
    }

    /// The picture of a signal, `[1, time, channels]` → `[bands, frames, channels]`, with frames of silence after its end where it has
    /// fewer than `least_frames`.
    pub fn picture(&self, signal: &Image, least_frames: usize) -> Image {
        let Pixels::F32(values) = &signal.pixels else {
            unreachable!("signals are made of floats before their picture")
        };
        let (steps, channels) = (signal.width, signal.channels);
        let (frames, bands) = (self.frames(steps), self.bands());
        let width = frames.max(least_frames);
        let mut picture = vec![self.floor.ln(); bands * width * channels];
        let mut frame = self.spectrum.frame();
        let half = (self.window.len() / 2) as isize;
        for channel in 0..channels {
            for t in 0..frames {
                let start = (t * self.hop) as isize - half;
                for (n, (value, weight)) in frame.steps.iter_mut().zip(&self.window).enumerate() {
                    *value = weight * values[reflected(start + n as isize, steps) * channels + channel];
                }
                let powers = self.spectrum.powers(&mut frame);
                for (m, Filter { first, weights }) in self.filters.iter().enumerate() {
                    let energy: f32 = weights.iter().zip(&powers[*first..]).map(|(weight, power)| weight * power).sum();
                    picture[(m * width + t) * channels + channel] = energy.max(self.floor).ln();
                }
            }
        }
        Image::new(bands, width, channels, Pixels::F32(picture))
    }
}

impl fmt::Debug for LogMel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogMel").field("hop", &self.hop).field("bands", &self.bands()).finish_non_exhaustive()
    }
}

/// The place in a signal of `len` steps of one that may lie before or behind it, reflected about the first and the last step.
fn reflected(place: isize, len: usize) -> usize {
    let last = len as isize - 1;
    if (0..=last).contains(&place) {
        return place as usize;
    }
    let place = place.rem_euclid((2 * last).max(1));
    place.min(2 * last - place).max(0) as usize
}

/// The triangles of all bands over the frequencies of a transform of `size`; or a band that no frequency lies in.
fn filters(rate: usize, size: usize, bands: usize) -> Result<Vec<Filter>, usize> {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let hz = |mel: f64| 700.0 * (10f64.powf(mel / 2595.0) - 1.0);
    let highest = mel(rate as f64 / 2.0);
    let corner = |m: usize| hz(highest * m as f64 / (bands + 1) as f64);
    let filter = |m: usize| {
        let [low, center, high] = [corner(m), corner(m + 1), corner(m + 2)];
        let weight = |k: usize| {
            let f = (k * rate) as f64 / size as f64;
            ((f - low) / (center - low)).min((high - f) / (high - center)).max(0.0)
        };
        let first = (0..=size / 2).find(|&k| weight(k) > 0.0).ok_or(m)?;
        let weights = (first..=size / 2).map(weight).take_while(|weight| *weight > 0.0).map(|w| w as f32).collect();
        Ok(Filter { first, weights })
    };
    (0..bands).map(filter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const GOLDEN: &str = include_str!("../../tests/golden/log_mel.json");

    fn made(settings: LogMelSettings) -> Result<LogMel, String> {
        LogMel::new(settings).map_err(|error| error.to_string())
    }

    const SPEECH: LogMelSettings =
        LogMelSettings { rate: 16_000, bands: 64, window_ms: 25.0, hop_ms: 10.0, floor: 1e-5 };

    #[test]
    fn torchaudio_is_told_steps() {
        let told = "torchaudio.transforms.MelSpectrogram(16000, n_fft=512, win_length=400, hop_length=160, n_mels=64)(signal).clamp(min=0.00001).log()";
        assert_eq!(SPEECH.in_torchaudio(), told);
    }

    #[test]
    fn pictures_are_those_of_an_independent_script() {
        let cases: Value = serde_json::from_str(GOLDEN).unwrap();
        for case in cases.as_array().unwrap() {
            let number = |key: &str| case[key].as_f64().unwrap();
            let list =
                |key: &str| case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>();
            let log_mel = LogMel::new(LogMelSettings {
                rate: number("rate") as usize,
                bands: number("bands") as usize,
                window_ms: number("window_ms"),
                hop_ms: number("hop_ms"),
                floor: number("floor"),
            })
            .unwrap();
            let signal: Vec<f32> = list("signal").iter().map(|v| (v / 1024.0) as f32).collect();
            let steps = signal.len();
            let signal = Image::new(1, steps, 1, Pixels::F32(signal));
            let picture = log_mel.picture(&signal, 0);
            let expected = list("picture");
            assert_eq!([picture.height, picture.width, picture.channels], [log_mel.bands(), log_mel.frames(steps), 1]);
            assert_eq!(picture.len(), expected.len());
            let Pixels::F32(found) = &picture.pixels else { unreachable!() };
            let worst = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-4, "{worst}");
            // Silence after the end; and of two channels each has its own picture.
            let longer = log_mel.picture(&signal, picture.width + 2);
            let Pixels::F32(longer) = &longer.pixels else { unreachable!() };
            let rows = longer.chunks_exact(picture.width + 2).zip(found.chunks_exact(picture.width));
            for (longer, row) in rows {
                assert_eq!(longer[..picture.width], *row);
                assert_eq!(longer[picture.width..], [(number("floor") as f32).ln(); 2]);
            }
            let Pixels::F32(one) = &signal.pixels else { unreachable!() };
            let two = one.iter().flat_map(|&v| [0.0, v]).collect();
            let two = log_mel.picture(&Image::new(1, steps, 2, Pixels::F32(two)), 0);
            let Pixels::F32(two) = &two.pixels else { unreachable!() };
            assert!(two.chunks_exact(2).zip(found).all(|(pair, v)| pair[1] == *v && pair[0] <= pair[1]));
        }
    }

    #[test]
    fn a_tone_lies_in_the_row_of_its_frequency_and_low_ones_come_first() {
        let log_mel = made(SPEECH).unwrap();
        let brightest = |hz: f32| {
            let tone = (0..16_000).map(|i| (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin());
            let picture = log_mel.picture(&Image::new(1, 16_000, 1, Pixels::F32(tone.collect())), 0);
            let Pixels::F32(values) = picture.pixels else { unreachable!() };
            let at = |row: usize| values[row * 101 + 50];
            (0..64).max_by(|&a, &b| at(a).total_cmp(&at(b))).unwrap()
        };
        // 64 bands and the ends between 0 and mel(8 kHz) = 2840.0.
        for hz in [200.0, 440.0, 1000.0, 4000.0] {
            let mel = 2595.0 * (1.0 + hz / 700.0f32).log10();
            let row = (mel / 2840.0 * 65.0 - 1.0).round() as isize;
            assert!((brightest(hz) as isize - row).abs() <= 1, "{hz}: {} and {row}", brightest(hz));
        }
        assert!(brightest(200.0) < brightest(4000.0));
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused_with_the_key() {
        assert!(made(SPEECH).is_ok());
        let error = made(LogMelSettings { bands: 200, ..SPEECH }).unwrap_err();
        assert!(error.starts_with("data.mel_bands: band ") && error.contains("of 200"), "{error}");
        let error = made(LogMelSettings { hop_ms: 0.01, ..SPEECH }).unwrap_err();
        assert_eq!(error, "data.mel_hop: 0.01 ms are 0 steps at data.rate = 16000 Hz, expected at least 1");
        assert!(made(LogMelSettings { window_ms: 0.05, ..SPEECH }).unwrap_err().starts_with("data.mel_window: "));
    }

    #[test]
    fn places_beyond_a_signal_are_reflected() {
        let all: Vec<usize> = (-5..8).map(|place| reflected(place, 4)).collect();
        assert_eq!(all, [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!((-3..4).map(|place| reflected(place, 1)).max(), Some(0));
    }
}
