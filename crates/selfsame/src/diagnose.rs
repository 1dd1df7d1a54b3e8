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
use selfsame_evaluate::diagnosis::{self, Diagnoses};
use selfsame_evaluate::features::Rows;
use selfsame_evaluate::invariance::{DialRange, Profile, Turned};
use selfsame_evaluate::measurements::Observed;
use selfsame_evaluate::representation::{MeasuredOn, RepresentationName};
use selfsame_evaluate::shortcut::TrivialAttributes;
use std::sync::Arc;

/// Samples of a diagnosis, unless said otherwise: at least eight per dimension for widths up to 512.
pub const SAMPLES: usize = 4096;
/// Samples of which augmented views are made, and views of each.
pub const VIEWED: [usize; 2] = [1000, 10];
/// Passes over the samples, after which running statistics have settled: each batch moves them a tenth of the way.
const SETTLING_ROUNDS: u64 = 3;
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
struct ViewFeatures {
    h: Vec<f32>,
    z: Vec<f32>,
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
        let wanted = Wanted { z: self.has_z(), trivial: true, ..Wanted::default() };
        Tables::embed(self.branch, self.dataset, self.plan, Some(self.samples(count)), wanted, progress)
    }

    fn pass(&self, views: EvalPlan, samples: Vec<usize>, mut sink: impl FnMut(Vec<FeatureBatch>)) -> Result<(), Error> {
        let loader = EvalLoader::new(self.dataset.clone(), views, Some(samples))?;
        for_each_views(self.branch, loader, Wanted { z: self.has_z(), ..Wanted::default() }, |views| {
            sink(views);
            Ok(())
        })?;
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

/// Passes of [`diagnose`] over `samples` samples, for a progress bar.
pub fn passes(samples: usize) -> usize {
    samples + VIEWED[0].min(samples) * VIEWED[1]
}

/// Diagnoses `h` and, where there is a projector, `z`, over the samples of `plain`, which [`Examined::embed`] made, or an
/// evaluation. `untrained` is the same plan's branch before training; `epochs` are those that the training has made.
/// `progress` is told how many more passes are done.
pub fn diagnose(
    examined: Examined,
    untrained: &Branch,
    plain: &Tables,
    epochs: Option<f64>,
    progress: &mut dyn FnMut(usize),
) -> Result<Diagnoses, Error> {
    let [viewed, views] = VIEWED;
    let chosen = plain.indices.clone();
    let untrained = settled(examined, untrained.clone(), &chosen)?;
    let wanted = Wanted { z: examined.has_z(), ..Wanted::default() };
    let (mut done, dataset) = (0, examined.dataset);
    let before = Tables::embed(&untrained, dataset, examined.plan, Some(chosen.clone()), wanted, &mut |all| {
        progress(all - std::mem::replace(&mut done, all));
    })?;
    let turned = examined.augmented(chosen.into_iter().take(viewed).collect(), views, progress)?;
    let names = attributes::names(dataset.channels());
    let of = |name, plain: Rows, before: Rows, turned: &[f32], trivial| -> Result<_, Error> {
        let observed = Observed {
            views: Some((Rows::new(turned, plain.dim), views)),
            untrained: Some(before),
            trivial,
            epochs,
            ..Observed::new(plain)
        };
        Ok((name, diagnosis::diagnose(&observed)?))
    };
    let trivial = Some(TrivialAttributes { values: plain.trivial.rows(), names: &names });
    let mut diagnoses = vec![of(RepresentationName::H, plain.h.rows(), before.h.rows(), &turned.h, trivial)?];
    if examined.has_z() {
        diagnoses.push(of(RepresentationName::Z, plain.z.rows(), before.z.rows(), &turned.z, None)?);
    }
    Ok(diagnoses.into_iter().collect())
}

/// The untrained branch with the running statistics that its normalization layers would have after some epochs in which no
/// weight moved: so that a change of these statistics is not taken for a change of the encoder.
fn settled(examined: Examined, untrained: Branch, samples: &[usize]) -> Result<Branch, Error> {
    let (device, mut branch) = (untrained.devices().first().cloned().unwrap_or_default(), untrained);
    for round in 0..SETTLING_ROUNDS {
        let views = examined.plan.augmented_views(1)?;
        let mut loader = EvalLoader::new(examined.dataset.clone(), views, Some(samples.to_vec()))?;
        while let Some(views) = loader.next_batch()? {
            let group = views.groups.into_iter().next().expect("one view");
            let pixels = group.data.into_iter().next().expect("one view");
            let pass = Pass::train(Draws::new(examined.plan.seed, round, &views.indices));
            branch.forward(view_to_device(pixels, group.shape, &device), &pass);
            branch = update_running_statistics(branch, pass.into_statistics());
        }
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
