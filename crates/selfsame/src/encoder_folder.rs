//! The encoder alone, as a folder: weights, and what is needed to rebuild the network and to feed it.
//!
//! `encoder.safetensors` has the names and the layout of torchvision or timm; `config.json` says which. It is
//! [sealed](seal), and has the hash of the weights: a folder is an encoder if both are what was written, not if they are there.

use crate::backbone::{BackboneEntry, ChosenBackbone, Encoder, Role};
use crate::backbones;
use crate::error::Error;
use crate::import;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::tensor::layers::Init;
use crate::tensor::parameters::{self, Array};
use burn::tensor::Device;
use selfsame_base::atomic;
use selfsame_base::seal::{self, SealedFile, Unusable};
use selfsame_config::{Choice, Recipe, shortest};
use selfsame_data::augment::Interpolation;
use selfsame_data::image::Size;
use selfsame_data::loader::{Batching, EvalPlan};
use selfsame_data::modality::{Columns, Modality};
use selfsame_data::settings::DataSettings;
use selfsame_data::signal::{LogMelSettings, Normalize, SignalView};
use selfsame_interop::tensors::Tensors;
use selfsame_interop::{Encoder as Described, Origin, Sample, card};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// File of the weights.
pub const WEIGHTS: &str = "encoder.safetensors";
/// The model card.
pub const CARD: &str = "README.md";
/// File that describes them.
pub const CONFIG: &str = "config.json";

/// Format of encoder folders.
pub const FORMAT: u64 = 1;

/// `config.json`: what a loader needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncoderConfig {
    /// [`FORMAT`].
    pub format: u64,
    /// Names and axes of the weights: `torchvision`'s or `timm`'s.
    pub layout: String,
    /// Version of the writer.
    pub selfsame: String,
    /// Method that trained it.
    pub method: String,
    /// The `[backbone]` table.
    pub backbone: Choice,
    /// What it takes.
    #[serde(default)]
    pub modality: Modality,
    /// Input channels; of vectors, the features.
    pub channels: usize,
    /// Of tables, the columns that the channels are of, as `data.columns` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Of signals, the keys of `[data]` that say how one becomes what the encoder sees.
    #[serde(default, skip_serializing_if = "Table::is_empty")]
    pub signal: Table,
    /// Input side, px.
    pub size: Size,
    /// Per-channel mean; 8 and 16 bits are 0..1, all other numbers as they are.
    pub mean: Vec<f32>,
    /// Per-channel standard deviation, on the same scale.
    pub std: Vec<f32>,
    /// What augmentations took for black and white, on the same scale.
    #[serde(default = "unit_range")]
    pub range: [f32; 2],
    /// How crops and whole images were resized.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Width of the representation.
    pub width: usize,
    /// Which of the method's encoders it is.
    #[serde(default)]
    pub kept: Role,
    /// How long it was trained.
    pub trained: Progress,
    /// Fingerprint of the plan that it was trained by.
    pub plan: String,
    /// That plan, as TOML: what the encoder needs to be judged, tuned or trained further without its run.
    #[serde(default)]
    pub recipe: String,
    /// Where another tool wrote it: what was done to read it, a line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imported: Vec<String>,
    /// The weights.
    pub weights: SealedFile,
}

/// What encoders were trained with before the range was kept.
fn unit_range() -> [f32; 2] {
    [0.0, 1.0]
}

impl EncoderConfig {
    /// The `[backbone]` table.
    pub(crate) fn backbone_table(&self) -> Value {
        Value::try_from(&self.backbone).expect("a table of values")
    }

