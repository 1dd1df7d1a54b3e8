//! Writes the features of a folder of images: `cargo run --release -p selfsame --example embed RUN|ENCODER IMAGES`.

#![allow(clippy::print_stdout, reason = "for who runs it")]

use selfsame::{Embedder, Error};

fn main() -> Result<(), Error> {
    let mut words = std::env::args().skip(1);
    let (Some(encoder), Some(images)) = (words.next(), words.next()) else {
        println!("usage: embed RUN|ENCODER IMAGES");
        return Ok(());
    };
    let encoder = Embedder::load(encoder)?;
    let features = encoder.embed_path(images)?;
    for (row, id) in features.ids.iter().enumerate() {
        println!("{id}\t{:?}", &features.row(row)[..features.dim.min(4)]);
    }
    Ok(())
}
