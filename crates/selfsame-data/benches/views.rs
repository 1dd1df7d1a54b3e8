//! Time of each augmentation and of whole views, at the sizes of small and of large images.

use criterion::{Criterion, criterion_group, criterion_main};
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Choice;
use selfsame_data::augment::{Augmentations, Draw, Normalization, Pipeline, View, ViewShape};
use selfsame_data::image::{Image, Pixels, Size, ValueRange};
use selfsame_data::modality::Modality;
use std::hint::black_box;

fn rng(key: u64) -> StreamRng {
    StreamRng::new(0, Purpose::View, 0, key, 0)
}

/// A smooth picture with some noise, 8 bits.
fn picture(height: usize, width: usize, channels: usize) -> Image {
    let mut rng = rng(0);
    let mut value = |i: usize| {
        let (y, x) = (i / channels / width, i / channels % width);
        let wave = (0.05 * y as f32 + 0.03 * x as f32 + (i % channels) as f32).sin();
        (127.0 + 100.0 * wave + 20.0 * rng.unit()) as u8
    };
    Image::new(height, width, channels, Pixels::U8((0..height * width * channels).map(&mut value).collect()))
}

fn augmentations(criterion: &mut Criterion) {
    for size in [32, 224] {
        let shape = ViewShape::image(size, 3);
        let sample = if size == 32 { picture(32, 32, 3) } else { picture(375, 500, 3) };
        let mut group = criterion.benchmark_group(format!("augmentation/{size}"));
        for entry in Augmentations::default().of(Modality::Image) {
            let keys: toml::Table = match entry.name {
                "normalize" => ["mean", "std"].map(|key| (key.to_string(), vec![0.5].into())).into_iter().collect(),
                _ => [("p".to_string(), 1.0.into())].into_iter().collect(),
            };
            let choice = Choice::new(entry.name, keys);
            let (_, augmentation) =
                Augmentations::default().build(&choice, "augmentation", shape).expect("defaults are valid");
            if augmentation.needs_others() {
                continue;
            }
            let mut view = View::default();
            view.fit(&sample, Size::square(size));
            let mut key = 0;
            group.bench_function(entry.name, |bencher| {
                bencher.iter(|| {
                    key += 1;
                    if augmentation.resizes() {
                        let draw = augmentation.draw(sample.size(), &mut rng(key));
                        augmentation.apply_to_sample(&sample, &mut view, &draw);
                    } else {
                        let draw = augmentation.draw(view.size(), &mut rng(key));
                        augmentation.apply(&mut view, &draw);
                    }
                });
            });
        }
    }
}

fn views(criterion: &mut Criterion) {
    let simclr = r#"augmentations = [
        { name = "random_resized_crop" }, { name = "horizontal_flip" }, { name = "color_jitter" },
        { name = "color_drop" }, { name = "gaussian_blur" },
    ]"#;
    let small = r#"augmentations = [
        { name = "random_resized_crop" }, { name = "horizontal_flip" }, { name = "color_jitter", strength = 0.5 },
        { name = "color_drop" },
    ]"#;
    let mut group = criterion.benchmark_group("view");
    for (name, recipe, size, sample) in [
        ("32", small, 32, picture(32, 32, 3)),
        ("224", simclr, 224, picture(375, 500, 3)),
        ("evaluation/32", "augmentations = []", 32, picture(32, 32, 3)),
        ("evaluation/224", "augmentations = []", 224, picture(375, 500, 3)),
    ] {
        let recipe: toml::Table = toml::from_str(recipe).expect("a recipe");
        let choices: Vec<Choice> = recipe["augmentations"].clone().try_into().expect("tables");
        let constants = Normalization::new(&[0.5; 3], &[0.25; 3], ValueRange::UNIT);
        let pipeline = Pipeline::new(&Augmentations::default(), &choices, "", ViewShape::image(size, 3), constants)
            .expect("a valid recipe");
        let (mut view, mut draws, mut out) = (View::default(), Vec::<Draw>::new(), vec![0.0; size * size * 3]);
        let mut key = 0;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                key += 1;
                pipeline.draw(sample.size(), &mut rng(key), &mut draws);
                pipeline.write(&sample, &draws, &mut view, black_box(&mut out));
            });
        });
    }
}

criterion_group!(benches, augmentations, views);
criterion_main!(benches);
