//! NNCLR: "With a Little Help from My Friends" (Dwibedi et al. 2021).
//!
//! *Use the nearest neighbour in a support set of past embeddings as the positive.* Contrastive within the batch like
//! SimCLR, with positives that vary more than any augmentation of one image could make them; so it leans on augmentations
//! the least.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Progress, Settings};
use crate::objective::{LossTerms, nnclr};
use crate::projector::Projector;
use crate::queue::Queue;
use burn::module::Module;
use burn::tensor::Tensor;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "nnclr"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NnclrSettings {
    /// τ
    pub temperature: f64,
    /// Length of the support set: a multiple of the batch.
    pub queue: usize,
    /// Width of the predictor's hidden layer.
    pub predictor_hidden: usize,
}

impl Default for NnclrSettings {
    fn default() -> Self {
        Self { temperature: 0.1, queue: 4096, predictor_hidden: 256 }
    }
}

impl Settings for NnclrSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Nnclr::NAME)?;
        method::check_temperature(self.temperature)?;
        method::check_width("predictor_hidden", self.predictor_hidden)?;
        Queue::check(self.queue, plan)
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

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        let support = Queue::new(&cx.init("support"), config.queue, branch.projector.width());
        Ok(Self { branch, predictor, support, temperature: config.temperature })
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
        nnclr(pa.clone(), pb.clone(), za.clone(), zb.clone(), self.support.rows(), self.temperature)
    }

    fn after_step(self, embeddings: &Embeddings, _progress: Progress) -> Self {
        Self { support: self.support.push(&embeddings.target[0]), ..self }
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
