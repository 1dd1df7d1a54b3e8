//! Which function runs which operation: first outside a graph, then within one.

use super::graph::Tracked;
use super::{attention, contrast, convolution, depthwise, normalization, patches, pooling, products, recurrence};
use crate::tensor::ops::{Candidates, EncoderOps, Residual, Window};
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use selfsame_kernels::conv::Epilogue;

impl EncoderOps for Flex {
    fn convolution(x: FlexTensor, weight: FlexTensor, window: Window) -> FlexTensor {
        convolution::convolution(x, weight, window)
    }

    fn convolution_act(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
        window: Window,
    ) -> FlexTensor {
        convolution::convolution_act(x, weight, bias, residual, relu, window)
    }

    fn convolution_moments(x: FlexTensor, weight: FlexTensor, window: Window) -> (FlexTensor, FlexTensor, FlexTensor) {
        convolution::convolution_moments(x, weight, window)
    }

    fn moments(x: FlexTensor) -> (FlexTensor, FlexTensor) {
        normalization::moments(x)
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
        normalization::batch_norm_act(x, [&mean, &variance, &scale, &shift], residual, relu)
    }

    fn affine_act(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: Residual<Self>,
        relu: bool,
    ) -> FlexTensor {
        normalization::affine_act(x, &scale, &shift, residual, relu)
    }

    fn depthwise(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        depthwise::depthwise(x, weight, bias)
    }

    fn max_pool(x: FlexTensor, window: Window) -> FlexTensor {
        pooling::max_pool(x, window)
    }

    fn matrix_product(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        products::matrix_product(a, b)
    }

    fn mean_pool(x: FlexTensor) -> FlexTensor {
        pooling::mean_pool(x)
    }

    fn layer_norm(x: FlexTensor, scale: FlexTensor, shift: FlexTensor) -> FlexTensor {
        normalization::layer_norm(x, &scale, &shift)
    }

    fn linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, residual: Residual<Self>) -> FlexTensor {
        products::linear(x, weight, &bias, residual)
    }

    fn mlp(
        x: FlexTensor,
        w1: FlexTensor,
        b1: FlexTensor,
        w2: FlexTensor,
        b2: FlexTensor,
        residual: Residual<Self>,
    ) -> FlexTensor {
        products::mlp(x, (w1, &b1), (w2, &b2), residual)
    }

    fn attention(qkv: FlexTensor, heads: usize, lengths: Option<Vec<usize>>) -> FlexTensor {
        attention::attention(qkv, heads, lengths.as_deref())
    }

    fn log_sums(z: FlexTensor, candidates: Candidates) -> FlexTensor {
        contrast::log_sums(z, &candidates)
    }

    fn matrix_products(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        products::matrix_products(a, b)
    }

    fn patch_errors(prediction: FlexTensor, patches: FlexTensor, removed: FlexTensor, normalized: bool) -> FlexTensor {
        patches::patch_errors(prediction, patches, removed, normalized)
    }

    fn gru(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        recurrence::gru(x, weight, bias)
    }
}

impl<C: CheckpointStrategy> EncoderOps for Autodiff<Flex, C> {
    fn convolution(x: Tracked, weight: Tracked, window: Window) -> Tracked {
        convolution::tracked_convolution::<C>(&x, weight, window, Epilogue::None)
    }

    fn convolution_act(
        x: Tracked,
        weight: Tracked,
        bias: Tracked,
        residual: Residual<Self>,
        relu: bool,
        window: Window,
    ) -> Tracked {
        convolution::tracked_convolution_act::<C>(&x, weight, bias, added(residual), relu, window)
    }

    fn convolution_moments(x: Tracked, weight: Tracked, window: Window) -> (Tracked, Tracked, Tracked) {
        convolution::tracked_convolution_moments::<C>(&x, weight, window)
    }

    fn moments(x: Tracked) -> (Tracked, Tracked) {
        let (mean, variance) = normalization::moments(x.into_primitive());
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
        let moments = [mean, variance].map(Tracked::into_primitive);
        normalization::tracked_batch_norm_act::<C>(&x, moments, &scale, &shift, added(residual), relu)
    }

    fn depthwise(x: Tracked, weight: Tracked, bias: Tracked) -> Tracked {
        depthwise::tracked_depthwise::<C>(x, weight, bias)
    }

    fn max_pool(x: Tracked, window: Window) -> Tracked {
        pooling::tracked_max_pool::<C>(x, window)
    }

    fn matrix_product(a: Tracked, b: Tracked) -> Tracked {
        products::tracked_product::<C>(a, b)
    }

    fn mean_pool(x: Tracked) -> Tracked {
        pooling::tracked_mean_pool::<C>(x)
    }

    fn layer_norm(x: Tracked, scale: Tracked, shift: Tracked) -> Tracked {
        normalization::tracked_layer_norm::<C>(&x, &scale, &shift)
    }

    fn linear(x: Tracked, weight: Tracked, bias: Tracked, residual: Residual<Self>) -> Tracked {
        products::tracked_linear::<C>(&x, weight, bias, added(residual))
    }

    fn mlp(x: Tracked, w1: Tracked, b1: Tracked, w2: Tracked, b2: Tracked, residual: Residual<Self>) -> Tracked {
        products::tracked_mlp::<C>(&x, [w1, b1, w2, b2], added(residual))
    }

    fn attention(qkv: Tracked, heads: usize, lengths: Option<Vec<usize>>) -> Tracked {
        attention::tracked_attention::<C>(qkv, heads, lengths)
    }

    fn log_sums(z: Tracked, candidates: Candidates) -> Tracked {
        contrast::tracked_log_sums::<C>(z, candidates)
    }

    fn matrix_products(a: Tracked, b: Tracked) -> Tracked {
        products::tracked_products::<C>(a, b)
    }

    fn patch_errors(prediction: Tracked, patches: Tracked, removed: Tracked, normalized: bool) -> Tracked {
        patches::tracked_patch_errors::<C>(prediction, patches, removed, normalized)
    }

    fn gru(x: Tracked, weight: Tracked, bias: Tracked) -> Tracked {
        recurrence::tracked_gru::<C>(x, weight, bias)
    }
}

fn added<C: CheckpointStrategy>(residual: Residual<Autodiff<Flex, C>>) -> Option<Tracked> {
    match residual {
        Residual::None => None,
        Residual::Add(residual) => Some(residual),
    }
}
