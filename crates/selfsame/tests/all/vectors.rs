//! Vectors go the way of images: the same bytes for any threads and after any interruption, and the plan that is theirs.

use super::training::{encoder, losses, method, train, train_to};
use selfsame::catalogue::{Catalogue, METHODS, Planned};
use selfsame::diagnose::{self, Examined};
use selfsame::embed::{Pixels, Tables, Wanted};
use selfsame::tensor::parameters::read_safetensors;
use selfsame::weights::WeightsOf;
use selfsame_base::delimited::Delimited;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::modality::Modality;
use selfsame_evaluate::training::Training;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// 60 rows of two kinds: four numbers, a flag with gaps, a category, and the label.
fn table(folder: &Path) -> String {
    let mut rng = StreamRng::new(5, Purpose::Survey, 0, 0, 0);
    let mut text = "a,b,c,d,flag,color,kind\n".to_owned();
    for row in 0..60 {
        let center = if row % 2 == 0 { 2.0 } else { -2.0 };
        let [a, b, c, d] = std::array::from_fn(|_| center + rng.normal());
        let (flag, color) = (["yes", "no", ""][row % 3], ["red", "blue"][rng.below(2)]);
        writeln!(text, "{a},{b},{c},{d},{flag},{color},{}", ["even", "odd"][row % 2]).unwrap();
    }
    let path = folder.join("rows.csv");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn try_planned(folder: &Path, run: &str, more: &[&str]) -> Result<Planned, selfsame::Error> {
    let mut arguments = vec![
        format!("data={}", table(folder)),
        format!("out={}", folder.join(run).display()),
        "data.label_column=kind".into(),
        "epochs=3".into(),
        "batch_size=12".into(),
        "train.checkpoint_steps=4".into(),
    ];
    arguments.extend(more.iter().map(|&word| word.to_owned()));
    Catalogue::default().plan_fitted(&arguments)
}

const SMALL: [&str; 2] = ["backbone=mlp", "backbone.width=16"];

#[test]
fn a_table_trains_with_methods_made_for_images_and_resumes_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    for (index, entry) in METHODS.iter().filter(|entry| entry.modalities.contains(&Modality::Vector)).enumerate() {
        let name = entry.name;
        let method = format!("method={name}");
        let source = format!("method.source={}", folder.path().join("simclr-whole").display());
        let backbone = match name {
            "deep_belief_network" => ["backbone=belief_network", "backbone.widths=[9, 7]"],
            _ => SMALL,
        };
        let mut more = [&backbone[..], &[&method, ["chunk_size=12", "chunk_size=5"][index % 2]]].concat();
        if name == "clusterfit" {
            more.extend([source.as_str(), "method.clusters=4"]);
        }
        let run = |run: &str, threads: &str| {
            try_planned(folder.path(), &format!("{name}-{run}"), &[&more[..], &[threads]].concat()).unwrap()
        };
        let (whole, parts) = (run("whole", "threads=1"), run("parts", "threads=3"));
        assert_eq!((whole.plan.data.modality, whole.plan.data.channels), (Modality::Vector, 8));
        train(&whole.plan, &whole.dataset);
        train_to(&parts.plan, &parts.dataset, 6);
        train(&parts.plan, &parts.dataset);
        assert_eq!(losses(&whole.plan), losses(&parts.plan), "{name}");
        assert!(encoder(&whole.plan) == encoder(&parts.plan), "{name}");
    }
}

#[test]
fn a_trained_table_is_embedded_and_diagnosed_without_a_word_about_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let Planned { plan, dataset, .. } = try_planned(folder.path(), "run", &SMALL).unwrap();
    train(&plan, &dataset);
    let branch = |weights| (method(&plan).branch)(&plan, weights, &mut |_| {}).unwrap();
    let (branch, untrained) = (branch(WeightsOf::Trained), branch(WeightsOf::Fresh));
    let wanted = Wanted { raw: Pixels::Whole, ..Wanted::default() };
    let tables = Tables::embed(&branch, &dataset, &plan, None, wanted, &mut |_| {}).unwrap();
    assert_eq!((tables.h.dim, tables.raw.dim, tables.h.classes.len()), (16, 8, 2));
    // What an encoder is given is standardized.
    for feature in 0..8 {
        let values: Vec<f32> = tables.raw.values.iter().skip(feature).step_by(8).copied().collect();
        let mean = values.iter().sum::<f32>() / 60.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 60.0;
        assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3, "{feature}: {mean} {variance}");
    }
    let examined = Examined { plan: &plan, branch: &branch, dataset: &dataset };
    let plain = examined.embed(60, &mut |_| {}).unwrap();
    assert!(plain.trivial.is_empty());
    let observed = diagnose::observe(examined, &untrained, &plain, Training::default(), &mut |_| {}).unwrap();
    let diagnosis = format!("{:?}", observed.diagnose().unwrap());
    assert!(!diagnosis.contains("pixels") && !diagnosis.contains("corner"), "{diagnosis}");
}

