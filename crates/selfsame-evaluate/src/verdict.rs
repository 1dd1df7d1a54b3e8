//! What a diagnosis says in words: the verdicts and the table of thresholds that give them.
//!
//! The rules of [`RULES`] are read from the top; the first whose thresholds are all crossed gives the verdict, and none:
//! healthy, or too few samples to say where they are under [`ENOUGH`]. A threshold on something that was not measured (no untrained
//! encoder at hand, no views) is not crossed, and a rule needs as many samples as it says.

use crate::advice::advise;
use crate::collapse::largest_rank;
use crate::measurements::Measurements;
use crate::training::Training;
use serde::{Deserialize, Serialize};

/// What a diagnosis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// The inputs hardly differ, so there is nothing to tell them apart by.
    #[serde(rename = "inputs all alike")]
    InputsAlike,
    /// The network is still about what it was before training.
    #[serde(rename = "not yet trained")]
    NotYetTrained,
    /// All samples have nearly the same embedding.
    #[serde(rename = "complete collapse")]
    CompleteCollapse,
    /// The weights have moved, and the loss is still that of constant outputs.
    #[serde(rename = "nothing learned")]
    NothingLearned,
    /// Embeddings differ, but in few dimensions.
    #[serde(rename = "dimensional collapse")]
    DimensionalCollapse,
    /// Of a representation whose embedding has collapsed: whatever it says, the objective did not ask for it.
    #[serde(rename = "trained towards nothing")]
    TrainedTowardsNothing,
    /// The objective may have been solved by something trivial, such as brightness or color.
    #[serde(rename = "shortcut suspected")]
    ShortcutSuspected,
    /// Much of what is said is trivial, and the other views of a sample are found whatever is seen of them, or there is little else: both
    /// sound encoders and shortcuts look like that.
    #[serde(rename = "shortcut not ruled out")]
    ShortcutNotRuledOut,
    /// Nothing is found, and too few samples were looked at to call it healthy.
    #[serde(rename = "too few samples to say")]
    TooFewSamples,
    /// None of these.
    #[serde(rename = "healthy")]
    Healthy,
    /// One that another version gave and this one does not know.
    #[serde(other)]
    Unknown,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::InputsAlike => "inputs all alike",
            Self::NotYetTrained => "not yet trained",
            Self::CompleteCollapse => "complete collapse",
            Self::NothingLearned => "nothing learned",
            Self::DimensionalCollapse => "dimensional collapse",
            Self::TrainedTowardsNothing => "trained towards nothing",
            Self::ShortcutSuspected => "shortcut suspected",
            Self::ShortcutNotRuledOut => "shortcut not ruled out",
            Self::TooFewSamples => "too few samples to say",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown verdict",
        })
    }
}

/// A side of a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Greater than the bound.
    Above,
    /// Less than the bound.
    Below,
}

/// A bound whose crossing speaks for a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Threshold {
    /// The statistic.
    pub statistic: &'static str,
    /// Which side of `bound` speaks for the verdict.
    pub side: Side,
    /// The bound.
    pub bound: f64,
    /// Why it lies there.
    pub reason: &'static str,
    value: fn(&Measurements) -> Option<f64>,
}

impl Threshold {
    /// The statistic's value where it lies beyond the bound.
    fn crossed(&self, measurements: &Measurements) -> Option<f64> {
        (self.value)(measurements).filter(|&value| match self.side {
            Side::Above => value > self.bound,
            Side::Below => value < self.bound,
        })
    }
}

/// Thresholds that together give a verdict.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The verdict.
    pub verdict: Verdict,
    /// Fewest samples by which it can be told.
    pub samples: usize,
    /// All must be crossed.
    pub thresholds: &'static [Threshold],
}

/// Samples from which on nothing found means healthy: by fewer a shortcut cannot be told.
pub const ENOUGH: usize = 256;

