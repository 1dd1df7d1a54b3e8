//! Batch normalization and what usually follows it: residual addition and ReLU, forward and backward, in the fewest passes.
//!
//! Activations are `[rows, channels]` matrices (NHWC: a row is a pixel). These passes do a few operations per value, so their
//! time is the traffic to memory, and everything that meets the same value is done while it is in a register:
//!
//! ```text
//! forward    statistics   μ, σ²  (unless the convolution gathered them)       reads x
//!            normalize    y = relu(γ x̂ + β + r),  x̂ = (x − μ) / √(σ² + ε)      reads x, r; writes y and one bit per value
//! backward   sums         dβ = Σ g,  dγ = Σ g x̂,  g = dy where y > 0          reads dy, bits, x
//!            input        dx = γ / √(σ² + ε) · (g − dβ/n − x̂ dγ/n),  dr = g    reads dy, bits, x; writes dx (and dr)
//! ```
//!
//! The bits replace a second reading of y by a 32nd of its traffic. Sums run in f32 over 32 values, then in f64, in an
//! order given by the shape. (Ioffe & Szegedy 2015, arXiv:1502.03167; variances by Chan, Golub & LeVeque 1979.)

mod moments;

use crate::{
    Isa,
    conv::ChannelMoments,
    lanes::{Kernel, LANES, Lanes},
    memory::Pooled,
    partition::{
        InOut, Partials, Period, QUAD, Quad, Split, Words, for_each_part, last_quad, parameters, quad, quads,
        quads_mut, rows, store_last_quad,
    },
    profile::{self, Work},
};

/// Values per channel that are added in f32 before the sum goes on in f64.
pub(crate) const TILE: usize = 32;

/// A normalization `γ (x − μ) / √(σ² + ε) + β` per channel.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm<'a> {
    /// Mean μ and biased variance σ²: of the batch in training, the running ones in inference.
    pub moments: &'a ChannelMoments,
    /// Scale γ, `[channels]`; `None`: 1.
    pub gamma: Option<&'a [f32]>,
    /// Shift β, `[channels]`; `None`: 0.
    pub beta: Option<&'a [f32]>,
    /// ε, added to the variance.
    pub epsilon: f32,
}

impl BatchNorm<'_> {
    fn channels(&self) -> usize {
        let channels = self.moments.mean().len();
        for (what, values) in [("scales", self.gamma), ("shifts", self.beta)] {
            let len = values.map_or(channels, <[f32]>::len);
            assert_eq!(len, channels, "{what} of a normalization of {channels} channels");
        }
        channels
    }

    fn mean(&self, channel: usize) -> f64 {
        self.moments.mean()[channel]
    }

    /// `1 / √(σ² + ε)` of a channel.
    fn inverse_deviation(&self, channel: usize) -> f64 {
        (self.moments.variance()[channel] + f64::from(self.epsilon)).sqrt().recip()
    }

    fn gamma(&self, channel: usize) -> f64 {
        self.gamma.map_or(1.0, |gamma| f64::from(gamma[channel]))
    }

    fn beta(&self, channel: usize) -> f32 {
        self.beta.map_or(0.0, |beta| beta[channel])
    }
}

/// What follows the sum.
pub enum Activation<'a> {
    /// Nothing.
    Identity,
    /// `max(·, 0)`, for inference.
    Relu,
    /// `max(·, 0)`, and for the backward pass bit `i % 16` of word `i / 16` tells whether element `i` is positive. The
    /// slice has [`mask_words`] words; bits beyond the last element are unspecified.
    ReluMask(&'a mut [u16]),
}

/// Words of the ReLU mask of a slice of `elements`.
pub fn mask_words(elements: usize) -> usize {
    elements.div_ceil(LANES)
}

