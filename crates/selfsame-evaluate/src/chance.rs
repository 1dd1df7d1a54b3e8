//! What scores would be without looking at the samples: the line that a representation has to be above.

use crate::features::Rows;
use crate::label_subsets::{LabelBudget, members};
use crate::measures::Measure;
use crate::scores::{ChanceScore, Metric};

/// Chance of scores of classes.
///
/// Accuracy with all labels is that of naming always the most frequent class of the training data; with few labels, of which every
/// class has as many, and where each class weighs the same, that of a class drawn at random; retrieval's is that of a random order.
pub(crate) fn of_classes(
    metrics: &[Metric],
    labels: &[u32],
    truth: &[u32],
    test_members: &[Vec<u32>],
) -> Vec<ChanceScore> {
    let classes = test_members.len();
    let train_members = members(labels, classes);
    let present = |members: &[Vec<u32>]| members.iter().filter(|rows| !rows.is_empty()).count().max(1);
    let most_frequent = (0..classes).max_by_key(|&class| (train_members[class].len(), classes - class)).unwrap_or(0);
    let majority = test_members[most_frequent].len() as f64 / truth.len().max(1) as f64;
    // Of every test sample that has something to find: how many others there are, and how many of its class.
    let queries = || test_members.iter().filter(|rows| rows.len() > 1).map(|rows| (rows.len(), rows.len() - 1));
    let over_queries = |of_query: &dyn Fn(usize, usize) -> f64| {
        let count: usize = queries().map(|(count, _)| count).sum();
        let sum: f64 = queries().map(|(count, relevant)| count as f64 * of_query(truth.len() - 1, relevant)).sum();
        (count > 0).then(|| sum / count as f64)
    };
    let chance = |&metric: &Metric| {
        let value = match metric {
            Metric::Knn(_) | Metric::LinearProbe(LabelBudget::All) => Some(majority),
            Metric::LinearProbe(_) => Some(1.0 / present(&train_members) as f64),
            Metric::BalancedKnn(_) | Metric::BalancedProbe => Some(1.0 / present(test_members) as f64),
            Metric::MeanAveragePrecision => over_queries(&expected_precision),
            Metric::RecallAt(at) => over_queries(&|others, relevant| expected_recall(others, relevant, at)),
            Metric::Targets { .. } => None,
        };
        value.map(|value| ChanceScore { metric, value })
    };
    metrics.iter().filter_map(chance).collect()
}

/// Chance of scores of labels or of numbers: a random order of the samples, every label given to every sample, and the mean and the
/// median of the training samples.
///
/// # Shapes
/// `train`, `test`: `[samples, targets]`
pub(crate) fn of_targets(metrics: &[Metric], train: Rows, test: Rows) -> Vec<ChanceScore> {
    let column = |rows: Rows, target: usize| -> Vec<f64> {
        (0..rows.len()).map(|row| f64::from(rows.row(row)[target])).collect()
    };
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    // Labels that some test samples have and some do not.
    let shares = || (0..test.dim).map(|label| mean(&column(test, label))).filter(|share| *share > 0.0 && *share < 1.0);
    let over_labels = |of: &dyn Fn(f64) -> f64| {
        let found: Vec<f64> = shares().map(of).collect();
        (!found.is_empty()).then(|| mean(&found))
    };
    let median_error = |target: usize| {
        let mut seen = column(train, target);
        seen.sort_unstable_by(f64::total_cmp);
        let median = (seen[(seen.len() - 1) / 2] + seen[seen.len() / 2]) / 2.0;
        mean(&column(test, target).iter().map(|value| (value - median).abs()).collect::<Vec<_>>())
    };
    let chance = |&metric: &Metric| {
        let Metric::Targets { measure, .. } = metric else { return None };
        let value = match measure {
            Measure::Auroc => Some(0.5),
            Measure::AveragePrecision => over_labels(&|share| share),
            Measure::F1 => over_labels(&|share| 2.0 * share / (1.0 + share)),
            Measure::R2 => Some(0.0),
            Measure::AbsoluteError => Some(mean(&(0..test.dim).map(median_error).collect::<Vec<_>>())),
        };
        value.map(|value| ChanceScore { metric, value })
    };
    metrics.iter().filter_map(chance).collect()
}

/// Expected average precision of a random order of `count` samples, `relevant` of which are relevant (Bestgen 2015):
/// `((R − 1)(n − Hₙ)/(n − 1) + Hₙ) / n` with the harmonic number `Hₙ`.
fn expected_precision(count: usize, relevant: usize) -> f64 {
    let (n, r) = (count as f64, relevant as f64);
    if count < 2 {
        return if relevant > 0 { 1.0 } else { 0.0 };
    }
    let harmonic: f64 = (1..=count).map(|i| 1.0 / i as f64).sum();
    ((r - 1.0) * (n - harmonic) / (n - 1.0) + harmonic) / n
}

