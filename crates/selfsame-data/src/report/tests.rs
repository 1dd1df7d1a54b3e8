use super::*;
use crate::config::Plan;
use crate::dataset::Dataset;
use crate::features::FeatureTable;
use crate::metadata::Grouping;
use crate::rng::{Purpose, StreamRng};
use std::path::Path;
use std::sync::Arc;

const HOSTILE: &str = "<script>alert(\"&'1\")</script>";

/// A run folder with a plan and the parts that `files` name.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let plan = "[data]\npath = \"photos\"\n[method]\nname = \"simclr\"\n[projector]\nout = 8\n[train]\nbatch_size = 16\nepochs = 2\n";
    std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn without_samples(path: &Path) -> String {
    let run = RunRecords::read(path).unwrap();
    Report { run: &run, samples: Err("none.".into()), preview: Err("none.".into()), environment: "a test" }.to_html()
}

/// One file, whole, and nothing in it that a browser would fetch or that a text smuggled in.
fn check_page(html: &str) {
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.contains("default-src 'none'"));
    assert!(
        !html.contains("http://") && !html.contains("https://") && !html.contains("@import"),
        "a reference out of the file"
    );
    assert!(!html.contains("alert(\""), "a text was not escaped");
    // Letters that images are written in may spell anything.
    for none in [">NaN", "\"NaN", ",NaN", " NaN", "inf\"", "inf,"] {
        assert!(!html.contains(none), "a number that is none: {none}");
    }
    for source in html.match_indices("src=\"").chain(html.match_indices("url(")) {
        let rest = &html[source.0 + source.1.len()..];
        assert!(rest.starts_with("data:"), "{}", &rest[..rest.len().min(40)]);
    }
    assert_eq!(html.matches("<section").count(), html.matches("</section>").count());
    assert_eq!(html.matches("<div").count(), html.matches("</div>").count());
    assert_eq!(html.matches("<figure").count(), html.matches("</figure>").count());
}

#[test]
fn a_run_that_left_nothing_but_its_plan_is_drawn_and_says_what_is_missing() {
    let empty = folder(&[]);
    let html = without_samples(empty.path());
    check_page(&html);
    for part in ["no metrics.jsonl", "No scores yet", "No verdict", "not finished", "simclr"] {
        assert!(html.contains(part), "no \"{part}\"");
    }
    assert!(RunRecords::read(&empty.path().join("nowhere")).unwrap_err().to_string().contains("not a run folder"));
}

#[test]
fn torn_records_and_hostile_texts_do_no_harm() {
    let step = |n: u32| {
        format!(
            "{{\"event\":\"step\",\"step\":{n},\"epoch\":{},\"total\":{},\"terms\":{{\"{}\":1.0}},\"lr\":null,\"effective_rank\":5}}",
            f64::from(n) / 4.0,
            5 - n,
            HOSTILE.replace('"', "\\\"")
        )
    };
    let metrics = format!(
        "{}\n\u{0}\u{0}garbage\n{}\n{{\"event\":\"warning\",\"step\":2,\"message\":{}}}\n{}",
        step(1),
        step(2),
        serde_json::to_string(HOSTILE).unwrap(),
        &step(3)[..30]
    );
    let scores = serde_json::json!({
        "knn.h.k20": 0.8, "knn.raw.k20": 0.7, format!("knn.{HOSTILE}.k20"): 0.1,
        "intervals": { "knn.h.k20": [0.75, 0.85] },
        "confusion": { "linear_probe.h": [[8, 2], [0, 10]] }, "classes": [HOSTILE, "b"],
        "per_class": { "linear_probe.h": { HOSTILE: { "accuracy": 0.8, "interval": [0.4, 0.9] }, "b": 1.0 } },
        "warnings": [HOSTILE], "protocol": 7,
    });
    let diagnosis = serde_json::json!({ "data": HOSTILE, "diagnosis": {
        "h": { "verdict": HOSTILE, "evidence": [HOSTILE], "advice": [HOSTILE], "std": 0.5, "spectrum": [2.0, 1.0, 0.0] },
    }});
    let response = serde_json::json!({ "invariance": [0.9, 0.8], "r2": 0.5 });
    let invariance = serde_json::json!({ "profile": [
        { "augmentation": HOSTILE, "parameter": HOSTILE, "unit": HOSTILE, "strengths": [0.1, 0.2], "h": response, "z": response },
        { "augmentation": "blur", "h": 7 }, 8,
    ]});
    let fit = serde_json::json!({ "accuracy": 0.5, "interval": [0.4, 0.6] });
    let finetuning = serde_json::json!({ "cells": [
        { "labels": HOSTILE, "labelled": 10, "finetuned": fit, "scratch": fit, "linear_probe": HOSTILE },
        { "labels": 3, "labelled": 0 }, 8,
    ]});
    let run = folder(&[
        ("finetune.json", &finetuning.to_string()),
        ("metrics.jsonl", &metrics),
        ("scores.json", &scores.to_string()),
        ("diagnosis.json", &diagnosis.to_string()),
        ("invariance.json", &invariance.to_string()),
    ]);
    std::fs::create_dir(run.path().join("pictures")).unwrap();
    std::fs::write(run.path().join("pictures/<b>.png"), [1, 2, 3]).unwrap();
    std::fs::write(run.path().join("pictures/<b>.txt"), HOSTILE).unwrap();
    let html = without_samples(run.path());
    check_page(&html);
    assert!(
        html.contains("1 lines of metrics.jsonl cannot be read")
            && html.contains("last line of metrics.jsonl is not whole")
    );
    assert!(html.contains("0.750 – 0.850"), "the interval");
    assert!(html.contains("Few labels") && html.contains("0.400 – 0.600"));
    assert!(html.contains("Confusion") && html.contains("What to try") && html.contains("Blur"));
    assert!(html.contains("&lt;script&gt;"));
    assert_eq!(html, without_samples(run.path()));

    std::fs::write(run.path().join("scores.json"), "{ torn").unwrap();
    let html = without_samples(run.path());
    check_page(&html);
    assert!(html.contains("scores.json cannot be read"));
    let runs = [RunRecords::read(run.path()).unwrap(), RunRecords::read(folder(&[]).path()).unwrap()];
    check_page(&compare(&runs));
    check_page(&live_page(&runs[0], 5, "a test"));
}

