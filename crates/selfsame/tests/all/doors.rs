//! Encoders in and out: a folder alone is enough, a training starts from it, and programs reach both in a few lines.

use crate::training::{VIT, encoder, plan, train, try_plan};
use selfsame::catalogue::Catalogue;
use selfsame::events::Silent;
use selfsame::plan::Plan;
use selfsame::tensor::parameters;
use selfsame::weights::WeightsOf;
use selfsame::{Embedder, Pretrain};
use selfsame_config::Recipe;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::source::Memory;
use selfsame_evaluate::features::FeatureTable;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A finished run of 40 images.
fn finished(folder: &Path, name: &str, more: &[&str]) -> Plan {
    let (plan, dataset) = plan(folder, name, more);
    train(&plan, &dataset);
    plan
}

fn embedded(path: &Path, data: &Path) -> FeatureTable {
    Embedder::load(path).unwrap().embed_path(data).unwrap()
}

#[test]
fn an_encoder_folder_gives_what_its_run_gave_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("images.npy"), folder.path().join("copy"));
    let run = finished(folder.path(), "run", &["epochs=1"]);
    let before = embedded(&run.out, &data);
    Embedder::load(&run.out).unwrap().save(&copy).unwrap();
    // A second time is refused: nothing is overwritten.
    let refused = Embedder::load(&run.out).unwrap().save(&copy).unwrap_err().to_string();
    assert!(refused.contains("is there and not empty"), "{refused}");
    fs::remove_dir_all(&run.out).unwrap();
    let after = embedded(&copy, &data);
    assert_eq!((before.len(), before.dim), (40, 6));
    assert_eq!(before, after);
    let mut names: Vec<_> = fs::read_dir(&copy).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["README.md", "config.json", "encoder.safetensors"]);
    assert!(fs::read_to_string(copy.join("README.md")).unwrap().contains(", trained by "));
    // It is no run, and says so to who would train it as one.
    let alone = Catalogue::default().load(&copy, &[]).unwrap();
    assert_eq!(alone.identity(), run.identity());
    let dataset = std::sync::Arc::new(alone.sibling(&data, 0).unwrap());
    let method = crate::training::method(&alone);
    let refused = (method.pretrain)(&alone, dataset, &mut Silent, &false.into()).unwrap_err().to_string();
    assert!(refused.contains("init.path"), "{refused}");
    // One flipped bit.
    let weights = copy.join("encoder.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let damaged = Embedder::load(&copy).err().unwrap().to_string();
    assert!(damaged.contains("encoder.safetensors: does not match its hash"), "{damaged}");
}

/// Every array of the encoder of a finished run.
fn trained(plan: &Plan) -> BTreeMap<String, parameters::Array> {
    let branch = (crate::training::method(plan).branch)(plan, WeightsOf::Trained, &mut |_| {}).unwrap();
    parameters::arrays(&branch.encoder)
}

/// The arrays of the encoder that `run` starts from, after a training whose learning rate is nothing.
fn start_of(folder: &Path, run: &str, more: &[&str]) -> BTreeMap<String, parameters::Array> {
    let still = ["epochs=1", "optimizer.base_lr=1e-30", "optimizer.weight_decay=0", "optimizer=sgd"];
    let mut arrays = trained(&finished(folder, run, &[&still, more].concat()));
    arrays.retain(|name, _| !name.contains("running"));
    arrays
}

#[test]
fn a_training_starts_from_an_encoder_of_any_method() {
    let folder = tempfile::tempdir().unwrap();
    let source = finished(folder.path(), "source", &["epochs=1"]);
    let init = format!("init={}", source.out.display());
    let own = start_of(folder.path(), "again", &[&init]);
    let mut expected = trained(&source);
    expected.retain(|name, _| !name.contains("running"));
    assert!(!expected.is_empty());
    assert_eq!(own, expected);
    // A teacher starts there too: the student has been pulled nowhere.
    assert_eq!(start_of(folder.path(), "byol", &[&init, "method=byol"]), expected);
    // What is compared with is still the untrained network.
    let (plan, _) = plan(folder.path(), "again", &["epochs=1", "optimizer=sgd", &init]);
    let fresh = (crate::training::method(&plan).branch)(&plan, WeightsOf::Fresh, &mut |_| {}).unwrap();
    assert_ne!(parameters::arrays(&fresh.encoder)["conv1.weight"], expected["conv1.weight"]);
}

