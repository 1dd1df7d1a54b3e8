//! ClusterFit: "Improving Generalization of Visual Representations" (Yan et al. 2020).
//!
//! *Cluster the features of a pretrained network, then train a fresh network to predict the clusters.* What was particular
//! to the first network's pretext task is lost on the way; what neighbours share is kept. It has targets, so it cannot
//! collapse.

use crate::catalogue;
use crate::embed::{self, Wanted};
use crate::error::Error;
use crate::method::{Batch, Branch, BuildContext, EmbedContext, Embeddings, Method, PrepareContext, Settings};
use crate::objective::{LossTerms, cross_entropy};
use crate::tensor::layers::Linear;
use crate::tensor::parameters::{self, Array};
use crate::trainer::Weights;
use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use selfsame_data::atomic;
use selfsame_data::config::Plan;
use selfsame_data::evaluate::kmeans::KMeans;
use selfsame_data::features::Rows;
use selfsame_data::rng::{Purpose, StreamRng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file in the run folder that keeps the clusters.
const CLUSTERS: &str = "clusters.safetensors";

/// `[method] name = "clusterfit"`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterfitSettings {
    /// Run folder of the encoder whose features are clustered.
    pub source: String,
    /// Number of clusters.
    pub clusters: usize,
    /// Most rounds of k-means.
    pub kmeans_iterations: usize,
}

impl Default for ClusterfitSettings {
    fn default() -> Self {
        Self { source: String::new(), clusters: 100, kmeans_iterations: 100 }
    }
}

impl ClusterfitSettings {
    fn source_plan(&self) -> Result<Plan, Error> {
        let source = PathBuf::from(&self.source);
        let file = source.join("plan.toml");
        let missing = |problem: &str| {
            let hint = "method.name = \"clusterfit\" clusters the features of a finished run, e.g. method.source=runs/simclr-demo";
            Err(Error::setting("method.source", format!("{problem}; {hint}")))
        };
        if self.source.is_empty() {
            return missing("missing");
        }
        if !file.is_file() {
            return missing(&format!("{} is not a run folder", self.source));
        }
        if !source.join("encoder.safetensors").is_file() {
            return missing(&format!("{} is not finished", self.source));
        }
        Ok(Plan { out: source, ..Plan::load(&file)? })
    }
}

impl Settings for ClusterfitSettings {
    fn check(&self, plan: &Plan) -> Result<(), Error> {
        let source = self.source_plan()?;
        for (key, ours, theirs) in [
            ("data.size", plan.data.size, source.data.size),
            ("data.channels", plan.data.channels, source.data.channels),
        ] {
            if let (Some(ours), Some(theirs)) = (ours, theirs)
                && ours != theirs
            {
                let problem = format!("{ours}, but method.source = \"{}\" was trained with {theirs}", self.source);
                return Err(Error::setting(key, format!("{problem}; use {key}={theirs}, or another source")));
            }
        }
        if self.clusters < 2 || self.kmeans_iterations == 0 {
            let problem = format!(
                "expected at least 2 clusters and one of method.kmeans_iterations, got {} and {}",
                self.clusters, self.kmeans_iterations
            );
            return Err(Error::setting("method.clusters", problem));
        }
        Ok(())
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

    fn build(config: &Self::Config, cx: &BuildContext) -> Result<Self, Error> {
        let branch = cx.branch()?;
        let classifier = Linear::new(&cx.init("classifier"), [branch.projector.width(), config.clusters], true);
        Ok(Self { branch, classifier, settings: config.clone(), targets: Vec::new() })
    }

    fn prepare(self, cx: &mut PrepareContext) -> Result<Self, Error> {
        let path = cx.plan.out.join(CLUSTERS);
        let targets = if path.exists() { read(&path)? } else { self.cluster(cx, &path)? };
        if targets.len() != cx.dataset.len() {
            let problem = format!("holds clusters of {} samples, the data has {}", targets.len(), cx.dataset.len());
            return Err(Error::run(path, format!("{problem}; the data has changed since the run began")));
        }
        Ok(Self { targets, ..self })
    }

    fn embed(&self, batch: &Batch, cx: &EmbedContext) -> Embeddings {
        let logits = |view: &Tensor<4>| self.classifier.forward(self.branch.forward(view.clone(), cx.pass));
        let online: Vec<_> = batch.views.iter().map(logits).collect();
        let targets: Vec<f32> = batch.samples.iter().map(|&sample| self.targets[sample]).collect();
        let targets = TensorData::new(targets, [batch.samples.len(), 1]);
        let target = Tensor::from_data(targets, &online[0].device());
        Embeddings { online, target: vec![target] }
    }

    fn objective(&self, embeddings: &Embeddings) -> LossTerms {
        let targets = vec![embeddings.target[0].clone(); embeddings.online.len()];
        cross_entropy(Tensor::cat(embeddings.online.clone(), 0), Tensor::cat(targets, 0))
    }

    fn branch(&self) -> &Branch {
        &self.branch
    }
}

impl Clusterfit {
    /// K-means on the source encoder's representations of the data, kept in `path`.
    fn cluster(&self, cx: &mut PrepareContext, path: &Path) -> Result<Vec<f32>, Error> {
        let source = self.settings.source_plan()?;
        let branch = (catalogue::method(&source)?.branch)(&source, Weights::Trained)?;
        let (mut features, mut indices) = (Vec::new(), Vec::new());
        embed::for_each_batch(&branch, cx.dataset, &source, None, Wanted::default(), |batch| {
            features.extend(batch.h);
            indices.extend(batch.indices);
            (cx.progress)("features of the source", indices.len(), cx.dataset.len());
            Ok(())
        })?;
        cx.dataset.check_bad_share()?;
        let ClusterfitSettings { clusters, kmeans_iterations, .. } = self.settings;
        if clusters > indices.len() {
            let problem = format!("{clusters} is more than the {} samples there are", indices.len());
            return Err(Error::setting("method.clusters", problem));
        }
        (cx.progress)("k-means", indices.len(), indices.len());
        let rng = StreamRng::new(cx.plan.seed, Purpose::Cluster, 0, 0, 0);
        let found =
            KMeans::fit(Rows::new(&features, branch.encoder.width()), clusters, kmeans_iterations, rng).assignments;
        // Samples that cannot be read are in no batch, so their cluster does not matter.
        let mut targets = vec![0.0; cx.dataset.len()];
        for (index, cluster) in indices.into_iter().zip(found) {
            targets[index] = cluster as f32;
        }
        let array = Array { shape: vec![targets.len()], values: targets.clone() };
        atomic::write(path, &parameters::to_safetensors(&BTreeMap::from([("clusters".into(), array)])))?;
        Ok(targets)
    }
}

fn read(path: &Path) -> Result<Vec<f32>, Error> {
    let mut arrays = parameters::read_safetensors(path)?;
    arrays.remove("clusters").map(|array| array.values).ok_or_else(|| Error::run(path, "holds no `clusters`"))
}
