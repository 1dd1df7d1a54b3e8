//! MAE: "Masked Autoencoders Are Scalable Vision Learners" (He, Chen, Xie, Li, Dollár & Girshick 2022).
//!
//! *Mask random patches of the input image and reconstruct the missing pixels.* The encoder sees the few patches that
//! are left, and nothing in the place of the others, so a step costs little; a light decoder, thrown away, puts a
//! learned token there and predicts the pixels. So many patches are removed that copying their neighbors is not enough.
//! It has targets, so it cannot collapse. Of a signal the patches are stretches of time; those that its end cuts are always seen.

use crate::backbone::{Backbone, Role};
use crate::backbones::vit::{self, Block, Vit};
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, PATCH_EPSILON, masked_patches};
use crate::outputs::{Loss, Losses};
use crate::picture::{Drawn, Picture, Scale, Tiles};
use crate::plan::Plan;
use crate::require;
use crate::tensor::layers::{Init, LayerNorm, Linear, Pass};
use crate::tensor::lengths::Lengths;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use selfsame_base::rng::StreamRng;
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

    /// Of a sample that may be shorter than a view: one or more, and not all where there are two.
    fn kept_of_any(&self, patches: usize) -> usize {
        self.kept(patches).clamp(1, patches.saturating_sub(1).max(1))
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
    /// Patches of a sample, at most.
    patches: usize,
    samples: Vec<Shuffled>,
}

/// The patches of one sample.
struct Shuffled {
    /// Those that are kept, those that are removed, and those that are not there.
    order: Vec<usize>,
    /// How many are kept.
    kept: usize,
    /// How many are there.
    there: usize,
}

impl Mask {
    /// Of each sample's patches, of which so many are whole and so many are there, `kept` of the whole ones are left, uniform over
    /// the choices and anew for every sample, and those that the end of a signal cuts.
    fn draw(pass: &Pass, each: &[[usize; 2]], patches: usize, kept: impl Fn(usize) -> usize) -> Self {
        let draw = |(mut rng, &[whole, there]): (StreamRng, &[usize; 2])| {
            let mut order: Vec<usize> = (0..whole).collect();
            rng.shuffle(&mut order);
            let kept = kept(whole).min(whole);
            order.splice(kept..kept, whole..there);
            order.extend(there..patches);
            Shuffled { order, kept: kept + there - whole, there }
        };
        Self { patches, samples: pass.draw(each.len()).into_iter().zip(each).map(draw).collect() }
    }

    /// How many patches are left of each sample, and how many at most.
    fn kept(&self) -> (Lengths, usize) {
        let most = self.samples.iter().map(|sample| sample.kept).max().unwrap_or_default();
        (Lengths::new(self.samples.iter().map(|sample| sample.kept).collect(), most), most)
    }

    /// How many patches each sample has.
    fn there(&self) -> Lengths {
        Lengths::new(self.samples.iter().map(|sample| sample.there).collect(), self.patches)
    }

    /// `[batch, patches, width]` to what is left of it, `[batch, kept, width]`.
    fn keep(&self, tokens: Tensor<3>) -> Tensor<3> {
        let (_, most) = self.kept();
        let kept = self.samples.iter().enumerate().flat_map(|(sample, Shuffled { order, .. })| {
            order[..most].iter().map(move |patch| sample * self.patches + patch)
        });
        pick_rows(tokens, kept.collect(), self.samples.len())
    }

    /// Rows that [`Self::restore`] needs for the patches that are not left of a sample.
    fn room(&self) -> usize {
        self.patches - self.samples.iter().map(|sample| sample.kept).min().unwrap_or_default()
    }

    /// What is left, and then [`Self::room`] rows for the other patches, `[batch, kept + room, width]`, in the order of the sample:
    /// `[batch, patches, width]`.
    fn restore(&self, tokens: Tensor<3>) -> Tensor<3> {
        let ((_, most), room, patches) = (self.kept(), self.room(), self.patches);
        let mut places = vec![0; self.samples.len() * patches];
        for (sample, Shuffled { order, kept, .. }) in self.samples.iter().enumerate() {
            for (place, patch) in order.iter().enumerate() {
                let row = if place < *kept { place } else { most + place - kept };
                places[sample * patches + patch] = sample * (most + room) + row;
            }
        }
        pick_rows(tokens, places, self.samples.len())
    }

    /// 1 where a patch was removed, otherwise 0: `[batch · patches, 1]`.
    fn removed(&self, like: &Tensor<2>) -> Tensor<2> {
        let mut removed = vec![0.0f32; self.samples.len() * self.patches];
        for (removed, Shuffled { order, kept, there }) in removed.chunks_exact_mut(self.patches).zip(&self.samples) {
            order[*kept..*there].iter().for_each(|&patch| removed[patch] = 1.0);
        }
        let rows = removed.len();
        Tensor::from_data(TensorData::new(removed, [rows, 1]), &like.device())
    }

