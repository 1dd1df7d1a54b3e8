//! An encoder that does not learn, made ready to embed batch after batch.

use crate::backbone::{Encoder, Output};
use crate::error::Error;
use crate::tensor::KeptWeights;
use crate::tensor::layers::Pass;
use crate::train_settings::Precision;
use burn::tensor::Tensor;

/// Pixels, or steps of signals, that go through an encoder at once: as many as four photos of 224 px, whose largest maps then stay in the outer
/// cache from layer to layer.
const PIXELS: usize = 4 * 224 * 224;

/// An encoder with all that can be done before the first batch done: no graph, batch norms folded, weights packed at the first
/// batch and kept.
#[derive(Debug)]
pub struct Inference {
    encoder: Encoder,
    precision: Precision,
    kept: KeptWeights,
}

impl Inference {
    /// Of an encoder, at a precision.
    pub fn new(encoder: &Encoder, precision: Precision) -> Self {
        Self { encoder: encoder.for_inference(), precision, kept: KeptWeights::default() }
    }

    /// The encoder that is run.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Runs `work` as the encoder is run: at its precision, keeping packed weights.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        self.precision.within(|| self.kept.within(work))
    }

    /// What gives a row per sample of what is wanted, as [`Encoder::reader`]: `[batch, height, width, channels]` to `[batch, values]`.
    ///
    /// # Errors
    /// As there.
    pub fn reader(&self, wanted: Output) -> Result<impl Fn(Tensor<4>) -> Result<Tensor<2>, Error>, Error> {
        let (read, pass) = (self.encoder.reader(wanted)?, Pass::evaluate());
        Ok(move |x: Tensor<4>| {
            let [batch, height, width, _] = x.dims();
            let at_once = (PIXELS / (height * width)).max(1);
            self.within(|| {
                if batch <= at_once {
                    return read(x, &pass);
                }
                let rows = x.split(at_once, 0).into_iter().map(|x| read(x, &pass)).collect::<Result<_, _>>()?;
                Ok(Tensor::cat(rows, 0))
            })
        })
    }
}
