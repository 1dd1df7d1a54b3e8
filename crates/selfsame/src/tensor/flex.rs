//! The CPU device: `selfsame-kernels` under [`EncoderOps`], forward and hand-written backward.
//!
//! Results lie in pooled memory. A backward pass writes into its operands where it holds the only handle to them: the
//! gradient of a normalization replaces the convolution's output, which nothing else needs any more.

use super::ops::{EncoderOps, NORM_EPSILON, Residual, Window};
use super::{pooled, transformer};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use selfsame_kernels::InOut;
use selfsame_kernels::conv::{self, Activate, ChannelMoments, Conv2d, Epilogue};
use selfsame_kernels::matmul::{self, Matrix};
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::norm::{self, Activation, Normalization, OutputGradient};
use selfsame_kernels::pool::{self, MaxPool};
use std::sync::Arc;

/// A tensor that takes part in a graph.
pub(super) type Tracked = FloatTensor<Autodiff<Flex>>;

/// One bit an element: whether the ReLU let it through.
type Mask = Pooled<u16>;

/// The tensor with its values in one run.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

/// The values of a [`contiguous`] tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous before")
}

/// The values, when this is the only handle to them.
fn exclusive(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let whole = tensor.bytes().len() == size_of_val(values(tensor));
    if whole { tensor.try_storage_mut() } else { None }
}

pub(super) fn channels(tensor: &FlexTensor) -> usize {
    let shape = tensor.shape();
    shape[shape.num_dims() - 1]
}

fn conv_shape([batch, height, width, channels_in]: [usize; 4], channels_out: usize, window: Window) -> Conv2d {
    let Window { kernel, stride, padding } = window;
    Conv2d { batch, height, width, channels_in, channels_out, kernel, stride, padding }
}

fn convolve(x: &FlexTensor, weight: &FlexTensor, window: Window, epilogue: Epilogue) -> FlexTensor {
    let shape = conv_shape(x.shape().dims(), channels(weight), window);
    let mut y = Buffer::for_overwrite(shape.output_len());
    conv::forward(&shape, values(x), values(weight), &mut y, epilogue);
    pooled::tensor(y, [shape.batch, shape.out_height(), shape.out_width(), shape.channels_out])
}

/// A vector `[channels]`.
fn vector(of: &[f64]) -> FlexTensor {
    pooled::tensor(Buffer::from(&*of.iter().map(|&v| v as f32).collect::<Vec<_>>()), [of.len()])
}

impl EncoderOps for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, window: Window) -> FlexTensor {
        convolve(&contiguous(x), &contiguous(weight), window, Epilogue::None)
    }

    fn convolution_act(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
        window: Window,
    ) -> FlexTensor {
        let (bias, residual) = (contiguous(bias), contiguous_residual(residual));
        let activate = Activate { bias: values(&bias), residual: residual.as_ref().map(values), relu };
        convolve(&contiguous(x), &contiguous(weight), window, Epilogue::Activate(activate))
    }

    fn convolution_moments(x: FlexTensor, weight: FlexTensor, window: Window) -> (FlexTensor, FlexTensor, FlexTensor) {
        let mut moments = ChannelMoments::new(channels(&weight));
        let y = convolve(&contiguous(x), &contiguous(weight), window, Epilogue::Moments(&mut moments));
        (y, vector(moments.mean()), vector(moments.variance()))
    }

    fn moments(x: FlexTensor) -> (FlexTensor, FlexTensor) {
        let moments = ChannelMoments::of(values(&contiguous(x.clone())), channels(&x));
        (vector(moments.mean()), vector(moments.variance()))
    }

    fn batch_norm_act(
        x: FlexTensor,
        mean: FlexTensor,
        variance: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
    ) -> FlexTensor {
        let activation = if relu { Activation::Relu } else { Activation::Identity };
        normalize(&contiguous(x), [&mean, &variance, &scale, &shift], residual, activation)
    }

    fn affine_act(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
    ) -> FlexTensor {
        let (mut x, residual) = (contiguous(x), contiguous_residual(residual));
        let (scale, shift, residual) = (values(&scale), values(&shift), residual.as_ref().map(values));
        let activation = if relu { Activation::Relu } else { Activation::Identity };
        if let Some(in_place) = exclusive(&mut x) {
            norm::scale_shift(InOut::InPlace(in_place), scale, shift, residual, activation);
            return x;
        }
        let mut y = Buffer::for_overwrite(values(&x).len());
        norm::scale_shift(InOut::Apart(values(&x), &mut y), scale, shift, residual, activation);
        pooled::tensor(y, x.shape())
    }

    fn max_pool(x: FlexTensor, window: Window) -> FlexTensor {
        max_pool(&contiguous(x), window).0
    }

    fn matrix_product(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        product(matrix(&contiguous(a)), matrix(&contiguous(b)))
    }

    fn mean_pool(x: FlexTensor) -> FlexTensor {
        let [batch, _, _, channels] = x.shape().dims();
        let mut y = Buffer::for_overwrite(batch * channels);
        pool::global_average_pool(values(&contiguous(x)), channels, &mut y);
        pooled::tensor(y, [batch, channels])
    }

    fn layer_norm(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        transformer::layer_norm(&contiguous(x), &scale, &shift)
    }

    fn linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, residual: Residual<Self>) -> FlexTensor {
        transformer::linear(&contiguous(x), &contiguous(weight), &bias, contiguous_residual(residual).as_ref())
    }

    fn mlp(
        x: FlexTensor,
        w1: FlexTensor,
        b1: FlexTensor,
        w2: FlexTensor,
        b2: FlexTensor,
        residual: Residual<Self>,
    ) -> FlexTensor {
        let (hidden, _) = transformer::hidden(&contiguous(x), &contiguous(w1), &b1, false);
        transformer::linear(&hidden, &contiguous(w2), &b2, contiguous_residual(residual).as_ref())
    }

    fn attention(qkv: FlexTensor, heads: usize) -> FlexTensor {
        transformer::attention(&contiguous(qkv), heads).0
    }
}