#[test]
fn what_is_for_images_is_refused_on_vectors_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |more: &[&str]| try_planned(folder.path(), "run", more).err().expect("refused").to_string();
    assert!(
        refused(&["backbone=resnet18"])
            .contains("resnet18 is not for vectors, which the data are; `mlp` or `belief_network` works")
    );
    assert!(refused(&["method=rotation"]).contains("rotation is for images, the data are vectors"));
    assert!(refused(&["method=masked_autoencoder"]).contains("masked_autoencoder is for images"));
    assert!(refused(&["data.size=8"]).contains("the data are vectors: expected 1"));
    assert!(refused(&["data.modality=image"]).contains("holds vectors"));
    let views = "views=[{ count = 2, augmentations = [{ name = \"gaussian_blur\" }] }]";
    assert!(refused(&[views]).contains(
        "gaussian_blur is for images, these data are vectors; expected `gaussian_noise`, `feature_corruption`"
    ));
    let images = |more: &str| {
        let arguments = ["data=demo".to_owned(), format!("out={}", folder.path().join("demo").display()), more.into()];
        Catalogue::default().plan(None, &arguments).err().expect("refused").to_string()
    };
    assert!(images("backbone=mlp").contains("mlp is not for images"));
    let views = "views=[{ count = 2, augmentations = [{ name = \"mixup\" }] }]";
    assert!(images(views).contains("mixup is for vectors, these data are images"));
    assert!(images("data.channels=17").contains("data.channels"));
}

#[test]
fn keys_of_the_backbone_for_vectors_need_no_name_and_those_of_another_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let Planned { plan, .. } = try_planned(folder.path(), "run", &["backbone.width=24", "backbone.norm=none"]).unwrap();
    assert_eq!((plan.backbone.name(), plan.backbone.keys["width"].as_integer()), ("mlp", Some(24)));
    let error = try_planned(folder.path(), "run", &["backbone.widths=[8]"]).err().unwrap().to_string();
    assert!(error.contains("backbone.widths: a key of backbone `resnet_micro`, which `mlp` does not read"), "{error}");
}

#[test]
fn data_of_another_modality_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let Planned { plan, dataset, .. } = try_planned(folder.path(), "run", &SMALL).unwrap();
    train(&plan, &dataset);
    let error = plan.sibling(Path::new("demo"), 0).err().unwrap().to_string();
    assert_eq!(error, "data.modality: demo holds images, expected vectors");
    let init = format!("init={}", plan.out.display());
    let arguments = [init, "data=demo".into(), format!("out={}", folder.path().join("next").display())];
    let error = Catalogue::default().plan_fitted(&arguments).err().unwrap().to_string();
    assert!(error.contains("data.modality") && error.contains("demo holds images, expected vectors"), "{error}");
}

/// Another table has its columns in another order, fewer values of a category, one that is new, gaps, and no label.
#[test]
fn another_table_becomes_the_features_that_the_encoder_knows() {
    let folder = tempfile::tempdir().unwrap();
    let Planned { plan, dataset, .. } = try_planned(folder.path(), "run", &SMALL).unwrap();
    train(&plan, &dataset);
    assert_eq!(plan.data.columns, ["a", "b", "c", "d", "flag\t", "color\tblue\tred"]);
    let other = folder.path().join("other.csv");
    fs::write(&other, "color,e,d,c,b,a,flag\nred,9,4,3,2,1,yes\ngreen,9,8,7,6,5,\n").unwrap();
    let other = plan.sibling(&other, 0).unwrap();
    let row = |index: usize| other.with_sample(index, |sample| format!("{:?}", sample.pixels)).unwrap();
    assert_eq!(row(0), "F32([1.0, 2.0, 3.0, 4.0, 1.0, 0.0, 0.0, 1.0])");
    assert_eq!(row(1), "F32([5.0, 6.0, 7.0, 8.0, 1.0, 1.0, 0.0, 0.0])");
    assert!(other.classes().is_empty() && other.notes().iter().any(|note| note.contains("such as \"green\"")));
    let none = folder.path().join("none.csv");
    fs::write(&none, "a,b,c,d,flag\n1,2,3,4,yes\n").unwrap();
    let error = plan.sibling(&none, 0).err().unwrap().to_string();
    assert!(
        error.contains("has no column `color`, which data.columns lists; its columns are a, b, c, d, flag"),
        "{error}"
    );
}

