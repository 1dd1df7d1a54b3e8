//! Layers of backbones and heads. They hide which kernels run and carry the field's parameter names
//! (`weight`, `bias`, `running_mean`, `running_var`).

use super::lengths::Lengths;
use super::ops::{self, NORM_EPSILON, Window};
use super::parameters;
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_base::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What normalization layers do in a forward pass, where training leaves its batch statistics, and where random numbers
/// come from.
///
/// Explicit, because it must not be guessed from whether a graph is recorded: a chunked step runs the encoder
/// without a graph *with* batch statistics, and an exponential-average teacher has its own running statistics.
#[derive(Debug)]
pub struct Pass {
    mode: Mode,
    running: RefCell<Vec<BatchStatistics>>,
    draws: Option<Draws>,
    still: Still,
}

/// Batch norms that training leaves as they are, as it does all else of a frozen stage: they normalize with their running statistics,
/// which do not move, so the stage gives in training what it gives afterwards.
#[derive(Clone, Debug, Default)]
pub struct Still(Arc<HashSet<ParamId>>);

impl Still {
    /// Those of `module` whose `running_mean` is not among the names that learn.
    pub fn of<M: Module>(module: &M, learns: &dyn Fn(&str) -> bool) -> Self {
        let ids = parameters::ids(module).into_iter();
        Self(Arc::new(
            ids.filter(|(name, _)| name.ends_with("running_mean") && !learns(name)).map(|(_, id)| id).collect(),
        ))
    }
}

/// Random numbers of a step's forward pass, a stream for each row of a batch. Keyed by seed, step, sample and by how many
/// draws went before in the pass: they do not depend on the chunks of a step, on which of its two passes runs, or on threads.
#[derive(Debug)]
pub struct Draws {
    seed: u64,
    step: u64,
    samples: Vec<usize>,
    rounds: Cell<u32>,
}

impl Draws {
    /// The draws of `step` for the samples of a batch or a chunk.
    pub fn new(seed: u64, step: u64, samples: &[usize]) -> Self {
        Self { seed, step, samples: samples.to_vec(), rounds: Cell::new(0) }
    }

    fn rows(&self, rows: usize) -> Vec<StreamRng> {
        assert!(rows.is_multiple_of(self.samples.len()), "{rows} rows of {} samples", self.samples.len());
        let first = self.rounds.get();
        self.rounds.set(first + (rows / self.samples.len()) as u32);
        let rounds = first..self.rounds.get();
        let round = |round| {
            self.samples
                .iter()
                .map(move |&sample| StreamRng::new(self.seed, Purpose::Step, self.step, sample as u64, round))
        };
        rounds.flat_map(round).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Evaluate,
    Train { record: bool },
}

/// Moments of one batch at one normalization layer, to be folded into its running statistics.
#[derive(Debug)]
pub struct BatchStatistics {
    /// The layer's `running_mean`, and the batch's mean `[channels]`.
    pub mean: (ParamId, Tensor<1>),
    /// The layer's `running_var`, and the batch's unbiased variance `[channels]`.
    pub variance: (ParamId, Tensor<1>),
}

impl BatchStatistics {
    /// Whether all of them are numbers.
    pub fn are_finite(&self) -> bool {
        let finite = |values: &Tensor<1>| crate::tensor::to_vec(values.clone()).iter().all(|value| value.is_finite());
        finite(&self.mean.1) && finite(&self.variance.1)
    }
}

/// Folds what a step's passes recorded into the running statistics: `running ← 0.9 · running + 0.1 · batch`.
pub fn update_running_statistics<M: Module>(module: M, statistics: Vec<BatchStatistics>) -> M {
    struct Fold(HashMap<ParamId, Vec<Tensor<1>>>);
    impl ModuleMapper for Fold {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let Some(batches) = self.0.remove(&param.id) else { return param };
            param.map(|running| {
                let device = running.device();
                let running = batches.into_iter().fold(running.inner(), |running, batch| {
                    running * (1.0 - RUNNING_MOMENTUM) + batch.reshape([-1]).unsqueeze() * RUNNING_MOMENTUM
                });
                if device.is_autodiff() { Tensor::from_inner(running) } else { running }
            })
        }
    }
    let mut batches: HashMap<ParamId, Vec<Tensor<1>>> = HashMap::new();
    for (id, moment) in statistics.into_iter().flat_map(|s| [s.mean, s.variance]) {
        batches.entry(id).or_default().push(moment);
    }
    module.map(&mut Fold(batches))
}

