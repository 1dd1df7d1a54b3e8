//! Fine-tuning: what an encoder is worth as a start where labels are few.
//!
//! A linear classifier is put on `h`, and both learn from the labeled samples: all weights, or the classifier and the
//! last stages. The classifier begins as the linear probe on the same labels, so that the encoder is not pulled away
//! from what it learned while a random classifier settles (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained
//! Features and Underperform Out-of-Distribution"). The learning rate falls from the classifier down: it is
//! `lr · layer_decayᵈ` at `d` stages below it (Clark et al. 2020, "ELECTRA"; Bao et al. 2022, "BEiT"), because layers
//! near the pixels are the most general and need to change least.
//!
//! How far an encoder should be moved differs from data to data, and from one number of labels to another: where classes are what it has
//! already told apart, every step away from the linear probe loses; where they are not, a small rate loses to training from scratch. So, unless
//! `lr` says otherwise, labels that are held out of the given ones choose, once for each number of labels: not at all, gently, or strongly;
//! and likewise between the rates of the network from scratch, so that neither is compared at the other's rate.
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
use crate::tensor::{recomputing, to_vec, view_to_device};
use crate::train_settings::TrainSettings;
use crate::weights::WeightsOf;
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
use selfsame_evaluate::finetuning::{Chosen, Finetuning, Strength};
use selfsame_evaluate::label_subsets::LabelBudget;
use selfsame_evaluate::linear_probe::{FEWEST_HELD_OUT, ProbeFeatures};
use selfsame_evaluate::overlap::Overlap;
use settings::FinetuneSettings;
use std::path::Path;
use std::sync::Arc;

/// Labels that are held out for the probabilities of a predictor, where there are enough: they are lost to the training.
const CALIBRATION_SAMPLES: usize = 500;

/// Held-out samples by which a strength is chosen, where there are enough labels: a fifth of the labels is held out in turn.
const CHOOSING_SAMPLES: usize = 100;
/// Fifths that are held out at most.
const CHOOSING_FIFTHS: usize = 3;

/// The linear probe on some of the training rows.
type ProbeOn<'a> = dyn Fn(&[u32]) -> Head + 'a;

