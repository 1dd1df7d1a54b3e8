//! Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition").
//!
//! A block adds what it computes to what it was given: `y = relu(x + F(x))`, so that depth can only refine. The
//! architecture and the parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0` …).
//! Everything is NHWC.

use super::Encoder;
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Init, Norm, Pass};
use crate::tensor::ops::{self, Window};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_data::config::{BackboneSettings, Norm as NormKind, Stem};

/// What tells one residual network from another.
pub struct Architecture {
    /// Width of each stage before expansion.
    pub widths: &'static [usize],
    /// Blocks in each stage.
    pub blocks: &'static [usize],
    /// Channels out of a block over its width: 1 is the basic block of two 3×3, 4 the bottleneck 1×1, 3×3, 1×1.
    pub expansion: usize,
    /// Whether a recipe may set the widths.
    pub free_widths: bool,
}

/// 16-32-64, two basic blocks each.
pub const MICRO: Architecture =
    Architecture { widths: &[16, 32, 64], blocks: &[2, 2, 2], expansion: 1, free_widths: true };
/// ResNet-18.
pub const RESNET18: Architecture =
    Architecture { widths: &[64, 128, 256, 512], blocks: &[2, 2, 2, 2], expansion: 1, free_widths: false };
/// ResNet-34.
pub const RESNET34: Architecture =
    Architecture { widths: &[64, 128, 256, 512], blocks: &[3, 4, 6, 3], expansion: 1, free_widths: false };
/// ResNet-50.
pub const RESNET50: Architecture =
    Architecture { widths: &[64, 128, 256, 512], blocks: &[3, 4, 6, 3], expansion: 4, free_widths: false };

/// The 3×3 stride-2 pooling after an `imagenet` stem.
const STEM_POOL: Window = Window { kernel: 3, stride: 2, padding: 1 };

/// A residual network up to its global average pool.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: Norm,
    #[module(skip)]
    stem_pool: bool,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    #[module(skip)]
    width: usize,
}

/// A basic block (two 3×3) or, with a third convolution, a bottleneck (1×1, 3×3, 1×1).
#[derive(Module, Debug)]
pub struct Block {
    conv1: Conv2d,
    bn1: Norm,
    conv2: Conv2d,
    bn2: Norm,
    conv3: Option<Conv2d>,
    bn3: Option<Norm>,
    downsample: Option<Shortcut>,
}

/// 1×1 convolution of a block that changes shape; a tuple so that its parts are called `0` and `1`.
type Shortcut = (Conv2d, Norm);

/// Builds a residual network after `settings`.
pub fn build(
    architecture: &Architecture,
    settings: &BackboneSettings,
    channels: usize,
    size: usize,
    init: &Init,
) -> Result<Encoder, Error> {
    let widths = match &settings.widths {
        None => architecture.widths,
        Some(_) if !architecture.free_widths => {
            return Err(Error::setting(
                "backbone.widths",
                format!(
                    "{} has fixed widths {:?}; drop the key or use resnet_micro",
                    settings.name, architecture.widths
                ),
            ));
        }
        Some(widths) => widths,
    };
    if !(1..=4).contains(&widths.len()) || widths.contains(&0) {
        return Err(Error::setting(
            "backbone.widths",
            format!("expected 1 to 4 widths of at least 1, got {widths:?}; e.g. [16, 32, 64]"),
        ));
    }
    let stem = settings.stem.unwrap_or(if size <= 64 { Stem::Small } else { Stem::Imagenet });
    let norm = settings.norm.unwrap_or_default();
    let bias = norm == NormKind::None;
    let (kernel, stride) = match stem {
        Stem::Imagenet => (7, 2),
        Stem::Small => (3, 1),
    };
    let mut inputs = widths[0];
    let mut stages = widths.iter().enumerate().map(|(stage, &width)| {
        let init = init.child(format!("layer{}", stage + 1));
        let blocks = architecture.blocks.get(stage).copied().unwrap_or(2);
        (0..blocks)
            .map(|block| {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let block = Block::new(&init.child(block), inputs, width, architecture.expansion, stride, settings);
                inputs = width * architecture.expansion;
                block
            })
            .collect::<Vec<_>>()
    });
    let [layer1, layer2, layer3, layer4] = std::array::from_fn(|_| stages.next().unwrap_or_default());
    drop(stages);
    Ok(Encoder::ResNet(ResNet {
        conv1: Conv2d::new(&init.child("conv1"), [channels, widths[0]], kernel, stride, bias),
        bn1: Norm::new(&init.child("bn1"), norm, widths[0], 1.0),
        stem_pool: stem == Stem::Imagenet,
        layer1,
        layer2,
        layer3,
        layer4,
        width: inputs,
    }))
}