    /// The mean over each sample's removed patches of `errors`, 0 for all others: `[batch · patches, 1]` to `[batch, 1]`.
    fn mean_over_removed(&self, errors: Tensor<2>) -> Tensor<2> {
        let (samples, device) = (self.samples.len(), errors.device());
        let sums = errors.reshape([samples, self.patches]).sum_dim(1);
        let counts: Vec<usize> = self.samples.iter().map(|sample| (sample.there - sample.kept).max(1)).collect();
        if counts.iter().all(|&count| count == counts[0]) {
            return sums / counts[0] as f64;
        }
        let counts = counts.into_iter().map(|count| count as f32).collect::<Vec<_>>();
        sums / Tensor::from_data(TensorData::new(counts, [samples, 1]), &device)
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

    /// `[batch, (1 +) kept, width]` to the pixels of all patches, `[batch · patches, values]`; `positions`: those of the patches,
    /// `[patches, decoder_width]`.
    fn forward(&self, encoded: Tensor<3>, mask: &Mask, positions: Vec<f32>, pass: &Pass) -> Tensor<2> {
        let tokens = self.embed.forward(encoded); // [batch, (1 +) kept, decoder_width]
        let [samples, count, width] = tokens.dims();
        let classes = count - mask.kept().1;
        let seen = tokens.clone().slice([0..samples, classes..count]);
        let unseen = self.mask_token.val().reshape([1, 1, width]).repeat(&[samples, mask.room(), 1]);
        let positions = TensorData::new(positions, [1, mask.patches, width]);
        let mut x = mask.restore(Tensor::cat(vec![seen, unseen], 1)) + Tensor::from_data(positions, &tokens.device());
        if classes > 0 {
            x = Tensor::cat(vec![tokens.slice([0..samples, 0..classes]), x], 1);
        }
        let there = mask.there().after(classes);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, &there, pass));
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
    /// representation of what was seen, `[batch, width]`. The view is as [`Vit::split`] gives it.
    fn predict(&self, view: Tensor<4>, lengths: &Lengths, pass: &Pass) -> (Tensor<2>, Mask, Tensor<2>) {
        let (vit, [_, _, steps, _]) = (self.vit(), view.dims());
        let width = self.decoder.mask_token.val().dims()[1];
        let positions = vit.fixed_positions(&view, width);
        let tokens = vit.patch_tokens(view); // [batch, patches, width]
        let [samples, patches, _] = tokens.dims();
        let each: Vec<[usize; 2]> = match lengths.cut() {
            None => vec![[patches; 2]; samples],
            Some(_) => {
                let size = vit.patch()[1];
                lengths.each(samples, steps).into_iter().map(|steps| [steps / size, steps.div_ceil(size)]).collect()
            }
        };
        let mask = Mask::draw(pass, &each, patches, |patches| self.settings.kept_of_any(patches));
        let (kept, _) = mask.kept();
        let encoded = vit.encode(mask.keep(tokens), &kept, pass);
        let h = vit.pooled(encoded.clone(), &kept);
        (self.decoder.forward(encoded, &mask, positions, pass), mask, h)
    }
}

impl Method for MaskedAutoencoder {
    const NAME: &'static str = "masked_autoencoder";
    const MODALITIES: &'static [Modality] = &[Modality::Image, Modality::Signal];
    type Config = MaskedAutoencoderSettings;
    type Outputs = Losses;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::one_view_of_h(plan, MaskedAutoencoder::NAME)?;
        let size = plan.views[0].size;
        let Some([patch, patches]) = vit::patches_of(&plan.backbone, size) else {
            return Err(needs_vit(plan));
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
        let kept = config.kept(patches);
        if (1..patches).contains(&kept) {
            return Ok(());
        }
        let problem = format!(
            "{} leaves {kept} of the {patches} patches of a view of {size} at backbone.patch_size = {patch}; {:.3} to {:.3} leave some and remove some",
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
        let Some(vit) = branch.encoder.downcast_ref::<Vit>() else { return Err(needs_vit(cx.plan)) };
        let values = vit.patch().iter().product::<usize>() * cx.plan.data.channels;
        let decoder = PatchDecoder::new(&cx.init("decoder"), config, vit.width(), values);
        Ok(Self { branch, decoder, settings: config.clone() })
    }

    /// The mean error over each sample's removed patches, `[batch, 1]`; beside it, to be watched, what was made of the others.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Losses {
        let (view, lengths) = self.vit().split(batch.views[0].clone());
        let (prediction, mask, h) = self.predict(view.clone(), &lengths, cx.pass);
        let removed = mask.removed(&prediction);
        let patches = patches(view, self.vit().patch());
        let errors = masked_patches(prediction, patches, removed, self.settings.normalize_targets);
        let errors = mask.mean_over_removed(errors);
        Losses::new(vec![Loss { name: "reconstruction", weight: 1.0, values: errors }], h.detach())
    }

    fn objective(&self, outputs: &Losses) -> LossTerms {
        outputs.objective()
    }

