//! Pooling over NHWC activations: the mean over all positions, and the maximum over windows.

use crate::{
    Isa,
    conv::Span,
    lanes::{Kernel, LANES, Lanes},
    norm::TILE,
    partition::{Offset, for_each_part, load, store},
    profile::{self, Work},
};
use rayon::prelude::*;

/// Mean over the positions: `x` `[batch, positions, channels]` to `out` `[batch, channels]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn global_average_pool(x: &[f32], channels: usize, out: &mut [f32]) {
    let _span = profile::kernel("average pool", || Work::pass(x.len(), channels, 1));
    let image = image_len(x.len(), channels, out.len());
    let isa = Isa::active();
    out.par_chunks_mut(channels).zip(x.par_chunks(image)).for_each(|(mean, x)| isa.run(Average { x, mean }));
}

/// Backward pass of [`global_average_pool`]: `dy` `[batch, channels]` to `dx` `[batch, positions, channels]`, overwritten.
///
/// # Panics
/// If the shapes do not fit.
pub fn global_average_pool_backward(dy: &[f32], channels: usize, dx: &mut [f32]) {
    let _span = profile::kernel("average pool, backward", || Work::pass(dx.len(), channels, 1));
    let image = image_len(dx.len(), channels, dy.len());
    let share = 1.0 / (image / channels) as f32;
    dx.par_chunks_mut(image).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        let (first, others) = dx.split_at_mut(channels);
        first.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * share);
        others.chunks_exact_mut(channels).for_each(|dx| dx.copy_from_slice(first));
    });
}

/// Elements of an image, from those of all images and of all their means.
fn image_len(images: usize, channels: usize, means: usize) -> usize {
    assert!(
        channels > 0 && means > 0 && means.is_multiple_of(channels),
        "{means} means are not rows of {channels} channels"
    );
    let batch = means / channels;
    assert!(
        images > 0 && images.is_multiple_of(means),
        "{images} activations are not [{batch}, positions, {channels}] with one position or more"
    );
    images / batch
}

struct Average<'a> {
    x: &'a [f32],
    mean: &'a mut [f32],
}

impl Kernel for Average<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let channels = self.mean.len();
        let share = V::splat(channels as f32 / self.x.len() as f32);
        for block in 0..channels.div_ceil(LANES) {
            // Sums of tiles are added, so that the rounding error grows with the tiles and not with the positions.
            let mut total = V::splat(0.0);
            for tile in self.x.chunks(TILE * channels) {
                let mut sum = V::splat(0.0);
                for row in tile.chunks_exact(channels) {
                    sum = sum + load(row, block);
                }
                total = total + sum;
            }
            store(self.mean, block, total * share);
        }
    }
}

/// The shape of a maximum over windows; positions of the padding take no part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool {
    /// Images.
    pub batch: usize,
    /// Rows of an input image.
    pub height: usize,
    /// Columns of an input image.
    pub width: usize,
    /// Channels.
    pub channels: usize,
    /// The window from top to bottom; its padding is shorter than itself.
    pub y: Span,
    /// The window from left to right; together at most 255 positions.
    pub x: Span,
}

impl MaxPool {
    /// Rows and columns of an output image.
    pub fn output_size(&self) -> [usize; 2] {
        let inside = |span: Span| span.before.max(span.after) < span.kernel;
        assert!(
            self.y.kernel * self.x.kernel <= 255 && inside(self.y) && inside(self.x),
            "a window of at most 255 positions that is longer than its padding: {self:?}"
        );
        [self.y.out(self.height), self.x.out(self.width)]
    }

    fn input_image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Elements of an output image.
    ///
    /// # Panics
    /// If the slices, of these lengths, do not fit the shape.
    fn output_image(&self, inputs: usize, outputs: [usize; 2]) -> usize {
        let [height, width] = self.output_size();
        let image = height * width * self.channels;
        assert!(self.batch * image > 0, "an empty max pool: {self:?}");
        assert_eq!(inputs, self.batch * self.input_image(), "elements on the input side of {self:?}");
        assert_eq!(outputs, [self.batch * image; 2], "values, and indices of maxima, on the output side of {self:?}");
        image
    }

