//! Golden cases on a device: how far its totals, terms and gradients lie from the f64 reference.

use crate::error::Error;
use crate::objective::{self, Distillation, LossTerms, Swap, Units, VicregWeights};
use crate::tensor::to_vec;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The built-in cases, made by `tests/golden/generate.py`.
pub const OBJECTIVES: &str = include_str!("../../../tests/golden/objectives.json");

/// Largest relative deviation of a total or a term.
pub const VALUE_TOLERANCE: f64 = 1e-5;
/// Largest deviation of a gradient over the largest gradient of the case.
pub const GRADIENT_TOLERANCE: f64 = 1e-4;
/// Largest absolute value where the reference is zero.
pub const ZERO_TOLERANCE: f64 = 1e-7;

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    objective: String,
    parameters: BTreeMap<String, f64>,
    inputs: BTreeMap<String, Vec<Vec<f64>>>,
    total: f64,
    terms: BTreeMap<String, f64>,
    gradient: BTreeMap<String, Vec<Vec<f64>>>,
}

/// Deviations of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Objective, inputs' shape and parameters.
    pub case: String,
    /// Of the total, relative.
    pub total: f64,
    /// Of the worst term, relative.
    pub terms: f64,
    /// Of the worst gradient element, over the largest of the case.
    pub gradient: f64,
}

impl Row {
    /// Whether every deviation is within its tolerance.
    pub fn passes(&self) -> bool {
        self.total <= VALUE_TOLERANCE && self.terms <= VALUE_TOLERANCE && self.gradient <= GRADIENT_TOLERANCE
    }
}

/// Runs every case of `json` on `device`.
pub fn objectives(json: &str, device: &Device) -> Result<Vec<Row>, Error> {
    let file: File = serde_json::from_str(json)
        .map_err(|e| Error::setting("--objectives", format!("not a file of golden objectives: {e}")))?;
    file.cases.iter().map(|case| run(case, &device.clone().autodiff())).collect()
}

fn run(case: &Case, device: &Device) -> Result<Row, Error> {
    let leaf = |name: &str| -> Result<Tensor<2>, Error> {
        let rows = case.inputs.get(name).ok_or_else(|| malformed(case, &format!("has no input {name}")))?;
        let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
        let values: Vec<f32> = rows.iter().flatten().map(|&v| v as f32).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), device).require_grad())
    };
    // In the order of their names, as the objectives take them.
    let names: Vec<&str> = case.inputs.keys().map(String::as_str).collect();
    let leaves = names.iter().map(|name| leaf(name)).collect::<Result<Vec<_>, _>>()?;
    let loss = evaluate(case, &leaves)?;
    let mut gradients = loss.total.backward();

    let scalar = |t: &Tensor<1>| f64::from(t.clone().into_scalar::<f32>());
    let total = deviation(scalar(&loss.total), case.total);
    let mut terms = 0.0f64;
    for (name, value) in &loss.terms {
        let golden = case.terms.get(*name).ok_or_else(|| malformed(case, &format!("has no term {name}")))?;
        terms = terms.max(deviation(scalar(value), *golden));
    }
    let largest = case.gradient.values().flatten().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
    let mut gradient = 0.0f64;
    for (name, leaf) in names.iter().zip(leaves) {
        let golden = case.gradient.get(*name).ok_or_else(|| malformed(case, &format!("has no gradient of {name}")))?;
        let ours =
            leaf.grad_remove(&mut gradients).map(to_vec).unwrap_or_else(|| vec![0.0; golden.len() * golden[0].len()]);
        for (ours, golden) in ours.iter().zip(golden.iter().flatten()) {
            gradient = gradient.max((f64::from(*ours) - golden).abs() / if largest > 0.0 { largest } else { 1.0 });
        }
    }
    let parameters: Vec<_> = case.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let rows = &case.inputs[names[0]];
    let label = format!("{} [{}, {}]{}", case.objective, rows.len(), rows[0].len(), parameters.concat());
    Ok(Row { case: label, total, terms, gradient })
}

