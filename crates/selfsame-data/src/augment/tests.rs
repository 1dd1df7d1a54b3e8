//! What augmentations promise, as mathematics: closed forms, symmetries, ranges, and agreement with the reference.

use super::*;
use crate::image::{Pixels, ValueRange};
use proptest::prelude::*;
use selfsame_base::rng::{Purpose, StreamRng};
use selfsame_config::Choice;

const RGB: ViewShape = ViewShape::image(16, 3);

fn rng(seed: u64) -> ViewRng {
    StreamRng::new(seed, Purpose::View, 0, 0, 0)
}

fn table(text: &str) -> Choice {
    toml::from_str(text).unwrap()
}

fn augmentation(text: &str, shape: ViewShape) -> Box<dyn Augmentation> {
    Augmentations::default()
        .build(&table(text), "views.0.augmentations.0", shape)
        .map(|(_, augmentation)| augmentation)
        .unwrap()
}

fn refusal(text: &str, shape: ViewShape) -> String {
    Augmentations::default().build(&table(text), "views.0.augmentations.0", shape).err().unwrap().to_string()
}

fn random_image(height: usize, width: usize, channels: usize, seed: u64) -> Image {
    let mut rng = rng(seed);
    let pixels = (0..height * width * channels).map(|_| rng.bits() as u8).collect();
    Image::new(height, width, channels, Pixels::U8(pixels))
}

fn view_of(image: &Image) -> View {
    let mut view = View::default();
    view.load(image);
    view
}

