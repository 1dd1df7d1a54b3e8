//! Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition").
//!
//! A block adds what it computes to what it was given: `y = relu(x + F(x))`, so that depth can only refine. The
//! architecture and the parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0` …).
//! Everything is NHWC.

use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site, Size};
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Init, Norm, NormKind, Pass};
use crate::tensor::ops::{self, Window};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings, value};
use selfsame_data::modality::Modality;
use serde::{Deserialize, Serialize};

/// First layers of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 7×7 stride 2 and a 3×3 stride 2 max-pool, for images of 96 px and more.
    Imagenet,
    /// 3×3 stride 1, no pooling, for small images.
    Small,
}

settings! {
    /// `[backbone]` of every residual network.
    pub struct ResNetSettings {
        /// first layers: 3×3 for small images, or 7×7 with pooling
        stem: Stem = (derived "small up to 64 px, imagenet above", |s| {
            value(if s.sides("data.size")?.into_iter().max()? <= 64 { Stem::Small } else { Stem::Imagenet })
        }), Kind::Word(&["imagenet", "small"]);
        /// normalization layers
        norm: NormKind = "batch", Kind::Word(NormKind::WORDS);
        /// whether blocks start as identities
        zero_init_last: bool = false, Kind::Flag;
    }
}

settings! {
    /// `[backbone]` of the micro network, besides.
    pub struct ResnetMicroSettings {
        /// widths of the stages, 1 to 4 of them
        widths: Vec<usize> = [16, 32, 64], Kind::Integers(Range::Within(1.0, 8192.0), None);
    }
}

/// What tells one residual network from another.
struct Architecture {
    /// Width of each stage before expansion.
    widths: Vec<usize>,
    /// Blocks in each stage.
    blocks: &'static [usize],
    /// Channels out of a block over its width: 1 is the basic block of two 3×3, 4 the bottleneck 1×1, 3×3, 1×1.
    expansion: usize,
}

/// Stage widths of the networks of the paper.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

impl Architecture {
    fn of_the_paper(blocks: &'static [usize], expansion: usize) -> Self {
        Self { widths: WIDTHS.to_vec(), blocks, expansion }
    }

    /// Two basic blocks in each stage.
    fn micro(site: &Site) -> Result<Self, Error> {
        let ResnetMicroSettings { widths } = site.read()?;
        if !(1..=4).contains(&widths.len()) {
            let problem = format!("expected 1 to 4 widths, got {widths:?}; e.g. [16, 32, 64]");
            return Err(Error::setting("backbone.widths", problem));
        }
        Ok(Self { widths, blocks: &[2, 2, 2, 2], expansion: 1 })
    }

    /// The convolutions: channels in and out, kernel, and pixels of the map that comes out.
    fn convolutions(&self, stem: Stem, channels: usize, size: Size) -> Vec<[usize; 4]> {
        let halved = |size: Size| Size::of(size.sides().map(|side| side.div_ceil(2)));
        let (kernel, mut map) = if stem == Stem::Small { (3, size) } else { (7, halved(halved(size))) };
        let mut all = vec![[channels, self.widths[0], kernel, map.area()]];
        let mut inputs = self.widths[0];
        for (stage, (&width, &blocks)) in self.widths.iter().zip(self.blocks).enumerate() {
            map = if stage > 0 { halved(map) } else { map };
            let pixels = map.area();
            for _ in 0..blocks {
                let outputs = width * self.expansion;
                match self.expansion {
                    1 => all.extend([[inputs, width, 3, pixels], [width, width, 3, pixels]]),
                    _ => {
                        all.extend([[inputs, width, 1, pixels], [width, width, 3, pixels], [width, outputs, 1, pixels]])
                    }
                }
                inputs = outputs;
            }
        }
        all
    }

    fn cost(&self, site: &Site) -> Result<Cost, Error> {
        let ResNetSettings { stem, .. } = site.read()?;
        let convolutions = self.convolutions(stem, site.channels, site.size);
        let product = |factors: &[usize]| factors.iter().map(|&factor| factor as f64).product::<f64>();
        Ok(Cost {
            parameters: convolutions.iter().map(|[i, o, kernel, _]| product(&[*i, *o, *kernel, *kernel])).sum(),
            activations: convolutions.iter().map(|[_, o, _, pixels]| product(&[*o, *pixels])).sum(),
        })
    }
}

