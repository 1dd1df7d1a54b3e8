use super::*;
use crate::features::Rows;
use crate::knn::accuracy;
use selfsame_base::rng::Purpose;

fn rng(stream: u64) -> StreamRng {
    StreamRng::new(5, Purpose::Evaluate, stream, 0, 0)
}

/// Classes as Gaussian blobs, `distance` apart, with correlated features.
fn blobs(count: usize, dim: usize, classes: usize, distance: f32, stream: u64) -> (Vec<f32>, Vec<u32>) {
    let mut centers = rng(1000);
    let centers: Vec<f32> = (0..classes * dim).map(|_| distance * centers.normal()).collect();
    let mut rng = rng(stream);
    let labels: Vec<u32> = (0..count).map(|i| (i % classes) as u32).collect();
    let values = (labels.iter())
        .flat_map(|&label| {
            let shared = rng.normal();
            let center = &centers[label as usize * dim..][..dim];
            center.iter().map(|c| 3.0 + c + shared + rng.normal()).collect::<Vec<_>>()
        })
        .collect();
    (values, labels)
}

fn all(labels: &[u32]) -> Vec<u32> {
    (0..labels.len() as u32).collect()
}

/// Newton's method in `f64` with the whole Hessian: the minimum to machine precision, `[(axes + 1), classes]`.
fn newton(problem: &Problem) -> Vec<f64> {
    let (axes, classes) = (problem.features.axes, problem.truth.outputs());
    let Truth::Classes(labels, _) = problem.truth else { panic!("classes") };
    let size = (axes + 1) * classes;
    let mut weights = vec![0.0f64; size];
    for _ in 0..50 {
        let (mut gradient, mut hessian) = (vec![0.0; size], vec![0.0; size * size]);
        for &row in problem.rows {
            let row = row as usize;
            let mut x: Vec<f64> = problem.features.values[row * axes..][..axes].iter().map(|&v| f64::from(v)).collect();
            x.push(1.0);
            let logits: Vec<f64> =
                (0..classes).map(|c| (0..=axes).map(|j| x[j] * weights[j * classes + c]).sum()).collect();
            let sum: f64 = logits.iter().map(|l: &f64| l.exp()).sum();
            let p: Vec<f64> = logits.iter().map(|l| l.exp() / sum).collect();
            for (i, a) in (0..=axes).flat_map(|i| (0..classes).map(move |a| (i, a))) {
                let y = f64::from(u8::from(labels[row] as usize == a));
                gradient[i * classes + a] += x[i] * (p[a] - y) / problem.rows.len() as f64;
                for (j, b) in (0..=axes).flat_map(|j| (0..classes).map(move |b| (j, b))) {
                    let same = f64::from(u8::from(a == b));
                    hessian[(i * classes + a) * size + j * classes + b] +=
                        x[i] * x[j] * p[a] * (same - p[b]) / problem.rows.len() as f64;
                }
            }
        }
        for i in 0..size {
            if i < axes * classes {
                gradient[i] += problem.strength * weights[i];
                hessian[i * size + i] += problem.strength;
            } else {
                // A common shift of the biases changes nothing; this picks the one that sums to 0.
                (axes * classes..size).for_each(|j| hessian[i * size + j] += 1.0);
            }
        }
        // Gaussian elimination; the Hessian is positive definite.
        for i in 0..size {
            for k in i + 1..size {
                let factor = hessian[k * size + i] / hessian[i * size + i];
                (i..size).for_each(|j| hessian[k * size + j] -= factor * hessian[i * size + j]);
                gradient[k] -= factor * gradient[i];
            }
        }
        for i in (0..size).rev() {
            let rest: f64 = (i + 1..size).map(|j| hessian[i * size + j] * gradient[j]).sum();
            gradient[i] = (gradient[i] - rest) / hessian[i * size + i];
            weights[i] -= gradient[i];
        }
    }
    weights
}

