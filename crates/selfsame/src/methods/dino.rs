//! DINO: "Emerging Properties in Self-Supervised Vision Transformers" (Caron et al. 2021).
//!
//! *Self-distillation with no labels.* The student's distribution over prototypes, from any crop, must match that of a slow
//! teacher, which sees the two large crops only. Nothing is contrasted and nothing predicted by an extra head: the teacher's
//! output is centred, so that no prototype takes all, and sharpened, so that they are not all used alike for every sample.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Progress, Settings};
use crate::objective::{Distillation, LossTerms, dino};
use crate::prototypes::Prototypes;
use crate::teacher::{self, Teacher};
use crate::tensor::unrecorded;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// Views that the teacher sees.
const GLOBAL: usize = 2;

/// `[method] name = "dino"`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DinoSettings {
    /// Number of prototypes, the width of the two distributions.
    pub prototypes: usize,
    /// τ of the student.
    pub temperature: f64,
    /// τ of the teacher, below the student's: the sharpening.
    pub teacher_temperature: f64,
    /// Momentum of the centre; 1 leaves it at zero: no centring.
    pub centre_momentum: f64,
    /// β of the teacher at the first step; it rises to 1.
    pub teacher_momentum: f64,
    /// Epochs in which the student's prototypes stay as they were drawn.
    pub freeze_epochs: usize,
}

impl Default for DinoSettings {
    fn default() -> Self {
        Self {
            prototypes: 1024,
            temperature: 0.1,
            teacher_temperature: 0.04,
            centre_momentum: 0.9,
            teacher_momentum: 0.996,
            freeze_epochs: 1,
        }
    }
}

impl Settings for DinoSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_multi_crop(plan, Dino::NAME)?;
        method::check_temperature(self.temperature)?;
        method::check_number(
            "teacher_temperature",
            self.teacher_temperature,
            method::POSITIVE,
            "0.04 to 0.07 are usual",
        )?;
        method::check_number("centre_momentum", self.centre_momentum, 0.0..=1.0, "0.9 is usual")?;
        method::check_number("teacher_momentum", self.teacher_momentum, 0.0..1.0, "0.99 to 0.996 are usual")?;
        method::check_number("prototypes", self.prototypes as f64, 2.0..=65536.0, "1024 to 65536 are usual")
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

/// Student, teacher and the teacher's centre.
#[derive(Module, Debug)]
pub struct Dino {
    student: Network,
    teacher: Teacher<Network>,
    /// Running mean of the teacher's scores, `[1, prototypes]`.
    centre: Param<Tensor<2>>,
    #[module(skip)]
    settings: DinoSettings,
}

impl Method for Dino {
    const NAME: &'static str = "dino";
    type Config = DinoSettings;

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self {
            student: Network::new(cx.branch()?, cx, config.prototypes),
            teacher: Teacher::new(Network::new(cx.teacher_branch()?, cx, config.prototypes)),
            centre: cx.init("centre").buffer([1, config.prototypes], 0.0),
            settings: *config,
        })
    }

    /// Online: `z` of every crop. Target: the teacher's scores of the large ones.
    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let large = Batch { views: batch.views[..GLOBAL].to_vec(), samples: batch.samples.clone() };
        let teacher = self.teacher.network();
        let scores = |z| teacher.last_layer.scores(z).detach();
        Embeddings {
            online: self.student.branch.embed(batch, cx.pass),
            target: teacher.branch.embed(&large, cx.pass).into_iter().map(scores).collect(),
        }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let DinoSettings { temperature, teacher_temperature, .. } = self.settings;
        let scores = embeddings.online.iter().map(|z| self.student.last_layer.scores(z.clone())).collect();
        let by = Distillation { temperature, teacher_temperature };
        dino(scores, &embeddings.target, &self.centre.val(), by)
    }

    fn frozen(&self, progress: Progress) -> Option<&'static str> {
        let frozen = progress.step < self.settings.freeze_epochs as u64 * progress.steps_per_epoch;
        frozen.then_some("student.last_layer")
    }

    fn after_step(self, embeddings: &Embeddings, progress: Progress) -> Self {
        let DinoSettings { centre_momentum, teacher_momentum, .. } = self.settings;
        let student = Network { last_layer: self.student.last_layer.normalised(), ..self.student };
        let teacher = self.teacher.follow(&student, teacher::momentum(teacher_momentum, progress));
        let mean = Tensor::cat(embeddings.target.clone(), 0).mean_dim(0);
        let centre = self.centre.map(|c| unrecorded(c, |c| c * centre_momentum + mean * (1.0 - centre_momentum)));
        Self { student, teacher, centre, ..self }
    }

    fn branch(&self) -> &Branch {
        &self.student.branch
    }
}
