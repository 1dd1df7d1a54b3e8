//! The promises of a run: same plan, same bytes, whatever the threads and the interruptions; nothing overwritten.

use selfsame::catalogue::{Catalogue, METHODS, MethodEntry};
use selfsame::embed::{Pixels, Tables, Wanted};
use selfsame::events::{Event, Observer, Silent};
use selfsame::plan::Plan;
use selfsame::tensor::parameters;
use selfsame::trainer::Outcome;
use selfsame::weights::WeightsOf;
use selfsame_base::npy::npy_header;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::dataset::Dataset;
use selfsame_data::modality::Modality;
use selfsame_data::settings::{DataRequest, DataSettings, OnDataChange};
use selfsame_evaluate::sketch::{self, Sketch};
use selfsame_kernels::Isa;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

/// 40 images of 12×12, as `[n, height, width]` u8.
fn images(path: &Path) {
    let mut rng = StreamRng::new(5, Purpose::Survey, 0, 0, 0);
    let mut bytes = npy_header("|u1", &[40, 12, 12]);
    bytes.extend((0..40 * 12 * 12).map(|_| rng.below(256) as u8));
    fs::write(path, bytes).unwrap();
}

pub fn plan(folder: &Path, run: &str, more: &[&str]) -> (Plan, Arc<Dataset>) {
    try_plan(folder, run, more).unwrap_or_else(|error| panic!("{error}"))
}

/// A plan for 40 random images, in a run folder of that name, or why there is none.
pub fn try_plan(folder: &Path, run: &str, more: &[&str]) -> Result<(Plan, Arc<Dataset>), selfsame::Error> {
    let data = folder.join("images.npy");
    if !data.exists() {
        images(&data);
    }
    let mut arguments = vec![
        format!("data={}", data.display()),
        format!("out={}", folder.join(run).display()),
        "projector.hidden=8".into(),
        "projector.out=6".into(),
        "epochs=3".into(),
        "batch_size=8".into(),
        "train.checkpoint_steps=4".into(),
    ];
    arguments.extend(more.iter().map(|&m| m.to_owned()));
    if !more.iter().any(|m| m.starts_with("backbone")) {
        arguments.push("backbone.widths=[4, 6]".into());
    }
    if !more.iter().any(|m| m.starts_with("method=")) {
        arguments.push("method=simclr".into());
    }
    let planned = Catalogue::default().plan(None, &arguments)?;
    Ok((planned.plan, planned.dataset))
}

/// The method of a plan.
pub fn method(plan: &Plan) -> &'static MethodEntry {
    Catalogue::default().method(plan).unwrap()
}

pub fn pretrain(plan: &Plan, dataset: &Arc<Dataset>, observer: &mut dyn Observer, stop: &AtomicBool) -> Outcome {
    (method(plan).pretrain)(plan, dataset.clone(), observer, stop).unwrap()
}

pub fn train(plan: &Plan, dataset: &Arc<Dataset>) {
    let outcome = pretrain(plan, dataset, &mut Silent, &AtomicBool::new(false));
    assert_eq!(outcome, Outcome::Finished { run: plan.out.clone() });
}

pub fn encoder(plan: &Plan) -> Vec<u8> {
    fs::read(plan.out.join("encoder.safetensors")).unwrap()
}

/// Step, total and terms of every step recorded.
pub fn losses(plan: &Plan) -> Vec<(u64, String, String)> {
    let text = fs::read_to_string(plan.out.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == "step")
        .map(|line| (line["step"].as_u64().unwrap(), line["total"].to_string(), line["terms"].to_string()))
        .collect()
}

/// A small vision transformer that drops paths.
pub const VIT: [&str; 5] =
    ["backbone=vit_micro", "backbone.dim=8", "backbone.depth=2", "backbone.heads=2", "backbone.drop_path=0.3"];

