//! Decoding, and the one encoding there is: the only file that names the image codecs.
//!
//! JPEG goes through `zune-jpeg`, single-channel `f32` TIFF through `tiff`, everything else through `image`. The format
//! is told by the content, never by the name. Width and height are read from the header and checked against the limit
//! before a pixel is decoded, and so is the memory of what else is decoded at the time (see [`budget`]). A file that ends early
//! or lies about its size is an error, never a half-gray image.

use crate::budget::{self, Share};
use crate::image::{Image, Pixels, Size};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::metadata::Orientation;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use selfsame_base::{DataError, panics};
use std::borrow::Cow;
use std::io::Cursor;
use tiff::decoder::{Decoder as TiffDecoder, DecodingResult};
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// Extensions by which a folder's images are known, in lower case.
pub const EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "tif", "tiff", "bmp", "dib", "gif", "pbm", "pgm", "ppm",
    "pnm", "pam",
];

/// Whether a file name ends in one of [`EXTENSIONS`], in either case.
pub fn has_image_extension(name: &[u8]) -> bool {
    let Some(dot) = name.iter().rposition(|&byte| byte == b'.') else { return false };
    EXTENSIONS.iter().any(|extension| name[dot + 1..].eq_ignore_ascii_case(extension.as_bytes()))
}

/// Turns the bytes of an image file into an [`Image`].
#[derive(Clone, Debug)]
pub struct FileDecoder {
    /// Channels of the result: 1 (color becomes luma) or 3 (gray is replicated).
    pub channels: usize,
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
}

/// Bytes that a decoder may take for each pixel of the limit: `f32` RGBA, twice.
const DECODER_BYTES_PER_PIXEL: f64 = 32.0;

/// Memory that a decoder may take whatever the size of the image, bytes.
const DECODER_BASE_BYTES: u64 = 16 << 20;

impl FileDecoder {
    /// Decodes a file. `what` names it in errors.
    ///
    /// 8 bits stay 8 bits, 16 stay 16, `f32` stays `f32`. The orientation that the file states is applied. Waits until there is
    /// memory for the image, of which it holds a share until that is dropped.
    pub fn decode(&self, bytes: &[u8], what: &str) -> Result<(Image, Share), DataError> {
        let mut opened = guarded(what, || self.open(bytes))?;
        let needed_bytes = guarded(what, || opened.needed_bytes(self.channels))?;
        let mut share = budget::IMAGES.take(needed_bytes, self.memory_bytes);
        let (image, color) = guarded(what, || {
            let decoded = match opened {
                Opened::Jpeg(jpeg) => decode_jpeg(*jpeg)?,
                Opened::GrayF32(tiff) => return Ok((decode_gray_f32(*tiff)?, false)),
                Opened::Other(mut decoder) => {
                    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
                    let mut image = DynamicImage::from_decoder(decoder).map_err(one_line)?;
                    image.apply_orientation(orientation);
                    image
                }
            };
            let color = decoded.color().has_color();
            Ok((self.flatten(decoded)?, color))
        })?;
        if color && self.gray_only {
            let problem = format!(
                "{what} is stored in color, the images looked at first are gray; set data.channels=3 to keep the color, or data.on_color=convert to drop it"
            );
            return Err(DataError::setting("data.channels", problem));
        }
        let finite = match &image.pixels {
            Pixels::F32(values) => values.iter().all(|value| value.is_finite()),
            _ => true,
        };
        if !finite {
            return Err(DataError::sample(what, "holds values that are infinite or not a number"));
        }
        let image = convert_channels(image, self.channels);
        share.shrink(image.size_bytes() as u64);
        Ok((image, share))
    }

