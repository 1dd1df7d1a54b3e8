//! Vision transformers (Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words").
//!
//! An image is a sequence of patches: each becomes a token, attention lets tokens ask each other, and a small network
//! works on each alone. A block adds twice to what it was given: `x ← x + attn(norm1(x))`, `x ← x + mlp(norm2(x))`. The
//! architecture, the parameter names (`patch_embed.proj`, `blocks.0.attn.qkv` …) and the initialization are timm's.
//!
//! A signal is a sequence of patches of time, of any number: the last one may be short.

use super::positions::{resampling, sincos_in_time, sincos_positions};
use crate::backbone::{self, Backbone, BackboneEntry, ChosenBackbone, Cost, Encoder, Role, Site, Size};
use crate::error::Error;
use crate::tensor::layers::{Conv2d, Init, LayerNorm, Linear, Pass, drop_path};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops::{self, Span, Window};
use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_config::{Kind, Range, Settings, settings, value};
use selfsame_data::modality::Modality;
use serde::{Deserialize, Serialize};

/// What becomes of the tokens at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The class token is the representation.
    Class,
    /// The mean of the tokens is; there is no class token.
    Mean,
}

/// How tokens know where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A trained vector per token, resampled for views of another size.
    Learned,
    /// Sines and cosines of the row and the column, or of the time.
    Sincos,
}

settings! {
    /// `[backbone]` of every vision transformer.
    pub struct VitSettings {
        /// side of a patch, px
        patch_size: usize = (derived "4 up to 64 px, above 16, or 8 where 16 does not divide the side", |s| {
            let sides = s.sides("data.size")?;
            let all = |fits: fn(usize) -> bool| sides.into_iter().all(fits);
            value(if all(|side| side <= 64) { 4 } else if all(|side| side.is_multiple_of(16)) { 16 } else { 8 })
        }), Kind::Integer(Range::Within(1.0, 256.0));
        /// h is the class token, or the mean of the tokens
        pool: Pool = "class", Kind::Word(&["class", "mean"]);
        /// how tokens know where they stand
        positions: Positions = "learned", Kind::Word(&["learned", "sincos"]);
        /// tokens of nobody, room for what the others share; with these the tokens before the patches have no position
        registers: usize = 0, Kind::Integer(Range::Within(0.0, 64.0));
        /// whether each branch has trained gains, one per feature
        layer_scale: bool = false, Kind::Flag;
        /// share of samples that skip a block's branches, rising to this over the depth
        drop_path: f64 = 0.0, Kind::MOMENTUM;
    }
}

settings! {
    /// `[backbone]` of the micro transformer, besides.
    pub struct VitMicroSettings {
        /// width of the tokens
        dim: usize = 192, Kind::Integer(Range::Within(4.0, 8192.0));
        /// transformer blocks
        depth: usize = 6, Kind::Integer(Range::Within(1.0, 256.0));
        /// attention heads
        heads: usize = 3, Kind::Integer(Range::Within(1.0, 256.0));
    }
}

settings! {
    /// `[backbone] name = "transformer1d"`
    pub struct Transformer1dSettings {
        /// width of the tokens
        dim: usize = 128, Kind::Integer(Range::Within(4.0, 8192.0));
        /// transformer blocks
        depth: usize = 4, Kind::Integer(Range::Within(1.0, 256.0));
        /// attention heads
        heads: usize = 4, Kind::Integer(Range::Within(1.0, 256.0));
        /// steps in time of a patch
        patch_size: usize = (derived "a 32nd of the steps, 2 to 64", |s| {
            value((s.sides("data.size")?[1] / 32).clamp(2, 64))
        }), Kind::Integer(Range::Within(1.0, 4096.0));
        /// h is the class token, or the mean of the tokens
        pool: Pool = "mean", Kind::Word(&["class", "mean"]);
        /// how tokens know when they are; learned ones are those of the first patches, resampled where there are more
        positions: Positions = "sincos", Kind::Word(&["learned", "sincos"]);
        /// share of samples that skip a block's branches, rising to this over the depth
        drop_path: f64 = 0.0, Kind::MOMENTUM;
    }
}