/// The gradient that arrives at the output, and what becomes of the masked copy of it, which is the gradient of the residual.
pub enum OutputGradient<'a> {
    /// There is no residual: the gradient is only read.
    Read(&'a [f32]),
    /// The masked gradient replaces it.
    Mask(&'a mut [f32]),
    /// The masked gradient is written to the second slice.
    Write(&'a [f32], &'a mut [f32]),
    /// The masked gradient is added to the second slice.
    Add(&'a [f32], &'a mut [f32]),
}

impl<'a> OutputGradient<'a> {
    fn values(&self) -> &[f32] {
        match self {
            Self::Read(dy) | Self::Write(dy, _) | Self::Add(dy, _) => dy,
            Self::Mask(dy) => dy,
        }
    }

    fn len(&self) -> usize {
        if let Self::Write(dy, residual) | Self::Add(dy, residual) = self {
            assert_eq!(dy.len(), residual.len(), "elements of the output gradient and of the residual's");
        }
        self.values().len()
    }

    /// The gradient, if it is not where its masked copy goes; where that goes, if anywhere; whether it is added there.
    #[inline(always)]
    fn into_parts(self) -> (Option<&'a [f32]>, Option<&'a mut [f32]>, bool) {
        match self {
            Self::Read(dy) => (Some(dy), None, false),
            Self::Mask(dy) => (None, Some(dy), false),
            Self::Write(dy, to) => (Some(dy), Some(to), false),
            Self::Add(dy, to) => (Some(dy), Some(to), true),
        }
    }
}

impl Split for OutputGradient<'_> {
    fn split(self, at: usize) -> (Self, Self) {
        match self {
            Self::Read(dy) => {
                let (a, b) = dy.split_at(at);
                (Self::Read(a), Self::Read(b))
            }
            Self::Mask(dy) => {
                let (a, b) = dy.split_at_mut(at);
                (Self::Mask(a), Self::Mask(b))
            }
            Self::Write(dy, to) => {
                let ((a, b), (c, d)) = (dy.split_at(at), to.split_at_mut(at));
                (Self::Write(a, c), Self::Write(b, d))
            }
            Self::Add(dy, to) => {
                let ((a, b), (c, d)) = (dy.split_at(at), to.split_at_mut(at));
                (Self::Add(a, c), Self::Add(b, d))
            }
        }
    }
}

/// `out = activation(normalize(x) [+ residual])`, all `[rows, channels]`, in one pass.
///
/// # Panics
/// If the shapes do not fit.
pub fn normalize(x: &[f32], norm: BatchNorm, residual: Option<&[f32]>, activation: Activation, out: &mut [f32]) {
    let _span =
        profile::kernel("batch norm", || Work::pass(x.len(), norm.channels(), 2 + usize::from(residual.is_some())));
    let channel = |c| [norm.mean(c) as f32, (norm.inverse_deviation(c) * norm.gamma(c)) as f32, norm.beta(c)];
    affine(InOut::Apart(x, out), norm.channels(), channel, residual, activation);
}

/// `activation(scale · x + shift [+ residual])`, `[rows, channels]`, in one pass: a normalization by fixed statistics.
///
/// `scale` and `shift` are `[channels]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn scale_shift(x: InOut, scale: &[f32], shift: &[f32], residual: Option<&[f32]>, activation: Activation) {
    let _span =
        profile::kernel("scale and shift", || Work::pass(x.len(), shift.len(), 2 + usize::from(residual.is_some())));
    assert_eq!(scale.len(), shift.len(), "scales and shifts");
    affine(x, shift.len(), |c| [0.0, scale[c], shift[c]], residual, activation);
}

/// `activation(x + bias [+ residual])`, `[rows, channels]`, in one pass: what follows a layer without normalization.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_bias(x: InOut, bias: &[f32], residual: Option<&[f32]>, activation: Activation) {
    let _span = profile::kernel("bias", || Work::pass(x.len(), bias.len(), 2 + usize::from(residual.is_some())));
    affine(x, bias.len(), |c| [0.0, 1.0, bias[c]], residual, activation);
}

