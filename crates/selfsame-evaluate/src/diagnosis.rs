//! The diagnosis of a representation: what was measured, the verdict in words, its evidence, and what to try. It needs no
//! labels.
//!
//! Written as a JSON object per representation (`h`, `z`), in `diagnosis.json` and under `diagnosis` in `scores.json`:
//!
//! | key | meaning |
//! | --- | --- |
//! | `verdict` | in words: see [`Verdict`] |
//! | `evidence` | lines of facts, those that speak for the verdict first |
//! | `advice` | lines of what to try, the likeliest remedy first; empty when nothing is wrong |
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
    let Judgement { verdict, evidence, advice } = weigh(&measurements, observed.training);
    Ok(Diagnosis { verdict, evidence, advice, measurements })
}

impl Diagnosis {
    /// The diagnosis of a representation, knowing that of the embedding made of it. Where that has collapsed, the objective was met
    /// whatever the representation says; so it cannot be called healthy.
    #[must_use]
    pub fn knowing(mut self, embedding: &Self) -> Self {
        use Verdict::{
            CompleteCollapse, Healthy, ShortcutNotRuledOut, ShortcutSuspected, TooFewSamples, TrainedTowardsNothing,
        };
        let says_little = matches!(self.verdict, Healthy | ShortcutNotRuledOut | ShortcutSuspected | TooFewSamples);
        if embedding.verdict == CompleteCollapse && says_little {
            self.verdict = TrainedTowardsNothing;
            let line = "the embedding z has collapsed, so the objective asks nothing of h: what h still tells of samples was not learned";
            let of_z = embedding.evidence.first().map(|line| format!("z: {line}"));
            self.evidence = std::iter::once(line.to_owned()).chain(of_z).chain(self.evidence).collect();
            self.advice = embedding.advice.clone();
        }
        self
    }
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
    use crate::training::{LossEnd, Training};
    use crate::verdict::ENOUGH;

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
        let observed = Observed {
            views: Some((Rows::new(&c.views, dim), 2)),
            trivial: Some(TrivialAttributes {
                values: Rows::new(&c.trivial, attributes),
                kinds: &[("color", attributes)],
            }),
            ..Observed::new(Rows::new(&c.h, dim))
        };
        diagnose(&observed).unwrap()
    }

    #[test]
    fn a_shortcut_is_trivial_and_finds_the_other_view() {
        let (rows, attributes, dim) = (800, 8, 32);
        // Variance 8 by the attributes and 1 of its own: 8/9 is explained.
        let found = judge_all(&constructed(rows, attributes, dim, 1.0, 0.05), dim, attributes);
        assert_eq!(found.verdict, Verdict::ShortcutNotRuledOut, "{:?}", found.evidence);
        close(found.measurements.shortcut.as_ref().unwrap().explained, 8.0 / 9.0, 0.05);
        assert_eq!(
            (found.measurements.view_retrieval, found.evidence.len() > 3, found.advice.is_empty()),
            (Some(1.0), true, false)
        );
        // Views that differ more, so that not just anything finds them: there is little else than what is trivial, then nothing to say.
        let of_jitter = |jitter: f32| judge_all(&constructed(rows, attributes, dim, 1.0, jitter), dim, attributes);
        let differing = (1..20).map(|quarters| of_jitter(0.25 * quarters as f32));
        let mut said: Vec<Verdict> = differing
            .filter(|found| found.measurements.view_retrieval < Some(0.6))
            .map(|found| found.verdict)
            .collect();
        said.dedup();
        assert_eq!(said, [Verdict::ShortcutSuspected, Verdict::ShortcutNotRuledOut, Verdict::Healthy]);
        // More variance of its own: the attributes are still read, but do not say most of it.
        let part = judge_all(&constructed(rows, attributes, dim, 12f32.sqrt(), 0.05), dim, attributes);
        assert_eq!(part.verdict, Verdict::Healthy, "{:?}", part.evidence);
        close(part.measurements.shortcut.unwrap().explained, 0.4, 0.15);
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
        let judge = |after: &[f32], weights_turned| {
            let training = Training { weights_turned, ..Training::default() };
            let untrained = Some(Rows::new(&before, dim));
            let observed = Observed { untrained, training: Some(&training), ..Observed::new(Rows::new(after, dim)) };
            diagnose(&observed).unwrap()
        };
        let same = judge(&before, None);
        assert_eq!((same.verdict, same.measurements.untrained_agreement), (Verdict::NotYetTrained, Some(1.0)));
        assert_eq!(judge(&moved(0.02), Some(30.0)).verdict, Verdict::NotYetTrained);
        let trained = judge(&moved(3.0), Some(30.0));
        assert_eq!(trained.verdict, Verdict::Healthy, "{:?}", trained.evidence);
        // Whatever became of the batch norms' statistics.
        let still = judge(&moved(3.0), Some(0.01));
        assert!(still.verdict == Verdict::NotYetTrained && still.evidence[0].contains("0.0100, under"));
        // Nothing of it is left but a constant and a hundredth of the spread.
        let shrunk: Vec<f32> = moved(3.0).iter().enumerate().map(|(i, v)| 0.01 * v + (i % dim) as f32 * 0.01).collect();
        assert_eq!(judge(&shrunk, Some(30.0)).verdict, Verdict::CompleteCollapse);
        // Untrained embeddings that look collapsed are called untrained, and how they look is said.
        let flat = vec![1.0; rows * dim];
        let flat = judge(&flat, Some(0.0));
        assert!(flat.verdict == Verdict::NotYetTrained && flat.evidence[1].contains("complete collapse"));
    }

    #[test]
    fn agreement_is_counted_beyond_chance() {
        let dim = 16;
        for rows in [50, 80, 2000] {
            let (a, b) = (normals(rows, dim, 40), normals(rows, dim, 41));
            let observed = Observed { untrained: Some(Rows::new(&b, dim)), ..Observed::new(Rows::new(&a, dim)) };
            let found = diagnose(&observed).unwrap();
            let agreement = found.measurements.untrained_agreement.unwrap();
            assert!(agreement.abs() < 0.05, "{agreement} of {rows}");
            let expected = if rows < ENOUGH { Verdict::TooFewSamples } else { Verdict::Healthy };
            assert_eq!(found.verdict, expected, "{rows}");
        }
    }

    #[test]
    fn what_is_made_of_few_dimensions_is_asked_for_few() {
        let (rows, narrow, wide) = (600, 8, 128);
        let (h, map) = (normals(rows, narrow, 50), normals(narrow, wide, 51));
        let made = |h: &[f32]| -> Vec<f32> {
            let row = |h: &[f32]| -> Vec<f32> {
                (0..wide).map(|j| h.iter().enumerate().map(|(k, h)| h * map[k * wide + j]).sum()).collect()
            };
            h.chunks_exact(narrow).flat_map(row).collect()
        };
        let judge =
            |z: &[f32], source_dim| diagnose(&Observed { source_dim, ..Observed::new(Rows::new(z, wide)) }).unwrap();
        let z = made(&h);
        assert_eq!(judge(&z, None).verdict, Verdict::DimensionalCollapse);
        let known = judge(&z, Some(narrow));
        assert!(known.verdict == Verdict::Healthy && known.measurements.largest_rank() == narrow);
        // In one dimension it has collapsed, whatever it is made of.
        let line: Vec<f32> = h.chunks_exact(narrow).flat_map(|row| [row[0]].into_iter().chain([0.0; 7])).collect();
        assert_eq!(judge(&made(&line), Some(narrow)).verdict, Verdict::DimensionalCollapse);
    }

    #[test]
    fn a_representation_is_not_healthy_where_its_embedding_is_constant() {
        let (rows, dim) = (400, 16);
        let training = Training { method: "invariance_only".into(), ..Training::default() };
        let judge = |values: &[f32]| {
            diagnose(&Observed { training: Some(&training), ..Observed::new(Rows::new(values, dim)) }).unwrap()
        };
        let (h, constant) = (judge(&normals(rows, dim, 60)), judge(&vec![1.0; rows * dim]));
        assert_eq!((h.verdict, constant.verdict), (Verdict::Healthy, Verdict::CompleteCollapse));
        assert_eq!(h.clone().knowing(&h), h);
        let diagnoses = [(RepresentationName::H, h.knowing(&constant)), (RepresentationName::Z, constant)];
        let page = page(&diagnoses.into(), false);
        assert!(page.starts_with("h: trained towards nothing\n  the embedding z has collapsed"), "{page}");
        assert!(page.contains("try: take another method than invariance_only"), "{page}");
    }

    #[test]
    fn inputs_that_are_alike_and_a_loss_that_stays_are_named() {
        let (rows, dim) = (400, 16);
        let h = normals(rows, dim, 70);
        let alike: Vec<f32> = normals(rows, 2, 71).iter().map(|v| 0.5 + 1e-3 * v).collect();
        let judge = |trivial: &[f32], loss| {
            let training = Training { weights_turned: Some(30.0), loss, ..Training::default() };
            let trivial = Some(TrivialAttributes { values: Rows::new(trivial, 2), kinds: &[("color", 2)] });
            diagnose(&Observed { trivial, training: Some(&training), ..Observed::new(Rows::new(&h, dim)) }).unwrap()
        };
        let found = judge(&alike, None);
        assert!(
            found.verdict == Verdict::InputsAlike && found.advice[0].contains("what the encoder is shown"),
            "{found:?}"
        );
        let different = normals(rows, 2, 71);
        let loss = |last| Some(LossEnd { last, trivial: 199f64.ln(), formula: "ln(2·100 − 1)".into() });
        let found = judge(&different, loss(5.29));
        assert_eq!(found.verdict, Verdict::NothingLearned, "{found:?}");
        assert!(
            found.evidence.iter().any(|line| line.contains("5.2900; constant outputs have ln(2·100 − 1) = 5.2933"))
        );
        assert_eq!(judge(&different, loss(3.1)).verdict, Verdict::Healthy);
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
            text.contains("\"verdict\": \"") && text.contains("\"dim\": 8") && text.contains("\"explained\""),
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