/// What tells one vision transformer from another.
#[derive(Clone, Copy)]
struct Architecture {
    /// Width of a token.
    dim: usize,
    /// Number of blocks.
    depth: usize,
    /// Attention heads of a block.
    heads: usize,
}

impl Architecture {
    fn micro(site: &Site) -> Result<Self, Error> {
        let VitMicroSettings { dim, depth, heads } = site.read()?;
        Self::new(dim, depth, heads)
    }

    fn in_time(site: &Site) -> Result<Self, Error> {
        let Transformer1dSettings { dim, depth, heads, .. } = site.read()?;
        Self::new(dim, depth, heads)
    }

    fn new(dim: usize, depth: usize, heads: usize) -> Result<Self, Error> {
        if !dim.is_multiple_of(4) || !dim.is_multiple_of(heads) {
            let unit =
                if heads.is_multiple_of(4) { heads } else { heads * if heads.is_multiple_of(2) { 2 } else { 4 } };
            let problem = format!(
                "{dim} is not a multiple of 4 and of backbone.heads = {heads}; {} would work",
                dim.next_multiple_of(unit)
            );
            return Err(Error::setting("backbone.dim", problem));
        }
        Ok(Self { dim, depth, heads })
    }

    fn cost(self, site: &Site) -> Result<Cost, Error> {
        let VitSettings { patch_size, .. } = site.read()?;
        Ok(self.cost_of(site.size.area() as f64 / (patch_size as f64).powi(2)))
    }

    fn cost_of(self, tokens: f64) -> Cost {
        let (dim, depth) = (self.dim as f64, self.depth as f64);
        Cost { parameters: 12.0 * depth * dim * dim, activations: 8.0 * depth * tokens * dim }
    }
}

const fn entry(
    name: &'static str,
    summary: &'static str,
    build: fn(&Site, &Init, Role) -> Result<Encoder, Error>,
    cost: fn(&Site) -> Result<Cost, Error>,
) -> BackboneEntry {
    BackboneEntry {
        name,
        family: "vit",
        modalities: &[Modality::Image],
        summary,
        keys: VitSettings::GROUP,
        build,
        check: check_sides,
        cost,
    }
}

/// ViT-Tiny (Touvron et al. 2021).
const TINY: Architecture = Architecture { dim: 192, depth: 12, heads: 3 };
/// ViT-Small (Touvron et al. 2021).
const SMALL: Architecture = Architecture { dim: 384, depth: 12, heads: 6 };
/// ViT-Base (Dosovitskiy et al. 2021).
const BASE: Architecture = Architecture { dim: 768, depth: 12, heads: 12 };

/// ViT-Large (Dosovitskiy et al. 2021).
const LARGE: Architecture = Architecture { dim: 1024, depth: 24, heads: 16 };

/// 192 wide, six blocks of three heads.
pub(super) const VIT_MICRO: BackboneEntry = BackboneEntry {
    keys: &[VitMicroSettings::KEYS, VitSettings::KEYS],
    check: |site, key, size| Architecture::micro(site).and_then(|_| check_sides(site, key, size)),
    ..entry(
        "vit_micro",
        "vision transformer, 192 wide, 6 blocks of 3 heads: small images, CPUs (dim, depth, heads can be set)",
        |site, init, role| build(Architecture::micro(site)?, site, init, role),
        |site| Architecture::micro(site)?.cost(site),
    )
};
/// ViT-Tiny.
pub(super) const VIT_TINY: BackboneEntry = entry(
    "vit_tiny",
    "ViT-Tiny, timm's architecture and names; 192-wide",
    |site, init, role| build(TINY, site, init, role),
    |site| TINY.cost(site),
);
/// ViT-Small.
pub(super) const VIT_SMALL: BackboneEntry = entry(
    "vit_small",
    "ViT-Small, timm's architecture and names; 384-wide",
    |site, init, role| build(SMALL, site, init, role),
    |site| SMALL.cost(site),
);
/// ViT-Base.
pub(super) const VIT_BASE: BackboneEntry = entry(
    "vit_base",
    "ViT-Base, timm's architecture and names; 768-wide",
    |site, init, role| build(BASE, site, init, role),
    |site| BASE.cost(site),
);
/// ViT-Large.
pub(super) const VIT_LARGE: BackboneEntry = entry(
    "vit_large",
    "ViT-Large, timm's architecture and names; 1024-wide",
    |site, init, role| build(LARGE, site, init, role),
    |site| LARGE.cost(site),
);