/// `activation((x − center) · scale + shift [+ residual])`, with `[center, scale, shift]` of every channel.
fn affine(
    x: InOut,
    channels: usize,
    channel: impl Fn(usize) -> [f32; 3],
    residual: Option<&[f32]>,
    activation: Activation,
) {
    let len = x.len();
    rows(len, channels, "activations");
    if let Some(residual) = residual {
        assert_eq!(residual.len(), len, "elements of the residual and of the activations");
    }
    let (relu, mask) = match activation {
        Activation::Identity => (false, None),
        Activation::Relu => (true, None),
        Activation::ReluMask(mask) => {
            assert_eq!(mask.len(), mask_words(len), "words of the mask of {len} elements");
            (true, Some(mask))
        }
    };
    let (isa, period) = (Isa::active(), Period::new(channels));
    let spread = period.spread(channel);
    for_each_part((x, residual, mask.map(Words)), len, period.part(), &|(x, residual, mask)| {
        let mask = mask.map(|Words(words)| words);
        isa.run(Affine { x, residual, relu, mask, parameters: parameters(&spread) });
    });
}

struct Affine<'a> {
    x: InOut<'a>,
    residual: Option<&'a [f32]>,
    relu: bool,
    mask: Option<&'a mut [u16]>,
    parameters: &'a [[Quad; 3]],
}

impl Kernel for Affine<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Affine { x, residual, relu, mut mask, parameters } = self;
        let (x, y) = x.into_parts();
        let mut phase = 0;
        for (i, y) in quads_mut(y).iter_mut().enumerate() {
            let bits = mask.as_mut().map(|mask| &mut mask.as_chunks_mut().0[i]);
            affine_quad::<V>(quad(x, i), y, quad(residual, i), relu, bits, &parameters[phase]);
            phase = if phase + 1 == parameters.len() { 0 } else { phase + 1 };
        }
        if !y.len().is_multiple_of(QUAD) {
            let (mut last, mut bits) = (last_quad(y), [0; 4]);
            let (x, residual) = (x.map(last_quad), residual.map(last_quad));
            affine_quad::<V>(x.as_ref(), &mut last, residual.as_ref(), relu, Some(&mut bits), &parameters[phase]);
            store_last_quad(y, &last);
            if let Some(mask) = mask {
                let rest = &mut mask[y.len() / QUAD * 4..];
                rest.copy_from_slice(&bits[..rest.len()]);
            }
        }
    }
}

/// See [`affine`]; `x` is `None` if it is in the place of `y`.
#[inline(always)]
fn affine_quad<V: Lanes>(
    x: Option<&Quad>,
    y: &mut Quad,
    residual: Option<&Quad>,
    relu: bool,
    mut mask: Option<&mut [u16; 4]>,
    [center, scale, shift]: &[Quad; 3],
) {
    for v in 0..4 {
        let x = V::load(if let Some(x) = x { &x[v] } else { &y[v] }) - V::load(&center[v]);
        let mut sum = x.mul_add(V::load(&scale[v]), V::load(&shift[v]));
        if let Some(residual) = residual {
            sum = sum + V::load(&residual[v]);
        }
        if let Some(mask) = &mut mask {
            mask[v] = sum.positive();
        }
        if relu {
            // In this order NaN stays NaN, so that a diverged network is noticed.
            sum = V::splat(0.0).max(sum);
        }
        sum.store(&mut y[v]);
    }
}