fn applied(augmentation: &dyn Augmentation, image: &Image, draw: &Draw) -> Vec<f32> {
    let mut view = View::default();
    augmentation.apply_to_sample(image, &mut view, draw);
    view.values().to_vec()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Every entry that needs the image alone, with its defaults and `p`; `normalize`, which has keys without a default, with zeros and
/// ones.
fn every_entry(p: f32) -> Vec<(String, Box<dyn Augmentation>)> {
    let text = |entry: &AugmentationEntry| match entry.name {
        "normalize" => "name = \"normalize\"\nmean = [0]\nstd = [1]".to_string(),
        name => format!("name = \"{name}\"\np = {p:.1}"),
    };
    Augmentations::default()
        .of(Modality::Image)
        .map(|entry| (entry.name.to_string(), augmentation(&text(entry), RGB)))
        .filter(|(_, step)| !step.needs_others())
        .collect()
}

#[test]
fn operations_agree_with_torchvision() {
    for row in selftest(GOLDEN).unwrap() {
        // The contract is TOLERANCE; the file's six digits and f32 leave far less.
        assert!(row.largest < 2e-5, "{row:?}");
    }
}

#[test]
fn golden_file_with_a_wrong_value_is_seen() {
    let mut golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    golden["cases"][0]["output"][3][4][1] = 0.9.into();
    let table = selftest(&golden.to_string()).unwrap();
    assert!(table[0].largest > TOLERANCE && table[1..].iter().all(|row| row.largest < TOLERANCE), "{table:?}");
    assert!(selftest("{}").is_err());
}

#[test]
fn p_0_never_and_p_1_always() {
    let size = Size { height: 16, width: 16 };
    for (name, step) in every_entry(0.0) {
        // A crop that is not applied is the centered square, so that the view always has its size.
        let never = |draw: Draw| !draw.applied || draw == Draw::of([0.0, 0.0, 16.0, 16.0]) || name == "normalize";
        (0..200).for_each(|seed| assert!(never(step.draw(size, &mut rng(seed))), "{name}"));
    }
    for (name, step) in every_entry(1.0) {
        (0..200).for_each(|seed| assert!(step.draw(size, &mut rng(seed)).applied, "{name}"));
    }
    let half = augmentation("name = \"solarize\"\np = 0.5", RGB);
    let count = (0..4000).filter(|&seed| half.draw(size, &mut rng(seed)).applied).count();
    // 4 standard deviations of a binomial.
    assert!((1874..=2126).contains(&count), "{count}");
}

#[test]
fn draws_have_names_for_all_their_values() {
    for (name, step) in every_entry(1.0) {
        let names = step.parameter_names().len();
        for seed in 0..50 {
            let draw = step.draw(Size { height: 40, width: 30 }, &mut rng(seed));
            assert!(draw.values[names..].iter().all(|v| *v == 0.0), "{name}: {draw:?}");
        }
    }
}

#[test]
fn results_do_not_depend_on_what_the_buffers_held_before() {
    let (large, small) = (random_image(50, 70, 3, 1), random_image(21, 33, 3, 2));
    let mut used = View::default();
    for (name, step) in every_entry(1.0) {
        for seed in 0..5 {
            let draw = step.draw(small.size(), &mut rng(seed));
            let fresh = applied(&*step, &small, &draw);
            step.apply_to_sample(&large, &mut used, &step.draw(large.size(), &mut rng(seed)));
            step.apply_to_sample(&small, &mut used, &draw);
            assert_eq!(fresh, used.values(), "{name}");
            assert_eq!(step.output_size(small.size(), &draw), used.size(), "{name}");
        }
    }
}

#[test]
fn wrong_recipes_are_refused_in_words() {
    let gray = ViewShape::image(28, 1);
    for (text, shape, expected) in [
        (
            "name = \"horizontal_flp\"",
            RGB,
            "views.0.augmentations.0.name: there is no augmentation `horizontal_flp`; did you mean `horizontal_flip`? (there are random_resized_crop, horizontal_flip, vertical_flip, rotate, color_jitter, color_drop, grayscale, solarize, gaussian_blur, gaussian_noise, sobel, cutout, random_erase, normalize, time_mask, frequency_mask, mix_background)",
        ),
        (
            "name = \"color_jitter\"\nbrigtness = 0.4",
            RGB,
            "views.0.augmentations.0.brigtness: color_jitter has no such key; did you mean `brightness`?",
        ),
        (
            "name = \"sobel\"\nthreshold = 0.4",
            RGB,
            "views.0.augmentations.0.threshold: sobel has no such key; it has p",
        ),
        (
            "name = \"color_jitter\"\nhue = 0.7",
            RGB,
            "views.0.augmentations.0.hue: color_jitter: expected a number from 0 to 0.5, received 0.7",
        ),
        (
            "name = \"solarize\"\np = \"often\"",
            RGB,
            "views.0.augmentations.0.p: solarize: expected a number from 0 to 1, received \"often\"",
        ),
        (
            "name = \"random_resized_crop\"\nscale = [0.5, 0.2]",
            RGB,
            "views.0.augmentations.0.scale: random_resized_crop: expected [low, high], both numbers from 0.0001 to 1, received [0.5, 0.2]",
        ),
        (
            "name = \"random_resized_crop\"\nscale = [0.5, 1.2]",
            RGB,
            "views.0.augmentations.0.scale: random_resized_crop: expected [low, high], both numbers from 0.0001 to 1, received [0.5, 1.2]",
        ),
        (
            "name = \"gaussian_blur\"\nsigma = [0.1, nan]",
            RGB,
            "views.0.augmentations.0.sigma: gaussian_blur: expected [low, high], both numbers from 0.01 to 32, received [0.1, nan]",
        ),
        (
            "name = \"rotate\"\nby = \"angel\"",
            RGB,
            "views.0.augmentations.0.by: rotate: expected `quarter_turns` or `angle`, received \"angel\"",
        ),
        (
            "name = \"normalize\"\nmean = [0.5]",
            RGB,
            "views.0.augmentations.0.std: normalize: missing; expected a list of numbers, one per channel or one for all, each of at least 0.000001",
        ),
        (
            "name = \"normalize\"\nmean = [0.5, 0.5]\nstd = [1]",
            RGB,
            "views.0.augmentations.0.mean: normalize: expected 3 numbers, one per channel, or one, received 2",
        ),
        (
            "name = \"color_jitter\"\nhue = 0",
            gray,
            "views.0.augmentations.0.saturation: color_jitter: needs images of 3 channels (red, green, blue), these have 1 (data.channels=3 asks for more); set saturation = 0 and hue = 0: brightness and contrast work on any channels",
        ),
        (
            "name = \"color_drop\"",
            gray,
            "views.0.augmentations.0.name: color_drop: needs images of 3 channels (red, green, blue), these have 1 (data.channels=3 asks for more); leave it out: there is no color to remove",
        ),
    ] {
        assert_eq!(refusal(text, shape), expected);
    }
    let tables = [table("name = \"normalize\"\nmean = [0]\nstd = [1]"), table("name = \"sobel\"")];
    let refused =
        Pipeline::new(&Augmentations::default(), &tables, "views.1.augmentations", RGB, Normalization::none(3))
            .err()
            .unwrap();
    assert!(refused.to_string().starts_with("views.1.augmentations.0.name: normalize must be the last"), "{refused}");
}

#[test]
fn crop_draws_are_torchvisions() {
    // Uniform area and log-uniform ratio, seen through the means they imply: E[area share] = 0.34 and
    // E[ln ratio] = 0 for crops that always fit a large square.
    let crop = augmentation("name = \"random_resized_crop\"\nscale = [0.08, 0.6]", RGB);
    let size = Size { height: 1000, width: 1000 };
    let draws: Vec<[f32; 2]> = (0..4000)
        .map(|seed| crop.draw(size, &mut rng(seed)).values)
        .map(|[_, _, height, width, _]| [height * width / 1e6, (width / height).ln()])
        .collect();
    let mean = |i: usize| draws.iter().map(|d| d[i]).sum::<f32>() / draws.len() as f32;
    assert!((mean(0) - 0.34).abs() < 0.01 && mean(1).abs() < 0.012, "{} {}", mean(0), mean(1));
    // A ratio that never fits ends in the largest centered crop of an allowed ratio.
    let strip = crop.draw(Size { height: 10, width: 1000 }, &mut rng(0)).values;
    assert_eq!(strip, [0.0, 493.0, 10.0, 13.0, 0.0]);
}

#[test]
fn resampling_keeps_constants_and_reads_nothing_outside_the_crop() {
    let crop = augmentation("name = \"random_resized_crop\"", RGB);
    let mut image = Image::new(30, 40, 3, Pixels::U8(vec![255; 30 * 40 * 3]));
    let Pixels::U8(pixels) = &mut image.pixels else { unreachable!() };
    for (i, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        if (7..19).contains(&(i / 40)) && (5..36).contains(&(i % 40)) {
            pixel.copy_from_slice(&[51, 102, 153]);
        }
    }
    let values = applied(&*crop, &image, &Draw::of([7.0, 5.0, 12.0, 31.0]));
    for (plane, expected) in values.chunks_exact(256).zip([0.2, 0.4, 0.6]) {
        assert!(plane.iter().all(|v| (v - expected).abs() < 1e-6), "{plane:?}");
    }
}

#[test]
fn pixel_formats_agree() {
    let Image { pixels: Pixels::U8(bytes), .. } = random_image(23, 31, 2, 3) else { unreachable!() };
    let image = |pixels| Image::new(23, 31, 2, pixels);
    let words = bytes.iter().map(|&v| u16::from(v) * 257).collect();
    let floats = bytes.iter().map(|&v| f32::from(v) / 255.0).collect();
    let crop = augmentation("name = \"random_resized_crop\"", ViewShape::image(12, 2));
    let draw = Draw::of([1.0, 2.0, 8.0, 9.0]);
    let [eight, sixteen, float] = [Pixels::U8(bytes), Pixels::U16(words), Pixels::F32(floats)].map(image);
    let reference = applied(&*crop, &eight, &draw);
    assert!(largest_difference(&reference, &applied(&*crop, &sixteen, &draw)) < 1e-6);
    // Floats are not clipped, and only they are not.
    let mut float = applied(&*crop, &float, &draw);
    assert!(float.iter().any(|v| !(0.0..=1.0).contains(v)) && reference.iter().all(|v| (0.0..=1.0).contains(v)));
    float.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
    assert!(largest_difference(&reference, &float) < 1e-6);
    // Neither does it matter whether the crop comes first or later.
    let mut view = view_of(&eight);
    crop.apply(&mut view, &draw);
    assert!(largest_difference(&reference, view.values()) < 1e-6);
}

#[test]
fn a_fitted_sample_is_its_centered_square() {
    let image = random_image(20, 36, 3, 4);
    let (mut fitted, whole) = (View::default(), view_of(&image));
    fitted.fit(&image, Size::square(20));
    for c in 0..3 {
        for y in 0..20 {
            assert_eq!(fitted.values()[(c * 20 + y) * 20..][..20], whole.values()[(c * 20 + y) * 36 + 8..][..20]);
        }
    }
}

#[test]
fn bilinear_interpolation_weighs_by_a_triangle() {
    let fitted = |values: Vec<f32>, size: usize| {
        let side = values.len().isqrt();
        let image = Image::new(side, side, 1, Pixels::F32(values));
        let shape = ViewShape::image(size, 1);
        let pipeline = Pipeline::new(&Augmentations::default(), &[], "", shape, Normalization::none(1))
            .unwrap()
            .resized_by(Interpolation::Bilinear);
        let mut view = View::default();
        pipeline.apply(&image, &[], &mut view);
        view.values().to_vec()
    };
    // Columns of a ramp, twice as large: between two centers a straight line, at the borders the nearest.
    let ramp = |side: usize| (0..side * side).map(|i| (i % side) as f32).collect();
    let large = fitted(ramp(4), 8);
    assert!(largest_difference(&large[..8], &[0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]) < 1e-6, "{large:?}");
    // Half as large: 1, 3, 3 and 1 eighths; at the border the first does not exist.
    let point = (0..64).map(|i| if i % 8 == 3 { 1.0 } else { 0.0 }).collect();
    let small = fitted(point, 4);
    assert!(largest_difference(&small[..4], &[0.0, 0.375, 0.125, 0.0]) < 1e-6, "{small:?}");
}

#[test]
fn blur_of_a_point_is_a_gaussian() {
    let blur = augmentation("name = \"gaussian_blur\"", RGB);
    let mut image = Image::new(41, 37, 1, Pixels::U8(vec![0; 41 * 37]));
    let Pixels::U8(pixels) = &mut image.pixels else { unreachable!() };
    pixels[20 * 37 + 18] = 255;
    let sigma = 1.7f32;
    let values = applied(&*blur, &image, &Draw::of([sigma]));
    let norm = 1.0 / (2.0 * std::f32::consts::PI * sigma * sigma);
    for (y, x) in [(20, 18), (21, 18), (17, 20), (24, 14)] {
        let square = (y as f32 - 20.0).powi(2) + (x as f32 - 18.0).powi(2);
        let expected = norm * (-square / (2.0 * sigma * sigma)).exp();
        assert!((values[y * 37 + x] - expected).abs() < 1e-5, "{y} {x}: {} {expected}", values[y * 37 + x]);
    }
    // Reflection keeps a constant constant, whatever the kernel's reach beyond the border.
    let flat = Image::new(3, 5, 1, Pixels::U8(vec![51; 15]));
    assert!(applied(&*blur, &flat, &Draw::of([2.0])).iter().all(|v| (v - 0.2).abs() < 1e-6));
}

#[test]
fn sobel_of_a_ramp_is_its_slope() {
    let sobel = augmentation("name = \"sobel\"", RGB);
    let ramp = (0..12 * 9).map(|i| 0.03 * (i / 9) as f32 + 0.04 * (i % 9) as f32).collect();
    let edges = applied(&*sobel, &Image::new(12, 9, 1, Pixels::F32(ramp)), &Draw::of([]));
    for y in 1..11 {
        for x in 1..8 {
            // Twice the slope: the operator spans two pixels, and a unit step has length 1.
            assert!((edges[y * 9 + x] - 2.0 * 0.05).abs() < 1e-5);
        }
    }
}

#[test]
fn rotation_by_an_angle_extends_quarter_turns() {
    let shape = ViewShape::image(9, 2);
    let image = random_image(9, 9, 2, 5);
    let [angle, turns] =
        ["angle", "quarter_turns"].map(|by| augmentation(&format!("name = \"rotate\"\nby = \"{by}\""), shape));
    for quarter in 0..4u8 {
        let turned = applied(&*turns, &image, &Draw::of([f32::from(quarter)]));
        let rotated = applied(&*angle, &image, &Draw::of([f32::from(quarter) * 90.0]));
        assert!(largest_difference(&turned, &rotated) < 1e-4, "{quarter}");
    }
}

#[test]
fn noise_has_the_drawn_strength() {
    let noise = augmentation("name = \"gaussian_noise\"\nsigma = [0.05, 0.05]\np = 1.0", RGB);
    let image = Image::new(100, 100, 1, Pixels::U8(vec![128; 10_000]));
    let draw = noise.draw(image.size(), &mut rng(0));
    let values = applied(&*noise, &image, &draw);
    let mean = values.iter().sum::<f32>() / 1e4;
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 1e4).sqrt();
    assert!((mean - 128.0 / 255.0).abs() < 0.002 && (std - 0.05).abs() < 0.0015, "{mean} {std}");
    assert_eq!(values, applied(&*noise, &image, &draw), "the draw alone decides");
    assert_ne!(values, applied(&*noise, &image, &noise.draw(image.size(), &mut rng(1))));
}

