//! ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s"): a residual network with the habits of a transformer.
//!
//! A block filters every channel on its own over 7×7 pixels, then lets channels ask each other at every pixel, as a transformer's
//! MLP does, and adds what comes out, scaled feature by feature: `x ← x + gamma · mlp(norm(conv_dw(x)))`. The architecture, the
//! parameter names (`stem.0`, `stages.0.blocks.0.conv_dw` …) and the initialization are timm's. Everything is NHWC.

use super::vit::Mlp;
use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Init, LayerNorm, Pass, drop_path};
use crate::tensor::ops;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings, value};
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;

settings! {
    /// `[backbone]` of every ConvNeXt.
    pub struct ConvNextSettings {
        /// side of the first layer's patches, px
        patch_size: usize = (derived "2 up to 64 px, above 4", |s| {
            value(if s.sides("data.size")?.into_iter().max()? <= 64 { 2 } else { 4 })
        }), Kind::Integer(Range::Within(1.0, 64.0));
        /// share of samples that skip a block, rising to this over the depth
        drop_path: f64 = 0.0, Kind::MOMENTUM;
    }
}

settings! {
    /// `[backbone]` of the micro network, besides.
    pub struct ConvNextMicroSettings {
        /// widths of the stages
        widths: Vec<usize> = [32, 64, 128], Kind::Integers(Range::Within(1.0, 8192.0), None);
        /// blocks in each stage
        depths: Vec<usize> = [2, 2, 2], Kind::Integers(Range::Within(1.0, 256.0), None);
    }
}

/// What tells one ConvNeXt from another.
struct Architecture {
    /// Width of each stage.
    widths: Vec<usize>,
    /// Blocks in each stage.
    depths: Vec<usize>,
}

impl Architecture {
    fn tiny() -> Self {
        Self { widths: vec![96, 192, 384, 768], depths: vec![3, 3, 9, 3] }
    }

    fn micro(site: &Site) -> Result<Self, Error> {
        let ConvNextMicroSettings { widths, depths } = site.read()?;
        let stages = widths.len();
        if !(1..=8).contains(&stages) || depths.len() != stages {
            let problem = format!("expected as many as backbone.depths, 1 to 8, received {widths:?} and {depths:?}");
            return Err(Error::setting("backbone.widths", problem));
        }
        Ok(Self { widths, depths })
    }

    /// Sides must leave a pixel to the last stage.
    fn check(&self, site: &Site, key: &str, size: Size) -> Result<(), Error> {
        let ConvNextSettings { patch_size, .. } = site.read()?;
        let least = patch_size << (self.widths.len() - 1);
        if size.shorter() >= least {
            return Ok(());
        }
        let problem = format!(
            "expected {least} or more, as backbone.patch_size = {patch_size} and every stage halves, received {size}"
        );
        Err(Error::setting(key, problem))
    }

    fn cost(&self, site: &Site) -> Result<Cost, Error> {
        let ConvNextSettings { patch_size, .. } = site.read()?;
        let mut cost = Cost::default();
        for (stage, (&width, &depth)) in self.widths.iter().zip(&self.depths).enumerate() {
            let (width, depth) = (width as f64, depth as f64);
            let [rows, columns] = site.size.sides().map(|side| (side / (patch_size << stage)) as f64);
            cost.parameters += depth * 8.0 * width * width;
            cost.activations += depth * 6.0 * width * rows * columns;
        }
        Ok(cost)
    }
}

/// ConvNeXt-Tiny.
pub(super) const CONVNEXT_TINY: BackboneEntry = BackboneEntry {
    name: "convnext_tiny",
    family: "convnext",
    modalities: &[Modality::Image],
    summary: "ConvNeXt-Tiny, timm's architecture and names; 768-wide",
    keys: ConvNextSettings::GROUP,
    build: |site, init, role| build(&Architecture::tiny(), site, init, role),
    check: |site, key, size| Architecture::tiny().check(site, key, size),
    cost: |site| Architecture::tiny().cost(site),
};
/// 32-64-128, two blocks each.
pub(super) const CONVNEXT_MICRO: BackboneEntry = BackboneEntry {
    name: "convnext_micro",
    summary: "32-64-128 ConvNeXt, two blocks each: small images, CPUs (widths and depths can be set)",
    keys: &[ConvNextMicroSettings::KEYS, ConvNextSettings::KEYS],
    build: |site, init, role| build(&Architecture::micro(site)?, site, init, role),
    check: |site, key, size| Architecture::micro(site)?.check(site, key, size),
    cost: |site| Architecture::micro(site)?.cost(site),
    ..CONVNEXT_TINY
};

/// Standard deviation of initial weights. (timm truncates this normal at ±2, a hundred deviations off.)
const WEIGHT_STD: f32 = 0.02;
/// Initial gains of blocks.
const GAIN: f32 = 1e-6;
/// Width of an MLP's hidden layer over that of a pixel.
const MLP_RATIO: usize = 4;

/// A ConvNeXt up to its normalized mean over the last map.
#[derive(Module, Debug)]
pub struct ConvNext {
    stem: (Conv2d, LayerNorm),
    stages: Vec<Stage>,
    head: Head,
}

