//! What a diagnosis says in words: the verdicts, the table of thresholds that give them, and what to try.
//!
//! The rules of [`RULES`] are read from the top; the first whose thresholds are all crossed gives the verdict, and none:
//! healthy. A threshold on something that was not measured (no untrained encoder at hand, no views) is not crossed.

use crate::measurements::Measurements;
use serde::{Deserialize, Serialize};

/// What a diagnosis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Verdict {
    /// The network is still about what it was before training.
    #[serde(rename = "not yet trained")]
    NotYetTrained,
    /// All samples have nearly the same embedding.
    #[serde(rename = "complete collapse")]
    CompleteCollapse,
    /// Embeddings differ, but in few dimensions.
    #[serde(rename = "dimensional collapse")]
    DimensionalCollapse,
    /// The objective may have been solved by something trivial, such as brightness or color.
    #[serde(rename = "shortcut suspected")]
    ShortcutSuspected,
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
            Self::NotYetTrained => "not yet trained",
            Self::CompleteCollapse => "complete collapse",
            Self::DimensionalCollapse => "dimensional collapse",
            Self::ShortcutSuspected => "shortcut suspected",
            Self::Healthy => "healthy",
            Self::Unknown => "unknown verdict",
        })
    }
}

impl Verdict {
    /// What to try, the likeliest remedy first; nothing where nothing is wrong.
    pub fn advice(self) -> &'static [&'static str] {
        match self {
            Self::NotYetTrained => &[
                "train longer: `selfsame pretrain RUN` goes on with a run that is not finished",
                "if the loss does not move, raise optimizer.base_lr; a tenth of the epochs of warm-up is usual",
            ],
            Self::CompleteCollapse => &[
                "take a method that has something against collapse: negatives (simclr, moco), decorrelation (barlow_twins, vicreg), or a predictor with a stopped gradient (byol, simsiam)",
                "if it has, lower optimizer.base_lr or lengthen optimizer.warmup_epochs: too large first steps collapse an encoder that a good rate would not",
                "keep batch normalization in the projector (projector.norm = \"batch\"): byol and simsiam depend on it",
            ],
            Self::DimensionalCollapse => &[
                "raise what spreads the dimensions: the redundancy weight (barlow_twins), the covariance weight (vicreg), the batch size or a lower temperature (simclr, moco)",
                "give the projector a hidden layer (projector.layers = 2 or 3) and more width: what it loses, h need not lose",
                "weaken augmentations that remove most of what tells samples apart: see `selfsame diagnose RUN --invariance`",
            ],
            Self::ShortcutSuspected => &[
                "add or strengthen augmentations that change brightness and color (color_jitter, color_drop, solarize), so that views cannot be matched by them",
                "look at what the encoder is shown: smaller crops share less of their histogram (random_resized_crop scale)",
                "see `selfsame diagnose RUN --invariance`: an augmentation with high R² is one that the encoder has not learned to ignore",
            ],
            Self::Healthy | Self::Unknown => &[],
        }
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
    /// All must be crossed.
    pub thresholds: &'static [Threshold],
}

/// Mean cosine above which all embeddings are nearly one.
pub const SAME: f64 = 0.99;
/// Centered norm over norm below which all embeddings are nearly one.
pub const CENTERED: f64 = 0.01;
/// Centered effective rank below which embeddings lie in few dimensions, as a share of the largest possible.
pub const RANK_SHARE: f64 = 0.1;

