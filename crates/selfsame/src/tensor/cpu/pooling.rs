//! Max pooling and mean pooling.

use super::graph::{Tracked, consume, record, register};
use super::pooled;
use super::values::{contiguous, values};
use crate::tensor::ops::Window;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::pool::{self, MaxPool};
use std::sync::Arc;

fn pool_shape([batch, height, width, channels]: [usize; 4], window: Window) -> MaxPool {
    let Window { y, x, dilation } = window;
    assert_eq!(dilation, 1, "poolings have no dilation");
    MaxPool { batch, height, width, channels, y, x }
}

pub fn max_pool(x: FlexTensor, window: Window) -> FlexTensor {
    maxima(&contiguous(x), window, false).0
}

/// The maxima, and, where it is wanted, where in its window each was found.
fn maxima(x: &FlexTensor, window: Window, with_argmax: bool) -> (FlexTensor, Option<Pooled<u8>>) {
    let shape = pool_shape(x.shape().dims(), window);
    let [height, width] = shape.output_size();
    let outputs = shape.batch * height * width * shape.channels;
    let (mut y, mut argmax) = (Buffer::for_overwrite(outputs), with_argmax.then(|| Pooled::for_overwrite(outputs)));
    shape.forward(values(x), &mut y, argmax.as_deref_mut());
    (pooled::tensor(y, [shape.batch, height, width, shape.channels]), argmax)
}

pub fn mean_pool(x: FlexTensor) -> FlexTensor {
    let [batch, _, _, channels] = x.shape().dims();
    let mut y = Buffer::for_overwrite(batch * channels);
    pool::global_average_pool(values(&contiguous(x)), channels, &mut y);
    pooled::tensor(y, [batch, channels])
}

pub fn tracked_max_pool<C: CheckpointStrategy>(x: Tracked, window: Window) -> Tracked {
    let (x, node) = x.into_parts();
    let x = contiguous(x);
    let shape = x.shape().dims();
    let (y, argmax) = maxima(&x, window, true);
    let argmax = Arc::new(argmax.expect("asked for"));
    record::<C, _, _>(MaxPoolBackward, [node], (pool_shape(shape, window), argmax), y)
}

pub fn tracked_mean_pool<C: CheckpointStrategy>(x: Tracked) -> Tracked {
    let (x, node) = x.into_parts();
    let shape = x.shape().dims();
    record::<C, _, _>(MeanPoolBackward, [node], shape, mean_pool(x))
}

#[derive(Debug)]
struct MaxPoolBackward;

impl Backward<Flex, 1> for MaxPoolBackward {
    type State = (MaxPool, Arc<Pooled<u8>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (shape, argmax)) = consume(ops, grads);
        let MaxPool { batch, height, width, channels, .. } = shape;
        let mut dx = Buffer::for_overwrite(batch * height * width * channels);
        shape.backward(values(&dy), &argmax, &mut dx);
        register(grads, &nodes, [pooled::tensor(dx, [batch, height, width, channels])]);
    }
}

#[derive(Debug)]
struct MeanPoolBackward;

impl Backward<Flex, 1> for MeanPoolBackward {
    type State = [usize; 4];

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, shape) = consume(ops, grads);
        let mut dx = Buffer::for_overwrite(shape.iter().product());
        pool::global_average_pool_backward(values(&dy), shape[3], &mut dx);
        register(grads, &nodes, [pooled::tensor(dx, shape)]);
    }
}
