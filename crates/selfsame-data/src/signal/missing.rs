//! Values that are not there: what a sample with gaps becomes.

use serde::{Deserialize, Serialize};

/// What is done about a value that is missing within a signal (`data.missing`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// It lies on the line between its neighbors in time; before the first and after the last there is that value.
    #[default]
    Interpolate,
    /// The sample is a bad one.
    Refuse,
}

impl Missing {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["interpolate", "refuse"];
}

/// Fills the gaps (NaN) of `values`, `[time, channels]`, and says how many there were. Steps at the end of which no channel has a value
/// lie behind the end: they are cut off.
///
/// # Errors
/// If there is a gap and none may be, a channel without any value, or a value that is infinite.
pub fn mend(values: &mut Vec<f32>, channels: usize, missing: Missing) -> Result<usize, String> {
    let there = values.iter().rposition(|value| !value.is_nan()).ok_or("holds no value")?;
    values.truncate((there / channels + 1) * channels);
    if values.iter().any(|value| value.is_infinite()) {
        return Err("holds a value that is infinite or beyond the range of 32-bit floats".into());
    }
    let gaps = values.iter().filter(|value| value.is_nan()).count();
    if gaps == 0 {
        return Ok(0);
    }
    let steps = values.len() / channels;
    if let (Some(first), Missing::Refuse) = (values.iter().position(|value| value.is_nan()), missing) {
        let (step, channel) = (first / channels, first % channels);
        return Err(format!(
            "the value of step {step} in channel {channel} is missing, {gaps} in all; data.missing = \"interpolate\" fills them"
        ));
    }
    for channel in 0..channels {
        let mut last = None;
        for step in 0..steps {
            let value = values[step * channels + channel];
            if value.is_nan() {
                continue;
            }
            let start = last.map_or(0, |last| last + 1);
            let before = last.map_or(value, |last: usize| values[last * channels + channel]);
            let span = (step + 1 - start) as f32;
            for gap in start..step {
                let share = (gap + 1 - start) as f32 / span;
                values[gap * channels + channel] = before + (value - before) * share;
            }
            last = Some(step);
        }
        let last = last.ok_or_else(|| format!("holds no value in channel {channel}"))?;
        let value = values[last * channels + channel];
        (last + 1..steps).for_each(|step| values[step * channels + channel] = value);
    }
    Ok(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: f32 = f32::NAN;

    #[test]
    fn gaps_lie_on_the_line_between_their_neighbors_and_the_end_is_cut() {
        let mut values = vec![GAP, 1.0, 4.0, GAP, GAP, GAP, 1.0, 4.0, GAP, 6.0, GAP, GAP];
        assert_eq!(mend(&mut values, 2, Missing::Interpolate), Ok(5));
        assert_eq!(values, [4.0, 1.0, 4.0, 2.0, 2.5, 3.0, 1.0, 4.0, 1.0, 6.0]);
        let mut whole = vec![1.0, 2.0];
        assert_eq!(mend(&mut whole, 1, Missing::Refuse), Ok(0));
        assert_eq!(whole, [1.0, 2.0]);
    }

    #[test]
    fn what_cannot_be_filled_is_refused() {
        let refused = |mut values: Vec<f32>, missing| mend(&mut values, 2, missing).unwrap_err();
        let (fill, refuse) = (Missing::Interpolate, Missing::Refuse);
        assert_eq!(
            refused(vec![1.0, 1.0, 1.0, GAP, 1.0, 2.0], refuse),
            "the value of step 1 in channel 1 is missing, 1 in all; data.missing = \"interpolate\" fills them"
        );
        assert_eq!(refused(vec![1.0, GAP, 2.0, GAP], fill), "holds no value in channel 1");
        assert_eq!(refused(vec![GAP; 4], fill), "holds no value");
        assert!(refused(vec![f32::INFINITY, 0.0], fill).contains("infinite"));
    }
}
