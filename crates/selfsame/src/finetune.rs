//! Fine-tuning: what an encoder is worth as a start where labels are few.
//!
//! A linear classifier is put on `h`, and both learn from the labelled samples: all weights, or the classifier and the last
//! stages. The classifier begins as the linear probe on the same labels, so that the encoder is not torn about while a random
//! one settles (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution"). The
//! learning rate falls from the classifier down, `lr · layer_decayᵈ` at `d` stages below it (Clark et al. 2020, "ELECTRA"; Bao
//! et al. 2022, "BEiT"): what is near the pixels is most general and needs to move least. Beside it, on the same labels: the
//! same network from its initial weights, trained in the same way but at one learning rate, and the linear probe. Over several
//! numbers of labels that is the label-efficiency curve (Chen et al. 2020, "Big Self-Supervised Models are Strong
//! Semi-Supervised Learners", fig. 1).

use crate::backbones::{self, Encoder};
use crate::catalogue;
use crate::device;
use crate::embed;
use crate::error::Error;
use crate::method::{Branch, BuildContext};
use crate::objective::cross_entropy;
use crate::optim::schedule::Schedule;
use crate::optim::{GradientMap, Optimiser};
use crate::projector::Projector;
use crate::tensor::layers::{Draws, Linear, Pass, update_running_statistics};
use crate::tensor::parameters::{self, Array};
use crate::tensor::{to_vec, view_to_device};
use crate::trainer::Weights;
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_data::DataError;
use selfsame_data::config::{OptimiserName, OptimiserSettings, Plan, TrainSettings, ViewSettings};
use selfsame_data::dataset::Dataset;
use selfsame_data::evaluate::bootstrap::{self, Score};
use selfsame_data::evaluate::finetuning::{Cell, Finetuning, Fit};
use selfsame_data::evaluate::labelled::Labels;
use selfsame_data::evaluate::linear_probe::ProbeFeatures;
use selfsame_data::evaluate::protocol;
use selfsame_data::features::FeatureTable;
use selfsame_data::image::Image;
use selfsame_data::rng::{Purpose, StreamRng};
use selfsame_data::views::{Samples, TrainLoader, ViewPlan};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How to fine-tune.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FinetuneSettings {
    /// Random draws of the labelled samples.
    pub draws: usize,
    /// Stages that learn, counted from the last; 0 leaves the classifier alone. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stages: Option<usize>,
    /// Passes over the labelled samples.
    pub epochs: usize,
    /// Steps at least, where the samples are few.
    pub min_steps: u64,
    /// Samples a step, at most.
    pub batch_size: usize,
    /// Learning rate of the classifier (AdamW).
    pub lr: f64,
    /// Share of the learning rate that a stage has of the one above it.
    pub layer_decay: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// What is done to the images: none of it may change their class. By default little: a network that learns from close
    /// crops is then judged on objects of another size (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
    pub augmentations: Vec<toml::Table>,
}

impl Default for FinetuneSettings {
    fn default() -> Self {
        let crop = toml::toml! { name = "random_resized_crop" scale = [0.8, 1.0] };
        let flip = toml::toml! { name = "horizontal_flip" p = 0.5 };
        Self {
            draws: 3,
            stages: None,
            epochs: 10,
            min_steps: 300,
            batch_size: 64,
            lr: 1e-3,
            layer_decay: 0.75,
            weight_decay: 0.05,
            augmentations: vec![crop, flip],
        }
    }
}

