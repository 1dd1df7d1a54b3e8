//! Golden cases on a device: how far its totals, terms and gradients lie from the f64 reference.

use crate::device::Kernels;
use crate::error::Error;
use crate::objective::{self, LossTerms, Negatives, Swap, Temperatures, Units, VicregWeights};
use crate::tensor::lengths::Lengths;
use crate::tensor::ops;
use crate::tensor::to_vec;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_base::{DataError, lookup};
use selfsame_data::modality::{Column, Columns};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The built-in cases, made by `tests/golden/generate.py`.
pub const OBJECTIVES: &str = include_str!("../tests/golden/objectives.json");

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
///
/// # Errors
/// If the file is no such file, in one line that names the case.
pub fn objectives(json: &str, device: &Device) -> Result<Vec<Row>, Error> {
    Kernels::of_this_process()?;
    let file: File = serde_json::from_str(json).map_err(malformed)?;
    if file.cases.is_empty() {
        return Err(malformed("it has no cases"));
    }
    file.cases.iter().map(|case| case.run(&device.clone().autodiff())).collect()
}

/// An error in a file of golden objectives.
fn malformed(problem: impl std::fmt::Display) -> Error {
    DataError::Data(format!("golden objectives: {problem}; the format is that of tests/golden/objectives.json")).into()
}

impl Case {
    fn run(&self, device: &Device) -> Result<Row, Error> {
        let mut inputs = Inputs { case: self, left: BTreeMap::new(), lengths: BTreeMap::new() };
        for (name, rows) in &self.inputs {
            let (shape, values) = self.matrix(format_args!("input {name}"), rows)?;
            let leaf = Tensor::from_data(TensorData::new(values, shape), device).require_grad();
            inputs.left.insert(name, leaf);
        }
        let leaves = inputs.left.clone();
        let (_, evaluate) = lookup::find(OBJECTIVES_BY_NAME, |(name, _)| name, "objective", &self.objective)
            .map_err(|problem| self.error(problem))?;
        let loss = evaluate(&mut inputs)?;
        if let Some(name) = inputs.left.keys().next() {
            return Err(self.error(format_args!("has an input {name}, which this objective does not take")));
        }
        let names: Vec<&str> = loss.terms.iter().map(|(name, _)| *name).collect();
        if let Some(name) = self.terms.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(self.error(format_args!("has a term {name}; this objective has {}", names.join(", "))));
        }
        let mut gradients = loss.total.backward();

        let scalar = |t: &Tensor<1>| f64::from(t.clone().into_scalar::<f32>());
        let total = worst(0.0, deviation(scalar(&loss.total), self.total));
        let mut terms = 0.0;
        for (name, value) in &loss.terms {
            let golden = self.terms.get(*name).ok_or_else(|| self.error(format_args!("has no term {name}")))?;
            terms = worst(terms, deviation(scalar(value), *golden));
        }
        let largest = self.gradient.values().flatten().flatten().fold(0.0f64, |m, g| m.max(g.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let mut gradient = 0.0;
        for (name, leaf) in &leaves {
            let rows = self.gradient.get(*name).ok_or_else(|| self.error(format_args!("has no gradient of {name}")))?;
            let (shape, golden) = self.matrix(format_args!("gradient of {name}"), rows)?;
            if shape != leaf.dims() {
                let problem = format_args!("has a gradient of {name} of {shape:?}, expected {:?}", leaf.dims());
                return Err(self.error(problem));
            }
            let ours = leaf.grad_remove(&mut gradients).map_or_else(|| vec![0.0; golden.len()], to_vec);
            for (ours, golden) in ours.iter().zip(rows.iter().flatten()) {
                gradient = worst(gradient, (f64::from(*ours) - golden).abs() / scale);
            }
        }
        let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let shape = leaves.values().next().map_or([0; 2], Tensor::dims);
        Ok(Row { case: format!("{} {shape:?}{}", self.objective, parameters.concat()), total, terms, gradient })
    }

    /// Shape and values of rows of numbers, if they are a matrix.
    fn matrix(&self, what: impl std::fmt::Display, rows: &[Vec<f64>]) -> Result<([usize; 2], Vec<f32>), Error> {
        let width = rows.first().map_or(0, Vec::len);
        if width == 0 {
            return Err(self.error(format_args!("{what}: expected rows of numbers, it is empty")));
        }
        if let Some(row) = rows.iter().position(|row| row.len() != width) {
            let found = rows[row].len();
            return Err(self.error(format_args!("{what}: row {row} has {found} numbers, the first has {width}")));
        }
        let values: Vec<f32> = rows.iter().flatten().map(|&v| v as f32).collect();
        if !values.iter().all(|v| v.is_finite()) {
            return Err(self.error(format_args!("{what}: it has a number beyond those of 32 bits")));
        }
        Ok(([rows.len(), width], values))
    }

    fn parameter(&self, name: &str) -> Result<f64, Error> {
        self.parameters.get(name).copied().ok_or_else(|| self.error(format_args!("has no parameter {name}")))
    }

    /// A parameter that is a whole number within `range`.
    fn whole(&self, name: &str, range: RangeInclusive<usize>) -> Result<usize, Error> {
        let value = self.parameter(name)?;
        range.clone().find(|&whole| whole as f64 == value).ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            self.error(format_args!("{name}: expected a whole number from {least} to {most}, received {value}"))
        })
    }

    fn error(&self, problem: impl std::fmt::Display) -> Error {
        malformed(format_args!("case {}: {problem}", self.objective))
    }
}

