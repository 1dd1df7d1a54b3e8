//! VICReg: "Variance-Invariance-Covariance Regularization for Self-Supervised Learning" (Bardes, Ponce & LeCun 2022).
//!
//! *Avoid the collapse explicitly, with a term that keeps the variance of every dimension above a threshold and one
//! that decorrelates the dimensions.* Each view is regularized by itself, and only by statistics over the batch:
//! embeddings are not normalized, and no sample is compared with another.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, VicregWeights, vicreg};
use crate::outputs::TwoViews;
use crate::plan::Plan;
use crate::require;
use burn::module::Module;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "vicreg"`
    pub struct VicregSettings {
        /// λ
        invariance_weight: f64 = 25.0, Kind::NOT_NEGATIVE;
        /// μ
        variance_weight: f64 = 25.0, Kind::NOT_NEGATIVE;
        /// ν
        covariance_weight: f64 = 1.0, Kind::NOT_NEGATIVE;
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
    type Outputs = TwoViews;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Vicreg::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { branch: cx.branch()?, settings: config.clone() })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        TwoViews::new(self.branch.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let [a, b] = outputs.z.clone();
        let VicregSettings { invariance_weight, variance_weight, covariance_weight } = self.settings.clone();
        let weights =
            VicregWeights { invariance: invariance_weight, variance: variance_weight, covariance: covariance_weight };
        vicreg(a, b, weights)
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}