const fn entry(
    name: &'static str,
    summary: &'static str,
    build: fn(&Site, &Init, Role) -> Result<Encoder, Error>,
    cost: fn(&Site) -> Result<Cost, Error>,
) -> BackboneEntry {
    BackboneEntry {
        name,
        family: "resnet",
        modalities: &[Modality::Image],
        summary,
        keys: ResNetSettings::GROUP,
        build,
        check: |_, _, _| Ok(()),
        cost,
    }
}

/// 16-32-64, two basic blocks each.
pub(super) const RESNET_MICRO: BackboneEntry = BackboneEntry {
    keys: &[ResnetMicroSettings::KEYS, ResNetSettings::KEYS],
    check: |site, _, _| Architecture::micro(site).map(drop),
    ..entry(
        "resnet_micro",
        "16-32-64 residual network, two blocks each: small images, CPUs (widths can be set)",
        |site, init, _| build(&Architecture::micro(site)?, site, init),
        |site| Architecture::micro(site)?.cost(site),
    )
};
/// ResNet-18.
pub(super) const RESNET18: BackboneEntry = entry(
    "resnet18",
    "ResNet-18, torchvision's architecture and names; 512-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[2, 2, 2, 2], 1), site, init),
    |site| Architecture::of_the_paper(&[2, 2, 2, 2], 1).cost(site),
);
/// ResNet-34.
pub(super) const RESNET34: BackboneEntry = entry(
    "resnet34",
    "ResNet-34, torchvision's architecture and names; 512-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[3, 4, 6, 3], 1), site, init),
    |site| Architecture::of_the_paper(&[3, 4, 6, 3], 1).cost(site),
);
/// ResNet-50.
pub(super) const RESNET50: BackboneEntry = entry(
    "resnet50",
    "ResNet-50 (stride on the 3×3, as torchvision); 2048-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[3, 4, 6, 3], 4), site, init),
    |site| Architecture::of_the_paper(&[3, 4, 6, 3], 4).cost(site),
);
/// ResNet-101.
pub(super) const RESNET101: BackboneEntry = entry(
    "resnet101",
    "ResNet-101 (stride on the 3×3, as torchvision); 2048-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[3, 4, 23, 3], 4), site, init),
    |site| Architecture::of_the_paper(&[3, 4, 23, 3], 4).cost(site),
);

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

/// Builds a residual network.
fn build(architecture: &Architecture, site: &Site, init: &Init) -> Result<Encoder, Error> {
    let settings: ResNetSettings = site.read()?;
    let (stem, norm, widths) = (settings.stem, settings.norm, &architecture.widths);
    let bias = norm == NormKind::None;
    let (kernel, stride) = match stem {
        Stem::Imagenet => (7, 2),
        Stem::Small => (3, 1),
    };
    let mut inputs = widths[0];
    let mut stages = widths.iter().enumerate().map(|(stage, &width)| {
        let init = init.child(format!("layer{}", stage + 1));
        (0..architecture.blocks[stage])
            .map(|block| {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let block = Block::new(&init.child(block), inputs, width, architecture.expansion, stride, &settings);
                inputs = width * architecture.expansion;
                block
            })
            .collect::<Vec<_>>()
    });
    let [layer1, layer2, layer3, layer4] = std::array::from_fn(|_| stages.next().unwrap_or_default());
    drop(stages);
    Ok(Encoder::new(ResNet {
        conv1: Conv2d::new(&init.child("conv1"), [site.channels, widths[0]], kernel, stride, bias),
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
        settings: &ResNetSettings,
    ) -> Self {
        let norm = settings.norm;
        let bias = norm == NormKind::None;
        let outputs = width * expansion;
        let last_scale = if settings.zero_init_last { 0.0 } else { 1.0 };
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
    /// What the stem and so many layers make of `[batch, height, width, channels]`: `[batch, rows, columns, features]`.
    fn map(&self, x: Tensor<4>, layers: usize, pass: &Pass) -> Tensor<4> {
        let mut x = self.bn1.conv_act(&self.conv1, x, None, true, pass);
        if self.stem_pool {
            x = ops::max_pool(x, STEM_POOL);
        }
        let all = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        all.into_iter().take(layers).flatten().fold(x, |x, block| block.forward(x, pass))
    }
}

impl Backbone for ResNet {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        ops::mean_pool(self.map(x, 4, pass))
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        Some(self.map(x, stage, pass).flatten(1, 2))
    }

    fn width(&self) -> usize {
        self.width
    }

    /// Every batch norm is folded into its convolution.
    fn for_inference(mut self) -> Self {
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

    /// The stem, then `layer1`, `layer2` …
    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layer").unwrap_or(0)
    }

    fn format(&self) -> &'static str {
        "torchvision"
    }
}
