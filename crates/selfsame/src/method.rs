//! What a method is: an encoder, its heads, an objective, and what happens after a step.

use crate::backbones::{self, Encoder};
use crate::error::Error;
use crate::objective::LossTerms;
use crate::projector::Projector;
use crate::tensor::layers::{Init, Pass};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use selfsame_data::config::Plan;
use selfsame_data::rng::StreamRng;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A method's own keys of the recipe's `[method]` table: defaults, unknown keys are errors, values are checked.
pub trait Settings: Default + Serialize + DeserializeOwned + 'static {
    /// Whether the values make sense, by themselves and with the rest of the plan. Errors name the keys.
    fn check(&self, plan: &Plan) -> Result<(), Error>;
}

/// What a method is built from.
#[derive(Debug)]
pub struct BuildContext<'a> {
    /// The whole plan, resolved.
    pub plan: &'a Plan,
    /// Where the parameters live; with gradients when it is an autodiff device.
    pub device: &'a Device,
}

impl BuildContext<'_> {
    /// The initialiser of a part of the method.
    pub fn init(&self, name: &str) -> Init<'_> {
        Init::new(self.plan.seed, name, self.device)
    }

    /// A fresh encoder and projector as the plan describes them.
    pub fn branch(&self) -> Result<Branch, Error> {
        let data = &self.plan.data;
        let (channels, size) = (data.channels.expect("resolved"), data.size.expect("resolved"));
        let encoder = backbones::build(&self.plan.backbone, channels, size, &self.init("encoder"))?;
        let projector = Projector::new(&self.plan.projector, encoder.width(), &self.init("projector"));
        Ok(Branch { encoder, projector })
    }
}

/// `z = g(f(x))`: what every joint-embedding method is made of, one branch or two.
#[derive(Module, Debug)]
pub struct Branch {
    /// `f`, kept.
    pub encoder: Encoder,
    /// `g`, thrown away.
    pub projector: Projector,
}

impl Branch {
    /// The embeddings of each view, `[batch, embedding]`.
    pub fn embed(&self, views: ViewTensors, pass: &Pass) -> Vec<Tensor<2>> {
        views.into_iter().map(|view| self.projector.forward(self.encoder.forward(view, pass), pass)).collect()
    }
}

/// A batch's (or a chunk's) views on the device, flattened over the recipe's groups: `[batch, height, width, channels]`.
pub type ViewTensors = Vec<Tensor<4>>;

/// What a method's `embed` is given besides the views.
#[derive(Debug)]
pub struct EmbedContext<'a> {
    /// What normalisation layers do.
    pub pass: &'a Pass,
    /// The method's own draws; the same numbers in both passes of a chunked step.
    pub rng: StreamRng,
}

/// Embeddings of a batch, one entry a view, `[batch, embedding]`.
#[derive(Clone, Debug, Default)]
pub struct Embeddings {
    /// What gradients flow through.
    pub online: Vec<Tensor<2>>,
    /// What they do not: a teacher's or a stopped branch's output.
    pub target: Vec<Tensor<2>>,
}

/// How far training has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
}

/// A way of learning without labels. `embed` treats samples one by one and may run in chunks; `objective` needs the
/// whole batch.
pub trait Method: Module + Sized + 'static {
    /// Name in recipes.
    const NAME: &'static str;
    /// The method's keys.
    type Config: Settings;

    /// Builds the method from its keys and the plan.
    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error>;

    /// The views' embeddings.
    fn embed(&self, views: ViewTensors, cx: &EmbedContext) -> Embeddings;

    /// Total and named terms of a batch's embeddings.
    fn objective(&self, embeddings: &Embeddings) -> LossTerms;

    /// What happens after the optimiser: a teacher's average, a queue. `embeddings` are detached, the whole batch's.
    fn after_step(self, _embeddings: &Embeddings, _progress: Progress) -> Self {
        self
    }

    /// The branch whose encoder is saved, evaluated and exported, and whose projector is shown beside it.
    fn branch(&self) -> &Branch;
}

/// Two views of one size are what every two-branch method needs.
pub fn require_two_views(plan: &Plan, method: &str) -> Result<(), Error> {
    let count: usize = plan.views.iter().map(|group| group.count).sum();
    let default_size = plan.data.size;
    let mut sizes = plan.views.iter().map(|group| group.size.or(default_size));
    let first = sizes.next().flatten();
    if count == 2 && sizes.all(|size| size == first) {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs two views of one size, the plan has {count}; set views.count = 2 in one group, or 1 in each of two groups of equal size"
        ),
    ))
}
