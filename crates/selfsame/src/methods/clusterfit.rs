//! ClusterFit: "Improving Generalization of Visual Representations" (Yan et al. 2020).
//!
//! *Cluster the features of a pretrained network, then train a fresh network to predict the clusters.* What was particular
//! to the first network's pretext task is lost on the way; what neighbors share is kept. It has targets, so it cannot
//! collapse.

use crate::backbone::Role;
use crate::batch::Batch;
use crate::branch::Branch;
use crate::device;
use crate::embed::{self, Wanted};
use crate::encoder_folder::{EncoderConfig, EncoderFolder};
use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::method::{BuildContext, EmbedContext, Method, PrepareContext, TrivialLoss};
use crate::objective::{LossTerms, cross_entropy};
use crate::outputs::Logits;
use crate::plan::Plan;
use crate::tensor::layers::Linear;
use crate::tensor::parameters::{self, Array};
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use selfsame_base::atomic;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_base::seal::{self, SealedFile};
use selfsame_config::{Kind, Range, settings};
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::features::Rows;
use selfsame_evaluate::kmeans::KMeans;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// The files in the run folder that keep the clusters, and say what they are of.
const CLUSTERS: &str = "clusters.safetensors";
const DESCRIPTION: &str = "clusters.json";
const FORMAT: u64 = 1;

/// `clusters.json`: it is [sealed](seal).
#[derive(Serialize, Deserialize)]
struct Description {
    format: u64,
    /// Fingerprint of the plan.
    plan: String,
    clusters: SealedFile,
}

settings! {
    /// `[method] name = "clusterfit"`
    pub struct ClusterfitSettings {
        /// run folder of the encoder whose features are clustered, e.g. method.source=runs/simclr-demo
        source: String = (required), Kind::Text;
        /// number of clusters
        clusters: usize = 100, Kind::Integer(Range::Within(2.0, 1e6));
        /// most rounds of k-means
        kmeans_iterations: usize = 100, Kind::Integer(Range::Within(1.0, 1e6));
    }
}

/// Branch, a linear classifier of the clusters, and each sample's cluster.
#[derive(Module, Debug)]
pub struct Clusterfit {
    branch: Branch,
    classifier: Linear,
    #[module(skip)]
    settings: ClusterfitSettings,
    /// By index in the data set.
    #[module(skip)]
    targets: Vec<f32>,
}

impl Method for Clusterfit {
    const NAME: &'static str = "clusterfit";
    type Config = ClusterfitSettings;
    type Outputs = Logits;

    fn check(config: &Self::Config, plan: &Plan) -> Result<(), Error> {
        let source = source_config(&config.source)?;
        for (key, ours, theirs) in [
            ("data.size", plan.data.size.to_string(), source.size.to_string()),
            ("data.channels", plan.data.channels.to_string(), source.channels.to_string()),
        ] {
            if ours != theirs {
                let problem = format!("{ours}, but method.source = \"{}\" was trained with {theirs}", config.source);
                return Err(Error::setting(key, format!("{problem}; use {key}={theirs}, or another source")));
            }
        }
        Ok(())
    }

    /// Whose clusters are learned cannot be guessed, and there are no more of them than samples.
    fn fit(keys: &mut Table, to: Batches) {
        keys.remove("source");
        if let Some(Value::Integer(own)) = keys.get_mut("clusters") {
            *own = (*own).min(to.samples as i64 / 2).max(2);
        }
    }

