//! Representations of a data set, batch by batch: what evaluation and export read.

use crate::backbone::{Encoder, Output};
use crate::branch::Branch;
use crate::device::Kernels;
use crate::error::Error;
use crate::inference::Inference;
use crate::plan::Plan;
use crate::tensor::layers::Pass;
use crate::tensor::{parameters, to_vec, view_to_device};
use crate::train_settings::Precision;
use burn::module::Module;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_data::attributes::attributes;
use selfsame_data::dataset::Dataset;
use selfsame_data::fixed::Fixed;
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::features::{FeatureTable, Rows};
use selfsame_evaluate::knn;
use selfsame_evaluate::sketch::Sketch;
use selfsame_kernels::profile;
use std::borrow::Cow;
use std::sync::Arc;

/// One batch's features, `[batch, width]` each, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureBatch {
    /// Index of each row in its data set.
    pub indices: Vec<usize>,
    /// `h = f(x)`, or what of the encoder is wanted in its place.
    pub h: Vec<f32>,
    /// `z = g(h)`, when asked for.
    pub z: Vec<f32>,
    /// The pixels that the encoder saw, or their sketch, when asked for.
    pub raw: Vec<f32>,
    /// Trivial attributes of these pixels, when asked for: see [`selfsame_data::attributes`].
    pub trivial: Vec<f32>,
    /// Features that nothing was learned for, when asked for.
    pub fixed: Vec<f32>,
}

/// Which features are wanted.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// What of the encoder.
    pub of: Output,
    /// Embeddings; `of` is then `h`.
    pub z: bool,
    /// Pixels.
    pub raw: Pixels<'a>,
    /// Trivial attributes of the pixels.
    pub trivial: bool,
    /// What makes features that nothing was learned for.
    pub fixed: Option<&'a Fixed>,
}

/// How pixels are wanted as features.
#[derive(Clone, Copy, Default)]
pub enum Pixels<'a> {
    /// Not at all.
    #[default]
    None,
    /// As they are.
    Whole,
    /// As sketches, where they would take too much memory.
    Sketched(&'a Sketch),
}

impl<'a> Pixels<'a> {
    /// As sketches, where those are needed.
    pub fn kept(sketch: Option<&'a Sketch>) -> Self {
        sketch.map_or(Self::Whole, Self::Sketched)
    }
}

/// What the pixels of training and test data are kept as, where they would take too much memory.
pub fn sketch(plan: &Plan, data: [&Dataset; 2]) -> Option<Sketch> {
    let samples = data.map(Dataset::len).iter().sum();
    Sketch::needed(samples, plan.data.size.area() * plan.data.channels, plan.seed)
}

/// Runs a branch in evaluation mode, at a precision, over the plain views of a loader and hands each batch to `sink`; memory does not grow
/// with the data set. Samples that cannot be read are left out.
///
/// # Errors
/// Also if a weight of the encoder is not finite: activations would hide it, and give all samples the same features.
pub fn for_each_batch(
    branch: &Branch,
    precision: Precision,
    loader: EvalLoader,
    wanted: Wanted,
    mut sink: impl FnMut(FeatureBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    for_each_views(branch, precision, loader, wanted, |views| views.into_iter().try_for_each(&mut sink))
}

/// As [`for_each_batch`], over whatever views the loader makes: `sink` is given each batch's features, an entry per view.
pub fn for_each_views(
    branch: &Branch,
    precision: Precision,
    mut loader: EvalLoader,
    wanted: Wanted,
    mut sink: impl FnMut(Vec<FeatureBatch>) -> Result<(), Error>,
) -> Result<(), Error> {
    Kernels::of_this_process()?;
    if let Some(name) = parameters::first_not_finite(&parameters::arrays(&branch.encoder)) {
        let problem = format!("the encoder's {name} is not finite (NaN or infinity): the encoder has diverged");
        return Err(DataError::Data(problem).into());
    }
    let (inference, projector) = (Inference::new(&branch.encoder, precision), branch.projector.valid());
    let read = inference.reader(wanted.of)?;
    let device = inference.encoder().devices().first().cloned().unwrap_or_default();
    while let Some(views) = loader.next_batch()? {
        let indices = views.indices;
        let all =
            views.groups.into_iter().flat_map(|group| group.data.into_iter().map(move |view| (view, group.shape)));
        let features = all.map(|(pixels, shape)| -> Result<FeatureBatch, Error> {
            let image_values = shape.iter().product();
            let trivial = match wanted.trivial {
                true => pixels.chunks_exact(image_values).flat_map(|image| attributes(image, shape)).collect(),
                false => Vec::new(),
            };
            let fixed = wanted.fixed.map_or_else(Vec::new, |fixed| {
                let rows: Vec<_> = pixels.par_chunks_exact(image_values).map(|row| fixed.apply(row, shape)).collect();
                rows.concat()
            });
            let raw = match wanted.raw {
                Pixels::None => Vec::new(),
                Pixels::Whole => without_padding(&pixels).into_owned(),
                Pixels::Sketched(sketch) => sketch.apply(Rows::new(&without_padding(&pixels), image_values)),
            };
            let _phase = profile::phase("embedding");
            let h = read(view_to_device(pixels, shape, &device))?;
            let embeddings = || to_vec(projector.forward(h.clone(), &Pass::evaluate()));
            let z = if wanted.z { inference.within(embeddings) } else { Vec::new() };
            Ok(FeatureBatch { indices: indices.clone(), h: to_vec(h), z, raw, trivial, fixed })
        });
        sink(features.collect::<Result<_, _>>()?)?;
    }
    Ok(())
}

/// The values of views, with the mean, 0, after the end of a signal that is shorter than its view.
fn without_padding(views: &[f32]) -> Cow<'_, [f32]> {
    if views.iter().any(|v| v.is_nan()) {
        views.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect()
    } else {
        views.into()
    }
}

