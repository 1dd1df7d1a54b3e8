//! 7×7 depthwise convolution with stride 1 and zeros around the image, forward and backward (Liu et al. 2022, "A ConvNet for the
//! 2020s"): every channel is filtered on its own.
//!
//! Activations are `[batch, height, width, channels]`, weights `[7, 7, channels]`. A task is one vector of channels of one image
//! (of the weights' gradient, of a group of images). The seven rows of the image that an output row sees, padded, are kept in a ring
//! of vectors that lies in the L1 cache, so that every pixel is read once and no loop looks where the image ends. The input's
//! gradient is the same convolution of the output's gradient, with the weights turned around. The weights' gradient runs in f32 over
//! the rows of a band, and in f64 over the bands and the images, in their order.

use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes},
    memory::{Buffer, Pooled},
    partition::{for_each_chunk, for_each_task, load, store},
    profile::{self, Work},
};

/// Side of the window.
pub const SIDE: usize = 7;
/// Weights of a channel.
const TAPS: usize = SIDE * SIDE;
/// Rows of a band.
const BAND: usize = 8;
/// Groups of images, at most.
const GROUPS: usize = 16;

/// The shape of a depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depthwise {
    /// Images.
    pub batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Depthwise {
    fn work(&self) -> Work {
        let Self { batch, height, width, channels } = self;
        let values = batch * self.image();
        Work { shape: format!("{batch}×{height}×{width}×{channels}"), products: TAPS * values, values: 2 * values }
    }

    fn image(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    fn check(&self, activations: [usize; 2], weights: usize) {
        assert_eq!(activations, [self.batch * self.image(); 2], "elements on both sides of {self:?}");
        assert_eq!(weights, TAPS * self.channels, "weights of {self:?}");
    }

    /// `y = weight ∗ x + bias`, per channel.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        let _span = profile::kernel("depthwise convolution", || self.work());
        assert_eq!(bias.len(), self.channels, "biases of {self:?}");
        self.convolve(x, weight, Some(bias), y);
    }

    /// The gradient of the input, which is overwritten.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn input_grad(&self, dy: &[f32], weight: &[f32], dx: &mut [f32]) {
        let _span = profile::kernel("depthwise convolution, input gradient", || self.work());
        self.convolve(dy, weight, None, dx);
    }

    /// With a bias, the convolution; without one its transpose.
    fn convolve(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        self.check([x.len(), y.len()], weight.len());
        let (isa, blocks, image) = (Isa::active(), self.blocks(), self.image());
        // SAFETY: every task writes its own channels of its own image.
        let y = unsafe { Disjoint::new(y) };
        for_each_task(self.batch * blocks, |task| {
            let (start, block) = (task / blocks * image, task % blocks);
            isa.run(Convolve { shape: self, x: &x[start..][..image], weight, bias, y, start, block });
        });
    }

    /// The gradients of the weights and the biases, which are overwritten.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn weight_grad(&self, x: &[f32], dy: &[f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let _span = profile::kernel("depthwise convolution, weight gradient", || self.work());
        self.check([x.len(), dy.len()], dweight.len());
        assert_eq!(dbias.len(), self.channels, "biases of {self:?}");
        const EACH: usize = (TAPS + 1) * LANES;
        let (isa, blocks, image) = (Isa::active(), self.blocks(), self.image());
        let images = self.batch.div_ceil(GROUPS).max(1);
        let groups = self.batch.div_ceil(images);
        let mut partial = Pooled::<f64>::for_overwrite(groups * blocks * EACH);
        for_each_chunk(&mut partial, EACH, |task, sums| {
            let (group, block) = (task / blocks, task % blocks);
            let range = group * images * image..((group + 1) * images).min(self.batch) * image;
            isa.run(WeightGradient { shape: self, x: &x[range.clone()], dy: &dy[range], block, sums });
        });
        for channel in 0..self.channels {
            let (block, lane) = (channel / LANES, channel % LANES);
            for tap in 0..=TAPS {
                let at = |group: usize| partial[(group * blocks + block) * EACH + tap * LANES + lane];
                let sum = (0..groups).map(at).sum::<f64>() as f32;
                match tap {
                    TAPS => dbias[channel] = sum,
                    _ => dweight[tap * self.channels + channel] = sum,
                }
            }
        }
    }
}

type Vector = [f32; LANES];

/// The last seven padded rows of one vector of channels.
struct Ring {
    buffer: Buffer,
    /// Vectors of a row.
    stride: usize,
}

