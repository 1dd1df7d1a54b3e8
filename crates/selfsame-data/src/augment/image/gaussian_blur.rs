//! Gaussian blur, σ uniform; borders are reflected.
//!
//! The kernel reaches 4σ to either side, but never further than the reflection (side − 1). Rows first, then columns;
//! a block of sums stays in registers while the taps, which are symmetric, pass over it.

use super::*;
use crate::augment::vectorized::{block_starts, vectorized};
use crate::image::Size;
use selfsame_base::rng::ViewRng;

settings! {
    /// `{ name = "gaussian_blur" }`
    pub struct GaussianBlurSettings {
        /// standard deviation, px
        sigma: [f32; 2] = [0.1, 2.0], Kind::Interval(Range::Within(0.01, 32.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "gaussian_blur",
    summary: "Gaussian blur of random width",
    modalities: &[Modality::Image],
    keys: GaussianBlurSettings::GROUP,
    build: |cx| {
        let settings: GaussianBlurSettings = cx.read()?;
        Ok(Box::new(GaussianBlur { sigma: settings.sigma, p: settings.p }))
    },
};

pub(in crate::augment) struct GaussianBlur {
    pub sigma: [f32; 2],
    pub p: f32,
}

impl Augmentation for GaussianBlur {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["sigma_px"]
    }

    fn draw(&self, _size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of([rng.uniform(self.sigma[0], self.sigma[1])]) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let (height, width) = (view.height, view.width);
        let [across, down] = [width, height].map(|side| half_kernel(draw.values[0], side));
        let reach = across.len() - 1;
        view.line.resize(width + 2 * reach, 0.0);
        view.spare.resize(view.values.len(), 0.0);
        vectorized!({
            for (out, row) in view.spare.chunks_exact_mut(width).zip(view.values.chunks_exact(width)) {
                let line = &mut view.line;
                line[reach..reach + width].copy_from_slice(row);
                for k in 1..=reach {
                    line[reach - k] = row[k];
                    line[reach + width - 1 + k] = row[width - 1 - k];
                }
                convolve(&across, out, |k| [&line[reach - k..][..width], &line[reach + k..][..width]]);
            }
            let planes = view.spare.chunks_exact(height * width);
            for (out, plane) in view.values.chunks_exact_mut(height * width).zip(planes) {
                for (y, out) in out.chunks_exact_mut(width).enumerate() {
                    let row = |y: usize| &plane[y * width..][..width];
                    convolve(&down, out, |k| {
                        let below = if y + k < height { y + k } else { 2 * (height - 1) - (y + k) };
                        [row(y.abs_diff(k)), row(below)]
                    });
                }
            }
        });
    }
}

/// Weights of the taps 0, ±1, ±2 …, summing to 1 over both sides.
fn half_kernel(sigma_px: f32, side: usize) -> Vec<f32> {
    let reach = ((4.0 * sigma_px).ceil() as usize).min(side - 1);
    let weights: Vec<f32> = (0..=reach).map(|k| (-0.5 * (k as f32 / sigma_px).powi(2)).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f32>();
    weights.into_iter().map(|w| w / sum).collect()
}

/// `out = Σ_k weight_k · (before_k + after_k)`, where `taps(k)` are the lines `k` before and after.
#[inline(always)]
fn convolve<'a>(weights: &[f32], out: &mut [f32], taps: impl Fn(usize) -> [&'a [f32]; 2]) {
    match out.len() {
        32.. => convolve_blocks::<32>(weights, out, taps),
        8.. => convolve_blocks::<8>(weights, out, taps),
        _ => convolve_blocks::<1>(weights, out, taps),
    }
}

#[inline(always)]
fn convolve_blocks<'a, const B: usize>(weights: &[f32], out: &mut [f32], taps: impl Fn(usize) -> [&'a [f32]; 2]) {
    for from in block_starts::<B>(out.len()) {
        let block = |line: &'a [f32]| &line[from..][..B];
        let mut sums = [0.0; B];
        sums.iter_mut().zip(block(taps(0)[0])).for_each(|(sum, v)| *sum = weights[0] * v);
        for (k, weight) in weights.iter().enumerate().skip(1) {
            let [before, after] = taps(k).map(block);
            sums.iter_mut().zip(before).zip(after).for_each(|((sum, a), b)| *sum += weight * (a + b));
        }
        out[from..][..B].copy_from_slice(&sums);
    }
}
