//! Fine-tuning: what an encoder is worth as a start where labels are few.
//!
//! A linear classifier is put on `h`, and both learn from the labeled samples: all weights, or the classifier and the
//! last stages. The classifier begins as the linear probe on the same labels, so that the encoder is not pulled away
//! from what it learned while a random classifier settles (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
//! Features and Underperform Out-of-Distribution"). The learning rate falls from the classifier down: it is
//! `lr · layer_decayᵈ` at `d` stages below it (Clark et al. 2020, "ELECTRA"; Bao et al. 2022, "BEiT"), because layers
//! near the pixels are the most general and need to change least.
//!
//! Two others are trained on the same labels for comparison: the same network from its initial weights, with one learning
//! rate for all layers, and the linear probe. The scores over several numbers of labels are the label-efficiency curve
//! (Chen et al. 2020, "Big Self-Supervised Models are Strong Semi-Supervised Learners", fig. 1).

pub(crate) mod goal;
pub mod settings;

use crate::backbone::Encoder;
use crate::branch::Branch;
use crate::catalogue::MethodEntry;
use crate::device;
use crate::embed::{self, Pixels, Tables, Wanted};
use crate::error::Error;
use crate::labels::{Part, Told, numbered_groups};
use crate::method::BuildContext;
use crate::optim::layers::LayerRates;
use crate::optim::schedule::Schedule;
use crate::optim::settings::{AdamwSettings, CommonSettings, OptimizerSettings, UpdateRule};
use crate::optim::{GradientMap, Optimizer};
use crate::plan::Plan;
use crate::predictor::{self, Head, Meaning};
use crate::provenance;
use crate::tensor::layers::{Draws, Linear, Pass, Still, update_running_statistics};
use crate::tensor::parameters;
use crate::tensor::{to_vec, view_to_device};
use crate::train_settings::TrainSettings;
use crate::trainer::WeightsOf;
use burn::module::Module;
use burn::tensor::Device;
use goal::Goal;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Settings;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::Image;
use selfsame_data::loader::{SampleSource, TrainLoader};
use selfsame_data::settings::ViewSettings;
use selfsame_evaluate::features::FeatureTable;
use selfsame_evaluate::finetuning::Finetuning;
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::linear_probe::ProbeFeatures;
use selfsame_evaluate::overlap::Overlap;
use settings::FinetuneSettings;
use std::path::Path;
use std::sync::Arc;

/// Labels that are held out for the probabilities of a predictor, where there are enough: they are lost to the training.
const CALIBRATION_SAMPLES: usize = 500;

/// The plan that views, batches and learning rates of `samples` labeled samples come from.
fn tuning_plan(settings: &FinetuneSettings, plan: &Plan, samples: usize, seed: u64) -> Plan {
    let keys = &settings.keys;
    let batch_size = keys.batch_size.min(samples);
    let steps_per_epoch = (samples / batch_size) as u64;
    let epochs = keys.epochs.max(keys.min_steps.div_ceil(steps_per_epoch) as usize);
    let common = CommonSettings {
        // The schedule's base is a batch of 256.
        base_lr: keys.lr * 256.0 / batch_size as f64,
        weight_decay: keys.weight_decay,
        warmup_epochs: 0.1 * epochs as f64,
        final_lr_share: 0.0,
        ..plan.optimizer.common.clone()
    };
    let views = ViewSettings { count: 1, size: plan.data.size, augmentations: settings.augmentations.clone() };
    Plan {
        seed,
        views: vec![views],
        train: TrainSettings { epochs, batch_size, ..plan.train.clone() },
        optimizer: OptimizerSettings::new(UpdateRule::Adamw(AdamwSettings::defaults()), common),
        ..plan.clone()
    }
}

/// Encoder and linear classifier.
#[derive(Module, Debug)]
struct Classifier {
    encoder: Encoder,
    head: Linear,
}

impl Classifier {
    /// A classifier on an encoder with the weights of `branch`; its own are `head`, or drawn by the plan's seed.
    fn new(plan: &Plan, branch: &Branch, classes: usize, head: Option<Head>, device: &Device) -> Result<Self, Error> {
        let cx = BuildContext { plan, device, start: None };
        let encoder = parameters::with_arrays(cx.encoder()?, parameters::arrays(&branch.encoder))
            .map_err(|problem| Error::run(&plan.out, problem))?;
        let width = encoder.width();
        let head = match head {
            Some(head) => head.layer(device),
            None => Linear::new(&cx.init("classifier"), [width, classes], true),
        };
        Ok(Self { encoder, head })
    }
}