impl Ring {
    /// Rows of `width` pixels, to which zeros are added on both sides, and on the right as many as whole tiles need.
    fn new(width: usize, tile: usize) -> Self {
        let stride = width.next_multiple_of(tile) + SIDE - 1;
        Self { buffer: Buffer::zeroed(SIDE * stride * LANES), stride }
    }

    /// A padded row, counted from the first row of zeros above the image.
    #[inline(always)]
    fn row(&self, padded: usize) -> &[Vector] {
        &self.buffer.as_chunks().0[padded % SIDE * self.stride..][..self.stride]
    }

    /// Takes in the padded row of the image `x`, in the place of the one seven before.
    #[inline(always)]
    fn take<V: Lanes>(&mut self, shape: &Depthwise, x: &[f32], block: usize, padded: usize) {
        let &Depthwise { height, width, channels, .. } = shape;
        let to = &mut self.buffer.as_chunks_mut().0[padded % SIDE * self.stride..][..self.stride];
        let to: &mut [Vector] = &mut to[SIDE / 2..][..width];
        if padded < SIDE / 2 || padded >= height + SIDE / 2 {
            to.fill([0.0; LANES]);
            return;
        }
        let row = &x[(padded - SIDE / 2) * width * channels..][..width * channels];
        for (to, pixel) in to.iter_mut().zip(row.chunks_exact(channels)) {
            load::<V>(pixel, block).store(to);
        }
    }
}

struct Convolve<'a> {
    shape: &'a Depthwise,
    /// Of one image.
    x: &'a [f32],
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    y: Disjoint<'a>,
    /// Where the image starts in `y`.
    start: usize,
    block: usize,
}

impl Kernel for Convolve<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        // As many sums as there are registers for.
        if V::TILE_ROWS[1] > 0 { self.rows::<V, 8>() } else { self.rows::<V, 4>() }
    }
}

impl Convolve<'_> {
    #[inline(always)]
    fn rows<V: Lanes, const TILE: usize>(self) {
        let &Depthwise { height, width, channels, .. } = self.shape;
        let mut taps: [[Vector; SIDE]; SIDE] = [[[0.0; LANES]; SIDE]; SIDE];
        for (tap, to) in taps.as_flattened_mut().iter_mut().enumerate() {
            let from = if self.bias.is_some() { tap } else { TAPS - 1 - tap };
            load::<V>(&self.weight[from * channels..][..channels], self.block).store(to);
        }
        let first = match self.bias {
            Some(bias) => load::<V>(bias, self.block),
            None => V::splat(0.0),
        };
        let lanes = self.block * LANES..channels.min((self.block + 1) * LANES);
        let mut ring = Ring::new(width, TILE);
        for padded in 0..height + SIDE - 1 {
            ring.take::<V>(self.shape, self.x, self.block, padded);
            let Some(row) = (padded + 1).checked_sub(SIDE) else { continue };
            for left in (0..width).step_by(TILE) {
                let mut sums = [first; TILE];
                for (dy, taps) in taps.iter().enumerate() {
                    let inputs = &ring.row(row + dy)[left..][..TILE + SIDE - 1];
                    for (dx, tap) in taps.iter().enumerate() {
                        let (tap, inputs) = (V::load(tap), &inputs[dx..][..TILE]);
                        for i in 0..TILE {
                            sums[i] = tap.mul_add(V::load(&inputs[i]), sums[i]);
                        }
                    }
                }
                for i in 0..TILE.min(width - left) {
                    let pixel = self.start + (row * width + left + i) * channels;
                    sums[i].store_slice(self.y.part(pixel + lanes.start..pixel + lanes.end));
                }
            }
        }
    }
}

struct WeightGradient<'a> {
    shape: &'a Depthwise,
    /// Of a group of images.
    x: &'a [f32],
    dy: &'a [f32],
    block: usize,
    /// Of every tap, and then of the bias: a vector of channels.
    sums: &'a mut [f64],
}