/// What each method needs beyond the defaults to train on 40 images; `source` is a finished run.
fn needs(method: &str, source: &Path) -> Vec<String> {
    match method {
        "moco" | "nnclr" => vec!["method.queue=16".into()],
        "swav" => vec!["method.prototypes=4".into()],
        "dino" => vec!["method.prototypes=12".into()],
        "denoising_autoencoder" | "inpainting" => of_one_view(&[]),
        "masked_autoencoder" => of_one_view(&VIT),
        "deep_belief_network" => of_one_view(&["backbone.name=belief_network", "backbone.widths=[9, 7]"]),
        "clusterfit" => vec![format!("method.source={}", source.display()), "method.clusters=5".into()],
        _ => Vec::new(),
    }
}

/// One view, and no projector.
fn of_one_view(more: &[&str]) -> Vec<String> {
    ["views=[{count=1}]", "projector.layers=0"].iter().chain(more).map(|&word| word.to_owned()).collect()
}

/// Every method, by the arguments that choose it.
pub fn every_method(source: &Path) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = METHODS
        .iter()
        .filter(|method| method.modalities.contains(&Modality::Image))
        .map(|method| [vec![format!("method={}", method.name)], needs(method.name, source)].concat())
        .collect();
    all.push(vec!["method=moco".into(), "method.version=v3".into()]);
    // With the other family of backbones: class token and learned positions, with and without a teacher, or neither.
    let with_vit = |own: &[&str]| own.iter().chain(&VIT).map(|&word| word.to_owned()).collect();
    let belief = "method=deep_belief_network";
    for own in [&["method.persistent=true"][..], &["method.visible=gaussian", "method.fine_tune_epochs=1"]] {
        all.push(
            [vec![belief.into()], needs("deep_belief_network", source), own.iter().map(|&o| o.to_owned()).collect()]
                .concat(),
        );
    }
    all.push(with_vit(&["method=simclr"]));
    all.push(with_vit(&["method=byol", "backbone.pool=mean", "backbone.positions=sincos"]));
    all
}

pub fn words(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

#[test]
fn results_do_not_depend_on_the_number_of_threads_or_on_what_is_kept_for_the_backward_pass() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["epochs=1"]);
    train(&source, &dataset);
    for method in every_method(&source.out) {
        let mut results = Vec::new();
        for own in [&["threads=1"][..], &["threads=2"], &["threads=3", "train.checkpoint_activations=true"]] {
            let more = [words(&method), own.to_vec()].concat();
            let (plan, dataset) = plan(folder.path(), &format!("{method:?}-{}", own[0]).replace('/', "-"), &more);
            train(&plan, &dataset);
            assert_eq!(losses(&plan).len(), 15);
            results.push((losses(&plan), encoder(&plan)));
        }
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{method:?}");
    }
}

/// Raises the stop flag once `at` steps are done.
struct StopAt<'a>(pub u64, pub &'a AtomicBool);

impl Observer for StopAt<'_> {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Step(record) if record.step >= self.0) {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

/// Trains until `step` steps are done, and is stopped there.
pub fn train_to(plan: &Plan, dataset: &Arc<Dataset>, step: u64) {
    let stop = AtomicBool::new(false);
    let outcome = pretrain(plan, dataset, &mut StopAt(step, &stop), &stop);
    assert!(matches!(outcome, Outcome::Interrupted { step: at, .. } if at == step), "{outcome:?}");
}

#[test]
fn a_resumed_run_equals_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for (optimizer, chunk) in [("sgd", "8"), ("adamw", "8"), ("lars", "3")] {
        let more =
            [format!("optimizer.name={optimizer}"), format!("chunk_size={chunk}"), "optimizer.base_lr=0.05".into()];
        resumes(folder.path(), optimizer, &words(&more));
    }
}

#[test]
pub fn every_method_resumes_bit_by_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (source, dataset) = plan(folder.path(), "source", &["epochs=1"]);
    train(&source, &dataset);
    for (index, method) in every_method(&source.out).iter().enumerate() {
        let chunk = ["chunk_size=8", "chunk_size=3"][index % 2];
        resumes(folder.path(), &format!("method-{index}"), &[words(method), vec![chunk]].concat());
    }
}