/// Probability that one of the first `at` of `count` samples in random order is among the `relevant` ones.
fn expected_recall(count: usize, relevant: usize, at: usize) -> f64 {
    let none: f64 =
        (0..at.min(count)).map(|i| (count - i).saturating_sub(relevant) as f64 / (count - i) as f64).product();
    1.0 - none
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::Predictor;

    /// Mean of something over all orders of `count` samples, the first `relevant` of which are relevant.
    fn over_orders(count: usize, relevant: usize, of: &dyn Fn(&[bool]) -> f64) -> f64 {
        fn orders(left: &[bool], order: &mut Vec<bool>, of: &dyn Fn(&[bool]) -> f64) -> (f64, f64) {
            if left.is_empty() {
                return (of(order), 1.0);
            }
            let mut total = (0.0, 0.0);
            for i in 0..left.len() {
                let mut rest = left.to_vec();
                order.push(rest.remove(i));
                let (sum, number) = orders(&rest, order, of);
                total = (total.0 + sum, total.1 + number);
                order.pop();
            }
            total
        }
        let (sum, number) = orders(&(0..count).map(|i| i < relevant).collect::<Vec<_>>(), &mut Vec::new(), of);
        sum / number
    }

    #[test]
    fn a_random_order_has_the_expected_precision_and_recall() {
        let precision = |order: &[bool]| {
            let (mut found, mut sum) = (0.0, 0.0);
            for (rank, _) in order.iter().enumerate().filter(|(_, relevant)| **relevant) {
                found += 1.0;
                sum += found / (rank + 1) as f64;
            }
            sum / found
        };
        for (count, relevant) in [(1, 1), (4, 1), (6, 2), (6, 5), (7, 7)] {
            let expected = over_orders(count, relevant, &precision);
            assert!((expected_precision(count, relevant) - expected).abs() < 1e-12, "{count} {relevant}");
            for at in [1, 3, 10] {
                let recall = |order: &[bool]| f64::from(u8::from(order.iter().take(at).any(|r| *r)));
                let expected = over_orders(count, relevant, &recall);
                assert!((expected_recall(count, relevant, at) - expected).abs() < 1e-12, "{count} {relevant} {at}");
            }
        }
    }

    #[test]
    fn chance_is_the_most_frequent_class_of_the_training_data() {
        let (labels, truth) = ([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1, 1, 1, 1, 2]);
        let metrics = [
            Metric::Knn(5),
            Metric::BalancedProbe,
            Metric::LinearProbe(LabelBudget::PerClass(1)),
            Metric::LinearProbe(LabelBudget::All),
            Metric::RecallAt(1),
        ];
        let found = of_classes(&metrics, &labels, &truth, &members(&truth, 4));
        let values: Vec<f64> = found.iter().map(|chance| (chance.value * 1e6).round() / 1e6).collect();
        // Class 2 has nothing to find; of 9 others 1 is of class 0, for two samples, and 6 of class 1, for seven.
        let recall = (2.0 / 9.0 + 7.0 * 6.0 / 9.0) / 9.0;
        assert_eq!(values, [0.2, 0.333333, 0.333333, 0.2, (recall * 1e6f64).round() / 1e6]);
    }

    #[test]
    fn chance_of_labels_is_their_share_and_of_numbers_their_median() {
        let metric = |measure| Metric::Targets { measure, by: Predictor::Knn(5) };
        let values = |measures: &[Measure], train: &[f32], test: &[f32], dim| -> Vec<f64> {
            let metrics: Vec<Metric> = measures.iter().map(|&measure| metric(measure)).collect();
            of_targets(&metrics, Rows::new(train, dim), Rows::new(test, dim)).iter().map(|found| found.value).collect()
        };
        // A label that a quarter has, one that half have, and one that none has and that does not count.
        let test = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let labels = [Measure::Auroc, Measure::AveragePrecision, Measure::F1];
        assert_eq!(values(&labels, &test, &test, 3), [0.5, 0.375, (0.4 + 1.0 / 1.5) / 2.0]);
        let numbers = [Measure::R2, Measure::AbsoluteError];
        assert_eq!(values(&numbers, &[1.0, 9.0, 2.0, 3.0], &[2.0, 4.0], 1), [0.0, 1.0]);
    }
}
