//! What methods ask of a plan, and what they do with it beyond their objective.

use crate::training::{method, plan, train, try_plan};
use selfsame::catalogue::{Catalogue, METHODS};
use selfsame::tensor::parameters::read_safetensors;
use selfsame_config::{RECIPES, Recipe, Settings};
use selfsame_data::image::Size;
use selfsame_data::settings::ViewSettings;
use std::path::Path;

/// What is done to a plan's views.
type Change<'a> = &'a dyn Fn(&mut Vec<ViewSettings>);

/// The error of a plan, as a user reads it.
fn refused(folder: &Path, more: &[&str], change: Change) -> String {
    let mut plan = match try_plan(folder, "refused", more) {
        Ok((plan, _)) => plan,
        Err(error) => return error.to_string(),
    };
    change(&mut plan.views);
    (method(&plan).check)(&plan).expect_err("the plan cannot work").to_string()
}

#[test]
fn a_plan_that_the_method_cannot_use_is_refused_with_both_keys_and_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["epochs=1"]);
    train(&source, &dataset);
    let from_source = format!("method.source={}", source.out.display());
    let no_run = format!("method.source={}", folder.path().display());
    let as_it_is = |_: &mut Vec<ViewSettings>| {};
    let three = |views: &mut Vec<ViewSettings>| views[0].count = 3;
    let two_sizes = |views: &mut Vec<ViewSettings>| {
        views.push(ViewSettings { size: Size::square(6), ..views[0].clone() });
        views.iter_mut().for_each(|group| group.count = 1);
    };
    let rotated = |views: &mut Vec<ViewSettings>| {
        views[0].augmentations.push(toml::from_str("name = \"rotate\"").unwrap());
    };
    let cases: Vec<(Vec<&str>, Change, Vec<&str>)> = vec![
        (vec!["method=byol"], &three, vec!["views", "byol", "needs two views", "3 of 12, 12, 12 px"]),
        (vec!["method=vicreg"], &two_sizes, vec!["views", "vicreg", "2 of 12, 6 px"]),
        (vec!["method=swav", "method.prototypes=4"], &two_sizes, vec!["views", "swav", "views.count = 2"]),
        (
            vec!["method=moco", "method.queue=20"],
            &as_it_is,
            vec!["method.queue", "20", "train.batch_size = 8", "16 or 24"],
        ),
        (vec!["method=nnclr", "method.queue=4"], &as_it_is, vec!["method.queue", "train.batch_size = 8", "8 or 16"]),
        (vec!["method=moco", "method.version=v4"], &as_it_is, vec!["method.version", "`v2` or `v3`", "v4"]),
        (
            vec!["method=moco", "method.queue=16", "method.teacher_momentum=1.5"],
            &as_it_is,
            vec!["method.teacher_momentum", "1.5"],
        ),
        (vec!["method=byol", "method.predictor_hidden=0"], &as_it_is, vec!["method.predictor_hidden", "got 0"]),
        (vec!["method=swav"], &as_it_is, vec!["method.prototypes", "64", "train.batch_size = 8", "2 to 8"]),
        (vec!["method=swav", "method.prototypes=4", "method.epsilon=0"], &as_it_is, vec!["method.epsilon", "above 0"]),
        (vec!["method=rotation"], &rotated, vec!["views.0.augmentations", "rotate", "method.name = \"rotation\""]),
        (vec!["method=clusterfit"], &as_it_is, vec!["method.source", "missing", "method.source=runs/"]),
        (vec!["method=clusterfit", &no_run], &as_it_is, vec!["method.source", "not finished"]),
        (
            vec!["method=clusterfit", &from_source, "size=16"],
            &as_it_is,
            vec!["data.size", "16", "method.source", "trained with 12", "data.size=12"],
        ),
    ];
    for (more, change, expected) in cases {
        let error = refused(folder.path(), &more, change);
        assert!(expected.iter().all(|part| error.contains(part)), "{more:?}: {error}\nlacks one of {expected:?}");
        assert!(!error.contains('\n'), "{error}");
    }
    let (plan, dataset) = plan(folder.path(), "many", &["method=clusterfit", &from_source, "method.clusters=41"]);
    let pretrain = method(&plan).pretrain;
    let error = pretrain(&plan, dataset, &mut selfsame::events::Silent, &Default::default()).unwrap_err().to_string();
    assert!(error.contains("method.clusters") && error.contains("41") && error.contains("40 samples"), "{error}");
}

