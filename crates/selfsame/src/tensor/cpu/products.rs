//! Matrix products: plain, many at once, as linear maps with bias and residual, and two of them as an MLP.

use super::graph::{Saved, Tracked, consume, flat, hand, recomputes, record, record_saving, register};
use super::values::{channels, contiguous, contiguous_residual, rows, values, with_channels};
use super::{kept, pooled};
use crate::tensor::ops::Residual;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use selfsame_kernels::linear;
use selfsame_kernels::matmul::{self, Matrix, Right};
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::norm::{self, OutputGradient};
use std::sync::Arc;

pub fn matrix_product(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    product(rows(&contiguous(a)), rows(&contiguous(b)))
}

/// `a · b`.
pub fn product(a: Matrix, b: Matrix) -> FlexTensor {
    let mut y = Buffer::for_overwrite(a.shape()[0] * b.shape()[1]);
    matmul::matmul(a, b, &mut y);
    pooled::tensor(y, [a.shape()[0], b.shape()[1]])
}

/// `a · b` in a layer, with its elements in this shape.
fn layer_product(a: Matrix, b: Matrix, shape: Shape) -> FlexTensor {
    let mut y = Buffer::for_overwrite(shape.num_elements());
    linear::product(a, b, &mut y);
    pooled::tensor(y, shape)
}

/// The gradient of the weight of `x · weight` from that of the product.
fn weight_gradient(x: &FlexTensor, dy: &FlexTensor) -> FlexTensor {
    layer_product(rows(x).transposed(), rows(dy), Shape::from([channels(x), channels(dy)]))
}

pub fn matrix_products(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    products(&contiguous(a), false, &contiguous(b), false)
}

/// One of the matrices of a [`contiguous`] tensor `[count, rows, columns]`.
fn matrix(of: &FlexTensor, index: usize, transposed: bool) -> Matrix<'_> {
    let [_, rows, columns] = of.shape().dims();
    let matrix = Matrix::new(&values(of)[index * rows * columns..][..rows * columns], [rows, columns]);
    if transposed { matrix.transposed() } else { matrix }
}

/// `a[i] · b[i]`, either transposed before, of [`contiguous`] tensors.
fn products(a: &FlexTensor, a_transposed: bool, b: &FlexTensor, b_transposed: bool) -> FlexTensor {
    let ([count, ..], [_, b_rows, b_columns]) = (a.shape().dims::<3>(), b.shape().dims::<3>());
    let [_, a_rows, a_columns] = a.shape().dims::<3>();
    let rows = if a_transposed { a_columns } else { a_rows };
    let columns = if b_transposed { b_rows } else { b_columns };
    let mut y = Buffer::for_overwrite(count * rows * columns);
    let a_of = |index| matrix(a, index, a_transposed);
    let b_of = |index| matrix(b, index, b_transposed);
    matmul::matmul_each(a_of, b_of, &mut y, rows * columns);
    pooled::tensor(y, [count, rows, columns])
}

pub fn linear(x: FlexTensor, weight: FlexTensor, bias: &FlexTensor, residual: Residual<Flex>) -> FlexTensor {
    kept::matrix(weight, |weight| linear_of(&contiguous(x), weight, bias, contiguous_residual(residual).as_ref()))
}

/// `gelu(x · w1 + b1) · w2 + b2 + residual`.
pub fn mlp(
    x: FlexTensor,
    (w1, b1): (FlexTensor, &FlexTensor),
    (w2, b2): (FlexTensor, &FlexTensor),
    residual: Residual<Flex>,
) -> FlexTensor {
    let (hidden, _) = kept::matrix(w1, |w1| hidden(&contiguous(x), w1, b1, false));
    kept::matrix(w2, |w2| linear_of(&hidden, w2, b2, contiguous_residual(residual).as_ref()))
}

/// Of [`contiguous`] tensors.
fn linear_of(x: &FlexTensor, weight: Right, bias: &FlexTensor, residual: Option<&FlexTensor>) -> FlexTensor {
    let (x_rows, [_, columns]) = (rows(x), weight.shape());
    let mut y = Buffer::for_overwrite(x_rows.shape()[0] * columns);
    linear::linear(x_rows, weight, values(bias), residual.map(values), &mut y);
    pooled::tensor(y, with_channels(x, columns))
}

