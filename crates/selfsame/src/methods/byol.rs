//! BYOL: "Bootstrap Your Own Latent" (Grill et al. 2020).
//!
//! *Train the online network to predict the target network's representation of the same image under another view.* The
//! target is a teacher, the slow average of the online network. No negatives: it does not collapse because only the
//! online side has a predictor, and no gradient flows into the target.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method};
use crate::objective::{LossTerms, byol};
use crate::outputs::Predictions;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::projector::Projector;
use crate::require;
use crate::teacher::{self, Teacher};
use burn::module::Module;
use selfsame_config::{Kind, settings};

settings! {
    /// `[method] name = "byol"`
    pub struct ByolSettings {
        /// β of the teacher at the first step, 0.99 to 0.996 are usual; it rises to 1
        teacher_momentum: f64 = 0.99, Kind::MOMENTUM;
        /// width of the predictor's hidden layer
        predictor_hidden: usize = 256, Kind::WIDTH;
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
    const ENCODERS: &'static [Role] = &[Role::Student, Role::Teacher];
    type Config = ByolSettings;
    type Outputs = Predictions;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Byol::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        Ok(Self { branch, predictor, teacher: cx.teacher()?, teacher_momentum: config.teacher_momentum })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Predictions {
        let predicted =
            self.branch.embed(batch, cx.pass).into_iter().map(|z| self.predictor.forward(z, cx.pass)).collect();
        Predictions::new(predicted, self.teacher.embed(batch, cx.pass))
    }

    fn objective(&self, outputs: &Predictions) -> LossTerms {
        let ([pa, pb], [za, zb]) = (outputs.predicted.clone(), outputs.target.clone());
        byol(pa, pb, za, zb)
    }

    fn after_step(self, _outputs: &Predictions, progress: Progress) -> Self {
        let decay = teacher::momentum(self.teacher_momentum, progress);
        Self { teacher: self.teacher.follow(&self.branch, decay), ..self }
    }

    fn branch(&self, role: Role) -> &Branch {
        match role {
            Role::Student => &self.branch,
            Role::Teacher => self.teacher.network(),
        }
    }
}
