//! What of a training knows its method: the model, and what moves it. The rest (`trainer.rs`) sees a [`Learner`], and so is compiled
//! once, not for each method.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::error::Error;
use crate::method::{BuildContext, EmbedContext, Method, PrepareContext};
use crate::optim::Optimizer;
use crate::optim::layers::LayerRates;
use crate::outputs::PerSample;
use crate::picture::Picture;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::step::{Step, step};
use crate::tensor::layers::{BatchStatistics, Draws, Pass, Still, update_running_statistics};
use crate::tensor::parameters::{self, Array};
use burn::tensor::{Device, Tensor};
use std::collections::BTreeMap;

/// What a step found, whatever its method.
#[derive(Debug)]
pub struct Found {
    /// The loss.
    pub total: f32,
    /// Its named terms.
    pub terms: Vec<(&'static str, f32)>,
    /// Length of all gradients together.
    pub gradient_norm: f64,
    /// Whether all that normalization layers saw is finite.
    pub statistics_are_finite: bool,
    /// Embeddings by the encoder that is kept, `[batch, dim]`.
    pub watched: Tensor<2>,
}

/// A method that is being trained.
pub trait Learner {
    /// Name of the method.
    fn name(&self) -> &'static str;
    /// How many values learn.
    fn parameters(&self) -> usize;
    /// [`Method::branch`].
    fn branch(&self, role: Role) -> &Branch;
    /// [`Method::prepare`], and which parameters learn, and how fast.
    ///
    /// # Errors
    /// As the method's, and if the plan names layers that the encoder does not have.
    fn prepare(&mut self, cx: &mut PrepareContext) -> Result<(), Error>;
    /// Gradients of a batch and, where what they are is `usable`, the update, running statistics, and what the method does after a step.
    fn step(
        &mut self,
        plan: &Plan,
        batch: Batch,
        before: Progress,
        lr: f64,
        usable: &mut dyn FnMut(&Found) -> bool,
    ) -> Found;
    /// The model's and the optimizer's tensors.
    fn arrays(&self) -> [BTreeMap<String, Array>; 2];
    /// Puts back the model's.
    ///
    /// # Errors
    /// If they are not those of such a model.
    fn restore_model(&mut self, arrays: BTreeMap<String, Array>) -> Result<(), String>;
    /// Puts back the optimizer's.
    ///
    /// # Errors
    /// If they are not those of an optimizer.
    fn restore_optimizer(&mut self, arrays: BTreeMap<String, Array>, device: &Device) -> Result<(), String>;
    /// [`Method::pictures`].
    fn pictures(&self, plan: &Plan, samples: &Batch, progress: Progress) -> Vec<Picture>;
}

/// Builds the learner of a method.
pub type Build = fn(&BuildContext) -> Result<Box<dyn Learner>, Error>;

/// The learner of one method: a [`Build`].
///
/// # Errors
/// As [`Method::build`]'s.
pub fn build<M: Method>(cx: &BuildContext) -> Result<Box<dyn Learner>, Error> {
    let model = M::build(&M::config(cx.plan)?, cx)?;
    let optimizer = Optimizer::new(&cx.plan.optimizer);
    Ok(Box::new(Learning { model: Some(model), optimizer, shares: None, still: Still::default() }))
}

struct Learning<M> {
    /// Taken out while something works on it in place, which needs the only handle to the weights.
    model: Option<M>,
    optimizer: Optimizer,
    /// Share of the learning rate of each parameter that learns; `None`: all of them, alike.
    shares: Option<BTreeMap<String, f64>>,
    still: Still,
}

impl<M: Method> Learning<M> {
    fn model(&self) -> &M {
        self.model.as_ref().expect("put back after every step")
    }

    fn take(&mut self) -> M {
        self.model.take().expect("put back after every step")
    }
}

impl<M: Method> Learner for Learning<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn parameters(&self) -> usize {
        parameters::trained(self.model())
    }

    fn branch(&self, role: Role) -> &Branch {
        self.model().branch(role)
    }

    fn prepare(&mut self, cx: &mut PrepareContext) -> Result<(), Error> {
        let model = self.take().prepare(cx)?;
        let encoder = &model.branch(Role::Student).encoder;
        let rates = cx.plan.optimizer.layer_rates();
        rates.check(encoder, "optimizer.stages")?;
        if rates != LayerRates::alike() {
            let shares = rates.shares(&model, encoder);
            self.still = Still::of(&model, &|name| shares.contains_key(name));
            self.shares = Some(shares);
        }
        self.model = Some(model);
        Ok(())
    }

    fn step(
        &mut self,
        plan: &Plan,
        batch: Batch,
        before: Progress,
        lr: f64,
        usable: &mut dyn FnMut(&Found) -> bool,
    ) -> Found {
        let train = &plan.train;
        let found = || step(self.model(), &batch, train.chunk_size, plan.seed, before, &self.still);
        let Step { mut gradients, total, terms, outputs, statistics } = train.within(found);
        drop(batch);
        if let Some(field) = self.model().frozen(before) {
            gradients.freeze(field);
        }
        if let Some(shares) = &self.shares {
            gradients.retain(|name| shares.contains_key(name));
        }
        let found = Found {
            total,
            terms,
            gradient_norm: gradients.norm(),
            statistics_are_finite: statistics.iter().all(BatchStatistics::are_finite),
            watched: outputs.watched(plan.train.keep).clone(),
        };
        if !usable(&found) {
            return found;
        }
        let clip_norm = plan.optimizer.common.clip_norm;
        if clip_norm > 0.0 {
            gradients.clip(found.gradient_norm, clip_norm);
        }
        let model = self.take();
        let rate = |name: &str| self.shares.as_ref().map_or(lr, |shares| lr * shares[name]);
        let model = self.optimizer.update(model, gradients, rate);
        let model = update_running_statistics(model, statistics);
        self.model = Some(model.after_step(&outputs, Progress { step: before.step + 1, ..before }));
        found
    }

    fn arrays(&self) -> [BTreeMap<String, Array>; 2] {
        [parameters::arrays(self.model()), self.optimizer.arrays()]
    }

    fn restore_model(&mut self, arrays: BTreeMap<String, Array>) -> Result<(), String> {
        self.model = Some(parameters::with_arrays(self.model().clone(), arrays)?);
        Ok(())
    }

    fn restore_optimizer(&mut self, arrays: BTreeMap<String, Array>, device: &Device) -> Result<(), String> {
        self.optimizer.restore(arrays, device)
    }

    fn pictures(&self, plan: &Plan, samples: &Batch, progress: Progress) -> Vec<Picture> {
        let model = self.model().valid();
        let pass = Pass::evaluate_with(Draws::new(plan.seed, progress.step, &samples.samples));
        plan.train.precision.within(|| model.pictures(samples, &EmbedContext { pass: &pass, progress }))
    }
}