#[test]
fn normalize_in_the_recipe_is_the_same_as_the_data_constants() {
    let (mean, std) = ([0.1, 0.2, 0.3], [0.5, 0.25, 2.0]);
    let image = random_image(16, 16, 3, 6);
    let own = table("name = \"normalize\"\nmean = [0.1, 0.2, 0.3]\nstd = [0.5, 0.25, 2.0]");
    let [of_recipe, of_data] = [vec![own], vec![]].map(|tables| {
        let constants = Normalization::new(&mean, &std, ValueRange::UNIT);
        let pipeline = Pipeline::new(&Augmentations::default(), &tables, "", RGB, constants).unwrap();
        let (mut draws, mut out) = (Vec::new(), vec![0.0; 16 * 16 * 3]);
        pipeline.draw(image.size(), &mut rng(0), &mut draws);
        pipeline.write(&image, &draws, &mut View::default(), &mut out);
        out
    });
    assert!(largest_difference(&of_recipe, &of_data) < 1e-6);
    let Pixels::U8(bytes) = &image.pixels else { unreachable!() };
    for (i, (out, byte)) in of_data.iter().zip(bytes).enumerate() {
        assert!((out - (f32::from(*byte) / 255.0 - mean[i % 3]) / std[i % 3]).abs() < 1e-5);
    }
}