/// A transformer on patches of time.
pub(super) const TRANSFORMER1D: BackboneEntry = BackboneEntry {
    name: "transformer1d",
    family: "transformer1d",
    modalities: &[Modality::Signal],
    summary: "transformer on patches of time, of any number; 128-wide (dim, depth, heads can be set)",
    keys: Transformer1dSettings::GROUP,
    build: |site, init, role| {
        let Transformer1dSettings { patch_size, pool, positions, drop_path, .. } = site.read()?;
        let settings = VitSettings { patch_size, pool, positions, registers: 0, layer_scale: false, drop_path };
        Ok(transformer(Architecture::in_time(site)?, &settings, true, site, init, role))
    },
    check: |site, _, _| Architecture::in_time(site).map(drop),
    cost: |site| {
        let Transformer1dSettings { patch_size, .. } = site.read()?;
        Ok(Architecture::in_time(site)?.cost_of(site.size.width.div_ceil(patch_size) as f64))
    },
};

/// Side of a patch and number of patches of a view of `size`, if the backbone is a transformer on patches.
pub fn patches_of(backbone: &ChosenBackbone, size: Size) -> Option<[usize; 2]> {
    match backbone.entry.family {
        "vit" => {
            let VitSettings { patch_size, .. } = backbone.read()?;
            Some([patch_size, size.area() / (patch_size * patch_size)])
        }
        "transformer1d" => {
            let Transformer1dSettings { patch_size, .. } = backbone.read()?;
            Some([patch_size, size.width / patch_size])
        }
        _ => None,
    }
}

/// Sides of images or views must be whole patches.
fn check_sides(site: &Site, key: &str, size: Size) -> Result<(), Error> {
    let VitSettings { patch_size: patch, .. } = site.read()?;
    let Some(side) = size.sides().into_iter().find(|side| !side.is_multiple_of(patch)) else { return Ok(()) };
    let numbers = |numbers: &mut dyn Iterator<Item = usize>| numbers.map(|n| n.to_string()).collect::<Vec<_>>();
    let sides = numbers(&mut [side / patch * patch, side.next_multiple_of(patch)].into_iter().filter(|&side| side > 0));
    let patches = numbers(&mut (1..=side / 2).filter(|&patch| side.is_multiple_of(patch)));
    let problem = format!(
        "{side} is not a multiple of backbone.patch_size = {patch}; {} would work, or a patch_size of {}",
        sides.join(" or "),
        patches.join(", ")
    );
    Err(Error::setting(key, problem))
}

/// Width of an MLP's hidden layer over that of a token.
pub const MLP_RATIO: usize = 4;
/// Standard deviation of initial weights. (timm truncates this normal at ±2, a hundred deviations off.)
const WEIGHT_STD: f32 = 0.02;
/// Standard deviation of the initial class token, and of registers.
const CLASS_STD: f32 = 1e-6;
/// Initial gains of branches (Touvron et al. 2021, "Going deeper with Image Transformers").
const GAIN: f32 = 1e-5;

