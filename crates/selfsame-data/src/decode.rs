//! Decoding, and the one encoding there is: nothing outside names an image codec.
//!
//! JPEG and TIFF have folders of their own (`jpeg.rs`, `tiff/`), everything else goes through `image`. The format
//! is told by the content, never by the name. Width and height are read from the header and checked against the limit
//! before a pixel is decoded, and so is the memory of what else is decoded at the time (see [`budget`]). A file that ends early
//! or lies about its size is an error, never a half-gray image.

mod chunks;
mod jpeg;
mod orientation;
mod select;
mod sound;
mod tiff;

use crate::budget::{self, Share};
use crate::image::{Image, Pixels, Size};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use jpeg::Jpeg;
use select::{Offered, Selection};
use selfsame_base::{DataError, panics};
use std::borrow::Cow;
use std::fs::File;
use std::io::Cursor;
use tiff::Tiff;
use tiff::ifd::Stored;

pub use select::Wanted;
pub use sound::{EXTENSIONS as SOUNDS, SoundDecoder, SoundHeader};

/// Extensions by which a folder's images are known, in lower case.
pub const EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "pbm", "pgm", "ppm",
    "pnm", "pam",
];

/// What files of a folder are decoded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Images.
    Image,
    /// Sounds.
    Sound,
}

impl FileKind {
    /// What a file of that name is, by its extension in either case; `None` where it is neither.
    pub fn of(name: &[u8]) -> Option<Self> {
        let dot = name.iter().rposition(|&byte| byte == b'.')?;
        let is = |known: &[&str]| known.iter().any(|known| name[dot + 1..].eq_ignore_ascii_case(known.as_bytes()));
        let kinds = [(Self::Image, EXTENSIONS), (Self::Sound, sound::EXTENSIONS)];
        kinds.into_iter().find(|(_, known)| is(known)).map(|(kind, _)| kind)
    }

    /// One of them, as a sentence has it.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Sound => "sound",
        }
    }

    /// The formats that are read.
    pub fn formats(self) -> &'static str {
        match self {
            Self::Image => "JPEG, PNG, WebP, TIFF, BMP, GIF, PNM",
            Self::Sound => sound::FORMATS,
        }
    }
}

/// Turns the bytes of an image file into an [`Image`].
#[derive(Clone, Debug)]
pub struct FileDecoder {
    /// Channels of the result: 1 (color becomes luma), 3 (gray is replicated), or those of the file or of its bands.
    pub wanted: Wanted,
    /// Whether color ends all reading: the data were taken for gray.
    pub gray_only: bool,
    /// Color on which alpha is composited, `[r, g, b]`.
    pub background: [u8; 3],
    /// Largest image that is decoded, megapixels.
    pub max_megapixels: f64,
    /// Memory of all images that are decoded at once in the process, bytes; a larger one is decoded alone.
    pub memory_bytes: u64,
}

/// What a header says of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Size after the orientation is applied.
    pub size: Size,
    /// Bytes of one value: 1, 2 or 4.
    pub depth_bytes: usize,
    /// Whether the pixels have color.
    pub color: bool,
    /// Bands of the file beyond those of a picture, which are left out.
    pub unused_bands: usize,
    /// Pages of the file.
    pub pages: usize,
}

/// Pages of a file, 1 unless it is a TIFF with more. Thumbnails and masks are none. A link to a page that is not there counts as a
/// page, which cannot be read.
pub fn pages(file: &File) -> usize {
    file.metadata().map_or(1, |found| tiff::pages(Stored::File(file, found.len())))
}

/// Bytes that a decoder may take for each pixel of the limit: `f32` RGBA, twice.
const DECODER_BYTES_PER_PIXEL: f64 = 32.0;

/// Images that take more than this for each pixel of the limit are read only if they are not packed beyond [`MOST_RATIO`].
const BOMB_BYTES_PER_PIXEL: f64 = 4.0;

/// Unpacked bytes for each packed one: photos have up to some dozens, empty pages up to a thousand.
const MOST_RATIO: u64 = 200;

/// Memory that a decoder may take whatever the size of the image, bytes.
const DECODER_BASE_BYTES: u64 = 16 << 20;

