//! The projector `g`: the head whose output the objective sees; it is thrown away after the training (Chen et al. 2020,
//! §4.2).

use crate::tensor::layers::{Init, Linear, Norm, NormKind, Pass};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, settings};

settings! {
    /// `[projector]`
    pub struct ProjectorSettings {
        /// linear layers; 0: the objective sees h itself, 1: a linear map, more: an MLP
        layers: usize = 2, Kind::Integer(Range::Within(0.0, 8.0));
        /// width of the hidden layers
        hidden: usize = 256, Kind::WIDTH;
        /// width of the embedding z
        out: usize = 128, Kind::WIDTH;
        /// normalization after hidden layers
        norm: NormKind = "batch", Kind::Word(NormKind::WORDS);
        /// whether the last layer is normalized too
        last_norm: bool = false, Kind::Flag;
    }
}

impl ProjectorSettings {
    /// Weights, at least.
    pub(crate) fn parameters(&self) -> f64 {
        let (hidden, out) = (self.hidden as f64, self.out as f64);
        hidden * hidden * self.layers.saturating_sub(2) as f64 + if self.layers > 1 { hidden * out } else { 0.0 }
    }
}

/// `layers` linear maps with normalization and ReLU between them: none of them is the identity, one is linear. A
/// predictor is one too.
#[derive(Module, Debug)]
pub struct Projector {
    hidden: Vec<(Linear, Norm)>,
    last: Option<Linear>,
    last_norm: Option<Norm>,
    #[module(skip)]
    width: usize,
}

impl Projector {
    /// A projector from representations of `width`.
    pub fn new(settings: &ProjectorSettings, width: usize, init: &Init) -> Self {
        let hidden = settings.layers.saturating_sub(1);
        let inputs = |layer| if layer == 0 { width } else { settings.hidden };
        let bias = settings.norm == NormKind::None;
        Self {
            hidden: (0..hidden)
                .map(|layer| {
                    let init = init.child(format!("hidden.{layer}"));
                    (
                        Linear::new(&init.child(0), [inputs(layer), settings.hidden], bias),
                        Norm::new(&init.child(1), settings.norm, settings.hidden, 1.0),
                    )
                })
                .collect(),
            last: (settings.layers > 0)
                .then(|| Linear::new(&init.child("last"), [inputs(hidden), settings.out], false)),
            last_norm: (settings.layers > 0 && settings.last_norm)
                .then(|| Norm::new(&init.child("last_norm"), settings.norm, settings.out, 1.0)),
            width: if settings.layers > 0 { settings.out } else { width },
        }
    }

    /// No projector: `z = h`, `width` wide.
    pub fn identity(width: usize) -> Self {
        Self { hidden: Vec::new(), last: None, last_norm: None, width }
    }

    /// One linear map, which is there already.
    pub fn linear(map: Linear) -> Self {
        let [_, width] = map.weight.val().dims();
        Self { hidden: Vec::new(), last: Some(map), last_norm: None, width }
    }

    /// The embedding `z = g(h)`: `[batch, width]` to `[batch, out]`.
    pub fn forward(&self, h: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let z = self.hidden.iter().fold(h, |x, (linear, norm)| norm.act(linear.forward(x), None, true, pass));
        let z = match &self.last {
            Some(last) => last.forward(z),
            None => z,
        };
        match &self.last_norm {
            Some(norm) => norm.act(z, None, false, pass),
            None => z,
        }
    }

    /// Whether `z = h`.
    pub fn is_identity(&self) -> bool {
        self.last.is_none()
    }

    /// Width of the embedding.
    pub fn width(&self) -> usize {
        self.width
    }
}
