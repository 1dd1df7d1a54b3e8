//! The invariance profile: what has the encoder become invariant to, and what does it still see?
//!
//! For every dial of an augmentation and a range of its strengths, over some samples `x`:
//!
//! | number | definition |
//! | --- | --- |
//! | `cosine` | mean cosine between `h(x)` and `h(t(x))` |
//! | `random_pair` | mean cosine between two different samples |
//! | `invariance` | `(cosine − random_pair) / (1 − random_pair)`: 1 is untouched, 0 is as far as another sample |
//! | `r2` | `R²`, on held-out samples (every fourth), of a ridge regression from `h(t(x))` to the strength: what is still seen of the transformation (equivariance); the untouched sample counts with the neutral strength |
//!
//! The same for `z`. `invariance.json` holds `measured_on` (the encoder and its data), `samples`, `random_pair` by
//! representation, and `profile`: a list of `dial` (`augmentation`, `parameter`, `unit`, `neutral`, `strengths`) with
//! `responses` by representation: `cosine` and `invariance` (lists, an entry per strength) and `r2`.

use crate::collapse::statistics;
use crate::features::Rows;
use crate::json;
use crate::knn::unit_rows;
use crate::representation::{MeasuredOn, RepresentationName};
use crate::ridge;
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Format of `invariance.json`.
pub const FORMAT: u32 = 1;

/// One sample of so many is held out.
const HELD_OUT: usize = 4;

/// What was turned, and how far: one parameter of an augmentation over a range of strengths.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DialRange {
    /// Name of the augmentation.
    pub augmentation: String,
    /// What is turned; empty for what is done or not.
    pub parameter: String,
    /// Unit of the strengths, as written after a number.
    pub unit: String,
    /// The strength at which nothing happens.
    pub neutral: f32,
    /// Strengths, weakest first.
    pub strengths: Vec<f32>,
}

/// What one representation makes of one dial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Mean cosine to the untouched sample, an entry per strength.
    pub cosine: Vec<f64>,
    /// The same on a scale from 0, as far as another sample, to 1, untouched.
    pub invariance: Vec<f64>,
    /// `R²` of the strength.
    pub r2: f64,
}

/// The responses to one dial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DialResponses {
    /// What was turned.
    pub dial: DialRange,
    /// By representation.
    pub responses: BTreeMap<RepresentationName, Response>,
}

/// Features of the same samples, untouched and turned.
#[derive(Clone, Copy, Debug)]
pub struct Turned<'a> {
    /// Which features these are.
    pub name: &'a RepresentationName,
    /// Of the samples as they are, `[samples, dim]`.
    pub plain: Rows<'a>,
    /// Of the turned samples, an entry per strength: `[samples, dim]`.
    pub turned: &'a [Vec<f32>],
}

/// `invariance.json`: the responses of a run's representations to every dial that its data can be turned by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Which encoder was looked at, on which data.
    #[serde(default)]
    pub measured_on: MeasuredOn,
    /// Samples.
    pub samples: usize,
    /// Mean cosine of two different samples, by representation.
    pub random_pair: BTreeMap<RepresentationName, f64>,
    /// In the order in which they were measured.
    pub profile: Vec<DialResponses>,
}

/// 1 is untouched, 0 is as far as another sample.
fn invariance(cosine: f64, random_pair: f64) -> f64 {
    if random_pair < 1.0 { (cosine - random_pair) / (1.0 - random_pair) } else { 0.0 }
}

impl Profile {
    /// A profile without responses yet. `plain` holds the features of the untouched samples, `[samples, dim]`.
    ///
    /// # Errors
    /// If there are fewer than two samples, or a value is not finite.
    pub fn new(measured_on: MeasuredOn, plain: &[(RepresentationName, Rows)]) -> Result<Self, DataError> {
        let cosine = |(name, rows): &(RepresentationName, Rows)| Ok((name.clone(), statistics(*rows)?.mean_cosine));
        let random_pair = plain.iter().map(cosine).collect::<Result<_, DataError>>()?;
        let samples = plain.first().map_or(0, |(_, rows)| rows.len());
        Ok(Self { measured_on, samples, random_pair, profile: Vec::new() })
    }

    /// Measures the responses to a dial, and adds them.
    ///
    /// # Errors
    /// If a value is not finite.
    pub fn add(&mut self, dial: DialRange, features: &[Turned]) -> Result<(), DataError> {
        let of = |features: &Turned| {
            let random_pair = self.random_pair.get(features.name).copied();
            let random_pair = random_pair.expect("a representation that the profile was begun with");
            Ok((features.name.clone(), response(&dial, features, random_pair)?))
        };
        let responses = features.iter().map(of).collect::<Result<_, DataError>>()?;
        self.profile.push(DialResponses { dial, responses });
        Ok(())
    }

    /// Writes `invariance.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `invariance.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }

