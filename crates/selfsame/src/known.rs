//! What is known of a run's training, for its diagnosis and for advice that fits it.

use crate::branch::Branch;
use crate::catalogue::MethodEntry;
use crate::error::Error;
use crate::method::TrivialLoss;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::provenance;
use crate::run::Run;
use crate::tensor::parameters;
use selfsame_evaluate::training::{LossEnd, Training};
use toml::Value;

/// Steps whose losses say where the loss stands.
const LAST_STEPS: usize = 20;

/// What the plan tells.
pub fn of_plan(plan: &Plan) -> Training {
    let mut training =
        Training { run: plan.out.display().to_string(), method: provenance::trained_by(plan), ..Training::default() };
    let table = plan.to_table();
    for (part, values) in &table {
        let Value::Table(values) = values else { continue };
        training.keys.extend(values.iter().filter_map(|(key, value)| Some((format!("{part}.{key}"), text(value)?))));
    }
    let steps = plan.views.iter().flat_map(|group| &group.augmentations);
    training.augmentations = steps.map(|choice| choice.name.clone()).collect();
    training
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Float(_) | Value::Integer(_) | Value::Boolean(_) => Some(value.to_string()),
        _ => None,
    }
}

/// What the plan and the run folder tell: how far it came, where its loss stands, and how far the encoder's weights have turned
/// from those of `untrained`, the same plan's branch before training.
pub fn of_run(plan: &Plan, method: &MethodEntry, branch: &Branch, untrained: &Branch) -> Result<Training, Error> {
    let run = Run::existing(&plan.out)?;
    let progress = run.progress()?;
    let loss = (method.trivial_loss)(plan)?.and_then(|TrivialLoss { value, formula }| {
        let mut last = run.last_losses(LAST_STEPS);
        last.sort_by(f64::total_cmp);
        let median = last.get(last.len() / 2).copied()?;
        Some(LossEnd { last: median, trivial: value, formula })
    });
    Ok(Training {
        finished: progress.is_some_and(|progress| progress.unfinished().is_none()),
        epochs: progress.map(Progress::epochs),
        loss,
        weights_turned: weights_turned(branch, untrained),
        ..of_plan(plan)
    })
}

/// Mean angle, in degrees, between the encoder's weights, array by array, and those of another; biases, norms and running
/// statistics are left out: they start as constants.
fn weights_turned(branch: &Branch, other: &Branch) -> Option<f64> {
    let [now, before] = [branch, other].map(|branch| parameters::arrays(&branch.encoder));
    let weights = now.iter().filter(|(_, array)| array.shape.iter().filter(|&&extent| extent > 1).count() > 1);
    let angles: Vec<f64> = weights
        .filter_map(|(name, array)| Some(angle(&array.values, &before.get(name)?.values)))
        .filter(|angle| angle.is_finite())
        .collect();
    (!angles.is_empty()).then(|| angles.iter().sum::<f64>() / angles.len() as f64)
}

/// `2 atan2(‖u − v‖, ‖u + v‖)` of the unit vectors: exact where they are nearly the same, unlike the arc cosine.
fn angle(a: &[f32], b: &[f32]) -> f64 {
    let norm = |v: &[f32]| v.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let (na, nb) = (norm(a), norm(b));
    let [apart, along] = [-1.0, 1.0].map(|sign: f64| {
        a.iter().zip(b).map(|(&a, &b)| (f64::from(a) / na + sign * f64::from(b) / nb).powi(2)).sum::<f64>().sqrt()
    });
    (2.0 * apart.atan2(along)).to_degrees()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angles_are_those_of_geometry() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-4, "{a} for {b}");
        close(angle(&[1.0, 0.0], &[3.0, 0.0]), 0.0);
        close(angle(&[1.0, 0.0], &[0.0, 2.0]), 90.0);
        close(angle(&[1.0, 1.0], &[1.0, 0.0]), 45.0);
        close(angle(&[1.0, 0.0], &[-5.0, 0.0]), 180.0);
        assert!(angle(&[0.0, 0.0], &[1.0, 0.0]).is_nan());
    }
}