#[test]
fn rounded_products_resume_bit_by_bit_for_any_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    let vit: Vec<&str> = VIT.iter().copied().chain(["method=simclr"]).collect();
    for (name, own) in [("resnet", &["chunk_size=3"][..]), ("vit", &vit)] {
        let rounded = [own, &["train.precision=bf16"]].concat();
        resumes(folder.path(), name, &rounded);
        let encoders = ["1", "3"].map(|threads| {
            let threads = format!("threads={threads}");
            let (plan, dataset) =
                plan(folder.path(), &format!("{name}-{threads}"), &[&rounded[..], &[&threads]].concat());
            let mut warnings = Warnings::default();
            pretrain(&plan, &dataset, &mut warnings, &AtomicBool::new(false));
            // Told where it is so, and once.
            let told = warnings.0.iter().filter(|(_, message)| message.contains("saves no time")).count();
            assert_eq!(told, usize::from(Isa::active().bf16_gains_nothing().is_some()), "{:?}", warnings.0);
            (losses(&plan), encoder(&plan))
        });
        assert!(encoders[0] == encoders[1], "{name}");
        let (whole, dataset) = plan(folder.path(), &format!("{name}-f32"), own);
        train(&whole, &dataset);
        let first = |losses: &[(u64, String, String)]| losses[0].1.parse::<f64>().unwrap();
        let [whole, rounded] = [first(&losses(&whole)), first(&encoders[0].0)];
        assert!(whole != rounded && (whole - rounded).abs() < 0.02 * whole, "{name}: {whole} {rounded}");
    }
}

/// Trains twice: in one go, and stopped every few steps, by chance.
pub fn resumes(folder: &Path, name: &str, more: &[&str]) {
    let (whole, dataset) = plan(folder, &format!("{name}-whole"), more);
    train(&whole, &dataset);

    let (parts, dataset) = plan(folder, &format!("{name}-parts"), more);
    let mut rng = StreamRng::new(3, Purpose::Survey, 0, 0, 0);
    let mut at = 0;
    loop {
        at += 1 + rng.below(3) as u64;
        let stop = AtomicBool::new(false);
        match pretrain(&parts, &dataset, &mut StopAt(at, &stop), &stop) {
            Outcome::Interrupted { step, steps, .. } => assert!(step == at && steps == 15, "{step} {at}"),
            outcome => {
                assert_eq!(outcome, Outcome::Finished { run: parts.out.clone() });
                break;
            }
        }
    }
    assert_eq!(losses(&whole), losses(&parts), "{more:?}");
    assert!(encoder(&whole) == encoder(&parts), "{more:?}");
    let last = |plan: &Plan| fs::read(plan.out.join("checkpoints/step-00000015/model.safetensors")).unwrap();
    assert!(last(&whole) == last(&parts), "{more:?}: teachers, queues and prototypes too");
    let again = pretrain(&parts, &dataset, &mut Silent, &AtomicBool::new(false));
    assert_eq!(again, Outcome::AlreadyFinished { run: parts.out.clone() });
}