impl Pass {
    fn new(mode: Mode, draws: Option<Draws>) -> Self {
        Self { mode, running: RefCell::default(), draws, still: Still::default() }
    }

    /// Running statistics; nothing is recorded.
    pub fn evaluate() -> Self {
        Self::new(Mode::Evaluate, None)
    }

    /// Batch statistics, recorded for the running averages.
    pub fn train(draws: Draws) -> Self {
        Self::new(Mode::Train { record: true }, Some(draws))
    }

    /// Batch statistics, not recorded: the first of a chunked step's two passes.
    pub fn rehearse(draws: Draws) -> Self {
        Self::new(Mode::Train { record: false }, Some(draws))
    }

    /// The same, but for these batch norms.
    #[must_use]
    pub fn with(self, still: &Still) -> Self {
        Self { still: still.clone(), ..self }
    }

    /// Running statistics, and random numbers for layers that always draw some, such as masks.
    pub fn evaluate_with(draws: Draws) -> Self {
        Self { draws: Some(draws), ..Self::evaluate() }
    }

    /// A stream of random numbers for each of `rows` rows, of which there is a whole number for each sample, sample by
    /// sample within each round. Every call draws anew.
    ///
    /// # Panics
    /// If the pass was made without draws.
    pub fn draw(&self, rows: usize) -> Vec<StreamRng> {
        self.draws.as_ref().expect("a pass with draws").rows(rows)
    }

    /// Whether this is a training pass: batch statistics, dropped paths.
    pub fn is_training(&self) -> bool {
        self.mode != Mode::Evaluate
    }

    /// What the normalization layers saw, in the order in which they ran.
    pub fn into_statistics(self) -> Vec<BatchStatistics> {
        self.running.into_inner()
    }
}

/// A branch that in training is left out for a share `drop_path` of the samples, and scaled up for the others (Huang et al. 2016,
/// "Deep Networks with Stochastic Depth"): `[batch, ..]` to the same shape.
pub fn drop_path<const D: usize>(branch: Tensor<D>, drop_path: f64, pass: &Pass) -> Tensor<D> {
    if drop_path == 0.0 || !pass.is_training() {
        return branch;
    }
    let (batch, kept) = (branch.dims()[0], 1.0 - drop_path as f32);
    let factor = |mut rng: StreamRng| if rng.chance(kept) { 1.0 / kept } else { 0.0 };
    let factors: Vec<f32> = pass.draw(batch).into_iter().map(factor).collect();
    let mut shape = [1; D];
    shape[0] = batch;
    let factors = Tensor::from_data(TensorData::new(factors, shape), &branch.device());
    branch * factors
}

/// The generator of the initial weights: one stream per parameter, keyed by its name, so that a parameter starts the
/// same whatever else the network holds.
#[derive(Clone, Debug)]
pub struct Init<'a> {
    seed: u64,
    path: String,
    device: &'a Device,
}

impl<'a> Init<'a> {
    /// The root of a network's names.
    pub fn new(seed: u64, name: &str, device: &'a Device) -> Self {
        Self { seed, path: name.into(), device }
    }

    /// The initializer of a part.
    pub fn child(&self, name: impl std::fmt::Display) -> Self {
        Self { path: format!("{}.{name}", self.path), ..self.clone() }
    }

