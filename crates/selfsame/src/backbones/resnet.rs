//! Residual networks (He et al. 2016, "Deep Residual Learning for Image Recognition").
//!
//! A block adds what it computes to what it was given: `y = relu(x + F(x))`, so that depth can only refine. The
//! architecture and the parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, `layer2.0.downsample.0` …).
//! Everything is NHWC. A signal is an image of height 1: the same networks with 1×k kernels.

use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site, Size};
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Init, Norm, NormKind, Pass};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops::{self, Span, Window};
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
        /// first layers: 3 wide for small images and short signals, or 7 wide with pooling
        stem: Stem = (derived "small up to 64 px, or 256 steps in time; imagenet above", |s| {
            let small = if s.text("data.modality") == Some("signal") { 256 } else { 64 };
            value(if s.sides("data.size")?.into_iter().max()? <= small { Stem::Small } else { Stem::Imagenet })
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
    /// Whether it is for signals.
    in_time: bool,
}

/// Stage widths of the networks of the paper.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];

impl Architecture {
    fn of_the_paper(blocks: &'static [usize], expansion: usize) -> Self {
        Self { widths: WIDTHS.to_vec(), blocks, expansion, in_time: false }
    }

    /// The same for signals.
    fn in_time(self) -> Self {
        Self { in_time: true, ..self }
    }

    /// The window of a convolution.
    fn window(&self, kernel: usize, stride: usize) -> Window {
        let padding = kernel / 2;
        match self.in_time {
            false => Window::square(kernel, stride, padding),
            true => Window::in_time(Span::padded(kernel, stride, padding)),
        }
    }

    /// Two basic blocks in each stage.
    fn micro(site: &Site) -> Result<Self, Error> {
        let ResnetMicroSettings { widths } = site.read()?;
        if !(1..=4).contains(&widths.len()) {
            let problem = format!("expected 1 to 4 widths, got {widths:?}; e.g. [16, 32, 64]");
            return Err(Error::setting("backbone.widths", problem));
        }
        Ok(Self { widths, blocks: &[2, 2, 2, 2], expansion: 1, in_time: false })
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
                        let of_block =
                            [[inputs, width, 1, pixels], [width, width, 3, pixels], [width, outputs, 1, pixels]];
                        all.extend(of_block);
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
            parameters: convolutions
                .iter()
                .map(|[i, o, kernel, _]| product(&[*i, *o, self.window(*kernel, 1).taps()]))
                .sum(),
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

const fn entry_in_time(
    name: &'static str,
    summary: &'static str,
    build: fn(&Site, &Init, Role) -> Result<Encoder, Error>,
    cost: fn(&Site) -> Result<Cost, Error>,
) -> BackboneEntry {
    BackboneEntry { family: "resnet1d", modalities: &[Modality::Signal], ..entry(name, summary, build, cost) }
}

/// 16-32-64, two basic blocks each, of signals.
pub(super) const RESNET1D_MICRO: BackboneEntry = BackboneEntry {
    keys: RESNET_MICRO.keys,
    check: RESNET_MICRO.check,
    ..entry_in_time(
        "resnet1d_micro",
        "16-32-64 residual network in time, two blocks each: short signals, CPUs (widths can be set)",
        |site, init, _| build(&Architecture::micro(site)?.in_time(), site, init),
        |site| Architecture::micro(site)?.in_time().cost(site),
    )
};
/// ResNet-18 of signals.
pub(super) const RESNET1D_18: BackboneEntry = entry_in_time(
    "resnet1d_18",
    "ResNet-18 with kernels in time; 512-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[2, 2, 2, 2], 1).in_time(), site, init),
    |site| Architecture::of_the_paper(&[2, 2, 2, 2], 1).in_time().cost(site),
);
/// ResNet-50 of signals.
pub(super) const RESNET1D_50: BackboneEntry = entry_in_time(
    "resnet1d_50",
    "ResNet-50 with kernels in time; 2048-wide",
    |site, init, _| build(&Architecture::of_the_paper(&[3, 4, 6, 3], 4).in_time(), site, init),
    |site| Architecture::of_the_paper(&[3, 4, 6, 3], 4).in_time().cost(site),
);

/// A residual network up to its global average pool.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: Norm,
    /// The pooling after an `imagenet` stem.
    #[module(skip)]
    stem_pool: Option<Window>,
    #[module(skip)]
    in_time: bool,
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
    let (stem, norm, widths, in_time) = (settings.stem, settings.norm, &architecture.widths, architecture.in_time);
    let windows = |kernel, stride| architecture.window(kernel, stride);
    let layers = Layers { norm, zero_init_last: settings.zero_init_last, windows: &windows };
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
                let outputs = width * architecture.expansion;
                let (init, channels) = (init.child(block), [std::mem::replace(&mut inputs, outputs), width, outputs]);
                match architecture.expansion {
                    1 => Block::basic(&init, [channels[0], width], [3, stride], &layers),
                    _ => Block::bottleneck(&init, channels, stride, &layers),
                }
            })
            .collect::<Vec<_>>()
    });
    let [layer1, layer2, layer3, layer4] = std::array::from_fn(|_| stages.next().unwrap_or_default());
    drop(stages);
    Ok(Encoder::new(ResNet {
        conv1: Conv2d::with_window(&init.child("conv1"), [site.channels, widths[0]], windows(kernel, stride), bias),
        bn1: Norm::new(&init.child("bn1"), norm, widths[0], 1.0),
        stem_pool: (stem == Stem::Imagenet).then(|| windows(3, 2)),
        in_time,
        layer1,
        layer2,
        layer3,
        layer4,
        width: inputs,
    }))
}

