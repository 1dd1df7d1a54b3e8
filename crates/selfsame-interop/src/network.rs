//! The networks that have a mapping: told by `config.json` when they go out, by the shapes of their tensors when they come in.

use crate::{Encoder, Sample};
use selfsame_base::DataError;
use selfsame_config::Choice;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// Lengths of the axes of tensors, by name, in PyTorch's layout.
pub type Shapes = BTreeMap<String, Vec<usize>>;

/// A network with a mapping.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// A residual network.
    ResNet(ResNet),
    /// A vision transformer.
    Vit(Vit),
    /// A ConvNeXt.
    ConvNext(ConvNext),
    /// Layers of sigmoids.
    BeliefNetwork {
        /// Number of layers.
        layers: usize,
    },
    /// A multi-layer perceptron.
    Mlp {
        /// Number of layers.
        layers: usize,
        /// What follows each.
        norm: Norm,
        /// Whether a layer after the first adds to what it was given.
        residual: bool,
    },
    /// A temporal convolutional network.
    Tcn(Tcn),
    /// The encoder of contrastive predictive coding.
    CpcEncoder(CpcEncoder),
}

/// A residual network.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNet {
    /// Width of each stage, before expansion.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Whether blocks have three convolutions (1×1, 3×3, 1×1) instead of two.
    pub bottleneck: bool,
    /// Whether it begins with a 7×7 of stride 2 and a pooling; else with a 3×3.
    pub imagenet_stem: bool,
    /// Its normalization.
    pub norm: Norm,
    /// Whether it is for signals: kernels are 1×k.
    pub in_time: bool,
}

/// A temporal convolutional network: blocks of dilated convolutions.
#[derive(Clone, Debug, PartialEq)]
pub struct Tcn {
    /// Number of blocks; of block i, taps are 2^i steps apart.
    pub depth: usize,
    /// Whether a step sees nothing that comes after it.
    pub causal: bool,
    /// Its normalization.
    pub norm: Norm,
    /// What becomes of the steps.
    pub pool: StepPool,
}

/// Strided convolutions, and a recurrent network on what they give.
#[derive(Clone, Debug, PartialEq)]
pub struct CpcEncoder {
    /// Of the convolutions; the kernels are twice as long.
    pub strides: Vec<usize>,
    /// Whether there is a recurrent network.
    pub recurrent: bool,
    /// Its normalization.
    pub norm: Norm,
    /// What becomes of the steps.
    pub pool: StepPool,
}

/// How the features of a signal come from those of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepPool {
    /// Their mean.
    Mean,
    /// Their maximum, feature by feature.
    Max,
    /// Those of the last step.
    Last,
}

/// Normalization of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Batch norm.
    Batch,
    /// Group norm.
    Group,
    /// None; convolutions have a bias.
    None,
}

impl Norm {
    fn word(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Group => "group",
            Self::None => "none",
        }
    }
}

/// A vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Vit {
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads of a block.
    pub heads: usize,
    /// Side of a patch, px; of signals, steps.
    pub patch_size: usize,
    /// Whether it is for signals: patches lie in one row, and the last may be cut.
    pub in_time: bool,
    /// Whether `h` is the class token; else the mean of the tokens.
    pub class_token: bool,
    /// Tokens that are nobody's: room to compute in. With these, the tokens before the patches have no position.
    pub registers: usize,
    /// Whether each branch is scaled, feature by feature.
    pub layer_scale: bool,
}

/// A ConvNeXt.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvNext {
    /// Width of each stage.
    pub widths: Vec<usize>,
    /// Blocks of each stage.
    pub depths: Vec<usize>,
    /// Side of the first layer's patches, px.
    pub patch_size: usize,
}

/// Names, blocks, and whether these are bottlenecks.
const RESNETS: &[(&str, [usize; 4], bool)] = &[
    ("resnet18", [2, 2, 2, 2], false),
    ("resnet34", [3, 4, 6, 3], false),
    ("resnet50", [3, 4, 6, 3], true),
    ("resnet101", [3, 4, 23, 3], true),
];
/// Widths of the stages of these.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// Names, widths of tokens, blocks, heads.
const VITS: &[(&str, usize, usize, usize)] =
    &[("vit_tiny", 192, 12, 3), ("vit_small", 384, 12, 6), ("vit_base", 768, 12, 12), ("vit_large", 1024, 24, 16)];
