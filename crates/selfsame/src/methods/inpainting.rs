//! Inpainting: "Context Encoders: Feature Learning by Inpainting" (Pathak, Krähenbühl, Donahue, Darrell & Efros 2016).
//!
//! *To fill in what was cut out of an image, a network must understand what is around it.* Squares are cut out and
//! predicted from the rest; the paper's reconstruction loss, without its adversarial one:
//!
//! `L = mean_i ‖m_i ⊙ (d(f((1 − m_i) ⊙ x_i)) − x_i)‖² / Σ m_i`, plus `outside_weight` times the same of `1 − m_i`.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::decoder::ImageDecoder;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, squared_error};
use crate::outputs::{Loss, Losses};
use crate::picture::{Drawn, Picture, Scale, Tiles};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::Pass;
use crate::tensor::view_to_device;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, settings};
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;

settings! {
    /// `[method] name = "inpainting"`
    pub struct InpaintingSettings {
        /// squares cut out of a view, 1 to 8 are usual; they may overlap
        squares: usize = 1, Kind::Integer(Range::Within(1.0, 256.0));
        /// their area in all, before overlaps, as a share of the view; 0.25 is usual
        share: f64 = 0.25, Kind::POSITIVE;
        /// weight of the error on what was not cut out; 0 to 0.1 are usual
        outside_weight: f64 = 0.1, Kind::NOT_NEGATIVE;
        /// channels of the decoder's last map
        decoder_width: usize = 16, Kind::WIDTH;
    }
}

impl InpaintingSettings {
    /// Side of a square, px, in a view of `size`.
    fn side(&self, size: Size) -> usize {
        (size.area() as f64 * self.share / self.squares as f64).sqrt().round().max(1.0) as usize
    }
}

/// Encoder and decoder.
#[derive(Module, Debug)]
pub struct Inpainting {
    branch: Branch,
    decoder: ImageDecoder,
    #[module(skip)]
    settings: InpaintingSettings,
}