#[test]
fn the_minimum_is_newtons() {
    let (values, labels) = blobs(90, 4, 3, 0.7, 1);
    let features = ProbeFeatures::new(Rows::new(&values, 4)).unwrap();
    let rows = all(&labels);
    for strength in [1.0, 0.1, 1e-3] {
        let problem = features.problem(&rows, Truth::Classes(&labels, 3), strength);
        let mut weights = vec![0.0; 5 * 3];
        problem.minimize(&mut weights, TOLERANCE);
        let mut gradient = vec![0.0; weights.len()];
        problem.value(&weights, &mut gradient);
        assert!(gradient.iter().all(|g| g.abs() <= TOLERANCE), "{gradient:?}");
        let scale = weights.iter().fold(0.0f64, |m, w| m.max(w.abs()));
        for (found, exact) in weights.iter().zip(newton(&problem)) {
            assert!((found - exact).abs() < 1e-3 * scale, "λ = {strength}: {found} for {exact}");
        }
    }
}

#[test]
fn reduced_features_are_the_leading_axes_in_the_same_scale() {
    let (values, _) = blobs(400, 12, 3, 0.7, 1);
    let rows = Rows::new(&values, 12);
    let (whole, part) = (ProbeFeatures::new(rows).unwrap(), ProbeFeatures::reduced(rows, 4).unwrap());
    assert_eq!((part.train.axes, part.train.rows), (4, 400));
    for row in 0..400 {
        for axis in 0..4 {
            let [a, b] = [(&whole.train, 12), (&part.train, 4)].map(|(c, axes)| c.values[row * axes + axis].abs());
            assert!((a - b).abs() < 1e-3, "row {row}, axis {axis}: {a} and {b}");
        }
    }
}

#[test]
fn gradients_are_differences_of_values() {
    let (values, labels) = blobs(300, 6, 4, 0.5, 2);
    let features = ProbeFeatures::new(Rows::new(&values, 6)).unwrap();
    let rows: Vec<u32> = (0..300).filter(|row| row % 7 != 0).collect();
    let problem = features.problem(&rows, Truth::Classes(&labels, 4), 0.05);
    let mut random = rng(3);
    let weights: Vec<f64> = (0..28).map(|_| f64::from(random.normal())).collect();
    let (mut gradient, mut unused) = (vec![0.0; 28], vec![0.0; 28]);
    problem.value(&weights, &mut gradient);
    for i in 0..28 {
        let mut at = |change: f64| {
            let mut weights = weights.clone();
            weights[i] += change;
            problem.value(&weights, &mut unused)
        };
        let difference = (at(1e-3) - at(-1e-3)) / 2e-3;
        assert!((difference - gradient[i]).abs() < 2e-4, "{i}: {difference} {}", gradient[i]);
    }
}

#[test]
fn features_are_standardized_and_their_axes_are_a_rotation() {
    let (values, _) = blobs(200, 5, 2, 2.0, 4);
    // Scaling and shifting a feature must not matter; a constant one must not either.
    let changed: Vec<f32> =
        values.chunks(5).flat_map(|r| [100.0 * r[0] - 7.0, r[1], 0.01 * r[2], r[3], r[4] + 50.0, 3.3]).collect();
    let (plain, changed_rows) = (Rows::new(&values, 5), Rows::new(&changed, 6));
    let coordinates = [ProbeFeatures::new(plain).unwrap().train, ProbeFeatures::new(changed_rows).unwrap().train];
    assert_eq!([coordinates[0].axes, coordinates[1].axes], [5, 5]);
    for (a, b) in coordinates[0].values.iter().zip(&coordinates[1].values) {
        assert!((a - b).abs() < 1e-3, "{a} {b}");
    }
    let total: f64 = coordinates[0].values.iter().map(|&v| f64::from(v).powi(2)).sum();
    assert!((total / 1000.0 - 1.0).abs() < 1e-5, "five features of variance 1, rotated: {total}");
}

