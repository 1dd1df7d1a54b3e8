//! The CPU device's operations of transformers, forward and hand-written backward; see `flex.rs`.

use super::flex::{Tracked, channels, contiguous, product, register, values};
use super::ops::LAYER_NORM_EPSILON;
use super::pooled;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use selfsame_kernels::attention::Attention;
use selfsame_kernels::layer_norm;
use selfsame_kernels::linear;
use selfsame_kernels::matmul::Matrix;
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::norm::{self, OutputGradient};
use std::sync::Arc;

/// A contiguous tensor as a matrix of its last axis.
fn rows(tensor: &FlexTensor) -> Matrix<'_> {
    let columns = channels(tensor);
    Matrix::new(values(tensor), [values(tensor).len() / columns, columns])
}

/// The shape of `x` with another last axis.
fn with_channels(x: &FlexTensor, channels: usize) -> Shape {
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = channels;
    shape
}

pub fn layer_norm(x: &FlexTensor, scale: &FlexTensor, shift: &FlexTensor) -> FlexTensor {
    let mut y = Buffer::for_overwrite(values(x).len());
    layer_norm::layer_norm(values(x), values(scale), values(shift), LAYER_NORM_EPSILON, &mut y);
    pooled::tensor(y, x.shape())
}

pub fn linear(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor, residual: Option<&FlexTensor>) -> FlexTensor {
    let (x_rows, columns) = (rows(x), channels(weight));
    let mut y = Buffer::for_overwrite(x_rows.shape()[0] * columns);
    linear::linear(x_rows, rows(weight), values(bias), residual.map(values), &mut y);
    pooled::tensor(y, with_channels(x, columns))
}

/// `gelu(x · weight + bias)`, and the slope of the GELU when it is wanted.
pub fn hidden(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: &FlexTensor,
    with_slope: bool,
) -> (FlexTensor, Option<Pooled<f32>>) {
    let (x_rows, columns) = (rows(x), channels(weight));
    let elements = x_rows.shape()[0] * columns;
    let (mut y, mut slope) = (Buffer::for_overwrite(elements), with_slope.then(|| Pooled::for_overwrite(elements)));
    linear::linear_gelu(x_rows, rows(weight), values(bias), slope.as_deref_mut(), &mut y);
    (pooled::tensor(y, with_channels(x, columns)), slope)
}

fn attention_shape(qkv: &FlexTensor, heads: usize) -> Attention {
    let [batch, tokens, packed] = qkv.shape().dims();
    Attention { batch, tokens, heads, width: packed / 3 / heads }
}

/// The result, and the probabilities.
pub fn attention(qkv: &FlexTensor, heads: usize) -> (FlexTensor, Pooled<f32>) {
    let shape = attention_shape(qkv, heads);
    let mut y = Buffer::for_overwrite(shape.output_len());
    let mut probabilities = Pooled::for_overwrite(shape.probabilities_len());
    shape.forward(values(qkv), &mut y, &mut probabilities);
    (pooled::tensor(y, [shape.batch, shape.tokens, heads * shape.width]), probabilities)
}

