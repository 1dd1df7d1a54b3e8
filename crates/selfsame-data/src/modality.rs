//! What a sample is.

mod columns;

pub use columns::{Column, Columns, Place};

use crate::image::Size;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a sample is. On the device and in memory all have one form, `[height, width, channels]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    /// Pixels in rows and columns.
    #[default]
    Image,
    /// Features in no order, one channel each, of 1 × 1 px.
    Vector,
    /// Values of channels, step by step in time, of 1 px in height.
    Signal,
}

impl Modality {
    /// Each of them.
    pub const ALL: &'static [Self] = &[Self::Image, Self::Vector, Self::Signal];

    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["image", "vector", "signal"];

    /// The word by which recipes name it.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// Channels that are columns of a table, of `channels` in all.
    pub fn vector_width(self, channels: usize) -> usize {
        if self == Self::Vector { channels } else { 0 }
    }

    /// The sides that `written` means: of signals one number is their length.
    pub fn size(self, written: Size) -> Size {
        match self {
            Self::Signal if written.height == written.width => Size { height: 1, width: written.width },
            _ => written,
        }
    }

    /// Whether samples may have these sides.
    pub fn admits(self, size: Size) -> bool {
        match self {
            Self::Image => size.shorter() >= 4 && size.longer() <= 4096,
            Self::Vector => size == Size::square(1),
            Self::Signal => size.height == 1 && size.width >= 4,
        }
    }

    /// What sides a sample must have, in words.
    pub fn admitted(self) -> &'static str {
        match self {
            Self::Image => "4 to 4096 px",
            Self::Vector => "1; leave the key out",
            Self::Signal => "at least 4 steps in time",
        }
    }

    /// Channels of a sample, at most.
    pub fn most_channels(self) -> usize {
        match self {
            Self::Image => 16,
            Self::Vector => 65_536,
            Self::Signal => 1024,
        }
    }
}

impl fmt::Display for Modality {
    /// Of many: `images`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "images",
            Self::Vector => "vectors",
            Self::Signal => "signals",
        })
    }
}
