//! MoCo: "Momentum Contrast for Unsupervised Visual Representation Learning" (He et al. 2020), as v2 (Chen, Fan,
//! Girshick & He 2020) or v3 (Chen, Xie & He 2021).
//!
//! *Contrastive learning as dictionary look-up: a large and consistent dictionary.* The keys come from a slow teacher.
//! v2 keeps those of past batches in a queue, so that the number of negatives does not depend on the batch. v3 drops the
//! queue for the batch itself, looks up both ways, and gives the query side a predictor.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method, TrivialLoss};
use crate::objective::{LossTerms, moco, moco_v3};
use crate::outputs::Distillation;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::projector::Projector;
use crate::queue::Queue;
use crate::require;
use crate::teacher::{self, Teacher};
use burn::module::Module;
use selfsame_config::{Kind, Range, settings};
use toml::Table;

settings! {
    /// `[method] name = "moco"`
    pub struct MocoSettings {
        /// v2: a queue; v3: symmetric, with a predictor
        version: String = "v2", Kind::Word(&["v2", "v3"]);
        /// τ; 0.1 to 0.5 are usual
        temperature: f64 = 0.2, Kind::POSITIVE;
        /// keys of past batches (v2): a multiple of the batch
        queue: usize = 4096, Kind::Integer(Range::Within(1.0, 1e7));
        /// β of the teacher, 0.99 to 0.999 are usual; v3 raises it to 1
        teacher_momentum: f64 = 0.99, Kind::MOMENTUM;
        /// width of the predictor's hidden layer (v3)
        predictor_hidden: usize = 256, Kind::WIDTH;
    }
}

/// Query branch, key teacher, and what the version adds.
#[derive(Module, Debug)]
pub struct Moco {
    branch: Branch,
    teacher: Teacher,
    /// v2
    queue: Option<Queue>,
    /// v3
    predictor: Option<Projector>,
    #[module(skip)]
    temperature: f64,
    #[module(skip)]
    teacher_momentum: f64,
}

impl Method for Moco {
    const NAME: &'static str = "moco";
    const ENCODERS: &'static [Role] = &[Role::Student, Role::Teacher];
    type Config = MocoSettings;
    type Outputs = Distillation;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Moco::NAME)?;
        if config.version == "v2" { Queue::check(config.queue, plan.train.batch_size) } else { Ok(()) }
    }

    fn fit(keys: &mut Table, to: Batches) {
        Queue::fit(keys, to);
    }

    fn trivial_loss(config: &Self::Config, plan: &Plan) -> Option<TrivialLoss> {
        let (batch, queue) = (plan.train.batch_size, config.queue);
        if config.version == "v2" {
            return Some(TrivialLoss::ln(queue + 1, format_args!("{queue} + 1")));
        }
        let scale = 4.0 * config.temperature;
        Some(TrivialLoss {
            value: scale * (batch as f64).ln(),
            formula: format!("4·{}·ln({batch})", config.temperature),
        })
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let (branch, symmetric) = (cx.branch()?, config.version == "v3");
        let width = branch.projector.width();
        Ok(Self {
            teacher: cx.teacher()?,
            queue: (!symmetric).then(|| Queue::new(&cx.init("queue"), config.queue, width)),
            predictor: symmetric.then(|| cx.predictor(&branch, config.predictor_hidden)),
            branch,
            temperature: config.temperature,
            teacher_momentum: config.teacher_momentum,
        })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Distillation {
        if let Some(predictor) = &self.predictor {
            let queries =
                self.branch.embed(batch, cx.pass).into_iter().map(|z| predictor.forward(z, cx.pass)).collect();
            return Distillation { student: queries, teacher: self.teacher.embed(batch, cx.pass) };
        }
        let (query, key) = (batch.with_views(0..1), batch.with_views(1..2));
        Distillation { student: self.branch.embed(&query, cx.pass), teacher: self.teacher.embed(&key, cx.pass) }
    }

    fn objective(&self, outputs: &Distillation) -> LossTerms {
        let (query, key) = (|view: usize| outputs.student[view].clone(), |view: usize| outputs.teacher[view].clone());
        match &self.queue {
            Some(queue) => moco(query(0), key(0), queue.rows(), self.temperature),
            None => moco_v3(query(0), query(1), key(0), key(1), self.temperature),
        }
    }

    fn after_step(self, outputs: &Distillation, progress: Progress) -> Self {
        let base = self.teacher_momentum;
        let decay = if self.queue.is_some() { base } else { teacher::momentum(base, progress) };
        Self {
            teacher: self.teacher.follow(&self.branch, decay),
            queue: self.queue.map(|queue| queue.push(&outputs.teacher[0])),
            ..self
        }
    }

    fn branch(&self, role: Role) -> &Branch {
        match role {
            Role::Student => &self.branch,
            Role::Teacher => self.teacher.network(),
        }
    }
}