#[test]
fn every_method_has_a_recipe_and_every_recipe_is_valid() {
    for entry in RECIPES {
        let recipe = Recipe::builtin(entry.name).unwrap();
        let table = ["scarf", "vime", "vector_barlow_twins"].contains(&entry.name);
        let signal = ["cpc", "ts2vec", "signal_masked_autoencoder"].contains(&entry.name);
        let (channels, size) = match entry.name {
            _ if table => (16, 1),
            _ if signal => (2, 300),
            name if name.starts_with("emoji") || name.starts_with("continue") => (3, 32),
            _ => (1, 28),
        };
        let constants = vec!["0.3"; channels].join(", ");
        let mut facts = vec![
            "data.kind=folder".into(),
            "data.labels=none".into(),
            "data.fingerprint=none".into(),
            format!("data.channels={channels}"),
            format!("data.size={size}"),
            format!("data.mean=[{constants}]"),
            format!("data.std=[{constants}]"),
        ];
        if table {
            facts.extend(["data=rows.csv".into(), "data.modality=vector".into()]);
        }
        if signal {
            facts.extend(["data=waves.ts".into(), "data.modality=signal".into()]);
        }
        match Catalogue::default().plan_as_stated(Some(&recipe), &facts) {
            Ok(plan) => {
                assert!(
                    entry.name == "scarf" || entry.name.ends_with(&plan.method.name),
                    "{} is named by its method",
                    entry.name
                );
            }
            // ClusterFit's recipe names a run, which is not there.
            Err(error) => assert!(entry.name == "clusterfit", "{}: {error}", entry.name),
        }
    }
    for method in METHODS {
        assert!(RECIPES.iter().any(|entry| entry.name == method.name), "{} has no recipe", method.name);
    }
}

#[test]
fn generative_methods_refuse_what_they_cannot_work_on() {
    let folder = tempfile::tempdir().unwrap();
    const ONE: &str = "views=[{count=1}]";
    let mae = ["method=masked_autoencoder", "backbone=vit_micro", "projector.layers=0"];
    let cases: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (
            vec!["method=masked_autoencoder", "projector.layers=0", ONE],
            vec!["backbone.name", "resnet_micro", "vit_micro"],
        ),
        (mae.to_vec(), vec!["views", "masked_autoencoder", "one view"]),
        (
            [&mae[..], &["method.mask_ratio=0.99", ONE]].concat(),
            vec!["method.mask_ratio", "leaves 0 of the 9", "backbone.patch_size = 4"],
        ),
        (
            [&mae[..], &["method.decoder_width=90", ONE]].concat(),
            vec!["method.decoder_width", "method.decoder_heads = 3", "96"],
        ),
        (vec!["method=inpainting", ONE], vec!["projector.layers", "inpainting", "expected 0"]),
        (vec!["method=deep_belief_network", "projector.layers=0", ONE], vec!["backbone.name", "belief_network"]),
    ];
    for (more, expected) in cases {
        let error = refused(folder.path(), &more, &|_| {});
        assert!(expected.iter().all(|part| error.contains(part)), "{more:?}: {error}\nlacks one of {expected:?}");
    }
}

#[test]
fn swav_takes_small_crops_and_holds_its_prototypes_still_for_the_first_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let prototypes = |run: &str, epochs: &str| {
        let more = ["method=swav", "method.prototypes=4", epochs, "optimizer.warmup_epochs=0"];
        let (mut plan, dataset) = plan(folder.path(), run, &more);
        plan.views.push(ViewSettings { count: 2, size: Size::square(6), ..plan.views[0].clone() });
        train(&plan, &dataset);
        let checkpoints = std::fs::read_dir(plan.out.join("checkpoints")).unwrap();
        let newest = checkpoints.map(|entry| entry.unwrap().path()).max().unwrap();
        read_safetensors(&newest.join("model.safetensors")).unwrap().remove("prototypes.weight").unwrap()
    };
    let (one, again, two) =
        (prototypes("one", "epochs=1"), prototypes("again", "epochs=1"), prototypes("two", "epochs=2"));
    assert_eq!(one, again);
    let drawn = prototypes_as_drawn(folder.path());
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(distance(&one.values, &drawn) < 1e-6 && distance(&two.values, &drawn) > 1e-3);
    for row in two.values.chunks_exact(two.shape[1]) {
        assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5, "prototypes stay on the unit sphere");
    }
}

fn prototypes_as_drawn(folder: &Path) -> Vec<f32> {
    use selfsame::method::{BuildContext, Method};
    let (plan, _) = plan(folder, "drawn", &["method=swav", "method.prototypes=4"]);
    let device = burn::tensor::Device::flex();
    let settings = selfsame::methods::swav::SwavSettings { prototypes: 4, ..Settings::defaults() };
    let swav =
        selfsame::methods::swav::Swav::build(&settings, &BuildContext { plan: &plan, device: &device, start: None })
            .unwrap();
    selfsame::tensor::parameters::arrays(&swav).remove("prototypes.weight").unwrap().values
}