/// Of each parameter of the encoder, how far it has moved from `start`.
fn moved(
    folder: &Path,
    run: &str,
    start: &BTreeMap<String, parameters::Array>,
    more: &[&str],
) -> BTreeMap<String, f32> {
    let arrays = trained(&finished(folder, run, more));
    let far = |name: &String| {
        let pairs = arrays[name].values.iter().zip(&start[name].values);
        pairs.map(|(now, before)| (now - before).abs()).fold(0.0, f32::max)
    };
    start.keys().map(|name| (name.clone(), far(name))).collect()
}

#[test]
fn rates_fall_toward_the_pixels_and_frozen_stages_stay_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let source = finished(folder.path(), "source", &["epochs=1"]);
    let init = format!("init={}", source.out.display());
    // With running statistics: those of frozen stages stay too.
    let start = trained(&source);
    // A step of plain gradient descent: what moves is the rate times the gradient.
    let step = ["epochs=1", "batch_size=40", "optimizer=sgd", "optimizer.warmup_epochs=0", "optimizer.weight_decay=0"];
    for method in [&["method=simclr"][..], &["method=byol"], &["method=dino", "method.prototypes=12"]] {
        let run = |name: &str, more: &[&str]| {
            moved(
                folder.path(),
                &format!("{name}-{}", method[0]),
                &start,
                &[&step[..], &[&init[..]], method, more].concat(),
            )
        };
        let is_statistic = |name: &str| name.contains("running");
        let whole = run("whole", &[]);
        let last = whole.keys().filter_map(|name| selfsame::backbone::number_after(name, "layer")).max().unwrap();
        let fallen = run("fallen", &["optimizer.layer_decay=0.5"]);
        for (name, far) in whole.iter().filter(|(name, _)| !is_statistic(name)) {
            let stage = selfsame::backbone::number_after(name, "layer").unwrap_or(0);
            let share = 0.5f32.powi((last + 1 - stage) as i32);
            assert!((fallen[name] - share * far).abs() <= 1e-3 * far + 1e-6, "{name}: {} of {far}", fallen[name]);
        }
        let top = run("top", &["optimizer.stages=1"]);
        for (name, far) in &top {
            let learns = name.starts_with(&format!("layer{last}."));
            assert_eq!(*far > 0.0, learns, "{method:?}: {name}: {far}");
        }
        assert!(run("none", &["optimizer.stages=0"]).values().all(|far| *far == 0.0));
    }
    let (plan, dataset) = plan(folder.path(), "many", &["optimizer.stages=9"]);
    let refused = (crate::training::method(&plan).pretrain)(&plan, dataset, &mut Silent, &false.into());
    let refused = refused.unwrap_err().to_string();
    assert!(refused.starts_with("optimizer.stages: expected at most") && refused.contains("received 9"), "{refused}");
}

#[test]
fn a_recipe_without_a_backbone_goes_on_with_that_of_its_start() {
    let folder = tempfile::tempdir().unwrap();
    let source = finished(folder.path(), "source", &["epochs=1", "backbone.widths=[4, 8]"]);
    let recipe = Recipe { name: "continue.toml".into(), text: "[method]\nname = \"byol\"".into() };
    let words = [
        format!("init={}", source.out.display()),
        format!("data={}", folder.path().join("images.npy").display()),
        "batch_size=8".into(),
    ];
    let plan = Catalogue::default().plan(Some(&recipe), &words).unwrap().plan;
    assert_eq!((&plan.backbone.keys, &plan.data.mean), (&source.backbone.keys, &source.data.mean));
    // What is said of it is laid over that.
    let words = [&words[..], &["backbone.widths=[4]".into()]].concat();
    let other = Catalogue::default().plan(Some(&recipe), &words).unwrap().plan;
    assert_eq!(other.backbone.keys["widths"], toml::Value::from(vec![4]));
}

