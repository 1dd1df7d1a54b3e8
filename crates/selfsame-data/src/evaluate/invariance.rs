//! The invariance profile: what has the encoder become invariant to, and what does it still see?
//!
//! For every [dial](crate::augment::dials) of an augmentation and a range of its strengths, over some samples `x`:
//!
//! | number | definition |
//! | --- | --- |
//! | `cosine` | mean cosine between `h(x)` and `h(t(x))` |
//! | `random_pair` | mean cosine between two different samples |
//! | `invariance` | `(cosine − random_pair) / (1 − random_pair)`: 1 is untouched, 0 is as far as another sample |
//! | `r2` | `R²`, on held-out samples (every fourth), of a ridge regression from `h(t(x))` to the strength: what is still seen of the transformation (equivariance); the untouched sample counts with the neutral strength |
//!
//! The same for `z`. In `invariance.json`: `samples`, `random_pair` by representation, and `profile`, a list of
//! `augmentation`, `parameter`, `unit`, `neutral`, `strengths`, and by representation `cosine` and `invariance` (lists, an
//! entry a strength) and `r2`.

use super::collapse::statistics;
use super::json;
use super::knn::unit_rows;
use super::ridge;
use crate::DataError;
use crate::augment::Dial;
use crate::features::Rows;
use serde_json::{Map, Value, json};
use std::path::Path;

/// One sample of so many is held out.
const HELD_OUT: usize = 4;

/// What one representation makes of one dial.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// Mean cosine to the untouched sample, an entry a strength.
    pub cosine: Vec<f64>,
    /// `R²` of the strength.
    pub r2: f64,
}

/// Measures the response to a dial.
///
/// # Shapes
/// `plain: [samples, dim]`; `turned`, an entry a strength: `[samples, dim]`.
pub fn response(dial: &Dial, plain: Rows, turned: &[Vec<f32>]) -> Response {
    let dim = plain.dim;
    let units = unit_rows(plain);
    let cosine = turned.iter().map(|rows| {
        let turned = unit_rows(Rows::new(rows, dim));
        units.iter().zip(&turned).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / plain.len() as f64
    });
    let mut parts: [[Vec<f32>; 2]; 2] = Default::default();
    let levels = std::iter::once((dial.neutral, plain.values));
    let levels = levels.chain(dial.strengths.iter().copied().zip(turned.iter().map(Vec::as_slice)));
    for (strength, values) in levels {
        for (sample, row) in values.chunks_exact(dim).enumerate() {
            let [features, targets] = &mut parts[usize::from(sample % HELD_OUT == HELD_OUT - 1)];
            features.extend_from_slice(row);
            targets.push(strength);
        }
    }
    let [train, test] = parts.each_ref().map(|[features, targets]| [Rows::new(features, dim), Rows::new(targets, 1)]);
    let seen = !test[0].is_empty() && train[0].len() > 2;
    Response { cosine: cosine.collect(), r2: if seen { ridge::held_out(train, test).r2()[0] } else { 0.0 } }
}

