//! What somebody from outside adds works as what is inside does.

use burn::tensor::{Device, Tensor, TensorData};
use selfsame::branch::Branch;
use selfsame::catalogue::Planned;
use selfsame::embed::{self, Tables, Wanted};
use selfsame::encoder_folder::EncoderFolder;
use selfsame::events::{Event, Observer, Silent};
use selfsame::objective::LossTerms;
use selfsame::tensor::parameters;
use selfsame::trainer::Outcome;
use selfsame::weights::WeightsOf;
use selfsame::{Embedder, Pretrain};
use selfsame_config::{Recipe, Settings};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use stranger::alignment_uniformity::{AlignmentUniformitySettings, alignment_uniformity};
use stranger::bag_of_patches::BagOfPatches;
use stranger::catalogue;
use stranger::rings::Rings;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

/// The recipe, made short: 20 steps on the bundled images.
fn plan(folder: &Path, run: &str, more: &[&str]) -> Result<Planned, selfsame::Error> {
    let recipe = Recipe::read(&Path::new(FOLDER).join("recipes/alignment_uniformity.toml"))?;
    let out = format!("out={}", folder.join(run).display());
    let short = [&out, "projector.hidden=16", "epochs=1", "batch_size=500"];
    let mut arguments: Vec<String> = short.iter().chain(more).map(|&word| word.to_owned()).collect();
    if !more.iter().any(|word| word.starts_with("backbone=")) {
        arguments.push("backbone.width=16".into());
    }
    catalogue().plan(Some(&recipe), &arguments)
}

/// Trains until `stop_at` steps are done, or to the end.
fn train(planned: &Planned, stop_at: u64) -> Outcome {
    struct StopAt<'a>(u64, &'a AtomicBool);
    impl Observer for StopAt<'_> {
        fn event(&mut self, event: &Event) {
            if matches!(event, Event::Step(record) if record.step >= self.0) {
                self.1.store(true, Ordering::Relaxed);
            }
        }
    }
    let (stop, catalogue) = (AtomicBool::new(false), catalogue());
    let method = catalogue.method(&planned.plan).unwrap();
    (method.pretrain)(&planned.plan, planned.dataset.clone(), &mut StopAt(stop_at, &stop), &stop).unwrap()
}

#[test]
fn a_run_with_both_resumes_bit_by_bit_and_its_encoder_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let whole = plan(folder.path(), "whole", &["threads=1"]).unwrap();
    assert_eq!(train(&whole, u64::MAX), Outcome::Finished { run: whole.plan.out.clone() });

    let parts = plan(folder.path(), "parts", &["threads=2"]).unwrap();
    for stop_at in [3, 11] {
        let run = parts.plan.out.clone();
        assert_eq!(train(&parts, stop_at), Outcome::Interrupted { run, step: stop_at, steps: 20 });
    }
    assert_eq!(train(&parts, u64::MAX), Outcome::Finished { run: parts.plan.out.clone() });
    let encoder = |planned: &Planned| fs::read(planned.plan.out.join("encoder.safetensors")).unwrap();
    assert!(encoder(&whole) == encoder(&parts));

    // The run is found again, with the values that it had.
    let loaded = catalogue().load(&parts.plan.out, &[]).unwrap();
    assert!(loaded == parts.plan && loaded.method.name == "alignment_uniformity");

    // The encoder folder is enough to use the encoder.
    let (catalogue, device) = (catalogue(), Device::flex());
    let encoder_folder = EncoderFolder::open(&parts.plan.out).unwrap();
    let unknown = encoder_folder.load(&device).unwrap_err().to_string();
    assert!(unknown.contains("there is no backbone `bag_of_patches`"), "{unknown}");
    let encoder = encoder_folder.load_with(catalogue.backbones(), &device).unwrap();
    assert!(encoder.downcast_ref::<BagOfPatches>().is_some());
    assert_eq!((encoder.width(), encoder.stages()), (16, 2));
    let names = ["hidden.weight", "norm.bias", "norm.running_mean", "norm.running_var", "norm.weight"];
    let names = names.into_iter().chain(["patches.bias", "patches.weight"]);
    assert!(parameters::arrays(&encoder).keys().eq(names));

    let method = catalogue.method(&loaded).unwrap();
    let branch = (method.branch)(&loaded, WeightsOf::Trained, &mut |problem| panic!("{problem}")).unwrap();
    let h = |branch: &Branch| {
        let samples = Some((0..50).collect());
        Tables::embed(branch, &parts.dataset, &loaded, samples, Wanted::default(), &mut |_| {}).unwrap().h
    };
    assert_eq!(h(&branch), h(&Branch::without_projector(encoder)));
}

