//! Tiles of large images, each a sample of its own (`data.tile`).

use super::{Encoded, IndexedSource, Stat, hash_key};
use crate::image::{Image, Pixels, Size};
use selfsame_base::DataError;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a tile lies in its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// First row, px.
    pub y: usize,
    /// First column, px.
    pub x: usize,
    /// Less than the side of tiles where the image is smaller.
    pub size: Size,
}

/// Where the tiles of an image lie: every pixel is in one, and none goes beyond the edge. `None` for an image that is not larger than
/// a tile.
pub fn places(of: Size, side: usize, stride: usize) -> Option<Vec<Place>> {
    if of.height <= side && of.width <= side {
        return None;
    }
    // The last is shifted inwards.
    let starts = |len: usize| {
        let last = len.saturating_sub(side);
        (0..last).step_by(stride).chain([last])
    };
    let size = Size { height: side.min(of.height), width: side.min(of.width) };
    Some(starts(of.height).flat_map(|y| starts(of.width).map(move |x| Place { y, x, size })).collect())
}

impl Place {
    /// The pixels there. An image that is too small now (its file was replaced) is an error.
    pub fn cut(&self, image: &Image) -> Result<Image, String> {
        let Size { height, width } = self.size;
        if self.y + height > image.height || self.x + width > image.width {
            return Err(format!("the image has {}×{} px now, and this tile no more", image.height, image.width));
        }
        let pixels = match &image.pixels {
            Pixels::U8(values) => Pixels::U8(self.values(values, image)),
            Pixels::U16(values) => Pixels::U16(self.values(values, image)),
            Pixels::F32(values) => Pixels::F32(self.values(values, image)),
        };
        Ok(Image::new(height, width, image.channels, pixels))
    }

    fn values<T: Copy>(&self, values: &[T], &Image { width, channels, .. }: &Image) -> Vec<T> {
        let rows = values.chunks_exact(width * channels).skip(self.y).take(self.size.height);
        rows.flat_map(|row| &row[self.x * channels..][..self.size.width * channels]).copied().collect()
    }
}

/// A source of images, tile by tile.
pub struct Tiles {
    images: Arc<dyn IndexedSource>,
    /// Image and place of each sample, those of an image one after the other; without a place, the whole image.
    tiles: Vec<(usize, Option<Place>)>,
}

impl Tiles {
    /// These tiles of these images.
    pub fn new(images: Arc<dyn IndexedSource>, tiles: Vec<(usize, Option<Place>)>) -> Self {
        Self { images, tiles }
    }
}

impl IndexedSource for Tiles {
    fn len(&self) -> usize {
        self.tiles.len()
    }

    fn get(&self, index: usize) -> Result<Encoded, DataError> {
        self.images.get(self.image(index))
    }

    fn stat(&self, index: usize) -> Stat {
        self.images.stat(self.image(index))
    }

    fn id(&self, index: usize) -> String {
        let id = self.image_id(index);
        match self.tile(index) {
            Some(Place { y, x, .. }) => format!("{id}[y={y},x={x}]"),
            None => id,
        }
    }

    fn key(&self, index: usize) -> u64 {
        match self.tile(index) {
            Some(_) => hash_key(self.id(index).as_bytes()),
            None => self.images.key(self.image(index)),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(self.image(index))
    }

    fn classes(&self) -> &[String] {
        self.images.classes()
    }

    fn notes(&self) -> &[String] {
        self.images.notes()
    }

    fn tile(&self, index: usize) -> Option<Place> {
        self.tiles[index].1
    }

    fn image(&self, index: usize) -> usize {
        self.tiles[index].0
    }

    fn image_id(&self, index: usize) -> String {
        self.images.id(self.image(index))
    }

    fn file(&self, index: usize) -> usize {
        self.images.file(self.image(index))
    }

    fn file_path(&self, index: usize) -> Option<PathBuf> {
        self.images.file_path(self.image(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_is_in_a_tile_and_no_tile_goes_beyond_the_edge() {
        for (height, width, side, stride) in [(10, 23, 8, 8), (9, 8, 8, 3), (5, 20, 8, 5), (16, 24, 8, 8)] {
            let places = places(Size { height, width }, side, stride).unwrap();
            let mut covered = vec![false; height * width];
            for Place { y, x, size } in &places {
                assert!(y + size.height <= height && x + size.width <= width);
                (*y..y + size.height).for_each(|y| covered[y * width + x..][..size.width].fill(true));
            }
            assert!(covered.iter().all(|&covered| covered), "{height}×{width}");
            let again = |(i, place): (usize, &Place)| places[..i].contains(place);
            assert!(!places.iter().enumerate().any(again));
        }
        let starts: Vec<usize> =
            places(Size { height: 5, width: 20 }, 8, 5).unwrap().iter().map(|place| place.x).collect();
        assert_eq!(starts, [0, 5, 10, 12]);
        assert_eq!(places(Size { height: 16, width: 24 }, 8, 8).unwrap().len(), 6);
        assert_eq!(places(Size { height: 8, width: 3 }, 8, 8), None);
    }
}
