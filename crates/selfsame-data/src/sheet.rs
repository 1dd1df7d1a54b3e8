//! Contact sheets: equal tiles in rows, as one PNG.

use crate::augment::View;
use crate::dataset::Dataset;
use crate::decode;
use crate::image::{Image, Pixels, Size, ValueRange};
use crate::modality::Modality;
use crate::settings::DataSettings;
use crate::threads;
use rayon::prelude::*;
use selfsame_base::DataError;

/// Space between tiles and around them, px.
const GAP: usize = 2;
/// Small tiles are enlarged to about this side, px.
const SHOWN: usize = 64;

/// Side below which tiles are not made smaller, px.
const SMALLEST: usize = 4;

/// Tiles of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// Tiles in a row.
    pub columns: usize,
    /// Height, width and channels of a tile; of more than three channels the first is shown.
    pub tile: [usize; 3],
    /// `[tiles, height, width, channels]`, black 0 to white 1; what lies beyond is clipped.
    pub values: Vec<f32>,
}

impl Sheet {
    /// The sheet as an RGB PNG, on white; tiles of small images are enlarged by whole pixels.
    pub fn to_png(&self) -> Vec<u8> {
        let [height, width, _] = self.tile;
        self.compose(GAP, (SHOWN / height.max(width)).max(1), 3)
    }

    /// The tiles side by side in their own size, without any space between: what a page cuts its pictures from. Gray
    /// where the tiles are.
    pub fn to_sprite(&self) -> Vec<u8> {
        self.compose(0, 1, if self.tile[2] == 3 { 3 } else { 1 })
    }

    /// [`Self::to_sprite`] in at most `most_bytes`, by tiles that are made smaller, and their side, px.
    pub fn to_sprite_within(&self, most_bytes: usize) -> (Vec<u8>, usize) {
        let mut side = self.tile[0];
        let mut png = self.to_sprite();
        while png.len() > most_bytes && side > SMALLEST {
            // Bytes go with the square of the side.
            side = (side - 1).min((side as f64 * (most_bytes as f64 / png.len() as f64).sqrt()) as usize).max(SMALLEST);
            let mut smaller = Self { columns: self.columns, tile: [side, side, self.tile[2]], values: Vec::new() };
            let mut view = View::default();
            (0..self.len())
                .for_each(|index| tile(&self.image(index), ValueRange::UNIT, side, &mut view, &mut smaller.values));
            png = smaller.to_sprite();
        }
        (png, side)
    }

    /// Columns that the sheet has, few tiles being less than asked for.
    pub fn shown_columns(&self) -> usize {
        self.columns.clamp(1, self.len().max(1))
    }

    /// Tiles of the samples `indices`, of `side` px, about as many across as down.
    ///
    /// # Errors
    /// If threads cannot be started, or the data are gone. A sample that cannot be read is gray.
    pub fn of_samples(
        dataset: &Dataset,
        indices: &[usize],
        data: &DataSettings,
        side: usize,
    ) -> Result<Self, DataError> {
        let channels = tile_channels(data);
        let each = side * side * channels;
        let row = |view: &mut View, &index: &usize| {
            let mut values = Vec::with_capacity(each);
            match dataset
                .with_sample(index, |sample| sample_tile(sample, data, data.range.into(), side, view, &mut values))
            {
                Ok(()) => {}
                // It could be read when it was embedded.
                Err(DataError::Sample { .. }) => values.resize(each, 0.5),
                Err(error) => return Err(error),
            }
            Ok(values)
        };
        let rows = || indices.par_iter().map_init(View::default, row).collect::<Result<Vec<_>, _>>();
        let rows = threads::pool(0)?.install(rows)?;
        let columns = (indices.len() as f64).sqrt().ceil() as usize;
        Ok(Self { columns: columns.max(1), tile: [side, side, channels], values: rows.concat() })
    }

    /// Number of tiles.
    pub fn len(&self) -> usize {
        self.values.len() / self.tile.iter().product::<usize>()
    }

    /// Whether there are no tiles.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Tile `index` as an image.
    pub fn image(&self, index: usize) -> Image {
        let [height, width, channels] = self.tile;
        let each = height * width * channels;
        Image::new(height, width, channels, Pixels::F32(self.values[index * each..][..each].to_vec()))
    }

    fn compose(&self, gap: usize, zoom: usize, depth: usize) -> Vec<u8> {
        let [height, width, channels] = self.tile;
        let each = height * width * channels;
        assert!(each > 0 && self.values.len().is_multiple_of(each), "{} values in tiles of {each}", self.values.len());
        let tiles = self.len();
        let columns = self.shown_columns();
        let rows = tiles.div_ceil(columns).max(1);
        let (pitch_x, pitch_y) = (width * zoom + gap, height * zoom + gap);
        let (sheet_width, sheet_height) = (columns * pitch_x + gap, rows * pitch_y + gap);
        let mut pixels = vec![255u8; sheet_width * sheet_height * depth];
        for (index, tile) in self.values.chunks_exact(each).enumerate() {
            let (left, top) = (gap + index % columns * pitch_x, gap + index / columns * pitch_y);
            for y in 0..height * zoom {
                for x in 0..width * zoom {
                    let from = &tile[(y / zoom * width + x / zoom) * channels..][..channels];
                    let to = &mut pixels[((top + y) * sheet_width + left + x) * depth..][..depth];
                    for (c, to) in to.iter_mut().enumerate() {
                        let value = from[if channels == 3 { c } else { 0 }];
                        *to = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
                    }
                }
            }
        }
        decode::encode_png(&pixels, sheet_width, sheet_height)
    }
}

