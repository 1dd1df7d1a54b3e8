//! Convolutions, with bias, residual and ReLU.

use super::graph::{Saved, Tracked, consume, flat, hand, record, record_saving, register};
use super::values::{channels, contiguous, contiguous_residual, exclusive, values, vector};
use super::{kept, pooled};
use crate::tensor::ops::{Residual, Window};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::InOut;
use selfsame_kernels::conv::{self, Activate, ChannelMoments, ConvShape, Epilogue, Weights};
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::norm::{self, Activation, OutputGradient};
use std::sync::Arc;

fn conv_shape([batch, height, width, channels_in]: [usize; 4], channels_out: usize, window: Window) -> ConvShape {
    let Window { y, x, dilation } = window;
    assert_eq!(dilation, 1, "a dilated convolution is folded before");
    ConvShape { batch, height, width, channels_in, channels_out, y, x }
}

/// Of a [`contiguous`] tensor.
fn convolve(shape: &ConvShape, x: &FlexTensor, weights: Weights, epilogue: Epilogue) -> FlexTensor {
    let mut y = Buffer::for_overwrite(shape.output_len());
    conv::forward(shape, values(x), weights, &mut y, epilogue);
    pooled::tensor(y, [shape.batch, shape.out_height(), shape.out_width(), shape.channels_out])
}

/// Outside a graph.
fn convolve_apart(x: FlexTensor, weight: FlexTensor, window: Window, epilogue: Epilogue) -> FlexTensor {
    let shape = conv_shape(x.shape().dims(), channels(&weight), window);
    kept::convolution(weight, &shape, |weights| convolve(&shape, &contiguous(x), weights, epilogue))
}

pub fn convolution(x: FlexTensor, weight: FlexTensor, window: Window) -> FlexTensor {
    convolve_apart(x, weight, window, Epilogue::None)
}

pub fn convolution_act(
    x: FlexTensor,
    weight: FlexTensor,
    bias: FlexTensor,
    residual: Residual<Flex>,
    relu: bool,
    window: Window,
) -> FlexTensor {
    let (bias, residual) = (contiguous(bias), contiguous_residual(residual));
    let activate = Activate { bias: values(&bias), residual: residual.as_ref().map(values), relu };
    convolve_apart(x, weight, window, Epilogue::Activate(activate))
}

pub fn convolution_moments(x: FlexTensor, weight: FlexTensor, window: Window) -> (FlexTensor, FlexTensor, FlexTensor) {
    let mut moments = ChannelMoments::new(channels(&weight));
    let y = convolve_apart(x, weight, window, Epilogue::Moments(&mut moments));
    (y, vector(moments.mean()), vector(moments.variance()))
}

pub fn tracked_convolution<C: CheckpointStrategy>(
    x: &Tracked,
    weight: Tracked,
    window: Window,
    epilogue: Epilogue,
) -> Tracked {
    let (weight, weight_node) = weight.into_parts();
    let (flat_x, weight) = (flat(x), contiguous(weight));
    let shape = conv_shape(flat_x.shape().dims(), channels(&weight), window);
    let y = convolve(&shape, &flat_x, Weights::Plain(values(&weight)), epilogue);
    let nodes = [x.node(), weight_node];
    record_saving::<C, _, _>(ConvolutionBackward, nodes, (x, flat_x), |x| (x, weight, window), y)
}

pub fn tracked_convolution_act<C: CheckpointStrategy>(
    x: &Tracked,
    weight: Tracked,
    bias: Tracked,
    residual: Option<Tracked>,
    relu: bool,
    window: Window,
) -> Tracked {
    let (mut y, y_node) = tracked_convolution::<C>(x, weight, window, Epilogue::None).into_parts();
    let (bias, bias_node) = bias.into_parts();
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let residual = residual.map(contiguous);
    let mut mask = Pooled::for_overwrite(if relu { norm::mask_words(values(&y).len()) } else { 0 });
    let activation = if relu { Activation::ReluMask(&mut mask) } else { Activation::Identity };
    let in_place = InOut::InPlace(exclusive(&mut y).expect("the convolution keeps its operands only"));
    norm::add_bias(in_place, values(&contiguous(bias)), residual.as_ref().map(values), activation);
    let state = relu.then(|| Arc::new(mask));
    match residual_node {
        None => record::<C, _, _>(BiasActBackward, [y_node, bias_node], state, y),
        Some(residual_node) => record::<C, _, _>(BiasActBackward, [y_node, bias_node, residual_node], state, y),
    }
}

pub fn tracked_convolution_moments<C: CheckpointStrategy>(
    x: &Tracked,
    weight: Tracked,
    window: Window,
) -> (Tracked, Tracked, Tracked) {
    let mut moments = ChannelMoments::new(channels(weight.primitive()));
    let y = tracked_convolution::<C>(x, weight, window, Epilogue::Moments(&mut moments));
    // Constants here: the normalization's backward pass accounts for the path through the moments.
    let constant = |of: &[f64]| Tracked::new(vector(of));
    (y, constant(moments.mean()), constant(moments.variance()))
}

#[derive(Debug)]
struct ConvolutionBackward;

impl Backward<Flex, 2> for ConvolutionBackward {
    type State = (Saved, FlexTensor, Window);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (dy, nodes, (x, weight, window)) = consume(ops, grads);
        let x = x.take(checkpointer);
        let shape = conv_shape(x.shape().dims(), channels(&weight), window);
        if nodes.parents[1].is_some() {
            let mut dw = Buffer::for_overwrite(shape.weight_len());
            conv::weight_grad(&shape, values(&x), values(&dy), &mut dw);
            hand(grads, &nodes, 1, pooled::tensor(dw, weight.shape()));
        }
        if nodes.parents[0].is_some() {
            let mut dx = Buffer::for_overwrite(shape.input_len());
            conv::input_grad(&shape, values(&dy), values(&weight), &mut dx, false);
            hand(grads, &nodes, 0, pooled::tensor(dx, x.shape()));
        }
    }
}

/// Bias, residual and ReLU; the state is the ReLU's mask.
#[derive(Debug)]
struct BiasActBackward;

/// The masked gradient, which is that of the input and of the residual, and the gradient of the bias.
fn bias_act_backward(mask: Option<&Pooled<u16>>, mut dy: FlexTensor) -> (FlexTensor, FlexTensor) {
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
    type State = Option<Arc<Pooled<u16>>>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, mask) = consume(ops, grads);
        let (gradient, dbias) = bias_act_backward(mask.as_deref(), dy);
        register(grads, &nodes, [gradient, dbias]);
    }
}

impl Backward<Flex, 3> for BiasActBackward {
    type State = Option<Arc<Pooled<u16>>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, mask) = consume(ops, grads);
        let (gradient, dbias) = bias_act_backward(mask.as_deref(), dy);
        register(grads, &nodes, [gradient.clone(), dbias, gradient]);
    }
}
