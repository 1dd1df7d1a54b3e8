//! What there is to choose from.

use crate::error::Error;
use crate::events::Observer;
use crate::method::{Method, Settings};
use crate::methods::{
    barlow_twins::BarlowTwins, byol::Byol, clusterfit::Clusterfit, deep_belief_network::DeepBeliefNetwork,
    denoising_autoencoder::DenoisingAutoencoder, dino::Dino, inpainting::Inpainting, invariance_only::InvarianceOnly,
    masked_autoencoder::MaskedAutoencoder, moco::Moco, nnclr::Nnclr, rotation::Rotation, simclr::Simclr,
    simsiam::Simsiam, swav::Swav, vicreg::Vicreg,
};
use crate::trainer::{self, Outcome};
use selfsame_data::config::{Known, MethodKeys, Plan};
use selfsame_data::dataset::Dataset;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use crate::backbones::{BACKBONES, BackboneEntry};

/// [`trainer::pretrain`] of one method.
pub type Pretrain = fn(&Plan, Arc<Dataset>, &mut dyn Observer, &AtomicBool) -> Result<Outcome, Error>;

/// One line of the catalogue: a method's name and the functions that know its type.
pub struct MethodEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The method's keys with their defaults.
    pub defaults: fn() -> toml::Table,
    /// Whether the plan makes sense for the method.
    pub check: fn(&Plan) -> Result<(), Error>,
    /// Trains, or goes on training.
    pub pretrain: Pretrain,
    /// The branch of a run, trained or fresh.
    pub branch: fn(&Plan, trainer::Weights) -> Result<crate::method::Branch, Error>,
}

const fn entry<M: Method>(summary: &'static str) -> MethodEntry {
    MethodEntry {
        name: M::NAME,
        summary,
        defaults: || toml::Table::try_from(M::Config::default()).expect("settings are plain tables"),
        check: |plan| settings::<M>(plan)?.check(plan),
        pretrain: trainer::pretrain::<M>,
        branch: trainer::branch::<M>,
    }
}

/// Every method.
pub static METHODS: &[MethodEntry] = &[
    entry::<Simclr>("contrastive: NT-Xent against the rest of the batch"),
    entry::<Moco>("contrastive: a slow teacher's keys, in a queue (v2) or of the batch (v3)"),
    entry::<Nnclr>("contrastive: nearest neighbours of past batches as positives"),
    entry::<Byol>("asymmetric: predicts a slow teacher's embedding of the other view"),
    entry::<Simsiam>("asymmetric: predicts its own embedding of the other view, gradient stopped"),
    entry::<BarlowTwins>("non-contrastive: cross-correlation of the views towards the identity"),
    entry::<Vicreg>("non-contrastive: variance kept up, covariances kept down, view by view"),
    entry::<Swav>("clustering: predicts the other views' prototypes, shared out equally; takes small crops too"),
    entry::<Dino>("self-distillation: matches a slow, centred and sharpened teacher; takes small crops too"),
    entry::<Clusterfit>("clustering: a fresh encoder learns the k-means clusters of a finished run's features"),
    entry::<Rotation>("pretext: predicts by how many quarter turns a view was rotated"),
    entry::<MaskedAutoencoder>("generative: reconstructs the patches that a ViT did not see"),
    entry::<DenoisingAutoencoder>("generative: reconstructs a view from a noisy copy with pixels missing"),
    entry::<Inpainting>("generative: fills in squares that were cut out of a view"),
    entry::<DeepBeliefNetwork>("generative: a stack of restricted Boltzmann machines, layer by layer; it can dream"),
    entry::<InvarianceOnly>("a demonstration: nothing stops it from collapsing, and the diagnosis says so"),
];

/// The names and keys that recipes may use.
pub fn known() -> Known {
    Known {
        methods: METHODS.iter().map(|m| MethodKeys { name: m.name, defaults: (m.defaults)() }).collect(),
        backbones: BACKBONES.iter().map(|b| b.name).collect(),
    }
}

/// The method that the plan names.
pub fn method(plan: &Plan) -> Result<&'static MethodEntry, Error> {
    let name = plan.method.get("name").and_then(toml::Value::as_str).unwrap_or_default();
    find(METHODS, |e| e.name, name, "method.name")
}

/// The method's own keys of the plan.
pub(crate) fn settings<M: Method>(plan: &Plan) -> Result<M::Config, Error> {
    let mut table = plan.method.clone();
    table.remove("name");
    table.try_into().map_err(|e: toml::de::Error| Error::setting("method", e.message().to_owned()))
}

/// The entry called `name`, or an error that lists what there is.
pub(crate) fn find<'a, T>(
    entries: &'a [T],
    name_of: fn(&T) -> &'static str,
    name: &str,
    key: &str,
) -> Result<&'a T, Error> {
    entries.iter().find(|entry| name_of(entry) == name).ok_or_else(|| {
        let known: Vec<_> = entries.iter().map(name_of).collect();
        Error::setting(key, format!("unknown name \"{name}\"; there are {}", known.join(", ")))
    })
}