/// A vision transformer up to its pooled tokens.
#[derive(Module, Debug)]
pub struct Vit {
    /// `[1, 1, dim]`, with `pool = "class"`.
    cls_token: Option<Param<Tensor<3>>>,
    /// `[1, registers, dim]` (Darcet et al. 2024, "Vision Transformers Need Registers").
    reg_token: Option<Param<Tensor<3>>>,
    /// Positions of the class token, if there is one and no registers, and of the patches, row by row: `[1, tokens, dim]`.
    pos_embed: Param<Tensor<3>>,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: LayerNorm,
    #[module(skip)]
    positions: Positions,
    /// Height and width of a patch.
    #[module(skip)]
    patch: [usize; 2],
    /// Whether it is for signals.
    #[module(skip)]
    in_time: bool,
    /// Rows and columns of patches of the images that `pos_embed` is for.
    #[module(skip)]
    grid: [usize; 2],
}

/// The linear map from a patch's pixels to a token.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    proj: Conv2d,
}

/// Attention, then an MLP, each after a layer norm and, perhaps scaled, added to what came in.
#[derive(Module, Debug)]
pub struct Block {
    norm1: LayerNorm,
    attn: Attention,
    ls1: Option<LayerScale>,
    norm2: LayerNorm,
    mlp: Mlp,
    ls2: Option<LayerScale>,
    #[module(skip)]
    drop_path: f64,
}

/// `softmax(q kᵀ / √(dim / heads)) v` in each head, and a linear map of the heads' results side by side.
#[derive(Module, Debug)]
pub struct Attention {
    qkv: Linear,
    proj: Linear,
    #[module(skip)]
    heads: usize,
}

/// `gamma · x`, `[dim]`
#[derive(Module, Debug)]
pub struct LayerScale {
    gamma: Param<Tensor<1>>,
}

/// `fc2(gelu(fc1(x)))`
#[derive(Module, Debug)]
pub struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

/// Builds a vision transformer.
fn build(architecture: Architecture, site: &Site, init: &Init, role: Role) -> Result<Encoder, Error> {
    Ok(transformer(architecture, &site.read()?, false, site, init, role))
}

/// Of images, or of signals.
fn transformer(
    architecture: Architecture,
    settings: &VitSettings,
    in_time: bool,
    site: &Site,
    init: &Init,
    role: Role,
) -> Encoder {
    let Architecture { dim, depth, heads } = architecture;
    let VitSettings { patch_size, pool, positions, registers, layer_scale, drop_path } = *settings;
    let drop_path = if role == Role::Teacher { 0.0 } else { drop_path };
    let (channels, class, [height, width]) = (site.channels, pool == Pool::Class, site.size.sides());
    let (window, grid) = match in_time {
        false => (Window::square(patch_size, patch_size, 0), [height / patch_size, width / patch_size]),
        true => (Window::in_time(Span::padded(patch_size, patch_size, 0)), [1, width.div_ceil(patch_size)]),
    };
    let patches = grid[0] * grid[1];
    let tokens = usize::from(class && registers == 0) + patches;
    Encoder::new(Vit {
        cls_token: class.then(|| init.normal("cls_token", [1, 1, dim], CLASS_STD)),
        reg_token: (registers > 0).then(|| init.normal("reg_token", [1, registers, dim], CLASS_STD)),
        pos_embed: match positions {
            Positions::Learned => init.normal("pos_embed", [1, tokens, dim], WEIGHT_STD),
            Positions::Sincos => {
                let mut values = vec![0.0; (tokens - patches) * dim];
                values.extend(if in_time { sincos_in_time(patches, dim) } else { sincos_positions(grid, dim) });
                init.fixed([1, tokens, dim], values)
            }
        },
        patch_embed: PatchEmbed { proj: Conv2d::patches_of(&init.child("patch_embed.proj"), [channels, dim], window) },
        blocks: (0..depth)
            .map(|block| {
                let drop_path = drop_path * block as f64 / (depth - 1).max(1) as f64;
                let init = init.child(format!("blocks.{block}"));
                let gains = || layer_scale.then(|| LayerScale { gamma: init.constant([dim], GAIN) });
                let (ls1, ls2) = (gains(), gains());
                Block { ls1, ls2, ..Block::new(&init, dim, heads, MLP_RATIO, drop_path) }
            })
            .collect(),
        norm: LayerNorm::new(&init.child("norm"), dim),
        positions,
        patch: [window.y.kernel, window.x.kernel],
        in_time,
        grid,
    })
}

