//! What each part is there for, shown by its absence: the ablations of the papers, on the bundled images.
//!
//! Slow, so not part of the usual run: `cargo test --workspace --test all ablations -- --ignored --nocapture --test-threads=1`.
//! The figures that it prints are in `BENCHMARKS.md`.

#![allow(clippy::print_stdout, reason = "figures for who runs it with --nocapture")]

use burn::module::Module;
use selfsame::backbone::Role;
use selfsame::batch::Batch;
use selfsame::branch::Branch;
use selfsame::catalogue::Catalogue;
use selfsame::embed::{Tables, Wanted};
use selfsame::error::Error;
use selfsame::events::Silent;
use selfsame::method::{BuildContext, EmbedContext, Method};
use selfsame::methods::barlow_twins::{BarlowTwins, BarlowTwinsSettings};
use selfsame::methods::simsiam::SimsiamSettings;
use selfsame::methods::{byol::Byol, dino::Dino, simsiam::Simsiam, swav::Swav, vicreg::Vicreg};
use selfsame::objective::{LossTerms, invariance_only};
use selfsame::outputs::{Embeddings, TwoViews};
use selfsame::plan::Plan;
use selfsame::projector::Projector;
use selfsame::require;
use selfsame::trainer;
use selfsame::weights::{self, WeightsOf};
use selfsame_config::Recipe;
use selfsame_data::dataset::Dataset;
use selfsame_data::settings::DataRequest;
use selfsame_evaluate::diagnosis::{Diagnosis, diagnose};
use selfsame_evaluate::knn::{self, Neighbors};
use selfsame_evaluate::measurements::Observed;
use selfsame_evaluate::verdict::Verdict;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What became of an ablated method: kNN accuracy of `h` (k = 20) and of the same network untrained, and the state of `z`.
struct Found {
    knn: f64,
    untrained: f64,
    z: Diagnosis,
}

/// Trains a house recipe, changed by `overrides`, as method `M`.
fn train<M: Method>(name: &str, recipe: &str, overrides: &[&str]) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let mut overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    overrides.push(format!("out={}", folder.path().join("run").display()));
    let planned = Catalogue::default().plan(Some(&Recipe::builtin(recipe).unwrap()), &overrides).unwrap();
    let (plan, dataset) = (planned.plan, planned.dataset);
    trainer::pretrain::<M>(&plan, dataset, &mut Silent, &AtomicBool::new(false)).unwrap();
    let labeled = |path: &str| {
        let request = DataRequest { path: path.into(), kind: None, labels: None, ..DataRequest::from(&plan.data) };
        Arc::new(Dataset::open(&request).unwrap())
    };
    let (bank, test) = (labeled("demo"), labeled("demo/test"));
    let score = |of| {
        let branch = weights::branch::<M>(&plan, of, &mut |_| {}).unwrap();
        let wanted = Wanted { z: true, ..Wanted::default() };
        let tables = |data| Tables::embed(&branch, data, &plan, None, wanted, &mut |_| {}).unwrap();
        let (train, test) = (tables(&bank), tables(&test));
        let neighbors = Neighbors::find(test.h.rows(), train.h.rows(), 20).unwrap();
        let predicted = neighbors.vote(&train.h.labels, train.h.classes.len(), 20, 0.07);
        (knn::accuracy(&predicted, &test.h.labels), diagnose(&Observed::new(test.z.rows())).unwrap())
    };
    let ((knn, z), (untrained, _)) = (score(WeightsOf::Trained), score(WeightsOf::Fresh));
    println!(
        "{name}: kNN on h {knn:.3} (untrained {untrained:.3}); z: {:?}, mean cosine {:.4}, centered effective rank {:.1} of {}",
        z.verdict,
        z.measurements.statistics.mean_cosine,
        z.measurements.statistics.centered_effective_rank,
        z.measurements.statistics.dim
    );
    Found { knn, untrained, z }
}

/// The loss's two sides pull at each other, as if the target were no constant.
#[derive(Module, Debug)]
struct WithoutStopGradient {
    branch: Branch,
    predictor: Projector,
}

impl Method for WithoutStopGradient {
    const NAME: &'static str = "without_stop_gradient";
    type Config = SimsiamSettings;
    type Outputs = Embeddings;

    fn check(_config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        require::two_views(plan, Self::NAME)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let predictor = cx.predictor(&branch, config.predictor_hidden);
        Ok(Self { branch, predictor })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let z = self.branch.embed(batch, cx.pass);
        let mut all: Vec<_> = z.iter().map(|z| self.predictor.forward(z.clone(), cx.pass)).collect();
        all.extend(z);
        Embeddings { z: all }
    }

