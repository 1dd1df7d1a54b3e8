use super::*;
use crate::image::Pixels;
use selfsame_config::Settings;
use std::sync::atomic::AtomicUsize;

/// Random images of many sizes, some of which cannot be read.
struct Double {
    images: Vec<Arc<Image>>,
    bad: Vec<usize>,
    fatal: Option<usize>,
    decoded: AtomicUsize,
}

impl Double {
    fn new(len: usize) -> Self {
        let mut rng = StreamRng::new(1, Purpose::Survey, 0, 0, 0);
        let image = |_| {
            let (height, width) = (9 + rng.below(12), 9 + rng.below(12));
            let pixels = (0..height * width * 3).map(|_| rng.bits() as u8).collect();
            Arc::new(Image::new(height, width, 3, Pixels::U8(pixels)))
        };
        Self { images: (0..len).map(image).collect(), bad: vec![], fatal: None, decoded: AtomicUsize::new(0) }
    }
}

impl SampleSource for Double {
    fn len(&self) -> usize {
        self.images.len()
    }
    fn with_sample(&self, index: usize, work: &mut dyn FnMut(&Image)) -> Result<(), DataError> {
        self.decoded.fetch_add(1, Ordering::SeqCst);
        if self.fatal == Some(index) {
            return Err(DataError::Data("too many bad files".into()));
        }
        if self.bad.contains(&index) {
            return Err(DataError::sample(format!("image {index}"), "truncated"));
        }
        work(&self.images[index]);
        Ok(())
    }
    fn key(&self, index: usize) -> u64 {
        index as u64 + 1000
    }
}

fn data() -> DataSettings {
    let text = r#"path = "photos"
        size = 8
        channels = 3
        mean = [0.5, 0.4, 0.3]
        std = [0.2, 0.3, 0.4]
        range = [0.0, 1.0]
        on_color = "convert"
        kind = "folder"
        labels = "none"
        fingerprint = "none"
    "#;
    let mut table = DataSettings::preset();
    table.extend(text.parse::<toml::Table>().unwrap());
    DataSettings::read(&table).unwrap()
}

fn view_plan(threads: usize) -> ViewPlan {
    let text = r#"
        [[views]]
        count = 2
        size = 8
        augmentations = [
            { name = "random_resized_crop" }, { name = "horizontal_flip" }, { name = "color_jitter" },
            { name = "gaussian_blur" }, { name = "gaussian_noise" },
        ]
        [[views]]
        count = 1
        size = 6
        augmentations = [{ name = "rotate" }]
    "#;
    let views: Vec<ViewSettings> = text.parse::<toml::Table>().unwrap()["views"].clone().try_into().unwrap();
    ViewPlan::new(&data(), &views, &Augmentations::default(), batching(threads)).unwrap()
}

fn batching(threads: usize) -> Batching {
    Batching { batch_size: 5, seed: 7, threads }
}

fn loader(dataset: Double, threads: usize, step: u64) -> TrainLoader {
    TrainLoader::new(Arc::new(dataset), view_plan(threads), step).unwrap()
}

fn batches(loader: &mut TrainLoader, count: usize) -> Vec<Views> {
    (0..count).map(|_| loader.next_batch().unwrap()).collect()
}

#[test]
fn batches_are_the_same_bytes_for_any_thread_count_and_any_start() {
    let reference = batches(&mut loader(Double::new(23), 1, 0), 14);
    for threads in [2, 8] {
        assert_eq!(reference, batches(&mut loader(Double::new(23), threads, 0), 14));
    }
    for start in [1, 3, 4, 5, 9, 12] {
        let resumed = batches(&mut loader(Double::new(23), 2, start as u64), 14 - start);
        assert_eq!(reference[start..], resumed, "from step {start}");
    }
}

#[test]
fn an_epoch_shows_every_sample_once_in_an_order_of_its_own() {
    let mut loader = loader(Double::new(23), 2, 0);
    assert_eq!(loader.steps_per_epoch(), 4);
    let epochs: Vec<Vec<usize>> =
        (0..3).map(|_| batches(&mut loader, 4).into_iter().flat_map(|views| views.indices).collect()).collect();
    for epoch in &epochs {
        let mut seen = epoch.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 20);
    }
    assert!(epochs[0] != epochs[1] && epochs[1] != epochs[2]);
}

#[test]
fn views_have_their_shapes_and_differ_from_each_other() {
    let views = loader(Double::new(23), 2, 0).next_batch().unwrap();
    assert_eq!(
        views.groups.iter().map(|g| (g.shape, g.data.len())).collect::<Vec<_>>(),
        [([8, 8, 3], 2), ([6, 6, 3], 1)]
    );
    for group in &views.groups {
        assert!(group.data.iter().all(|view| view.len() == 5 * group.shape.iter().product::<usize>()));
        assert!(group.draws.is_empty());
    }
    assert_ne!(views.groups[0].data[0], views.groups[0].data[1]);
}

