use super::*;
use crate::augment::{Augmentations, Normalization, Others, Pipeline, ViewShape};
use crate::image::{Image, Pixels};
use crate::loader::{Batching, SampleSource, TrainLoader, ViewPlan};
use crate::modality::Columns;
use crate::settings::{DataSettings, ViewSettings};
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Choice;
use std::sync::Arc;

const FEATURES: usize = 10;

/// Rows whose feature `f` is `100 · f + row`.
struct Rows(usize);

impl Rows {
    fn row(row: usize) -> Image {
        Image::new(1, 1, FEATURES, Pixels::F32((0..FEATURES).map(|f| (100 * f + row) as f32).collect()))
    }
}

impl SampleSource for Rows {
    fn len(&self) -> usize {
        self.0
    }
    fn with_sample(&self, index: usize, work: &mut dyn FnMut(&Image)) -> Result<(), DataError> {
        work(&Self::row(index));
        Ok(())
    }
    fn key(&self, index: usize) -> u64 {
        index as u64
    }
}

/// Views of row 3 of 50, as many as asked for.
fn views(text: &str, count: usize) -> Vec<Vec<f32>> {
    views_of(Columns::of(&[], FEATURES), text, count)
}

fn views_of(columns: Columns, text: &str, count: usize) -> Vec<Vec<f32>> {
    let mut keys: toml::Table = text.parse().unwrap();
    let name = keys.remove("name").unwrap();
    let choice = Choice::new(name.as_str().unwrap(), keys);
    let normalization = Normalization::first(&[0.0; FEATURES], &[1.0; FEATURES]);
    let others = (0..50).flat_map(|row| match Rows::row(row).pixels {
        Pixels::F32(values) => values,
        _ => unreachable!(),
    });
    let pipeline = Pipeline::new(&Augmentations::default(), &[choice], "", ViewShape::vector(FEATURES), normalization)
        .unwrap()
        .of_columns(columns)
        .beside(Arc::new(Others::new(others.collect(), FEATURES)));
    let (mut draws, mut view) = (Vec::new(), View::default());
    (0..count as u32)
        .map(|index| {
            let mut rng = StreamRng::new(1, Purpose::View, 0, 0, index);
            pipeline.draw(Size { height: 1, width: 1 }, &mut rng, &mut draws);
            let mut made = [vec![0.0; FEATURES], vec![0.0; FEATURES]];
            made.iter_mut().for_each(|out| pipeline.write(&Rows::row(3), &draws, &mut view, out));
            assert_eq!(made[0], made[1], "a draw says all");
            std::mem::take(&mut made[0])
        })
        .collect()
}

/// The row of each feature: it must be one of its own column.
fn rows(view: &[f32]) -> Vec<usize> {
    let row = |(feature, value): (usize, &f32)| {
        let row = value - 100.0 * feature as f32;
        assert!((0.0..50.0).contains(&row) && row.fract() == 0.0, "{value} of feature {feature}");
        row as usize
    };
    view.iter().enumerate().map(row).collect()
}

/// Four standard errors wide throughout.
#[test]
fn corrupted_features_are_a_fixed_share_and_have_their_column_s_marginal() {
    let views = views("name = \"feature_corruption\"\nrate = 0.6", 2000);
    let mut seen = [0usize; 50];
    let mut replaced = [0usize; FEATURES];
    for view in &views {
        for (feature, row) in rows(view).into_iter().enumerate() {
            seen[row] += 1;
            replaced[feature] += usize::from(row != 3);
        }
    }
    // Of 6 draws of 50 rows, one in 50 is row 3 again.
    for (row, &count) in seen.iter().enumerate().filter(|(row, _)| *row != 3) {
        let expected = 12_000.0 / 50.0;
        assert!((count as f64 - expected).abs() < 4.0 * expected.sqrt(), "row {row}: {count}");
    }
    for (feature, &count) in replaced.iter().enumerate() {
        let p: f64 = 0.6 * 49.0 / 50.0;
        assert!((count as f64 - 2000.0 * p).abs() < 4.0 * (2000.0 * p * (1.0 - p)).sqrt(), "{feature}: {count}");
    }
    let most = views.iter().map(|view| rows(view).iter().filter(|row| **row != 3).count()).max();
    assert_eq!(most, Some(6));
}

