//! The operations under backbones, heads and objectives, one code path for every device.
//!
//! [`EncoderOps`] is a backend extension: its default bodies are the tensor library's own differentiable operations,
//! which devices without kernels of ours run, and with which tests compare the kernels. The CPU device overrides them,
//! forward and backward, in `cpu`.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::Tensor;

/// Square window of a convolution or a pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Side of the window, px.
    pub kernel: usize,
    /// Step between windows, px.
    pub stride: usize,
    /// Zeros (convolution) or nothing (max pooling) added on every side, px.
    pub padding: usize,
}

/// Added to a variance before the root is taken (PyTorch's default).
pub const NORM_EPSILON: f32 = 1e-5;

/// The same in a layer norm (timm's vision transformers).
pub const LAYER_NORM_EPSILON: f32 = 1e-6;

/// What is added before the activation.
#[derive(ExtensionType)]
pub enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// A tensor of the result's shape.
    Add(FloatTensor<B>),
}

/// Fused operations of the backbones. Activations of residual networks are `[batch, height, width, channels]`, those of
/// transformers `[batch, tokens, dim]`.
#[backend_extension(Autodiff, Flex)]
pub trait EncoderOps: Backend {
    /// Convolution with a weight `[kernel, kernel, channels_in, channels_out]`.
    fn convolution(x: FloatTensor<Self>, weight: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        portable::conv2d::<Self>(x, weight, window)
    }

    /// `act(convolution + bias + residual)`, the bias per channel.
    fn convolution_act(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        relu: bool,
        window: Window,
    ) -> FloatTensor<Self> {
        portable::bias_act::<Self>(Self::convolution(x, weight, window), bias, residual, relu)
    }

    /// [`Self::convolution`], and the mean and biased variance `[channels_out]` of its result.
    fn convolution_moments(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        window: Window,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let y = Self::convolution(x, weight, window);
        let (mean, variance) = portable::moments::<Self>(y.clone());
        (y, mean, variance)
    }

    /// Mean and biased variance `[channels]` over all axes but the last.
    fn moments(x: FloatTensor<Self>) -> (FloatTensor<Self>, FloatTensor<Self>) {
        portable::moments::<Self>(x)
    }

    /// `act(scale · (x − mean) / √(variance + ε) + shift + residual)` with the moments of `x` itself.
    fn batch_norm_act(
        x: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        portable::batch_norm_act::<Self>(x, mean, variance, scale, shift, residual, relu)
    }

    /// `act(scale · x + shift + residual)` per channel: normalization with fixed moments.
    fn affine_act(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        portable::affine_act::<Self>(x, scale, shift, residual, relu)
    }

    /// 7×7 convolution of every channel on its own, with zeros around, a weight `[7, 7, 1, channels]` and a bias.
    fn depthwise(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::depthwise::<Self>(x, weight, bias)
    }

    /// Max pooling.
    fn max_pool(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        portable::max_pool::<Self>(x, window)
    }

    /// Product of a matrix `[rows, inner]` and a matrix `[inner, columns]`.
    fn matrix_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// Mean over height and width: `[batch, channels]`.
    fn mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::mean_pool::<Self>(x)
    }

    /// `scale · (x − mean) / √(variance + ε) + shift` with the moments of each row over the last axis.
    fn layer_norm(x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::layer_norm::<Self>(x, scale, shift)
    }

    /// `x · weight + bias + residual` over the last axis, with a weight `[in, out]`.
    fn linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
    ) -> FloatTensor<Self> {
        portable::linear::<Self>(x, weight, bias, residual)
    }

    /// `gelu(x · w1 + b1) · w2 + b2 + residual` over the last axis, with weights `[in, out]`.
    fn mlp(
        x: FloatTensor<Self>,
        w1: FloatTensor<Self>,
        b1: FloatTensor<Self>,
        w2: FloatTensor<Self>,
        b2: FloatTensor<Self>,
        #[extension_type] residual: Residual<Self>,
    ) -> FloatTensor<Self> {
        portable::mlp::<Self>(x, w1, b1, w2, b2, residual)
    }

    /// Softmax attention of each head, from queries, keys and values `[batch, tokens, 3 · dim]` to `[batch, tokens, dim]`.
    fn attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
        portable::attention::<Self>(qkv, heads)
    }
}

