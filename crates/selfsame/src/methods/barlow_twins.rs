//! Barlow Twins: "Self-Supervised Learning via Redundancy Reduction" (Zbontar, Jing, Misra, LeCun & Deny 2021).
//!
//! *Make the cross-correlation matrix between the embeddings of two distorted versions of a sample as close to the
//! identity as possible.* No negatives, no teacher: what a collapsed embedding lacks is decorrelated dimensions. It
//! works with small batches and wants a wide `z`.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, barlow_twins};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "barlow_twins"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BarlowTwinsSettings {
    /// λ, the weight of the off-diagonal terms; about `1 / embedding width` balances the two.
    pub redundancy_weight: f64,
}

impl Default for BarlowTwinsSettings {
    fn default() -> Self {
        Self { redundancy_weight: 0.0051 }
    }
}

impl Settings for BarlowTwinsSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, BarlowTwins::NAME)?;
        method::check_number("redundancy_weight", self.redundancy_weight, 0.0.., "0.005 is usual")
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

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, redundancy_weight: config.redundancy_weight })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(batch, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let [a, b] = &embeddings.online[..] else { unreachable!("the plan was checked for two views") };
        barlow_twins(a.clone(), b.clone(), self.redundancy_weight)
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
