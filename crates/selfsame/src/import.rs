//! Encoders that other tools wrote, as encoder folders: a file of weights, or a folder of timm's or transformers'.

use crate::backbone::Role;
use crate::encoder_folder::{EncoderConfig, EncoderFolder, FORMAT, WEIGHTS};
use crate::error::Error;
use crate::progress::Progress;
use selfsame_base::seal::SealedFile;
use selfsame_data::augment::Interpolation;
use selfsame_data::image::Size;
use selfsame_data::modality::Modality;
use selfsame_interop::import::{self, Imported};
use selfsame_interop::network::Network;
use std::path::Path;
use toml::{Table, Value};

/// What stands for the method of an encoder that another tool trained.
pub const METHOD: &str = "imported";

/// Whether another tool wrote what is at `path`.
pub fn is_foreign(path: &Path) -> bool {
    import::is_one(path) && !path.join(WEIGHTS).exists()
}

/// The encoder at `path`, in our layout, with what an encoder folder says.
///
/// # Errors
/// If it is damaged, wants code to be run, or is of a network that is not known.
pub fn open(path: &Path) -> Result<EncoderFolder, Error> {
    let Imported { encoder, report } = import::open(path)?;
    let layout =
        if matches!(Network::of(&encoder)?, Network::Vit(_) | Network::ConvNext(_)) { "timm" } else { "torchvision" };
    let weights = encoder.tensors.to_safetensors();
    let mut config = EncoderConfig {
        format: FORMAT,
        layout: layout.into(),
        selfsame: env!("CARGO_PKG_VERSION").into(),
        method: METHOD.into(),
        backbone: encoder.backbone,
        modality: Modality::Image,
        channels: encoder.channels,
        columns: Vec::new(),
        signal: Table::new(),
        size: Size::of(encoder.size),
        mean: encoder.mean,
        std: encoder.std,
        range: encoder.range,
        interpolation: Interpolation::of(encoder.interpolation).unwrap_or_default(),
        width: encoder.width,
        kept: Role::Student,
        trained: Progress { step: 0, steps: 0, steps_per_epoch: 1 },
        plan: String::new(),
        recipe: String::new(),
        imported: report.lines(),
        weights: SealedFile::of(WEIGHTS, &weights),
    };
    config.recipe = recipe(&config).to_string();
    Ok(EncoderFolder::of(path, config, weights))
}

/// A plan for what judges and embeds: the network and how it is fed. What would train it is preset, few views at a time, as large
/// networks need it.
fn recipe(config: &EncoderConfig) -> Table {
    let counts = [("batch_size", 8), ("chunk_size", 2)];
    let train: Table = counts.into_iter().map(|(key, count)| (key.to_owned(), Value::Integer(count))).collect();
    [
        ("backbone", config.backbone_table()),
        ("data", Value::Table(config.data_of_a_plan())),
        ("train", Value::Table(train)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}
