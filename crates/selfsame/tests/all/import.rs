//! Files that other tools wrote (`tests/golden/import.py` did, with these tools) compute here what they compute there.

use crate::resnet::assert_close;
use crate::training;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame::backbone::{Role, Size};
use selfsame::backbones;
use selfsame::catalogue::{Catalogue, Planned};
use selfsame::encoder_folder::EncoderFolder;
use selfsame::init::Start;
use selfsame::tensor::layers::{Init, Pass};
use selfsame::tensor::{parameters, to_vec};
use selfsame_interop::network::Network;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

#[derive(Deserialize)]
struct Golden {
    files: BTreeMap<String, File>,
}

#[derive(Deserialize)]
struct File {
    h: Vec<f64>,
    side: usize,
    ignored: Vec<String>,
    #[serde(default)]
    adapted: Vec<String>,
    mean: Option<Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/import.json")).unwrap()
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/import").join(file)
}

#[test]
fn what_others_wrote_computes_what_it_computes_there() {
    for (file, golden) in golden().files {
        let folder = EncoderFolder::open(&path(&file)).unwrap();
        let config = folder.config();
        let shape = [2, golden.side, golden.side, config.channels];
        let pixel = |i: usize| (0.3 * (i as f64).powf(1.1) + 1.0).sin() as f32;
        let pixels: Vec<f32> = (0..shape.iter().product()).map(pixel).collect();
        let x = Tensor::<4>::from_data(TensorData::new(pixels, shape), &Device::flex());
        let h = folder.load(&Device::flex()).unwrap().for_inference().forward(x, &Pass::evaluate());
        assert_eq!(h.dims(), [2, config.width], "{file}");
        assert_close(&file, &to_vec(h), &golden.h, 1e-5);

        let told = config.imported.join("\n");
        let left_out = config.imported.iter().find(|line| line.starts_with("not of the encoder"));
        let left_out: Vec<&str> = left_out.map_or(Vec::new(), |line| {
            let named = line.split_once(": ").unwrap().1.split(", ");
            named.map(|name| name.split(" (").next().unwrap()).collect()
        });
        let mut names = left_out.clone();
        names.sort_unstable();
        assert_eq!(names, golden.ignored, "{file}: {told}");
        assert!(golden.adapted.iter().all(|part| told.contains(part)), "{file}: {told}");
        if let Some(mean) = golden.mean {
            assert_eq!(config.mean, mean, "{file}");
        }
        assert_eq!(told.contains("as ImageNet's"), !["timm", "hf-vit"].contains(&file.as_str()), "{file}: {told}");
    }
}

#[test]
fn the_shapes_that_are_expected_are_those_of_our_networks() {
    let settings: [(&str, &[(&str, Value)]); 9] = [
        ("resnet_micro", &[("norm", Value::String("group".into()))]),
        ("resnet_micro", &[("norm", Value::String("none".into()))]),
        ("resnet18", &[("stem", Value::String("small".into()))]),
        ("resnet101", &[]),
        ("vit_micro", &[("layer_scale", Value::Boolean(true)), ("registers", Value::Integer(4))]),
        ("vit_micro", &[("pool", Value::String("mean".into()))]),
        ("vit_small", &[]),
        ("convnext_micro", &[("patch_size", Value::Integer(4))]),
        ("convnext_tiny", &[]),
    ];
    for (name, keys) in settings {
        let keys: Table = keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let backbone = backbones::named(name, keys, Size::square(32)).unwrap();
        let encoder =
            backbone.build(2, Size::square(32), &Init::new(0, "encoder", &Device::flex()), Role::Student).unwrap();
        let arrays = parameters::to_pytorch_layout(parameters::arrays(&encoder));
        let shapes = arrays.into_iter().map(|(name, array)| (name, array.shape)).collect();
        let network = Network::of_shapes(&shapes).unwrap();
        assert_eq!(network.shapes(2, [32; 2]), shapes, "{name}");
        let choice = network.backbone().unwrap();
        assert_eq!(choice.name, name);
        for (key, value) in choice.keys {
            assert_eq!(backbone.keys.get(&key), Some(&value), "{name}: {key}");
        }
    }
}

fn planned(folder: &Path, more: &[&str]) -> Result<Planned, selfsame::Error> {
    let (plan, _) = training::plan(folder, "unused", &[]);
    let data = format!("data={}", plan.data.path.display());
    let words = [&data, "method=simclr", "epochs=1", "batch_size=8"].map(str::to_owned).into_iter();
    Catalogue::default().plan_fitted(&words.chain(more.iter().map(|&word| word.to_owned())).collect::<Vec<_>>())
}