/// Name, widths and blocks of the stages.
const CONVNEXT_TINY: (&str, [usize; 4], [usize; 4]) = ("convnext_tiny", [96, 192, 384, 768], [3, 3, 9, 3]);
/// Width of a head of every vision transformer that has a name.
const HEAD_WIDTH: usize = 64;

impl Network {
    /// The network of an encoder.
    ///
    /// # Errors
    /// If there is no mapping for it, or its settings are none.
    pub fn of(encoder: &Encoder) -> Result<Self, DataError> {
        let Choice { name, keys } = &encoder.backbone;
        let name = name.as_str();
        let word = |key: &str| keys.get(key).and_then(Value::as_str).ok_or_else(|| unreadable(key));
        let whole = |key: &str| {
            let value = || usize::try_from(keys.get(key)?.as_integer()?).ok();
            value().ok_or_else(|| unreadable(key))
        };
        let count = |key: &str| whole(key).and_then(|value| if value > 0 { Ok(value) } else { Err(unreadable(key)) });
        let counts = |key: &str| {
            let values = keys.get(key).and_then(Value::as_array).filter(|values| !values.is_empty());
            let values =
                values.and_then(|values| values.iter().map(|v| usize::try_from(v.as_integer()?).ok()).collect());
            values.ok_or_else(|| unreadable(key))
        };
        let norm = || match word("norm")? {
            "batch" => Ok(Norm::Batch),
            "group" => Ok(Norm::Group),
            "none" => Ok(Norm::None),
            _ => Err(unreadable("norm")),
        };
        let pool = || match word("pool")? {
            "mean" => Ok(StepPool::Mean),
            "max" => Ok(StepPool::Max),
            "last" => Ok(StepPool::Last),
            _ => Err(unreadable("pool")),
        };
        let flag = |key: &str| keys.get(key).and_then(Value::as_bool).ok_or_else(|| unreadable(key));
        let in_time = matches!(encoder.sample, Sample::Signal { .. });
        let resnet = |widths: Vec<usize>, blocks: &[usize], bottleneck| {
            let imagenet_stem = match word("stem")? {
                "imagenet" => true,
                "small" => false,
                _ => return Err(unreadable("stem")),
            };
            let blocks = blocks[..widths.len().min(4)].to_vec();
            Ok(Self::ResNet(ResNet { widths, blocks, bottleneck, imagenet_stem, norm: norm()?, in_time }))
        };
        let vit = |dim, depth, heads| {
            let class_token = match word("pool")? {
                "class" => true,
                "mean" => false,
                _ => return Err(unreadable("pool")),
            };
            // Encoders of before had neither.
            let registers = if keys.contains_key("registers") { whole("registers")? } else { 0 };
            let layer_scale = keys.get("layer_scale").and_then(Value::as_bool).unwrap_or(false);
            let patch_size = count("patch_size")?;
            Ok(Self::Vit(Vit { dim, depth, heads, patch_size, in_time, class_token, registers, layer_scale }))
        };
        // ResNets in time have the names of those of images, a 1d among them.
        let of_images = name.replace("resnet1d_", "resnet");
        if let Some((_, blocks, bottleneck)) = RESNETS.iter().find(|entry| entry.0 == of_images) {
            return resnet(WIDTHS.to_vec(), blocks, *bottleneck);
        }
        if let Some(&(_, dim, depth, heads)) = VITS.iter().find(|entry| entry.0 == name) {
            return vit(dim, depth, heads);
        }
        let convnext = |widths: Vec<usize>, depths: Vec<usize>| {
            if widths.len() != depths.len() {
                return Err(unreadable("depths"));
            }
            Ok(Self::ConvNext(ConvNext { widths, depths, patch_size: count("patch_size")? }))
        };
        if name == CONVNEXT_TINY.0 {
            return convnext(CONVNEXT_TINY.1.to_vec(), CONVNEXT_TINY.2.to_vec());
        }
        match name {
            "convnext_micro" => convnext(counts("widths")?, counts("depths")?),
            "resnet_micro" | "resnet1d_micro" => resnet(counts("widths")?, &[2; 4], false),
            "vit_micro" | "transformer1d" => vit(count("dim")?, count("depth")?, count("heads")?),
            "belief_network" => Ok(Self::BeliefNetwork { layers: counts("widths")?.len() }),
            "mlp" => Ok(Self::Mlp { layers: count("depth")?, norm: norm()?, residual: flag("residual")? }),
            "tcn" => {
                Ok(Self::Tcn(Tcn { depth: count("depth")?, causal: flag("causal")?, norm: norm()?, pool: pool()? }))
            }
            "cpc_encoder" => Ok(Self::CpcEncoder(CpcEncoder {
                strides: counts("strides")?,
                recurrent: whole("context")? > 0,
                norm: norm()?,
                pool: pool()?,
            })),
            _ => Err(DataError::setting("backbone.name", format!("no format has a mapping for {name}"))),
        }
    }

