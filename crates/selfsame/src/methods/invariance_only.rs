//! Invariance only: the method that collapses, kept so that a collapse can be seen and named.
//!
//! *Pull the two views' embeddings together, and do nothing else.* The constant is a perfect solution.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, invariance_only};
use crate::outputs::TwoViews;
use crate::plan::Plan;
use crate::require;
use burn::module::Module;
use selfsame_config::settings;

settings! {
    /// `[method] name = "invariance_only"`; it has no keys.
    pub struct InvarianceOnlySettings {}
}

/// Encoder, projector and the mean cosine.
#[derive(Module, Debug)]
pub struct InvarianceOnly {
    branch: Branch,
}

impl Method for InvarianceOnly {
    const NAME: &'static str = "invariance_only";
    type Config = InvarianceOnlySettings;
    type Outputs = TwoViews;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, InvarianceOnly::NAME)
    }

    fn build(_config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()? })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        TwoViews::new(self.branch.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let [a, b] = outputs.z.clone();
        invariance_only(a, b)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