impl FinetuneSettings {
    /// Whether the values make sense.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |key: &str, expected: &str, received: String| {
            Err(Error::setting(key, format!("expected {expected}, received {received}")))
        };
        if self.draws == 0 {
            return wrong("draws", "at least 1", "0".into());
        }
        if self.epochs == 0 || self.epochs > 1_000_000 {
            return wrong("epochs", "1 to 1000000", self.epochs.to_string());
        }
        if self.batch_size < 2 {
            return wrong("batch_size", "at least 2", self.batch_size.to_string());
        }
        if !(self.lr > 0.0 && self.lr < 10.0) {
            return wrong("lr", "a number above 0 and below 10; 1e-4 to 3e-3 are usual", self.lr.to_string());
        }
        if !(self.layer_decay > 0.0 && self.layer_decay <= 1.0) {
            return wrong("layer_decay", "a number above 0 up to 1; 0.65 to 1 are usual", self.layer_decay.to_string());
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return wrong("weight_decay", "a number of at least 0", self.weight_decay.to_string());
        }
        Ok(())
    }

    /// The plan that views, batches and learning rates of `samples` labelled samples come from.
    fn plan(&self, plan: &Plan, samples: usize, seed: u64) -> Plan {
        let batch_size = self.batch_size.min(samples);
        let steps_per_epoch = (samples / batch_size) as u64;
        let epochs = self.epochs.max(self.min_steps.div_ceil(steps_per_epoch) as usize);
        Plan {
            seed,
            views: vec![ViewSettings { count: 1, size: None, augmentations: self.augmentations.clone() }],
            train: TrainSettings { epochs, batch_size, ..plan.train.clone() },
            optimiser: OptimiserSettings {
                name: OptimiserName::Adamw,
                // The schedule's base is a batch of 256.
                base_lr: self.lr * 256.0 / batch_size as f64,
                weight_decay: self.weight_decay,
                warmup_epochs: 0.1 * epochs as f64,
                final_lr_share: 0.0,
                ..OptimiserSettings::default()
            },
            ..plan.clone()
        }
    }
}

/// Encoder and linear classifier.
#[derive(Module, Debug)]
struct Classifier {
    encoder: Encoder,
    head: Linear,
}

impl Classifier {
    /// A classifier on an encoder with the weights of `branch`; its own are `head`, weights `[width of h, classes]` and
    /// biases, or drawn by the plan's seed.
    fn new(
        plan: &Plan,
        branch: &Branch,
        classes: usize,
        head: Option<(Vec<f32>, Vec<f32>)>,
        device: &Device,
    ) -> Result<Self, Error> {
        let cx = BuildContext { plan, device };
        let encoder = backbones::build(
            &plan.backbone,
            plan.data.channels.expect("resolved"),
            plan.data.size.expect("resolved"),
            &cx.init("encoder"),
        )?;
        let encoder = parameters::with_arrays(encoder, parameters::arrays(&branch.encoder))
            .map_err(|problem| Error::run(&plan.out, problem))?;
        let width = encoder.width();
        let mut classifier = Linear::new(&cx.init("classifier"), [width, classes], true);
        if let Some((weight, bias)) = head {
            let arrays = [
                ("weight".to_owned(), Array { shape: vec![width, classes], values: weight }),
                ("bias".to_owned(), Array { shape: vec![classes], values: bias }),
            ];
            classifier = parameters::with_arrays(classifier, arrays.into()).expect("as built");
        }
        Ok(Self { encoder, head: classifier })
    }

    /// The share of the learning rate that each parameter has, by name; those that are not to move are left out.
    fn shares(&self, settings: &FinetuneSettings) -> BTreeMap<String, f64> {
        let stages = self.encoder.stages();
        let share = |name: &String| {
            let below = name.strip_prefix("encoder.").map_or(0, |name| stages - self.encoder.stage(name));
            let learns = below <= settings.stages.unwrap_or(stages);
            learns.then(|| (name.clone(), settings.layer_decay.powi(below as i32)))
        };
        parameters::arrays(self).keys().filter_map(share).collect()
    }
}

/// The labelled samples.
struct Labelled {
    dataset: Arc<Dataset>,
    /// In the data set.
    indices: Vec<usize>,
}

impl Samples for Labelled {
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn sample(&self, index: usize) -> Result<Arc<Image>, DataError> {
        self.dataset.sample(self.indices[index])
    }
    fn key(&self, index: usize) -> u64 {
        Samples::key(&*self.dataset, self.indices[index])
    }
}