impl Backbone for Vit {
    /// [`Vit::pooled`] of [`Vit::encode`] of [`Vit::patch_tokens`]; of images height and width are multiples of the patch size.
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let (x, lengths) = self.split(x);
        let lengths = lengths.in_patches(self.patch[1]);
        self.pooled(self.encode(self.patch_tokens(x), &lengths, pass), &lengths)
    }

    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        let (x, lengths) = self.split(x);
        let lengths = lengths.in_patches(self.patch[1]);
        let tokens = self.through(self.patch_tokens(x), stage, &lengths, pass);
        Some(lengths.after(self.tokens_before()).mark(tokens))
    }

    fn pool(&self, places: Tensor<3>, _stage: usize) -> Tensor<2> {
        let [batch, tokens, dim] = places.dims();
        let before = self.tokens_before();
        let (_, lengths) =
            Lengths::of(places.clone().slice([0..batch, before..tokens]).reshape([batch, 1, tokens - before, dim]));
        self.pooled(places, &lengths)
    }

    fn width(&self) -> usize {
        self.pos_embed.val().dims()[2]
    }

    /// The patches, then block by block; the last norm belongs to the last block.
    fn stage(&self, name: &str) -> usize {
        if name.starts_with("norm.") {
            return self.depth();
        }
        backbone::number_after(name, "blocks.").map_or(0, |block| block + 1)
    }

    fn format(&self) -> &'static str {
        if self.in_time { "selfsame" } else { "timm" }
    }
}

impl Vit {
    /// Signals that end with a patch, zeros after their own end, and their lengths in steps; images as they are.
    pub fn split(&self, x: Tensor<4>) -> (Tensor<4>, Lengths) {
        if !self.in_time {
            return (x, Lengths::WHOLE);
        }
        let (x, lengths) = Lengths::of(x);
        let [batch, height, steps, channels] = x.dims();
        match steps.next_multiple_of(self.patch[1]) - steps {
            0 => (x, lengths),
            missing => {
                let zeros = Tensor::zeros([batch, height, missing, channels], &x.device());
                (Tensor::cat(vec![x, zeros], 2), lengths)
            }
        }
    }

    /// The patches' tokens, row by row, positions added; without the class token.
    ///
    /// # Shapes
    /// `[batch, height, width, channels]`, as [`Self::split`] gives them, to `[batch, tokens, dim]`
    pub fn patch_tokens(&self, x: Tensor<4>) -> Tensor<3> {
        let [batch, height, width, _] = x.dims();
        let grid = [height / self.patch[0], width / self.patch[1]];
        let tokens = self.patch_embed.proj.forward(x).reshape([batch, grid[0] * grid[1], self.width()]);
        tokens + self.patch_positions(grid)
    }

    /// The class token, with its position if it has one, and the registers before the tokens; then the blocks and the last norm.
    ///
    /// # Shapes
    /// `[batch, tokens, dim]`, any number of tokens, of which each sample has so many, to `[batch, tokens, dim]`,
    /// [`Self::tokens_before`] more.
    pub fn encode(&self, tokens: Tensor<3>, lengths: &Lengths, pass: &Pass) -> Tensor<3> {
        self.through(tokens, self.depth(), lengths, pass)
    }