/// Brings a tile's smallest value to black and its largest to white.
pub fn stretch(tile: &mut [f32]) {
    let low = tile.iter().copied().fold(f32::INFINITY, f32::min);
    let span = tile.iter().copied().fold(f32::NEG_INFINITY, f32::max) - low;
    tile.iter_mut().for_each(|v| *v = (*v - low) / span.max(f32::MIN_POSITIVE));
}

/// A vector of standardized features as bars up and down from the middle, `[side, side, 1]`: the edges are three standard
/// deviations away. Of more features than columns some are left out.
pub fn bars(features: &[f32], side: usize) -> Vec<f32> {
    const BAR: f32 = 0.25;
    const GROUND: f32 = 0.9;
    const EDGE: f32 = 3.0;
    let middle = side as f32 / 2.0;
    let ends: Vec<[f32; 2]> = (0..side)
        .map(|x| {
            let end = middle - features[x * features.len() / side] / EDGE * middle;
            [end.min(middle), end.max(middle)]
        })
        .collect();
    let covered = |y: usize, [top, bottom]: [f32; 2]| (bottom.min((y + 1) as f32) - top.max(y as f32)).max(0.0);
    (0..side).flat_map(|y| ends.iter().map(move |&ends| GROUND + (BAR - GROUND) * covered(y, ends))).collect()
}

/// Channels of the tiles of samples.
pub(crate) fn tile_channels(data: &DataSettings) -> usize {
    if data.modality == Modality::Vector { 1 } else { data.channels }
}

/// Appends a sample as a tile, [`tile_channels`] deep: an image as it is, a vector as [`bars`].
pub(crate) fn sample_tile(
    sample: &Image,
    data: &DataSettings,
    range: ValueRange,
    side: usize,
    view: &mut View,
    out: &mut Vec<f32>,
) {
    if data.modality == Modality::Image {
        return tile(sample, range, side, view, out);
    }
    view.load(sample);
    let standardized = view.values().iter().zip(&data.mean).zip(&data.std).map(|((v, mean), std)| (v - mean) / std);
    out.extend(bars(&standardized.collect::<Vec<_>>(), side));
}

/// Appends the centered square of `image` in `side` × `side` px, `[side, side, channels]`; what does not lie on the 0..1
/// scale is stretched over it.
fn tile(image: &Image, range: ValueRange, side: usize, view: &mut View, out: &mut Vec<f32>) {
    view.set_range(range);
    view.fit(image, Size::square(side));
    let start = out.len();
    out.resize(start + side * side * image.channels, 0.0);
    let tile = &mut out[start..];
    view.write(&vec![1.0; image.channels], &vec![0.0; image.channels], tile);
    // Resampling and normalization overshoot a little.
    if tile.iter().any(|v| !(-0.1..=1.1).contains(v)) {
        stretch(tile);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{FileDecoder, Wanted};

    #[test]
    fn tiles_lie_in_rows_enlarged_by_whole_pixels() {
        let sheet = Sheet { columns: 2, tile: [32, 32, 1], values: [0.0, 0.5, 2.0].map(|v| vec![v; 1024]).concat() };
        let decoder = FileDecoder {
            wanted: Wanted::channels(1),
            gray_only: false,
            background: [0; 3],
            max_megapixels: 1.0,
            memory_bytes: 1 << 20,
        };
        let (image, _) = decoder.decode(&sheet.to_png(), "a sheet").unwrap();
        let Pixels::U8(pixels) = &image.pixels else { panic!("8 bits") };
        assert_eq!([image.height, image.width], [2 * 66 + 2, 2 * 66 + 2]);
        let at = |y: usize, x: usize| pixels[y * image.width + x];
        assert_eq!(
            [at(0, 0), at(2, 2), at(65, 65), at(33, 100), at(100, 33), at(100, 100)],
            [255, 0, 0, 128, 255, 255]
        );
        let (sprite, _) = decoder.decode(&sheet.to_sprite(), "a sprite").unwrap();
        let Pixels::U8(pixels) = &sprite.pixels else { panic!("8 bits") };
        assert_eq!([sprite.height, sprite.width, sprite.channels], [64, 64, 1]);
        assert_eq!([pixels[0], pixels[32], pixels[63], pixels[32 * 64]], [0, 128, 128, 255]);
    }
}
