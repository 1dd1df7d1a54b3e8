//! The branch of a plan with the weights that a run left of it: of which checkpoint, or of the encoder alone.

use crate::branch::Branch;
use crate::checkpoint;
use crate::device;
use crate::encoder_folder::EncoderFolder;
use crate::error::Error;
use crate::learner::{self, Build};
use crate::method::{BuildContext, Method};
use crate::plan::Plan;
use crate::run::{PLAN, Run};
use burn::tensor::Device;

/// Which weights a branch should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsOf {
    /// The newest checkpoint's, or those of the encoder itself where checkpoints are gone.
    Trained,
    /// Those of the checkpoint that the plan keeps for being the best.
    Best,
    /// The plan's initial ones.
    Fresh,
}

/// The branch of a plan on its device, without gradients. What should be known of its weights goes to `warn`: that they are
/// not the newest, because those are damaged, or not the last, because the training goes on, or the encoder's alone.
///
/// # Errors
/// If there are no such weights, or they are not of such a method.
pub fn branch<M: Method>(plan: &Plan, weights: WeightsOf, warn: &mut dyn FnMut(String)) -> Result<Branch, Error> {
    branch_of(learner::build::<M>, plan, weights, warn)
}

fn branch_of(build: Build, plan: &Plan, weights: WeightsOf, warn: &mut dyn FnMut(String)) -> Result<Branch, Error> {
    let device = device::open(&plan.device)?;
    let mut learner = build(&BuildContext { plan, device: &device, start: None })?;
    if weights == WeightsOf::Fresh {
        return Ok(learner.branch(plan.train.keep).clone());
    }
    let run = Run::existing(&plan.out)?;
    let found = match weights {
        WeightsOf::Best => checkpoint::load_best(&run.checkpoints(), plan, warn),
        _ => checkpoint::load_newest(&run.checkpoints(), plan, warn),
    };
    let checkpoint = match (found, weights) {
        (Ok(Some((checkpoint, _))), _) => checkpoint,
        (Ok(None), WeightsOf::Best) => {
            let problem = "no checkpoint was kept for being the best; train.keep_best says by what one is";
            return Err(Error::run(run.checkpoints(), problem));
        }
        (Ok(None), _) => return encoder_alone(plan, &device, None, warn),
        (Err(error @ Error::NoCheckpoint { .. }), WeightsOf::Trained) => {
            return encoder_alone(plan, &device, Some(error), warn);
        }
        (Err(error), _) => return Err(error),
    };
    if weights == WeightsOf::Trained
        && let Some(unfinished) = checkpoint.progress.unfinished()
    {
        warn(format!("{}: {unfinished}", run.path().display()));
    }
    learner.restore_model(checkpoint.model).map_err(|problem| Error::run(&plan.out, problem))?;
    Ok(learner.branch(plan.train.keep).clone())
}

/// The encoder of a finished run whose checkpoints are gone or cannot be used, and so without the projector.
fn encoder_alone(
    plan: &Plan,
    device: &Device,
    without: Option<Error>,
    warn: &mut dyn FnMut(String),
) -> Result<Branch, Error> {
    let found = EncoderFolder::find(&plan.out);
    let Ok(Some(folder)) = found else {
        return Err(without.unwrap_or_else(|| {
            let problem = found.err().map_or("the run has no checkpoint yet; train it first".into(), |problem| {
                format!("the run has no checkpoint, and its encoder cannot be used either: {problem}")
            });
            Error::run(&plan.out, problem)
        }));
    };
    if !plan.out.join(PLAN).exists() {
        return Ok(Branch::without_projector(folder.load_with(plan.backbones(), device)?));
    }
    if folder.config().plan != plan.fingerprint() {
        // An older version's is another for the keys that it did not know, which is no difference.
        let differences = plan.differences_from(&folder.plan_recipe()?)?;
        if !differences.is_empty() {
            let changed = differences.join(", ");
            let problem =
                format!("is not the plan that the encoder was trained by ({changed}); put the old values back");
            return Err(Error::run(plan.out.join(PLAN), problem));
        }
    }
    let why = without.map_or("the checkpoints are gone".into(), |error| error.to_string());
    let z = if plan.projector.layers > 0 { ", without z, whose projector was in the checkpoints" } else { "" };
    warn(format!("{}: {why}; the encoder alone is used{z}", plan.out.display()));
    Ok(Branch::without_projector(folder.load_with(plan.backbones(), device)?))
}
