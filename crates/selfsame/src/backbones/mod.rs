//! Encoders. One file per family, one catalogue line per backbone.

pub mod belief_network;
pub mod resnet;
pub mod vit;

use crate::error::Error;
use crate::memory::Cost;
use crate::tensor::layers::{Init, NormKind, Pass};
use crate::tensor::parameters;
use belief_network::BeliefNetwork;
use burn::module::Module;
use burn::tensor::Tensor;
use resnet::ResNet;
use selfsame_base::lookup;
use selfsame_config::{Choice, Choices, Draft, Key, Kind, Part, Preset, Recipe, Schema, Settings, Variant};
use toml::{Table, Value};
use vit::Vit;

/// The encoder `f`: the kept network.
#[derive(Module, Debug)]
pub enum Encoder {
    /// Residual networks.
    ResNet(ResNet),
    /// Vision transformers.
    Vit(Vit),
    /// Layers of sigmoid units.
    BeliefNetwork(BeliefNetwork),
}

impl Encoder {
    /// The representation `h = f(x)`: `[batch, height, width, channels]` to `[batch, width of h]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        match self {
            Self::ResNet(net) => net.forward(x, pass),
            Self::Vit(net) => net.forward(x, pass),
            Self::BeliefNetwork(net) => net.forward(x),
        }
    }

    /// The same function in evaluation mode, with what inference can do beforehand done: no graph, batch norms folded.
    pub fn for_inference(&self) -> Self {
        match self.valid() {
            Self::ResNet(net) => Self::ResNet(net.folded()),
            net @ Self::Vit(_) => net,
            Self::BeliefNetwork(net) => Self::BeliefNetwork(net),
        }
    }

    /// Width of the representation.
    pub fn width(&self) -> usize {
        match self {
            Self::ResNet(net) => net.width(),
            Self::Vit(net) => net.width(),
            Self::BeliefNetwork(net) => net.width(),
        }
    }

    /// Stages from the pixels on, one after the other: stem and `layer1` … of a residual network, patches and blocks of a
    /// transformer, the layers of a belief network.
    pub fn stages(&self) -> usize {
        let names = parameters::arrays(self);
        names.keys().map(|name| self.stage(name) + 1).max().expect("an encoder has parameters")
    }

    /// The stage of the parameter called `name` within the encoder, counted from 0.
    pub fn stage(&self, name: &str) -> usize {
        let number = |prefix: &str| -> Option<usize> { name.strip_prefix(prefix)?.split('.').next()?.parse().ok() };
        match self {
            Self::ResNet(_) => number("layer").unwrap_or(0),
            // The last norm belongs to the last block.
            Self::Vit(net) if name.starts_with("norm.") => net.depth(),
            Self::Vit(_) => number("blocks.").map_or(0, |block| block + 1),
            Self::BeliefNetwork(_) => number("layers.").unwrap_or(0),
        }
    }

    /// The library whose names and layout the saved weights have.
    pub fn format(&self) -> &'static str {
        match self {
            Self::ResNet(_) => "torchvision",
            Self::Vit(_) => "timm",
            Self::BeliefNetwork(_) => "selfsame",
        }
    }
}

/// What an encoder is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// To be trained.
    Student,
    /// To follow a student: it never drops a path.
    Teacher,
}

/// What an encoder is built from.
#[derive(Debug)]
pub struct Site<'a> {
    /// Values of the backbone's keys.
    pub keys: &'a Table,
    /// Input channels.
    pub channels: usize,
    /// Input side, px.
    pub size: usize,
}

impl Site<'_> {
    /// The values of one group of keys.
    pub fn read<S: Settings>(&self) -> Result<S, Error> {
        Ok(S::read(self.keys)?)
    }
}

/// One line of the catalogue.
#[derive(Debug)]
pub struct BackboneEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// Backbones of one family have the same architecture in other sizes.
    pub family: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The keys of `[backbone]` besides `name`, in groups that backbones may share.
    pub keys: &'static [&'static [Key]],
    /// Builds the encoder.
    pub build: fn(&Site, &Init, Role) -> Result<Encoder, Error>,
    /// Whether the values fit each other and a view of a side in px; errors name the keys, `key` being the side's.
    pub check: fn(&Site, key: &str, side: usize) -> Result<(), Error>,
    /// What it costs, at least.
    pub cost: fn(&Site) -> Result<Cost, Error>,
}

