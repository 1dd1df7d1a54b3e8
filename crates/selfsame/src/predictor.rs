//! What tells classes, labels or numbers of new samples: an encoder, a linear head on its `h`, and what the head's outputs mean.
//!
//! Its folder is an [encoder folder](crate::encoder_folder) with a head beside the encoder, and serves as one.

use crate::backbone::Encoder;
use crate::branch::Branch;
use crate::catalogue::Catalogue;
use crate::device;
use crate::embed::{Wanted, for_each_batch};
use crate::encoder_folder::{EncoderFolder, WEIGHTS};
use crate::error::Error;
use crate::plan::Plan;
use crate::projector::Projector;
use crate::run::Run;
use crate::tensor::layers::{Init, Linear};
use crate::tensor::parameters::{self, Array};
use crate::tensor::to_vec;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_base::seal::{self, SealedFile, Unusable};
use selfsame_base::{DataError, atomic};
use selfsame_data::dataset::Dataset;
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::calibration::probabilities;
use selfsame_evaluate::columns::mean_and_squares;
use selfsame_evaluate::features::{FeatureTable, Rows};
use selfsame_evaluate::representation::DataOrigin;
use selfsame_evaluate::targets::Task;
use selfsame_interop::tensors::Tensor as Values;
use selfsame_interop::{Encoder as Described, Head as DescribedHead, Reading, card};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// File of the head's weights.
pub const HEAD: &str = "head.safetensors";
/// File that says what its outputs mean.
pub const CONFIG: &str = "predictor.json";
/// Format of [`CONFIG`].
pub const FORMAT: u64 = 1;

/// Share of the features' root mean square deviation below which one counts as still: a probe's weights of it are a hundred times the
/// others'.
const STILL: f64 = 0.01;

/// An affine map of `h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `[width of h, outputs]`
    pub weight: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
}

impl Head {
    /// As a layer.
    pub(crate) fn layer(&self, device: &Device) -> Linear {
        let layer = Linear::new(&Init::new(0, "head", device), self.shape(), true);
        parameters::with_arrays(layer, self.arrays()).expect("as built")
    }

    /// The head without weights for features that hardly vary over `h`, the samples that it was fitted to; what they say of the mean
    /// sample goes into the bias. A probe makes of them as much as of all others. But as soon as an encoder learns, they move by far
    /// more than they varied, and would outvote the others.
    pub(crate) fn without_still_features(mut self, h: Rows) -> Self {
        let [width, outputs] = self.shape();
        let (mean, squares) = mean_and_squares(h);
        let least = STILL * STILL * squares.iter().sum::<f64>() / width as f64;
        for feature in (0..width).filter(|&feature| squares[feature] < least) {
            let weights = &mut self.weight[feature * outputs..][..outputs];
            for (bias, weight) in self.bias.iter_mut().zip(weights) {
                *bias += *weight * mean[feature] as f32;
                *weight = 0.0;
            }
        }
        self
    }

    /// What it makes of features, `[rows, outputs]`.
    pub(crate) fn outputs(&self, h: FeatureTable, device: &Device) -> Vec<f32> {
        let shape = [h.len(), h.dim];
        to_vec(self.layer(device).forward(Tensor::<2>::from_data(TensorData::new(h.values, shape), device)))
    }

    /// Width of `h`, and outputs.
    fn shape(&self) -> [usize; 2] {
        [self.weight.len() / self.bias.len(), self.bias.len()]
    }

    /// What the formats of other tools know of it.
    fn described(&self, meaning: Meaning) -> DescribedHead {
        let [width, outputs] = self.shape();
        let Tested { samples, score, interval: [low, high], .. } = meaning.tested;
        DescribedHead {
            weight: Values { shape: vec![width, outputs], values: self.weight.clone() }.transposed(),
            bias: Values { shape: vec![outputs], values: self.bias.clone() },
            reading: match meaning.task {
                Task::Classes => Reading::Classes,
                Task::MultiLabel => Reading::Labels,
                Task::Numbers => Reading::Numbers,
            },
            temperature: meaning.temperature as f32,
            tested: format!("On {samples} test samples: {} {score:.3} ({low:.3} – {high:.3}).", meaning.score_name()),
            names: meaning.names,
        }
    }

    fn arrays(&self) -> BTreeMap<String, Array> {
        let [width, outputs] = self.shape();
        let array = |shape: &[usize], values: &[f32]| Array { shape: shape.to_vec(), values: values.to_vec() };
        [
            ("weight".to_owned(), array(&[width, outputs], &self.weight)),
            ("bias".to_owned(), array(&[outputs], &self.bias)),
        ]
        .into()
    }
}