    /// The network that tensors of these shapes are of, as far as shapes tell it; `None` if of none that is known.
    pub fn of_shapes(shapes: &Shapes) -> Option<Self> {
        let axis = |name: &str, axis: usize| shapes.get(name)?.get(axis).copied();
        let has = |name: &str| shapes.contains_key(name);
        if has("layer1.0.conv1.weight") {
            let blocks =
                |stage: usize| (0..).take_while(|block| has(&format!("layer{stage}.{block}.conv1.weight"))).count();
            let blocks: Vec<usize> = (1..=4).map(blocks).take_while(|&blocks| blocks > 0).collect();
            let widths = (1..=blocks.len()).map(|stage| axis(&format!("layer{stage}.0.conv2.weight"), 0));
            let norm = match (has("bn1.running_mean"), has("bn1.weight")) {
                (true, _) => Norm::Batch,
                (false, true) => Norm::Group,
                (false, false) => Norm::None,
            };
            return Some(Self::ResNet(ResNet {
                widths: widths.collect::<Option<_>>()?,
                blocks,
                bottleneck: has("layer1.0.conv3.weight"),
                imagenet_stem: axis("conv1.weight", 2) != Some(3),
                norm,
                in_time: false,
            }));
        }
        if has("stages.0.blocks.0.conv_dw.weight") {
            let depth = |stage: usize| {
                (0..).take_while(|block| has(&format!("stages.{stage}.blocks.{block}.conv_dw.weight"))).count()
            };
            let depths: Vec<usize> = (0..).map(depth).take_while(|&depth| depth > 0).collect();
            let width = |stage: usize| axis(&format!("stages.{stage}.blocks.0.conv_dw.weight"), 0);
            let widths = (0..depths.len()).map(width).collect::<Option<_>>()?;
            return Some(Self::ConvNext(ConvNext { widths, depths, patch_size: axis("stem.0.weight", 2)? }));
        }
        let dim = axis("blocks.0.norm1.weight", 0)?;
        let depth = (0..).take_while(|block| has(&format!("blocks.{block}.norm1.weight"))).count();
        let named = VITS.iter().find(|entry| (entry.1, entry.2) == (dim, depth));
        let heads = named.map_or((dim / HEAD_WIDTH).max(1), |entry| entry.3);
        Some(Self::Vit(Vit {
            dim,
            depth,
            heads,
            patch_size: axis("patch_embed.proj.weight", 2)?,
            in_time: false,
            class_token: has("cls_token"),
            registers: axis("reg_token", 1).unwrap_or(0),
            layer_scale: has("blocks.0.ls1.gamma"),
        }))
    }

