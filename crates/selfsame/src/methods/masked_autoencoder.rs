//! MAE: "Masked Autoencoders Are Scalable Vision Learners" (He, Chen, Xie, Li, Dollár & Girshick 2022).
//!
//! *Mask random patches of the input image and reconstruct the missing pixels.* The encoder sees the few patches that
//! are left, and nothing in the place of the others, so a step costs little; a light decoder, thrown away, puts a
//! learned token there and predicts the pixels. So many patches are removed that copying their neighbors is not enough.
//! It has targets, so it cannot collapse.

use crate::backbone::Backbone;
use crate::backbones::vit::{self, Block, Vit, VitSettings};
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, PATCH_EPSILON, masked_patches};
use crate::outputs::{Loss, Losses};
use crate::picture::{Picture, Scale};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::{Init, LayerNorm, Linear, Pass};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use selfsame_config::{Kind, Range, settings};
use selfsame_data::modality::Modality;

settings! {
    /// `[method] name = "masked_autoencoder"`
    pub struct MaskedAutoencoderSettings {
        /// share of the patches that is removed; 0.75 is usual
        mask_ratio: f64 = 0.75, Kind::MOMENTUM;
        /// width of the decoder; a multiple of four times its heads
        decoder_width: usize = 96, Kind::WIDTH;
        /// blocks of the decoder
        decoder_depth: usize = 2, Kind::Integer(Range::Within(0.0, 256.0));
        /// attention heads of the decoder
        decoder_heads: usize = 3, Kind::Integer(Range::Within(1.0, 256.0));
        /// whether targets are standardized patch by patch
        normalize_targets: bool = true, Kind::Flag;
    }
}

impl MaskedAutoencoderSettings {
    /// Patches that are left of `patches`.
    fn kept(&self, patches: usize) -> usize {
        ((1.0 - self.mask_ratio) * patches as f64).round() as usize
    }
}

/// Branch (its projector is the identity) and decoder.
#[derive(Module, Debug)]
pub struct MaskedAutoencoder {
    branch: Branch,
    decoder: PatchDecoder,
    #[module(skip)]
    settings: MaskedAutoencoderSettings,
}

/// What predicts the pixels of every patch from the encoded few.
#[derive(Module, Debug)]
pub struct PatchDecoder {
    embed: Linear,
    /// What stands where a patch was removed, `[1, width]`.
    mask_token: Param<Tensor<2>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

/// Which patches of each sample of a batch are left, in whose order.
struct Mask {
    samples: usize,
    patches: usize,
    kept: usize,
    /// Sample by sample, its kept patches and then its removed ones, as rows of `[batch · patches]`.
    shuffled: Vec<usize>,
}

impl Mask {
    /// Uniform over the choices of `kept` of `patches`, anew for every sample.
    fn draw(pass: &Pass, samples: usize, patches: usize, kept: usize) -> Self {
        let shuffled = pass.draw(samples).into_iter().enumerate().flat_map(|(sample, mut rng)| {
            let mut order: Vec<usize> = (sample * patches..(sample + 1) * patches).collect();
            rng.shuffle(&mut order);
            order
        });
        Self { samples, patches, kept, shuffled: shuffled.collect() }
    }

    /// `[batch, patches, width]` to what is left of it, `[batch, kept, width]`.
    fn keep(&self, tokens: Tensor<3>) -> Tensor<3> {
        let kept = self.shuffled.chunks_exact(self.patches).flat_map(|order| &order[..self.kept]).copied();
        pick_rows(tokens, kept.collect(), self.samples)
    }

    /// Kept and then removed patches, `[batch, patches, width]`, back in the order of the image.
    fn restore(&self, tokens: Tensor<3>) -> Tensor<3> {
        let mut places = vec![0; self.shuffled.len()];
        self.shuffled.iter().enumerate().for_each(|(place, &patch)| places[patch] = place);
        pick_rows(tokens, places, self.samples)
    }