/// What a head's outputs mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meaning {
    /// What is told of a sample.
    pub task: Task,
    /// Names of the classes, labels or numbers, one per output.
    pub names: Vec<String>,
    /// How the head was fitted: `probe` or `finetune`.
    pub fitted_by: String,
    /// The labeled data.
    pub labels_from: DataOrigin,
    /// Labeled samples that it was fitted to.
    pub labeled: usize,
    /// What outputs are divided by before they become probabilities.
    pub temperature: f64,
    /// Held-out samples by which the temperature was found; with none it is 1.
    pub calibrated_on: usize,
    /// What it was worth on the test samples.
    pub tested: Tested,
}

/// What a predictor was worth on test samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// Test samples.
    pub samples: usize,
    /// Accuracy of classes, macro AUROC of labels, R² of numbers.
    pub score: f64,
    /// Its 95 % interval, over the test samples.
    pub interval: [f64; 2],
    /// [`calibration_error`](selfsame_evaluate::calibration::calibration_error) with a temperature of 1, and with the predictor's;
    /// numbers have none.
    pub calibration_error: Option<[f64; 2]>,
}

impl Meaning {
    /// What the score of [`Tested`] is called.
    pub fn score_name(&self) -> &'static str {
        match self.task {
            Task::Classes => "accuracy",
            Task::MultiLabel => "macro AUROC",
            Task::Numbers => "R²",
        }
    }

    /// The probabilities that outputs `[samples, names]` stand for, or the numbers that they are.
    fn read(&self, outputs: Vec<f32>) -> Vec<f32> {
        match self.task {
            Task::Numbers => outputs,
            task => probabilities(&outputs, self.names.len(), task == Task::Classes, self.temperature),
        }
    }
}

/// `predictor.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct PredictorConfig {
    format: u64,
    #[serde(flatten)]
    meaning: Meaning,
    /// Hash of the weights of the encoder that the head belongs to.
    encoder: String,
    /// The head's weights.
    head: SealedFile,
}

/// An encoder with a head, ready to be fed.
pub struct Predictor {
    plan: Plan,
    branch: Branch,
    meaning: Meaning,
}

/// What is said of some samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Index of each sample in its data set. Those that cannot be read are not among them.
    pub indices: Vec<usize>,
    /// Probabilities of the classes or labels, or numbers, `[samples, names]`.
    pub values: Vec<f32>,
}

impl Predictor {
    /// The predictor in a folder.
    ///
    /// # Errors
    /// If there is none, or it is not what was written.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::load_with(&Catalogue::default(), path)
    }

    /// As [`Self::load`], with other backbones than those of this crate.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn load_with(catalogue: &Catalogue, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let folder = EncoderFolder::open(path)?;
        let Some((head, meaning)) = head_of(&folder)? else {
            let problem =
                format!("has an encoder and no head (no {CONFIG}); fit one to labels by a probe or by fine-tuning");
            return Err(Error::run(path, problem));
        };
        let plan = catalogue.load_encoder(&folder)?;
        let device = device::open(&plan.device)?;
        let encoder = folder.load_with(plan.backbones(), &device)?;
        let branch = Branch { encoder, projector: Projector::linear(head.layer(&device)) };
        Ok(Self { plan, branch, meaning })
    }

    /// What the outputs mean.
    pub fn meaning(&self) -> &Meaning {
        &self.meaning
    }

    /// How the encoder is fed.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Predicts for every sample that can be read; each batch goes to `sink`, and memory does not grow with the data.
    ///
    /// # Errors
    /// If too many samples cannot be read, or an output is not finite.
    pub fn for_each_batch(
        &self,
        dataset: &Arc<Dataset>,
        mut sink: impl FnMut(Predictions) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let names = &self.meaning.names;
        let loader = EvalLoader::new(dataset.clone(), self.plan.plain_view()?, None)?;
        for_each_batch(
            &self.branch,
            self.plan.train.precision,
            loader,
            Wanted { z: true, ..Wanted::default() },
            |batch| {
                if let Some(at) = batch.z.iter().position(|output| !output.is_finite()) {
                    let id = dataset.id(batch.indices[at / names.len()]);
                    return Err(DataError::Data(format!("{id}: an output is not finite (NaN or infinity)")).into());
                }
                sink(Predictions { indices: batch.indices, values: self.meaning.read(batch.z) })
            },
        )?;
        Ok(dataset.check_bad_share()?)
    }

    /// Predictions for every sample of the folder or file at `path`.
    ///
    /// # Errors
    /// If the data cannot be read, or not enough of them.
    pub fn predict_path(&self, path: impl AsRef<Path>) -> Result<Predictions, Error> {
        let mut all = Predictions::default();
        self.for_each_batch(&Arc::new(self.plan.sibling(path.as_ref(), 0)?), |batch| {
            all.indices.extend(batch.indices);
            all.values.extend(batch.values);
            Ok(())
        })?;
        Ok(all)
    }
}

