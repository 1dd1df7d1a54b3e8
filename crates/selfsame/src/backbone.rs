//! What a backbone is: the network of an encoder, what it is built from, and its line in a catalogue.
//!
//! A family of backbones is a type that implements [`Backbone`]; an [`Encoder`] is a network of any family.

use crate::error::Error;
use crate::tensor::boxed::{DynMapper, DynVisitor, Mapping, Visiting};
use crate::tensor::layers::{Init, NormKind, Pass};
use crate::tensor::lengths::Lengths;
use crate::tensor::parameters;
use burn::module::{
    Content, Devices, DisplaySettings, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::{Device, Tensor};
use selfsame_base::lookup;
use selfsame_config::{Choice, Choices, Draft, Key, Kind, NamePreset, Part, Preset, Recipe, Schema, Settings, Variant};
pub use selfsame_data::image::Size;
pub use selfsame_data::modality::{Columns, Modality};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt::Debug;
use toml::{Table, Value};

/// A network that an encoder can be: what a family of backbones implements, beside `#[derive(Module, Debug)]`.
pub trait Backbone: Module + ModuleDisplay + Sync + 'static {
    /// The representation `h = f(x)`, sample by sample but for what normalization layers do.
    ///
    /// # Shapes
    /// `[batch, height, width, channels]` to `[batch, width of h]`
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2>;

    /// Width of the representation.
    fn width(&self) -> usize;

    /// What the stages up to `stage` make of `x`, place by place: the pixels of a map, the tokens; a vector is one place. `None` of a
    /// network that shows nothing but `h`. What follows a signal's end is NaN, as in views.
    ///
    /// # Shapes
    /// `[batch, height, width, channels]` to `[batch, places, features]`
    fn places(&self, _x: Tensor<4>, _stage: usize, _pass: &Pass) -> Option<Tensor<3>> {
        None
    }

    /// One vector of what [`places`](Self::places) gives at that stage, as `h` is made of the last stage's: their mean.
    ///
    /// # Shapes
    /// `[batch, places, features]` to `[batch, features]`
    fn pool(&self, places: Tensor<3>, _stage: usize) -> Tensor<2> {
        mean_of_places(places)
    }

    /// The same function in evaluation mode, with what inference can do beforehand done. There is no graph.
    #[must_use]
    fn for_inference(self) -> Self {
        self
    }

    /// The stage of the parameter called `name`, counted from 0 at the pixels. Fine-tuning moves the last stages alone, or
    /// each more than the one below it.
    fn stage(&self, _name: &str) -> usize {
        0
    }

    /// The library whose names and layout the saved weights have.
    fn format(&self) -> &'static str {
        "selfsame"
    }
}

/// The mean over the places, up to the end of a signal: `[batch, places, features]` to `[batch, features]`.
pub(crate) fn mean_of_places(places: Tensor<3>) -> Tensor<2> {
    let [batch, count, features] = places.dims();
    let (x, lengths) = Lengths::of(places.reshape([batch, 1, count, features]));
    lengths.mean(x)
}

/// The number at the beginning of what follows `prefix` in a parameter's name: 2 in `blocks.2.norm1.weight` after `blocks.`.
pub fn number_after(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.split('.').next()?.parse().ok()
}

/// What is wanted of an encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// The representation.
    #[default]
    H,
    /// What the last stage makes of every place, one after the other: the pixels of a map, or a transformer's class token,
    /// registers and patches.
    Tokens,
    /// What this stage makes, as one vector: of the last one `h`.
    Layer(usize),
}

/// The encoder `f`: the kept network, of any family.
#[derive(Debug)]
pub struct Encoder(Box<dyn Network>);

impl Encoder {
    /// An encoder that is this network.
    pub fn new(network: impl Backbone) -> Self {
        Self(Box::new(network))
    }

