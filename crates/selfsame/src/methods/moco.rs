//! MoCo: "Momentum Contrast for Unsupervised Visual Representation Learning" (He et al. 2020), as v2 (Chen, Fan,
//! Girshick & He 2020) or v3 (Chen, Xie & He 2021).
//!
//! *Contrastive learning as dictionary look-up: a large and consistent dictionary.* The keys come from a slow teacher.
//! v2 keeps those of past batches in a queue, so that the number of negatives does not depend on the batch. v3 drops the
//! queue for the batch itself, looks up both ways, and gives the query side a predictor.

use crate::error::Error;
use crate::method::{self, Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, Progress, Settings};
use crate::objective::{LossTerms, moco, moco_v3};
use crate::projector::Projector;
use crate::queue::Queue;
use crate::teacher::{self, Teacher};
use burn::module::Module;
use selfsame_data::config::Plan;
use serde::{Deserialize, Serialize};

/// `[method] name = "moco"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MocoSettings {
    /// `v2` or `v3`.
    pub version: String,
    /// τ
    pub temperature: f64,
    /// Keys of past batches (v2): a multiple of the batch.
    pub queue: usize,
    /// β of the teacher; v3 raises it to 1.
    pub teacher_momentum: f64,
    /// Width of the predictor's hidden layer (v3).
    pub predictor_hidden: usize,
}

impl Default for MocoSettings {
    fn default() -> Self {
        Self { version: "v2".into(), temperature: 0.2, queue: 4096, teacher_momentum: 0.99, predictor_hidden: 256 }
    }
}

impl Settings for MocoSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        method::require_two_views(plan, Moco::NAME)?;
        method::check_temperature(self.temperature)?;
        method::check_number("teacher_momentum", self.teacher_momentum, 0.0..1.0, "0.99 to 0.999 are usual")?;
        match self.version.as_str() {
            "v2" => Queue::check(self.queue, plan),
            "v3" => method::check_width("predictor_hidden", self.predictor_hidden),
            other => Err(Error::setting(
                "method.version",
                format!("expected \"v2\" (queue) or \"v3\" (symmetric, predictor), got \"{other}\""),
            )),
        }
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
    type Config = MocoSettings;

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

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        if let Some(predictor) = &self.predictor {
            let online = self.branch.embed(batch, cx.pass).into_iter().map(|z| predictor.forward(z, cx.pass)).collect();
            return Embeddings { online, target: self.teacher.embed(batch, cx.pass) };
        }
        let side = |view: usize| Batch { views: vec![batch.views[view].clone()], samples: batch.samples.clone() };
        let (query, key) = (side(0), side(1));
        Embeddings { online: self.branch.embed(&query, cx.pass), target: self.teacher.embed(&key, cx.pass) }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        match (&embeddings.online[..], &embeddings.target[..], &self.queue) {
            ([query], [key], Some(queue)) => moco(query.clone(), key.clone(), queue.rows(), self.temperature),
            ([qa, qb], [ka, kb], None) => moco_v3(qa.clone(), qb.clone(), ka.clone(), kb.clone(), self.temperature),
            _ => unreachable!("the plan was checked for two views"),
        }
    }

    fn after_step(self, embeddings: &Embeddings, progress: Progress) -> Self {
        let base = self.teacher_momentum;
        let decay = if self.queue.is_some() { base } else { teacher::momentum(base, progress) };
        Self {
            teacher: self.teacher.follow(&self.branch, decay),
            queue: self.queue.map(|queue| queue.push(&embeddings.target[0])),
            ..self
        }
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}
