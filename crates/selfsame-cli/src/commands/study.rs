//! `selfsame study`.

use super::{evaluate, pretrain};
use crate::exit::{self, Code, bad_input};
use crate::plans;
use crate::progress::Progress;
use crate::signals::{self, Training};
use crate::studies::{Cell, Grid, STUDIES, Study};
use crate::terminal::{self, Task, note};
use crate::version;
use anyhow::{Context, Result};
use clap::Args;
use selfsame::Error;
use selfsame::catalogue::Planned;
use selfsame::events::{Event, Observer};
use selfsame::finetune::settings::FinetuneSettings;
use selfsame::finetune::{self, Tuning};
use selfsame::plan::Plan;
use selfsame::provenance;
use selfsame::weights::WeightsOf;
use selfsame_base::atomic;
use selfsame_base::lookup;
use selfsame_base::text::duration;
use selfsame_config::Recipe;
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::representation::RepresentationName;
use selfsame_evaluate::scores::{Metric, Scores};
use selfsame_evaluate::study::{StudyJob, StudyPoint, StudyRecord};
use selfsame_report::{study_page, study_picture};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "\
Examples:
  selfsame study augmentation_pairs --quick              on the bundled images
  selfsame study labels data=labeled/ test=held-out/    on your own
  selfsame study temperature seed=1 out=studies/seed-1   any recipe key holds for all runs

study.html and study.svg are drawn anew after every run. The same command goes on where it was stopped.";

/// Answer a question of the field with a small grid of real runs, and draw the answer.
#[derive(Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct RunStudy {
    /// Which study; `selfsame list studies` tells what each asks
    name: String,
    /// The short form: fewer and shorter runs of a smaller network
    #[arg(long)]
    quick: bool,
    /// test=PATH out=FOLDER, and any recipe key as key=value
    #[arg(value_name = "KEY=VALUE")]
    words: Vec<String>,
}

impl RunStudy {
    pub fn run(self) -> Result<Code> {
        let study = lookup::find(STUDIES, |study| study.name, "study", &self.name).map_err(bad_input)?;
        let named = |word: &String| ["test=", "out="].iter().any(|key| word.starts_with(key));
        let (named, overrides): (Vec<_>, Vec<_>) = self.words.into_iter().partition(named);
        let [test, out] = plans::values(&named, ["test", "out"])?;
        let own_data = overrides.iter().any(|word| word.starts_with("data=") || word.starts_with("data.path="));
        let test = match test {
            Some(test) => test,
            None if own_data => {
                return Err(bad_input("test: missing; say which labeled data to test on, e.g. test=held-out/"));
            }
            None => "demo/test".into(),
        };
        let short = if self.quick { "-quick" } else { "" };
        let out = out.map_or_else(|| Path::new("studies").join(format!("{}{short}", study.name)), PathBuf::from);
        fs::create_dir_all(&out).with_context(|| format!("{}: cannot be made", out.display()))?;
        let lock_path = out.join(".lock");
        let lock = File::create(&lock_path).map_err(|cause| Error::io(&lock_path, cause))?;
        if lock.try_lock().is_err() {
            return Err(Error::InUse { run: out }.into());
        }
        Work { study, quick: self.quick, test, out, overrides }.run()
    }
}

struct Work {
    study: &'static Study,
    quick: bool,
    test: String,
    out: PathBuf,
    overrides: Vec<String>,
}

/// What a study is made of, one after the other.
enum Job {
    Run(Cell),
    Labels(LabelBudget),
}

impl Job {
    /// Name of its run's folder and in `study.json`.
    fn name(&self) -> String {
        let text = match self {
            Self::Run(cell) => format!("{}-{}", cell.series, cell.x),
            Self::Labels(labels) => format!("labels-{labels}"),
        };
        text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-', "_")
    }
}

impl Work {
    fn run(&self) -> Result<Code> {
        let jobs = self.jobs()?;
        let mut record = self.open(jobs.len())?;
        let ended = self.work_off(&jobs, &mut record);
        if !record.jobs.is_empty() {
            terminal::print(format_args!("{}{}", record.table(), self.out.join("study.html").display()));
        }
        let code = ended?;
        if code == Code::Saved {
            note!("the study goes on with the same command");
        }
        Ok(code)
    }

    /// Does what is not in the record yet, and adds it.
    fn work_off(&self, jobs: &[Job], record: &mut StudyRecord) -> Result<Code> {
        if record.jobs.len() < jobs.len() {
            self.state_cost(jobs, record)?;
        }
        if matches!(self.study.grid, Grid::Labels { .. }) && !self.pretrain()? {
            return Ok(Code::Saved);
        }
        for (i, job) in jobs.iter().enumerate() {
            let name = job.name();
            if record.has(&name) {
                continue;
            }
            note!("[{} of {}] {name}", i + 1, jobs.len());
            let points = match job {
                Job::Run(cell) => self.cell(cell, &name, record)?,
                Job::Labels(labels) => Some(self.labels(*labels, record)?),
            };
            let Some(points) = points else { return Ok(Code::Saved) };
            record.jobs.push(StudyJob { name, points });
            self.write(record)?;
        }
        self.write(record)?;
        Ok(Code::Finished)
    }

