//! Dials: augmentations at a fixed strength, to measure how an encoder responds to them.
//!
//! An augmentation draws its parameters and then applies them. A dial sets the one parameter that is its strength; the
//! others are drawn as always (the place of a crop, the seed of a noise). A new augmentation may add its line to
//! [`DIALS`].

use super::{Augmentation, Augmentations, Draw, View, ViewShape};
use crate::image::{Image, Size};
use crate::modality::Modality;
use selfsame_base::DataError;
use selfsame_base::rng::ViewRng;
use selfsame_config::Choice;

/// One parameter of an augmentation, and the strengths at which it is looked at, weakest first.
#[derive(Debug)]
pub struct Dial {
    /// Name in the catalogue.
    pub augmentation: &'static str,
    /// The parameter that is turned; empty where an augmentation is applied or not, and there is nothing to turn.
    pub parameter: &'static str,
    /// Unit of the strengths, as written after a number.
    pub unit: &'static str,
    /// The strength at which nothing happens.
    pub neutral: f32,
    /// Strengths.
    pub strengths: &'static [f32],
    /// The augmentation's keys as TOML; `$` is the strength.
    keys: &'static str,
    /// Position of the strength among the values drawn, where the keys cannot pin it.
    pinned: Option<usize>,
    /// The one modality that it is for, where the augmentation serves more.
    only: Option<Modality>,
}

