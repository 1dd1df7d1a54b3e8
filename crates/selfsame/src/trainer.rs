//! The training loop: from a plan and a data set to a run folder with an encoder in it.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::checkpoint::{self, Checkpoint, Judged};
use crate::data_watch::DataWatch;
use crate::device::{self, Kernels};
use crate::divergence::{Guard, MOST_ROLLBACKS, MOST_SKIPPED, Policy};
use crate::embed;
use crate::encoder_folder::EncoderFolder;
use crate::error::Error;
use crate::events::{self, Event, Observer, StepRecord};
use crate::init::{self, Start};
use crate::judge;
use crate::known;
use crate::learner::{self, Build, Found, Learner};
use crate::method::{BuildContext, Method, PrepareContext};
use crate::optim::schedule::Schedule;
use crate::pace::Pace;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::run::{Run, RunState};
use crate::tensor::{parameters, to_vec, view_to_device};
use crate::train_settings::{BestBy, Precision};
use burn::tensor::Device;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::dataset::Dataset;
use selfsame_data::loader::{EvalLoader, TrainLoader, Views};
use selfsame_evaluate::collapse::{self, Gauge};
use selfsame_evaluate::collapse_watch::CollapseWatch;
use selfsame_evaluate::features::Rows;
use selfsame_kernels::{Isa, profile};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a call of [`pretrain`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The last step is done; the run folder holds the encoder.
    Finished {
        /// The run folder.
        run: PathBuf,
    },
    /// It had been finished before; nothing was done.
    AlreadyFinished {
        /// The run folder.
        run: PathBuf,
    },
    /// Asked to stop; the state is saved.
    Interrupted {
        /// The run folder.
        run: PathBuf,
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
    },
}

impl Outcome {
    /// The run folder.
    pub fn path(&self) -> &Path {
        let (Self::Finished { run } | Self::AlreadyFinished { run } | Self::Interrupted { run, .. }) = self;
        run
    }
}

/// What became of a batch.
enum Taken {
    /// The weights moved.
    Used(Box<Found>),
    /// It was left out.
    Skipped,
    /// Training went back to an earlier step.
    WentBack,
}

/// Name of the guard's array among the optimizer's.
const GUARD: &str = "guard";

/// Samples of the online kNN's bank and queries.
const ONLINE_BANK: usize = 4000;
const ONLINE_QUERIES: usize = 1000;

/// Samples that a method's pictures show, at most.
const PICTURED_SAMPLES: usize = 24;

/// Trains the plan's method, or goes on where its run folder stands. `stop` ends it after the running step, saved.
pub fn pretrain<M: Method>(
    plan: &Plan,
    dataset: Arc<Dataset>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    M::check(&M::config(plan)?, plan)?;
    train(learner::build::<M>, plan, dataset, observer, stop)
}

fn train(
    build: Build,
    plan: &Plan,
    dataset: Arc<Dataset>,
    observer: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Outcome, Error> {
    let pool = plan.pool()?;
    pool.install(|| match Session::open(build, plan, dataset, observer)? {
        Some(session) => session.train(stop),
        None => Ok(Outcome::AlreadyFinished { run: plan.out.clone() }),
    })
}

/// One call of [`pretrain`]: what is fixed, and the state that steps move on.
struct Session<'a> {
    plan: &'a Plan,
    dataset: Arc<Dataset>,
    device: Device,
    schedule: Schedule,
    steps_per_epoch: u64,
    steps: u64,
    run: Run,
    /// `None` where the data are not those that the run began with, or it is finished.
    watch: Option<DataWatch>,
    observer: &'a mut dyn Observer,
    learner: Box<dyn Learner>,
    guard: Guard,
    done: u64,
    /// How good the encoder is after `done` steps, where the plan keeps the best and an epoch has just ended.
    judged: Option<Judged>,
    /// The checkpoint that was saved or loaded last.
    saved: Option<PathBuf>,
    started: Instant,
}