#[test]
fn dropped_features_are_at_the_mean_and_mixed_ones_between_two_rows() {
    for view in views("name = \"feature_dropout\"\nrate = 0.3", 50) {
        // Feature 0 of row 3 is 3: no feature is 0 by itself.
        assert_eq!(view.iter().filter(|value| **value == 0.0).count(), 3);
    }
    for view in views("name = \"mixup\"\nweight = [0.5, 0.5]\np = 1.0", 50) {
        let other: Vec<f32> = view.iter().enumerate().map(|(f, v)| 2.0 * v - 3.0 - 200.0 * f as f32).collect();
        assert!(other.iter().all(|row| *row == other[0]) && (0.0..50.0).contains(&other[0]), "{other:?}");
    }
    assert!(views("name = \"gaussian_noise\"\nsigma = [1.0, 1.0]\np = 1.0", 1)[0][9] > 890.0, "not clipped");
}

#[test]
fn batches_with_borrowed_values_are_the_same_for_any_threads_and_any_start() {
    let text = format!(
        "path = \"rows\"\nsize = 1\nmodality = \"vector\"\nchannels = {FEATURES}\nmean = {mean:?}\nstd = {std:?}\nrange = [0.0, 1.0]\n\
         on_color = \"convert\"\nkind = \"table\"\nlabels = \"none\"\nfingerprint = \"none\"",
        mean = vec![5.0; FEATURES],
        std = vec![2.0; FEATURES],
    );
    let mut table = <DataSettings as Settings>::preset();
    table.extend(text.parse::<toml::Table>().unwrap());
    let data = DataSettings::read(&table).unwrap();
    let views =
        "[[views]]\ncount = 2\nsize = 1\naugmentations = [{ name = \"feature_corruption\" }, { name = \"mixup\" }]";
    let views: Vec<ViewSettings> = views.parse::<toml::Table>().unwrap()["views"].clone().try_into().unwrap();
    let batches = |threads, start: usize| -> Vec<_> {
        let plan =
            ViewPlan::new(&data, &views, &Augmentations::default(), Batching { batch_size: 5, seed: 7, threads })
                .unwrap();
        let mut loader = TrainLoader::new(Arc::new(Rows(23)), plan, start as u64).unwrap();
        (start..9).map(|_| loader.next_batch().unwrap()).collect()
    };
    let whole = batches(1, 0);
    assert_eq!(whole, batches(3, 0));
    assert_eq!(whole[5..], batches(2, 5));
}

/// Of four columns, a category of six values, a number that can miss and two numbers, half are changed, each as a whole.
#[test]
fn the_channels_of_a_column_are_changed_together() {
    let listed = ["c\ta\tb\td\te\tf\t", "x\t", "y", "z"].map(str::to_owned);
    let columns = Columns::of(&listed, FEATURES);
    let clean: Vec<f32> = (0..FEATURES).map(|f| (100 * f + 3) as f32).collect();
    for name in ["feature_corruption", "feature_dropout"] {
        let mut changed = [0; 4];
        for view in views_of(columns.clone(), &format!("name = \"{name}\"\nrate = 0.5"), 400) {
            let mut count = 0;
            for (place, changed) in columns.iter().zip(&mut changed) {
                let (now, before) = (&view[place.channels.clone()], &clean[place.channels.clone()]);
                if now != before {
                    let rows: Vec<f32> = now.iter().zip(before).map(|(now, before)| now - before).collect();
                    assert!(
                        name == "feature_dropout" || rows.iter().all(|row| *row == rows[0]),
                        "of one row: {rows:?}"
                    );
                    assert!(name == "feature_corruption" || now.iter().all(|v| *v == 0.0));
                    (*changed, count) = (*changed + 1, count + 1);
                }
            }
            assert!(count == 2 || name == "feature_corruption" && count < 2, "a row may be replaced by itself");
        }
        assert!(changed.iter().all(|count| (140..=260).contains(count)), "{changed:?}");
    }
}