/// Colour noise of 64 px in folders whose names are hostile, and features that know the classes.
fn photos(count: usize, noise: bool) -> (tempfile::TempDir, Plan, Arc<Dataset>, FeatureTable) {
    let place = tempfile::tempdir().unwrap();
    let classes = ["<b>a", "b"];
    let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
    for i in 0..count {
        let folder = place.path().join(classes[i % 2]);
        std::fs::create_dir_all(&folder).unwrap();
        let mut bytes = b"P6\n64 64\n255\n".to_vec();
        bytes.extend((0..64 * 64 * 3).map(|p| if noise { rng.bits() as u8 } else { (p * (i / 2 * 2 + 1)) as u8 }));
        std::fs::write(folder.join(format!("{i:04}<i>.ppm")), bytes).unwrap();
    }
    let mut plan = Plan::default();
    plan.data.path = place.path().into();
    plan.data.labels = Some("folder".into());
    let dataset = Dataset::open(&plan.data).unwrap();
    dataset.resolve(&mut plan.data).unwrap();
    let mut h = FeatureTable { dim: 4, classes: dataset.classes().to_vec(), ..FeatureTable::default() };
    for index in 0..dataset.len() {
        h.ids.push(dataset.id(index));
        h.labels.push(dataset.label(index).unwrap());
        h.values.extend((0..4).map(|d| if d == h.labels[index] as usize { 3.0 } else { 0.3 * rng.normal() }));
    }
    (place, plan, Arc::new(dataset), h)
}

fn with_samples(run: &RunRecords, plan: &Plan, dataset: &Dataset, h: &FeatureTable, indices: &[usize]) -> String {
    let brightness = Grouping {
        name: "<brightness>".into(),
        groups: ["0 – 1", "1 – 2"].map(String::from).into(),
        ordered: true,
        of: (0..h.len() as u32).map(|row| (row > 0).then_some(row % 2)).collect(),
    };
    let groupings = &[brightness];
    let samples = Ok(Samples { dataset, plan, indices, h, map: MapKind::Pca, groupings });
    Report { run, samples, preview: Err("none.".into()), environment: "a test" }.to_html()
}

#[test]
fn samples_are_mapped_the_same_every_time_and_within_the_size() {
    let (_place, plan, dataset, h) = photos(200, true);
    let run = RunRecords::read(folder(&[]).path()).unwrap();
    // Noise hardly compresses: 2,000 points of it are the most that a report can be.
    let indices: Vec<usize> = (0..2000).map(|i| i % 200).collect();
    let mut many = FeatureTable { dim: 4, classes: h.classes.clone(), ..FeatureTable::default() };
    for &index in &indices {
        many.ids.push(h.ids[index].clone());
        many.labels.push(h.labels[index]);
        many.values.extend_from_slice(h.row(index));
    }
    let html = with_samples(&run, &plan, &dataset, &many, &indices);
    check_page(&html);
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    assert_eq!(html.matches("<circle class").count(), 2000);
    assert!(html.contains("by &lt;brightness&gt;") && html.contains("&lt;brightness&gt;: unknown"));
    assert!(html.contains("by label") && html.contains("by k-means cluster") && html.contains("&lt;b&gt;a"));
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let indices: Vec<usize> = (0..200).collect();
    let html = with_samples(&run, &plan, &dataset, &h, &indices);
    assert!(
        html == one.install(|| with_samples(&run, &plan, &dataset, &h, &indices)),
        "the bytes depend on the threads"
    );
}

#[test]
fn copies_are_found_and_broken_features_are_named() {
    // Samples 2k and 2k + 1 have the same pixels, in two folders; give them the same features too.
    let (_place, plan, dataset, mut h) = photos(12, false);
    let number = |id: &str| id.split('/').next_back().unwrap()[..4].parse::<usize>().unwrap() / 2;
    for row in 0..12 {
        let pair = number(&h.ids[row]);
        for d in 0..4 {
            h.values[row * 4 + d] = ((pair * 4 + d) as f32).sin();
        }
    }
    let run = RunRecords::read(folder(&[]).path()).unwrap();
    let indices: Vec<usize> = (0..12).collect();
    let html = with_samples(&run, &plan, &dataset, &h, &indices);
    check_page(&html);
    assert!(html.contains("<p>6 found.</p>"), "six pairs");
    h.values[5] = f32::NAN;
    let html = with_samples(&run, &plan, &dataset, &h, &indices);
    check_page(&html);
    assert!(html.contains("is not finite"));
    h.values.fill(1.0);
    check_page(&with_samples(&run, &plan, &dataset, &h, &indices));
}
