//! Mean and variance of every channel of a matrix: the statistics of a batch, where no convolution gathered them.

use super::TILE;
use crate::{
    Isa,
    conv::ChannelMoments,
    lanes::{Kernel, LANES, Lanes},
    memory::Pooled,
    partition::{Partials, Period, QUAD, Quad, for_each_part, quads, rows},
    profile::{self, Work},
};

impl ChannelMoments {
    /// Moments of `x`, `[rows, channels]`.
    ///
    /// Each tile of 32 values takes its own mean (about its first value) and the squares of the deviations from it, in two
    /// readings of which the second finds the values in the cache; tiles are then merged in f64. So neither a large mean nor
    /// an outlier cancels against a small variance.
    ///
    /// # Panics
    /// If the shapes do not fit, or if there are no rows.
    pub fn of(x: &[f32], channels: usize) -> ChannelMoments {
        let _span = profile::kernel("moments", || Work::pass(x.len(), channels, 1));
        let rows = rows(x.len(), channels, "activations");
        assert!(rows > 0, "statistics of no rows");
        let (isa, period) = (Isa::active(), Period::new(channels));
        let (whole, left_over) = x.split_at(x.len() - x.len() % period.elements());

        let (part, each) = (period.reduction_part(whole.len()), 2 * period.elements());
        let mut partials = Pooled::<f64>::for_overwrite(whole.len().div_ceil(part) * each);
        partials.fill(0.0);
        let values = Partials { values: &mut partials, each, part };
        if !whole.is_empty() {
            for_each_part((whole, values), whole.len(), part, &|(x, partials)| {
                isa.run(TileMoments { x: quads(x), moments: partials.values });
            });
        }

        ChannelMoments::by_channel(channels, rows, |channel| {
            let mut total = Moments::default();
            for (part, partials) in whole.chunks(part).zip(partials.chunks_exact(each)) {
                let (means, squares) = partials.split_at(period.elements());
                let count = (part.len() / period.elements()) as f64;
                for lane in (channel..period.elements()).step_by(channels) {
                    total.merge(Moments { count, mean: means[lane], squares: squares[lane] });
                }
            }
            for row in left_over.chunks_exact(channels) {
                total.merge(Moments { count: 1.0, mean: f64::from(row[channel]), squares: 0.0 });
            }
            [total.mean, total.squares / total.count]
        })
    }
}

/// Count, mean, and sum of squared deviations from the mean.
#[derive(Clone, Copy, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    #[inline(always)]
    fn merge(&mut self, other: Moments) {
        let count = self.count + other.count;
        let distance = other.mean - self.mean;
        self.mean += distance * (other.count / count);
        self.squares += other.squares + distance * distance * (self.count * other.count / count);
        self.count = count;
    }
}

/// Means and sums of squared deviations per lane of a period, over whole periods.
struct TileMoments<'a> {
    x: &'a [Quad],
    moments: &'a mut [f64],
}

impl Kernel for TileMoments<'_> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let moments = self.moments.as_chunks_mut::<QUAD>().0;
        let period = moments.len() / 2;
        let (means, squares) = moments.split_at_mut(period);
        for (tile, x) in self.x.chunks(TILE * period).enumerate() {
            let (before, count) = (tile * TILE, x.len() / period);
            let inverse = V::splat(1.0 / count as f32);
            for phase in 0..period {
                let mut first = [V::splat(0.0); 4];
                for v in 0..4 {
                    first[v] = V::load(&x[phase][v]);
                }
                let mut mean = [V::splat(0.0); 4];
                for i in (phase..x.len()).step_by(period) {
                    for v in 0..4 {
                        mean[v] = mean[v] + (V::load(&x[i][v]) - first[v]);
                    }
                }
                for v in 0..4 {
                    mean[v] = mean[v] * inverse;
                }
                let mut square = [V::splat(0.0); 4];
                for i in (phase..x.len()).step_by(period) {
                    for v in 0..4 {
                        let deviation = V::load(&x[i][v]) - first[v] - mean[v];
                        square[v] = deviation.mul_add(deviation, square[v]);
                    }
                }
                let mut tile = [[[0.0; LANES]; 4]; 3];
                for v in 0..4 {
                    first[v].store(&mut tile[0][v]);
                    mean[v].store(&mut tile[1][v]);
                    square[v].store(&mut tile[2][v]);
                }
                let [first, mean, square] = tile.each_ref().map(|quad| quad.as_flattened());
                let (means, squares) = (&mut means[phase], &mut squares[phase]);
                for lane in 0..QUAD {
                    let mut total = Moments { count: before as f64, mean: means[lane], squares: squares[lane] };
                    total.merge(Moments {
                        count: count as f64,
                        mean: f64::from(first[lane]) + f64::from(mean[lane]),
                        squares: f64::from(square[lane]),
                    });
                    (means[lane], squares[lane]) = (total.mean, total.squares);
                }
            }
        }
    }
}
