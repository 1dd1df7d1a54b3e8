//! Agreement with reference values at fixed parameters: how users and our own tests check a build.

use super::image::{
    ColorJitter, GaussianBlur, Grayscale, HorizontalFlip, QuarterTurns, RandomResizedCrop, Solarize, VerticalFlip,
};
use super::{Augmentation, Draw, View};
use crate::image::{Image, Pixels, Size};
use selfsame_base::DataError;
use serde::Deserialize;
use std::ops::RangeInclusive;

/// The built-in cases; made by the script beside the file.
pub const GOLDEN: &str = include_str!("../../tests/golden/augmentations.json");

/// Largest deviation from the reference that counts as agreement, on the 0..1 scale.
pub const TOLERANCE: f32 = 2e-3;

/// Largest side of an image in a file of cases, px.
const MAX_SIDE: usize = 1024;

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
        let value = self.parameters.get(name).and_then(serde_json::Value::as_f64).map(|v| v as f32);
        let finite = value.filter(|v| v.is_finite());
        finite.ok_or_else(|| self.error(format!("expected a number \"{name}\" among its parameters")))
    }

    /// A parameter that is a whole number within `range`.
    fn whole(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize, DataError> {
        let value = self.parameters.get(name).and_then(serde_json::Value::as_u64);
        let value = value.and_then(|v| usize::try_from(v).ok()).filter(|v| range.contains(v));
        value.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.error(format!("expected a whole number \"{name}\" from {least} to {most} among its parameters"))
        })
    }

    fn error(&self, problem: impl std::fmt::Display) -> DataError {
        malformed(format_args!("case {}: {problem}", self.operation))
    }

    /// The augmentation and the draw that do to an image of `size` what the case describes.
    fn augmentation(&self, size: Size) -> Result<(Box<dyn Augmentation>, Draw), DataError> {
        let jitter = |values: [f32; 4]| {
            let jitter = ColorJitter { brightness: 0.0, contrast: 0.0, saturation: 0.0, hue: 0.0, p: 1.0 };
            let [brightness, contrast, saturation, hue] = values;
            (Box::new(jitter) as Box<dyn Augmentation>, Draw::of([brightness, contrast, saturation, hue, 1234.0]))
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
                let turns = self.whole("quarter_turns_counter_clockwise", 0..=3)?;
                (Box::new(QuarterTurns { p }), Draw::of([turns as f32]))
            }
            "gaussian_blur" => {
                let sigma = self.parameter("sigma_px")?;
                if sigma <= 0.0 {
                    return Err(self.error(format!("expected a \"sigma_px\" above 0, received {sigma}")));
                }
                (Box::new(GaussianBlur { sigma: [sigma; 2], p }), Draw::of([sigma]))
            }
            "resized_crop" => {
                let side = self.whole("size", 1..=MAX_SIDE)?;
                let crop = RandomResizedCrop { scale: [1.0; 2], ratio: [1.0; 2], p, size: Size::square(side) };
                let (top, left) = (self.whole("top", 0..=size.height - 1)?, self.whole("left", 0..=size.width - 1)?);
                let height = self.whole("height", 1..=size.height - top)?;
                let width = self.whole("width", 1..=size.width - left)?;
                (Box::new(crop), Draw::of([top, left, height, width].map(|v| v as f32)))
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

/// An error in a file of golden augmentations.
fn malformed(problem: impl std::fmt::Display) -> DataError {
    DataError::Data(format!("golden augmentations: {problem}; the format is that of tests/golden/augmentations.json"))
}

/// The size and the values of an image `[height, width, 3]`, if it is one.
fn image<T: Copy>(rows: &[Vec<Vec<T>>]) -> Option<(Size, Vec<T>)> {
    let size = Size { height: rows.len(), width: rows.first()?.len() };
    let even = rows.iter().all(|row| row.len() == size.width && row.iter().all(|pixel| pixel.len() == 3));
    (even && size.width > 0).then(|| (size, rows.concat().concat()))
}

/// Runs the cases of a file like [`GOLDEN`] and returns the largest deviation of each operation, in the file's order.
///
/// # Errors
/// If the file is no such file, in one line that names the case.
pub fn selftest(json: &str) -> Result<Vec<Deviation>, DataError> {
    let golden: Golden = serde_json::from_str(json).map_err(malformed)?;
    let (size, pixels) =
        image(&golden.input_u8_hwc).filter(|(size, _)| size.height.max(size.width) <= MAX_SIDE).ok_or_else(|| {
            malformed(format_args!("expected an input_u8_hwc of [height, width, 3], at most {MAX_SIDE} px"))
        })?;
    let input = Image::new(size.height, size.width, 3, Pixels::U8(pixels));
    if golden.cases.is_empty() {
        return Err(malformed("it has no cases"));
    }
    let mut table: Vec<Deviation> = Vec::new();
    for case in &golden.cases {
        let (augmentation, draw) = case.augmentation(size)?;
        let mut view = View::default();
        augmentation.apply_to_sample(&input, &mut view, &draw);
        let Pixels::F32(ours) = view.to_image().pixels else { unreachable!("views are f32") };
        let Size { height, width } = view.size();
        let reference = image(&case.output).filter(|(size, _)| *size == view.size());
        let (_, reference) =
            reference.ok_or_else(|| case.error(format!("expected an output of [{height}, {width}, 3] values")))?;
        let deviations = ours.iter().zip(&reference).map(|(a, b)| (a - b).abs());
        // What is no number deviates as far as can be.
        let largest = deviations.fold(0.0, |m: f32, d| if d.is_nan() { f32::INFINITY } else { m.max(d) });
        record(&mut table, &case.operation, largest);
    }
    Ok(table)
}

/// Adds a case's largest deviation to its operation's.
pub(super) fn record(table: &mut Vec<Deviation>, operation: &str, largest: f32) {
    match table.iter_mut().find(|row| row.operation == operation) {
        Some(row) => (row.cases, row.largest) = (row.cases + 1, row.largest.max(largest)),
        None => table.push(Deviation { operation: operation.to_owned(), cases: 1, largest }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn problem(change: impl FnOnce(&mut Value)) -> String {
        let mut golden: Value = serde_json::from_str(GOLDEN).unwrap();
        change(&mut golden);
        let error = selftest(&golden.to_string()).unwrap_err().to_string();
        assert!(error.starts_with("golden augmentations: ") && !error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn a_file_with_holes_is_an_error_in_one_line() {
        assert!(selftest("{}").unwrap_err().to_string().contains("missing field"));
        for input in [json!([]), json!([[]]), json!([[[]]]), json!([[[1, 2, 3]], []]), json!([[[1, 2, 3, 4]]])] {
            assert!(problem(|golden| golden["input_u8_hwc"] = input).contains("input_u8_hwc"));
        }
        // As many values as the image should have, in rows of two lengths.
        let moved = problem(|golden| {
            let pixel = golden["input_u8_hwc"][0].as_array_mut().unwrap().pop().unwrap();
            golden["input_u8_hwc"][1].as_array_mut().unwrap().push(pixel);
        });
        assert!(moved.contains("input_u8_hwc"), "{moved}");
        assert!(problem(|golden| golden["cases"] = json!([])).contains("no cases"));
        assert!(problem(|golden| golden["cases"][0]["operation"] = "melt".into()).contains("case melt: no such"));
        for output in [json!([]), json!([[]]), json!([[[0.5]]])] {
            let error = problem(|golden| golden["cases"][0]["output"] = output);
            assert!(error.contains("case brightness: expected an output of [12, 14, 3]"), "{error}");
        }
        for value in [json!("1"), json!(null), json!(1e39)] {
            let error = problem(|golden| golden["cases"][0]["parameters"]["factor"] = value);
            assert!(error.contains("expected a number \"factor\""), "{error}");
        }
    }

    #[test]
    fn crops_turns_and_widths_that_there_are_not_are_errors() {
        let golden: Value = serde_json::from_str(GOLDEN).unwrap();
        let case = |operation: &str| {
            golden["cases"].as_array().unwrap().iter().position(|case| case["operation"] == operation).unwrap()
        };
        for (operation, parameter, values) in [
            ("resized_crop", "size", [json!(0), json!(-3), json!(2.5), json!(1_000_000)]),
            ("resized_crop", "top", [json!(12), json!(-1), json!(0.5), json!(1u64 << 60)]),
            ("resized_crop", "width", [json!(0), json!(13), json!("4"), json!(-1)]),
            ("rotate_quarter", "quarter_turns_counter_clockwise", [json!(4), json!(-1), json!(0.5), json!(null)]),
            ("gaussian_blur", "sigma_px", [json!(0), json!(-1), json!(1e39), json!([])]),
        ] {
            for value in values {
                let error = problem(|golden| golden["cases"][case(operation)]["parameters"][parameter] = value);
                assert!(error.contains(&format!("case {operation}: ")) && error.contains(parameter), "{error}");
            }
        }
    }
}
