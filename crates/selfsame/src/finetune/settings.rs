//! What can be set of a fine-tuning.

use crate::error::Error;
use crate::optim::layers::LayerRates;
use selfsame_config::{Choice, Draft, Kind, Part, Range, Schema, Settings, Settled, settings};
use selfsame_data::augment::Augmentations;
use selfsame_data::settings::augmentations_part;
use toml::{Table, Value};

settings! {
    /// Numbers of a fine-tuning.
    pub struct FinetuneKeys {
        /// random draws of the labeled samples
        draws: usize = 3, Kind::Integer(Range::Within(1.0, 1000.0));
        /// stages that learn, counted from the last; 0 leaves the classifier alone
        stages: Value = "all", Kind::WordOrNumber(&["all"], Range::Within(0.0, 1000.0));
        /// passes over the labeled samples
        epochs: usize = 10, Kind::Integer(Range::Within(1.0, 1e6));
        /// steps at least, where the samples are few
        min_steps: u64 = 300, Kind::COUNT_OR_ZERO;
        /// samples per step, at most
        batch_size: usize = 64, Kind::Integer(Range::Within(2.0, 1e6));
        /// learning rate of the classifier (AdamW); 1e-4 to 3e-3 are usual
        lr: f64 = 1e-3, Kind::Number(Range::Over(0.0, 10.0));
        /// share of the learning rate that a stage has of the one above it; 0.65 to 1 are usual
        layer_decay: f64 = 0.75, Kind::Number(Range::Over(0.0, 1.0));
        /// weight decay
        weight_decay: f64 = 0.05, Kind::NOT_NEGATIVE;
    }
}

/// How to fine-tune.
#[derive(Clone, Debug, PartialEq)]
pub struct FinetuneSettings {
    /// The numbers.
    pub keys: FinetuneKeys,
    /// What is done to the images: none of it may change their class. By default little: a network that learns from close
    /// crops is then judged on objects of another size (Touvron et al. 2019, "Fixing the train-test resolution discrepancy").
    pub augmentations: Vec<Choice>,
}

impl FinetuneSettings {
    /// Reads `key=value` words; what none of them says has its preset.
    pub fn parse(words: &[String]) -> Result<Self, Error> {
        let schema = schema();
        let resolved = Draft::new(&schema, None, words)?.resolve(false)?;
        Ok(Self { keys: resolved.read("")?, augmentations: resolved.list("augmentations")? })
    }

    /// How learning rates fall from the classifier down.
    pub fn layer_rates(&self) -> LayerRates {
        LayerRates::new(&self.keys.stages, self.keys.layer_decay)
    }

    /// The settings as they are written beside the results.
    pub fn to_json(&self) -> serde_json::Map<String, serde_json::Value> {
        let plain = "settings are plain tables";
        let mut all = serde_json::Map::new();
        if let serde_json::Value::Object(keys) = serde_json::to_value(&self.keys).expect(plain) {
            all.extend(keys);
        }
        all.insert("augmentations".into(), serde_json::to_value(&self.augmentations).expect(plain));
        all
    }
}

/// The keys of a fine-tuning.
pub fn schema() -> Schema {
    let augmentations = augmentations_part("augmentations.*", &Augmentations::default()).with_list(mild_augmentations);
    Schema::new(vec![Part::new("", FinetuneKeys::KEYS), augmentations], &[])
}

fn mild_augmentations(_: &Settled) -> Option<Value> {
    let list = "a = [{ name = \"random_resized_crop\", scale = [0.8, 1.0] }, { name = \"horizontal_flip\", p = 0.5 }]";
    list.parse::<Table>().expect("TOML").remove("a")
}