pub fn tracked_layer_norm<C: CheckpointStrategy>(x: Tracked, scale: Tracked, shift: Tracked) -> Tracked {
    let ((x, x_node), (scale, scale_node), (shift, shift_node)) =
        (x.into_parts(), scale.into_parts(), shift.into_parts());
    let x = contiguous(x);
    let y = layer_norm(&x, &scale, &shift);
    match LayerNormBackward.prepare::<C>([x_node, scale_node, shift_node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((x, scale), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

pub fn tracked_linear<C: CheckpointStrategy>(
    x: Tracked,
    weight: Tracked,
    bias: Tracked,
    residual: Option<Tracked>,
) -> Tracked {
    let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
        (x.into_parts(), weight.into_parts(), bias.into_parts());
    let (x, weight) = (contiguous(x), contiguous(weight));
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let y = linear(&x, &weight, &bias, residual.map(contiguous).as_ref());
    let nodes = [x_node, weight_node, bias_node];
    match residual_node {
        None => match LinearBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        },
        Some(node) => {
            let [x_node, weight_node, bias_node] = nodes;
            match LinearBackward.prepare::<C>([x_node, weight_node, bias_node, node]).compute_bound().stateful() {
                OpsKind::Tracked(prep) => prep.finish((x, weight), y),
                OpsKind::UnTracked(prep) => prep.finish(y),
            }
        }
    }
}

pub fn tracked_mlp<C: CheckpointStrategy>(operands: [Tracked; 5], residual: Option<Tracked>) -> Tracked {
    let [(x, n0), (w1, n1), (b1, n2), (w2, n3), (b2, n4)] = operands.map(Tracked::into_parts);
    let [x, w1, w2] = [x, w1, w2].map(contiguous);
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let (hidden, slope) = hidden(&x, &w1, &b1, true);
    let y = linear(&hidden, &w2, &b2, residual.map(contiguous).as_ref());
    let state = MlpState { x, w1, w2, hidden, slope: Arc::new(slope.expect("asked for")) };
    match residual_node {
        None => match MlpBackward.prepare::<C>([n0, n1, n2, n3, n4]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        },
        Some(node) => match MlpBackward.prepare::<C>([n0, n1, n2, n3, n4, node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(state, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        },
    }
}

pub fn tracked_attention<C: CheckpointStrategy>(qkv: Tracked, heads: usize) -> Tracked {
    let (qkv, node) = qkv.into_parts();
    let qkv = contiguous(qkv);
    let (y, probabilities) = attention(&qkv, heads);
    match AttentionBackward.prepare::<C>([node]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish((qkv, Arc::new(probabilities), heads), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// The gradient of a bias.
fn column_sums(dy: &FlexTensor) -> FlexTensor {
    let mut sums = Buffer::for_overwrite(channels(dy));
    norm::add_bias_backward(OutputGradient::Read(values(dy)), None, &mut sums);
    pooled::tensor(sums, [channels(dy)])
}

/// `a · b` with the leading axes of `like`.
fn product_like(a: Matrix, b: Matrix, like: &FlexTensor) -> FlexTensor {
    let mut y = Buffer::for_overwrite(a.shape()[0] * b.shape()[1]);
    selfsame_kernels::matmul::matmul(a, b, &mut y);
    pooled::tensor(y, with_channels(like, b.shape()[1]))
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let (x, scale) = ops.state;
        let dim = channels(&x);
        let mut dx = Buffer::for_overwrite(values(&x).len());
        let (mut dscale, mut dshift) = (Buffer::for_overwrite(dim), Buffer::for_overwrite(dim));
        let (x_values, scale) = (values(&x), values(&scale));
        layer_norm::layer_norm_backward(
            x_values,
            scale,
            LAYER_NORM_EPSILON,
            values(&dy),
            &mut dx,
            &mut dscale,
            &mut dshift,
        );
        let gradients = [pooled::tensor(dx, x.shape()), pooled::tensor(dscale, [dim]), pooled::tensor(dshift, [dim])];
        register(grads, ops.parents.map(|node| Some(node?.id)), gradients);
    }
}

#[derive(Debug)]
struct LinearBackward;

/// Gradients of input, weight and bias.
fn linear_backward(x: &FlexTensor, weight: &FlexTensor, dy: &FlexTensor) -> [FlexTensor; 3] {
    let dx = product_like(rows(dy), rows(weight).transposed(), x);
    [dx, product(rows(x).transposed(), rows(dy)), column_sums(dy)]
}

impl Backward<Flex, 3> for LinearBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let gradients = linear_backward(&ops.state.0, &ops.state.1, &dy);
        register(grads, ops.parents.map(|node| Some(node?.id)), gradients);
    }
}

impl Backward<Flex, 4> for LinearBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let [dx, dweight, dbias] = linear_backward(&ops.state.0, &ops.state.1, &dy);
        register(grads, ops.parents.map(|node| Some(node?.id)), [dx, dweight, dbias, dy]);
    }
}

#[derive(Clone, Debug)]
struct MlpState {
    x: FlexTensor,
    w1: FlexTensor,
    w2: FlexTensor,
    hidden: FlexTensor,
    slope: Arc<Pooled<f32>>,
}

#[derive(Debug)]
struct MlpBackward;

/// Gradients of input, weights and biases.
fn mlp_backward(state: MlpState, dy: &FlexTensor) -> [FlexTensor; 5] {
    let MlpState { x, w1, w2, hidden, slope } = state;
    let dw2 = product(rows(&hidden).transposed(), rows(dy));
    let shape = hidden.shape();
    drop(hidden);
    let mut du = Buffer::for_overwrite(slope.len());
    linear::matmul_times(rows(dy), rows(&w2).transposed(), &slope, &mut du);
    drop(slope);
    let [dx, dw1, db1] = linear_backward(&x, &w1, &pooled::tensor(du, shape));
    [dx, dw1, db1, dw2, column_sums(dy)]
}

impl Backward<Flex, 5> for MlpBackward {
    type State = MlpState;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        register(grads, ops.parents.map(|node| Some(node?.id)), mlp_backward(ops.state, &dy));
    }
}

impl Backward<Flex, 6> for MlpBackward {
    type State = MlpState;

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let [dx, dw1, db1, dw2, db2] = mlp_backward(ops.state, &dy);
        register(grads, ops.parents.map(|node| Some(node?.id)), [dx, dw1, db1, dw2, db2, dy]);
    }
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 1> for AttentionBackward {
    type State = (FlexTensor, Arc<Pooled<f32>>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let dy = contiguous(grads.consume::<Flex>(&ops.node));
        let ([node], (qkv, probabilities, heads)) = (ops.parents, ops.state);
        let Some(node) = node else { return };
        let mut dqkv = Buffer::for_overwrite(values(&qkv).len());
        attention_shape(&qkv, heads).backward(values(&qkv), &probabilities, values(&dy), &mut dqkv);
        grads.register::<Flex>(node.id, pooled::tensor(dqkv, qkv.shape()));
    }
}
