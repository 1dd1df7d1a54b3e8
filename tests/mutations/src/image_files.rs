//! Image files.

use crate::told;
use selfsame_data::decode::{FileDecoder, Wanted};
use selfsame_data::image::{Pixels, Size};

/// An image, decoded as gray, as RGB, and with all its channels. What decodes is what its header promises, finite, and all there.
pub fn image(bytes: &[u8]) {
    for channels in [1, 3, 4] {
        // Small, so that a decoder's memory is: 24 MB by the limits that are derived from it.
        let decoder = FileDecoder {
            wanted: Wanted::channels(channels),
            gray_only: false,
            background: [255, 0, 127],
            max_megapixels: 0.25,
            memory_bytes: 64 << 20,
        };
        let header = decoder.probe(bytes, "a file").map_err(told).ok();
        match decoder.decode(bytes, "a file") {
            Ok((image, _)) => {
                let size = Size { height: image.height, width: image.width };
                assert_eq!(Some(size), header.map(|header| header.size), "a header of another size");
                assert!(size.height * size.width <= 250_000, "more than the limit: {size:?}");
                let (values, finite) = match &image.pixels {
                    Pixels::U8(values) => (values.len(), true),
                    Pixels::U16(values) => (values.len(), true),
                    Pixels::F32(values) => (values.len(), values.iter().all(|value| value.is_finite())),
                };
                assert!(finite && (image.channels, values) == (channels, size.height * size.width * channels));
            }
            Err(error) => told(error),
        }
    }
}
