//! BYOL: "Bootstrap Your Own Latent" (Grill et al. 2020).
//!
//! *Train the online network to predict the target network's representation of the same image under another view.* The
//! target is a teacher, the slow average of the online network. No negatives: what keeps it from the constant is that
//! only the online side has a predictor, and that no gradient flows into the target.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Progress, Settings};
use crate::objective::{LossTerms, byol};
use crate::projector::Projector;
use crate::teacher::{self, Teacher};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "byol"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ByolSettings {
    /// β of the teacher at the first step; it rises to 1.
    pub teacher_momentum: f64,
    /// Width of the predictor's hidden layer.
    pub predictor_hidden: usize,
}

impl Default for ByolSettings {
    fn default() -> Self {
        Self { teacher_momentum: 0.99, predictor_hidden: 256 }
    }
}

impl Settings for ByolSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Byol::NAME)?;
        method::check_width("predictor_hidden", self.predictor_hidden)?;
        method::check_number("teacher_momentum", self.teacher_momentum, 0.0..1.0, "0.99 to 0.996 are usual")
    }
}

/// Online branch and predictor, and the teacher that they learn to predict.
#[derive(Module, Debug)]
pub struct Byol {
    branch: Branch,
    predictor: Projector,
    teacher: Teacher,
    #[module(skip)]
    teacher_momentum: f64,
}

impl Method for Byol {
    const NAME: &'static str = "byol";
    type Config = ByolSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        Ok(Self { branch, predictor, teacher: cx.teacher()?, teacher_momentum: config.teacher_momentum })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let online =
            self.branch.embed(batch, cx.pass).into_iter().map(|z| self.predictor.forward(z, cx.pass)).collect();
        Embeddings { online, target: self.teacher.embed(batch, cx.pass) }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let ([pa, pb], [za, zb]) = (&embeddings.online[..], &embeddings.target[..]) else {
            unreachable!("the plan was checked for two views")
        };
        byol(pa.clone(), pb.clone(), za.clone(), zb.clone())
    }

    fn after_step(self, _embeddings: &Embeddings, progress: Progress) -> Self {
        let decay = teacher::momentum(self.teacher_momentum, progress);
        Self { teacher: self.teacher.follow(&self.branch, decay), ..self }
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