    /// 1 where a patch was removed, otherwise 0: `[batch · patches, 1]`.
    fn removed(&self, like: &Tensor<2>) -> Tensor<2> {
        let mut removed = vec![0.0f32; self.shuffled.len()];
        for order in self.shuffled.chunks_exact(self.patches) {
            order[self.kept..].iter().for_each(|&patch| removed[patch] = 1.0);
        }
        Tensor::from_data(TensorData::new(removed, [self.shuffled.len(), 1]), &like.device())
    }
}

/// Rows of `[batch, tokens, width]`, counted over the batch, as `[samples, …, width]`.
fn pick_rows(tokens: Tensor<3>, rows: Vec<usize>, samples: usize) -> Tensor<3> {
    let [_, _, width] = tokens.dims();
    let (device, each) = (tokens.device(), rows.len() / samples);
    let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [samples * each]), &device);
    tokens.reshape([-1, width as i64]).select(0, rows).reshape([samples, each, width])
}

impl PatchDecoder {
    fn new(init: &Init, settings: &MaskedAutoencoderSettings, width: usize, values: usize) -> Self {
        let MaskedAutoencoderSettings { decoder_width, decoder_depth, decoder_heads, .. } = *settings;
        Self {
            embed: Linear::new(&init.child("embed"), [width, decoder_width], true),
            mask_token: init.normal("mask_token", [1, decoder_width], 0.02),
            blocks: (0..decoder_depth)
                .map(|i| {
                    Block::new(&init.child(format!("blocks.{i}")), decoder_width, decoder_heads, vit::MLP_RATIO, 0.0)
                })
                .collect(),
            norm: LayerNorm::new(&init.child("norm"), decoder_width),
            head: Linear::new(&init.child("head"), [decoder_width, values], true),
        }
    }

    /// `[batch, (1 +) kept, width]` to the pixels of all patches, `[batch · patches, values]`.
    fn forward(&self, encoded: Tensor<3>, mask: &Mask, pass: &Pass) -> Tensor<2> {
        let tokens = self.embed.forward(encoded); // [batch, (1 +) kept, decoder_width]
        let [samples, count, width] = tokens.dims();
        let classes = count - mask.kept;
        let seen = tokens.clone().slice([0..samples, classes..count]);
        let unseen = self.mask_token.val().reshape([1, 1, width]).repeat(&[samples, mask.patches - mask.kept, 1]);
        let side = mask.patches.isqrt();
        let positions = TensorData::new(vit::sincos_positions([side, side], width), [1, mask.patches, width]);
        let mut x = mask.restore(Tensor::cat(vec![seen, unseen], 1)) + Tensor::from_data(positions, &tokens.device());
        if classes > 0 {
            x = Tensor::cat(vec![tokens.slice([0..samples, 0..classes]), x], 1);
        }
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, pass));
        let x = x.slice([0..samples, classes..classes + mask.patches]);
        let pixels = self.head.forward(self.norm.forward(x));
        let values = pixels.dims()[2];
        pixels.reshape([samples * mask.patches, values])
    }
}

impl MaskedAutoencoder {
    fn vit(&self) -> &Vit {
        self.branch.encoder.downcast_ref().expect("`build` refuses any other")
    }

    /// What is predicted of a view's patches, `[batch · patches, values]`, under a mask drawn for it; the mask; and the
    /// representation of what was seen, `[batch, width]`.
    fn predict(&self, view: Tensor<4>, pass: &Pass) -> (Tensor<2>, Mask, Tensor<2>) {
        let tokens = self.vit().patch_tokens(view); // [batch, patches, width]
        let [samples, patches, _] = tokens.dims();
        let mask = Mask::draw(pass, samples, patches, self.settings.kept(patches));
        let encoded = self.vit().encode(mask.keep(tokens), pass);
        let h = self.vit().pooled(encoded.clone());
        (self.decoder.forward(encoded, &mask, pass), mask, h)
    }
}

