//! Contact sheets: equal tiles in rows, as one PNG.

use crate::decode;

/// Space between tiles and around them, px.
const GAP: usize = 2;
/// Small tiles are enlarged to about this side, px.
const SHOWN: usize = 64;

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
        let [height, width, channels] = self.tile;
        let each = height * width * channels;
        assert!(each > 0 && self.values.len().is_multiple_of(each), "{} values in tiles of {each}", self.values.len());
        let tiles = self.values.len() / each;
        let zoom = (SHOWN / height.max(width)).max(1);
        let columns = self.columns.clamp(1, tiles.max(1));
        let rows = tiles.div_ceil(columns);
        let (pitch_x, pitch_y) = (width * zoom + GAP, height * zoom + GAP);
        let (sheet_width, sheet_height) = (columns * pitch_x + GAP, rows * pitch_y + GAP);
        let mut pixels = vec![255u8; sheet_width * sheet_height * 3];
        for (index, tile) in self.values.chunks_exact(each).enumerate() {
            let (left, top) = (GAP + index % columns * pitch_x, GAP + index / columns * pitch_y);
            for y in 0..height * zoom {
                for x in 0..width * zoom {
                    let from = &tile[(y / zoom * width + x / zoom) * channels..][..channels];
                    let to = &mut pixels[((top + y) * sheet_width + left + x) * 3..][..3];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoder;
    use crate::image::Pixels;

    #[test]
    fn tiles_lie_in_rows_enlarged_by_whole_pixels() {
        let sheet = Sheet { columns: 2, tile: [32, 32, 1], values: [0.0, 0.5, 2.0].map(|v| vec![v; 1024]).concat() };
        let decoder = Decoder { channels: 1, background: [0; 3], max_megapixels: 1.0 };
        let image = decoder.decode(&sheet.to_png(), "a sheet").unwrap();
        let Pixels::U8(pixels) = &image.pixels else { panic!("8 bits") };
        assert_eq!([image.height, image.width], [2 * 66 + 2, 2 * 66 + 2]);
        let at = |y: usize, x: usize| pixels[y * image.width + x];
        assert_eq!(
            [at(0, 0), at(2, 2), at(65, 65), at(33, 100), at(100, 33), at(100, 100)],
            [255, 0, 0, 128, 255, 255]
        );
    }
}
