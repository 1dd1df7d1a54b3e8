//! Two-dimensional convolution: forward, input gradient and weight gradient.
//!
//! Activations are `[batch, height, width, channels]`, weights `[kernel y, kernel x, channels in, channels out]`:
//! `y[n, i, j, o] = Σ x[n, i·s + ky − p, j·s' + kx − p', c] · w[ky, kx, c, o]`, values outside the image being 0. A signal is an image
//! of height 1, its kernels are 1×k.
//!
//! Two algorithms share one micro-kernel (`micro.rs`). `winograd` needs a quarter of the multiplications for 3×3 kernels of
//! stride 1; `direct` takes everything else. The shape alone decides which one (`Algorithm::of`), unless
//! [`TILE_VARIABLE`] asks for more accuracy.

mod direct;
mod epilogue;
mod moments;
pub(crate) mod panels;
mod patches;
#[cfg(test)]
mod tests;
mod weights;
mod winograd;

use crate::{
    Isa, Precision,
    precision::at_precision,
    profile::{self, Work},
};
use std::sync::OnceLock;

pub use epilogue::{Activate, Epilogue};
pub use moments::ChannelMoments;
pub use weights::{PackedWeights, Weights};

/// The environment variable that bounds the side of Winograd's output tiles.
pub const TILE_VARIABLE: &str = "SELFSAME_WINOGRAD";

/// The bound is not one that there is code for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{TILE_VARIABLE}={0}: expected 4 (fast, the default) or 2 (as accurate as a direct convolution)")]
pub struct TileError(String);

/// Largest side of Winograd's output tiles in this process: 4, or what `SELFSAME_WINOGRAD` names; decided at the first call.
///
/// # Errors
/// If the variable is neither 4 nor 2. Call it at program start to report this.
pub fn largest_tile() -> Result<usize, TileError> {
    static SELECTED: OnceLock<Result<usize, TileError>> = OnceLock::new();
    SELECTED.get_or_init(|| choose_tile(std::env::var(TILE_VARIABLE).ok().as_deref())).clone()
}

fn choose_tile(named: Option<&str>) -> Result<usize, TileError> {
    match named {
        None | Some("" | "4") => Ok(4),
        Some("2") => Ok(2),
        Some(other) => Err(TileError(other.into())),
    }
}

/// How a kernel, or the window of a pooling, moves along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// Length of the kernel.
    pub kernel: usize,
    /// Its step.
    pub stride: usize,
    /// Values that are added before the input: zeros, or in a pooling nothing.
    pub before: usize,
    /// The same after it.
    pub after: usize,
}

impl Span {
    /// With the same padding before and after.
    pub const fn padded(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel, stride, before: padding, after: padding }
    }

    /// Outputs on `len` inputs.
    ///
    /// # Panics
    /// If there are none.
    pub fn out(&self, len: usize) -> usize {
        let Self { kernel, stride, before, after } = *self;
        let padded = before + len + after;
        assert!(
            kernel > 0 && stride > 0 && padded >= kernel,
            "no output position: a kernel of {kernel} and stride {stride} on {before} + {len} + {after} values"
        );
        (padded - kernel) / stride + 1
    }
}

/// The shape of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub batch: usize,
    /// Input height.
    pub height: usize,
    /// Input width.
    pub width: usize,
    /// Input channels.
    pub channels_in: usize,
    /// Output channels.
    pub channels_out: usize,
    /// The kernel from top to bottom.
    pub y: Span,
    /// The kernel from left to right.
    pub x: Span,
}

impl ConvShape {
    /// Output height.
    pub fn out_height(&self) -> usize {
        self.y.out(self.height)
    }

    /// Output width.
    pub fn out_width(&self) -> usize {
        self.x.out(self.width)
    }