fn to_residual<const D: usize>(residual: Option<Tensor<D>>) -> Residual<Dispatch> {
    residual.map_or(Residual::None, |tensor| Residual::Add(tensor.into_dispatch()))
}

/// Convolution: `[batch, height, width, channels_in]` and `[kernel, kernel, channels_in, channels_out]` to
/// `[batch, out_height, out_width, channels_out]`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::convolution(x.into_dispatch(), weight.into_dispatch(), window))
}

/// `act(conv2d + bias + residual)` with a bias `[channels_out]`.
pub fn conv2d_act(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    relu: bool,
    window: Window,
) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::convolution_act(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        to_residual(residual),
        relu,
        window,
    ))
}

/// [`conv2d`] with the mean and biased variance `[channels_out]` of its result, for a [`batch_norm_act`] to follow.
pub fn conv2d_moments(x: Tensor<4>, weight: Tensor<4>, window: Window) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (y, mean, variance) =
        <Dispatch as EncoderOps>::convolution_moments(x.into_dispatch(), weight.into_dispatch(), window);
    (Tensor::from_dispatch(y), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Mean and biased variance `[channels]` over all axes but the last.
pub fn moments<const D: usize>(x: Tensor<D>) -> (Tensor<1>, Tensor<1>) {
    let (mean, variance) = <Dispatch as EncoderOps>::moments(x.into_dispatch());
    (Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Batch normalization with the moments of `x` itself, then the residual, then ReLU (Ioffe & Szegedy 2015). The
/// gradient includes the path through the moments.
pub fn batch_norm_act<const D: usize>(
    x: Tensor<D>,
    (mean, variance): (Tensor<1>, Tensor<1>),
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::batch_norm_act(
        x.into_dispatch(),
        mean.into_dispatch(),
        variance.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        to_residual(residual),
        relu,
    ))
}

/// `act(scale · x + shift + residual)` per channel.
pub fn affine_act<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::affine_act(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        to_residual(residual),
        relu,
    ))
}

/// 7×7 convolution of every channel on its own, with zeros around: `[batch, height, width, channels]`, `[7, 7, 1, channels]` and
/// `[channels]` to the first of these.
pub fn depthwise(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::depthwise(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// Max pooling over height and width.
pub fn max_pool(x: Tensor<4>, window: Window) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::max_pool(x.into_dispatch(), window))
}

/// Product of matrices, `[rows, inner] · [inner, columns]`: the same bytes for any number of threads.
pub fn matmul(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::matrix_product(a.into_dispatch(), b.into_dispatch()))
}

/// Mean over height and width: `[batch, channels]`.
pub fn mean_pool(x: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::mean_pool(x.into_dispatch()))
}

/// Layer norm over the last axis, `[.., dim]`, with a scale and a shift `[dim]`.
pub fn layer_norm<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::layer_norm(
        x.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
    ))
}

/// `x · weight + bias + residual`: `[.., in]`, `[in, out]`, `[out]` and `[.., out]` to `[.., out]`.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Tensor<1>,
    residual: Option<Tensor<D>>,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::linear(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        to_residual(residual),
    ))
}

/// `gelu(x · w1 + b1) · w2 + b2 + residual`, with the exact GELU `u · Φ(u)`: `[.., in]`, `[in, hidden]`, `[hidden]`,
/// `[hidden, out]`, `[out]` and `[.., out]` to `[.., out]`.
pub fn mlp<const D: usize>(
    x: Tensor<D>,
    (w1, b1): (Tensor<2>, Tensor<1>),
    (w2, b2): (Tensor<2>, Tensor<1>),
    residual: Option<Tensor<D>>,
) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::mlp(
        x.into_dispatch(),
        w1.into_dispatch(),
        b1.into_dispatch(),
        w2.into_dispatch(),
        b2.into_dispatch(),
        to_residual(residual),
    ))
}