/// Every backbone.
pub static BACKBONES: &[BackboneEntry] = &[
    resnet::RESNET_MICRO,
    resnet::RESNET18,
    resnet::RESNET34,
    resnet::RESNET50,
    vit::VIT_MICRO,
    vit::VIT_TINY,
    vit::VIT_SMALL,
    vit::VIT_BASE,
    belief_network::BELIEF_NETWORK,
];

impl BackboneEntry {
    /// What the schema has of it.
    pub fn variant(&self) -> Variant {
        Variant { name: self.name, family: self.family, keys: self.keys }
    }
}

/// A backbone and the values of its keys.
#[derive(Clone, Debug)]
pub struct ChosenBackbone {
    /// The backbone.
    pub entry: &'static BackboneEntry,
    /// Values of its keys.
    pub keys: Table,
}

impl ChosenBackbone {
    /// The backbone that `choice` names among those of this crate.
    pub fn find(choice: Choice) -> Result<Self, Error> {
        let entry = lookup::find(BACKBONES, |entry| entry.name, "backbone", &choice.name)
            .map_err(|problem| Error::setting("backbone.name", problem))?;
        Ok(Self { entry, keys: choice.keys })
    }

    /// The backbone called `name` with these values of its keys, for images of `size` px; what is left out has its preset.
    ///
    /// # Errors
    /// If there is no such backbone, or a key is unknown or does not fit.
    pub fn named(name: &str, keys: Table, size: usize) -> Result<Self, Error> {
        const SIZE: &[Key] = &[Key {
            name: "size",
            kind: Kind::SIDE,
            preset: Preset::Required,
            meaning: "side of the images, px",
            changes_training: true,
        }];
        let variants = BACKBONES.iter().map(BackboneEntry::variant).collect();
        let catalogue = Choices { noun: "backbone", meaning: "the encoder", preset: "", variants };
        let parts = vec![Part::new("data", SIZE), Part::new("backbone", &[]).with_choices(catalogue)];
        let (mut backbone, mut data) = (keys, Table::new());
        backbone.insert("name".into(), name.into());
        data.insert("size".into(), Value::Integer(size as i64));
        let all: Table = [("backbone".to_owned(), Value::Table(backbone)), ("data".to_owned(), Value::Table(data))]
            .into_iter()
            .collect();
        let schema = Schema::new(parts, &[]);
        let recipe = Recipe { name: format!("backbone {name}"), text: all.to_string() };
        let chosen = Self::find(Draft::new(&schema, Some(&recipe), &[])?.resolve(false)?.choice("backbone"))?;
        chosen.check(size, &[("data.size".into(), size)])?;
        Ok(chosen)
    }

    /// The `[backbone]` table.
    pub fn to_choice(&self) -> Choice {
        Choice::new(self.entry.name, self.keys.clone())
    }

    /// Name in recipes.
    pub fn name(&self) -> &'static str {
        self.entry.name
    }

    /// The values of one group of keys, where the backbone has them.
    pub fn read<S: Settings>(&self) -> Option<S> {
        S::read(&self.keys).ok()
    }

    /// A fresh encoder for images of `channels` and `size` px.
    pub fn build(&self, channels: usize, size: usize, init: &Init, role: Role) -> Result<Encoder, Error> {
        (self.entry.build)(&Site { keys: &self.keys, channels, size }, init, role)
    }

    /// Checks the values, also against the sides of images and views, by key, px.
    pub(crate) fn check(&self, size: usize, sides: &[(String, usize)]) -> Result<(), Error> {
        let site = Site { keys: &self.keys, channels: 1, size };
        sides.iter().try_for_each(|(key, side)| (self.entry.check)(&site, key, *side))
    }

    /// What it costs on images of `channels` and `size` px.
    pub(crate) fn cost(&self, channels: usize, size: usize) -> Result<Cost, Error> {
        (self.entry.cost)(&Site { keys: &self.keys, channels, size })
    }

    /// The normalization layers that a decoder beside this backbone has: the backbone's, or batch norm.
    pub fn norm(&self) -> NormKind {
        self.read::<resnet::ResNetSettings>().map_or(NormKind::Batch, |settings| settings.norm)
    }
}
