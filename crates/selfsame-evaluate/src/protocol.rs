//! How representations are scored: kNN, linear probe and retrieval, with all labels and with few, the same draws for every
//! representation that is compared. What comes out is [`Scores`].

use crate::bootstrap::{self, Outcomes, correct};
use crate::features::FeatureTable;
use crate::knn::Neighbors;
use crate::label_subsets::{self, LabelBudget};
use crate::linear_probe::ProbeFeatures;
use crate::representation::RepresentationName;
use crate::retrieval::{self, RECALL_AT, Retrieval};
use crate::scores::{
    ClassScore, Confusion, FewLabelsScore, IntervalProtocol, KnnProtocol, KnnScore, PerClassScores, ProbeProtocol,
    ProbeScores, Protocol, RecallScore, RepresentationScores, RetrievalProtocol, RetrievalScores, Score, Scores,
};
use crate::settings::EvaluateSettings;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use std::collections::BTreeMap;

/// The larger neighborhood that is shown beside the plan's.
pub const WIDE_K: usize = 200;

/// Most classes of which a confusion matrix is kept.
const CONFUSION_CLASSES: usize = 256;

/// One thing to score: its name and its features.
#[derive(Clone, Debug)]
pub struct Representation<'a> {
    /// Name in tables and in `scores.json`.
    pub name: RepresentationName,
    /// Features of the labeled training samples.
    pub train: &'a FeatureTable,
    /// Features of the test samples.
    pub test: &'a FeatureTable,
}

/// What one representation predicted of the test samples, yet without intervals.
struct Predicted {
    /// By `k`.
    knn: Vec<(usize, Outcomes)>,
    probe: Outcomes,
    /// By labels per class.
    few_labels: Vec<(usize, Outcomes)>,
    retrieval: Retrieval,
    /// Classes by the vote of the plan's `k`, and by the probe.
    classes: [Vec<u32>; 2],
}

/// What all representations are scored by.
struct Exam<'a> {
    settings: &'a EvaluateSettings,
    seed: u64,
    labels: &'a [u32],
    classes: &'a [String],
    /// Classes of the test samples.
    truth: &'a [u32],
    /// By labels per class, the labeled rows of each draw.
    draws: &'a [(usize, Vec<Vec<u32>>)],
}

/// Calls of `progress` that [`evaluate`] makes for so many representations, for a progress bar.
pub fn steps(representations: usize, settings: &EvaluateSettings) -> usize {
    representations * (3 + settings.per_class.len()) + 1
}

