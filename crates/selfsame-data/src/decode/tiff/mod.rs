//! TIFF: a directory of tags (`ifd`) says how a page is laid out (`layout`) in strips or tiles, each packed by itself (`unpack`),
//! whose values (`samples`) mean colors or bands (`color`).
//!
//! Our own, because the format is a construction kit and a codec that guesses gives wrong pixels without a word: every combination
//! either has the right values or is refused in one line. Nothing is allocated on a header's word alone: what a page takes is known,
//! and within the limits, before its first value is read.

mod color;
mod fax;
pub mod ifd;
mod layout;
mod samples;
mod unpack;

use super::select::{Offered, Selection};
use super::{FileDecoder, Header, Value, orientation};
use crate::image::{Image, Pixels, Size};
use color::{Color, over_background, straight};
use ifd::{Directory, Reader};
use layout::{Compression, Kind, Layout};
use samples::{Place, Raster};

/// A page whose tags are read.
#[derive(Debug)]
pub struct Tiff<'a> {
    reader: Reader<'a>,
    layout: Layout<'a>,
    selection: Selection,
    /// The samples that are decoded, in the order in which they lie in a pixel then.
    kept: Vec<usize>,
    /// Channels of the file that are neither asked for nor refused.
    unused_bands: usize,
}

/// Where a channel of the result comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A channel of the color.
    Color(usize),
    /// A kept sample as it is.
    Kept(usize),
}

impl<'a> Tiff<'a> {
    /// Reads the tags of a page, and checks what it would take to decode it. `None` if the file is no TIFF.
    pub fn open(file: ifd::Stored<'a>, page: usize, limits: &FileDecoder) -> Option<Result<Self, String>> {
        let (reader, first) = Reader::open(file)?;
        let tags = match Pages::new(reader, first).nth(page) {
            Some(tags) => tags,
            // Nothing but a thumbnail or a mask: then that is what the file shows.
            None if page == 0 => reader.directory(first),
            None => Err(format!("has no page {page} any more")),
        };
        Some(tags.and_then(|tags| Self::read(reader, &tags, limits)))
    }

    fn read(reader: Reader<'a>, tags: &Directory<'a>, limits: &FileDecoder) -> Result<Self, String> {
        let layout = Layout::read(tags)?;
        limits.check_size(layout.width, layout.height)?;
        let color = &layout.color;
        let channels = color.channels() + layout.samples - color.samples();
        let offered = Offered { color: color.channels(), alpha: layout.alpha.is_some(), channels };
        let selection = limits.wanted.of(offered)?;
        let mut kept: Vec<usize> = Vec::new();
        let (of_color, unused_bands) = match &selection {
            Selection::Picture => (true, offered.unused()),
            Selection::Channels(list) => (list.iter().any(|&channel| channel < color.channels()), 0),
        };
        if of_color {
            kept.extend(0..color.samples());
            kept.extend(
                layout.alpha.filter(|alpha| selection == Selection::Picture || alpha.associated).map(|a| a.sample),
            );
            if kept.len() > color.samples() && layout.kind.depth_bytes() == 4 && !matches!(layout.kind, Kind::Float(_))
            {
                return Err("a TIFF of integers over 16 bits, or signed ones, with alpha is not read".to_owned());
            }
        }
        if let Selection::Channels(list) = &selection {
            for extra in list.iter().filter_map(|channel| channel.checked_sub(color.channels())) {
                let sample = color.samples() + extra;
                if !kept.contains(&sample) {
                    kept.push(sample);
                }
            }
        }
        let tiff = Self { reader, layout, selection, kept, unused_bands };
        match tiff.needed_bytes(limits.wanted.channels) {
            Some(needed) if needed <= limits.memory_limit() => Ok(tiff),
            needed => Err(format!(
                "damaged, or too large: decoding it needs {}, {} MB are what data.max_megapixels = {} allows",
                needed.map_or_else(|| "more memory than there is".to_owned(), |bytes| format!("{} MB", bytes >> 20)),
                limits.memory_limit() >> 20,
                limits.max_megapixels
            )),
        }
    }