/// The head beside the encoder of a folder, and what its outputs mean; `None` if it has none.
///
/// # Errors
/// If there is one, and it is not what was written.
pub fn head_of(folder: &EncoderFolder) -> Result<Option<(Head, Meaning)>, Error> {
    let path = folder.path();
    if !path.join(CONFIG).exists() {
        return Ok(None);
    }
    let unusable = |problem: Unusable| Error::run(path, problem.to_string());
    let config: PredictorConfig = seal::open(path, CONFIG, FORMAT).map_err(unusable)?;
    if config.encoder != folder.config().weights.blake3 {
        return Err(Error::run(path, format!("the head of {CONFIG} belongs to another encoder than {WEIGHTS}")));
    }
    let head = parameters::from_safetensors(&config.head.read(path).map_err(unusable)?);
    let mut head = head.map_err(|problem| Error::run(path.join(HEAD), problem))?;
    let mut take = |name: &str| head.remove(name).map(|array| array.values).unwrap_or_default();
    let (head, outputs) = (Head { weight: take("weight"), bias: take("bias") }, config.meaning.names.len());
    if head.bias.len() != outputs || head.weight.len() != outputs * folder.config().width || outputs == 0 {
        return Err(Error::run(path.join(HEAD), format!("is no map from h to the {outputs} outputs of {CONFIG}")));
    }
    Ok(Some((head, config.meaning)))
}

/// [`EncoderFolder::described`], with the head beside the encoder, if it has one.
///
/// # Errors
/// As for [`head_of`], or if the weights are no safetensors.
pub fn described(folder: &EncoderFolder, scores: Vec<card::Row>) -> Result<Described, Error> {
    let head = head_of(folder)?.map(|(head, meaning)| head.described(meaning));
    Ok(Described { head, ..folder.described(scores)? })
}

/// Writes a folder again, elsewhere, with a model card that has these scores, and with its head, if it has one.
///
/// # Errors
/// As for [`described`], or if there is something in the way.
pub fn save(folder: &EncoderFolder, path: &Path, scores: Vec<card::Row>) -> Result<(), Error> {
    let head = head_of(folder)?;
    folder.save(path, scores)?;
    match head {
        None => Ok(()),
        Some((head, meaning)) => write_head(path, &head, &meaning, folder.config().weights.clone()),
    }
}

/// Writes `encoder`, which `plan` has trained or which was tuned from that, with a head into the folder `path`; what makes it a
/// predictor comes last.
///
/// # Errors
/// If there is something in the way.
pub fn write(path: &Path, encoder: &Encoder, plan: &Plan, head: &Head, meaning: &Meaning) -> Result<(), Error> {
    let trained = Run::existing(&plan.out)?.progress()?;
    let trained = trained.ok_or_else(|| Error::run(&plan.out, "has no encoder"))?;
    atomic::make_free(path)?;
    write_head(path, head, meaning, EncoderFolder::write(path, encoder, plan, trained)?)
}

/// Writes a head beside the encoder with these `weights`; what says that it is there last.
fn write_head(path: &Path, head: &Head, meaning: &Meaning, weights: SealedFile) -> Result<(), Error> {
    let bytes = parameters::to_safetensors(&head.arrays());
    let config = PredictorConfig {
        format: FORMAT,
        meaning: meaning.clone(),
        encoder: weights.blake3,
        head: SealedFile::of(HEAD, &bytes),
    };
    atomic::write(&path.join(HEAD), &bytes)?;
    Ok(atomic::write(&path.join(CONFIG), &seal::seal(&config))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_hardly_vary_have_no_weight_where_a_training_starts() {
        // Two features vary, one does by a thousandth, about 3, and one not at all.
        let h: Vec<f32> = [[1.0, -2.0, 3.001, 0.5], [-1.0, 0.0, 2.999, 0.5], [0.0, 2.0, 3.0, 0.5]].concat();
        let head = Head { weight: vec![1.0, 2.0, 3.0, 4.0, 1000.0, -500.0, 8.0, 0.0], bias: vec![0.25, -3000.0] };
        let settled = head.clone().without_still_features(Rows::new(&h, 4));
        assert_eq!(settled.weight, [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(settled.bias, [0.25 + 3000.0 + 4.0, -3000.0 - 1500.0]);
        // Where all vary alike, nothing changes, however small they are.
        let small: Vec<f32> = [[1e-6, -2e-6], [-1e-6, 1e-6]].concat();
        let head = Head { weight: vec![1e6, 2e6], bias: vec![0.0] };
        assert_eq!(head.clone().without_still_features(Rows::new(&small, 2)), head);
    }
}
