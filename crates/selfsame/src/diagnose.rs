//! What a diagnosis looks at: an encoder's passes over samples as they are, over augmented views, and over turned dials.

use crate::embed::{FeatureBatch, Wanted, for_each_views};
use crate::error::Error;
use crate::method::Branch;
use crate::tensor::layers::{Draws, Pass, update_running_statistics};
use crate::tensor::view_to_device;
use burn::module::Module;
use selfsame_data::augment::DIALS;
use selfsame_data::config::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::evaluate::diagnosis::{self, Diagnoses, Observed};
use selfsame_data::evaluate::invariance::{Profile, response};
use selfsame_data::evaluate::shortcut;
use selfsame_data::features::Rows;
use selfsame_data::rng::{Purpose, StreamRng};
use selfsame_data::views::{EvalLoader, EvalPlan};
use std::sync::Arc;

/// Samples of a diagnosis, unless said otherwise: for widths up to 512 eight for each dimension.
pub const SAMPLES: usize = 4096;
/// Samples of which augmented views are made, and views of each.
pub const VIEWED: [usize; 2] = [1000, 10];
/// Passes over the samples after which running statistics have settled: each batch moves them a tenth of the way.
const SETTLING_ROUNDS: u64 = 3;
/// Samples of an invariance profile.
pub const PROFILED: usize = 512;

/// Who is diagnosed, on what.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The branch as it is.
    pub branch: &'a Branch,
    /// The data.
    pub dataset: &'a Arc<Dataset>,
}

/// Features of one pass.
#[derive(Default)]
struct Seen {
    h: Vec<f32>,
    z: Vec<f32>,
    trivial: Vec<f32>,
}

impl Subject<'_> {
    /// `count` samples of the data, the same for every run of a seed, in random order.
    fn samples(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        StreamRng::new(self.plan.seed, Purpose::Survey, 2, 0, 0).shuffle(&mut order);
        order.truncate(count);
        order
    }

    fn wanted(&self) -> Wanted {
        Wanted { z: self.plan.projector.layers > 0, raw: false }
    }

    fn pass(&self, views: EvalPlan, samples: Vec<usize>, mut sink: impl FnMut(Vec<FeatureBatch>)) -> Result<(), Error> {
        let loader = EvalLoader::new(self.dataset.clone(), views, Some(samples))?;
        for_each_views(self.branch, loader, self.wanted(), |views| {
            sink(views);
            Ok(())
        })?;
        Ok(self.dataset.check_bad_share()?)
    }

    /// Features of the samples as they are, with what is trivial about them.
    fn plain(&self, samples: Vec<usize>, progress: &mut dyn FnMut(usize)) -> Result<Seen, Error> {
        let channels = self.dataset.channels();
        let (mut seen, wanted) = (Seen::default(), Wanted { raw: true, ..self.wanted() });
        let loader = EvalLoader::new(self.dataset.clone(), EvalPlan::new(self.plan)?, Some(samples))?;
        for_each_views(self.branch, loader, wanted, |mut views| {
            let batch = views.pop().expect("one plain view");
            let pixels = batch.raw.len() / batch.indices.len();
            seen.trivial.extend(batch.raw.chunks_exact(pixels).flat_map(|image| shortcut::attributes(image, channels)));
            seen.h.extend(batch.h);
            seen.z.extend(batch.z);
            progress(batch.indices.len());
            Ok(())
        })?;
        self.dataset.check_bad_share()?;
        Ok(seen)
    }

    /// Features of `views` augmented views of each sample, those of a sample in consecutive rows.
    fn augmented(&self, samples: Vec<usize>, views: usize, progress: &mut dyn FnMut(usize)) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        self.pass(EvalPlan::augmented(self.plan, views)?, samples, |batch| {
            let count = batch[0].indices.len();
            for sample in 0..count {
                for view in &batch {
                    let row = |values: &[f32]| {
                        let dim = values.len() / count;
                        values[sample * dim..][..dim].to_vec()
                    };
                    seen.h.extend(row(&view.h));
                    seen.z.extend(row(&view.z));
                }
            }
            progress(count * batch.len());
        })?;
        Ok(seen)
    }
}

/// Passes of a diagnosis over up to `samples` samples, for a progress bar.
pub fn passes(dataset: &Dataset, samples: usize) -> usize {
    let samples = samples.min(dataset.len());
    2 * samples + VIEWED[0].min(samples) * VIEWED[1]
}