/// Scores every representation by the same protocol. `progress` is told what is done next, one call per score.
///
/// # Errors
/// If a setting is out of its range, samples or labels are missing, the test data have a class that the training data lack,
/// or a value is not finite.
pub fn evaluate(
    representations: &[Representation],
    settings: &EvaluateSettings,
    seed: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<Scores, DataError> {
    settings.check()?;
    let Some(first) = representations.first() else {
        return Err(DataError::Data("there is no representation to evaluate".into()));
    };
    let classes = first.train.classes.clone();
    let truth = match_classes(first.train, first.test)?;
    for r in representations {
        let samples = |r: &Representation| (r.train.len(), r.test.len());
        assert_eq!(samples(r), samples(first), "{} of other samples than {}", r.name, first.name);
        r.train.check_finite(&format!("{} (training data)", r.name))?;
        r.test.check_finite(&format!("{} (test data)", r.name))?;
    }
    let mut warnings = Vec::new();
    let most_axes = settings.probe_axes;
    for r in representations.iter().filter(|r| r.train.dim > most_axes) {
        warnings.push(format!("the probe sees {} along its first {most_axes} principal axes", r.name));
    }
    let labels = &first.train.labels;
    let draws = draws(labels, classes.len(), settings, seed, &mut warnings);
    let bank = labels.len();
    if settings.knn_k > bank {
        warnings.push(format!("k = {} is more than the {bank} training samples; k is {bank}", settings.knn_k));
    }
    if classes.len() > CONFUSION_CLASSES {
        warnings.push(format!("no confusion matrix is kept of more than {CONFUSION_CLASSES} classes"));
    }
    let members = label_subsets::members(&truth, classes.len());
    if members.iter().all(|rows| rows.len() < 2) {
        warnings.push("no class has two test samples, so there is nothing to retrieve".into());
    }
    let exam = Exam { settings, seed, labels, classes: &classes, truth: &truth, draws: &draws };
    let predicted = representations.iter().map(|r| exam.predict(r, progress)).collect::<Result<Vec<_>, _>>()?;
    progress("intervals");
    let mut scored: BTreeMap<_, _> =
        representations.iter().map(|r| r.name.clone()).zip(exam.score(&predicted, &members)).collect();
    for (r, predicted) in representations.iter().zip(&predicted) {
        if r.name == RepresentationName::H && classes.len() <= CONFUSION_CLASSES {
            scored.get_mut(&r.name).expect("scored above").confusion = Some(exam.confusion(predicted));
        }
    }
    Ok(Scores { protocol: exam.protocol(), classes, representations: scored, diagnosis: BTreeMap::new(), warnings })
}

impl Exam<'_> {
    fn predict(
        &self,
        Representation { name, train, test }: &Representation,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Predicted, DataError> {
        let &Self { settings, seed, labels, classes, truth, draws } = self;
        progress(&format!("{name}: kNN"));
        let (bank, classes) = (labels.len(), classes.len());
        let widest = WIDE_K.max(settings.knn_k).min(bank);
        let neighbors = Neighbors::find(test.rows(), train.rows(), widest)?;
        let vote = |k: usize| neighbors.vote(labels, classes, k.min(widest), settings.knn_temperature);
        let by_knn = vote(settings.knn_k);
        let mut knn = vec![(settings.knn_k, Outcomes::of(correct(&by_knn, truth)))];
        if settings.knn_k != WIDE_K {
            knn.push((WIDE_K, Outcomes::of(correct(&vote(WIDE_K), truth))));
        }
        knn.sort_by_key(|(k, _)| *k);

        let features = match train.dim {
            dim if dim > settings.probe_axes => ProbeFeatures::reduced(train.rows(), settings.probe_axes)?,
            _ => ProbeFeatures::new(train.rows())?,
        };
        let coordinates = features.coordinates(test.rows())?;
        let probe = |rows: &[u32], draw: u64| {
            let rng = StreamRng::new(seed, Purpose::Evaluate, 1, draw, 0);
            features.fit(rows, labels, classes, rng).predict(&coordinates)
        };
        progress(&format!("{name}: linear probe"));
        let all: Vec<u32> = (0..bank as u32).collect();
        let by_probe = probe(&all, 0);
        let mut few_labels = Vec::new();
        for (per_class, draws) in draws {
            progress(&format!("{name}: linear probe, {per_class} per class"));
            let draws = draws.par_iter().enumerate().map(|(i, rows)| correct(&probe(rows, i as u64 + 1), truth));
            few_labels.push((*per_class, Outcomes { samples: None, draws: draws.collect() }));
        }
        progress(&format!("{name}: retrieval"));
        let retrieval = retrieval::retrieve(test.rows(), truth)?;
        let probe = Outcomes::of(correct(&by_probe, truth));
        Ok(Predicted { knn, probe, few_labels, retrieval, classes: [by_knn, by_probe] })
    }

    /// The scores of each representation, all by the same resamples.
    fn score(&self, predicted: &[Predicted], members: &[Vec<u32>]) -> Vec<RepresentationScores> {
        let &Self { classes, truth, .. } = self;
        let of_classes = |predicted: &Predicted| {
            predicted.classes.each_ref().map(|classes| {
                let correct = correct(classes, truth);
                let of_class = |rows: &Vec<u32>| Outcomes {
                    samples: Some(rows.clone()),
                    draws: vec![rows.iter().map(|&row| correct[row as usize]).collect()],
                };
                members.iter().map(of_class).collect::<Vec<_>>()
            })
        };
        let per_class: Vec<[Vec<Outcomes>; 2]> = predicted.iter().map(of_classes).collect();
        let all = predicted.iter().zip(&per_class).flat_map(|(p, per_class)| {
            let few = p.few_labels.iter().map(|(_, outcomes)| outcomes);
            let whole = p.knn.iter().map(|(_, outcomes)| outcomes).chain([&p.probe]).chain(few);
            whole.chain([&p.retrieval.map]).chain(&p.retrieval.recall).chain(per_class.iter().flatten())
        });
        let all: Vec<&Outcomes> = all.collect();
        let mut intervals = bootstrap::intervals(&all, truth.len(), self.seed).into_iter();
        // Taken in the order in which they were listed.
        let mut next = |outcomes: &Outcomes| {
            let interval = intervals.next().expect("one per list of outcomes");
            outcomes.mean().map(|value| Score { value, interval, std: None })
        };
        let mut scored = Vec::new();
        for (predicted, per_class) in predicted.iter().zip(&per_class) {
            let Predicted { knn, probe, few_labels, retrieval, .. } = predicted;
            let mut whole = |outcomes: &Outcomes| next(outcomes).expect("there are test samples");
            let knn = knn.iter().map(|(k, outcomes)| KnnScore { k: *k, score: whole(outcomes) }).collect();
            let all_labels = whole(probe);
            let few = |(per_class, outcomes): &(usize, Outcomes)| {
                let draws = outcomes.means();
                let score = Score { std: Some(standard_deviation(&draws)), ..whole(outcomes) };
                FewLabelsScore { per_class: *per_class, score, draws }
            };
            let few_labels = few_labels.iter().map(few).collect();
            let map = next(&retrieval.map);
            let recall = RECALL_AT.iter().zip(&retrieval.recall).map(|(&at, outcomes)| (at, next(outcomes)));
            let recall = recall.collect::<Vec<_>>().into_iter();
            let recall = recall.filter_map(|(at, score)| Some(RecallScore { at, score: score? })).collect();
            let [by_knn, by_probe] = per_class.each_ref().map(|outcomes| {
                let of_class = |(class, outcomes): (&String, &Outcomes)| {
                    let score = next(outcomes);
                    ClassScore {
                        class: class.clone(),
                        accuracy: score.map(|score| score.value),
                        interval: score.and_then(|score| score.interval),
                        samples: outcomes.samples.as_ref().map_or(0, Vec::len),
                    }
                };
                classes.iter().zip(outcomes).map(of_class).collect::<Vec<_>>()
            });
            scored.push(RepresentationScores {
                knn,
                linear_probe: ProbeScores { all_labels, few_labels },
                retrieval: RetrievalScores { map, recall },
                per_class: PerClassScores { knn: by_knn, linear_probe: by_probe },
                confusion: None,
            });
        }
        scored
    }

    fn confusion(&self, predicted: &Predicted) -> Confusion {
        let [knn, linear_probe] = predicted.classes.each_ref().map(|predicted| {
            let mut counts = vec![vec![0u32; self.classes.len()]; self.classes.len()];
            predicted.iter().zip(self.truth).for_each(|(&p, &t)| counts[t as usize][p as usize] += 1);
            counts
        });
        Confusion { knn, linear_probe }
    }

    fn protocol(&self) -> Protocol {
        let &Self { settings, seed, labels, classes, truth, .. } = self;
        Protocol {
            knn: KnnProtocol { k: settings.knn_k, temperature: settings.knn_temperature, metric: "cosine".into() },
            linear_probe: ProbeProtocol {
                standardized: true,
                l2: "chosen on held-out training labels".into(),
                most_axes: settings.probe_axes,
                per_class: settings.per_class.clone(),
                draws: settings.draws,
            },
            retrieval: RetrievalProtocol {
                metric: "cosine".into(),
                gallery: "test samples, leave-one-out".into(),
                queries: truth.len().min(retrieval::QUERIES),
            },
            intervals: IntervalProtocol {
                method: "bootstrap percentile".into(),
                level: bootstrap::LEVEL,
                resamples: bootstrap::RESAMPLES,
            },
            seed,
            train_samples: labels.len(),
            test_samples: truth.len(),
            classes: classes.len(),
        }
    }
}

/// The test samples' classes by their place among the training classes, which are matched by name, `[test samples]`.
///
/// # Errors
/// If samples or labels are missing, or the test data have a class that the training data lack.
pub fn match_classes(train: &FeatureTable, test: &FeatureTable) -> Result<Vec<u32>, DataError> {
    for (part, table) in [("train", train), ("test", test)] {
        if table.is_empty() {
            return Err(DataError::Data(format!("the {part} data has no readable sample")));
        }
        if table.labels.len() != table.len() {
            let problem = "has no labels, which an evaluation needs; give labeled data, e.g. a folder with one sub-folder per class (a diagnosis needs no labels)";
            return Err(DataError::Data(format!("the {part} data {problem}")));
        }
    }
    if train.classes.len() < 2 {
        return Err(DataError::Data(format!("the train data has {} class, expected at least 2", train.classes.len())));
    }
    let mut present = vec![false; train.classes.len()];
    train.labels.iter().for_each(|&label| present[label as usize] = true);
    let place = |label: u32| {
        let name = &test.classes[label as usize];
        let found = train.classes.iter().position(|class| class == name).filter(|&class| present[class]);
        found.map(|class| class as u32).ok_or_else(|| {
            let problem =
                "of which the train data has no sample; leave it out of the test data, or add it to the train data";
            DataError::Data(format!("the test data has class \"{name}\", {problem}"))
        })
    };
    test.labels.iter().map(|&label| place(label)).collect()
}

/// For every number of labels per class, the labeled rows of each draw.
fn draws(
    labels: &[u32],
    classes: usize,
    settings: &EvaluateSettings,
    seed: u64,
    warnings: &mut Vec<String>,
) -> Vec<(usize, Vec<Vec<u32>>)> {
    let smallest = label_subsets::members(labels, classes).iter().map(Vec::len).min().unwrap_or(0);
    let mut all = Vec::new();
    for &per_class in &settings.per_class {
        if per_class > smallest {
            warnings.push(format!(
                "{per_class} labels per class were asked for, one class has {smallest}; all of it is used"
            ));
        }
        let of_draw = |draw| LabelBudget::PerClass(per_class).rows(labels, classes, seed, draw);
        all.push((per_class, (0..settings.draws as u64).map(of_draw).collect()));
    }
    all
}

/// Unbiased standard deviation; 0 of a single value.
fn standard_deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0).max(1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::diagnose;
    use crate::measurements::Observed;
    use crate::scores::Metric;
    use selfsame_config::Settings;

    /// Two classes on two axes.
    fn table(rows: usize, seed: u64) -> FeatureTable {
        let mut rng = StreamRng::new(seed, Purpose::Survey, 0, 0, 0);
        let mut table = FeatureTable { dim: 2, classes: vec!["a".into(), "b".into()], ..Default::default() };
        for row in 0..rows {
            let label = (row % 2) as u32;
            table
                .values
                .extend([4.0 * label as f32 + 0.1 * rng.normal(), 4.0 * (1 - label) as f32 + 0.1 * rng.normal()]);
            table.ids.push(row.to_string());
            table.labels.push(label);
        }
        table
    }

    fn settings() -> EvaluateSettings {
        let settings = EvaluateSettings::read(&EvaluateSettings::preset()).unwrap();
        EvaluateSettings { per_class: vec![1, 5], draws: 3, ..settings }
    }

    fn h<'a>(train: &'a FeatureTable, test: &'a FeatureTable) -> Representation<'a> {
        Representation { name: RepresentationName::H, train, test }
    }

    fn scores(train: &FeatureTable, test: &FeatureTable) -> Scores {
        evaluate(&[h(train, test)], &settings(), 0, &mut |_| {}).unwrap()
    }

    const H: RepresentationName = RepresentationName::H;
    const PROBE: Metric = Metric::LinearProbe(LabelBudget::All);

    #[test]
    fn separable_classes_score_one_everywhere_and_the_same_every_time() {
        // Standardized noise would outweigh the classes where a probe has one label of each to go by.
        let (train, test) = (table(60, 1), table(20, 2));
        let few = |count| Metric::LinearProbe(LabelBudget::PerClass(count));
        let found = scores(&train, &test);
        for metric in [Metric::Knn(20), Metric::Knn(200), PROBE, few(1), few(5), Metric::RecallAt(5)] {
            assert_eq!(found.get(&H, metric).unwrap().value, 1.0, "{metric}");
        }
        assert_eq!(found.get(&H, few(5)).unwrap().std, Some(0.0));
        assert_eq!(found.representations[&H].linear_probe.few_labels[0].draws, [1.0; 3]);
        assert_eq!(found.get(&H, few(7)), None);
        let titles: Vec<String> = found.metrics().iter().map(ToString::to_string).collect();
        assert_eq!(
            titles[..5],
            ["kNN, k = 20", "kNN, k = 200", "linear probe", "probe, 5 per class", "probe, 1 per class"]
        );
        assert_eq!(found, scores(&train, &test));
    }

    #[test]
    fn progress_is_told_as_often_as_is_said() {
        let (mut told, train, test) = (0, table(30, 1), table(10, 2));
        let h = h(&train, &test);
        evaluate(&[h.clone(), Representation { name: RepresentationName::Raw, ..h }], &settings(), 0, &mut |_| {
            told += 1;
        })
        .unwrap();
        assert_eq!(told, steps(2, &settings()));
    }

    #[test]
    fn what_cannot_be_judged_is_said_in_one_line() {
        let problem = |change: fn(&mut FeatureTable, &mut FeatureTable)| {
            let (mut train, mut test) = (table(60, 1), table(20, 2));
            change(&mut train, &mut test);
            evaluate(&[h(&train, &test)], &settings(), 0, &mut |_| {}).unwrap_err().to_string()
        };
        assert!(problem(|train, _| train.labels.clear()).contains("no labels"));
        let missing = |class: &str| format!("class \"{class}\", of which the train data has no");
        assert!(problem(|_, test| test.classes[1] = "c".into()).contains(&missing("c")));
        assert!(problem(|train, _| train.labels.fill(0)).contains(&missing("b")));
        assert!(problem(|_, test| test.values[3] = f32::NAN).contains("h (test data) of sample 1 is not finite"));
        assert!(problem(|train, _| train.values[3] = f32::INFINITY).contains("not finite"));
        let none = evaluate(&[], &settings(), 0, &mut |_| {}).unwrap_err();
        assert!(none.to_string().contains("no representation"));
        let without_k = EvaluateSettings { knn_k: 0, ..settings() };
        let (train, test) = (table(60, 1), table(20, 2));
        assert!(evaluate(&[h(&train, &test)], &without_k, 0, &mut |_| {}).unwrap_err().to_string().contains("knn_k"));
    }

    #[test]
    fn classes_are_matched_by_name_and_counted_by_class() {
        let train = table(60, 1);
        // The test data lists its classes the other way round, one more without a sample, and calls two samples wrongly.
        let mut test = FeatureTable { classes: vec!["b".into(), "a".into(), "none".into()], ..table(20, 2) };
        test.labels.iter_mut().for_each(|label| *label = 1 - *label);
        test.labels[0] = 0;
        test.labels[2] = 0;
        let found = scores(&train, &test);
        let Score { value, interval, std } = found.get(&H, PROBE).unwrap();
        assert_eq!((value, std), (0.9, None));
        let [low, high] = interval.unwrap();
        assert!(low > 0.6 && low < 0.9 && high > 0.9 && high <= 1.0, "{low} {high}");
        let of_h = &found.representations[&H];
        assert_eq!(of_h.confusion.as_ref().unwrap().linear_probe, [[8, 0], [2, 10]]);
        let of_b = &of_h.per_class.linear_probe[1];
        assert_eq!((of_b.class.as_str(), of_b.accuracy, of_b.samples), ("b", Some(10.0 / 12.0), 12));
        assert_eq!(of_h.per_class.knn[0].accuracy, Some(1.0));
        assert!(of_b.interval.unwrap()[0] < 10.0 / 12.0);
        let table = found.table(false);
        assert!(table.contains("hardest class (probe on h): b 0.833, 17 % taken for a"), "{table}");
        assert!(table.contains("5 per class"), "{table}");
    }

    #[test]
    fn scores_read_back_equal_and_further_keys_are_passed_over() {
        let (train, test) = (table(60, 1), table(21, 2));
        let h = h(&train, &test);
        let raw = Representation { name: RepresentationName::Raw, ..h.clone() };
        let mut found = evaluate(&[h.clone(), raw], &settings(), 0, &mut |_| {}).unwrap();
        let diagnosis = diagnose(&Observed::new(h.test.rows())).unwrap();
        found.diagnosis.insert(H, diagnosis);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.json");
        found.write(&path).unwrap();
        assert_eq!(Scores::read(&path).unwrap(), found);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = text.replacen("\"h\": {", "\"h\": {\"newer\": [1, {}],", 1).replace("  \"warnings\": [],\n", "");
        std::fs::write(&path, changed).unwrap();
        assert_eq!(Scores::read(&path).unwrap(), found);
    }

    #[test]
    fn fewer_samples_than_neighbors_are_said() {
        let scores = scores(&table(6, 1), &table(4, 2));
        assert!(scores.warnings.iter().any(|w| w == "k = 20 is more than the 6 training samples; k is 6"));
        assert!(scores.warnings.iter().any(|w| w.starts_with("5 labels per class were asked for")));
        assert_eq!(scores.get(&H, Metric::MeanAveragePrecision).unwrap().value, 1.0);
    }
}