impl FileDecoder {
    /// Decodes a file, of more pages the first. `what` names it in errors.
    ///
    /// 8 bits stay 8 bits, 16 stay 16, `f32` stays `f32`. The orientation that the file states is applied. Waits until there is
    /// memory for the image, of which it holds a share until that is dropped.
    pub fn decode(&self, bytes: &[u8], what: &str) -> Result<(Image, Share), DataError> {
        let opened = guarded(what, || self.open(bytes))?;
        self.finish(opened, bytes.len() as u64, what)
    }

    /// Decodes a page of a TIFF, of which it reads no more than that takes.
    pub fn decode_page(&self, file: &File, page: usize, what: &str) -> Result<(Image, Share), DataError> {
        let (tiff, size_bytes) = guarded(what, || self.open_page(file, page))?;
        self.finish(Opened::Tiff(Box::new(tiff)), size_bytes, what)
    }

    /// Reads the tags of a page alone, under the same limits.
    pub fn probe_page(&self, file: &File, page: usize, what: &str) -> Result<Header, DataError> {
        guarded(what, || Ok(self.open_page(file, page)?.0.header()))
    }

    fn open_page<'a>(&self, file: &'a File, page: usize) -> Result<(Tiff<'a>, u64), String> {
        let size_bytes = file.metadata().map_err(first_line)?.len();
        let tiff = Tiff::open(Stored::File(file, size_bytes), page, self).ok_or("no TIFF any more")?;
        Ok((tiff?, size_bytes))
    }

    fn finish(&self, opened: Opened, file_bytes: u64, what: &str) -> Result<(Image, Share), DataError> {
        let needed_bytes = guarded(what, || self.needed_bytes(&opened, file_bytes))?;
        let mut share = budget::IMAGES.take(needed_bytes, self.memory_bytes);
        if self.gray_only && opened.has_color() {
            let problem = format!(
                "{what} is stored in color, the images looked at first are gray; set data.channels=3 to keep the color, or data.on_color=convert to drop it"
            );
            return Err(DataError::setting("data.channels", problem));
        }
        let image = guarded(what, || {
            let decoded = match opened {
                Opened::Jpeg(jpeg) => jpeg.decode()?,
                Opened::Tiff(tiff) => return tiff.decode(self.background),
                Opened::Other(decoder, orientation) => {
                    let mut image = DynamicImage::from_decoder(decoder).map_err(first_line)?;
                    image.apply_orientation(orientation);
                    image
                }
            };
            self.flatten(decoded)
        })?;
        let finite = match &image.pixels {
            Pixels::F32(values) => values.iter().all(|value| value.is_finite()),
            _ => true,
        };
        if !finite {
            return Err(DataError::sample(what, "holds values that are infinite or not a number"));
        }
        let image = convert_channels(image, self.wanted.channels);
        share.shrink(image.size_bytes() as u64);
        Ok((image, share))
    }

    /// Reads the header alone, under the same limits.
    pub fn probe(&self, bytes: &[u8], what: &str) -> Result<Header, DataError> {
        guarded(what, || {
            let opened = self.open(bytes)?;
            let color = opened.has_color();
            let header = |(width, height): (usize, usize), orientation: Orientation, depth_bytes: usize| {
                let upright = orientation.to_exif() < 5;
                let (width, height) = if upright { (width, height) } else { (height, width) };
                Ok(Header { size: Size { height, width }, depth_bytes, color, unused_bands: 0, pages: 1 })
            };
            match opened {
                Opened::Jpeg(jpeg) => header(jpeg.dimensions(), jpeg.orientation, 1),
                Opened::Tiff(tiff) => Ok(Header { pages: tiff::pages(Stored::Memory(bytes)), ..tiff.header() }),
                Opened::Other(decoder, orientation) => {
                    let (width, height) = decoder.dimensions();
                    let color = decoder.color_type();
                    let depth_bytes = usize::from(color.bytes_per_pixel() / color.channel_count());
                    header((width as usize, height as usize), orientation, depth_bytes)
                }
            }
        })
    }

    /// Reads the header and checks the limits.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<Opened<'a>, String> {
        if bytes.is_empty() {
            return Err("an empty file".to_owned());
        }
        if let Some(tiff) = Tiff::open(Stored::Memory(bytes), 0, self) {
            return Ok(Opened::Tiff(Box::new(tiff?)));
        }
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            let jpeg = Jpeg::open(bytes)?;
            let (width, height) = jpeg.dimensions();
            self.check_size(width, height)?;
            self.selection(if jpeg.components() == 1 { 1 } else { 3 })?;
            return Ok(Opened::Jpeg(Box::new(jpeg)));
        }
        let format = image::guess_format(bytes)
            .ok()
            .filter(ImageFormat::reading_enabled)
            .ok_or("not an image in a format that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM)")?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some(self.memory_limit());
        let orientation = chunks::orientation(bytes, format);
        let bytes = match format {
            ImageFormat::Png => chunks::with_low_transparency(bytes),
            _ => Cow::Borrowed(bytes),
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(first_line)?;
        let (width, height) = decoder.dimensions();
        self.check_size(width as usize, height as usize)?;
        self.selection(usize::from(decoder.color_type().channel_count()))?;
        Ok(Opened::Other(Box::new(decoder), orientation))
    }

    /// Memory that a decoder may take, bytes: more, where more than four channels are wanted.
    fn memory_limit(&self) -> u64 {
        let pixel_bytes = DECODER_BYTES_PER_PIXEL * self.wanted.channels.max(4) as f64 / 4.0;
        (self.max_megapixels * 1e6 * pixel_bytes) as u64 + DECODER_BASE_BYTES
    }

    /// What is taken of a file of 1 to 4 channels: gray or RGB, perhaps with alpha.
    fn selection(&self, channels: usize) -> Result<Selection, String> {
        // An image without alpha is opaque.
        let channels = match self.wanted.channels {
            4 if self.wanted.bands.is_empty() => 4,
            2 if self.wanted.bands.is_empty() && channels == 1 => 2,
            _ => channels,
        };
        self.wanted.of(Offered { color: if channels < 3 { 1 } else { 3 }, alpha: channels.is_multiple_of(2), channels })
    }
}

