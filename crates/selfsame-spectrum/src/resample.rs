//! From one rate to another.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler, WindowFunction};

/// Steps that are transformed at once, at least: enough for a steep filter at half the lower rate.
const BLOCK: usize = 1024;

/// Blocks of a whole number of steps at both rates, so many of which are transformed at once. An even number: the filter of an odd one
/// is off its center by half a step.
fn blocks(from: usize, to: usize) -> (usize, usize) {
    let (mut divisor, mut rest) = (from, to);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let block = from / divisor;
    (block, BLOCK.div_ceil(block).next_multiple_of(2))
}

/// `values`, `[time, channels]`, of `from` Hz at `to` Hz: band-limited to half the lower of both.
///
/// # Errors
/// If the rates have no filter between them.
pub fn resampled(values: Vec<f32>, channels: usize, from: usize, to: usize) -> Result<Vec<f32>, String> {
    if from == to {
        return Ok(values);
    }
    let failed = |error: &dyn std::fmt::Display| format!("cannot be resampled from {from} to {to} Hz: {error}");
    let (block, count) = blocks(from, to);
    let window = WindowFunction::BlackmanHarris2;
    let mut resampler = Fft::<f32>::new_custom(from, to, block * count, 1, channels, window, FixedSync::Both)
        .map_err(|error| failed(&error))?;
    let steps = values.len() / channels;
    let buffer = InterleavedSlice::new(&values, channels, steps).map_err(|error| failed(&error))?;
    Ok(resampler.process_all(&buffer, steps, None).map_err(|error| failed(&error))?.take_data())
}
