//! A perceptron of several layers, for vectors: each feature is an input of its own.

use crate::backbone::{self, Backbone, BackboneEntry, Cost, Encoder, Role, Site};
use crate::error::Error;
use crate::tensor::layers::{Init, Linear, Norm, NormKind, Pass};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, Settings, settings};
use selfsame_data::modality::Modality;
use std::ops;

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
        /// width of what each category of a table is learned as; 0: the first layer sees its values as they are
        embedding: usize = 16, Kind::COUNT_OR_ZERO;
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
        let MlpSettings { width, depth, embedding, .. } = site.read()?;
        let inputs = Inputs::of(site, embedding).width() as f64;
        let (width, depth) = (width as f64, depth as f64);
        Ok(Cost { parameters: inputs * width + (depth - 1.0) * width * width, activations: depth * width })
    },
};

/// `h_l = relu(norm(h_{l−1} W_l))`, with `residual` `relu(h_{l−1} + norm(h_{l−1} W_l))` from the second layer on. Of a category
/// `h_0` has a learned embedding, `x W_c` of its values: the row of the one that is there, but for a constant.
#[derive(Module, Debug)]
pub struct Mlp {
    embeddings: Vec<Linear>,
    layers: Vec<Layer>,
    #[module(skip)]
    residual: bool,
    #[module(skip)]
    width: usize,
    #[module(skip)]
    inputs: Inputs,
}

/// What becomes of the channels on their way to the first layer.
#[derive(Clone, Debug)]
struct Inputs {
    /// Neighboring channels, and whether they are a category that is embedded.
    runs: Vec<(ops::Range<usize>, bool)>,
    /// Width of an embedding.
    embedding: usize,
}

impl Inputs {
    fn of(site: &Site, embedding: usize) -> Self {
        let mut runs: Vec<(ops::Range<usize>, bool)> = Vec::new();
        for place in site.columns.iter() {
            match (runs.last_mut(), place.is_category && embedding > 0) {
                (Some((run, false)), false) => run.end = place.channels.end,
                (_, embedded) => runs.push((place.channels.clone(), embedded)),
            }
        }
        if runs.is_empty() {
            runs.push((0..site.channels, false));
        }
        Self { runs, embedding }
    }

    fn width(&self) -> usize {
        self.runs.iter().map(|(run, embedded)| if *embedded { self.embedding } else { run.len() }).sum()
    }
}

#[derive(Module, Debug)]
struct Layer {
    linear: Linear,
    norm: Norm,
}

fn build(site: &Site, init: &Init, _role: Role) -> Result<Encoder, Error> {
    let MlpSettings { width, depth, norm, residual, embedding } = site.read()?;
    let first = Inputs::of(site, embedding);
    let embedded = first.runs.iter().filter(|(_, embedded)| *embedded).enumerate();
    let embeddings = embedded.map(|(index, (run, _))| {
        Linear::new(&init.child(format!("embeddings.{index}")), [run.len(), embedding], false)
    });
    let embeddings = embeddings.collect();
    let layers = (0..depth).map(|layer| {
        let init = init.child(format!("layers.{layer}"));
        let inputs = if layer == 0 { first.width() } else { width };
        Layer {
            linear: Linear::new(&init.child("linear"), [inputs, width], norm == NormKind::None),
            norm: Norm::new(&init.child("norm"), norm, width, 1.0),
        }
    });
    Ok(Encoder::new(Mlp { layers: layers.collect(), embeddings, residual, width, inputs: first }))
}

impl Mlp {
    /// What the first layer sees, `[batch, channels]` to `[batch, inputs]`.
    fn embedded(&self, x: Tensor<2>) -> Tensor<2> {
        if self.embeddings.is_empty() {
            return x;
        }
        let (rows, mut embeddings) = (x.dims()[0], self.embeddings.iter());
        let part = |(run, embedded): &(ops::Range<usize>, bool)| {
            let part = x.clone().slice([0..rows, run.clone()]);
            if *embedded { embeddings.next().expect("one for each").forward(part) } else { part }
        };
        Tensor::cat(self.inputs.runs.iter().map(part).collect(), 1)
    }
}

impl Mlp {
    /// What so many layers make of it.
    fn through(&self, x: Tensor<4>, layers: usize, pass: &Pass) -> Tensor<2> {
        let x = self.embedded(x.flatten(1, 3));
        self.layers.iter().take(layers).enumerate().fold(x, |x, (index, Layer { linear, norm })| {
            let residual = (self.residual && index > 0).then(|| x.clone());
            norm.act(linear.forward(x), residual, true, pass)
        })
    }
}

impl Backbone for Mlp {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.through(x, self.layers.len(), pass)
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        Some(self.through(x, stage + 1, pass).unsqueeze_dim(1))
    }

    fn width(&self) -> usize {
        self.width
    }

    fn stage(&self, name: &str) -> usize {
        backbone::number_after(name, "layers.").unwrap_or(0)
    }
}
