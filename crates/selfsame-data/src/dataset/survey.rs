//! What a look at some samples tells of all: the normalization constants, and the range of their values.

use super::Dataset;
use crate::image::{Image, Pixels, ValueRange};
use crate::threads;
use rayon::prelude::*;
use selfsame_base::DataError;
use selfsame_base::rng::{Purpose, StreamRng};

/// Values (pixels times channels) that a survey may look at.
const VALUES: usize = 1 << 27;

/// Fewest and most images that a survey looks at.
const IMAGES: [usize; 2] = [256, 10_000];

/// Values that the quantiles are taken of, about.
const DRAWN: usize = 1 << 20;

/// The quantiles that are black and white: a few broken pixels are not the range of all others.
const QUANTILES: [f64; 2] = [0.001, 0.999];

/// What was found, on the scale of the data: 8 and 16 bits on 0..1, all other numbers on their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Survey {
    /// `[channels]`
    pub mean: Vec<f32>,
    /// `[channels]`
    pub std: Vec<f32>,
    /// 0..1 where every image has 8 bits.
    pub range: ValueRange,
}

/// Of one image.
struct Look {
    /// `[mean of x, mean of x²]` of each channel.
    moments: Vec<[f64; 2]>,
    /// Values drawn at random.
    drawn: Vec<f32>,
    eight_bits: bool,
}

impl Dataset {
    /// A survey of the data, where `briefly` says that only the range is asked for.
    pub(super) fn own_survey(&self, briefly: bool) -> Result<Survey, DataError> {
        let [fewest, most] = IMAGES;
        let images = if briefly { fewest } else { (VALUES / self.mean_image_values.max(1)).clamp(fewest, most) };
        self.survey(images, 0)
    }

    /// Looks at up to `max_samples` samples drawn without replacement. Each image weighs the same, as it does in training. The
    /// same seed gives the same bytes for any number of threads; unreadable samples are left out.
    pub fn survey(&self, max_samples: usize, seed: u64) -> Result<Survey, DataError> {
        let len = self.len();
        let mut order: Vec<u32> = (0..len as u32).collect();
        let count = len.min(max_samples);
        if count < len {
            let mut rng = StreamRng::new(seed, Purpose::Survey, 0, 0, 0);
            (0..count).for_each(|i| order.swap(i, i + rng.below(len - i)));
            order.truncate(count);
            order.sort_unstable();
        }
        let each = (DRAWN / count.max(1)).max(1);
        let look = |&index: &u32| {
            let index = index as usize;
            let rng = StreamRng::new(seed, Purpose::Survey, 1, self.key(index), 0);
            match self.with_sample(index, |image| Look::at(image, each, rng)) {
                Ok(look) => Ok(Some(look)),
                Err(DataError::Sample { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let looks: Vec<Option<Look>> =
            threads::pool(0)?.install(|| order.par_iter().map(look).collect::<Result<_, _>>())?;
        let looks: Vec<Look> = looks.into_iter().flatten().collect();
        if looks.is_empty() {
            return Err(DataError::Data(format!("none of {count} samples can be read, so there is no mean to take")));
        }
        let mut sums = vec![[0.0; 2]; self.channels()];
        for Look { moments, .. } in &looks {
            sums.iter_mut().zip(moments).for_each(|(sum, [mean, square])| *sum = [sum[0] + mean, sum[1] + square]);
        }
        let images = looks.len() as f64;
        let mean = |[sum, _]: &[f64; 2]| sum / images;
        let variance = |sums: &[f64; 2]| sums[1] / images - mean(sums).powi(2);
        Ok(Survey {
            mean: sums.iter().map(|sums| mean(sums) as f32).collect(),
            std: sums.iter().map(|sums| variance(sums).max(0.0).sqrt() as f32).collect(),
            range: range(looks),
        })
    }
}

impl Look {
    fn at(image: &Image, drawn: usize, mut rng: StreamRng) -> Self {
        let places: Vec<usize> = if image.len() <= drawn {
            (0..image.len()).collect()
        } else {
            (0..drawn).map(|_| rng.below(image.len())).collect()
        };
        let value = |place: usize| match &image.pixels {
            Pixels::U8(values) => f32::from(values[place]) / 255.0,
            Pixels::U16(values) => f32::from(values[place]) / 65535.0,
            Pixels::F32(values) => values[place],
        };
        let eight_bits = matches!(image.pixels, Pixels::U8(_));
        Self { moments: moments(image), drawn: places.into_iter().map(value).collect(), eight_bits }
    }
}

/// Black and white of these values, never the same.
fn range(looks: Vec<Look>) -> ValueRange {
    if looks.iter().all(|look| look.eight_bits) {
        return ValueRange::UNIT;
    }
    let mut values: Vec<f32> = looks.into_iter().flat_map(|look| look.drawn).collect();
    values.sort_unstable_by(f32::total_cmp);
    let last = values.len() - 1;
    let at = |place: usize| values[place];
    let [low, high] = QUANTILES.map(|quantile| at((quantile * last as f64).round() as usize));
    // Where nearly all values are alike, the few others matter.
    let ends = [(low, high), (at(0), at(last))];
    let apart = |&(low, high): &(f32, f32)| high - low > 1e-6 * low.abs().max(high.abs());
    match ends.into_iter().find(apart) {
        Some((low, high)) => ValueRange { low, high },
        None => ValueRange { low, high: low + low.abs().max(1.0) },
    }
}

/// `[mean of x, mean of x²]` of each channel, `[channels, 2]`.
fn moments(image: &Image) -> Vec<[f64; 2]> {
    fn sums<T: Copy + Into<f64>>(values: &[T], channels: usize, scale: f64) -> Vec<[f64; 2]> {
        let mut sums = vec![[0.0; 2]; channels];
        for pixel in values.chunks_exact(channels) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                let value: f64 = value.into();
                sum[0] += value;
                sum[1] += value * value;
            }
        }
        let pixels = (values.len() / channels) as f64;
        sums.iter().map(|[sum, square]| [sum * scale / pixels, square * scale * scale / pixels]).collect()
    }
    match &image.pixels {
        Pixels::U8(values) => sums(values, image.channels, 1.0 / 255.0),
        Pixels::U16(values) => sums(values, image.channels, 1.0 / 65535.0),
        Pixels::F32(values) => sums(values, image.channels, 1.0),
    }
}
