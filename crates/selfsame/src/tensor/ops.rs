//! The operations under backbones, heads and objectives, one code path for every device.
//!
//! [`EncoderOps`] is a backend extension: its default bodies are the tensor library's own differentiable operations,
//! which devices without kernels of ours run, and with which tests compare the kernels. The CPU device overrides them,
//! forward and backward, in `cpu`.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, ExtensionType, backend_extension};
use burn::tensor::Tensor;
pub use selfsame_kernels::conv::Span;

/// Window of a convolution or a pooling, each axis in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// From top to bottom.
    pub y: Span,
    /// From left to right: in a signal, which is an image of height 1, along the time.
    pub x: Span,
    /// Steps between the taps of `x`, for convolutions of signals alone.
    pub dilation: usize,
}

impl Window {
    /// A square one, padded alike on all sides.
    pub const fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        let span = Span::padded(kernel, stride, padding);
        Self { y: span, x: span, dilation: 1 }
    }

    /// Along the time of a signal.
    pub const fn in_time(span: Span) -> Self {
        Self { y: ONE, x: span, dilation: 1 }
    }

    /// Along the time of a signal, with so many steps between taps.
    #[must_use]
    pub const fn dilated(self, dilation: usize) -> Self {
        Self { dilation, ..self }
    }

    /// Positions of the window.
    pub(crate) const fn taps(&self) -> usize {
        self.y.kernel * self.x.kernel
    }
}

/// Each value by itself.
const ONE: Span = Span::padded(1, 1, 0);

/// Added to a variance before the root is taken (PyTorch's default).
pub const NORM_EPSILON: f32 = 1e-5;

/// The same in a layer norm (timm's vision transformers).
pub const LAYER_NORM_EPSILON: f32 = 1e-6;

/// Added to a patch's variance.
pub const PATCH_EPSILON: f32 = 1e-6;

/// What is added before the activation.
#[derive(ExtensionType)]
pub enum Residual<B: Backend> {
    /// Nothing.
    None,
    /// A tensor of the result's shape.
    Add(FloatTensor<B>),
}

/// Which rows of a group are contrasted with which.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// Factor of their inner products, 1/τ.
    pub scale: f32,
    /// Rows that lie a multiple of it apart, each row and itself among them, are no candidates of each other.
    pub period: usize,
    /// 1 for rows that are there and 0 for others, `[groups, rows]`; without it all are.
    pub present: Option<Vec<f32>>,
}

/// Fused operations of the backbones. Activations of residual networks are `[batch, height, width, channels]`, those of
/// transformers `[batch, tokens, dim]`. Windows that come here have no dilation.
#[backend_extension(Autodiff, Flex)]
pub trait EncoderOps: Backend {
    /// Convolution with a weight `[kernel height, kernel width, channels_in, channels_out]`.
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

    /// Softmax attention of each head, from queries, keys and values `[batch, tokens, 3 · dim]` to `[batch, tokens, dim]`; of
    /// sequences of these lengths, where they are not as long as they can be.
    fn attention(qkv: FloatTensor<Self>, heads: usize, lengths: Option<Vec<usize>>) -> FloatTensor<Self> {
        portable::attention::<Self>(qkv, heads, lengths)
    }

    /// What [`log_sums`] computes.
    fn log_sums(z: FloatTensor<Self>, candidates: Candidates) -> FloatTensor<Self> {
        portable::log_sums::<Self>(z, &candidates)
    }