    /// Reads the header alone, under the same limits.
    pub fn probe(&self, bytes: &[u8], what: &str) -> Result<Header, DataError> {
        guarded(what, || {
            let header =
                |(width, height): (usize, usize), orientation: Orientation, depth_bytes: usize, color: bool| {
                    let upright = orientation.to_exif() < 5;
                    let (width, height) = if upright { (width, height) } else { (height, width) };
                    Ok(Header { size: Size { height, width }, depth_bytes, color })
                };
            match self.open(bytes)? {
                Opened::Jpeg(jpeg) => {
                    let color = jpeg.decoder.input_colorspace() != Some(ColorSpace::Luma);
                    header(jpeg.dimensions, jpeg.orientation, 1, color)
                }
                Opened::GrayF32(mut tiff) => {
                    let (width, height) = tiff.dimensions().map_err(one_line)?;
                    header((width as usize, height as usize), Orientation::NoTransforms, 4, false)
                }
                Opened::Other(mut decoder) => {
                    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
                    let (width, height) = decoder.dimensions();
                    let color = decoder.color_type();
                    let depth_bytes = usize::from(color.bytes_per_pixel() / color.channel_count());
                    header((width as usize, height as usize), orientation, depth_bytes, color.has_color())
                }
            }
        })
    }

    /// Reads the header and checks the limits.
    fn open<'a>(&self, bytes: &'a [u8]) -> Result<Opened<'a>, String> {
        if bytes.is_empty() {
            return Err("an empty file".to_owned());
        }
        if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            let jpeg = open_jpeg(bytes)?;
            self.check_size(jpeg.dimensions.0, jpeg.dimensions.1)?;
            return Ok(Opened::Jpeg(Box::new(jpeg)));
        }
        let format = image::guess_format(bytes)
            .ok()
            .filter(ImageFormat::reading_enabled)
            .ok_or("not an image in a format that is read (JPEG, PNG, WebP, TIFF, BMP, GIF, PNM)")?;
        let mut limits = Limits::no_limits();
        limits.max_alloc = Some((self.max_megapixels * 1e6 * DECODER_BYTES_PER_PIXEL) as u64 + DECODER_BASE_BYTES);
        if format == ImageFormat::Tiff {
            let mut tiff = TiffDecoder::new(Cursor::new(bytes)).map_err(one_line)?;
            if tiff.colortype().map_err(one_line)? == tiff::ColorType::Gray(32) {
                let (width, height) = tiff.dimensions().map_err(one_line)?;
                self.check_size(width as usize, height as usize)?;
                let max_alloc = limits.max_alloc.unwrap_or(u64::MAX) as usize;
                let mut tiff_limits = tiff::decoder::Limits::default();
                tiff_limits.decoding_buffer_size = max_alloc;
                tiff_limits.intermediate_buffer_size = max_alloc;
                return Ok(Opened::GrayF32(Box::new(tiff.with_limits(tiff_limits))));
            }
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let decoder = reader.into_decoder().map_err(one_line)?;
        let (width, height) = decoder.dimensions();
        self.check_size(width as usize, height as usize)?;
        Ok(Opened::Other(Box::new(decoder)))
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
    GrayF32(Box<TiffDecoder<Cursor<&'a [u8]>>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl Opened<'_> {
    /// Memory that decoding takes at most, as far as headers tell: what the decoder makes, what it or a rotation holds beside
    /// it, and the image with its `channels`.
    fn needed_bytes(&mut self, channels: usize) -> Result<u64, String> {
        let (pixels, pixel_bytes, depth_bytes) = match self {
            Self::Jpeg(jpeg) => {
                let (width, height) = jpeg.dimensions;
                let rotated = if jpeg.orientation == Orientation::NoTransforms { 0 } else { 3 };
                // Of progressive files, three coefficients of 16 bits are kept for each pixel.
                let kept = if jpeg.progressive { 6 } else { 0 };
                (width as u64 * height as u64, 4 + rotated + kept, 1)
            }
            Self::GrayF32(tiff) => {
                let (width, height) = tiff.dimensions().map_err(one_line)?;
                (u64::from(width) * u64::from(height), 2 * 4, 4)
            }
            Self::Other(decoder) => {
                let ((width, height), color) = (decoder.dimensions(), decoder.color_type());
                let (pixel_bytes, values) = (u64::from(color.bytes_per_pixel()), u64::from(color.channel_count()));
                (u64::from(width) * u64::from(height), 2 * pixel_bytes, pixel_bytes / values)
            }
        };
        Ok(pixels * (pixel_bytes + channels as u64 * depth_bytes))
    }
}

struct Jpeg<'a> {
    decoder: JpegDecoder<ZCursor<Cow<'a, [u8]>>>,
    /// Width and height as stored.
    dimensions: (usize, usize),
    orientation: Orientation,
    progressive: bool,
    /// Whether the file says by whom its CMYK is written: Adobe stores it inverted.
    adobe: bool,
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

    /// Gray or RGB in the depth of the file; alpha is composited on the background.
    fn flatten(&self, image: DynamicImage) -> Result<Image, String> {
        use DynamicImage::{
            ImageLuma8, ImageLuma16, ImageLumaA8, ImageLumaA16, ImageRgb8, ImageRgb16, ImageRgb32F, ImageRgba8,
            ImageRgba16, ImageRgba32F,
        };
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (channels, pixels) = match image {
            ImageLuma8(gray) => (1, Pixels::U8(gray.into_raw())),
            ImageLuma16(gray) => (1, Pixels::U16(gray.into_raw())),
            ImageRgb8(rgb) => (3, Pixels::U8(rgb.into_raw())),
            ImageRgb16(rgb) => (3, Pixels::U16(rgb.into_raw())),
            ImageRgb32F(rgb) => (3, Pixels::F32(rgb.into_raw())),
            ImageLumaA8(_) | ImageRgba8(_) => (3, Pixels::U8(composite(&image.into_rgba8(), self.background))),
            ImageLumaA16(_) | ImageRgba16(_) => (3, Pixels::U16(composite(&image.into_rgba16(), self.background))),
            ImageRgba32F(_) => (3, Pixels::F32(composite(&image.into_rgba32f(), self.background))),
            other => return Err(format!("pixels of type {:?} are not read", other.color())),
        };
        Ok(Image::new(height, width, channels, pixels))
    }
}

fn decode_jpeg(mut jpeg: Jpeg) -> Result<DynamicImage, String> {
    let input = jpeg.decoder.input_colorspace().unwrap_or(ColorSpace::YCbCr);
    let output = match input {
        ColorSpace::Luma | ColorSpace::CMYK => input,
        _ => ColorSpace::RGB,
    };
    jpeg.decoder.set_options(jpeg.decoder.options().jpeg_set_out_colorspace(output));
    let mut pixels = jpeg.decoder.decode().map_err(one_line)?;
    if output == ColorSpace::CMYK {
        pixels = cmyk_to_rgb(&pixels, jpeg.adobe);
    }
    let (width, height) = (jpeg.dimensions.0 as u32, jpeg.dimensions.1 as u32);
    let image = if output == ColorSpace::Luma {
        image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
    } else {
        image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
    };
    let mut image = image.ok_or("damaged: the decoder gave too few pixels")?;
    image.apply_orientation(jpeg.orientation);
    Ok(image)
}

/// Reads a JPEG's header, and sees to it that missing data are noticed.
///
/// Decoders fill what is missing after the end-of-image marker with gray, so a file without the marker is refused, and
/// a baseline file is decoded without it: 16 zero bytes take its place, which lets the decoder read ahead (at most 8
/// bytes), and asking for more is an error in strict mode. Progressive files keep their marker: their scans end at
/// other markers.
fn open_jpeg(bytes: &[u8]) -> Result<Jpeg<'_>, String> {
    let layout = JpegLayout::read(bytes).ok_or("truncated: the file ends within the JPEG header")?;
    let end =
        memchr::memmem::find(&bytes[layout.scan..], &[0xff, 0xd9]).ok_or("truncated: no JPEG end-of-image marker")?;
    let data = if layout.progressive {
        Cow::Borrowed(bytes)
    } else {
        Cow::Owned([&bytes[..layout.scan + end], &[0; 16]].concat())
    };
    let options = DecoderOptions::new_fast()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(data), options);
    decoder.decode_headers().map_err(one_line)?;
    let orientation =
        decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif)).unwrap_or(Orientation::NoTransforms);
    let dimensions = decoder.dimensions().ok_or("truncated: no JPEG header")?;
    Ok(Jpeg { decoder, dimensions, orientation, progressive: layout.progressive, adobe: layout.adobe })
}

