//! SwAV: "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (Caron et al. 2020).
//!
//! *Predict the cluster assignment of one view from the representation of another.* The clusters are learned prototypes;
//! their assignments are shared out equally over each batch, which rules the constant out. Small crops after the first two
//! views predict too, and are cheap.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Progress, Settings};
use crate::objective::{LossTerms, Swap, swav};
use crate::prototypes::Prototypes;
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// Views whose assignments are predicted.
const ASSIGNED: usize = 2;

/// `[method] name = "swav"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SwavSettings {
    /// Number of prototypes, at most the batch; some ten times the clusters expected.
    pub prototypes: usize,
    /// τ of the predictions.
    pub temperature: f64,
    /// ε of the assignments.
    pub epsilon: f64,
    /// Rounds of Sinkhorn-Knopp.
    pub sinkhorn_iterations: usize,
    /// Epochs in which the prototypes stay as they were drawn.
    pub freeze_epochs: usize,
}

impl Default for SwavSettings {
    fn default() -> Self {
        Self { prototypes: 64, temperature: 0.1, epsilon: 0.05, sinkhorn_iterations: 3, freeze_epochs: 1 }
    }
}

impl Settings for SwavSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_multi_crop(plan, Swav::NAME)?;
        method::check_temperature(self.temperature)?;
        method::check_number("epsilon", self.epsilon, method::POSITIVE, "0.05 is usual")?;
        method::check_number("sinkhorn_iterations", self.sinkhorn_iterations as f64, 1.0.., "3 is usual")?;
        let (prototypes, batch) = (self.prototypes, plan.train.batch_size);
        if (2..=batch).contains(&prototypes) {
            return Ok(());
        }
        let problem = format!(
            "expected 2 to {batch}, got {prototypes}: the samples of a batch, train.batch_size = {batch}, are shared out equally over the prototypes; a larger batch fits in little memory with train.chunk_size"
        );
        Err(Error::setting("method.prototypes", problem))
    }
}

/// Encoder, projector and prototypes.
#[derive(Module, Debug)]
pub struct Swav {
    branch: Branch,
    prototypes: Prototypes,
    #[module(skip)]
    settings: SwavSettings,
}

impl Method for Swav {
    const NAME: &'static str = "swav";
    type Config = SwavSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let prototypes = Prototypes::new(&cx.init("prototypes"), config.prototypes, branch.projector.width());
        Ok(Self { branch, prototypes, settings: *config })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(batch, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let SwavSettings { temperature, epsilon, sinkhorn_iterations: iterations, .. } = self.settings;
        let swap = Swap { assigned: ASSIGNED, temperature, epsilon, iterations };
        swav(&embeddings.online, &self.prototypes.columns(), swap)
    }

    fn frozen(&self, progress: Progress) -> Option<&'static str> {
        (progress.step < self.settings.freeze_epochs as u64 * progress.steps_per_epoch).then_some("prototypes")
    }

    fn after_step(self, _embeddings: &Embeddings, _progress: Progress) -> Self {
        Self { prototypes: self.prototypes.normalised(), ..self }
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
