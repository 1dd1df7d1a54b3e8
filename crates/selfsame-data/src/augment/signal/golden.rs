//! Agreement with reference values at given draws, on our own cases.

use super::{Draw, View};
use crate::augment::golden::{Deviation, record};
use crate::augment::{Augmentations, Others, ViewShape};
use crate::image::{Image, Pixels, Size};
use crate::modality::Modality;
use selfsame_config::Choice;
use serde::Deserialize;
use std::sync::Arc;

/// Made by the script beside the file.
const CASES: &str = include_str!("../../../tests/golden/signal_augmentations.json");

#[derive(Deserialize)]
struct Golden {
    /// `[time][channels]`
    signal: Vec<Vec<f32>>,
    /// `[height][width]`, on the 0..1 scale of `range`; so are the others.
    image: Vec<Vec<f32>>,
    range: [f32; 2],
    others: Vec<Vec<Vec<f32>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    operation: String,
    input: String,
    draw: Vec<f32>,
    output: Vec<Vec<f32>>,
}

impl Golden {
    /// The largest deviation of a case.
    fn deviation(&self, case: &Case) -> f32 {
        let (modality, rows) = match case.input.as_str() {
            "signal" => (Modality::Signal, &self.signal),
            _ => (Modality::Image, &self.image),
        };
        let size = |rows: &[Vec<f32>]| match modality {
            Modality::Signal => (Size { height: 1, width: rows.len() }, rows[0].len()),
            _ => (Size { height: rows.len(), width: rows[0].len() }, 1),
        };
        let ((own, channels), (out, _)) = (size(rows), size(&case.output));
        let shape = ViewShape { size: out, channels, modality };
        let (_, step) = Augmentations::default()
            .build(&Choice::new(&case.operation, toml::Table::new()), "golden", shape)
            .expect("an augmentation of ours");
        let mut view = View::default();
        view.load(&Image::new(own.height, own.width, channels, Pixels::F32(rows.concat())));
        view.set_range(self.range.into());
        view.others =
            Some(Arc::new(Others::new(self.others.concat().concat(), self.image.len() * self.image[0].len())));
        let draw = Draw { applied: true, values: std::array::from_fn(|i| case.draw.get(i).copied().unwrap_or(0.0)) };
        assert_eq!(step.output_size(own, &draw), out, "{}", case.operation);
        step.apply(&mut view, &draw);
        assert_eq!(view.size(), out, "{}", case.operation);
        let Pixels::F32(ours) = view.to_image().pixels else { unreachable!("views are f32") };
        let deviations = ours.iter().zip(case.output.concat()).map(|(a, b)| (a - b).abs());
        // What is no number deviates as far as can be.
        deviations.fold(0.0, |m: f32, d| if d.is_nan() { f32::INFINITY } else { m.max(d) })
    }
}

/// The largest deviation of each augmentation, in standard deviations of signals and on the 0..1 scale of images.
pub fn selftest() -> Vec<Deviation> {
    let golden: Golden = serde_json::from_str(CASES).expect("our own cases");
    let mut table = Vec::new();
    golden.cases.iter().for_each(|case| record(&mut table, &case.operation, golden.deviation(case)));
    table
}
