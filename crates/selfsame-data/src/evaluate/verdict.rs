//! What a diagnosis says in words: the verdicts, the table of thresholds that give them, and what to try.
//!
//! The rules of [`RULES`] are read from the top; the first whose thresholds are all crossed gives the verdict, and none:
//! healthy. A threshold on something that was not measured (no untrained encoder at hand, no views) is not crossed.

use super::collapse::{Gauge, largest_rank};
use super::diagnosis::Diagnosis;
use serde::Serialize;

/// What a diagnosis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// The objective may have been solved by something trivial, such as brightness or colour.
    #[serde(rename = "shortcut suspected")]
    ShortcutSuspected,
    /// None of these.
    #[serde(rename = "healthy")]
    Healthy,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotYetTrained => "not yet trained",
            Self::CompleteCollapse => "complete collapse",
            Self::DimensionalCollapse => "dimensional collapse",
            Self::ShortcutSuspected => "shortcut suspected",
            Self::Healthy => "healthy",
        })
    }
}

impl Verdict {
    /// What to try, the likeliest remedy first; nothing where nothing is wrong.
    pub fn advice(self) -> &'static [&'static str] {
        match self {
            Self::NotYetTrained => &[
                "train longer: `selfsame pretrain RUN` goes on with a run that is not finished",
                "if the loss does not move, raise optimiser.base_lr; a tenth of the epochs of warm-up is usual",
            ],
            Self::CompleteCollapse => &[
                "take a method that has something against collapse: negatives (simclr, moco), decorrelation (barlow_twins, vicreg), or a predictor with a stopped gradient (byol, simsiam)",
                "if it has, lower optimiser.base_lr or lengthen optimiser.warmup_epochs: too large first steps collapse an encoder that a good rate would not",
                "keep batch normalisation in the projector (projector.norm = \"batch\"): byol and simsiam depend on it",
            ],
            Self::DimensionalCollapse => &[
                "raise what spreads the dimensions: the redundancy weight (barlow_twins), the covariance weight (vicreg), the batch size or a lower temperature (simclr, moco)",
                "give the projector a hidden layer (projector.layers = 2 or 3) and more width: what it loses, h need not lose",
                "weaken augmentations that remove most of what tells samples apart: see `selfsame diagnose RUN --invariance`",
            ],
            Self::ShortcutSuspected => &[
                "add or strengthen augmentations that change brightness and colour (color_jitter, color_drop, solarize), so that views cannot be matched by them",
                "look at what the encoder is shown: smaller crops share less of their histogram (random_resized_crop scale)",
                "see `selfsame diagnose RUN --invariance`: an augmentation with high R² is one that the encoder has not learnt to ignore",
            ],
            Self::Healthy => &[],
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
    value: fn(&Diagnosis) -> Option<f64>,
}

impl Threshold {
    /// The statistic's value where it lies beyond the bound.
    fn crossed(&self, diagnosis: &Diagnosis) -> Option<f64> {
        (self.value)(diagnosis).filter(|&value| match self.side {
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

/// Mean cosine above which embeddings are one.
const SAME: f64 = 0.99;
/// Centred norm over norm below which embeddings are one.
const CENTRED: f64 = 0.01;
/// Centred effective rank below which embeddings lie in few dimensions, as a share of the largest possible.
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
            reason: "two of five neighbours are those that the random initial weights gave; of trained encoders it was 4 to 29 %, of one whose weights hardly moved 54 to 59 %",
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
            statistic: "centred norm / norm",
            side: Side::Below,
            bound: CENTRED,
            reason: "99.99 % of the energy is one constant vector; what is left is within reach of rounding and noise",
            value: |d| Some(d.statistics.centred_norm_ratio),
        }],
    },
    Rule {
        verdict: Verdict::DimensionalCollapse,
        thresholds: &[Threshold {
            statistic: "centred effective rank / min(dimensions, samples − 1)",
            side: Side::Below,
            bound: RANK_SHARE,
            reason: "trained encoders of the literature use a third of their dimensions or more; a tenth leaves a wide margin",
            value: |d| Some(d.statistics.centred_effective_rank / d.statistics.largest_rank() as f64),
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
                reason: "three quarters of what the representation says are histograms, so a probe reads them about as well as its whole variance allows; of sound encoders it was 19 to 31 %",
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

/// The verdict on everything measured, and the facts that speak for it.
pub(super) fn judge(diagnosis: &Diagnosis) -> (Verdict, Vec<String>) {
    let met = |rule: &&Rule| rule.thresholds.iter().all(|t| t.crossed(diagnosis).is_some());
    let verdict = RULES.iter().find(met).map_or(Verdict::Healthy, |rule| rule.verdict);
    let speaking = RULES.iter().filter(|rule| rule.verdict == verdict).filter(met);
    let mut evidence: Vec<String> = speaking
        .flat_map(|rule| rule.thresholds)
        .map(|t| {
            let side = if t.side == Side::Above { "over" } else { "under" };
            let value = t.crossed(diagnosis).expect("its rule is met");
            format!("{} is {value:.4}, {side} {}: {}", t.statistic, t.bound, t.reason)
        })
        .collect();
    if verdict == Verdict::NotYetTrained
        && let Some(rule) = RULES.iter().filter(|rule| rule.verdict != verdict).find(met)
    {
        evidence.push(format!("by their looks alone these embeddings would be called: {}", rule.verdict));
    }
    if let (Verdict::Healthy, Some(found)) = (verdict, diagnosis.view_retrieval.filter(|&found| found > EASY)) {
        evidence.push(format!(
            "{:.1} % of the views find the others of their sample: they hardly differ, and stronger augmentations may teach more",
            100.0 * found
        ));
    }
    (verdict, evidence)
}

/// Batches in a row that must say the same before a running training is warned, or is held to have recovered.
pub const PATIENCE: u32 = 5;
/// Fewest samples of a batch by which dimensions are judged: the rank of fewer is theirs, not the encoder's.
pub const FEWEST_SAMPLES: usize = 33;

/// Watches the gauge of a training run and speaks up once when a collapse sets in, again only after a recovery.
///
/// A batch of `N` rows shows at most `N − 1` dimensions, whatever the width; so, as in [`RULES`], its centred effective
/// rank is held against a tenth of the *smaller* of width and `N − 1`, which asks less of a small batch, and batches under
/// [`FEWEST_SAMPLES`] are not asked for their rank at all. One odd batch proves nothing: [`PATIENCE`] in a row must agree.
#[derive(Clone, Debug, Default)]
pub struct CollapseWatch {
    /// Batches in a row that contradict `warned`.
    against: u32,
    warned: Option<Verdict>,
}

impl CollapseWatch {
    /// Takes in the next gauge; a line for the user when a collapse has just set in.
    pub fn see(&mut self, gauge: &Gauge) -> Option<String> {
        let seen = live_verdict(gauge);
        if seen.is_some() == self.warned.is_some() {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < PATIENCE {
            return None;
        }
        (self.against, self.warned) = (0, seen);
        let verdict = seen?;
        Some(format!(
            "{verdict} of the embeddings has set in: mean pairwise cosine {:.4}, centred effective rank {:.1} of {}, std {:.3}; {}",
            gauge.mean_cosine,
            gauge.effective_rank,
            gauge.largest_rank,
            gauge.std,
            verdict.advice()[0]
        ))
    }
}

/// The collapse that a batch shows, by the bounds of [`RULES`].
fn live_verdict(gauge: &Gauge) -> Option<Verdict> {
    if gauge.mean_cosine > SAME || gauge.centred_norm_ratio < CENTRED {
        Some(Verdict::CompleteCollapse)
    } else if gauge.largest_rank >= largest_rank(usize::MAX, FEWEST_SAMPLES)
        && gauge.effective_rank < RANK_SHARE * gauge.largest_rank as f64
    {
        Some(Verdict::DimensionalCollapse)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(mean_cosine: f64, effective_rank: f64, largest_rank: usize) -> Gauge {
        Gauge { std: 0.5, effective_rank, mean_cosine, centred_norm_ratio: 0.5, largest_rank }
    }

    #[test]
    fn a_collapse_is_said_once_and_again_only_after_a_recovery() {
        let (well, ill) = (gauge(0.3, 60.0, 127), gauge(0.995, 60.0, 127));
        let mut watch = CollapseWatch::default();
        let mut said = Vec::new();
        let course: Vec<(&Gauge, usize)> = vec![(&well, 10), (&ill, 4), (&well, 1), (&ill, 30), (&well, 4), (&ill, 9)];
        let course = course.into_iter().chain([(&well, 5), (&ill, 5)]);
        for (step, gauge) in course.flat_map(|(gauge, times)| std::iter::repeat_n(gauge, times)).enumerate() {
            said.extend(watch.see(gauge).map(|line| (step, line)));
        }
        // Four odd batches are passed over, and so is a recovery of four.
        assert_eq!(said.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [10 + 4 + 1 + 4, 67]);
        assert!(said[0].1.contains("complete collapse") && said[0].1.contains("0.9950"), "{}", said[0].1);
    }

    #[test]
    fn a_batch_is_asked_for_no_more_rank_than_it_can_have() {
        let says = |rank, largest| live_verdict(&gauge(0.2, rank, largest));
        assert_eq!(says(12.0, 127), Some(Verdict::DimensionalCollapse));
        assert_eq!(says(13.0, 127), None);
        assert_eq!(says(3.1, 32), Some(Verdict::DimensionalCollapse));
        assert_eq!(says(1.0, 31), None);
    }
}
