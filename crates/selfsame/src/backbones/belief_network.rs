//! A belief network's way up: layers of sigmoid units, each the hidden layer of a restricted Boltzmann machine (Hinton,
//! Osindero & Teh 2006, "A Fast Learning Algorithm for Deep Belief Nets").

use crate::backbone::{self, Backbone, BackboneEntry, ChosenBackbone, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Init, Linear, Pass};
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use selfsame_config::{Kind, Range, Settings, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[backbone]` of a belief network.
    pub struct BeliefNetworkSettings {
        /// widths of the layers, lowest first
        widths: Vec<usize> = [512, 512], Kind::Integers(Range::Within(1.0, 8192.0), None);
    }
}

/// The only backbone of its family.
pub(super) const BELIEF_NETWORK: BackboneEntry = BackboneEntry {
    name: "belief_network",
    family: "belief_network",
    modalities: &[Modality::Image, Modality::Vector],
    summary: "512-512 sigmoid layers on flattened pixels, side by side: deep_belief_network (widths can be set)",
    keys: BeliefNetworkSettings::GROUP,
    build,
    check: |site, key, size| {
        widths(site)?;
        if size == site.size {
            return Ok(());
        }
        let problem = format!(
            "{size}, but backbone.name = \"belief_network\" sees data.size = {} px and no other; drop the key, or take a resnet_… or vit_… backbone",
            site.size
        );
        Err(Error::setting(key, problem))
    },
    cost: |site| {
        let mut inputs = (site.size.area() * site.channels) as f64;
        let layer = |&width: &usize| std::mem::replace(&mut inputs, width as f64) * width as f64;
        let parameters = widths(site)?.iter().map(layer).sum();
        Ok(Cost { parameters, activations: 0.0 })
    },
};

/// The settings of a belief network, if the backbone is one.
pub fn settings_of(backbone: &ChosenBackbone) -> Option<BeliefNetworkSettings> {
    (backbone.entry.family == BELIEF_NETWORK.family).then(|| backbone.read()).flatten()
}

fn widths(site: &Site) -> Result<Vec<usize>, Error> {
    let BeliefNetworkSettings { widths } = site.read()?;
    if widths.is_empty() {
        let problem = "expected widths of at least 1, one per layer, got an empty list; e.g. [512, 512]";
        return Err(Error::setting("backbone.widths", problem));
    }
    Ok(widths)
}

/// Sigmoid layers on flattened pixels; `h` is the means of every layer, side by side.
#[derive(Module, Debug)]
pub struct BeliefNetwork {
    /// What a pixel is multiplied with before the first layer, `[channels]`.
    scale: Param<Tensor<1>>,
    /// What is added to it then, `[channels]`.
    shift: Param<Tensor<1>>,
    layers: Vec<Linear>,
    #[module(skip)]
    width: usize,
}

/// Builds the network.
fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let (widths, channels) = (widths(site)?, site.channels);
    let mut inputs = site.size.area() * channels;
    let layers = widths.iter().enumerate().map(|(layer, &width)| {
        let shape = [std::mem::replace(&mut inputs, width), width];
        Linear::new(&init.child(format!("layers.{layer}")), shape, true)
    });
    Ok(Encoder::new(BeliefNetwork {
        layers: layers.collect(),
        scale: init.buffer([channels], 1.0),
        shift: init.buffer([channels], 0.0),
        width: widths.iter().sum(),
    }))
}

impl Backbone for BeliefNetwork {
    fn forward(&self, x: Tensor<4>, _pass: &Pass) -> Tensor<2> {
        Tensor::cat(self.means(self.pixels(x)), 1)
    }

    /// A layer's means alone; `h` has those of every layer.
    fn places(&self, x: Tensor<4>, stage: usize, _pass: &Pass) -> Option<Tensor<3>> {
        self.means(self.pixels(x)).into_iter().nth(stage).map(|means| means.unsqueeze_dim(1))
    }

    fn width(&self) -> usize {
        self.width
    }

    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layers.").unwrap_or(0)
    }
}

impl BeliefNetwork {
    /// The mean of every layer, lowest first, given the `pixels`, `[batch, visible]`.
    pub fn means(&self, pixels: Tensor<2>) -> Vec<Tensor<2>> {
        let mut below = pixels;
        let mean = |layer: &Linear| {
            below = sigmoid(layer.forward(below.clone()));
            below.clone()
        };
        self.layers.iter().map(mean).collect()
    }

    /// Views as the first layer takes them: `[batch, height, width, channels]` to `[batch, height · width · channels]`.
    pub fn pixels(&self, x: Tensor<4>) -> Tensor<2> {
        (x * self.scale.val().reshape([1, 1, 1, -1]) + self.shift.val().reshape([1, 1, 1, -1])).flatten(1, 3)
    }

    /// The inverse of [`Self::pixels`] for square images.
    pub fn views(&self, pixels: Tensor<2>) -> Tensor<4> {
        let ([batch, values], [channels]) = (pixels.dims(), self.scale.dims());
        let side = (values / channels).isqrt();
        let x = pixels.reshape([batch, side, side, channels]);
        (x - self.shift.val().reshape([1, 1, 1, -1])) / self.scale.val().reshape([1, 1, 1, -1])
    }

    /// The layers, lowest first.
    pub fn layers(&self) -> &[Linear] {
        &self.layers
    }

    /// The same network on `scale · x + shift`, per channel.
    #[must_use]
    pub fn on(self, scale: &[f32], shift: &[f32]) -> Self {
        let set = |param: Param<Tensor<1>>, values: &[f32]| {
            param.map(|old| Tensor::from_data(values, &old.device())).no_grad()
        };
        Self { scale: set(self.scale, scale), shift: set(self.shift, shift), ..self }
    }
}