    fn jobs(&self) -> Result<Vec<Job>> {
        Ok(match self.study.grid {
            Grid::Runs { cells, .. } => cells(self.quick).into_iter().map(Job::Run).collect(),
            Grid::Labels { labels } => {
                let labels = labels[usize::from(self.quick)].split(',').map(str::parse);
                labels.map(|labels| Ok(Job::Labels(labels?))).collect::<Result<_>>()?
            }
        })
    }

    /// What has been found by an earlier call of the same study, or nothing yet.
    fn open(&self, planned: usize) -> Result<StudyRecord> {
        let Study { name, question, claim, x, score, ref grid } = *self.study;
        let mut overrides = self.overrides.clone();
        overrides.push(format!("test={}", self.test));
        let fresh = StudyRecord {
            name: name.into(),
            quick: self.quick,
            overrides,
            question: question.into(),
            claim: claim.into(),
            x: x.into(),
            score: score.0.into(),
            symmetric: matches!(grid, Grid::Runs { symmetric: true, .. }),
            jobs: Vec::new(),
            planned,
            judged_on: None,
            overlap: None,
        };
        let path = self.out.join("study.json");
        if !path.exists() {
            return Ok(fresh);
        }
        let old = StudyRecord::read(&path).context("not the record of a study; give another out=…")?;
        if (StudyRecord { jobs: Vec::new(), judged_on: None, overlap: None, ..old.clone() }) != fresh {
            return Err(bad_input(format!(
                "{}: holds another study, or one with other keys; give another out=…",
                path.display()
            )));
        }
        Ok(old)
    }

    /// Says how much there is to do, and about how long that takes here.
    fn state_cost(&self, jobs: &[Job], record: &StudyRecord) -> Result<()> {
        let trainings: Vec<(&str, Vec<String>)> = match self.study.grid {
            Grid::Labels { .. } => vec![("simclr", self.pretraining())],
            Grid::Runs { .. } => {
                let left = jobs.iter().filter(|job| !record.has(&job.name()));
                let cell =
                    |job: &Job| if let Job::Run(cell) = job { Some((cell.method, cell.keys.clone())) } else { None };
                left.filter_map(cell).collect()
            }
        };
        let mut samples = 0;
        for (method, keys) in &trainings {
            let (plan, dataset) = self.resolve(method, keys, "unused")?;
            samples += plan.train.epochs * dataset.len();
        }
        let (method, keys) = &trainings[0];
        let took = duration(samples as f64 / self.samples_per_s(method, keys)?);
        let further = match self.study.grid {
            Grid::Labels { .. } => format!(", then {} numbers of labels, fine-tuned and from scratch", jobs.len()),
            Grid::Runs { .. } => ", then each is judged".into(),
        };
        let done = if record.jobs.is_empty() { String::new() } else { format!("; {} are done", record.jobs.len()) };
        let runs = trainings.len();
        let plural = if runs == 1 { "" } else { "s" };
        note!(
            "{}: {runs} run{plural} over {samples} samples, about {took} of training here{further}{done}",
            self.study.name
        );
        Ok(())
    }

