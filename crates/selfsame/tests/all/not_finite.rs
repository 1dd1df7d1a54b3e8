//! Weights and features that are no numbers are errors that say so: nothing panics, and no score is made of them.

use crate::training::{method, plan};
use selfsame::checkpoint::{self, Checkpoint};
use selfsame::embed::{Tables, Wanted, online_knn};
use selfsame::events::Silent;
use selfsame::finetune::{Tuning, finetune, settings::FinetuneSettings};
use selfsame::plan::Plan;
use selfsame::tensor::parameters::{self, Array, read_safetensors};
use selfsame::weights::WeightsOf;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::label_subsets::LabelBudget;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A finished run on two classes of 20 images, and the images.
fn labeled_run(folder: &Path, more: &[&str]) -> (Plan, Arc<Dataset>) {
    let (_, unlabeled) = plan(folder, "unlabeled", &[]);
    for index in 0..unlabeled.len() {
        let class = folder.join("photos").join(["cats", "dogs"][index % 2]);
        fs::create_dir_all(&class).unwrap();
        let image = unlabeled.sample(index).unwrap();
        let selfsame_data::image::Pixels::U8(pixels) = &image.pixels else { panic!("8-bit images") };
        let png = selfsame_data::decode::encode_png(pixels, image.width, image.height);
        fs::write(class.join(format!("{index}.png")), png).unwrap();
    }
    let data = format!("data={}", folder.join("photos").display());
    let more = [&[data.as_str(), "epochs=1", "train.online_knn_epochs=0", "data.labels=folder"], more].concat();
    let (plan, dataset) = plan(folder, "run", &more);
    (method(&plan).pretrain)(&plan, dataset.clone(), &mut Silent, &AtomicBool::new(false)).unwrap();
    (plan, dataset)
}

/// The newest checkpoint.
fn trained(plan: &Plan) -> Checkpoint {
    let newest = checkpoint::load_newest(&plan.out.join("checkpoints"), plan, &mut |problem| panic!("{problem}"));
    newest.unwrap().unwrap().0
}

/// Puts `value` into every tensor whose name ends so.
fn poisoned(mut arrays: BTreeMap<String, Array>, name: &str, value: f32) -> BTreeMap<String, Array> {
    let mut touched = 0;
    for (_, array) in arrays.iter_mut().filter(|(tensor, _)| tensor.ends_with(name)) {
        array.values[0] = value;
        touched += 1;
    }
    assert!(touched > 0, "{name}");
    arrays
}

#[test]
fn an_encoder_of_nan_is_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = labeled_run(folder.path(), &[]);
    let good = (method(&plan).branch)(&plan, WeightsOf::Trained, &mut |_| {}).unwrap().encoder;
    let knn = |encoder| online_knn(&encoder, &dataset, &plan, (0..30).collect(), (30..40).collect());
    assert!((0.0..=1.0).contains(&knn(good.clone()).unwrap()));
    for value in [f32::NAN, f32::INFINITY] {
        let arrays = poisoned(parameters::arrays(&good), "conv1.weight", value);
        let error = knn(parameters::with_arrays(good.clone(), arrays).unwrap()).unwrap_err().to_string();
        assert!(error.contains("conv1.weight is not finite") && error.contains("diverged"), "{error}");
    }
    // Weights that are numbers, and features that are none.
    let arrays = parameters::arrays(&good).into_iter().map(|(name, mut array)| {
        array.values.iter_mut().for_each(|v| *v = if name.ends_with("running_var") { 0.0 } else { 1e38 });
        (name, array)
    });
    let error = knn(parameters::with_arrays(good, arrays.collect()).unwrap()).unwrap_err().to_string();
    assert!(error.contains("the representation of sample") && error.contains("not finite"), "{error}");
}

#[test]
fn a_checkpoint_of_nan_is_neither_tuned_nor_trained_further() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = labeled_run(folder.path(), &["train.keep_checkpoints=9"]);
    let Checkpoint { mut progress, model, optimizer } = trained(&plan);
    let before = fs::read(plan.out.join("encoder.safetensors")).unwrap();
    progress.step += 1;
    let checkpoint = Checkpoint { progress, model: poisoned(model, "conv1.weight", f32::NAN), optimizer };
    checkpoint::save(&plan.out.join("checkpoints"), &checkpoint, &plan, None).unwrap();

    let branch = (method(&plan).branch)(&plan, WeightsOf::Trained, &mut |_| {}).unwrap();
    let (told, parts) = Default::default();
    let tuning = Tuning {
        plan: &plan,
        method: method(&plan),
        branch: &branch,
        train: &dataset,
        test: &dataset,
        told: &told,
        parts: &parts,
        save: None,
    };
    let settings = FinetuneSettings::parse(&[]).unwrap();
    let tuned = finetune(&tuning, &[LabelBudget::All], &settings, &mut |_, _, _| {}, &mut |_| panic!("scored"));
    let error = tuned.unwrap_err().to_string();
    assert!(error.contains("conv1.weight is not finite") && !error.contains('\n'), "{error}");

    let embedded = Tables::embed(&branch, &dataset, &plan, None, Wanted::default(), &mut |_| {});
    assert!(embedded.unwrap_err().to_string().contains("not finite"));
    assert!(fs::read(plan.out.join("encoder.safetensors")).unwrap() == before);
    assert!(read_safetensors(&plan.out.join("encoder.safetensors")).is_ok());
}

#[test]
fn weights_that_stop_being_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    // The loss of the only step is a number; the weights after it are not.
    let more = ["batch_size=40", "epochs=1", "optimizer.base_lr=1e300", "optimizer.warmup_epochs=0"];
    let (plan, dataset) = plan(folder.path(), "run", &more);
    let ended = (method(&plan).pretrain)(&plan, dataset, &mut Silent, &AtomicBool::new(false));
    let error = ended.unwrap_err().to_string();
    assert!(error.contains("is not finite (NaN or infinity) after step 1, which is not saved"), "{error}");
    assert!(error.contains("last good checkpoint: none") && !error.contains('\n'), "{error}");
    assert!(!plan.out.join("encoder.safetensors").exists());
}
