//! The diagnosis of a representation: what was measured, the verdict in words, its evidence, and what to try. It needs no
//! labels.
//!
//! Written as a JSON object a representation (`h`, `z`), in `diagnosis.json` and under `diagnosis` in `scores.json`:
//!
//! | key | meaning |
//! | --- | --- |
//! | `verdict` | `not yet trained`, `complete collapse`, `dimensional collapse`, `shortcut suspected` or `healthy` |
//! | `evidence` | lines of facts, those that speak for the verdict first |
//! | `advice` | lines of what to try, the likeliest remedy first; empty when healthy |
//! | `samples`, `dim` | rows and width of the matrix of embeddings |
//! | `std`, `mean_cosine`, `centred_norm_ratio`, `effective_rank`, `centred_effective_rank`, `dead_share`, `uniformity`, `spectrum` | see [`super::collapse`] |
//! | `views` | views of a sample by which the next three were measured; `null` without |
//! | `alignment` | `mean ‖u − u⁺‖²` over two views of each sample (Wang & Isola 2020); near 0 is aligned |
//! | `view_retrieval` | share of samples whose second view is the nearest to their first among the second views of all |
//! | `lidar` | see [`super::lidar`] |
//! | `untrained_agreement` | share of the 20 nearest neighbours that the untrained encoder of the same plan gives too |
//! | `epochs` | passes over the data that the training has made |
//! | `shortcut` | `attribute`, `predicted`, `explained`: see [`super::shortcut`]; for `h` alone |
//!
//! What was not measured is `null`. The file `diagnosis.json` holds these objects under `diagnosis`, and beside them `run`,
//! `data`, `step`, `epochs`.

use super::collapse::{Statistics, statistics};
use super::json;
use super::knn::{Neighbours, graph_agreement, unit_rows};
use super::lidar::lidar;
use super::shortcut::{Shortcut, shortcut};
use super::verdict::{Verdict, judge};
use crate::DataError;
use crate::features::Rows;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

/// Neighbours by which two kNN graphs are compared.
const GRAPH_K: usize = 20;
/// Samples by which they are compared, at most.
const GRAPH_SAMPLES: usize = 4096;

/// What a diagnosis looks at. Everything but the embeddings may be missing.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// Of the samples as they are, `[samples, dim]`.
    pub embeddings: Rows<'a>,
    /// Of augmented views, `[samples · views, dim]`, the views of a sample in consecutive rows, and their number.
    pub views: Option<(Rows<'a>, usize)>,
    /// Of the same samples by the untrained network, `[samples, dim]`.
    pub untrained: Option<Rows<'a>>,
    /// [`super::shortcut::attributes`] of the same samples, `[samples, attributes]`.
    pub trivial: Option<Rows<'a>>,
    /// Passes over the data that the training has made.
    pub epochs: Option<f64>,
}

impl<'a> Observed<'a> {
    /// Embeddings alone.
    pub fn new(embeddings: Rows<'a>) -> Self {
        Self { embeddings, views: None, untrained: None, trivial: None, epochs: None }
    }
}

/// What was measured, and what it means. See the [module](self).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The verdict.
    pub verdict: Verdict,
    /// One line a fact: those that speak for the verdict first.
    pub evidence: Vec<String>,
    /// What to try.
    pub advice: Vec<&'static str>,
    /// Statistics of the embeddings.
    #[serde(flatten)]
    pub statistics: Statistics,
    /// Views of each sample.
    pub views: Option<usize>,
    /// Mean squared distance of two views of a sample, of unit length.
    pub alignment: Option<f64>,
    /// Share of samples whose other view is their nearest.
    pub view_retrieval: Option<f64>,
    /// Effective rank of the ratios of variance between samples to that within.
    pub lidar: Option<f64>,
    /// Share of neighbours that are also the untrained network's.
    pub untrained_agreement: Option<f64>,
    /// Passes over the data.
    pub epochs: Option<f64>,
    /// How much of it is trivial.
    pub shortcut: Option<Shortcut>,
}