    /// The `[backbone]` of images that is this network; `None` where there is none.
    pub fn backbone(&self) -> Option<Choice> {
        let mut keys = Table::new();
        let name = match self {
            Self::ResNet(net) => {
                keys.insert("stem".into(), if net.imagenet_stem { "imagenet" } else { "small" }.into());
                keys.insert("norm".into(), net.norm.word().into());
                let same = |entry: &&(&str, [usize; 4], bool)| (&entry.1[..], entry.2) == (&net.blocks, net.bottleneck);
                match RESNETS.iter().find(same).filter(|_| net.widths == WIDTHS) {
                    Some(entry) => entry.0,
                    None if !net.bottleneck && net.blocks.iter().all(|&blocks| blocks == 2) => {
                        let widths = net.widths.iter().map(|&width| Value::Integer(width as i64)).collect();
                        keys.insert("widths".into(), Value::Array(widths));
                        "resnet_micro"
                    }
                    None => return None,
                }
            }
            Self::Vit(net) => {
                let Vit { dim, depth, heads, patch_size, class_token, registers, layer_scale, .. } = *net;
                keys.insert("patch_size".into(), Value::Integer(patch_size as i64));
                keys.insert("pool".into(), if class_token { "class" } else { "mean" }.into());
                keys.insert("registers".into(), Value::Integer(registers as i64));
                keys.insert("layer_scale".into(), layer_scale.into());
                match VITS.iter().find(|entry| (entry.1, entry.2, entry.3) == (dim, depth, heads)) {
                    Some(entry) => entry.0,
                    None => {
                        for (key, value) in [("dim", dim), ("depth", depth), ("heads", heads)] {
                            keys.insert(key.into(), Value::Integer(value as i64));
                        }
                        "vit_micro"
                    }
                }
            }
            Self::ConvNext(net) => {
                keys.insert("patch_size".into(), Value::Integer(net.patch_size as i64));
                if (&net.widths[..], &net.depths[..]) == (&CONVNEXT_TINY.1, &CONVNEXT_TINY.2) {
                    CONVNEXT_TINY.0
                } else {
                    for (key, values) in [("widths", &net.widths), ("depths", &net.depths)] {
                        let values = values.iter().map(|&value| Value::Integer(value as i64)).collect();
                        keys.insert(key.into(), Value::Array(values));
                    }
                    "convnext_micro"
                }
            }
            Self::BeliefNetwork { .. } | Self::Mlp { .. } | Self::Tcn(_) | Self::CpcEncoder(_) => return None,
        };
        Some(Choice::new(name, keys))
    }

    /// The network with a backbone that is most like this one, and the name of that: where [`Self::backbone`] is `None`.
    pub fn nearest(&self) -> Option<(Self, &'static str)> {
        let Self::ResNet(net) = self else { return None };
        let far = |entry: &&(&str, [usize; 4], bool)| {
            let blocks = entry.1.iter().enumerate().map(|(i, &n)| n.abs_diff(*net.blocks.get(i).unwrap_or(&0)));
            (entry.2 != net.bottleneck, blocks.sum::<usize>())
        };
        let (name, blocks, bottleneck) = *RESNETS.iter().min_by_key(far)?;
        let nearest = ResNet { widths: WIDTHS.to_vec(), blocks: blocks.to_vec(), bottleneck, ..net.clone() };
        Some((Self::ResNet(nearest), name))
    }

    /// The tensors that the network has, for images of `channels` and, of a vision transformer, `[height, width]` px.
    pub fn shapes(&self, channels: usize, size: [usize; 2]) -> Shapes {
        let mut shapes = Shapes::new();
        match self {
            Self::ResNet(net) => net.shapes(channels, &mut shapes),
            Self::Vit(net) => net.shapes(channels, size, &mut shapes),
            Self::ConvNext(net) => net.shapes(channels, &mut shapes),
            Self::BeliefNetwork { .. } | Self::Mlp { .. } | Self::Tcn(_) | Self::CpcEncoder(_) => {}
        }
        shapes
    }
}

impl ResNet {
    fn shapes(&self, channels: usize, shapes: &mut Shapes) {
        let mut conv = |name: &str, norm: &str, shape: [usize; 4]| {
            shapes.insert(format!("{name}.weight"), shape.to_vec());
            let parts: &[&str] = match self.norm {
                Norm::Batch => &["weight", "bias", "running_mean", "running_var"],
                Norm::Group => &["weight", "bias"],
                Norm::None => &[],
            };
            shapes.extend(parts.iter().map(|part| (format!("{norm}.{part}"), vec![shape[0]])));
            if self.norm == Norm::None {
                shapes.insert(format!("{name}.bias"), vec![shape[0]]);
            }
        };
        let kernel = if self.imagenet_stem { 7 } else { 3 };
        let mut inputs = self.widths[0];
        conv("conv1", "bn1", [inputs, channels, kernel, kernel]);
        for (stage, (&width, &blocks)) in self.widths.iter().zip(&self.blocks).enumerate() {
            for block in 0..blocks {
                let name = format!("layer{}.{block}", stage + 1);
                let outputs = if self.bottleneck { 4 * width } else { width };
                let convolutions = match self.bottleneck {
                    true => vec![[width, inputs, 1], [width, width, 3], [outputs, width, 1]],
                    false => vec![[width, inputs, 3], [width, width, 3]],
                };
                for (i, [o, c, k]) in (1..).zip(convolutions) {
                    conv(&format!("{name}.conv{i}"), &format!("{name}.bn{i}"), [o, c, k, k]);
                }
                if (stage > 0 && block == 0) || inputs != outputs {
                    conv(&format!("{name}.downsample.0"), &format!("{name}.downsample.1"), [outputs, inputs, 1, 1]);
                }
                inputs = outputs;
            }
        }
    }
}

