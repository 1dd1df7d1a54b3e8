//! One training step, in the memory that the plan allows.
//!
//! `embed` treats samples one by one, `objective` needs the whole batch. So with a chunk smaller than the batch the
//! encoder runs twice: once without a graph, chunk by chunk, to give the objective its embeddings and the gradient
//! `∂L/∂z` with respect to them; and once more with a graph, to send that gradient back through each chunk as the
//! surrogate `Σ z · stopgrad(∂L/∂z)`, whose gradient is that of `L` (Gao et al. 2021, "Scaling Deep Contrastive
//! Learning Batch Size under Memory Limited Setup"). A contrastive batch of 4,096 in the memory of 256, exactly.

use crate::batch::Batch;
use crate::method::{EmbedContext, Method};
use crate::objective::LossTerms;
use crate::optim::GradientMap;
use crate::outputs::{Parts, PerSample};
use crate::progress::Progress;
use crate::tensor::layers::{BatchStatistics, Draws, Pass, Still};
use burn::tensor::Tensor;
use std::ops::Range;

/// What a step found out; nothing is changed yet.
#[derive(Debug)]
pub struct Step<O> {
    /// Gradients of every parameter.
    pub gradients: GradientMap,
    /// The total.
    pub total: f32,
    /// The named terms.
    pub terms: Vec<(&'static str, f32)>,
    /// What was made of the whole batch, detached.
    pub outputs: O,
    /// What the normalization layers saw.
    pub statistics: Vec<BatchStatistics>,
}

/// Loss and gradients of a batch, `chunk_size` samples at a time. The views are on a plain device; `seed` is the plan's; batch norms that
/// are `still` stay as they are.
pub fn step<M: Method>(
    model: &M,
    batch: &Batch,
    chunk_size: usize,
    seed: u64,
    progress: Progress,
    still: &Still,
) -> Step<M::Outputs> {
    let samples = batch.samples.len();
    if chunk_size >= samples {
        return whole(model, batch, seed, progress, still);
    }
    let chunks = chunks(samples, chunk_size);

    // Pass 1: outputs only; batch statistics per chunk, nothing recorded.
    let plain = model.valid();
    let rehearsed: Vec<M::Outputs> = chunks
        .iter()
        .map(|range| {
            let pass = Pass::rehearse(Draws::new(seed, progress.step, &batch.samples[range.clone()])).with(still);
            plain.embed(&batch.slice(range.clone()), &EmbedContext { pass: &pass, progress })
        })
        .collect();
    let outputs = joined(&rehearsed);
    drop(rehearsed);

    // The objective on the joined outputs; its own parameters get their gradient here, once.
    let Parts { learned, constant } = outputs.parts();
    let leaves: Vec<Tensor<2>> = learned.into_iter().map(|z| Tensor::from_inner(z).require_grad()).collect();
    let constant = constant.into_iter().map(Tensor::from_inner).collect();
    let loss = model.objective(&outputs.with(Parts { learned: leaves.clone(), constant }));
    let mut objective_gradients = loss.total.backward();
    let learned_gradients: Vec<Tensor<2>> = leaves
        .iter()
        .map(|leaf| leaf.grad_remove(&mut objective_gradients).unwrap_or_else(|| leaf.clone().inner().zeros_like()))
        .collect();
    let mut gradients = GradientMap::default();
    gradients.accumulate(model, &mut objective_gradients);

    // Pass 2: the same chunks with a graph.
    let mut statistics = Vec::new();
    for range in &chunks {
        let pass = Pass::train(Draws::new(seed, progress.step, &batch.samples[range.clone()])).with(still);
        let chunk = model.embed(&batch.slice(range.clone()), &EmbedContext { pass: &pass, progress });
        let surrogate = chunk
            .parts()
            .learned
            .into_iter()
            .zip(&learned_gradients)
            .map(|(z, gradient)| (z * Tensor::from_inner(gradient.clone().slice([range.clone()]))).sum_dim(1).sum())
            .reduce(|a, b| a + b)
            .expect("a method learns from something");
        gradients.accumulate(model, &mut surrogate.backward());
        statistics.extend(pass.into_statistics());
    }
    finish(gradients, &loss, outputs, statistics)
}

/// Consecutive chunks of `chunk_size` samples. What is left over is a chunk of its own, but for one sample, which has no
/// statistics: it joins the chunk before.
fn chunks(samples: usize, chunk_size: usize) -> Vec<Range<usize>> {
    let mut starts: Vec<usize> = (0..samples).step_by(chunk_size).collect();
    starts.pop_if(|start| chunk_size > 1 && *start + 1 == samples);
    let ends = starts.iter().copied().skip(1).chain([samples]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

/// The outputs of a whole batch, of those of its chunks.
fn joined<O: PerSample>(chunks: &[O]) -> O {
    let parts: Vec<Parts> = chunks.iter().map(PerSample::parts).collect();
    let join = |pick: fn(&Parts) -> &Vec<Tensor<2>>| -> Vec<Tensor<2>> {
        let joined = |i: usize| Tensor::cat(parts.iter().map(|parts| pick(parts)[i].clone()).collect(), 0);
        (0..pick(&parts[0]).len()).map(joined).collect()
    };
    chunks[0].with(Parts { learned: join(|parts| &parts.learned), constant: join(|parts| &parts.constant) })
}

fn whole<M: Method>(model: &M, batch: &Batch, seed: u64, progress: Progress, still: &Still) -> Step<M::Outputs> {
    let pass = Pass::train(Draws::new(seed, progress.step, &batch.samples)).with(still);
    let outputs = model.embed(batch, &EmbedContext { pass: &pass, progress });
    let loss = model.objective(&outputs);
    let mut gradients = GradientMap::default();
    gradients.accumulate(model, &mut loss.total.backward());
    finish(gradients, &loss, outputs.detached(), pass.into_statistics())
}

fn finish<O>(gradients: GradientMap, loss: &LossTerms, outputs: O, statistics: Vec<BatchStatistics>) -> Step<O> {
    let scalar = |t: &Tensor<1>| t.clone().into_scalar::<f32>();
    let terms = loss.terms.iter().map(|(name, term)| (*name, scalar(term))).collect();
    Step { gradients, total: scalar(&loss.total), terms, outputs, statistics }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::testing;
    use crate::method::BuildContext;
    use crate::methods::{barlow_twins::BarlowTwins, simclr::Simclr};
    use crate::plan::Plan;
    use crate::tensor::{parameters, to_vec, view_to_device};
    use burn::tensor::Device;
    use selfsame_base::rng::{Purpose, StreamRng};
    use selfsame_config::Settings;

    const START: Progress = Progress { step: 0, steps: 10, steps_per_epoch: 5 };

    fn plan(norm: &str) -> Plan {
        let norms = [format!("backbone.norm={norm}"), format!("projector.norm={norm}")];
        let own = ["backbone.widths=[6, 9]", "projector.hidden=16", "projector.out=8", &norms[0], &norms[1]];
        testing::plan(2, 9, &own)
    }

    fn views(batch: usize) -> Batch {
        let views = (0..2)
            .map(|view| {
                let mut rng = StreamRng::new(7, Purpose::View, 0, 0, view);
                let pixels = (0..batch * 9 * 9 * 2).map(|_| rng.normal()).collect();
                view_to_device(pixels, [9, 9, 2], &Device::flex())
            })
            .collect();
        Batch { views, samples: (0..batch).collect() }
    }

    fn run<M: Method>(plan: &Plan, batch: usize, chunk: usize) -> Step<M::Outputs> {
        let device = Device::flex().autodiff();
        let model = M::build(&M::Config::defaults(), &BuildContext { plan, device: &device, start: None }).unwrap();
        step(&model, &views(batch), chunk, 0, START, &Still::default())
    }

    #[test]
    fn no_chunk_is_of_one_sample_unless_all_are() {
        assert_eq!(chunks(10, 4), [0..4, 4..8, 8..10]);
        assert_eq!(chunks(9, 4), [0..4, 4..9]);
        assert_eq!(chunks(3, 1), [0..1, 1..2, 2..3]);
    }

    fn chunks_do_not_change_gradients<M: Method>() {
        let plan = plan("none");
        let whole = run::<M>(&plan, 10, 10);
        let chunked = run::<M>(&plan, 10, 4);
        assert!((whole.total - chunked.total).abs() <= 1e-5 * whole.total.abs());
        let (whole, chunked) = (whole.gradients.into_arrays(), chunked.gradients.into_arrays());
        assert!(whole.keys().eq(chunked.keys()) && !whole.is_empty());
        let largest = whole.values().flatten().fold(0.0f32, |m, g| m.max(g.abs()));
        for (name, whole) in &whole {
            let worst = whole.iter().zip(&chunked[name]).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            assert!(worst <= GRADIENT_TOLERANCE * largest, "{name}: {worst:e} of {largest:e}");
        }
    }

    /// Winograd's sums depend on the tiles of a batch only through rounding.
    const GRADIENT_TOLERANCE: f32 = 1e-4;

    #[test]
    fn a_contrastive_batch_in_chunks_has_the_gradients_of_the_whole() {
        chunks_do_not_change_gradients::<Simclr>();
    }

    #[test]
    fn a_decorrelated_batch_in_chunks_has_the_gradients_of_the_whole() {
        chunks_do_not_change_gradients::<BarlowTwins>();
    }

    #[test]
    fn running_statistics_move_a_tenth_of_the_way_once_per_view_and_chunk() {
        let plan = plan("batch");
        let device = Device::flex().autodiff();
        let model =
            Simclr::build(&Settings::defaults(), &BuildContext { plan: &plan, device: &device, start: None }).unwrap();
        let layers = parameters::arrays(&model).keys().filter(|name| name.ends_with("running_mean")).count();
        let step = step(&model, &views(8), 4, 0, START, &Still::default());
        assert_eq!(step.statistics.len(), layers * 2 * 2, "layers × views × chunks");

        let name = "branch.encoder.bn1.running_var";
        // The stem's norm is the first that runs in each of the four passes.
        let expected = step.statistics.iter().step_by(layers).fold(vec![1.0; 6], |running, statistics| {
            let batch = to_vec(statistics.variance.1.clone());
            running.iter().zip(batch).map(|(r, b)| 0.9 * r + 0.1 * b).collect()
        });
        let model = crate::tensor::layers::update_running_statistics(model, step.statistics);
        let updated = &parameters::arrays(&model)[name].values;
        assert!(updated.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{updated:?} {expected:?}");
    }
}