    fn rng(&self, name: &str) -> StreamRng {
        let hash = blake3::hash(format!("{}.{name}", self.path).as_bytes());
        let key = u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("8 of 32 bytes"));
        StreamRng::new(self.seed, Purpose::Init, 0, key, 0)
    }

    fn parameter<const D: usize>(&self, shape: [usize; D], values: impl FnMut() -> f32) -> Param<Tensor<D>> {
        let values = std::iter::repeat_with(values).take(shape.iter().product()).collect::<Vec<_>>();
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    /// Normal with standard deviation `std`.
    pub fn normal<const D: usize>(&self, name: &str, shape: [usize; D], std: f32) -> Param<Tensor<D>> {
        let mut rng = self.rng(name);
        self.parameter(shape, || std * rng.normal())
    }

    /// Uniform in `±bound`.
    pub fn uniform<const D: usize>(&self, name: &str, shape: [usize; D], bound: f32) -> Param<Tensor<D>> {
        let mut rng = self.rng(name);
        self.parameter(shape, || rng.uniform(-bound, bound))
    }

    /// All equal.
    pub fn constant<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.parameter(shape, || value)
    }

    /// Not trained, all equal: running statistics.
    pub fn buffer<const D: usize>(&self, shape: [usize; D], value: f32) -> Param<Tensor<D>> {
        self.constant(shape, value).no_grad()
    }

    /// Not trained: these values, row by row.
    pub fn fixed<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        let param: Param<Tensor<D>> = Param::from_data(TensorData::new(values, shape), self.device);
        param.no_grad()
    }
}

/// Convolution on NHWC maps. Initialized as torchvision's ResNets: normal, `std = √(2 / (positions of the kernel · channels_out))`
/// (He et al. 2015, fan-out).
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[kernel height, kernel width, channels_in, channels_out]`
    pub weight: Param<Tensor<4>>,
    /// `[channels_out]`, where no normalization follows.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    window: Window,
}

impl Conv2d {
    /// A square convolution padded by `kernel / 2`.
    pub fn new(init: &Init, channels: [usize; 2], kernel: usize, stride: usize, bias: bool) -> Self {
        Self::with_window(init, channels, Window::square(kernel, stride, kernel / 2), bias)
    }

    /// A convolution with any window.
    pub fn with_window(init: &Init, channels: [usize; 2], window: Window, bias: bool) -> Self {
        let [channels_in, channels_out] = channels;
        let std = (2.0 / (window.taps() * channels_out) as f32).sqrt();
        Self {
            weight: init.normal("weight", [window.y.kernel, window.x.kernel, channels_in, channels_out], std),
            bias: bias.then(|| init.constant([channels_out], 0.0)),
            window,
        }
    }

    /// A linear map of square patches that do not overlap; PyTorch's default initialization, uniform in `±1/√in`.
    pub fn patches(init: &Init, channels: [usize; 2], patch_size: usize) -> Self {
        Self::patches_of(init, channels, Window::square(patch_size, patch_size, 0))
    }

    /// [`Self::patches`] of any shape.
    pub fn patches_of(init: &Init, [channels, dim]: [usize; 2], window: Window) -> Self {
        let bound = 1.0 / ((window.taps() * channels) as f32).sqrt();
        Self {
            weight: init.uniform("weight", [window.y.kernel, window.x.kernel, channels, dim], bound),
            bias: Some(init.uniform("bias", [dim], bound)),
            window,
        }
    }

    /// [`Self::patches`], with weights that start normal and biases that start at 0.
    pub fn patches_normal(init: &Init, [channels, dim]: [usize; 2], patch_size: usize, std: f32) -> Self {
        Self {
            weight: init.normal("weight", [patch_size, patch_size, channels, dim], std),
            bias: Some(init.constant([dim], 0.0)),
            window: Window::square(patch_size, patch_size, 0),
        }
    }

    /// Lengths of signals after it.
    pub fn lengths(&self, of: &Lengths) -> Lengths {
        of.through(self.window.x)
    }

    /// `[batch, height, width, channels_in]` to `[batch, out_height, out_width, channels_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.bias {
            Some(bias) => ops::conv2d_act(x, self.weight.val(), bias.val(), None, false, self.window),
            None => ops::conv2d(x, self.weight.val(), self.window),
        }
    }
}