impl Kernel for WeightGradient<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let &Depthwise { height, width, channels, .. } = self.shape;
        self.sums.fill(0.0);
        let (mut ring, mut gradients) = (Ring::new(width, 1), Buffer::for_overwrite(width * LANES));
        let mut band = [[0.0; LANES]; TAPS + 1];
        for (x, dy) in self.x.chunks_exact(self.shape.image()).zip(self.dy.chunks_exact(self.shape.image())) {
            for padded in 0..height + SIDE - 1 {
                ring.take::<V>(self.shape, x, self.block, padded);
                let Some(row) = (padded + 1).checked_sub(SIDE) else { continue };
                let mut bias = V::load(&band[TAPS]);
                let pixels = dy[row * width * channels..][..width * channels].chunks_exact(channels);
                for (i, pixel) in pixels.enumerate() {
                    let gradient = load::<V>(pixel, self.block);
                    store(&mut gradients, i, gradient);
                    bias = bias + gradient;
                }
                bias.store(&mut band[TAPS]);
                let gradients: &[Vector] = gradients.as_chunks().0;
                for dy in 0..SIDE {
                    let sums: &mut [Vector; SIDE] = band[dy * SIDE..].first_chunk_mut().expect("seven of them");
                    add_products::<V>(ring.row(row + dy), gradients, sums);
                }
                if (row + 1).is_multiple_of(BAND) || row + 1 == height {
                    for (total, sum) in self.sums.iter_mut().zip(band.as_flattened()) {
                        *total += f64::from(*sum);
                    }
                    band = [[0.0; LANES]; TAPS + 1];
                }
            }
        }
    }
}

/// Adds to the sum of every tap of a row the products of the gradients with the inputs that far to the right.
#[inline(always)]
fn add_products<V: Lanes>(inputs: &[Vector], gradients: &[Vector], sums: &mut [Vector; SIDE]) {
    let mut totals = [V::splat(0.0); SIDE];
    for dx in 0..SIDE {
        totals[dx] = V::load(&sums[dx]);
    }
    for (gradient, inputs) in gradients.iter().zip(inputs.array_windows::<SIDE>()) {
        let gradient = V::load(gradient);
        for dx in 0..SIDE {
            totals[dx] = gradient.mul_add(V::load(&inputs[dx]), totals[dx]);
        }
    }
    for dx in 0..SIDE {
        totals[dx].store(&mut sums[dx]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{deviation, on_every_path, random};

    /// Result and gradients in f64: of the input, the weights, the biases.
    fn direct(shape: &Depthwise, [x, weight, bias, dy]: [&[f32]; 4]) -> [Vec<f64>; 4] {
        let &Depthwise { batch, height, width, channels } = shape;
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dw, mut db) = (vec![0.0; weight.len()], vec![0.0; channels]);
        for i in 0..batch * height * width {
            let (image, row, column) = (i / (height * width), i / width % height, i % width);
            for c in 0..channels {
                let (to, gradient) = (i * channels + c, f64::from(dy[i * channels + c]));
                y[to] += f64::from(bias[c]);
                db[c] += gradient;
                for tap in 0..TAPS {
                    let (down, right) = (row + tap / SIDE, column + tap % SIDE);
                    let inside = |at: usize, side: usize| (3..side + 3).contains(&at);
                    if inside(down, height) && inside(right, width) {
                        let from = ((image * height + down - 3) * width + right - 3) * channels + c;
                        let w = tap * channels + c;
                        y[to] += f64::from(weight[w]) * f64::from(x[from]);
                        dx[from] += f64::from(weight[w]) * gradient;
                        dw[w] += f64::from(x[from]) * gradient;
                    }
                }
            }
        }
        [y, dx, dw, db]
    }

    #[test]
    fn agrees_with_f64_forward_and_backward() {
        for [batch, height, width, channels] in
            [[1, 1, 1, 1], [2, 3, 5, 7], [1, 7, 7, 16], [2, 14, 9, 33], [19, 4, 12, 20], [1, 20, 17, 48]]
        {
            let shape = Depthwise { batch, height, width, channels };
            let count = batch * height * width * channels;
            let [x, dy] = [1, 2].map(|seed| random(count, seed));
            let (weight, bias) = (random(TAPS * channels, 3), random(channels, 4));
            let expected = direct(&shape, [&x, &weight, &bias, &dy]);
            on_every_path(|| {
                let [mut y, mut dx] = [0, 1].map(|_| vec![f32::NAN; count]);
                let (mut dw, mut db) = (vec![f32::NAN; weight.len()], vec![f32::NAN; channels]);
                shape.forward(&x, &weight, &bias, &mut y);
                shape.input_grad(&dy, &weight, &mut dx);
                shape.weight_grad(&x, &dy, &mut dw, &mut db);
                for (found, expected) in [&y, &dx, &dw, &db].into_iter().zip(&expected) {
                    assert!(deviation(found, expected) < 1e-5, "{shape:?}");
                }
                (y, dx, dw, db)
            });
        }
    }

    #[test]
    #[should_panic(expected = "weights of")]
    fn shapes_that_do_not_fit_are_named() {
        let shape = Depthwise { batch: 1, height: 1, width: 1, channels: 2 };
        shape.forward(&[0.0; 2], &[0.0; TAPS], &[0.0; 2], &mut [0.0; 2]);
    }
}
