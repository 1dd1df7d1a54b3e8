//! What the tags of a page mean, checked: how its pixels are laid out, or one line that says which layout is not read.

use super::color::{Alpha, Color, YCbCr};
use super::fax::Fax;
use super::ifd::Directory;
use crate::decode::orientation;
use image::metadata::Orientation;
use std::borrow::Cow;

/// How the pixels of a page are laid out.
#[derive(Debug)]
pub struct Layout<'a> {
    pub width: usize,
    pub height: usize,
    /// Values of a pixel as stored.
    pub samples: usize,
    pub kind: Kind,
    /// Each sample in a plane of its own.
    pub planar: bool,
    pub chunks: Chunks,
    pub compression: Compression,
    /// Tables that the JPEGs of all chunks share.
    pub jpeg_tables: Cow<'a, [u8]>,
    pub predictor: Predictor,
    /// Of each byte, the bit that comes first is the lowest.
    pub reversed_bits: bool,
    pub big_endian: bool,
    pub color: Color,
    pub alpha: Option<Alpha>,
    pub orientation: Orientation,
}

/// The values of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1 to 16, 32 or 64 bits.
    Unsigned(u32),
    /// 8, 16, 32 or 64 bits.
    Signed(u32),
    /// 16, 32 or 64 bits.
    Float(u32),
}

impl Kind {
    pub fn bits(self) -> u32 {
        let (Self::Unsigned(bits) | Self::Signed(bits) | Self::Float(bits)) = self;
        bits
    }

    /// Bytes of a value once it is decoded: what has no range of its own, from 0 to the most that its bits hold, becomes `f32`.
    pub fn depth_bytes(self) -> usize {
        match self {
            Self::Unsigned(..=8) => 1,
            Self::Unsigned(..=16) => 2,
            _ => 4,
        }
    }
}

/// The rectangles that a page is cut into: strips of full rows, or tiles.
#[derive(Debug)]
pub struct Chunks {
    pub tiled: bool,
    pub width: usize,
    pub height: usize,
    /// Chunks of one plane, next to each other and below each other.
    pub across: usize,
    pub down: usize,
    /// Where each lies and its bytes, plane after plane, row after row.
    pub places: Vec<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
    Zstd,
    WebP,
    Fax(Fax),
}

/// What was done to the values before they were packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Predictor {
    None,
    /// Each is the difference from the one before.
    Difference,
    /// The bytes of a row of floats are sorted by their weight, then each is the difference from the one before.
    Float,
}

/// How CCITT Group 3 is used: bit 0 says in two dimensions.
const T4_OPTIONS: u16 = 292;
const COMPRESSION: u16 = 259;
const PHOTOMETRIC: u16 = 262;
const PREDICTOR: u16 = 317;

impl<'a> Layout<'a> {
    pub fn read(tags: &Directory<'a>) -> Result<Self, String> {
        let size = |tag| usize::try_from(tags.value(tag, 0)?).map_err(|_| format!("damaged: tag {tag} is too large"));
        let (width, height) = (size(256)?, size(257)?);
        if width == 0 || height == 0 {
            return Err(format!("an image of {width}×{height} px"));
        }
        let compression = compression(tags)?;
        let samples = tags.value(277, 1)?;
        if !(1..=u64::from(u16::MAX)).contains(&samples) {
            return Err(format!("damaged: a TIFF with {samples} values per pixel"));
        }
        let samples = samples as usize;
        let kind = kind(tags, samples)?;
        let planar = match tags.value(284, 1)? {
            1 => false,
            2 => samples > 1,
            other => return Err(format!("damaged: a TIFF of the planar configuration {other}")),
        };
        let predictor = predictor(tags, kind, compression)?;
        let color = color(tags, kind, samples, planar, compression)?;
        let alpha = alpha(tags, color.samples(), samples)?;
        if matches!(compression, Compression::Jpeg | Compression::WebP) && kind != Kind::Unsigned(8) {
            let bits = kind.bits();
            return Err(format!(
                "a TIFF with {compression:?} inside and values of {bits} bits is not read; expected 8"
            ));
        }
        let one = kind == Kind::Unsigned(1) && (planar || samples == 1);
        if matches!(compression, Compression::Fax(_)) && !one {
            let (bits, samples) = (kind.bits(), if planar { 1 } else { samples });
            return Err(format!("a TIFF with fax compression and {samples} × {bits} bits is not read; expected 1 × 1"));
        }
        let stated = tags.value(274, 0)?;
        let orientation = u8::try_from(stated).ok().and_then(Orientation::from_exif);
        let orientation = orientation.or_else(|| orientation::of_xmp(&tags.bytes(700).ok()?));
        Ok(Self {
            width,
            height,
            samples,
            kind,
            planar,
            chunks: chunks(tags, [width, height], if planar { samples } else { 1 }, compression)?,
            compression,
            jpeg_tables: tags.bytes(347)?,
            predictor,
            big_endian: tags.reader.big_endian,
            reversed_bits: tags.value(266, 1)? == 2,
            color,
            alpha,
            orientation: orientation.unwrap_or(Orientation::NoTransforms),
        })
    }

