//! The plan: a recipe with every value resolved. Defaults exist here and nowhere else.

use crate::DataError;
use crate::augment::{IMAGE_AUGMENTATIONS, Normalisation, Pipeline, ViewShape};
use serde::{Deserialize, Serialize, Serializer};
use std::path::PathBuf;
use toml::{Table, Value};

/// Everything a run depends on. The same plan gives the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Seed of every random stream.
    #[serde(default)]
    pub seed: u64,
    /// Run folder. Default: `runs/<method>-<data name>`.
    #[serde(default)]
    pub out: PathBuf,
    /// Worker threads; 0: one a core. No result depends on it.
    #[serde(default)]
    pub threads: usize,
    /// Device: `cpu`.
    #[serde(default = "default_device")]
    pub device: String,
    /// The data.
    pub data: DataSettings,
    /// The encoder.
    #[serde(default)]
    pub backbone: BackboneSettings,
    /// The head that is thrown away.
    #[serde(default)]
    pub projector: ProjectorSettings,
    /// The method: `name` and its own keys, checked by the method itself.
    pub method: Table,
    /// Groups of views. Default: two views of crop, flip and jitter, as strong as suits the images' size and channels.
    #[serde(default)]
    pub views: Vec<ViewSettings>,
    /// Length, batch and records of the training.
    #[serde(default)]
    pub train: TrainSettings,
    /// The optimiser.
    #[serde(default)]
    pub optimiser: OptimiserSettings,
    /// The evaluation protocol.
    #[serde(default)]
    pub evaluate: EvaluateSettings,
}

fn default_device() -> String {
    "cpu".into()
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 0,
            out: PathBuf::new(),
            threads: 0,
            device: default_device(),
            data: DataSettings::default(),
            backbone: BackboneSettings::default(),
            projector: ProjectorSettings::default(),
            method: [("name".to_owned(), Value::from("simclr"))].into_iter().collect(),
            views: Vec::new(),
            train: TrainSettings::default(),
            optimiser: OptimiserSettings::default(),
            evaluate: EvaluateSettings::default(),
        }
    }
}