    /// Maxima of `x` `[batch, height, width, channels]` into `out` `[batch, output height, output width, channels]`, and, where it is
    /// asked for, where in its window, `row · kernel width + column`, each was first found into `argmax`, of the shape of `out`.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, x: &[f32], out: &mut [f32], argmax: Option<&mut [u8]>) {
        let _span = profile::kernel("max pool", || Work::pass(x.len(), self.channels, 1));
        let places = argmax.as_ref().map_or(out.len(), |argmax| argmax.len());
        self.output_image(x.len(), [out.len(), places]);
        let (isa, len, [_, width]) = (Isa::active(), out.len(), self.output_size());
        let row = width * self.channels;
        for_each_part((Offset(0), out, argmax), len, row, &|(start, out, argmax)| {
            isa.run(Maxima { shape: self, x, row: start.0 / row, out, argmax });
        });
    }

    /// Backward pass of [`forward`](Self::forward): every output gradient goes to the place of its maximum. `dx`, of the
    /// shape of `x`, is overwritten.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn backward(&self, dy: &[f32], argmax: &[u8], dx: &mut [f32]) {
        let _span = profile::kernel("max pool, backward", || Work::pass(dx.len(), self.channels, 1));
        let image = self.output_image(dx.len(), [dy.len(), argmax.len()]);
        let gradients = dy.par_chunks(image).zip(argmax.par_chunks(image));
        dx.par_chunks_mut(self.input_image()).zip(gradients).for_each(|(dx, (dy, argmax))| {
            let Self { width, channels, y: rows, x: columns, .. } = *self;
            let [_, out_width] = self.output_size();
            dx.fill(0.0);
            let pixels = dy.chunks_exact(channels).zip(argmax.chunks_exact(channels));
            for (pixel, (dy, argmax)) in pixels.enumerate() {
                let (y, x) = (pixel / out_width * rows.stride, pixel % out_width * columns.stride);
                for channel in 0..channels {
                    let tap = usize::from(argmax[channel]);
                    let (row, column) = (y + tap / columns.kernel, x + tap % columns.kernel);
                    let position = (row - rows.before) * width + column - columns.before;
                    dx[position * channels + channel] += dy[channel];
                }
            }
        });
    }
}

/// The maxima of one row of the output, counted over all images.
struct Maxima<'a> {
    shape: &'a MaxPool,
    x: &'a [f32],
    row: usize,
    out: &'a mut [f32],
    argmax: Option<&'a mut [u8]>,
}

