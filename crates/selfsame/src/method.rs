//! What a method is: an encoder, its heads, an objective, and what happens before the first step and after each.

use crate::backbones::{self, Encoder};
use crate::error::Error;
use crate::objective::LossTerms;
use crate::picture::Picture;
use crate::projector::Projector;
use crate::teacher::Teacher;
use crate::tensor::layers::{Init, Pass};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use selfsame_data::config::{BackboneSettings, Plan, ProjectorSettings};
use selfsame_data::dataset::Dataset;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ops::RangeBounds;
use std::sync::Arc;

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
        self.branch_of(&self.plan.backbone)
    }

    fn branch_of(&self, backbone: &BackboneSettings) -> Result<Branch, Error> {
        let data = &self.plan.data;
        let (channels, size) = (data.channels.expect("resolved"), data.size.expect("resolved"));
        let encoder = backbones::build(backbone, channels, size, &self.init("encoder"))?;
        let projector = Projector::new(&self.plan.projector, encoder.width(), &self.init("projector"));
        Ok(Branch { encoder, projector })
    }

    /// A teacher that starts as [`Self::branch`] does, and never drops a path.
    pub fn teacher(&self) -> Result<Teacher, Error> {
        Ok(Teacher::new(self.teacher_branch()?))
    }

    /// What [`Self::teacher`] starts as.
    pub fn teacher_branch(&self) -> Result<Branch, Error> {
        self.branch_of(&BackboneSettings { drop_path: None, ..self.plan.backbone.clone() })
    }

    /// The predictor `q` on a branch's embeddings: two layers, from `z`'s width to `hidden` and back.
    pub fn predictor(&self, branch: &Branch, hidden: usize) -> Projector {
        let width = branch.projector.width();
        let settings = ProjectorSettings { layers: 2, hidden, out: width, last_norm: false, ..self.plan.projector };
        Projector::new(&settings, width, &self.init("predictor"))
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
    /// The embedding of one view: `[batch, height, width, channels]` to `[batch, embedding]`.
    pub fn forward(&self, view: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view, pass), pass)
    }

    /// The embeddings of each view, `[batch, embedding]`.
    pub fn embed(&self, batch: &Batch, pass: &Pass) -> Vec<Tensor<2>> {
        batch.views.iter().map(|view| self.forward(view.clone(), pass)).collect()
    }
}

/// A batch, or a chunk of one, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One entry a view, flattened over the recipe's groups: `[batch, height, width, channels]`. Groups may differ in
    /// size.
    pub views: Vec<Tensor<4>>,
    /// Index of each sample in its data set, `[batch]`.
    pub samples: Vec<usize>,
}

impl Batch {
    /// The samples of a range.
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            views: self.views.iter().map(|view| view.clone().slice([range.clone()])).collect(),
            samples: self.samples[range].to_vec(),
        }
    }
}

/// What a method's `embed` is given besides the views.
#[derive(Debug)]
pub struct EmbedContext<'a> {
    /// What normalisation layers do, and the method's own draws.
    pub pass: &'a Pass,
    /// Before the step.
    pub progress: Progress,
}

/// Embeddings of a batch, one entry a view, `[batch, embedding]`; generative methods give losses, `[batch, 1]`, as `online`.
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
    /// Steps in a pass over the data.
    pub steps_per_epoch: u64,
}

/// What a method may look at before a session's first step.
pub struct PrepareContext<'a> {
    /// The whole plan, resolved; `plan.out` is the run folder, which exists.
    pub plan: &'a Plan,
    /// What is trained on.
    pub dataset: &'a Arc<Dataset>,
    /// To be told what is being done, how many samples of how many are done.
    pub progress: &'a mut dyn FnMut(&str, usize, usize),
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

    /// What the method must find out about the data: once a run, and read back by its later sessions.
    fn prepare(self, _cx: &mut PrepareContext) -> Result<Self, Error> {
        Ok(self)
    }

    /// The views' embeddings.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings;

    /// Total and named terms of a batch's embeddings.
    fn objective(&self, embeddings: &Embeddings) -> LossTerms;

    /// The embeddings whose spread is watched while training goes on.
    fn watched<'a>(&self, embeddings: &'a Embeddings) -> &'a Tensor<2> {
        &embeddings.online[0]
    }

    /// Field whose parameters are not to move at this point of the training, e.g. prototypes in the first epoch.
    fn frozen(&self, _progress: Progress) -> Option<&'static str> {
        None
    }

    /// What happens after the optimiser: a teacher's average, a queue. `embeddings` are detached, the whole batch's.
    fn after_step(self, _embeddings: &Embeddings, _progress: Progress) -> Self {
        self
    }

    /// What the method can show of itself on a few samples, `[batch, height, width, channels]`, as they are: nothing, or
    /// e.g. reconstructions. Drawn when the training ends.
    fn pictures(&self, _samples: &Batch, _cx: &EmbedContext) -> Vec<Picture> {
        Vec::new()
    }

    /// The branch whose encoder is saved, evaluated and exported, and whose projector is shown beside it.
    fn branch(&self) -> &Branch;
}

