//! The backbones. One file per family, one line per backbone.

pub mod belief_network;
pub mod convnext;
pub mod cpc_encoder;
pub mod mlp;
mod positions;
pub mod resnet;
mod signal;
pub mod tcn;
pub mod vit;

use crate::backbone::{BackboneEntry, ChosenBackbone, Size};
use crate::error::Error;
use selfsame_config::Choice;
use toml::Table;

/// Every backbone.
pub static BACKBONES: &[BackboneEntry] = &[
    resnet::RESNET_MICRO,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    resnet::RESNET101,
    vit::VIT_MICRO,
    vit::VIT_TINY,
    vit::VIT_SMALL,
    vit::VIT_BASE,
    vit::VIT_LARGE,
    convnext::CONVNEXT_MICRO,
    convnext::CONVNEXT_TINY,
    resnet::RESNET1D_MICRO,
    resnet::RESNET1D_18,
    resnet::RESNET1D_50,
    vit::TRANSFORMER1D,
    tcn::TCN,
    cpc_encoder::CPC_ENCODER,
    mlp::MLP,
    belief_network::BELIEF_NETWORK,
];

/// Every backbone, as [`Catalogue::backbones`](crate::catalogue::Catalogue::backbones) lists them.
pub fn all() -> Vec<&'static BackboneEntry> {
    BACKBONES.iter().collect()
}

/// The backbone called `name` with these values of its keys, for samples of `size`; what is left out has its preset.
///
/// # Errors
/// If there is no such backbone, or a key is unknown or does not fit.
pub fn named(name: &str, keys: Table, size: Size) -> Result<ChosenBackbone, Error> {
    ChosenBackbone::among(&all(), &Choice::new(name, keys), size)
}
