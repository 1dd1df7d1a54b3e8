use super::*;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Settings;
use selfsame_evaluate::bootstrap::Difference;
use selfsame_evaluate::diagnosis::{DiagnosisRecord, diagnose};
use selfsame_evaluate::features::{FeatureTable, Rows};
use selfsame_evaluate::findings::FindOptions;
use selfsame_evaluate::finetuning::{Beside, Chosen, Finetuning, Fit, LabelCell, Strength};
use selfsame_evaluate::invariance::{DialRange, Profile, Turned};
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::measurements::Observed;
use selfsame_evaluate::metadata::Grouping;
use selfsame_evaluate::protocol::{Representation, evaluate};
use selfsame_evaluate::representation::{DataOrigin, MeasuredOn, RepresentationName};
use selfsame_evaluate::scores::Scores;
use selfsame_evaluate::settings::EvaluateSettings;
use selfsame_evaluate::targets::Task;
use selfsame_evaluate::training::Training;
use std::path::Path;

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
    let (findings, views) = (Err("none.".into()), Err("none.".into()));
    Report { run: &run, findings, pictures: None, views, environment: "a test" }.to_html()
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
    assert!(RunRecords::read(&empty.path().join("nowhere")).unwrap_err().to_string().contains("neither a run folder"));
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
    let run = folder(&[("metrics.jsonl", &metrics)]);
    scores().write(&run.path().join("scores.json")).unwrap();
    diagnosis().write(&run.path().join("diagnosis.json")).unwrap();
    profile().write(&run.path().join("invariance.json")).unwrap();
    finetuning().write(&run.path().join("finetune.json")).unwrap();
    std::fs::create_dir(run.path().join("pictures")).unwrap();
    std::fs::write(run.path().join("pictures/<b>.png"), [1, 2, 3]).unwrap();
    std::fs::write(run.path().join("pictures/<b>.txt"), HOSTILE).unwrap();
    let quoted = HOSTILE.replace('"', "\"\"");
    let table = format!("row,\"{quoted}\"\n7,\"{quoted}\"\n7,same row\n");
    std::fs::write(run.path().join("pictures/rows.csv"), table).unwrap();
    std::fs::write(run.path().join("pictures/torn.csv"), "a,b\n1\n").unwrap();
    let html = without_samples(run.path());
    check_page(&html);
    assert!(
        html.contains("Lines of metrics.jsonl that cannot be read and are left out: 1.")
            && html.contains("last line of metrics.jsonl is not whole")
    );
    assert!(html.contains("0.123 – 0.456"), "the interval");
    assert!(
        html.contains("<td>7</td><td>&lt;") && html.contains("<td></td><td>same row</td>"),
        "a table of the method"
    );
    assert!(html.contains("pictures/torn.csv cannot be read"));
    assert!(html.contains("Few labels") && html.contains("0.400 – 0.600") && html.contains("10 per class (20)"));
    let said = "With 10 labels per class fine-tuning is 12.5 points above training from scratch (6.2 to 25.0)";
    // In the head and in its section; and a chance row, and no bold where all are the same.
    assert!(html.matches(said).count() == 2 && html.contains("<td>chance</td><td>0.500</td>"));
    assert!(html.contains("<td>balanced</td><td>0.250</td>") && html.contains("Linear probe: share that a linear"));
    assert!(html.contains("Confusion") && html.contains("What to try") && html.contains("Not yet trained"));
    for hostile in
        ["loss term: &lt;script", "&lt;script&gt;", "probe, 1 per class", "kNN, k = 20", "<b>16</b> per batch"]
    {
        assert!(html.to_lowercase().contains(&hostile.to_lowercase()), "no \"{hostile}\"");
    }
    assert_eq!(html, without_samples(run.path()));

    std::fs::write(run.path().join("scores.json"), "{ torn").unwrap();
    let html = without_samples(run.path());
    check_page(&html);
    assert!(html.contains("scores.json cannot be read"));
    let runs = [RunRecords::read(run.path()).unwrap(), RunRecords::read(folder(&[]).path()).unwrap()];
    check_page(&compare(&runs));
    check_compared(&runs[0]);
    check_page(&live_page(&runs[0], 5, "a test"));
}