    /// Samples that training sees in a second on this machine, by the first steps of a run that is thrown away.
    fn samples_per_s(&self, method: &str, keys: &[String]) -> Result<f64> {
        let (plan, dataset) = self.resolve(method, keys, ".pace")?;
        // What a killed study may have left, and then this one's.
        let clear = || match fs::remove_dir_all(&plan.out) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&plan.out, cause)),
            _ => Ok(()),
        };
        clear()?;
        let training = Training::begin();
        let mut watch = Stopwatch { stop: training.stop(), samples_per_s: f64::NAN };
        let ended = (plans::method(&plan)?.pretrain)(&plan, dataset, &mut watch, training.stop());
        let samples_per_s = watch.samples_per_s;
        drop(training);
        clear()?;
        signals::leave_if_asked();
        ended?;
        Ok(samples_per_s)
    }

    fn resolve(&self, method: &str, keys: &[String], run: &str) -> Result<(Plan, Arc<Dataset>)> {
        let mut words = keys.to_vec();
        words.extend(self.overrides.iter().cloned());
        words.push("evaluate.per_class=[10]".into());
        words.push(format!("out={}", self.out.join(run).display()));
        let Planned { plan, dataset, .. } = plans::resolve(Some(&Recipe::builtin(method)?), &words)?;
        Ok((plan, dataset))
    }

    /// Trains a cell's run and judges it; `None` when it was asked to stop.
    fn cell(&self, cell: &Cell, name: &str, record: &mut StudyRecord) -> Result<Option<Vec<StudyPoint>>> {
        let (plan, dataset) = self.resolve(cell.method, &cell.keys, name)?;
        if !pretrain::train(&plan, dataset, &mut Progress::new())? {
            return Ok(None);
        }
        let [train, test] = self.labeled(&plan, record)?;
        let scores = evaluate::scores(&plan, &train, &test)?;
        record.overlap = record.overlap.take().or(scores.overlap.labeled.clone());
        let point = |(suffix, name, metric): &(&str, RepresentationName, Metric)| {
            point(&scores, format!("{}{suffix}", cell.series), &cell.x, name, *metric)
        };
        Ok(Some(self.study.score.1.iter().filter_map(point).collect()))
    }

    /// Keys of the run that is fine-tuned.
    fn pretraining(&self) -> Vec<String> {
        if self.quick { vec!["epochs=4".into()] } else { vec!["epochs=12".into()] }
    }

    /// Trains the run that is fine-tuned; `false` when it was asked to stop.
    fn pretrain(&self) -> Result<bool> {
        let (plan, dataset) = self.resolve("simclr", &self.pretraining(), "pretrained")?;
        pretrain::train(&plan, dataset, &mut Progress::new())
    }

    /// Fine-tunes with a number of labels.
    fn labels(&self, labels: LabelBudget, record: &mut StudyRecord) -> Result<Vec<StudyPoint>> {
        let (plan, _) = self.resolve("simclr", &self.pretraining(), "pretrained")?;
        let [train, test] = self.labeled(&plan, record)?;
        // To choose how strongly to train takes the longest.
        let words: &[&str] = if self.quick { &["draws=2", "lr=1e-3"] } else { &["draws=5"] };
        let settings = FinetuneSettings::parse(&words.iter().map(|&word| word.into()).collect::<Vec<_>>())?;
        let branch = plans::branch(&plan, WeightsOf::Trained)?;
        let method = plans::method(&plan)?;
        let (told, parts) = Default::default();
        let tuning = Tuning {
            plan: &plan,
            method,
            branch: &branch,
            train: &train,
            test: &test,
            told: &told,
            parts: &parts,
            save: None,
        };
        let task = Task::new(0, "fine-tuning");
        let mut progress = |what: &str, step, steps| task.follow(what, step, steps);
        let mut points = Vec::new();
        finetune::finetune(&tuning, &[labels], &settings, &mut progress, &mut |found| {
            for cell in &found.cells {
                points.extend(cell.fits().map(|(series, fit)| StudyPoint {
                    series: series.into(),
                    x: cell.labels.to_string(),
                    value: fit.value,
                    interval: Some(fit.interval),
                }));
            }
            record.overlap = record.overlap.take().or(found.overlap.clone());
            Ok(())
        })?;
        task.finish();
        Ok(points)
    }

    /// The run's data with their labels, and those to test on: the same for all runs of a study.
    fn labeled(&self, plan: &Plan, record: &mut StudyRecord) -> Result<[Arc<Dataset>; 2]> {
        let own = plan.data.path.display().to_string();
        let [train, test] = [plans::kept_sibling(plan, &own)?, plans::kept_sibling(plan, &self.test)?];
        record.judged_on([provenance::data_origin(&test)?, provenance::data_origin(&train)?])?;
        Ok([train, test])
    }

    fn write(&self, record: &StudyRecord) -> Result<()> {
        record.write(&self.out.join("study.json"))?;
        atomic::write(&self.out.join("study.html"), study_page(record, &version::environment()).as_bytes())?;
        if let Some(picture) = study_picture(record) {
            atomic::write(&self.out.join("study.svg"), picture.as_bytes())?;
        }
        Ok(())
    }
}

/// Stops a training after its first steps.
struct Stopwatch<'a> {
    stop: &'a AtomicBool,
    samples_per_s: f64,
}

impl Observer for Stopwatch<'_> {
    fn event(&mut self, event: &Event) {
        const STEPS: u64 = 10;
        if let Event::Step(record) = event {
            self.samples_per_s = record.samples_per_s;
            self.stop.store(record.step >= STEPS, Ordering::Relaxed);
        }
    }
}

/// A score of a run; `None` where the run has no such representation.
fn point(scores: &Scores, series: String, x: &str, name: &RepresentationName, metric: Metric) -> Option<StudyPoint> {
    let score = scores.get(name, metric)?;
    Some(StudyPoint { series, x: x.into(), value: score.value, interval: score.interval })
}
