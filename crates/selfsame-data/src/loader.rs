//! From samples to batches of augmented views.
//!
//! A sample is decoded once for all its views. Every view draws from its own random stream, keyed by seed, epoch,
//! sample and view, so a batch has the same bytes whichever thread makes it and at whichever step the run was resumed.
//! One thread makes the batches in order, and its workers share the samples of each batch. When the queue is full, it
//! waits.

use crate::augment::{Augmentations, Dial, Draw, Normalization, Others, Pipeline, View, ViewShape};
use crate::image::Image;
use crate::modality::Modality;
use crate::settings::{DataSettings, ViewSettings};
use crate::threads;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// One modality's views of a batch; all views of a group have the same size.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewGroup {
    /// `[height, width, channels]` of one view.
    pub shape: [usize; 3],
    /// One entry per view: `[batch, height, width, channels]`, normalized.
    pub data: Vec<Vec<f32>>,
    /// One entry per view: `[batch, augmentations]`, what was drawn; no entries unless asked for.
    pub draws: Vec<Vec<Draw>>,
}

/// A batch: every sample's views, in the order of the recipe's groups.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Views {
    /// Groups of views, as the recipe lists them.
    pub groups: Vec<ViewGroup>,
    /// Index of each sample in its source, `[batch]`. Samples that cannot be decoded are not among them.
    pub indices: Vec<usize>,
}

/// What loaders need of a data set.
pub trait SampleSource: Send + Sync + 'static {
    /// Number of samples.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Hands the decoded sample to `work`, once. A sample that cannot be read or decoded ([`DataError::Sample`]) is left out of
    /// its batch; any other error ends the loader.
    fn with_sample(&self, index: usize, work: &mut dyn FnMut(&Image)) -> Result<(), DataError>;
    /// Key of the sample's random streams.
    fn key(&self, index: usize) -> u64;
}

/// Views that share their augmentations.
struct Group {
    count: usize,
    pipeline: Pipeline,
}

/// How batches are made, whatever is in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Samples per batch.
    pub batch_size: usize,
    /// Seed of every random stream.
    pub seed: u64,
    /// Worker threads; 0: one per core. No result depends on it.
    pub threads: usize,
}

/// How training views are made.
pub struct ViewPlan {
    groups: Vec<Group>,
    batching: Batching,
    record_draws: bool,
}

impl ViewPlan {
    /// The `views` of samples of `data`, by `augmentations`.
    pub fn new(
        data: &DataSettings,
        views: &[ViewSettings],
        augmentations: &Augmentations,
        batching: Batching,
    ) -> Result<Self, DataError> {
        let groups = views.iter().enumerate().map(|(i, group)| {
            let pipeline = augmented(data, i, group, augmentations)?;
            Ok(Group { count: group.count, pipeline })
        });
        Ok(Self { groups: groups.collect::<Result<_, DataError>>()?, batching, record_draws: false })
    }

    /// Keeps what was drawn in [`ViewGroup::draws`].
    #[must_use]
    pub fn with_draws(self) -> Self {
        Self { record_draws: true, ..self }
    }

    /// In batches of another size: the views of a sample do not depend on its batch, nor does the order of the samples.
    #[must_use]
    pub fn batches_of(self, batch_size: usize) -> Self {
        Self { batching: Batching { batch_size, ..self.batching }, ..self }
    }

    /// Name and parameter names of the augmentations of each group: what the draws mean.
    pub fn steps(&self) -> Vec<Vec<(&'static str, &'static [&'static str])>> {
        self.groups.iter().map(|group| group.pipeline.steps().collect()).collect()
    }
}

/// How views for embedding and evaluation are made.
pub struct EvalPlan {
    groups: Vec<Group>,
    batching: Batching,
}

/// Values of a batch for embedding and evaluation, at most: 55 color images of 224 px. Larger batches are not faster, and their
/// activations would take gigabytes.
const MOST_VALUES: usize = 1 << 23;

/// The epoch that evaluations draw in: one that no training reaches.
const EVALUATION_EPOCH: u64 = u64::MAX;

impl EvalPlan {
    /// The plain view: the largest centered part at its size, normalized.
    pub fn plain(data: &DataSettings, batching: Batching) -> Result<Self, DataError> {
        let pipeline = Pipeline::new(&Augmentations::default(), &[], "", shape(data), normalization(data))?;
        Ok(Self::of(batching, vec![Group { count: 1, pipeline: of_data(pipeline, data) }]))
    }

