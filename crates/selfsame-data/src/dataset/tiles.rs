//! Large images, cut into tiles. One decode serves all tiles of a file where these fit memory or a temporary file, else those that
//! are asked for while the file is among the last that were decoded.

use super::Dataset;
use super::spill::Spill;
use crate::budget::{self, Share};
use crate::image::{Image, Pixels};
use crate::settings::DataRequest;
use crate::source::{self, Place, Tiles};
use crate::threads;
use rayon::prelude::*;
use selfsame_base::{DataError, machine};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Locks that images share, by number.
const TURNS: usize = 64;

/// Whole images that tiles are cut from: the last ones, while they fit the memory for decoding once more.
pub(super) struct Wholes {
    last: Mutex<VecDeque<(usize, Arc<Image>)>>,
    /// Who decodes an image has its turn, so that others who want its tiles wait for them.
    turns: Vec<Mutex<()>>,
    most_bytes: u64,
}

impl Wholes {
    pub fn new(most_bytes: u64) -> Self {
        Self { last: Mutex::default(), turns: (0..TURNS).map(|_| Mutex::new(())).collect(), most_bytes }
    }

    fn turn(&self, image: usize) -> MutexGuard<'_, ()> {
        self.turns[image % TURNS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, image: usize) -> Option<Arc<Image>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().find(|(of, _)| *of == image).map(|(_, whole)| Arc::clone(whole))
    }

    fn keep(&self, image: usize, whole: Arc<Image>) {
        if whole.size_bytes() as u64 > self.most_bytes {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.push_back((image, whole));
        let mut held: u64 = last.iter().map(|(_, whole)| whole.size_bytes() as u64).sum();
        while held > self.most_bytes
            && let Some((_, whole)) = last.pop_front()
        {
            held -= whole.size_bytes() as u64;
        }
    }
}

impl Dataset {
    /// Makes the images' tiles the samples. All headers are read, and, where empty tiles are left out, all images decoded.
    pub(super) fn cut(&mut self, settings: &DataRequest) -> Result<(), DataError> {
        let side = settings.tile;
        if self.source.shape().is_some() {
            let problem = format!("{} is an array; only image files are cut into tiles", self.path.display());
            return Err(DataError::setting("data.tile", problem));
        }
        let found: Vec<Found> = threads::pool(0)?.install(|| {
            (0..self.len()).into_par_iter().map(|image| self.places(image, settings)).collect::<Result<_, _>>()
        })?;
        let (images, left_out) = (
            found.iter().filter(|found| found.places.is_some()).count(),
            found.iter().map(|found| found.left_out).sum::<usize>(),
        );
        let mut tiles = Vec::new();
        for (image, found) in found.into_iter().enumerate() {
            match found.places {
                Some(places) => tiles.extend(places.into_iter().map(|place| (image, Some(place)))),
                None => tiles.push((image, None)),
            }
        }
        let (path, empty) = (self.path.display(), settings.tile_empty);
        if tiles.is_empty() {
            let problem =
                format!("all {left_out} tiles of {path} vary less than {empty}; a lower number keeps more, 0 all");
            return Err(DataError::setting("data.tile_empty", problem));
        }
        if images > 0 {
            let kept = tiles.iter().filter(|(_, place)| place.is_some()).count();
            let skipped = match left_out {
                0 => String::new(),
                _ => format!(", and {left_out} more are left out as empty (data.tile_empty = {empty})"),
            };
            self.notes.push(format!(
                "{path}: {images} of {} images are cut into {kept} tiles of {side} px{skipped}; those of a file are one group",
                self.len()
            ));
        }
        self.source = Arc::new(Tiles::new(Arc::clone(&self.source), tiles));
        Ok(())
    }

    /// The tiles of an image. One that cannot be read is a sample as a whole: a bad one, when it is read.
    fn places(&self, image: usize, settings: &DataRequest) -> Result<Found, DataError> {
        let found = self.header(image).and_then(|header| {
            let stride = if settings.tile_stride == 0 { settings.tile } else { settings.tile_stride };
            let places = source::places(header.size, settings.tile, stride);
            let mut places = match places {
                Some(places) if settings.tile_empty > 0.0 => places,
                places => return Ok(Found { places, left_out: 0 }),
            };
            let (pixels, _share) = self.load_image(image)?;
            let all = places.len();
            places.retain(|place| deviation(&pixels, place) >= settings.tile_empty);
            Ok(Found { left_out: all - places.len(), places: Some(places) })
        });
        match found {
            Err(DataError::Sample { .. }) => Ok(Found { places: None, left_out: 0 }),
            found => found,
        }
    }