/// Two views of one size are what every two-branch method needs.
pub fn require_two_views(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes.len() == 2 && sizes[0] == sizes[1] {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs two views of one size, the plan has {}; set views.count = 2 in one group, or 1 in each of two groups of equal size",
            describe(&sizes)
        ),
    ))
}

/// Two views of one size, then any number of any size: what multi-crop methods need.
pub fn require_multi_crop(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes.len() >= 2 && sizes[0] == sizes[1] {
        return Ok(());
    }
    Err(Error::setting(
        "views",
        format!(
            "method.name = \"{method}\" needs a first group of views with views.count = 2, whose assignments all views predict, the plan has {}; smaller crops go into groups after it",
            describe(&sizes)
        ),
    ))
}

/// One view, of the size that the encoder is evaluated at, and no projector: what generative methods need, which give an
/// image back from `h` itself.
pub fn require_one_view_of_h(plan: &Plan, method: &str) -> Result<(), Error> {
    let sizes = view_sizes(plan);
    if sizes.len() != 1 || sizes[0] != plan.data.size {
        return Err(Error::setting(
            "views",
            format!(
                "method.name = \"{method}\" needs one view of data.size = {} px, the plan has {}; set views=[{{count=1}}], or one [[views]] group with count = 1 and no size",
                plan.data.size.map_or("?".into(), |size| size.to_string()),
                describe(&sizes)
            ),
        ));
    }
    match plan.projector.layers {
        0 => Ok(()),
        layers => Err(Error::setting(
            "projector.layers",
            format!("method.name = \"{method}\" works on h itself: expected 0, got {layers}; set projector.layers=0"),
        )),
    }
}

/// Side of every view, px, flattened over the groups; `None` where it is yet to be found.
fn view_sizes(plan: &Plan) -> Vec<Option<usize>> {
    plan.views.iter().flat_map(|group| std::iter::repeat_n(group.size.or(plan.data.size), group.count)).collect()
}

fn describe(sizes: &[Option<usize>]) -> String {
    let sides: Vec<_> = sizes.iter().map(|size| size.map_or("?".into(), |size| size.to_string())).collect();
    format!("{} of {} px", sizes.len(), sides.join(", "))
}

/// Checks that a number of the `[method]` table lies where it has a meaning; `hint` says what is usual.
pub fn check_number(key: &str, value: f64, range: impl RangeBounds<f64>, hint: &str) -> Result<(), Error> {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    if value.is_finite() && range.contains(&value) {
        return Ok(());
    }
    let low = match range.start_bound() {
        Included(low) => format!(" of at least {low}"),
        Excluded(low) => format!(" above {low}"),
        Unbounded => String::new(),
    };
    let high = match range.end_bound() {
        Included(high) => format!(" up to {high}"),
        Excluded(high) => format!(" below {high}"),
        Unbounded => String::new(),
    };
    Err(Error::setting(format!("method.{key}"), format!("expected a number{low}{high}, got {value}; {hint}")))
}

/// Above zero, without an end.
pub const POSITIVE: (std::ops::Bound<f64>, std::ops::Bound<f64>) =
    (std::ops::Bound::Excluded(0.0), std::ops::Bound::Unbounded);

/// Checks the width of a head.
pub fn check_width(key: &str, value: usize) -> Result<(), Error> {
    check_number(key, value as f64, 1.0..=65536.0, "128 to 4096 are usual")
}

/// Checks τ.
pub fn check_temperature(value: f64) -> Result<(), Error> {
    check_number("temperature", value, POSITIVE, "0.1 to 0.5 are usual")
}
