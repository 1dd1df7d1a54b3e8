//! The linear probe as a predictor: a head on the frozen encoder, fitted to all labels that there are.

use crate::branch::Branch;
use crate::device;
use crate::embed::{Tables, Wanted};
use crate::error::Error;
use crate::finetune::goal::Goal;
use crate::labels::{Part, Told, numbered_groups};
use crate::plan::Plan;
use crate::predictor::{Head, Meaning};
use crate::provenance;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_data::dataset::Dataset;
use selfsame_evaluate::linear_probe::ProbeFeatures;
use std::sync::Arc;

/// What a probe is fitted to, and judged on.
pub struct Probing<'a> {
    /// The run's plan.
    pub plan: &'a Plan,
    /// Its trained branch.
    pub branch: &'a Branch,
    /// Labeled samples to learn from, and to be judged on.
    pub data: [&'a Arc<Dataset>; 2],
    /// What is told of samples beside the folders that they lie in.
    pub told: &'a Told,
    /// The parts of both that are used, as [`Told::parts`] gives them.
    pub parts: &'a [Part; 2],
}

/// Fits a probe to the labeled samples, its temperature to some of them that were held out from a first fit, and judges it.
/// `progress` is told how many samples are embedded.
///
/// # Errors
/// If labels are missing or do not fit each other, or a sample's features are not finite.
pub fn fit(probing: &Probing, progress: &mut (dyn FnMut(usize) + Send)) -> Result<(Head, Meaning), Error> {
    probing.plan.pool()?.install(|| fit_in_pool(probing, progress))
}

fn fit_in_pool(probing: &Probing, progress: &mut dyn FnMut(usize)) -> Result<(Head, Meaning), Error> {
    let &Probing { plan, branch, data, told, parts } = probing;
    let mut before = 0;
    let mut table = |part: usize| -> Result<Tables, Error> {
        let samples = parts[part].samples.clone();
        let mut told_of = |done| progress(before + done);
        let mut tables = Tables::embed(branch, data[part], plan, samples, Wanted::default(), &mut told_of)?;
        before += tables.indices.len();
        told.relabel(&parts[part], &mut tables);
        tables.h.check_finite("the representation")?;
        Ok(tables)
    };
    let (train, test) = (table(0)?, table(1)?);
    let goal = Goal::of(told, parts, [&train, &test])?;
    let groups = numbered_groups(parts, [&train.indices, &test.indices]);
    let [train_groups, test_groups] = [0, 1].map(|part| groups.as_ref().map(|groups| &groups[part][..]));
    let device = device::open(&plan.device)?;

    let features = ProbeFeatures::new(train.h.rows())?;
    let coordinates = features.coordinates(test.h.rows())?;
    let rows: Vec<u32> = (0..train.h.len() as u32).collect();
    let rng = || StreamRng::new(plan.seed, Purpose::Evaluate, 2, 0, 0);
    let head = |rows: &[u32]| {
        let (_, head) = goal.probe(&features, &coordinates, rows, train_groups, &rng);
        goal.in_units(head, &goal.units(rows))
    };
    let held = goal.hold_out(&rows, train_groups, rows.len(), &mut rng());
    let temperature = match &held[..] {
        [] => 1.0,
        held => {
            let kept: Vec<u32> = rows.iter().copied().filter(|row| held.binary_search(row).is_err()).collect();
            let samples: Vec<usize> = held.iter().map(|&row| train.indices[row as usize]).collect();
            goal.temperature(held, &head(&kept).outputs(train.of_samples(&samples).h, &device))
        }
    };
    let head = head(&rows);
    let of_test = head.outputs(test.h, &device);
    let meaning = Meaning {
        task: goal.task,
        names: goal.names.clone(),
        fitted_by: "probe".into(),
        labels_from: provenance::data_origin(data[0])?,
        labeled: rows.len(),
        temperature,
        calibrated_on: held.len(),
        tested: goal.tested(&of_test, temperature, test_groups, plan.seed),
    };
    Ok((head, meaning))
}
