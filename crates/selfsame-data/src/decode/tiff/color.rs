//! What stored samples mean as colors: gray, RGB, a palette, ink, or YCbCr; and alpha that is, or is not, multiplied in already.

use crate::decode::Value;
use std::borrow::Cow;

/// Which sample is alpha.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alpha {
    pub sample: usize,
    /// Whether the color is multiplied by it ("premultiplied").
    pub associated: bool,
}

/// What the first samples of a pixel are.
#[derive(Clone, Debug)]
pub enum Color {
    Gray {
        zero_is_white: bool,
    },
    Rgb,
    /// Colors by index.
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr(YCbCr),
}

/// Luma and chroma, as ITU-R BT.601 or as the file says.
#[derive(Clone, Debug)]
pub struct YCbCr {
    /// How many pixels, across and down, share their chroma.
    pub subsampling: [usize; 2],
    /// Of red, green and blue in luma.
    pub weights: [f64; 3],
    /// Codes of black and white: of luma, then the middle and the most of blue's and red's chroma.
    pub range: [f64; 6],
}

impl Color {
    /// From all reds, then all greens, then all blues, in 16 bits.
    pub fn palette(map: &[u64]) -> Self {
        // Some writers fill in 8 bits.
        let shift = if map.iter().all(|&value| value < 256) { 0 } else { 8 };
        let count = map.len() / 3;
        let color = |index: usize| [0, 1, 2].map(|channel| (map[channel * count + index] >> shift) as u8);
        Self::Palette((0..count).map(color).collect())
    }

    /// Samples that it is stored in.
    pub fn samples(&self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr(_) => 3,
            Self::Cmyk => 4,
        }
    }

    /// Channels that it is shown in: gray or RGB.
    pub fn channels(&self) -> usize {
        if let Self::Gray { .. } = self { 1 } else { 3 }
    }

    /// Whether its sample is no amount of light.
    pub fn is_index(&self) -> bool {
        matches!(self, Self::Palette(_))
    }

    /// Whether it is stored as it is shown.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Gray { zero_is_white: false } | Self::Rgb)
    }

    /// The color of a pixel, gray in the first of three.
    pub fn shown<T: Value>(&self, stored: &[T]) -> [T; 3] {
        let unit = |index: usize| stored[index].to_unit();
        match self {
            Self::Gray { zero_is_white: false } => [stored[0]; 3],
            Self::Gray { zero_is_white: true } => [T::from_unit(1.0 - unit(0)); 3],
            Self::Rgb => [stored[0], stored[1], stored[2]],
            Self::Palette(colors) => {
                let index = (unit(0) * 255.0).round() as usize;
                colors.get(index).copied().unwrap_or_default().map(|value| T::from_unit(f64::from(value) / 255.0))
            }
            Self::Cmyk => [0, 1, 2].map(|ink| T::from_unit((1.0 - unit(ink)) * (1.0 - unit(3)))),
            Self::YCbCr(space) => space.to_rgb([0, 1, 2].map(|i| 255.0 * unit(i))).map(|v| T::from_unit(v / 255.0)),
        }
    }

    /// Bytes of a chunk whose pixels share their chroma.
    pub fn packed_len(&self, [width, height]: [usize; 2]) -> Option<usize> {
        let Self::YCbCr(YCbCr { subsampling: [across, down], .. }) = self else { return None };
        width.div_ceil(*across).checked_mul(height.div_ceil(*down))?.checked_mul(across * down + 2)
    }

    /// Gives each pixel of a chunk its chroma: units of luma, row by row, then of both chromas, become pixels of three values.
    pub fn unfolded<'a>(&self, packed: Cow<'a, [u8]>, [width, height]: [usize; 2]) -> Cow<'a, [u8]> {
        let Self::YCbCr(YCbCr { subsampling: [across, down], .. }) = *self else { return packed };
        if [across, down] == [1, 1] {
            return packed;
        }
        let (units, unit_len) = (width.div_ceil(across), across * down + 2);
        let mut pixels = Vec::with_capacity(3 * width * height);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let unit = &packed[(y / down * units + x / across) * unit_len..][..unit_len];
            pixels.extend([unit[y % down * across + x % across], unit[unit_len - 2], unit[unit_len - 1]]);
        }
        Cow::Owned(pixels)
    }
}

impl YCbCr {
    fn to_rgb(&self, code: [f64; 3]) -> [f64; 3] {
        let ([red, green, blue], range) = (self.weights, self.range);
        let luma = (code[0] - range[0]) * 255.0 / (range[1] - range[0]);
        let [cb, cr] = [1, 2].map(|i| (code[i] - range[2 * i]) * 127.0 / (range[2 * i + 1] - range[2 * i]));
        let (r, b) = (luma + (2.0 - 2.0 * red) * cr, luma + (2.0 - 2.0 * blue) * cb);
        [r, (luma - red * r - blue * b) / green, b]
    }
}

/// `[color, alpha]` on a background, where the color is multiplied by alpha already.
pub fn over_background<T: Value>(color: T, alpha: T, background: u8) -> T {
    T::from_unit(color.to_unit() + f64::from(background) / 255.0 * (1.0 - alpha.to_unit()))
}

/// A color as it was before it was multiplied by alpha.
pub fn straight<T: Value>(color: T, alpha: T) -> T {
    if alpha.to_unit() > 0.0 { T::from_unit(color.to_unit() / alpha.to_unit()) } else { T::from_unit(0.0) }
}
