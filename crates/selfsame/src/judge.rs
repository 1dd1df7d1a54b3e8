//! How good an encoder is while it is trained, without labels: by what a run may keep its best checkpoint.

use crate::branch::Branch;
use crate::embed::{Tables, Wanted, for_each_views};
use crate::error::Error;
use crate::plan::Plan;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::dataset::Dataset;
use selfsame_data::loader::EvalLoader;
use selfsame_evaluate::collapse::gauge;
use selfsame_evaluate::features::Rows;
use std::sync::Arc;

/// Samples that are looked at, at most: the same at every epoch.
const SAMPLES: usize = 1000;
/// Samples of which augmented views are made, at most, and views of each.
const VIEWED: [usize; 2] = [400, 8];

fn samples(dataset: &Dataset, plan: &Plan, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    StreamRng::new(plan.seed, Purpose::Survey, 3, 0, 0).shuffle(&mut order);
    order.truncate(count);
    order
}

/// Effective rank of the centered embeddings of samples as they are; of `h` where there is no projector.
///
/// # Errors
/// If samples cannot be read.
pub fn effective_rank(branch: &Branch, dataset: &Arc<Dataset>, plan: &Plan) -> Result<f64, Error> {
    let wanted = Wanted { z: branch.has_z(), ..Wanted::default() };
    let tables = Tables::embed(branch, dataset, plan, Some(samples(dataset, plan, SAMPLES)), wanted, &mut |_| {})?;
    let embeddings = if branch.has_z() { tables.z } else { tables.h };
    Ok(gauge(embeddings.rows(), branch.encoder.width()).effective_rank)
}

/// [LiDAR](selfsame_evaluate::lidar) of the embeddings of augmented views; of `h` where there is no projector.
///
/// # Errors
/// If samples cannot be read, or an embedding is not finite.
pub fn lidar(branch: &Branch, dataset: &Arc<Dataset>, plan: &Plan) -> Result<f64, Error> {
    let ([viewed, views], wanted) = (VIEWED, Wanted { z: branch.has_z(), ..Wanted::default() });
    let samples = samples(dataset, plan, viewed);
    let loader = EvalLoader::new(dataset.clone(), plan.augmented_views(views)?, Some(samples))?;
    let (mut values, mut dim) = (Vec::new(), 1);
    for_each_views(branch, plan.train.precision, loader, wanted, |batch| {
        let views: Vec<&[f32]> = batch.iter().map(|view| if branch.has_z() { &view.z[..] } else { &view.h }).collect();
        dim = views[0].len() / batch[0].indices.len();
        // Views of a sample in consecutive rows.
        for row in 0..batch[0].indices.len() {
            views.iter().for_each(|view| values.extend(&view[row * dim..][..dim]));
        }
        Ok(())
    })?;
    dataset.check_bad_share()?;
    Ok(selfsame_evaluate::lidar::lidar(Rows::new(&values, dim), views)?)
}