    fn trivial_loss(config: &Self::Config, _plan: &Plan) -> Option<TrivialLoss> {
        Some(TrivialLoss::ln(config.clusters, config.clusters))
    }

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let classifier = Linear::new(&cx.init("classifier"), [branch.projector.width(), config.clusters], true);
        Ok(Self { branch, classifier, settings: config.clone(), targets: Vec::new() })
    }

    fn prepare(self, cx: &mut PrepareContext) -> Result<Self, Error> {
        // Clusters that are not there, damaged, or another plan's are found anew: the same source gives the same.
        let targets = match kept(cx.plan) {
            Some(targets) => targets,
            None => self.cluster(cx)?,
        };
        if targets.len() != cx.dataset.len() {
            let problem = format!("holds clusters of {} samples, the data has {}", targets.len(), cx.dataset.len());
            return Err(Error::run(
                cx.plan.out.join(CLUSTERS),
                format!("{problem}; the data has changed since the run began"),
            ));
        }
        Ok(Self { targets, ..self })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Logits {
        let of_view = |view: &Tensor<4>| self.classifier.forward(self.branch.forward(view.clone(), cx.pass));
        let logits: Vec<_> = batch.views.iter().map(of_view).collect();
        let classes: Vec<f32> = batch.samples.iter().map(|&sample| self.targets[sample]).collect();
        let classes = TensorData::new(classes, [batch.samples.len(), 1]);
        let classes = Tensor::from_data(classes, &batch.views[0].device());
        Logits { classes: vec![classes; logits.len()], logits }
    }

    fn objective(&self, outputs: &Logits) -> LossTerms {
        cross_entropy(Tensor::cat(outputs.logits.clone(), 0), Tensor::cat(outputs.classes.clone(), 0))
    }

    fn branch(&self, _role: Role) -> &Branch {
        &self.branch
    }
}

impl Clusterfit {
    /// K-means on the source encoder's representations of the data, kept in the run folder.
    fn cluster(&self, cx: &mut PrepareContext) -> Result<Vec<f32>, Error> {
        let folder = EncoderFolder::open(Path::new(&self.settings.source))?;
        let branch = Branch::without_projector(folder.load_with(cx.plan.backbones(), &device::open(&cx.plan.device)?)?);
        let views = folder.config().plain_view(&cx.plan.data, cx.plan.evaluation_batching())?;
        let loader = EvalLoader::new(cx.dataset.clone(), views, None)?;
        let (mut features, mut indices) = (Vec::new(), Vec::new());
        embed::for_each_batch(&branch, cx.plan.train.precision, loader, Wanted::default(), |batch| {
            features.extend(batch.h);
            indices.extend(batch.indices);
            (cx.progress)("features of the source", indices.len(), cx.dataset.len());
            Ok(())
        })?;
        cx.dataset.check_bad_share()?;
        let ClusterfitSettings { clusters, kmeans_iterations, .. } = self.settings.clone();
        if clusters > indices.len() {
            let problem = format!("{clusters} is more than the {} samples there are", indices.len());
            return Err(Error::setting("method.clusters", problem));
        }
        (cx.progress)("k-means", indices.len(), indices.len());
        let rng = StreamRng::new(cx.plan.seed, Purpose::Cluster, 0, 0, 0);
        let found =
            KMeans::fit(Rows::new(&features, branch.encoder.width()), clusters, kmeans_iterations, rng)?.assignments;
        // Samples that cannot be read are in no batch, so their cluster does not matter.
        let mut targets = vec![0.0; cx.dataset.len()];
        for (index, cluster) in indices.into_iter().zip(found) {
            targets[index] = cluster as f32;
        }
        let array = Array { shape: vec![targets.len()], values: targets.clone() };
        let bytes = parameters::to_safetensors(&BTreeMap::from([("clusters".into(), array)]));
        let clusters = SealedFile::of(CLUSTERS, &bytes);
        let description = Description { format: FORMAT, plan: cx.plan.fingerprint(), clusters };
        atomic::write(&cx.plan.out.join(CLUSTERS), &bytes)?;
        atomic::write(&cx.plan.out.join(DESCRIPTION), &seal::seal(&description))?;
        Ok(targets)
    }
}

/// What the source's encoder is fed.
fn source_config(source: &str) -> Result<EncoderConfig, Error> {
    EncoderFolder::open(Path::new(source)).map(EncoderFolder::into_config).map_err(|error| {
        let hint =
            "method.name = \"clusterfit\" clusters the features of a finished run, e.g. method.source=runs/simclr-demo";
        Error::setting("method.source", format!("{error}; {hint}"))
    })
}

/// The clusters in the plan's run folder, if they are whole and of this plan.
fn kept(plan: &Plan) -> Option<Vec<f32>> {
    let description: Description = seal::open(&plan.out, DESCRIPTION, FORMAT).ok()?;
    let bytes =
        (description.plan == plan.fingerprint()).then(|| description.clusters.read(&plan.out).ok()).flatten()?;
    Some(parameters::from_safetensors(&bytes).ok()?.remove("clusters")?.values)
}