const fn dial(
    [augmentation, parameter, unit]: [&'static str; 3],
    neutral: f32,
    strengths: &'static [f32],
    keys: &'static str,
) -> Dial {
    Dial { augmentation, parameter, unit, neutral, strengths, keys, pinned: None, only: None }
}

const fn jitter(
    parameter: &'static str,
    neutral: f32,
    strengths: &'static [f32],
    place: usize,
    keys: &'static str,
) -> Dial {
    let dial = dial(["color_jitter", parameter, ""], neutral, strengths, keys);
    Dial { pinned: Some(place), ..dial }
}

/// Every dial. Those that the data do not allow (color on gray images) are left out by [`Dial::build`].
pub static DIALS: &[Dial] = &[
    dial(
        ["random_resized_crop", "area", ""],
        1.0,
        &[0.8, 0.6, 0.4, 0.25, 0.1],
        "scale = [$, $]\nratio = [1.0, 1.0]\np = 1.0",
    ),
    dial(["horizontal_flip", "", ""], 0.0, &[1.0], "p = $"),
    dial(["vertical_flip", "", ""], 0.0, &[1.0], "p = $"),
    Dial {
        pinned: Some(0),
        ..dial(["rotate", "quarter turns", ""], 0.0, &[1.0, 2.0, 3.0], "by = \"quarter_turns\"\np = 1.0")
    },
    dial(["rotate", "angle", "°"], 0.0, &[10.0, 20.0, 30.0, 45.0, 60.0], "by = \"angle\"\ndegrees = [$, $]\np = 1.0"),
    jitter("darker", 1.0, &[0.9, 0.75, 0.6, 0.4, 0.2], 0, JITTER),
    jitter("brightness", 1.0, &[1.1, 1.25, 1.5, 1.75, 2.0], 0, JITTER),
    jitter("contrast", 1.0, &[0.9, 0.75, 0.6, 0.4, 0.2], 1, JITTER),
    jitter("saturation", 1.0, &[0.75, 0.5, 0.25, 0.0], 2, COLOR_JITTER),
    jitter("hue", 0.0, &[0.05, 0.1, 0.2, 0.3, 0.5], 3, COLOR_JITTER),
    dial(["grayscale", "", ""], 0.0, &[1.0], "p = $"),
    dial(["solarize", "threshold", ""], 1.0, &[0.9, 0.7, 0.5, 0.3, 0.1], "threshold = $\np = 1.0"),
    dial(["gaussian_blur", "sigma", " px"], 0.0, &[0.5, 1.0, 1.5, 2.0, 3.0], "sigma = [$, $]\np = 1.0"),
    dial(["gaussian_noise", "sigma", ""], 0.0, &[0.02, 0.05, 0.1, 0.2, 0.4], "sigma = [$, $]\np = 1.0"),
    dial(["sobel", "", ""], 0.0, &[1.0], "p = $"),
    dial(["cutout", "side", ""], 0.0, &[0.2, 0.3, 0.4, 0.5, 0.7], "size = [$, $]\np = 1.0"),
    dial(["random_erase", "area", ""], 0.0, &[0.05, 0.1, 0.2, 0.3, 0.5], "scale = [$, $]\nratio = [1.0, 1.0]\np = 1.0"),
    dial(["feature_corruption", "share", ""], 0.0, &[0.1, 0.2, 0.3, 0.4, 0.6], "rate = $\np = 1.0"),
    dial(["feature_dropout", "share", ""], 0.0, &[0.1, 0.2, 0.3, 0.4, 0.6], "rate = $\np = 1.0"),
    dial(["random_crop", "share", ""], 1.0, &[0.9, 0.8, 0.65, 0.5, 0.25], "scale = [$, $]\np = 1.0"),
    dial(["jitter", "sigma", ""], 0.0, &[0.05, 0.1, 0.2, 0.4, 0.8], "sigma = [$, $]\np = 1.0"),
    dial(["scaling", "sigma", ""], 0.0, &[0.05, 0.1, 0.2, 0.4, 0.8], "sigma = $\np = 1.0"),
    dial(["random_gain", "louder", " dB"], 0.0, &[1.0, 3.0, 6.0, 12.0, 20.0], "gain_db = [$, $]\np = 1.0"),
    dial(["random_gain", "quieter", " dB"], 0.0, &[-1.0, -3.0, -6.0, -12.0, -20.0], "gain_db = [$, $]\np = 1.0"),
    dial(["magnitude_warp", "sigma", ""], 0.0, &[0.1, 0.2, 0.3, 0.5, 0.8], "sigma = $\np = 1.0"),
    dial(["time_warp", "sigma", ""], 0.0, &[0.1, 0.2, 0.3, 0.5, 0.8], "sigma = $\np = 1.0"),
    Dial { pinned: Some(0), ..dial(["permutation", "segments", ""], 1.0, &[2.0, 3.0, 5.0, 8.0, 16.0], "p = 1.0") },
    dial(["time_shift", "share at most", ""], 0.0, &[0.05, 0.1, 0.2, 0.3, 0.5], "share = $\np = 1.0"),
    dial(["channel_dropout", "share", ""], 0.0, &[0.1, 0.2, 0.3, 0.5, 0.8], "rate = $\np = 1.0"),
    // Of photos it would say nothing.
    Dial {
        only: Some(Modality::Signal),
        ..dial(["time_mask", "share", ""], 0.0, &[0.05, 0.1, 0.2, 0.3, 0.5], "share = [$, $]\np = 1.0")
    },
    dial(["band_stop", "octaves", ""], 0.0, &[0.25, 0.5, 1.0, 1.5, 2.0], "octaves = [$, $]\np = 1.0"),
];

/// All four without effect; the one that is turned is set afterwards.
const JITTER: &str = "brightness = 0.0\ncontrast = 0.0\nsaturation = 0.0\nhue = 0.0\np = 1.0";
/// The same, refused where there is no color.
const COLOR_JITTER: &str = "brightness = 0.0\ncontrast = 0.0\nsaturation = 0.1\nhue = 0.0\np = 1.0";

impl Dial {
    /// The augmentation at each strength; `None` where views of `shape` do not allow it.
    pub fn build(&self, shape: ViewShape) -> Option<Vec<Box<dyn Augmentation>>> {
        if self.only.is_some_and(|only| only != shape.modality) {
            return None;
        }
        let at = |&strength: &f32| -> Result<Box<dyn Augmentation>, DataError> {
            let text = self.keys.replace('$', &format!("{strength:?}"));
            let keys = text.parse().expect("keys of dials are TOML");
            let (_, inner) = Augmentations::default().build(&Choice::new(self.augmentation, keys), "dial", shape)?;
            let pin = self.pinned.map(|place| (place, strength));
            // Saturation is drawn beside the pin when only its key makes color required.
            let neutral = (self.augmentation == "color_jitter").then_some([1.0, 1.0, 1.0, 0.0]);
            Ok(Box::new(Pinned { inner, pin, neutral }))
        };
        self.strengths.iter().map(at).collect::<Result<_, _>>().ok()
    }
}

/// An augmentation one of whose drawn values is given.
struct Pinned {
    inner: Box<dyn Augmentation>,
    /// Place and value.
    pin: Option<(usize, f32)>,
    /// First values that all others keep.
    neutral: Option<[f32; 4]>,
}

impl Augmentation for Pinned {
    fn parameter_names(&self) -> &'static [&'static str] {
        self.inner.parameter_names()
    }
    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        let mut draw = self.inner.draw(size, rng);
        if let Some(neutral) = self.neutral {
            draw.values[..4].copy_from_slice(&neutral);
        }
        if let Some((place, value)) = self.pin {
            draw.values[place] = value;
        }
        draw
    }
    fn apply(&self, view: &mut View, draw: &Draw) {
        self.inner.apply(view, draw);
    }
    fn apply_to_sample(&self, sample: &Image, view: &mut View, draw: &Draw) {
        self.inner.apply_to_sample(sample, view, draw);
    }
    fn output_size(&self, size: Size, draw: &Draw) -> Size {
        self.inner.output_size(size, draw)
    }
    fn resizes(&self) -> bool {
        self.inner.resizes()
    }
    fn needs_others(&self) -> bool {
        self.inner.needs_others()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::augment::{Normalization, Pipeline};
    use crate::image::Pixels;
    use selfsame_base::rng::{Purpose, StreamRng};

    fn image(channels: usize) -> Image {
        let mut rng = StreamRng::new(1, Purpose::Survey, 0, 0, 0);
        Image::new(16, 16, channels, Pixels::U8((0..256 * channels).map(|_| 40 + rng.below(120) as u8).collect()))
    }

    /// The view that a dial makes at a strength, and the plain one.
    fn turned(dial: &Dial, channels: usize, strength: usize) -> Option<[Vec<f32>; 2]> {
        let shape = ViewShape::image(16, channels);
        let step = dial.build(shape)?.swap_remove(strength);
        let pipeline = Pipeline::of(dial.augmentation, step, shape, Normalization::none(channels));
        let (mut rng, mut draws, mut view) = (StreamRng::new(3, Purpose::View, 0, 0, 0), Vec::new(), View::default());
        pipeline.draw(Size { height: 16, width: 16 }, &mut rng, &mut draws);
        pipeline.apply(&image(channels), &draws, &mut view);
        let moved = view.values().to_vec();
        view.fit(&image(channels), Size::square(16));
        Some([moved, view.values().to_vec()])
    }

    #[test]
    fn every_dial_moves_an_image_and_color_is_left_out_where_there_is_none() {
        let mut gray = 0;
        let all = Augmentations::default();
        let of_images = DIALS
            .iter()
            .filter(|dial| dial.only.is_none() && all.of(Modality::Image).any(|own| own.name == dial.augmentation));
        for dial in of_images.clone() {
            for strength in 0..dial.strengths.len() {
                let [moved, plain] = turned(dial, 3, strength).unwrap();
                let threshold = dial.parameter == "threshold" && dial.strengths[strength] >= 0.7;
                assert!(moved != plain || threshold, "{dial:?} {strength}");
            }
            gray += usize::from(turned(dial, 1, 0).is_some());
        }
        assert_eq!(of_images.count() - gray, 3, "saturation, hue and grayscale need color");
    }

    #[test]
    fn vectors_have_the_dials_of_their_augmentations() {
        let built = DIALS.iter().filter(|dial| dial.build(ViewShape::vector(3)).is_some());
        let names: Vec<&str> = built.map(|dial| dial.augmentation).collect();
        assert_eq!(names, ["gaussian_noise", "feature_corruption", "feature_dropout"]);
        let all = Augmentations::default();
        assert!(names.iter().all(|name| all.of(Modality::Vector).any(|own| own.name == *name)));
    }

    #[test]
    fn every_dial_of_signals_moves_one_and_the_last_strength_more_than_the_first() {
        let shape = ViewShape::signal(64, 2);
        let value = |i: usize| ((i / 2) as f32 / 10.0 + (i % 2) as f32).sin();
        let sample = Image::new(1, 64, 2, Pixels::F32((0..128).map(value).collect()));
        let all = Augmentations::default();
        let mut names: Vec<&str> = Vec::new();
        for dial in DIALS.iter().filter(|dial| all.of(Modality::Signal).any(|own| own.name == dial.augmentation)) {
            // How far the view is from the sample, over many draws.
            let moved: Vec<f32> = dial
                .build(shape)
                .unwrap()
                .into_iter()
                .map(|step| {
                    let (mut view, mut plain) = (View::default(), View::default());
                    plain.load(&sample);
                    let distances = (0..200).map(|seed| {
                        view.load(&sample);
                        let draw = step.draw(sample.size(), &mut StreamRng::new(seed, Purpose::View, 0, 0, 0));
                        step.apply(&mut view, &draw);
                        view.values().iter().zip(plain.values()).map(|(a, b)| (a - b).powi(2)).sum::<f32>()
                    });
                    distances.sum()
                })
                .collect();
            assert!(moved[0] > 0.0 && moved[0] < moved[dial.strengths.len() - 1], "{dial:?}: {moved:?}");
            names.push(dial.augmentation);
        }
        names.dedup();
        assert!(names.iter().copied().eq(all.of(Modality::Signal).map(|entry| entry.name)), "each has one: {names:?}");
    }

    #[test]
    fn a_pinned_factor_is_the_factor() {
        let dial = DIALS.iter().find(|d| d.parameter == "darker").unwrap();
        let [moved, plain] = turned(dial, 1, 3).unwrap();
        assert!(moved.iter().zip(&plain).all(|(a, b)| (a - 0.4 * b).abs() < 1e-6));
        let gray = DIALS.iter().find(|d| d.parameter == "saturation").unwrap();
        let [moved, _] = turned(gray, 3, 3).unwrap();
        assert!((0..256).all(|i| (moved[i] - moved[256 + i]).abs() < 1e-6), "saturation 0 leaves no color");
    }
}