impl Plan {
    /// Name of the method.
    pub fn method_name(&self) -> &str {
        self.method.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Settles what follows from the data's size and channels: stem, views, sizes of views.
    pub(super) fn settle(&mut self) {
        let (Some(size), Some(channels)) = (self.data.size, self.data.channels) else { return };
        match is_vit(&self.backbone.name) {
            true => drop(self.backbone.patch_size.get_or_insert(BackboneSettings::default_patch_size(size))),
            false => drop(self.backbone.stem.get_or_insert(if size <= 64 { Stem::Small } else { Stem::Imagenet })),
        }
        if self.views.is_empty() {
            self.views = default_views(channels, size);
        }
        for group in &mut self.views {
            group.size.get_or_insert(size);
        }
    }

    /// Checks what no key can tell by itself. Errors name the key at fault.
    pub fn check(&self) -> Result<(), DataError> {
        let wrong = |key: &str, problem: String| Err(DataError::setting(key, problem));
        if self.data.path.as_os_str().is_empty() {
            return wrong("data.path", "missing; say what to train on, e.g. data=photos/ or data=demo".into());
        }
        self.backbone.check()?;
        if let Some(size) = self.data.size {
            self.backbone.check_size("data.size", size)?;
        }
        for (i, group) in self.views.iter().enumerate() {
            if let Some(size) = group.size {
                let key = format!("views.{i}.size");
                self.backbone.check_size(&key, size)?;
                if let Some(whole) =
                    self.data.size.filter(|&whole| whole != size && self.backbone.name == "belief_network")
                {
                    let problem = format!(
                        "{size}, but backbone.name = \"belief_network\" sees data.size = {whole} px and no other; drop the key, or take a resnet_… or vit_… backbone"
                    );
                    return wrong(&key, problem);
                }
            }
        }
        let train = &self.train;
        if let Some(chunk) = train.chunk_size.filter(|&chunk| chunk > train.batch_size) {
            let batch = train.batch_size;
            return wrong(
                "train.chunk_size",
                format!("{chunk} is more than train.batch_size = {batch}; at most that works"),
            );
        }
        if self.optimiser.warmup_epochs > train.epochs as f64 {
            let (warmup, epochs) = (self.optimiser.warmup_epochs, train.epochs);
            let problem = format!("{warmup} is more than train.epochs = {epochs}; a tenth of the epochs is usual");
            return wrong("optimiser.warmup_epochs", problem);
        }
        for (key, constants) in [("data.mean", &self.data.mean), ("data.std", &self.data.std)] {
            if let (Some(constants), Some(channels)) = (constants, self.data.channels)
                && constants.len() != channels
            {
                let problem = format!("expected one number a channel, {channels} in all, got {}", constants.len());
                return wrong(key, problem);
            }
        }
        let Some(channels) = self.data.channels else { return Ok(()) };
        for (i, group) in self.views.iter().enumerate() {
            let Some(size) = group.size else { continue };
            let path = format!("views.{i}.augmentations");
            let shape = ViewShape { size, channels };
            Pipeline::new(&group.augmentations, &path, shape, Normalisation::none(channels))?;
        }
        Ok(())
    }
}

/// Two views as the SimCLR study takes them; up to 64 px with half the jitter, a gentler crop and no blur; without the
/// operations on colour where there is none.
fn default_views(channels: usize, size: usize) -> Vec<ViewSettings> {
    let (colour, small) = (channels == 3, size <= 64);
    let jitter = if small { 0.4 } else { 0.8 };
    let (saturation, hue) = if colour { (jitter, jitter / 4.0) } else { (0.0, 0.0) };
    let keys = |pairs: &[(&str, f64)]| pairs.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect();
    let scale = Value::from(vec![if small { 0.2 } else { 0.08 }, 1.0]);
    let mut list: Vec<(&str, Table)> = vec![
        ("random_resized_crop", [("scale".to_owned(), scale)].into_iter().collect()),
        ("horizontal_flip", keys(&[("p", 0.5)])),
        (
            "color_jitter",
            keys(&[("brightness", jitter), ("contrast", jitter), ("saturation", saturation), ("hue", hue), ("p", 0.8)]),
        ),
    ];
    if colour {
        list.push(("color_drop", keys(&[("p", 0.2)])));
    }
    if !small {
        list.push(("gaussian_blur", keys(&[("p", 0.5)])));
    }
    let augmentations = list.into_iter().map(|(name, own)| {
        let entry = IMAGE_AUGMENTATIONS.iter().find(|entry| entry.name == name).expect("names of the catalogue");
        let mut table = entry.defaults();
        table.insert("name".into(), name.into());
        table.extend(own);
        table
    });
    vec![ViewSettings { count: 2, size: None, augmentations: augmentations.collect() }]
}

/// `[data]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSettings {
    /// Folder or file; `demo` names the bundled images.
    pub path: PathBuf,
    /// Kind of source; detected when absent: `folder`, `idx`, `cifar`, `array`, `demo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Channels per pixel, 1 to 16. Folders default to 3, others to what they hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// `none`, `folder` (first folder level), `file` (beside or within the data file). Never used for training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// Side of the square that the encoder sees, px. Default: the data's own size where it has one, else 224.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Per-channel mean on the 0..1 scale. Default: computed from a sample of the data.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "shortest")]
    pub mean: Option<Vec<f32>>,
    /// Per-channel standard deviation on the 0..1 scale. Default: computed from a sample of the data.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "shortest")]
    pub std: Option<Vec<f32>>,
    /// Colour on which alpha is composited, `[r, g, b]` 0..255.
    #[serde(default)]
    pub background: [u8; 3],
    /// Largest image that is decoded, megapixels.
    #[serde(default = "default_max_megapixels")]
    pub max_megapixels: f64,
    /// Largest share of unreadable files before the run fails.
    #[serde(default = "default_max_bad_share")]
    pub max_bad_share: f64,
    /// Decoded images are kept in memory when they fit this many megabytes.
    #[serde(default = "default_cache_mb")]
    pub cache_mb: usize,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            path: PathBuf::new(),
            kind: None,
            channels: None,
            labels: None,
            size: None,
            mean: None,
            std: None,
            background: [0; 3],
            max_megapixels: default_max_megapixels(),
            max_bad_share: default_max_bad_share(),
            cache_mb: default_cache_mb(),
        }
    }
}

/// Writes each `f32` with the fewest digits that tell it from its neighbours: `0.286`, not `0.28600001335144043`.
fn shortest<S: Serializer>(values: &Option<Vec<f32>>, serializer: S) -> Result<S::Ok, S::Error> {
    let short = |v: &f32| v.to_string().parse::<f64>().expect("a printed number");
    values.as_ref().map(|values| values.iter().map(short).collect::<Vec<_>>()).serialize(serializer)
}

fn default_max_megapixels() -> f64 {
    100.0
}
fn default_max_bad_share() -> f64 {
    0.05
}
fn default_cache_mb() -> usize {
    2048
}