    /// Values of the input, `batch · height · width · channels_in`.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.channels_in
    }

    /// Values of the output, `batch · out_height · out_width · channels_out`.
    pub fn output_len(&self) -> usize {
        self.batch * self.out_height() * self.out_width() * self.channels_out
    }

    /// Values of the weights, `kernel height · kernel width · channels_in · channels_out`.
    pub fn weight_len(&self) -> usize {
        self.taps() * self.channels_in * self.channels_out
    }

    /// Positions of the kernel.
    fn taps(&self) -> usize {
        self.y.kernel * self.x.kernel
    }

    fn work(&self) -> Work {
        let Self { batch, height, width, channels_in, channels_out, y, x } = self;
        let output = self.output_len();
        Work {
            shape: format!(
                "{batch}×{height}×{width} {channels_in}→{channels_out} kernel {}×{} stride {}×{}",
                y.kernel, x.kernel, y.stride, x.stride
            ),
            products: output * self.taps() * channels_in,
            values: self.input_len() + self.weight_len() + output,
        }
    }

    /// Asserts that operands have the lengths of this shape.
    fn check(&self, x: usize, w: usize, y: usize) {
        assert!(self.channels_in > 0 && self.channels_out > 0, "a convolution without channels: {self:?}");
        assert!(
            (x, w, y) == (self.input_len(), self.weight_len(), self.output_len()),
            "{self:?} has input [{}, {}, {}, {}], weights [{}, {}, {}, {}] and output [{}, {}, {}, {}], that is {}, {} and {} \
             values; received {x}, {w} and {y}",
            self.batch,
            self.height,
            self.width,
            self.channels_in,
            self.y.kernel,
            self.x.kernel,
            self.channels_in,
            self.channels_out,
            self.batch,
            self.out_height(),
            self.out_width(),
            self.channels_out,
            self.input_len(),
            self.weight_len(),
            self.output_len(),
        );
    }
}

/// Multiplications that take as long as it takes to read a weight, or a point of one, from memory.
const WEIGHT_COST: usize = 25;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// Implicit matmul over patches.
    Direct,
    /// Winograd F(2×2, 3×3): 2.25 times fewer multiplications, accurate as direct.
    Winograd2,
    /// Winograd F(4×4, 3×3): 4 times fewer multiplications, relative error about 1e-5.
    Winograd4,
}

impl Algorithm {
    /// The algorithm for a shape, in this process.
    fn active(conv: &ConvShape) -> Algorithm {
        Algorithm::of(conv, largest_tile().unwrap_or_else(|error| panic!("{error}")))
    }

    /// The algorithm for a shape with tiles of at most `largest`: the one with the fewest multiplications, tiles that
    /// overhang the map included, and with the fewest points of weights to read, which are most of the work of a single photo's last layers.
    ///
    /// Below eight channels the transforms cost more than the multiplications they save.
    fn of(conv: &ConvShape, largest: usize) -> Algorithm {
        let three = |span: Span| span.kernel == 3 && span.stride == 1 && span.before <= 2 && span.before == span.after;
        // Winograd's transforms are of square tiles and pad alike on all sides.
        if !three(conv.y) || conv.y != conv.x || conv.channels_in.min(conv.channels_out) < 8 {
            return Algorithm::Direct;
        }
        let (batch, height, width) = (conv.batch, conv.out_height(), conv.out_width());
        let tiles = |side: usize| batch * height.div_ceil(side) * width.div_ceil(side);
        let direct = (Algorithm::Direct, 9 * (batch * height * width + WEIGHT_COST));
        let two = (Algorithm::Winograd2, 16 * (tiles(2) + WEIGHT_COST));
        let four = (Algorithm::Winograd4, 36 * (tiles(4) + WEIGHT_COST));
        let candidates = if largest < 4 { &[two, direct][..] } else { &[four, two, direct] };
        candidates.iter().min_by_key(|(_, cost)| *cost).map_or(Algorithm::Direct, |&(algorithm, _)| algorithm)
    }
}

