//! From one rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// Steps that are transformed at once, about: enough for a steep filter at half the lower rate.
const BLOCK: usize = 1024;

/// `values`, `[time, channels]`, of `from` Hz at `to` Hz: band-limited to half the lower of both.
pub fn resampled(values: Vec<f32>, channels: usize, from: usize, to: usize) -> Result<Vec<f32>, String> {
    if from == to {
        return Ok(values);
    }
    let failed = |error: &dyn std::fmt::Display| format!("cannot be resampled from {from} to {to} Hz: {error}");
    let mut resampler =
        Fft::<f32>::new_custom(from, to, BLOCK, 1, channels, rubato::WindowFunction::BlackmanHarris2, FixedSync::Both)
            .map_err(|error| failed(&error))?;
    let steps = values.len() / channels;
    let buffer = InterleavedSlice::new(&values, channels, steps).map_err(|error| failed(&error))?;
    Ok(resampler.process_all(&buffer, steps, None).map_err(|error| failed(&error))?.take_data())
}