impl<'a> Session<'a> {
    /// Opens the run; `None` if it is finished.
    fn open(
        build: Build,
        plan: &'a Plan,
        dataset: Arc<Dataset>,
        observer: &'a mut dyn Observer,
    ) -> Result<Option<Self>, Error> {
        let started = Instant::now();
        let device = device::open(&plan.device)?.autodiff();
        let steps_per_epoch = (dataset.len() / plan.train.batch_size) as u64;
        if steps_per_epoch == 0 {
            let problem = format!(
                "{} is more than the {} samples there are; at most {} works",
                plan.train.batch_size,
                dataset.len(),
                dataset.len()
            );
            return Err(Error::setting("train.batch_size", problem));
        }
        let scored = plan.train.online_knn_epochs > 0 && !dataset.classes().is_empty();
        if plan.train.keep_best == BestBy::OnlineKnn && !scored {
            let problem = "online_knn needs labels and train.online_knn_epochs above 0; without labels, lidar or effective_rank works";
            return Err(Error::setting("train.keep_best", problem));
        }
        let start = Start::of(plan)?;
        let mut learner = build(&BuildContext { plan, device: &device, start: start.as_ref() })?;
        let schedule = Schedule::new(&plan.optimizer.common, plan.train.batch_size, plan.train.epochs, steps_per_epoch);
        let steps = steps_per_epoch * plan.train.epochs as u64;
        let mut warnings = start.map_or_else(Vec::new, |start| start.notes(&learner.branch(Role::Student).encoder));
        let of_start = warnings.clone();
        let run = Run::open(plan, &mut |message| warnings.push(message))?;
        init::keep(run.path(), &of_start)?;
        let state = run.state()?;
        if state == RunState::Finished {
            return Ok(None);
        }
        let watch = match DataWatch::open(run.path(), plan, &dataset)? {
            Ok(watch) => Some(watch),
            Err(changed) => {
                warnings.push(format!(
                    "{changed}; the training goes on with what is there, {steps_per_epoch} steps per epoch and {steps} in all"
                ));
                None
            }
        };
        let mut progress = |what: &str, done, total| {
            observer.event(&Event::Preparing { step: 0, what: what.to_owned(), done, total });
        };
        learner.prepare(&mut PrepareContext { plan, dataset: &dataset, progress: &mut progress })?;
        let mut session = Self {
            plan,
            dataset,
            device,
            schedule,
            steps_per_epoch,
            steps,
            run,
            watch,
            observer,
            learner,
            guard: Guard::new(&plan.train),
            done: 0,
            judged: None,
            saved: None,
            started,
        };
        session.resume(state, warnings)?;
        session.keep_record()?;
        Ok(Some(session))
    }

    /// Goes on from the newest checkpoint, if there is one.
    fn resume(&mut self, state: RunState, mut warnings: Vec<String>) -> Result<(), Error> {
        let folder = self.run.checkpoints();
        checkpoint::tidy(&folder)?;
        let newest = checkpoint::load_newest(&folder, self.plan, &mut |problem| warnings.push(problem))?;
        if let (RunState::Damaged(problem), found) = (state, &newest) {
            let Some((Checkpoint { progress, .. }, _)) = found else {
                let problem = format!(
                    "the encoder is damaged ({problem}), and no checkpoint is left to write it again; put a copy back, or train anew with out=…"
                );
                return Err(Error::run(self.run.path(), problem));
            };
            let step = progress.step;
            warnings.push(format!(
                "the encoder is damaged ({problem}); it is written again, from the checkpoint of step {step}"
            ));
        }
        if let Some((checkpoint, manifest)) = newest {
            self.restore(checkpoint)?;
            self.saved = Some(checkpoint::path(&folder, self.done));
            checkpoint::prune(&folder, self.done, self.plan)?;
            let kernels = Kernels::of(self.plan.train.precision)?;
            if manifest.kernels != kernels {
                let before = manifest.kernels;
                warnings.push(format!(
                    "begun on {before}, goes on on {kernels}: the bytes will differ from those of an undisturbed run; SELFSAME_ISA and SELFSAME_WINOGRAD choose"
                ));
            }
        }
        if self.done == 0
            && self.plan.train.precision == Precision::Bf16
            && let Some(reason) = Isa::active().bf16_gains_nothing()
        {
            warnings.push(format!(
                "train.precision = \"bf16\" saves no time on this processor: {reason}; f32 takes no longer, and rounds less"
            ));
        }
        self.run.start_records(self.done, &mut |problem| warnings.push(problem))?;
        for message in warnings {
            self.tell(&Event::Warning { step: self.done, message })?;
        }
        // Who opened the data has told them.
        for note in self.dataset.notes().iter().filter(|_| self.done == 0) {
            self.run.record(&Event::Warning { step: 0, message: note.clone() })?;
        }
        Ok(())
    }

