//! Agreement with reference values at fixed parameters: how a user checks a build, and we ourselves.

use super::image::{
    ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, QuarterTurns, RandomResizedCrop, Solarize, VerticalFlip,
};
use super::{Draw, ImageAugmentation, View};
use crate::image::{Image, Pixels};
use selfsame_base::DataError;
use serde::Deserialize;

/// The built-in cases; made by the script beside the file.
pub const GOLDEN: &str = include_str!("../../../../tests/golden/augmentations.json");

/// Largest deviation from the reference that counts as agreement, on the 0..1 scale.
pub const TOLERANCE: f32 = 2e-3;

/// Agreement of one operation with its reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// Operation, as the file names it.
    pub operation: String,
    /// Number of cases.
    pub cases: usize,
    /// Largest absolute deviation over all values of all cases, on the 0..1 scale.
    pub largest: f32,
}

#[derive(Deserialize)]
struct Golden {
    input_u8_hwc: Vec<Vec<Vec<u8>>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    operation: String,
    parameters: serde_json::Map<String, serde_json::Value>,
    output: Vec<Vec<Vec<f32>>>,
}

impl Case {
    fn parameter(&self, name: &str) -> Result<f32, DataError> {
        let value = self.parameters.get(name).and_then(serde_json::Value::as_f64);
        value.map(|v| v as f32).ok_or_else(|| self.error(format!("expected a number \"{name}\" among its parameters")))
    }

    fn error(&self, problem: impl Into<String>) -> DataError {
        DataError::sample(format!("golden case {}", self.operation), problem)
    }

    /// The augmentation and the draw that do what the case describes.
    fn augmentation(&self) -> Result<(Box<dyn ImageAugmentation>, Draw), DataError> {
        let jitter = |values: [f32; 4]| {
            let jitter = ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, p: 1.0 };
            let [brightness, contrast, saturation, hue] = values;
            (Box::new(jitter) as Box<dyn ImageAugmentation>, Draw::of([brightness, contrast, saturation, hue, 1234.0]))
        };
        let p = 1.0;
        Ok(match self.operation.as_str() {
            "brightness" => jitter([self.parameter("factor")?, 1.0, 1.0, 0.0]),
            "contrast" => jitter([1.0, self.parameter("factor")?, 1.0, 0.0]),
            "saturation" => jitter([1.0, 1.0, self.parameter("factor")?, 0.0]),
            "hue" => jitter([1.0, 1.0, 1.0, self.parameter("shift_turns")?]),
            "grayscale" => (Box::new(Grayscale { p }), Draw::of([])),
            "solarize" => (Box::new(Solarize { threshold: self.parameter("threshold")?, p }), Draw::of([])),
            "horizontal_flip" => (Box::new(HorizontalFlip { p }), Draw::of([])),
            "vertical_flip" => (Box::new(VerticalFlip { p }), Draw::of([])),
            "rotate_quarter" => {
                let turns = self.parameter("quarter_turns_counter_clockwise")?;
                (Box::new(QuarterTurns { p }), Draw::of([turns]))
            }
            "gaussian_blur" => {
                let sigma = self.parameter("sigma_px")?;
                (Box::new(GaussianBlur { sigma: [sigma; 2], p }), Draw::of([sigma]))
            }
            "resized_crop" => {
                let size = self.parameter("size")? as usize;
                let crop = RandomResizedCrop { scale: [1.0; 2], ratio: [1.0; 2], p, size };
                let [top, left] = [self.parameter("top")?, self.parameter("left")?];
                (Box::new(crop), Draw::of([top, left, self.parameter("height")?, self.parameter("width")?]))
            }
            _ => {
                return Err(self.error(
                    "no such operation; this build knows brightness, contrast, saturation, hue, \
                 grayscale, solarize, horizontal_flip, vertical_flip, rotate_quarter, gaussian_blur, resized_crop",
                ));
            }
        })
    }
}

/// Runs the cases of a file like [`GOLDEN`] and returns the largest deviation of each operation, in the file's order.
pub fn selftest(json: &str) -> Result<Vec<Deviation>, DataError> {
    let golden: Golden = serde_json::from_str(json).map_err(|e| {
        DataError::Data(format!("golden cases of augmentations: {e}; expected the format of tests/golden"))
    })?;
    let (height, width) = (golden.input_u8_hwc.len(), golden.input_u8_hwc.first().map_or(0, Vec::len));
    let pixels = golden.input_u8_hwc.concat().concat();
    if pixels.is_empty() || pixels.len() != height * width * 3 {
        return Err(DataError::Data("golden cases of augmentations: input_u8_hwc must be [height, width, 3]".into()));
    }
    let input = Image::new(height, width, 3, Pixels::U8(pixels));
    let mut table: Vec<Deviation> = Vec::new();
    for case in &golden.cases {
        let (augmentation, draw) = case.augmentation()?;
        let mut view = View::default();
        augmentation.apply_to_sample(&input, &mut view, &draw);
        let Pixels::F32(ours) = view.to_image().pixels else { unreachable!("views are f32") };
        let reference = case.output.concat().concat();
        if ours.len() != reference.len() || case.output.len() != view.size().height {
            return Err(case.error(format!("expected {:?} · 3 values, the file has {}", view.size(), reference.len())));
        }
        let largest = ours.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        match table.iter_mut().find(|row| row.operation == case.operation) {
            Some(row) => (row.cases, row.largest) = (row.cases + 1, row.largest.max(largest)),
            None => table.push(Deviation { operation: case.operation.clone(), cases: 1, largest }),
        }
    }
    Ok(table)
}