/// A [`contiguous`] tensor of two axes.
fn matrix(tensor: &FlexTensor) -> Matrix<'_> {
    Matrix::new(values(tensor), tensor.shape().dims())
}

pub(super) fn product(a: Matrix, b: Matrix) -> FlexTensor {
    let shape = [a.shape()[0], b.shape()[1]];
    let mut y = Buffer::for_overwrite(shape[0] * shape[1]);
    matmul::matmul(a, b, &mut y);
    pooled::tensor(y, shape)
}

fn contiguous_residual(residual: Residual<Flex>) -> Option<FlexTensor> {
    match residual {
        Residual::None => None,
        Residual::Add(tensor) => Some(contiguous(tensor)),
    }
}

fn normalization<'a>(moments: &'a ChannelMoments, scale: &'a FlexTensor, shift: &'a FlexTensor) -> Normalization<'a> {
    Normalization { moments, gamma: Some(values(scale)), beta: Some(values(shift)), epsilon: NORM_EPSILON }
}

fn normalize(
    x: &FlexTensor,
    [mean, variance, scale, shift]: [&FlexTensor; 4],
    residual: Residual<Flex>,
    activation: Activation,
) -> FlexTensor {
    let residual = contiguous_residual(residual);
    let moments = ChannelMoments::given(values(mean), values(variance));
    let mut y = Buffer::for_overwrite(values(x).len());
    norm::normalize(
        values(x),
        normalization(&moments, scale, shift),
        residual.as_ref().map(values),
        activation,
        &mut y,
    );
    pooled::tensor(y, x.shape())
}

fn pool_shape([batch, height, width, channels]: [usize; 4], window: Window) -> MaxPool {
    let Window { kernel, stride, padding } = window;
    MaxPool { batch, height, width, channels, kernel, stride, padding }
}

fn max_pool(x: &FlexTensor, window: Window) -> (FlexTensor, Pooled<u8>) {
    let shape = pool_shape(x.shape().dims(), window);
    let [height, width] = shape.output_size();
    let outputs = shape.batch * height * width * shape.channels;
    let (mut y, mut argmax) = (Buffer::for_overwrite(outputs), Pooled::for_overwrite(outputs));
    shape.forward(values(x), &mut y, &mut argmax);
    (pooled::tensor(y, [shape.batch, height, width, shape.channels]), argmax)
}

impl<C: CheckpointStrategy> EncoderOps for Autodiff<Flex, C> {
    fn convolution(x: Tracked, weight: Tracked, window: Window) -> Tracked {
        differentiable_convolution::<C>(x, weight, window, Epilogue::None)
    }

