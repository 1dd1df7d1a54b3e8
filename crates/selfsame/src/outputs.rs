//! What a method's `embed` returns: something of each sample, which the objective then sees for the whole batch.
//!
//! One type for each kind of objective: [`TwoViews`] and [`Embeddings`] pull views together, [`Predictions`] and
//! [`Distillation`] have targets that no gradient reaches, [`Logits`] have classes, [`Sequences`] are contrasted
//! step by step, [`Losses`] are already losses.

use crate::backbone::Role;
use crate::objective::{LossTerms, weighted_means};
use crate::tensor::lengths::Lengths;
use crate::tensor::to_vec;
use burn::tensor::{Tensor, TensorData};
use std::fmt::Debug;

/// The tensors of [`PerSample`] outputs, each with a row per sample (or several, the same number for every sample).
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// What gradients flow through.
    pub learned: Vec<Tensor<2>>,
    /// What they do not.
    pub constant: Vec<Tensor<2>>,
}

/// Outputs whose chunks a step can join, and through each of which it can send gradients back.
pub trait PerSample: Clone + Debug {
    /// The tensors.
    fn parts(&self) -> Parts;

    /// The same with other tensors in the places of [`Self::parts`].
    fn with(&self, parts: Parts) -> Self;

    /// The embeddings, `[batch, dim]`, whose spread is watched while training goes on: those by the encoder that is kept.
    fn watched(&self, kept: Role) -> &Tensor<2>;

    /// Outside any graph.
    fn detached(&self) -> Self {
        let Parts { learned, constant } = self.parts();
        let inner = |tensors: Vec<Tensor<2>>| tensors.into_iter().map(Tensor::inner).collect();
        self.with(Parts { learned: inner(learned), constant: inner(constant) })
    }
}

/// Embeddings of exactly two views.
#[derive(Clone, Debug)]
pub struct TwoViews {
    /// `[batch, embedding]` each.
    pub z: [Tensor<2>; 2],
}

/// Embeddings of any number of views.
#[derive(Clone, Debug)]
pub struct Embeddings {
    /// `[batch, embedding]` each.
    pub z: Vec<Tensor<2>>,
}

/// What a predictor makes of each of two views, and what the other view's prediction is held against.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// `[batch, embedding]` each.
    pub predicted: [Tensor<2>; 2],
    /// Constants, `[batch, embedding]` each.
    pub target: [Tensor<2>; 2],
}

/// A student's embeddings and a teacher's, which need not have seen the same views.
#[derive(Clone, Debug)]
pub struct Distillation {
    /// `[batch, embedding]` each.
    pub student: Vec<Tensor<2>>,
    /// Constants, `[batch, embedding]` each.
    pub teacher: Vec<Tensor<2>>,
}

/// Scores of classes that are known.
#[derive(Clone, Debug)]
pub struct Logits {
    /// `[batch, classes]` each.
    pub logits: Vec<Tensor<2>>,
    /// Index of the class, `[batch, 1]`, one for each entry of `logits`.
    pub classes: Vec<Tensor<2>>,
}

/// What is made of each step of each sequence of a batch.
#[derive(Clone, Debug)]
pub struct Sequences {
    /// `[batch, steps · width]` each, step by step, with zeros after a sequence's end.
    values: Vec<Tensor<2>>,
    /// Steps that there is room for.
    steps: usize,
    /// Those that are there, a constant, `[batch, 1]`.
    lengths: Tensor<2>,
    /// The representation, a constant, `[batch, width]`.
    h: Tensor<2>,
}

/// A loss of each sample.
#[derive(Clone, Debug)]
pub struct Loss {
    /// Its name among the terms.
    pub name: &'static str,
    /// Its weight in the total.
    pub weight: f64,
    /// `[batch, 1]`
    pub values: Tensor<2>,
}

/// Losses of each sample, by generative methods.
#[derive(Clone, Debug)]
pub struct Losses {
    /// Their weighted sum is minimized.
    pub losses: Vec<Loss>,
    /// The representation, a constant, `[batch, width]`.
    pub h: Tensor<2>,
    /// Numbers of each sample that are recorded but not minimized, `[batch, 1]` each.
    pub told: Vec<(&'static str, Tensor<2>)>,
}

impl TwoViews {
    /// Of a batch with two views.
    ///
    /// # Panics
    /// If there are not two; a plan of a method that takes them is checked for that.
    pub fn new(z: Vec<Tensor<2>>) -> Self {
        Self { z: pair(z) }
    }
}

impl Predictions {
    /// Of a batch with two views.
    ///
    /// # Panics
    /// If there are not two.
    pub fn new(predicted: Vec<Tensor<2>>, target: Vec<Tensor<2>>) -> Self {
        Self { predicted: pair(predicted), target: pair(target) }
    }
}

impl Sequences {
    /// Of tensors `[batch, steps, width]` and the representation that was made on the way.
    pub fn new(values: Vec<Tensor<3>>, lengths: &Lengths, h: Tensor<2>) -> Self {
        let [batch, steps, _] = values[0].dims();
        let each = lengths.each(batch, steps).into_iter().map(|length| length as f32).collect::<Vec<_>>();
        let flat = |x: Tensor<3>| {
            let [_, _, width] = x.dims();
            lengths.zero(x).reshape([batch, steps * width])
        };
        let each = Tensor::from_data(TensorData::new(each, [batch, 1]), &h.device());
        Self { values: values.into_iter().map(flat).collect(), steps, lengths: each, h: h.detach() }
    }