/// Runs are compared where they were judged on the same data, and told apart where they were not.
fn check_compared(run: &RunRecords) {
    let judged = |fingerprint: &str, values: [f64; 2]| {
        let mut run = run.clone();
        let scores = run.scores.insert(scores());
        scores.measured_on.data = DataOrigin { fingerprint: fingerprint.into(), ..HOSTILE.into() };
        scores.labels_from = DataOrigin { fingerprint: "of-train".into(), ..DataOrigin::default() };
        let knn = &mut scores.representations.get_mut(&RepresentationName::H).unwrap().knn[0].score;
        (knn.value, knn.interval) = (values[0], Some(values));
        run
    };
    let apart = compare(&[judged("1234567890", [0.2, 0.3]), judged("1234567890", [0.4, 0.5])]);
    check_page(&apart);
    assert!(!apart.contains("do not compare") && apart.contains("<td class=\"best\">0.400"), "intervals are apart");
    let near = compare(&[judged("1234567890", [0.2, 0.45]), judged("1234567890", [0.4, 0.5])]);
    assert!(!near.contains("class=\"best\">0.400"), "intervals overlap");
    let other = compare(&[judged("1234567890", [0.2, 0.3]), judged("0987654321", [0.4, 0.5])]);
    check_page(&other);
    assert!(
        other.contains("do not compare") && other.contains("fingerprint 09876543") && !other.contains("class=\"best\"")
    );
    let unknown = compare(&[judged("", [0.2, 0.3]), judged("1234567890", [0.4, 0.5])]);
    assert!(unknown.contains("do not compare"));
}

/// Features of two classes, whose names are hostile.
fn table(count: usize) -> FeatureTable {
    let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
    let mut table = FeatureTable { dim: 4, classes: vec![HOSTILE.into(), "b".into()], ..FeatureTable::default() };
    for row in 0..count {
        let label = row % 2;
        table.ids.push(format!("<b>{label}/{row:04}<i>.ppm"));
        table.labels.push(label as u32);
        table.values.extend((0..4).map(|d| if d == label { 3.0 } else { 0.3 * rng.normal() }));
    }
    table
}

fn scores() -> Scores {
    let (train, test) = (table(60), table(20));
    let h = Representation { name: RepresentationName::H, train: &train, test: &test };
    let other = Representation { name: RepresentationName::Other(HOSTILE.into()), ..h.clone() };
    let settings = EvaluateSettings::read(&EvaluateSettings::preset()).unwrap();
    let settings = EvaluateSettings { per_class: vec![1, 5], draws: 2, ..settings };
    let mut scores = evaluate(&[h, other], None, &settings, 0, &mut |_| {}).unwrap();
    scores.warnings.push(HOSTILE.into());
    scores.conclusion.push(HOSTILE.into());
    let h = scores.representations.get_mut(&RepresentationName::H).unwrap();
    h.knn[0].score.interval = Some([0.123, 0.456]);
    scores
}

fn diagnosis() -> DiagnosisRecord {
    let training = Training { weights_turned: Some(0.0), ..Training::default() };
    let seen = table(50);
    let observed = Observed { training: Some(&training), ..Observed::new(seen.rows()) };
    let mut diagnosis = diagnose(&observed).unwrap();
    diagnosis.evidence.push(HOSTILE.into());
    diagnosis.advice.push(HOSTILE.into());
    let measured_on = MeasuredOn { data: HOSTILE.into(), ..MeasuredOn::default() };
    let parts = [RepresentationName::H, RepresentationName::Other(HOSTILE.into())];
    DiagnosisRecord { measured_on, diagnosis: parts.map(|name| (name, diagnosis.clone())).into() }
}

fn profile() -> Profile {
    let (plain, name) = (table(40), RepresentationName::H);
    let mut profile = Profile::new(MeasuredOn::default(), &[(name.clone(), plain.rows())]).unwrap();
    let dial = DialRange {
        augmentation: HOSTILE.into(),
        parameter: HOSTILE.into(),
        unit: HOSTILE.into(),
        neutral: 0.0,
        strengths: vec![0.1, 0.2],
    };
    let turned = [table(40).values, table(40).values];
    profile.add(dial, &[Turned { name: &name, plain: plain.rows(), turned: &turned }]).unwrap();
    profile
}