    /// Values of a pixel within a chunk.
    pub fn chunk_samples(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Width and height of what a chunk holds: a tile is always whole, the last strip may be shorter.
    pub fn chunk_size(&self, row: usize) -> (usize, usize) {
        let Chunks { tiled, width, height, .. } = self.chunks;
        (width, if tiled { height } else { height.min(self.height - row * height) })
    }

    /// Bytes of a row of a chunk, unpacked.
    pub fn row_bytes(&self) -> Option<usize> {
        let bits = self.chunks.width.checked_mul(self.chunk_samples())?.checked_mul(self.kind.bits() as usize)?;
        Some(bits.div_ceil(8))
    }
}

fn compression(tags: &Directory) -> Result<Compression, String> {
    let value = tags.value(COMPRESSION, 1)?;
    let name = match value {
        1 => return Ok(Compression::None),
        5 => return Ok(Compression::Lzw),
        7 => return Ok(Compression::Jpeg),
        8 | 32946 => return Ok(Compression::Deflate),
        32773 => return Ok(Compression::PackBits),
        50000 => return Ok(Compression::Zstd),
        50001 => return Ok(Compression::WebP),
        2 => return Ok(Compression::Fax(Fax::Runs)),
        3 => return Ok(Compression::Fax(Fax::Group3 { two_dimensional: tags.value(T4_OPTIONS, 0)? & 1 == 1 })),
        4 => return Ok(Compression::Fax(Fax::Group4)),
        6 => "old-style JPEG",
        9 | 10 | 34661 => "JBIG",
        32771 => "word-aligned CCITT (fax)",
        32809 => "ThunderScan",
        33003..=33005 | 34712 => "JPEG 2000",
        34676 | 34677 => "SGI Log",
        34887 => "LERC",
        34892 => "lossy DNG JPEG",
        34925 => "LZMA",
        34933 => "PNG",
        22610 | 34934 => "JPEG XR",
        50002 | 52546 => "JPEG XL",
        _ => return Err(format!("a TIFF with the compression number {value} is not read; {REMEDY}")),
    };
    Err(format!("a TIFF with {name} compression is not read; {REMEDY}"))
}

const REMEDY: &str = "write it again with deflate, LZW or zstd";

fn kind(tags: &Directory, samples: usize) -> Result<Kind, String> {
    let same = |tag: u16, preset: u64, what: &str| {
        let values = tags.values(tag)?;
        // Some writers list more than there are samples.
        match values.iter().take(samples).find(|&value| *value != values[0]) {
            Some(other) => {
                Err(format!("a TIFF whose samples have different {what}, {} and {other}, is not read", values[0]))
            }
            None => Ok(values.first().copied().unwrap_or(preset)),
        }
    };
    let bits = same(258, 1, "bits")?;
    match (same(339, 1, "formats")?, bits) {
        // 4: "undefined"; the spec has it read as unsigned.
        (1 | 4, 1..=16 | 32 | 64) => Ok(Kind::Unsigned(bits as u32)),
        (2, 8 | 16 | 32 | 64) => Ok(Kind::Signed(bits as u32)),
        (3, 16 | 32 | 64) => Ok(Kind::Float(bits as u32)),
        (1 | 4, _) => Err(format!("a TIFF of {bits}-bit integers is not read; expected 1 to 16, 32 or 64 bits")),
        (2, _) => Err(format!("a TIFF of signed {bits}-bit integers is not read; expected 8, 16, 32 or 64 bits")),
        (3, _) => Err(format!("a TIFF of {bits}-bit floats is not read; expected 16, 32 or 64 bits")),
        (5 | 6, _) => Err("a TIFF of complex numbers is not read; write their magnitude".to_owned()),
        (other, _) => Err(format!("damaged: a TIFF of the sample format {other}")),
    }
}

fn predictor(tags: &Directory, kind: Kind, compression: Compression) -> Result<Predictor, String> {
    // libtiff looks for one with these compressions alone.
    if !matches!(compression, Compression::Lzw | Compression::Deflate | Compression::Zstd) {
        return Ok(Predictor::None);
    }
    let bits = kind.bits();
    match tags.value(PREDICTOR, 1)? {
        1 => Ok(Predictor::None),
        2 if matches!(bits, 8 | 16 | 32 | 64) => Ok(Predictor::Difference),
        3 if matches!(kind, Kind::Float(_)) => Ok(Predictor::Float),
        other => Err(format!("a TIFF of {bits} bits with predictor {other} is not read; {REMEDY}")),
    }
}

fn color(
    tags: &Directory,
    kind: Kind,
    samples: usize,
    planar: bool,
    compression: Compression,
) -> Result<Color, String> {
    // Without the tag, libtiff guesses as much.
    let preset = if samples >= 3 { 2 } else { 1 };
    let bits = kind.bits();
    let photometric = tags.value(PHOTOMETRIC, preset)?;
    let color = match photometric {
        0 if kind.depth_bytes() == 4 => {
            return Err("a TIFF of floats, or of integers over 16 bits, in which zero is white is not read".to_owned());
        }
        0 => Color::Gray { zero_is_white: true },
        1 => Color::Gray { zero_is_white: false },
        2 => Color::Rgb,
        3 => {
            if samples > 1 && bits != 8 {
                return Err(format!("a TIFF palette of {bits} bits with alpha is not read; expected 8"));
            }
            let map = tags.values(320)?;
            match kind {
                Kind::Unsigned(1..=8) if map.len() == 3 << bits => Color::palette(&map),
                Kind::Unsigned(1..=8) => {
                    return Err(format!("damaged: a palette of {} values for {bits} bits", map.len()));
                }
                _ => return Err(format!("a TIFF palette of {bits} bits is not read; expected 1 to 8")),
            }
        }
        5 if tags.value(332, 1)? != 1 => return Err("a TIFF of inks other than CMYK is not read".to_owned()),
        5 if kind.depth_bytes() == 4 => return Err("a CMYK TIFF of more than 16 bits is not read".to_owned()),
        5 => Color::Cmyk,
        6 if kind != Kind::Unsigned(8) => return Err("a YCbCr TIFF of other than 8 bits is not read".to_owned()),
        6 => {
            let subsampling = tags.values(530)?;
            let subsampling = match subsampling[..] {
                // A JPEG says by itself how its chroma is sampled.
                _ if compression == Compression::Jpeg => [1, 1],
                [h @ (1 | 2 | 4), v @ (1 | 2 | 4)] => [h as usize, v as usize],
                [] => [2, 2],
                _ => return Err(format!("damaged: a YCbCr TIFF with subsampling {subsampling:?}")),
            };
            if subsampling != [1, 1] && (planar || samples != 3 || compression == Compression::WebP) {
                return Err("a YCbCr TIFF with subsampled planes, or with alpha, is not read".to_owned());
            }
            if subsampling != [1, 1] && tags.value(PREDICTOR, 1)? != 1 {
                return Err("a YCbCr TIFF with subsampling and a predictor is not read".to_owned());
            }
            let weights = tags.fractions(529, [0.299, 0.587, 0.114])?;
            let range = tags.fractions(532, [0.0, 255.0, 128.0, 255.0, 128.0, 255.0])?;
            Color::YCbCr(YCbCr { subsampling, weights, range })
        }
        other => {
            let name = match other {
                4 => "a transparency mask",
                8..=10 => "CIE L*a*b*",
                32803 => "the raw mosaic of a sensor",
                32844 | 32845 => "SGI LogLuv",
                34892 => "linear raw",
                _ => return Err(format!("a TIFF with the photometric interpretation {other} is not read")),
            };
            return Err(format!("a TIFF of {name} is not read; expected gray, RGB, a palette, CMYK or YCbCr"));
        }
    };
    if samples < color.samples() {
        return Err(format!("damaged: {} values per pixel where its color needs {}", samples, color.samples()));
    }
    Ok(color)
}

/// The first sample beyond the color that is said to be alpha.
fn alpha(tags: &Directory, color: usize, samples: usize) -> Result<Option<Alpha>, String> {
    let kinds = tags.values(338)?;
    let found = kinds.iter().take(samples - color).position(|kind| matches!(kind, 1 | 2));
    Ok(found.map(|index| Alpha { sample: color + index, associated: kinds[index] == 1 }))
}

fn chunks(
    tags: &Directory,
    [width, height]: [usize; 2],
    planes: usize,
    compression: Compression,
) -> Result<Chunks, String> {
    let size = |tag, preset: usize, most: usize| match tags.value(tag, preset as u64)? {
        0 => Err(format!("damaged: tag {tag} is 0")),
        value => Ok(usize::try_from(value).unwrap_or(usize::MAX).min(most)),
    };
    let tiled = !tags.bytes(322)?.is_empty();
    let [chunk_width, chunk_height] = if tiled {
        [size(322, 0, usize::MAX)?, size(323, 0, usize::MAX)?]
    } else {
        [width, size(278, height, height)?]
    };
    // Some writers name the places of tiles as they name those of strips.
    let [noun, other] = if tiled { ["tile", "strip"] } else { ["strip", "tile"] };
    let values = |name: &str| match name {
        "tile" => Ok((tags.values(324)?, tags.values(325)?)),
        _ => Ok::<_, String>((tags.values(273)?, tags.values(279)?)),
    };
    let (mut offsets, mut lengths) = values(noun)?;
    if offsets.is_empty() {
        (offsets, lengths) = values(other)?;
    }
    let (across, down) = (width.div_ceil(chunk_width), height.div_ceil(chunk_height));
    let count = across.checked_mul(down).and_then(|count| count.checked_mul(planes)).unwrap_or(usize::MAX);
    if offsets.len() < count {
        return Err(format!("damaged: {} {noun}s where its size needs {count}", offsets.len()));
    }
    let file_bytes = tags.reader.len();
    let place = |(index, &offset): (usize, &u64)| {
        let rest = file_bytes.saturating_sub(offset);
        let len = match lengths.get(index) {
            Some(0) if compression == Compression::None => rest,
            Some(&len) if compression == Compression::None => len.min(rest),
            Some(&len) => len,
            // Some writers leave the lengths out: what is not packed is as long as it must be.
            None if compression == Compression::None || count == 1 => rest,
            None => return Err(format!("damaged: no length of {noun} {index}")),
        };
        match (offset, len) {
            (0, _) | (_, 0) => Err(format!("{noun} {index} is empty: files with {noun}s left out are not read")),
            _ if len > rest => Err(format!("truncated: {noun} {index} goes beyond the end of the file")),
            _ => Ok((offset, len)),
        }
    };
    let places = offsets.iter().take(count).enumerate().map(place).collect::<Result<_, _>>()?;
    Ok(Chunks { tiled, width: chunk_width, height: chunk_height, across, down, places })
}