/// What the segments before the first scan say.
#[derive(Default)]
struct JpegLayout {
    progressive: bool,
    adobe: bool,
    /// Position of the first scan's header.
    scan: usize,
}

impl JpegLayout {
    /// `None` if the bytes end before the first scan.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut layout = Self::default();
        let mut at = 2;
        loop {
            let marker = *bytes.get(at + 1)?;
            if bytes[at] != 0xff || matches!(marker, 0xff | 0x00 | 0x01 | 0xd0..=0xd8) {
                at += 1;
                continue;
            }
            let length = usize::from(u16::from_be_bytes([*bytes.get(at + 2)?, *bytes.get(at + 3)?]));
            match marker {
                0xda => return Some(Self { scan: at, ..layout }),
                0xc2 => layout.progressive = true,
                0xee => layout.adobe |= bytes[at + 4..].starts_with(b"Adobe"),
                _ => {}
            }
            at += 2 + length;
        }
    }
}

/// Ink to light: what is left after each ink and black have taken their share.
fn cmyk_to_rgb(cmyk: &[u8], inverted: bool) -> Vec<u8> {
    let flip = if inverted { 0 } else { 0xff };
    let light = |ink: u8, black: u8| {
        let product = u32::from(ink ^ flip) * u32::from(black ^ flip);
        ((product + 127) / 255) as u8
    };
    cmyk.as_chunks().0.iter().flat_map(|&[c, m, y, k]| [light(c, k), light(m, k), light(y, k)]).collect()
}