/// Softmax attention (Vaswani et al. 2017): `softmax(q kᵀ / √(dim / heads)) v` in each head. `qkv` is
/// `[batch, tokens, 3 · dim]`, all queries, then all keys, then all values, each head by head; the result is
/// `[batch, tokens, dim]`.
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::attention(qkv.into_dispatch(), heads))
}

/// The operations in the tensor library's own terms.
pub(super) mod portable {
    use super::{LAYER_NORM_EPSILON, NORM_EPSILON, Residual, Window};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Shape, Slice};

    fn to_nchw<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_permute(x, &[0, 3, 1, 2])
    }

    fn to_nhwc<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        B::float_permute(x, &[0, 2, 3, 1])
    }

    /// `[channels]` as `[1, …, 1, channels]`.
    fn per_channel<B: Backend>(values: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
        let mut shape = vec![1; rank];
        shape[rank - 1] = values.shape()[0];
        B::float_reshape(values, Shape::from(shape))
    }

    pub fn conv2d<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, window: Window) -> FloatTensor<B> {
        let weight = B::float_permute(weight, &[3, 2, 0, 1]); // [channels_out, channels_in, kernel, kernel]
        let options = ConvOptions::new([window.stride; 2], [window.padding; 2], [1, 1], 1);
        to_nhwc::<B>(B::conv2d(to_nchw::<B>(x), weight, None, options))
    }

    pub fn depthwise<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>, bias: FloatTensor<B>) -> FloatTensor<B> {
        let weight = B::float_permute(weight, &[3, 2, 0, 1]); // [channels, 1, 7, 7]
        let [channels, _, kernel, _] = weight.shape().dims();
        let options = ConvOptions::new([1; 2], [kernel / 2; 2], [1, 1], channels);
        to_nhwc::<B>(B::conv2d(to_nchw::<B>(x), weight, Some(bias), options))
    }

    pub fn moments<B: Backend>(x: FloatTensor<B>) -> (FloatTensor<B>, FloatTensor<B>) {
        let shape = x.shape();
        let channels = shape[shape.num_dims() - 1];
        let x = B::float_reshape(x, Shape::from([shape.num_elements() / channels, channels]));
        let mean = B::float_mean_dim(x.clone(), 0);
        let centered = B::float_sub(x, mean.clone());
        let variance = B::float_mean_dim(B::float_mul(centered.clone(), centered), 0);
        let flat = Shape::from([channels]);
        (B::float_reshape(mean, flat.clone()), B::float_reshape(variance, flat))
    }

    pub fn batch_norm_act<B: Backend>(
        x: FloatTensor<B>,
        mean: FloatTensor<B>,
        variance: FloatTensor<B>,
        scale: FloatTensor<B>,
        shift: FloatTensor<B>,
        residual: Residual<B>,
        relu: bool,
    ) -> FloatTensor<B> {
        let std = B::float_sqrt(B::float_add_scalar(variance, NORM_EPSILON.into()));
        let scale = B::float_div(scale, std);
        let rank = x.shape().num_dims();
        let centered = B::float_sub(x, per_channel::<B>(mean, rank));
        affine_act::<B>(centered, scale, shift, residual, relu)
    }

    pub fn affine_act<B: Backend>(
        x: FloatTensor<B>,
        scale: FloatTensor<B>,
        shift: FloatTensor<B>,
        residual: Residual<B>,
        relu: bool,
    ) -> FloatTensor<B> {
        let rank = x.shape().num_dims();
        bias_act::<B>(B::float_mul(x, per_channel::<B>(scale, rank)), shift, residual, relu)
    }

    pub fn bias_act<B: Backend>(
        x: FloatTensor<B>,
        bias: FloatTensor<B>,
        residual: Residual<B>,
        relu: bool,
    ) -> FloatTensor<B> {
        let rank = x.shape().num_dims();
        let mut y = B::float_add(x, per_channel::<B>(bias, rank));
        if let Residual::Add(residual) = residual {
            y = B::float_add(y, residual);
        }
        if relu { B::relu(y) } else { y }
    }

    pub fn max_pool<B: Backend>(x: FloatTensor<B>, window: Window) -> FloatTensor<B> {
        let Window { kernel, stride, padding } = window;
        to_nhwc::<B>(B::max_pool2d(to_nchw::<B>(x), [kernel; 2], [stride; 2], [padding; 2], [1, 1], false))
    }

    pub fn mean_pool<B: Backend>(x: FloatTensor<B>) -> FloatTensor<B> {
        let [batch, height, width, channels] = x.shape().dims();
        let x = B::float_reshape(x, Shape::from([batch, height * width, channels]));
        B::float_reshape(B::float_mean_dim(x, 1), Shape::from([batch, channels]))
    }

    pub fn layer_norm<B: Backend>(x: FloatTensor<B>, scale: FloatTensor<B>, shift: FloatTensor<B>) -> FloatTensor<B> {
        let last = x.shape().num_dims() - 1;
        let centered = B::float_sub(x.clone(), B::float_mean_dim(x, last));
        let variance = B::float_mean_dim(B::float_mul(centered.clone(), centered.clone()), last);
        let std = B::float_sqrt(B::float_add_scalar(variance, LAYER_NORM_EPSILON.into()));
        affine_act::<B>(B::float_div(centered, std), scale, shift, Residual::None, false)
    }

    pub fn linear<B: Backend>(
        x: FloatTensor<B>,
        weight: FloatTensor<B>,
        bias: FloatTensor<B>,
        residual: Residual<B>,
    ) -> FloatTensor<B> {
        let ([input, output], mut shape) = (weight.shape().dims(), x.shape());
        let rows = shape.num_elements() / input;
        let last = shape.num_dims() - 1;
        shape[last] = output;
        let y = B::float_matmul(B::float_reshape(x, Shape::from([rows, input])), weight);
        bias_act::<B>(B::float_reshape(y, shape), bias, residual, false)
    }

    pub fn mlp<B: Backend>(
        x: FloatTensor<B>,
        w1: FloatTensor<B>,
        b1: FloatTensor<B>,
        w2: FloatTensor<B>,
        b2: FloatTensor<B>,
        residual: Residual<B>,
    ) -> FloatTensor<B> {
        linear::<B>(B::gelu(linear::<B>(x, w1, b1, Residual::None)), w2, b2, residual)
    }

    pub fn attention<B: Backend>(qkv: FloatTensor<B>, heads: usize) -> FloatTensor<B> {
        let [batch, tokens, packed] = qkv.shape().dims();
        let width = packed / 3 / heads;
        let qkv = B::float_reshape(qkv, Shape::from([batch, tokens, 3, heads, width]));
        let qkv = B::float_permute(qkv, &[2, 0, 3, 1, 4]); // [3, batch, heads, tokens, width]
        let part = |i: usize| {
            let part = B::float_slice(qkv.clone(), &[Slice::from(i..i + 1)]);
            B::float_reshape(part, Shape::from([batch, heads, tokens, width]))
        };
        let scores = B::float_matmul(part(0), B::float_swap_dims(part(1), 2, 3)); // [batch, heads, tokens, tokens]
        let scores = B::float_mul_scalar(scores, (1.0 / (width as f32).sqrt()).into());
        let y = B::float_matmul(B::softmax(scores, 3), part(2));
        B::float_reshape(B::float_permute(y, &[0, 2, 1, 3]), Shape::from([batch, tokens, heads * width]))
    }
}
