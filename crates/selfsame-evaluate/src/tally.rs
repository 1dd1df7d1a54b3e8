//! Scores of several representations over one set of resamples, and how they compare.

use crate::bootstrap::{Difference, Resampled, Statistic, Units};
use crate::representation::RepresentationName;
use crate::scores::{Comparison, Metric, Score};

/// What is to be scored.
#[derive(Default)]
pub(crate) struct Tally<'a> {
    statistics: Vec<&'a dyn Statistic>,
    /// Representation, score, and place among the statistics.
    metrics: Vec<(usize, Metric, usize)>,
}

impl<'a> Tally<'a> {
    /// Adds a statistic that is not compared, and gives its place.
    pub fn add(&mut self, statistic: &'a dyn Statistic) -> usize {
        self.statistics.push(statistic);
        self.statistics.len() - 1
    }

    /// Adds a score of a representation.
    pub fn add_score(&mut self, representation: usize, metric: Metric, statistic: &'a dyn Statistic) {
        let place = self.add(statistic);
        self.metrics.push((representation, metric, place));
    }

    /// Scores everything by the same resamples.
    pub fn resample(self, units: Units, seed: u64) -> Tallied {
        Tallied { resampled: Resampled::of(&self.statistics, units, seed), metrics: self.metrics }
    }
}

/// What was scored.
pub(crate) struct Tallied {
    resampled: Resampled,
    metrics: Vec<(usize, Metric, usize)>,
}

impl Tallied {
    /// The score at a place; `None` where nothing counts.
    pub fn at(&self, place: usize) -> Option<Score> {
        let value = self.resampled.value(place)?;
        Some(Score { value, interval: self.resampled.interval(place), std: None, leads: false })
    }

    /// A score of a representation.
    pub fn score(&self, representation: usize, metric: Metric) -> Option<Score> {
        let place = self.place(representation, metric)?;
        let mut others = self.others(representation, metric).peekable();
        let leads = others.peek().is_some()
            && others.all(|(_, other)| {
                let found = self.resampled.difference(place, other);
                found.is_some_and(|found| metric.better(found) > 0)
            });
        Some(Score { leads, ..self.at(place)? })
    }

    /// A score by each draw of the labels.
    pub fn draws(&self, representation: usize, metric: Metric) -> Vec<f64> {
        self.place(representation, metric).map(|place| self.resampled.draws(place)).unwrap_or_default()
    }

    /// Every score of the representation `own` beside that of each other one.
    pub fn comparisons(&self, own: usize, names: &[RepresentationName]) -> Vec<Comparison> {
        let of_own = self.metrics.iter().filter(|(representation, ..)| *representation == own);
        let compared = of_own.flat_map(|&(_, metric, place)| {
            self.others(own, metric).filter_map(move |(other, other_place)| {
                let difference: Difference = self.resampled.difference(place, other_place)?;
                Some(Comparison { metric, with: names[other].clone(), difference })
            })
        });
        compared.collect()
    }

    fn place(&self, representation: usize, metric: Metric) -> Option<usize> {
        self.metrics.iter().find(|(r, m, _)| (*r, *m) == (representation, metric)).map(|(.., place)| *place)
    }

    /// The same score of all other representations: which, and its place.
    fn others(&self, own: usize, metric: Metric) -> impl Iterator<Item = (usize, usize)> + '_ {
        let others = self.metrics.iter().filter(move |(r, m, _)| *r != own && *m == metric);
        others.map(|(representation, _, place)| (*representation, *place))
    }
}