#[test]
fn layers_of_a_belief_network_move_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    // Neither momentum nor weight decay may reach a layer whose turn is over, or has not come.
    let own = ["method=deep_belief_network", "epochs=2", "optimizer.momentum=0.9", "optimizer.weight_decay=0.1"];
    let more = [own.map(str::to_owned).to_vec(), needs("deep_belief_network", folder.path())].concat();
    let (plan, dataset) = plan(folder.path(), "belief", &words(&more));
    let layers = |weights| {
        let branch = (method(&plan).branch)(&plan, weights, &mut |_| {}).unwrap();
        let arrays = parameters::arrays(&branch.encoder);
        let of_layer = |layer: &str| -> Vec<f32> {
            let own = arrays.iter().filter(|(name, _)| name.contains(layer));
            own.flat_map(|(_, array)| array.values.iter().copied()).collect()
        };
        let layers = ["layers.0.", "layers.1."].map(of_layer);
        assert_eq!(layers.each_ref().map(Vec::len), [144 * 9 + 9, 9 * 7 + 7], "{:?}", arrays.keys());
        layers
    };
    let (stop, before) = (AtomicBool::new(false), layers(WeightsOf::Fresh));
    let (half_way, in_all) = (dataset.len() as u64 / 8, dataset.len() as u64 / 4);
    let outcome = pretrain(&plan, &dataset, &mut StopAt(half_way, &stop), &stop);
    assert_eq!(outcome, Outcome::Interrupted { run: plan.out.clone(), step: half_way, steps: in_all });
    let first = layers(WeightsOf::Trained);
    train(&plan, &dataset);
    let second = layers(WeightsOf::Trained);
    assert!(first[0] != before[0] && first[1] == before[1]);
    assert!(second[0] == first[0] && second[1] != first[1]);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    #[derive(Default)]
    struct Heard(Vec<String>, Option<u64>);
    impl Observer for Heard {
        fn event(&mut self, event: &Event) {
            match event {
                Event::Warning { message, .. } => self.0.push(message.clone()),
                Event::Started { step, .. } => self.1 = Some(*step),
                _ => {}
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &[]);
    train(&whole, &dataset);
    let (damaged, dataset) = plan(folder.path(), "damaged", &[]);
    train_to(&damaged, &dataset, 9);
    let newest = damaged.out.join("checkpoints/step-00000009/model.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&newest, bytes).unwrap();
    // What a killed process may leave behind.
    fs::create_dir(damaged.out.join("checkpoints/.writing")).unwrap();

    let mut heard = Heard::default();
    pretrain(&damaged, &dataset, &mut heard, &AtomicBool::new(false));
    assert!(heard.0.len() == 1 && heard.0[0].contains("does not match its hash"), "{:?}", heard.0);
    assert_eq!(heard.1, Some(8));
    assert!(encoder(&whole) == encoder(&damaged));
    assert_eq!(losses(&whole), losses(&damaged));
}

#[test]
fn a_folder_that_is_not_this_plans_run_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let attempt = |plan: &Plan, dataset: &Arc<Dataset>| {
        (method(plan).pretrain)(plan, dataset.clone(), &mut Silent, &AtomicBool::new(false)).unwrap_err().to_string()
    };
    let (first, dataset) = plan(folder.path(), "run", &["epochs=1"]);
    train(&first, &dataset);
    let before = encoder(&first);
    let (other, dataset) = plan(folder.path(), "run", &["epochs=2"]);
    let error = attempt(&other, &dataset);
    assert!(error.contains("train.epochs 1 → 2: another plan") && error.contains("out=…"), "{error}");
    assert!(encoder(&first) == before);

    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("cat.jpg"), "not ours").unwrap();
    let (occupied, dataset) = plan(folder.path(), "photos", &[]);
    assert!(attempt(&occupied, &dataset).contains("not empty"));
    assert_eq!(fs::read_dir(&photos).unwrap().count(), 1);
}

#[test]
fn an_infinite_loss_stops_with_what_led_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &["method=barlow_twins", "optimizer.base_lr=1e30"]);
    let error = (method(&plan).pretrain)(&plan, dataset, &mut Silent, &AtomicBool::new(false));
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("at step") && error.contains("redundancy") && error.contains("last good checkpoint"),
        "{error}"
    );
}

/// Keeps the warnings, with their steps.
#[derive(Default)]
pub struct Warnings(pub Vec<(u64, String)>);

impl Observer for Warnings {
    fn event(&mut self, event: &Event) {
        if let Event::Warning { step, message } = event {
            self.0.push((*step, message.clone()));
        }
    }
}

#[test]
fn a_collapse_is_told_while_it_happens_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = |method: &str| {
        let method = format!("method={method}");
        let (plan, dataset) = plan(folder.path(), &method, &[&method, "epochs=40", "optimizer.base_lr=2.0"]);
        let mut warnings = Warnings::default();
        pretrain(&plan, &dataset, &mut warnings, &AtomicBool::new(false));
        let recorded = fs::read_to_string(plan.out.join("metrics.jsonl")).unwrap();
        assert_eq!(recorded.matches("\"event\":\"warning\"").count(), warnings.0.len());
        warnings.0
    };
    let collapsed = warnings("invariance_only");
    assert_eq!(collapsed.len(), 1, "{collapsed:?}");
    assert!(collapsed[0].0 < 200 && collapsed[0].1.contains("complete collapse"), "{collapsed:?}");
    assert_eq!(warnings("barlow_twins"), []);
}

