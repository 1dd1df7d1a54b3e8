//! SwAV: "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (Caron et al. 2020).
//!
//! *Predict the cluster assignment of one view from the representation of another.* The clusters are learned
//! prototypes; their assignments are shared out equally over each batch, which excludes the constant solution. Small
//! crops after the first two views predict too, and are cheap.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, Swap, swav};
use crate::outputs::Embeddings;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::prototypes::Prototypes;
use crate::require;
use burn::module::Module;
use selfsame_config::{Kind, Range, settings};
use toml::{Table, Value};

/// Views whose assignments are predicted.
const ASSIGNED: usize = 2;

settings! {
    /// `[method] name = "swav"`
    pub struct SwavSettings {
        /// number of prototypes, at most the batch; some ten times the clusters expected
        prototypes: usize = 64, Kind::Integer(Range::Within(2.0, 65536.0));
        /// τ of the predictions; 0.1 is usual
        temperature: f64 = 0.1, Kind::POSITIVE;
        /// ε of the assignments; 0.05 is usual
        epsilon: f64 = 0.05, Kind::POSITIVE;
        /// rounds of Sinkhorn-Knopp; 3 is usual, 0: none
        sinkhorn_iterations: usize = 3, Kind::Integer(Range::Within(0.0, 1000.0));
        /// epochs in which the prototypes stay as they were drawn
        freeze_epochs: usize = 1, Kind::COUNT_OR_ZERO;
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
    type Outputs = Embeddings;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::multi_crop(plan, Swav::NAME)?;
        let (prototypes, batch) = (config.prototypes, plan.train.batch_size);
        if (2..=batch).contains(&prototypes) {
            return Ok(());
        }
        let problem = format!(
            "expected 2 to {batch}, got {prototypes}: the samples of a batch, train.batch_size = {batch}, are shared out equally over the prototypes; a larger batch fits in little memory with train.chunk_size"
        );
        Err(Error::setting("method.prototypes", problem))
    }

    /// A batch is shared out over the prototypes.
    fn fit(keys: &mut Table, to: Batches) {
        if let Some(Value::Integer(own)) = keys.get_mut("prototypes") {
            *own = (*own).min(to.batch_size as i64);
        }
    }

    fn trivial_loss(config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        Some(TrivialLoss::ln(config.prototypes, config.prototypes))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let prototypes = Prototypes::new(&cx.init("prototypes"), config.prototypes, branch.projector.width());
        Ok(Self { branch, prototypes, settings: config.clone() })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { z: self.branch.embed(batch, cx.pass) }
    }

    fn objective(&self, outputs: &Embeddings) -> LossTerms {
        let SwavSettings { temperature, epsilon, sinkhorn_iterations: iterations, .. } = self.settings.clone();
        let swap = Swap { assigned: ASSIGNED, temperature, epsilon, iterations };
        swav(&outputs.z, &self.prototypes.columns(), swap)
    }

    fn frozen(&self, progress: Progress) -> Option<&'static str> {
        (progress.step < self.settings.freeze_epochs as u64 * progress.steps_per_epoch).then_some("prototypes")
    }

    fn after_step(self, _outputs: &Embeddings, _progress: Progress) -> Self {
        Self { prototypes: self.prototypes.normalized(), ..self }
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