/// Which normalization layers a network has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Batch normalization.
    #[default]
    Batch,
    /// Group normalization.
    Group,
    /// None; convolutions and linear layers carry a bias instead.
    None,
}

impl NormKind {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["batch", "group", "none"];
}

/// Normalization over the last axis's channels, of the kind that the plan names.
#[derive(Module, Debug)]
pub struct Norm {
    /// Scale `[channels]`; absent without normalization.
    pub weight: Option<Param<Tensor<1>>>,
    /// Shift `[channels]`.
    pub bias: Option<Param<Tensor<1>>>,
    /// Running mean `[channels]` of a batch norm.
    pub running_mean: Option<Param<Tensor<1>>>,
    /// Running unbiased variance `[channels]` of a batch norm.
    pub running_var: Option<Param<Tensor<1>>>,
}

/// Share of a new batch in the running statistics (PyTorch's default).
pub const RUNNING_MOMENTUM: f64 = 0.1;

/// Groups of a group norm (Wu & He 2018), fewer when the channels do not divide.
const GROUPS: usize = 32;

impl Norm {
    /// A layer of `kind` that starts as `scale · normalized`.
    pub fn new(init: &Init, kind: NormKind, channels: usize, scale: f32) -> Self {
        let some = |on: bool, value| on.then(|| init.constant([channels], value));
        let buffer = |value| (kind == NormKind::Batch).then(|| init.buffer([channels], value));
        Self {
            weight: some(kind != NormKind::None, scale),
            bias: some(kind != NormKind::None, 0.0),
            running_mean: buffer(0.0),
            running_var: buffer(1.0),
        }
    }

