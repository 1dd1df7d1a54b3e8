//! SimCLR: "A Simple Framework for Contrastive Learning of Visual Representations" (Chen, Kornblith, Norouzi &
//! Hinton 2020).
//!
//! *Maximize agreement between differently augmented views of the same sample via a contrastive loss in the latent
//! space.* `h = f(x)`, `z = g(h)`, and NT-Xent on `z`: every other sample of the batch is a negative, so the batch is
//! what keeps the representation from collapsing, and a larger one keeps it better.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, dcl, nt_xent};
use crate::outputs::TwoViews;
use crate::plan::Plan;
use crate::require;
use burn::module::Module;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "simclr"`
    pub struct SimclrSettings {
        /// τ: lower looks at the hardest negatives only; 0.1 to 0.5 are usual
        temperature: f64 = 0.2, Kind::POSITIVE;
        /// leaves the positive pair out of the sum over negatives (DCL, Yeh et al. 2022)
        decoupled: bool = false, Kind::Flag;
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
    type Outputs = TwoViews;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Simclr::NAME)
    }

    fn trivial_loss(config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        let (batch, excluded) = (plan.train.batch_size, if config.decoupled { 2 } else { 1 });
        Some(TrivialLoss::ln(2 * batch - excluded, format_args!("2·{batch} − {excluded}")))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, settings: config.clone() })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        TwoViews::new(self.branch.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let [a, b] = outputs.z.clone();
        let contrast = if self.settings.decoupled { dcl } else { nt_xent };
        contrast(a, b, self.settings.temperature)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
