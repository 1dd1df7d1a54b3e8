//! Every command that a person is told to type works when it is pasted, where paths have spaces and quotes.

use selfsame_base::commands::Command as Told;
use selfsame_evaluate::advice::advise;
use selfsame_evaluate::training::Training;
use selfsame_evaluate::verdict::Verdict;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const RUN: &str = "runs/it's mine";

/// What makes a training small.
const SMALL: [&str; 8] = [
    "backbone=resnet_micro",
    "backbone.widths=[4,8]",
    "data.size=12",
    "data.channels=1",
    "projector.hidden=16",
    "projector.out=8",
    "batch_size=8",
    "train.log_steps=1",
];

/// A folder with a space and a quote in its name, in which commands run, and the kinds of commands that were pasted so far.
struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
    run: Vec<Told>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one's work");
        fs::create_dir(&path).unwrap();
        Self { _folder: folder, path, run: Vec::new() }
    }

    /// Sixteen images.
    fn images(&self, name: &str) {
        for (class, base) in [("dark", 40), ("light", 160)] {
            let folder = self.path.join(name).join(class);
            fs::create_dir_all(&folder).unwrap();
            for index in 0..8u8 {
                let mut bytes = b"P5\n12 12\n255\n".to_vec();
                bytes.extend((0..144u8).map(|pixel| base + pixel.wrapping_mul(7 * index + 3) % 60));
                fs::write(folder.join(format!("{index}.pgm")), bytes).unwrap();
            }
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("selfsame"));
        command.current_dir(&self.path).args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// All that a command says, standard output first.
    fn says(&self, words: &[&str]) -> String {
        said(&self.command(words).output().unwrap())
    }

    /// A shell in which this line is typed.
    fn shell(&self, line: &str) -> Command {
        let bin = assert_cmd::cargo::cargo_bin!("selfsame").parent().unwrap().to_owned();
        let path = std::env::join_paths(
            std::iter::once(bin).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let mut shell = Command::new("bash");
        shell.current_dir(&self.path).env("PATH", path.unwrap()).args(["-c", line]);
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    /// The command of this kind in what was said, as it stands there.
    fn told(&mut self, told: Told, subject: &str, said: &str) -> String {
        let command = told.of(subject);
        assert!(said.contains(&command), "no {command} in: {said}");
        self.run.push(told);
        command
    }

    /// Pastes the command of this kind from what was said, with `more` behind it, and sees that it works.
    fn paste(&mut self, told: Told, subject: &str, said: &str, more: &[&str]) -> String {
        let command = self.told(told, subject, said);
        let more: String = more.iter().map(|word| format!(" '{word}'")).collect();
        let output = self.shell(&(command.clone() + &more)).output().unwrap();
        let found = self::said(&output);
        assert!(output.status.success(), "{command}: {found}");
        found
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits until a step is recorded.
fn wait_for_a_step(metrics: &Path, child: &mut Child) {
    let began = Instant::now();
    while !fs::read_to_string(metrics).is_ok_and(|text| text.contains(r#""event":"step""#)) {
        assert!(began.elapsed() < Duration::from_secs(120), "no step");
        assert!(child.try_wait().unwrap().is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn every_command_that_is_told_works_when_it_is_pasted() {
    let mut place = Place::new();
    place.images("my photos");
    let out = format!("out={RUN}");
    let train = [&["pretrain", "data=my photos", "data.max_bad_share=0.99", &out], &SMALL[..]].concat();

    let told = place.says(&["evaluate", RUN, "test=my photos"]);
    assert!(place.paste(Told::Help, "pretrain", &told, &[]).contains("Examples:"));
    let told = place.says(&["pretrain", "my photos"]);
    place.paste(Told::Train, "my photos", &told, &[&SMALL[..], &["epochs=1", "out=runs/first"]].concat());
    let told = place.says(&["pretrain", "--help"]);
    assert!(place.paste(Told::List, "keys", &told, &[]).contains("train.epochs"));
    for (noun, kept) in [("method", "simclr"), ("backbone", "resnet"), ("optimizer", "lars")] {
        let told = place.says(&["list", "keys", &format!("{noun}.name")]);
        assert!(place.paste(Told::List, &format!("{noun}s"), &told, &[]).contains(kept));
    }

    // The charts of a training that has no terminal are watched, once it is there.
    let watch = place.says(&[&train[..], &["--tui"]].concat());

    // A training that is stopped goes on.
    let epochs = "epochs=150";
    let mut child = place.command(&[&train[..], &[epochs]].concat()).spawn().unwrap();
    wait_for_a_step(&place.path.join(RUN).join("metrics.jsonl"), &mut child);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(75), "{}", said(&stopped));
    place.paste(Told::GoOn, RUN, &said(&stopped), &[]);

    let watch = place.told(Told::Watch, RUN, &watch);
    let mut server = place.shell(&format!("exec {watch}")).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(line.contains("http://") && line.contains(RUN), "{line}");

    // All but one of its images are damaged when a finished run is to be diagnosed.
    fs::remove_file(place.path.join(RUN).join("report.html")).unwrap();
    for class in ["dark", "light"] {
        (0..8).filter(|index| (class, *index) != ("light", 0)).for_each(|index| {
            fs::write(place.path.join(format!("my photos/{class}/{index}.pgm")), b"damaged").unwrap();
        });
    }
    let told = place.says(&["pretrain", RUN]);
    place.images("my photos");
    assert!(place.paste(Told::Diagnose, RUN, &told, &[]).contains("too few samples"));

    // A report without its findings.
    fs::remove_file(place.path.join(RUN).join("findings.json")).unwrap();
    let page = |place: &Place| {
        let page = fs::read_to_string(place.path.join(RUN).join("report.html")).unwrap();
        page.replace("&#39;", "'").replace("&amp;", "&")
    };
    place.says(&["diagnose", RUN]);
    let told = page(&place);
    place.paste(Told::Report, RUN, &told, &[]);
    assert!(place.paste(Told::Help, "evaluate", &page(&place), &[]).contains("test=held-out/"));

    // A model that was saved is used.
    let told = place.says(&["probe", RUN, "train=my photos", "test=my photos", "out=its model"]);
    assert!(place.paste(Told::Help, "predict", &told, &[]).contains("abstain_below"));

    // What is advised of a run.
    let known = Training { run: RUN.into(), ..Training::default() };
    let advice = |verdict| advise(verdict, Some(&known), None).join("\n");
    place.paste(Told::GoOn, RUN, &advice(Verdict::NotYetTrained), &[]);
    place.paste(Told::Preview, RUN, &advice(Verdict::InputsAlike), &[]);
    let profile = place.paste(Told::Invariance, RUN, &advice(Verdict::DimensionalCollapse), &[]);
    assert!(profile.contains("random pair"), "{profile}");

    let missing: Vec<_> = Told::ALL.iter().filter(|told| !place.run.contains(told)).collect();
    assert!(missing.is_empty(), "commands of these kinds are told and not tried here: {missing:?}");
}

/// Lines that name a command without telling one to type it.
const NAMED: [&str; 1] = ["labels=TABLE.csv, targets=, task= and groups= are those of selfsame evaluate."];

#[test]
fn no_command_is_told_past_the_one_place_that_makes_them() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let commands = String::from_utf8(
        Command::new(assert_cmd::cargo::cargo_bin!("selfsame")).arg("--help").output().unwrap().stdout,
    )
    .unwrap();
    let commands: Vec<String> = commands
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next().map(|name| format!("selfsame {name}")))
        .collect();
    assert!(commands.contains(&"selfsame pretrain".to_owned()), "{commands:?}");
    let mut folders: Vec<PathBuf> =
        fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path().join("src")).collect();
    let (mut seen, mut wrong) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs")
                || path.ends_with("selfsame-base/src/commands.rs")
            {
                continue;
            }
            seen += 1;
            let text = fs::read_to_string(&path).unwrap();
            // Tests stand at the end.
            for line in text.split("#[cfg(test)]").next().unwrap().lines() {
                let is_code = !line.trim_start().starts_with("//");
                // Examples of a help, and titles of pages.
                let is_example = ["  selfsame ", "  SELFSAME_"].iter().any(|start| line.starts_with(start))
                    || line.contains("· selfsame ");
                let is_named = NAMED.contains(&line) || line.starts_with("Keys: selfsame list keys");
                if is_code && !is_example && !is_named && commands.iter().any(|command| line.contains(command)) {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(seen > 200, "{seen} sources");
    assert!(wrong.is_empty(), "make these with selfsame_base::commands::Command:\n{}", wrong.join("\n"));
}
