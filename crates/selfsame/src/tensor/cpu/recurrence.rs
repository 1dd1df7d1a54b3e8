//! The gated recurrent unit.

use super::graph::{Tracked, consume, record, register};
use super::pooled;
use super::products::{column_sums, product};
use super::values::{channels, contiguous, rows, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::gru::GruShape;
use selfsame_kernels::memory::{Buffer, Pooled};
use std::sync::Arc;

fn gru_shape(x: &FlexTensor) -> GruShape {
    let [batch, steps, gates] = x.shape().dims();
    GruShape { batch, steps, width: gates / 3 }
}

pub fn gru(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    run(&contiguous(x), &contiguous(weight), &contiguous(bias)).0
}

/// The states, and what the backward pass needs. Of [`contiguous`] tensors.
fn run(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> (FlexTensor, Pooled<f32>) {
    let shape = gru_shape(x);
    let mut y = Buffer::for_overwrite(shape.output_len());
    let mut kept = Pooled::for_overwrite(shape.kept_len());
    shape.forward(values(x), values(weight), values(bias), &mut y, &mut kept);
    (pooled::tensor(y, [shape.batch, shape.steps, shape.width]), kept)
}

pub fn tracked_gru<C: CheckpointStrategy>(x: Tracked, weight: Tracked, bias: Tracked) -> Tracked {
    let [(x, x_node), (weight, weight_node), (bias, bias_node)] = [x, weight, bias].map(Tracked::into_parts);
    let (x, weight) = (contiguous(x), contiguous(weight));
    let (y, kept) = run(&x, &weight, &contiguous(bias));
    let state = (weight, y.clone(), Arc::new(kept));
    record::<C, _, _>(GruBackward, [x_node, weight_node, bias_node], state, y)
}

#[derive(Debug)]
struct GruBackward;

impl Backward<Flex, 3> for GruBackward {
    type State = (FlexTensor, FlexTensor, Arc<Pooled<f32>>);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (weight, y, kept)) = consume(ops, grads);
        let [batch, steps, width] = y.shape().dims();
        let shape = GruShape { batch, steps, width };
        let [mut dx, mut du] = [0, 1].map(|_| Buffer::for_overwrite(shape.gates_len()));
        shape.backward(values(&weight), values(&y), &kept, values(&dy), &mut dx, &mut du);
        let du = pooled::tensor(du, [batch, steps, 3 * width]);
        let before = states_before(&y);
        let dweight = product(rows(&before).transposed(), rows(&du));
        let gradients = [pooled::tensor(dx, [batch, steps, channels(&du)]), dweight, column_sums(&du)];
        register(grads, &nodes, gradients);
    }
}

/// The states that each step started from, the first from zeros, `[batch, steps, width]`.
fn states_before(y: &FlexTensor) -> FlexTensor {
    let [_, steps, width] = y.shape().dims();
    let mut before = Buffer::for_overwrite(values(y).len());
    let sequence = steps * width;
    for (before, y) in before.chunks_exact_mut(sequence).zip(values(y).chunks_exact(sequence)) {
        before[..width].fill(0.0);
        before[width..].copy_from_slice(&y[..sequence - width]);
    }
    pooled::tensor(before, y.shape())
}