    /// A tile, and its share of the memory for decoding.
    pub(super) fn load_tile(&self, index: usize, place: Place) -> Result<(Image, Share), DataError> {
        let image = self.source.image(index);
        let cut = |at: usize, place: Place, whole: &Image| {
            place.cut(whole).map_err(|problem| DataError::sample(self.id(at), problem))
        };
        let spilled = || self.spill.as_ref()?.get(index, place.size, self.channels());
        let with_share = |tile: Image| {
            let share = budget::IMAGES.take(tile.size_bytes() as u64, self.decoder.memory_bytes);
            Ok((tile, share))
        };
        if let Some(tile) = spilled() {
            return with_share(tile);
        }
        // Who waits for a turn holds no share, so who has the turn gets one in the end.
        let turn = self.wholes.turn(image);
        if let Some(tile) = spilled() {
            drop(turn);
            return with_share(tile);
        }
        if let Some(whole) = self.wholes.get(image) {
            drop(turn);
            let bytes = place.size.height * place.size.width * whole.size_bytes() / (whole.height * whole.width);
            let share = budget::IMAGES.take(bytes as u64, self.decoder.memory_bytes);
            return Ok((cut(index, place, &whole)?, share));
        }
        let (whole, mut share) = self.load_image(index)?;
        let whole = Arc::new(whole);
        let tile = cut(index, place, &whole)?;
        let mut all_kept = self.cache.is_some() || self.spill.as_ref().is_some_and(|spill| spill.keep(index, &tile));
        for other in self.tiles_beside(index).filter(|&other| other != index) {
            self.learn_from(index, other);
            let Some(place) = self.source.tile(other) else { continue };
            if let Some(cache) = &self.cache {
                all_kept &= cache.get(other).is_some() || cache.keep(other, &Arc::new(cut(other, place, &whole)?));
            } else if let Some(spill) = self.spill.as_ref().filter(|_| all_kept) {
                all_kept = spill.keep(other, &cut(other, place, &whole)?);
            }
        }
        if !all_kept {
            self.wholes.keep(image, Arc::clone(&whole));
        }
        share.shrink(tile.size_bytes() as u64);
        Ok((tile, share))
    }

    /// Tiles that memory will not hold are kept in a temporary file, as far as there is room for one. Which it is, is noted.
    pub(super) fn spill(&mut self, settings: &DataRequest) {
        const MB: u64 = 1 << 20;
        let folder = std::env::temp_dir();
        let all_bytes = (self.mean_image_bytes as u64).saturating_mul(self.len() as u64);
        let free_bytes = machine::free_bytes(&folder).map_or(u64::MAX, |bytes| bytes / 2);
        let most_bytes = (settings.tile_disk_mb as u64).saturating_mul(MB).min(free_bytes);
        // Not all images need be as those that were looked at.
        self.spill = (most_bytes >= MB).then(|| Spill::new(self.len(), most_bytes).ok()).flatten();
        let (path, folder) = (self.path.display(), folder.display());
        let large = format!(
            "{path}: the tiles take {} MB, more than data.cache_mb = {} or a quarter of the memory",
            all_bytes / MB,
            settings.cache_mb
        );
        self.notes.push(if self.spill.is_some() && all_bytes <= most_bytes {
            format!("{large}, so they are kept in a temporary file in {folder} (TMPDIR) as soon as their image is decoded")
        } else {
            format!(
                "{large}, and more than data.tile_disk_mb = {} or half of what is free in {folder} (TMPDIR), so many are cut from a file that is decoded again; make room, or store the tiles as files",
                settings.tile_disk_mb
            )
        });
    }

    /// The samples that are tiles of the same image as this one.
    fn tiles_beside(&self, index: usize) -> Range<usize> {
        let image = self.source.image(index);
        let same = |&at: &usize| self.source.image(at) == image;
        let before = (0..index).rev().take_while(same).count();
        let after = (index..self.len()).take_while(same).count();
        index - before..index + after
    }
}

/// What there is of an image.
struct Found {
    /// Its tiles; `None`: it is a sample as a whole.
    places: Option<Vec<Place>>,
    /// Tiles that are empty.
    left_out: usize,
}

/// The largest standard deviation of a channel of a tile, on the scale of `data.std`.
fn deviation(image: &Image, place: &Place) -> f64 {
    fn of<T: Copy + Into<f64>>(values: &[T], image: &Image, place: &Place) -> f64 {
        let channels = image.channels;
        let mut sums = vec![[0.0; 2]; channels];
        // From one of its own values, so that little is lost where all are alike.
        let first = (place.y * image.width + place.x) * channels;
        let origin: Vec<f64> = values[first..][..channels].iter().map(|&value| value.into()).collect();
        for row in values.chunks_exact(image.width * channels).skip(place.y).take(place.size.height) {
            for pixel in row.chunks_exact(channels).skip(place.x).take(place.size.width) {
                for ((sum, &value), origin) in sums.iter_mut().zip(pixel).zip(&origin) {
                    let value = value.into() - origin;
                    *sum = [sum[0] + value, sum[1] + value * value];
                }
            }
        }
        let pixels = (place.size.height * place.size.width) as f64;
        let variance = |[sum, squares]: [f64; 2]| squares / pixels - (sum / pixels).powi(2);
        sums.into_iter().map(variance).fold(0.0, f64::max).sqrt()
    }
    match &image.pixels {
        Pixels::U8(values) => of(values, image, place) / 255.0,
        Pixels::U16(values) => of(values, image, place) / 65535.0,
        Pixels::F32(values) => of(values, image, place),
    }
}
