//! Contact sheets: equal tiles in rows, as one PNG.

mod color_map;
mod spectrogram;
mod waveform;

pub use waveform::waveform;

use color_map::mapped;
use spectrogram::spectrogram;
use waveform::GROUND;

use crate::augment::View;
use crate::dataset::Dataset;
use crate::decode;
use crate::image::{Image, Pixels, Size, ValueRange};
use crate::modality::Modality;
use crate::playback::AUDIBLE;
use crate::settings::DataSettings;
use crate::signal::SignalView;
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

    /// [`Self::to_sprite`] in at most `most_bytes`, by tiles that are made smaller, and their size.
    pub fn to_sprite_within(&self, most_bytes: usize) -> (Vec<u8>, Size) {
        let [height, width, channels] = self.tile;
        let mut size = Size { height, width };
        let mut png = self.to_sprite();
        while png.len() > most_bytes && size.shorter() > SMALLEST {
            // Bytes go with the square of a side.
            let side = size.shorter();
            let side = (side - 1).min((side as f64 * (most_bytes as f64 / png.len() as f64).sqrt()) as usize);
            size = with_shorter(Size { height, width }, side.max(SMALLEST));
            let mut smaller =
                Self { columns: self.columns, tile: [size.height, size.width, channels], values: Vec::new() };
            let mut view = View::default();
            (0..self.len())
                .for_each(|index| tile(&self.image(index), ValueRange::UNIT, size, &mut view, &mut smaller.values));
            png = smaller.to_sprite();
        }
        (png, size)
    }

    /// Columns that the sheet has, few tiles being less than asked for.
    pub fn shown_columns(&self) -> usize {
        self.columns.clamp(1, self.len().max(1))
    }

    /// Tiles of the samples `indices`, of [`tile_size`], about as many across as down.
    ///
    /// # Errors
    /// If threads cannot be started, or the data are gone. A sample that cannot be read is gray.
    pub fn of_samples(
        dataset: &Dataset,
        indices: &[usize],
        data: &DataSettings,
        most: usize,
    ) -> Result<Self, DataError> {
        let (size, channels) = (tile_size(data, most), tile_channels(data));
        let each = size.area() * channels;
        let row = |view: &mut View, &index: &usize| {
            let mut values = Vec::with_capacity(each);
            match dataset.with_sample(index, |sample| sample_tile(sample, data, size, view, &mut values)) {
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
        Ok(Self { columns: columns.max(1), tile: [size.height, size.width, channels], values: rows.concat() })
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

/// Size of the tiles of samples: images in the proportions of `data.size`, at most `most` px on the longer side and no larger than
/// they are; vectors squares of `most` px; signals `most` px high and half as much again in width.
pub fn tile_size(data: &DataSettings, most: usize) -> Size {
    match data.modality {
        Modality::Image => {
            let Size { height, width } = data.size;
            let longer = data.size.longer().min(most).max(1);
            let side = |side: usize| ((side * longer) as f64 / height.max(width) as f64).round().max(1.0) as usize;
            Size { height: side(height), width: side(width) }
        }
        Modality::Vector => Size::square(most),
        Modality::Signal => Size { height: most, width: most + most / 2 },
    }
}

/// `size` in its proportions with another shorter side.
fn with_shorter(size: Size, side: usize) -> Size {
    let scaled = |own: usize| (own * side + size.shorter() / 2) / size.shorter();
    Size { height: scaled(size.height), width: scaled(size.width) }
}

/// Channels of the tiles of samples.
pub(crate) fn tile_channels(data: &DataSettings) -> usize {
    match data.modality {
        Modality::Image if data.view == SignalView::LogMel => 3,
        Modality::Image => data.channels,
        Modality::Vector => 1,
        Modality::Signal => 3,
    }
}

/// Appends a sample as a tile, [`tile_channels`] deep: what the encoder sees of it without augmentations.
pub(crate) fn sample_tile(sample: &Image, data: &DataSettings, size: Size, view: &mut View, out: &mut Vec<f32>) {
    let range = data.range.into();
    if data.modality != Modality::Signal {
        return view_tile(sample, data, range, size, view, out);
    }
    view.set_range(ValueRange::UNIT);
    view.load(sample);
    let (length, most) = (sample.width, data.size.width);
    if length > most {
        view.keep_steps((length - most) / 2, most);
    }
    let mut plain = view.to_image();
    if let Pixels::F32(values) = &mut plain.pixels {
        values.resize(most * sample.channels, f32::NAN);
        plain.width = most;
    }
    view_tile(&plain, data, range, size, view, out);
}

/// Appends a view as a tile, [`tile_channels`] deep: an image as it is, one of a sound in colors and the lowest frequencies below, a
/// vector as [`bars`], a signal as a [`waveform`], above its spectrogram where it can be heard.
pub(crate) fn view_tile(
    image: &Image,
    data: &DataSettings,
    range: ValueRange,
    size: Size,
    view: &mut View,
    out: &mut Vec<f32>,
) {
    match data.modality {
        Modality::Image if data.view == SignalView::LogMel => {
            let mut gray = Vec::new();
            tile(image, range, size, view, &mut gray);
            out.extend(in_colors(&gray, size.width, image.channels));
        }
        Modality::Image => tile(image, range, size, view, out),
        Modality::Vector => out.extend(bars(&standardized(image, data, view), size.height)),
        Modality::Signal => {
            let steps = standardized(image, data, view);
            let above = if data.rate < AUDIBLE { size.height } else { (size.height * 2 / 5).max(1) };
            out.extend(waveform(&steps, data.channels, Size { height: above, ..size }));
            let below = Size { height: size.height - above, ..size };
            if below.height > 0 {
                out.extend(spectrogram(&steps, data.channels, data.rate, below, GROUND));
            }
        }
    }
}

/// The log-mel image of a sound, `[bands, width, channels]` on the 0..1 scale, as `[bands, width, 3]`: its first channel in colors, the
/// lowest frequency below.
pub fn in_colors(values: &[f32], width: usize, channels: usize) -> Vec<f32> {
    let rows = values.chunks_exact(width * channels).rev();
    rows.flatten().step_by(channels).flat_map(|value| mapped(*value)).collect()
}

/// The values of a vector or a signal, `[time, channels]`, with mean 0 and standard deviation 1.
fn standardized(sample: &Image, data: &DataSettings, view: &mut View) -> Vec<f32> {
    view.set_range(ValueRange::UNIT);
    view.load(sample);
    let scale: Vec<f32> = data.std.iter().map(|std| 1.0 / std).collect();
    let shift: Vec<f32> = data.mean.iter().zip(&data.std).map(|(mean, std)| -mean / std).collect();
    let mut values = vec![0.0; view.values().len()];
    view.write(&scale, &shift, &mut values);
    values
}

/// Appends the centered part of `image` of the proportions of `size` in it, `[height, width, channels]`; what does not lie on the
/// 0..1 scale is stretched over it.
fn tile(image: &Image, range: ValueRange, size: Size, view: &mut View, out: &mut Vec<f32>) {
    view.set_range(range);
    view.fit(image, size);
    let start = out.len();
    out.resize(start + size.area() * image.channels, 0.0);
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