/// Data of any scale have the views of the same data on 0..1, if their range is the same part of them.
#[test]
fn views_do_not_know_the_scale_of_the_data() {
    let unit: Vec<f32> = (0..20 * 17 * 3).map(|i| ((i * 37) % 256) as f32 / 256.0).collect();
    let names = Augmentations::default();
    // Sounds are mixed by what their logarithms mean, on whatever scale they are.
    let names = names.of(Modality::Image).map(|entry| entry.name);
    let names = names.filter(|name| !["normalize", "mix_background"].contains(name));
    for name in names.chain(["nothing"]) {
        let own = format!("name = \"{name}\"\np = 1.0");
        let lists = [vec![table(&own)], vec![table("name = \"random_resized_crop\""), table(&own)]];
        for list in if name == "nothing" { vec![Vec::new()] } else { lists.to_vec() } {
            let view = |low: f32, high: f32| {
                let pixels = unit.iter().map(|v| low + (high - low) * v).collect();
                let image = Image::new(20, 17, 3, Pixels::F32(pixels));
                let (mean, std) = ([low + 0.25 * (high - low); 3], [0.5 * (high - low); 3]);
                let constants = Normalization::new(&mean, &std, ValueRange { low, high });
                let pipeline = Pipeline::new(&Augmentations::default(), &list, "", RGB, constants).unwrap();
                let (mut draws, mut out) = (Vec::new(), vec![0.0; 16 * 16 * 3]);
                pipeline.draw(image.size(), &mut rng(4), &mut draws);
                pipeline.write(&image, &draws, &mut View::default(), &mut out);
                out
            };
            // Powers of two: solarizing knows no rounding at its threshold.
            for (low, high) in [(-1.0, 1.0), (0.0, 65536.0), (-2.0, -1.0), (0.0, 1.0 / 4096.0)] {
                assert!(largest_difference(&view(0.0, 1.0), &view(low, high)) < 1e-4, "{name} on {low}..{high}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn flips_are_involutions_and_four_quarter_turns_the_identity(
        height in 1usize..20, width in 1usize..40, channels in 1usize..=16, seed: u64,
    ) {
        let image = random_image(height, width, channels, seed);
        let original = view_of(&image);
        for (name, draw, times) in [
            ("horizontal_flip", Draw::of([]), 2),
            ("vertical_flip", Draw::of([]), 2),
            ("rotate", Draw::of([1.0]), 4),
            ("rotate", Draw::of([2.0]), 2),
            ("rotate", Draw::of([3.0]), 4),
        ] {
            let step = augmentation(&format!("name = \"{name}\""), ViewShape::image(8, channels));
            let mut view = original.clone();
            (0..times).for_each(|_| step.apply(&mut view, &draw));
            prop_assert_eq!(view.values(), original.values());
            prop_assert_eq!(view.size(), original.size());
        }
        // Two quarter turns are both flips.
        let turn = augmentation("name = \"rotate\"", ViewShape::image(8, channels));
        let [mut turned, mut flipped] = [original.clone(), original];
        (0..2).for_each(|_| turn.apply(&mut turned, &Draw::of([1.0])));
        for name in ["horizontal_flip", "vertical_flip"] {
            augmentation(&format!("name = \"{name}\""), RGB).apply(&mut flipped, &Draw::of([]));
        }
        prop_assert_eq!(turned.values(), flipped.values());
    }

    #[test]
    fn a_crop_of_the_whole_at_the_same_size_is_the_identity(side in 1usize..48, channels in 1usize..=16, seed: u64) {
        let image = random_image(side, side, channels, seed);
        let crop = augmentation("name = \"random_resized_crop\"", ViewShape::image(side, channels));
        let whole = Draw::of([0.0, 0.0, side as f32, side as f32]);
        let original = view_of(&image);
        prop_assert_eq!(&applied(&*crop, &image, &whole), original.values());
        let mut view = original.clone();
        crop.apply(&mut view, &whole);
        prop_assert_eq!(view.values(), original.values());
    }

    #[test]
    fn jitter_of_strength_0_is_the_identity(height in 1usize..20, width in 1usize..40, seed: u64) {
        let image = random_image(height, width, 3, seed);
        let jitter = augmentation("name = \"color_jitter\"\nstrength = 0\np = 1", RGB);
        let draw = jitter.draw(image.size(), &mut rng(seed));
        let original = view_of(&image);
        prop_assert_eq!(&applied(&*jitter, &image, &draw), original.values());
    }

    #[test]
    fn hue_turns_add_up_and_keep_the_extremes(turns in -0.25f32..0.25, seed: u64) {
        let image = random_image(6, 7, 3, seed);
        let jitter = augmentation("name = \"color_jitter\"", RGB);
        let turn = |turns: f32| Draw::of([1.0, 1.0, 1.0, turns, 1234.0]);
        let original = view_of(&image);
        let (mut back, once) = (original.clone(), applied(&*jitter, &image, &turn(turns)));
        for turns in [turns, 0.5 - turns, 0.5] {
            jitter.apply(&mut back, &turn(turns));
        }
        prop_assert!(largest_difference(back.values(), original.values()) < 1e-5);
        for i in 0..42 {
            let extremes = |v: &[f32]| {
                let pixel = [v[i], v[42 + i], v[84 + i]];
                [pixel.iter().copied().fold(1.0, f32::min), pixel.iter().copied().fold(0.0, f32::max)]
            };
            prop_assert!(largest_difference(&extremes(&once), &extremes(original.values())) < 1e-5);
        }
    }

    #[test]
    fn draws_stay_in_their_ranges(height in 1usize..300, width in 1usize..300, seed: u64) {
        let size = Size { height, width };
        let inside = |[top, left, h, w, _]: [f32; 5]| {
            h >= 1.0 && w >= 1.0 && top + h <= height as f32 && left + w <= width as f32
        };
        let draw = |text: &str| augmentation(text, RGB).draw(size, &mut rng(seed));
        prop_assert!(inside(draw("name = \"random_resized_crop\"").values));
        prop_assert!(inside(draw("name = \"cutout\"\np = 1").values));
        let erase = draw("name = \"random_erase\"\np = 1");
        prop_assert!(!erase.applied || inside(erase.values));
        let [b, c, s, h, order] = draw("name = \"color_jitter\"\nbrightness = 1.5\ncontrast = 0.4\nsaturation = 0.2\nhue = 0.1\np = 1").values;
        prop_assert!((0.0..=2.5).contains(&b) && (0.6..=1.4).contains(&c) && (0.8..=1.2).contains(&s) && (-0.1..=0.1).contains(&h));
        let mut digits = order.to_string().into_bytes();
        digits.sort_unstable();
        prop_assert_eq!(digits, b"1234");
        prop_assert!((0.1..=2.0).contains(&draw("name = \"gaussian_blur\"\np = 1").values[0]));
        prop_assert!((-30.0..=30.0).contains(&draw("name = \"rotate\"\nby = \"angle\"").values[0]));
        prop_assert!([0.0, 1.0, 2.0, 3.0].contains(&draw("name = \"rotate\"").values[0]));
        prop_assert!((0.0..=0.1).contains(&draw("name = \"gaussian_noise\"\np = 1").values[0]));
    }

    #[test]
    fn channels_do_not_mix(channels in 1usize..=16, height in 1usize..50, width in 1usize..50, seed: u64) {
        // All operations that know nothing of color, in one pipeline: a channel of the view depends on the same
        // channel of the sample alone.
        let tables = ["name = \"random_resized_crop\"", "name = \"horizontal_flip\"", "name = \"vertical_flip\"",
            "name = \"rotate\"", "name = \"color_jitter\"\ncontrast = 0\nsaturation = 0\nhue = 0\np = 1",
            "name = \"solarize\"\np = 1", "name = \"gaussian_blur\"\np = 1", "name = \"sobel\"\np = 1", "name = \"cutout\"\np = 1",
            "name = \"random_erase\"\nfill = \"mean\""].map(table);
        let image = random_image(height, width, channels, seed);
        let Pixels::U8(bytes) = &image.pixels else { unreachable!() };
        let view = |image: &Image| {
            let shape = ViewShape::image(13, image.channels);
            let pipeline = Pipeline::new(&Augmentations::default(), &tables, "", shape, Normalization::none(image.channels)).unwrap();
            let (mut draws, mut view) = (Vec::new(), View::default());
            pipeline.draw(image.size(), &mut rng(seed), &mut draws);
            pipeline.apply(image, &draws, &mut view);
            view.values().to_vec()
        };
        let whole = view(&image);
        for c in 0..channels {
            let plane = bytes.iter().skip(c).step_by(channels).copied().collect();
            let alone = view(&Image::new(height, width, 1, Pixels::U8(plane)));
            prop_assert_eq!(&whole[c * 169..][..169], &alone);
        }
    }
}

#[test]
fn a_signal_is_cut_in_its_middle_or_ends_in_nan() {
    let signal = |steps: usize| {
        let values = (0..steps).flat_map(|t| [t as f32, 10.0 + 2.0 * t as f32]).collect();
        Image::new(1, steps, 2, Pixels::F32(values))
    };
    let normalization = Normalization::first(&[0.0, 10.0], &[1.0, 2.0]);
    let pipeline = Pipeline::new(&Augmentations::default(), &[], "", ViewShape::signal(4, 2), normalization).unwrap();
    let (mut view, mut draws) = (View::default(), Vec::new());
    // Both channels count steps once they are normalized.
    for (steps, expected) in [(4, [0.0, 1.0, 2.0, 3.0]), (9, [2.0, 3.0, 4.0, 5.0]), (2, [0.0, 1.0, f32::NAN, f32::NAN])]
    {
        let mut out = [0.0; 8];
        pipeline.draw(signal(steps).size(), &mut StreamRng::new(1, Purpose::View, 0, 0, 0), &mut draws);
        pipeline.write(&signal(steps), &draws, &mut view, &mut out);
        let same = |(out, expected): (&[f32], f32)| out.iter().all(|v| v.to_bits() == expected.to_bits());
        assert!(out.chunks_exact(2).zip(expected).all(same), "{steps}: {out:?}");
    }
}

#[test]
fn a_view_that_is_no_square_has_the_largest_part_of_its_proportions() {
    let wide = ViewShape { size: Size::of([4, 8]), ..ViewShape::image(4, 1) };
    let pipeline = Pipeline::new(&Augmentations::default(), &[], "", wide, Normalization::none(1)).unwrap();
    let values = |height: usize, width: usize| {
        let image =
            Image::new(height, width, 1, Pixels::F32((0..height * width).map(|i| (i % width) as f32).collect()));
        let mut out = vec![0.0; 32];
        pipeline.write(&image, &[], &mut View::default(), &mut out);
        out
    };
    assert_eq!(values(4, 12)[..8], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    assert_eq!(values(9, 8)[24..], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    let tall = ViewShape { size: Size::of([6, 3]), ..wide };
    let keys = "scale = [1.0, 1.0]\nratio = [1.0, 1.0]".parse().unwrap();
    let crop = Choice::new("random_resized_crop", keys);
    let pipeline = Pipeline::new(&Augmentations::default(), &[crop], "", tall, Normalization::none(1)).unwrap();
    let mut draws = Vec::new();
    pipeline.draw(tall.size, &mut StreamRng::new(1, Purpose::View, 0, 0, 0), &mut draws);
    assert_eq!(draws[0].values[..4], [0.0, 0.0, 6.0, 3.0], "a ratio of 1 is the view's");
}