/// Backward pass of [`normalize`] with batch statistics.
///
/// `x` is the input of the forward pass; its result is the gradient dx. `norm` is that of the forward pass, with the moments
/// of `x` itself. `mask` is that of the forward pass, `None` without ReLU. `dgamma` and `dbeta`, `[channels]`, are
/// overwritten.
///
/// # Panics
/// If the shapes do not fit.
pub fn normalize_backward(
    x: InOut,
    norm: BatchNorm,
    dy: OutputGradient,
    mask: Option<&[u16]>,
    dgamma: &mut [f32],
    dbeta: &mut [f32],
) {
    let _span = profile::kernel("batch norm, backward", || Work::pass(x.len(), norm.channels(), 3));
    let (len, channels) = (x.len(), norm.channels());
    let count = rows(len, channels, "activations") as f64;
    check_gradient(len, &dy, mask);
    assert_eq!([dgamma.len(), dbeta.len()], [channels; 2], "gradients of scales and shifts of {channels} channels");
    let (isa, period) = (Isa::active(), Period::new(channels));

    let mean = period.spread(|c| [norm.mean(c) as f32]);
    let totals =
        column_totals::<_, 2>((x.operand(), dy.values(), mask.map(Words)), len, period, &|(x, dy, mask), sums| {
            let mask = mask.map(|Words(words)| words);
            isa.run(BackwardSums { x, mean: quads(&mean), dy, mask, sums });
        });
    let (sums, products) = totals.split_at(channels);
    for c in 0..channels {
        dbeta[c] = sums[c] as f32;
        dgamma[c] = (products[c] * norm.inverse_deviation(c)) as f32;
    }

    let spread = period.spread(|c| {
        let inverse = norm.inverse_deviation(c);
        let factor = norm.gamma(c) * inverse;
        let slope = -factor * inverse * inverse * products[c] / count;
        [norm.mean(c) as f32, factor as f32, slope as f32, (-factor * sums[c] / count) as f32]
    });
    for_each_part((x, dy, mask.map(Words)), len, period.part(), &|(x, dy, mask)| {
        let mask = mask.map(|Words(words)| words);
        isa.run(BackwardInput { x, dy, mask, parameters: parameters(&spread) });
    });
}

/// Backward pass of [`add_bias`]: the gradient of its input and of its residual is the masked output gradient `dy`; the
/// gradient of the bias, `dbias` `[channels]`, which is overwritten, is the column sums of that. In one pass.
///
/// # Panics
/// If the shapes do not fit.
pub fn add_bias_backward(dy: OutputGradient, mask: Option<&[u16]>, dbias: &mut [f32]) {
    let _span = profile::kernel("bias, backward", || Work::pass(dy.len(), dbias.len(), 1));
    let (len, channels) = (dy.len(), dbias.len());
    rows(len, channels, "output gradients");
    check_gradient(len, &dy, mask);
    let (isa, period) = (Isa::active(), Period::new(channels));
    let totals = column_totals::<_, 1>((dy, mask.map(Words)), len, period, &|(dy, mask), sums| {
        let mask = mask.map(|Words(words)| words);
        isa.run(MaskedSums { dy, mask, sums });
    });
    for (to, &total) in dbias.iter_mut().zip(&*totals) {
        *to = total as f32;
    }
}

fn check_gradient(len: usize, dy: &OutputGradient, mask: Option<&[u16]>) {
    assert_eq!(dy.len(), len, "elements of the output gradient and of the activations");
    if let Some(mask) = mask {
        assert_eq!(mask.len(), mask_words(len), "words of the mask of {len} elements");
    }
}

/// `N` sums per channel over a `[rows, channels]` matrix, `[N, channels]`: `task` adds those of a part, laid out over a
/// period, to zeros; parts are added in their order, then the lanes of each channel.
fn column_totals<S: Split, const N: usize>(
    operands: S,
    len: usize,
    period: Period,
    task: &(impl Fn(S, &mut [f64]) + Sync),
) -> Pooled<f64> {
    let (part, each) = (period.reduction_part(len), N * period.elements());
    let mut partials = Pooled::<f64>::for_overwrite(len.div_ceil(part).max(1) * each);
    partials.fill(0.0);
    let values = Partials { values: &mut partials, each, part };
    for_each_part((operands, values), len, part, &|(operands, partials)| task(operands, partials.values));

    let (first, others) = partials.split_at_mut(each);
    for other in others.chunks_exact(each) {
        for (total, value) in first.iter_mut().zip(other) {
            *total += value;
        }
    }
    let mut totals = Pooled::for_overwrite(N * period.channels);
    for (totals, lanes) in totals.chunks_exact_mut(period.channels).zip(first.chunks_exact(period.elements())) {
        let (first, copies) = lanes.split_at(period.channels);
        totals.copy_from_slice(first);
        for copy in copies.chunks_exact(period.channels) {
            for (total, value) in totals.iter_mut().zip(copy) {
                *total += value;
            }
        }
    }
    totals
}

