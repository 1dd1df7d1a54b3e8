//! Encoders. One file a family, one catalogue line a backbone.

pub mod belief_network;
pub mod resnet;

use crate::error::Error;
use crate::tensor::layers::{Init, Pass};
use belief_network::BeliefNetwork;
use burn::module::Module;
use burn::tensor::Tensor;
use resnet::ResNet;
use selfsame_data::config::BackboneSettings;

/// The encoder `f`: the kept network.
#[derive(Module, Debug)]
pub enum Encoder {
    /// Residual networks.
    ResNet(ResNet),
    /// Layers of sigmoid units.
    BeliefNetwork(BeliefNetwork),
}

impl Encoder {
    /// The representation `h = f(x)`: `[batch, height, width, channels]` to `[batch, width of h]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::ResNet(net) => net.forward(x, pass),
            Self::BeliefNetwork(net) => net.forward(x),
        }
    }

    /// The same function in evaluation mode, with what inference can do beforehand done: no graph, batch norms folded.
    pub fn for_inference(&self) -> Self {
        match self.valid() {
            Self::ResNet(net) => Self::ResNet(net.folded()),
            Self::BeliefNetwork(net) => Self::BeliefNetwork(net),
        }
    }

    /// Width of the representation.
    pub fn width(&self) -> usize {
        match self {
            Self::ResNet(net) => net.width(),
            Self::BeliefNetwork(net) => net.width(),
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