/// Normalisation layers of a backbone or a projector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// Batch normalisation.
    #[default]
    Batch,
    /// Group normalisation.
    Group,
    /// None; convolutions and linear layers carry a bias instead.
    None,
}

/// First layers of a residual network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 7×7 stride 2 and a 3×3 stride 2 max-pool, for images of 96 px and more.
    Imagenet,
    /// 3×3 stride 1, no pooling, for small images.
    Small,
}

/// What becomes of a vision transformer's tokens at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// The class token is the representation.
    #[default]
    Class,
    /// The mean of the tokens is; there is no class token.
    Mean,
}

/// How a vision transformer tells its tokens where they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// A trained vector a token, resampled for views of another size.
    #[default]
    Learned,
    /// Sines and cosines of the row and the column.
    Sincos,
}

/// `[backbone]`. Keys that only one family of backbones knows are absent with the other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneSettings {
    /// Name in the backbone catalogue.
    #[serde(default = "default_backbone")]
    pub name: String,
    /// Widths of a residual network's stages, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widths: Option<Vec<usize>>,
    /// Default: `small` up to 64 px, `imagenet` above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    /// Normalisation layers of a residual network; default: `batch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// Whether the last norm of each residual block starts at zero, so that blocks start as identities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_init_last: Option<bool>,
    /// Width of a vision transformer's tokens, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dim: Option<usize>,
    /// Blocks of a vision transformer, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads of a vision transformer, where there is a choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Side of a patch, px. Default: [`BackboneSettings::default_patch_size`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch_size: Option<usize>,
    /// What becomes of the tokens; default: `class`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<Pool>,
    /// How tokens know where they stand; default: `learned`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Positions>,
    /// Share of samples for which the last block's branches are left out; blocks before it go up to this linearly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop_path: Option<f64>,
}

fn default_backbone() -> String {
    "resnet_micro".into()
}

impl Default for BackboneSettings {
    fn default() -> Self {
        Self {
            name: default_backbone(),
            widths: None,
            stem: None,
            norm: Some(Norm::Batch),
            zero_init_last: Some(false),
            dim: None,
            depth: None,
            heads: None,
            patch_size: None,
            pool: None,
            positions: None,
            drop_path: None,
        }
    }
}

/// Keys of `[backbone]` that residual networks alone know.
pub(super) const RESNET_KEYS: [&str; 4] = ["widths", "stem", "norm", "zero_init_last"];
/// Keys of `[backbone]` that vision transformers alone know.
pub(super) const VIT_KEYS: [&str; 7] = ["dim", "depth", "heads", "patch_size", "pool", "positions", "drop_path"];

/// Whether the backbone of this name is a vision transformer; the others are residual networks.
pub(super) fn is_vit(name: &str) -> bool {
    name.starts_with("vit_")
}

impl BackboneSettings {
    /// Whether this is a vision transformer.
    pub fn is_vit(&self) -> bool {
        is_vit(&self.name)
    }

    /// Side of a patch for images of `size` px: 4 up to 64 px, 16 above.
    pub fn default_patch_size(size: usize) -> usize {
        if size <= 64 { 4 } else { 16 }
    }

    /// Checks that no key is another family's.
    fn check(&self) -> Result<(), DataError> {
        let Self {
            widths, stem, norm, zero_init_last, dim, depth, heads, patch_size, pool, positions, drop_path, ..
        } = self;
        let resnet = [widths.is_some(), stem.is_some(), norm.is_some(), zero_init_last.is_some()];
        let size = [dim.is_some(), depth.is_some(), heads.is_some(), patch_size.is_some()];
        let vit = [&size[..], &[pool.is_some(), positions.is_some(), drop_path.is_some()]].concat();
        let (given, theirs, ours, other) = match is_vit(&self.name) {
            true => (&resnet[..], &RESNET_KEYS[..], &VIT_KEYS[..], "residual networks"),
            false => (&vit[..], &VIT_KEYS[..], &RESNET_KEYS[..], "vision transformers"),
        };
        match theirs.iter().zip(given).find(|(_, given)| **given) {
            None => Ok(()),
            Some((key, _)) => Err(DataError::setting(
                format!("backbone.{key}"),
                format!(
                    "a key of {other}, which backbone.name = \"{}\" does not know; drop it (it knows {})",
                    self.name,
                    ours.join(", ")
                ),
            )),
        }
    }