/// What a convolution is computed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct By {
    isa: Isa,
    precision: Precision,
    algorithm: Algorithm,
}

impl By {
    /// What it is for a shape, in this process, at the precision of this thread.
    fn active(conv: &ConvShape) -> By {
        By { isa: Isa::active(), precision: Precision::active(), algorithm: Algorithm::active(conv) }
    }
}

/// `y = conv(x, w)`, and what `epilogue` does to it.
///
/// # Panics
/// If a slice does not have the length of its shape, or packed weights do not [serve](PackedWeights::serve) it.
pub fn forward(conv: &ConvShape, x: &[f32], w: Weights, y: &mut [f32], epilogue: Epilogue) {
    let _span = profile::kernel("convolution", || conv.work());
    forward_by(By::active(conv), conv, x, w, y, epilogue);
}

/// `dx = ∂L/∂x` from `dy = ∂L/∂y`; with `accumulate` it is added to `dx`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn input_grad(conv: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    let _span = profile::kernel("convolution, input gradient", || conv.work());
    input_grad_by(By::active(conv), conv, dy, w, dx, accumulate);
}

/// `dw = ∂L/∂w` from `dy = ∂L/∂y`.
///
/// # Panics
/// If a slice does not have the length of its shape.
pub fn weight_grad(conv: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let _span = profile::kernel("convolution, weight gradient", || conv.work());
    weight_grad_by(By::active(conv), conv, x, dy, dw);
}

fn forward_by(by: By, conv: &ConvShape, x: &[f32], w: Weights, y: &mut [f32], epilogue: Epilogue) {
    conv.check(x.len(), w.len(by, conv), y.len());
    let channels = match &epilogue {
        Epilogue::None => conv.channels_out,
        Epilogue::Moments(moments) => moments.mean().len(),
        Epilogue::Activate(Activate { bias, residual, .. }) => {
            let added = residual.map_or(y.len(), <[f32]>::len);
            assert!(added == y.len(), "a residual of {added} values for an output of {}: {conv:?}", y.len());
            bias.len()
        }
    };
    assert!(channels == conv.channels_out, "an epilogue of {channels} channels for an output of {}", conv.channels_out);
    if y.is_empty() {
        return;
    }
    let isa = by.isa;
    at_precision!(by.precision, E => match by.algorithm {
        Algorithm::Direct => direct::forward::<E>(isa, conv, x, w, y, epilogue),
        Algorithm::Winograd2 => winograd::forward::<E, 2>(isa, conv, x, w, y, epilogue),
        Algorithm::Winograd4 => winograd::forward::<E, 4>(isa, conv, x, w, y, epilogue),
    });
}

fn input_grad_by(by: By, conv: &ConvShape, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    conv.check(dx.len(), w.len(), dy.len());
    if dx.is_empty() {
        return;
    }
    let isa = by.isa;
    at_precision!(by.precision, E => match by.algorithm {
        Algorithm::Direct => direct::input_grad::<E>(isa, conv, dy, w, dx, accumulate),
        Algorithm::Winograd2 => winograd::input_grad::<E, 2>(isa, conv, dy, w, dx, accumulate),
        Algorithm::Winograd4 => winograd::input_grad::<E, 4>(isa, conv, dy, w, dx, accumulate),
    });
}

fn weight_grad_by(by: By, conv: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    conv.check(x.len(), dw.len(), dy.len());
    if dy.is_empty() {
        dw.fill(0.0);
        return;
    }
    let isa = by.isa;
    at_precision!(by.precision, E => match by.algorithm {
        Algorithm::Direct => direct::weight_grad::<E>(isa, conv, x, dy, dw),
        Algorithm::Winograd2 => winograd::weight_grad::<E, 2>(isa, conv, x, dy, dw),
        Algorithm::Winograd4 => winograd::weight_grad::<E, 4>(isa, conv, x, dy, dw),
    });
}
