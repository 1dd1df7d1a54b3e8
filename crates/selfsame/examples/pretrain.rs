//! Trains without labels, from files or from memory, and goes on from the encoder on other images.
//!
//! `cargo run --release -p selfsame --example pretrain`

#![allow(clippy::print_stdout, reason = "for who runs it")]

use selfsame::events::{Event, Observer};
use selfsame::{Embedder, Error, Pretrain};
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::source::Memory;

/// Prints a line per epoch.
struct Lines;

impl Observer for Lines {
    fn event(&mut self, event: &Event) {
        if let Event::Step(step) = event
            && step.step.is_multiple_of(15)
        {
            println!("step {}: loss {:.3}", step.step, step.total);
        }
    }
}

fn main() -> Result<(), Error> {
    // From files: a folder of images, an array, or, as here, the bundled ones.
    let run = Pretrain::new("simclr").data("demo/test").epochs(2).out("runs/example").run(&mut Lines)?;

    // From memory, and further from where the first encoder stands. Every other key of plans: see docs/keys.md.
    let noise = |i: u32| Pixels::U8((0..28 * 28u32).map(|p| ((p * (i + 7)) % 251) as u8).collect());
    let images: Vec<Image> = (0..64).map(|i| Image::new(28, 28, 1, noise(i))).collect();
    let further = Pretrain::new("simclr")
        .init(run.path())
        .dataset(Dataset::in_memory(Memory::new(images.clone())?)?)
        .set("train.batch_size", 32)
        .epochs(1)
        .out("runs/example-further")
        .run(&mut Lines)?;

    let features = Embedder::load(further.path())?.embed_images(images)?;
    println!("{} rows of {} features", features.len(), features.dim);
    Ok(())
}