/// The features of some samples of a data set, or of all; a row per sample that could be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// Index of each row in the data set.
    pub indices: Vec<usize>,
    /// Representations.
    pub h: FeatureTable,
    /// Embeddings, when asked for.
    pub z: FeatureTable,
    /// Pixels or their sketches, when asked for.
    pub raw: FeatureTable,
    /// Trivial attributes, when asked for.
    pub trivial: FeatureTable,
    /// Features that nothing was learned for, when asked for.
    pub fixed: FeatureTable,
}

impl Tables {
    /// Embeds the samples `indices`, or all; `progress` is told the number of samples done.
    ///
    /// # Errors
    /// Also if no sample can be read, or if more are unreadable than the plan allows.
    pub fn embed(
        branch: &Branch,
        dataset: &Arc<Dataset>,
        plan: &Plan,
        indices: Option<Vec<usize>>,
        wanted: Wanted,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let mut tables = Self::default();
        let samples = indices.as_ref().map_or(dataset.len(), Vec::len);
        let loader = EvalLoader::new(dataset.clone(), plan.plain_view()?, indices)?;
        for_each_batch(branch, plan.train.precision, loader, wanted, |batch| {
            let FeatureBatch { indices, h, z, raw, trivial, fixed } = batch;
            let all = [
                (&mut tables.h, h),
                (&mut tables.z, z),
                (&mut tables.raw, raw),
                (&mut tables.trivial, trivial),
                (&mut tables.fixed, fixed),
            ];
            for (table, values) in all {
                // All at once: growing by doubling would take up to three times the memory.
                let width = values.len() / indices.len();
                if table.values.try_reserve_exact((width * samples).saturating_sub(table.values.len())).is_err() {
                    let problem =
                        format!("no memory for {width} features of each of {samples} samples; give fewer samples");
                    return Err(DataError::Data(problem).into());
                }
                table.values.extend(values);
            }
            tables.indices.extend(indices);
            progress(tables.indices.len());
            Ok(())
        })?;
        dataset.check_bad_share()?;
        if tables.indices.is_empty() {
            let problem = format!("{}: not one sample can be read", dataset.path().display());
            return Err(DataError::Data(problem).into());
        }
        let Self { indices, h, z, raw, trivial, fixed } = &mut tables;
        for table in [h, z, raw, trivial, fixed] {
            if !table.values.is_empty() {
                describe(table, dataset, indices);
            }
        }
        Ok(tables)
    }

    /// Gives every table other labels than those of its data: the class of each row, by its index in the data set.
    pub fn relabel(&mut self, classes: &[String], class_of: impl Fn(usize) -> u32) {
        let labels: Vec<u32> = self.indices.iter().map(|&index| class_of(index)).collect();
        let Self { h, z, raw, trivial, fixed, .. } = self;
        for table in [h, z, raw, trivial, fixed].into_iter().filter(|table| !table.is_empty()) {
            (table.labels, table.classes) = (labels.clone(), classes.to_vec());
        }
    }

    /// The rows of these samples, in this order; those that could not be read are left out.
    #[must_use]
    pub fn of_samples(&self, samples: &[usize]) -> Self {
        let place: std::collections::HashMap<usize, usize> =
            self.indices.iter().enumerate().map(|(row, &index)| (index, row)).collect();
        let rows: Vec<usize> = samples.iter().filter_map(|sample| place.get(sample).copied()).collect();
        Self {
            indices: rows.iter().map(|&row| self.indices[row]).collect(),
            h: picked(&self.h, &rows),
            z: picked(&self.z, &rows),
            raw: picked(&self.raw, &rows),
            trivial: picked(&self.trivial, &rows),
            fixed: picked(&self.fixed, &rows),
        }
    }
}

/// Some rows of a table.
fn picked(table: &FeatureTable, rows: &[usize]) -> FeatureTable {
    if table.is_empty() {
        return FeatureTable::default();
    }
    FeatureTable {
        values: rows.iter().flat_map(|&row| table.row(row)).copied().collect(),
        dim: table.dim,
        ids: rows.iter().map(|&row| table.ids[row].clone()).collect(),
        labels: rows.iter().filter_map(|&row| table.labels.get(row).copied()).collect(),
        classes: table.classes.clone(),
    }
}

/// Fills in ids and labels of a table that has its values.
fn describe(table: &mut FeatureTable, dataset: &Dataset, indices: &[usize]) {
    table.dim = table.values.len() / indices.len().max(1);
    table.ids = indices.iter().map(|&index| dataset.id(index)).collect();
    table.labels = indices.iter().filter_map(|&index| dataset.label(index)).collect();
    table.classes = dataset.classes().to_vec();
}

/// Share of `queries` that the encoder's kNN over `bank` classifies correctly.
///
/// # Errors
/// Also if a sample's features are not finite.
pub fn online_knn(
    encoder: &Encoder,
    dataset: &Arc<Dataset>,
    plan: &Plan,
    bank: Vec<usize>,
    queries: Vec<usize>,
) -> Result<f64, Error> {
    let branch = Branch::without_projector(encoder.clone());
    let table = |indices: Vec<usize>| -> Result<FeatureTable, Error> {
        Ok(Tables::embed(&branch, dataset, plan, Some(indices), Wanted::default(), &mut |_| {})?.h)
    };
    let (bank, queries, settings) = (table(bank)?, table(queries)?, &plan.evaluate);
    Ok(knn::score(&bank, &queries, settings.knn_k, settings.knn_temperature)?)
}
