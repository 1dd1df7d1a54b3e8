//! The diagnosis of a representation: what was measured, the verdict in words, its evidence, and what to try. It needs no
//! labels.
//!
//! Written as a JSON object per representation (`h`, `z`), in `diagnosis.json` and under `diagnosis` in `scores.json`:
//!
//! | key | meaning |
//! | --- | --- |
//! | `verdict` | `not yet trained`, `complete collapse`, `dimensional collapse`, `shortcut suspected` or `healthy` |
//! | `evidence` | lines of facts, those that speak for the verdict first |
//! | `advice` | lines of what to try, the likeliest remedy first; empty when healthy |
//! | all others | what was measured: see [`crate::measurements`] and [`crate::collapse`] |
//!
//! The file `diagnosis.json` holds these objects under `diagnosis`, and under `measured_on` the `data`, `method`, `step` and
//! `epochs` of the encoder.

use crate::json;
use crate::measurements::{Measurements, Observed, measure};
use crate::representation::{MeasuredOn, RepresentationName};
use crate::verdict::{Judgement, Verdict, weigh};
use selfsame_base::DataError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Format of `diagnosis.json`.
pub const FORMAT: u32 = 1;

/// What was measured, and what it means. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The verdict.
    pub verdict: Verdict,
    /// One line per fact: those that speak for the verdict first.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// What to try.
    #[serde(default)]
    pub advice: Vec<String>,
    /// What was measured.
    #[serde(flatten)]
    pub measurements: Measurements,
}

/// Diagnoses embeddings of at least two samples.
///
/// # Errors
/// If there are fewer samples, or a value is not finite.
pub fn diagnose(observed: &Observed) -> Result<Diagnosis, DataError> {
    let measurements = measure(observed)?;
    let Judgement { verdict, evidence, advice } = weigh(&measurements);
    let advice = advice.iter().map(|line| (*line).to_owned()).collect();
    Ok(Diagnosis { verdict, evidence, advice, measurements })
}

/// The diagnoses of a run's representations.
pub type Diagnoses = BTreeMap<RepresentationName, Diagnosis>;

/// `diagnosis.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DiagnosisRecord {
    /// Which encoder was diagnosed, on which data.
    #[serde(default)]
    pub measured_on: MeasuredOn,
    /// What was found.
    pub diagnosis: Diagnoses,
}

impl DiagnosisRecord {
    /// Writes `diagnosis.json`.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        json::write(path, FORMAT, self)
    }

    /// Reads `diagnosis.json`.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        json::read(path, FORMAT)
    }
}