    /// The representation `h = f(x)`: `[batch, height, width, channels]` to `[batch, width of h]`.
    pub fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        self.0.forward(x, pass)
    }

    /// What gives a row per sample of what is wanted: `[batch, height, width, channels]` to `[batch, values]`.
    ///
    /// # Errors
    /// If there is no such stage; when it is used, if the network shows nothing but `h`.
    pub fn reader(&self, wanted: Output) -> Result<impl Fn(Tensor<4>, &Pass) -> Result<Tensor<2>, Error>, Error> {
        let last = self.stages() - 1;
        let stage = match wanted {
            Output::H | Output::Tokens => last,
            Output::Layer(stage) if stage <= last => stage,
            Output::Layer(stage) => {
                return Err(Error::setting("of", format!("expected layer0 to layer{last}, received layer{stage}")));
            }
        };
        Ok(move |x, pass: &Pass| {
            if wanted == Output::H {
                return Ok(self.forward(x, pass));
            }
            let places = self.0.places(x, stage, pass);
            let places = places.ok_or_else(|| Error::setting("of", "this backbone shows nothing but h; of=h works"))?;
            Ok(if wanted == Output::Tokens { places.flatten(1, 2) } else { self.0.pool(places, stage) })
        })
    }

    /// The same function in evaluation mode, with what inference can do beforehand done: no graph, batch norms folded.
    pub fn for_inference(&self) -> Self {
        Self(self.0.for_inference())
    }

    /// Width of the representation.
    pub fn width(&self) -> usize {
        self.0.width()
    }

    /// Stages from the pixels on, one after the other: stem and `layer1` … of a residual network, patches and blocks of a
    /// transformer, the layers of a belief network.
    pub fn stages(&self) -> usize {
        let names = parameters::arrays(self);
        names.keys().map(|name| self.stage(name) + 1).max().expect("an encoder has parameters")
    }

    /// The stage of the parameter called `name` within the encoder, counted from 0.
    pub fn stage(&self, name: &str) -> usize {
        self.0.stage(name)
    }

    /// The library whose names and layout the saved weights have.
    pub fn format(&self) -> &'static str {
        self.0.format()
    }

    /// The network, where it is of the family `B`: what a method looks at that works with one family alone.
    pub fn downcast_ref<B: Backbone>(&self) -> Option<&B> {
        let network: &dyn Any = &*self.0;
        network.downcast_ref()
    }

    /// The network, where it is of the family `B`.
    ///
    /// # Errors
    /// The encoder itself, where it is not.
    pub fn downcast<B: Backbone>(self) -> Result<B, Self> {
        if self.downcast_ref::<B>().is_none() {
            return Err(self);
        }
        let network: Box<dyn Any> = self.0;
        Ok(*network.downcast().expect("of this family"))
    }
}

/// A [`Backbone`] as a trait object.
trait Network: Any + Debug + Send + Sync {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2>;
    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>>;
    fn pool(&self, places: Tensor<3>, stage: usize) -> Tensor<2>;
    fn for_inference(&self) -> Box<dyn Network>;
    fn width(&self) -> usize;
    fn stage(&self, name: &str) -> usize;
    fn format(&self) -> &'static str;
    fn display(&self, settings: DisplaySettings) -> String;
    fn copy(&self) -> Box<dyn Network>;
    fn collect_devices(&self, devices: Devices) -> Devices;
    fn fork(self: Box<Self>, device: &Device) -> Box<dyn Network>;
    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn Network>;
    fn train(self: Box<Self>) -> Box<dyn Network>;
    fn valid(&self) -> Box<dyn Network>;
    fn materialize(self: Box<Self>) -> Box<dyn Network>;
    fn visit(&self, visitor: &mut dyn DynVisitor);
    fn map(self: Box<Self>, mapper: &mut dyn DynMapper) -> Box<dyn Network>;
}