/// Names the file in errors, and turns a codec's panic into one.
fn guarded<T>(what: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, DataError> {
    panics::caught(work)
        .unwrap_or_else(|| Err("damaged: the decoder gave up".to_owned()))
        .map_err(|problem| DataError::sample(what, problem))
}

/// A file whose header is read.
enum Opened<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Tiff(Box<Tiff<'a>>),
    Other(Box<dyn ImageDecoder + 'a>, Orientation),
}

impl Opened<'_> {
    /// Whether the pixels have color.
    fn has_color(&self) -> bool {
        match self {
            Self::Jpeg(jpeg) => jpeg.components() > 1,
            Self::Tiff(tiff) => tiff.has_color(),
            Self::Other(decoder, _) => decoder.color_type().has_color(),
        }
    }
}

impl FileDecoder {
    /// Memory that decoding a file of `file_bytes` takes at most, as far as headers tell: what the decoder makes, what it or a
    /// rotation holds beside it, and the image with its channels.
    ///
    /// # Errors
    /// If that is beyond a few bytes for each pixel of the limit and far beyond what images need that are not empty.
    fn needed_bytes(&self, opened: &Opened, file_bytes: u64) -> Result<u64, String> {
        let channels = self.wanted.channels as u64;
        let (needed, stored) = match opened {
            Opened::Jpeg(jpeg) => {
                let (width, height) = jpeg.dimensions();
                let pixels = width as u64 * height as u64;
                (jpeg.needed_bytes() + pixels * channels, 3 * pixels)
            }
            Opened::Tiff(tiff) => {
                let needed = tiff.needed_bytes(self.wanted.channels).expect("checked when it was opened");
                (needed, tiff.stored_bytes())
            }
            Opened::Other(decoder, _) => {
                let ((width, height), color) = (decoder.dimensions(), decoder.color_type());
                let (pixel_bytes, values) = (u64::from(color.bytes_per_pixel()), u64::from(color.channel_count()));
                let pixels = u64::from(width) * u64::from(height);
                (pixels * (2 * pixel_bytes + channels * (pixel_bytes / values)), pixels * pixel_bytes)
            }
        };
        let ratio = stored / file_bytes.max(1);
        if ratio > MOST_RATIO && stored as f64 > self.max_megapixels * 1e6 * BOMB_BYTES_PER_PIXEL {
            return Err(format!(
                "unpacks to {ratio} times its size, {} MB; if that is meant, raise data.max_megapixels = {}",
                stored / 1_000_000,
                self.max_megapixels
            ));
        }
        Ok(needed)
    }
}

impl FileDecoder {
    fn check_size(&self, width: usize, height: usize) -> Result<(), String> {
        let megapixels = width as f64 * height as f64 / 1e6;
        if megapixels > self.max_megapixels {
            let limit = self.max_megapixels;
            return Err(format!("{width}×{height} px is {megapixels:.1} megapixels, data.max_megapixels is {limit}"));
        }
        if width == 0 || height == 0 { Err(format!("an image of {width}×{height} px")) } else { Ok(()) }
    }

    /// Gray or RGB in the depth of the file, alpha being composited on the background; or the channels that are asked for.
    fn flatten(&self, image: DynamicImage) -> Result<Image, String> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (channels, pixels) = match self.selection(usize::from(image.color().channel_count()))? {
            Selection::Picture => picture(image, self.background)?,
            Selection::Channels(taken) => (taken.len(), channels_of(image, &taken)?),
        };
        Ok(Image::new(height, width, channels, pixels))
    }
}

