//! What these augmentations promise: agreement with the reference, closed forms, and nothing where the strength is 0.

use super::*;
use crate::augment::{Augmentations, Normalization, Others, Pipeline, ViewShape};
use crate::image::{Image, Pixels};
use proptest::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Choice;
use std::f32::consts::TAU;
use std::sync::Arc;

fn rng(seed: u64) -> ViewRng {
    StreamRng::new(seed, Purpose::View, 0, 0, 0)
}

fn signal(length: usize, channels: usize, value: impl Fn(usize, usize) -> f32) -> Image {
    let values = (0..length * channels).map(|i| value(i / channels, i % channels)).collect();
    Image::new(1, length, channels, Pixels::F32(values))
}

fn noisy(length: usize, channels: usize, seed: u64) -> Image {
    let mut rng = rng(seed);
    let values: Vec<f32> = (0..length * channels).map(|_| rng.normal()).collect();
    signal(length, channels, |t, c| values[t * channels + c])
}

fn build(text: &str, shape: ViewShape) -> Box<dyn Augmentation> {
    Augmentations::default().build(&toml::from_str(text).unwrap(), "views.0.augmentations.0", shape).unwrap().1
}

/// The channels after an augmentation of `steps` long views, as drawn by `seed`.
fn applied(text: &str, sample: &Image, steps: usize, seed: u64) -> Vec<Vec<f32>> {
    let step = build(text, ViewShape::signal(steps, sample.channels));
    let mut view = View::default();
    view.load(sample);
    let draw = step.draw(sample.size(), &mut rng(seed));
    if draw.applied {
        assert!(draw.values[step.parameter_names().len()..].iter().all(|v| *v == 0.0), "{text}: {draw:?}");
        step.apply(&mut view, &draw);
        assert_eq!(view.size(), step.output_size(sample.size(), &draw), "{text}");
    }
    view.planes_mut().map(|channel| channel.to_vec()).collect()
}

fn channels(sample: &Image) -> Vec<Vec<f32>> {
    let mut view = View::default();
    view.load(sample);
    view.planes_mut().map(|channel| channel.to_vec()).collect()
}

/// Every augmentation of signals: its name, and the keys by which it does nothing, where there are such.
const NOTHING: [(&str, &str); 11] = [
    ("random_crop", "scale = [1.0, 1.0]"),
    ("jitter", "sigma = [0.0, 0.0]"),
    ("scaling", "sigma = 0.0"),
    ("random_gain", "gain_db = [0.0, 0.0]"),
    ("magnitude_warp", "sigma = 0.0"),
    ("time_warp", "sigma = 0.0"),
    ("permutation", "segments = 1"),
    ("time_shift", "share = 0.0"),
    ("channel_dropout", "rate = 0.0"),
    ("time_mask", "share = [0.0, 0.0]"),
    ("band_stop", "octaves = [0.0, 0.0]"),
];

#[test]
fn operations_agree_with_the_reference() {
    for row in golden::selftest() {
        assert!(row.largest < 2e-5, "{row:?}");
    }
    let tried: Vec<String> = golden::selftest().into_iter().map(|row| row.operation).collect();
    assert!(ENTRIES.iter().all(|entry| tried.iter().any(|name| name == entry.name)), "each has cases: {tried:?}");
}

#[test]
fn the_list_of_those_of_signals_is_whole() {
    let listed = ENTRIES.iter().filter(|entry| entry.modalities.contains(&Modality::Signal));
    assert!(listed.map(|entry| entry.name).eq(NOTHING.iter().map(|(name, _)| *name)));
}

#[test]
fn crops_are_a_stretch_of_the_sample_and_never_longer_than_it() {
    let ramp = signal(50, 2, |t, c| (100 * c + t) as f32);
    for seed in 0..50 {
        let view = applied("name = \"random_crop\"", &ramp, 20, seed);
        let start = view[0][0];
        assert!((0.0..=30.0).contains(&start));
        for (t, (a, b)) in view[0].iter().zip(&view[1]).enumerate() {
            assert_eq!([*a, *b], [start + t as f32, start + 100.0 + t as f32]);
        }
    }
    assert_eq!(applied("name = \"random_crop\"\np = 0.0", &ramp, 20, 0)[0][0], 15.0, "the middle");
    assert_eq!(applied("name = \"random_crop\"", &ramp, 80, 0), channels(&ramp), "shorter than the view");
    // Half of the time in as many steps: half the slope, away from the ends.
    for view in (0..20).map(|seed| applied("name = \"random_crop\"\nscale = [0.5, 0.5]", &ramp, 40, seed)) {
        assert_eq!(view[0].len(), 40);
        assert!(view[0][4..36].windows(2).all(|pair| (pair[1] - pair[0] - 0.5).abs() < 1e-3), "{view:?}");
    }
}