/// Diagnoses embeddings of at least two samples.
pub fn diagnose(observed: &Observed) -> Result<Diagnosis, DataError> {
    let Observed { embeddings, views, untrained, trivial, epochs } = *observed;
    let statistics = statistics(embeddings)?;
    for (what, rows) in [("augmented views", views.map(|v| v.0)), ("the untrained network", untrained)] {
        if let Some(row) = rows.and_then(|rows| rows.first_not_finite()) {
            return Err(DataError::Data(format!("row {row} of the embeddings of {what} is not finite")));
        }
    }
    let pairs =
        views.filter(|(_, count)| *count > 1).map(|(rows, count)| [0, 1].map(|view| of_view(rows, count, view)));
    let dim = embeddings.dim;
    let mut diagnosis = Diagnosis {
        verdict: Verdict::Healthy,
        evidence: Vec::new(),
        advice: Vec::new(),
        statistics,
        views: views.map(|(_, count)| count),
        alignment: pairs.as_ref().map(|[a, b]| alignment(Rows::new(a, dim), Rows::new(b, dim))),
        view_retrieval: pairs.as_ref().map(|[a, b]| view_retrieval(Rows::new(a, dim), Rows::new(b, dim))),
        lidar: views.filter(|(_, count)| *count > 1).map(|(rows, count)| lidar(rows, count)),
        untrained_agreement: untrained.map(|untrained| {
            let count = embeddings.len().min(GRAPH_SAMPLES);
            graph_agreement(embeddings.slice(0, count), untrained.slice(0, count), GRAPH_K)
        }),
        epochs,
        shortcut: trivial.and_then(|trivial| shortcut(embeddings, trivial)),
    };
    (diagnosis.verdict, diagnosis.evidence) = judge(&diagnosis);
    diagnosis.advice = diagnosis.verdict.advice().to_vec();
    diagnosis.state_facts();
    Ok(diagnosis)
}

/// Rows of one view, `[samples, dim]`.
fn of_view(rows: Rows, views: usize, view: usize) -> Vec<f32> {
    (view..rows.len()).step_by(views).flat_map(|row| rows.row(row)).copied().collect()
}

/// `mean ‖u − u⁺‖²`
fn alignment(embeddings: Rows, positives: Rows) -> f64 {
    let (a, b) = (unit_rows(embeddings), unit_rows(positives));
    let squares = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2));
    squares.sum::<f64>() / embeddings.len() as f64
}

/// Share of rows whose nearest row of `others` is their own.
fn view_retrieval(rows: Rows, others: Rows) -> f64 {
    let nearest = Neighbours::find(rows, others, 1).indices;
    nearest.iter().zip(0..).filter(|(found, own)| **found == *own).count() as f64 / nearest.len() as f64
}

impl Diagnosis {
    /// The facts that a reader wants whatever the verdict.
    fn state_facts(&mut self) {
        let s = &self.statistics;
        let mut facts = vec![
            format!(
                "centred effective rank {:.1} of {}, uncentred {:.1}",
                s.centred_effective_rank,
                s.largest_rank(),
                s.effective_rank
            ),
            format!("std of unit embeddings {:.3} (isotropic: 1), mean pairwise cosine {:.3}", s.std, s.mean_cosine),
        ];
        if s.dead_share > 0.0 {
            facts.push(format!("{} of {} dimensions are dead", (s.dead_share * s.dim as f64).round(), s.dim));
        }
        if let (Some(lidar), Some(alignment), Some(retrieval), Some(views)) =
            (self.lidar, self.alignment, self.view_retrieval, self.views)
        {
            facts.push(format!(
                "LiDAR {lidar:.1}, alignment {alignment:.3}, other view found {:.1} % ({views} views a sample)",
                100.0 * retrieval
            ));
        }
        if let Some(agreement) = self.untrained_agreement {
            facts.push(format!("{:.0} % of the neighbours are the untrained encoder's", 100.0 * agreement));
        }
        if let Some(shortcut) = &self.shortcut {
            facts.push(format!(
                "trivial attributes explain {:.0} % of the variance; {} is predicted with R² {:.2}",
                100.0 * shortcut.explained.max(0.0),
                shortcut.attribute,
                shortcut.predicted
            ));
        }
        self.evidence.extend(facts);
    }
}

