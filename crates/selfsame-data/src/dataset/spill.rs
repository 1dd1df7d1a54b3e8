//! Tiles that memory does not hold, in a temporary file: one without a name, which ends with the process.

use crate::image::{Image, Pixels, Size};
use selfsame_base::files;
use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Kept tiles of a data set; whatever cannot be kept is decoded again.
pub struct Spill {
    file: File,
    /// Where the next tile goes.
    end: AtomicU64,
    most_bytes: u64,
    /// Where each sample lies, as four times its offset and the bytes of a value, of which `f32` counts as 3; 0: nowhere.
    places: Vec<AtomicU64>,
}

impl Spill {
    /// For `len` samples, of `most_bytes` in all.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(len: usize, most_bytes: u64) -> io::Result<Self> {
        let places = (0..len).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { file: tempfile::tempfile()?, end: AtomicU64::new(0), most_bytes, places })
    }

    /// Keeps a sample, and says whether that could be done.
    pub fn keep(&self, index: usize, tile: &Image) -> bool {
        if self.places[index].load(Ordering::Relaxed) != 0 {
            return true;
        }
        let (bytes, kind) = stored(&tile.pixels);
        let offset = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if offset + bytes.len() as u64 > self.most_bytes || files::write_all_at(&self.file, &bytes, offset).is_err() {
            return false;
        }
        // Whoever sees the place sees the bytes.
        self.places[index].store(4 * offset + kind, Ordering::Release);
        true
    }

    /// A sample of that size, if it is kept and can be read.
    pub fn get(&self, index: usize, Size { height, width }: Size, channels: usize) -> Option<Image> {
        let place = self.places[index].load(Ordering::Acquire);
        let (offset, values) = (place / 4, height * width * channels);
        let read = |value_bytes: usize| {
            let mut bytes = vec![0; values * value_bytes];
            files::read_exact_at(&self.file, &mut bytes, offset).ok()?;
            Some(bytes)
        };
        let pixels = match place % 4 {
            1 => Pixels::U8(read(1)?),
            2 => Pixels::U16(read(2)?.as_chunks().0.iter().map(|&value| u16::from_ne_bytes(value)).collect()),
            3 => Pixels::F32(read(4)?.as_chunks().0.iter().map(|&value| f32::from_ne_bytes(value)).collect()),
            _ => return None,
        };
        Some(Image::new(height, width, channels, pixels))
    }
}

/// The bytes of pixels, and how they are told in [`Spill::places`].
fn stored(pixels: &Pixels) -> (Cow<'_, [u8]>, u64) {
    match pixels {
        Pixels::U8(values) => (Cow::Borrowed(values), 1),
        Pixels::U16(values) => (Cow::Owned(values.iter().flat_map(|value| value.to_ne_bytes()).collect()), 2),
        Pixels::F32(values) => (Cow::Owned(values.iter().flat_map(|value| value.to_ne_bytes()).collect()), 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_depth_come_back_until_the_file_is_full() {
        let spill = Spill::new(5, 12 + 24 + 48).unwrap();
        let tiles = [
            Pixels::U8((0..12).collect()),
            Pixels::U16((0..12).map(|value| 5000 * value).collect()),
            Pixels::F32((0..12).map(|value| value as f32 / 7.0 - 1.0).collect()),
        ];
        let tiles = tiles.map(|pixels| Image::new(2, 3, 2, pixels));
        for (index, tile) in tiles.iter().enumerate() {
            assert_eq!(spill.get(index, tile.size(), 2), None);
            assert!(spill.keep(index, tile) && spill.keep(index, tile));
        }
        tiles
            .iter()
            .enumerate()
            .for_each(|(index, tile)| assert_eq!(spill.get(index, tile.size(), 2).as_ref(), Some(tile)));
        assert!(!spill.keep(3, &tiles[0]) && spill.get(3, tiles[0].size(), 2).is_none());
    }
}