    /// The table for a terminal: a bar of invariance per strength, and `R²`, by representation.
    pub fn table(&self) -> String {
        const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let mut text = format!("{:36}", "invariance (bar: 0 another sample, 1 untouched; weak to strong)");
        text += &format!("\n{:36}", "");
        for (name, random) in &self.random_pair {
            text += &format!("{:28}", format!("{name} (random pair {random:.2})"));
        }
        for DialResponses { dial, responses } in &self.profile {
            let range = match dial.strengths[..] {
                [first, .., last] => format!(" {first}…{last}{}", dial.unit),
                _ => String::new(),
            };
            text += &format!("\n{:36}", format!("{} {}{range}", dial.augmentation, dial.parameter).trim_end());
            for name in self.random_pair.keys() {
                let Some(response) = responses.get(name) else {
                    text += &format!("{:28}", "");
                    continue;
                };
                let bar = |v: &f64| BARS[(v.clamp(0.0, 1.0) * 8.0).round() as usize];
                let bars: String = response.invariance.iter().map(bar).collect();
                let weakest = response.invariance.iter().copied().fold(f64::INFINITY, f64::min);
                text += &format!("{:28}", format!("{bars:7} min {weakest:>5.2}  R² {:>5.2}", response.r2));
            }
        }
        let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
        trimmed.join("\n") + "\n"
    }
}

fn response(dial: &DialRange, features: &Turned, random_pair: f64) -> Result<Response, DataError> {
    let &Turned { plain, turned, .. } = features;
    assert_eq!(turned.len(), dial.strengths.len(), "features at every strength");
    let dim = plain.dim;
    plain.check_finite("the features of untouched samples")?;
    for values in turned {
        assert_eq!(values.len(), plain.values.len(), "features of every sample");
        Rows::new(values, dim).check_finite(&format!("the features under {}", dial.augmentation))?;
    }
    let units = unit_rows(plain);
    let cosine = turned.iter().map(|values| {
        let turned = unit_rows(Rows::new(values, dim));
        units.iter().zip(&turned).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>() / plain.len() as f64
    });
    let cosine: Vec<f64> = cosine.collect();
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
    let r2 = if seen { ridge::held_out(train, test).r2_of(0..1) } else { 0.0 };
    Ok(Response { invariance: cosine.iter().map(|&c| invariance(c, random_pair)).collect(), cosine, r2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use selfsame_base::rng::{Purpose, StreamRng};

    #[test]
    fn an_encoder_that_adds_the_strength_sees_it_and_one_that_drops_it_does_not() {
        let dial = DialRange {
            augmentation: "color_jitter".into(),
            parameter: "brightness".into(),
            unit: String::new(),
            neutral: 1.0,
            strengths: vec![1.1, 1.25, 1.5, 1.75, 2.0],
        };
        let (samples, dim) = (200, 6);
        let mut rng = StreamRng::new(2, Purpose::Survey, 0, 0, 0);
        let plain: Vec<f32> = (0..samples * dim).map(|_| rng.normal()).collect();
        let turned = |weight: f32| -> Vec<Vec<f32>> {
            let by = |s: &f32| {
                plain.iter().enumerate().map(|(i, v)| v + if i % dim == 0 { weight * (s - 1.0) } else { 0.0 }).collect()
            };
            dial.strengths.iter().map(by).collect()
        };
        let (name, rows) = (RepresentationName::H, Rows::new(&plain, dim));
        let mut profile = Profile::new(MeasuredOn::default(), &[(name.clone(), rows)]).unwrap();
        assert!(profile.random_pair[&name].abs() < 0.05 && profile.samples == samples);
        for weight in [0.0, 100.0] {
            let turned = &turned(weight);
            profile.add(dial.clone(), &[Turned { name: &name, plain: rows, turned }]).unwrap();
        }
        let [blind, sees] = [0, 1].map(|i| &profile.profile[i].responses[&name]);
        assert!(blind.cosine.iter().all(|c| (c - 1.0).abs() < 1e-5) && blind.r2.abs() < 0.05, "{blind:?}");
        assert!(blind.invariance.iter().all(|c| (c - 1.0).abs() < 1e-5));
        assert!(sees.r2 > 0.99 && sees.cosine.iter().all(|c| *c < 0.5), "{sees:?}");
        assert!(profile.table().contains("color_jitter brightness 1.1…2"), "{}", profile.table());
        assert_eq!((invariance(0.7, 0.4), invariance(1.0, 0.4), invariance(1.0, 1.0)), ((0.7 - 0.4) / 0.6, 1.0, 0.0));

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invariance.json");
        profile.write(&path).unwrap();
        assert_eq!(Profile::read(&path).unwrap(), profile);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replacen('{', "{\"newer\": 1,", 1)).unwrap();
        assert_eq!(Profile::read(&path).unwrap(), profile);

        let mut broken = turned(0.0);
        broken[2][9] = f32::NAN;
        let error = profile.add(dial.clone(), &[Turned { name: &name, plain: rows, turned: &broken }]);
        assert!(error.unwrap_err().to_string().contains("row 1 of the features under color_jitter"));
    }
}