/// The inputs of a case, to be taken by name.
struct Inputs<'a> {
    case: &'a Case,
    left: BTreeMap<&'a str, Tensor<2>>,
    /// Lengths of the axes that were met.
    lengths: BTreeMap<&'static str, usize>,
}

impl Inputs<'_> {
    /// The input of that name, whose axes have these names: axes of one name have one length, those called `1` have that.
    fn take(&mut self, name: &str, axes: [&'static str; 2]) -> Result<Tensor<2>, Error> {
        let input = self.left.remove(name).ok_or_else(|| self.case.error(format_args!("has no input {name}")))?;
        for (axis, found) in axes.into_iter().zip(input.dims()) {
            let expected = if axis == "1" { 1 } else { *self.lengths.entry(axis).or_insert(found) };
            if found != expected {
                let [rows, columns] = axes;
                return Err(self.case.error(format_args!(
                    "input {name}: expected [{rows}, {columns}], {axis} being {expected}, received {:?}",
                    input.dims()
                )));
            }
        }
        Ok(input)
    }

    /// The input `name` as sequences `[batch, steps, width]` of the case's `steps`, the input `lengths`, and steps and width.
    fn sequences(&mut self, name: &str) -> Result<(Tensor<3>, Vec<usize>, [usize; 2]), Error> {
        let rows = self.take(name, ["batch", "sequence"])?;
        let [batch, values] = rows.dims();
        let steps = self.case.whole("steps", 2..=values)?;
        if !values.is_multiple_of(steps) {
            return Err(self
                .case
                .error(format_args!("steps: {steps} do not divide the {values} values of input {name}")));
        }
        let lengths = to_vec(self.take("lengths", ["batch", "1"])?.detach());
        if let Some(length) = lengths.iter().find(|&&length| !(1..=steps).any(|whole| whole as f32 == length)) {
            let problem = format_args!("input lengths: expected whole numbers from 1 to {steps}, received {length}");
            return Err(self.case.error(problem));
        }
        let lengths = lengths.into_iter().map(|length| length as usize).collect();
        Ok((rows.reshape([batch, steps, values / steps]), lengths, [steps, values / steps]))
    }

    /// `PREFIX_0`, `PREFIX_1` and so on, `least` of them or more.
    fn views(&mut self, prefix: &str, least: usize, axes: [&'static str; 2]) -> Result<Vec<Tensor<2>>, Error> {
        let count = (0..).take_while(|i| self.left.contains_key(format!("{prefix}_{i}").as_str())).count();
        (0..count.max(least)).map(|i| self.take(&format!("{prefix}_{i}"), axes)).collect()
    }

    /// Embeddings of one batch.
    fn embeddings<const N: usize>(&mut self, names: [&str; N]) -> Result<[Tensor<2>; N], Error> {
        let taken = names.map(|name| self.take(name, BATCH));
        let taken: Vec<_> = taken.into_iter().collect::<Result<_, _>>()?;
        Ok(taken.try_into().expect("as many as there are names"))
    }
}

/// Axes of embeddings.
const BATCH: [&str; 2] = ["batch", "embedding"];

/// What an objective makes of a case.
type Evaluate = fn(&mut Inputs) -> Result<LossTerms, Error>;

/// Every objective that cases may name.
const OBJECTIVES_BY_NAME: &[(&str, Evaluate)] = &[
    ("nt_xent", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        Ok(objective::nt_xent(a, b, of.case.parameter("temperature")?))
    }),
    ("dcl", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        Ok(objective::dcl(a, b, of.case.parameter("temperature")?))
    }),
    ("clip", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        Ok(objective::clip(a, b, of.case.parameter("temperature")?))
    }),
    ("moco", |of| {
        let [query, key] = of.embeddings(["query", "key"])?;
        let queue = of.take("queue", ["queue", "embedding"])?;
        Ok(objective::moco(query, key, queue, of.case.parameter("temperature")?))
    }),
    ("moco_v3", |of| {
        let [qa, qb, ka, kb] = of.embeddings(["qa", "qb", "ka", "kb"])?;
        Ok(objective::moco_v3(qa, qb, ka, kb, of.case.parameter("temperature")?))
    }),
    ("nnclr", |of| {
        let [pa, pb, za, zb] = of.embeddings(["pa", "pb", "za", "zb"])?;
        let support = of.take("support", ["support", "embedding"])?;
        Ok(objective::nnclr(pa, pb, za, zb, support, of.case.parameter("temperature")?))
    }),
    ("byol", |of| {
        let [pa, pb, za, zb] = of.embeddings(["pa", "pb", "za", "zb"])?;
        Ok(objective::byol(pa, pb, za, zb))
    }),
    ("simsiam", |of| {
        let [pa, pb, za, zb] = of.embeddings(["pa", "pb", "za", "zb"])?;
        Ok(objective::simsiam(pa, pb, za, zb))
    }),
    ("invariance_only", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        Ok(objective::invariance_only(a, b))
    }),
    ("barlow_twins", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        Ok(objective::barlow_twins(a, b, of.case.parameter("redundancy_weight")?))
    }),
    ("vicreg", |of| {
        let [a, b] = of.embeddings(["a", "b"])?;
        let weights = VicregWeights {
            invariance: of.case.parameter("invariance_weight")?,
            variance: of.case.parameter("variance_weight")?,
            covariance: of.case.parameter("covariance_weight")?,
        };
        Ok(objective::vicreg(a, b, weights))
    }),
    ("cpc", |of| {
        let (z, lengths, [steps, width]) = of.sequences("z")?;
        let predictions = of.views("prediction", 1, ["batch", "sequence"])?;
        let batch = z.dims()[0];
        let cut = |(k, p): (usize, Tensor<2>)| p.reshape([batch, steps, width]).slice([0..batch, 0..steps - k]);
        of.case.whole("ahead", predictions.len()..=predictions.len().min(steps - 1))?;
        let predictions: Vec<_> = (1..).zip(predictions).map(cut).collect();
        let negatives = [Negatives::Batch, Negatives::Sequence, Negatives::Both][of.case.whole("negatives", 0..=2)?];
        Ok(objective::cpc(&z, &predictions, &lengths, negatives))
    }),
    ("ts2vec", |of| {
        let (a, lengths, [steps, width]) = of.sequences("a")?;
        let b = of.take("b", ["batch", "sequence"])?.reshape([a.dims()[0], steps, width]);
        Ok(objective::ts2vec(a, b, &Lengths::new(lengths, steps), of.case.parameter("alpha")?))
    }),
    ("gru", |of| {
        let (x, lengths, [steps, gates]) = of.sequences("x")?;
        let weight = of.take("weight", ["state", "gates"])?;
        let bias = of.take("bias", ["1", "gates"])?;
        if weight.dims() != [gates / 3, gates] || bias.dims()[1] != gates {
            let problem = format_args!("input weight: expected [gates / 3, gates], received {:?}", weight.dims());
            return Err(of.case.error(problem));
        }
        let states = ops::gru(x, weight, bias.squeeze_dim(0));
        let last = Lengths::new(lengths, steps).last(states.clone());
        Ok(objective::weighted_means(vec![
            ("states", states.square().mean_dim(2).mean_dim(1).squeeze_dim(2), 1.0),
            ("last", last.mean_dim(1), 1.0),
        ]))
    }),
    ("swav", |of| {
        let views = of.views("view", 2, BATCH)?;
        let prototypes = of.take("prototypes", ["prototypes", "embedding"])?;
        let swap = Swap {
            assigned: of.case.whole("assigned", 1..=views.len())?,
            temperature: of.case.parameter("temperature")?,
            epsilon: of.case.parameter("epsilon")?,
            iterations: of.case.whole("iterations", 0..=1000)?,
        };
        Ok(objective::swav(&views, &prototypes.transpose(), swap))
    }),
    ("dino", |of| {
        let axes = ["batch", "prototypes"];
        let (students, teachers) = (of.views("student", 2, axes)?, of.views("teacher", 1, axes)?);
        let center = of.take("center", ["1", "prototypes"])?;
        of.case.whole("large", teachers.len()..=teachers.len())?;
        let by = Temperatures {
            student: of.case.parameter("temperature")?,
            teacher: of.case.parameter("teacher_temperature")?,
        };
        Ok(objective::dino(students, &teachers, &center, by))
    }),
    ("cross_entropy", |of| {
        let logits = of.take("logits", ["batch", "classes"])?;
        let targets = of.take("targets", ["batch", "1"])?;
        let classes = logits.dims()[1];
        if let Some(target) = to_vec(targets.clone().detach()).iter().find(|&&t| !(0..classes).any(|c| c as f32 == t)) {
            let problem = format_args!("input targets: expected whole numbers below {classes}, received {target}");
            return Err(of.case.error(problem));
        }
        Ok(objective::cross_entropy(logits, targets))
    }),
    ("masked_patches", |of| {
        let axes = ["patches", "values"];
        let (prediction, patches) = (of.take("prediction", axes)?, of.take("patches", axes)?);
        let removed = of.take("removed", ["patches", "1"])?;
        let normalized = of.case.whole("normalized", 0..=1)? == 1;
        let errors = objective::masked_patches(prediction, patches, removed.clone(), normalized);
        let mean = errors.sum_dim(0) / removed.detach().sum_dim(0);
        Ok(objective::weighted_means(vec![("reconstruction", mean, 1.0)]))
    }),
    ("squared_error", |of| {
        let axes = ["batch", "pixels"];
        let (prediction, target) = (of.take("prediction", axes)?, of.take("target", axes)?);
        let errors = objective::squared_error(prediction, target, of.take("mask", axes)?.detach());
        Ok(objective::weighted_means(vec![("reconstruction", errors, 1.0)]))
    }),
    ("vime", |of| {
        let axes = ["batch", "channels"];
        let (values, target) = (of.take("values", axes)?, of.take("target", axes)?);
        let (scores, mask) = (of.take("scores", ["batch", "columns"])?, of.take("mask", ["batch", "columns"])?);
        let channels = values.dims()[1];
        let category = of.case.whole("category", 0..=channels)?;
        let numbers = (category..channels).map(|index| Column { name: index.to_string(), values: Vec::new() });
        let values_of = (0..category).map(|value| format!("v{value}"));
        let last = (category > 0).then(|| Column { name: "category".into(), values: values_of.collect() });
        let listed: Vec<String> = numbers.chain(last).map(|column| column.to_string()).collect();
        let columns = Columns::of(&listed, channels);
        Ok(objective::weighted_means(vec![
            ("mask", objective::mask_estimation(scores, mask), 1.0),
            ("values", objective::value_estimation(&values, target, &columns), of.case.parameter("alpha")?),
        ]))
    }),
    ("contrastive_divergence", |of| {
        let (data, model) = (of.take("data", ["batch", "visible"])?, of.take("model", ["batch", "visible"])?);
        let weight = of.take("weight", ["visible", "hidden"])?;
        let visible_bias = of.take("visible_bias", ["1", "visible"])?.squeeze_dim(0);
        let hidden_bias = of.take("hidden_bias", ["1", "hidden"])?.squeeze_dim(0);
        let units = if of.case.whole("gaussian", 0..=1)? == 1 { Units::Gaussian } else { Units::Bernoulli };
        let energy = |v| objective::free_energy(units, v, weight.clone(), visible_bias.clone(), hidden_bias.clone());
        let model = energy(model.detach());
        Ok(objective::weighted_means(vec![("free_energy_data", energy(data), 1.0), ("free_energy_model", model, -1.0)]))
    }),
];