impl Method for MaskedAutoencoder {
    const NAME: &'static str = "masked_autoencoder";
    const MODALITIES: &'static [Modality] = &[Modality::Image];
    type Config = MaskedAutoencoderSettings;
    type Outputs = Losses;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, MaskedAutoencoder::NAME)?;
        let Some(VitSettings { patch_size: patch, .. }) = vit::settings_of(&plan.backbone) else {
            return Err(needs_vit(plan.backbone.name()));
        };
        let heads = config.decoder_heads;
        if heads == 0 || !config.decoder_width.is_multiple_of(4 * heads) {
            let problem = format!(
                "{} is not a multiple of 4 × method.decoder_heads = {heads}; {} would be",
                config.decoder_width,
                config.decoder_width.max(1).next_multiple_of(4 * heads.max(1))
            );
            return Err(Error::setting("method.decoder_width", problem));
        }
        let size = plan.views[0].size;
        let patches = size.area() / (patch * patch);
        let kept = config.kept(patches);
        if (1..patches).contains(&kept) {
            return Ok(());
        }
        let problem = format!(
            "{} leaves {kept} of the {patches} patches of a view of {size} px at backbone.patch_size = {patch}; {:.3} to {:.3} leave some and remove some",
            config.mask_ratio,
            1.0 / patches as f64,
            1.0 - 1.0 / patches as f64
        );
        Err(Error::setting("method.mask_ratio", problem))
    }

    fn trivial_loss(config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        // Each patch, or all pixels, are normalized to variance 1: the error of their mean.
        let of = if config.normalize_targets { "a patch's" } else { "the pixels'" };
        Some(TrivialLoss { value: 1.0, formula: format!("{of} variance") })
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let Some(vit) = branch.encoder.downcast_ref::<Vit>() else { return Err(needs_vit(cx.plan.backbone.name())) };
        let values = vit.patch_size().pow(2) * cx.plan.data.channels;
        let decoder = PatchDecoder::new(&cx.init("decoder"), config, vit.width(), values);
        Ok(Self { branch, decoder, settings: config.clone() })
    }

    /// The mean error over each sample's removed patches, `[batch, 1]`; beside it, to be watched, what was made of the others.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let view = batch.views[0].clone();
        let (prediction, mask, h) = self.predict(view.clone(), cx.pass);
        let patches = patchify(view, self.vit().patch_size());
        let removed = mask.removed(&patches);
        let errors = masked_patches(prediction, patches, removed, self.settings.normalize_targets);
        let errors = errors.reshape([mask.samples, mask.patches]).sum_dim(1) / (mask.patches - mask.kept) as f64;
        Losses::new(vec![Loss { name: "reconstruction", weight: 1.0, values: errors }], h.detach())
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let view = samples.views[0].clone();
        let [batch, height, width, channels] = view.dims();
        let side = self.vit().patch_size();
        let (mut prediction, mask, _) = self.predict(view.clone(), cx.pass);
        let patches = patchify(view.clone(), side);
        if self.settings.normalize_targets {
            // Back by the true patch's mean and deviation, which were no part of the task.
            let values = patches.dims()[1] as f64;
            let mean = patches.clone().mean_dim(1);
            let variance = (patches.clone() - mean.clone()).square().sum_dim(1) / (values - 1.0).max(1.0);
            prediction = prediction * (variance + PATCH_EPSILON).sqrt() + mean;
        }
        let removed = mask.removed(&patches);
        let seen = patches * (1.0_f32 - removed.clone());
        let filled = seen.clone() + prediction * removed;
        let shape = [batch, height, width, channels];
        let columns = [view, unpatchify(seen, shape, side), unpatchify(filled, shape, side)];
        let tiles = Tensor::<4>::cat(columns.map(|x| x.reshape([batch, 1, height * width, channels])).into(), 1);
        vec![Picture {
            name: "reconstructions",
            caption: "in groups of three: the input, the patches that were kept, and the removed ones filled in",
            columns: 9,
            tiles: tiles.reshape([3 * batch, height, width, channels]),
            scale: Scale::Data,
        }]
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}