impl Block {
    fn new(
        init: &Init,
        inputs: usize,
        width: usize,
        expansion: usize,
        stride: usize,
        settings: &BackboneSettings,
    ) -> Self {
        let norm = settings.norm.unwrap_or_default();
        let bias = norm == NormKind::None;
        let outputs = width * expansion;
        let last_scale = if settings.zero_init_last.unwrap_or_default() { 0.0 } else { 1.0 };
        let conv = |name, channels, kernel, stride| Conv2d::new(&init.child(name), channels, kernel, stride, bias);
        let bn = |name, channels, scale| Norm::new(&init.child(name), norm, channels, scale);
        let downsample = (stride != 1 || inputs != outputs)
            .then(|| (conv("downsample.0", [inputs, outputs], 1, stride), bn("downsample.1", outputs, 1.0)));
        if expansion == 1 {
            Self {
                conv1: conv("conv1", [inputs, width], 3, stride),
                bn1: bn("bn1", width, 1.0),
                conv2: conv("conv2", [width, width], 3, 1),
                bn2: bn("bn2", width, last_scale),
                conv3: None,
                bn3: None,
                downsample,
            }
        } else {
            Self {
                conv1: conv("conv1", [inputs, width], 1, 1),
                bn1: bn("bn1", width, 1.0),
                conv2: conv("conv2", [width, width], 3, stride),
                bn2: bn("bn2", width, 1.0),
                conv3: Some(conv("conv3", [width, outputs], 1, 1)),
                bn3: Some(bn("bn3", outputs, last_scale)),
                downsample,
            }
        }
    }

    /// `[batch, height, width, inputs]` to `[batch, height / stride, width / stride, outputs]`.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<4> {
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.conv_act(conv, x.clone(), None, false, pass),
            None => x.clone(),
        };
        let y = self.bn1.conv_act(&self.conv1, x, None, true, pass);
        match (&self.conv3, &self.bn3) {
            (Some(conv3), Some(bn3)) => {
                let y = self.bn2.conv_act(&self.conv2, y, None, true, pass);
                bn3.conv_act(conv3, y, Some(shortcut), true, pass)
            }
            _ => self.bn2.conv_act(&self.conv2, y, Some(shortcut), true, pass),
        }
    }
}

impl ResNet {
    /// `[batch, height, width, channels]` to `[batch, width of h]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let mut x = self.bn1.conv_act(&self.conv1, x, None, true, pass);
        if self.stem_pool {
            x = ops::max_pool(x, STEM_POOL);
        }
        let blocks = [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten();
        ops::mean_pool(blocks.fold(x, |x, block| block.forward(x, pass)))
    }

    /// The same function with every batch norm folded into its convolution, for inference.
    pub fn folded(mut self) -> Self {
        self.bn1.fold_into(&mut self.conv1);
        for block in [&mut self.layer1, &mut self.layer2, &mut self.layer3, &mut self.layer4].into_iter().flatten() {
            block.bn1.fold_into(&mut block.conv1);
            block.bn2.fold_into(&mut block.conv2);
            if let (Some(conv), Some(norm)) = (&mut block.conv3, &mut block.bn3) {
                norm.fold_into(conv);
            }
            if let Some((conv, norm)) = &mut block.downsample {
                norm.fold_into(conv);
            }
        }
        self
    }

    /// Width of the representation.
    pub fn width(&self) -> usize {
        self.width
    }
}