/// `g`: the gradient where the bit is set, or everywhere without a mask.
#[inline(always)]
fn masked<V: Lanes>(dy: &[f32; LANES], mask: Option<&[u16; 4]>, v: usize) -> V {
    match mask {
        Some(mask) => V::load(dy).keep(mask[v]),
        None => V::load(dy),
    }
}

/// The words of quad `i`.
#[inline(always)]
fn mask_quad(mask: Option<&[u16]>, i: usize) -> Option<&[u16; 4]> {
    mask.map(|mask| &mask.as_chunks().0[i])
}

/// The words that follow those of `whole` quads, and then zeros.
#[inline(always)]
fn last_mask_quad(mask: Option<&[u16]>, whole: usize) -> Option<[u16; 4]> {
    let rest = &mask?[whole * 4..];
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    Some(last)
}

/// Adds four vectors to the sums of quad `phase`.
#[inline(always)]
fn accumulate<V: Lanes>(sums: &mut [[f64; QUAD]], phase: usize, values: [V; 4]) {
    let mut lanes = [[0.0; LANES]; 4];
    for v in 0..4 {
        values[v].store(&mut lanes[v]);
    }
    let lanes = lanes.as_flattened();
    let sums = &mut sums[phase];
    for lane in 0..QUAD {
        sums[lane] += f64::from(lanes[lane]);
    }
}

/// Per lane of a period: `Σ g` and `Σ g (x − μ)`.
struct BackwardSums<'a> {
    x: &'a [f32],
    mean: &'a [Quad],
    dy: &'a [f32],
    mask: Option<&'a [u16]>,
    sums: &'a mut [f64],
}

impl Kernel for BackwardSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let BackwardSums { x, mean, dy, mask, sums } = self;
        let period = mean.len();
        let (sums, products) = sums.as_chunks_mut().0.split_at_mut(period);
        let (xs, dys) = (quads(x), quads(dy));
        for tile in (0..xs.len()).step_by(TILE * period) {
            for phase in 0..period.min(xs.len() - tile) {
                let mut totals = [[V::splat(0.0); 4]; 2];
                for i in (tile + phase..xs.len().min(tile + TILE * period)).step_by(period) {
                    backward_sums_quad(&xs[i], &mean[phase], &dys[i], mask_quad(mask, i), &mut totals);
                }
                accumulate(sums, phase, totals[0]);
                accumulate(products, phase, totals[1]);
            }
        }
        if !x.len().is_multiple_of(QUAD) {
            let (phase, mut totals) = (xs.len() % period, [[V::splat(0.0); 4]; 2]);
            let mask = last_mask_quad(mask, xs.len());
            backward_sums_quad(&last_quad(x), &mean[phase], &last_quad(dy), mask.as_ref(), &mut totals);
            accumulate(sums, phase, totals[0]);
            accumulate(products, phase, totals[1]);
        }
    }
}

#[inline(always)]
fn backward_sums_quad<V: Lanes>(
    x: &Quad,
    mean: &Quad,
    dy: &Quad,
    mask: Option<&[u16; 4]>,
    [sums, products]: &mut [[V; 4]; 2],
) {
    for v in 0..4 {
        let gradient = masked::<V>(&dy[v], mask, v);
        sums[v] = sums[v] + gradient;
        products[v] = gradient.mul_add(V::load(&x[v]) - V::load(&mean[v]), products[v]);
    }
}

/// `dx = factor · g + slope · (x − μ) + constant`.
struct BackwardInput<'a> {
    x: InOut<'a>,
    dy: OutputGradient<'a>,
    mask: Option<&'a [u16]>,
    /// Mean, factor, slope and constant.
    parameters: &'a [[Quad; 4]],
}

