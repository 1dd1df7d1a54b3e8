//! SimSiam: "Exploring Simple Siamese Representation Learning" (Chen & He 2021).
//!
//! *Simple Siamese networks can learn meaningful representations without negative pairs, large batches or momentum
//! encoders.* BYOL with a teacher that is the network itself, now: all that is left against collapse is the predictor and
//! the stopped gradient.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, simsiam};
use crate::projector::Projector;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "simsiam"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimsiamSettings {
    /// Width of the predictor's hidden layer; a bottleneck, a quarter of `projector.out`, is usual.
    pub predictor_hidden: usize,
}

impl Default for SimsiamSettings {
    fn default() -> Self {
        Self { predictor_hidden: 64 }
    }
}

impl Settings for SimsiamSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Simsiam::NAME)?;
        method::check_width("predictor_hidden", self.predictor_hidden)
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

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        Ok(Self { branch, predictor })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let z = self.branch.embed(batch, cx.pass);
        let online = z.iter().map(|z| self.predictor.forward(z.clone(), cx.pass)).collect();
        Embeddings { online, target: z.into_iter().map(Tensor::detach).collect() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let ([pa, pb], [za, zb]) = (&embeddings.online[..], &embeddings.target[..]) else {
            unreachable!("the plan was checked for two views")
        };
        simsiam(pa.clone(), pb.clone(), za.clone(), zb.clone())
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