/// The diagnoses of a run's representations, by name, `h` first.
pub type Diagnoses = Vec<(&'static str, Diagnosis)>;

/// As a JSON object by name.
pub fn to_json(diagnoses: &Diagnoses) -> Value {
    let entry = |(name, d): &(&str, Diagnosis)| ((*name).to_owned(), serde_json::to_value(d).expect("plain values"));
    Value::Object(diagnoses.iter().map(entry).collect())
}

/// Writes `diagnosis.json`: the diagnoses under `diagnosis`, and `about` beside them.
pub fn write(diagnoses: &Diagnoses, about: Map<String, Value>, path: &Path) -> Result<(), DataError> {
    let mut object = about;
    object.insert("diagnosis".into(), to_json(diagnoses));
    json::write(path, &Value::Object(object))
}

/// The page for a terminal.
pub fn page(diagnoses: &Diagnoses, colour: bool) -> String {
    let mut text = String::new();
    for (name, d) in diagnoses {
        let verdict = d.verdict.to_string();
        let shown = match (colour, d.verdict) {
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
    use crate::evaluate::collapse::tests::{normals, rng};

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
        close(isotropic.statistics.std, 1.0, 0.01);
        assert!(isotropic.statistics.mean_cosine.abs() < 1e-3 && isotropic.statistics.dead_share == 0.0);

        let mut random = rng(5);
        let basis: Vec<f32> = (0..3 * dim).map(|_| random.normal()).collect();
        let rank_three: Vec<f32> = (normals(rows, 3, 6).chunks(3))
            .flat_map(|w| (0..dim).map(|j| (0..3).map(|k| w[k] * basis[k * dim + j]).sum::<f32>()).collect::<Vec<_>>())
            .collect();
        let rank_three = judge(&rank_three);
        assert_eq!(rank_three.verdict, Verdict::DimensionalCollapse, "{rank_three:?}");
        assert!(
            rank_three.statistics.centred_effective_rank < 3.01 && rank_three.statistics.centred_effective_rank > 2.5
        );

        for (noise, what) in [(0.0, "constant"), (1e-3, "constant and 0.1 % noise")] {
            let found = judge(&blend(&|i| constant[i % dim], noise));
            assert_eq!(found.verdict, Verdict::CompleteCollapse, "{what}: {found:?}");
            assert!(
                found.evidence[0].contains("0.99") && found.evidence[1].contains("centred norm"),
                "{:?}",
                found.evidence
            );
            assert!(found.statistics.std < 0.01 && (found.statistics.effective_rank - 1.0).abs() < 0.5, "{found:?}");
        }
        let zeros = judge(&vec![0.0; rows * dim]);
        assert_eq!(
            (zeros.verdict, zeros.statistics.centred_effective_rank),
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
        assert_eq!((half.verdict, half.statistics.dead_share), (Verdict::Healthy, 0.5));
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
            trivial: Some(Rows::new(&c.trivial, attributes)),
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
        close(found.shortcut.as_ref().unwrap().explained, 8.0 / 9.0, 0.05);
        assert_eq!((found.view_retrieval, found.evidence.len() > 3, found.advice.is_empty()), (Some(1.0), true, false));
        // As much variance of its own: the attributes are still read, but do not say most of it.
        let half = judge_all(&constructed(rows, attributes, dim, 8f32.sqrt(), 0.05), dim, attributes);
        assert_eq!(half.verdict, Verdict::Healthy, "{:?}", half.evidence);
        close(half.shortcut.unwrap().explained, 0.5, 0.1);
        // Trivial, but the views are not found by it.
        let lost = judge_all(&constructed(rows, attributes, dim, 1.0, 6.0), dim, attributes);
        assert!(lost.verdict == Verdict::Healthy && lost.view_retrieval.unwrap() < 0.9, "{:?}", lost.evidence);
    }

    #[test]
    fn alignment_and_retrieval_follow_their_definitions() {
        // Unit vectors at angles; the second view is turned by 60°, so ‖u − u⁺‖² = 2 − 2 cos 60° = 1.
        let at = |degrees: f32| [degrees.to_radians().cos(), degrees.to_radians().sin()];
        let views: Vec<f32> = [0.0, 60.0, 90.0, 150.0, 200.0, 260.0].into_iter().flat_map(at).collect();
        let plain: Vec<f32> = [0.0, 90.0, 200.0].into_iter().flat_map(at).collect();
        let observed = Observed { views: Some((Rows::new(&views, 2), 2)), ..Observed::new(Rows::new(&plain, 2)) };
        let found = diagnose(&observed).unwrap();
        close(found.alignment.unwrap(), 1.0, 1e-5);
        // 0° finds 60° (its own); 90° finds 60° (another's), 200° finds 150° (another's).
        close(found.view_retrieval.unwrap(), 1.0 / 3.0, 1e-9);
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
        assert_eq!((same.verdict, same.untrained_agreement), (Verdict::NotYetTrained, Some(1.0)));
        assert_eq!(judge(&moved(0.02), None).verdict, Verdict::NotYetTrained);
        let trained = judge(&moved(3.0), Some(8.0));
        assert_eq!(trained.verdict, Verdict::Healthy, "{:?}", trained.evidence);
        assert!(judge(&moved(3.0), Some(0.4)).evidence[0].contains("epochs of training is 0.4000, under 1"));
        // Untrained embeddings that look collapsed are called untrained, and how they look is said.
        let flat = vec![1.0; rows * dim];
        let flat = judge(&flat, Some(0.1));
        assert!(flat.verdict == Verdict::NotYetTrained && flat.evidence[1].contains("complete collapse"));
    }
}