    /// The keys of `[data]` that say how it is fed.
    pub(crate) fn data_table(&self) -> Table {
        #[derive(Serialize)]
        struct Fed<'a> {
            modality: Modality,
            size: Size,
            channels: usize,
            columns: &'a [String],
            #[serde(serialize_with = "shortest")]
            mean: &'a [f32],
            #[serde(serialize_with = "shortest")]
            std: &'a [f32],
            #[serde(serialize_with = "shortest")]
            range: [f32; 2],
            interpolation: Interpolation,
        }
        let Self { modality, size, channels, columns, mean, std, range, interpolation, .. } = self;
        let (modality, size, channels, range, interpolation) = (*modality, *size, *channels, *range, *interpolation);
        let mut fed = Table::try_from(Fed { modality, size, channels, columns, mean, std, range, interpolation })
            .expect("numbers and words");
        fed.extend(self.signal.clone());
        fed
    }

    /// A whole `[data]` for a plan of which nothing but the feeding is known.
    pub(crate) fn data_of_a_plan(&self) -> Table {
        let mut data = self.data_table();
        for (key, value) in [("path", "unknown"), ("kind", "folder"), ("labels", "none"), ("fingerprint", "unknown")] {
            data.insert(key.into(), value.into());
        }
        data
    }

    /// What it takes, as other tools are told.
    fn sample(&self) -> Result<Sample, String> {
        #[derive(Deserialize)]
        struct Heard {
            view: SignalView,
            normalize: Normalize,
            rate: usize,
        }
        #[derive(Deserialize)]
        struct Mel {
            mel_bands: usize,
            mel_window: f64,
            mel_hop: f64,
            mel_floor: f64,
        }
        let unreadable = |error: toml::de::Error| format!("its signal: {}", error.message());
        match self.modality {
            Modality::Vector => return Ok(Sample::Vector),
            Modality::Image if self.signal.is_empty() => return Ok(Sample::Image),
            Modality::Image | Modality::Signal => {}
        }
        let Heard { view, normalize, rate } = self.signal.clone().try_into().map_err(unreadable)?;
        let by_itself = normalize == Normalize::Sample;
        if view == SignalView::Waveform {
            return Ok(Sample::Signal { rate, by_itself });
        }
        let Mel { mel_bands, mel_window, mel_hop, mel_floor } = self.signal.clone().try_into().map_err(unreadable)?;
        let settings =
            LogMelSettings { rate, bands: mel_bands, window_ms: mel_window, hop_ms: mel_hop, floor: mel_floor };
        let own = if by_itself { ", less its own mean, over its own standard deviation," } else { "" };
        let frames = self.size.width;
        Ok(Sample::Sound(format!(
            "The picture of a sound of {rate} Hz{own} is `{}`, the lowest frequencies in its first row, lengthened with silence to {frames} \
             frames.",
            settings.in_torchaudio()
        )))
    }

    /// The plain view of samples of `data` as this encoder sees them.
    pub fn plain_view(&self, data: &DataSettings, batching: Batching) -> Result<EvalPlan, Error> {
        let (columns, mean, std) = (self.columns.clone(), self.mean.clone(), self.std.clone());
        let Self { modality, size, channels, range, interpolation, .. } = *self;
        let data = DataSettings { modality, size, channels, columns, mean, std, range, interpolation, ..data.clone() };
        Ok(EvalPlan::plain(&data, batching)?)
    }
}

/// What [`WEIGHTS`] holds of an encoder.
pub(crate) fn weights_file(encoder: &Encoder) -> Vec<u8> {
    parameters::to_safetensors(&parameters::to_pytorch_layout(parameters::arrays(encoder)))
}

/// A folder that holds an encoder: a finished run, or one that was made of it.
#[derive(Clone, Debug)]
pub struct EncoderFolder {
    path: PathBuf,
    config: EncoderConfig,
    /// The bytes of the weights' file.
    weights: Vec<u8>,
}