fn finetuning() -> Finetuning {
    let fit = Fit {
        value: 0.5,
        interval: [0.4, 0.6],
        beside: Beside { balanced_accuracy: Some(0.25), ..Beside::default() },
        leads: true,
    };
    let strength = Strength { lr: 0.003, layer_decay: 1.0 };
    let cell = |labels| LabelCell {
        labels,
        labeled: 20,
        draws: 3,
        finetuned: fit,
        scratch: fit,
        linear_probe: fit,
        chosen: Some(Chosen { finetuned: strength, scratch: strength, held_out: 20 }),
        over_scratch: Some(Difference { value: 0.125, interval: [0.0625, 0.25] }),
        over_linear_probe: None,
    };
    let mut found = Finetuning {
        measured_on: MeasuredOn { data: HOSTILE.into(), ..MeasuredOn::default() },
        labels_from: HOSTILE.into(),
        overlap: None,
        settings: serde_json::Map::new(),
        train_samples: 60,
        test_samples: 20,
        task: Task::Classes,
        classes: 2,
        label_table: Some("about.csv".into()),
        test_groups: Some(7),
        cells: Vec::new(),
        chance: Some(0.375),
        conclusion: Vec::new(),
    };
    for labels in [LabelBudget::PerClass(10), LabelBudget::All] {
        found.add(cell(labels));
    }
    found.conclusion.push(HOSTILE.into());
    found
}

fn found(table: &FeatureTable, appearance: Option<Rows>) -> Findings {
    let indices: Vec<usize> = (0..table.len()).collect();
    let brightness = Grouping {
        name: "<brightness>".into(),
        groups: ["0 – 1", "1 – 2"].map(String::from).into(),
        ordered: true,
        of: (0..table.len() as u32).map(|row| (row > 0).then_some(row % 2)).collect(),
    };
    let options = FindOptions {
        indices: &indices,
        data_samples: 2 * table.len(),
        groupings: vec![brightness],
        appearance,
        ..FindOptions::default()
    };
    Findings::find(table, options).unwrap()
}

fn sheet(tiles: usize, bytes: usize) -> TileSheet {
    TileSheet { png: vec![0; bytes], columns: (tiles as f64).sqrt().ceil() as usize, tile_px: [32; 2] }
}

fn with_findings(findings: &Findings, pictures: Option<&SamplePictures>) -> String {
    let mut run = RunRecords::read(folder(&[]).path()).unwrap();
    run.name = "run".into();
    Report { run: &run, findings: Ok(findings), pictures, views: Err("none.".into()), environment: "a test" }.to_html()
}

#[test]
fn samples_are_drawn_as_they_were_found_and_within_the_size() {
    let findings = found(&table(2000), None);
    // What the pictures may take at most.
    let gallery = sheet(gallery_samples(&findings).len(), GALLERY_BYTES);
    let pictures = SamplePictures { thumbnails: sheet(2000, THUMBNAIL_BYTES), gallery, ..SamplePictures::default() };
    let html = with_findings(&findings, Some(&pictures));
    check_page(&html);
    assert!(html.len() < 5_000_000, "{} bytes", html.len());
    assert_eq!(html.matches("<circle class").count(), 2000);
    assert!(html.contains("by &lt;brightness&gt;") && html.contains("&lt;brightness&gt;: unknown"));
    assert!(html.contains("by label") && html.contains("by k-means cluster") && html.contains("2000 of 4000 samples"));
    assert!(html.contains("data-sprite=\"t st px\" data-columns=\"45\"") && html.contains("No scores yet"));
    // A verdict on what was found, where the run has none.
    assert!(html.contains("on 2000 samples of the run&#39;s own data; training is not finished"));
    for section in ["map", "neighbors", "extremes", "duplicates", "collapse", "verdict"] {
        assert!(html.contains(&format!("<section id=\"{section}\">")), "no section {section}");
    }
    assert!(html == with_findings(&findings, Some(&pictures)));
}