/// What is fine-tuned, on what.
pub struct Subject<'a> {
    /// The run's plan.
    pub plan: &'a Plan,
    /// Labelled samples to learn from.
    pub train: &'a Arc<Dataset>,
    /// Labelled samples to be judged on.
    pub test: &'a Arc<Dataset>,
}

/// Fine-tunes with each number of labels. `progress` is told what is done, and steps done of all; `done` is given what is
/// found so far, after every number of labels.
pub fn finetune(
    subject: &Subject,
    labels: &[Labels],
    settings: &FinetuneSettings,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    done: &mut (dyn FnMut(&Finetuning) -> Result<(), Error> + Send),
) -> Result<(), Error> {
    settings.check()?;
    let plan = subject.plan;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(plan.threads)
        .build()
        .map_err(|e| Error::Device(format!("cannot start {} threads: {e}", plan.threads)))?;
    pool.install(|| Tuner::new(subject, settings)?.curve(labels, progress, done))
}

struct Tuner<'a> {
    subject: &'a Subject<'a>,
    settings: &'a FinetuneSettings,
    branch: Branch,
    /// `h` of the pretrained encoder.
    train: FeatureTable,
    test: FeatureTable,
    /// Rows of `train` in the data set.
    rows: Vec<usize>,
    truth: Vec<u32>,
}

impl<'a> Tuner<'a> {
    fn new(subject: &'a Subject<'a>, settings: &'a FinetuneSettings) -> Result<Self, Error> {
        let plan = subject.plan;
        let branch = (catalogue::method(plan)?.branch)(plan, Weights::Trained)?;
        let table = |data: &Arc<Dataset>| {
            let found = embed::representations(&branch, data, plan, (0..data.len()).collect(), &mut |_| {})?;
            data.check_bad_share()?;
            Ok::<_, Error>(found)
        };
        let ((train, rows), (test, _)) = (table(subject.train)?, table(subject.test)?);
        let truth = protocol::check(&train, &test)?;
        let stages = branch.encoder.stages();
        if let Some(wanted) = settings.stages.filter(|&wanted| wanted > stages) {
            let problem = format!("{wanted} of an encoder that has {stages}; leave it out to train all of them");
            return Err(Error::setting("stages", problem));
        }
        Ok(Self { subject, settings, branch, train, test, rows, truth })
    }

