//! DINO: "Emerging Properties in Self-Supervised Vision Transformers" (Caron et al. 2021).
//!
//! *Self-distillation with no labels.* The student's distribution over prototypes, from any crop, must match that of a slow
//! teacher, which sees the two large crops only. Nothing is contrasted and nothing predicted by an extra head: the teacher's
//! output is centered, so that no prototype takes all, and sharpened, so that they are not all used alike for every sample.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, Temperatures, dino};
use crate::outputs;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::prototypes::Prototypes;
use crate::require;
use crate::teacher::{self, Teacher};
use crate::tensor::unrecorded;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_config::{Kind, Range, settings};

/// Views that the teacher sees.
const GLOBAL: usize = 2;

settings! {
    /// `[method] name = "dino"`
    pub struct DinoSettings {
        /// number of prototypes, the width of the two distributions; 1024 to 65536 are usual
        prototypes: usize = 1024, Kind::Integer(Range::Within(2.0, 65536.0));
        /// τ of the student
        temperature: f64 = 0.1, Kind::POSITIVE;
        /// τ of the teacher, below the student's: the sharpening; 0.04 to 0.07 are usual
        teacher_temperature: f64 = 0.04, Kind::POSITIVE;
        /// momentum of the center, 0.9 is usual; 1 leaves it at zero: no centering
        center_momentum: f64 = 0.9, Kind::SHARE;
        /// β of the teacher at the first step, 0.99 to 0.996 are usual; it rises to 1
        teacher_momentum: f64 = 0.996, Kind::MOMENTUM;
        /// epochs in which the student's prototypes stay as they were drawn
        freeze_epochs: usize = 1, Kind::COUNT_OR_ZERO;
    }
}

/// Branch and prototypes: what the student and the teacher are.
#[derive(Module, Debug)]
pub struct Network {
    branch: Branch,
    last_layer: Prototypes,
}

impl Network {
    fn new(branch: Branch, cx: &BuildContext, prototypes: usize) -> Self {
        let last_layer = Prototypes::new(&cx.init("last_layer"), prototypes, branch.projector.width());
        Self { branch, last_layer }
    }
}

/// Student, teacher and the teacher's center.
#[derive(Module, Debug)]
pub struct Dino {
    student: Network,
    teacher: Teacher<Network>,
    /// Running mean of the teacher's scores, `[1, prototypes]`.
    center: Param<Tensor<2>>,
    #[module(skip)]
    settings: DinoSettings,
}

impl Method for Dino {
    const NAME: &'static str = "dino";
    const ENCODERS: &'static [Role] = &[Role::Student, Role::Teacher];
    type Config = DinoSettings;
    type Outputs = outputs::Distillation;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::multi_crop(plan, Dino::NAME)
    }

    fn trivial_loss(config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        Some(TrivialLoss::ln(config.prototypes, config.prototypes))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self {
            student: Network::new(cx.branch()?, cx, config.prototypes),
            teacher: Teacher::new(Network::new(cx.teacher_branch()?, cx, config.prototypes)),
            center: cx.init("center").buffer([1, config.prototypes], 0.0),
            settings: config.clone(),
        })
    }

    /// The student's `z` of every crop, and the teacher's of the large ones.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> outputs::Distillation {
        let large = batch.with_views(0..GLOBAL);
        let targets = self.teacher.network().branch.embed(&large, cx.pass);
        outputs::Distillation {
            student: self.student.branch.embed(batch, cx.pass),
            teacher: targets.into_iter().map(Tensor::detach).collect(),
        }
    }

    fn objective(&self, outputs: &outputs::Distillation) -> LossTerms {
        let DinoSettings { temperature, teacher_temperature, .. } = self.settings.clone();
        let scores = outputs.student.iter().map(|z| self.student.last_layer.scores(z.clone())).collect();
        let by = Temperatures { student: temperature, teacher: teacher_temperature };
        dino(scores, &targets(&self.teacher.network().last_layer, outputs), &self.center.val(), by)
    }

    fn frozen(&self, progress: Progress) -> Option<&'static str> {
        let frozen = progress.step < self.settings.freeze_epochs as u64 * progress.steps_per_epoch;
        frozen.then_some("student.last_layer")
    }

    fn after_step(self, outputs: &outputs::Distillation, progress: Progress) -> Self {
        let DinoSettings { center_momentum, teacher_momentum, .. } = self.settings.clone();
        let mean = Tensor::cat(targets(&self.teacher.network().last_layer.valid(), outputs), 0).mean_dim(0);
        let student = Network { last_layer: self.student.last_layer.normalized(), ..self.student };
        let teacher = self.teacher.follow(&student, teacher::momentum(teacher_momentum, progress));
        let center = self.center.map(|c| unrecorded(c, |c| c * center_momentum + mean * (1.0 - center_momentum)));
        Self { student, teacher, center, ..self }
    }

    fn branch(&self, role: Role) -> &Branch {
        match role {
            Role::Student => &self.student.branch,
            Role::Teacher => &self.teacher.network().branch,
        }
    }
}

/// The teacher's scores of the large crops, `[batch, prototypes]` each.
fn targets(last_layer: &Prototypes, outputs: &outputs::Distillation) -> Vec<Tensor<2>> {
    outputs.teacher.iter().map(|z| last_layer.scores(z.clone()).detach()).collect()
}
