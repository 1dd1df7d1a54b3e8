//! A perceptron of several layers, for vectors: each feature is an input of its own.

use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Init, Linear, Norm, NormKind, Pass};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[backbone] name = "mlp"`
    pub struct MlpSettings {
        /// width of each layer, and of h
        width: usize = 256, Kind::WIDTH;
        /// layers
        depth: usize = 4, Kind::Integer(Range::Within(1.0, 64.0));
        /// normalization after each
        norm: NormKind = "batch", Kind::Word(NormKind::WORDS);
        /// whether a layer after the first adds to what it was given
        residual: bool = false, Kind::Flag;
    }
}

/// The only backbone of its family.
pub(super) const MLP: BackboneEntry = BackboneEntry {
    name: "mlp",
    family: "mlp",
    modalities: &[Modality::Vector],
    summary: "perceptron of 4 layers, 256 wide, for vectors (width, depth, norm, residual can be set)",
    keys: MlpSettings::GROUP,
    build,
    check: |_, _, _| Ok(()),
    cost: |site| {
        let MlpSettings { width, depth, .. } = site.read()?;
        let (inputs, width, depth) = (inputs(site) as f64, width as f64, depth as f64);
        Ok(Cost { parameters: inputs * width + (depth - 1.0) * width * width, activations: depth * width })
    },
};

/// `h_l = relu(norm(h_{l−1} W_l))`, with `residual` `relu(h_{l−1} + norm(h_{l−1} W_l))` from the second layer on.
#[derive(Module, Debug)]
pub struct Mlp {
    layers: Vec<Layer>,
    #[module(skip)]
    residual: bool,
    #[module(skip)]
    width: usize,
}

#[derive(Module, Debug)]
struct Layer {
    linear: Linear,
    norm: Norm,
}

fn inputs(site: &Site) -> usize {
    site.size * site.size * site.channels
}

fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let MlpSettings { width, depth, norm, residual } = site.read()?;
    let layers = (0..depth).map(|layer| {
        let init = init.child(format!("layers.{layer}"));
        let inputs = if layer == 0 { inputs(site) } else { width };
        Layer {
            linear: Linear::new(&init.child("linear"), [inputs, width], norm == NormKind::None),
            norm: Norm::new(&init.child("norm"), norm, width, 1.0),
        }
    });
    Ok(Encoder::new(Mlp { layers: layers.collect(), residual, width }))
}

impl Backbone for Mlp {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let x: Tensor<2> = x.flatten(1, 3);
        self.layers.iter().enumerate().fold(x, |x, (index, Layer { linear, norm })| {
            let residual = (self.residual && index > 0).then(|| x.clone());
            norm.act(linear.forward(x), residual, true, pass)
        })
    }

    fn width(&self) -> usize {
        self.width
    }

    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layers.").unwrap_or(0)
    }
}
