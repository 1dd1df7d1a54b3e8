//! Pictures of samples, as a page takes them in: tiles of one size in one PNG, from which the style cuts each; and sounds.

use crate::html::{Page, data_uri, escape};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Side of a thumbnail on the map, at most, and bytes that all of them may take.
pub const THUMBNAIL_PX: usize = 32;
/// See [`THUMBNAIL_PX`].
pub const THUMBNAIL_BYTES: usize = 1_700_000;
/// Side of a tile in a gallery, at most, and bytes that all of them may take.
pub const GALLERY_PX: usize = 64;
/// See [`GALLERY_PX`].
pub const GALLERY_BYTES: usize = 600_000;
/// Bytes that the tiles of a report's views may take.
pub const VIEWS_BYTES: usize = 350_000;
/// Bytes that the tiles of a page of views alone may take.
pub const PREVIEW_BYTES: usize = 3_000_000;
/// Samples that can be heard, at most, and bytes that all of them may take.
pub const SOUNDS: usize = 40;
/// See [`SOUNDS`].
pub const SOUND_BYTES: usize = 1_500_000;

/// Tiles in rows, side by side without space between them, as one PNG.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileSheet {
    /// The file. The page grows by four thirds of its bytes.
    pub png: Vec<u8>,
    /// Tiles in a row.
    pub columns: usize,
    /// Height and width of a tile, px.
    pub tile_px: [usize; 2],
}

/// Pictures of the samples of [`Findings`](selfsame_evaluate::findings::Findings).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamplePictures {
    /// A tile for every sample, in their order. [`THUMBNAIL_PX`] and [`THUMBNAIL_BYTES`] keep a page small.
    pub thumbnails: TileSheet,
    /// A tile for each of [`gallery_samples`](crate::gallery_samples), in their order, by [`GALLERY_PX`] and
    /// [`GALLERY_BYTES`].
    pub gallery: TileSheet,
    /// What each sample holds, lines of text in their order, where samples are rows of a table; empty where they are not.
    pub rows: Vec<String>,
    /// WAV files of some of [`audible_samples`](crate::audible_samples), by their place; [`SOUND_BYTES`] keep a page small. They
    /// play when somebody asks for it.
    pub sounds: BTreeMap<usize, Vec<u8>>,
}

/// A sheet whose tiles a page shows one by one.
pub(crate) struct Sprite {
    class: &'static str,
    pub columns: usize,
    /// Height and width of a tile.
    sides: [usize; 2],
}

impl Sprite {
    /// Puts the sheet into the page's style.
    pub fn add(page: &mut Page, class: &'static str, sheet: &TileSheet) -> Self {
        let (columns, [height, width]) = (sheet.columns.max(1), sheet.tile_px.map(|side| side.max(1)));
        let ratio = if height == width { String::new() } else { format!("--r:{:.4};", height as f64 / width as f64) };
        let png = data_uri("image/png", &sheet.png);
        let _ = writeln!(page.style, ".{class}{{--n:{columns};{ratio}background-image:url({png})}}");
        Self { class, columns, sides: [height, width] }
    }

    /// Classes of a tile's element.
    pub fn classes(&self) -> String {
        format!("t {}{}", self.class, if self.sides[0].max(self.sides[1]) < 48 { " px" } else { "" })
    }

    /// One tile, shown `shown_px` wide.
    pub fn tile(&self, index: usize, shown_px: usize, title: &str) -> String {
        let title = if title.is_empty() { String::new() } else { format!(" title=\"{}\"", escape(title)) };
        let (x, y) = (index % self.columns, index / self.columns);
        format!("<i class=\"{}\" style=\"--d:{shown_px}px;--x:{x};--y:{y}\"{title}></i>", self.classes())
    }

    /// Width at which tiles of about this height look well: whole multiples of small ones.
    pub fn shown_px(&self, about: usize) -> usize {
        let [height, width] = self.sides;
        if height >= about {
            about * width / height
        } else {
            width * (about as f64 / height as f64).round().max(1.0) as usize
        }
    }
}