    fn convolution_act(
        x: Tracked,
        weight: Tracked,
        bias: Tracked,
        residual: Residual<Self>,
        relu: bool,
        window: Window,
    ) -> Tracked {
        let (mut y, y_node) = differentiable_convolution::<C>(x, weight, window, Epilogue::None).into_parts();
        let (bias, bias_node) = bias.into_parts();
        let (residual, residual_node) = match residual {
            Residual::None => (None, None),
            Residual::Add(residual) => {
                let (residual, node) = residual.into_parts();
                (Some(contiguous(residual)), Some(node))
            }
        };
        let mut mask = Mask::for_overwrite(if relu { norm::mask_words(values(&y).len()) } else { 0 });
        let activation = if relu { Activation::ReluMask(&mut mask) } else { Activation::Identity };
        let in_place = InOut::InPlace(exclusive(&mut y).expect("the convolution keeps its operands only"));
        norm::add_bias(in_place, values(&contiguous(bias)), residual.as_ref().map(values), activation);
        let state = relu.then(|| Arc::new(mask));
        match residual_node {
            None => match BiasActBackward.prepare::<C>([y_node, bias_node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(state, y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            },
            Some(residual_node) => {
                let nodes = [y_node, bias_node, residual_node];
                match BiasActBackward.prepare::<C>(nodes).compute_bound().stateful() {
                    OpsKind::Tracked(prep) => prep.finish(state, y),
                    OpsKind::UnTracked(prep) => prep.finish(y),
                }
            }
        }
    }

    fn convolution_moments(x: Tracked, weight: Tracked, window: Window) -> (Tracked, Tracked, Tracked) {
        let mut moments = ChannelMoments::new(channels(weight.primitive()));
        let y = differentiable_convolution::<C>(x, weight, window, Epilogue::Moments(&mut moments));
        // Constants here: the normalization's backward pass accounts for the path through the moments.
        let constant = |of: &[f64]| Tracked::new(vector(of));
        (y, constant(moments.mean()), constant(moments.variance()))
    }

    fn moments(x: Tracked) -> (Tracked, Tracked) {
        let (mean, variance) = Flex::moments(x.into_primitive());
        (Tracked::new(mean), Tracked::new(variance))
    }

    fn batch_norm_act(
        x: Tracked,
        mean: Tracked,
        variance: Tracked,
        scale: Tracked,
        shift: Tracked,
        residual: Residual<Self>,
        relu: bool,
    ) -> Tracked {
        let ((x, x_node), (scale, scale_node)) = (x.into_parts(), scale.into_parts());
        let (shift, shift_node) = shift.into_parts();
        let (mean, variance) = (mean.into_primitive(), variance.into_primitive());
        let x = contiguous(x);
        let mut mask = Mask::for_overwrite(if relu { norm::mask_words(values(&x).len()) } else { 0 });
        let activation = if relu { Activation::ReluMask(&mut mask) } else { Activation::Identity };
        let parameters = [&mean, &variance, &scale, &shift];
        let (y, residual_node) = match residual {
            Residual::None => (normalize(&x, parameters, Residual::None, activation), None),
            Residual::Add(residual) => {
                let (residual, node) = residual.into_parts();
                (normalize(&x, parameters, Residual::Add(residual), activation), Some(node))
            }
        };
        let state = BatchNormState { x, mean, variance, scale, shift, mask: relu.then(|| Arc::new(mask)) };
        match residual_node {
            None => match BatchNormBackward.prepare::<C>([x_node, scale_node, shift_node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish(state, y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            },
            Some(residual_node) => {
                let nodes = [x_node, scale_node, shift_node, residual_node];
                match BatchNormBackward.prepare::<C>(nodes).compute_bound().stateful() {
                    OpsKind::Tracked(prep) => prep.finish(state, y),
                    OpsKind::UnTracked(prep) => prep.finish(y),
                }
            }
        }
    }

    fn max_pool(x: Tracked, window: Window) -> Tracked {
        let (x, node) = x.into_parts();
        let x = contiguous(x);
        let shape = x.shape().dims();
        let (y, argmax) = max_pool(&x, window);
        match MaxPoolBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((pool_shape(shape, window), Arc::new(argmax)), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn matrix_product(a: Tracked, b: Tracked) -> Tracked {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let (a, b) = (contiguous(a), contiguous(b));
        let y = product(matrix(&a), matrix(&b));
        match ProductBackward.prepare::<C>([a_node, b_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((a, b), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn mean_pool(x: Tracked) -> Tracked {
        let (x, node) = x.into_parts();
        let shape = x.shape().dims();
        let y = Flex::mean_pool(x);
        match MeanPoolBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(shape, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn layer_norm(x: Tracked, scale: Tracked, shift: Tracked) -> Tracked {
        transformer::tracked_layer_norm::<C>(x, scale, shift)
    }

    fn linear(x: Tracked, weight: Tracked, bias: Tracked, residual: Residual<Self>) -> Tracked {
        transformer::tracked_linear::<C>(x, weight, bias, tracked_residual(residual))
    }

    fn mlp(x: Tracked, w1: Tracked, b1: Tracked, w2: Tracked, b2: Tracked, residual: Residual<Self>) -> Tracked {
        transformer::tracked_mlp::<C>([x, w1, b1, w2, b2], tracked_residual(residual))
    }

    fn attention(qkv: Tracked, heads: usize) -> Tracked {
        transformer::tracked_attention::<C>(qkv, heads)
    }
}

fn tracked_residual<C: CheckpointStrategy>(residual: Residual<Autodiff<Flex, C>>) -> Option<Tracked> {
    match residual {
        Residual::None => None,
        Residual::Add(residual) => Some(residual),
    }
}

fn differentiable_convolution<C: CheckpointStrategy>(
    x: Tracked,
    weight: Tracked,
    window: Window,
    epilogue: Epilogue,
) -> Tracked {
    let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
    let (x, weight) = (contiguous(x), contiguous(weight));
    let y = convolve(&x, &weight, window, epilogue);
    match ConvolutionBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((x, weight, window), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// Hands each gradient to the node that wants it.
pub(super) fn register<const N: usize>(grads: &mut Gradients, nodes: [Option<NodeId>; N], gradients: [FlexTensor; N]) {
    for (node, gradient) in nodes.into_iter().zip(gradients) {
        if let Some(node) = node {
            grads.register::<Flex>(node, gradient);
        }
    }
}

#[derive(Debug)]
struct ConvolutionBackward;

impl Backward<Flex, 2> for ConvolutionBackward {
    type State = (FlexTensor, FlexTensor, Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, weight, window) = ops.state;
        let [x_node, weight_node] = ops.parents;
        let shape = conv_shape(x.shape().dims(), channels(&weight), window);
        if let Some(node) = weight_node {
            let mut dw = Buffer::for_overwrite(shape.weight_len());
            conv::weight_grad(&shape, values(&x), values(&dy), &mut dw);
            grads.register::<Flex>(node.id, pooled::tensor(dw, weight.shape()));
        }
        if let Some(node) = x_node {
            let mut dx = Buffer::for_overwrite(shape.input_len());
            conv::input_grad(&shape, values(&dy), values(&weight), &mut dx, false);
            grads.register::<Flex>(node.id, pooled::tensor(dx, x.shape()));
        }
    }
}

#[derive(Clone, Debug)]
struct BatchNormState {
    x: FlexTensor,
    mean: FlexTensor,
    variance: FlexTensor,
    scale: FlexTensor,
    shift: FlexTensor,
    mask: Option<Arc<Mask>>,
}

#[derive(Debug)]
struct BatchNormBackward;

/// Gradients of a normalization: of its input, its scale, its shift and, when it is wanted, its residual.
fn batch_norm_backward(
    state: BatchNormState,
    dy: FlexTensor,
    with_residual: bool,
) -> ([FlexTensor; 3], Option<FlexTensor>) {
    let BatchNormState { mut x, mean, variance, scale, shift, mask } = state;
    let (mut dy, shape, channels) = (contiguous(dy), x.shape(), channels(&x));
    let elements = values(&x).len();
    let (mut dgamma, mut dbeta) = (Buffer::for_overwrite(channels), Buffer::for_overwrite(channels));

    // Without a ReLU the residual's gradient is the incoming one as it stands.
    let shared = (with_residual && mask.is_none()).then(|| dy.clone());
    let mask = mask.as_ref().map(|mask| &mask[..]);
    let masked = with_residual && mask.is_some();
    let mut apart = None;
    let gradient = match (masked, exclusive(&mut dy).is_some()) {
        (false, _) => OutputGradient::Read(values(&dy)),
        (true, true) => OutputGradient::Mask(exclusive(&mut dy).expect("just seen")),
        (true, false) => OutputGradient::Write(values(&dy), apart.insert(Buffer::for_overwrite(elements))),
    };
    let moments = ChannelMoments::given(values(&mean), values(&variance));
    let parameters = normalization(&moments, &scale, &shift);
    let dx = match exclusive(&mut x) {
        Some(in_place) => {
            norm::normalize_backward(InOut::InPlace(in_place), parameters, gradient, mask, &mut dgamma, &mut dbeta);
            x
        }
        None => {
            let mut dx = Buffer::for_overwrite(elements);
            let operand = InOut::Apart(values(&x), &mut dx);
            norm::normalize_backward(operand, parameters, gradient, mask, &mut dgamma, &mut dbeta);
            pooled::tensor(dx, shape.clone())
        }
    };
    let residual = match apart {
        Some(buffer) => Some(pooled::tensor(buffer, shape)),
        None if masked => Some(dy),
        None => shared,
    };
    ([dx, pooled::tensor(dgamma, [channels]), pooled::tensor(dbeta, [channels])], residual)
}

impl Backward<Flex, 3> for BatchNormBackward {
    type State = BatchNormState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let (gradients, _) = batch_norm_backward(ops.state, dy, false);
        register(grads, ops.parents.map(|node| Some(node?.id)), gradients);
    }
}

impl Backward<Flex, 4> for BatchNormBackward {
    type State = BatchNormState;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = grads.consume::<Flex>(&ops.node);
        let [x, scale, shift, residual_node] = ops.parents;
        let (gradients, residual) = batch_norm_backward(ops.state, dy, residual_node.is_some());
        register(grads, [x, scale, shift].map(|node| Some(node?.id)), gradients);
        if let (Some(node), Some(residual)) = (residual_node, residual) {
            grads.register::<Flex>(node.id, residual);
        }
    }
}

/// Bias, residual and ReLU; the state is the ReLU's mask.
#[derive(Debug)]
struct BiasActBackward;

/// The masked gradient, which is that of the input and of the residual, and the gradient of the bias.
fn bias_act_backward(mask: Option<&Mask>, dy: FlexTensor) -> (FlexTensor, FlexTensor) {
    let mut dy = contiguous(dy);
    let channels = channels(&dy);
    let mut dbias = Buffer::for_overwrite(channels);
    let mask = mask.map(|mask| &mask[..]);
    let masked = match (mask, exclusive(&mut dy)) {
        (None, _) => {
            norm::add_bias_backward(OutputGradient::Read(values(&dy)), None, &mut dbias);
            dy
        }
        (_, Some(in_place)) => {
            norm::add_bias_backward(OutputGradient::Mask(in_place), mask, &mut dbias);
            dy
        }
        (_, None) => {
            let mut masked = Buffer::for_overwrite(values(&dy).len());
            norm::add_bias_backward(OutputGradient::Write(values(&dy), &mut masked), mask, &mut dbias);
            pooled::tensor(masked, dy.shape())
        }
    };
    (masked, pooled::tensor(dbias, [channels]))
}

impl Backward<Flex, 2> for BiasActBackward {
    type State = Option<Arc<Mask>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (gradient, dbias) = bias_act_backward(ops.state.as_deref(), grads.consume::<Flex>(&ops.node));
        register(grads, ops.parents.map(|node| Some(node?.id)), [gradient, dbias]);
    }
}

impl Backward<Flex, 3> for BiasActBackward {
    type State = Option<Arc<Mask>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (gradient, dbias) = bias_act_backward(ops.state.as_deref(), grads.consume::<Flex>(&ops.node));
        register(grads, ops.parents.map(|node| Some(node?.id)), [gradient.clone(), dbias, gradient]);
    }
}

#[derive(Debug)]
struct ProductBackward;

impl Backward<Flex, 2> for ProductBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let ((a, b), [a_node, b_node]) = (ops.state, ops.parents);
        if let Some(node) = a_node {
            grads.register::<Flex>(node.id, product(matrix(&dy), matrix(&b).transposed()));
        }
        if let Some(node) = b_node {
            grads.register::<Flex>(node.id, product(matrix(&a).transposed(), matrix(&dy)));
        }
    }
}

#[derive(Debug)]
struct MaxPoolBackward;

impl Backward<Flex, 1> for MaxPoolBackward {
    type State = (MaxPool, Arc<Pooled<u8>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let ([node], (shape, argmax)) = (ops.parents, ops.state);
        let Some(node) = node else { return };
        let MaxPool { batch, height, width, channels, .. } = shape;
        let mut dx = Buffer::for_overwrite(batch * height * width * channels);
        shape.backward(values(&dy), &argmax, &mut dx);
        grads.register::<Flex>(node.id, pooled::tensor(dx, [batch, height, width, channels]));
    }
}

#[derive(Debug)]
struct MeanPoolBackward;

impl Backward<Flex, 1> for MeanPoolBackward {
    type State = [usize; 4];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let ([node], shape) = (ops.parents, ops.state);
        let Some(node) = node else { return };
        let mut dx = Buffer::for_overwrite(shape.iter().product());
        pool::global_average_pool_backward(values(&dy), shape[3], &mut dx);
        grads.register::<Flex>(node.id, pooled::tensor(dx, shape));
    }
}

#[cfg(test)]
mod tests {
    use super::super::ops::portable;
    use super::*;
    use burn::backend::AutodiffBackend;
    use burn::backend::ops::FloatTensorOps;
    use burn::backend::tensor::Device;
    use burn::tensor::{Shape, TensorData};
    use selfsame_base::rng::{Purpose, StreamRng};

    type Ours = Autodiff<Flex>;

    fn tensor(stream: u64, shape: &[usize]) -> Tracked {
        let mut rng = StreamRng::new(0, Purpose::Survey, stream, 0, 0);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        let device: Device<Ours> = Default::default();
        Ours::float_from_data(TensorData::new(values, Shape::from(shape.to_vec())), &device)
    }

    fn floats(tensor: FlexTensor) -> Vec<f32> {
        values(&contiguous(tensor)).to_vec()
    }

    /// Value of `operation`, and the gradients of a weighted sum of it with respect to every input.
    fn run(shapes: &[&[usize]], operation: &dyn Fn(&[Tracked]) -> Tracked) -> Vec<Vec<f32>> {
        let inputs: Vec<Tracked> = (1..)
            .zip(shapes)
            .map(|(stream, shape)| Ours::float_set_require_grad(tensor(stream, shape), true))
            .collect();
        let y = operation(&inputs);
        let shape = y.shape();
        let loss = Ours::float_sum(Ours::float_mul(y.clone(), tensor(0, &shape)));
        let gradients = Ours::backward(loss);
        let of_inputs = inputs.iter().map(|x| floats(Ours::grad(x, &gradients).expect("a gradient")));
        std::iter::once(floats(y.into_primitive())).chain(of_inputs).collect()
    }

    fn agree(
        name: &str,
        shapes: &[&[usize]],
        ours: &dyn Fn(&[Tracked]) -> Tracked,
        theirs: &dyn Fn(&[Tracked]) -> Tracked,
    ) {
        for (index, (ours, theirs)) in run(shapes, ours).iter().zip(run(shapes, theirs)).enumerate() {
            let largest = theirs.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let worst = ours.iter().zip(&theirs).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(ours.len() == theirs.len() && largest > 0.0, "{name}: {index}");
            assert!(worst <= 1e-4 * largest, "{name}, {index}: off by {worst:e} of {largest:e}");
        }
    }

    #[test]
    fn kernels_agree_with_the_tensor_library() {
        let (x, window): (&[usize], _) = (&[3, 7, 6, 16], Window { kernel: 3, stride: 1, padding: 1 });
        let (weight, y, channels): (&[usize], &[usize], &[usize]) = (&[3, 3, 16, 20], &[3, 7, 6, 20], &[20]);
        agree("convolution", &[x, weight], &|t| Ours::convolution(t[0].clone(), t[1].clone(), window), &|t| {
            portable::conv2d::<Ours>(t[0].clone(), t[1].clone(), window)
        });
        for relu in [false, true] {
            for with_residual in [false, true] {
                let residual = |t: &Tracked| if with_residual { Residual::Add(t.clone()) } else { Residual::None };
                let shapes: &[&[usize]] = &[x, weight, channels, y];
                let shapes = if with_residual { shapes } else { &shapes[..3] };
                let last = shapes.len() - 1;
                agree(
                    "convolution_act",
                    shapes,
                    &|t| {
                        Ours::convolution_act(
                            t[0].clone(),
                            t[1].clone(),
                            t[2].clone(),
                            residual(&t[last]),
                            relu,
                            window,
                        )
                    },
                    &|t| {
                        let y = portable::conv2d::<Ours>(t[0].clone(), t[1].clone(), window);
                        portable::bias_act::<Ours>(y, t[2].clone(), residual(&t[last]), relu)
                    },
                );
                let shapes: &[&[usize]] = &[y, channels, channels, y];
                let shapes = if with_residual { shapes } else { &shapes[..3] };
                let last = shapes.len() - 1;
                agree(
                    "batch_norm_act",
                    shapes,
                    &|t| {
                        let (mean, variance) = Ours::moments(t[0].clone());
                        let (scale, shift) = (t[1].clone(), t[2].clone());
                        Ours::batch_norm_act(t[0].clone(), mean, variance, scale, shift, residual(&t[last]), relu)
                    },
                    &|t| {
                        let (mean, variance) = portable::moments::<Ours>(t[0].clone());
                        let (scale, shift) = (t[1].clone(), t[2].clone());
                        portable::batch_norm_act::<Ours>(
                            t[0].clone(),
                            mean,
                            variance,
                            scale,
                            shift,
                            residual(&t[last]),
                            relu,
                        )
                    },
                );
            }
        }
        let pooling = Window { kernel: 3, stride: 2, padding: 1 };
        agree("max_pool", &[x], &|t| Ours::max_pool(t[0].clone(), pooling), &|t| {
            portable::max_pool::<Ours>(t[0].clone(), pooling)
        });
        agree("mean_pool", &[x], &|t| Ours::mean_pool(t[0].clone()), &|t| portable::mean_pool::<Ours>(t[0].clone()));
        let (tokens, dim, wide): (&[usize], &[usize], &[usize]) = (&[2, 5, 12], &[12], &[12, 20]);
        agree(
            "layer_norm",
            &[tokens, dim, dim],
            &|t| Ours::layer_norm(t[0].clone(), t[1].clone(), t[2].clone()),
            &|t| portable::layer_norm::<Ours>(t[0].clone(), t[1].clone(), t[2].clone()),
        );
        for with_residual in [false, true] {
            let residual = |t: Option<&Tracked>| t.map_or(Residual::None, |t| Residual::Add(t.clone()));
            let shapes: &[&[usize]] = &[tokens, wide, &[20], &[2, 5, 20]];
            agree(
                "linear",
                &shapes[..3 + usize::from(with_residual)],
                &|t| Ours::linear(t[0].clone(), t[1].clone(), t[2].clone(), residual(t.get(3))),
                &|t| portable::linear::<Ours>(t[0].clone(), t[1].clone(), t[2].clone(), residual(t.get(3))),
            );
            let shapes: &[&[usize]] = &[tokens, wide, &[20], &[20, 12], dim, tokens];
            let mlp = [Ours::mlp, portable::mlp::<Ours>];
            let [ours, theirs] = mlp.map(|mlp: fn(_, _, _, _, _, _) -> _| {
                move |t: &[Tracked]| {
                    let residual = residual(t.get(5));
                    mlp(t[0].clone(), t[1].clone(), t[2].clone(), t[3].clone(), t[4].clone(), residual)
                }
            });
            agree("mlp", &shapes[..5 + usize::from(with_residual)], &ours, &theirs);
        }
        agree("attention", &[&[2, 5, 36]], &|t| Ours::attention(t[0].clone(), 3), &|t| {
            portable::attention::<Ours>(t[0].clone(), 3)
        });
        agree("matrix_product", &[&[9, 33], &[33, 20]], &|t| Ours::matrix_product(t[0].clone(), t[1].clone()), &|t| {
            Ours::float_matmul(t[0].clone(), t[1].clone())
        });
    }
}