#[test]
fn draws_tell_what_was_done() {
    let dataset = Arc::new(Double::new(23));
    let plan = || view_plan(2).with_draws();
    let views = TrainLoader::new(dataset.clone(), plan(), 6).unwrap().next_batch().unwrap();
    for (group, made) in plan().groups.iter().zip(&views.groups) {
        assert_eq!(made.draws.len(), group.count);
        let (pixels, steps) = (made.shape.iter().product(), group.pipeline.steps().len());
        for (view, draws) in made.data.iter().zip(&made.draws) {
            for ((&index, view), draws) in views.indices.iter().zip(view.chunks(pixels)).zip(draws.chunks(steps)) {
                let mut again = vec![0.0; pixels];
                group.pipeline.write(&dataset.images[index], draws, &mut View::default(), &mut again);
                assert_eq!(view, again);
            }
        }
    }
}

#[test]
fn unreadable_samples_are_left_out_and_change_nothing_else() {
    let whole = batches(&mut loader(Double::new(23), 2, 0), 4);
    let mut parts = loader(Double { bad: vec![3, 11, 12], ..Double::new(23) }, 2, 0);
    for whole in whole {
        let part = parts.next_batch().unwrap();
        let kept: Vec<usize> = (0..5).filter(|&row| ![3, 11, 12].contains(&whole.indices[row])).collect();
        assert_eq!(part.indices, kept.iter().map(|&row| whole.indices[row]).collect::<Vec<_>>());
        for (part, whole) in part.groups.iter().zip(&whole.groups) {
            let width = whole.shape.iter().product();
            for (part, whole) in part.data.iter().zip(&whole.data) {
                let rows: Vec<f32> = kept.iter().flat_map(|&row| &whole[row * width..][..width]).copied().collect();
                assert_eq!(part, &rows);
            }
        }
    }
}

#[test]
fn errors_reach_the_consumer() {
    let none = Double { bad: (0..23).collect(), ..Double::new(23) };
    assert!(loader(none, 2, 0).next_batch().unwrap_err().to_string().contains("not one of 5 samples"));
    let mut fatal = loader(Double { fatal: Some(4), ..Double::new(23) }, 2, 0);
    let error = (0..4).find_map(|_| fatal.next_batch().err()).expect("within the epoch");
    assert_eq!(error.to_string(), "too many bad files");
    let few = TrainLoader::new(Arc::new(Double::new(4)), view_plan(1), 0).err().unwrap();
    assert_eq!(few.to_string(), "train.batch_size: expected 1 to 4, the number of samples, received 5");
}

#[test]
fn a_full_queue_makes_the_loader_wait_and_dropping_it_ends_its_threads() {
    let dataset = Arc::new(Double::new(23));
    let mut loader = TrainLoader::new(dataset.clone(), view_plan(2), 0).unwrap();
    loader.next_batch().unwrap();
    assert!(loader.wait_s() > 0.0);
    // The batch taken, one in the queue, one that waits to be put there.
    let ahead = || dataset.decoded.load(Ordering::SeqCst);
    let pause = || std::thread::sleep(Duration::from_millis(20));
    while ahead() < 15 {
        pause();
    }
    pause();
    assert_eq!(ahead(), 15);
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1);
}

#[test]
fn evaluation_keeps_order_and_last_batch() {
    let dataset = Arc::new(Double { bad: vec![20, 21, 22, 7], ..Double::new(23) });
    let load = |threads, indices: Option<Vec<usize>>| {
        let mut loader =
            EvalLoader::new(dataset.clone(), EvalPlan::plain(&data(), batching(threads)).unwrap(), indices).unwrap();
        let batches: Vec<Views> = std::iter::from_fn(|| loader.next_batch().unwrap()).collect();
        assert!(loader.next_batch().unwrap().is_none());
        batches
    };
    let all = load(2, None);
    let indices: Vec<usize> = all.iter().flat_map(|views| views.indices.clone()).collect();
    assert_eq!(indices, (0..20).filter(|index| *index != 7).collect::<Vec<_>>());
    assert_eq!(all, load(8, None));
    let some = load(2, Some(vec![9, 2, 13, 4, 0, 6, 5]));
    assert_eq!(some.iter().map(|views| views.indices.clone()).collect::<Vec<_>>(), [vec![9, 2, 13, 4, 0], vec![6, 5]]);
    // The same sample makes the same plain view, wherever it is asked for.
    assert_eq!(some[0].groups[0].data[0][192..][..192], all[0].groups[0].data[0][2 * 192..][..192]);
}