fn needs_vit(backbone: &str) -> Error {
    let problem = format!(
        "\"{backbone}\" has no patches to leave out, which method.name = \"masked_autoencoder\" needs; use a ViT, e.g. backbone=vit_micro"
    );
    Error::setting("backbone.name", problem)
}

/// `[batch, height, width, channels]` to rows of pixels, `[batch · patches, side · side · channels]`.
fn patchify(x: Tensor<4>, side: usize) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    let (down, across) = (height / side, width / side);
    let x = x.reshape([batch, down, side, across, side * channels]).swap_dims(2, 3);
    x.reshape([batch * down * across, side * side * channels])
}

/// The inverse of [`patchify`].
fn unpatchify(patches: Tensor<2>, [batch, height, width, channels]: [usize; 4], side: usize) -> Tensor<4> {
    let x = patches.reshape([batch, height / side, width / side, side, side * channels]).swap_dims(2, 3);
    x.reshape([batch, height, width, channels])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::layers::Draws;
    use crate::tensor::to_vec;
    use burn::tensor::Device;

    fn pass(samples: usize, step: u64) -> Pass {
        Pass::evaluate_with(Draws::new(3, step, &(0..samples).collect::<Vec<_>>()))
    }

    #[test]
    fn masks_leave_as_many_patches_as_asked_and_every_patch_alike() {
        let (samples, patches, kept, steps) = (50, 16, 4, 40);
        let mut seen = vec![0usize; patches];
        for step in 0..steps {
            let mask = Mask::draw(&pass(samples, step), samples, patches, kept);
            let removed = to_vec(mask.removed(&Tensor::zeros([1, 1], &Device::flex())));
            for removed in removed.chunks_exact(patches) {
                assert_eq!(removed.iter().sum::<f32>(), (patches - kept) as f32);
                removed.iter().zip(&mut seen).for_each(|(r, seen)| *seen += usize::from(*r == 0.0));
            }
        }
        // Binomial: n = 2000, p = 1/4, standard deviation 19.4; five of them.
        let expected = samples * steps as usize * kept / patches;
        assert!(seen.iter().all(|&n| n.abs_diff(expected) < 97), "{seen:?} around {expected}");
    }

    #[test]
    fn what_is_kept_and_what_is_put_back_lie_where_they_were() {
        let (samples, patches, kept, width) = (3, 9, 4, 2);
        let values: Vec<f32> = (0..samples * patches * width).map(|v| v as f32).collect();
        let tokens = Tensor::<3>::from_data(TensorData::new(values, [samples, patches, width]), &Device::flex());
        let mask = Mask::draw(&pass(samples, 0), samples, patches, kept);
        let left = mask.keep(tokens.clone());
        let holes = Tensor::full([samples, patches - kept, width], -1.0, &Device::flex());
        let restored = to_vec(mask.restore(Tensor::cat(vec![left, holes], 1)));
        let removed = to_vec(mask.removed(&Tensor::zeros([1, 1], &Device::flex())));
        for (i, (restored, original)) in restored.iter().zip(to_vec(tokens)).enumerate() {
            assert_eq!(*restored, if removed[i / width] == 1.0 { -1.0 } else { original });
        }
    }

    #[test]
    fn patches_are_read_row_by_row_and_put_back() {
        let values: Vec<f32> = (0..32).map(|v| v as f32).collect();
        let image = Tensor::<4>::from_data(TensorData::new(values.clone(), [1, 4, 4, 2]), &Device::flex());
        let patches = patchify(image, 2);
        assert_eq!(to_vec(patches.clone())[8..16], [4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]);
        assert_eq!(to_vec(unpatchify(patches, [1, 4, 4, 2], 2)), values);
    }
}