    /// `count` views of each sample, a group each, as training draws them: the recipe's views of the first one's size, in
    /// turn.
    pub fn augmented(
        data: &DataSettings,
        views: &[ViewSettings],
        augmentations: &Augmentations,
        batching: Batching,
        count: usize,
    ) -> Result<Self, DataError> {
        let first = views.first().map(|group| group.size);
        let listed = views.iter().enumerate().filter(|(_, group)| Some(group.size) == first);
        let listed: Vec<_> = listed.flat_map(|view| std::iter::repeat_n(view, view.1.count)).collect();
        let groups = listed.iter().cycle().take(count);
        let groups =
            groups.map(|(i, group)| Ok(Group { count: 1, pipeline: augmented(data, *i, group, augmentations)? }));
        Ok(Self::of(batching, groups.collect::<Result<_, DataError>>()?))
    }

    /// A view for each strength of a dial, a group each; `None` where the data do not allow it.
    pub fn turned(data: &DataSettings, batching: Batching, dial: &Dial) -> Option<Self> {
        let shape = shape(data);
        let steps = dial.build(shape)?.into_iter();
        let groups = steps.map(|step| Group {
            count: 1,
            pipeline: of_data(Pipeline::of(dial.augmentation, step, shape, normalization(data)), data),
        });
        Some(Self::of(batching, groups.collect()))
    }

    /// A batch holds as many views as a batch of plain ones, fewer where they are large: memory depends on neither.
    fn of(batching: Batching, groups: Vec<Group>) -> Self {
        let values = |group: &Group| group.pipeline.shape().size.area() * group.pipeline.shape().channels;
        let most = MOST_VALUES / groups.iter().map(values).max().unwrap_or(1).max(1);
        let batch_size = (batching.batch_size.min(most) / groups.len().max(1)).max(1);
        Self { groups, batching: Batching { batch_size, ..batching } }
    }
}

/// How a view of group `index` is made.
fn augmented(
    data: &DataSettings,
    index: usize,
    group: &ViewSettings,
    augmentations: &Augmentations,
) -> Result<Pipeline, DataError> {
    let shape = ViewShape { size: group.size, ..shape(data) };
    let path = format!("views.{index}.augmentations");
    let pipeline = Pipeline::new(augmentations, &group.augmentations, &path, shape, normalization(data))?;
    Ok(of_data(pipeline, data))
}

/// What a pipeline must know of the data besides their shape and scale.
fn of_data(pipeline: Pipeline, data: &DataSettings) -> Pipeline {
    pipeline.resized_by(data.interpolation).of_columns(data.vector_columns())
}

fn shape(data: &DataSettings) -> ViewShape {
    ViewShape { size: data.size, channels: data.channels, modality: data.modality }
}

fn normalization(data: &DataSettings) -> Normalization {
    match data.modality {
        Modality::Image => Normalization::new(&data.mean, &data.std, data.range.into()),
        Modality::Vector | Modality::Signal => Normalization::first(&data.mean, &data.std),
    }
}

/// Batches for training, without end: every epoch in its own random order, its last incomplete batch dropped.
pub struct TrainLoader {
    batches: Prefetch,
    steps_per_epoch: u64,
}

impl TrainLoader {
    /// Opens the loader at `step`, counted from the beginning of the run.
    pub fn new<D: SampleSource>(dataset: Arc<D>, plan: ViewPlan, step: u64) -> Result<Self, DataError> {
        let ViewPlan { groups, batching: Batching { batch_size, seed, threads }, record_draws } = plan;
        let (samples, steps_per_epoch) = (dataset.len(), (dataset.len() / batch_size.max(1)) as u64);
        if batch_size == 0 || steps_per_epoch == 0 {
            let problem = format!("expected 1 to {samples}, the number of samples, received {batch_size}");
            return Err(DataError::setting("train.batch_size", problem));
        }
        let workers = Workers::new(dataset, groups, threads, record_draws)?;
        let batches = Prefetch::start(workers, move |workers, deliver| {
            for epoch in step / steps_per_epoch.. {
                let mut order: Vec<usize> = (0..samples).collect();
                StreamRng::new(seed, Purpose::Shuffle, epoch, 0, 0).shuffle(&mut order);
                let done = (step.saturating_sub(epoch * steps_per_epoch) as usize) * batch_size;
                for indices in order[done..].chunks_exact(batch_size) {
                    let stream = |key, view| StreamRng::new(seed, Purpose::View, epoch, key, view);
                    let batch = workers.batch(indices, stream).and_then(|views| match views.indices.is_empty() {
                        true => Err(DataError::TooManyBad(format!(
                            "not one of {batch_size} samples of a batch can be read"
                        ))),
                        false => Ok(views),
                    });
                    if !deliver(batch) {
                        return;
                    }
                }
            }
        })?;
        Ok(Self { batches, steps_per_epoch })
    }

