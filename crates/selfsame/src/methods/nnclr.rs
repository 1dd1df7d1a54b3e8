//! NNCLR: "With a Little Help from My Friends" (Dwibedi et al. 2021).
//!
//! *Use the nearest neighbor in a support set of past embeddings as the positive.* Contrastive within the batch like
//! SimCLR, with positives that vary more than any augmentation of one image could make them; so it depends on
//! augmentations less than the other methods.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, nnclr};
use crate::outputs::Predictions;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::projector::Projector;
use crate::queue::Queue;
use crate::require;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, settings};
use toml::Table;

settings! {
    /// `[method] name = "nnclr"`
    pub struct NnclrSettings {
        /// τ; 0.1 to 0.5 are usual
        temperature: f64 = 0.1, Kind::POSITIVE;
        /// length of the support set: a multiple of the batch
        queue: usize = 4096, Kind::Integer(Range::Within(1.0, 1e7));
        /// width of the predictor's hidden layer
        predictor_hidden: usize = 256, Kind::WIDTH;
    }
}

/// One branch, a predictor and the support set.
#[derive(Module, Debug)]
pub struct Nnclr {
    branch: Branch,
    predictor: Projector,
    support: Queue,
    #[module(skip)]
    temperature: f64,
}

impl Method for Nnclr {
    const NAME: &'static str = "nnclr";
    type Config = NnclrSettings;
    type Outputs = Predictions;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Nnclr::NAME)?;
        Queue::check(config.queue, plan.train.batch_size)
    }

    fn fit(keys: &mut Table, to: Batches) {
        Queue::fit(keys, to);
    }

    fn trivial_loss(_config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        let batch = plan.train.batch_size;
        Some(TrivialLoss::ln(batch, batch))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        let support = Queue::new(&cx.init("support"), config.queue, branch.projector.width());
        Ok(Self { branch, predictor, support, temperature: config.temperature })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Predictions {
        let z = self.branch.embed(batch, cx.pass);
        let predicted = z.iter().map(|z| self.predictor.forward(z.clone(), cx.pass)).collect();
        Predictions::new(predicted, z.into_iter().map(Tensor::detach).collect())
    }

    fn objective(&self, outputs: &Predictions) -> LossTerms {
        let ([pa, pb], [za, zb]) = (outputs.predicted.clone(), outputs.target.clone());
        nnclr(pa, pb, za, zb, self.support.rows(), self.temperature)
    }

    fn after_step(self, outputs: &Predictions, _progress: Progress) -> Self {
        Self { support: self.support.push(&outputs.target[0]), ..self }
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