impl<B: Backbone> Network for B {
    fn forward(&self, x: Tensor<4>, pass: &Pass) -> Tensor<2> {
        Backbone::forward(self, x, pass)
    }
    fn places(&self, x: Tensor<4>, stage: usize, pass: &Pass) -> Option<Tensor<3>> {
        Backbone::places(self, x, stage, pass)
    }
    fn pool(&self, places: Tensor<3>, stage: usize) -> Tensor<2> {
        Backbone::pool(self, places, stage)
    }
    fn for_inference(&self) -> Box<dyn Network> {
        Box::new(Backbone::for_inference(Module::valid(self)))
    }
    fn width(&self) -> usize {
        Backbone::width(self)
    }
    fn stage(&self, name: &str) -> usize {
        Backbone::stage(self, name)
    }
    fn format(&self) -> &'static str {
        Backbone::format(self)
    }
    fn display(&self, settings: DisplaySettings) -> String {
        ModuleDisplay::format(self, settings)
    }
    fn copy(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }
    fn collect_devices(&self, devices: Devices) -> Devices {
        Module::collect_devices(self, devices)
    }
    fn fork(self: Box<Self>, device: &Device) -> Box<dyn Network> {
        Box::new(Module::fork(*self, device))
    }
    fn to_device(self: Box<Self>, device: &Device) -> Box<dyn Network> {
        Box::new(Module::to_device(*self, device))
    }
    fn train(self: Box<Self>) -> Box<dyn Network> {
        Box::new(Module::train(*self))
    }
    fn valid(&self) -> Box<dyn Network> {
        Box::new(Module::valid(self))
    }
    fn materialize(self: Box<Self>) -> Box<dyn Network> {
        Box::new(Module::materialize(*self))
    }
    fn visit(&self, visitor: &mut dyn DynVisitor) {
        Module::visit(self, &mut Visiting(visitor));
    }
    fn map(self: Box<Self>, mapper: &mut dyn DynMapper) -> Box<dyn Network> {
        Box::new(Module::map(*self, &mut Mapping(mapper)))
    }
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self(self.0.copy())
    }
}

/// Parameters are called what the network calls them: the box around it has no name.
impl Module for Encoder {
    fn collect_devices(&self, devices: Devices) -> Devices {
        self.0.collect_devices(devices)
    }
    fn fork(self, device: &Device) -> Self {
        Self(self.0.fork(device))
    }
    fn to_device(self, device: &Device) -> Self {
        Self(self.0.to_device(device))
    }
    fn train(self) -> Self {
        Self(self.0.train())
    }
    fn valid(&self) -> Self {
        Self(self.0.valid())
    }
    fn materialize(self) -> Self {
        Self(self.0.materialize())
    }
    fn visit<Visitor: ModuleVisitor>(&self, visitor: &mut Visitor) {
        self.0.visit(visitor);
    }
    fn map<Mapper: ModuleMapper>(self, mapper: &mut Mapper) -> Self {
        Self(self.0.map(mapper))
    }
}

impl ModuleDisplayDefault for Encoder {
    fn content(&self, content: Content) -> Option<Content> {
        Some(content)
    }
    fn num_params(&self) -> usize {
        Module::num_params(self)
    }
}

impl ModuleDisplay for Encoder {
    fn format(&self, settings: DisplaySettings) -> String {
        self.0.display(settings)
    }
}

/// What an encoder is built for, and which of a method's encoders it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// To be trained.
    #[default]
    Student,
    /// To follow a student: it never drops a path.
    Teacher,
}

impl Role {
    /// The words by which recipes name them.
    pub const WORDS: &'static [&'static str] = &["student", "teacher"];

    /// The word by which recipes name it.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// What an encoder is built from.
#[derive(Debug)]
pub struct Site<'a> {
    /// Values of the backbone's keys.
    pub keys: &'a Table,
    /// Input channels.
    pub channels: usize,
    /// Sides of the input.
    pub size: Size,
    /// Of vectors, the columns that the channels are of.
    pub columns: &'a Columns,
}

impl Site<'_> {
    /// The values of one group of keys.
    pub fn read<S: Settings>(&self) -> Result<S, Error> {
        Ok(S::read(self.keys)?)
    }
}

/// What a network costs at least: a plan that cannot fit into the machine's memory is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Weights.
    pub parameters: f64,
    /// Values that a training pass of one view must keep for its backward pass.
    pub activations: f64,
}