    /// Steps in an epoch.
    pub fn steps_per_epoch(&self) -> u64 {
        self.steps_per_epoch
    }

    /// The next step's batch.
    pub fn next_batch(&mut self) -> Result<Views, DataError> {
        self.batches.next(None).expect("training batches go on until an error, after which none is asked for")
    }

    /// The next step's batch, or `None` if `stop` is set while it is waited for.
    pub fn next_batch_unless(&mut self, stop: &AtomicBool) -> Result<Option<Views>, DataError> {
        self.batches.next(Some(stop)).transpose()
    }

    /// Time spent in [`Self::next_batch`] so far, seconds.
    pub fn wait_s(&self) -> f64 {
        self.batches.wait_s
    }
}

/// Batches for embedding and evaluation: views in the order asked for, the last batch kept.
pub struct EvalLoader {
    batches: Prefetch,
}

impl EvalLoader {
    /// Loads the samples `indices`, or all of them.
    pub fn new<D: SampleSource>(
        dataset: Arc<D>,
        plan: EvalPlan,
        indices: Option<Vec<usize>>,
    ) -> Result<Self, DataError> {
        let EvalPlan { groups, batching: Batching { batch_size, threads, seed } } = plan;
        let indices = indices.unwrap_or_else(|| (0..dataset.len()).collect());
        let workers = Workers::new(dataset, groups, threads, false)?;
        let batches = Prefetch::start(workers, move |workers, deliver| {
            for indices in indices.chunks(batch_size.max(1)) {
                let stream = |key, view| StreamRng::new(seed, Purpose::View, EVALUATION_EPOCH, key, view);
                let batch = workers.batch(indices, stream);
                let none_left = batch.as_ref().is_ok_and(|views| views.indices.is_empty());
                if !none_left && !deliver(batch) {
                    return;
                }
            }
        })?;
        Ok(Self { batches })
    }

    /// The next batch, or `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<Views>, DataError> {
        self.batches.next(None).transpose()
    }

    /// Time spent in [`Self::next_batch`] so far, seconds.
    pub fn wait_s(&self) -> f64 {
        self.batches.wait_s
    }
}

/// Time after which one who waits for a batch looks whether to stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// Batches made ahead of their use: one waits in the queue while the next is being made.
struct Prefetch {
    /// `None` once dropped.
    queue: Option<Receiver<Result<Views, DataError>>>,
    /// `None` once joined.
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    wait_s: f64,
}

impl Prefetch {
    /// Starts `make` on its own thread. It hands its batches to the function that it is given, which says whether to
    /// go on.
    fn start<D: SampleSource>(
        workers: Workers<D>,
        make: impl FnOnce(&Workers<D>, &dyn Fn(Result<Views, DataError>) -> bool) + Send + 'static,
    ) -> Result<Self, DataError> {
        let (sender, queue): (SyncSender<Result<Views, DataError>>, _) = sync_channel(1);
        let stop = workers.stop.clone();
        let deliver = move |batch: Result<Views, DataError>| {
            let go_on = batch.is_ok();
            sender.send(batch).is_ok() && go_on
        };
        let thread = threads::spawn("batches", move || make(&workers, &deliver))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), stop, wait_s: 0.0 })
    }

    /// The next batch; `None` after the last, or if `stop` is set while it is waited for.
    fn next(&mut self, stop: Option<&AtomicBool>) -> Option<Result<Views, DataError>> {
        let asked = Instant::now();
        let queue = self.queue.as_ref()?;
        let batch = loop {
            match queue.recv_timeout(PATIENCE) {
                Err(RecvTimeoutError::Timeout) if stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) => return None,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(batch) => break Some(batch),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        self.wait_s += asked.elapsed().as_secs_f64();
        if batch.is_none()
            && let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
        batch
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was, or is being, reported; drop adds nothing to it.
            let _ = thread.join();
        }
    }
}

/// The threads that share the samples of a batch.
struct Workers<D> {
    dataset: Arc<D>,
    groups: Vec<Group>,
    record_draws: bool,
    pool: rayon::ThreadPool,
    /// Buffers of each thread.
    scratch: Vec<Mutex<(View, Vec<Draw>)>>,
    stop: Arc<AtomicBool>,
}

/// Where one view of one sample goes.
struct Slot<'a> {
    pipeline: &'a Pipeline,
    pixels: &'a mut [f32],
    draws: Option<&'a mut [Draw]>,
}