#[test]
fn separable_classes_are_told_apart_with_few_labels() {
    let (values, labels) = blobs(400, 8, 4, 8.0, 5);
    let (test, test_labels) = blobs(100, 8, 4, 8.0, 6);
    let features = ProbeFeatures::new(Rows::new(&values, 8)).unwrap();
    let test = features.coordinates(Rows::new(&test, 8)).unwrap();
    for per_class in [1, 2, 10, 100] {
        let rows: Vec<u32> = (0..4 * per_class).collect();
        let probe = features.fit(&rows, &labels, 4, rng(7));
        let found = accuracy(&probe.predict(&test), &test_labels);
        assert!(found >= 0.99, "{per_class} labels per class: {found}");
        assert!(per_class > 1 || probe.strength == DEFAULT_STRENGTH);
    }
}

#[test]
fn noise_is_regularized_and_signal_is_not() {
    let strength = |distance: f32| {
        let (values, labels) = blobs(300, 40, 3, distance, 8);
        ProbeFeatures::new(Rows::new(&values, 40)).unwrap().fit(&all(&labels), &labels, 3, rng(9)).strength
    };
    assert!(strength(0.0) >= 0.3 && strength(3.0) <= 0.03, "{} {}", strength(0.0), strength(3.0));
}

#[test]
fn constant_features_and_single_classes_are_no_trouble() {
    let labels = [0, 1, 1, 0, 1];
    let features = ProbeFeatures::new(Rows::new(&[4.0; 10], 2)).unwrap();
    let probe = features.fit(&all(&labels), &labels, 2, rng(10));
    assert_eq!(probe.predict(&features.coordinates(Rows::new(&[4.0; 6], 2)).unwrap()), [1, 1, 1]);
    let (values, _) = blobs(10, 3, 1, 0.0, 11);
    let features = ProbeFeatures::new(Rows::new(&values, 3)).unwrap();
    assert_eq!(features.fit(&all(&[0; 10]), &[0; 10], 1, rng(12)).predict(&features.train), [0; 10]);
}

#[test]
fn held_out_parts_are_stratified_and_leave_single_labels_alone() {
    let labels: Vec<u32> = (0..103).map(|i| if i == 50 { 4 } else { i % 4 }).collect();
    let folds = held_out(&all(&labels), Truth::Classes(&labels, 5), None, HELD_OUT, &mut rng(13));
    assert_eq!(folds.len(), 5, "few labels are all held out in turn");
    let mut seen: Vec<u32> = folds.concat();
    seen.sort_unstable();
    assert_eq!(seen, all(&labels).into_iter().filter(|&row| row != 50).collect::<Vec<_>>());
    for fold in &folds {
        for class in 0..4 {
            let count = fold.iter().filter(|&&row| labels[row as usize] == class).count();
            assert!((5..=6).contains(&count), "{count} of class {class}");
        }
    }
    let labels = vec![0; 5000];
    assert_eq!(
        held_out(&all(&labels), Truth::Classes(&labels, 1), None, HELD_OUT, &mut rng(14)).len(),
        1,
        "one fifth of many labels suffices"
    );
    assert!(held_out(&[0, 1], Truth::Classes(&[0, 1], 2), None, HELD_OUT, &mut rng(15)).is_empty());
}

#[test]
fn threads_leave_every_bit() {
    let (values, labels) = blobs(3000, 20, 5, 0.4, 16);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| ProbeFeatures::new(Rows::new(&values, 20)).unwrap().fit(&all(&labels), &labels, 5, rng(17)))
    };
    assert_eq!(run(1), run(2));
    assert_eq!(run(1), run(3));
}

#[test]
fn the_affine_map_gives_the_classes_that_the_probe_gives() {
    let (values, labels) = blobs(120, 7, 3, 1.0, 21);
    let rows = Rows::new(&values, 7);
    let features = ProbeFeatures::new(rows).unwrap();
    let probe = features.fit(&all(&labels), &labels, 3, rng(22));
    let (weights, biases) = features.affine(&probe);
    let classes = rows.values.chunks_exact(7).map(|row| {
        let logit = |class: usize| {
            let product: f32 = row.iter().zip(weights[class..].iter().step_by(3)).map(|(v, w)| v * w).sum();
            product + biases[class]
        };
        argmax(&[logit(0), logit(1), logit(2)])
    });
    assert_eq!(classes.collect::<Vec<_>>(), probe.predict(&features.coordinates(rows).unwrap()));
}

