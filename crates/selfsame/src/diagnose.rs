//! What a diagnosis looks at: an encoder's passes over samples as they are, over augmented views, and over turned dials.

use crate::branch::Branch;
use crate::embed::{FeatureBatch, Tables, Wanted, for_each_views};
use crate::error::Error;
use crate::plan::Plan;
use crate::tensor::layers::{Draws, Pass, update_running_statistics};
use crate::tensor::view_to_device;
use burn::module::Module;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::attributes;
use selfsame_data::augment::{DIALS, Dial};
use selfsame_data::dataset::Dataset;
use selfsame_data::loader::{EvalLoader, EvalPlan};
use selfsame_data::modality::Modality;
use selfsame_evaluate::diagnosis::{self, Diagnoses};
use selfsame_evaluate::features::Rows;
use selfsame_evaluate::invariance::{DialRange, Profile, Turned};
use selfsame_evaluate::measurements::Observed;
use selfsame_evaluate::representation::{MeasuredOn, RepresentationName};
use selfsame_evaluate::shortcut::TrivialAttributes;
use selfsame_evaluate::training::Training;
use std::sync::Arc;

/// Samples of a diagnosis, unless said otherwise: at least eight per dimension for widths up to 512.
pub const SAMPLES: usize = 4096;
/// Samples of which augmented views are made, and views of each.
pub const VIEWED: [usize; 2] = [1000, 10];
/// Batches after which running statistics have settled: each moves them a tenth of the way, and 0.9⁴⁸ is 0.6 %.
const SETTLING_UPDATES: usize = 48;
/// Samples of an invariance profile.
pub const PROFILED: usize = 512;

/// Whose representation is looked at, on what.
#[derive(Clone, Copy)]
pub struct Examined<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The branch as it is.
    pub branch: &'a Branch,
    /// The data.
    pub dataset: &'a Arc<Dataset>,
}

/// Features of views of some samples.
#[derive(Default)]
pub struct ViewFeatures {
    /// Representations.
    pub h: Vec<f32>,
    /// Embeddings, where there is a projector.
    pub z: Vec<f32>,
}

impl Examined<'_> {
    /// `count` samples of the data, the same for every run of a seed, in random order; fewer are the first of more.
    pub fn samples(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        StreamRng::new(self.plan.seed, Purpose::Survey, 2, 0, 0).shuffle(&mut order);
        order.truncate(count);
        order
    }

    /// Whether there is a `z` beside `h`.
    pub fn has_z(&self) -> bool {
        self.branch.has_z()
    }

    /// Features of up to `count` samples as they are, with all that a diagnosis asks for: one pass over the data, which may
    /// serve everything else that looks at them. `progress` is told the number of samples done.
    pub fn embed(&self, count: usize, progress: &mut dyn FnMut(usize)) -> Result<Tables, Error> {
        let trivial = self.plan.data.modality == Modality::Image;
        let wanted = Wanted { z: self.has_z(), trivial, ..Wanted::default() };
        Tables::embed(self.branch, self.dataset, self.plan, Some(self.samples(count)), wanted, progress)
    }

    fn pass(&self, views: EvalPlan, samples: Vec<usize>, mut sink: impl FnMut(Vec<FeatureBatch>)) -> Result<(), Error> {
        let loader = EvalLoader::new(self.dataset.clone(), views, Some(samples))?;
        for_each_views(
            self.branch,
            self.plan.train.precision,
            loader,
            Wanted { z: self.has_z(), ..Wanted::default() },
            |views| {
                sink(views);
                Ok(())
            },
        )?;
        Ok(self.dataset.check_bad_share()?)
    }

    /// Features of `views` augmented views of each sample, those of a sample in consecutive rows.
    fn augmented(
        &self,
        samples: Vec<usize>,
        views: usize,
        progress: &mut dyn FnMut(usize),
    ) -> Result<ViewFeatures, Error> {
        let mut seen = ViewFeatures::default();
        self.pass(self.plan.augmented_views(views)?, samples, |batch| {
            let count = batch[0].indices.len();
            for sample in 0..count {
                for view in &batch {
                    for (seen, values) in [(&mut seen.h, &view.h), (&mut seen.z, &view.z)] {
                        let dim = values.len() / count;
                        seen.extend_from_slice(&values[sample * dim..][..dim]);
                    }
                }
            }
            progress(count * batch.len());
        })?;
        Ok(seen)
    }
}

/// Passes of [`observe`] over `samples` samples, for a progress bar.
pub fn passes(samples: usize) -> usize {
    samples + VIEWED[0].min(samples) * VIEWED[1]
}

/// What a diagnosis looks at, of the same samples throughout.
pub struct Observations<'a> {
    /// Features and trivial attributes of the samples as they are.
    pub plain: &'a Tables,
    /// Features by the untrained twin.
    pub untrained: Tables,
    /// Features of augmented views, those of a sample in consecutive rows, of the first samples.
    pub viewed: ViewFeatures,
    /// Views of each.
    pub views: usize,
    /// Kinds of the trivial attributes; none of vectors.
    pub kinds: Vec<(&'static str, usize)>,
    /// What is known of the training.
    pub training: Training,
}

