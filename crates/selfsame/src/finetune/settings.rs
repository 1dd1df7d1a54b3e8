//! What can be set of a fine-tuning.

use crate::error::Error;
use selfsame_config::{Choice, Draft, Kind, Part, Range, Schema, Settings, Settled, settings};
use selfsame_data::augment::Augmentations;
use selfsame_data::settings::augmentations_part;
use selfsame_evaluate::finetuning::Strength;
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
        /// learning rate of the classifier (AdamW); 1e-4 to 3e-3 are usual; `auto` tries 0, 1e-3, 3e-3 and 1e-2 on held-out training labels
        lr: Value = "auto", Kind::WordOrNumber(&["auto"], Range::Over(0.0, 10.0));
        /// share of the learning rate that a stage has of the one above it; 0.65 to 1 are usual; `auto` is 1 with a rate above 2e-3, else 0.75
        layer_decay: Value = "auto", Kind::WordOrNumber(&["auto"], Range::Over(0.0, 1.0));
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

    /// Whether held-out labels are to choose.
    pub(crate) fn chooses(&self) -> bool {
        self.keys.lr.as_float().is_none()
    }

    /// The strengths among which held-out labels choose, weakest first, or the one that was asked for: of a network that starts from
    /// the encoder, or from its initial weights, where all layers learn alike.
    pub(crate) fn strengths(&self, pretrained: bool) -> Vec<Strength> {
        let rates = match self.keys.lr.as_float() {
            Some(lr) => vec![lr],
            None if pretrained => vec![0.0, 1e-3, 3e-3, 1e-2],
            None => vec![1e-3, 3e-3, 1e-2],
        };
        let decay = |lr: f64| match self.keys.layer_decay.as_float() {
            _ if !pretrained => 1.0,
            Some(decay) => decay,
            None if lr > 2e-3 => 1.0,
            None => 0.75,
        };
        rates.into_iter().map(|lr| Strength { lr, layer_decay: decay(lr) }).collect()
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