    fn objective(&self, outputs: &Embeddings) -> LossTerms {
        let [pa, pb, za, zb] = &outputs.z[..] else { panic!("two views") };
        let (first, second) = (invariance_only(pa.clone(), zb.clone()), invariance_only(pb.clone(), za.clone()));
        LossTerms { total: (first.total + second.total) / 2.0, terms: first.terms }
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

/// The redundancy term and nothing that asks the views to agree.
#[derive(Module, Debug)]
struct RedundancyOnly {
    whole: BarlowTwins,
}

impl Method for RedundancyOnly {
    const NAME: &'static str = "redundancy_only";
    type Config = BarlowTwinsSettings;
    type Outputs = TwoViews;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        BarlowTwins::check(config, plan)
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        Ok(Self { whole: BarlowTwins::build(config, cx)? })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> TwoViews {
        self.whole.embed(batch, cx)
    }

    fn objective(&self, outputs: &TwoViews) -> LossTerms {
        let whole = self.whole.objective(outputs);
        let redundancy = whole.terms.iter().find(|(name, _)| *name == "redundancy").expect("a term of the objective");
        LossTerms { total: redundancy.1.clone(), terms: whole.terms }
    }

    fn branch(&self, role: Role) -> &Branch {
        self.whole.branch(role)
    }
}

const EPOCHS: &str = "epochs=4";

/// Embeddings are nearly one, or span few of the dimensions that the whole method's span after as many steps; and the
/// representation is worse than before.
fn collapsed(without: &Found, whole: &Found) -> bool {
    let rank = |found: &Found| found.z.measurements.statistics.centered_effective_rank;
    let nearly_one = |found: &Found| found.z.measurements.statistics.mean_cosine > 0.9;
    without.knn < without.untrained && (nearly_one(without) && !nearly_one(whole) || rank(without) < rank(whole) / 3.0)
}

#[test]
#[ignore = "trains for minutes"]
fn simsiam_needs_the_stopped_gradient() {
    let whole = train::<Simsiam>("SimSiam", "simsiam", &[EPOCHS]);
    let without = train::<WithoutStopGradient>("SimSiam without stop-gradient", "simsiam", &[EPOCHS]);
    assert!(whole.z.verdict != Verdict::CompleteCollapse && collapsed(&without, &whole));
}

#[test]
#[ignore = "trains for minutes"]
fn byol_needs_the_stopped_gradient() {
    let whole = train::<Byol>("BYOL", "byol", &[EPOCHS]);
    // The network is its own target, as at a teacher momentum of 0, and learns through both sides.
    let settings = ["method=simsiam", "method.predictor_hidden=256", EPOCHS];
    let without = train::<WithoutStopGradient>("BYOL without stop-gradient", "byol", &settings);
    assert!(whole.z.verdict != Verdict::CompleteCollapse && collapsed(&without, &whole));
}

#[test]
#[ignore = "trains for minutes"]
fn vicreg_needs_the_variance_term() {
    let whole = train::<Vicreg>("VICReg", "vicreg", &[EPOCHS]);
    let without = ["method.variance_weight=0", EPOCHS];
    assert!(collapsed(&train::<Vicreg>("VICReg without the variance term", "vicreg", &without), &whole));
}

#[test]
#[ignore = "trains for minutes"]
fn swav_needs_sinkhorn() {
    let whole = train::<Swav>("SwAV", "swav", &[EPOCHS]);
    let without = ["method.sinkhorn_iterations=0", EPOCHS];
    assert!(collapsed(&train::<Swav>("SwAV without Sinkhorn-Knopp", "swav", &without), &whole));
}

#[test]
#[ignore = "trains for minutes"]
fn dino_needs_the_center() {
    let whole = train::<Dino>("DINO", "dino", &[EPOCHS]);
    // A center that keeps all of itself stays at 0, where it began.
    let without = ["method.center_momentum=1", EPOCHS];
    assert!(collapsed(&train::<Dino>("DINO without centering", "dino", &without), &whole));
}

#[test]
#[ignore = "trains for minutes"]
fn barlow_twins_needs_the_invariance_term() {
    // Its recipe's rate is for more epochs.
    let settings = ["epochs=10"];
    let whole = train::<BarlowTwins>("Barlow Twins", "barlow_twins", &settings);
    let without = train::<RedundancyOnly>("Barlow Twins with redundancy only", "barlow_twins", &settings);
    assert!(whole.knn > whole.untrained && without.knn < without.untrained + 0.01);
}