#[test]
fn an_edited_plan_is_told_what_was_changed_and_what_changes_nothing_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &["epochs=2"]);
    train(&whole, &dataset);
    let (begun, dataset) = plan(folder.path(), "begun", &["epochs=2"]);
    train_to(&begun, &dataset, 5);

    let file = begun.out.join("plan.toml");
    let text = fs::read_to_string(&file).unwrap();
    let again = |edited: &str| {
        fs::write(&file, edited).unwrap();
        let plan = Catalogue::default().load(&begun.out, &[])?;
        let dataset = Arc::new(Dataset::open(&DataRequest::from(&plan.data))?);
        (method(&plan).pretrain)(&plan, dataset, &mut Silent, &AtomicBool::new(false))
    };
    let error =
        again(&text.replace("epochs = 2", "epochs = 20").replace("seed = 0", "seed = 3")).unwrap_err().to_string();
    assert!(error.contains("seed 0 → 3, train.epochs 2 → 20: another plan") && error.contains("out=…"), "{error}");
    assert!(!error.contains("remove") && !error.contains('\n'), "{error}");
    let error = again(&text.replace("batch_size = 8", "batch_size = 0")).unwrap_err().to_string();
    assert!(
        error.contains("train.batch_size: expected a whole number from 2") && error.contains("plan.toml:"),
        "{error}"
    );

    // Records, and where the data lie.
    let (there, moved) = (folder.path().join("images.npy"), folder.path().join("moved/images.npy"));
    fs::create_dir(folder.path().join("moved")).unwrap();
    fs::rename(&there, &moved).unwrap();
    let edited = text.replace("checkpoint_steps = 4", "checkpoint_steps = 1").replace("log_steps = 1", "log_steps = 2");
    let edited = edited.replace(there.to_str().unwrap(), moved.to_str().unwrap());
    assert_eq!(again(&edited).unwrap(), Outcome::Finished { run: begun.out.clone() });
    assert!(encoder(&whole) == encoder(&begun));
}

#[test]
fn data_that_have_changed_are_refused_or_told_in_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, dataset) = plan(folder.path(), "begun", &["epochs=2"]);
    train_to(&begun, &dataset, 5);
    let (path, record) = (folder.path().join("images.npy"), begun.out.join("data.bin"));
    let attempt = |plan: &Plan, observer: &mut dyn Observer| {
        let dataset = Arc::new(Dataset::open(&DataRequest::from(&plan.data)).unwrap());
        (method(plan).pretrain)(plan, dataset, observer, &AtomicBool::new(false))
    };
    // Eight images more, and another one in the place of the fourth.
    let mut bytes = fs::read(&path).unwrap().split_off(npy_header("|u1", &[40, 12, 12]).len());
    bytes[3 * 144] ^= 1;
    bytes.extend([7; 8 * 144]);
    fs::write(&path, [npy_header("|u1", &[48, 12, 12]), bytes].concat()).unwrap();
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    let error = attempt(&begun, &mut Silent).unwrap_err().to_string();
    let numbers = "8 added, 0 removed, 1 replaced (the first: images.npy[3])";
    assert!(error.starts_with("data.path: ") && error.contains(numbers) && error.contains("on_data_change"), "{error}");

    // The record is for the numbers alone.
    let whole = fs::read(&record).unwrap();
    assert_eq!(whole.len(), 40 + 40 * 32 + 32);
    for damaged in [&whole[..whole.len() - 1], b""] {
        fs::write(&record, damaged).unwrap();
        let error = attempt(&begun, &mut Silent).unwrap_err().to_string();
        assert!(error.contains("samples were added, removed or replaced;"), "{error}");
    }
    fs::write(&record, whole).unwrap();
    let data = DataSettings { on_data_change: OnDataChange::Warn, ..begun.data.clone() };
    let (mut warned, mut warnings) = (begun.clone(), Warnings::default());
    warned.data = data;
    assert_eq!(attempt(&warned, &mut warnings).unwrap(), Outcome::Finished { run: begun.out.clone() });
    let [(5, told)] = &warnings.0[..] else { panic!("{:?}", warnings.0) };
    assert!(told.contains(numbers) && told.contains("6 steps per epoch and 12 in all"), "{told}");
    assert_eq!(losses(&begun).len(), 12);
}