    /// Products of as many matrices, `[count, rows, inner]` and `[count, inner, columns]` to `[count, rows, columns]`.
    fn matrix_products(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// `removed · mean (prediction − target)²` of each row, `[rows, n]` to `[rows]`, with `removed` `[rows]`; the targets are patches
    /// of as many values, standardized row by row on request.
    fn patch_errors(
        prediction: FloatTensor<Self>,
        patches: FloatTensor<Self>,
        removed: FloatTensor<Self>,
        normalized: bool,
    ) -> FloatTensor<Self> {
        portable::patch_errors::<Self>(prediction, patches, removed, normalized)
    }

    /// States of a gated recurrent unit, of its gates' inputs `[batch, steps, 3 · width]`.
    fn gru(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        portable::gru::<Self>(&x, &weight, &bias)
    }
}

fn to_residual<const D: usize>(residual: Option<Tensor<D>>) -> Residual<Dispatch> {
    residual.map_or(Residual::None, |tensor| Residual::Add(tensor.into_dispatch()))
}

/// [`conv2d`] of a signal `[batch, 1, steps, channels_in]` and a weight `[1, kernel, channels_in, channels_out]` under
/// a window with a dilation d: steps that are d apart lie below each other in `[batch, steps / d, d, channels_in]`, so that a
/// dilated convolution is one along the height of the same values.
fn dilated(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    let ([batch, height, steps, channels], [_, kernel, _, channels_out]) = (x.dims(), weight.dims());
    let Window { y, x: span, dilation } = window;
    let keeps = span.stride == 1 && span.before + span.after + 1 == span.kernel;
    assert!(height == 1 && y == ONE && keeps, "a dilated convolution is of signals and keeps their length: {window:?}");
    let rows = steps.div_ceil(dilation);
    let missing = rows * dilation - steps;
    let x = match missing {
        0 => x,
        _ => Tensor::cat(vec![x.clone(), Tensor::zeros([batch, 1, missing, channels], &x.device())], 2),
    };
    let folded = x.reshape([batch, rows, dilation, channels]);
    let weight = weight.reshape([kernel, 1, channels, channels_out]);
    let y = conv2d(folded, weight, Window { y: span, x: ONE, dilation: 1 });
    let y = y.reshape([batch, 1, rows * dilation, channels_out]);
    if missing == 0 { y } else { y.slice([0..batch, 0..1, 0..steps]) }
}

/// Convolution: `[batch, height, width, channels_in]` and `[kernel height, kernel width, channels_in, channels_out]` to
/// `[batch, out_height, out_width, channels_out]`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, window: Window) -> Tensor<4> {
    if window.dilation > 1 {
        return dilated(x, weight, window);
    }
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
    if window.dilation > 1 {
        let y = conv2d(x, weight, window);
        return affine_act(y, Tensor::ones_like(&bias), bias, residual, relu);
    }
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
    if window.dilation > 1 {
        let y = conv2d(x, weight, window);
        let (mean, variance) = moments(y.clone());
        return (y, mean, variance);
    }
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
/// `[batch, tokens, dim]`. With lengths, one or more for each sample, the tokens after them take no part, and give 0.
pub fn attention(qkv: Tensor<3>, heads: usize, lengths: Option<&[usize]>) -> Tensor<3> {
    let lengths = lengths.map(<[usize]>::to_vec);
    Tensor::from_dispatch(<Dispatch as EncoderOps>::attention(qkv.into_dispatch(), heads, lengths))
}

/// Products of as many matrices, `[count, rows, inner]` · `[count, inner, columns]`: the same bytes for any number of threads.
pub fn matmul_each(a: Tensor<3>, b: Tensor<3>) -> Tensor<3> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::matrix_products(a.into_dispatch(), b.into_dispatch()))
}

/// For each row of a group of embeddings, `log Σ exp(scale · z_i·z_j)` over its candidates j: `[groups, rows, width]` to
/// `[groups, rows]`; 0 for rows that are not there. Memory grows with the rows on the CPU device, not with their square.
pub fn log_sums(z: Tensor<3>, candidates: Candidates) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as EncoderOps>::log_sums(z.into_dispatch(), candidates))
}

/// `removed · mean (prediction − target)²` of each row: `[rows, n]`, as many values in any shape, and `[rows]` to `[rows]`. Targets
/// are those values, standardized row by row with their unbiased variance on request; gradients flow to the prediction alone.
pub fn patch_errors<const D: usize>(
    prediction: Tensor<2>,
    patches: Tensor<D>,
    removed: Tensor<1>,
    normalized: bool,
) -> Tensor<1> {
    let (patches, removed) = (patches.detach().into_dispatch(), removed.detach().into_dispatch());
    Tensor::from_dispatch(<Dispatch as EncoderOps>::patch_errors(
        prediction.into_dispatch(),
        patches,
        removed,
        normalized,
    ))
}