#[test]
fn either_works_with_what_is_inside() {
    let folder = tempfile::tempdir().unwrap();
    let own_method = plan(folder.path(), "resnet", &["backbone=resnet_micro", "backbone.widths=[4]"]).unwrap();
    train(&own_method, 2);
    let own_backbone = plan(folder.path(), "byol", &["method=byol"]).unwrap();
    train(&own_backbone, 2);

    // A method that loads another run's encoder knows the backbones of the catalogue that made the plan.
    let source = plan(folder.path(), "source", &[]).unwrap();
    train(&source, u64::MAX);
    let from = format!("method.source={}", source.plan.out.display());
    let clusters = plan(folder.path(), "clusters", &["method=clusterfit", &from, "method.clusters=5"]).unwrap();
    assert_eq!(train(&clusters, u64::MAX), Outcome::Finished { run: clusters.plan.out.clone() });
}

#[test]
fn an_augmentation_and_a_source_are_trained_with_and_embedded() {
    let folder = tempfile::tempdir().unwrap();
    let pretrain = |run: &str, augmentation: &str| {
        let text = format!("views = [{{ count = 2, augmentations = [{augmentation}] }}]");
        Pretrain::by_recipe(Recipe { name: "rings.toml".into(), text })
            .with_catalogue(catalogue())
            .dataset(Rings::dataset(60).unwrap())
            .set("backbone.widths", vec![4])
            .set("train.batch_size", 20)
            .epochs(1)
            .out(folder.path().join(run))
    };
    let posterized = pretrain("rings", "{ name = \"posterize\", levels = 2, p = 1.0 }");
    let run = posterized.run(&mut Silent).unwrap();
    let plain = pretrain("plain", "").run(&mut Silent).unwrap();
    let encoder = |run: &Outcome| fs::read(run.path().join("encoder.safetensors")).unwrap();
    assert!(encoder(&run) != encoder(&plain), "views are posterized");

    // The run is one for whoever knows its parts, and the plan names the source.
    let embedder = Embedder::load_with(&catalogue(), run.path()).unwrap();
    let features = embedder.embed(&Arc::new(Rings::dataset(7).unwrap())).unwrap();
    assert_eq!((features.len(), features.ids[6].as_str(), features.labels[1]), (7, "ring 6", 1));
    let unknown = Embedder::load(run.path()).err().unwrap().to_string();
    assert!(unknown.contains("posterize"), "{unknown}");
    for (wrong, expected) in
        [("{ name = \"posterize\", levels = 1 }", "levels"), ("{ name = \"posterise\" }", "did you mean `posterize`?")]
    {
        let error = pretrain("refused", wrong).plan().err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// What a crate includes lies within it, or its package would not be whole.
#[test]
fn crates_include_nothing_from_outside() {
    fn visit(folder: &Path, depth: usize, found: &mut usize) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, depth + 1, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for line in fs::read_to_string(&path).unwrap().lines().filter(|line| line.contains("include_")) {
                    *found += 1;
                    assert!(line.matches("../").count() <= depth, "{}: {line}", path.display());
                }
            }
        }
    }
    let mut found = 0;
    for entry in fs::read_dir(Path::new(FOLDER).join("../../crates")).unwrap() {
        visit(&entry.unwrap().path(), 0, &mut found);
    }
    assert!(found > 5, "{found}");
}