    /// Memory that decoding takes at most; `None` if it is beyond numbers.
    pub fn needed_bytes(&self, channels: usize) -> Option<u64> {
        let layout = &self.layout;
        let pixels = (layout.width as u64).checked_mul(layout.height as u64)?;
        let shown = match &self.selection {
            Selection::Picture if layout.alpha.is_some() => 3,
            Selection::Picture => layout.color.channels(),
            Selection::Channels(list) => list.len(),
        };
        // The image beside the samples, or beside itself, turned or with other channels.
        let values = (shown + self.kept.len().max(shown).max(channels)) as u64;
        let (width, height) = layout.chunk_size(0);
        let chunk = layout.color.packed_len([width, height]).unwrap_or(0).max(layout.row_bytes()?.checked_mul(height)?);
        // A chunk as it is packed with its bits turned or its tables before it, unpacked, and in its order.
        // Of a JPEG, each value is a coefficient, and a sample, before it is one of a pixel.
        let copies = if layout.compression == Compression::Jpeg { 5 } else { 2 };
        let packed = layout.chunks.places.iter().map(|&(_, len)| len).max().unwrap_or(0);
        pixels
            .checked_mul(values)?
            .checked_mul(layout.kind.depth_bytes() as u64)?
            .checked_add((chunk as u64).checked_mul(copies)?)?
            .checked_add(packed.checked_add(layout.jpeg_tables.len() as u64)?)
    }

    /// Memory of the samples that are decoded.
    pub fn stored_bytes(&self) -> u64 {
        (self.layout.width * self.layout.height * self.kept.len() * self.layout.kind.depth_bytes()) as u64
    }

    /// What the page will be.
    pub fn header(&self) -> Header {
        let Layout { width, height, orientation, kind, .. } = self.layout;
        let (width, height) = if orientation.to_exif() < 5 { (width, height) } else { (height, width) };
        Header {
            size: Size { height, width },
            depth_bytes: kind.depth_bytes(),
            color: self.has_color(),
            unused_bands: self.unused_bands,
            pages: 1,
        }
    }

    /// Whether the pixels have color.
    pub fn has_color(&self) -> bool {
        !matches!(self.layout.color, Color::Gray { .. })
    }

    /// The pixels: gray or RGB on the background, or the channels that were asked for; the right way up.
    pub fn decode(&self, background: [u8; 3]) -> Result<Image, String> {
        let Layout { width, height, ref chunks, .. } = self.layout;
        let mut raster = Raster::new(&self.layout, &self.kept);
        for (index, &(offset, len)) in chunks.places.iter().enumerate() {
            let (plane, in_plane) = (index / (chunks.across * chunks.down), index % (chunks.across * chunks.down));
            if self.layout.planar && !self.kept.contains(&plane) {
                continue;
            }
            let (row, column) = (in_plane / chunks.across, in_plane % chunks.across);
            let (chunk_width, chunk_height) = self.layout.chunk_size(row);
            let packed = self.reader.slice(offset, len).ok_or("truncated: its pixels go beyond the end of the file")?;
            let bytes = unpack::unpack(&self.layout, packed, [chunk_width, chunk_height])?;
            let place = Place { plane, x: column * chunks.width, y: row * chunks.height, height: chunk_height };
            raster.place(&bytes, &place);
        }
        let (channels, pixels) = match raster.pixels {
            Pixels::U8(stored) => self.colored(stored, background, Pixels::U8),
            Pixels::U16(stored) => self.colored(stored, background, Pixels::U16),
            Pixels::F32(stored) => self.colored(stored, background, Pixels::F32),
        };
        Ok(orientation::apply(Image::new(height, width, channels, pixels), self.layout.orientation))
    }