#[test]
fn what_is_not_read_of_the_data_is_kept_in_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos");
    fs::create_dir(&photos).unwrap();
    for index in 0..19u8 {
        let pixels = [index; 144].map(|v| v.wrapping_mul(13));
        fs::write(photos.join(format!("{index:02}.pgm")), [b"P5\n12 12\n255\n".as_slice(), &pixels].concat()).unwrap();
    }
    fs::write(photos.join("broken.png"), "no picture").unwrap();
    fs::write(photos.join("clip.mp4"), "no picture either").unwrap();
    let data = format!("data={}", photos.display());
    let (plan, dataset) = plan(folder.path(), "run", &[&data, "epochs=1", "data.max_bad_share=0.1"]);
    train(&plan, &dataset);
    let text = fs::read_to_string(plan.out.join("metrics.jsonl")).unwrap();
    let told: Vec<String> =
        text.lines().filter_map(|line| serde_json::from_str::<Event>(line).unwrap().warning()).collect();
    for part in ["1 of 21 files are not read: 1 .mp4", "looked at are gray", "1 of 20 samples cannot be read"] {
        assert_eq!(told.iter().filter(|line| line.contains(part)).count(), 1, "{part}: {told:?}");
    }
}

#[test]
fn a_copy_of_the_data_with_other_times_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &["epochs=2"]);
    train(&whole, &dataset);
    let (begun, dataset) = plan(folder.path(), "begun", &["epochs=2"]);
    train_to(&begun, &dataset, 5);
    let path = folder.path().join("images.npy");
    fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let dataset = Arc::new(Dataset::open(&DataRequest::from(&begun.data)).unwrap());
    train(&begun, &dataset);
    assert!(encoder(&whole) == encoder(&begun));
}

#[test]
fn sketches_of_pixels_are_those_of_the_whole_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, dataset) = plan(folder.path(), "run", &["evaluate.batch_size=7"]);
    let branch = (method(&plan).branch)(&plan, WeightsOf::Fresh, &mut |_| {}).unwrap();
    let sketch = Sketch::new(144, 3);
    let tables = |raw| {
        let wanted = Wanted { raw, ..Wanted::default() };
        Tables::embed(&branch, &dataset, &plan, None, wanted, &mut |_| {}).unwrap()
    };
    let (whole, sketched) = (tables(Pixels::Whole), tables(Pixels::Sketched(&sketch)));
    assert_eq!((whole.raw.dim, sketched.raw.dim, sketched.raw.len()), (144, sketch::WIDTH, 40));
    assert_eq!(sketched.raw.values, sketch.apply(whole.raw.rows()));
    assert_eq!((whole.h, tables(Pixels::None).raw.values), (sketched.h, Vec::new()));
}

#[test]
fn no_tile_is_judged_online_by_others_of_its_file() {
    // Each file has a class of its own, so that its tiles are known by others of the file alone.
    let folder = tempfile::tempdir().unwrap();
    for file in 0..12u8 {
        let class = folder.path().join(format!("slides/{file:02}"));
        fs::create_dir_all(&class).unwrap();
        let mut bytes = b"P5\n36 36\n255\n".to_vec();
        bytes.extend((0..36 * 36u32).map(|at| 20 * file + (at % 7) as u8));
        fs::write(class.join("slide.pgm"), bytes).unwrap();
    }
    let data = format!("data={}", folder.path().join("slides").display());
    let keys = ["data.labels=folder", "data.tile=12", "data.tile_empty=0", "epochs=1", "train.online_knn_epochs=1"];
    let (plan, dataset) = plan(folder.path(), "run", &[&[data.as_str()], &keys[..]].concat());
    assert_eq!((dataset.len(), dataset.is_grouped()), (12 * 9, true));
    let mut seen = Accuracies::default();
    pretrain(&plan, &dataset, &mut seen, &AtomicBool::new(false));
    assert_eq!(seen.0, [0.0]);
}

/// What the online kNN finds.
#[derive(Default)]
struct Accuracies(Vec<f64>);

impl Observer for Accuracies {
    fn event(&mut self, event: &Event) {
        if let Event::OnlineKnn { accuracy, .. } = event {
            self.0.push(*accuracy);
        }
    }
}
