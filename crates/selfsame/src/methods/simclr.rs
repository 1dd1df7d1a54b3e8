//! SimCLR: "A Simple Framework for Contrastive Learning of Visual Representations" (Chen, Kornblith, Norouzi &
//! Hinton 2020).
//!
//! *Maximise agreement between differently augmented views of the same sample via a contrastive loss in the latent
//! space.* `h = f(x)`, `z = g(h)`, and NT-Xent on `z`: every other sample of the batch is a negative, so the batch is
//! what keeps the representation from collapsing, and a larger one keeps it better.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, dcl, nt_xent};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "simclr"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimclrSettings {
    /// τ: lower looks at the hardest negatives only.
    pub temperature: f64,
    /// Leaves the positive pair out of the sum over negatives (Yeh et al. 2022, "Decoupled Contrastive Learning").
    pub decoupled: bool,
}

impl Default for SimclrSettings {
    fn default() -> Self {
        Self { temperature: 0.2, decoupled: false }
    }
}

impl Settings for SimclrSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Simclr::NAME)?;
        method::check_temperature(self.temperature)
    }
}

/// Encoder, projector and NT-Xent.
#[derive(Module, Debug)]
pub struct Simclr {
    branch: Branch,
    #[module(skip)]
    settings: SimclrSettings,
}

impl Method for Simclr {
    const NAME: &'static str = "simclr";
    type Config = SimclrSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, settings: *config })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(batch, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let [a, b] = &embeddings.online[..] else { unreachable!("the plan was checked for two views") };
        let contrast = if self.settings.decoupled { dcl } else { nt_xent };
        contrast(a.clone(), b.clone(), self.settings.temperature)
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
