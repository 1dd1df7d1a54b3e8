//! SimCLR: "A Simple Framework for Contrastive Learning of Visual Representations" (Chen, Kornblith, Norouzi &
//! Hinton 2020).
//!
//! *Maximise agreement between differently augmented views of the same sample via a contrastive loss in the latent
//! space.* `h = f(x)`, `z = g(h)`, and NT-Xent on `z`: every other sample of the batch is a negative, so the batch is
//! what keeps the representation from collapsing, and a larger one keeps it better.

use crate::error::Error;
use crate::method::{self, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings, ViewTensors};
use crate::objective::{LossTerms, nt_xent};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "simclr"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimclrSettings {
    /// τ: lower looks at the hardest negatives only.
    pub temperature: f64,
}

impl Default for SimclrSettings {
    fn default() -> Self {
        Self { temperature: 0.2 }
    }
}

impl Settings for SimclrSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Simclr::NAME)?;
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let problem = format!("expected a number above 0, got {}; 0.1 to 0.5 are usual", self.temperature);
            return Err(Error::setting("method.temperature", problem));
        }
        Ok(())
    }
}

/// Encoder, projector and NT-Xent.
#[derive(Module, Debug)]
pub struct Simclr {
    branch: Branch,
    #[module(skip)]
    temperature: f64,
}

impl Method for Simclr {
    const NAME: &'static str = "simclr";
    type Config = SimclrSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, temperature: config.temperature })
    }

    fn embed(&self, views: ViewTensors, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(views, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let [a, b] = &embeddings.online[..] else { unreachable!("the plan was checked for two views") };
        nt_xent(a.clone(), b.clone(), self.temperature)
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
