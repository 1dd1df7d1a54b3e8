//! What a person listens to: signals as small WAV files.

use crate::image::{Image, Pixels};
use selfsame_spectrum::resampled;

/// Signals of a lower rate are nothing to listen to, Hz.
pub const AUDIBLE: usize = 1000;
/// Rates at which sounds are written, at most, the better one first, Hz.
const RATES: [usize; 2] = [16_000, 8_000];
/// Bytes before the values.
const HEADER: usize = 44;
/// The loudest value, so that no player has to clip it.
const LOUDEST: f32 = 0.9 * 32767.0;

/// A signal `[1, time, channels]` of `rate` Hz as a WAV file of at most `most_bytes`: the mean of its channels in 16 bits, all sounds
/// equally loud at their loudest. A long one has a lower rate, and of one that is still too long its middle is left.
///
/// # Errors
/// If it cannot be resampled.
pub fn wav(signal: &Image, rate: usize, most_bytes: usize) -> Result<Vec<u8>, String> {
    let Pixels::F32(values) = &signal.pixels else { unreachable!("signals are floats") };
    let mut mono: Vec<f32> =
        values.chunks_exact(signal.channels).map(|step| step.iter().sum::<f32>() / signal.channels as f32).collect();
    let steps = most_bytes.saturating_sub(HEADER) / 2;
    let fits = |written: usize| mono.len() as u64 * written as u64 <= steps as u64 * rate as u64;
    let written = RATES.map(|most| most.min(rate)).into_iter().find(|&rate| fits(rate)).unwrap_or(RATES[1].min(rate));
    let most = (steps as u64 * rate as u64 / written as u64) as usize;
    if mono.len() > most {
        mono.drain(..(mono.len() - most) / 2);
        mono.truncate(most);
    }
    let mean = mono.iter().sum::<f32>() / mono.len().max(1) as f32;
    mono.iter_mut().for_each(|v| *v -= mean);
    let mut mono = resampled(mono, 1, rate, written)?;
    mono.truncate(steps);
    let loudest = mono.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let scale = if loudest > 0.0 { LOUDEST / loudest } else { 0.0 };
    let bytes = 2 * mono.len() as u32;
    let mut file = Vec::with_capacity(HEADER + bytes as usize);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(HEADER as u32 - 8 + bytes).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt ");
    // Length of this part, PCM, one channel, values and bytes a second, bytes of a value, bits of a value.
    file.extend_from_slice(&16u32.to_le_bytes());
    [1u16, 1].iter().for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    [written as u32, 2 * written as u32].iter().for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    [2u16, 16].iter().for_each(|v| file.extend_from_slice(&v.to_le_bytes()));
    file.extend_from_slice(b"data");
    file.extend_from_slice(&bytes.to_le_bytes());
    mono.iter().for_each(|v| file.extend_from_slice(&((v * scale).round() as i16).to_le_bytes()));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    fn sine(rate: usize, seconds: f32, channels: usize) -> Image {
        let steps = (rate as f32 * seconds) as usize;
        let value = |t: usize| 3.0 + 0.01 * (TAU * 440.0 * t as f32 / rate as f32).sin();
        Image::new(1, steps, channels, Pixels::F32((0..steps * channels).map(|i| value(i / channels)).collect()))
    }

    fn number(file: &[u8], at: usize) -> usize {
        u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn a_sound_is_a_wav_file_with_its_tone_within_the_bytes() {
        for (rate, seconds, most, expected) in [
            (8000, 0.5, 100_000, 8000),
            (44_100, 0.5, 100_000, 16_000),
            (16_000, 2.0, 40_000, 8000),
            (22_050, 60.0, 20_000, 8000),
            (2000, 1.0, 100_000, 2000),
        ] {
            let file = wav(&sine(rate, seconds, 2), rate, most).unwrap();
            assert!(file.len() <= most, "{} bytes", file.len());
            assert_eq!((&file[..4], &file[8..16], &file[36..40]), (&b"RIFF"[..], &b"WAVEfmt "[..], &b"data"[..]));
            assert_eq!((number(&file, 4), number(&file, 40)), (file.len() - 8, file.len() - 44));
            assert_eq!((number(&file, 24), number(&file, 28)), (expected, 2 * expected));
            let values: Vec<f32> =
                file[44..].chunks_exact(2).map(|v| f32::from(i16::from_le_bytes([v[0], v[1]]))).collect();
            let heard = values.len() as f32 / expected as f32;
            assert!((heard - seconds.min((most - 44) as f32 / 2.0 / expected as f32)).abs() < 0.01, "{heard} s");
            let loudest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            assert!((loudest - LOUDEST).abs() < 1.0);
            // 440 times a second from below to above.
            let middle = &values[values.len() / 4..values.len() * 3 / 4];
            let crossings = middle.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count() as f32;
            let tone = crossings / (middle.len() as f32 / expected as f32);
            assert!((tone - 440.0).abs() < 12.0, "{tone} Hz of {rate}");
        }
        assert_eq!(wav(&Image::new(1, 4, 1, Pixels::F32(vec![2.0; 4])), 8000, 1000).unwrap()[44..], [0; 8]);
    }
}
