//! Loading, overriding, provenance and round trips of plans, as a user meets them.

use proptest::prelude::*;
use selfsame::Error;
use selfsame::backbones::resnet::Stem;
use selfsame::catalogue::{Catalogue, Planned};
use selfsame::plan::Plan;
use selfsame::run::PLAN_HEADER;
use selfsame_config::{KeyRow, Origin, Recipe};
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

fn recipe(text: &str) -> Recipe {
    Recipe { name: "my.toml".into(), text: text.into() }
}

fn words(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|word| (*word).to_owned()).collect()
}

/// The plan of a recipe on the bundled images.
fn planned(text: &str, arguments: &[&str]) -> Result<Planned, Error> {
    Catalogue::default().plan(Some(&recipe(text)), &words(arguments))
}

/// What data would tell, as arguments; nothing is opened.
fn facts(channels: usize, size: usize) -> Vec<String> {
    let constants = vec!["0.5"; channels].join(", ");
    let mut facts = words(&["data.kind=folder", "data.labels=none", "data.fingerprint=none"]);
    facts.extend([
        format!("data.channels={channels}"),
        format!("data.size={size}"),
        format!("data.mean=[{constants}]"),
        format!("data.std=[{constants}]"),
    ]);
    facts
}

/// The plan of a recipe for gray 28 px images that need not be there.
fn stated(text: &str, arguments: &[&str]) -> Result<Plan, Error> {
    Catalogue::default().plan_as_stated(Some(&recipe(text)), &[facts(1, 28), words(arguments)].concat())
}

const SIMPLE: &str = r#"
[data]
path = "demo"
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

/// A folder of 103 small color photos, portrait and landscape.
fn photos(folder: &Path) {
    for index in 0..103u8 {
        let (width, height) = if index % 2 == 0 { (72, 80) } else { (96, 72) };
        let mut file = format!("P6 {width} {height} 255\n").into_bytes();
        file.extend((0..width * height * 3).map(|i: usize| (i as u8).wrapping_mul(index)));
        std::fs::write(folder.join(format!("{index}.ppm")), file).unwrap();
    }
}

#[test]
fn every_method_starts_on_ones_own_data_by_its_name_alone() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path());
    let catalogue = Catalogue::default();
    for method in catalogue.methods().iter().filter(|method| method.modalities.contains(&Modality::Image)) {
        for data in [folder.path().to_str().unwrap(), "demo"] {
            let arguments = [format!("data={data}"), format!("method={}", method.name)];
            match catalogue.plan_fitted(&arguments) {
                Ok(Planned { plan, .. }) => {
                    let photos = data != "demo";
                    assert_eq!(plan.data.size, Size::square(if photos { 72 } else { 28 }), "{}", method.name);
                    assert!(!photos || plan.train.batch_size == 32, "{}", method.name);
                }
                Err(error) => {
                    let error = error.to_string();
                    assert!(method.name == "clusterfit" && error.starts_with("method.source: missing"), "{error}");
                }
            }
        }
    }
    // What is said counts, and what hangs on it follows.
    let said = ["method=moco", "batch_size=20", "epochs=30", "backbone=vit_micro"];
    let arguments = [words(&said), vec![format!("data={}", folder.path().display())]].concat();
    let planned = catalogue.plan_fitted(&arguments).unwrap();
    assert_eq!((planned.plan.train.batch_size, planned.plan.train.epochs), (20, 30));
    assert_eq!(planned.plan.method.keys["queue"].as_integer(), Some(100));
    assert!(planned.notes().is_empty(), "{:?}", planned.notes());
    let origin = planned.resolved.origin("method.queue").unwrap().to_string();
    assert_eq!(origin, "the method's recipe, fitted to the data");
}

