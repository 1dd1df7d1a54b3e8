//! Signals as curves.

use crate::image::Size;

/// Colors of the channels, in turn: those of the report's charts.
const COLORS: [u32; 10] =
    [0x4269d0, 0xe8604c, 0x2f8f41, 0xd9960f, 0x8f57d6, 0x3fa796, 0xd9679b, 0x9c6b4e, 0x6f98dc, 0x868c95];
/// What is behind the curves.
pub(super) const GROUND: f32 = 0.97;
/// A channel's mean over the data.
const MIDDLE: f32 = 0.86;
/// Standard deviations from the middle to the edge, at least; more where the signal goes farther.
const EDGE: f32 = 3.0;
/// Width of a curve, px.
const STROKE: f32 = 1.3;
/// Height of a channel's lane, px, at least. Where there are more channels than lanes, some share one.
const LANE: usize = 8;

/// Standardized steps `[time, channels]` as curves in a picture `[height, width, 3]`, a lane for each channel, from above. All lanes
/// have one scale; where the signal is NaN there is nothing.
pub fn waveform(steps: &[f32], channels: usize, size: Size) -> Vec<f32> {
    let Size { height, width } = size;
    let mut picture = vec![GROUND; size.area() * 3];
    let lanes = channels.min((height / LANE).max(1));
    let largest = steps.iter().filter(|v| v.is_finite()).fold(EDGE, |most, v| most.max(v.abs()));
    let middle = |lane: usize| (lane as f32 + 0.5) * height as f32 / lanes as f32;
    for lane in 0..lanes {
        let row = (middle(lane) as usize).min(height - 1);
        picture[row * width * 3..][..width * 3].fill(MIDDLE);
    }
    let scale = (height as f32 / lanes as f32 - STROKE) / 2.0 / largest;
    for channel in 0..channels {
        let hex = COLORS[channel % COLORS.len()];
        let color = [16, 8, 0].map(|shift| (hex >> shift & 255) as f32 / 255.0);
        let middle = middle(channel * lanes / channels);
        for (x, extent) in extents(steps, channels, channel, width).enumerate() {
            let Some([low, high]) = extent else { continue };
            let [top, bottom] = [middle - high * scale - STROKE / 2.0, middle - low * scale + STROKE / 2.0];
            for y in top.max(0.0) as usize..(bottom.ceil() as usize).min(height) {
                let covered = bottom.min((y + 1) as f32) - top.max(y as f32);
                let pixel = &mut picture[(y * width + x) * 3..][..3];
                pixel.iter_mut().zip(color).for_each(|(v, color)| *v += covered.clamp(0.0, 1.0) * (color - *v));
            }
        }
    }
    picture
}

/// Lowest and highest point in every column of the line through a channel's steps, each in the middle of its time; `None` where
/// there is none.
fn extents(
    steps: &[f32],
    channels: usize,
    channel: usize,
    width: usize,
) -> impl Iterator<Item = Option<[f32; 2]>> + '_ {
    let length = steps.len() / channels;
    let value = move |step: usize| steps[step.min(length - 1) * channels + channel];
    let per_column = length as f64 / width as f64;
    // Of the line at a time.
    let at = move |time: f64| {
        let place = (time - 0.5).clamp(0.0, (length - 1) as f64);
        let (step, rest) = (place as usize, place.fract() as f32);
        if rest == 0.0 { value(step) } else { value(step) + rest * (value(step + 1) - value(step)) }
    };
    (0..width).map(move |x| {
        let [start, end] = [x as f64 * per_column, (x + 1) as f64 * per_column];
        let within = ((start + 0.5) as usize..(end + 0.5) as usize).map(value);
        let seen = [at(start), at(end)].into_iter().chain(within).filter(|v| v.is_finite());
        let [low, high] = seen.fold([f32::INFINITY, f32::NEG_INFINITY], |[l, h], v| [l.min(v), h.max(v)]);
        (low <= high).then_some([low, high])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { height: 64, width: 96 };

    fn pixel(picture: &[f32], y: usize, x: usize) -> &[f32] {
        &picture[(y * SIZE.width + x) * 3..][..3]
    }

    /// Rows of a column that are neither ground nor middle.
    fn drawn(picture: &[f32], x: usize) -> Vec<usize> {
        (0..SIZE.height).filter(|&y| pixel(picture, y, x).iter().any(|v| *v < MIDDLE - 0.01)).collect()
    }

    #[test]
    fn a_step_up_is_a_line_below_a_vertical_one_and_a_line_above() {
        let steps: Vec<f32> = (0..192).map(|t| if t < 96 { -1.5 } else { 1.5 }).collect();
        let picture = waveform(&steps, 1, SIZE);
        // 1.5 of 3 standard deviations, of 31.35 px.
        assert!(drawn(&picture, 10).iter().all(|y| (46..=49).contains(y)) && !drawn(&picture, 10).is_empty());
        assert!(drawn(&picture, 80).iter().all(|y| (15..=17).contains(y)) && !drawn(&picture, 80).is_empty());
        let step = [drawn(&picture, 47), drawn(&picture, 48)].concat();
        assert!((17..46).all(|y| step.contains(&y)), "{step:?}");
    }

    #[test]
    fn one_peak_among_many_steps_is_seen_and_what_is_padded_is_not_drawn() {
        let mut steps = vec![0.0; 9600];
        steps[4321] = 3.0;
        steps[7200..].fill(f32::NAN);
        let picture = waveform(&steps, 1, SIZE);
        assert!(drawn(&picture, 43).first().is_some_and(|&top| top <= 1), "{:?}", drawn(&picture, 43));
        assert!(!drawn(&picture, 70).is_empty() && (73..96).all(|x| drawn(&picture, x).is_empty()));
    }

    #[test]
    fn channels_have_lanes_and_colors_of_their_own_as_long_as_there_is_room() {
        for channels in [1, 3, 8, 12, 200] {
            let steps: Vec<f32> = (0..50 * channels).map(|i| ((i / channels) as f32 * 0.4).sin()).collect();
            let picture = waveform(&steps, channels, SIZE);
            let colors = |hex: u32| [16, 8, 0].map(|shift| (hex >> shift & 255) as f32 / 255.0);
            for (channel, hex) in COLORS.iter().enumerate().take(channels) {
                let near = |p: &[f32]| p.iter().zip(colors(*hex)).all(|(a, b)| (a - b).abs() < 0.15);
                // Of more channels than lanes, the last of a lane covers the others.
                assert!(channels > 8 || picture.chunks(3).any(near), "channel {channel} of {channels}");
            }
            assert!(picture.iter().all(|v| (0.0..=1.0).contains(v)));
        }
    }

    #[test]
    fn pictures_of_next_to_nothing_are_pictures() {
        for (steps, channels) in [(vec![f32::NAN; 6], 2), (vec![0.5], 1), (vec![1e30, -1e30], 1)] {
            for size in [SIZE, Size { height: 1, width: 1 }] {
                let picture = waveform(&steps, channels, size);
                assert!(picture.len() == size.area() * 3 && picture.iter().all(|v| (0.0..=1.0).contains(v)));
            }
        }
    }
}
