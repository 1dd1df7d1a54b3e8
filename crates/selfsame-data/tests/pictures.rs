//! What a person sees and hears of sounds.

use selfsame_config::Settings;
use selfsame_data::augment::Augmentations;
use selfsame_data::dataset::Dataset;
use selfsame_data::image::{Image, Pixels};
use selfsame_data::loader::{Batching, ViewPlan};
use selfsame_data::playback::wav;
use selfsame_data::preview::Preview;
use selfsame_data::settings::{DataRequest, DataSettings, ViewSettings};
use selfsame_data::sheet::Sheet;
use selfsame_data::signal::SignalView;
use std::f32::consts::TAU;
use std::sync::Arc;
use tempfile::TempDir;

const RATE: usize = 8000;

/// Half a second of a tone that rises from 0 to half the rate, or falls.
fn glide(rises: bool) -> Image {
    let steps = RATE / 2;
    let phase = |t: f32| TAU / 4.0 * t * t / steps as f32;
    let value = |t: usize| phase(if rises { t as f32 } else { (steps - t) as f32 }).sin();
    Image::new(1, steps, 1, Pixels::F32((0..steps).map(value).collect()))
}

/// A folder of two rising tones and two falling ones, as data with a view.
fn opened(view: SignalView) -> (TempDir, Arc<Dataset>, DataSettings) {
    let folder = tempfile::tempdir().unwrap();
    for (i, rises) in [true, true, false, false].into_iter().enumerate() {
        std::fs::write(folder.path().join(format!("{i}.wav")), wav(&glide(rises), RATE, 100_000).unwrap()).unwrap();
    }
    let request = DataRequest { view, ..DataRequest::new(folder.path()) };
    let dataset = Arc::new(Dataset::open(&request).unwrap());
    let mut table = DataSettings::preset();
    table.insert("path".into(), folder.path().to_string_lossy().into_owned().into());
    table.insert("view".into(), toml::Value::try_from(view).unwrap());
    table.extend(dataset.facts(&table).unwrap());
    let data = DataSettings::read(&table).unwrap();
    (folder, dataset, data)
}

/// Of a tile, the row of the brightest pixel in each column between `rows`.
fn ridge(sheet: &Sheet, tile: usize, rows: std::ops::Range<usize>) -> Vec<usize> {
    let image = sheet.image(tile);
    let Pixels::F32(values) = &image.pixels else { unreachable!() };
    let light = |y: usize, x: usize| values[(y * image.width + x) * 3..][..3].iter().sum::<f32>();
    let brightest = |x: usize| rows.clone().max_by(|a, b| light(*a, x).total_cmp(&light(*b, x))).unwrap();
    (0..image.width).map(brightest).collect()
}

/// Whether the ridge of a tone goes up; anything else than straight up or down fails.
fn rises(ridge: &[usize]) -> bool {
    let inner = &ridge[ridge.len() / 8..ridge.len() * 7 / 8];
    let [up, down] = [1, -1].map(|sign| {
        inner.windows(2).all(|pair| sign * (pair[1] as i64 - pair[0] as i64) <= 1) && {
            sign * (inner[inner.len() - 1] as i64 - inner[0] as i64) < -3
        }
    });
    assert!(up != down, "{ridge:?}");
    up
}

#[test]
fn sounds_are_waveforms_above_spectrograms_and_so_are_their_views() {
    let (_folder, dataset, data) = opened(SignalView::Waveform);
    let sheet = Sheet::of_samples(&dataset, &[0, 1, 2, 3], &data, 50).unwrap();
    assert_eq!((sheet.tile, sheet.len()), ([50, 75, 3], 4));
    for tile in 0..4 {
        assert_eq!(rises(&ridge(&sheet, tile, 20..50)), tile < 2);
        // The curve fills its lane: a tone of one loudness.
        let image = sheet.image(tile);
        let Pixels::F32(values) = &image.pixels else { unreachable!() };
        let blue = |y: usize| values[(y * 75 + 40) * 3] < 0.5;
        assert!(blue(10) && !blue(0), "tile {tile}");
    }
    let views = "[[views]]\ncount = 2\nsize = 2000\naugmentations = [{ name = \"random_crop\" }]";
    let views: toml::Table = views.parse().unwrap();
    let views: Vec<ViewSettings> = views["views"].clone().try_into().unwrap();
    let views = views.into_iter().map(|group| ViewSettings { size: data.modality.size(group.size), ..group });
    let views: Vec<ViewSettings> = views.collect();
    let batching = Batching { batch_size: 4, seed: 5, threads: 1 };
    let plan = ViewPlan::new(&data, &views, &Augmentations::default(), batching).unwrap();
    let preview = Preview::new(&dataset, &data, plan, 4, 50).unwrap();
    assert_eq!((preview.views, preview.sheet.tile, preview.sheet.len()), (2, [50, 75, 3], 12));
    for (row, sample) in preview.samples.iter().enumerate() {
        let expected = sample.id.ends_with("0.wav") || sample.id.ends_with("1.wav");
        for tile in 0..3 {
            assert_eq!(rises(&ridge(&preview.sheet, 3 * row + tile, 20..50)), expected, "{}", sample.id);
        }
        assert_eq!(sample.views[0].steps[0].0, "random_crop");
    }
}

#[test]
fn log_mel_images_have_their_proportions_and_the_lowest_frequencies_below() {
    let (_folder, dataset, data) = opened(SignalView::LogMel);
    let sheet = Sheet::of_samples(&dataset, &[0, 3], &data, 48).unwrap();
    let [height, width, channels] = sheet.tile;
    assert_eq!((channels, height.max(width)), (3, 48));
    assert!((height * data.size.width).abs_diff(width * data.size.height) <= data.size.longer(), "{:?}", data.size);
    assert!(rises(&ridge(&sheet, 0, 0..height)) && !rises(&ridge(&sheet, 1, 0..height)));
}

#[test]
fn what_can_be_heard_is_the_sound_itself_whatever_it_is_looked_at_as() {
    let heard = [SignalView::Waveform, SignalView::LogMel].map(|view| {
        let (_folder, dataset, data) = opened(view);
        assert_eq!(data.rate, RATE);
        dataset.waveform(2).unwrap()
    });
    assert_eq!(heard[0], heard[1]);
    let (Pixels::F32(heard), Pixels::F32(written)) = (&heard[0].pixels, &glide(false).pixels) else { unreachable!() };
    assert_eq!(heard.len(), written.len());
    // Its mean is taken out, and it is as loud as a file may be.
    let mean = written.iter().sum::<f32>() / written.len() as f32;
    let loudest = written.iter().map(|v| (v - mean).abs()).fold(0.0, f32::max);
    let expected = written.iter().map(|v| 0.9 * (v - mean) / loudest);
    assert!(heard.iter().zip(expected).all(|(heard, expected)| (heard - expected).abs() < 1e-3));
    let images = Dataset::open(&DataRequest::new("demo")).unwrap();
    assert!(images.waveform(0).unwrap_err().to_string().contains("is no signal"));
}
