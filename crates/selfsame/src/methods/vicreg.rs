//! VICReg: "Variance-Invariance-Covariance Regularization for Self-Supervised Learning" (Bardes, Ponce & LeCun 2022).
//!
//! *Avoid the collapse explicitly, with a term that keeps the variance of every dimension above a threshold and one that
//! decorrelates the dimensions.* Each view is regularised by itself: nothing is normalised, nothing is shared, nothing is
//! compared across samples but statistics.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Settings};
use crate::objective::{LossTerms, VicregWeights, vicreg};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "vicreg"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VicregSettings {
    /// λ
    pub invariance_weight: f64,
    /// μ
    pub variance_weight: f64,
    /// ν
    pub covariance_weight: f64,
}

impl Default for VicregSettings {
    fn default() -> Self {
        Self { invariance_weight: 25.0, variance_weight: 25.0, covariance_weight: 1.0 }
    }
}

impl Settings for VicregSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Vicreg::NAME)?;
        for (key, weight) in [
            ("invariance_weight", self.invariance_weight),
            ("variance_weight", self.variance_weight),
            ("covariance_weight", self.covariance_weight),
        ] {
            method::check_number(key, weight, 0.0.., "25, 25 and 1 are the paper's")?;
        }
        Ok(())
    }
}

/// Encoder, projector (the paper's expander) and the three terms.
#[derive(Module, Debug)]
pub struct Vicreg {
    branch: Branch,
    #[module(skip)]
    settings: VicregSettings,
}

impl Method for Vicreg {
    const NAME: &'static str = "vicreg";
    type Config = VicregSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, settings: *config })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        Embeddings { online: self.branch.embed(batch, cx.pass), target: Vec::new() }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let [a, b] = &embeddings.online[..] else { unreachable!("the plan was checked for two views") };
        let VicregSettings { invariance_weight, variance_weight, covariance_weight } = self.settings;
        let weights =
            VicregWeights { invariance: invariance_weight, variance: variance_weight, covariance: covariance_weight };
        vicreg(a.clone(), b.clone(), weights)
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
