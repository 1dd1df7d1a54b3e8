//! SimSiam: "Exploring Simple Siamese Representation Learning" (Chen & He 2021).
//!
//! *Simple Siamese networks can learn meaningful representations without negative pairs, large batches or momentum
//! encoders.* BYOL whose teacher is the network itself, as it is now: only the predictor and the stopped gradient
//! prevent a collapse.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, simsiam};
use crate::outputs::Predictions;
use crate::plan::Plan;
use crate::projector::Projector;
use crate::require;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "simsiam"`
    pub struct SimsiamSettings {
        /// width of the predictor's hidden layer; a bottleneck, a quarter of projector.out, is usual
        predictor_hidden: usize = 64, Kind::WIDTH;
    }
}

/// One branch and a predictor.
#[derive(Module, Debug)]
pub struct Simsiam {
    branch: Branch,
    predictor: Projector,
}

impl Method for Simsiam {
    const NAME: &'static str = "simsiam";
    type Config = SimsiamSettings;
    type Outputs = Predictions;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Simsiam::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        Ok(Self { branch, predictor })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Predictions {
        let z = self.branch.embed(batch, cx.pass);
        let predicted = z.iter().map(|z| self.predictor.forward(z.clone(), cx.pass)).collect();
        Predictions::new(predicted, z.into_iter().map(Tensor::detach).collect())
    }

    fn objective(&self, outputs: &Predictions) -> LossTerms {
        let ([pa, pb], [za, zb]) = (outputs.predicted.clone(), outputs.target.clone());
        simsiam(pa, pb, za, zb)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