/// Relative to the reference; where that is zero, scaled so that the absolute tolerance meets the relative one.
fn deviation(ours: f64, golden: f64) -> f64 {
    let scale = if golden == 0.0 { ZERO_TOLERANCE / VALUE_TOLERANCE } else { golden.abs() };
    (ours - golden).abs() / scale
}

/// The larger deviation; what is no number deviates as far as can be.
fn worst(a: f64, b: f64) -> f64 {
    if b.is_nan() { f64::INFINITY } else { a.max(b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn objectives_agree_with_the_reference_in_value_and_gradient() {
        let rows = objectives(OBJECTIVES, &Device::flex()).expect("the built-in cases are well formed");
        assert_eq!(rows.len(), 84);
        for row in rows {
            assert!(row.passes(), "{row:?}");
        }
    }

    /// The first case of `objective` alone, changed.
    fn changed(objective: &str, change: impl FnOnce(&mut Value)) -> Result<Vec<Row>, Error> {
        let file: Value = serde_json::from_str(OBJECTIVES).unwrap();
        let mut cases = file["cases"].as_array().unwrap().iter();
        let mut case = cases.find(|case| case["objective"] == objective).unwrap().clone();
        change(&mut case);
        objectives(&json!({ "cases": [case] }).to_string(), &Device::flex())
    }

    fn problem(objective: &str, change: impl FnOnce(&mut Value)) -> String {
        let error = changed(objective, change).unwrap_err().to_string();
        assert!(error.starts_with("golden objectives: ") && !error.contains('\n'), "{error}");
        error
    }

    #[test]
    fn a_file_with_holes_is_an_error_in_one_line() {
        let ragged = json!([[1.0, 2.0, 3.0], [1.0, 2.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]);
        let (narrow, few) = (json!([[1.0], [2.0], [3.0], [4.0]]), json!([[1.0, 2.0, 3.0]]));
        for (part, what) in [("inputs", "input b"), ("gradient", "gradient of b")] {
            for (rows, expected) in [
                (json!([]), "it is empty"),
                (json!([[], []]), "it is empty"),
                (ragged.clone(), "row 1 has 2 numbers, the first has 3"),
                (json!([[1e300, 2.0, 3.0]]), "beyond those of 32 bits"),
            ] {
                let error = problem("nt_xent", |case| case[part]["b"] = rows);
                assert!(error.contains(&format!("case nt_xent: {what}: ")) && error.contains(expected), "{error}");
            }
            let error = problem("nt_xent", |case| drop(case[part].as_object_mut().unwrap().remove("b")));
            assert!(error.contains(&format!("has no {what}")), "{error}");
            assert!(problem("nt_xent", |case| case[part]["b"] = json!([["x"]])).contains("expected f64"));
            assert!(problem("nt_xent", |case| case[part]["b"] = json!([[null]])).contains("expected f64"));
        }
        for (rows, received) in
            [(&narrow, "embedding being 3, received [4, 1]"), (&few, "batch being 4, received [1, 3]")]
        {
            let error = problem("nt_xent", |case| case["inputs"]["b"] = rows.clone());
            assert!(error.contains("input b: expected [batch, embedding]") && error.contains(received), "{error}");
            let error = problem("nt_xent", |case| case["gradient"]["b"] = rows.clone());
            assert!(error.contains("has a gradient of b of [") && error.contains("expected [4, 3]"), "{error}");
        }
        assert!(problem("nt_xent", |case| case["inputs"]["c"] = few.clone()).contains("input c, which"));
        assert!(problem("nt_xent", |case| case["terms"]["more"] = 1.0.into()).contains("has a term more"));
        assert!(problem("nt_xent", |case| case["terms"] = json!({})).contains("has no term invariance"));
        assert!(problem("nt_xent", |case| case["total"] = Value::Null).contains("expected f64"));
        assert!(problem("nt_xent", |case| case["objective"] = "nt_xnet".into()).contains("did you mean `nt_xent`"));
        for file in ["", "[]", "{\"cases\": []}"] {
            let error = objectives(file, &Device::flex()).unwrap_err().to_string();
            assert!(error.starts_with("golden objectives: ") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn parameters_that_do_not_fit_are_errors() {
        for (objective, parameter, values) in [
            ("nt_xent", "temperature", [json!("x"), json!(null), json!([1.0])]),
            ("swav", "assigned", [json!(0), json!(4), json!(1.5)]),
            ("swav", "iterations", [json!(-1), json!(1e18), json!("x")]),
            ("dino", "large", [json!(0), json!(1e18), json!(-2)]),
            ("masked_patches", "normalized", [json!(2), json!(0.5), json!(-1)]),
            ("cpc", "negatives", [json!(3), json!(0.5), json!(-1)]),
            ("cpc", "ahead", [json!(1), json!(3), json!("x")]),
            ("ts2vec", "steps", [json!(0), json!(5), json!(1e18)]),
            ("vime", "category", [json!(4), json!(0.5), json!(-1)]),
            ("contrastive_divergence", "gaussian", [json!(2), json!(0.5), json!(null)]),
        ] {
            for value in values {
                problem(objective, |case| case["parameters"][parameter] = value);
            }
            let error = problem(objective, |case| drop(case["parameters"].as_object_mut().unwrap().remove(parameter)));
            assert!(error.contains(&format!("has no parameter {parameter}")), "{error}");
        }
        for target in [3.0, -1.0, 0.5] {
            let error = problem("cross_entropy", |case| case["inputs"]["targets"][1][0] = target.into());
            assert!(error.contains("expected whole numbers below 3"), "{error}");
        }
    }

    #[test]
    fn every_input_that_is_left_out_or_cut_is_an_error() {
        let file: Value = serde_json::from_str(OBJECTIVES).unwrap();
        for (objective, _) in OBJECTIVES_BY_NAME {
            let case = file["cases"].as_array().unwrap().iter().find(|case| case["objective"] == *objective).unwrap();
            for name in case["inputs"].as_object().unwrap().keys() {
                // Fewer views of the three are views enough, but then their gradients are too many, which is no harm.
                let without = changed(objective, |case| drop(case["inputs"].as_object_mut().unwrap().remove(name)));
                assert!(without.is_err() || name.ends_with("_2"), "{objective} without {name}");
                problem(objective, |case| case["inputs"][name] = json!([]));
                problem(objective, |case| case["inputs"][name][0] = json!([]));
                let rows = case["inputs"][name].as_array().unwrap();
                // An axis of its own may have any length.
                if rows.len() > 1 && !["queue", "support", "prototypes"].contains(&name.as_str()) {
                    problem(objective, |case| drop(case["inputs"][name].as_array_mut().unwrap().pop()));
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_is_as_far_off_as_can_be() {
        assert_eq!(
            (worst(1.0, f64::NAN), worst(1.0, 2.0), worst(f64::INFINITY, 0.0)),
            (f64::INFINITY, 2.0, f64::INFINITY)
        );
        // A single sample has no variance.
        let rows = changed("vicreg", |case| {
            for part in ["inputs", "gradient"] {
                for name in ["a", "b"] {
                    case[part][name].as_array_mut().unwrap().truncate(1);
                }
            }
        });
        assert!(rows.unwrap().iter().all(|row| !row.passes() && row.total == f64::INFINITY));
    }
}