#[test]
fn values_that_are_no_numbers_are_an_error() {
    for none in [f32::NAN, f32::INFINITY] {
        let (good, bad) = ([1.0, 2.0, 3.0, 5.0], [1.0, 2.0, none, 5.0]);
        let (good, bad) = (Rows::new(&good, 2), Rows::new(&bad, 2));
        assert!(ProbeFeatures::new(bad).err().unwrap().to_string().contains("row 1 of the training features"));
        assert!(ProbeFeatures::reduced(bad, 1).is_err());
        let features = ProbeFeatures::new(good).unwrap();
        assert!(features.coordinates(bad).err().unwrap().to_string().contains("not finite"));
    }
}

#[test]
fn the_probe_of_numbers_is_ridge_regression() {
    let (values, _) = blobs(120, 4, 3, 0.7, 30);
    let features = ProbeFeatures::new(Rows::new(&values, 4)).unwrap();
    let mut noise = rng(31);
    let numbers: Vec<f32> = values.chunks(4).map(|x| 2.0 * x[0] - x[3] + 0.5 * noise.normal()).collect();
    let rows: Vec<u32> = (0..120).filter(|row| row % 3 != 0).collect();
    let probe = features.fit_to(&rows, Truth::Numbers(&numbers), None, rng(32));
    assert!(STRENGTHS_OF_NUMBERS[1..12].contains(&probe.strength), "{}", probe.strength);
    // At the minimum of a quadratic function its slope is 0: (1/n) Σ (w·x + b − y) x + λ w.
    let mut gradient = vec![0.0; 5];
    features.problem(&rows, Truth::Numbers(&numbers), probe.strength).value(&probe.weights, &mut gradient);
    assert!(gradient.iter().all(|g| g.abs() <= TOLERANCE), "{gradient:?}");
    let predicted = probe.outputs(&features.train);
    let slope = |axis: usize| -> f64 {
        let of_row = |&row: &u32| {
            let x = if axis < 4 { features.train.values[row as usize * 4 + axis] } else { 1.0 };
            f64::from(predicted[row as usize] - numbers[row as usize]) * f64::from(x)
        };
        let penalty = if axis < 4 { probe.strength * probe.weights[axis] } else { 0.0 };
        rows.iter().map(of_row).sum::<f64>() / rows.len() as f64 + penalty
    };
    assert!((0..5).all(|axis| slope(axis).abs() < 1e-4), "{:?}", [0, 1, 2, 3, 4].map(slope));
    let held_out: Vec<usize> = (0..120).step_by(3).collect();
    let error: f32 = held_out.iter().map(|&row| (predicted[row] - numbers[row]).powi(2)).sum::<f32>() / 40.0;
    assert!(error < 0.45, "the noise has variance 0.25: {error}");
}

#[test]
fn whole_groups_are_held_out() {
    let labels: Vec<u32> = (0..200).map(|row| row % 2).collect();
    let groups: Vec<u32> = (0..200).map(|row| row / 8).collect();
    let rows: Vec<u32> = (0..200).filter(|row| row % 3 > 0).collect();
    for truth in [Truth::Classes(&labels, 2), Truth::Numbers(&[1.0; 200])] {
        let folds = held_out(&rows, truth, Some(&groups), HELD_OUT, &mut rng(40));
        assert_eq!((folds.len(), folds.iter().map(Vec::len).sum::<usize>()), (5, rows.len()));
        for fold in &folds {
            let inside = |row: &u32| fold.contains(row);
            assert!(
                fold.is_sorted()
                    && rows.iter().all(|row| {
                        let of_group = |other: &&u32| groups[**other as usize] == groups[*row as usize];
                        rows.iter().filter(of_group).all(|other| inside(other) == inside(row))
                    })
            );
        }
        assert!(
            held_out(&rows, truth, Some(&[0; 200]), HELD_OUT, &mut rng(41)).is_empty(),
            "one group cannot be split"
        );
    }
}