#[test]
fn a_band_is_removed_and_what_lies_far_from_it_stays() {
    // Power of a sine of `frequency` after a notch of one octave around 0.1, when it has settled.
    let power = |frequency: f32| {
        let sine = signal(4000, 1, |t, _| (TAU / 2.0 * frequency * t as f32).sin());
        let keys = "name = \"band_stop\"\nfrequency = [0.1, 0.1]\noctaves = [1.0, 1.0]\np = 1.0";
        let settled = &applied(keys, &sine, 4000, 1)[0][2000..];
        2.0 * settled.iter().map(|v| v * v).sum::<f32>() / 2000.0
    };
    let edges = [0.1 / 2f32.sqrt(), 0.1 * 2f32.sqrt()].map(power);
    assert!(power(0.1) < 1e-5 && edges.iter().all(|p| (p - 0.5).abs() < 0.03), "{} {edges:?}", power(0.1));
    assert!(power(0.01) > 0.98 && power(0.6) > 0.98);
    let flat = signal(100, 1, |_, _| 2.5);
    let keys = "name = \"band_stop\"\np = 1.0";
    assert!(applied(keys, &flat, 100, 3)[0].iter().all(|v| (v - 2.5).abs() < 1e-4), "no jump at the start");
}

#[test]
fn drawn_factors_have_the_strength_that_is_asked_for() {
    let ones = signal(1, 4000, |_, _| 1.0);
    let deviation = |view: Vec<Vec<f32>>| {
        let values = view.concat();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / values.len() as f32).sqrt()
    };
    for name in ["scaling", "magnitude_warp"] {
        let found = deviation(applied(&format!("name = \"{name}\"\nsigma = 0.1\np = 1.0"), &ones, 1, 5));
        assert!((found - 0.1).abs() < 0.005, "{name}: {found}");
    }
    let six = applied("name = \"random_gain\"\ngain_db = [6.0, 6.0]\np = 1.0", &ones, 1, 0);
    assert!((six[0][0] - 1.9953).abs() < 1e-3);
}

#[test]
fn one_channel_always_stays_and_one_alone_is_refused() {
    let sample = noisy(20, 4, 1);
    let whole = channels(&sample);
    let mut stayed = [0; 4];
    for seed in 0..200 {
        let view = applied("name = \"channel_dropout\"\nrate = 1.0", &sample, 20, seed);
        let kept: Vec<usize> = (0..4).filter(|&c| view[c] == whole[c]).collect();
        assert!(kept.len() == 1 && (0..4).all(|c| c == kept[0] || view[c].iter().all(|v| *v == 0.0)));
        stayed[kept[0]] += 1;
    }
    assert!(stayed.iter().all(|count| (25..=80).contains(count)), "{stayed:?}");
    let choice = toml::from_str("name = \"channel_dropout\"").unwrap();
    let refused = Augmentations::default().build(&choice, "views.0.augmentations.0", ViewShape::signal(20, 1));
    assert_eq!(
        refused.err().unwrap().to_string(),
        "views.0.augmentations.0.name: channel_dropout: needs signals of at least 2 channels, these have 1; leave it out"
    );
}

/// Two sounds of 1 and of e, half of the energy each: `ln((1 + e) / 2)`. On another scale of the view the same.
#[test]
fn backgrounds_are_mixed_by_their_energy() {
    let shape = ViewShape::image(8, 1);
    let step = build("name = \"mix_background\"\nshare = [0.5, 0.5]", shape);
    for [low, high] in [[0.0, 1.0], [-3.0, 5.0]] {
        let in_view = |value: f32| (value - low) / (high - low);
        let mut view = View::default();
        view.set_range([low, high].into());
        view.load(&Image::new(8, 8, 1, Pixels::F32(vec![0.0; 64])));
        view.others = Some(Arc::new(Others::new(vec![in_view(1.0); 64], 64)));
        let draw = step.draw(view.size(), &mut rng(0));
        step.apply(&mut view, &draw);
        let expected = in_view(((1.0 + 1f32.exp()) / 2.0).ln());
        assert!(view.values().iter().all(|v| (v - expected).abs() < 1e-5), "{} {expected}", view.values()[0]);
        // A view of another size takes a resized one.
        view.load(&Image::new(4, 12, 1, Pixels::F32(vec![0.0; 48])));
        step.apply(&mut view, &draw);
        assert!(view.values().len() == 48 && view.values().iter().all(|v| (v - expected).abs() < 1e-5));
    }
}