/// One line of the catalogue of backbones.
#[derive(Debug)]
pub struct BackboneEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// Backbones of one family have the same architecture in other sizes.
    pub family: &'static str,
    /// What it takes.
    pub modalities: &'static [Modality],
    /// One line for people.
    pub summary: &'static str,
    /// The keys of `[backbone]` besides `name`, in groups that backbones may share.
    pub keys: &'static [&'static [Key]],
    /// Builds the encoder.
    pub build: fn(&Site, &Init, Role) -> Result<Encoder, Error>,
    /// Whether the values fit each other and a view of a size; errors name the keys, `key` being the size's.
    pub check: fn(&Site, key: &str, size: Size) -> Result<(), Error>,
    /// What it costs, at least.
    pub cost: fn(&Site) -> Result<Cost, Error>,
}

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
    /// Of vectors, the columns that it is given.
    columns: Columns,
}

impl ChosenBackbone {
    /// The backbone of `backbones` that `choice` names; its keys have been checked.
    pub(crate) fn find(backbones: &[&'static BackboneEntry], choice: Choice) -> Result<Self, Error> {
        let entry = lookup::find(backbones.iter().copied(), |entry| entry.name, "backbone", &choice.name)
            .map_err(|problem| Error::setting("backbone.name", problem))?;
        Ok(Self { entry, keys: choice.keys, columns: Columns::default() })
    }

    /// For vectors of these columns.
    #[must_use]
    pub fn on(self, columns: Columns) -> Self {
        Self { columns, ..self }
    }

    fn site(&self, channels: usize, size: Size) -> Site<'_> {
        Site { keys: &self.keys, channels, size, columns: &self.columns }
    }

    /// The backbone of `backbones` that `choice` names, for samples of `size`; keys that are left out have their presets.
    ///
    /// # Errors
    /// If there is no such backbone, or a key is unknown or does not fit.
    pub fn among(backbones: &[&'static BackboneEntry], choice: &Choice, size: Size) -> Result<Self, Error> {
        const SIZE: &[Key] = &[Key {
            name: "size",
            kind: Kind::SIDES,
            preset: Preset::Required,
            meaning: "sides of the samples",
            changes_training: true,
        }];
        let variants = backbones.iter().map(|entry| entry.variant()).collect();
        let choices = Choices { noun: "backbone", meaning: "the encoder", preset: NamePreset::Required, variants };
        let parts = vec![Part::new("data", SIZE), Part::new("backbone", &[]).with_choices(choices)];
        let (mut backbone, mut data) = (choice.keys.clone(), Table::new());
        backbone.insert("name".into(), choice.name.clone().into());
        data.insert("size".into(), Value::try_from(size).expect("one number, or two"));
        let all: Table = [("backbone".to_owned(), Value::Table(backbone)), ("data".to_owned(), Value::Table(data))]
            .into_iter()
            .collect();
        let schema = Schema::new(parts, &[]);
        let recipe = Recipe { name: format!("backbone {}", choice.name), text: all.to_string() };
        let resolved = Draft::new(&schema, Some(&recipe), &[])?.resolve(false)?;
        let chosen = Self::find(backbones, resolved.choice("backbone"))?;
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

    /// A fresh encoder for samples of `channels` and `size`.
    pub fn build(&self, channels: usize, size: Size, init: &Init, role: Role) -> Result<Encoder, Error> {
        (self.entry.build)(&self.site(channels, size), init, role)
    }

    /// Checks the values, also against the sizes of samples and views, by key.
    pub(crate) fn check(&self, size: Size, sizes: &[(String, Size)]) -> Result<(), Error> {
        let site = self.site(1, size);
        sizes.iter().try_for_each(|(key, size)| (self.entry.check)(&site, key, *size))
    }

    /// What it costs on samples of `channels` and `size`.
    pub(crate) fn cost(&self, channels: usize, size: Size) -> Result<Cost, Error> {
        (self.entry.cost)(&self.site(channels, size))
    }

    /// The normalization layers that a decoder beside this backbone has: what the backbone's key `norm` says, or batch norm.
    pub fn norm(&self) -> NormKind {
        self.keys.get("norm").and_then(|norm| norm.clone().try_into().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Backbone, Encoder};
    use crate::tensor::layers::{Init, Pass};
    use burn::module::{DisplaySettings, Flag, Module, ModuleDisplay, ModuleVisitor, Param, ParamId};
    use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

    /// A parameter of every kind.
    #[derive(Module, Debug)]
    struct Odd {
        weights: Vec<Param<Tensor<5>>>,
        index: Param<Tensor<1, Int>>,
        mask: Option<Param<Tensor<2, Bool>>>,
        flag: Param<Flag>,
    }

    impl Backbone for Odd {
        fn forward(&self, x: Tensor<4>, _pass: &Pass) -> Tensor<2> {
            x.flatten(1, 3)
        }
        fn width(&self) -> usize {
            1
        }
    }

    fn odd(device: &Device) -> Odd {
        Odd {
            weights: (0..2).map(|i| Init::new(i, "weight", device).normal("w", [1, 2, 1, 2, 1], 1.0)).collect(),
            index: Param::initialized(ParamId::new(), Tensor::from_data(TensorData::from([3, 1]), device)),
            mask: Some(Param::initialized(
                ParamId::new(),
                Tensor::from_data(TensorData::from([[true], [false]]), device),
            )),
            flag: Param::<Flag>::from_bool(true),
        }
    }

    /// Everything that a visitor is told.
    #[derive(Default, PartialEq, Debug)]
    struct Told(Vec<String>);

    impl ModuleVisitor for Told {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.push(format!("float {D} {} {} {}", param.id, param.is_require_grad(), param.val().into_data()));
        }
        fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
            self.0.push(format!("int {D} {} {}", param.id, param.val().into_data()));
        }
        fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
            self.0.push(format!("bool {D} {} {}", param.id, param.val().into_data()));
        }
        fn visit_flag(&mut self, flag: &Param<Flag>) {
            self.0.push(format!("flag {} {}", flag.id, flag.is_enabled()));
        }
        fn enter_module(&mut self, name: &str, container: &str) {
            self.0.push(format!("> {name} {container}"));
        }
        fn exit_module(&mut self, name: &str, container: &str) {
            self.0.push(format!("< {name} {container}"));
        }
    }

