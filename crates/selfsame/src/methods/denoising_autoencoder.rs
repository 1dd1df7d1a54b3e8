//! The denoising autoencoder: "Extracting and Composing Robust Features with Denoising Autoencoders" (Vincent, Larochelle,
//! Bengio & Manzagol 2008; "Stacked Denoising Autoencoders", 2010).
//!
//! *A good representation is one that can be obtained robustly from a corrupted input, and from which the clean input can
//! be recovered.* Pixels are set to zero, noise is added, and the clean view is the target:
//!
//! `L = mean_i ‖d(f(x̃_i)) − x_i‖² / pixels`, `x̃ = m ⊙ (x + σε)`, `m ~ Bernoulli(1 − ν)`, `ε ~ N(0, 1)`.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::decoder::ImageDecoder;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, squared_error};
use crate::outputs::{Loss, Losses};
use crate::picture::{Drawn, Picture, Scale, Tiles};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::Pass;
use crate::tensor::{to_vec, view_to_device};
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, settings, value};
use selfsame_data::modality::{Columns, Modality};
use toml::Table;

settings! {
    /// `[method] name = "denoising_autoencoder"`
    pub struct DenoisingAutoencoderSettings {
        /// σ of the noise, where the data's is 1; 0.1 to 1 are usual
        noise: f64 = 0.3, Kind::NOT_NEGATIVE;
        /// ν, the share of pixels, or of a vector's features, set to zero, the data's mean; 0.25 to 0.5 are usual
        masking: f64 = 0.5, Kind::MOMENTUM;
        /// channels of the decoder's last map
        decoder_width: usize = (derived "16, of vectors 256", |s| {
            value(if s.text("data.modality")? == "vector" { 256 } else { 16 })
        }), Kind::WIDTH;
    }
}

/// Encoder and decoder.
#[derive(Module, Debug)]
pub struct DenoisingAutoencoder {
    branch: Branch,
    decoder: ImageDecoder,
    #[module(skip)]
    settings: DenoisingAutoencoderSettings,
    #[module(skip)]
    columns: Columns,
}

impl Method for DenoisingAutoencoder {
    const NAME: &'static str = "denoising_autoencoder";
    type Config = DenoisingAutoencoderSettings;
    type Outputs = Losses;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, DenoisingAutoencoder::NAME)
    }

    fn fit(keys: &mut Table, to: Batches) {
        if to.modality == Modality::Vector {
            // A last map of one pixel must not be narrower than the vector.
            keys.remove("decoder_width");
        }
    }

    fn trivial_loss(_config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        // What is given back is normalized to variance 1: the error of its mean.
        let what = match plan.data.modality {
            Modality::Image => "pixels",
            Modality::Vector => "features",
            Modality::Signal => "values",
        };
        Some(TrivialLoss { value: 1.0, formula: format!("the {what}' variance") })
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let decoder = ImageDecoder::new(cx, branch.projector.width(), config.decoder_width);
        Ok(Self { branch, decoder, settings: config.clone(), columns: cx.plan.data.vector_columns() })
    }

    /// The error of each sample, `[batch, 1]`, and, to be watched, what the encoder made of the corrupted view.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let view = batch.views[0].clone();
        let h = self.branch.forward(self.corrupted(&view, cx.pass), cx.pass);
        let reconstruction = self.decoder.forward(h.clone(), cx.pass).flatten(1, 3);
        let view: Tensor<2> = view.flatten(1, 3);
        // What follows the end of a signal is no number, and nothing to be given back.
        let padding = view.clone().is_nan();
        let there = view.ones_like().mask_fill(padding.clone(), 0.0);
        let values = squared_error(reconstruction, view.mask_fill(padding, 0.0), there);
        Losses::new(vec![Loss { name: "reconstruction", weight: 1.0, values }], h.inner())
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let clean = samples.views[0].clone();
        let corrupted = self.corrupted(&clean, cx.pass);
        let reconstruction = self.decoder.forward(self.branch.forward(corrupted.clone(), cx.pass), cx.pass);
        vec![Picture {
            name: "reconstructions",
            caption: "from top to bottom: samples, corrupted, reconstructed",
            drawn: Drawn::Tiles(Tiles {
                columns: samples.samples.len(),
                tiles: Tensor::cat(vec![clean, corrupted, reconstruction], 0),
                scale: Scale::Data,
            }),
        }]
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl DenoisingAutoencoder {
    /// `x̃`: `[batch, height, width, channels]`. The channels of a pixel are masked together, as those of a vector's column are.
    fn corrupted(&self, view: &Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [rows, height, width, channels] = view.dims();
        let (noise, masking) = (self.settings.noise as f32, self.settings.masking as f32);
        let together: Vec<usize> = match self.columns.is_empty() {
            true => vec![channels; height * width],
            false => self.columns.iter().map(|place| place.channels.len()).collect(),
        };
        let mut pixels = to_vec(view.clone());
        for (mut sample, mut rng) in pixels.chunks_exact_mut(height * width * channels).zip(pass.draw(rows)) {
            for count in &together {
                let (pixel, rest) = sample.split_at_mut(*count);
                sample = rest;
                if rng.chance(masking) {
                    pixel.iter_mut().filter(|value| !value.is_nan()).for_each(|value| *value = 0.0);
                } else if noise > 0.0 {
                    pixel.iter_mut().for_each(|value| *value += noise * rng.normal());
                }
            }
        }
        view_to_device(pixels, [height, width, channels], &view.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::tensor::layers::Draws;
    use burn::tensor::Device;

    /// Shares and moments of the corruption over 200 × 64 pixels of the value 2: four standard errors wide.
    #[test]
    fn the_corruption_masks_whole_pixels_and_adds_noise_of_the_stated_width() {
        let plan = testing::plan(3, 8, &["backbone.widths=[2]"]);
        let settings = DenoisingAutoencoderSettings { noise: 0.5, masking: 0.25, decoder_width: 2 };
        let cx = BuildContext { plan: &plan, device: &Device::flex(), start: None };
        let model = DenoisingAutoencoder::build(&settings, &cx).unwrap();
        let view = Tensor::full([200, 8, 8, 3], 2.0, &Device::flex());
        let pass = Pass::train(Draws::new(0, 0, &(0..200).collect::<Vec<_>>()));
        let pixels = to_vec(model.corrupted(&view, &pass));
        let masked = pixels.chunks(3).filter(|pixel| pixel.iter().all(|&v| v == 0.0)).count();
        assert_eq!(3 * masked, pixels.iter().filter(|&&v| v == 0.0).count(), "channels together");
        let seen: Vec<f64> = pixels.iter().filter(|&&v| v != 0.0).map(|&v| f64::from(v) - 2.0).collect();
        let n = seen.len() as f64;
        let (mean, variance) = (seen.iter().sum::<f64>() / n, seen.iter().map(|v| v * v).sum::<f64>() / n);
        let share = masked as f64 / 12800.0;
        assert!((share - 0.25).abs() < 4.0 * (0.25f64 * 0.75 / 12800.0).sqrt(), "{share}");
        assert!(mean.abs() < 4.0 * 0.5 / n.sqrt(), "{mean}");
        assert!((variance - 0.25).abs() < 4.0 * 0.25 * (2.0 / n).sqrt(), "{variance}");
    }
}