/// `gelu(u)`, and the slope of the GELU when it is wanted.
fn gelu(u: &FlexTensor, with_slope: bool) -> (FlexTensor, Option<Pooled<f32>>) {
    let elements = values(u).len();
    let (mut y, mut slope) = (Buffer::for_overwrite(elements), with_slope.then(|| Pooled::for_overwrite(elements)));
    linear::gelu(values(u), slope.as_deref_mut(), &mut y);
    (pooled::tensor(y, u.shape()), slope)
}

/// The same of `u = x · weight + bias`.
fn hidden(x: &FlexTensor, weight: Right, bias: &FlexTensor, with_slope: bool) -> (FlexTensor, Option<Pooled<f32>>) {
    let (x_rows, [_, columns]) = (rows(x), weight.shape());
    let elements = x_rows.shape()[0] * columns;
    let (mut y, mut slope) = (Buffer::for_overwrite(elements), with_slope.then(|| Pooled::for_overwrite(elements)));
    linear::linear_gelu(x_rows, weight, values(bias), slope.as_deref_mut(), &mut y);
    (pooled::tensor(y, with_channels(x, columns)), slope)
}

pub fn tracked_product<C: CheckpointStrategy>(a: Tracked, b: Tracked) -> Tracked {
    let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
    let (a, b) = (contiguous(a), contiguous(b));
    let y = product(rows(&a), rows(&b));
    record::<C, _, _>(ProductBackward, [a_node, b_node], (a, b), y)
}

pub fn tracked_products<C: CheckpointStrategy>(a: Tracked, b: Tracked) -> Tracked {
    let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
    let (a, b) = (contiguous(a), contiguous(b));
    let y = products(&a, false, &b, false);
    record::<C, _, _>(ProductsBackward, [a_node, b_node], (a, b), y)
}

pub fn tracked_linear<C: CheckpointStrategy>(
    x: &Tracked,
    weight: Tracked,
    bias: Tracked,
    residual: Option<Tracked>,
) -> Tracked {
    let ((weight, weight_node), (bias, bias_node)) = (weight.into_parts(), bias.into_parts());
    let (x_node, flat_x, weight) = (x.node(), flat(x), contiguous(weight));
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let y = linear_of(&flat_x, rows(&weight).into(), &bias, residual.map(contiguous).as_ref());
    let (x, state) = ((x, flat_x), |x| (x, weight));
    match residual_node {
        None => record_saving::<C, _, _>(LinearBackward, [x_node, weight_node, bias_node], x, state, y),
        Some(node) => record_saving::<C, _, _>(LinearBackward, [x_node, weight_node, bias_node, node], x, state, y),
    }
}

pub fn tracked_mlp<C: CheckpointStrategy>(x: &Tracked, parameters: [Tracked; 4], residual: Option<Tracked>) -> Tracked {
    let [(w1, n1), (b1, n2), (w2, n3), (b2, n4)] = parameters.map(Tracked::into_parts);
    let (n0, flat_x, [w1, w2]) = (x.node(), flat(x), [w1, w2].map(contiguous));
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let (activation, hidden) = Hidden::of(&flat_x, &w1, &b1);
    let y = linear_of(&activation, rows(&w2).into(), &b2, residual.map(contiguous).as_ref());
    drop(activation);
    let (x, state) = ((x, flat_x), |x| MlpState { x, w1, w2, hidden });
    match residual_node {
        None => record_saving::<C, _, _>(MlpBackward, [n0, n1, n2, n3, n4], x, state, y),
        Some(node) => record_saving::<C, _, _>(MlpBackward, [n0, n1, n2, n3, n4, node], x, state, y),
    }
}

/// The gradient of a bias.
pub fn column_sums(dy: &FlexTensor) -> FlexTensor {
    let mut sums = Buffer::for_overwrite(channels(dy));
    norm::add_bias_backward(OutputGradient::Read(values(dy)), None, &mut sums);
    pooled::tensor(sums, [channels(dy)])
}

#[derive(Debug)]
struct ProductBackward;

impl Backward<Flex, 2> for ProductBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (a, b)) = consume(ops, grads);
        if nodes.parents[0].is_some() {
            hand(grads, &nodes, 0, product(rows(&dy), rows(&b).transposed()));
        }
        if nodes.parents[1].is_some() {
            hand(grads, &nodes, 1, product(rows(&a).transposed(), rows(&dy)));
        }
    }
}