impl Kernel for Maxima<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let Self { shape: &MaxPool { height, width, channels, y, x, .. }, row, out, mut argmax, .. } = self;
        let [out_height, _] = self.shape.output_size();
        let (image, top) = (row / out_height, row % out_height * y.stride);
        // The taps of the window that lie in the image.
        let rows = y.before.saturating_sub(top)..y.kernel.min(height + y.before - top);
        for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
            let left = pixel * x.stride;
            let columns = x.before.saturating_sub(left)..x.kernel.min(width + x.before - left);
            for (block, out) in out.chunks_mut(LANES).enumerate() {
                let mut best = V::splat(f32::NEG_INFINITY);
                let mut first = V::splat((rows.start * x.kernel + columns.start) as f32);
                for row in rows.clone() {
                    for column in columns.clone() {
                        let position = (image * height + top + row - y.before) * width + left + column - x.before;
                        let value = load::<V>(&self.x[position * channels..][..channels], block);
                        if argmax.is_some() {
                            first = value.if_greater(best, V::splat((row * x.kernel + column) as f32), first);
                        }
                        best = value.max(best);
                    }
                }
                best.store_slice(out);
                if let Some(argmax) = argmax.as_deref_mut() {
                    let places = &mut argmax[pixel * channels + block * LANES..][..out.len()];
                    for (to, tap) in places.iter_mut().zip(first.to_array()) {
                        *to = tap as u8;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};
    use proptest::prelude::*;

    const WINDOW: Span = Span::padded(3, 2, 1);

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&x| f64::from(x)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn averages_and_their_gradients(batch in 1usize..4, positions in 1usize..90, channels in 1usize..=70) {
            let (x, dy) = (random(batch * positions * channels, 1), random(batch * channels, 2));
            on_every_path(|| {
                let (mut out, mut dx) = (vec![f32::NAN; batch * channels], vec![f32::NAN; x.len()]);
                global_average_pool(&x, channels, &mut out);
                global_average_pool_backward(&dy, channels, &mut dx);
                let mut means = vec![0.0; out.len()];
                for i in 0..x.len() {
                    let mean = i / (positions * channels) * channels + i % channels;
                    means[mean] += f64::from(x[i]) / positions as f64;
                    assert!((dx[i] - dy[mean] / positions as f32).abs() < 1e-6);
                }
                assert!(deviation(&out, &means) < 1e-5);
                (out, dx)
            });
        }

        #[test]
        fn maxima_and_their_gradients(
            batch in 1usize..3, height in 1usize..12, width in 1usize..12, channels in 1usize..=40,
            kernels in [1usize..4, 1usize..4], strides in [1usize..4, 1usize..4], padded: bool,
        ) {
            let padding = kernels.map(|kernel| if padded { kernel / 2 } else { 0 });
            let [y, across] = [0, 1].map(|axis| Span::padded(kernels[axis], strides[axis], padding[axis]));
            let shape = MaxPool { batch, height, width, channels, y, x: across };
            prop_assume!(height + 2 * padding[0] >= kernels[0] && width + 2 * padding[1] >= kernels[1]);
            let [out_height, out_width] = shape.output_size();
            // Few different values, so that ties are common: the first maximum counts.
            let x: Vec<f32> = random(batch * height * width * channels, 1).iter().map(|x| (4.0 * x).round()).collect();
            let dy = random(batch * out_height * out_width * channels, 2);
            let (mut maxima, mut dx) = (vec![f32::NEG_INFINITY; dy.len()], vec![0.0; x.len()]);
            for i in 0..dy.len() {
                let (channel, pixel) = (i % channels, i / channels);
                let (column, row) = (pixel % out_width, pixel / out_width % out_height);
                let mut first = None;
                for tap in 0..kernels[0] * kernels[1] {
                    let at = [row * strides[0] + tap / kernels[1], column * strides[1] + tap % kernels[1]];
                    let inside = |axis: usize, side: usize| (padding[axis]..side + padding[axis]).contains(&at[axis]);
                    if inside(0, height) && inside(1, width) {
                        let image = pixel / (out_height * out_width);
                        let position = (image * height + at[0] - padding[0]) * width + at[1] - padding[1];
                        if x[position * channels + channel] > maxima[i] {
                            maxima[i] = x[position * channels + channel];
                            first = Some(position * channels + channel);
                        }
                    }
                }
                dx[first.unwrap()] += f64::from(dy[i]);
            }
            on_every_path(|| {
                let (mut out, mut argmax, mut gradient) =
                    (vec![f32::NAN; dy.len()], vec![u8::MAX; dy.len()], vec![f32::NAN; x.len()]);
                shape.forward(&x, &mut out, Some(&mut argmax));
                let mut alone = vec![f32::NAN; dy.len()];
                shape.forward(&x, &mut alone, None);
                assert_eq!(out, alone);
                shape.backward(&dy, &argmax, &mut gradient);
                assert_eq!(out, maxima);
                assert!(deviation(&gradient, &dx) < 1e-6);
                (out, argmax, gradient)
            });
        }
    }

    #[test]
    fn an_average_is_the_adjoint_of_its_backward_pass() {
        let (x, dy) = (random(3 * 50 * 20, 1), random(3 * 20, 2));
        let (mut out, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        global_average_pool(&x, 20, &mut out);
        global_average_pool_backward(&dy, 20, &mut dx);
        let dot = |a: &[f32], b: &[f32]| wide(a).iter().zip(wide(b)).map(|(a, b)| a * b).sum::<f64>();
        assert!((dot(&out, &dy) - dot(&x, &dx)).abs() < 1e-5);
    }

    #[test]
    fn a_window_of_infinities_keeps_to_the_image() {
        let shape = MaxPool { batch: 1, height: 2, width: 2, channels: 1, y: WINDOW, x: WINDOW };
        let (mut out, mut argmax, mut dx) = ([0.0], [0], [f32::NAN; 4]);
        shape.forward(&[f32::NEG_INFINITY; 4], &mut out, Some(&mut argmax));
        shape.backward(&[1.0], &argmax, &mut dx);
        assert_eq!((out, dx), ([f32::NEG_INFINITY], [1.0, 0.0, 0.0, 0.0]));
    }

    #[test]
    #[should_panic(expected = "elements on the input side")]
    fn shapes_that_do_not_fit_are_named() {
        let shape = MaxPool { batch: 1, height: 4, width: 4, channels: 3, y: WINDOW, x: WINDOW };
        shape.forward(&[0.0; 47], &mut [0.0; 12], Some(&mut [0; 12]));
    }
}