/// The labeled samples.
struct Labeled {
    dataset: Arc<Dataset>,
    /// In the data set.
    indices: Vec<usize>,
}

impl SampleSource for Labeled {
    fn len(&self) -> usize {
        self.indices.len()
    }
    fn with_sample(&self, index: usize, work: &mut dyn FnMut(&Image)) -> Result<(), DataError> {
        self.dataset.with_sample(self.indices[index], work)
    }
    fn key(&self, index: usize) -> u64 {
        SampleSource::key(&*self.dataset, self.indices[index])
    }
}

/// What is fine-tuned, on what.
pub struct Tuning<'a> {
    /// The run's plan.
    pub plan: &'a Plan,
    /// Its method.
    pub method: &'static MethodEntry,
    /// Its trained branch.
    pub branch: &'a Branch,
    /// Labeled samples to learn from.
    pub train: &'a Arc<Dataset>,
    /// Labeled samples to be judged on.
    pub test: &'a Arc<Dataset>,
    /// What is told of samples beside the folders that they lie in.
    pub told: &'a Told,
    /// The parts of both that are used, as [`Told::parts`] gives them.
    pub parts: &'a [Part; 2],
    /// Folder for the predictor of the last number of labels, of their first draw; some of these labels are held out for its
    /// probabilities.
    pub save: Option<&'a Path>,
}

/// Fine-tunes with each number of labels, and tells what the predictor means that was saved. `progress` is told what runs, how many
/// steps are done, and of how many. `done` is
/// given everything found so far after each number of labels.
///
/// # Errors
/// Also if a sample's features, or a loss, are not finite.
pub fn finetune(
    tuning: &Tuning,
    labels: &[LabelBudget],
    settings: &FinetuneSettings,
    progress: &mut (dyn FnMut(&str, u64, u64) + Send),
    done: &mut (dyn FnMut(&Finetuning) -> Result<(), Error> + Send),
) -> Result<Option<Meaning>, Error> {
    tuning.plan.pool()?.install(|| Tuner::new(tuning, settings)?.curve(labels, progress, done))
}

struct Tuner<'a> {
    tuning: &'a Tuning<'a>,
    settings: &'a FinetuneSettings,
    /// `h` of the pretrained encoder.
    train: FeatureTable,
    test: FeatureTable,
    /// Rows of `train` in the data set.
    rows: Vec<usize>,
    goal: Goal,
    /// Group of each row of both parts, where samples come in groups.
    groups: Option<[Vec<u32>; 2]>,
    overlap: Overlap,
}

impl<'a> Tuner<'a> {
    fn new(tuning: &'a Tuning<'a>, settings: &'a FinetuneSettings) -> Result<Self, Error> {
        let plan = tuning.plan;
        // Their contents are compared, as they are read.
        [tuning.train, tuning.test].iter().for_each(|data| data.remember(None));
        let sketch = embed::sketch(plan, [tuning.train, tuning.test]);
        let wanted = Wanted { raw: Pixels::kept(sketch.as_ref()), ..Wanted::default() };
        let table = |data: &Arc<Dataset>, part: &Part| -> Result<Tables, Error> {
            let samples = part.samples.clone();
            let mut tables = Tables::embed(tuning.branch, data, plan, samples, wanted, &mut |_| {})?;
            tuning.told.relabel(part, &mut tables);
            Ok(tables)
        };
        let parts = tuning.parts;
        let tables = [table(tuning.train, &parts[0])?, table(tuning.test, &parts[1])?];
        for table in &tables {
            table.h.check_finite("the representation")?;
        }
        let overlap = provenance::labeled_overlap([tuning.train, tuning.test], tables.each_ref())?;
        let goal = Goal::of(tuning.told, parts, tables.each_ref())?;
        let [Tables { h: train, indices: rows, .. }, Tables { h: test, indices: test_rows, .. }] = tables;
        let groups = numbered_groups(parts, [&rows, &test_rows]);
        settings.layer_rates().check(&tuning.branch.encoder, "stages")?;
        Ok(Self { tuning, settings, train, test, rows, goal, groups, overlap })
    }

