//! Barlow Twins: "Self-Supervised Learning via Redundancy Reduction" (Zbontar, Jing, Misra, LeCun & Deny 2021).
//!
//! *Make the cross-correlation matrix between the embeddings of two distorted versions of a sample as close to the
//! identity as possible.* No negatives and no teacher: a collapsed embedding has no decorrelated dimensions, so its
//! loss is high. It works with small batches and wants a wide `z`.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, barlow_twins};
use crate::outputs::TwoViews;
use crate::plan::Plan;
use crate::require;
use burn::module::Module;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "barlow_twins"`
    pub struct BarlowTwinsSettings {
        /// λ, the weight of the off-diagonal terms; about 1 / embedding width balances the two
        redundancy_weight: f64 = 0.0051, Kind::NOT_NEGATIVE;
    }
}

/// Encoder, projector and the cross-correlation objective.
#[derive(Module, Debug)]
pub struct BarlowTwins {
    branch: Branch,
    #[module(skip)]
    redundancy_weight: f64,
}

impl Method for BarlowTwins {
    const NAME: &'static str = "barlow_twins";
    type Config = BarlowTwinsSettings;
    type Outputs = TwoViews;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, BarlowTwins::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, redundancy_weight: config.redundancy_weight })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        TwoViews::new(self.branch.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let [a, b] = outputs.z.clone();
        barlow_twins(a, b, self.redundancy_weight)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