#[test]
fn galleries_show_the_tiles_of_the_samples_that_they_name() {
    let findings = found(&table(40), None);
    let shown = gallery_samples(&findings);
    assert!(shown.is_sorted() && shown.windows(2).all(|pair| pair[0] != pair[1]));
    for named in [&findings.typical, &findings.unusual] {
        assert!(named.iter().all(|sample| shown.contains(sample)));
    }
    let gallery = TileSheet { columns: 1000, ..sheet(40, 10) };
    let pictures = SamplePictures { thumbnails: sheet(40, 10), gallery, ..SamplePictures::default() };
    let html = with_findings(&findings, Some(&pictures));
    // With one row of tiles, the place of a query's tile is its place among those shown.
    for query in &findings.queries {
        let place = shown.binary_search(&query.sample).unwrap();
        let tile = format!(
            "<div class=\"cell q\" style=\"--d:64px\"><i class=\"t sg px\" style=\"--d:64px;--x:{place};--y:0\""
        );
        assert!(html.contains(&tile), "{tile}");
    }
    // Of a table a sample is told by its row, wherever it is shown.
    let rows = (0..findings.samples.len()).map(|row| format!("<age>: {row}.5")).collect();
    let html = with_findings(&findings, Some(&SamplePictures { rows, ..pictures }));
    check_page(&html);
    assert!((0..findings.samples.len()).all(|row| html.contains(&format!("&lt;age&gt;: {row}.5</title>"))));
    assert!(html.contains(&format!("&lt;age&gt;: {}.5\"></i>", shown[0])));
    // Samples that are nothing to look at are named.
    let html = with_findings(&findings, None);
    check_page(&html);
    assert!(!html.contains("data-sprite=") && html.contains(">&lt;b&gt;0/0000&lt;i&gt;.ppm</span>"));
}

#[test]
fn sounds_play_when_asked_to_each_from_one_place() {
    let findings = found(&table(200), None);
    let (shown, audible) = (gallery_samples(&findings), audible_samples(&findings));
    assert!(audible.len() <= SOUNDS && audible.iter().all(|row| shown.binary_search(row).is_ok()));
    let pictures = SamplePictures {
        thumbnails: sheet(200, 10),
        gallery: TileSheet { tile_px: [64, 96], ..sheet(shown.len(), 10) },
        sounds: audible.iter().map(|row| (*row, row.to_string().into_bytes())).collect(),
        ..SamplePictures::default()
    };
    let html = with_findings(&findings, Some(&pictures));
    check_page(&html);
    let player = "preload=\"none\" src=\"data:audio/wav;base64,";
    assert_eq!(html.matches(player).count(), audible.len());
    assert_eq!(html.matches("<audio").count(), audible.len());
    assert!(html.contains("media-src data:; script-src") && !html.contains("autoplay"));
    // Tiles of one and a half times their height.
    assert!(
        html.contains(".sg{--n:")
            && html.contains("--r:0.6667;")
            && html.contains("class=\"cell q\" style=\"--d:96px\"")
    );
}

#[test]
fn copies_are_shown() {
    let mut table = table(12);
    (0..12).for_each(|row| (0..4).for_each(|d| table.values[row * 4 + d] = ((row / 2 * 4 + d) as f32).sin()));
    let same = [0.5; 12];
    let html = with_findings(&found(&table, Some(Rows::new(&same, 1))), None);
    check_page(&html);
    assert!(html.contains("<p>6 found.</p>") && html.contains("cosine 1.0000, pixels 0.000"), "six pairs");
    table.values.fill(1.0);
    check_page(&with_findings(&found(&table, None), None));
}

#[test]
fn views_stand_behind_their_sample_with_what_was_drawn() {
    let step = |parameters: Option<&[(&str, f32)]>| SheetStep {
        augmentation: "random_<crop>".into(),
        parameters: parameters.map(|list| list.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()),
    };
    let view = |group, step| SheetView { group, size: "28 px".into(), steps: vec![step] };
    let samples = vec![
        SheetSample {
            id: HOSTILE.into(),
            views: vec![view(0, step(Some(&[("top_px", 3.0), ("gain_db", -6.0)]))), view(1, step(None))],
        },
        SheetSample { id: "second".into(), views: vec![view(0, step(Some(&[])))] },
    ];
    let views = ViewSheet { samples, tiles: TileSheet { columns: 3, ..sheet(5, 10) } };
    let page = preview_page(&views, HOSTILE, HOSTILE);
    check_page(&page);
    for part in
        ["random &lt;crop&gt;: top 3 px, gain −6 dB", "random &lt;crop&gt;: left out", "view 2 · group 2 · 28 px"]
    {
        assert!(page.contains(part), "no \"{part}\"");
    }
    // The second sample is the fourth tile.
    assert!(page.contains("--x:0;--y:1\" title=\"second\""));
    let run = RunRecords::read(folder(&[]).path()).unwrap();
    let report = Report { run: &run, findings: Err("x.".into()), pictures: None, views: Ok(&views), environment: "" };
    let html = report.to_html();
    check_page(&html);
    assert!(html.contains("random_&lt;crop&gt;: top 3 px") && html.contains("random_&lt;crop&gt;: applied"));
}