    fn curve(
        &self,
        labels: &[LabelBudget],
        progress: &mut (dyn FnMut(&str, u64, u64) + Send),
        done: &mut (dyn FnMut(&Finetuning) -> Result<(), Error> + Send),
    ) -> Result<Option<Meaning>, Error> {
        let settings = self.settings.to_json();
        let &Tuning { plan, branch, train, test, .. } = self.tuning;
        let [train_groups, test_groups] = [0, 1].map(|part| self.groups.as_ref().map(|groups| &groups[part][..]));
        let mut found = Finetuning {
            measured_on: provenance::measured_on(plan, Some(branch), test)?,
            labels_from: provenance::data_origin(train)?,
            overlap: Some(self.overlap.clone()),
            settings,
            train_samples: self.train.len(),
            test_samples: self.test.len(),
            task: self.goal.task,
            classes: self.goal.width,
            label_table: self.tuning.told.table.as_ref().map(|(table, _)| table.origin().clone()),
            test_groups: test_groups.map(|of| of.iter().max().map_or(0, |&last| last as usize + 1)),
            cells: Vec::new(),
            chance: Some(self.goal.chance()),
            conclusion: Vec::new(),
        };
        let probe = ProbeFeatures::new(self.train.rows())?;
        let coordinates = probe.coordinates(self.test.rows())?;
        let mut saved = None;
        let budgets = labels.len();
        for (at, &labels) in labels.iter().enumerate() {
            let save = self.tuning.save.filter(|_| at + 1 == budgets);
            let draws = if labels == LabelBudget::All { 1 } else { self.settings.keys.draws as u64 };
            let mut outputs: [Vec<Vec<f32>>; 3] = Default::default();
            let mut labeled = 0;
            for draw in 0..draws {
                let seed = plan.seed;
                let mut rows = self.goal.rows(labels, seed, draw)?;
                let rng = || StreamRng::new(seed, Purpose::Evaluate, 1, draw + 1, 0);
                let held = match save {
                    Some(_) => self.goal.hold_out(&rows, train_groups, CALIBRATION_SAMPLES, &mut rng()),
                    None => Vec::new(),
                };
                rows.retain(|row| held.binary_search(row).is_err());
                labeled = rows.len();
                let (probed, head) = self.goal.probe(&probe, &coordinates, &rows, train_groups, &rng);
                let mut fit = |what: &str, head| {
                    let what = format!("{labels}, draw {} of {draws}: {what}", draw + 1);
                    self.fit(&rows, draw, head, &mut |step, steps| progress(&what, step, steps))
                };
                let (finetuned, scratch) = (fit("fine-tuning", Some(head))?, fit("from scratch", None)?);
                let of_test = [self.outputs(&finetuned)?, self.outputs(&scratch)?, probed];
                if let Some(path) = save.filter(|_| draw == 0) {
                    saved = Some(self.save(path, &finetuned, (&held, labeled), &of_test[0], &found)?);
                }
                for (outputs, found) in outputs.iter_mut().zip(of_test) {
                    outputs.push(found);
                }
            }
            found.add(self.goal.cell((labels, labeled, draws), &outputs, test_groups, plan.seed));
            done(&found)?;
        }
        Ok(saved)
    }

    /// Writes a tuned network as a predictor.
    fn save(
        &self,
        path: &Path,
        tuned: &Tuned,
        (held, labeled): (&[u32], usize),
        of_test: &[f32],
        found: &Finetuning,
    ) -> Result<Meaning, Error> {
        let (tuning, goal) = (self.tuning, &self.goal);
        let temperature = match held {
            [] => 1.0,
            held => {
                let samples = held.iter().map(|&row| self.rows[row as usize]).collect();
                goal.temperature(held, &tuned.outputs(tuning.train, tuning.plan, Some(samples))?)
            }
        };
        let groups = self.groups.as_ref().map(|[_, test]| &test[..]);
        let meaning = Meaning {
            task: goal.task,
            names: goal.names.clone(),
            fitted_by: "finetune".into(),
            labels_from: found.labels_from.clone(),
            labeled,
            temperature,
            calibrated_on: held.len(),
            tested: goal.tested(of_test, temperature, groups, tuning.plan.seed),
        };
        predictor::write(path, &tuned.encoder, tuning.plan, &tuned.head, &meaning)?;
        Ok(meaning)
    }

