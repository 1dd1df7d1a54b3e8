//! Encoders. One file a family, one catalogue line a backbone.

pub mod belief_network;
pub mod resnet;
pub mod vit;

use crate::error::Error;
use crate::tensor::layers::{Init, Pass};
use crate::tensor::parameters;
use belief_network::BeliefNetwork;
use burn::module::Module;
use burn::tensor::Tensor;
use resnet::ResNet;
use selfsame_data::config::BackboneSettings;
use vit::Vit;

/// The encoder `f`: the kept network.
#[derive(Module, Debug)]
pub enum Encoder {
    /// Residual networks.
    ResNet(ResNet),
    /// Vision transformers.
    Vit(Vit),
    /// Layers of sigmoid units.
    BeliefNetwork(BeliefNetwork),
}

impl Encoder {
    /// The representation `h = f(x)`: `[batch, height, width, channels]` to `[batch, width of h]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::ResNet(net) => net.forward(x, pass),
            Self::Vit(net) => net.forward(x, pass),
            Self::BeliefNetwork(net) => net.forward(x),
        }
    }

    /// The same function in evaluation mode, with what inference can do beforehand done: no graph, batch norms folded.
    pub fn for_inference(&self) -> Self {
        match self.valid() {
            Self::ResNet(net) => Self::ResNet(net.folded()),
            net @ Self::Vit(_) => net,
            Self::BeliefNetwork(net) => Self::BeliefNetwork(net),
        }
    }

    /// Width of the representation.
    pub fn width(&self) -> usize {
        match self {
            Self::ResNet(net) => net.width(),
            Self::Vit(net) => net.width(),
            Self::BeliefNetwork(net) => net.width(),
        }
    }

    /// Stages from the pixels on, one after the other: stem and `layer1` … of a residual network, patches and blocks of a
    /// transformer, the layers of a belief network.
    pub fn stages(&self) -> usize {
        let names = parameters::arrays(self);
        names.keys().map(|name| self.stage(name) + 1).max().expect("an encoder has parameters")
    }

    /// The stage of the parameter called `name` within the encoder, counted from 0.
    pub fn stage(&self, name: &str) -> usize {
        let number = |prefix: &str| -> Option<usize> { name.strip_prefix(prefix)?.split('.').next()?.parse().ok() };
        match self {
            Self::ResNet(_) => number("layer").unwrap_or(0),
            // The last norm belongs to the last block.
            Self::Vit(net) if name.starts_with("norm.") => net.depth(),
            Self::Vit(_) => number("blocks.").map_or(0, |block| block + 1),
            Self::BeliefNetwork(_) => number("layers.").unwrap_or(0),
        }
    }

    /// The library whose names and layout the saved weights have.
    pub fn format(&self) -> &'static str {
        match self {
            Self::ResNet(_) => "torchvision",
            Self::Vit(_) => "timm",
            Self::BeliefNetwork(_) => "selfsame",
        }
    }
}

/// One line of the catalogue.
pub struct BackboneEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Builds the encoder for `channels`-channel images of `size` px.
    pub build: fn(&BackboneSettings, channels: usize, size: usize, &Init) -> Result<Encoder, Error>,
}

/// Every backbone.
pub static BACKBONES: &[BackboneEntry] = &[
    BackboneEntry {
        name: "resnet_micro",
        summary: "16-32-64 residual network, two blocks each: small images, CPUs (widths can be set)",
        build: |settings, channels, size, init| resnet::build(&resnet::MICRO, settings, channels, size, init),
    },
    BackboneEntry {
        name: "resnet18",
        summary: "ResNet-18, torchvision's architecture and names; 512-wide",
        build: |settings, channels, size, init| resnet::build(&resnet::RESNET18, settings, channels, size, init),
    },
    BackboneEntry {
        name: "resnet34",
        summary: "ResNet-34, torchvision's architecture and names; 512-wide",
        build: |settings, channels, size, init| resnet::build(&resnet::RESNET34, settings, channels, size, init),
    },
    BackboneEntry {
        name: "resnet50",
        summary: "ResNet-50 (stride on the 3×3, as torchvision); 2048-wide",
        build: |settings, channels, size, init| resnet::build(&resnet::RESNET50, settings, channels, size, init),
    },
    BackboneEntry {
        name: "vit_micro",
        summary: "vision transformer, 192 wide, 6 blocks of 3 heads: small images, CPUs (dim, depth, heads can be set)",
        build: |settings, channels, size, init| vit::build(&vit::MICRO, settings, channels, size, init),
    },
    BackboneEntry {
        name: "vit_tiny",
        summary: "ViT-Tiny, timm's architecture and names; 192-wide",
        build: |settings, channels, size, init| vit::build(&vit::TINY, settings, channels, size, init),
    },
    BackboneEntry {
        name: "vit_small",
        summary: "ViT-Small, timm's architecture and names; 384-wide",
        build: |settings, channels, size, init| vit::build(&vit::SMALL, settings, channels, size, init),
    },
    BackboneEntry {
        name: "vit_base",
        summary: "ViT-Base, timm's architecture and names; 768-wide",
        build: |settings, channels, size, init| vit::build(&vit::BASE, settings, channels, size, init),
    },
    BackboneEntry {
        name: "belief_network",
        summary: "512-512 sigmoid layers on flattened pixels, side by side: deep_belief_network (widths can be set)",
        build: belief_network::build,
    },
];

/// Builds the encoder that `settings` names.
pub fn build(settings: &BackboneSettings, channels: usize, size: usize, init: &Init) -> Result<Encoder, Error> {
    let entry = crate::catalogue::find(BACKBONES, |e| e.name, &settings.name, "backbone.name")?;
    (entry.build)(settings, channels, size, init)
}
