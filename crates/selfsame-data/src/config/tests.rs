//! Loading, overriding, provenance and round trips, as a user meets them.

use super::*;
use crate::DataError;
use proptest::prelude::*;
use std::path::PathBuf;
use toml::{Table, Value};

fn known() -> Known {
    let method = |name, defaults: &str| MethodKeys { name, defaults: defaults.parse().expect("TOML") };
    Known {
        methods: vec![
            method("simclr", "temperature = 0.2"),
            method("barlow_twins", "redundancy_weight = 0.005"),
            method("invariance_only", ""),
        ],
        backbones: vec!["resnet_micro", "resnet18", "vit_micro", "vit_small"],
    }
}

fn recipe(text: &str) -> Recipe {
    Recipe { name: "my.toml".into(), text: text.into() }
}

fn load_with(text: &str, overrides: &[&str]) -> Result<Resolved, DataError> {
    let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
    load(Some(&recipe(text)), &overrides, &known())
}

/// What a source of grey 28 px images would fill in.
fn grey(plan: &mut Plan) -> Result<(), DataError> {
    plan.data.kind.get_or_insert("demo".into());
    plan.data.labels.get_or_insert("none".into());
    plan.data.channels.get_or_insert(1);
    plan.data.size.get_or_insert(28);
    plan.data.mean.get_or_insert(vec![0.286]);
    plan.data.std.get_or_insert(vec![0.353]);
    Ok(())
}

const SIMPLE: &str = r#"
[data]
path = "photos/"
[method]
name = "simclr"
temperature = 0.5
[[views]]
count = 2
augmentations = [
  { name = "random_resized_crop", scale = [0.3, 1] },
  { name = "horizontal_flip" },
]
[train]
batch_size = 64
"#;

#[test]
fn arguments_beat_the_recipe_which_beats_the_defaults() {
    let resolved = load_with(SIMPLE, &["batch_size=32", "views.0.augmentations.horizontal_flip.p=0.25", "seed=7"]);
    let resolved = resolved.expect("valid");
    let plan = &resolved.plan;
    assert_eq!((plan.seed, plan.train.batch_size, plan.train.chunk_size), (7, 32, Some(32)));
    assert_eq!(plan.train.epochs, TrainSettings::default().epochs);
    assert_eq!(plan.method["temperature"], Value::Float(0.5));
    assert_eq!(plan.views[0].augmentations[1]["p"], Value::Float(0.25));
    assert_eq!(plan.views[0].augmentations[0]["scale"], Value::Array(vec![0.3.into(), 1.0.into()]));
    assert_eq!(plan.out, PathBuf::from("runs/simclr-photos"));
    let origin = |path: &str| resolved.origin(path).expect(path).to_string();
    assert_eq!(origin("train.batch_size"), "command line");
    assert_eq!(origin("train.epochs"), "default");
    assert_eq!(origin("data.path"), "my.toml:3");
    assert_eq!(origin("method.temperature"), "my.toml:6");
    assert_eq!(origin("views.0.augmentations.0.scale"), "my.toml:10");
    assert_eq!(origin("views.0.augmentations.0.ratio"), "default");
    assert_eq!(origin("views.0.augmentations.1.p"), "command line");
}

#[test]
fn what_depends_on_the_data_is_filled_in_and_says_so() {
    let resolved = load_with(SIMPLE, &[]).and_then(|resolved| resolved.complete(grey)).expect("valid");
    assert_eq!((resolved.plan.views[0].size, resolved.plan.backbone.stem), (Some(28), Some(Stem::Small)));
    for path in ["data.size", "data.mean", "backbone.stem", "views.0.size"] {
        assert_eq!(resolved.origin(path), Some(&Origin::Data), "{path}");
    }
    let text = resolved.to_annotated_toml();
    assert!(text.contains("mean = [0.286]") && text.contains("# data"), "{text}");
    let bare = text.lines().filter(|line| line.contains(" = ") && !line.contains(" = [") && !line.contains('#'));
    assert_eq!(bare.collect::<Vec<_>>(), [""; 0], "every value tells its origin");
    let again = load(Some(&recipe(&text)), &[], &known())
        .and_then(|r| r.complete(grey))
        .expect("an annotated plan is a recipe");
    assert_eq!(again.plan, resolved.plan);
}