/// What is padded is padded afterwards, with NaN: all steps in one pipeline see the sample alone.
#[test]
fn short_samples_are_padded_when_all_is_done() {
    let choice = |(name, _): &(&str, _)| toml::from_str(&format!("name = \"{name}\"\np = 1.0")).unwrap();
    let list: Vec<Choice> = NOTHING.iter().map(choice).collect();
    for length in [1, 2, 13, 30, 47] {
        let sample = noisy(length, 2, length as u64);
        let normalization = Normalization::first(&[0.1, 0.2], &[1.0, 2.0]);
        let pipeline =
            Pipeline::new(&Augmentations::default(), &list, "", ViewShape::signal(30, 2), normalization).unwrap();
        let (mut draws, mut view, mut out) = (Vec::new(), View::default(), vec![0.0; 60]);
        pipeline.draw(sample.size(), &mut rng(7), &mut draws);
        pipeline.write(&sample, &draws, &mut view, &mut out);
        let (there, padding) = out.split_at(2 * length.min(30));
        assert!(there.iter().all(|v| v.is_finite()) && padding.iter().all(|v| v.is_nan()), "{length}: {out:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_strength_of_0_is_the_identity(length in 1usize..80, count in 2usize..5, seed: u64) {
        let sample = noisy(length, count, seed);
        for (name, keys) in NOTHING {
            let view = applied(&format!("name = \"{name}\"\n{keys}\np = 1.0"), &sample, length, seed);
            prop_assert_eq!(&view, &channels(&sample), "{}", name);
        }
    }

    #[test]
    fn values_stay_finite_and_a_draw_says_all(length in 1usize..80, count in 2usize..5, steps in 4usize..60, seed: u64) {
        let sample = noisy(length, count, seed);
        for (name, _) in NOTHING {
            let text = format!("name = \"{name}\"\np = 1.0");
            let view = applied(&text, &sample, steps, seed);
            prop_assert!(view.iter().flatten().all(|v| v.is_finite()), "{}", name);
            prop_assert_eq!(&view, &applied(&text, &sample, steps, seed), "{}", name);
        }
    }

    #[test]
    fn what_is_only_moved_is_all_there(length in 1usize..80, seed: u64) {
        let sample = noisy(length, 2, seed);
        for name in ["permutation", "time_shift"] {
            let view = applied(&format!("name = \"{name}\"\np = 1.0"), &sample, length, seed);
            // Both channels were moved alike, and every step is still there.
            let pairs = |channels: &[Vec<f32>]| {
                let mut pairs: Vec<_> = channels[0].iter().zip(&channels[1]).map(|(a, b)| [*a, *b]).collect();
                pairs.sort_by(|a, b| a.partial_cmp(b).unwrap());
                pairs
            };
            prop_assert_eq!(pairs(&view), pairs(&channels(&sample)), "{}", name);
        }
    }

    #[test]
    fn warped_time_never_runs_backwards_and_keeps_its_ends(length in 2usize..200, sigma in 0f32..1.0, seed: u64) {
        let ramp = signal(length, 1, |t, _| t as f32);
        let warped = &applied(&format!("name = \"time_warp\"\nsigma = {sigma:?}\np = 1.0"), &ramp, length, seed)[0];
        prop_assert!(warped.windows(2).all(|pair| pair[0] <= pair[1] + 1e-4), "{:?}", warped);
        prop_assert!(warped[0] == 0.0 && (warped[length - 1] - (length - 1) as f32).abs() < 1e-2);
    }

    #[test]
    fn masks_hide_no_more_than_their_share(height in 1usize..20, width in 1usize..60, seed: u64) {
        let mut pixels = rng(seed);
        let image = Image::new(height, width, 1, Pixels::F32((0..height * width).map(|_| pixels.unit()).collect()));
        for (name, lines) in [("time_mask", width), ("frequency_mask", height)] {
            let step = build(&format!("name = \"{name}\"\nshare = [0.3, 0.3]\np = 1.0"), ViewShape::image(8, 1));
            let (mut view, mut plain) = (View::default(), View::default());
            [&mut view, &mut plain].into_iter().for_each(|view| view.load(&image));
            step.apply(&mut view, &step.draw(image.size(), &mut rng(seed)));
            let hidden = view.values().iter().zip(plain.values()).filter(|(a, b)| a != b).count();
            prop_assert!(hidden <= (0.3 * lines as f32).round() as usize * height * width / lines, "{}", name);
        }
    }
}
