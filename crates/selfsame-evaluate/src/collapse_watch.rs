//! Watches a training for collapse while it goes on.

use crate::collapse::{Gauge, largest_rank};
use crate::verdict::{CENTERED, RANK_SHARE, SAME, Verdict};

/// Batches in a row that must say the same before a running training is warned, or is held to have recovered.
pub const PATIENCE: u32 = 5;
/// Fewest samples of a batch by which dimensions are judged: the rank of fewer is theirs, not the encoder's.
pub const FEWEST_SAMPLES: usize = 33;

/// Watches the gauge of a training run and speaks up once when a collapse sets in, again only after a recovery.
///
/// A batch of `N` rows shows at most `N − 1` dimensions, whatever the width; so, as in [`RULES`](crate::verdict::RULES), its centered effective
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
            "{verdict} of the embeddings has set in: mean pairwise cosine {:.4}, centered effective rank {:.1} of {}, std {:.3}; {}",
            gauge.mean_cosine,
            gauge.effective_rank,
            gauge.largest_rank,
            gauge.std,
            verdict.advice()[0]
        ))
    }
}

/// The collapse that a batch shows, by the bounds of [`RULES`](crate::verdict::RULES).
fn live_verdict(gauge: &Gauge) -> Option<Verdict> {
    if gauge.mean_cosine > SAME || gauge.centered_norm_ratio < CENTERED {
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
        Gauge { std: 0.5, effective_rank, mean_cosine, centered_norm_ratio: 0.5, largest_rank }
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
