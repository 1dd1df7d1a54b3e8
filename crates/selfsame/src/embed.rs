//! Representations of a data set, batch by batch: what evaluation and export read.

use crate::backbones::Encoder;
use crate::error::Error;
use crate::method::Branch;
use crate::tensor::layers::Pass;
use crate::tensor::{to_vec, view_to_device};
use burn::module::Module;
use selfsame_data::config::Plan;
use selfsame_data::dataset::Dataset;
use selfsame_data::evaluate::knn::{self, Neighbours};
use selfsame_data::features::FeatureTable;
use selfsame_data::views::{EvalLoader, EvalPlan};
use std::sync::Arc;

/// One batch's features, `[batch, width]` each, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeatureBatch {
    /// Index of each row in its data set.
    pub indices: Vec<usize>,
    /// `h = f(x)`.
    pub h: Vec<f32>,
    /// `z = g(h)`, when asked for.
    pub z: Vec<f32>,
    /// The pixels that the encoder saw, when asked for.
    pub raw: Vec<f32>,
}

/// Which features are wanted beside `h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Embeddings.
    pub z: bool,
    /// Pixels.
    pub raw: bool,
}

/// Runs a branch over `indices` of a data set in evaluation mode and hands each batch to `sink`; memory does not grow
/// with the data set. Samples that cannot be read are left out.
pub fn for_each_batch(
    branch: &Branch,
    dataset: &Arc<Dataset>,
    plan: &Plan,
    indices: Option<Vec<usize>>,
    wanted: Wanted,
    mut sink: impl FnMut(FeatureBatch) -> Result<(), Error>,
) -> Result<(), Error> {
    let loader = EvalLoader::new(dataset.clone(), EvalPlan::new(plan)?, indices)?;
    for_each_views(branch, loader, wanted, |mut views| sink(views.pop().expect("one plain view")))
}

/// As [`for_each_batch`], over whatever views the loader makes: `sink` is given each batch's features, an entry a view.
pub fn for_each_views(
    branch: &Branch,
    mut loader: EvalLoader,
    wanted: Wanted,
    mut sink: impl FnMut(Vec<FeatureBatch>) -> Result<(), Error>,
) -> Result<(), Error> {
    let pass = Pass::evaluate();
    let (encoder, projector) = (branch.encoder.for_inference(), branch.projector.valid());
    let device = encoder.devices().first().cloned().unwrap_or_default();
    while let Some(views) = loader.next_batch()? {
        let indices = views.indices;
        let all =
            views.groups.into_iter().flat_map(|group| group.data.into_iter().map(move |view| (view, group.shape)));
        let features = all.map(|(pixels, shape)| {
            let raw = if wanted.raw { pixels.clone() } else { Vec::new() };
            let h = encoder.forward(view_to_device(pixels, shape, &device), &pass);
            let z = if wanted.z { to_vec(projector.forward(h.clone(), &pass)) } else { Vec::new() };
            FeatureBatch { indices: indices.clone(), h: to_vec(h), z, raw }
        });
        sink(features.collect())?;
    }
    Ok(())
}

/// The tables that an evaluation compares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    /// Representations.
    pub h: FeatureTable,
    /// Embeddings.
    pub z: FeatureTable,
    /// Pixels.
    pub raw: FeatureTable,
}

/// The tables of a whole data set; `progress` is told the number of samples done.
pub fn tables(
    branch: &Branch,
    dataset: &Arc<Dataset>,
    plan: &Plan,
    wanted: Wanted,
    progress: &mut dyn FnMut(usize),
) -> Result<Tables, Error> {
    let mut tables = Tables::default();
    let mut indices = Vec::new();
    for_each_batch(branch, dataset, plan, None, wanted, |batch| {
        tables.h.values.extend(batch.h);
        tables.z.values.extend(batch.z);
        tables.raw.values.extend(batch.raw);
        indices.extend(batch.indices);
        progress(indices.len());
        Ok(())
    })?;
    for table in [&mut tables.h, &mut tables.z, &mut tables.raw] {
        if !table.values.is_empty() {
            describe(table, dataset, &indices);
        }
    }
    Ok(tables)
}

/// Representations `h` of the samples `indices`, and which of them could be read; `progress` is told the number of samples
/// done.
pub fn representations(
    branch: &Branch,
    dataset: &Arc<Dataset>,
    plan: &Plan,
    indices: Vec<usize>,
    progress: &mut dyn FnMut(usize),
) -> Result<(FeatureTable, Vec<usize>), Error> {
    let (mut table, mut seen) = (FeatureTable::default(), Vec::new());
    for_each_batch(branch, dataset, plan, Some(indices), Wanted::default(), |batch| {
        table.values.extend(batch.h);
        seen.extend(batch.indices);
        progress(seen.len());
        Ok(())
    })?;
    describe(&mut table, dataset, &seen);
    Ok((table, seen))
}

/// Fills in ids and labels of a table whose values are there.
fn describe(table: &mut FeatureTable, dataset: &Dataset, indices: &[usize]) {
    table.dim = table.values.len() / indices.len().max(1);
    table.ids = indices.iter().map(|&index| dataset.id(index)).collect();
    table.labels = indices.iter().filter_map(|&index| dataset.label(index)).collect();
    table.classes = dataset.classes().to_vec();
}

/// Share of `queries` that the encoder's kNN over `bank` classifies rightly.
pub fn online_knn(
    encoder: &Encoder,
    dataset: &Arc<Dataset>,
    plan: &Plan,
    bank: Vec<usize>,
    queries: Vec<usize>,
) -> Result<f64, Error> {
    let branch = Branch { encoder: encoder.clone(), projector: crate::projector::Projector::identity(encoder.width()) };
    let table = |indices: Vec<usize>| -> Result<FeatureTable, Error> {
        Ok(representations(&branch, dataset, plan, indices, &mut |_| {})?.0)
    };
    let (bank, queries, settings) = (table(bank)?, table(queries)?, &plan.evaluate);
    let k = settings.knn_k.min(bank.len());
    let neighbours = Neighbours::find(queries.rows(), bank.rows(), k);
    let predicted = neighbours.vote(&bank.labels, bank.classes.len(), k, settings.knn_temperature);
    Ok(knn::accuracy(&predicted, &queries.labels))
}