/// Diagnoses `h` and, where there is a projector, `z`, over up to `samples` samples. `untrained` is the same plan's branch
/// before training; `epochs` are those that the training has made. `progress` is told how many passes more are done.
pub fn diagnose(
    subject: Subject,
    untrained: &Branch,
    epochs: Option<f64>,
    samples: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Diagnoses, Error> {
    let [viewed, views] = VIEWED;
    let chosen = subject.samples(samples);
    let plain = subject.plain(chosen.clone(), progress)?;
    let untrained = settled(subject, untrained.clone(), &chosen)?;
    let before = Subject { branch: &untrained, ..subject }.plain(chosen.clone(), progress)?;
    let turned = subject.augmented(chosen.into_iter().take(viewed).collect(), views, progress)?;
    let widths = [subject.branch.encoder.width(), subject.branch.projector.width()];
    let rows = plain.h.len() / widths[0];
    let parts = [("h", &plain.h, &before.h, &turned.h), ("z", &plain.z, &before.z, &turned.z)];
    let mut diagnoses = Vec::new();
    for ((name, plain_rows, before, turned), dim) in parts.into_iter().zip(widths) {
        if name == "z" && !subject.wanted().z {
            continue;
        }
        let trivial = (name == "h").then(|| Rows::new(&plain.trivial, plain.trivial.len() / rows.max(1)));
        let observed = Observed {
            views: Some((Rows::new(turned, dim), views)),
            untrained: Some(Rows::new(before, dim)),
            trivial,
            epochs,
            ..Observed::new(Rows::new(plain_rows, dim))
        };
        diagnoses.push((name, diagnosis::diagnose(&observed)?));
    }
    Ok(diagnoses)
}

/// The untrained branch with the running statistics that its normalisation layers would have after some epochs in which no
/// weight moved: what training does to them is not what training does to the encoder.
fn settled(subject: Subject, untrained: Branch, samples: &[usize]) -> Result<Branch, Error> {
    let (device, mut branch) = (untrained.devices().first().cloned().unwrap_or_default(), untrained);
    for round in 0..SETTLING_ROUNDS {
        let views = EvalPlan::augmented(subject.plan, 1)?;
        let mut loader = EvalLoader::new(subject.dataset.clone(), views, Some(samples.to_vec()))?;
        while let Some(views) = loader.next_batch()? {
            let group = views.groups.into_iter().next().expect("one view");
            let pixels = group.data.into_iter().next().expect("one view");
            let pass = Pass::train(Draws::new(subject.plan.seed, round, &views.indices));
            branch.forward(view_to_device(pixels, group.shape, &device), &pass);
            branch = update_running_statistics(branch, pass.into_statistics());
        }
    }
    Ok(branch)
}

/// The invariance profile over up to [`PROFILED`] samples. `progress` is told how many dials of how many are done.
pub fn invariance(subject: Subject, progress: &mut dyn FnMut(usize, usize)) -> Result<Profile, Error> {
    let samples = subject.samples(PROFILED);
    let plain = subject.plain(samples.clone(), &mut |_| {})?;
    let named = |seen: Seen| -> Vec<(&'static str, Vec<f32>)> {
        let all = [("h", seen.h), ("z", seen.z)];
        all.into_iter().filter(|(name, _)| *name == "h" || subject.wanted().z).collect()
    };
    let plain = named(plain);
    let widths = [subject.branch.encoder.width(), subject.branch.projector.width()];
    let rows: Vec<_> = plain.iter().zip(widths).map(|((name, values), dim)| (*name, Rows::new(values, dim))).collect();
    let mut profile = Profile::new(&rows)?;
    for (done, dial) in DIALS.iter().enumerate() {
        progress(done, DIALS.len());
        let Some(views) = EvalPlan::turned(subject.plan, dial) else { continue };
        let mut turned: Vec<Seen> = dial.strengths.iter().map(|_| Seen::default()).collect();
        subject.pass(views, samples.clone(), |batch| {
            for (turned, view) in turned.iter_mut().zip(batch) {
                turned.h.extend(view.h);
                turned.z.extend(view.z);
            }
        })?;
        let (h, z): (Vec<_>, Vec<_>) = turned.into_iter().map(|seen| (seen.h, seen.z)).unzip();
        let responses = rows.iter().zip([h, z]).map(|((_, plain), turned)| response(dial, *plain, &turned));
        profile.responses.push((dial, responses.collect()));
    }
    Ok(profile)
}