#[derive(Debug)]
struct ProductsBackward;

impl Backward<Flex, 2> for ProductsBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (a, b)) = consume(ops, grads);
        if nodes.parents[0].is_some() {
            hand(grads, &nodes, 0, products(&dy, false, &b, true));
        }
        if nodes.parents[1].is_some() {
            hand(grads, &nodes, 1, products(&a, true, &dy, false));
        }
    }
}

#[derive(Debug)]
struct LinearBackward;

/// Gradients of input, weight and bias.
fn linear_backward(x: &FlexTensor, weight: &FlexTensor, dy: &FlexTensor) -> [FlexTensor; 3] {
    let dx = layer_product(rows(dy), rows(weight).transposed(), x.shape());
    [dx, weight_gradient(x, dy), column_sums(dy)]
}

impl Backward<Flex, 3> for LinearBackward {
    type State = (Saved, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (dy, nodes, (x, weight)) = consume(ops, grads);
        let gradients = linear_backward(&x.take(checkpointer), &weight, &dy);
        register(grads, &nodes, gradients);
    }
}

impl Backward<Flex, 4> for LinearBackward {
    type State = (Saved, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (dy, nodes, (x, weight)) = consume(ops, grads);
        let [dx, dweight, dbias] = linear_backward(&x.take(checkpointer), &weight, &dy);
        register(grads, &nodes, [dx, dweight, dbias, dy]);
    }
}

#[derive(Clone, Debug)]
struct MlpState {
    x: Saved,
    w1: FlexTensor,
    w2: FlexTensor,
    hidden: Hidden,
}

/// What an MLP keeps of its hidden layer.
#[derive(Clone, Debug)]
enum Hidden {
    /// `gelu(u)` and the GELU's slope.
    Activated(FlexTensor, Arc<Pooled<f32>>),
    /// `u`, of which both are made again.
    Sums(FlexTensor),
}

impl Hidden {
    /// The activation of `u = x · weight + bias`, and what is kept.
    fn of(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> (FlexTensor, Self) {
        if recomputes() {
            let u = linear_of(x, rows(weight).into(), bias, None);
            return (gelu(&u, false).0, Self::Sums(u));
        }
        let (activation, slope) = hidden(x, rows(weight).into(), bias, true);
        (activation.clone(), Self::Activated(activation, Arc::new(slope.expect("asked for"))))
    }

    fn activation_and_slope(self) -> (FlexTensor, Arc<Pooled<f32>>) {
        match self {
            Self::Activated(activation, slope) => (activation, slope),
            Self::Sums(u) => {
                let (activation, slope) = gelu(&u, true);
                (activation, Arc::new(slope.expect("asked for")))
            }
        }
    }
}

#[derive(Debug)]
struct MlpBackward;

/// Gradients of input, weights and biases.
fn mlp_backward(state: MlpState, dy: &FlexTensor, checkpointer: &mut Checkpointer) -> [FlexTensor; 5] {
    let MlpState { x, w1, w2, hidden } = state;
    let (hidden, slope) = hidden.activation_and_slope();
    let dw2 = weight_gradient(&hidden, dy);
    let shape = hidden.shape();
    drop(hidden);
    let mut du = Buffer::for_overwrite(slope.len());
    linear::matmul_times(rows(dy), rows(&w2).transposed(), &slope, &mut du);
    drop(slope);
    let [dx, dw1, db1] = linear_backward(&x.take(checkpointer), &w1, &pooled::tensor(du, shape));
    [dx, dw1, db1, dw2, column_sums(dy)]
}

impl Backward<Flex, 5> for MlpBackward {
    type State = MlpState;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (dy, nodes, state) = consume(ops, grads);
        register(grads, &nodes, mlp_backward(state, &dy, checkpointer));
    }
}

impl Backward<Flex, 6> for MlpBackward {
    type State = MlpState;

    fn backward(self, ops: Ops<Self::State, 6>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (dy, nodes, state) = consume(ops, grads);
        let [dx, dw1, db1, dw2, db2] = mlp_backward(state, &dy, checkpointer);
        register(grads, &nodes, [dx, dw1, db1, dw2, db2, dy]);
    }
}