    /// From the kept samples of each pixel to its channels.
    fn colored<T: Value>(&self, stored: Vec<T>, background: [u8; 3], pixels: fn(Vec<T>) -> Pixels) -> (usize, Pixels) {
        let (color, kept) = (&self.layout.color, self.kept.len());
        let at = |sample: usize| self.kept.iter().position(|&kept| kept == sample);
        let alpha = self.layout.alpha.and_then(|alpha| Some((at(alpha.sample)?, alpha.associated)));
        let mut origins: Vec<Origin> = match (&self.selection, alpha) {
            (Selection::Picture, Some((alpha, associated))) => {
                let over = |pixel: &[T]| {
                    let color = color.shown(pixel);
                    [0, 1, 2].map(|channel| {
                        let over = if associated { over_background } else { T::over };
                        over(color[channel], pixel[alpha], background[channel])
                    })
                };
                return (3, pixels(stored.chunks_exact(kept).flat_map(over).collect()));
            }
            (Selection::Picture, None) => (0..color.channels()).map(Origin::Color).collect(),
            (Selection::Channels(list), _) => {
                let origin = |&channel: &usize| match channel.checked_sub(color.channels()) {
                    None => Origin::Color(channel),
                    Some(extra) => Origin::Kept(at(extra + color.samples()).expect("what is asked for is kept")),
                };
                list.iter().map(origin).collect()
            }
        };
        let straighten = alpha.filter(|&(_, associated)| associated);
        if straighten.is_none() && color.is_plain() {
            for origin in &mut origins {
                if let Origin::Color(channel) = *origin {
                    *origin = Origin::Kept(channel);
                }
            }
        }
        if origins.iter().copied().eq((0..kept).map(Origin::Kept)) {
            return (kept, pixels(stored));
        }
        let of_color = origins.iter().any(|origin| matches!(origin, Origin::Color(_)));
        let mut out = Vec::with_capacity(stored.len() / kept * origins.len());
        for pixel in stored.chunks_exact(kept) {
            let color = if of_color { color.shown(pixel) } else { [pixel[0]; 3] };
            out.extend(origins.iter().map(|&origin| match (origin, straighten) {
                (Origin::Kept(index), _) => pixel[index],
                (Origin::Color(channel), None) => color[channel],
                (Origin::Color(channel), Some((alpha, _))) => straight(color[channel], pixel[alpha]),
            }));
        }
        (origins.len(), pixels(out))
    }
}

/// Pages of a file, at least one.
pub fn pages(file: ifd::Stored) -> usize {
    Reader::open(file).map_or(1, |(reader, first)| Pages::new(reader, first).count().max(1))
}

/// The directories of a file's pages, without thumbnails and masks.
struct Pages<'a> {
    reader: Reader<'a>,
    next: u64,
    /// Entries that the file has room for and that were not read so far: a chain of links that runs in a circle uses them up.
    entries_left: u64,
}

impl<'a> Pages<'a> {
    fn new(reader: Reader<'a>, first: u64) -> Self {
        Self { reader, next: first, entries_left: reader.len() / 12 }
    }
}

impl<'a> Iterator for Pages<'a> {
    type Item = Result<Directory<'a>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next != 0 {
            let tags = match self.reader.directory(self.next) {
                Ok(tags) => tags,
                Err(problem) => {
                    self.next = 0;
                    return Some(Err(problem));
                }
            };
            // An empty directory counts too.
            match self.entries_left.checked_sub(tags.len().max(1) as u64) {
                Some(left) => (self.entries_left, self.next) = (left, tags.next),
                None => {
                    self.next = 0;
                    return Some(Err("damaged: its pages follow each other in a circle".to_owned()));
                }
            }
            // 1: smaller than another page; 4: a mask.
            if tags.value(254, 0).unwrap_or(0) & 5 == 0 {
                return Some(Ok(tags));
            }
        }
        None
    }
}