    /// The tensors, `[batch, steps, width]`, and the lengths.
    pub fn steps(&self) -> (Vec<Tensor<3>>, Lengths) {
        let of = |x: &Tensor<2>| {
            let [batch, values] = x.dims();
            x.clone().reshape([batch, self.steps, values / self.steps])
        };
        let lengths = to_vec(self.lengths.clone()).into_iter().map(|length| length as usize).collect();
        (self.values.iter().map(of).collect(), Lengths::new(lengths, self.steps))
    }
}

impl Losses {
    /// Losses alone, and the representation that was made on the way.
    pub fn new(losses: Vec<Loss>, h: Tensor<2>) -> Self {
        Self { losses, h, told: Vec::new() }
    }

    /// The weighted sum of the losses' means; the terms are the means, and those of what is told.
    pub fn objective(&self) -> LossTerms {
        let mut loss =
            weighted_means(self.losses.iter().map(|loss| (loss.name, loss.values.clone(), loss.weight)).collect());
        loss.terms.extend(self.told.iter().map(|(name, values)| (*name, values.clone().mean())));
        loss
    }
}

fn pair(tensors: Vec<Tensor<2>>) -> [Tensor<2>; 2] {
    let count = tensors.len();
    tensors.try_into().unwrap_or_else(|_| panic!("a method of two views was given {count}"))
}

impl PerSample for TwoViews {
    fn parts(&self) -> Parts {
        Parts { learned: self.z.to_vec(), constant: Vec::new() }
    }
    fn with(&self, parts: Parts) -> Self {
        Self::new(parts.learned)
    }
    fn watched(&self, _kept: Role) -> &Tensor<2> {
        &self.z[0]
    }
}

impl PerSample for Embeddings {
    fn parts(&self) -> Parts {
        Parts { learned: self.z.clone(), constant: Vec::new() }
    }
    fn with(&self, parts: Parts) -> Self {
        Self { z: parts.learned }
    }
    fn watched(&self, _kept: Role) -> &Tensor<2> {
        &self.z[0]
    }
}

impl PerSample for Predictions {
    fn parts(&self) -> Parts {
        Parts { learned: self.predicted.to_vec(), constant: self.target.to_vec() }
    }
    fn with(&self, parts: Parts) -> Self {
        Self::new(parts.learned, parts.constant)
    }
    fn watched(&self, kept: Role) -> &Tensor<2> {
        match kept {
            Role::Student => &self.predicted[0],
            Role::Teacher => &self.target[0],
        }
    }
}

impl PerSample for Distillation {
    fn parts(&self) -> Parts {
        Parts { learned: self.student.clone(), constant: self.teacher.clone() }
    }
    fn with(&self, parts: Parts) -> Self {
        Self { student: parts.learned, teacher: parts.constant }
    }
    fn watched(&self, kept: Role) -> &Tensor<2> {
        match kept {
            Role::Student => &self.student[0],
            Role::Teacher => &self.teacher[0],
        }
    }
}

impl PerSample for Logits {
    fn parts(&self) -> Parts {
        Parts { learned: self.logits.clone(), constant: self.classes.clone() }
    }
    fn with(&self, parts: Parts) -> Self {
        Self { logits: parts.learned, classes: parts.constant }
    }
    fn watched(&self, _kept: Role) -> &Tensor<2> {
        &self.logits[0]
    }
}

impl PerSample for Sequences {
    fn parts(&self) -> Parts {
        Parts { learned: self.values.clone(), constant: vec![self.lengths.clone(), self.h.clone()] }
    }
    fn with(&self, parts: Parts) -> Self {
        let [lengths, h] = pair(parts.constant);
        Self { values: parts.learned, steps: self.steps, lengths, h }
    }
    fn watched(&self, _kept: Role) -> &Tensor<2> {
        &self.h
    }
}

impl PerSample for Losses {
    fn parts(&self) -> Parts {
        let told = self.told.iter().map(|(_, values)| values.clone());
        Parts {
            learned: self.losses.iter().map(|loss| loss.values.clone()).collect(),
            constant: std::iter::once(self.h.clone()).chain(told).collect(),
        }
    }
    fn with(&self, parts: Parts) -> Self {
        let mut constant = parts.constant.into_iter();
        Self {
            losses: self
                .losses
                .iter()
                .zip(parts.learned)
                .map(|(loss, values)| Loss { values, ..loss.clone() })
                .collect(),
            h: constant.next().expect("as many as there were"),
            told: self.told.iter().zip(constant).map(|((name, _), values)| (*name, values)).collect(),
        }
    }
    fn watched(&self, _kept: Role) -> &Tensor<2> {
        &self.h
    }
}
