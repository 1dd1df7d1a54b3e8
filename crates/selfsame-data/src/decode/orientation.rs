//! Which way up an image is: what its EXIF says, else its XMP; and turning it.

use super::tiff::ifd;
use crate::image::{Image, Pixels};
use image::metadata::Orientation;

/// EXIF's tag, and TIFF's.
const ORIENTATION: u16 = 274;

/// What EXIF says, else XMP, else that it is upright.
pub fn stated(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Orientation {
    exif.and_then(of_exif).or_else(|| xmp.and_then(of_xmp)).unwrap_or(Orientation::NoTransforms)
}

/// EXIF as a file of its own, or with the name before it that a JPEG's segment begins with.
fn of_exif(exif: &[u8]) -> Option<Orientation> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let (reader, first) = ifd::Reader::open(ifd::Stored::Memory(exif))?;
    let value = reader.directory(first).ok()?.value(ORIENTATION, 0).ok()?;
    Orientation::from_exif(u8::try_from(value).ok()?)
}

/// `tiff:Orientation="6"` or `<tiff:Orientation>6</tiff:Orientation>`.
pub fn of_xmp(xmp: &[u8]) -> Option<Orientation> {
    let name = b"tiff:Orientation";
    let at = memchr::memmem::find(xmp, name)? + name.len();
    let value = xmp[at..].iter().take(8).find(|byte| !matches!(byte, b'=' | b'"' | b'\'' | b'>' | b' '))?;
    Orientation::from_exif(value.checked_sub(b'0')?)
}

/// Turns an image the right way up.
pub fn apply(image: Image, orientation: Orientation) -> Image {
    fn turned<T: Copy>(values: &[T], image: &Image, height: usize, width: usize, from: [[usize; 2]; 3]) -> Vec<T> {
        let mut out = Vec::with_capacity(values.len());
        let [down, right, start] = from;
        for y in 0..height {
            for x in 0..width {
                let step = |axis: usize| {
                    start[axis].wrapping_add(y.wrapping_mul(down[axis])).wrapping_add(x.wrapping_mul(right[axis]))
                };
                let at = (step(0) * image.width + step(1)) * image.channels;
                out.extend_from_slice(&values[at..at + image.channels]);
            }
        }
        out
    }
    let (bottom, end, back) = (image.height - 1, image.width - 1, usize::MAX);
    // One step down and one to the right in the result, as steps (rows, columns) in what is stored, and where its first pixel is.
    let from = match orientation {
        Orientation::NoTransforms => return image,
        Orientation::FlipHorizontal => [[1, 0], [0, back], [0, end]],
        Orientation::Rotate180 => [[back, 0], [0, back], [bottom, end]],
        Orientation::FlipVertical => [[back, 0], [0, 1], [bottom, 0]],
        Orientation::Rotate90FlipH => [[0, 1], [1, 0], [0, 0]],
        Orientation::Rotate90 => [[0, 1], [back, 0], [bottom, 0]],
        Orientation::Rotate270FlipH => [[0, back], [back, 0], [bottom, end]],
        Orientation::Rotate270 => [[0, back], [1, 0], [0, end]],
    };
    let (height, width) =
        if orientation.to_exif() < 5 { (image.height, image.width) } else { (image.width, image.height) };
    let pixels = match &image.pixels {
        Pixels::U8(values) => Pixels::U8(turned(values, &image, height, width, from)),
        Pixels::U16(values) => Pixels::U16(turned(values, &image, height, width, from)),
        Pixels::F32(values) => Pixels::F32(turned(values, &image, height, width, from)),
    };
    Image::new(height, width, image.channels, pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage};

    #[test]
    fn images_are_turned_as_the_image_crate_turns_them() {
        let pixels: Vec<u8> = (0..15).collect();
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut expected = DynamicImage::ImageLuma8(GrayImage::from_raw(5, 3, pixels.clone()).unwrap());
            expected.apply_orientation(orientation);
            let turned = apply(Image::new(3, 5, 1, Pixels::U8(pixels.clone())), orientation);
            assert_eq!((turned.width, turned.height), (expected.width() as usize, expected.height() as usize));
            assert_eq!(turned.pixels, Pixels::U8(expected.into_bytes()), "{exif}");
        }
    }

    #[test]
    fn exif_goes_before_xmp_in_any_of_their_forms() {
        let exif = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".as_slice();
        let named = [b"Exif\0\0", exif].concat();
        let [attribute, element] = [
            b"<rdf:Description tiff:Orientation=\"3\"/>".as_slice(),
            b"<tiff:Orientation>8</tiff:Orientation>".as_slice(),
        ];
        for (exif, xmp, expected) in [
            (Some(exif), None, 6),
            (Some(&named[..]), Some(attribute), 6),
            (None, Some(attribute), 3),
            (Some(b"damaged".as_slice()), Some(element), 8),
            (None, Some(b"<tiff:Orientation>9</tiff:Orientation>".as_slice()), 1),
            (None, Some(b"tiff:Orientation".as_slice()), 1),
            (None, None, 1),
        ] {
            assert_eq!(stated(exif, xmp).to_exif(), expected);
        }
    }
}
