//! `z = g(f(x))`: what every joint-embedding method is made of, one branch or two.

use crate::backbone::Encoder;
use crate::batch::Batch;
use crate::projector::Projector;
use crate::tensor::layers::Pass;
use burn::module::Module;
use burn::tensor::Tensor;

/// An encoder and the head that stands on it while it is trained.
#[derive(Module, Debug)]
pub struct Branch {
    /// `f`, kept.
    pub encoder: Encoder,
    /// `g`, thrown away.
    pub projector: Projector,
}

impl Branch {
    /// An encoder alone: `z = h`.
    pub fn without_projector(encoder: Encoder) -> Self {
        let projector = Projector::identity(encoder.width());
        Self { encoder, projector }
    }

    /// Whether there is a `z` beside `h`.
    pub fn has_z(&self) -> bool {
        !self.projector.is_identity()
    }

    /// The embedding of one view: `[batch, height, width, channels]` to `[batch, embedding]`.
    pub fn forward(&self, view: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.projector.forward(self.encoder.forward(view, pass), pass)
    }

    /// The embeddings of each view, `[batch, embedding]`.
    pub fn embed(&self, batch: &Batch, pass: &Pass) -> Vec<Tensor<2>> {
        batch.views.iter().map(|view| self.forward(view.clone(), pass)).collect()
    }
}