#[test]
fn a_training_starts_from_them_fed_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let out = format!("out={}", folder.path().join("run").display());
    let file = path("hf-vit");
    let Planned { plan, dataset, .. } = planned(folder.path(), &[&format!("init={}", file.display()), &out]).unwrap();
    assert_eq!((plan.backbone.name(), plan.data.size), ("vit_micro", Size::square(16)));
    assert_eq!((plan.data.channels, plan.init.weights.len()), (dataset.channels(), 64));
    let start = Start::of(&plan).unwrap().unwrap();
    let fresh = plan.backbone.build(
        plan.data.channels,
        Size::square(16),
        &Init::new(0, "encoder", &Device::flex()),
        Role::Student,
    );
    let encoder = start.apply(fresh.unwrap()).unwrap();
    let own = parameters::arrays(&EncoderFolder::open(&file).unwrap().load(&Device::flex()).unwrap());
    for (name, array) in parameters::arrays(&encoder) {
        match array.shape == own[&name].shape {
            true => assert_eq!(array, own[&name], "{name}"),
            // The images are gray.
            false => assert_eq!((name.as_str(), array.shape[2]), ("patch_embed.proj.weight", 1)),
        }
    }
    assert!(start.notes(&encoder)[0].contains("transformers' ViT"), "{:?}", start.notes(&encoder));
    training::train(&plan, &dataset);
    let kept = std::fs::read_to_string(plan.out.join("init.txt")).unwrap();
    assert!(kept.contains("transformers' ViT") && kept.contains("pooler"), "{kept}");
}

#[test]
fn images_of_another_size_and_gray_ones_get_from_the_start_what_its_encoder_gives_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = path("hf-vit");
    let words = [format!("init={}", file.display()), "data.size=[16, 40]".into()];
    let plan = planned(folder.path(), &words.each_ref().map(String::as_str)).unwrap().plan;
    let device = Device::flex();
    let fresh = plan.backbone.build(1, plan.data.size, &Init::new(0, "encoder", &device), Role::Student).unwrap();
    let started = Start::of(&plan).unwrap().unwrap().apply(fresh).unwrap().for_inference();
    let own = EncoderFolder::open(&file).unwrap().load(&device).unwrap().for_inference();
    let shape = [2, 16, 40, 1];
    let pixels: Vec<f32> = (0..shape.iter().product()).map(|i: usize| (i as f32 * 0.37).sin()).collect();
    let x = Tensor::<4>::from_data(TensorData::new(pixels, shape), &device);
    let theirs = to_vec(own.forward(Tensor::cat(vec![x.clone(); 3], 3), &Pass::evaluate()));
    let theirs: Vec<f64> = theirs.into_iter().map(f64::from).collect();
    assert_close("fitted", &to_vec(started.forward(x, &Pass::evaluate())), &theirs, 1e-5);
}

#[test]
fn another_backbone_and_what_is_no_start_are_told_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let init = format!("init={}", path("moco-legacy.pth.tar").display());
    let error = planned(folder.path(), &[&init, "backbone=vit_micro"]).and_then(|planned| {
        let start = Start::of(&planned.plan)?.unwrap();
        let device = Device::flex();
        let init = Init::new(0, "encoder", &device);
        start.apply(planned.plan.backbone.build(1, planned.plan.data.size, &init, Role::Student)?)
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("a resnet_micro") && error.contains("bn1.bias") && !error.contains('\n'), "{error}");
    let text = folder.path().join("no.pth");
    std::fs::write(&text, "no weights").unwrap();
    let error = planned(folder.path(), &[&format!("init={}", text.display())]).err().unwrap().to_string();
    assert!(error.starts_with("init.path: ") && error.contains("neither a safetensors file"), "{error}");
}

#[test]
fn they_embed_without_a_run() {
    let image = selfsame_data::image::Image {
        height: 16,
        width: 16,
        channels: 1,
        pixels: selfsame_data::image::Pixels::U8((0..=255).collect()),
    };
    let embedder = selfsame::Embedder::load(path("windows-gray.pt")).unwrap();
    let table = embedder.embed_images(vec![image.clone()]).unwrap();
    assert_eq!((table.dim, table.values.len()), (8, 8));
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    embedder.save(&kept).unwrap();
    let again = selfsame::Embedder::load(&kept).unwrap();
    assert_eq!(again.config().imported, embedder.config().imported);
    assert_eq!(again.embed_images(vec![image]).unwrap().values, table.values);
}