#[test]
fn arguments_beat_the_recipe_which_beats_the_defaults() {
    let planned =
        planned(SIMPLE, &["batch_size=32", "views.0.augmentations.horizontal_flip.p=0.25", "seed=7"]).unwrap();
    let plan = &planned.plan;
    assert_eq!((plan.seed, plan.train.batch_size, plan.train.chunk_size), (7, 32, 32));
    assert_eq!(plan.train.epochs, 100);
    assert_eq!(plan.method.keys["temperature"], Value::Float(0.5));
    assert_eq!(plan.views[0].augmentations[1].keys["p"], Value::Float(0.25));
    assert_eq!(plan.views[0].augmentations[0].keys["scale"], Value::Array(vec![0.3.into(), 1.0.into()]));
    assert_eq!(plan.out, PathBuf::from("runs/simclr-demo"));
    let origin = |path: &str| planned.resolved.origin(path).expect(path).to_string();
    assert_eq!(origin("train.batch_size"), "arguments");
    assert_eq!(origin("train.chunk_size"), "train.batch_size");
    assert_eq!(origin("train.epochs"), "default");
    assert_eq!(origin("data.path"), "my.toml:3");
    assert_eq!(origin("method.temperature"), "my.toml:6");
    assert_eq!(origin("views.0.augmentations.0.scale"), "my.toml:10");
    assert_eq!(origin("views.0.augmentations.0.ratio"), "default");
    assert_eq!(origin("views.0.augmentations.1.p"), "arguments");
}

#[test]
fn what_depends_on_the_data_is_filled_in_and_says_so() {
    let first = planned(SIMPLE, &[]).unwrap();
    assert_eq!(first.plan.views[0].size, Size::square(28));
    for path in ["data.size", "data.mean", "data.fingerprint"] {
        assert_eq!(first.resolved.origin(path), Some(&Origin::Data), "{path}");
    }
    assert_eq!(first.resolved.origin("views.0.size").unwrap().to_string(), "data.size");
    assert_eq!(
        first.resolved.origin("backbone.stem").unwrap().to_string(),
        "small up to 64 px, or 256 steps in time; imagenet above"
    );
    let text = first.to_annotated_toml();
    assert!(text.contains("# data") && text.contains("# my.toml:6"), "{text}");
    let bare = text.lines().filter(|line| line.contains(" = ") && !line.contains(" = [") && !line.contains('#'));
    assert_eq!(bare.collect::<Vec<_>>(), [""; 0], "every value tells its origin");
    let again = planned(&text, &[]).expect("an annotated plan is a recipe");
    assert_eq!(again.plan, first.plan);
    let error = planned(&text, &["data=demo/test"]).err().expect("other data").to_string();
    assert!(error.contains("data.fingerprint") && error.contains("my.toml:") && error.contains("drop"), "{error}");
    let warned = planned(&text, &["data=demo/test", "data.on_data_change=warn"]).expect("told");
    assert!(warned.notes().iter().any(|note| note.contains("data.fingerprint")), "{:?}", warned.notes());
    assert_eq!(warned.plan.data.fingerprint, warned.dataset.fingerprint().unwrap());
    assert_eq!(warned.plan.data.mean, first.plan.data.mean);
}

#[test]
fn views_left_out_suit_the_data() {
    let names = |plan: &Plan| -> Vec<_> { plan.views[0].augmentations.iter().map(|a| a.name.clone()).collect() };
    let gray = stated("[data]\npath = 'x'", &[]).unwrap();
    assert_eq!(names(&gray), ["random_resized_crop", "horizontal_flip", "color_jitter"]);
    let photos = [facts(3, 224), words(&["data=x", "train.chunk_size=8"])].concat();
    let photos = Catalogue::default().plan_as_stated(None, &photos).unwrap();
    let all = ["random_resized_crop", "horizontal_flip", "color_jitter", "color_drop", "gaussian_blur"];
    assert_eq!(names(&photos), all);
    let stem = Value::try_from(Stem::Imagenet).unwrap();
    assert_eq!(photos.backbone.keys["stem"], stem);
}

