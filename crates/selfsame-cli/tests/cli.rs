//! The command as its users meet it: bad input, interruption, and the files it leaves.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Small networks and batches, so that a run takes seconds; tests add their own keys.
const SMALL: [&str; 7] = [
    "backbone=resnet_micro",
    "backbone.widths=[4,8]",
    "projector.hidden=16",
    "projector.out=8",
    "batch_size=16",
    "optimizer.warmup_epochs=0",
    "train.log_steps=1",
];

/// A folder of its own for each test; `work` is where the command runs.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Two classes of gray 12×12 images that differ in brightness: `name/{dark,light}/NN.pgm`.
    fn images(&self, name: &str, per_class: u8) {
        for (class, base) in [("dark", 40), ("light", 160)] {
            let folder = self.path(name).join(class);
            fs::create_dir_all(&folder).unwrap();
            for index in 0..per_class {
                let mut bytes = b"P5\n12 12\n255\n".to_vec();
                bytes.extend(
                    (0..144u8).map(|pixel| base + pixel.wrapping_mul(index.wrapping_mul(7).wrapping_add(3)) % 60),
                );
                fs::write(folder.join(format!("{index:02}.pgm")), bytes).unwrap();
            }
        }
    }

    /// Changes a pixel of an image a little.
    fn nearly(&self, name: &str) {
        let mut bytes = self.read(name);
        *bytes.last_mut().unwrap() += 1;
        fs::write(self.path(name), bytes).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("selfsame"));
        command.current_dir(self.0.path()).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Trains with [`SMALL`] and `words`.
    fn pretrain(&self, words: &[&str]) -> Output {
        self.run(&[&["pretrain"], &SMALL[..], words].concat())
    }

    /// Runs a command whose input is bad, which it must say in a single line, and returns that line.
    fn fails(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        one_error(&output, words)
    }

    /// Starts a command.
    fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts `watch` on a run, and says where.
    fn watch(&self, run: &str) -> (Child, String) {
        let mut watch = self.start(&["watch", run, "--port", "0"]);
        let mut line = String::new();
        BufReader::new(watch.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap().to_owned();
        (watch, address)
    }

    /// Runs a command within a limit of the system, as bash states it.
    fn limited(&self, limit: &str, words: &[&str]) -> Output {
        let mut command = Command::new("bash");
        command.current_dir(self.0.path()).args(["-c", &format!("ulimit {limit}; exec \"$@\""), "bash"]);
        command.arg(assert_cmd::cargo::cargo_bin!("selfsame")).args(words).output().unwrap()
    }

    /// A run that was stopped in its middle: at step 2 of 8.
    fn unfinished_run(&self) {
        let words = ["data=photos", "epochs=4", "train.checkpoint_steps=1", "train.keep_checkpoints=9", "out=run"];
        succeeds(&self.pretrain(&words));
        fs::remove_file(self.path("run/encoder.safetensors")).unwrap();
        for name in self.names("run/checkpoints").iter().filter(|name| name.starts_with("step-")).skip(2) {
            fs::remove_dir_all(self.path(&format!("run/checkpoints/{name}"))).unwrap();
        }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Names in a folder, sorted.
    fn names(&self, name: &str) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.path(name)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The loss of every step, as written.
    fn losses(&self, run: &str) -> Vec<String> {
        let metrics = self.text(&format!("{run}/metrics.jsonl"));
        let steps = metrics.lines().filter(|line| line.starts_with(r#"{"event":"step""#));
        steps.map(|line| line.split(r#","lr""#).next().unwrap().to_owned()).collect()
    }
}

fn one_error(output: &Output, what: &[&str]) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    let errors: Vec<_> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(!output.status.success(), "{what:?} succeeded");
    assert!(errors.len() == 1 && !text.contains("bug in selfsame"), "{what:?}: {text}");
    errors[0].to_owned()
}

fn succeeds(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn contains(line: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(line.contains(part), "no \"{part}\" in: {line}"));
}

#[test]
fn data_that_cannot_be_read_is_named_in_one_line() {
    let place = Place::new();
    let line = place.fails(&["pretrain", "data=nowhere"]);
    contains(&line, &["nowhere", "data.path"]);
    assert_eq!(line.matches("os error").count(), 1, "{line}");
    fs::create_dir(place.path("empty")).unwrap();
    contains(&place.fails(&["pretrain", "data=empty"]), &["empty", "image"]);
    fs::create_dir(place.path("text")).unwrap();
    fs::write(place.path("text/notes.txt"), "not an image").unwrap();
    contains(&place.fails(&["pretrain", "data=text"]), &["text", "image"]);
    fs::create_dir(place.path("lies")).unwrap();
    (0..4).for_each(|i| fs::write(place.path(&format!("lies/{i}.png")), "not a PNG").unwrap());
    contains(&place.fails(&["pretrain", "data=lies"]), &["lies"]);
    place.images("flat", 4);
    contains(&place.fails(&["pretrain", "data=flat/dark", "data.labels=folder"]), &["labels", "folder"]);
    for folder in ["runs", "empty/runs"] {
        assert!(!place.path(folder).exists(), "{folder} was made by a run that never was");
    }
}

#[test]
fn settings_that_make_no_sense_are_named_with_their_key() {
    let place = Place::new();
    place.images("photos", 8);
    let fails = |word: &str, parts: &[&str]| contains(&place.fails(&["pretrain", "data=photos", word]), parts);
    fails("batch_size=17", &["train.batch_size", "17", "16"]);
    fails("batch_sise=8", &["batch_sise", "did you mean", "batch_size"]);
    fails("epochs=many", &["train.epochs", "whole number", "many"]);
    fails("method=simclear", &["method", "simclear", "simclr"]);
    fails("backbone.widths=[0]", &["backbone.widths"]);
    fails("method.temperature=0", &["method.temperature"]);
    fails("data.size=0", &["data.size"]);
    fails("device=quantum", &["device", "quantum"]);
    let crop =
        |scale: &str| format!("views=[{{count=2,augmentations=[{{name=\"random_resized_crop\",scale={scale}}}]}}]");
    fails(&crop("[0.5,1.5]"), &["scale", "1.5"]);
    fs::write(place.path("bad.toml"), "[data]\npath = \"photos\"\n[train]\nepochs = \"ten\"\n").unwrap();
    contains(&place.fails(&["pretrain", "bad.toml"]), &["bad.toml", "epochs", "ten"]);
    fs::write(place.path("worse.toml"), "[data\n").unwrap();
    contains(&place.fails(&["plan", "worse.toml"]), &["worse.toml", "1"]);
    assert!(!place.path("runs").exists());
}

#[test]
fn a_folder_that_holds_something_else_is_left_as_it_is() {
    let place = Place::new();
    place.images("photos", 8);
    fs::create_dir(place.path("mine")).unwrap();
    fs::write(place.path("mine/thesis.tex"), "years of work").unwrap();
    let output = place.pretrain(&["data=photos", "epochs=1", "out=mine"]);
    contains(&one_error(&output, &["out=mine"]), &["mine", "not empty", "out="]);
    assert_eq!(place.names("mine"), ["thesis.tex"]);

    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    let before = place.read("run/encoder.safetensors");
    let output = place.pretrain(&["data=photos", "epochs=1", "seed=1", "out=run"]);
    contains(&one_error(&output, &["seed=1"]), &["run", "seed 0 → 1", "another plan", "out="]);
    assert_eq!(place.read("run/encoder.safetensors"), before);
    let again = place.pretrain(&["data=photos", "epochs=1", "out=run"]);
    contains(&String::from_utf8_lossy(&again.stderr), &["finished"]);
    succeeds(&again);
}

#[test]
fn bad_files_are_skipped_counted_and_listed_until_they_are_too_many() {
    let place = Place::new();
    place.images("photos", 20);
    fs::write(place.path("photos/dark/torn.pgm"), b"P5\n12 12\n255\nshort").unwrap();
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    contains(&place.text("run/skipped.jsonl"), &["torn.pgm", "reason"]);
    contains(&place.text("run/metrics.jsonl"), &[r#""skipped_files":1"#]);
    let strict = place.pretrain(&["data=photos", "epochs=1", "data.max_bad_share=0.01", "out=strict"]);
    contains(&one_error(&strict, &["strict"]), &["torn.pgm", "data.max_bad_share"]);
    assert_eq!(strict.status.code(), Some(3));
    assert!(!place.path("strict/encoder.safetensors").exists());
}

#[test]
fn a_loss_that_is_not_a_number_stops_with_what_led_there() {
    let place = Place::new();
    place.images("photos", 16);
    let output = place.pretrain(&["data=photos", "epochs=3", "optimizer.base_lr=1e30", "out=run"]);
    contains(&one_error(&output, &["lr"]), &["loss", "step", "lr", "invariance", "contrast", "checkpoint"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(!place.path("run/encoder.safetensors").exists());
    // The advice can be followed, by either way of going on.
    let output = place.run(&["pretrain", "run", "optimizer.base_lr=2e30"]);
    contains(&one_error(&output, &["lr"]), &["loss", "step"]);
    contains(&String::from_utf8_lossy(&output.stderr), &["takes another plan", "optimizer.base_lr 1"]);
    succeeds(&place.pretrain(&["data=photos", "epochs=3", "out=run"]));
    assert_eq!(place.names("run").iter().filter(|name| name.starts_with("metrics")).count(), 3);
}

/// Sends a signal.
fn send(signal: &str, child: &Child) {
    let _ = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).stderr(Stdio::null()).status();
}

/// How a process ends that is sent a signal.
fn stopped(child: Child, signal: &str) -> Output {
    send(signal, &child);
    child.wait_with_output().unwrap()
}

/// Waits until there is something, and then for nothing more.
fn wait_until(what: &str, there: impl Fn() -> bool) {
    let start = Instant::now();
    while !there() {
        assert!(start.elapsed() < Duration::from_secs(120), "waited for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The answer of `watch` to a request.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until the run has logged a step of its own after `lines` lines, or has ended.
fn wait_for_a_step(metrics: &Path, lines: usize, child: &mut Child) {
    while child.try_wait().unwrap().is_none() {
        let now = fs::read_to_string(metrics).unwrap_or_default();
        if now.lines().filter(|line| line.contains(r#""event":"step""#)).count() > lines {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn ten_interruptions_and_kills_leave_the_same_bytes_as_none() {
    let place = Place::new();
    place.images("photos", 32);
    let words = ["data=photos", "epochs=30", "train.checkpoint_steps=3"];
    succeeds(&place.pretrain(&[&words[..], &["out=whole"]].concat()));
    let start = [&["pretrain"], &SMALL[..], &words, &["out=cut"]].concat();
    let metrics = place.path("cut/metrics.jsonl");
    for stop in 0..10 {
        let words = if stop == 0 { &start[..] } else { &["pretrain", "cut"] };
        let mut child = place.command(words).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // What lies beyond the last checkpoint is cut off when a run is taken up again, so count from there.
        let before =
            fs::read_to_string(&metrics).unwrap_or_default().lines().filter(|l| l.contains("\"step\"")).count();
        wait_for_a_step(&metrics, before + stop % 4, &mut child);
        let gently = stop % 2 == 0;
        send(if gently { "TERM" } else { "KILL" }, &child);
        let output = child.wait_with_output().unwrap();
        if gently {
            let text = String::from_utf8_lossy(&output.stderr);
            match output.status.code() {
                // To go on with, or stopped in the diagnosis of what was just finished.
                Some(75) => {
                    assert!(
                        ["selfsame pretrain cut", "the encoder is in"].iter().any(|end| text.contains(end)),
                        "{text}"
                    );
                }
                // The signal came when all was done.
                code => assert!(
                    code == Some(0) && ["finished", "the encoder is in"].iter().any(|end| text.contains(end)),
                    "{text}"
                ),
            }
        }
    }
    succeeds(&place.run(&["pretrain", "cut"]));
    assert_eq!(place.losses("cut"), place.losses("whole"));
    assert_eq!(place.losses("whole").len(), 120);
    assert_eq!(place.read("cut/encoder.safetensors"), place.read("whole/encoder.safetensors"));
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before() {
    let place = Place::new();
    place.images("photos", 16);
    let words = ["data=photos", "epochs=4", "train.checkpoint_steps=1", "out=run"];
    succeeds(&place.pretrain(&words));
    let encoder = place.read("run/encoder.safetensors");
    fs::remove_file(place.path("run/encoder.safetensors")).unwrap();
    let newest = place.names("run/checkpoints").pop().unwrap();
    let model = place.path(&format!("run/checkpoints/{newest}/model.safetensors"));
    let mut bytes = fs::read(&model).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&model, bytes).unwrap();
    let output = place.run(&["pretrain", "run"]);
    succeeds(&output);
    contains(&String::from_utf8_lossy(&output.stderr), &["warning: ", &newest, "hash"]);
    assert_eq!(place.read("run/encoder.safetensors"), encoder);
}

#[test]
fn every_command_that_loads_a_checkpoint_says_which_one_and_how_far_it_is() {
    let place = Place::new();
    place.images("photos", 16);
    place.images("held-out", 8);
    let words = ["data=photos", "epochs=2", "train.checkpoint_steps=1", "train.keep_best=lidar", "out=run"];
    succeeds(&place.pretrain(&words));
    succeeds(&place.run(&["embed", "run", "weights=best", "out=best.npy"]));
    contains(&place.fails(&["embed", "run", "weights=worst", "out=worst.npy"]), &["weights", "best", "worst"]);
    let newest = place.names("run/checkpoints").pop().unwrap();
    let model = place.path(&format!("run/checkpoints/{newest}/model.safetensors"));
    let mut bytes = fs::read(&model).unwrap();
    bytes[100] ^= 4;
    fs::write(&model, bytes).unwrap();
    let litter = ".partial-selfsame-a1B2c3";
    for folder in ["", "run/"] {
        fs::write(place.path(&format!("{folder}{litter}")), "half").unwrap();
    }
    let tune = ["finetune", "run", "test=held-out", "labels=2", "draws=1", "min_steps=2", "epochs=1"];
    let commands: [&[&str]; 5] = [
        &["embed", "run", "out=h.npy"],
        &["evaluate", "run", "test=held-out"],
        &["diagnose", "run", "samples=20"],
        &["report", "run"],
        &tune,
    ];
    for words in commands {
        let output = place.run(words);
        succeeds(&output);
        let text = String::from_utf8_lossy(&output.stderr);
        let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert_eq!(warnings.len(), 2, "{words:?}: {text}");
        contains(warnings[0], &[&newest, "model.safetensors: does not match its hash", "is used in its place"]);
        contains(warnings[1], &["step 3 of 4", "not trained to the end"]);
    }
    for folder in [".", "run"] {
        assert!(!place.names(folder).contains(&litter.to_owned()), "{folder}: {:?}", place.names(folder));
    }
    fs::remove_dir_all(place.path("run/checkpoints")).unwrap();
    let output = place.run(&["embed", "run", "out=alone.npy"]);
    succeeds(&output);
    contains(&String::from_utf8_lossy(&output.stderr), &["warning: ", "checkpoints are gone", "the encoder alone"]);
    contains(&succeeds(&place.run(&["evaluate", "run", "test=held-out"])), &["\nh "]);
}

#[test]
fn what_a_newcomer_types_is_answered_with_the_command_that_works() {
    let place = Place::new();
    place.images("my photos", 8);
    place.images("other/my photos", 9);
    fs::write(place.path("images.npy"), b"").unwrap();
    // What a message tells to type, in a shell.
    let pasted = |line: &str, more: &[&str]| {
        let command = line[line.find("selfsame ").unwrap()..].replacen("selfsame", "\"$0\"", 1);
        let command = format!("{} {}", command.trim_end_matches('`'), more.join(" "));
        let binary = assert_cmd::cargo::cargo_bin!("selfsame");
        Command::new("bash").current_dir(place.0.path()).args(["-c", &command]).arg(binary).output().unwrap()
    };
    let line = place.fails(&["pretrain", "my photos"]);
    contains(&line, &["my photos: neither a run folder", "selfsame pretrain 'data=my photos'"]);
    let tiny = ["epochs=1", "data.size=12", "data.channels=1", "'backbone.widths=[4,8]'"];
    succeeds(&pasted(&line, &tiny));
    // The same data under the same name go on; others have a folder of their own.
    let again = pasted(&line, &tiny);
    succeeds(&again);
    contains(&stderr(&again), &["runs/simclr-my photos is finished"]);
    let other = pasted("selfsame pretrain 'data=other/my photos'", &tiny);
    succeeds(&other);
    contains(&stderr(&other), &["runs/simclr-my photos is the run of another plan", "runs/simclr-my photos-2"]);
    assert_eq!(place.names("runs"), ["simclr-my photos", "simclr-my photos-2"]);

    contains(&place.fails(&["pretrain", "data=my photos", "--epochs", "10"]), &["--epochs", "write epochs=10"]);
    contains(&place.fails(&["pretrain", "data=x", "--batch-size=8"]), &["--batch-size", "write batch_size=8"]);
    contains(&place.fails(&["pretrain", "images.npy"]), &["not a recipe", "selfsame pretrain data=images.npy"]);
    let line = place.fails(&["evaluate", "simclr-my photo", "test=my photos"]);
    contains(&line, &["no such run folder", "did you mean 'runs/simclr-my photos'?"]);
    let words = ["evaluate", "runs/simclr-my photos", "test=other/my photos", "evaluate.knn_k=3"];
    contains(&succeeds(&place.run(&words)), &["\nh "]);
    contains(&place.text("runs/simclr-my photos/scores.json"), &["\"k\": 3"]);
}

#[test]
fn a_run_is_judged_and_its_features_are_written() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    succeeds(&place.pretrain(&["data=photos", "epochs=2", "out=run"]));
    let table = succeeds(&place.run(&["evaluate", "run", "train=photos", "test=held-out"]));
    contains(&table, &["kNN", "probe", "\nh ", "\nz ", "\nraw ", "\nuntrained "]);
    contains(&place.text("run/scores.json"), &["\"linear_probe\"", "\"all_labels\"", "\"untrained\""]);
    // What follows stands first, and that the test samples are training samples before it.
    let copies = "16 of 16 test samples are among the labeled training samples (16 with the same content, 0 near-duplicates; the \
                  first: dark/00.pgm is dark/00.pgm): the scores are too high.\nh is ";
    assert!(table.starts_with(copies), "{table}");
    contains(&table, &["Linear probe: With 1 label per class ", "\nchance ", "kNN: share of the test samples"]);
    let weights = place.text("run/config.json");
    let weights = weights.split("\"blake3\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let of_weights = format!("\"fingerprint\": \"{weights}\"");
    let of_data = ["\"data\": \"held-out\"", "\"data\": \"photos\"", "\"samples\": 16", &of_weights];
    contains(&place.text("run/scores.json"), &of_data);
    contains(&place.text("run/diagnosis.json"), &[&of_weights]);
    contains(
        &place.text("run/report.html"),
        &["Judged on held-out (16 samples, ", "<li>16 of 16 test samples are among"],
    );
    contains(&place.fails(&["evaluate", "run", "train=photos"]), &["test"]);
    contains(&place.fails(&["evaluate", "run", "train=photos/dark", "test=held-out"]), &["labels"]);

    succeeds(&place.run(&["embed", "run", "data=photos", "out=h.npy"]));
    let npy = place.read("h.npy");
    assert!(npy.starts_with(b"\x93NUMPY"));
    assert_eq!((npy.len() - 48 * 8 * 4) % 64, 0, "a padded header, then 48 rows of 8 floats");
    succeeds(&place.run(&["embed", "run", "data=photos", "out=h.parquet"]));
    let parquet = place.read("h.parquet");
    assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"));
    contains(&place.fails(&["embed", "run", "data=photos", "out=h.csv"]), &["h.csv", ".parquet", ".npy"]);
    contains(&place.fails(&["embed", "run", "data=photos", "out=no/h.npy"]), &["no/h.npy", "folder"]);
    contains(&place.fails(&["embed", "photos", "out=h.npy"]), &["photos", "neither a run folder"]);
    assert_eq!(place.names("."), ["h.npy", "h.parquet", "h.rows.jsonl", "held-out", "photos", "run"]);
}

#[test]
fn labels_numbers_and_groups_come_from_a_table() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    let mut table = String::from("path,bright,even,level,film,kind\n");
    for (part, per_class) in [("photos", 24), ("held-out", 8)] {
        for (bright, class) in ["dark", "light"].iter().enumerate() {
            for index in 0..per_class {
                let film = index / 4 + if part == "photos" { 0 } else { 5 };
                let level = 40.0 + 120.5 * bright as f64 + f64::from(index) / 10.0;
                let row = format!("{part}/{class}/{index:02}.pgm,{bright},{},{level},f{film},{class}", index % 2);
                table += &(row + "\n");
            }
        }
    }
    // One sample is unknown to the table, one has no number.
    let table = table.replace("photos/dark/00.pgm,0,0,40,f0,dark\n", "").replace(",40.1,f0", ",,f0");
    fs::write(place.path("about.csv"), table).unwrap();
    let judge =
        |words: &[&str]| place.run(&[&["evaluate", "run", "test=held-out", "labels=about.csv"], words].concat());

    let numbers = judge(&["targets=level"]);
    contains(&succeeds(&numbers), &["probe R²", "kNN MAE", "R²: share of the variance", "\nchance "]);
    let told = String::from_utf8_lossy(&numbers.stderr).into_owned();
    contains(&told, &["2 of 48 train samples have no label in about.csv and are left out"]);
    let scores = place.text("run/scores.json");
    contains(
        &scores,
        &["\"task\": \"numbers\"", "\"label_table\"", "\"r2\"", "\"train_samples\": 46", "\"test_samples\": 16"],
    );
    contains(&place.text("run/report.html"), &["By target, linear probe on h", "by the table about.csv (63 samples, "]);

    // Films f5 and f6 are in both parts: their frames are left out of the training data.
    let labels = judge(&["targets=bright,even", "groups=film"]);
    contains(&succeeds(&labels), &["probe AUROC", "probe macro F1", "mean AP"]);
    let told = String::from_utf8_lossy(&labels.stderr).into_owned();
    contains(&told, &["8 of 47 train samples are of groups that are in the test data too and are left out"]);
    contains(
        &place.text("run/scores.json"),
        &["\"task\": \"multi_label\"", "\"train_samples\": 39", "\"test_groups\": 2"],
    );

    let classes = judge(&["targets=kind", "groups=film"]);
    contains(&succeeds(&classes), &["kNN", "probe", "1 per class", "hardest class"]);
    contains(&place.text("run/scores.json"), &["\"classes\": [\"dark\", \"light\"]", "\"test_groups\": 2"]);
    let grouped = place.run(&["evaluate", "run", "test=held-out", "groups={group}.pgm"]);
    contains(&String::from_utf8_lossy(&grouped.stderr), &["16 of 48 train samples are of groups"]);

    let quick = ["test=held-out", "labels=about.csv", "draws=1", "min_steps=4", "epochs=1"];
    let tune = |words: &[&str]| place.run(&[&["finetune", "run"], &quick[..], words].concat());
    contains(
        &succeeds(&tune(&["targets=level", "labels=50%,all"])),
        &["labels, R²", "50 % (23)", "all (46)", "MAE", "by chance: 0.000"],
    );
    let grouped = tune(&["targets=bright,even", "groups=film", "labels=all"]);
    contains(&succeeds(&grouped), &["labels, AUROC", "all (39)", "mean AP", "macro F1", "by chance: 0.500"]);
    contains(&place.text("run/finetune.json"), &["\"task\": \"multi_label\"", "\"test_groups\": 2", "\"label_table\""]);
    contains(&succeeds(&tune(&["targets=kind", "labels=2"])), &["labels, accuracy", "2 per class (4)"]);
    let wrong = place.fails(&[&["finetune", "run"], &quick[..], &["targets=level", "labels=5"]].concat());
    contains(&wrong, &["labels", "percentages or all", "received 5"]);

    let fails = |words: &[&str]| place.fails(&[&["evaluate", "run", "test=held-out"], words].concat());
    contains(&fails(&["labels=about.csv"]), &["about.csv", "bright, even, level, film, kind", "targets=COLUMN"]);
    contains(&fails(&["labels=about.csv", "targets=hue"]), &["no column `hue`"]);
    contains(&fails(&["labels=none.csv"]), &["none.csv"]);
    contains(&fails(&["targets=level"]), &["targets", "labels=TABLE.csv"]);
    contains(&fails(&["groups=folder:3"]), &["48 of 48 samples have no group", "dark/00.pgm"]);
    contains(&fails(&["groups=folder"]), &["nothing is left to learn from"]);
}

/// Two classes of images that are cut into four tiles of 12×12 each: `name/{dark,light}/N.pgm`.
fn slides(place: &Place, name: &str, numbers: std::ops::Range<usize>) {
    for (class, base) in [("dark", 0), ("light", 120)] {
        let folder = place.path(name).join(class);
        fs::create_dir_all(&folder).unwrap();
        for number in numbers.clone() {
            let mut bytes = b"P5\n24 24\n255\n".to_vec();
            bytes.extend((0..576).map(|at| (base + (at * (2 * number + 3) + at / 24 * number) % 120) as u8));
            fs::write(folder.join(format!("{number}.pgm")), bytes).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn no_tile_is_judged_by_others_of_its_file() {
    let place = Place::new();
    slides(&place, "slides", 0..6);
    slides(&place, "held-out", 6..9);
    succeeds(&place.pretrain(&["data=slides", "data.tile=12", "epochs=1", "out=run"]));
    let record = |name: &str| -> serde_json::Value { serde_json::from_slice(&place.read(name)).unwrap() };
    let note = "pages and tiles of one file are one group";
    let output = place.run(&["evaluate", "run", "train=slides", "test=held-out"]);
    succeeds(&output);
    contains(&stderr(&output), &[note]);
    assert!(!stderr(&output).contains("left out"), "{}", stderr(&output));
    let scores = record("run/scores.json");
    // Intervals are of resampled files.
    assert_eq!((&scores["protocol"]["test_samples"], &scores["protocol"]["test_groups"]), (&24.into(), &6.into()));
    assert_eq!(scores["protocol"]["train_samples"], 48);

    // Another folder that leads to two of the files, by whatever path: they are left out of what is learned from.
    for class in ["dark", "light"] {
        fs::create_dir_all(place.path("some").join(class)).unwrap();
        let (file, link) = (place.path("slides").join(class), place.path("some").join(class));
        std::os::unix::fs::symlink(file.join("0.pgm"), link.join("renamed.pgm")).unwrap();
    }
    let left_out = "8 of 48 train samples are of groups that are in the test data too and are left out";
    for test in ["test=some", "test=slides/../some"] {
        let output = place.run(&["evaluate", "run", "train=slides", test]);
        succeeds(&output);
        contains(&stderr(&output), &[note, left_out]);
        let scores = record("run/scores.json");
        assert_eq!(scores["protocol"]["train_samples"], 40);
        assert_eq!(scores["protocol"]["test_groups"], 2);
        assert_eq!(scores["overlap"]["labeled"]["same_content"], 0);
    }
    let quick = ["labels=2", "draws=1", "min_steps=2", "epochs=1"];
    let output = place.run(&[&["finetune", "run", "train=slides", "test=some"], &quick[..]].concat());
    succeeds(&output);
    contains(&stderr(&output), &[note, left_out]);
    let found = record("run/finetune.json");
    assert_eq!((&found["train_samples"], &found["test_groups"]), (&40.into(), &2.into()));

    // The same data twice are as they are, and told.
    succeeds(&place.run(&["evaluate", "run", "train=slides", "test=slides"]));
    let scores = record("run/scores.json");
    assert_eq!((&scores["protocol"]["train_samples"], &scores["protocol"]["test_groups"]), (&48.into(), &12.into()));
    contains(&place.text("run/scores.json"), &["48 of 48 test samples are among the labeled training samples"]);
}

#[test]
fn a_run_is_diagnosed_and_fine_tuned() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    place.nearly("held-out/dark/00.pgm");
    let output = place.pretrain(&["data=photos", "epochs=1", "out=run", "--records"]);
    assert!(succeeds(&output).lines().all(|line| line.starts_with('{')), "records alone");
    contains(&succeeds(&output), &[r#"{"event":"started""#, r#"{"event":"step""#, r#"{"event":"finished""#]);
    contains(&String::from_utf8_lossy(&output.stderr), &["h: ", "z: ", "centered effective rank"]);
    contains(&place.text("run/diagnosis.json"), &["\"verdict\"", "\"lidar\"", "\"untrained_agreement\""]);
    let page = succeeds(&place.run(&["diagnose", "run", "data=held-out", "samples=12", "--invariance"]));
    contains(&page, &["random pair", "gaussian_blur"]);
    contains(&place.text("run/diagnosis.json"), &["held-out", "\"samples\": 12"]);
    contains(&place.text("run/report.html"), &["Invariance profile", "12 samples of held-out"]);
    contains(&place.fails(&["diagnose", "run", "samples=1"]), &["samples", "at least 2"]);

    let quick = ["train=photos", "test=held-out", "draws=1", "min_steps=4", "epochs=1"];
    let tune = |words: &[&str]| place.run(&[&["finetune", "run"], &quick[..], words].concat());
    let table = succeeds(&tune(&["labels=2,50%,all", "stages=1"]));
    contains(&table, &["fine-tuned", "from scratch", "linear probe", "2 per class (4)", "50 % (24)", "all (48)"]);
    let usual = "2 per class, labels are too few to choose by: lr=0.001 layer_decay=0.75; from scratch lr=0.001";
    contains(&table, &[usual, "all, chosen by 20 held-out samples: ", "; from scratch lr=0."]);
    let told =
        "16 of 16 test samples are among the labeled training samples (15 with the same content, 1 near-duplicates; ";
    assert!(table.starts_with(told), "{table}");
    contains(&place.text("run/finetune.json"), &["\"same_content\": 15", "\"near_duplicates\": 1"]);
    succeeds(&place.run(&["evaluate", "run", "train=photos", "test=held-out"]));
    contains(&place.text("run/scores.json"), &["\"same_content\": 15", "\"near_duplicates\": 1", told]);
    contains(&table, &["fine-tuning", "training from scratch", "labels, accuracy", "accuracy by chance: 0.500"]);
    contains(
        &place.text("run/finetune.json"),
        &["\"data\": \"held-out\"", "\"over_scratch\"", "\"conclusion\"", "\"weights\""],
    );
    let written = place.read("run/finetune.json");
    succeeds(
        &place
            .command(&[&["finetune", "run"], &quick[..], &["labels=2,50%,all", "stages=1"]].concat())
            .env("RAYON_NUM_THREADS", "1")
            .output()
            .unwrap(),
    );
    assert_eq!(place.read("run/finetune.json"), written, "the same bytes on one thread");
    assert!(!succeeds(&tune(&["labels=2", "lr=1e-3"])).contains("chosen by"), "what was asked for is taken");
    contains(&place.text("run/report.html"), &["Few labels"]);
    for (word, parts) in [
        ("labels=0", ["labels", "\"0\""]),
        ("stages=9", ["stages", "at most 3"]),
        ("lr=0", ["lr", "above 0"]),
        ("draw=3", ["draw", "unknown key"]),
    ] {
        contains(&one_error(&tune(&[word]), &[word]), &parts);
    }
    contains(&place.fails(&["finetune", "run", "train=photos/dark", "test=held-out"]), &["labels"]);
}

#[test]
fn a_study_is_drawn_and_goes_on_where_it_was_left() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    place.nearly("held-out/dark/00.pgm");
    let words = [&["study", "temperature", "--quick", "data=photos", "test=held-out", "epochs=1"], &SMALL[..]].concat();
    let table = succeeds(&place.run(&words));
    contains(&table, &["SimCLR", "0.05", "study.html"]);
    let told =
        "16 of 16 test samples are among the labeled training samples (15 with the same content, 1 near-duplicates; ";
    assert!(table.starts_with(told), "{table}");
    let folder = "studies/temperature-quick";
    let record = place.read(&format!("{folder}/study.json"));
    contains(&place.text(&format!("{folder}/study.html")), &["What the literature says", "Chen et al.", told]);
    assert!(place.text(&format!("{folder}/study.svg")).starts_with("<svg xmlns"));
    // A study that lost its last run does that one again, and comes to the same.
    let text = String::from_utf8(record.clone()).unwrap();
    let mut partial: serde_json::Value = serde_json::from_str(&text).unwrap();
    partial["jobs"].as_array_mut().unwrap().pop();
    fs::write(place.path(&format!("{folder}/study.json")), partial.to_string()).unwrap();
    let output = place.run(&words);
    succeeds(&output);
    contains(&String::from_utf8_lossy(&output.stderr), &["2 are done", "[3 of 3]"]);
    assert_eq!(place.read(&format!("{folder}/study.json")), record);
    let other = [&words[..], &["seed=1"]].concat();
    contains(&place.fails(&other), &["study.json", "out="]);
    contains(&place.fails(&["study", "labels", "data=photos"]), &["test"]);

    let labels = ["study", "labels", "--quick", "data=photos", "test=held-out", "epochs=1"];
    contains(&succeeds(&place.run(&[&labels[..], &SMALL].concat())), &["from scratch", "1 per class", "100 per class"]);
}

#[test]
fn an_encoder_without_its_run_is_taken_by_every_command_and_a_training_starts_from_it() {
    let place = Place::new();
    place.images("photos", 12);
    place.images("held-out", 4);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    succeeds(&place.run(&["embed", "run", "out=run.npy"]));
    fs::create_dir(place.path("kept")).unwrap();
    for name in ["config.json", "encoder.safetensors"] {
        fs::rename(place.path("run").join(name), place.path("kept").join(name)).unwrap();
    }
    fs::remove_dir_all(place.path("run")).unwrap();
    succeeds(&place.run(&["embed", "kept", "out=kept.npy"]));
    assert!(place.read("run.npy") == place.read("kept.npy"));
    let table = succeeds(&place.run(&["evaluate", "kept", "test=held-out"]));
    contains(&table, &["\nh ", "\nraw ", "\nuntrained "]);
    succeeds(&place.run(&["diagnose", "kept"]));
    succeeds(&place.run(&["finetune", "kept", "test=held-out", "labels=1", "epochs=1", "min_steps=1"]));
    succeeds(&place.run(&["report", "kept"]));
    let files = [
        "config.json",
        "diagnosis.json",
        "encoder.safetensors",
        "findings.json",
        "finetune.json",
        "report.html",
        "scores.json",
    ];
    assert_eq!(place.names("kept"), files);
    contains(&place.fails(&["pretrain", "kept"]), &["kept", "init.path"]);
    // Its own plan, in a run of its own; another method on other images.
    let further = place.run(&["pretrain", "init=kept", "epochs=1", "out=further"]);
    succeeds(&further);
    contains(&stderr(&further), &["the encoder starts from kept; heads and optimizer start anew"]);
    let other = ["pretrain", "init=kept", "method=byol", "data=held-out", "epochs=1", "batch_size=4", "out=other"];
    succeeds(&place.run(&other));
    contains(&place.text("other/plan.toml"), &["widths = [4, 8]", "path = \"kept\"", "name = \"byol\""]);
    contains(&place.fails(&["pretrain", "init=photos", "data=photos"]), &["init.path", "photos"]);
    contains(&place.fails(&["pretrain", "init=nowhere", "data=photos"]), &["init.path", "nowhere"]);
}

#[test]
fn completions_and_manual_pages_are_generated() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        contains(&succeeds(&place.run(&["generate", "completions", shell])), &["selfsame", "pretrain"]);
    }
    fs::create_dir(place.path("man")).unwrap();
    succeeds(&place.run(&["generate", "man", "man"]));
    contains(&place.text("man/selfsame-embed.1"), &[".TH selfsame-embed", "encoder folder"]);
    contains(&place.fails(&["generate", "man", "nowhere"]), &["nowhere", "no folder"]);
    contains(&succeeds(&place.run(&["--version"])), &["selfsame 0.", "instruction set"]);
}

#[test]
fn catalogues_plans_and_the_self_test_are_printed() {
    let place = Place::new();
    place.images("photos", 8);
    for (what, name) in [
        ("methods", "barlow_twins"),
        ("backbones", "resnet50"),
        ("augmentations", "resized_crop"),
        ("sources", "idx"),
        ("recipes", "simclr"),
        ("studies", "augmentation_pairs"),
    ] {
        contains(&succeeds(&place.run(&["list", what])), &[name]);
    }
    let plan = succeeds(&place.run(&["plan", "data=photos", "epochs=7"]));
    contains(&plan, &["epochs = 7", "# arguments", "# default", "# data"]);
    assert_eq!(place.names("."), ["photos"], "a plan leaves nothing behind");
    fs::write(place.path("mine.toml"), &plan).unwrap();
    let again = succeeds(&place.run(&["plan", "mine.toml"]));
    let settings = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  #").next().unwrap().trim_end().to_owned()).collect()
    };
    assert_eq!(settings(&again), settings(&plan), "a printed plan is a recipe");

    let selftest = succeeds(&place.run(&["selftest"]));
    contains(&selftest, &["instruction set", "nt_xent", "resized_crop", "tolerance"]);
    let scalar = place.command(&["selftest"]).env("SELFSAME_ISA", "scalar").output().unwrap();
    contains(&succeeds(&scalar), &["instruction set scalar"]);
    let unknown = place.command(&["selftest"]).env("SELFSAME_ISA", "mmx").output().unwrap();
    contains(&one_error(&unknown, &["mmx"]), &["SELFSAME_ISA", "mmx"]);
    let wrong = selfsame::selftest::OBJECTIVES.replacen("\"total\": ", "\"total\": 1", 1);
    fs::write(place.path("wrong.json"), wrong).unwrap();
    let output = place.run(&["selftest", "--objectives", "wrong.json"]);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stdout).contains("FAILED"));
}

#[test]
fn a_run_is_reported_compared_previewed_and_watched() {
    let place = Place::new();
    place.images("photos", 16);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    let whole = |name: &str, parts: &[&str]| {
        let html = place.text(name);
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        assert!(!html.contains("http://") && !html.contains("https://"), "a reference out of {name}");
        contains(&html, parts);
        html
    };
    let parts = ["Map of the representations", "Nearest neighbors", "What the encoder was shown", "No scores yet"];
    let written = whole("run/report.html", &parts);
    succeeds(&place.run(&["report", "run"]));
    assert!(place.text("run/report.html") == written, "the same run gives the same bytes");
    succeeds(&place.run(&["report", "run", "--map", "tsne"]));
    whole("run/report.html", &["t-SNE on cosine neighbors"]);
    for (name, id) in [("about.csv", "dark/00.pgm"), ("others.csv", "other.pgm")] {
        fs::write(place.path(name), format!("id,camera\n{id},left\n")).unwrap();
    }
    succeeds(&place.run(&["report", "run", "--metadata", "about.csv"]));
    whole("run/report.html", &["by camera", "camera: left", "camera: unknown"]);
    let unknown = place.fails(&["report", "run", "--metadata", "others.csv"]);
    contains(&unknown, &["others.csv", "names none of the samples", "\"other.pgm\"", "\"dark/00.pgm\""]);
    contains(&place.fails(&["report", "run", "run", "--metadata", "about.csv"]), &["--metadata", "comparison"]);
    contains(&place.fails(&["pretrain", "data=photos", "--tui"]), &["--tui", "terminal"]);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "seed=1", "out=other"]));
    fs::remove_dir_all(place.path("other/checkpoints")).unwrap();
    fs::remove_file(place.path("other/encoder.safetensors")).unwrap();
    succeeds(&place.run(&["report", "other"]));
    whole("other/report.html", &["not finished", "No map", "no checkpoint"]);
    succeeds(&place.run(&["report", "run", "other"]));
    whole("comparison.html", &["Differences of the plans", "seed"]);
    contains(&place.fails(&["report", "photos"]), &["photos", "neither a run folder"]);

    succeeds(&place.run(&["preview", "data=photos", "--samples", "3", "--out", "views.png"]));
    assert!(place.read("views.png").starts_with(b"\x89PNG"));
    whole("views.html", &["random resized crop", "view 2"]);

    let (watch, address) = place.watch("run");
    let ask = |request: &str| ask(&address, request);
    let answers = [
        ask(&format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n")),
        ask(&format!("GET /plan.toml HTTP/1.1\r\nHost: {address}\r\n\r\n")),
        ask(&format!("POST / HTTP/1.1\r\nHost: {address}\r\n\r\n")),
        ask(&format!("GET / HTTP/1.1\r\nHost: {address}\r\nX: {}\r\n\r\n", "x".repeat(9000))),
    ];
    assert_eq!(stopped(watch, "INT").status.code(), Some(130));
    let status = answers.each_ref().map(|answer| answer.split(' ').nth(1).unwrap_or_default());
    assert_eq!(status, ["200", "404", "405", "431"]);
    contains(&answers[0], &["Collapse gauges", "</html>"]);
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// No temporary file is left in a folder.
fn no_litter(place: &Place, folder: &str) {
    let names = place.names(folder);
    assert!(names.iter().all(|name| !name.starts_with(".partial-")), "{names:?}");
}

#[test]
fn a_folder_in_use_and_wrong_words_have_their_own_exit_codes() {
    let place = Place::new();
    place.images("photos", 8);
    let words = ["data=photos", "epochs=1", "out=run"];
    succeeds(&place.pretrain(&words));
    fs::remove_file(place.path("run/encoder.safetensors")).unwrap();
    let lock = File::create(place.path("run/.lock")).unwrap();
    lock.try_lock().unwrap();
    let output = place.pretrain(&words);
    contains(&one_error(&output, &words), &["run", "another process"]);
    assert_eq!(output.status.code(), Some(6));
    for words in [&["pretrain", "--no-such-option"][..], &["evaluate"], &["list", "nothing"], &[]] {
        assert_eq!(place.run(words).status.code(), Some(2), "{words:?}");
    }
    contains(&succeeds(&place.run(&["--help"])), &["Exit codes:", "75  stopped"]);
}

#[test]
fn a_run_without_a_terminal_prints_a_few_lines() {
    let place = Place::new();
    place.images("photos", 24);
    let output = place.pretrain(&["data=photos", "epochs=20", "out=run"]);
    assert_eq!(succeeds(&output), "", "records come on request");
    let text = stderr(&output);
    contains(
        &text,
        &["simclr on 48 samples, resnet_micro (", "20 epochs; run folder run", "trained in ", "step-00000060"],
    );
    contains(
        &text,
        &["epoch 20.0 of 20, step 60 of 60: loss ", "samples/s", "the encoder is in run/encoder.safetensors"],
    );
    let steps = text.lines().filter(|line| line.starts_with("epoch ")).count();
    assert_eq!(steps, 10, "{text}");
    assert!(text.lines().count() < 40, "{text}");
}

#[cfg(target_os = "linux")]
#[test]
fn streams_that_are_closed_or_full_cost_nothing_but_themselves() {
    let place = Place::new();
    place.images("photos", 16);
    place.images("held-out", 8);
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let train = |out: &str| {
        let out = format!("out={out}");
        place.command(&[&["pretrain", "--records", "data=photos", "epochs=2", &out], &SMALL[..]].concat())
    };
    let whole = |run: &str| {
        for name in ["encoder.safetensors", "report.html", "diagnosis.json"] {
            assert!(place.path(run).join(name).is_file(), "{run}/{name}");
        }
    };
    // Nobody can read what is said on standard error.
    let silent = train("silent").stderr(full()).stdout(full()).status().unwrap();
    assert_eq!(silent.code(), Some(5));
    whole("silent");
    let quiet = train("quiet").stderr(full()).stdout(Stdio::null()).status().unwrap();
    assert_eq!(quiet.code(), Some(0));
    whole("quiet");
    // Readers that went away.
    let mut left = train("left").stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    (left.stdout, left.stderr) = (None, None);
    assert_eq!(left.wait().unwrap().code(), Some(0));
    whole("left");
    // Standard output takes no more.
    let output = train("full").stdout(full()).output().unwrap();
    contains(&one_error(&output, &["full"]), &["standard output"]);
    assert_eq!(output.status.code(), Some(5));
    whole("full");
    let judged = ["evaluate", "full", "train=photos", "test=held-out"];
    assert_eq!(place.command(&judged).stdout(full()).output().unwrap().status.code(), Some(5));
    contains(&place.text("full/scores.json"), &["\"untrained\""]);
    for words in [&["list", "keys"][..], &["--help"], &["plan", "data=photos"]] {
        let output = place.command(words).stdout(full()).output().unwrap();
        contains(&one_error(&output, words), &["standard output"]);
        assert_eq!(output.status.code(), Some(5), "{words:?}");
    }
    let mut head = place.start(&["list", "keys"]);
    head.stdout = None;
    let output = head.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn what_was_computed_is_printed_when_its_file_cannot_be_written() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    // No permission binds a test that runs as root; a folder in a file's place binds everyone.
    let blocked = |name: &str| {
        let path = place.path(&format!("run/{name}"));
        let _ = fs::remove_file(&path);
        fs::create_dir_all(&path).unwrap();
    };
    for name in ["scores.json", "diagnosis.json", "invariance.json", "finetune.json", "findings.json"] {
        blocked(name);
    }
    let tune = ["finetune", "run", "test=held-out", "train=photos", "labels=2,4", "draws=1", "min_steps=2", "epochs=1"];
    let cases: [(&[&str], &[&str], &str); 3] = [
        (&["evaluate", "run", "train=photos", "test=held-out"], &["kNN", "\nh ", "\nuntrained ", "h: "], "scores.json"),
        (&["diagnose", "run", "--invariance"], &["h: ", "gaussian_blur"], "diagnosis.json"),
        (&tune, &["from scratch", "2 per class (4)", "4 per class (8)"], "finetune.json"),
    ];
    for (words, printed, file) in cases {
        let output = place.run(words);
        contains(&String::from_utf8_lossy(&output.stdout), printed);
        contains(&one_error(&output, words), &[file, "directory", "not written"]);
        let text = stderr(&output);
        let warned = text.lines().next().unwrap_or_default();
        contains(warned, &["warning: ", file, "printed"]);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        no_litter(&place, "run");
    }
    // What a report finds of the samples is in it, though not beside it.
    let output = place.run(&["report", "run"]);
    succeeds(&output);
    contains(&stderr(&output), &["warning: ", "findings.json"]);
    contains(&place.text("run/report.html"), &["Nearest neighbors"]);
    // A training has come to its end whatever follows.
    fs::remove_file(place.path("run/report.html")).unwrap();
    let output = place.run(&["pretrain", "run"]);
    succeeds(&output);
    contains(&stderr(&output), &["warning: ", "diagnosis.json", "h: "]);
    assert!(place.path("run/report.html").is_file());
    // A page that cannot be written is no work for nothing.
    blocked("report.html");
    contains(&place.fails(&["report", "run"]), &["report.html", "directory", "--out"]);
    contains(&place.fails(&["preview", "run", "--out", "no/views.png"]), &["no/views.png", "folder"]);
    assert!(place.run(&["report", "run", "--out", "page.html"]).status.success());
    no_litter(&place, ".");
}

#[test]
fn an_unfinished_run_is_told_by_every_command_that_takes_its_weights() {
    let place = Place::new();
    place.images("photos", 16);
    place.images("held-out", 8);
    place.unfinished_run();
    let commands: [&[&str]; 5] = [
        &["embed", "run", "out=h.npy"],
        &["evaluate", "run", "train=photos", "test=held-out"],
        &["diagnose", "run", "--invariance"],
        &["finetune", "run", "train=photos", "test=held-out", "labels=2", "draws=1", "min_steps=2", "epochs=1"],
        &["report", "run"],
    ];
    for words in commands {
        let output = place.run(words);
        succeeds(&output);
        let text = stderr(&output);
        let told = "warning: run: step 2 of 8: its encoder is not trained to the end";
        assert_eq!(text.lines().filter(|line| *line == told).count(), 1, "{words:?}: {text}");
    }
    contains(&place.text("run/report.html"), &["not finished"]);
    succeeds(&place.run(&["pretrain", "run"]));
    let output = place.run(&["embed", "run", "out=h.npy"]);
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
}

#[test]
fn a_signal_leaves_nothing_half_written() {
    let place = Place::new();
    place.images("photos", 120);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    // While the file is being written.
    let embed = place.start(&["embed", "run", "data=demo", "out=h.npy"]);
    wait_until("a file", || place.names(".").iter().any(|name| name.starts_with(".partial-")));
    let output = stopped(embed, "TERM");
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert_eq!(place.names("."), ["photos", "run"], "neither half a file nor litter");
    let before = place.names("run");
    let test = ["train=demo", "test=demo/test"];
    let commands: [(&[&str], &str, i32); 4] = [
        (&[&["evaluate", "run"], &test[..]].concat(), "INT", 130),
        (&[&["finetune", "run"], &test[..]].concat(), "HUP", 129),
        (&["diagnose", "run", "data=demo"], "TERM", 143),
        (&["report", "run", "--map", "tsne", "--samples", "10000"], "INT", 130),
    ];
    for (words, signal, code) in commands {
        let child = place.start(words);
        // Threads are there once the command is at work.
        let threads = || fs::read_dir(format!("/proc/{}/task", child.id())).map_or(9, Iterator::count);
        wait_until("threads", || threads() > 3);
        let output = stopped(child, signal);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", stderr(&output));
        contains(&stderr(&output), &[&format!("stopped by SIG{signal}")]);
        assert_eq!(place.names("run"), before, "{words:?}");
    }
}

#[test]
fn a_training_saves_at_any_signal_and_stops_at_once_at_a_second_interrupt() {
    let place = Place::new();
    place.images("photos", 16);
    let recorded = |run: &str, what: &str| {
        let records = fs::read_to_string(place.path(&format!("{run}/metrics.jsonl")));
        records.map_or(0, |records| records.matches(&format!(r#""event":"{what}""#)).count())
    };
    let start = |words: &[&str]| place.start(&[&["pretrain"], &SMALL[..], words].concat());
    for (before, signal) in ["HUP", "USR1", "INT"].into_iter().enumerate() {
        let training = start(&["data=photos", "epochs=9999", "out=short"]);
        wait_until("the start", || recorded("short", "started") > before);
        let output = stopped(training, signal);
        assert_eq!(output.status.code(), Some(75), "{signal}: {}", stderr(&output));
        contains(&stderr(&output), &[&format!("SIG{signal}: the step is finished"), "selfsame pretrain short"]);
    }
    // Steps that are long enough to be interrupted twice; the second of them has just begun.
    let mut training = start(&["data=demo", "batch_size=1024", "epochs=9", "out=long"]);
    wait_until("a step", || recorded("long", "step") > 0);
    send("INT", &training);
    let mut said = BufReader::new(training.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(said.any(|line| line.contains("SIGINT: the step is finished")));
    send("INT", &training);
    assert_eq!(said.last().as_deref(), Some("stopped by SIGINT"));
    assert_eq!(training.wait().unwrap().code(), Some(130));
    // A hang-up is ignored under `nohup`.
    let mut command = Command::new("bash");
    command.current_dir(place.path(".")).args(["-c", "trap '' HUP; exec \"$@\"", "bash"]);
    command.arg(assert_cmd::cargo::cargo_bin!("selfsame")).args(["watch", "short", "--port", "0"]);
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(watch.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    send("HUP", &watch);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stopped(watch, "TERM").status.code(), Some(143));
}

#[test]
fn a_signal_in_what_follows_a_training_is_obeyed() {
    let place = Place::new();
    place.images("photos", 120);
    let training = place.start(&[&["pretrain", "data=photos", "epochs=1", "out=run"], &SMALL[..]].concat());
    wait_until("the encoder", || place.path("run/encoder.safetensors").is_file());
    let output = stopped(training, "INT");
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(!place.path("run/report.html").exists());
    let output = place.run(&["pretrain", "run"]);
    succeeds(&output);
    contains(&stderr(&output), &["nothing to do", "h: "]);
    assert!(place.path("run/report.html").is_file());
}

#[test]
fn a_study_that_is_stopped_goes_on() {
    let place = Place::new();
    place.images("photos", 24);
    place.images("held-out", 8);
    let words = ["study", "temperature", "--quick", "data=photos", "test=held-out", "epochs=40"];
    let words = [&words[..], &SMALL].concat();
    let folder = "studies/temperature-quick";
    let study = place.start(&words);
    wait_until("the second run", || place.path(&format!("{folder}/simclr-0.2/metrics.jsonl")).is_file());
    let output = stopped(study, "TERM");
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    contains(&String::from_utf8_lossy(&output.stdout), &["0.05", "study.html"]);
    assert!(place.names(folder).iter().all(|name| name != ".pace" && !name.starts_with(".partial")));
    let output = place.run(&words);
    succeeds(&output);
    contains(&stderr(&output), &["1 are done", "[3 of 3]"]);
}

#[test]
fn a_page_is_served_beside_silent_clients_and_when_its_run_was_away() {
    let place = Place::new();
    place.images("photos", 8);
    succeeds(&place.pretrain(&["data=photos", "epochs=1", "out=run"]));
    let (watch, address) = place.watch("run");
    let page = || ask(&address, &format!("GET / HTTP/1.1\r\nHost: {address}\r\n\r\n"));
    let mut silent: Vec<TcpStream> = Vec::new();
    for count in [1, 40] {
        silent.resize_with(count, || TcpStream::connect(&address).unwrap());
        let asked = Instant::now();
        contains(&page(), &["200 OK", "Collapse gauges"]);
        assert!(asked.elapsed() < Duration::from_secs(4), "waited for {count} silent clients");
    }
    fs::rename(place.path("run"), place.path("away")).unwrap();
    contains(&page(), &["200 OK", "The run folder is gone", "Collapse gauges"]);
    fs::rename(place.path("away"), place.path("run")).unwrap();
    assert!(!page().contains("The run folder is gone"));
    // Another run in its place.
    fs::remove_dir_all(place.path("run")).unwrap();
    succeeds(&place.pretrain(&["data=photos", "method=barlow_twins", "epochs=1", "out=run"]));
    contains(&page(), &["barlow_twins on photos"]);
    assert_eq!(stopped(watch, "TERM").status.code(), Some(143));
}

#[cfg(target_os = "linux")]
#[test]
fn limits_of_the_system_end_in_one_line() {
    let place = Place::new();
    // One file of samples, not one for each.
    let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (16, 12, 12)}";
    let mut array = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    array.extend(format!("{header:117}\n").bytes().chain((0..16 * 144).map(|i| (i * 7 % 251) as u8)));
    fs::write(place.path("images.npy"), array).unwrap();
    succeeds(&place.pretrain(&["data=images.npy", "epochs=1", "out=run"]));
    let embed = ["embed", "run", "out=h.npy"];
    for words in [&["--help"][..], &["plan", "data=images.npy"], &embed] {
        succeeds(&place.limited("-s 256", words));
    }
    let told = |output: &Output, limit: &str| match output.status.code() {
        Some(0) => true,
        code => {
            assert_eq!(code, Some(1), "{limit}: {}", stderr(output));
            one_error(output, &[limit]);
            assert!(!stderr(output).contains("panicked"), "{limit}: {}", stderr(output));
            false
        }
    };
    // With fewer than one to open, the system cannot even load the program.
    let files: Vec<bool> = (4..16).map(|files| told(&place.limited(&format!("-n {files}"), &embed), "files")).collect();
    assert!(files.contains(&false) && files.is_sorted(), "{files:?}");

    // A limit on threads binds everyone but root.
    let binary = place.path("selfsame");
    fs::copy(assert_cmd::cargo::cargo_bin!("selfsame"), &binary).unwrap();
    let open = Command::new("chmod").args(["-R", "a+rwX"]).arg(place.path(".")).status().unwrap();
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let threads = (1..16).map(|threads| {
        let mut command = Command::new(if root { "setpriv" } else { "bash" });
        if root {
            command.args(["--reuid=64321", "--regid=64321", "--clear-groups", "bash"]);
        }
        let limit = format!("ulimit -u {threads}; exec \"$@\"");
        command.current_dir(place.path(".")).args(["-c", &limit, "bash"]).arg(&binary).args(embed);
        told(&command.env("RAYON_NUM_THREADS", "2").output().unwrap(), "threads")
    });
    let threads: Vec<bool> = threads.collect();
    assert!(open.success() && threads.contains(&false), "{threads:?}");
}
