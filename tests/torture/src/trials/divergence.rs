//! A value that overflows the network at some step: each policy of `train.on_divergence` does what it says.

use crate::bench::{Bench, draw, write_npy};
use crate::ledger::Tally;
use crate::product::{ENCODER, Failure, Place, code, pretrain};
use std::fs;

const SIDE: usize = 8;
const SAMPLES: usize = 64;

pub fn make(bench: &Bench) -> Result<Vec<Tally>, Failure> {
    // Finite, so that it is a good sample; its square is not.
    let value = |i: usize| if i / (SIDE * SIDE) == 37 { 1e30 } else { draw("value", i, 1000) as f32 / 1000.0 };
    let values: Vec<u8> = (0..SAMPLES * SIDE * SIDE).flat_map(|i| value(i).to_le_bytes()).collect();
    let data = bench.folder.join("overflows.npy");
    write_npy(&data, "<f4", &[SAMPLES, SIDE, SIDE], &values)?;
    let policies = ["stop", "skip", "rollback"].map(String::from);
    let tally = bench.ledger.each("divergence", &policies, |policy| {
        bench.in_place(&format!("divergence-{policy}"), |place| {
            let policy_word = format!("train.on_divergence={policy}");
            let words = pretrain(
                &data,
                &[
                    "data.mean=[0.5]",
                    "data.std=[0.25]",
                    "data.range=[0, 1]",
                    "views=[{count=2,augmentations=[{name=\"random_resized_crop\"}]}]",
                    "epochs=2",
                    "train.checkpoint_steps=1",
                    &policy_word,
                ],
            );
            let session = place.run(&words)?;
            match policy {
                "stop" => {
                    session.failed_with(code::DIVERGED)?;
                    if place.run_folder().checkpoints().is_empty() {
                        Err("no checkpoint is left".into())
                    } else {
                        Ok(())
                    }
                }
                "skip" => {
                    session.succeeded()?;
                    records_say_so(&place)?;
                    encoder_is_finite(&place)
                }
                // The sample comes again, so it cannot end well, and must end.
                _ => {
                    session.failed_with(code::DIVERGED)?;
                    records_say_so(&place)
                }
            }
        })
    });
    Ok(vec![tally.named("policies for a loss that is not finite", "do what they say")])
}

/// Whether `metrics.jsonl` tells what the policy did.
fn records_say_so(place: &Place) -> Result<(), Failure> {
    let text = fs::read_to_string(place.run_folder().path("metrics.jsonl")).map_err(|e| e.to_string())?;
    match text.contains(r#""event":"divergence""#) {
        true => Ok(()),
        false => Err("metrics.jsonl says nothing of a divergence".into()),
    }
}

/// A safetensors file is a length, a header of that length, and here nothing but `f32`.
fn encoder_is_finite(place: &Place) -> Result<(), Failure> {
    let bytes = fs::read(place.run_folder().path(ENCODER)).map_err(|e| format!("{ENCODER}: {e}"))?;
    let (length, rest) = bytes.split_first_chunk().ok_or("an empty encoder")?;
    let values = rest.get(u64::from_le_bytes(*length) as usize..).ok_or("a torn encoder")?;
    let finite = values.chunks_exact(4).all(|v| f32::from_le_bytes([v[0], v[1], v[2], v[3]]).is_finite());
    if finite { Ok(()) } else { Err("the encoder is not finite".into()) }
}
