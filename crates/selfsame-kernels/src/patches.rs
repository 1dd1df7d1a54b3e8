//! Errors of predicted patches, which a masked autoencoder learns from (He et al. 2022, arXiv:2111.06377), forward and backward.
//!
//! ```text
//! forward    e = r · Σ (p − t)² / n,  t = x, or t = (x − μ) / √(σ² + ε) with σ² = Σ (x − μ)² / (n − 1)
//! backward   dp = 2 r de (p − t) / n
//! ```
//!
//! A row of n values is a patch; only the rows that were removed, r = 1, are read. Targets are made again in the backward pass: that
//! is cheaper than keeping them.

use crate::{
    Isa,
    lanes::{Kernel, LANES, Lanes},
    layer_norm::{moments, sum},
    partition::rows,
    profile::{self, Work},
};
use rayon::prelude::*;

/// Rows of a task.
const PART_ROWS: usize = 32;

/// What predictions are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// The patches, `[rows, n]`.
    pub patches: &'a [f32],
    /// Whether a row counts, 1 or 0, `[rows]`.
    pub removed: &'a [f32],
    /// Patches are standardized, with this ε.
    pub epsilon: Option<f32>,
}

impl Targets<'_> {
    /// Values of a patch.
    fn patch_len(&self, prediction: &[f32]) -> usize {
        assert_eq!(prediction.len(), self.patches.len(), "predicted values and those of the patches");
        let patch = self.patches.len() / self.removed.len().max(1);
        assert_eq!(rows(self.patches.len(), patch.max(1), "patches"), self.removed.len(), "rows that count or not");
        patch
    }
}

/// The mean squared error of each row of `prediction`, `[rows, n]`, into `errors`, `[rows]`; 0 where a row does not count.
///
/// # Panics
/// If the shapes do not fit.
pub fn patch_errors(prediction: &[f32], targets: Targets, errors: &mut [f32]) {
    let patch = targets.patch_len(prediction);
    let _span = profile::kernel("patch errors", || Work::pass(prediction.len(), patch, 2));
    assert_eq!(errors.len(), targets.removed.len(), "an error for each row");
    let isa = Isa::active();
    let parts = errors.par_chunks_mut(PART_ROWS).zip(targets.removed.par_chunks(PART_ROWS));
    let values = prediction.par_chunks(PART_ROWS * patch).zip(targets.patches.par_chunks(PART_ROWS * patch));
    parts.zip(values).for_each(|((errors, removed), (prediction, patches))| {
        isa.run(Forward { prediction, targets: Targets { patches, removed, ..targets }, patch, errors });
    });
}

/// Backward pass of [`patch_errors`]: of the gradients `derrors`, `[rows]`, those of the predictions, which are overwritten.
///
/// # Panics
/// If the shapes do not fit.
pub fn patch_errors_backward(prediction: &[f32], targets: Targets, derrors: &[f32], dprediction: &mut [f32]) {
    let patch = targets.patch_len(prediction);
    let _span = profile::kernel("patch errors, backward", || Work::pass(prediction.len(), patch, 3));
    assert_eq!([derrors.len(), dprediction.len()], [targets.removed.len(), prediction.len()], "gradients");
    let isa = Isa::active();
    let parts = derrors.par_chunks(PART_ROWS).zip(targets.removed.par_chunks(PART_ROWS));
    let values = prediction.par_chunks(PART_ROWS * patch).zip(targets.patches.par_chunks(PART_ROWS * patch));
    dprediction.par_chunks_mut(PART_ROWS * patch).zip(parts.zip(values)).for_each(
        |(dprediction, ((derrors, removed), (prediction, patches)))| {
            let targets = Targets { patches, removed, ..targets };
            isa.run(Backward { prediction, targets, patch, derrors, dprediction });
        },
    );
}