/// Mean cosine above which all embeddings are nearly one.
pub const SAME: f64 = 0.99;
/// Centered norm over norm below which all embeddings are nearly one.
pub const CENTERED: f64 = 0.01;
/// Centered effective rank below which embeddings lie in few dimensions, as a share of the largest possible.
pub const RANK_SHARE: f64 = 0.1;

/// Every rule there is, in their order. What the inputs are and whether the weights have moved comes first: what an untrained
/// network's embeddings look like says nothing of the training.
pub static RULES: &[Rule] = &[
    Rule {
        verdict: Verdict::InputsAlike,
        samples: 2,
        thresholds: &[Threshold {
            statistic: "spread of the inputs' brightness, colors and layout over samples (1: all of the pixels' variance)",
            side: Side::Below,
            bound: 0.01,
            reason: "next to how their pixels differ, the samples do not differ from each other",
            value: |d| d.input_spread,
        }],
    },
    Rule {
        verdict: Verdict::NotYetTrained,
        samples: 2,
        thresholds: &[Threshold {
            statistic: "mean angle by which the weights have turned, in degrees",
            side: Side::Below,
            bound: TURNED,
            reason: "the weights are those that were drawn before training: of trained encoders it was 7 to 90",
            value: |d| d.weights_turned,
        }],
    },
    Rule {
        verdict: Verdict::CompleteCollapse,
        samples: FEW,
        thresholds: &[Threshold {
            statistic: "mean pairwise cosine",
            side: Side::Above,
            bound: SAME,
            reason: "two random samples are 8° apart or less: augmentations move an embedding further than the sample does",
            value: |d| Some(d.statistics.mean_cosine),
        }],
    },
    Rule {
        verdict: Verdict::CompleteCollapse,
        samples: FEW,
        thresholds: &[Threshold {
            statistic: "centered norm / norm",
            side: Side::Below,
            bound: CENTERED,
            reason: "99.99 % of the energy is one constant vector; what is left is within reach of rounding and noise",
            value: |d| Some(d.statistics.centered_norm_ratio),
        }],
    },
    Rule {
        verdict: Verdict::CompleteCollapse,
        samples: FEW,
        thresholds: &[Threshold {
            statistic: "spread of the embeddings / that of the untrained encoder's",
            side: Side::Below,
            bound: SHRUNK,
            reason: "samples are pulled together until next to nothing is left between them; of others it is over 1",
            value: |d| d.untrained_spread,
        }],
    },
    Rule {
        verdict: Verdict::NothingLearned,
        samples: 2,
        thresholds: &[Threshold {
            statistic: "last loss / that of constant outputs",
            side: Side::Above,
            bound: TRIVIAL,
            reason: "the objective is met no better than by the same output for every input",
            value: |d| d.loss.as_ref().map(|loss| loss.last / loss.trivial),
        }],
    },
    Rule {
        verdict: Verdict::NotYetTrained,
        samples: SOME,
        thresholds: &[Threshold {
            statistic: "agreement of the kNN graph with the untrained encoder's, beyond chance",
            side: Side::Above,
            bound: AGREEMENT,
            reason: "most neighbors are those that the random initial weights gave: of trained encoders it was 0.02 to 0.36, of untrained ones 0.9 and more",
            value: |d| d.untrained_agreement,
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        samples: SOME,
        thresholds: &[Threshold {
            statistic: "centered effective rank / min(dimensions, those of h, samples − 1)",
            side: Side::Below,
            bound: RANK_SHARE,
            reason: "trained encoders of the literature use a third of their dimensions or more; a tenth leaves a wide margin",
            value: |d| Some(d.statistics.centered_effective_rank / d.largest_rank() as f64),
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        samples: SOME,
        thresholds: &[Threshold {
            statistic: "centered effective rank",
            side: Side::Below,
            bound: 1.5,
            reason: "the samples lie on a line, whatever the width",
            value: |d| (d.largest_rank() >= 4).then_some(d.statistics.centered_effective_rank),
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        samples: SOME,
        thresholds: &[Threshold {
            statistic: "share of dead dimensions",
            side: Side::Above,
            bound: 0.5,
            reason: "most of the width that was paid for says nothing",
            value: |d| Some(d.statistics.dead_share),
        }],
    },
    Rule {
        verdict: Verdict::ShortcutNotRuledOut,
        samples: SHORTCUT_SAMPLES,
        thresholds: &[
            Threshold {
                statistic: "view retrieval",
                side: Side::Above,
                bound: FOUND,
                reason: "views share so much that anything that differs from sample to sample finds them; of small sound encoders with strong \
                         views it was up to 0.28",
                value: |d| d.view_retrieval,
            },
            Threshold {
                statistic: "share of the variance that one kind of trivial attributes explains",
                side: Side::Above,
                bound: 0.45,
                reason: "of encoders whose views are found, shortcuts had 0.47 and more, and so had sound ones: labels tell them apart, \
                         and nothing else",
                value: trivial,
            },
        ],
    },
    Rule {
        verdict: Verdict::ShortcutSuspected,
        samples: SHORTCUT_SAMPLES,
        thresholds: &[Threshold {
            statistic: TRIVIALLY_SOLVED,
            side: Side::Above,
            bound: 1.1,
            reason: "most of what the representation says can be read off without knowing what is in the image, and by it the other \
                     views are found; of small sound encoders it was up to 1.01",
            value: trivially_solved,
        }],
    },
    Rule {
        verdict: Verdict::ShortcutNotRuledOut,
        samples: SHORTCUT_SAMPLES,
        thresholds: &[Threshold {
            statistic: TRIVIALLY_SOLVED,
            side: Side::Above,
            bound: 1.0,
            reason: "most of what the representation says can be read off without knowing what is in the image; a sound encoder of drawings \
                     had 1.01, shortcuts 1.01 to 1.07, all others of either further away",
            value: trivially_solved,
        }],
    },
];

/// What [`trivially_solved`] gives.
const TRIVIALLY_SOLVED: &str =
    "share of the variance that one kind of trivial attributes explains + 0.45 · view retrieval";

/// The more views are found, the less needs to be trivial for a shortcut: sound encoders of narrow data are mostly color, and find few.
fn trivially_solved(measurements: &Measurements) -> Option<f64> {
    Some(trivial(measurements)? + 0.45 * measurements.view_retrieval?)
}

fn trivial(measurements: &Measurements) -> Option<f64> {
    let kinds = measurements.shortcut.iter().flat_map(|shortcut| &shortcut.kinds);
    kinds.map(|kind| kind.trained).max_by(f64::total_cmp)
}

/// Samples by which a shortcut can be told.
const SHORTCUT_SAMPLES: usize = 64;
/// Samples by which a collapse can be told, and by which dimensions and neighbors can.
const FEW: usize = 8;
const SOME: usize = 40;
/// Share of the untrained encoder's spread under which embeddings have shrunk to a point: 0.02 to 0.03 without a variance term.
const SHRUNK: f64 = 0.05;
/// Degrees under which weights count as those of the start.
const TURNED: f64 = 1.0;
/// Share of the loss of constant outputs above which nothing counts as learned.
const TRIVIAL: f64 = 0.99;
/// Agreement above which an encoder counts as untrained.
const AGREEMENT: f64 = 0.45;
/// View retrieval above which views count as found whatever is seen of them.
const FOUND: f64 = 0.6;
/// View retrieval above which a sound encoder's task was an easy one: 12 to 42 % with crops of small images, 100 % with blur
/// alone, which teaches little.
const EASY: f64 = 0.99;

/// A verdict with the facts that speak for it, and what to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// One line per fact: those that speak for the verdict first, then what a reader wants to know whatever the verdict.
    pub evidence: Vec<String>,
    /// What to try, the likeliest remedy first.
    pub advice: Vec<String>,
}

/// Weighs everything measured, with what is known of the training.
pub fn weigh(measurements: &Measurements, training: Option<&Training>) -> Judgement {
    let (verdict, mut evidence) = by_rules(measurements);
    evidence.extend(facts(measurements));
    Judgement { verdict, evidence, advice: advise(verdict, training, Some(measurements)) }
}

/// The verdict, and the facts that speak for it.
fn by_rules(measurements: &Measurements) -> (Verdict, Vec<String>) {
    let samples = measurements.statistics.samples;
    let met =
        |rule: &&Rule| samples >= rule.samples && rule.thresholds.iter().all(|t| t.crossed(measurements).is_some());
    let nothing = if samples < ENOUGH { Verdict::TooFewSamples } else { Verdict::Healthy };
    let verdict = RULES.iter().find(met).map_or(nothing, |rule| rule.verdict);
    let speaking = RULES.iter().filter(|rule| rule.verdict == verdict).filter(met);
    let mut evidence: Vec<String> = speaking
        .flat_map(|rule| rule.thresholds)
        .map(|t| {
            let side = if t.side == Side::Above { "over" } else { "under" };
            let value = t.crossed(measurements).expect("its rule is met");
            format!("{} is {value:.4}, {side} {}: {}", t.statistic, t.bound, t.reason)
        })
        .collect();
    if verdict == Verdict::NotYetTrained
        && let Some(rule) = RULES.iter().filter(|rule| rule.verdict != verdict).find(met)
    {
        evidence.push(format!("judged by these embeddings alone, the verdict would be: {}", rule.verdict));
    }
    if verdict == Verdict::TooFewSamples {
        evidence.push(format!(
            "{samples} samples, under {ENOUGH}: nothing is found, and by so few a shortcut cannot be told"
        ));
    }
    if let (Verdict::Healthy, Some(found)) = (verdict, measurements.view_retrieval.filter(|&found| found > EASY)) {
        evidence.push(format!(
            "{:.1} % of the views find the others of their sample: they hardly differ, and stronger augmentations may teach more",
            100.0 * found
        ));
    }
    (verdict, evidence)
}

/// The facts that a reader wants whatever the verdict.
fn facts(measurements: &Measurements) -> Vec<String> {
    let s = &measurements.statistics;
    let mut facts = vec![
        format!(
            "centered effective rank {:.1} of {}, uncentered {:.1}",
            s.centered_effective_rank,
            // What a projector makes of fewer dimensions may fill more of them than it was given.
            largest_rank(s.dim, s.dim, s.samples),
            s.effective_rank
        ),
        format!("std of unit embeddings {:.3} (isotropic: 1), mean pairwise cosine {:.3}", s.std, s.mean_cosine),
    ];
    if s.dead_share > 0.0 {
        facts.push(format!("{} of {} dimensions are dead", (s.dead_share * s.dim as f64).round(), s.dim));
    }
    if let (Some(lidar), Some(alignment), Some(retrieval), Some(views)) =
        (measurements.lidar, measurements.alignment, measurements.view_retrieval, measurements.views)
    {
        facts.push(format!(
            "LiDAR {lidar:.1}, alignment {alignment:.3}, other view found among 100 {:.1} % ({views} views per sample)",
            100.0 * retrieval
        ));
    }
    if let Some(agreement) = measurements.untrained_agreement {
        facts.push(format!("{:.0} % of the neighbors, beyond chance, are the untrained encoder's", 100.0 * agreement));
    }
    if let Some(degrees) = measurements.weights_turned {
        facts.push(format!("the weights have turned by {degrees:.1} degrees"));
    }
    if let Some(loss) = &measurements.loss {
        facts.push(format!(
            "the loss ended at {:.4}; constant outputs have {} = {:.4}",
            loss.last, loss.formula, loss.trivial
        ));
    }
    if let Some(shortcut) = &measurements.shortcut {
        facts.push(format!(
            "{} explains {:.0} % of the variance{}",
            shortcut.kind,
            100.0 * shortcut.explained.max(0.0),
            shortcut
                .untrained
                .map_or(String::new(), |u| format!(", and {:.0} % of the untrained encoder's", 100.0 * u.max(0.0)))
        ));
    }
    facts
}
