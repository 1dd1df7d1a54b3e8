//! Learning rates that fall from the heads down to the pixels: layers near the pixels are the most general and need to change least
//! where an encoder that is good is trained further (Clark et al. 2020, "ELECTRA"; Bao et al. 2022, "BEiT").

use crate::backbone::Encoder;
use crate::error::Error;
use crate::tensor::parameters;
use burn::module::Module;
use std::collections::BTreeMap;
use toml::Value;

/// What comes before the names of an encoder's parameters, wherever in a method it stands.
const ENCODER: &str = "encoder.";

/// How learning rates fall, and where they end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerRates {
    /// Stages of the encoder that learn, counted from the last; `None`: all.
    stages: Option<usize>,
    /// Share that a stage has of the one above it.
    decay: f64,
}

impl LayerRates {
    /// Of the keys `stages` and `layer_decay`.
    pub fn new(stages: &Value, decay: f64) -> Self {
        Self { stages: stages.as_float().map(|stages| stages as usize), decay }
    }

    /// Everything learns, and alike.
    pub fn alike() -> Self {
        Self { stages: None, decay: 1.0 }
    }

    /// Checks that `encoder` has the stages that are to learn; `key` is where they were asked for.
    ///
    /// # Errors
    /// If it has fewer.
    pub fn check(self, encoder: &Encoder, key: &str) -> Result<(), Error> {
        let stages = encoder.stages();
        let Some(wanted) = self.stages.filter(|&wanted| wanted > stages) else { return Ok(()) };
        let problem = format!(
            "expected at most {stages}, the stages of this encoder, received {wanted}; leave it out to train all"
        );
        Err(Error::setting(key, problem))
    }

    /// The share of the learning rate that each parameter of `model` has, by name; those that are not to move are left out. What is not of
    /// an encoder, all of which are like `encoder`, has all of it.
    pub fn shares<M: Module>(self, model: &M, encoder: &Encoder) -> BTreeMap<String, f64> {
        let stages = encoder.stages();
        let within = |name: &str| -> Option<usize> {
            let own = name.find(ENCODER).filter(|&at| at == 0 || name[..at].ends_with('.'))?;
            Some(stages - encoder.stage(&name[own + ENCODER.len()..]))
        };
        let share = |name: &String| {
            let below = within(name).unwrap_or(0);
            let learns = below <= self.stages.unwrap_or(stages);
            learns.then(|| (name.clone(), self.decay.powi(below as i32)))
        };
        parameters::arrays(model).keys().filter_map(share).collect()
    }
}