impl ConvNext {
    fn shapes(&self, channels: usize, shapes: &mut Shapes) {
        let Self { widths, depths, patch_size: patch } = self;
        let mut tensor = |name: String, shape: &[usize]| drop(shapes.insert(name, shape.to_vec()));
        let mut layer = |name: &str, weight: &[usize]| {
            tensor(format!("{name}.weight"), weight);
            tensor(format!("{name}.bias"), &weight[..1]);
        };
        layer("stem.0", &[widths[0], channels, *patch, *patch]);
        layer("stem.1", &[widths[0]]);
        for (stage, (&width, &depth)) in widths.iter().zip(depths).enumerate() {
            if stage > 0 {
                layer(&format!("stages.{stage}.downsample.0"), &[widths[stage - 1]]);
                layer(&format!("stages.{stage}.downsample.1"), &[width, widths[stage - 1], 2, 2]);
            }
            for block in 0..depth {
                let name = format!("stages.{stage}.blocks.{block}");
                layer(&format!("{name}.conv_dw"), &[width, 1, 7, 7]);
                layer(&format!("{name}.norm"), &[width]);
                layer(&format!("{name}.mlp.fc1"), &[4 * width, width]);
                layer(&format!("{name}.mlp.fc2"), &[width, 4 * width]);
            }
        }
        layer("head.norm", &[*widths.last().expect("a stage")]);
        for (stage, (&width, &depth)) in widths.iter().zip(depths).enumerate() {
            (0..depth).for_each(|block| tensor(format!("stages.{stage}.blocks.{block}.gamma"), &[width]));
        }
    }
}

impl Vit {
    /// Tokens before those of the patches that have a position.
    pub fn positions_before(&self) -> usize {
        usize::from(self.class_token && self.registers == 0)
    }

    fn shapes(&self, channels: usize, [height, width]: [usize; 2], shapes: &mut Shapes) {
        let Self { dim, patch_size: patch, .. } = *self;
        let mut tensor = |name: &str, shape: &[usize]| drop(shapes.insert(name.to_owned(), shape.to_vec()));
        if self.class_token {
            tensor("cls_token", &[1, 1, dim]);
        }
        if self.registers > 0 {
            tensor("reg_token", &[1, self.registers, dim]);
        }
        tensor("pos_embed", &[1, self.positions_before() + (height / patch) * (width / patch), dim]);
        tensor("patch_embed.proj.weight", &[dim, channels, patch, patch]);
        tensor("patch_embed.proj.bias", &[dim]);
        for block in 0..self.depth {
            let name = format!("blocks.{block}");
            for norm in ["norm1", "norm2"] {
                tensor(&format!("{name}.{norm}.weight"), &[dim]);
                tensor(&format!("{name}.{norm}.bias"), &[dim]);
            }
            for (part, [outputs, inputs]) in [
                ("attn.qkv", [3 * dim, dim]),
                ("attn.proj", [dim, dim]),
                ("mlp.fc1", [4 * dim, dim]),
                ("mlp.fc2", [dim, 4 * dim]),
            ] {
                tensor(&format!("{name}.{part}.weight"), &[outputs, inputs]);
                tensor(&format!("{name}.{part}.bias"), &[outputs]);
            }
            if self.layer_scale {
                tensor(&format!("{name}.ls1.gamma"), &[dim]);
                tensor(&format!("{name}.ls2.gamma"), &[dim]);
            }
        }
        tensor("norm.weight", &[dim]);
        tensor("norm.bias", &[dim]);
    }
}

fn unreadable(key: &str) -> DataError {
    DataError::Data(format!("config.json: backbone.{key} is missing, or not what this version writes"))
}