/// A gated recurrent unit (Cho et al. 2014), in PyTorch's convention: from a state of zeros, step by step, with `u = h W + b`,
///
/// `r, z = σ(x_r + u_r), σ(x_z + u_z)`, `n = tanh(x_n + r · u_n)`, `h ← (1 − z) · n + z · h`.
///
/// The gates' inputs `x`, `[batch, steps, 3 · width]` (r, z, n), a weight `[width, 3 · width]` and a bias `[3 · width]` to the
/// states after each step, `[batch, steps, width]`.
pub fn gru(x: Tensor<3>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<3> {
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(<Dispatch as EncoderOps>::gru(x, weight, bias))
}

/// The operations in the tensor library's own terms.
pub(super) mod portable {
    use super::{Candidates, LAYER_NORM_EPSILON, NORM_EPSILON, PATCH_EPSILON, Residual, Window};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, TensorMetadata};
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Shape, Slice, TensorData};
    use selfsame_kernels::conv::Span;

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
        let out = out::<B>(&x, window);
        let weight = B::float_permute(weight, &[3, 2, 0, 1]); // [channels_out, channels_in, kernel height, kernel width]
        let [_, stride, padding] = spans(window);
        let options = ConvOptions::new(stride, padding, [1, 1], 1);
        first::<B>(to_nhwc::<B>(B::conv2d(to_nchw::<B>(x), weight, None, options)), out)
    }

    /// Kernel, stride and padding on both sides of each axis: what is before, of which what is after lacks perhaps something.
    fn spans(window: Window) -> [[usize; 2]; 3] {
        let axes = [window.y, window.x];
        let fits = axes.iter().all(|span| span.before >= span.after);
        assert!(fits && window.dilation == 1, "no more padding after than before, and no dilation: {window:?}");
        [axes.map(|span: Span| span.kernel), axes.map(|span| span.stride), axes.map(|span| span.before)]
    }

    /// Height and width of the result.
    fn out<B: Backend>(x: &FloatTensor<B>, window: Window) -> [usize; 2] {
        let [_, height, width, _] = x.shape().dims();
        [window.y.out(height), window.x.out(width)]
    }

    /// The first rows and columns.
    fn first<B: Backend>(y: FloatTensor<B>, [height, width]: [usize; 2]) -> FloatTensor<B> {
        let [batch, ..] = y.shape().dims::<4>();
        B::float_slice(y, &[Slice::from(0..batch), Slice::from(0..height), Slice::from(0..width)])
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
        let (out, [kernel, stride, padding]) = (out::<B>(&x, window), spans(window));
        first::<B>(to_nhwc::<B>(B::max_pool2d(to_nchw::<B>(x), kernel, stride, padding, [1, 1], false)), out)
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

    pub fn patch_errors<B: Backend>(
        prediction: FloatTensor<B>,
        patches: FloatTensor<B>,
        removed: FloatTensor<B>,
        normalized: bool,
    ) -> FloatTensor<B> {
        let shape @ [rows, values] = prediction.shape().dims();
        let mut target = B::float_reshape(patches, Shape::from(shape));
        if normalized {
            let centered = B::float_sub(target.clone(), B::float_mean_dim(target, 1));
            let squares = B::float_sum_dim(B::float_mul(centered.clone(), centered.clone()), 1);
            let variance = B::float_div_scalar(squares, (values as f64 - 1.0).max(1.0).into());
            target = B::float_div(centered, B::float_sqrt(B::float_add_scalar(variance, PATCH_EPSILON.into())));
        }
        let error = B::float_sub(prediction, target);
        let errors = B::float_mean_dim(B::float_mul(error.clone(), error), 1);
        B::float_mul(B::float_reshape(errors, Shape::from([rows])), removed)
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

    /// `outside` after each sequence's end, otherwise `inside`: `[batch, tokens]`.
    fn by_length(lengths: &[usize], tokens: usize, inside: f32, outside: f32) -> TensorData {
        let row = |&length: &usize| (0..tokens).map(move |token| if token < length { inside } else { outside });
        TensorData::new(lengths.iter().flat_map(row).collect::<Vec<f32>>(), [lengths.len(), tokens])
    }

    pub fn attention<B: Backend>(qkv: FloatTensor<B>, heads: usize, lengths: Option<Vec<usize>>) -> FloatTensor<B> {
        let [batch, tokens, packed] = qkv.shape().dims();
        let width = packed / 3 / heads;
        let device = qkv.device();
        let qkv = B::float_reshape(qkv, Shape::from([batch, tokens, 3, heads, width]));
        let qkv = B::float_permute(qkv, &[2, 0, 3, 1, 4]); // [3, batch, heads, tokens, width]
        let part = |i: usize| {
            let part = B::float_slice(qkv.clone(), &[Slice::from(i..i + 1)]);
            B::float_reshape(part, Shape::from([batch, heads, tokens, width]))
        };
        let scores = B::float_matmul(part(0), B::float_swap_dims(part(1), 2, 3)); // [batch, heads, tokens, tokens]
        let mut scores = B::float_mul_scalar(scores, (1.0 / (width as f32).sqrt()).into());
        if let Some(lengths) = &lengths {
            // Far below every score: its exponential is exactly 0.
            let bias = B::float_from_data(by_length(lengths, tokens, 0.0, -1e9), &device);
            scores = B::float_add(scores, B::float_reshape(bias, Shape::from([batch, 1, 1, tokens])));
        }
        let y = B::float_matmul(B::softmax(scores, 3), part(2));
        let y = B::float_reshape(B::float_permute(y, &[0, 2, 1, 3]), Shape::from([batch, tokens, heads * width]));
        let Some(lengths) = lengths else { return y };
        let inside = B::float_from_data(by_length(&lengths, tokens, 1.0, 0.0), &device);
        B::float_mul(y, B::float_reshape(inside, Shape::from([batch, tokens, 1])))
    }

    pub fn log_sums<B: Backend>(z: FloatTensor<B>, candidates: &Candidates) -> FloatTensor<B> {
        let [groups, rows, _] = z.shape().dims();
        let Candidates { scale, period, present } = candidates;
        let device = z.device();
        let there = |row: usize| present.as_ref().is_none_or(|present| present[row] != 0.0);
        // Far below every score: its exponential is exactly 0.
        let bias = (0..groups * rows).flat_map(|i| (i / rows * rows..(i / rows + 1) * rows).map(move |j| (i, j)));
        let bias = bias.map(|(i, j)| if i.abs_diff(j) % period != 0 && there(i) && there(j) { 0.0 } else { -1e9 });
        let bias = TensorData::new(bias.collect::<Vec<f32>>(), [groups, rows, rows]);
        let present = TensorData::new(
            (0..groups * rows).map(|row| f32::from(u8::from(there(row)))).collect::<Vec<f32>>(),
            [groups, rows],
        );
        let scores = B::float_mul_scalar(B::float_matmul(z.clone(), B::float_swap_dims(z, 1, 2)), (*scale).into());
        let scores = B::float_add(scores, B::float_from_data(bias, &device));
        let largest = B::float_detach(B::float_max_dim(scores.clone(), 2));
        let sums = B::float_sum_dim(B::float_exp(B::float_sub(scores, largest.clone())), 2);
        let sums = B::float_reshape(B::float_add(B::float_log(sums), largest), Shape::from([groups, rows]));
        B::float_mul(sums, B::float_from_data(present, &device))
    }

    pub fn gru<B: Backend>(x: &FloatTensor<B>, weight: &FloatTensor<B>, bias: &FloatTensor<B>) -> FloatTensor<B> {
        let ([batch, steps, gates], width) = (x.shape().dims(), weight.shape()[0]);
        let shape = Shape::from([batch, width]);
        let zeros = TensorData::new(vec![0.0f32; batch * width], shape);
        let mut state = B::float_from_data(zeros, &x.device());
        let mut states = Vec::with_capacity(steps);
        for step in 0..steps {
            let now = B::float_slice(x.clone(), &[Slice::from(0..batch), Slice::from(step..step + 1)]);
            let now = B::float_reshape(now, Shape::from([batch, gates]));
            let hidden = linear::<B>(state.clone(), weight.clone(), bias.clone(), Residual::None);
            let gate = |of: &FloatTensor<B>, gate: usize| {
                let columns = gate * width..(gate + 1) * width;
                B::float_slice(of.clone(), &[Slice::from(0..batch), Slice::from(columns)])
            };
            let sigmoid = |place| B::sigmoid(B::float_add(gate(&now, place), gate(&hidden, place)));
            let (r, z) = (sigmoid(0), sigmoid(1));
            let n = B::float_tanh(B::float_add(gate(&now, 2), B::float_mul(r, gate(&hidden, 2))));
            state = B::float_add(n.clone(), B::float_mul(z, B::float_sub(state, n)));
            states.push(B::float_reshape(state.clone(), Shape::from([batch, 1, width])));
        }
        B::float_cat(states, 1)
    }
}