    fn restore(&mut self, Checkpoint { progress, model, mut optimizer }: Checkpoint) -> Result<(), Error> {
        let bad = |problem| Error::run(&self.plan.out, problem);
        if let Some(guard) = optimizer.remove(GUARD) {
            self.guard.restore(&guard);
        }
        self.learner.restore_model(model).map_err(bad)?;
        self.learner.restore_optimizer(optimizer, &self.device.clone().inner()).map_err(bad)?;
        self.done = progress.step;
        Ok(())
    }

    /// The branch that the plan keeps.
    fn kept(&self) -> &Branch {
        self.learner.branch(self.plan.train.keep)
    }

    fn train(mut self, stop: &AtomicBool) -> Result<Outcome, Error> {
        let run = self.run.path().to_owned();
        self.tell(&Event::Started {
            format: events::FORMAT,
            run: run.clone(),
            method: self.learner.name().into(),
            backbone: self.plan.backbone.name().into(),
            parameters: self.learner.parameters(),
            samples: self.dataset.len(),
            step: self.done,
            steps: self.steps,
            epochs: self.plan.train.epochs,
        })?;
        let mut loader = self.loader()?;
        let mut pace = Pace::new();
        let mut last_checkpoint = Instant::now();
        let mut watch = CollapseWatch::new(known::of_plan(self.plan));
        if self.is_point_of_return() {
            self.save()?;
        }
        while self.done < self.steps {
            if stop.load(Ordering::Relaxed) {
                self.save()?;
                return Ok(Outcome::Interrupted { run, step: self.done, steps: self.steps });
            }
            let waiting = profile::phase("waiting for views");
            let views = loader.next_batch_unless(stop);
            drop(waiting);
            let views = match views {
                Ok(Some(views)) => views,
                Ok(None) => continue,
                Err(error) => return Err(self.give_up(error.into())),
            };
            let samples = views.indices.len();
            let lr = self.schedule.at(self.done) * self.guard.lr_factor();
            match self.step(views, lr)? {
                Taken::Used(found) => {
                    pace.step(samples, loader.wait_s());
                    if self.done.is_multiple_of(self.plan.train.log_steps.max(1)) || self.done == self.steps {
                        let (record, gauge) = self.record(*found, lr, &pace);
                        self.tell(&Event::Step(record))?;
                        if let Some(message) = watch.see(&gauge) {
                            self.tell(&Event::Warning { step: self.done, message })?;
                        }
                    }
                }
                Taken::Skipped => {}
                Taken::WentBack => {
                    loader = self.loader()?;
                    continue;
                }
            }
            // Before it is saved: what is recorded up to a checkpoint is not recorded again.
            let best = match self.done.is_multiple_of(self.steps_per_epoch).then(|| self.end_epoch()) {
                Some(Err(error)) => return Err(self.give_up(error)),
                Some(Ok(best)) => best,
                None => false,
            };
            let every = self.plan.train.checkpoint_steps;
            let minutes = 60.0 * self.plan.train.checkpoint_minutes;
            let minutes = Duration::try_from_secs_f64(minutes).unwrap_or(Duration::MAX);
            let due = (every > 0 && self.done.is_multiple_of(every)) || last_checkpoint.elapsed() >= minutes;
            if self.done < self.steps && (best || due || self.is_point_of_return()) {
                self.save()?;
                last_checkpoint = Instant::now();
            }
        }
        self.finish(loader.wait_s())?;
        Ok(Outcome::Finished { run })
    }

    fn loader(&self) -> Result<TrainLoader, Error> {
        Ok(TrainLoader::new(self.dataset.clone(), self.plan.training_views()?, self.done)?)
    }

    /// Saves what was done since the last checkpoint before `error` ends training.
    fn give_up(&mut self, error: Error) -> Error {
        if self.save().is_ok() {
            let message = format!("what was done up to step {} is saved", self.done);
            // The error that ends training is the one to tell.
            let _ = self.tell(&Event::Warning { step: self.done, message });
        }
        error
    }

    /// Gradients and update, or what the plan says about gradients that cannot be used.
    fn step(&mut self, views: Views, lr: f64) -> Result<Taken, Error> {
        let _phase = profile::phase("training step");
        let (batch, before) = (self.batch(views), self.progress());
        let mut unusable = None;
        let found = self.learner.step(self.plan, batch, before, lr, &mut |found| {
            unusable = self.guard.judge(found.total, found.gradient_norm, found.statistics_are_finite);
            unusable.is_none()
        });
        if let Some(reason) = unusable {
            return self.cope(reason, &found, lr);
        }
        self.done += 1;
        self.judged = None;
        Ok(Taken::Used(Box::new(found)))
    }