#[test]
fn keys_are_checked_as_those_inside_are() {
    let folder = tempfile::tempdir().unwrap();
    for (wrong, expected) in [
        ("method.t=0", vec!["method.t", "above 0"]),
        ("method.temperature=1", vec!["method.temperature"]),
        ("backbone.patch_size=5", vec!["data.size", "28 is not a multiple of backbone.patch_size = 5", "30"]),
        ("backbone.patch=4", vec!["backbone.patch", "did you mean", "patch_size"]),
        ("backbone=bag_of_patch", vec!["did you mean `bag_of_patches`?", "resnet_micro"]),
        ("views=[{count=3}]", vec!["views", "alignment_uniformity", "needs two views"]),
    ] {
        let error = match plan(folder.path(), "refused", &[wrong]) {
            Ok(_) => panic!("{wrong} cannot work"),
            Err(error) => error.to_string(),
        };
        assert!(expected.iter().all(|part| error.contains(part)), "{wrong}: {error}");
    }
}

/// Closed forms: a constant is as uniform as nothing, two opposite points repel each other with `−4t`.
#[test]
fn the_objective_is_what_its_formula_says() {
    let settings = AlignmentUniformitySettings { uniformity_weight: 0.5, t: 2.0 };
    let points = |values: [f32; 4]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), [2, 2]), &Device::flex());
    let values = |LossTerms { total, terms }: LossTerms| {
        let terms = terms.into_iter().map(|(_, term)| term);
        std::iter::once(total).chain(terms).map(Tensor::into_scalar::<f32>).collect::<Vec<_>>()
    };
    let close = |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let (constant, opposite) = (points([3.0, 0.0, 1.0, 0.0]), points([2.0, 0.0, -1.0, 0.0]));
    let same = values(alignment_uniformity(constant.clone(), constant.clone(), &settings));
    assert!(close(&same, &[0.0, 0.0, 0.0]), "{same:?}");
    let spread = values(alignment_uniformity(opposite.clone(), opposite.clone(), &settings));
    assert!(close(&spread, &[-4.0, 0.0, -8.0]), "{spread:?}");
    let both = values(alignment_uniformity(constant, opposite, &settings));
    assert!(close(&both, &[0.0, 2.0, -4.0]), "{both:?}");
    assert_eq!(AlignmentUniformitySettings::defaults().t, 2.0);
}

#[test]
fn contributing_shows_these_files() {
    let text = fs::read_to_string(Path::new(FOLDER).join("../../CONTRIBUTING.md")).unwrap();
    for (file, language) in [
        ("src/alignment_uniformity.rs", "rust"),
        ("src/bag_of_patches.rs", "rust"),
        ("src/posterize.rs", "rust"),
        ("src/rings.rs", "rust"),
        ("src/lib.rs", "rust"),
        ("recipes/alignment_uniformity.toml", "toml"),
        ("Cargo.toml", "toml"),
    ] {
        let block = format!("```{language}\n{}```", fs::read_to_string(Path::new(FOLDER).join(file)).unwrap());
        assert!(text.contains(&block), "CONTRIBUTING.md does not show tests/stranger/{file} as it is");
    }
}

/// The figures in the recipe's header: `cargo test -p stranger --release -- --ignored --nocapture`.
#[test]
#[ignore = "trains the whole recipe"]
fn the_recipe_learns() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = Recipe::read(&Path::new(FOLDER).join("recipes/alignment_uniformity.toml")).unwrap();
    let out = format!("out={}", folder.path().join("run").display());
    let planned = catalogue().plan(Some(&recipe), &[out]).unwrap();
    let started = Instant::now();
    train(&planned, u64::MAX);
    let seconds = started.elapsed().as_secs();
    let knn = |weights| {
        let method = catalogue().method(&planned.plan).unwrap();
        let branch = (method.branch)(&planned.plan, weights, &mut |problem| panic!("{problem}")).unwrap();
        let (bank, queries) = ((0..8000).collect(), (8000..10000).collect());
        embed::online_knn(&branch.encoder, &planned.dataset, &planned.plan, bank, queries).unwrap()
    };
    let (trained, fresh) = (knn(WeightsOf::Trained), knn(WeightsOf::Fresh));
    println!("{seconds} s; kNN {trained:.3}, untrained {fresh:.3}");
    assert!(trained > fresh);
}