/// The page for a terminal; `color` makes verdicts green or red.
pub fn page(diagnoses: &Diagnoses, color: bool) -> String {
    let mut text = String::new();
    for (name, d) in diagnoses {
        let verdict = d.verdict.to_string();
        let shown = match (color, d.verdict) {
            (false, _) => verdict,
            (true, Verdict::Healthy) => format!("\x1b[1;32m{verdict}\x1b[0m"),
            (true, _) => format!("\x1b[1;31m{verdict}\x1b[0m"),
        };
        text += &format!("{name}: {shown}\n");
        d.evidence.iter().for_each(|line| text += &format!("  {line}\n"));
        d.advice.iter().for_each(|line| text += &format!("  try: {line}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Rows;
    use crate::shortcut::TrivialAttributes;
    use crate::testing::{normals, rng};

    fn close(a: f64, b: f64, relative: f64) {
        assert!((a - b).abs() <= relative * b.abs(), "{a} for {b}");
    }

    #[test]
    fn constructed_embeddings_get_their_verdict() {
        let (rows, dim) = (2000, 128);
        let judge = |values: &[f32]| diagnose(&Observed::new(Rows::new(values, dim))).unwrap();
        let constant = normals(1, dim, 3);
        let blend = |base: &dyn Fn(usize) -> f32, noise: f32| -> Vec<f32> {
            normals(rows, dim, 4).iter().enumerate().map(|(i, v)| base(i) + noise * v).collect()
        };

        let isotropic = judge(&blend(&|_| 0.0, 1.0));
        assert_eq!(isotropic.verdict, Verdict::Healthy, "{isotropic:?}");
        close(isotropic.measurements.statistics.std, 1.0, 0.01);
        assert!(
            isotropic.measurements.statistics.mean_cosine.abs() < 1e-3
                && isotropic.measurements.statistics.dead_share == 0.0
        );

        let mut random = rng(5);
        let basis: Vec<f32> = (0..3 * dim).map(|_| random.normal()).collect();
        let rank_three: Vec<f32> = (normals(rows, 3, 6).chunks(3))
            .flat_map(|w| (0..dim).map(|j| (0..3).map(|k| w[k] * basis[k * dim + j]).sum::<f32>()).collect::<Vec<_>>())
            .collect();
        let rank_three = judge(&rank_three);
        assert_eq!(rank_three.verdict, Verdict::DimensionalCollapse, "{rank_three:?}");
        assert!(
            rank_three.measurements.statistics.centered_effective_rank < 3.01
                && rank_three.measurements.statistics.centered_effective_rank > 2.5
        );

        for (noise, what) in [(0.0, "constant"), (1e-3, "constant and 0.1 % noise")] {
            let found = judge(&blend(&|i| constant[i % dim], noise));
            assert_eq!(found.verdict, Verdict::CompleteCollapse, "{what}: {found:?}");
            assert!(
                found.evidence[0].contains("0.99") && found.evidence[1].contains("centered norm"),
                "{:?}",
                found.evidence
            );
            assert!(
                found.measurements.statistics.std < 0.01
                    && (found.measurements.statistics.effective_rank - 1.0).abs() < 0.5,
                "{found:?}"
            );
        }
        let zeros = judge(&vec![0.0; rows * dim]);
        assert_eq!(
            (zeros.verdict, zeros.measurements.statistics.centered_effective_rank),
            (Verdict::CompleteCollapse, 0.0),
            "{zeros:?}"
        );

        let other = normals(1, dim, 7);
        let clusters =
            judge(&blend(&|i| if (i / dim).is_multiple_of(2) { constant[i % dim] } else { other[i % dim] }, 1e-3));
        assert_eq!(clusters.verdict, Verdict::DimensionalCollapse, "{clusters:?}");

        let half: Vec<f32> =
            normals(rows, dim, 8).iter().enumerate().map(|(i, &v)| if i % dim < dim / 2 { 0.0 } else { v }).collect();
        let half = judge(&half);
        assert_eq!((half.verdict, half.measurements.statistics.dead_share), (Verdict::Healthy, 0.5));
        assert!(half.evidence.iter().any(|line| line == "64 of 128 dimensions are dead"), "{:?}", half.evidence);
        let most: Vec<f32> =
            normals(rows, dim, 8).iter().enumerate().map(|(i, &v)| if i % dim < 70 { 0.3 } else { v }).collect();
        let most = judge(&most);
        assert_eq!(most.verdict, Verdict::DimensionalCollapse);
        assert!(most.evidence[0].contains("dead dimensions is 0.5469, over 0.5"), "{:?}", most.evidence);
    }

    /// Samples with `trivial` attributes, `h = trivial · map + noise`, and two views each that differ by noise.
    struct Constructed {
        trivial: Vec<f32>,
        h: Vec<f32>,
        views: Vec<f32>,
    }

    fn constructed(rows: usize, attributes: usize, dim: usize, noise: f32, jitter: f32) -> Constructed {
        let (trivial, map, own) = (normals(rows, attributes, 20), normals(attributes, dim, 21), normals(rows, dim, 22));
        let h: Vec<f32> = (0..rows * dim)
            .map(|x| {
                let (i, j) = (x / dim, x % dim);
                (0..attributes).map(|k| trivial[i * attributes + k] * map[k * dim + j]).sum::<f32>() + noise * own[x]
            })
            .collect();
        let shift = normals(2 * rows, dim, 23);
        let views = (0..2 * rows).flat_map(|v| (0..dim).map(move |j| (v, j)));
        let views = views.map(|(v, j)| h[v / 2 * dim + j] + jitter * shift[v * dim + j]).collect();
        Constructed { trivial, h, views }
    }

    fn judge_all(c: &Constructed, dim: usize, attributes: usize) -> Diagnosis {
        let names: Vec<String> = (0..attributes).map(|i| format!("attribute {i}")).collect();
        let observed = Observed {
            views: Some((Rows::new(&c.views, dim), 2)),
            trivial: Some(TrivialAttributes { values: Rows::new(&c.trivial, attributes), names: &names }),
            ..Observed::new(Rows::new(&c.h, dim))
        };
        diagnose(&observed).unwrap()
    }

    #[test]
    fn a_shortcut_is_trivial_and_finds_the_other_view() {
        let (rows, attributes, dim) = (800, 8, 32);
        // Variance 8 by the attributes and 1 of its own: 8/9 is explained.
        let found = judge_all(&constructed(rows, attributes, dim, 1.0, 0.05), dim, attributes);
        assert_eq!(found.verdict, Verdict::ShortcutSuspected, "{:?}", found.evidence);
        close(found.measurements.shortcut.as_ref().unwrap().explained, 8.0 / 9.0, 0.05);
        assert_eq!(
            (found.measurements.view_retrieval, found.evidence.len() > 3, found.advice.is_empty()),
            (Some(1.0), true, false)
        );
        // As much variance of its own: the attributes are still read, but do not say most of it.
        let half = judge_all(&constructed(rows, attributes, dim, 8f32.sqrt(), 0.05), dim, attributes);
        assert_eq!(half.verdict, Verdict::Healthy, "{:?}", half.evidence);
        close(half.measurements.shortcut.unwrap().explained, 0.5, 0.1);
        // Trivial, but the views are not found by it.
        let lost = judge_all(&constructed(rows, attributes, dim, 1.0, 6.0), dim, attributes);
        assert!(
            lost.verdict == Verdict::Healthy && lost.measurements.view_retrieval.unwrap() < 0.9,
            "{:?}",
            lost.evidence
        );
    }

    #[test]
    fn what_stayed_as_it_was_is_not_trained() {
        let (rows, dim) = (400, 16);
        let (before, change) = (normals(rows, dim, 30), normals(rows, dim, 31));
        let moved = |by: f32| -> Vec<f32> { before.iter().zip(&change).map(|(b, c)| b + by * c).collect() };
        let judge = |after: &[f32], epochs| {
            let untrained = Some(Rows::new(&before, dim));
            diagnose(&Observed { untrained, epochs, ..Observed::new(Rows::new(after, dim)) }).unwrap()
        };
        let same = judge(&before, Some(8.0));
        assert_eq!((same.verdict, same.measurements.untrained_agreement), (Verdict::NotYetTrained, Some(1.0)));
        assert_eq!(judge(&moved(0.02), None).verdict, Verdict::NotYetTrained);
        let trained = judge(&moved(3.0), Some(8.0));
        assert_eq!(trained.verdict, Verdict::Healthy, "{:?}", trained.evidence);
        assert!(judge(&moved(3.0), Some(0.4)).evidence[0].contains("epochs of training is 0.4000, under 1"));
        // Untrained embeddings that look collapsed are called untrained, and how they look is said.
        let flat = vec![1.0; rows * dim];
        let flat = judge(&flat, Some(0.1));
        assert!(flat.verdict == Verdict::NotYetTrained && flat.evidence[1].contains("complete collapse"));
    }

    #[test]
    fn diagnoses_read_back_equal_and_further_keys_are_passed_over() {
        let (rows, attributes, dim) = (100, 3, 8);
        let whole = judge_all(&constructed(rows, attributes, dim, 1.0, 0.1), dim, attributes);
        let part = diagnose(&Observed::new(Rows::new(&normals(5, 3, 1), 3))).unwrap();
        let record = DiagnosisRecord {
            measured_on: MeasuredOn { data: "photos".into(), step: 7, epochs: Some(0.1), ..MeasuredOn::default() },
            diagnosis: [(RepresentationName::H, whole), (RepresentationName::Other("w".into()), part)].into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diagnosis.json");
        record.write(&path).unwrap();
        assert_eq!(DiagnosisRecord::read(&path).unwrap(), record);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("\"verdict\": \"") && text.contains("\"dim\": 8") && text.contains("\"predicted\""),
            "{text}"
        );
        let changed = text.replace("\"std\"", "\"newer\": [{}], \"std\"").replace("      \"lidar\": null,\n", "");
        let changed = changed.replacen("\"verdict\": \"", "\"verdict\": \"newly ", 1);
        std::fs::write(&path, &changed).unwrap();
        let read = DiagnosisRecord::read(&path).unwrap();
        let [h, w] = [RepresentationName::H, RepresentationName::Other("w".into())].map(|name| &read.diagnosis[&name]);
        assert_eq!((h.verdict, w), (Verdict::Unknown, &record.diagnosis[&RepresentationName::Other("w".into())]));
        assert!(changed != text && page(&read.diagnosis, false).contains("h: unknown verdict"));
    }
}