/// Every rule there is, in their order. `not yet trained` comes first: what an untrained network's embeddings look like
/// says nothing of the training.
pub static RULES: &[Rule] = &[
    Rule {
        verdict: Verdict::NotYetTrained,
        thresholds: &[Threshold {
            statistic: "epochs of training",
            side: Side::Below,
            bound: 1.0,
            reason: "not every sample has been seen once, and the warm-up is hardly over",
            value: |d| d.epochs,
        }],
    },
    Rule {
        verdict: Verdict::NotYetTrained,
        thresholds: &[Threshold {
            statistic: "agreement of the kNN graph with the untrained encoder's",
            side: Side::Above,
            bound: AGREEMENT,
            reason: "two of five neighbors are those that the random initial weights gave; of trained encoders it was 4 to 29 %, of one whose weights hardly moved 54 to 59 %",
            value: |d| d.untrained_agreement,
        }],
    },
    Rule {
        verdict: Verdict::CompleteCollapse,
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
        thresholds: &[Threshold {
            statistic: "centered norm / norm",
            side: Side::Below,
            bound: CENTERED,
            reason: "99.99 % of the energy is one constant vector; what is left is within reach of rounding and noise",
            value: |d| Some(d.statistics.centered_norm_ratio),
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        thresholds: &[Threshold {
            statistic: "centered effective rank / min(dimensions, samples − 1)",
            side: Side::Below,
            bound: RANK_SHARE,
            reason: "trained encoders of the literature use a third of their dimensions or more; a tenth leaves a wide margin",
            value: |d| Some(d.statistics.centered_effective_rank / d.statistics.largest_rank() as f64),
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        thresholds: &[Threshold {
            statistic: "share of dead dimensions",
            side: Side::Above,
            bound: 0.5,
            reason: "most of the width that was paid for says nothing",
            value: |d| Some(d.statistics.dead_share),
        }],
    },
    Rule {
        verdict: Verdict::ShortcutSuspected,
        thresholds: &[
            Threshold {
                statistic: "R² of the best-predicted trivial attribute",
                side: Side::Above,
                bound: 0.9,
                reason: "the encoder passes it on nearly unchanged",
                value: |d| d.shortcut.as_ref().map(|s| s.predicted),
            },
            Threshold {
                statistic: "share of the variance that trivial attributes explain",
                side: Side::Above,
                bound: EXPLAINED,
                reason: "three quarters of what the representation says is trivial, so a probe reads them about as well as its whole variance allows; of sound encoders it was 19 to 31 %",
                value: |d| d.shortcut.as_ref().map(|s| s.explained),
            },
            Threshold {
                statistic: "view retrieval",
                side: Side::Above,
                bound: 0.95,
                reason: "and with little else the views of a sample are found among all others: the objective is solved",
                value: |d| d.view_retrieval,
            },
        ],
    },
];

/// Agreement above which an encoder counts as untrained.
const AGREEMENT: f64 = 0.4;
/// Share of the variance above which trivial attributes are most of a representation.
const EXPLAINED: f64 = 0.75;
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
    pub advice: &'static [&'static str],
}

/// Weighs everything measured.
pub fn weigh(measurements: &Measurements) -> Judgement {
    let (verdict, mut evidence) = by_rules(measurements);
    evidence.extend(facts(measurements));
    Judgement { verdict, evidence, advice: verdict.advice() }
}

/// The verdict, and the facts that speak for it.
fn by_rules(measurements: &Measurements) -> (Verdict, Vec<String>) {
    let met = |rule: &&Rule| rule.thresholds.iter().all(|t| t.crossed(measurements).is_some());
    let verdict = RULES.iter().find(met).map_or(Verdict::Healthy, |rule| rule.verdict);
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
            s.largest_rank(),
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
            "LiDAR {lidar:.1}, alignment {alignment:.3}, other view found {:.1} % ({views} views per sample)",
            100.0 * retrieval
        ));
    }
    if let Some(agreement) = measurements.untrained_agreement {
        facts.push(format!("{:.0} % of the neighbors are the untrained encoder's", 100.0 * agreement));
    }
    if let Some(shortcut) = &measurements.shortcut {
        facts.push(format!(
            "trivial attributes explain {:.0} % of the variance; {} is predicted with R² {:.2}",
            100.0 * shortcut.explained.max(0.0),
            shortcut.attribute,
            shortcut.predicted
        ));
    }
    facts
}