    /// Checks that a side of images or views, `size` px, is whole patches.
    fn check_size(&self, key: &str, size: usize) -> Result<(), DataError> {
        let Some(patch) = self.patch_size.filter(|&patch| !size.is_multiple_of(patch)) else { return Ok(()) };
        let sizes: Vec<_> = [size / patch * patch, size.next_multiple_of(patch)]
            .into_iter()
            .filter(|&size| size > 0)
            .map(|size| size.to_string())
            .collect();
        let patches: Vec<_> =
            (1..=size / 2).filter(|&patch| size.is_multiple_of(patch)).map(|patch| patch.to_string()).collect();
        Err(DataError::setting(
            key,
            format!(
                "{size} is not a multiple of backbone.patch_size = {patch}; {} would work, or a patch_size of {}",
                sizes.join(" or "),
                patches.join(", ")
            ),
        ))
    }
}

/// `[projector]`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProjectorSettings {
    /// Linear layers: 0 is none (`z = h`), 1 is a linear map, more is an MLP.
    pub layers: usize,
    /// Width of the hidden layers.
    pub hidden: usize,
    /// Width of the embedding.
    pub out: usize,
    /// Normalisation after the hidden layers.
    pub norm: Norm,
    /// Whether the last layer is normalised too.
    pub last_norm: bool,
}

impl Default for ProjectorSettings {
    fn default() -> Self {
        Self { layers: 2, hidden: 256, out: 128, norm: Norm::Batch, last_norm: false }
    }
}

/// One `[[views]]` group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSettings {
    /// Views of this group per sample.
    pub count: usize,
    /// Side of the view, px. Default: `data.size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Augmentations in the order of their application; each a table with a `name`.
    #[serde(default)]
    pub augmentations: Vec<Table>,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainSettings {
    /// Passes over the data.
    pub epochs: usize,
    /// Samples a step.
    pub batch_size: usize,
    /// Samples whose activations are held at once; default: the batch. Smaller means less memory, same objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunk_size: Option<usize>,
    /// Steps between checkpoints; 0: by time alone.
    pub checkpoint_steps: u64,
    /// Minutes between checkpoints.
    pub checkpoint_minutes: f64,
    /// Checkpoints kept.
    pub keep_checkpoints: usize,
    /// Epochs between online kNN scores where labels exist; 0: never.
    pub online_knn_epochs: usize,
    /// Steps between lines in `metrics.jsonl`.
    pub log_steps: u64,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch_size: 256,
            chunk_size: None,
            checkpoint_steps: 0,
            checkpoint_minutes: 5.0,
            keep_checkpoints: 3,
            online_knn_epochs: 5,
            log_steps: 1,
        }
    }
}

/// Update rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimiserName {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// AdamW.
    Adamw,
    /// Layer-wise adaptive rate scaling.
    Lars,
}

/// `[optimiser]`; the learning rate is `base_lr · batch_size / 256`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimiserSettings {
    /// Update rule.
    pub name: OptimiserName,
    /// Learning rate at a batch of 256.
    pub base_lr: f64,
    /// Momentum (`sgd`, `lars`).
    pub momentum: f64,
    /// Weight decay; biases and norm parameters are exempt.
    pub weight_decay: f64,
    /// Decay rates of the moments (`adamw`).
    pub betas: [f64; 2],
    /// Added to the root of the second moment (`adamw`).
    pub epsilon: f64,
    /// Trust coefficient η (`lars`).
    pub trust: f64,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// Learning rate at the end of the cosine, as a share of the peak.
    pub final_lr_share: f64,
}

impl Default for OptimiserSettings {
    fn default() -> Self {
        Self {
            name: OptimiserName::Sgd,
            base_lr: 0.12,
            momentum: 0.9,
            weight_decay: 5e-4,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            trust: 0.001,
            warmup_epochs: 1.0,
            final_lr_share: 0.0,
        }
    }
}

/// `[evaluate]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateSettings {
    /// Neighbours of the kNN vote.
    pub knn_k: usize,
    /// Temperature of the kNN vote.
    pub knn_temperature: f64,
    /// Numbers of labels per class at which few-label scores are taken.
    pub per_class: Vec<usize>,
    /// Random draws of the labelled samples for each of them.
    pub draws: usize,
    /// Principal axes along which the probe sees features that are wider, such as raw pixels.
    pub probe_axes: usize,
    /// Samples a batch when features are computed.
    pub batch_size: usize,
}

impl Default for EvaluateSettings {
    fn default() -> Self {
        Self {
            knn_k: 20,
            knn_temperature: 0.07,
            per_class: vec![1, 10, 100],
            draws: 5,
            probe_axes: 1024,
            batch_size: 256,
        }
    }
}