    /// What the plan says about a step that cannot be used.
    fn cope(&mut self, reason: String, found: &Found, lr: f64) -> Result<Taken, Error> {
        let unusable = self.done + 1;
        let taken = match self.plan.train.on_divergence {
            Policy::Skip if self.guard.skipped + 1 < MOST_SKIPPED => {
                self.guard.skipped += 1;
                self.done += 1;
                self.judged = None;
                Taken::Skipped
            }
            Policy::Rollback if self.done > 0 && self.guard.rollbacks < MOST_ROLLBACKS => {
                self.roll_back()?;
                Taken::WentBack
            }
            _ => return Err(self.diverged(reason, found, lr)),
        };
        self.tell(&Event::Divergence { step: self.done, unusable, reason, lr_factor: self.guard.lr_factor() })?;
        Ok(taken)
    }

    /// Whether the state at this step is one that a rollback may need: the start of an epoch. It does not depend on the clock,
    /// as other checkpoints do.
    fn is_point_of_return(&self) -> bool {
        self.plan.train.on_divergence == Policy::Rollback && self.done.is_multiple_of(self.steps_per_epoch)
    }

    /// Goes back to the start of the epoch, or of the one before at its first step.
    fn roll_back(&mut self) -> Result<(), Error> {
        let target = (self.done - 1) / self.steps_per_epoch * self.steps_per_epoch;
        let checkpoint = checkpoint::load_step(&self.run.checkpoints(), target, self.plan)?;
        self.restore(checkpoint)?;
        self.guard.rollbacks += 1;
        self.judged = None;
        // What was recorded and saved after it leads to where training cannot go on.
        self.run.start_records(self.done, &mut |_| {})?;
        self.save()
    }

    /// Views on the device, outside any graph.
    fn batch(&self, views: Views) -> Batch {
        let plain = self.device.clone().inner();
        let samples = views.indices;
        let views = views.groups.into_iter().flat_map(|group| {
            let shape = group.shape;
            group.data.into_iter().map(move |view| (view, shape))
        });
        Batch { views: views.map(|(view, shape)| view_to_device(view, shape, &plain)).collect(), samples }
    }

    fn progress(&self) -> Progress {
        Progress { step: self.done, steps: self.steps, steps_per_epoch: self.steps_per_epoch }
    }

    fn diverged(&self, reason: String, found: &Found, lr: f64) -> Error {
        let terms: Vec<_> = found.terms.iter().map(|(name, value)| format!("{name} {value}")).collect();
        Error::Diverged { step: self.done + 1, reason, lr, terms: terms.join(", "), checkpoint: self.last_checkpoint() }
    }

    fn last_checkpoint(&self) -> String {
        self.saved.as_ref().map_or("none".into(), |path| path.display().to_string())
    }

    fn record(&self, found: Found, lr: f64, pace: &Pace) -> (StepRecord, Gauge) {
        let z = found.watched;
        let [_, dim] = z.dims();
        let gauge = collapse::gauge(Rows { values: &to_vec(z), dim }, self.kept().encoder.width());
        let remaining = (self.steps - self.done) as f64;
        let record = StepRecord {
            step: self.done,
            epoch: self.done as f64 / self.steps_per_epoch as f64,
            total: found.total,
            terms: found.terms.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            lr,
            gradient_norm: found.gradient_norm,
            embedding_std: gauge.std,
            effective_rank: gauge.effective_rank,
            samples_per_s: pace.samples_per_s(),
            eta_s: remaining * pace.step_s(),
            wait_share: pace.wait_share(),
        };
        (record, gauge)
    }

    /// Scores the encoder at the end of an epoch. Whether it is the best so far, by what the plan keeps the best of.
    fn end_epoch(&mut self) -> Result<bool, Error> {
        let accuracy = self.online_knn()?;
        let by = self.plan.train.keep_best;
        let value = match by {
            BestBy::None => None,
            BestBy::OnlineKnn => accuracy,
            BestBy::Lidar => Some(judge::lidar(self.kept(), &self.dataset, self.plan)?),
            BestBy::EffectiveRank => Some(judge::effective_rank(self.kept(), &self.dataset, self.plan)?),
        };
        let value = value.filter(|value| value.is_finite());
        self.judged = value.map(|value| Judged { by, value });
        // What was the best before is known from the checkpoints alone, so that no record of it can be lost or lie.
        let before = checkpoint::best(&self.run.checkpoints(), by)?;
        Ok(value.is_some_and(|value| before.is_none_or(|before| value > before)))
    }