    fn curve(
        &self,
        labels: &[Labels],
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
        done: &mut (dyn FnMut(&Finetuning) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        let settings = serde_json::to_value(self.settings).expect("plain values");
        let mut found = Finetuning {
            settings,
            train_samples: self.train.len(),
            test_samples: self.test.len(),
            classes: self.train.classes.len(),
            cells: Vec::new(),
        };
        let probe = ProbeFeatures::new(self.train.rows());
        let coordinates = probe.coordinates(self.test.rows());
        for &labels in labels {
            let draws = if labels == Labels::All { 1 } else { self.settings.draws as u64 };
            let mut scores: [Score; 3] = Default::default();
            let mut labelled = 0;
            for draw in 0..draws {
                let (seed, classes) = (self.subject.plan.seed, self.train.classes.len());
                let rows = labels.rows(&self.train.labels, classes, seed, draw);
                labelled = rows.len();
                let rng = StreamRng::new(seed, Purpose::Evaluate, 1, draw + 1, 0);
                let probed = probe.fit(&rows, &self.train.labels, classes, rng);
                let mut fit = |what: &str, head| {
                    let what = format!("{labels}, draw {} of {draws}: {what}", draw + 1);
                    self.fit(&rows, draw, head, &mut |step, steps| progress(&what, step, steps))
                };
                let finetuned = fit("fine-tuning", Some(probe.affine(&probed)))?;
                let scratch = fit("from scratch", None)?;
                for (score, predicted) in scores.iter_mut().zip([finetuned, scratch, probed.predict(&coordinates)]) {
                    score.draws.push(protocol::right(&predicted, &self.truth));
                }
            }
            let intervals = bootstrap::intervals(&scores.each_ref(), self.truth.len(), self.subject.plan.seed);
            let mut fits = scores.iter().zip(intervals).map(|(score, interval)| Fit {
                accuracy: score.mean().expect("test samples"),
                interval: interval.expect("test samples"),
            });
            let mut fit = || fits.next().expect("three");
            let (finetuned, scratch, linear_probe) = (fit(), fit(), fit());
            found.cells.push(Cell { labels, labelled, draws, finetuned, scratch, linear_probe });
            done(&found)?;
        }
        Ok(())
    }

    /// Trains the pretrained encoder under the classifier `head`, or without one the network from its initial weights, on the
    /// labelled rows, and predicts the classes of the test samples.
    fn fit(
        &self,
        rows: &[u32],
        draw: u64,
        head: Option<(Vec<f32>, Vec<f32>)>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<u32>, Error> {
        let device = device::open(&self.subject.plan.device)?.autodiff();
        let plan = self.settings.plan(self.subject.plan, rows.len(), self.subject.plan.seed.wrapping_add(draw));
        let scratch;
        let (branch, settings) = if head.is_some() {
            (&self.branch, self.settings.clone())
        } else {
            // Nothing is known beforehand, so everything learns, and alike.
            scratch = (catalogue::method(&plan)?.branch)(&plan, Weights::Fresh)?;
            (&scratch, FinetuneSettings { stages: None, layer_decay: 1.0, ..self.settings.clone() })
        };
        let mut model = Classifier::new(&plan, branch, self.train.classes.len(), head, &device)?;
        let shares = model.shares(&settings);
        let indices = rows.iter().map(|&row| self.rows[row as usize]).collect();
        let labelled = Arc::new(Labelled { dataset: self.subject.train.clone(), indices });
        let steps_per_epoch = (rows.len() / plan.train.batch_size) as u64;
        let steps = steps_per_epoch * plan.train.epochs as u64;
        let schedule = Schedule::new(&plan.optimiser, &plan.train, steps_per_epoch);
        let mut optimiser = Optimiser::new(&plan.optimiser);
        let mut loader = TrainLoader::new(labelled, ViewPlan::new(&plan)?, 0)?;
        for step in 0..steps {
            let views = loader.next_batch()?;
            let group = views.groups.into_iter().next().expect("one view");
            let pixels = group.data.into_iter().next().expect("one view");
            let targets: Vec<f32> = views.indices.iter().map(|&i| self.train.labels[rows[i] as usize] as f32).collect();
            let pass = Pass::train(Draws::new(plan.seed, step, &views.indices));
            let h = model.encoder.forward(view_to_device(pixels, group.shape, &device.clone().inner()), &pass);
            let targets = TensorData::new(targets, [views.indices.len(), 1]);
            let loss = cross_entropy(model.head.forward(h), Tensor::from_data(targets, &device));
            let mut gradients = GradientMap::default();
            gradients.accumulate(&model, &mut loss.total.backward());
            gradients.retain(|name| shares.contains_key(name));
            let lr = schedule.at(step);
            model = optimiser.update(model, gradients, |name| lr * shares[name]);
            model = update_running_statistics(model, pass.into_statistics());
            progress(step + 1, steps);
        }
        self.predict(&model.valid())
    }

    fn predict(&self, model: &Classifier) -> Result<Vec<u32>, Error> {
        let branch = Branch { encoder: model.encoder.clone(), projector: Projector::identity(model.encoder.width()) };
        let (test, plan) = (self.subject.test, self.subject.plan);
        let (h, _) = embed::representations(&branch, test, plan, (0..test.len()).collect(), &mut |_| {})?;
        let (rows, dim, device) = (h.len(), h.dim, device::open(&plan.device)?);
        let logits = model.head.forward(Tensor::<2>::from_data(TensorData::new(h.values, [rows, dim]), &device));
        let largest = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
        Ok(to_vec(logits).chunks_exact(self.train.classes.len()).map(|row| largest(row).unwrap_or(0) as u32).collect())
    }
}