    fn pictures(&self, samples: &Batch, cx: &EmbedContext) -> Vec<Picture> {
        let (view, lengths) = self.vit().split(samples.views[0].clone());
        let [batch, height, width, channels] = view.dims();
        let side = self.vit().patch();
        let (mut prediction, mask, _) = self.predict(view.clone(), &lengths, cx.pass);
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
            drawn: Drawn::Tiles(Tiles {
                columns: 9,
                tiles: tiles.reshape([3 * batch, height, width, channels]),
                scale: Scale::Data,
            }),
        }]
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

fn needs_vit(plan: &Plan) -> Error {
    let use_instead = match plan.data.modality {
        Modality::Signal => "transformer1d, by backbone=transformer1d",
        _ => "a ViT, e.g. backbone=vit_micro",
    };
    let problem = format!(
        "\"{}\" has no patches to leave out, which method.name = \"masked_autoencoder\" needs; use {use_instead}",
        plan.backbone.name()
    );
    Error::setting("backbone.name", problem)
}

/// `[batch, height, width, channels]` to `[batch, patches down, patches across, patch height, patch width · channels]`, of the same
/// memory.
fn patches(x: Tensor<4>, [high, wide]: [usize; 2]) -> Tensor<5> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch, height / high, high, width / wide, wide * channels]).swap_dims(2, 3)
}

/// `[batch, height, width, channels]` to rows of pixels, `[batch · patches, patch height · patch width · channels]`.
fn patchify(x: Tensor<4>, patch: [usize; 2]) -> Tensor<2> {
    let patches = patches(x, patch);
    let [batch, down, across, high, wide] = patches.dims();
    patches.reshape([batch * down * across, high * wide])
}

/// The inverse of [`patchify`].
fn unpatchify(patches: Tensor<2>, [batch, height, width, channels]: [usize; 4], [high, wide]: [usize; 2]) -> Tensor<4> {
    let x = patches.reshape([batch, height / high, width / wide, high, wide * channels]).swap_dims(2, 3);
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
            let mask = Mask::draw(&pass(samples, step), &vec![[patches; 2]; samples], patches, |_| kept);
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
        let mask = Mask::draw(&pass(samples, 0), &vec![[patches; 2]; samples], patches, |_| kept);
        let left = mask.keep(tokens.clone());
        let holes = Tensor::full([samples, patches - kept, width], -1.0, &Device::flex());
        let restored = to_vec(mask.restore(Tensor::cat(vec![left, holes], 1)));
        let removed = to_vec(mask.removed(&Tensor::zeros([1, 1], &Device::flex())));
        for (i, (restored, original)) in restored.iter().zip(to_vec(tokens)).enumerate() {
            assert_eq!(*restored, if removed[i / width] == 1.0 { -1.0 } else { original });
        }
    }

    #[test]
    fn of_signals_of_any_length_whole_patches_are_removed_and_those_that_are_cut_stay() {
        let each = [[9, 9], [4, 5], [1, 1], [0, 1]];
        let settings = MaskedAutoencoderSettings { mask_ratio: 0.5, ..selfsame_config::Settings::defaults() };
        let mask = Mask::draw(&pass(4, 0), &each, 9, |whole| settings.kept_of_any(whole));
        let removed = to_vec(mask.removed(&Tensor::zeros([1, 1], &Device::flex())));
        let counts: Vec<f32> = removed.chunks(9).map(|sample| sample.iter().sum()).collect();
        assert_eq!(counts, [4.0, 2.0, 0.0, 0.0]);
        assert!(removed[9 + 4..18].iter().all(|&v| v == 0.0), "a patch that is cut, and what is not there");
        assert_eq!((mask.kept().0.cut(), mask.there().cut()), (Some(&[5, 3, 1, 1][..]), Some(&[9, 5, 1, 1][..])));
        let values: Vec<f32> = (0..36).map(|v| v as f32).collect();
        let tokens = Tensor::<3>::from_data(TensorData::new(values, [4, 9, 1]), &Device::flex());
        let holes = Tensor::full([4, mask.room(), 1], -1.0, &Device::flex());
        let restored = to_vec(mask.restore(Tensor::cat(vec![mask.keep(tokens), holes], 1)));
        for (i, (restored, removed)) in restored.iter().zip(removed).enumerate() {
            let there = i % 9 < each[i / 9][1];
            assert_eq!(*restored, if removed == 0.0 && there { i as f32 } else { -1.0 });
        }
    }

    #[test]
    fn patches_are_read_row_by_row_and_put_back() {
        let values: Vec<f32> = (0..32).map(|v| v as f32).collect();
        let image = Tensor::<4>::from_data(TensorData::new(values.clone(), [1, 4, 4, 2]), &Device::flex());
        let patches = patchify(image, [2, 2]);
        assert_eq!(to_vec(patches.clone())[8..16], [4.0, 5.0, 6.0, 7.0, 12.0, 13.0, 14.0, 15.0]);
        assert_eq!(to_vec(unpatchify(patches, [1, 4, 4, 2], [2, 2])), values);
    }
}