    fn told(module: &impl Module) -> Told {
        let mut told = Told::default();
        module.visit(&mut told);
        told
    }

    #[test]
    fn an_encoder_is_as_a_module_what_its_network_is() {
        let network = odd(&Device::flex().autodiff());
        let encoder = Encoder::new(network.clone());
        assert_eq!(told(&encoder), told(&network));
        assert!(told(&network).0.iter().any(|line| line.starts_with("bool 2")));
        assert_eq!(
            (Module::num_params(&encoder), encoder.devices()),
            (Module::num_params(&network), network.devices())
        );
        assert_eq!(told(&encoder.clone()), told(&network.clone()));
        assert_eq!(told(&encoder.valid()), told(&network.valid()));
        assert_eq!(told(&encoder.valid().train()), told(&network.valid().train()));
        let (frozen, unfrozen) = (encoder.clone().freeze(), encoder.clone().freeze().unfreeze());
        assert_eq!(told(&frozen), told(&network.clone().freeze()));
        assert_eq!(told(&unfrozen), told(&network));
        assert_ne!(told(&frozen), told(&network));
        let plain = Device::flex();
        assert_eq!(told(&encoder.clone().fork(&plain)), told(&network.clone().fork(&plain)));
        assert_eq!(told(&encoder.clone().to_device(&plain).materialize()), told(&network.clone().to_device(&plain)));
        assert_eq!(ModuleDisplay::format(&encoder, DisplaySettings::default()), network.to_string());
    }

    #[test]
    fn an_encoder_gives_its_network_back_to_who_knows_the_family() {
        use crate::backbones::vit::Vit;
        let encoder = Encoder::new(odd(&Device::flex()));
        assert!(encoder.downcast_ref::<Odd>().is_some() && encoder.downcast_ref::<Vit>().is_none());
        let encoder = encoder.downcast::<Vit>().expect_err("of another family");
        assert_eq!(encoder.downcast::<Odd>().expect("of this family").width(), 1);
    }
}