#[test]
fn another_method_or_backbone_sheds_the_keys_of_the_recipes_own_and_says_so() {
    let text = format!("{SIMPLE}\n[backbone]\nname = 'resnet_micro'\nwidths = [8, 16]\nnorm = 'group'");
    let other = planned(&text, &["method=barlow_twins", "backbone=resnet18"]).unwrap();
    assert_eq!(other.plan.method.keys, "redundancy_weight = 0.0051".parse::<Table>().unwrap());
    assert_eq!(other.plan.backbone.keys.get("widths"), None);
    assert_eq!(other.plan.backbone.keys["norm"].as_str(), Some("group"));
    assert_eq!(
        other.notes(),
        [
            "method.name = \"barlow_twins\" takes the place of \"simclr\", whose keys are dropped: temperature",
            "backbone.name = \"resnet18\" takes the place of \"resnet_micro\", whose keys are dropped: widths",
        ]
    );
    let plan = stated(&text, &["backbone=vit_micro"]).unwrap();
    assert!(!plan.backbone.keys.contains_key("norm") && plan.backbone.keys["pool"].as_str() == Some("class"));
    let vit = text
        .replace("resnet_micro", "vit_micro")
        .replace("widths = [8, 16]\nnorm = 'group'", "dim = 12\npool = 'mean'");
    let plan = stated(&vit, &["backbone=vit_small"]).unwrap();
    assert!(!plan.backbone.keys.contains_key("dim") && plan.backbone.keys["pool"].as_str() == Some("mean"));
    let plan = stated(&vit, &["backbone=ResNet18"]).expect("case is forgiven");
    assert_eq!(plan.backbone.keys.keys().collect::<Vec<_>>(), ["norm", "stem", "zero_init_last"]);
    let kept = planned(&text, &["method=simclr"]).unwrap();
    assert_eq!((kept.plan.method.keys["temperature"].as_float(), kept.notes().len()), (Some(0.5), 0));
    let error = stated(&text, &["method=barlow_twins", "method.temperature=1"]).expect_err("not its key").to_string();
    assert!(
        error.contains("method.temperature: a key of method `simclr`, which `barlow_twins` does not read"),
        "{error}"
    );
    let text = text.replace("temperature = 0.5", "temperature = 0.5\nredundancy_weight = 1");
    let error = stated(&text, &[]).expect_err("written for another").to_string();
    assert!(error.contains("method.redundancy_weight: a key of method `barlow_twins`, which `simclr`"), "{error}");
}

