//! Invariance only: the method that collapses, kept so that a collapse can be seen and named.
//!
//! *Pull the two views' embeddings together, and do nothing else.* The constant is a perfect solution.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, invariance_only};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "invariance_only"`; it has no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InvarianceOnlySettings {}

impl Settings for InvarianceOnlySettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, InvarianceOnly::NAME)
    }
}

/// Encoder, projector and the mean cosine.
#[derive(Module, Debug)]
pub struct InvarianceOnly {
    branch: Branch,
}

impl Method for InvarianceOnly {
    const NAME: &'static str = "invariance_only";
    type Config = InvarianceOnlySettings;

    fn build(_config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()? })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(batch, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let [a, b] = &embeddings.online[..] else { unreachable!("the plan was checked for two views") };
        invariance_only(a.clone(), b.clone())
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
