use super::*;
use crate::features::FeatureTable;
use crate::testing::{normals, rng};
use selfsame_config::Settings;

const DIM: usize = 6;
const TRAIN: usize = 400;
const TEST: usize = 200;

fn table(values: &[f32]) -> FeatureTable {
    let ids = (0..values.len() / DIM).map(|row| row.to_string()).collect();
    FeatureTable { values: values.to_vec(), dim: DIM, ids, ..FeatureTable::default() }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

/// Scores of features that tell (`h`) beside others that do not (`raw`).
fn judged(
    task: Task,
    names: &[String],
    told: &dyn Fn(&[f32], f32) -> Vec<f32>,
    groups: Option<SampleGroups>,
) -> Scores {
    let (all, others) = (normals(TRAIN + TEST, DIM, 1), normals(TRAIN + TEST, DIM, 2));
    let mut noise = rng(3);
    let targets: Vec<f32> = all.chunks_exact(DIM).flat_map(|x| told(x, noise.normal())).collect();
    let [h, raw] = [&all, &others].map(|values| {
        let (train, test) = values.split_at(TRAIN * DIM);
        [table(train), table(test)]
    });
    let (train, test) = targets.split_at(TRAIN * names.len());
    let representation =
        |name, tables: &'static [FeatureTable; 2]| Representation { name, train: &tables[0], test: &tables[1] };
    let [h, raw] = [h, raw].map(|tables| &*Box::leak(Box::new(tables)));
    let all = [representation(RepresentationName::H, h), representation(RepresentationName::Raw, raw)];
    let settings = EvaluateSettings::read(&EvaluateSettings::preset()).unwrap();
    let mut told = 0;
    let targets = SampleTargets { task, names, train, test };
    let scores = evaluate_targets(&all, targets, groups, &settings, 0, &mut |_| told += 1).unwrap();
    // One share of the labels holds enough of them.
    assert_eq!(told, target_steps(2) - 2);
    scores
}

fn metric(measure: Measure, labels: LabelBudget) -> Metric {
    Metric::Targets { measure, by: Predictor::LinearProbe(labels) }
}

#[test]
fn labels_are_ranked_by_what_tells_them_and_not_by_what_does_not() {
    // One label that is linear in the features, one that is half noise, one that no sample has.
    let told = |x: &[f32], noise: f32| {
        [x[0] + x[1] > 0.3, x[2] + noise > 1.0, false].map(|has| f32::from(u8::from(has))).to_vec()
    };
    let found = judged(Task::MultiLabel, &names(&["clear", "noisy", "never"]), &told, None);
    let h = |measure| found.get(&RepresentationName::H, metric(measure, LabelBudget::All)).unwrap();
    let of_targets = &found.representations[&RepresentationName::H].targets.as_ref().unwrap().per_target;
    let one = |target: &str, measure| {
        let is = |score: &&OneTargetScore| score.target == target && score.measure == measure;
        of_targets.iter().find(is).unwrap().score
    };
    assert!(one("clear", Measure::Auroc).unwrap().value > 0.995 && one("clear", Measure::F1).unwrap().value > 0.9);
    // A sum of two normals of which one is seen: the ranking by x₂ has an AUROC of about 0.8.
    let noisy = one("noisy", Measure::Auroc).unwrap().value;
    assert!((0.7..0.92).contains(&noisy), "{noisy}");
    assert_eq!(one("never", Measure::Auroc), None);
    let mean = (one("clear", Measure::Auroc).unwrap().value + noisy) / 2.0;
    assert!((h(Measure::Auroc).value - mean).abs() < 1e-12 && h(Measure::Auroc).leads);
    assert!(found.warnings.iter().any(|line| line.ends_with("left out of the means: never")), "{:?}", found.warnings);
    let raw = found.get(&RepresentationName::Raw, metric(Measure::Auroc, LabelBudget::All)).unwrap();
    let [low, high] = raw.interval.unwrap();
    assert!(low < 0.5 && high > 0.5, "{raw:?}");
    assert_eq!(found.chance(metric(Measure::Auroc, LabelBudget::All)), Some(0.5));
    let few = metric(Measure::Auroc, LabelBudget::Share(0.1));
    let few = found.get(&RepresentationName::H, few).unwrap();
    assert!(few.std.is_some() && few.value < h(Measure::Auroc).value + 0.01, "{few:?}");
    assert!(found.conclusion[0].starts_with("h is better than the raw input by "), "{:?}", found.conclusion);
    assert!(
        found.conclusion[1].starts_with("Linear probe, AUROC: With 10 % of the labels h is "),
        "{:?}",
        found.conclusion
    );
    let text = found.table(false);
    assert!(
        text.contains("kNN AUROC") && text.contains("AUROC, 10 %") && text.contains("AUROC: probability"),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.json");
    found.write(&path).unwrap();
    assert_eq!(Scores::read(&path).unwrap(), found);
}

#[test]
fn numbers_are_predicted_as_far_as_they_can_be() {
    // Half of the variance of the first is noise; its scale and place are of no matter.
    let told = |x: &[f32], noise: f32| vec![100.0 * (x[0] + noise) - 7.0];
    let found = judged(Task::Numbers, &names(&["size"]), &told, None);
    let get = |name, measure| found.get(&name, metric(measure, LabelBudget::All)).unwrap();
    let r2 = get(RepresentationName::H, Measure::R2);
    // √(4/200) is the standard error of a variance by its expectation; two of them.
    assert!((r2.value - 0.5).abs() < 0.15 && r2.leads, "{r2:?}");
    // The mean of |noise| is √(2/π) of its deviation, and of what is not predicted at all √2 of that.
    let error = get(RepresentationName::H, Measure::AbsoluteError);
    assert!((error.value / (100.0 * 0.798) - 1.0).abs() < 0.15 && error.leads, "{error:?}");
    let nothing = get(RepresentationName::Raw, Measure::R2);
    assert!(nothing.value < 0.02 && !nothing.leads, "{nothing:?}");
    let chance = found.chance(metric(Measure::AbsoluteError, LabelBudget::All)).unwrap();
    assert!((chance / (100.0 * 0.798 * 2f64.sqrt()) - 1.0).abs() < 0.15, "{chance}");
    let said = found.conclusion.iter().any(|line| line.contains("mean absolute error") && line.contains(" less (−"));
    assert!(said && found.conclusion[0] == "h is better than the raw input by every score.", "{:?}", found.conclusion);
    // Errors of several numbers are told one by one.
    let two = judged(Task::Numbers, &names(&["size", "age"]), &|x, noise| vec![x[0] + noise, 1e3 * x[1]], None);
    assert_eq!(two.get(&RepresentationName::H, metric(Measure::AbsoluteError, LabelBudget::All)), None);
    let of_targets = &two.representations[&RepresentationName::H].targets.as_ref().unwrap().per_target;
    assert_eq!(of_targets.iter().filter(|one| one.measure == Measure::AbsoluteError).count(), 2);
    assert!(of_targets.iter().any(|one| one.target == "age" && one.score.unwrap().value > 0.999), "{of_targets:?}");
}

#[test]
fn intervals_are_of_groups_where_samples_come_in_groups() {
    let told = |x: &[f32], noise: f32| vec![x[0] + noise];
    let [train, test] = [TRAIN, TEST].map(|count| (0..count as u32).map(|row| row / 20).collect::<Vec<_>>());
    let groups = SampleGroups { train: &train, test: &test };
    let [single, grouped] = [None, Some(groups)].map(|groups| judged(Task::Numbers, &names(&["size"]), &told, groups));
    assert_eq!((single.protocol.test_groups, grouped.protocol.test_groups), (None, Some(10)));
    let interval = |found: &Scores| {
        let by = Predictor::Knn(20);
        found.get(&RepresentationName::H, Metric::Targets { measure: Measure::R2, by }).unwrap().interval
    };
    assert_ne!(interval(&single), interval(&grouped));
    assert!(grouped.protocol.linear_probe.l2.ends_with("whole groups"));
}

#[test]
fn what_never_varies_cannot_be_scored() {
    let names = names(&["red", "round"]);
    assert_eq!(unvaried(&names, &[0.0, 1.0, 1.0, 1.0]).unwrap(), ["round"]);
    let error = unvaried(&names, &[0.0, 1.0, 0.0, 1.0]).unwrap_err().to_string();
    assert_eq!(error, "red, round: the same for all test samples, so nothing can be scored");
}
