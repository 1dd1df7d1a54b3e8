//! Watches a training for collapse while it goes on.

use crate::advice::advise;
use crate::collapse::{Gauge, largest_rank};
use crate::training::Training;
use crate::verdict::{CENTERED, RANK_SHARE, SAME, Verdict};

/// Batches in a row that must say the same before a running training is warned, or is held to have recovered.
pub const PATIENCE: u32 = 5;
/// Fewest samples of a batch by which dimensions are judged: the rank of fewer is theirs, not the encoder's.
pub const FEWEST_SAMPLES: usize = 33;

/// How far embeddings have collapsed, from well to worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Well,
    FewDimensions,
    Constant,
}

impl Level {
    /// The collapse that a batch shows, by the bounds of [`RULES`](crate::verdict::RULES).
    fn of(gauge: &Gauge) -> Self {
        if gauge.mean_cosine > SAME || gauge.centered_norm_ratio < CENTERED {
            Self::Constant
        } else if gauge.largest_rank >= largest_rank(usize::MAX, usize::MAX, FEWEST_SAMPLES)
            && gauge.effective_rank < RANK_SHARE * gauge.largest_rank as f64
        {
            Self::FewDimensions
        } else {
            Self::Well
        }
    }

    fn verdict(self) -> Option<Verdict> {
        match self {
            Self::Well => None,
            Self::FewDimensions => Some(Verdict::DimensionalCollapse),
            Self::Constant => Some(Verdict::CompleteCollapse),
        }
    }
}

/// Watches the gauge of a training run and speaks up when a collapse sets in and when a dimensional one becomes complete; again
/// only after a recovery.
///
/// A batch of `N` rows shows at most `N − 1` dimensions, whatever the width; so, as in [`RULES`](crate::verdict::RULES), its centered effective
/// rank is held against a tenth of the *smallest* of the widths of `z` and `h` and `N − 1`, which asks less of a small batch, and
/// batches under [`FEWEST_SAMPLES`] are not asked for their rank at all. One odd batch proves nothing: [`PATIENCE`] in a row must
/// agree that it is worse, or better, than was said; of these the mildest, or the worst, counts.
#[derive(Clone, Debug)]
pub struct CollapseWatch {
    training: Training,
    /// What the user knows.
    said: Level,
    /// Batches in a row that are worse than `said`, and the mildest of them.
    worse: (u32, Level),
    /// Batches in a row that are better, and the worst of them.
    better: (u32, Level),
}

impl CollapseWatch {
    /// Of a training that goes on.
    pub fn new(training: Training) -> Self {
        let none = (0, Level::default());
        Self { training, said: Level::default(), worse: none, better: none }
    }

    /// Takes in the next gauge; a line for the user when a collapse has just set in, or become complete.
    pub fn see(&mut self, gauge: &Gauge) -> Option<String> {
        let seen = Level::of(gauge);
        let counted =
            |(count, level): (u32, Level), differs: bool, join: fn(Level, Level) -> Level| match (differs, count) {
                (false, _) => (0, Level::default()),
                (true, 0) => (1, seen),
                (true, _) => (count + 1, join(level, seen)),
            };
        self.worse = counted(self.worse, seen > self.said, Level::min);
        self.better = counted(self.better, seen < self.said, Level::max);
        let before = self.said;
        for (count, level) in [self.worse, self.better] {
            if count >= PATIENCE {
                self.said = level;
            }
        }
        if self.said != before {
            let none = (0, Level::default());
            (self.worse, self.better) = (none, none);
        }
        let verdict = self.said.verdict().filter(|_| self.said > before)?;
        let what = match before {
            Level::FewDimensions => format!("the dimensional collapse of the embeddings has become a {verdict}"),
            _ => format!("{verdict} of the embeddings has set in"),
        };
        Some(format!(
            "{what}: mean pairwise cosine {:.4}, centered effective rank {:.1} of {}, std {:.3}; {}",
            gauge.mean_cosine,
            gauge.effective_rank,
            gauge.largest_rank,
            gauge.std,
            advise(verdict, Some(&self.training), None)[0]
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gauge(mean_cosine: f64, effective_rank: f64, largest_rank: usize) -> Gauge {
        Gauge { std: 0.5, effective_rank, mean_cosine, centered_norm_ratio: 0.5, largest_rank }
    }

    /// The steps at which something is said, and what.
    fn said(course: &[(&Gauge, usize)]) -> Vec<(usize, String)> {
        let training = Training { method: "simclr".into(), ..Training::default() };
        let mut watch = CollapseWatch::new(training);
        let steps = course.iter().flat_map(|(gauge, times)| std::iter::repeat_n(*gauge, *times)).enumerate();
        steps.filter_map(|(step, gauge)| Some((step, watch.see(gauge)?))).collect()
    }

    #[test]
    fn a_collapse_is_said_once_and_again_only_after_a_recovery() {
        let (well, ill) = (gauge(0.3, 60.0, 127), gauge(0.995, 60.0, 127));
        let said =
            said(&[(&well, 10), (&ill, 4), (&well, 1), (&ill, 30), (&well, 4), (&ill, 9), (&well, 5), (&ill, 5)]);
        // Four odd batches are passed over, and so is a recovery of four.
        assert_eq!(said.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [10 + 4 + 1 + 4, 67]);
        assert!(said[0].1.contains("complete collapse") && said[0].1.contains("0.9950"), "{}", said[0].1);
        assert!(said[0].1.ends_with("a good rate would not"), "advice for simclr: {}", said[0].1);
    }

    #[test]
    fn a_dimensional_collapse_that_becomes_complete_is_said_again() {
        let (well, flat, point) = (gauge(0.3, 60.0, 127), gauge(0.5, 2.0, 127), gauge(0.999, 1.0, 127));
        let found = said(&[(&well, 3), (&flat, 9), (&point, 4), (&flat, 1), (&point, 20), (&flat, 9), (&point, 5)]);
        // At 7 dimensional; four batches of complete collapse are passed over; at 21 complete; at 41, after it was
        // dimensional again, once more.
        assert_eq!(found.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [7, 21, 50]);
        assert!(found[0].1.starts_with("dimensional collapse of the embeddings has set in"), "{}", found[0].1);
        assert!(found[1].1.contains("has become a complete collapse"), "{}", found[1].1);
        // Both at once is at least the milder.
        let mixed = said(&[(&point, 2), (&flat, 1), (&point, 2)]);
        assert!(mixed.len() == 1 && mixed[0].1.starts_with("dimensional collapse"), "{mixed:?}");
    }

    #[test]
    fn a_batch_is_asked_for_no_more_rank_than_it_can_have() {
        let says = |rank, largest| Level::of(&gauge(0.2, rank, largest)).verdict();
        assert_eq!(says(12.0, 127), Some(Verdict::DimensionalCollapse));
        assert_eq!(says(13.0, 127), None);
        assert_eq!(says(3.1, 32), Some(Verdict::DimensionalCollapse));
        assert_eq!(says(1.0, 31), None);
    }
}