/// The plan that views, batches and a learning rate of `lr` for `samples` labeled samples come from.
fn tuning_plan(settings: &FinetuneSettings, plan: &Plan, samples: usize, lr: f64, seed: u64) -> Plan {
    let keys = &settings.keys;
    let batch_size = keys.batch_size.min(samples);
    let steps_per_epoch = (samples / batch_size) as u64;
    let epochs = keys.epochs.max(keys.min_steps.div_ceil(steps_per_epoch) as usize);
    let common = CommonSettings {
        // The schedule's base is a batch of 256.
        base_lr: lr * 256.0 / batch_size as f64,
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
        LayerRates::new(&settings.keys.stages, 1.0).check(&tuning.branch.encoder, "stages")?;
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
            let (mut labeled, mut chosen) = (0, None);
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
                let probed = |rows: &[u32]| self.goal.probe(&probe, &coordinates, rows, train_groups, &rng);
                let strengths = match chosen {
                    Some(chosen) => chosen,
                    None => {
                        let folds = self.goal.held_out(&rows, train_groups, CHOOSING_SAMPLES, &mut rng());
                        let head = |rows: &[u32]| probed(rows).1;
                        let mut told = |what: &str, step, steps| progress(&format!("{labels}: {what}"), step, steps);
                        *chosen.insert(self.choose(&rows, folds, &head, &mut told)?)
                    }
                };
                let (of_probe, head) = probed(&rows);
                let mut fit = |what: &str, strength, head| {
                    let what = format!("{labels}, draw {} of {draws}: {what}", draw + 1);
                    self.fit(&rows, draw, strength, head, &mut |step, steps| progress(&what, step, steps))
                };
                let finetuned = fit("fine-tuning", strengths.finetuned, Some(head))??;
                let scratch = fit("from scratch", strengths.scratch, None)??;
                let of_test = [self.outputs(&finetuned)?, self.outputs(&scratch)?, of_probe];
                if let Some(path) = save.filter(|_| draw == 0) {
                    saved = Some(self.save(path, &finetuned, (&held, labeled), &of_test[0], &found)?);
                }
                for (outputs, found) in outputs.iter_mut().zip(of_test) {
                    outputs.push(found);
                }
            }
            let chosen = chosen.filter(|_| self.settings.chooses());
            found.add(self.goal.cell((labels, labeled, draws), chosen, &outputs, test_groups, plan.seed));
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

    /// How strongly to train on the labeled rows, by `folds` of them that are held out in turn; where they are too few, or nothing is to be
    /// chosen, as is usual.
    fn choose(
        &self,
        rows: &[u32],
        mut folds: Vec<Vec<u32>>,
        head: &ProbeOn,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Chosen, Error> {
        folds.truncate(CHOOSING_FIFTHS);
        if !self.settings.chooses() || folds.iter().map(Vec::len).sum::<usize>() < FEWEST_HELD_OUT {
            folds.clear();
        }
        let (finetuned, one) = self.best(rows, &folds, Some(head), progress)?;
        let (scratch, other) = self.best(rows, &folds, None, progress)?;
        Ok(Chosen { finetuned, scratch, held_out: one.max(other) })
    }

    /// The strength that is best for held-out samples, and how many these were: after each of the folds the better half of the
    /// strengths is left. Without folds the usual one. Without a `head` the network starts from its initial weights.
    fn best(
        &self,
        rows: &[u32],
        folds: &[Vec<u32>],
        head: Option<&ProbeOn>,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<(Strength, usize), Error> {
        let start = if head.is_some() { "fine-tuning" } else { "from scratch" };
        let strengths = self.settings.strengths(head.is_some());
        let usual = *strengths.iter().find(|strength| strength.lr > 0.0).expect("one that trains");
        let mut left: Vec<(Strength, Vec<f32>)> =
            strengths.into_iter().map(|strength| (strength, Vec::new())).collect();
        let mut held = Vec::new();
        for fold in folds {
            if left.len() < 2 {
                break;
            }
            held.extend_from_slice(fold);
            let kept: Vec<u32> = rows.iter().copied().filter(|row| fold.binary_search(row).is_err()).collect();
            let samples: Vec<usize> = fold.iter().map(|&row| self.rows[row as usize]).collect();
            let head = head.map(|head| head(&kept));
            let mut judged = Vec::new();
            for (strength, mut outputs) in left {
                let what = format!("choosing, {start} at {}", strength.lr);
                let mut told = |step, steps| progress(&what, step, steps);
                // One that diverges is not chosen.
                if let Ok(tuned) = self.fit(&kept, 0, strength, head.clone(), &mut told)? {
                    outputs.extend(tuned.outputs(self.tuning.train, self.tuning.plan, Some(samples.clone()))?);
                    judged.push((self.goal.deviation(&held, &outputs), strength, outputs));
                }
            }
            judged.sort_by(|(one, ..), (other, ..)| one.total_cmp(other));
            judged.truncate(judged.len().div_ceil(2));
            left = judged.into_iter().map(|(_, strength, outputs)| (strength, outputs)).collect();
        }
        let chosen = left.first().filter(|_| !held.is_empty());
        Ok((chosen.map_or(usual, |(strength, _)| *strength), held.len()))
    }

    /// Trains the pretrained encoder under the classifier `head`, or without one the network from its initial weights, on the
    /// labeled rows. The inner error is of a training that diverged.
    fn fit(
        &self,
        rows: &[u32],
        draw: u64,
        strength: Strength,
        head: Option<Head>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Result<Tuned, Error>, Error> {
        let units = self.goal.units(rows);
        let head = match head {
            Some(head) if strength.lr == 0.0 => {
                let encoder = self.tuning.branch.encoder.clone();
                return Ok(Ok(Tuned { encoder, head: self.goal.in_units(head, &units) }));
            }
            head => head.map(|head| head.without_still_features(self.train.rows())),
        };
        let device = device::open(&self.tuning.plan.device)?.autodiff();
        let seed = self.tuning.plan.seed.wrapping_add(draw);
        let plan = tuning_plan(self.settings, self.tuning.plan, rows.len(), strength.lr, seed);
        let scratch;
        let (branch, rates) = if head.is_some() {
            (self.tuning.branch, LayerRates::new(&self.settings.keys.stages, strength.layer_decay))
        } else {
            // Nothing is known beforehand, so everything learns, and alike.
            scratch = (self.tuning.method.branch)(&plan, WeightsOf::Fresh, &mut |_| {})?;
            (&scratch, LayerRates::alike())
        };
        let mut model = Classifier::new(&plan, branch, self.goal.width, head, &device)?;
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
            let (total, mut gradients) = recomputing(plan.train.checkpoint_activations, || {
                let h = model.encoder.forward(view_to_device(pixels, group.shape, &device.clone().inner()), &pass);
                let loss = self.goal.loss(model.head.forward(h), &shown, &units, &device);
                let mut gradients = GradientMap::default();
                let total: f32 = loss.clone().into_scalar();
                gradients.accumulate(&model, &mut loss.backward());
                (total, gradients)
            });
            if !total.is_finite() {
                let problem = format!("the loss is {total} at step {} of {steps}; try a lower rate", step + 1);
                return Ok(Err(Error::setting("lr", problem)));
            }
            gradients.retain(|name| shares.contains_key(name));
            let lr = schedule.at(step);
            model = optimizer.update(model, gradients, |name| lr * shares[name]);
            model = update_running_statistics(model, pass.into_statistics());
            progress(step + 1, steps);
        }
        let Classifier { encoder, head } = model.valid();
        let head = Head { weight: to_vec(head.weight.val()), bias: to_vec(head.bias.expect("it has one").val()) };
        Ok(Ok(Tuned { encoder, head: self.goal.in_units(head, &units) }))
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