/// Every message says which key, where, what was expected and what would work.
#[test]
fn mistakes_are_told_precisely() {
    let data = "[data]\npath = 'x'\n";
    let cases: &[(&str, &[&str], &str)] = &[
        ("[data]\npath = 'x'\nszie = 3", &[], "data.szie: unknown key; did you mean `data.size`? (from my.toml:3)"),
        (data, &["batchsize=3"], "batchsize: unknown key; did you mean `train.batch_size`? (from arguments)"),
        (data, &["temprature=1"], "temprature: unknown key; did you mean `method.temperature`? (from arguments)"),
        ("[trian]\nepochs = 3", &[], "trian.epochs: unknown key; did you mean `train.epochs`? (from my.toml:2)"),
        ("[optimiser]", &[], "optimiser: unknown key; did you mean `optimizer`? (from my.toml:1)"),
        (
            "[train]\nepochs = 'ten'",
            &[],
            "train.epochs: expected a whole number from 1 to 1000000, got the text \"ten\" (from my.toml:2)",
        ),
        (
            data,
            &["batch_size=1"],
            "train.batch_size: expected a whole number from 2 to 1000000, got 1 (from arguments)",
        ),
        (data, &["epochs=1.5"], "train.epochs: expected a whole number from 1 to 1000000, got 1.5 (from arguments)"),
        (data, &["optimizer.base_lr=0"], "optimizer.base_lr: expected a number above 0, got 0 (from arguments)"),
        (data, &["optimizer.base_lr=nan"], "optimizer.base_lr: expected a number above 0, got nan (from arguments)"),
        (data, &["data.channels=17"], "data.channels: 17, expected at most 16 of images (from arguments)"),
        (
            data,
            &["optimizer=adamw", "optimizer.betas=[0.9]"],
            "optimizer.betas: expected a list of 2 numbers, each from 0 to below 1, got [0.9] (from arguments)",
        ),
        (
            data,
            &["optimizer.betas=[0.9, 0.99]"],
            "optimizer.betas: a key of optimizer `adamw`, which `sgd` does not read; drop it",
        ),
        (
            data,
            &["backbone.norm=layer"],
            "backbone.norm: expected `batch`, `group` or `none`, got the text \"layer\" (from arguments)",
        ),
        (
            data,
            &["backbone=vit_micro", "backbone.norm=group"],
            "backbone.norm: a key of backbone `resnet_micro`, which `vit_micro` does not read; drop it (it reads dim, depth,",
        ),
        (
            data,
            &["backbone.patch_size=4"],
            "backbone.patch_size: a key of backbone `vit_micro`, which `resnet_micro` does not read",
        ),
        (
            data,
            &["backbone=vit_micro", "size=30"],
            "data.size: 30 is not a multiple of backbone.patch_size = 4; 28 or 32 would work, or a patch_size of 1, 2, 3, 5, 6, 10, 15 (from arguments)",
        ),
        (
            SIMPLE,
            &["backbone=vit_micro", "backbone.patch_size=7", "views.0.size=12"],
            "views.0.size: 12 is not a multiple of backbone.patch_size = 7; 7 or 14 would work",
        ),
        (
            data,
            &["chunk_size=512"],
            "train.chunk_size: 512 is more than train.batch_size = 256; at most that works (from arguments)",
        ),
        (
            data,
            &["method=simclar"],
            "method.name: there is no method `simclar`; did you mean `simclr`? (there are simclr, moco,",
        ),
        (
            data,
            &["method.temperature=warm"],
            "method.temperature: expected a number above 0, got the text \"warm\" (from arguments)",
        ),
        (data, &["seed.x=1"], "seed.x: `seed` is a value, it has no keys of its own (from arguments)"),
        (data, &["seed"], "`seed`: expected key=value, e.g. epochs=20 or data=photos/"),
        (data, &["evaluate.per_class=[1,"], "evaluate.per_class: \"[1,\" is not a TOML value"),
        ("train = 3", &[], "train: expected a table, got 3 (from my.toml:1)"),
        ("seed = 1\nseed = 2", &[], "my.toml:2: duplicate key"),
        (
            "[views]\ncount = 2",
            &[],
            "views: expected a list of groups: write [[views]] with double brackets (from my.toml:1)",
        ),
        ("", &[], "data.path: missing: folder or file"),
        (SIMPLE, &["views.0.count=0"], "views.0.count: expected a whole number from 1 to 64, got 0 (from arguments)"),
        (
            SIMPLE,
            &["views.3.count=1"],
            "views.3.count: `views` has the elements 0 to 0; there is no `3` (from arguments)",
        ),
        (
            SIMPLE,
            &["views.0.augmentations.0.scael=1"],
            "views.0.augmentations.0.scael: unknown key; did you mean `views.0.augmentations.0.scale`? (from arguments)",
        ),
        (SIMPLE, &["views.0.augmentations.blur.p=1"], "there is no `blur` (from arguments)"),
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
        (SIMPLE, &["views.0.augmentations.0.scale=[2, 1]"], "views.0.augmentations.0.scale: expected [low, high]"),
        ("[data]\npath = 'x'\n[[views]]\nsize = 8", &[], "views.0.count: missing: views of this group per sample"),
        (data, &["data.mean=[0.1, 0.2]"], "data.mean: expected one number per channel, 1 in all, got 2"),
        (data, &["views=[]"], "views: expected at least one group, got an empty list"),
        (data, &["device=tpu"], "device: "),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(text, arguments, expected)| {
            let message = stated(text, arguments).expect_err(expected).to_string();
            let fine = message.contains(expected) && !message.contains('\n');
            (!fine).then(|| format!("expected {expected:?}\n     got {message:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// In a recipe, on the command line and in a `plan.toml`; before anything is allocated or started.
#[test]
fn what_no_machine_could_do_is_refused_before_it_is_tried() {
    let cases: &[(&str, &str, &str)] = &[
        ("train.checkpoint_minutes", "1e300", "train.checkpoint_minutes: expected a number above 0 up to 1000000"),
        ("train.checkpoint_minutes", "-5.0", "train.checkpoint_minutes"),
        ("train.checkpoint_minutes", "nan", "train.checkpoint_minutes"),
        ("train.batch_size", "0", "train.batch_size: expected a whole number from 2"),
        ("evaluate.knn_k", "0", "evaluate.knn_k: expected a whole number of at least 1, got 0"),
        ("data.max_megapixels", "1e15", "data.max_megapixels: expected a number above 0 up to 10000"),
        ("train.epochs", "4611686018427387904", "train.epochs: expected a whole number from 1 to 1000000"),
        ("threads", "4000000000", "threads: expected a whole number from 0 to 1024"),
        ("views.0.count", "1000000000", "views.0.count: expected a whole number from 1 to 64"),
        ("projector.hidden", "1000000000000", "projector.hidden: expected a whole number from 1 to 65536"),
        (
            "backbone.widths",
            "[1099511627776]",
            "backbone.widths: expected a list of whole numbers, each from 1 to 8192",
        ),
        ("data.size", "1000000000", "data.size: expected a whole number from 1 to 65536, or [height, width]"),
        ("backbone.widths", "[8192, 8192, 8192, 8192]", "a step needs at least"),
    ];
    let whole = stated(SIMPLE, &[]).unwrap().to_toml();
    let folder = tempfile::tempdir().unwrap();
    for (key, value, expected) in cases {
        let argument = format!("{key}={value}");
        let on_the_command_line = stated(SIMPLE, &[&argument]).expect_err(&argument).to_string();
        let mut edited: Table = whole.parse().unwrap();
        set(&mut edited, key, value);
        let in_a_recipe = Catalogue::default().plan_as_stated(Some(&recipe(&edited.to_string())), &[]);
        std::fs::write(folder.path().join("plan.toml"), format!("{PLAN_HEADER}{edited}")).unwrap();
        let in_a_plan = Catalogue::default().load(folder.path(), &[]);
        let in_files = [in_a_recipe, in_a_plan].map(|plan| plan.expect_err(&argument).to_string());
        for message in [&on_the_command_line, &in_files[0], &in_files[1]] {
            assert!(message.contains(expected) && !message.contains('\n'), "{argument}: {message}");
        }
    }
    let patch = stated(SIMPLE, &["backbone=vit_micro", "backbone.patch_size=0"]).unwrap_err().to_string();
    assert!(patch.contains("backbone.patch_size: expected a whole number from 1 to 256, got 0"), "{patch}");
    for key in ["size", "mean", "std"] {
        let mut edited: Table = whole.parse().unwrap();
        edited["data"].as_table_mut().unwrap().remove(key);
        std::fs::write(folder.path().join("plan.toml"), format!("{PLAN_HEADER}{edited}")).unwrap();
        let message = Catalogue::default().load(folder.path(), &[]).expect_err(key).to_string();
        assert!(
            message.contains(&format!("data.{key}: missing: ")) && message.contains("put the line back"),
            "{message}"
        );
    }
}

/// Puts a TOML value at a dotted path.
fn set(table: &mut Table, path: &str, value: &str) {
    let mut parsed: Table = format!("value = {value}").parse().unwrap();
    let value = parsed.remove("value").unwrap();
    match path.split_once('.') {
        None => drop(table.insert(path.into(), value)),
        Some(("views", rest)) => {
            let key = rest.split_once('.').unwrap().1;
            table["views"].as_array_mut().unwrap()[0].as_table_mut().unwrap().insert(key.into(), value);
        }
        Some((section, key)) => drop(table[section].as_table_mut().unwrap().insert(key.into(), value)),
    }
}

#[test]
fn a_warm_up_longer_than_the_training_is_scaled_and_told() {
    let planned = planned(SIMPLE, &["epochs=1", "optimizer.warmup_epochs=2"]).unwrap();
    assert_eq!(planned.plan.optimizer.common.warmup_epochs, 0.1);
    assert_eq!(planned.notes().len(), 1);
    assert!(planned.notes()[0].contains("optimizer.warmup_epochs = 2 is more than train.epochs = 1"));
}

#[test]
fn text_on_the_command_line_needs_no_quotes_and_stays_text() {
    let plan = stated("", &["data=2024", "out=true", "method=\"simclr\""]).unwrap();
    assert_eq!((plan.data.path, plan.out), (PathBuf::from("2024"), PathBuf::from("true")));
}

#[test]
fn the_schema_and_plans_have_the_same_keys() {
    let catalogue = Catalogue::default();
    let rows = catalogue.schema().rows();
    let plain = |path: &str| {
        path.split('.').map(|p| if p.parse::<usize>().is_ok() { "*" } else { p }).collect::<Vec<_>>().join(".")
    };
    let mut seen = std::collections::BTreeSet::new();
    for more in [&[][..], &["optimizer=adamw"], &["optimizer=lars"], &["backbone=vit_micro"]] {
        let mut tables = vec![(String::new(), Value::Table(stated(SIMPLE, more).unwrap().to_table()))];
        while let Some((path, value)) = tables.pop() {
            let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
            match value {
                Value::Table(table) => tables.extend(table.into_iter().map(|(key, value)| (below(&key), value))),
                Value::Array(items) if items.iter().any(Value::is_table) => {
                    tables.extend(items.into_iter().enumerate().map(|(i, value)| (below(&i.to_string()), value)));
                }
                _ => {
                    let path = plain(&path);
                    assert!(rows.iter().any(|row| row.path == path), "{path} is in the plan and not in the schema");
                    seen.insert(path);
                }
            }
        }
    }
    let of_no_catalogue = |row: &&KeyRow| row.of.is_empty();
    for row in rows.iter().filter(of_no_catalogue) {
        assert!(seen.contains(&row.path), "{} is in the schema and not in the plan", row.path);
        assert!(!row.meaning.is_empty() && !row.kind.is_empty(), "{row:?}");
    }
}

#[test]
fn records_caches_and_places_make_no_other_plan_and_everything_else_does() {
    let plan = |more: &[&str]| stated(SIMPLE, more).unwrap();
    let base = plan(&[]);
    assert_eq!(base.fingerprint().len(), 64);
    for same in [
        "threads=3",
        "out=elsewhere",
        "data=moved/there",
        "evaluate.knn_k=7",
        "evaluate.per_class=[1]",
        "train.log_steps=9",
        "train.checkpoint_steps=3",
        "train.checkpoint_minutes=1",
        "train.keep_checkpoints=1",
        "data.max_bad_share=0.5",
        "data.cache_mb=1",
    ] {
        assert_eq!(base.fingerprint(), plan(&[same]).fingerprint(), "{same}");
        assert_eq!(plan(&[same]).differences(&base.identity()), [""; 0], "{same}");
    }
    for (change, told) in [
        ("seed=1", "seed 0 → 1"),
        ("epochs=3", "train.epochs 100 → 3"),
        ("data.fingerprint=other", "data.fingerprint \"none\" → \"other\""),
        ("method.temperature=0.4", "method.temperature 0.5 → 0.4"),
        ("views.0.augmentations.1.p=0.1", "views.0.augmentations.1.p 0.5 → 0.1"),
    ] {
        assert_ne!(base.fingerprint(), plan(&[change]).fingerprint(), "{change}");
        assert_eq!(plan(&[change]).differences(&base.identity()), [told]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_plan_written_and_loaded_is_the_same_plan(
        seed in 0..i64::MAX as u64,
        out in "[a-zA-Z0-9 ./\\\\'\"#=\u{e9}\n\t-]{1,20}",
        method in prop_oneof![Just(("simclr", "temperature")), Just(("barlow_twins", "redundancy_weight"))],
        value in prop_oneof![1e-9..1e-3, 1e-3..10.0f64],
        channels in 1..=16usize,
        size in 4..128usize,
        train in (1..1000usize, 2..500usize, 0..100u64, 1e-3..10.0f64),
        optimizer in (prop_oneof![Just("sgd"), Just("adamw"), Just("lars")], 1e-6..10.0f64, 0.0..=1.0f64),
        constants in prop::collection::vec(-3f32..3.0, 16),
        low in 0.01..0.9f64,
    ) {
        let (epochs, batch, steps, minutes) = train;
        let list = |values: &mut dyn Iterator<Item = f32>| {
            format!("{:?}", values.map(|v| v.to_string().parse::<f64>().unwrap()).collect::<Vec<_>>())
        };
        let mut own = constants[..channels].iter().copied();
        let mean = list(&mut own);
        let std = list(&mut constants[..channels].iter().map(|v| v.abs() + 1e-3));
        let arguments = [
            format!("seed={seed}"),
            format!("out={}", Value::String(out)),
            "data=x".into(),
            "data.kind=folder".into(),
            "data.labels=none".into(),
            "data.fingerprint=none".into(),
            format!("data.channels={channels}"),
            format!("data.size={size}"),
            format!("data.mean={mean}"),
            format!("data.std={std}"),
            format!("method={}", method.0),
            format!("method.{}={value:?}", method.1),
            format!("epochs={epochs}"),
            format!("batch_size={batch}"),
            format!("chunk_size={}", 1 + batch / 2),
            format!("train.checkpoint_steps={steps}"),
            format!("train.checkpoint_minutes={minutes:?}"),
            format!("optimizer={}", optimizer.0),
            format!("optimizer.base_lr={:?}", optimizer.1),
            format!("optimizer.final_lr_share={:?}", optimizer.2),
            "optimizer.warmup_epochs=0".into(),
            format!("views=[{{count=2, augmentations=[{{name='random_resized_crop', scale=[{low:?}, 1.0]}}]}}]"),
        ];
        let catalogue = Catalogue::default();
        let plan = catalogue.plan_as_stated(None, &arguments).map_err(|e| TestCaseError::fail(e.to_string()))?;
        let text = plan.to_toml();
        let again = catalogue.plan_as_stated(Some(&recipe(&text)), &[]).map_err(|e| TestCaseError::fail(e.to_string()))?;
        prop_assert_eq!(again.to_toml(), text);
        prop_assert_eq!(again.fingerprint(), plan.fingerprint());
        prop_assert_eq!(again, plan);
    }
}