    /// As [`Self::encode`], up to so many blocks; the last norm follows the last of them.
    fn through(&self, tokens: Tensor<3>, blocks: usize, lengths: &Lengths, pass: &Pass) -> Tensor<3> {
        let [batch, _, dim] = tokens.dims();
        let class = self.cls_token.as_ref().map(|class| match self.reg_token {
            None => class.val() + self.pos_embed.val().slice([0..1, 0..1]),
            Some(_) => class.val(),
        });
        let registers = self.reg_token.as_ref().map(Param::val);
        let first = class.into_iter().chain(registers).map(|first| {
            let count = first.dims()[1];
            first.expand([batch, count, dim])
        });
        let mut all: Vec<_> = first.collect();
        let tokens = if all.is_empty() {
            tokens
        } else {
            all.push(tokens);
            Tensor::cat(all, 1)
        };
        let lengths = lengths.after(self.tokens_before());
        let tokens = self.blocks.iter().take(blocks).fold(tokens, |x, block| block.forward(x, &lengths, pass));
        if blocks < self.depth() { tokens } else { self.norm.forward(tokens) }
    }

    /// Tokens that [`Self::encode`] puts before those of the patches.
    pub fn tokens_before(&self) -> usize {
        let registers = self.reg_token.as_ref().map_or(0, |registers| registers.val().dims()[1]);
        registers + usize::from(self.cls_token.is_some())
    }

    /// The class token, or the mean of the patches' tokens, of which each sample has so many.
    ///
    /// # Shapes
    /// `[batch, tokens, dim]`, as [`Self::encode`] gives them, to `[batch, dim]`
    pub fn pooled(&self, encoded: Tensor<3>, lengths: &Lengths) -> Tensor<2> {
        let [batch, tokens, dim] = encoded.dims();
        match self.cls_token {
            Some(_) => encoded.slice([0..batch, 0..1]).reshape([batch, dim]),
            None => {
                let before = self.tokens_before();
                let patches = if before == 0 { encoded } else { encoded.slice([0..batch, before..tokens]) };
                lengths.mean(patches.reshape([batch, 1, tokens - before, dim]))
            }
        }
    }

    /// Height and width of a patch.
    pub fn patch(&self) -> [usize; 2] {
        self.patch
    }

    /// Fixed positions of the patches of views `[batch, height, width, channels]`, row by row, `[tokens, dim]`.
    ///
    /// # Panics
    /// If `dim` is not a multiple of 4.
    pub fn fixed_positions(&self, view: &Tensor<4>, dim: usize) -> Vec<f32> {
        let [_, height, width, _] = view.dims();
        let grid = [height / self.patch[0], width / self.patch[1]];
        if self.in_time { sincos_in_time(grid[1], dim) } else { sincos_positions(grid, dim) }
    }

    /// Number of blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// What `pos_embed` has to be in `other`, which may be for images of another size: `[1, tokens, dim]`.
    pub fn positions_for(&self, other: &Self) -> Tensor<3> {
        let positions = self.pos_embed.val();
        let before = positions.dims()[1] - self.grid[0] * self.grid[1];
        let of_patches = self.patch_positions(other.grid);
        if before == 0 { of_patches } else { Tensor::cat(vec![positions.narrow(1, 0, before), of_patches], 1) }
    }

    /// Positions of a grid of patches, `[1, tokens, dim]`.
    fn patch_positions(&self, grid: [usize; 2]) -> Tensor<3> {
        let (positions, own, dim) = (self.pos_embed.val(), self.grid[0] * self.grid[1], self.width());
        let (tokens, device) = (grid[0] * grid[1], positions.device());
        let first = positions.dims()[1] - own;
        if grid == self.grid {
            return positions.slice([0..1, first..first + own]);
        }
        match self.positions {
            Positions::Sincos if self.in_time => constant(sincos_in_time(tokens, dim), [1, tokens, dim], &device),
            Positions::Sincos => constant(sincos_positions(grid, dim), [1, tokens, dim], &device),
            // The same patch is at the same time in a shorter signal.
            Positions::Learned if self.in_time && tokens < own => positions.slice([0..1, first..first + tokens]),
            Positions::Learned => {
                let weights = constant(resampling(self.grid, grid), [tokens, own], &device);
                let positions = positions.slice([0..1, first..first + own]).reshape([own, dim]);
                ops::matmul(weights, positions).reshape([1, tokens, dim])
            }
        }
    }
}

