//! A teacher: the exponential moving average of a network's weights (Tarvainen & Valpola 2017; He et al. 2020).
//!
//! It gives targets that move slowly, and no gradient flows through it. Its normalization layers keep their own running
//! statistics, of the views that they saw.

use crate::batch::Batch;
use crate::branch::Branch;
use crate::optim::update;
use crate::progress::Progress;
use crate::tensor::layers::Pass;
use crate::tensor::parameters::NamePath;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use std::collections::HashMap;

/// The slow copy of a branch, or of a branch and what stands on it.
#[derive(Module, Debug)]
pub struct Teacher<N = Branch> {
    network: N,
}

impl Teacher {
    /// The target of each view, `[batch, embedding]`.
    pub fn embed(&self, batch: &Batch, pass: &Pass) -> Vec<Tensor<2>> {
        self.network.embed(batch, pass).into_iter().map(Tensor::detach).collect()
    }
}

impl<N: Module> Teacher<N> {
    /// A teacher that starts as `network`, which nothing else may share.
    pub fn new(network: N) -> Self {
        Self { network: network.no_grad() }
    }

    /// The slow network.
    pub fn network(&self) -> &N {
        &self.network
    }

    /// One step after the student: `t ← βt + (1 − β)p` for every weight that is trained.
    #[must_use]
    pub fn follow(self, student: &N, decay: f64) -> Self {
        let mut weights = TrainedValues::default();
        student.visit(&mut weights);
        let mut follow = Follow { path: NamePath::default(), student: weights.values, decay };
        let network = self.network.map(&mut follow);
        assert!(follow.student.is_empty(), "a teacher is built like its student");
        Self { network }
    }
}

/// β of a step: half a cosine from `base` up to 1 (Grill et al. 2020, §3.3), so that the teacher comes to rest.
pub fn momentum(base: f64, progress: Progress) -> f64 {
    let done = progress.step as f64 / progress.steps as f64;
    1.0 - (1.0 - base) * ((std::f64::consts::PI * done).cos() + 1.0) / 2.0
}

#[derive(Default)]
struct TrainedValues {
    path: NamePath,
    /// Trained weights by name, flattened, outside any graph.
    values: HashMap<String, Tensor<1>>,
}

impl ModuleVisitor for TrainedValues {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.val();
        if tensor.is_require_grad() {
            self.values.insert(self.path.name(), tensor.inner().reshape([-1]));
        }
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
}

struct Follow {
    path: NamePath,
    student: HashMap<String, Tensor<1>>,
    decay: f64,
}

impl ModuleMapper for Follow {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(student) = self.student.remove(&self.path.name()) else { return param };
        // Consumed, so that the teacher's memory has one owner and is written in place.
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.dims();
        let followed = update::follow(tensor.inner().reshape([-1]), student, self.decay);
        let followed = Tensor::from_inner(followed.reshape(shape));
        Param::from_mapped_value(id, followed.set_require_grad(false), mapper)
    }
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.exit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::method::BuildContext;
    use crate::tensor::layers::{Draws, update_running_statistics};
    use crate::tensor::{parameters, view_to_device};
    use burn::tensor::Device;

    fn branch(seed: u64) -> Branch {
        let plan = testing::plan(1, 8, &[&format!("seed={seed}")]);
        BuildContext { plan: &plan, device: &Device::flex().autodiff(), start: None }.branch().unwrap()
    }

    /// After `n` steps behind a student at rest, `t_n = βⁿ t_0 + (1 − βⁿ) p`.
    #[test]
    fn follows_in_closed_form_and_leaves_running_statistics_alone() {
        let (student, start) = (branch(1), branch(2));
        let (p, t0) = (parameters::arrays(&student), parameters::arrays(&start));
        let (decay, steps) = (0.9_f64, 7);
        let teacher = (0..steps).fold(Teacher::new(start), |teacher, _| teacher.follow(&student, decay));
        let left = decay.powi(steps);
        let t = parameters::arrays(teacher.network());
        assert!(t.keys().eq(p.keys()));
        for (name, t) in &t {
            for ((t, t0), p) in t.values.iter().zip(&t0[name].values).zip(&p[name].values) {
                let expected = match name.contains("running") {
                    true => f64::from(*t0),
                    false => left * f64::from(*t0) + (1.0 - left) * f64::from(*p),
                };
                assert!((f64::from(*t) - expected).abs() < 1e-6, "{name}: {t} {expected}");
            }
        }
        assert_eq!(parameters::arrays(&student), p, "the student is not touched");
    }

    #[test]
    fn its_statistics_are_its_own_and_no_gradient_reaches_it() {
        let (student, teacher) = (branch(1), Teacher::new(branch(1)));
        let pixels = (0..4 * 64).map(|i| (i % 7) as f32 - 3.0).collect();
        let batch = Batch { views: vec![view_to_device(pixels, [8, 8, 1], &Device::flex())], samples: vec![0; 4] };
        let pass = Pass::train(Draws::new(0, 0, &batch.samples));
        let targets = teacher.embed(&batch, &pass);
        assert!(!targets[0].is_require_grad());
        let statistics = pass.into_statistics();
        let before = parameters::arrays(&student);
        let student = update_running_statistics(student, Vec::new());
        let teacher = update_running_statistics(teacher, statistics);
        assert_eq!(parameters::arrays(&student), before);
        assert_ne!(
            parameters::arrays(teacher.network())["encoder.bn1.running_mean"],
            before["encoder.bn1.running_mean"]
        );
    }

    #[test]
    fn momentum_rises_from_its_base_to_one() {
        let at = |step| momentum(0.99, Progress { step, steps: 100, steps_per_epoch: 10 });
        assert!((at(0) - 0.99).abs() < 1e-12 && (at(50) - 0.995).abs() < 1e-12 && (at(100) - 1.0).abs() < 1e-12);
        assert!((1..100).all(|step| at(step) > at(step - 1)));
    }
}