fn picture(image: DynamicImage, background: [u8; 3]) -> Result<(usize, Pixels), String> {
    use DynamicImage::{
        ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgba8, ImageRgba16,
    };
    Ok(match image {
        ImageLuma8(gray) => (1, Pixels::U8(gray.into_raw())),
        ImageLuma16(gray) => (1, Pixels::U16(gray.into_raw())),
        ImageRgb8(rgb) => (3, Pixels::U8(rgb.into_raw())),
        ImageRgb16(rgb) => (3, Pixels::U16(rgb.into_raw())),
        ImageLumaA8(_) | ImageRgba8(_) => (3, Pixels::U8(composite(&image.into_rgba8(), background))),
        ImageLumaA16(_) | ImageRgba16(_) => (3, Pixels::U16(composite(&image.into_rgba16(), background))),
        other => return Err(format!("pixels of type {:?} are not read", other.color())),
    })
}

/// These channels of an image, after an opaque alpha is added where one is taken and there is none.
fn channels_of(mut image: DynamicImage, taken: &[usize]) -> Result<Pixels, String> {
    fn pick<T: Copy>(values: &[T], found: usize, taken: &[usize]) -> Vec<T> {
        values.chunks_exact(found).flat_map(|pixel| taken.iter().map(|&channel| pixel[channel])).collect()
    }
    if taken.iter().any(|&channel| channel >= usize::from(image.color().channel_count())) {
        image = match (taken.len(), image) {
            (2, DynamicImage::ImageLuma8(gray)) => DynamicImage::ImageLuma8(gray).into_luma_alpha8().into(),
            (2, DynamicImage::ImageLuma16(gray)) => DynamicImage::ImageLuma16(gray).into_luma_alpha16().into(),
            (_, other) if other.as_flat_samples_u8().is_some() => other.into_rgba8().into(),
            (_, other) => other.into_rgba16().into(),
        };
    }
    let found = usize::from(image.color().channel_count());
    if let Some(values) = image.as_flat_samples_u8() {
        Ok(Pixels::U8(pick(values.samples, found, taken)))
    } else if let Some(values) = image.as_flat_samples_u16() {
        Ok(Pixels::U16(pick(values.samples, found, taken)))
    } else {
        Err(format!("pixels of type {:?} are not read", image.color()))
    }
}