    /// Trains the pretrained encoder under the classifier `head`, or without one the network from its initial weights, on the
    /// labeled rows.
    fn fit(
        &self,
        rows: &[u32],
        draw: u64,
        head: Option<Head>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Tuned, Error> {
        let device = device::open(&self.tuning.plan.device)?.autodiff();
        let plan = tuning_plan(self.settings, self.tuning.plan, rows.len(), self.tuning.plan.seed.wrapping_add(draw));
        let scratch;
        let (branch, rates) = if head.is_some() {
            (self.tuning.branch, self.settings.layer_rates())
        } else {
            // Nothing is known beforehand, so everything learns, and alike.
            scratch = (self.tuning.method.branch)(&plan, WeightsOf::Fresh, &mut |_| {})?;
            (&scratch, LayerRates::alike())
        };
        let mut model = Classifier::new(&plan, branch, self.goal.width, head, &device)?;
        let units = self.goal.units(rows);
        let shares = rates.shares(&model, &model.encoder);
        let still = Still::of(&model, &|name| shares.contains_key(name));
        let indices = rows.iter().map(|&row| self.rows[row as usize]).collect();
        let labeled = Arc::new(Labeled { dataset: self.tuning.train.clone(), indices });
        let steps_per_epoch = (rows.len() / plan.train.batch_size) as u64;
        let steps = steps_per_epoch * plan.train.epochs as u64;
        let schedule = Schedule::new(&plan.optimizer.common, plan.train.batch_size, plan.train.epochs, steps_per_epoch);
        let mut optimizer = Optimizer::new(&plan.optimizer);
        let mut loader = TrainLoader::new(labeled, plan.training_views()?, 0)?;
        for step in 0..steps {
            let views = loader.next_batch()?;
            let group = views.groups.into_iter().next().expect("one view");
            let pixels = group.data.into_iter().next().expect("one view");
            let shown: Vec<u32> = views.indices.iter().map(|&i| rows[i]).collect();
            let pass = Pass::train(Draws::new(plan.seed, step, &views.indices)).with(&still);
            let h = model.encoder.forward(view_to_device(pixels, group.shape, &device.clone().inner()), &pass);
            let loss = self.goal.loss(model.head.forward(h), &shown, &units, &device);
            let total: f32 = loss.clone().into_scalar();
            if !total.is_finite() {
                let problem = format!("the loss is {total} at step {} of {steps}; try a lower rate", step + 1);
                return Err(Error::setting("lr", problem));
            }
            let mut gradients = GradientMap::default();
            gradients.accumulate(&model, &mut loss.backward());
            gradients.retain(|name| shares.contains_key(name));
            let lr = schedule.at(step);
            model = optimizer.update(model, gradients, |name| lr * shares[name]);
            model = update_running_statistics(model, pass.into_statistics());
            progress(step + 1, steps);
        }
        let Classifier { encoder, head } = model.valid();
        let head = Head { weight: to_vec(head.weight.val()), bias: to_vec(head.bias.expect("it has one").val()) };
        Ok(Tuned { encoder, head: self.goal.in_units(head, &units) })
    }

    /// Outputs for the test samples, `[samples, width]`.
    fn outputs(&self, tuned: &Tuned) -> Result<Vec<f32>, Error> {
        let &Tuning { test, plan, parts, .. } = self.tuning;
        tuned.outputs(test, plan, parts[1].samples.clone())
    }
}

/// A network after its tuning.
struct Tuned {
    encoder: Encoder,
    head: Head,
}

impl Tuned {
    /// Outputs for these samples, or all that can be read, `[samples, outputs]`.
    fn outputs(&self, dataset: &Arc<Dataset>, plan: &Plan, samples: Option<Vec<usize>>) -> Result<Vec<f32>, Error> {
        let branch = Branch::without_projector(self.encoder.clone());
        let h = Tables::embed(&branch, dataset, plan, samples, Wanted::default(), &mut |_| {})?.h;
        h.check_finite("the representation")?;
        Ok(self.head.outputs(h, &device::open(&plan.device)?))
    }
}
