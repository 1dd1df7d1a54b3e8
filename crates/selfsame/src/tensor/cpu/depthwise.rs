//! Convolution of every channel on its own.

use super::graph::{Tracked, consume, hand, record};
use super::pooled;
use super::values::{contiguous, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::depthwise::Depthwise;
use selfsame_kernels::memory::Buffer;

fn shape_of(x: &FlexTensor) -> Depthwise {
    let [batch, height, width, channels] = x.shape().dims();
    Depthwise { batch, height, width, channels }
}

/// Of [`contiguous`] tensors.
fn convolve(x: &FlexTensor, weight: &FlexTensor, bias: &FlexTensor) -> FlexTensor {
    let mut y = Buffer::for_overwrite(values(x).len());
    shape_of(x).forward(values(x), values(weight), values(bias), &mut y);
    pooled::tensor(y, x.shape())
}

pub fn depthwise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
    convolve(&contiguous(x), &contiguous(weight), &contiguous(bias))
}

pub fn tracked_depthwise<C: CheckpointStrategy>(x: Tracked, weight: Tracked, bias: Tracked) -> Tracked {
    let [(x, x_node), (weight, weight_node), (bias, bias_node)] = [x, weight, bias].map(Tracked::into_parts);
    let [x, weight, bias] = [x, weight, bias].map(contiguous);
    let y = convolve(&x, &weight, &bias);
    record::<C, _, _>(DepthwiseBackward, [x_node, weight_node, bias_node], (x, weight), y)
}

#[derive(Debug)]
struct DepthwiseBackward;

impl Backward<Flex, 3> for DepthwiseBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (x, weight)) = consume(ops, grads);
        let [x_wanted, weight_wanted, bias_wanted] = nodes.parents.each_ref().map(Option::is_some);
        let shape = shape_of(&x);
        if x_wanted {
            let mut dx = Buffer::for_overwrite(values(&x).len());
            shape.input_grad(values(&dy), values(&weight), &mut dx);
            hand(grads, &nodes, 0, pooled::tensor(dx, x.shape()));
        }
        if weight_wanted || bias_wanted {
            let mut dweight = Buffer::for_overwrite(values(&weight).len());
            let mut dbias = Buffer::for_overwrite(shape.channels);
            shape.weight_grad(values(&x), values(&dy), &mut dweight, &mut dbias);
            hand(grads, &nodes, 1, pooled::tensor(dweight, weight.shape()));
            hand(grads, &nodes, 2, pooled::tensor(dbias, [shape.channels]));
        }
    }
}