impl EncoderFolder {
    /// Opens a folder whose encoder is whole, or [what another tool wrote](import).
    ///
    /// # Errors
    /// If there is no encoder, or not what was written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if import::is_foreign(path) {
            return import::open(path);
        }
        if !path.is_dir() {
            return Err(Error::run(
                path,
                "is not a folder, nor a file of weights (.safetensors, .pth, .pt, .ckpt, .bin)",
            ));
        }
        match Self::find(path) {
            Ok(Some(folder)) => Ok(folder),
            Ok(None) => Err(Error::run(path, format!("is not finished: it has no {WEIGHTS}"))),
            Err(problem @ Unusable::Damaged(_)) => Err(Error::run(path, format!("the encoder is damaged: {problem}"))),
            Err(problem @ Unusable::Format { .. }) => Err(Error::run(path.join(CONFIG), problem.to_string())),
        }
    }

    /// An encoder that lies elsewhere in another form.
    pub(crate) fn of(path: &Path, config: EncoderConfig, weights: Vec<u8>) -> Self {
        Self { path: path.to_owned(), config, weights }
    }

    /// The encoder of a folder that may have none; the weights are written last, so without them there is none.
    ///
    /// # Errors
    /// If there is one, and it is not what was written.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>, Unusable> {
        if path.join(WEIGHTS).symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Ok(None);
        }
        let config: EncoderConfig = seal::open(path, CONFIG, FORMAT)?;
        let weights = config.weights.read(path)?;
        Ok(Some(Self { path: path.to_owned(), config, weights }))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the encoder is and how it is fed.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }

    /// The bytes of the weights' file.
    pub fn weights(&self) -> &[u8] {
        &self.weights
    }

    /// The plan that the encoder was trained by, as a table. Folders of before held none: theirs is that of the method's recipe,
    /// with backbone and data as the config has them.
    ///
    /// # Errors
    /// If it is no TOML, which a folder that is whole cannot be.
    pub(crate) fn plan_table(&self) -> Result<Table, Error> {
        let text = match &self.config.recipe[..] {
            "" => Recipe::builtin(&self.config.method)?.text,
            text => text.to_owned(),
        };
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
            Error::run(self.path.join(CONFIG), format!("the plan in it is no TOML: {}", error.message()))
        })?;
        if self.config.recipe.is_empty() {
            table.insert("backbone".into(), self.config.backbone_table());
            table.insert("data".into(), Value::Table(self.config.data_of_a_plan()));
        }
        Ok(table)
    }

    /// [`Self::plan_table`], as a recipe.
    pub(crate) fn plan_recipe(&self) -> Result<Recipe, Error> {
        Ok(Recipe { name: self.path.join(CONFIG).display().to_string(), text: self.plan_table()?.to_string() })
    }

    /// The weights, in our layout, by name.
    ///
    /// # Errors
    /// If the file is no safetensors.
    fn arrays(&self) -> Result<BTreeMap<String, Array>, Error> {
        let arrays = parameters::from_safetensors(&self.weights);
        Ok(parameters::from_pytorch_layout(arrays.map_err(|problem| Error::run(self.path.join(WEIGHTS), problem))?))
    }

    /// See [`Self::config`].
    pub fn into_config(self) -> EncoderConfig {
        self.config
    }

    /// The encoder on `device`, if its backbone is one of this crate.
    ///
    /// # Errors
    /// If the weights are not those of the network that `config.json` describes.
    pub fn load(&self, device: &Device) -> Result<Encoder, Error> {
        self.load_with(&backbones::all(), device)
    }

    /// The encoder on `device`, its backbone one of `backbones`: those of a
    /// [`Catalogue`](crate::catalogue::Catalogue::backbones), or of a [`Plan`](Plan::backbones).
    ///
    /// # Errors
    /// If there is no such backbone, or the weights are not those of the network that `config.json` describes.
    pub fn load_with(&self, backbones: &[&'static BackboneEntry], device: &Device) -> Result<Encoder, Error> {
        let EncoderConfig { backbone, modality, channels, columns, size, .. } = &self.config;
        let backbone = ChosenBackbone::among(backbones, backbone, *size)
            .map_err(|error| Error::run(self.path.join(CONFIG), error.to_string()))?;
        let backbone = backbone.on(Columns::of(columns, modality.vector_width(*channels)));
        let encoder = backbone.build(*channels, *size, &Init::new(0, "encoder", device), Role::Student)?;
        parameters::with_arrays(encoder, self.arrays()?).map_err(|problem| Error::run(self.path.join(WEIGHTS), problem))
    }

    /// What the model card and the formats of other tools know of the encoder.
    ///
    /// # Errors
    /// If the weights are no safetensors.
    pub fn described(&self, scores: Vec<card::Row>) -> Result<Described, Error> {
        let tensors = Tensors::read(&self.weights).map_err(|problem| Error::run(self.path.join(WEIGHTS), problem))?;
        let EncoderConfig { backbone, channels, size, mean, std, range, width, .. } = self.config.clone();
        let (interpolation, head) = (self.config.interpolation.word(), None);
        let EncoderConfig { method, kept, trained, selfsame, plan, imported, .. } = &self.config;
        let origin = Origin {
            method: if imported.is_empty() { method.clone() } else { String::new() },
            averaged: *kept == Role::Teacher,
            steps: trained.step,
            epochs: trained.epochs(),
            selfsame: selfsame.clone(),
            plan: plan.clone(),
            scores,
        };
        let sample = self.config.sample().map_err(|problem| Error::run(self.path.join(CONFIG), problem))?;
        let size = size.sides();
        Ok(Described {
            backbone,
            sample,
            channels,
            size,
            mean,
            std,
            range,
            interpolation,
            width,
            tensors,
            head,
            origin,
        })
    }

    /// Writes the folder again, elsewhere, with a model card that has these scores; the weights last.
    ///
    /// # Errors
    /// If there is something in the way.
    pub fn save(&self, path: &Path, scores: Vec<card::Row>) -> Result<(), Error> {
        let usage = "Every command that takes a run takes this folder in its place, such as `embed`; from Rust, \
                     `selfsame::Embedder::load(\"FOLDER\")`.\n";
        let card = card::page(&self.described(scores)?, "selfsame", usage);
        atomic::make_free(path)?;
        atomic::write(&path.join(CARD), card.as_bytes())?;
        atomic::write(&path.join(CONFIG), &seal::seal(&self.config))?;
        Ok(atomic::write(&path.join(WEIGHTS), &self.weights)?)
    }

    /// Writes the encoder that `plan` has trained into `path`, its weights last, which are returned as they are told.
    pub fn write(path: &Path, encoder: &Encoder, plan: &Plan, trained: Progress) -> Result<SealedFile, Error> {
        let DataSettings { modality, channels, columns, size, mean, std, range, interpolation, .. } = plan.data.clone();
        let weights = weights_file(encoder);
        let config = EncoderConfig {
            format: FORMAT,
            layout: encoder.format().into(),
            selfsame: env!("CARGO_PKG_VERSION").into(),
            method: plan.method.name.clone(),
            backbone: plan.backbone.to_choice(),
            modality,
            channels,
            columns,
            signal: plan.data.signal_table(),
            size,
            mean,
            std,
            range,
            interpolation,
            width: encoder.width(),
            kept: plan.train.keep,
            trained,
            plan: plan.fingerprint(),
            recipe: plan.to_toml(),
            imported: Vec::new(),
            weights: SealedFile::of(WEIGHTS, &weights),
        };
        atomic::write(&path.join(CONFIG), &seal::seal(&config))?;
        atomic::write(&path.join(WEIGHTS), &weights)?;
        Ok(config.weights)
    }
}
