//! The projector `g`: the head that the objective sees and that is thrown away (Chen et al. 2020, §4.2).

use crate::tensor::layers::{Init, Linear, Norm, Pass};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_data::config::ProjectorSettings;

/// `layers` linear maps with normalisation and ReLU between them: none of them is the identity, one is linear. A
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
        let bias = settings.norm == selfsame_data::config::Norm::None;
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

    /// Width of the embedding.
    pub fn width(&self) -> usize {
        self.width
    }
}