    /// `act(norm(x) + residual)` for the output `x` of a linear or convolution layer.
    pub fn act<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>, relu: bool, pass: &Pass) -> Tensor<D> {
        let moments = self.wants_moments(pass).then(|| ops::moments(x.clone()));
        self.act_with(x, moments, residual, relu, pass)
    }

    /// `act(norm(conv(x)) + residual)`: the convolution gathers the moments, or adds and activates, while it writes.
    pub fn conv_act(
        &self,
        conv: &Conv2d,
        x: Tensor<4>,
        residual: Option<Tensor<4>>,
        relu: bool,
        pass: &Pass,
    ) -> Tensor<4> {
        if self.wants_moments(pass) {
            let (y, mean, variance) = ops::conv2d_moments(x, conv.weight.val(), conv.window);
            return self.act_with(y, Some((mean, variance)), residual, relu, pass);
        }
        match &conv.bias {
            Some(bias) => ops::conv2d_act(x, conv.weight.val(), bias.val(), residual, relu, conv.window),
            None => self.act_with(ops::conv2d(x, conv.weight.val(), conv.window), None, residual, relu, pass),
        }
    }

    /// [`Self::conv_act`] of signals, whose lengths after the convolution are these: no statistic sees what comes after their ends,
    /// and there are zeros.
    pub fn conv_act_within(
        &self,
        conv: &Conv2d,
        x: Tensor<4>,
        residual: Option<Tensor<4>>,
        relu: bool,
        lengths: &Lengths,
        pass: &Pass,
    ) -> Tensor<4> {
        if *lengths == Lengths::WHOLE {
            return self.conv_act(conv, x, residual, relu, pass);
        }
        let y = conv.forward(x);
        if self.wants_moments(pass) {
            return match residual {
                None => lengths.on_steps([y], |[y]| self.act(y, None, relu, pass)),
                Some(residual) => {
                    lengths.on_steps([y, residual], |[y, residual]| self.act(y, Some(residual), relu, pass))
                }
            };
        }
        let normalized = match (&self.running_mean, &self.weight, &self.bias) {
            (None, Some(scale), Some(shift)) => {
                plain_act(group_norm(y, scale.val(), shift.val(), lengths), residual, relu)
            }
            _ => self.act(y, residual, relu, pass),
        };
        lengths.zero(normalized)
    }

    /// Folds a batch norm's running statistics, scale and shift into the weight and the bias of the convolution before
    /// it: `scale · conv(x, w) + shift = conv(x, scale · w) + shift`. Other normalizations stay as they are.
    pub fn fold_into(&mut self, conv: &mut Conv2d) {
        let (Some(mean), Some(variance)) = (&self.running_mean, &self.running_var) else { return };
        let (Some(scale), Some(shift)) = (&self.weight, &self.bias) else { return };
        let scale = scale.val() / (variance.val() + NORM_EPSILON).sqrt();
        conv.bias = Some(Param::from_tensor(shift.val() - mean.val() * scale.clone()));
        conv.weight = Param::from_tensor(conv.weight.val() * scale.reshape([1, 1, 1, -1]));
        *self = Self { weight: None, bias: None, running_mean: None, running_var: None };
    }

    fn wants_moments(&self, pass: &Pass) -> bool {
        pass.is_training() && self.running_mean.as_ref().is_some_and(|mean| !pass.still.0.contains(&mean.id))
    }

    fn act_with<const D: usize>(
        &self,
        x: Tensor<D>,
        moments: Option<(Tensor<1>, Tensor<1>)>,
        residual: Option<Tensor<D>>,
        relu: bool,
        pass: &Pass,
    ) -> Tensor<D> {
        let (Some(scale), Some(shift)) = (&self.weight, &self.bias) else {
            return plain_act(x, residual, relu);
        };
        let (scale, shift) = (scale.val(), shift.val());
        let (Some(running_mean), Some(running_var)) = (&self.running_mean, &self.running_var) else {
            return plain_act(group_norm(x, scale, shift, &Lengths::WHOLE), residual, relu);
        };
        match moments {
            Some((mean, variance)) => {
                if pass.mode == (Mode::Train { record: true }) {
                    let channels = mean.dims()[0];
                    let count = (x.shape().num_elements() / channels) as f64;
                    pass.running.borrow_mut().push(BatchStatistics {
                        mean: (running_mean.id, mean.clone().inner()),
                        variance: (running_var.id, variance.clone().inner() * (count / (count - 1.0).max(1.0))),
                    });
                }
                ops::batch_norm_act(x, (mean, variance), scale, shift, residual, relu)
            }
            None => {
                let scale = scale / (running_var.val() + NORM_EPSILON).sqrt();
                let shift = shift - running_mean.val() * scale.clone();
                ops::affine_act(x, scale, shift, residual, relu)
            }
        }
    }
}

fn plain_act<const D: usize>(x: Tensor<D>, residual: Option<Tensor<D>>, relu: bool) -> Tensor<D> {
    let y = match residual {
        Some(residual) => x + residual,
        None => x,
    };
    if relu { burn::tensor::activation::relu(y) } else { y }
}

/// Per sample, over the spatial axes, as far as a signal goes, and the channels of a group.
fn group_norm<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>, lengths: &Lengths) -> Tensor<D> {
    let shape = x.dims();
    let (batch, channels) = (shape[0], shape[D - 1]);
    let groups = (1..=GROUPS.min(channels)).rev().find(|g| channels % g == 0).unwrap_or(1);
    let pixels = x.shape().num_elements() / (batch * channels);
    let grouped = x.reshape([batch, pixels, groups, channels / groups]);
    let mean_of = |values: Tensor<4>| {
        let means = values.mean_dim(3); // [batch, pixels, groups, 1]
        match lengths.cut() {
            None => means.mean_dim(1),
            Some(_) => lengths.mean(means.reshape([batch, 1, pixels, groups])).reshape([batch, 1, groups, 1]),
        }
    };
    let centered = grouped.clone() - mean_of(grouped);
    let variance = mean_of(centered.clone().square());
    let normalized = centered / (variance + NORM_EPSILON).sqrt();
    let mut per_channel = [1; D];
    per_channel[D - 1] = channels;
    normalized.reshape(shape) * scale.reshape(per_channel) + shift.reshape(per_channel)
}