#[test]
fn a_run_that_started_from_an_encoder_resumes_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let source = finished(folder.path(), "source", &["epochs=1"]);
    let init = format!("init={}", source.out.display());
    let whole = finished(folder.path(), "whole", &[&init]);
    let (stopped, dataset) = plan(folder.path(), "stopped", &[&init]);
    let method = crate::training::method(&stopped);
    (method.pretrain)(&stopped, dataset.clone(), &mut Silent, &true.into()).unwrap();
    fs::remove_dir_all(&source.out).unwrap();
    train(&stopped, &dataset);
    assert_eq!(encoder(&stopped), encoder(&whole));
    // A new run cannot start from what is gone.
    let gone = try_plan(folder.path(), "new", &[&init]).err().unwrap().to_string();
    assert!(gone.contains("init.path: ") && gone.contains("is not a folder"), "{gone}");
}

#[test]
fn what_does_not_fit_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let source = finished(folder.path(), "source", &["epochs=1"]);
    let init = format!("init={}", source.out.display());
    let refused = |run: &str, more: &[&str]| {
        let (plan, dataset) = plan(folder.path(), run, &[&[init.as_str()], more].concat());
        (crate::training::method(&plan).pretrain)(&plan, dataset, &mut Silent, &false.into()).unwrap_err().to_string()
    };
    let other = refused("wider", &["backbone.widths=[4, 8]"]);
    assert!(other.contains("has shape") && !other.contains('\n'), "{other}");
    let other = refused("vit", &VIT);
    assert!(other.contains("another network than [backbone] says"), "{other}");
    assert!(!folder.path().join("vit").exists(), "nothing is made of a plan that cannot be trained");
    // Other weights than when the plan was made.
    let (begun, dataset) = plan(folder.path(), "begun", &[&init]);
    fs::remove_dir_all(&source.out).unwrap();
    finished(folder.path(), "source", &["epochs=2"]);
    let method = crate::training::method(&begun);
    let changed = (method.pretrain)(&begun, dataset, &mut Silent, &false.into()).unwrap_err().to_string();
    assert!(changed.contains("holds other weights than when the plan was made"), "{changed}");
}

#[test]
fn programs_train_on_memory_and_embed_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let image = |i: usize| Image::new(8, 8, 1, Pixels::U8((0..64).map(|p| (p * (i + 3) % 251) as u8).collect()));
    let images: Vec<Image> = (0..24).map(image).collect();
    let of = |name: &str, data: Dataset| {
        Pretrain::new("barlow_twins")
            .dataset(data)
            .set("backbone.name", "resnet_micro")
            .set("backbone.widths", vec![4, 6])
            .set("projector.hidden", 8)
            .set("projector.out", 6)
            .set("train.batch_size", 8)
            .epochs(2)
            .out(folder.path().join(name))
    };
    let memory = || Dataset::in_memory(Memory::new(images.clone()).unwrap()).unwrap();
    // Two at once in one process, and one alone: the same bytes.
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            scope.spawn(move || of(name, memory()).run(&mut Silent).unwrap());
        }
    });
    let run = of("c", memory()).run(&mut Silent).unwrap();
    let weights = |name: &str| fs::read(folder.path().join(name).join("encoder.safetensors")).unwrap();
    assert!(weights("a") == weights("b") && weights("b") == weights("c"));
    let embedder = Embedder::load(run.path()).unwrap();
    let features = embedder.embed_images(images.clone()).unwrap();
    assert_eq!((features.len(), features.dim, &features.ids[23][..]), (24, 6, "memory[23]"));
    // One image alone has the same features.
    assert_eq!(embedder.embed_images(images[5..6].to_vec()).unwrap().values, features.row(5));
    // Further, from where it stands, on other images.
    let others: Vec<Image> = (50..74).map(image).collect();
    let further = Pretrain::new("barlow_twins")
        .init(run.path())
        .dataset(Dataset::in_memory(Memory::new(others).unwrap()).unwrap())
        .set("train.batch_size", 6)
        .epochs(1)
        .out(folder.path().join("further"));
    let further = further.run(&mut Silent).unwrap();
    assert_ne!(fs::read(further.path().join("encoder.safetensors")).unwrap(), weights("a"));
    let labels = Memory::new(images.clone()).unwrap().with_labels(&["x"]).unwrap_err().to_string();
    assert!(labels.contains("expected 24 labels, one per image, received 1"), "{labels}");
    let odd = vec![images[0].clone(), Image::new(4, 4, 1, Pixels::U8(vec![0; 16]))];
    let odd = Memory::new(odd).unwrap_err().to_string();
    assert!(odd.contains("memory[1]: expected [height, width, channels] [8, 8, 1]"), "{odd}");
}