impl<D: SampleSource> Workers<D> {
    fn new(dataset: Arc<D>, groups: Vec<Group>, threads: usize, record_draws: bool) -> Result<Self, DataError> {
        let groups = with_others(&*dataset, groups)?;
        let pool = threads::pool(threads)?;
        let scratch = (0..pool.current_num_threads()).map(|_| Mutex::default()).collect();
        Ok(Self { dataset, groups, record_draws, pool, scratch, stop: Arc::default() })
    }

    /// The views of the samples `indices`; view `v` of a sample with key `k` draws from `stream(k, v)`.
    fn batch(&self, indices: &[usize], stream: impl Fn(u64, u32) -> StreamRng + Sync) -> Result<Views, DataError> {
        let mut groups: Vec<ViewGroup> =
            self.groups.iter().map(|group| self.empty_group(group, indices.len())).collect();
        let mut slots: Vec<Vec<Slot<'_>>> = indices.iter().map(|_| Vec::new()).collect();
        for (group, out) in self.groups.iter().zip(&mut groups) {
            let mut draws = out.draws.iter_mut();
            for view in &mut out.data {
                let mut draws = draws.next().map(|view| view.chunks_mut(group.pipeline.steps().len().max(1)));
                for (slots, pixels) in slots.iter_mut().zip(view.chunks_exact_mut(out.shape.iter().product())) {
                    let draws = draws.as_mut().map(|rows| rows.next().unwrap_or_default());
                    slots.push(Slot { pipeline: &group.pipeline, pixels, draws });
                }
            }
        }
        let made = self.pool.install(|| {
            let samples = indices.par_iter().zip(slots);
            samples.map(|(&index, slots)| self.sample(index, slots, &stream)).collect::<Result<Vec<bool>, _>>()
        })?;
        if made.contains(&false) {
            for (group, out) in self.groups.iter().zip(&mut groups) {
                let pixels = out.shape.iter().product();
                out.data.iter_mut().for_each(|view| keep_rows(view, pixels, &made));
                out.draws.iter_mut().for_each(|view| keep_rows(view, group.pipeline.steps().len(), &made));
            }
        }
        let indices = indices.iter().zip(&made).filter(|(_, made)| **made).map(|(index, _)| *index).collect();
        Ok(Views { groups, indices })
    }

    fn empty_group(&self, group: &Group, batch: usize) -> ViewGroup {
        let ViewShape { size, channels, .. } = group.pipeline.shape();
        let draws = if self.record_draws { group.count } else { 0 };
        ViewGroup {
            shape: [size.height, size.width, channels],
            data: vec![vec![0.0; batch * size.area() * channels]; group.count],
            draws: vec![vec![Draw::SKIP; batch * group.pipeline.steps().len()]; draws],
        }
    }

    /// Makes the views of one sample; `false` when it cannot be read.
    fn sample(
        &self,
        index: usize,
        slots: Vec<Slot<'_>>,
        stream: &impl Fn(u64, u32) -> StreamRng,
    ) -> Result<bool, DataError> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let key = self.dataset.key(index);
        let mut slots = slots.into_iter().enumerate();
        let made = self.dataset.with_sample(index, &mut |sample| {
            let thread = rayon::current_thread_index().expect("samples are made on the pool");
            let mut scratch = self.scratch[thread].lock().expect("no thread panics and goes on");
            let (view, draws) = &mut *scratch;
            for (v, slot) in &mut slots {
                slot.pipeline.draw(sample.size(), &mut stream(key, v as u32), draws);
                slot.pipeline.write(sample, draws, view, slot.pixels);
                if let Some(record) = slot.draws {
                    record.copy_from_slice(draws);
                }
            }
        });
        match made {
            Ok(()) => Ok(true),
            Err(DataError::Sample { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Gives pipelines that borrow from other samples those to borrow from; all of them load samples in one way.
fn with_others(dataset: &impl SampleSource, groups: Vec<Group>) -> Result<Vec<Group>, DataError> {
    let Some(group) = groups.iter().find(|group| group.pipeline.needs_others()) else { return Ok(groups) };
    let ViewShape { size, channels, .. } = group.pipeline.shape();
    let others = Others::of(dataset, size.area() * channels, |sample, view| group.pipeline.load(sample, view))?;
    let others = Arc::new(others);
    Ok(groups.into_iter().map(|group| Group { pipeline: group.pipeline.beside(others.clone()), ..group }).collect())
}

/// Keeps the rows of `values`, `[rows, width]`, that are marked.
fn keep_rows<T: Copy>(values: &mut Vec<T>, width: usize, keep: &[bool]) {
    let mut kept = 0;
    for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
        values.copy_within(row * width..(row + 1) * width, kept * width);
        kept += 1;
    }
    values.truncate(kept * width);
}

#[cfg(test)]
mod tests;