/// The responses of a run's representations to every dial that its data can be turned by.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Samples.
    pub samples: usize,
    /// Name and mean cosine of two different samples, by representation.
    pub random_pair: Vec<(&'static str, f64)>,
    /// Dial and response, the latter in the order of `random_pair`.
    pub responses: Vec<(&'static Dial, Vec<Response>)>,
}

impl Profile {
    /// A profile yet without responses. `plain`, by representation: `[samples, dim]`, at least two finite samples.
    pub fn new(plain: &[(&'static str, Rows)]) -> Result<Self, DataError> {
        let cosine = |&(name, rows): &(&'static str, Rows)| Ok((name, statistics(rows)?.mean_cosine));
        let random_pair = plain.iter().map(cosine).collect::<Result<_, DataError>>()?;
        Ok(Self { samples: plain.first().map_or(0, |p| p.1.len()), random_pair, responses: Vec::new() })
    }

    /// 1 is untouched, 0 is as far as another sample.
    pub fn invariance(cosine: f64, random_pair: f64) -> f64 {
        if random_pair < 1.0 { (cosine - random_pair) / (1.0 - random_pair) } else { 0.0 }
    }

    /// Writes `invariance.json`, `about` first.
    pub fn write(&self, about: Map<String, Value>, path: &Path) -> Result<(), DataError> {
        let mut object = about;
        object.insert("samples".into(), json!(self.samples));
        let random_pair = self.random_pair.iter().map(|(name, v)| ((*name).to_owned(), json!(v)));
        object.insert("random_pair".into(), Value::Object(random_pair.collect()));
        let entries = self.responses.iter().map(|(dial, responses)| {
            let mut entry = json!({
                "augmentation": dial.augmentation, "parameter": dial.parameter, "unit": dial.unit,
                "neutral": dial.neutral, "strengths": dial.strengths,
            });
            for ((name, random), response) in self.random_pair.iter().zip(responses) {
                let invariance: Vec<f64> = response.cosine.iter().map(|&c| Self::invariance(c, *random)).collect();
                entry[*name] = json!({ "cosine": response.cosine, "invariance": invariance, "r2": response.r2 });
            }
            entry
        });
        object.insert("profile".into(), Value::Array(entries.collect()));
        json::write(path, &Value::Object(object))
    }

    /// The table for a terminal: a bar of invariance a strength, and `R²`, by representation.
    pub fn table(&self) -> String {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let mut text = format!("{:36}", "invariance (bar: 0 another sample, 1 untouched; weak to strong)");
        text += &format!("\n{:36}", "");
        for (name, random) in &self.random_pair {
            text += &format!("{:28}", format!("{name} (random pair {random:.2})"));
        }
        for (dial, responses) in &self.responses {
            let [first, .., last] = [dial.strengths[0], dial.strengths[dial.strengths.len() - 1]];
            let range =
                if dial.strengths.len() > 1 { format!(" {first}…{last}{}", dial.unit) } else { String::new() };
            text += &format!("\n{:36}", format!("{} {}{range}", dial.augmentation, dial.parameter).trim_end());
            for ((_, random), response) in self.random_pair.iter().zip(responses) {
                let values: Vec<f64> = response.cosine.iter().map(|&c| Self::invariance(c, *random)).collect();
                let bars: String = values.iter().map(|v| BARS[(v.clamp(0.0, 1.0) * 8.0).round() as usize]).collect();
                let weakest = values.iter().copied().fold(f64::INFINITY, f64::min);
                text += &format!("{:28}", format!("{bars:7} min {weakest:>5.2}  R² {:>5.2}", response.r2));
            }
        }
        let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
        trimmed.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::DIALS;
    use crate::rng::{Purpose, StreamRng};

    #[test]
    fn an_encoder_that_adds_the_strength_sees_it_and_one_that_drops_it_does_not() {
        let dial = DIALS.iter().find(|d| d.parameter == "brightness").unwrap();
        let (samples, dim) = (200, 6);
        let mut rng = StreamRng::new(2, Purpose::Survey, 0, 0, 0);
        let plain: Vec<f32> = (0..samples * dim).map(|_| rng.normal()).collect();
        let turned = |weight: f32| -> Vec<Vec<f32>> {
            let by = |s: &f32| {
                plain.iter().enumerate().map(|(i, v)| v + if i % dim == 0 { weight * (s - 1.0) } else { 0.0 }).collect()
            };
            dial.strengths.iter().map(by).collect()
        };
        let rows = Rows::new(&plain, dim);
        let blind = response(dial, rows, &turned(0.0));
        assert!(blind.cosine.iter().all(|c| (c - 1.0).abs() < 1e-5) && blind.r2.abs() < 0.05, "{blind:?}");
        let sees = response(dial, rows, &turned(100.0));
        assert!(sees.r2 > 0.99 && sees.cosine.iter().all(|c| *c < 0.5), "{sees:?}");

        let mut profile = Profile::new(&[("h", rows)]).unwrap();
        assert!(profile.random_pair[0].1.abs() < 0.05);
        profile.responses.push((dial, vec![sees]));
        assert!(profile.table().contains("color_jitter brightness"), "{}", profile.table());
        assert_eq!((Profile::invariance(0.7, 0.4), Profile::invariance(1.0, 0.4)), ((0.7 - 0.4) / 0.6, 1.0));
    }
}
