//! What a sample is.

mod columns;

pub use columns::{Column, Columns, Place};

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
}

impl Modality {
    /// Each of them.
    pub const ALL: &'static [Self] = &[Self::Image, Self::Vector];

    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["image", "vector"];

    /// Channels that are columns of a table, of `channels` in all.
    pub fn vector_width(self, channels: usize) -> usize {
        if self == Self::Vector { channels } else { 0 }
    }

    /// Channels of a sample, at most.
    pub fn most_channels(self) -> usize {
        match self {
            Self::Image => 16,
            Self::Vector => 65_536,
        }
    }
}

impl fmt::Display for Modality {
    /// Of many: `images`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "images",
            Self::Vector => "vectors",
        })
    }
}