fn evaluate(case: &Case, inputs: &[Tensor<2>]) -> Result<LossTerms, Error> {
    let parameter = |name: &str| {
        case.parameters.get(name).copied().ok_or_else(|| malformed(case, &format!("has no parameter {name}")))
    };
    let input = |index: usize| inputs[index].clone();
    Ok(match (case.objective.as_str(), inputs.len()) {
        ("cross_entropy", 2) => objective::cross_entropy(input(0), input(1)),
        ("dcl", 2) => objective::dcl(input(0), input(1), parameter("temperature")?),
        ("moco", 3) => objective::moco(input(1), input(0), input(2), parameter("temperature")?),
        ("moco_v3", 4) => objective::moco_v3(input(2), input(3), input(0), input(1), parameter("temperature")?),
        ("nnclr", 5) => objective::nnclr(input(0), input(1), input(3), input(4), input(2), parameter("temperature")?),
        ("swav", 3..) => {
            let swap = Swap {
                assigned: parameter("assigned")? as usize,
                temperature: parameter("temperature")?,
                epsilon: parameter("epsilon")?,
                iterations: parameter("iterations")? as usize,
            };
            objective::swav(&inputs[1..], &input(0).transpose(), swap)
        }
        ("dino", 3..) => {
            let by = Distillation {
                temperature: parameter("temperature")?,
                teacher_temperature: parameter("teacher_temperature")?,
            };
            let teachers = inputs.len() - parameter("large")? as usize;
            objective::dino(inputs[1..teachers].to_vec(), &inputs[teachers..], &input(0), by)
        }
        ("masked_patches", 3) => {
            let (errors, removed) =
                (objective::masked_patches(input(1), input(0), input(2), parameter("normalized")? == 1.0), input(2));
            objective::weighted_means(vec![("reconstruction", errors.sum_dim(0) / removed.detach().sum_dim(0), 1.0)])
        }
        ("contrastive_divergence", 5) => {
            let units = if parameter("gaussian")? == 1.0 { Units::Gaussian } else { Units::Bernoulli };
            let bias = |index: usize| input(index).squeeze_dim(0);
            let energy = |v: Tensor<2>| objective::free_energy(units, v, input(4), bias(3), bias(1));
            let model = energy(input(2).detach());
            objective::weighted_means(vec![
                ("free_energy_data", energy(input(0)), 1.0),
                ("free_energy_model", model, -1.0),
            ])
        }
        ("squared_error", 3) => {
            let errors = objective::squared_error(input(1), input(2), input(0).detach());
            objective::weighted_means(vec![("reconstruction", errors, 1.0)])
        }
        ("invariance_only", 2) => objective::invariance_only(input(0), input(1)),
        ("nt_xent", 2) => objective::nt_xent(input(0), input(1), parameter("temperature")?),
        ("barlow_twins", 2) => objective::barlow_twins(input(0), input(1), parameter("redundancy_weight")?),
        ("vicreg", 2) => {
            let weights = VicregWeights {
                invariance: parameter("invariance_weight")?,
                variance: parameter("variance_weight")?,
                covariance: parameter("covariance_weight")?,
            };
            objective::vicreg(input(0), input(1), weights)
        }
        ("clip", 2) => objective::clip(input(0), input(1), parameter("temperature")?),
        ("byol", 4) => objective::byol(input(0), input(1), input(2), input(3)),
        ("simsiam", 4) => objective::simsiam(input(0), input(1), input(2), input(3)),
        (name, count) => return Err(malformed(case, &format!("no objective {name} takes {count} inputs"))),
    })
}

/// Relative to the reference; where that is zero, scaled so that the absolute tolerance meets the relative one.
fn deviation(ours: f64, golden: f64) -> f64 {
    let scale = if golden == 0.0 { ZERO_TOLERANCE / VALUE_TOLERANCE } else { golden.abs() };
    (ours - golden).abs() / scale
}

fn malformed(case: &Case, problem: &str) -> Error {
    Error::setting("--objectives", format!("case {}: {problem}", case.objective))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_agree_with_the_reference_in_value_and_gradient() {
        let rows = objectives(OBJECTIVES, &Device::flex()).expect("the built-in cases are well formed");
        assert_eq!(rows.len(), 66);
        for row in rows {
            assert!(row.passes(), "{row:?}");
        }
    }
}