/// What the layers of a network's blocks have in common.
pub(super) struct Layers<'a> {
    pub norm: NormKind,
    /// Whether blocks start as identities.
    pub zero_init_last: bool,
    /// The window of a convolution, by its kernel and stride.
    pub windows: &'a dyn Fn(usize, usize) -> Window,
}

impl Layers<'_> {
    fn conv(&self, init: &Init, name: &str, channels: [usize; 2], kernel: usize, stride: usize) -> Conv2d {
        let bias = self.norm == NormKind::None;
        Conv2d::with_window(&init.child(name), channels, (self.windows)(kernel, stride), bias)
    }

    fn norm(&self, init: &Init, name: &str, channels: usize) -> Norm {
        Norm::new(&init.child(name), self.norm, channels, 1.0)
    }

    fn last_norm(&self, init: &Init, name: &str, channels: usize) -> Norm {
        Norm::new(&init.child(name), self.norm, channels, if self.zero_init_last { 0.0 } else { 1.0 })
    }

    /// Where a block changes the shape.
    fn shortcut(&self, init: &Init, [inputs, outputs]: [usize; 2], stride: usize) -> Option<Shortcut> {
        (stride != 1 || inputs != outputs).then(|| {
            let conv = self.conv(init, "downsample.0", [inputs, outputs], 1, stride);
            (conv, self.norm(init, "downsample.1", outputs))
        })
    }
}

impl Block {
    /// Two convolutions, the first with the stride.
    pub(super) fn basic(
        init: &Init,
        [inputs, width]: [usize; 2],
        [kernel, stride]: [usize; 2],
        layers: &Layers,
    ) -> Self {
        Self {
            conv1: layers.conv(init, "conv1", [inputs, width], kernel, stride),
            bn1: layers.norm(init, "bn1", width),
            conv2: layers.conv(init, "conv2", [width, width], kernel, 1),
            bn2: layers.last_norm(init, "bn2", width),
            conv3: None,
            bn3: None,
            downsample: layers.shortcut(init, [inputs, width], stride),
        }
    }

