//! What can be set of an optimizer.

use super::layers::LayerRates;
use super::update::Update;
use selfsame_base::{DataError, lookup};
use selfsame_config::{Choice, Choices, Kind, NamePreset, Part, Range, Settings, Variant, settings};
use toml::{Table, Value};

settings! {
    /// What every update rule has; the learning rate is `base_lr · batch_size / 256`.
    pub struct CommonSettings {
        /// learning rate at a batch of 256, scaled with the batch
        base_lr: f64 = 0.12, Kind::POSITIVE;
        /// weight decay, not on biases and norms
        weight_decay: f64 = 5e-4, Kind::NOT_NEGATIVE;
        /// epochs of linear warm-up, then cosine
        warmup_epochs: f64 = 1.0, Kind::NOT_NEGATIVE;
        /// learning rate at the end, as a share of the peak
        final_lr_share: f64 = 0.0, Kind::SHARE;
        /// longer gradients are scaled to this length, all parameters together, 0: never
        clip_norm: f64 = 0.0, Kind::NOT_NEGATIVE;
        /// share of the learning rate that a stage of the encoder has of the one above it; below 1 to go on from an encoder that is good
        layer_decay: f64 = 1.0, Kind::Number(Range::Over(0.0, 1.0));
        /// stages of the encoder that learn, counted from the last; 0 leaves the heads alone
        stages: Value = "all", Kind::WordOrNumber(&["all"], Range::Within(0.0, 1000.0));
    }
}

settings! {
    /// Stochastic gradient descent.
    pub struct SgdSettings {
        /// momentum
        momentum: f64 = 0.9, Kind::MOMENTUM;
    }
}

settings! {
    /// AdamW.
    pub struct AdamwSettings {
        /// decay of the moments
        betas: [f64; 2] = [0.9, 0.999], Kind::Numbers(Range::Under(0.0, 1.0), Some(2));
        /// added to the root of the second moment
        epsilon: f64 = 1e-8, Kind::POSITIVE;
    }
}

settings! {
    /// Layer-wise adaptive rate scaling.
    pub struct LarsSettings {
        /// momentum
        momentum: f64 = 0.9, Kind::MOMENTUM;
        /// trust coefficient η
        trust: f64 = 0.001, Kind::POSITIVE;
    }
}

/// An update rule with its numbers.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateRule {
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSettings),
    /// AdamW.
    Adamw(AdamwSettings),
    /// Layer-wise adaptive rate scaling.
    Lars(LarsSettings),
}

/// `[optimizer]`
#[derive(Clone, Debug, PartialEq)]
pub struct OptimizerSettings {
    /// The rule.
    pub rule: UpdateRule,
    /// What every rule has.
    pub common: CommonSettings,
}

/// A line of the catalogue of optimizers.
pub struct OptimizerEntry {
    /// Name in recipes.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    variant: Variant,
    read: fn(&Table) -> Result<UpdateRule, DataError>,
}

const fn entry<S: Settings>(
    name: &'static str,
    summary: &'static str,
    read: fn(&Table) -> Result<UpdateRule, DataError>,
) -> OptimizerEntry {
    OptimizerEntry { name, summary, variant: Variant { name, family: name, keys: S::GROUP }, read }
}

/// Every update rule.
pub static OPTIMIZERS: &[OptimizerEntry] = &[
    entry::<SgdSettings>("sgd", "stochastic gradient descent with momentum", |table| {
        SgdSettings::read(table).map(UpdateRule::Sgd)
    }),
    entry::<AdamwSettings>("adamw", "Adam with decoupled weight decay: transformers", |table| {
        AdamwSettings::read(table).map(UpdateRule::Adamw)
    }),
    entry::<LarsSettings>("lars", "layer-wise adaptive rates: batches of a thousand and more", |table| {
        LarsSettings::read(table).map(UpdateRule::Lars)
    }),
];

/// What the schema has of optimizers.
pub fn part() -> Part {
    let variants = OPTIMIZERS.iter().map(|entry| entry.variant).collect();
    let catalogue = Choices { noun: "optimizer", meaning: "update rule", preset: NamePreset::Name("sgd"), variants };
    Part::new("optimizer", CommonSettings::KEYS).with_choices(catalogue)
}

impl OptimizerSettings {
    /// The settings of a rule with these numbers.
    pub fn new(rule: UpdateRule, common: CommonSettings) -> Self {
        Self { rule, common }
    }

    /// Reads what was chosen.
    pub fn read(choice: &Choice) -> Result<Self, DataError> {
        let entry = lookup::find(OPTIMIZERS, |entry| entry.name, "optimizer", &choice.name)
            .map_err(|problem| DataError::setting("optimizer.name", problem))?;
        Ok(Self { rule: (entry.read)(&choice.keys)?, common: CommonSettings::read(&choice.keys)? })
    }

    /// What [`Self::read`] reads.
    pub fn to_choice(&self) -> Choice {
        let table = |settings: Result<Table, toml::ser::Error>| settings.expect("settings are plain tables");
        let (name, mut keys) = match &self.rule {
            UpdateRule::Sgd(own) => ("sgd", table(Table::try_from(own))),
            UpdateRule::Adamw(own) => ("adamw", table(Table::try_from(own))),
            UpdateRule::Lars(own) => ("lars", table(Table::try_from(own))),
        };
        keys.extend(table(Table::try_from(&self.common)));
        Choice::new(name, keys)
    }

    /// How learning rates fall from the heads down.
    pub fn layer_rates(&self) -> LayerRates {
        LayerRates::new(&self.common.stages, self.common.layer_decay)
    }

    /// The rule of a parameter at a step, counted from 1. Biases and norm parameters get neither decay nor adaptation.
    pub(super) fn rule(&self, is_weight: bool, lr: f64, step: u64) -> Update {
        let decay = if is_weight { self.common.weight_decay } else { 0.0 };
        match &self.rule {
            UpdateRule::Lars(own) if is_weight => Update::Lars { lr, momentum: own.momentum, decay, trust: own.trust },
            UpdateRule::Lars(LarsSettings { momentum, .. }) | UpdateRule::Sgd(SgdSettings { momentum }) => {
                Update::Sgd { lr, momentum: *momentum, decay }
            }
            UpdateRule::Adamw(own) => Update::Adamw { lr, betas: own.betas, epsilon: own.epsilon, decay, step },
        }
    }
}