/// The first line of a codec's message.
fn first_line(error: impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A value of a pixel.
pub(crate) trait Value: Copy {
    /// From 0, none, to 1, the most that an integer holds; floats have values of their own.
    fn to_unit(self) -> f64;
    /// The reverse, rounded, and kept within what an integer holds.
    fn from_unit(value: f64) -> Self;
    /// `alpha · self + (1 − alpha) · background`, rounded.
    fn over(self, alpha: Self, background: u8) -> Self;
    /// Luma of Rec. 601 in the 16-bit fixed point of PIL's `L`: `(19595 r + 38470 g + 7471 b + 2¹⁵) >> 16`.
    fn luma(rgb: [Self; 3]) -> Self;
}

impl Value for u8 {
    fn to_unit(self) -> f64 {
        f64::from(self) / 255.0
    }
    fn from_unit(value: f64) -> Self {
        (value * 255.0).round() as Self
    }
    fn over(self, alpha: u8, background: u8) -> u8 {
        let (value, alpha, background) = (u32::from(self), u32::from(alpha), u32::from(background));
        ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
    }
    fn luma([r, g, b]: [u8; 3]) -> u8 {
        ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
    }
}

impl Value for u16 {
    fn to_unit(self) -> f64 {
        f64::from(self) / 65535.0
    }
    fn from_unit(value: f64) -> Self {
        (value * 65535.0).round() as Self
    }
    fn over(self, alpha: u16, background: u8) -> u16 {
        let (value, alpha, background) = (u64::from(self), u64::from(alpha), 257 * u64::from(background));
        ((value * alpha + background * (65535 - alpha) + 32767) / 65535) as u16
    }
    fn luma([r, g, b]: [u16; 3]) -> u16 {
        ((19595 * u64::from(r) + 38470 * u64::from(g) + 7471 * u64::from(b) + 0x8000) >> 16) as u16
    }
}

impl Value for f32 {
    fn to_unit(self) -> f64 {
        self.into()
    }
    fn from_unit(value: f64) -> Self {
        value as Self
    }
    fn over(self, alpha: f32, background: u8) -> f32 {
        self * alpha + f32::from(background) / 255.0 * (1.0 - alpha)
    }
    fn luma([r, g, b]: [f32; 3]) -> f32 {
        (19595.0 * r + 38470.0 * g + 7471.0 * b) / 65536.0
    }
}

fn composite<T: Value>(rgba: &[T], background: [u8; 3]) -> Vec<T> {
    let over = |&[r, g, b, alpha]: &[T; 4]| {
        [r.over(alpha, background[0]), g.over(alpha, background[1]), b.over(alpha, background[2])]
    };
    rgba.as_chunks().0.iter().flat_map(over).collect()
}

/// A PNG of gray or RGB pixels, `[height, width, 1 or 3]`.
pub fn encode_png(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let color = match pixels.len() / (width * height) {
        1 => ExtendedColorType::L8,
        _ => ExtendedColorType::Rgb8,
    };
    let mut bytes = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Default, FilterType::Adaptive);
    encoder.write_image(pixels, width as u32, height as u32, color).expect("writing to memory does not fail");
    bytes
}

/// Whether [`convert_channels`] leads from one count of channels to the other.
pub fn channels_convert(from: usize, to: usize) -> bool {
    from == to || matches!((from, to), (1, 3) | (3, 1))
}

/// Gray becomes RGB by replication, RGB becomes gray by its luma (Rec. 601).
///
/// `[height, width, from]` → `[height, width, to]`; see [`channels_convert`].
pub fn convert_channels(image: Image, to: usize) -> Image {
    fn convert<T: Value>(values: &[T], to: usize) -> Vec<T> {
        match to {
            1 => values.as_chunks().0.iter().copied().map(T::luma).collect(),
            _ => values.iter().flat_map(|&value| [value; 3]).collect(),
        }
    }
    if image.channels == to {
        return image;
    }
    assert!(channels_convert(image.channels, to), "{} channels do not convert to {to}", image.channels);
    let pixels = match &image.pixels {
        Pixels::U8(values) => Pixels::U8(convert(values, to)),
        Pixels::U16(values) => Pixels::U16(convert(values, to)),
        Pixels::F32(values) => Pixels::F32(convert(values, to)),
    };
    Image::new(image.height, image.width, to, pixels)
}

#[cfg(test)]
mod tests;