fn decode_gray_f32(mut tiff: TiffDecoder<Cursor<&[u8]>>) -> Result<Image, String> {
    let (width, height) = tiff.dimensions().map_err(one_line)?;
    match tiff.read_image().map_err(one_line)? {
        DecodingResult::F32(values) if values.len() == width as usize * height as usize => {
            Ok(Image::new(height as usize, width as usize, 1, Pixels::F32(values)))
        }
        _ => Err("a TIFF of 32-bit integers is not read; expected 8 or 16 bits, or 32-bit floats".to_owned()),
    }
}

/// The first line of a codec's message.
fn one_line(error: impl std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// A value of a pixel.
trait Value: Copy {
    /// `alpha · self + (1 − alpha) · background`, rounded.
    fn over(self, alpha: Self, background: u8) -> Self;
    /// Luma of Rec. 601 in the 16-bit fixed point of PIL's `L`: `(19595 r + 38470 g + 7471 b + 2¹⁵) >> 16`.
    fn luma(rgb: [Self; 3]) -> Self;
}

impl Value for u8 {
    fn over(self, alpha: u8, background: u8) -> u8 {
        let (value, alpha, background) = (u32::from(self), u32::from(alpha), u32::from(background));
        ((value * alpha + background * (255 - alpha) + 127) / 255) as u8
    }
    fn luma([r, g, b]: [u8; 3]) -> u8 {
        ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
    }
}

impl Value for u16 {
    fn over(self, alpha: u16, background: u8) -> u16 {
        let (value, alpha, background) = (u64::from(self), u64::from(alpha), 257 * u64::from(background));
        ((value * alpha + background * (65535 - alpha) + 32767) / 65535) as u16
    }
    fn luma([r, g, b]: [u16; 3]) -> u16 {
        ((19595 * u64::from(r) + 38470 * u64::from(g) + 7471 * u64::from(b) + 0x8000) >> 16) as u16
    }
}

impl Value for f32 {
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