/// What turns a patch into its target: `(x − shift) · scale`.
#[inline(always)]
fn standardization<V: Lanes>(patch: &[f32], epsilon: Option<f32>) -> [V; 2] {
    match epsilon {
        Some(epsilon) => moments::<V>(patch, (patch.len() as f32 - 1.0).max(1.0), epsilon),
        None => [V::splat(0.0), V::splat(1.0)],
    }
}

struct Forward<'a> {
    prediction: &'a [f32],
    targets: Targets<'a>,
    patch: usize,
    errors: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Targets { patches, removed, epsilon } = self.targets;
        for row in 0..self.errors.len() {
            if removed[row] == 0.0 {
                self.errors[row] = 0.0;
                continue;
            }
            let range = row * self.patch..(row + 1) * self.patch;
            let (prediction, patch) = (&self.prediction[range.clone()], &patches[range]);
            let [shift, scale] = standardization::<V>(patch, epsilon);
            let mut squares = V::splat(0.0);
            for (p, x) in prediction.chunks(LANES).zip(patch.chunks(LANES)) {
                let error = V::load_slice(p) - (V::load_slice(x) - shift) * scale;
                // Lanes beyond the end hold no error.
                let error = error.keep(((1u32 << p.len()) - 1) as u16);
                squares = error.mul_add(error, squares);
            }
            self.errors[row] = removed[row] * sum(squares) / self.patch as f32;
        }
    }
}

struct Backward<'a> {
    prediction: &'a [f32],
    targets: Targets<'a>,
    patch: usize,
    derrors: &'a [f32],
    dprediction: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Targets { patches, removed, epsilon } = self.targets;
        for row in 0..self.derrors.len() {
            let range = row * self.patch..(row + 1) * self.patch;
            let to = &mut self.dprediction[range.clone()];
            if removed[row] == 0.0 {
                to.fill(0.0);
                continue;
            }
            let (prediction, patch) = (&self.prediction[range.clone()], &patches[range]);
            let [shift, scale] = standardization::<V>(patch, epsilon);
            let factor = V::splat(2.0 * removed[row] * self.derrors[row] / self.patch as f32);
            for ((p, x), to) in prediction.chunks(LANES).zip(patch.chunks(LANES)).zip(to.chunks_mut(LANES)) {
                let error = V::load_slice(p) - (V::load_slice(x) - shift) * scale;
                (error * factor).store_slice(to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    #[test]
    fn agree_with_f64() {
        for (rows, patch, epsilon) in
            [(1, 1, None), (5, 19, Some(1e-6)), (70, 48, Some(1e-6)), (40, 33, None), (3, 768, Some(1e-6))]
        {
            let (prediction, patches, derrors) = (random(rows * patch, 1), random(rows * patch, 2), random(rows, 3));
            let removed: Vec<f32> = (0..rows).map(|row| f32::from(u8::from(row % 3 != 1))).collect();
            let n = patch as f64;
            let mut errors = vec![0.0; rows];
            let mut gradient = vec![0.0; rows * patch];
            for row in (0..rows).filter(|&row| removed[row] == 1.0) {
                let x: Vec<f64> = patches[row * patch..][..patch].iter().copied().map(f64::from).collect();
                let mean = x.iter().sum::<f64>() / n;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
                for i in 0..patch {
                    let target = epsilon.map_or(x[i], |epsilon| (x[i] - mean) / (variance + f64::from(epsilon)).sqrt());
                    let error = f64::from(prediction[row * patch + i]) - target;
                    errors[row] += error * error / n;
                    gradient[row * patch + i] = 2.0 * f64::from(derrors[row]) * error / n;
                }
            }
            on_every_path(|| {
                let targets = Targets { patches: &patches, removed: &removed, epsilon };
                let (mut out, mut back) = (vec![f32::NAN; rows], vec![f32::NAN; rows * patch]);
                patch_errors(&prediction, targets, &mut out);
                patch_errors_backward(&prediction, targets, &derrors, &mut back);
                assert!(deviation(&out, &errors) < 1e-5 && deviation(&back, &gradient) < 1e-5, "{rows} × {patch}");
                (out, back)
            });
        }
    }
}