    fn online_knn(&mut self) -> Result<Option<f64>, Error> {
        let (epoch, every) = ((self.done / self.steps_per_epoch) as usize, self.plan.train.online_knn_epochs);
        if every == 0 || !epoch.is_multiple_of(every) || self.dataset.classes().is_empty() {
            return Ok(None);
        }
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        StreamRng::new(self.plan.seed, Purpose::Survey, 1, 0, 0).shuffle(&mut order);
        let file = |index: usize| self.dataset.file(index);
        if self.dataset.is_grouped() {
            // File by file, so that no page or tile is judged by others of its file.
            let mut first = HashMap::new();
            for (place, &index) in order.iter().enumerate() {
                first.entry(file(index)).or_insert(place);
            }
            order.sort_by_key(|&index| first[&file(index)]);
        }
        order.truncate(ONLINE_BANK + ONLINE_QUERIES);
        if order.len() < 10 {
            return Ok(None);
        }
        let queries = order.split_off(order.len() - (order.len() / 5).min(ONLINE_QUERIES));
        order.retain(|&index| file(index) != file(queries[0]));
        if order.is_empty() {
            return Ok(None);
        }
        let encoder = self.kept().encoder.clone();
        let accuracy = embed::online_knn(&encoder, &self.dataset, self.plan, order, queries)?;
        self.tell(&Event::OnlineKnn { step: self.done, epoch, accuracy })?;
        Ok(Some(accuracy))
    }

    fn save(&mut self) -> Result<(), Error> {
        self.run.check_place()?;
        let [model, mut optimizer] = self.learner.arrays();
        if let Some(name) = parameters::first_not_finite(&model) {
            let name = name.to_owned();
            return Err(Error::NotFinite { step: self.done, name, checkpoint: self.last_checkpoint() });
        }
        optimizer.insert(GUARD.into(), self.guard.to_array());
        let checkpoint = Checkpoint { progress: self.progress(), model, optimizer };
        // First the records, which a run that goes on from this checkpoint keeps up to here.
        self.run.sync_records()?;
        let path = checkpoint::save(&self.run.checkpoints(), &checkpoint, self.plan, self.judged)?;
        self.saved = Some(path.clone());
        self.tell(&Event::Checkpoint { step: self.done, path })?;
        self.keep_record()
    }

    /// Writes down what the data are, as far as they were read. A training needs it for nothing, so that it cannot be written is
    /// told, and no more.
    fn keep_record(&mut self) -> Result<(), Error> {
        match self.watch.as_mut().map_or(Ok(()), |watch| watch.keep(&self.dataset)) {
            Ok(()) => Ok(()),
            Err(error) => self.tell(&Event::Warning { step: self.done, message: error.to_string() }),
        }
    }

    fn finish(&mut self, wait_s: f64) -> Result<(), Error> {
        self.save()?;
        if let Some(message) = self.dataset.skipped() {
            self.tell(&Event::Warning { step: self.done, message })?;
        }
        // Neither is worth the encoder.
        for written in [self.run.write_skipped(&self.dataset), self.draw_pictures()] {
            if let Err(error) = written {
                self.tell(&Event::Warning { step: self.done, message: error.to_string() })?;
            }
        }
        let encoder = &self.kept().encoder;
        EncoderFolder::write(self.run.path(), encoder, self.plan, self.progress())?;
        let elapsed_s = self.started.elapsed().as_secs_f64();
        self.tell(&Event::Finished {
            step: self.done,
            elapsed_s,
            wait_share: wait_s / elapsed_s,
            skipped_files: self.dataset.bad_files().len(),
        })?;
        self.run.sync_records()
    }

    /// What the method shows of itself on the first samples.
    fn draw_pictures(&self) -> Result<(), Error> {
        let first = (0..self.dataset.len().min(PICTURED_SAMPLES)).collect();
        let mut loader = EvalLoader::new(self.dataset.clone(), self.plan.plain_view()?, Some(first))?;
        let Some(views) = loader.next_batch()? else { return Ok(()) };
        let batch = self.batch(views);
        for picture in self.learner.pictures(self.plan, &batch, self.progress()) {
            self.run.write_picture(&picture, &self.plan.data)?;
        }
        Ok(())
    }

    fn tell(&mut self, event: &Event) -> Result<(), Error> {
        self.run.record(event)?;
        self.observer.event(event);
        Ok(())
    }
}