    /// 1×1, 3×3 with the stride, and 1×1.
    fn bottleneck(init: &Init, [inputs, width, outputs]: [usize; 3], stride: usize, layers: &Layers) -> Self {
        Self {
            conv1: layers.conv(init, "conv1", [inputs, width], 1, 1),
            bn1: layers.norm(init, "bn1", width),
            conv2: layers.conv(init, "conv2", [width, width], 3, stride),
            bn2: layers.norm(init, "bn2", width),
            conv3: Some(layers.conv(init, "conv3", [width, outputs], 1, 1)),
            bn3: Some(layers.last_norm(init, "bn3", outputs)),
            downsample: layers.shortcut(init, [inputs, outputs], stride),
        }
    }

    /// `[batch, height, width, inputs]` to `[batch, height / stride, width / stride, outputs]`, and the lengths of signals then.
    pub(super) fn forward(&self, x: Tensor<4>, lengths: &Lengths, pass: &Pass) -> (Tensor<4>, Lengths) {
        let first = self.conv1.lengths(lengths);
        let last = self.conv2.lengths(&first);
        let shortcut = match &self.downsample {
            Some((conv, norm)) => norm.conv_act_within(conv, x.clone(), None, false, &last, pass),
            None => x.clone(),
        };
        let y = self.bn1.conv_act_within(&self.conv1, x, None, true, &first, pass);
        let y = match (&self.conv3, &self.bn3) {
            (Some(conv3), Some(bn3)) => {
                let y = self.bn2.conv_act_within(&self.conv2, y, None, true, &last, pass);
                bn3.conv_act_within(conv3, y, Some(shortcut), true, &last, pass)
            }
            _ => self.bn2.conv_act_within(&self.conv2, y, Some(shortcut), true, &last, pass),
        };
        (y, last)
    }

    /// Folds every batch norm into its convolution.
    pub(super) fn fold(&mut self) {
        self.bn1.fold_into(&mut self.conv1);
        self.bn2.fold_into(&mut self.conv2);
        if let (Some(conv), Some(norm)) = (&mut self.conv3, &mut self.bn3) {
            norm.fold_into(conv);
        }
        if let Some((conv, norm)) = &mut self.downsample {
            norm.fold_into(conv);
        }
    }
}

impl ResNet {
    /// What the stem and so many layers make of `[batch, height, width, channels]`: `[batch, rows, columns, features]`, and the
    /// lengths of signals then.
    fn map(&self, x: Tensor<4>, layers: usize, pass: &Pass) -> (Tensor<4>, Lengths) {
        let (x, lengths) = if self.in_time { Lengths::of(x) } else { (x, Lengths::WHOLE) };
        let mut lengths = self.conv1.lengths(&lengths);
        let mut x = self.bn1.conv_act_within(&self.conv1, x, None, true, &lengths, pass);
        if let Some(window) = self.stem_pool {
            // No value is below the zeros that follow a signal.
            lengths = lengths.through(window.x);
            x = lengths.zero(ops::max_pool(x, window));
        }
        let all = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        let blocks = all.into_iter().take(layers).flatten();
        blocks.fold((x, lengths), |(x, lengths), block| block.forward(x, &lengths, pass))
    }
}

impl Backbone for ResNet {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let (x, lengths) = self.map(x, 4, pass);
        lengths.mean(x)
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        let (x, lengths) = self.map(x, stage, pass);
        Some(lengths.mark(x).flatten(1, 2))
    }

    fn width(&self) -> usize {
        self.width
    }

    /// Every batch norm is folded into its convolution.
    fn for_inference(mut self) -> Self {
        self.bn1.fold_into(&mut self.conv1);
        let stages = [&mut self.layer1, &mut self.layer2, &mut self.layer3, &mut self.layer4];
        stages.into_iter().flatten().for_each(Block::fold);
        self
    }

    /// The stem, then `layer1`, `layer2` …
    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layer").unwrap_or(0)
    }

    fn format(&self) -> &'static str {
        if self.in_time { "selfsame" } else { "torchvision" }
    }
}