/// Of the same seed, but for what a category is learned as.
#[test]
fn categories_are_embedded_or_seen_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let shapes = |run: &str, embedding: &str| {
        let Planned { plan, dataset, .. } =
            try_planned(folder.path(), run, &[&SMALL[..], &[embedding]].concat()).unwrap();
        train(&plan, &dataset);
        let found = read_safetensors(&plan.out.join("encoder.safetensors")).unwrap();
        let shape = |name: &str| found.get(name).map(|array| array.shape.clone());
        (shape("embeddings.0.weight"), shape("layers.0.linear.weight"))
    };
    // Of eight features two are the category's.
    assert_eq!(shapes("plain", "backbone.embedding=0"), (None, Some(vec![16, 8])));
    assert_eq!(shapes("learned", "backbone.embedding=3"), (Some(vec![3, 2]), Some(vec![16, 9])));
}

#[test]
fn vime_shows_what_it_makes_of_rows_in_the_units_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    for change in ["feature_corruption", "feature_dropout"] {
        let views = format!("views=[{{count=1}}, {{count=1, augmentations=[{{name=\"{change}\", rate=0.5}}]}}]");
        let more = [&SMALL[..], &["method=vime", &views]].concat();
        let Planned { plan, dataset, .. } = try_planned(folder.path(), change, &more).unwrap();
        train(&plan, &dataset);
        let (shown, _) = Delimited::read(&plan.out.join("pictures/values_given_back.csv")).unwrap();
        let (given, _) = Delimited::read(&folder.path().join("rows.csv")).unwrap();
        let names = ["row", "column", "value", "shown to the encoder", "given back", "replaced", "suspected"];
        assert_eq!(shown.names(), names);
        // Six rows of six columns; what the label is, is no column.
        assert_eq!(shown.len(), 36);
        let mut replaced = 0;
        for line in 0..36 {
            let [row, column, value, seen, back, mark, suspected] = std::array::from_fn(|cell| shown.value(line, cell));
            assert_eq!((row, column), (&*(line / 6).to_string(), &*given.names()[line % 6]));
            let truth = match (column, given.value(line / 6, line % 6)) {
                ("flag", "yes") => "1",
                ("flag", "no") => "0",
                ("flag", _) => "missing",
                (_, text) => text,
            };
            match truth.parse::<f64>() {
                Ok(number) => assert!((number - value.parse::<f64>().unwrap()).abs() <= 0.0051, "{truth} {value}"),
                Err(_) => assert_eq!(value, truth),
            }
            assert!(mark == "yes" || seen == value, "{line}: {seen} {value}");
            assert!(column != "color" || ["red", "blue"].contains(&back), "{back}");
            assert!(suspected.strip_suffix(" %").is_some_and(|share| share.parse::<u8>().unwrap() <= 100));
            replaced += usize::from(mark == "yes");
        }
        // Three of six columns, where they do not hold the same.
        assert!((6..=18).contains(&replaced), "{change}: {replaced}");
    }
}

#[test]
fn vime_needs_a_view_as_it_is_and_one_that_is_corrupted() {
    let folder = tempfile::tempdir().unwrap();
    let with = |views: &str| {
        let views = format!("views={views}");
        try_planned(folder.path(), "run", &[&SMALL[..], &["method=vime", &views]].concat()).err().map(|e| e.to_string())
    };
    assert_eq!(with(r#"[{count=1}, {count=1, augmentations=[{name="feature_dropout"}]}]"#), None);
    for views in [
        "[{count=2}]",
        r#"[{count=1}, {count=1, augmentations=[{name="gaussian_noise"}]}]"#,
        r#"[{count=2, augmentations=[{name="feature_corruption"}]}]"#,
    ] {
        let error = with(views).unwrap();
        assert!(error.contains("views: method.name = \"vime\" needs two views, the first as it is"), "{error}");
    }
    let arguments = ["data=demo".to_owned(), "method=vime".into()];
    let error = Catalogue::default().plan_fitted(&arguments).err().unwrap().to_string();
    assert!(error.contains("vime is for vectors, the data are images; `simclr`"), "{error}");
}