impl Mlp {
    /// Hidden units `ratio` times as many as features.
    pub(super) fn new(init: &Init, dim: usize, ratio: usize) -> Self {
        let linear = |name, shape| Linear::normal(&init.child(name), shape, WEIGHT_STD);
        Self { fc1: linear("fc1", [dim, ratio * dim]), fc2: linear("fc2", [ratio * dim, dim]) }
    }

    /// `[.., dim]` to the same shape, with what it is added to.
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>, residual: Option<Tensor<D>>) -> Tensor<D> {
        ops::mlp(x, self.fc1.parts(), self.fc2.parts(), residual)
    }

    /// Multiplies what it gives by `gains`, `[dim]`.
    pub(super) fn scale(&mut self, gains: &Tensor<1>) {
        let Linear { weight, bias } = &mut self.fc2;
        *weight = weight.clone().map(|weight| weight * gains.clone().reshape([1, -1]));
        *bias = bias.clone().map(|bias| bias.map(|bias| bias * gains.clone()));
    }
}

impl Block {
    /// A block on tokens of width `dim`, with `mlp_ratio · dim` hidden units in its MLP. In training each of its two
    /// branches is left out for a share `drop_path` of the samples, and scaled up for the others (Huang et al. 2016,
    /// "Deep Networks with Stochastic Depth").
    pub fn new(init: &Init, dim: usize, heads: usize, mlp_ratio: usize, drop_path: f64) -> Self {
        let linear = |name, shape| Linear::normal(&init.child(name), shape, WEIGHT_STD);
        Self {
            norm1: LayerNorm::new(&init.child("norm1"), dim),
            attn: Attention { qkv: linear("attn.qkv", [dim, 3 * dim]), proj: linear("attn.proj", [dim, dim]), heads },
            ls1: None,
            norm2: LayerNorm::new(&init.child("norm2"), dim),
            mlp: Mlp::new(&init.child("mlp"), dim, mlp_ratio),
            ls2: None,
            drop_path,
        }
    }

    /// `[batch, tokens, dim]`, of which each sample has so many, to the same shape.
    pub fn forward(&self, x: Tensor<3>, lengths: &Lengths, pass: &Pass) -> Tensor<3> {
        let attended = |x: &Tensor<3>, residual| {
            let qkv = self.attn.qkv.forward(self.norm1.forward(x.clone()));
            self.attn.proj.forward_onto(ops::attention(qkv, self.attn.heads, lengths.cut()), residual)
        };
        let x = self.add_branch(x, attended, self.ls1.as_ref(), pass);
        let processed = |x: &Tensor<3>, residual| self.mlp.forward(self.norm2.forward(x.clone()), residual);
        self.add_branch(x, processed, self.ls2.as_ref(), pass)
    }

    /// `x + gains · branch(x)`; the branch adds itself, unless it has gains or samples are to be left out.
    fn add_branch(
        &self,
        x: Tensor<3>,
        branch: impl Fn(&Tensor<3>, Option<Tensor<3>>) -> Tensor<3>,
        gains: Option<&LayerScale>,
        pass: &Pass,
    ) -> Tensor<3> {
        let scaled = || {
            let y = branch(&x, None);
            gains.map_or(y.clone(), |gains| y * gains.gamma.val().reshape([1, 1, -1]))
        };
        if self.drop_path == 0.0 || !pass.is_training() {
            return if gains.is_some() { scaled() + x } else { branch(&x, Some(x.clone())) };
        }
        drop_path(scaled(), self.drop_path, pass) + x
    }
}

fn constant<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}
