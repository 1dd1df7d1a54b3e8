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
        table.values.extend([4.0 * label as f32 + 0.1 * rng.normal(), 4.0 * (1 - label) as f32 + 0.1 * rng.normal()]);
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
    evaluate(&[h(train, test)], None, &settings(), 0, &mut |_| {}).unwrap()
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
    assert_eq!(found.representations[&H].linear_probe.as_ref().unwrap().few_labels[0].draws, [1.0; 3]);
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
    evaluate(&[h.clone(), Representation { name: RepresentationName::Raw, ..h }], None, &settings(), 0, &mut |_| {
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
        evaluate(&[h(&train, &test)], None, &settings(), 0, &mut |_| {}).unwrap_err().to_string()
    };
    assert!(problem(|train, _| train.labels.clear()).contains("no labels"));
    let missing = |class: &str| format!("class \"{class}\", of which the train data has no");
    assert!(problem(|_, test| test.classes[1] = "c".into()).contains(&missing("c")));
    assert!(problem(|train, _| train.labels.fill(0)).contains(&missing("b")));
    assert!(problem(|_, test| test.values[3] = f32::NAN).contains("h (test data) of sample 1 is not finite"));
    assert!(problem(|train, _| train.values[3] = f32::INFINITY).contains("not finite"));
    let none = evaluate(&[], None, &settings(), 0, &mut |_| {}).unwrap_err();
    assert!(none.to_string().contains("no representation"));
    let without_k = EvaluateSettings { knn_k: 0, ..settings() };
    let (train, test) = (table(60, 1), table(20, 2));
    assert!(evaluate(&[h(&train, &test)], None, &without_k, 0, &mut |_| {}).unwrap_err().to_string().contains("knn_k"));
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
    let Score { value, interval, std, leads } = found.get(&H, PROBE).unwrap();
    assert_eq!((value, std, leads), (0.9, None, false));
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
    let mut found = evaluate(&[h.clone(), raw], None, &settings(), 0, &mut |_| {}).unwrap();
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

#[test]
fn what_follows_is_said_in_words_and_kept() {
    let (train, test) = (table(60, 1), table(200, 2));
    // As good; and one that knows nothing.
    let noise = |count: usize, seed| {
        let mut rng = StreamRng::new(seed, Purpose::Survey, 1, 0, 0);
        FeatureTable { values: (0..2 * count).map(|_| rng.normal()).collect(), ..table(count, 1) }
    };
    let (noise_train, noise_test) = (noise(60, 3), noise(200, 4));
    let raw = Representation { name: RepresentationName::Raw, ..h(&train, &test) };
    let untrained = Representation { name: RepresentationName::Untrained, train: &noise_train, test: &noise_test };
    let found = evaluate(&[h(&train, &test), raw, untrained], None, &settings(), 0, &mut |_| {}).unwrap();
    let same = "h is not better than the raw input by any score; better than the untrained encoder by ";
    assert!(found.conclusion[0].starts_with(same), "{:?}", found.conclusion);
    assert!(found.conclusion[1].starts_with(
        "Linear probe: With 1 label per class there is no difference between h and the raw input (0.0 to 0.0), nor"
    ));
    assert!(found.conclusion.iter().any(|line| line.contains("points above the untrained encoder (")));
    let (of_h, of_untrained) =
        (found.get(&H, PROBE).unwrap(), found.get(&RepresentationName::Untrained, PROBE).unwrap());
    // The best is as good as another, and so is none.
    assert!(!of_h.leads && !of_untrained.leads);
    let compared =
        found.comparisons.iter().find(|c| c.with == RepresentationName::Untrained && c.metric == PROBE).unwrap();
    assert!((compared.difference.value - (of_h.value - of_untrained.value)).abs() < 1e-12);
    let recall = found.chance(Metric::RecallAt(1)).unwrap();
    assert!(found.chance(PROBE) == Some(0.5) && (recall - 99.0 / 199.0).abs() < 1e-12, "{recall}");
    let text = found.table(true);
    assert!(text.starts_with(same) && text.contains("\nchance ") && text.contains("usually"), "{text}");
    // An encoder that knows nothing is at chance.
    let nothing = evaluate(&[h(&noise_train, &noise_test)], None, &settings(), 0, &mut |_| {}).unwrap();
    assert!(
        nothing.conclusion[0].starts_with("The linear probe on h with all labels cannot be told from chance: "),
        "{:?}",
        nothing.conclusion
    );
}

#[test]
fn uneven_classes_have_a_balanced_accuracy() {
    // The features know nothing, and nine tenths of the samples are of one class.
    let uneven = |count: usize, seed| {
        let mut table = table(count, seed);
        let mut rng = StreamRng::new(seed, Purpose::Survey, 1, 0, 0);
        table.values.iter_mut().for_each(|value| *value = rng.normal());
        table.labels.iter_mut().enumerate().for_each(|(row, label)| *label = u32::from(row % 10 == 0));
        table
    };
    let found = scores(&uneven(300, 1), &uneven(100, 2));
    let [plain, balanced] = [PROBE, Metric::BalancedProbe].map(|metric| found.get(&H, metric).unwrap().value);
    assert!(plain > 0.85 && (0.4..0.6).contains(&balanced), "{plain} {balanced}");
    assert_eq!((found.chance(PROBE), found.chance(Metric::BalancedProbe)), (Some(0.9), Some(0.5)));
    assert!(
        found.conclusion[0].contains("cannot be told from chance by its balanced accuracy: "),
        "{:?}",
        found.conclusion
    );
    let text = found.table(false);
    assert!(text.contains("balanced") && text.contains("balanced: mean of the accuracies"), "{text}");
    assert_eq!(scores(&table(60, 1), &table(20, 2)).get(&H, Metric::BalancedProbe), None);
}

#[test]
fn frames_of_a_film_are_resampled_together() {
    let (train, mut test) = (table(60, 1), table(200, 2));
    // Of ten films of twenty frames, two are labeled wrongly.
    test.labels.iter_mut().enumerate().filter(|(row, _)| row / 20 < 2).for_each(|(_, label)| *label = 1 - *label);
    let films: Vec<u32> = (0..200).map(|frame| frame / 20).collect();
    let groups = SampleGroups { train: &(0..60).collect::<Vec<_>>(), test: &films };
    let width = |found: &Scores| found.get(&H, PROBE).unwrap().interval.map(|[low, high]| high - low).unwrap();
    let single = scores(&train, &test);
    let grouped = evaluate(&[h(&train, &test)], Some(groups), &settings(), 0, &mut |_| {}).unwrap();
    assert_eq!(single.get(&H, PROBE).unwrap().value, grouped.get(&H, PROBE).unwrap().value);
    // √20 times as wide, but for the coarseness of ten films.
    let ratio = width(&grouped) / width(&single);
    assert!((3.0..6.0).contains(&ratio), "{ratio}");
    assert_eq!((grouped.protocol.test_groups, single.protocol.test_groups), (Some(10), None));
}