#[test]
fn views_left_out_suit_the_data() {
    let text = "[data]\npath = 'x'";
    let resolved = load_with(text, &[]).and_then(|r| r.complete(grey)).expect("the default views fit grey images");
    let names = |plan: &Plan| -> Vec<_> {
        plan.views[0].augmentations.iter().map(|t| t["name"].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(names(&resolved.plan), ["random_resized_crop", "horizontal_flip", "color_jitter"]);
    let photos = |plan: &mut Plan| {
        (plan.data.channels, plan.data.size) = (Some(3), Some(224));
        Ok(())
    };
    let resolved = load_with(text, &[]).and_then(|r| r.complete(photos)).expect("the default views fit photos");
    let all = ["random_resized_crop", "horizontal_flip", "color_jitter", "color_drop", "gaussian_blur"];
    assert_eq!(names(&resolved.plan), all);
    assert_eq!(resolved.plan.backbone.stem, Some(Stem::Imagenet));
}

#[test]
fn another_method_or_backbone_sheds_the_keys_of_the_recipe_s_own() {
    let text = format!("{SIMPLE}\n[backbone]\nname = 'resnet_micro'\nwidths = [8, 16]\nnorm = 'group'");
    let plan = load_with(&text, &["method=barlow_twins", "backbone=resnet18"]).expect("valid").plan;
    assert_eq!(plan.method, "name = 'barlow_twins'\nredundancy_weight = 0.005".parse::<Table>().expect("TOML"));
    assert_eq!((plan.backbone.widths, plan.backbone.norm), (None, Some(Norm::Group)));
    let plan = load_with(&text, &["backbone=vit_micro"]).expect("valid").plan;
    assert_eq!((plan.backbone.norm, plan.backbone.pool), (None, Some(Pool::Class)));
    let text =
        text.replace("resnet_micro", "vit_micro").replace("widths = [8, 16]\nnorm = 'group'", "dim = 8\npool = 'mean'");
    let plan = load_with(&text, &["backbone=vit_small"]).expect("valid").plan;
    assert_eq!((plan.backbone.dim, plan.backbone.pool), (None, Some(Pool::Mean)));
    let plan = load_with(&text, &["backbone=resnet18"]).expect("valid").plan;
    assert_eq!(plan.backbone, BackboneSettings { name: "resnet18".into(), ..BackboneSettings::default() });
    let kept = load_with(&text, &["method=simclr"]).expect("valid").plan;
    assert_eq!(kept.method["temperature"], Value::Float(0.5));
    let error = load_with(&text, &["method=barlow_twins", "method.temperature=1"]).expect_err("not its key");
    assert!(error.to_string().contains("method.temperature: unknown key"), "{error}");
}

/// Every message says which key, where, what was expected and what would work.
#[test]
fn mistakes_are_told_precisely() {
    let data = "[data]\npath = 'x'\n";
    let cases: &[(&str, &[&str], &str)] = &[
        ("[data]\npath = 'x'\nszie = 3", &[], "data.szie: unknown key; did you mean `data.size`? (from my.toml:3)"),
        (data, &["batchsize=3"], "batchsize: unknown key; did you mean `train.batch_size`? (from command line)"),
        (data, &["temprature=1"], "temprature: unknown key; did you mean `method.temperature`? (from command line)"),
        ("[trian]\nepochs = 3", &[], "trian.epochs: unknown key; did you mean `train.epochs`? (from my.toml:2)"),
        ("[optimizer]", &[], "optimizer: unknown key; did you mean `optimiser`? (from my.toml:1)"),
        (
            "[train]\nepochs = 'ten'",
            &[],
            "train.epochs: expected a whole number of at least 1, got the text \"ten\" (from my.toml:2)",
        ),
        (data, &["batch_size=1"], "train.batch_size: expected a whole number of at least 2, got 1 (from command line)"),
        (data, &["epochs=1.5"], "train.epochs: expected a whole number of at least 1, got 1.5 (from command line)"),
        (data, &["optimiser.base_lr=0"], "optimiser.base_lr: expected a number above 0, got 0 (from command line)"),
        (data, &["optimiser.base_lr=nan"], "optimiser.base_lr: expected a number above 0, got nan (from command line)"),
        (
            data,
            &["data.channels=17"],
            "data.channels: expected a whole number from 1 to 16, got 17 (from command line)",
        ),
        (
            data,
            &["optimiser.betas=[0.9]"],
            "optimiser.betas: expected a list of 2 numbers, each from 0 to below 1, got [0.9] (from command line)",
        ),
        (
            data,
            &["backbone.norm=layer"],
            "backbone.norm: expected `batch`, `group` or `none`, got the text \"layer\" (from command line)",
        ),
        (
            data,
            &["backbone=vit_micro", "backbone.norm=group"],
            "backbone.norm: a key of residual networks, which backbone.name = \"vit_micro\" does not know; drop it (it knows dim, depth,",
        ),
        (
            data,
            &["backbone.patch_size=4"],
            "backbone.patch_size: a key of vision transformers, which backbone.name = \"resnet_micro\" does not know",
        ),
        (
            data,
            &["backbone=vit_micro", "size=30"],
            "data.size: 30 is not a multiple of backbone.patch_size = 4; 28 or 32 would work, or a patch_size of 1, 2, 3, 5, 6, 10, 15 (from command line)",
        ),
        (
            SIMPLE,
            &["backbone=vit_micro", "backbone.patch_size=7", "views.0.size=12"],
            "views.0.size: 12 is not a multiple of backbone.patch_size = 7; 7 or 14 would work",
        ),
        (
            data,
            &["chunk_size=512"],
            "train.chunk_size: 512 is more than train.batch_size = 256; at most that works (from command line)",
        ),
        (
            data,
            &["epochs=2", "optimiser.warmup_epochs=3"],
            "optimiser.warmup_epochs: 3 is more than train.epochs = 2; a tenth of the epochs is usual (from command line)",
        ),
        (
            data,
            &["method=simclar"],
            "method.name: there is no method `simclar`; did you mean `simclr`? (there are simclr, barlow_twins, invariance_only) (from command line)",
        ),
        (
            data,
            &["method.temperature=warm"],
            "method.temperature: expected a number such as 0.2, got the text \"warm\" (from command line)",
        ),
        (data, &["seed.x=1"], "seed.x: `seed` is a value, it has no keys of its own (from command line)"),
        (data, &["seed"], "`seed`: expected key=value, e.g. epochs=20 or data=photos/"),
        (data, &["evaluate.per_class=[1,"], "evaluate.per_class: \"[1,\" is not a TOML value"),
        ("train = 3", &[], "train: expected a table, got 3 (from my.toml:1)"),
        ("seed = 1\nseed = 2", &[], "my.toml:2: duplicate key"),
        (
            "[views]\ncount = 2",
            &[],
            "views: expected a list of groups: write [[views]] with double brackets (from my.toml:1)",
        ),
        ("", &[], "data.path: missing; say what to train on, e.g. data=photos/ or data=demo"),
        (
            SIMPLE,
            &["views.0.count=0"],
            "views.0.count: expected a whole number from 1 to 64, got 0 (from command line)",
        ),
        (
            SIMPLE,
            &["views.3.count=1"],
            "views.3.count: `views` has the elements 0 to 0; there is no `3` (from command line)",
        ),
        (
            SIMPLE,
            &["views.0.augmentations.0.scael=1"],
            "views.0.augmentations.0.scael: unknown key; did you mean `views.0.augmentations.0.scale`? (from command line)",
        ),
        (SIMPLE, &["views.0.augmentations.blur.p=1"], "there is no `blur` (from command line)"),
        (
            SIMPLE,
            &["views.0.augmentations=[{name=\"flip\"}]"],
            "views.0.augmentations.0.name: there is no augmentation `flip`",
        ),
        (
            SIMPLE,
            &["views.0.augmentations=[{p=1}]"],
            "views.0.augmentations.0.name: missing; expected `random_resized_crop`",
        ),
        (SIMPLE, &["views.0.augmentations=7"], "views.0.augmentations: expected a list of tables such as"),
        (SIMPLE, &["views.0.augmentations.0.scale=[2, 1]"], "views.0.augmentations.0.scale: "),
        ("[data]\npath = 'x'\n[[views]]\nsize = 8", &[], "views.0.count: missing"),
        (
            "[data]\npath = 'x'\nmean = [0.1, 0.2]",
            &[],
            "data.mean: expected one number a channel, 1 in all, got 2 (from my.toml:3)",
        ),
    ];
    for (text, overrides, expected) in cases {
        let result = load_with(text, overrides).and_then(|resolved| resolved.complete(grey));
        let message = result.expect_err(expected).to_string();
        assert!(message.contains(expected), "expected {expected:?}\n     got {message:?}");
        assert!(!message.contains('\n'), "one line: {message:?}");
    }
}

#[test]
fn text_on_the_command_line_needs_no_quotes_and_stays_text() {
    let plan = load_with("", &["data=2024", "out=true", "method=\"simclr\""]).expect("valid").plan;
    assert_eq!((plan.data.path, plan.out), (PathBuf::from("2024"), PathBuf::from("true")));
}

#[test]
fn keys_and_plan_describe_one_schema() {
    let plan = Plan {
        data: DataSettings {
            kind: Some("idx".into()),
            channels: Some(1),
            labels: Some("none".into()),
            size: Some(28),
            mean: Some(vec![0.5]),
            std: Some(vec![0.5]),
            ..DataSettings::default()
        },
        // No backbone has all of them.
        backbone: BackboneSettings {
            widths: Some(vec![8]),
            stem: Some(Stem::Small),
            dim: Some(8),
            depth: Some(1),
            heads: Some(1),
            patch_size: Some(4),
            pool: Some(Pool::Class),
            positions: Some(Positions::Learned),
            drop_path: Some(0.1),
            ..BackboneSettings::default()
        },
        train: TrainSettings { chunk_size: Some(8), ..TrainSettings::default() },
        views: vec![ViewSettings {
            count: 2,
            size: Some(28),
            augmentations: vec!["name = 'horizontal_flip'".parse().expect("TOML")],
        }],
        ..Plan::default()
    };
    let tree = tree::Node::new(Value::Table(Table::try_from(&plan).expect("plain")), &Origin::Default);
    let mut paths = Vec::new();
    tree.visit("", &mut |path, _| paths.push(path.to_owned()));
    for path in &paths {
        assert!(keys::find(path).is_some(), "{path} is in the plan and not in KEYS");
    }
    for key in KEYS {
        let held = |path: &String| keys::find(path).is_some_and(|found| found.path == key.path);
        assert!(paths.iter().any(held), "{} is in KEYS and not in the plan", key.path);
    }
}

#[test]
fn recipes_of_the_house_are_valid_and_fit_a_screen() {
    for entry in RECIPES {
        let resolved = Recipe::builtin(entry.name).and_then(|recipe| load(Some(&recipe), &[], &known()));
        let resolved =
            resolved.and_then(|resolved| resolved.complete(grey)).unwrap_or_else(|e| panic!("{}: {e}", entry.name));
        assert!(entry.name.ends_with(resolved.plan.method_name()), "{} is named by its method", entry.name);
        assert!(entry.text.lines().count() <= 50, "{}", entry.name);
        assert!(entry.text.starts_with("# ") && entry.summary().len() > 20, "{}", entry.name);
    }
    let error = Recipe::builtin("simclar").expect_err("no such recipe").to_string();
    assert!(error.contains("did you mean `simclr`?"), "{error}");
}

#[test]
fn fingerprint_ignores_threads_and_out_and_nothing_else() {
    let plan = |overrides: &[&str]| load_with(SIMPLE, overrides).expect("valid").plan.fingerprint();
    let base = plan(&[]);
    assert_eq!(base.len(), 64);
    assert_eq!(base, plan(&["threads=3", "out=elsewhere"]));
    for change in ["seed=1", "data=other", "epochs=3", "method.temperature=0.4", "views.0.augmentations.1.p=0.1"] {
        assert_ne!(base, plan(&[change]), "{change}");
    }
}

/// Any plan that passes the checks.
fn plans() -> impl Strategy<Value = Plan> {
    let text = "[a-zA-Z0-9 ./\\\\'\"#=\u{e9}\n\t-]{1,20}";
    let positive = || prop_oneof![1e-9..1e-3, 1e-3..10.0f64];
    let method = prop_oneof![
        positive().prop_map(|t: f64| ("simclr", "temperature", t)),
        positive().prop_map(|w: f64| ("barlow_twins", "redundancy_weight", w)),
    ];
    let train = (1..1000usize, 2..5000usize, 0..100u64, positive(), 1..5usize);
    let optimiser = (positive(), 0.0..1.0, [0.0..1.0, 0.0..1.0], 0.0..=1.0f64, 0..3usize);
    let group = (1..4usize, 8..300usize, 0.01..0.9f64, 0.0..=1.0f64);
    let data = (0..i64::MAX as u64, text, text, 1..=16usize, prop::option::of(4..512usize));
    (data, method, train, optimiser, prop::collection::vec(group, 0..4), prop::collection::vec(-3f32..3.0, 16)).prop_map(
        |((seed, out, path, channels, size), method, train, optimiser, groups, constants)| {
            let mut plan = Plan { seed, out: out.into(), ..Plan::default() };
            plan.data.path = path.into();
            plan.data.channels = Some(channels);
            plan.data.size = size;
            plan.data.mean = Some(constants[..channels].to_vec());
            plan.data.std = Some(constants[..channels].iter().map(|v| v.abs() + 1e-3).collect());
            plan.method = Table::from_iter([("name".into(), method.0.into()), (method.1.into(), method.2.into())]);
            let (epochs, batch, steps, minutes, keep) = train;
            plan.train = TrainSettings {
                epochs,
                batch_size: batch,
                chunk_size: Some(1 + batch / 2),
                checkpoint_steps: steps,
                checkpoint_minutes: minutes,
                keep_checkpoints: keep,
                ..TrainSettings::default()
            };
            plan.optimiser.base_lr = optimiser.0;
            plan.optimiser.momentum = optimiser.1;
            plan.optimiser.betas = optimiser.2;
            plan.optimiser.final_lr_share = optimiser.3;
            plan.optimiser.name = [OptimiserName::Sgd, OptimiserName::Adamw, OptimiserName::Lars][optimiser.4];
            plan.views = groups
                .into_iter()
                .map(|(count, size, low, p)| {
                    let list = format!(
                        "a = [{{ name = 'random_resized_crop', scale = [{low:?}, 1.0], ratio = [0.75, 1.3333333], p = 1.0 }},\
                         {{ name = 'horizontal_flip', p = {p:?} }}]"
                    );
                    let list = list.parse::<Table>().expect("TOML")["a"].as_array().expect("a list").clone();
                    let augmentations = list.into_iter().map(|v| v.try_into().expect("tables")).collect();
                    ViewSettings { count, size: Some(size), augmentations }
                })
                .collect();
            plan
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_plan_written_and_loaded_is_the_same_plan(plan in plans()) {
        let text = plan.to_toml();
        let loaded = load(Some(&recipe(&text)), &[], &known());
        prop_assert_eq!(&loaded.map_err(|e| TestCaseError::fail(e.to_string()))?.plan, &plan, "{}", text);
        let read: Plan = toml::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(read.fingerprint(), plan.fingerprint());
        prop_assert_eq!(read, plan);
    }
}