impl Method for Inpainting {
    const NAME: &'static str = "inpainting";
    const MODALITIES: &'static [Modality] = &[Modality::Image];
    type Config = InpaintingSettings;
    type Outputs = Losses;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, Inpainting::NAME)?;
        let size = plan.data.size;
        let side = config.side(size);
        if side < size.shorter() {
            return Ok(());
        }
        let problem = format!(
            "{} of a view cut out in method.squares = {} leaves nothing of data.size = {size} px to see: a square has {side} px; 0.25 is usual",
            config.share, config.squares
        );
        Err(Error::setting("method.share", problem))
    }

    fn trivial_loss(config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        // Pixels are normalized to variance 1: the error of their mean, inside and outside.
        let formula = format!("the pixels' variance, times 1 + {}", config.outside_weight);
        Some(TrivialLoss { value: 1.0 + config.outside_weight, formula })
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let decoder = ImageDecoder::new(cx, branch.projector.width(), config.decoder_width);
        Ok(Self { branch, decoder, settings: config.clone() })
    }

    /// The errors inside and outside of what was cut out, `[batch, 1]` each, and, to be watched, what the encoder made of
    /// the rest.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let view = batch.views[0].clone();
        let inside = self.squares(&view, cx.pass);
        let outside = -inside.clone() + 1.0;
        let h = self.branch.forward(view.clone() * outside.clone(), cx.pass);
        let reconstruction: Tensor<2> = self.decoder.forward(h.clone(), cx.pass).flatten(1, 3);
        let error =
            |mask: Tensor<4>| squared_error(reconstruction.clone(), view.clone().flatten(1, 3), mask.flatten(1, 3));
        let losses = vec![
            Loss { name: "inside", weight: 1.0, values: error(inside) },
            Loss { name: "outside", weight: self.settings.outside_weight, values: error(outside) },
        ];
        Losses::new(losses, h.inner())
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let whole = samples.views[0].clone();
        let inside = self.squares(&whole, cx.pass);
        let cut = whole.clone() * (-inside.clone() + 1.0);
        let reconstruction = self.decoder.forward(self.branch.forward(cut.clone(), cx.pass), cx.pass);
        let filled = cut.clone() + reconstruction.clone() * inside;
        vec![Picture {
            name: "reconstructions",
            caption: "from top to bottom: samples, with squares cut out, filled in, the whole prediction",
            drawn: Drawn::Tiles(Tiles {
                columns: samples.samples.len(),
                tiles: Tensor::cat(vec![whole, cut, filled, reconstruction], 0),
                scale: Scale::Data,
            }),
        }]
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl Inpainting {
    /// 1 inside of the squares, 0 outside, `[batch, height, width, channels]`. Places are drawn uniformly, whole squares
    /// within the view.
    fn squares(&self, view: &Tensor<4>, pass: &Pass) -> Tensor<4> {
        let [rows, height, width, channels] = view.dims();
        let (squares, side) = (self.settings.squares, self.settings.side(Size { height, width }));
        let mut mask = vec![0.0; rows * height * width * channels];
        for (sample, mut rng) in mask.chunks_exact_mut(height * width * channels).zip(pass.draw(rows)) {
            for _ in 0..squares {
                let (top, left) = (rng.below(height - side + 1), rng.below(width - side + 1));
                for row in sample.chunks_exact_mut(width * channels).skip(top).take(side) {
                    row[left * channels..(left + side) * channels].fill(1.0);
                }
            }
        }
        view_to_device(mask, [height, width, channels], &view.device())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::tensor::layers::Draws;
    use crate::tensor::to_vec;
    use burn::tensor::Device;
    use selfsame_config::Settings;

    fn mask(squares: usize, share: f64, samples: usize) -> Vec<Vec<f32>> {
        let plan = testing::plan(2, 10, &["backbone.widths=[2]"]);
        let settings = InpaintingSettings { squares, share, ..InpaintingSettings::defaults() };
        let model =
            Inpainting::build(&settings, &BuildContext { plan: &plan, device: &Device::flex(), start: None }).unwrap();
        let view = Tensor::zeros([samples, 10, 10, 2], &Device::flex());
        let pass = Pass::train(Draws::new(0, 0, &(0..samples).collect::<Vec<_>>()));
        to_vec(model.squares(&view, &pass)).chunks(200).map(<[f32]>::to_vec).collect()
    }

    /// One square of 5×5 of 10×10, both channels alike, at each of its 36 places equally often (chi-square, 35 degrees of
    /// freedom, under 66.6 with probability 0.999).
    #[test]
    fn a_square_of_the_stated_area_lies_anywhere_alike() {
        let mut places = [0u32; 36];
        for mask in mask(1, 0.25, 3600) {
            let on: Vec<usize> = (0..100).filter(|pixel| mask[2 * pixel] == 1.0).collect();
            assert!(on.len() == 25 && (0..100).all(|pixel| mask[2 * pixel] == mask[2 * pixel + 1]));
            let (top, left) = (on[0] / 10, on[0] % 10);
            assert!(on.iter().all(|p| (top..top + 5).contains(&(p / 10)) && (left..left + 5).contains(&(p % 10))));
            places[top * 6 + left] += 1;
        }
        let chi2: f64 = places.iter().map(|&n| (f64::from(n) - 100.0).powi(2) / 100.0).sum();
        assert!(chi2 < 66.6, "{places:?}");
    }

    #[test]
    fn something_is_cut_out_and_something_left_at_the_ends_of_the_range() {
        assert!(mask(1, 1e-9, 20).iter().all(|mask| mask.iter().sum::<f32>() == 2.0));
        let several = mask(4, 0.36, 200);
        let most = several.iter().map(|mask| mask.iter().sum::<f32>()).fold(0.0, f32::max);
        assert!(most == 72.0 && several.iter().any(|mask| mask.iter().sum::<f32>() < 72.0), "{most}");
    }
}
