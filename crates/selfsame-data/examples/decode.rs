//! Decodes image files as a training would, for comparison with other programs (`benchmarks/conformance`).
//!
//! `decode CHANNELS FILE...` writes for each file a line of JSON, `{"shape": [height, width, channels], "type": "u8"}` with the
//! pixels behind it, row by row, little-endian; or `{"refused": "why"}` with nothing behind it.

use selfsame_data::decode::{FileDecoder, Wanted};
use selfsame_data::image::Pixels;
use serde_json::json;
use std::error::Error;
use std::io::{BufWriter, Write};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let channels =
        arguments.next().and_then(|first| first.to_str()?.parse().ok()).ok_or("usage: decode CHANNELS FILE...")?;
    let wanted = Wanted::channels(channels);
    let decoder =
        FileDecoder { wanted, gray_only: false, background: [255; 3], max_megapixels: 100.0, memory_bytes: 1 << 30 };
    let mut out = BufWriter::new(std::io::stdout().lock());
    // What is caught becomes a refusal; a panic that is not caught is told by the exit code.
    std::panic::set_hook(Box::new(|_| {}));
    for path in arguments {
        let bytes = std::fs::read(&path)?;
        let image = match decoder.decode(&bytes, "file") {
            Ok((image, _)) => image,
            Err(error) => {
                writeln!(out, "{}", json!({"refused": error.to_string()}))?;
                continue;
            }
        };
        let (kind, pixels): (&str, Vec<u8>) = match image.pixels {
            Pixels::U8(values) => ("u8", values),
            Pixels::U16(values) => ("u16", values.into_iter().flat_map(u16::to_le_bytes).collect()),
            Pixels::F32(values) => ("f32", values.into_iter().flat_map(f32::to_le_bytes).collect()),
        };
        writeln!(out, "{}", json!({"shape": [image.height, image.width, image.channels], "type": kind}))?;
        out.write_all(&pixels)?;
    }
    Ok(out.flush()?)
}