/// Normalization of each row over its last axis (Ba, Kiros & Hinton 2016): `scale · (x − mean) / √(variance + 1e-6) + shift`.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale `[dim]`
    pub weight: Param<Tensor<1>>,
    /// Shift `[dim]`
    pub bias: Param<Tensor<1>>,
}

impl LayerNorm {
    /// A layer that starts as the normalization alone.
    pub fn new(init: &Init, dim: usize) -> Self {
        Self { weight: init.constant([dim], 1.0), bias: init.constant([dim], 0.0) }
    }

    /// `[.., dim]` to the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        ops::layer_norm(x, self.weight.val(), self.bias.val())
    }
}

/// Linear map `x · weight + bias`.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[in, out]`
    pub weight: Param<Tensor<2>>,
    /// `[out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A map from `in` to `out` values; PyTorch's default initialization, uniform in `±1/√in`.
    pub fn new(init: &Init, [input, output]: [usize; 2], bias: bool) -> Self {
        let bound = 1.0 / (input as f32).sqrt();
        Self {
            weight: init.uniform("weight", [input, output], bound),
            bias: bias.then(|| init.uniform("bias", [output], bound)),
        }
    }

    /// A map from `in` to `out` values whose weights start normal and whose bias starts at 0.
    pub fn normal(init: &Init, [input, output]: [usize; 2], std: f32) -> Self {
        Self { weight: init.normal("weight", [input, output], std), bias: Some(init.constant([output], 0.0)) }
    }

    /// `[.., in]` to `[.., out]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.forward_onto(x, None)
    }

    /// [`Self::forward`], added to a residual `[.., out]`.
    pub fn forward_onto<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>) -> Tensor<D> {
        let weight = self.weight.val();
        if let Some(bias) = &self.bias {
            return ops::linear(x, weight, bias.val(), residual);
        }
        let (mut shape, [input, output]) = (x.dims(), weight.dims());
        let rows = shape.iter().product::<usize>() / input;
        shape[D - 1] = output;
        plain_act(ops::matmul(x.reshape([rows, input]), weight).reshape(shape), residual, false)
    }

    /// Weight and bias.
    ///
    /// # Panics
    /// If it has no bias.
    pub fn parts(&self) -> (Tensor<2>, Tensor<1>) {
        (self.weight.val(), self.bias.as_ref().expect("a map with a bias").val())
    }
}

/// A gated recurrent unit (Cho et al. 2014), in PyTorch's convention and initialization: uniform in `±1/√width`.
#[derive(Module, Debug)]
pub struct Gru {
    /// Of what comes in, `[in, 3 · width]`: reset gate, update gate, new state.
    input: Linear,
    /// Of the state, `[width, 3 · width]`.
    hidden: Linear,
}

impl Gru {
    /// A unit with a state of `width` values.
    pub fn new(init: &Init, [input, width]: [usize; 2]) -> Self {
        let bound = 1.0 / (width as f32).sqrt();
        let map = |name: &str, rows: usize| {
            let init = init.child(name);
            Linear {
                weight: init.uniform("weight", [rows, 3 * width], bound),
                bias: Some(init.uniform("bias", [3 * width], bound)),
            }
        };
        Self { input: map("input", input), hidden: map("hidden", width) }
    }

    /// The states after each step, from a state of zeros: `[batch, steps, in]` to `[batch, steps, width]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let (weight, bias) = self.hidden.parts();
        ops::gru(self.input.forward(x), weight, bias)
    }
}