#[derive(Module, Debug)]
struct Stage {
    /// Of every stage but the first: pixels are joined two by two.
    downsample: Option<(LayerNorm, Conv2d)>,
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Block {
    conv_dw: Depthwise,
    norm: LayerNorm,
    mlp: Mlp,
    /// Gains, `[width]`; none once they are folded into the MLP.
    gamma: Option<Param<Tensor<1>>>,
    #[module(skip)]
    drop_path: f64,
}

/// 7×7 convolution of every channel on its own.
#[derive(Module, Debug)]
struct Depthwise {
    /// `[7, 7, 1, channels]`
    weight: Param<Tensor<4>>,
    /// `[channels]`
    bias: Param<Tensor<1>>,
}

/// What follows the pooling; a classifier would be its other part.
#[derive(Module, Debug)]
struct Head {
    norm: LayerNorm,
}

fn build(architecture: &Architecture, site: &Site, init: &Init, role: Role) -> Result<Encoder, Error> {
    let ConvNextSettings { patch_size, drop_path } = site.read()?;
    let Architecture { widths, depths } = architecture;
    let drop_path = if role == Role::Teacher { 0.0 } else { drop_path };
    let last_block = (depths.iter().sum::<usize>() - 1).max(1) as f64;
    let mut before = 0;
    let stages = widths.iter().zip(depths).enumerate().map(|(stage, (&width, &depth))| {
        let init = init.child(format!("stages.{stage}"));
        let downsample = stage.checked_sub(1).map(|below| {
            let inputs = widths[below];
            let convolution = Conv2d::patches_normal(&init.child("downsample.1"), [inputs, width], 2, WEIGHT_STD);
            (LayerNorm::new(&init.child("downsample.0"), inputs), convolution)
        });
        let block = |block| {
            let drop_path = drop_path * (before + block) as f64 / last_block;
            Block::new(&init.child(format!("blocks.{block}")), width, drop_path)
        };
        let blocks = (0..depth).map(block).collect();
        before += depth;
        Stage { downsample, blocks }
    });
    let stages = stages.collect();
    let width = *widths.last().expect("a stage");
    Ok(Encoder::new(ConvNext {
        stem: (
            Conv2d::patches_normal(&init.child("stem.0"), [site.channels, widths[0]], patch_size, WEIGHT_STD),
            LayerNorm::new(&init.child("stem.1"), widths[0]),
        ),
        stages,
        head: Head { norm: LayerNorm::new(&init.child("head.norm"), width) },
    }))
}

impl Block {
    fn new(init: &Init, width: usize, drop_path: f64) -> Self {
        let conv = init.child("conv_dw");
        Self {
            conv_dw: Depthwise {
                weight: conv.normal("weight", [7, 7, 1, width], WEIGHT_STD),
                bias: conv.constant([width], 0.0),
            },
            norm: LayerNorm::new(&init.child("norm"), width),
            mlp: Mlp::new(&init.child("mlp"), width, MLP_RATIO),
            gamma: Some(init.constant([width], GAIN)),
            drop_path,
        }
    }

    /// `[batch, height, width, features]` to the same shape.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let filtered = ops::depthwise(x.clone(), self.conv_dw.weight.val(), self.conv_dw.bias.val());
        let normalized = self.norm.forward(filtered);
        let Some(gamma) = &self.gamma else { return self.mlp.forward(normalized, Some(x)) };
        let scaled = self.mlp.forward(normalized, None) * gamma.val().reshape([1, 1, 1, -1]);
        drop_path(scaled, self.drop_path, pass) + x
    }
}

impl ConvNext {
    /// What the stem and so many stages make of `[batch, height, width, channels]`: `[batch, rows, columns, features]`.
    fn map(&self, x: Tensor<4>, stages: usize, pass: &Pass) -> Tensor<4> {
        let (convolution, norm) = &self.stem;
        let x = norm.forward(convolution.forward(x));
        self.stages.iter().take(stages).fold(x, |x, Stage { downsample, blocks }| {
            let x = match downsample {
                Some((norm, convolution)) => convolution.forward(norm.forward(x)),
                None => x,
            };
            blocks.iter().fold(x, |x, block| block.forward(x, pass))
        })
    }
}

impl Backbone for ConvNext {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.head.norm.forward(ops::mean_pool(self.map(x, self.stages.len(), pass)))
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        Some(self.map(x, stage, pass).flatten(1, 2))
    }

    /// The last norm follows the mean over the last stage's map.
    fn pool(&self, places: Tensor<3>, stage: usize) -> Tensor<2> {
        let mean = backbone::mean_of_places(places);
        if stage < self.stages.len() { mean } else { self.head.norm.forward(mean) }
    }

    fn width(&self) -> usize {
        self.head.norm.weight.dims()[0]
    }

    /// The gains of every block go into its last linear map.
    fn for_inference(mut self) -> Self {
        for block in self.stages.iter_mut().flat_map(|stage| &mut stage.blocks) {
            if let Some(gamma) = block.gamma.take() {
                block.mlp.scale(&gamma.val());
            }
        }
        self
    }

    /// The stem, then the stages; the last norm belongs to the last of them.
    fn stage(&self, name: &str) -> usize {
        if name.starts_with("head.") {
            return self.stages.len();
        }
        backbone::number_after(name, "stages.").map_or(0, |stage| stage + 1)
    }

    fn format(&self) -> &'static str {
        "timm"
    }
}
