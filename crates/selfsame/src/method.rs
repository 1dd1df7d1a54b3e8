//! What a method is: an encoder, its heads, an objective, and what happens before the first step and after each.

use crate::backbone::{Encoder, Role};
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::init::Start;
use crate::objective::LossTerms;
use crate::outputs::PerSample;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::projector::{Projector, ProjectorSettings};
use crate::teacher::Teacher;
use crate::tensor::layers::{Init, Pass};
use burn::module::Module;
use burn::tensor::Device;
use selfsame_config::Settings;
use selfsame_data::dataset::Dataset;
use selfsame_data::modality::Modality;
use std::sync::Arc;
use toml::Table;

/// What a method is built from.
#[derive(Debug)]
pub struct BuildContext<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Where the parameters live; with gradients when it is an autodiff device.
    pub device: &'a Device,
    /// What the encoder's weights start from; without it they are drawn.
    pub start: Option<&'a Start>,
}

impl BuildContext<'_> {
    /// The initializer of a part of the method.
    pub fn init(&self, name: &str) -> Init<'_> {
        Init::new(self.plan.seed, name, self.device)
    }

    /// A fresh encoder as the plan describes it.
    pub fn encoder(&self) -> Result<Encoder, Error> {
        self.encoder_as(Role::Student)
    }

    fn encoder_as(&self, role: Role) -> Result<Encoder, Error> {
        let (backbone, data) = (&self.plan.backbone, &self.plan.data);
        let encoder = backbone.build(data.channels, data.size, &self.init("encoder"), role)?;
        match self.start {
            None => Ok(encoder),
            Some(start) => start.apply(encoder),
        }
    }

    /// A fresh encoder and projector as the plan describes them.
    pub fn branch(&self) -> Result<Branch, Error> {
        self.branch_as(Role::Student)
    }

    fn branch_as(&self, role: Role) -> Result<Branch, Error> {
        let encoder = self.encoder_as(role)?;
        let projector = Projector::new(&self.plan.projector, encoder.width(), &self.init("projector"));
        Ok(Branch { encoder, projector })
    }

    /// A teacher that starts as [`Self::branch`] does, and never drops a path.
    pub fn teacher(&self) -> Result<Teacher, Error> {
        Ok(Teacher::new(self.teacher_branch()?))
    }

    /// What [`Self::teacher`] starts as.
    pub fn teacher_branch(&self) -> Result<Branch, Error> {
        self.branch_as(Role::Teacher)
    }

    /// The predictor `q` on a branch's embeddings: two layers, from `z`'s width to `hidden` and back.
    pub fn predictor(&self, branch: &Branch, hidden: usize) -> Projector {
        let width = branch.projector.width();
        let settings =
            ProjectorSettings { layers: 2, hidden, out: width, last_norm: false, ..self.plan.projector.clone() };
        Projector::new(&settings, width, &self.init("predictor"))
    }
}

/// What a method's `embed` is given besides the views.
#[derive(Debug)]
pub struct EmbedContext<'a> {
    /// What normalization layers do, and the method's own draws.
    pub pass: &'a Pass,
    /// Before the step.
    pub progress: Progress,
}

/// What a method may look at before a session's first step.
pub struct PrepareContext<'a> {
    /// The plan; `plan.out` is the run folder, which exists.
    pub plan: &'a Plan,
    /// What is trained on.
    pub dataset: &'a Arc<Dataset>,
    /// To be told what is being done, how many samples are done, and of how many.
    pub progress: &'a mut dyn FnMut(&str, usize, usize),
}

/// What a loss is when the network gives the same for every input.
#[derive(Clone, Debug, PartialEq)]
pub struct TrivialLoss {
    /// Its value.
    pub value: f64,
    /// What that is, with the plan's numbers: `ln(2·256 − 1)`.
    pub formula: String,
}

impl TrivialLoss {
    /// `ln count`, of as many equal candidates, which `formula` spells out.
    pub fn ln(count: usize, formula: impl std::fmt::Display) -> Self {
        Self { value: (count as f64).ln(), formula: format!("ln({formula})") }
    }
}

/// A way of learning without labels. `embed` treats samples one by one and may run in chunks; `objective` needs the
/// whole batch.
pub trait Method: Module + Sized + 'static {
    /// Name in recipes.
    const NAME: &'static str;
    /// What it learns from; its recipe is written for the first.
    const MODALITIES: &'static [Modality] = Modality::ALL;
    /// The encoders that a training makes, of which `train.keep` names the one that is kept. Every method has a student.
    const ENCODERS: &'static [Role] = &[Role::Student];
    /// The method's own keys of the recipe's `[method]` table.
    type Config: Settings;
    /// What is made of each sample.
    type Outputs: PerSample;

    /// Whether the values make sense together and with the rest of the plan. Errors name the keys.
    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error>;

    /// Changes what the method's own recipe has in `[method]` to fit other data.
    fn fit(_keys: &mut Table, _to: Batches) {}

    /// The objective of outputs that are the same for every input, where it has a value that says so: a loss that stays there has
    /// taught nothing. None where the objective is least for them, or has no such value.
    fn trivial_loss(_config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        None
    }

    /// Builds the method from its keys and the plan.
    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error>;

    /// What the method must find out about the data. Done once per run; later sessions of the run read it back.
    fn prepare(self, _cx: &mut PrepareContext) -> Result<Self, Error> {
        Ok(self)
    }

    /// What is made of each sample.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Self::Outputs;

    /// Total and named terms of a batch.
    fn objective(&self, outputs: &Self::Outputs) -> LossTerms;

    /// Field whose parameters must not change at this point of the training, e.g. prototypes in the first epoch.
    fn frozen(&self, _progress: Progress) -> Option<&'static str> {
        None
    }

    /// What happens after the optimizer: a teacher's average, a queue. `outputs` are detached, the whole batch's.
    fn after_step(self, _outputs: &Self::Outputs, _progress: Progress) -> Self {
        self
    }

    /// What the method can show of itself on a few samples, `[batch, height, width, channels]`, as they are: nothing, or
    /// e.g. reconstructions. Drawn when the training ends.
    fn pictures(&self, _samples: &Batch, _cx: &EmbedContext) -> Vec<Picture> {
        Vec::new()
    }

    /// The branch of one of [`Self::ENCODERS`]. Where it is kept, its encoder is saved, evaluated and exported, and its projector is
    /// shown beside it.
    fn branch(&self, role: Role) -> &Branch;

    /// The method's keys of a plan.
    fn config(plan: &Plan) -> Result<Self::Config, Error> {
        Ok(Self::Config::read(&plan.method.keys)?)
    }
}
