//! An image in memory: 1 to 16 channels, interleaved, 8-bit, 16-bit or `f32`. A vector is one of 1 × 1 px, with a channel for each
//! feature; a signal one of 1 px in height, with a column for each step in time.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Pixels in `[height, width, channels]` order. `f32` pixels that came from 8 or 16 bits lie in `0..=1`.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// 8 bits, `0..=255`.
    U8(Vec<u8>),
    /// 16 bits, `0..=65535`.
    U16(Vec<u16>),
    /// Working format of every augmentation; `0..=1` unless the source itself was `f32`.
    F32(Vec<f32>),
}

/// The values that augmentations take for 0 and 1 (`data.range`), on the scale of the data: 8 and 16 bits on 0..1, all other
/// numbers on their own. One for all channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    /// What is black.
    pub low: f32,
    /// What is white.
    pub high: f32,
}

impl ValueRange {
    /// 8 bits as they are.
    pub const UNIT: Self = Self { low: 0.0, high: 1.0 };

    /// Length.
    pub fn span(self) -> f32 {
        self.high - self.low
    }
}

impl Default for ValueRange {
    fn default() -> Self {
        Self::UNIT
    }
}

impl From<[f32; 2]> for ValueRange {
    fn from([low, high]: [f32; 2]) -> Self {
        Self { low, high }
    }
}

/// An image of any channel count and depth.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Rows, px.
    pub height: usize,
    /// Columns, px.
    pub width: usize,
    /// Channels per pixel.
    pub channels: usize,
    /// `[height, width, channels]`.
    pub pixels: Pixels,
}

/// Height and width in pixels; of signals 1 and steps in time. In files a square is one number, any other `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows, px.
    pub height: usize,
    /// Columns, px.
    pub width: usize,
}

impl Size {
    /// Of a square.
    pub const fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }

    /// Of the sides `[height, width]`.
    pub const fn of([height, width]: [usize; 2]) -> Self {
        Self { height, width }
    }

    /// `[height, width]`
    pub const fn sides(self) -> [usize; 2] {
        [self.height, self.width]
    }

    /// Number of pixels.
    pub const fn area(self) -> usize {
        self.height * self.width
    }

    /// The shorter side.
    pub fn shorter(self) -> usize {
        self.height.min(self.width)
    }

    /// The longer side.
    pub fn longer(self) -> usize {
        self.height.max(self.width)
    }
}

impl fmt::Display for Size {
    /// `28`, `64×96`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sides() {
            [height, width] if height == width => write!(f, "{height}"),
            [height, width] => write!(f, "{height}×{width}"),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.height == self.width { self.height.serialize(to) } else { self.sides().serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Side(usize),
            Sides([usize; 2]),
        }
        Ok(match Written::deserialize(from)? {
            Written::Side(side) => Self::square(side),
            Written::Sides(sides) => Self::of(sides),
        })
    }
}

impl Image {
    /// Builds an image; the pixel count must fit the shape (our own bug otherwise).
    pub fn new(height: usize, width: usize, channels: usize, pixels: Pixels) -> Self {
        let image = Self { height, width, channels, pixels };
        assert_eq!(image.len(), height * width * channels, "pixels do not fit {height}×{width}×{channels}");
        image
    }

    /// Number of values, `height · width · channels`.
    pub fn len(&self) -> usize {
        match &self.pixels {
            Pixels::U8(p) => p.len(),
            Pixels::U16(p) => p.len(),
            Pixels::F32(p) => p.len(),
        }
    }

    /// Whether the image has no pixels.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory held by the pixels, bytes.
    pub fn size_bytes(&self) -> usize {
        match &self.pixels {
            Pixels::U8(p) => p.len(),
            Pixels::U16(p) => 2 * p.len(),
            Pixels::F32(p) => 4 * p.len(),
        }
    }

    /// Height and width.
    pub fn size(&self) -> Size {
        Size { height: self.height, width: self.width }
    }
}
