//! The networks that have a mapping, as `config.json` tells them: what a format must know beside the tensors.

use crate::Encoder;
use selfsame_base::DataError;
use selfsame_config::Choice;

/// A network with a mapping.
#[derive(Clone, Debug, PartialEq)]
pub enum Network {
    /// A residual network.
    ResNet(ResNet),
    /// A vision transformer.
    Vit(Vit),
    /// Layers of sigmoids.
    BeliefNetwork {
        /// Number of layers.
        layers: usize,
    },
}

/// A residual network.
#[derive(Clone, Debug, PartialEq)]
pub struct ResNet {
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Whether blocks have three convolutions (1×1, 3×3, 1×1) instead of two.
    pub bottleneck: bool,
    /// Whether it begins with a 7×7 of stride 2 and a pooling; else with a 3×3.
    pub imagenet_stem: bool,
    /// Its normalization.
    pub norm: Norm,
}

/// Normalization of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Batch norm.
    Batch,
    /// Group norm.
    Group,
    /// None; convolutions have a bias.
    None,
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
    /// Side of a patch, px.
    pub patch_size: usize,
    /// Whether `h` is the class token; else the mean of the tokens.
    pub class_token: bool,
}

impl Network {
    /// The network of an encoder.
    ///
    /// # Errors
    /// If there is no mapping for it, or its settings are none.
    pub fn of(encoder: &Encoder) -> Result<Self, DataError> {
        let Choice { name, keys } = &encoder.backbone;
        let word = |key: &str| keys.get(key).and_then(|value| value.as_str()).ok_or_else(|| unreadable(key));
        let count = |key: &str| {
            let value = || usize::try_from(keys.get(key)?.as_integer()?).ok();
            value().filter(|&value| value > 0).ok_or_else(|| unreadable(key))
        };
        let length = |key: &str| {
            let value = keys.get(key).and_then(|value| value.as_array());
            value.map(Vec::len).filter(|&length| length > 0).ok_or_else(|| unreadable(key))
        };
        let resnet = |blocks: &[usize], bottleneck| {
            let imagenet_stem = match word("stem")? {
                "imagenet" => true,
                "small" => false,
                _ => return Err(unreadable("stem")),
            };
            let norm = match word("norm")? {
                "batch" => Norm::Batch,
                "group" => Norm::Group,
                "none" => Norm::None,
                _ => return Err(unreadable("norm")),
            };
            Ok(Self::ResNet(ResNet { blocks: blocks.to_vec(), bottleneck, imagenet_stem, norm }))
        };
        let vit = |dim, depth, heads| {
            let class_token = match word("pool")? {
                "class" => true,
                "mean" => false,
                _ => return Err(unreadable("pool")),
            };
            Ok(Self::Vit(Vit { dim, depth, heads, patch_size: count("patch_size")?, class_token }))
        };
        match name.as_str() {
            "resnet_micro" => resnet(&vec![2; length("widths")?], false),
            "resnet18" => resnet(&[2, 2, 2, 2], false),
            "resnet34" => resnet(&[3, 4, 6, 3], false),
            "resnet50" => resnet(&[3, 4, 6, 3], true),
            "vit_micro" => vit(count("dim")?, count("depth")?, count("heads")?),
            "vit_tiny" => vit(192, 12, 3),
            "vit_small" => vit(384, 12, 6),
            "vit_base" => vit(768, 12, 12),
            "belief_network" => Ok(Self::BeliefNetwork { layers: length("widths")? }),
            _ => Err(DataError::setting("backbone.name", format!("no format has a mapping for {name}"))),
        }
    }
}

fn unreadable(key: &str) -> DataError {
    DataError::Data(format!("config.json: backbone.{key} is missing, or not what this version writes"))
}
