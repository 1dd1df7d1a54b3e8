//! JPEG: who decodes which file, and what its values mean.
//!
//! `zune-jpeg` is fast, and right for what cameras and programs usually write; for other layouts it may give wrong pixels
//! without an error. So it gets the layouts of [`is_common`] alone, for which every file of the generated sweep
//! (`benchmarks/conformance/jpeg_sweep.py`) comes out as from libjpeg, and it gets them in their plainest form. Every other
//! file is decoded here ([`coefficients`], [`pixels`]), or refused by what it is ([`layout`]).

mod coefficients;
mod layout;
mod pixels;

use super::{first_line, orientation};
use image::DynamicImage;
use image::metadata::Orientation;
use layout::{Colors, DHT, DQT, EOI, Layout, SOI, SOS};
use pixels::Samples;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

/// A JPEG file whose segments are read.
pub(super) struct Jpeg<'a> {
    layout: Layout<'a>,
    pub orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let layout = Layout::read(bytes)?;
        let orientation = orientation::stated(layout.exif, layout.xmp);
        Ok(Self { layout, orientation })
    }

    /// Width and height as stored.
    pub fn dimensions(&self) -> (usize, usize) {
        (self.layout.frame.width, self.layout.frame.height)
    }

    /// How many values a pixel has.
    pub fn components(&self) -> usize {
        self.layout.frame.components.len()
    }

    /// The values as they are stored, at full size, pixel by pixel: where another file says what they mean.
    pub fn decode_stored(mut self) -> Result<Vec<u8>, String> {
        self.layout.colors = Colors::Stored;
        decode_any(&self.layout)
    }

    /// Memory that [`Self::decode`] takes at most, with what it gives.
    pub fn needed_bytes(&self) -> u64 {
        let frame = &self.layout.frame;
        let pixels = frame.width as u64 * frame.height as u64;
        let rotated = if self.orientation == Orientation::NoTransforms { 0 } else { 3 };
        if is_common(&self.layout) {
            // Of progressive files, three coefficients of 16 bits are kept for each pixel.
            let kept = if frame.progressive { 6 } else { 0 };
            return pixels * (4 + rotated + kept);
        }
        // A coefficient and a sample for each value of a block.
        3 * 64 * coefficients::block_count(&self.layout) as u64 + pixels * (3 + rotated)
    }

    /// Gray or RGB, upright.
    pub fn decode(self) -> Result<DynamicImage, String> {
        let pixels = if is_common(&self.layout) { decode_common(&self.layout)? } else { decode_any(&self.layout)? };
        let (width, height) = (self.layout.frame.width as u32, self.layout.frame.height as u32);
        let image = if self.layout.colors == Colors::Gray {
            image::GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
        } else {
            image::RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
        };
        let mut image = image.ok_or("damaged: the decoder gave too few pixels")?;
        image.apply_orientation(self.orientation);
        Ok(image)
    }
}

/// Gray, or Y, Cb and Cr of which Y has up to twice the samples of the others in each direction; sequential in one scan, or
/// progressive; with the tables that its scans need, the same from its first scan to its last.
fn is_common(layout: &Layout) -> bool {
    let frame = &layout.frame;
    let parts: Vec<(usize, usize)> = frame.components.iter().map(|part| (part.across, part.down)).collect();
    // Where two pixels share a sample, the last pixel must have no half in the block's padding, which `zune-jpeg` would mix in:
    // with an odd size it has none, and with full MCUs there is no padding. libjpeg has no filter for the smallest sizes.
    let has_edge =
        |pixels: usize, shared: usize| shared == 1 || (pixels > 4 && (pixels % 2 == 1 || pixels.is_multiple_of(16)));
    let sampled = match (layout.colors, &parts[..]) {
        (Colors::Gray, [(1, 1)]) => true,
        (Colors::YCbCr, &[(across @ (1 | 2), down @ (1 | 2)), (1, 1), (1, 1)]) => {
            let named_rgb = frame.components.iter().map(|part| part.id).eq(*b"RGB");
            has_edge(frame.width, across) && has_edge(frame.height, down) && !named_rgb
        }
        _ => false,
    };
    let mut markers = layout.segments.iter().map(|segment| segment.marker);
    let before_scans: Vec<u8> = markers.by_ref().take_while(|&marker| marker != SOS).collect();
    let after: Vec<u8> = markers.collect();
    let scans = frame.progressive || !after.contains(&SOS);
    sampled && scans && before_scans.contains(&DHT) && !after.contains(&DQT)
}