impl Kernel for BackwardInput<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let BackwardInput { x, dy, mask, parameters } = self;
        let (x, dx) = x.into_parts();
        let (dy, mut residual, add) = dy.into_parts();
        let mut phase = 0;
        for (i, dx) in quads_mut(dx).iter_mut().enumerate() {
            let residual = residual.as_mut().map(|residual| &mut quads_mut(residual)[i]);
            let gradient = gradient_quad::<V>(quad(dy, i), residual, add, mask_quad(mask, i));
            backward_input_quad(quad(x, i), dx, gradient, &parameters[phase]);
            phase = if phase + 1 == parameters.len() { 0 } else { phase + 1 };
        }
        if !dx.len().is_multiple_of(QUAD) {
            let gradient = last_gradient_quad::<V>(dy, residual, add, last_mask_quad(mask, dx.len() / QUAD));
            let (x, mut last) = (x.map(last_quad), last_quad(dx));
            backward_input_quad(x.as_ref(), &mut last, gradient, &parameters[phase]);
            store_last_quad(dx, &last);
        }
    }
}

#[inline(always)]
fn backward_input_quad<V: Lanes>(
    x: Option<&Quad>,
    dx: &mut Quad,
    gradient: [V; 4],
    [mean, factor, slope, constant]: &[Quad; 4],
) {
    for v in 0..4 {
        let x = V::load(if let Some(x) = x { &x[v] } else { &dx[v] }) - V::load(&mean[v]);
        let rest = x.mul_add(V::load(&slope[v]), V::load(&constant[v]));
        gradient[v].mul_add(V::load(&factor[v]), rest).store(&mut dx[v]);
    }
}

/// `g`, which is also written or added to the residual's gradient if there is one; `dy` is `None` if it is in that place.
#[inline(always)]
fn gradient_quad<V: Lanes>(
    dy: Option<&Quad>,
    mut residual: Option<&mut Quad>,
    add: bool,
    mask: Option<&[u16; 4]>,
) -> [V; 4] {
    let mut gradient = [V::splat(0.0); 4];
    for v in 0..4 {
        let dy = match (dy, &residual) {
            (Some(dy), _) => &dy[v],
            (None, Some(dy)) => &dy[v],
            (None, None) => unreachable!("the gradient is read somewhere"),
        };
        gradient[v] = masked(dy, mask, v);
        if let Some(residual) = &mut residual {
            let sum = if add { V::load(&residual[v]) + gradient[v] } else { gradient[v] };
            sum.store(&mut residual[v]);
        }
    }
    gradient
}

/// [`gradient_quad`] of the last quad, which is partial; its missing lanes are 0.
#[inline(always)]
fn last_gradient_quad<V: Lanes>(
    dy: Option<&[f32]>,
    residual: Option<&mut [f32]>,
    add: bool,
    mask: Option<[u16; 4]>,
) -> [V; 4] {
    let dy = dy.map(last_quad);
    let Some(residual) = residual else {
        return gradient_quad(dy.as_ref(), None, add, mask.as_ref());
    };
    let mut last = last_quad(residual);
    let gradient = gradient_quad(dy.as_ref(), Some(&mut last), add, mask.as_ref());
    store_last_quad(residual, &last);
    gradient
}

/// Per lane of a period: `Σ g`; and `g` is masked and written as asked for.
struct MaskedSums<'a> {
    dy: OutputGradient<'a>,
    mask: Option<&'a [u16]>,
    sums: &'a mut [f64],
}

impl Kernel for MaskedSums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let MaskedSums { dy, mask, sums } = self;
        let (len, sums) = (dy.values().len(), sums.as_chunks_mut().0);
        let (count, period) = (len / QUAD, sums.len());
        let (dy, mut residual, add) = dy.into_parts();
        for tile in (0..count).step_by(TILE * period) {
            for phase in 0..period.min(count - tile) {
                let mut total = [V::splat(0.0); 4];
                for i in (tile + phase..count.min(tile + TILE * period)).step_by(period) {
                    let residual = residual.as_mut().map(|residual| &mut quads_mut(residual)[i]);
                    let gradient = gradient_quad::<V>(quad(dy, i), residual, add, mask_quad(mask, i));
                    for v in 0..4 {
                        total[v] = total[v] + gradient[v];
                    }
                }
                accumulate(sums, phase, total);
            }
        }
        if !len.is_multiple_of(QUAD) {
            accumulate(sums, count % period, last_gradient_quad::<V>(dy, residual, add, last_mask_quad(mask, count)));
        }
    }
}

#[cfg(test)]
mod tests;
