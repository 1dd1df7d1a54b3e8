//! Temporal convolutional networks (Bai, Kolter & Koltun 2018, "An Empirical Evaluation of Generic Convolutional and Recurrent
//! Networks for Sequence Modeling").
//!
//! Residual blocks of dilated convolutions: those of block i have 2^i steps between their taps, so that what a step sees doubles
//! with every block, while every step keeps a representation of its own. Causal, a step sees itself and what was before. After a
//! linear map of each step, so that steps can be hidden where their values are not known (Yue et al. 2022), the blocks are those
//! of residual networks, with a normalization where the paper has weight normalization and dropout.

use super::resnet::{Block, Layers};
use super::signal::{self, StepPool};
use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Init, Linear, NormKind, Pass};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops::{Span, Window};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[backbone] name = "tcn"`
    pub struct TcnSettings {
        /// width of all blocks but the last
        width: usize = 64, Kind::WIDTH;
        /// width of the last block, and of h
        out: usize = 128, Kind::WIDTH;
        /// residual blocks of two convolutions; the dilation doubles from block to block
        depth: usize = 6, Kind::Integer(Range::Within(1.0, 16.0));
        /// steps that a convolution looks at
        kernel: usize = 3, Kind::Integer(Range::Within(2.0, 64.0));
        /// whether a step sees nothing that comes after it
        causal: bool = true, Kind::Flag;
        /// normalization layers
        norm: NormKind = "batch", Kind::Word(NormKind::WORDS);
        /// h is the mean of the steps, their maximum or the last one
        pool: StepPool = "mean", Kind::Word(StepPool::WORDS);
    }
}

/// Its line in the catalogue.
pub(super) const TCN: BackboneEntry = BackboneEntry {
    name: "tcn",
    family: "tcn",
    modalities: &[Modality::Signal],
    summary: "temporal convolutional network: residual blocks of dilated, causal convolutions",
    keys: TcnSettings::GROUP,
    build,
    check: |_, _, _| Ok(()),
    cost,
};

/// A temporal convolutional network up to its pooled steps.
#[derive(Module, Debug)]
pub struct Tcn {
    /// Of each step by itself.
    input: Linear,
    blocks: Vec<Block>,
    #[module(skip)]
    pool: StepPool,
    #[module(skip)]
    width: usize,
}

fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let settings: TcnSettings = site.read()?;
    let TcnSettings { width, out, depth, norm, pool, .. } = settings;
    let block = |index: usize| {
        let layers =
            Layers { norm, zero_init_last: false, windows: &|kernel, _| window(&settings, kernel, 1 << index) };
        let outputs = if index + 1 == depth { out } else { width };
        Block::basic(&init.child(format!("blocks.{index}")), [width, outputs], [settings.kernel, 1], &layers)
    };
    Ok(Encoder::new(Tcn {
        input: Linear::new(&init.child("input"), [site.channels, width], true),
        blocks: (0..depth).map(block).collect(),
        pool,
        width: out,
    }))
}

/// Of a convolution that keeps the length.
fn window(settings: &TcnSettings, kernel: usize, dilation: usize) -> Window {
    let after = if settings.causal { 0 } else { (kernel - 1) / 2 };
    let span = Span { kernel, stride: 1, before: kernel - 1 - after, after };
    Window::in_time(span).dilated(if kernel == 1 { 1 } else { dilation })
}

fn cost(site: &Site) -> Result<Cost, Error> {
    let TcnSettings { width, out, depth, kernel, .. } = site.read()?;
    let (width, out, blocks) = (width as f64, out as f64, (depth - 1) as f64);
    Ok(Cost {
        parameters: kernel as f64 * (2.0 * blocks * width * width + out * (width + out)),
        activations: site.size.width as f64 * 2.0 * (blocks * width + out),
    })
}

impl Tcn {
    /// A representation of each step that is there, in zeros where there is none; steps whose place in `seen` is 0 are hidden from
    /// the blocks, without a word about their values.
    ///
    /// # Shapes
    /// `x`: `[batch, 1, steps, channels]`, zeros after each signal's end; `seen`: `[batch, 1, steps, 1]`; the result:
    /// `[batch, steps, width of h]`.
    pub fn steps(&self, x: Tensor<4>, lengths: &Lengths, seen: Option<Tensor<4>>, pass: &Pass) -> Tensor<3> {
        self.through(x, self.blocks.len(), lengths, seen, pass)
    }

    fn through(
        &self,
        x: Tensor<4>,
        blocks: usize,
        lengths: &Lengths,
        seen: Option<Tensor<4>>,
        pass: &Pass,
    ) -> Tensor<3> {
        let x = lengths.zero(self.input.forward(x));
        let x = seen.into_iter().fold(x, |x, seen| x * seen);
        signal::steps(self.blocks.iter().take(blocks).fold(x, |x, block| block.forward(x, lengths, pass).0))
    }

    /// The representation of a signal of those of its steps, `[batch, steps, width]` to `[batch, width]`.
    pub fn pooled(&self, steps: Tensor<3>, lengths: &Lengths) -> Tensor<2> {
        self.pool.of(steps, lengths)
    }
}

impl Backbone for Tcn {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let (x, lengths) = Lengths::of(x);
        self.pooled(self.steps(x, &lengths, None, pass), &lengths)
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        let (x, lengths) = Lengths::of(x);
        Some(lengths.mark(self.through(x, stage, &lengths, None, pass)))
    }

    fn pool(&self, places: Tensor<3>, _stage: usize) -> Tensor<2> {
        let [batch, steps, features] = places.dims();
        let (x, lengths) = Lengths::of(places.reshape([batch, 1, steps, features]));
        self.pooled(signal::steps(x), &lengths)
    }

    fn width(&self) -> usize {
        self.width
    }

    /// Every batch norm is folded into its convolution.
    fn for_inference(mut self) -> Self {
        self.blocks.iter_mut().for_each(Block::fold);
        self
    }

    /// The first map, then block by block.
    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "blocks.").map_or(0, |block| block + 1)
    }
}
