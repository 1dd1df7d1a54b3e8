//! Batch normalization with residual and ReLU, normalization with fixed moments, and layer normalization.

use super::graph::{Tracked, consume, flat, hand, record, record_again, register};
use super::pooled;
use super::values::{channels, contiguous, contiguous_residual, exclusive, values, vector};
use crate::tensor::ops::{LAYER_NORM_EPSILON, NORM_EPSILON, Residual};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::InOut;
use selfsame_kernels::conv::ChannelMoments;
use selfsame_kernels::layer_norm;
use selfsame_kernels::memory::{Buffer, Pooled};
use selfsame_kernels::norm::{self, Activation, BatchNorm, OutputGradient};
use std::sync::Arc;

fn activation(relu: bool) -> Activation<'static> {
    if relu { Activation::Relu } else { Activation::Identity }
}

pub fn moments(x: FlexTensor) -> (FlexTensor, FlexTensor) {
    let x = contiguous(x);
    let moments = ChannelMoments::of(values(&x), channels(&x));
    (vector(moments.mean()), vector(moments.variance()))
}

/// `parameters` are mean, variance, scale and shift.
pub fn batch_norm_act(x: FlexTensor, parameters: [&FlexTensor; 4], residual: Residual<Flex>, relu: bool) -> FlexTensor {
    normalize(&contiguous(x), parameters, contiguous_residual(residual).as_ref(), activation(relu))
}

pub fn affine_act(
    x: FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    residual: Residual<Flex>,
    relu: bool,
) -> FlexTensor {
    let (mut x, residual) = (contiguous(x), contiguous_residual(residual));
    let (scale, shift, residual) = (values(scale), values(shift), residual.as_ref().map(values));
    if let Some(in_place) = exclusive(&mut x) {
        norm::scale_shift(InOut::InPlace(in_place), scale, shift, residual, activation(relu));
        return x;
    }
    let mut y = Buffer::for_overwrite(values(&x).len());
    norm::scale_shift(InOut::Apart(values(&x), &mut y), scale, shift, residual, activation(relu));
    pooled::tensor(y, x.shape())
}

fn normalization<'a>(moments: &'a ChannelMoments, scale: &'a FlexTensor, shift: &'a FlexTensor) -> BatchNorm<'a> {
    BatchNorm { moments, gamma: Some(values(scale)), beta: Some(values(shift)), epsilon: NORM_EPSILON }
}

fn normalize(
    x: &FlexTensor,
    [mean, variance, scale, shift]: [&FlexTensor; 4],
    residual: Option<&FlexTensor>,
    activation: Activation,
) -> FlexTensor {
    let moments = ChannelMoments::given(values(mean), values(variance));
    let mut y = Buffer::for_overwrite(values(x).len());
    let parameters = normalization(&moments, scale, shift);
    norm::normalize(values(x), parameters, residual.map(values), activation, &mut y);
    pooled::tensor(y, x.shape())
}

/// The mean and the variance are constants: the backward pass accounts for the path through them.
pub fn tracked_batch_norm_act<C: CheckpointStrategy>(
    x: &Tracked,
    [mean, variance]: [FlexTensor; 2],
    scale: &Tracked,
    shift: &Tracked,
    residual: Option<Tracked>,
    relu: bool,
) -> Tracked {
    let parents = [x, scale, shift];
    let [x, scale, shift] = parents.map(flat);
    let (residual, residual_node) = residual.map(Tracked::into_parts).unzip();
    let mut mask = Pooled::for_overwrite(if relu { norm::mask_words(values(&x).len()) } else { 0 });
    let masking = if relu { Activation::ReluMask(&mut mask) } else { Activation::Identity };
    let y = normalize(&x, [&mean, &variance, &scale, &shift], residual.map(contiguous).as_ref(), masking);
    let moments = [mean.clone(), variance.clone()];
    let state = BatchNormState { x, mean, variance, scale, shift, mask: relu.then(|| Arc::new(mask)) };
    let [x, scale, shift] = parents.map(Tracked::node);
    match residual_node {
        Some(node) => record::<C, _, _>(BatchNormBackward, [x, scale, shift, node], state, y),
        None => {
            let again = move |[x, scale, shift]: [FlexTensor; 3]| {
                let [mean, variance] = &moments;
                normalize(&contiguous(x), [mean, variance, &scale, &shift], None, activation(relu))
            };
            record_again::<C, _, _>(BatchNormBackward, parents, again, state, y)
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
    /// One bit per element: whether the ReLU let it through.
    mask: Option<Arc<Pooled<u16>>>,
}

#[derive(Debug)]
struct BatchNormBackward;

/// Gradients of a normalization: of its input, its scale, its shift and, when it is wanted, its residual.
fn batch_norm_backward(
    state: BatchNormState,
    mut dy: FlexTensor,
    with_residual: bool,
) -> ([FlexTensor; 3], Option<FlexTensor>) {
    let BatchNormState { mut x, mean, variance, scale, shift, mask } = state;
    let (shape, channels) = (x.shape(), channels(&x));
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
        let (dy, nodes, state) = consume(ops, grads);
        let (gradients, _) = batch_norm_backward(state, dy, false);
        register(grads, &nodes, gradients);
    }
}

impl Backward<Flex, 4> for BatchNormBackward {
    type State = BatchNormState;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, state) = consume(ops, grads);
        let (gradients, residual) = batch_norm_backward(state, dy, nodes.parents[3].is_some());
        for (index, gradient) in gradients.into_iter().chain(residual).enumerate() {
            hand(grads, &nodes, index, gradient);
        }
    }
}

pub fn layer_norm(x: FlexTensor, scale: &FlexTensor, shift: &FlexTensor) -> FlexTensor {
    normalize_rows(&contiguous(x), scale, shift)
}

/// Of a [`contiguous`] tensor.
fn normalize_rows(x: &FlexTensor, scale: &FlexTensor, shift: &FlexTensor) -> FlexTensor {
    let mut y = Buffer::for_overwrite(values(x).len());
    layer_norm::layer_norm(values(x), values(scale), values(shift), LAYER_NORM_EPSILON, &mut y);
    pooled::tensor(y, x.shape())
}

pub fn tracked_layer_norm<C: CheckpointStrategy>(x: &Tracked, scale: &Tracked, shift: &Tracked) -> Tracked {
    let parents = [x, scale, shift];
    let [x, scale, shift] = parents.map(flat);
    let y = normalize_rows(&x, &scale, &shift);
    let again = |[x, scale, shift]: [FlexTensor; 3]| normalize_rows(&contiguous(x), &scale, &shift);
    record_again::<C, _, _>(LayerNormBackward, parents, again, (x, scale), y)
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (x, scale)) = consume(ops, grads);
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
        register(grads, &nodes, gradients);
    }
}
