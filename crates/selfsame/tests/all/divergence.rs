//! Steps that cannot be used, and what the plan says about them.

use crate::training::{method, plan};
use selfsame::divergence::{MOST_ROLLBACKS, MOST_SKIPPED};
use selfsame::error::Error;
use selfsame::events::{Event, Observer};
use selfsame::plan::Plan;
use selfsame::trainer::Outcome;
use selfsame_base::npy::npy_header;
use selfsame_data::dataset::Dataset;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Keeps `(unusable step, steps done after it, lr_factor)` of what could not be used, and stops a training at a step.
#[derive(Default)]
struct Heard<'a> {
    divergences: Vec<(u64, u64, f64)>,
    stop_at: Option<(u64, &'a AtomicBool)>,
}

impl Observer for Heard<'_> {
    fn event(&mut self, event: &Event) {
        if let Event::Divergence { step, unusable, lr_factor, .. } = event {
            self.divergences.push((*unusable, *step, *lr_factor));
        }
        if let (Event::Step(record), Some((step, stop))) = (event, self.stop_at) {
            stop.fetch_or(record.step == step, Ordering::Relaxed);
        }
    }
}

/// 40 images of 12×12, one of which overflows in the network.
fn one_overflows(folder: &Path) {
    let mut values: Vec<f32> = (0..40 * 144).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    values[17 * 144..18 * 144].fill(1e38);
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    fs::write(folder.join("images.npy"), npy_header("<f4", &[40, 12, 12]).into_iter().chain(bytes).collect::<Vec<_>>())
        .unwrap();
}

/// The run with a bad image: its normalization and range are stated, since the mean and the range of the data would be useless.
fn overflowing(folder: &Path, run: &str, policy: &str) -> (Plan, Arc<Dataset>) {
    let policy = format!("train.on_divergence={policy}");
    plan(
        folder,
        run,
        &[
            "data.mean=[0.5]",
            "data.std=[0.25]",
            "data.range=[0, 1]",
            "views=[{count=2}]",
            "backbone.norm=none",
            "seed=2",
            &policy,
        ],
    )
}

fn run(plan: &Plan, dataset: &Arc<Dataset>, heard: &mut Heard, stop: &AtomicBool) -> Result<Outcome, Error> {
    (method(plan).pretrain)(plan, dataset.clone(), heard, stop)
}

fn never() -> AtomicBool {
    AtomicBool::new(false)
}

#[test]
fn a_batch_that_overflows_stops_is_left_out_or_is_gone_back_from() {
    let folder = tempfile::tempdir().unwrap();
    one_overflows(folder.path());

    let (plan, dataset) = overflowing(folder.path(), "stop", "stop");
    let error = run(&plan, &dataset, &mut Heard::default(), &never()).unwrap_err();
    assert!(matches!(error, Error::Diverged { .. }), "{error}");

    // Five steps in each of three epochs, and the image is in one of each.
    let (skip, dataset) = overflowing(folder.path(), "skip", "skip");
    let mut heard = Heard::default();
    assert!(matches!(run(&skip, &dataset, &mut heard, &never()), Ok(Outcome::Finished { .. })));
    assert_eq!(heard.divergences.iter().map(|(step, ..)| (step - 1) / 5).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(heard.divergences.iter().all(|(step, next, factor)| next == step && *factor == 1.0));

    // No learning rate helps against a bad image.
    let (rollback, dataset) = overflowing(folder.path(), "rollback", "rollback");
    let mut heard = Heard::default();
    let error = run(&rollback, &dataset, &mut heard, &never()).unwrap_err();
    let factors: Vec<f64> = heard.divergences.iter().map(|(.., factor)| *factor).collect();
    assert_eq!(factors, (1..=MOST_ROLLBACKS).map(|n| 0.5f64.powi(n as i32)).collect::<Vec<_>>());
    let first = heard.divergences[0].0;
    assert!(heard.divergences.iter().all(|&(step, next, _)| (step, next) == (first, 0)), "{:?}", heard.divergences);
    assert!(matches!(error, Error::Diverged { .. }), "{error}");
}

#[test]
fn weights_that_are_broken_are_not_skipped_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let hot = ["method=barlow_twins", "optimizer.base_lr=1e30", "train.on_divergence=skip", "epochs=9"];
    let (plan, dataset) = plan(folder.path(), "run", &hot);
    let mut heard = Heard::default();
    assert!(matches!(run(&plan, &dataset, &mut heard, &never()), Err(Error::Diverged { .. })));
    assert_eq!(heard.divergences.len() as u32, MOST_SKIPPED - 1);
}

/// A training that diverges in its second epoch, goes back to its start, and arrives at a smaller learning rate.
const TOO_HOT: [&str; 7] = [
    "method=barlow_twins",
    "optimizer.base_lr=300.0",
    "optimizer.warmup_epochs=2.0",
    "projector.norm=none",
    "backbone.norm=none",
    "train.on_divergence=rollback",
    "train.spike_factor=20.0",
];

#[test]
fn a_training_that_goes_back_gives_the_same_bytes_however_often_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, dataset) = plan(folder.path(), "whole", &TOO_HOT);
    let mut heard = Heard::default();
    let outcome = run(&whole, &dataset, &mut heard, &never()).unwrap();
    assert!(matches!(outcome, Outcome::Finished { .. }) && !heard.divergences.is_empty(), "{:?}", heard.divergences);
    for &(step, next, _) in &heard.divergences {
        assert!(next < step && next.is_multiple_of(5), "{step} → {next}");
    }

    let (parts, dataset) = plan(folder.path(), "parts", &[&TOO_HOT[..], &["train.keep_checkpoints=1"]].concat());
    for step in [2, 6, 7, 9, 12] {
        let stop = never();
        let mut heard = Heard { stop_at: Some((step, &stop)), ..Heard::default() };
        run(&parts, &dataset, &mut heard, &stop).unwrap();
    }
    run(&parts, &dataset, &mut Heard::default(), &never()).unwrap();
    let encoder = |plan: &Plan| fs::read(plan.out.join("encoder.safetensors")).unwrap();
    assert!(encoder(&whole) == encoder(&parts));
}

#[test]
fn longer_gradients_are_clipped_to_the_length_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = |run: &str, clip: &str| {
        let clip = format!("optimizer.clip_norm={clip}");
        let (plan, dataset) = plan(folder.path(), run, &[&clip]);
        self::run(&plan, &dataset, &mut Heard::default(), &never()).unwrap();
        fs::read(plan.out.join("encoder.safetensors")).unwrap()
    };
    let free = encoder("free", "0.0");
    assert!(free == encoder("loose", "1e6"), "what is short enough is left alone");
    assert!(free != encoder("tight", "0.01"));
}