/// Looks at the samples of `plain`, which [`Examined::embed`] made, or an evaluation. `untrained` is the same plan's branch before
/// training. `progress` is told how many more passes are done.
pub fn observe<'a>(
    examined: Examined,
    untrained: &Branch,
    plain: &'a Tables,
    training: Training,
    progress: &mut dyn FnMut(usize),
) -> Result<Observations<'a>, Error> {
    let ([viewed, views], dataset) = (VIEWED, examined.dataset);
    let chosen = plain.indices.clone();
    let twin = settled(examined, untrained.clone())?;
    let wanted = Wanted { z: examined.has_z(), ..Wanted::default() };
    let mut done = 0;
    let untrained = Tables::embed(&twin, dataset, examined.plan, Some(chosen.clone()), wanted, &mut |all| {
        progress(all - std::mem::replace(&mut done, all));
    })?;
    let viewed = examined.augmented(chosen.into_iter().take(viewed).collect(), views, progress)?;
    let kinds = match dataset.modality() {
        Modality::Image => attributes::kinds(dataset.channels()).to_vec(),
        Modality::Vector | Modality::Signal => Vec::new(),
    };
    Ok(Observations { plain, untrained, viewed, views, kinds, training })
}

impl Observations<'_> {
    /// Diagnoses `h` and, where there is a projector, `z`.
    pub fn diagnose(&self) -> Result<Diagnoses, Error> {
        let Self { plain, untrained, viewed, training, .. } = self;
        let trivial =
            (!self.kinds.is_empty()).then(|| TrivialAttributes { values: plain.trivial.rows(), kinds: &self.kinds });
        let of = |plain: Rows, untrained: Rows, viewed: &[f32], source_dim| {
            diagnosis::diagnose(&Observed {
                embeddings: plain,
                views: Some((Rows::new(viewed, plain.dim), self.views)),
                untrained: Some(untrained),
                trivial,
                source_dim,
                training: Some(training),
            })
        };
        let h = of(plain.h.rows(), untrained.h.rows(), &viewed.h, None)?;
        if plain.z.values.is_empty() {
            return Ok([(RepresentationName::H, h)].into());
        }
        let z = of(plain.z.rows(), untrained.z.rows(), &viewed.z, Some(plain.h.dim))?;
        Ok([(RepresentationName::H, h.knowing(&z)), (RepresentationName::Z, z)].into())
    }
}

/// The untrained branch with the running statistics that its normalization layers would have if no weight had moved: so that a
/// change of these statistics is not taken for a change of the encoder. After [`SETTLING_UPDATES`] batches of the data,
/// whatever the number of samples that are looked at: the same twin for any.
fn settled(examined: Examined, untrained: Branch) -> Result<Branch, Error> {
    let (device, mut branch) = (untrained.devices().first().cloned().unwrap_or_default(), untrained);
    let order = examined.samples(usize::MAX);
    let batch = examined.plan.evaluation_batching().batch_size;
    let samples = order.iter().copied().cycle().take(SETTLING_UPDATES * batch).collect();
    let mut loader = EvalLoader::new(examined.dataset.clone(), examined.plan.augmented_views(1)?, Some(samples))?;
    for update in 0..SETTLING_UPDATES {
        let Some(views) = loader.next_batch()? else { break };
        let group = views.groups.into_iter().next().expect("one view");
        let pixels = group.data.into_iter().next().expect("one view");
        let pass = Pass::train(Draws::new(examined.plan.seed, update as u64, &views.indices));
        branch.forward(view_to_device(pixels, group.shape, &device), &pass);
        branch = update_running_statistics(branch, pass.into_statistics());
    }
    Ok(branch)
}

/// The invariance profile over the first [`PROFILED`] samples of `plain`. `progress` is told how many dials are done, and of
/// how many.
pub fn invariance(
    examined: Examined,
    plain: &Tables,
    measured_on: MeasuredOn,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Profile, Error> {
    let samples: Vec<usize> = plain.indices.iter().copied().take(PROFILED).collect();
    let plain = plain.of_samples(&samples);
    let mut untouched = vec![(RepresentationName::H, plain.h.rows())];
    if examined.has_z() {
        untouched.push((RepresentationName::Z, plain.z.rows()));
    }
    let mut profile = Profile::new(measured_on, &untouched)?;
    for (done, dial) in DIALS.iter().enumerate() {
        progress(done, DIALS.len());
        let (data, batching) = (&examined.plan.data, examined.plan.evaluation_batching());
        let Some(views) = EvalPlan::turned(data, batching, dial) else { continue };
        let mut turned: Vec<ViewFeatures> = dial.strengths.iter().map(|_| ViewFeatures::default()).collect();
        examined.pass(views, samples.clone(), |batch| {
            for (turned, view) in turned.iter_mut().zip(batch) {
                turned.h.extend(view.h);
                turned.z.extend(view.z);
            }
        })?;
        let (h, z): (Vec<_>, Vec<_>) = turned.into_iter().map(|seen| (seen.h, seen.z)).unzip();
        let features: Vec<Turned> = untouched
            .iter()
            .zip([&h, &z])
            .map(|((name, plain), turned)| Turned { name, plain: *plain, turned })
            .collect();
        profile.add(range(dial), &features)?;
    }
    Ok(profile)
}

/// A dial as the evaluation knows it.
fn range(dial: &Dial) -> DialRange {
    DialRange {
        augmentation: dial.augmentation.into(),
        parameter: dial.parameter.into(),
        unit: dial.unit.into(),
        neutral: dial.neutral,
        strengths: dial.strengths.to_vec(),
    }
}
