//! Our own optimizers: state keyed by parameter name, saved as safetensors, updated in one pass over each tensor.

pub mod layers;
pub mod schedule;
pub mod settings;
pub(crate) mod update;

use crate::tensor::parameters::{Array, NamePath};
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};
use settings::OptimizerSettings;
use std::collections::BTreeMap;

/// Gradients by parameter name, flattened, outside any graph.
#[derive(Debug, Default)]
pub struct GradientMap(BTreeMap<String, Tensor<1>>);

impl GradientMap {
    /// Takes the gradients of `module`'s parameters out of a backward pass and adds them to what is here: the sum over
    /// the chunks of a step.
    pub fn accumulate<M: Module>(&mut self, module: &M, gradients: &mut Gradients) {
        struct Visitor<'a> {
            path: NamePath,
            gradients: &'a mut Gradients,
            sums: &'a mut BTreeMap<String, Tensor<1>>,
        }
        impl ModuleVisitor for Visitor<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let tensor = param.val();
                if !tensor.is_require_grad() {
                    return;
                }
                let Some(gradient) = tensor.grad_remove(self.gradients) else { return };
                let gradient = gradient.flatten(0, D - 1);
                let name = self.path.name();
                let sum = match self.sums.remove(&name) {
                    Some(sum) => sum + gradient,
                    None => gradient,
                };
                self.sums.insert(name, sum);
            }
            fn enter_module(&mut self, name: &str, container: &str) {
                self.path.enter(name, container);
            }
            fn exit_module(&mut self, _name: &str, _container: &str) {
                self.path.exit();
            }
        }
        module.visit(&mut Visitor { path: NamePath::default(), gradients, sums: &mut self.0 });
    }

    /// Drops the gradients of the parameters below `field`, so that a step leaves them as they are.
    pub fn freeze(&mut self, field: &str) {
        self.retain(|name| name.strip_prefix(field).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('.')));
    }

    /// Drops the gradients of parameters whose names are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| keep(name));
    }

    /// Length of all gradients together, as one vector; not finite where one of them is not.
    pub fn norm(&self) -> f64 {
        self.0.values().map(|gradient| update::square_sum(gradient.clone())).sum::<f64>().sqrt()
    }

    /// Scales every gradient so that they are no longer than `length` together; `norm` is their [`Self::norm`].
    pub fn clip(&mut self, norm: f64, length: f64) {
        if norm > length {
            let scaled = |gradient: Tensor<1>| gradient * (length / norm);
            self.0 = std::mem::take(&mut self.0).into_iter().map(|(name, g)| (name, scaled(g))).collect();
        }
    }

    /// The gradients as plain arrays.
    pub fn into_arrays(self) -> BTreeMap<String, Vec<f32>> {
        self.0.into_iter().map(|(name, gradient)| (name, crate::tensor::to_vec(gradient))).collect()
    }
}

/// An update rule and its state: momenta, by parameter name.
#[derive(Debug)]
pub struct Optimizer {
    settings: OptimizerSettings,
    state: BTreeMap<String, Vec<Tensor<1>>>,
    step: u64,
}

impl Optimizer {
    /// A fresh optimizer.
    pub fn new(settings: &OptimizerSettings) -> Self {
        Self { settings: settings.clone(), state: BTreeMap::new(), step: 0 }
    }

    /// One step at the learning rate that `lr` gives for a parameter's name. Biases, norm parameters (rank 1), class tokens and
    /// positions get neither decay nor LARS's adaptation.
    #[must_use]
    pub fn update<M: Module>(&mut self, module: M, gradients: GradientMap, lr: impl Fn(&str) -> f64) -> M {
        self.step += 1;
        module.map(&mut Update { path: NamePath::default(), gradients: gradients.0, optimizer: self, lr: &lr })
    }

    /// The state as named arrays: `NAME.INDEX`, and the number of steps taken.
    pub fn arrays(&self) -> BTreeMap<String, Array> {
        let mut arrays: BTreeMap<String, Array> = self
            .state
            .iter()
            .flat_map(|(name, moments)| {
                moments.iter().enumerate().map(move |(index, moment)| {
                    let values = crate::tensor::to_vec(moment.clone());
                    (format!("{name}.{index}"), Array { shape: vec![values.len()], values })
                })
            })
            .collect();
        // Two exact halves: an f32 holds integers up to 2²⁴.
        let halves = vec![(self.step >> 20) as f32, (self.step & 0xf_ffff) as f32];
        arrays.insert("step".into(), Array { shape: vec![2], values: halves });
        arrays
    }

    /// Puts back what [`Self::arrays`] gave.
    pub fn restore(
        &mut self,
        mut arrays: BTreeMap<String, Array>,
        device: &burn::tensor::Device,
    ) -> Result<(), String> {
        let step = arrays.remove("step").filter(|a| a.values.len() == 2).ok_or("the optimizer's step is missing")?;
        self.step = (step.values[0] as u64) << 20 | step.values[1] as u64;
        self.state.clear();
        for (key, array) in arrays {
            let name = key.rsplit_once('.').ok_or_else(|| format!("unexpected optimizer state {key}"))?.0;
            let moment = Tensor::from_data(TensorData::new(array.values, array.shape), device);
            // Keys come in order, so a parameter's moments do too.
            self.state.entry(name.to_owned()).or_default().push(moment);
        }
        Ok(())
    }
}

struct Update<'a> {
    path: NamePath,
    gradients: BTreeMap<String, Tensor<1>>,
    optimizer: &'a mut Optimizer,
    lr: &'a dyn Fn(&str) -> f64,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(gradient) = self.gradients.remove(&name) else { return param };
        let is_weight = D > 1 && !["cls_token", "pos_embed"].iter().any(|exempt| name.ends_with(exempt));
        let rule = self.optimizer.settings.rule(is_weight, (self.lr)(&name), self.optimizer.step);
        let state = self.optimizer.state.remove(&name);
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.dims();
        let value = tensor.inner().reshape([-1]);
        let state = state.unwrap_or_else(|| vec![gradient.zeros_like(); rule.moments()]);
        let (value, state) = update::apply(rule, value, gradient, state);
        self.optimizer.state.insert(name, state);
        Param::from_mapped_value(id, Tensor::from_inner(value.reshape(shape)).require_grad(), mapper)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
}