/// Through `zune-jpeg`, which gets no other segments than it needs.
///
/// Decoders fill what is missing at the end with gray. So a sequential file gets no end-of-image marker: 16 zero bytes take its
/// place, which lets the decoder read ahead (at most 8 bytes), and asking for more is an error in strict mode. Progressive files
/// keep their marker: their scans end at other markers.
fn decode_common(layout: &Layout) -> Result<Vec<u8>, String> {
    let mut plain = vec![0xff, SOI];
    for segment in &layout.segments {
        plain.extend([0xff, segment.marker]);
        plain.extend((segment.body.len() as u16 + 2).to_be_bytes());
        plain.extend(segment.body);
        plain.extend(segment.data);
    }
    plain.extend(if layout.frame.progressive { &[0xff, EOI][..] } else { &[0; 16] });
    let output = if layout.colors == Colors::Gray { ColorSpace::Luma } else { ColorSpace::RGB };
    let options = DecoderOptions::new_fast()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .set_strict_mode(true)
        .jpeg_set_max_scans(usize::MAX)
        .jpeg_set_out_colorspace(output);
    JpegDecoder::new_with_options(ZCursor::new(plain), options).decode().map_err(first_line)
}

/// Any layout that [`Layout::read`] lets pass.
fn decode_any(layout: &Layout) -> Result<Vec<u8>, String> {
    let planes = coefficients::decode(layout)?;
    let samples = planes.into_iter().enumerate().map(|(position, plane)| Samples::new(layout, position, &plane));
    let samples: Vec<Samples> = samples.collect();
    let (width, height) = (layout.frame.width, layout.frame.height);
    let mut rows: Vec<Vec<u8>> = samples.iter().map(|samples| vec![0; samples.row_pixels()]).collect();
    let channels = match layout.colors {
        Colors::Gray => 1,
        Colors::Stored => samples.len(),
        Colors::Rgb | Colors::YCbCr | Colors::Cmyk | Colors::Ycck => 3,
    };
    let mut pixels = vec![0; width * height * channels];
    for (y, out) in pixels.chunks_exact_mut(width * channels).enumerate() {
        for (samples, row) in samples.iter().zip(&mut rows) {
            samples.upsample(y, row);
        }
        let rgb = out.as_chunks_mut().0.iter_mut();
        match (layout.colors, &rows[..]) {
            (Colors::Stored, rows) => {
                for (c, row) in rows.iter().enumerate() {
                    out[c..].iter_mut().step_by(channels).zip(row).for_each(|(out, &v)| *out = v);
                }
            }
            (Colors::Gray, [gray]) => out.copy_from_slice(&gray[..width]),
            (Colors::Rgb, [r, g, b]) => {
                for (((out, &r), &g), &b) in rgb.zip(r).zip(g).zip(b) {
                    *out = [r, g, b];
                }
            }
            (Colors::YCbCr, [y, cb, cr]) => {
                for (((out, &y), &cb), &cr) in rgb.zip(y).zip(cb).zip(cr) {
                    *out = ycbcr_to_rgb(y, cb, cr);
                }
            }
            (Colors::Cmyk, [c, m, y, k]) => {
                for ((((out, &c), &m), &y), &k) in rgb.zip(c).zip(m).zip(y).zip(k) {
                    *out = cmyk_to_rgb([c, m, y], k);
                }
            }
            (Colors::Ycck, [y, cb, cr, k]) => {
                for ((((out, &y), &cb), &cr), &k) in rgb.zip(y).zip(cb).zip(cr).zip(k) {
                    *out = cmyk_to_rgb(ycbcr_to_rgb(y, cb, cr).map(|light| 255 - light), k);
                }
            }
            (colors, rows) => unreachable!("{} components of {colors:?}", rows.len()),
        }
    }
    Ok(pixels)
}

/// JFIF's conversion in 16-bit fixed point, as libjpeg rounds it.
fn ycbcr_to_rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((91881 * cr + 0x8000) >> 16);
    let green = y + ((-22554 * cb - 46802 * cr + 0x8000) >> 16);
    let blue = y + ((116130 * cb + 0x8000) >> 16);
    [red, green, blue].map(|light| light.clamp(0, 255) as u8)
}

/// What is left of the light after each ink and black have taken their share: all that is written as CMYK, by Adobe or as
/// Adobe does it, holds 255 for no ink.
fn cmyk_to_rgb(cmy: [u8; 3], black: u8) -> [u8; 3] {
    cmy.map(|light| ((u32::from(light) * u32::from(black) + 127) / 255) as u8)
}
