//! 3×3 convolution of stride 1 by Winograd's F(M×M, 3×3): transform, multiply, transform back (formulas in `transform.rs`).
//!
//! The element-wise products summed over channels are `A² = (M + 2)²` independent matmuls `[tiles, ci] · [ci, co]`, one per
//! point: for M = 4, 36 multiplications per 16 outputs and channel pair instead of 144. The rest is a question of where the
//! transformed data live, and of what the tasks are, so there are three partitions ([`Partition`]):
//!
//! * **tiles**: the transformed weights stay in cache, a task takes a block of tiles whose points fit its L2 from input to
//!   output. Few channels.
//! * **points**: all tiles (of a part of the batch) are transformed, then each point's matmul is a task, so every plane passes
//!   through the caches once. Many channels, many tiles.
//! * **channels**: the tiles are transformed, then each panel of output channels is a task that transforms its own weights, a part
//!   at a time. Few tiles and large weights, which so are read once.
//!
//! The input gradient is the forward convolution of `dy` with the weights rotated by 180° and transposed, which their
//! transform does on the fly. Nothing of the forward pass is kept for the backward: the transformed input is 2.25 times the
//! input, so reading it back costs more than transforming again.
//!
//! Planes are a vector apart beyond their size: at a power-of-two distance, the same place in all planes shares one set of the
//! L1 cache.

mod axis;
mod gradient;
mod transform;

pub(super) use gradient::weight_grad;

use super::{ConvShape, Epilogue, Weights, moments::SUMS};
use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::LANES,
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
    partition::for_each_task,
    precision::Element,
};
use std::{marker::PhantomData, ops::Range};
use transform::{Finish, FromPoints, Tiling, ToPoints, WeightsToPoints};

/// Floats of the points of a block of tiles, input and output: a third of a 1 MiB L2, beside the weights' points.
const BLOCK_FLOATS: usize = 80 << 10;
/// The same for the weight gradient, whose own points are in the way only once per block.
const GRADIENT_BLOCK_FLOATS: usize = 120 << 10;
/// Floats of the points of all tiles that the partition by points holds at once: 24 MiB.
const BATCH_FLOATS: usize = 6 << 20;
/// Products of channels up to which the points of a weight gradient stay in L2 from block to block.
const SMALL_GRADIENT: usize = 64 * 64;
/// Tiles a task of a plain transform takes.
const TASK_TILES: usize = 4;
/// Tiles whose moments are summed in f32.
const MOMENT_TILES: usize = 32;

/// What the tasks are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Partition {
    /// Blocks of so many tiles.
    Tiles(usize),
    /// The matmuls, over so many tiles at once.
    Points(usize),
    /// Panels of output channels.
    Channels,
}

/// A forward convolution, or one that is an input gradient.
struct Shape<E, const M: usize> {
    element: PhantomData<E>,
    batch: usize,
    /// The input map and its windows.
    input: Tiling,
    /// The output map and its tiles.
    output: Tiling,
}

impl<E: Element, const M: usize> Shape<E, M> {
    /// Points per tile.
    const POINTS: usize = (M + 2) * (M + 2);

    fn new(batch: usize, input: [usize; 3], output: [usize; 3], padding: usize) -> Self {
        let (rows, columns) = (output[0].div_ceil(M), output[1].div_ceil(M));
        let tiling =
            |[height, width, channels]: [usize; 3], padding| Tiling { height, width, channels, rows, columns, padding };
        Shape { element: PhantomData, batch, input: tiling(input, padding), output: tiling(output, 0) }
    }

    fn forward(conv: &ConvShape) -> Self {
        let input = [conv.height, conv.width, conv.channels_in];
        Shape::new(conv.batch, input, [conv.out_height(), conv.out_width(), conv.channels_out], conv.x.before)
    }

    fn input_grad(conv: &ConvShape) -> Self {
        let input = [conv.out_height(), conv.out_width(), conv.channels_out];
        Shape::new(conv.batch, input, [conv.height, conv.width, conv.channels_in], 2 - conv.x.before)
    }

    fn tiles(&self) -> usize {
        self.batch * self.output.rows * self.output.columns
    }

    /// Floats of one plane of `count` rows of `channels` floats.
    fn plane(count: usize, channels: usize) -> usize {
        count * channels.next_multiple_of(LANES) + LANES
    }

    /// The partition of a forward pass; `tile_rows` is a good divisor of numbers of tiles.
    fn partition(&self, tile_rows: usize) -> Partition {
        if self.input.channels.max(self.output.channels) < 256 {
            self.by_tiles(BLOCK_FLOATS, self.words_of_tile(), tile_rows)
        } else if self.tiles() >= self.input.channels {
            self.by_points(BATCH_FLOATS, self.words_of_tile(), tile_rows)
        } else {
            Partition::Channels
        }
    }

    /// The partition of a weight gradient.
    fn gradient_partition(&self) -> Partition {
        let products = self.input.channels * self.output.channels;
        if products <= SMALL_GRADIENT {
            self.by_tiles(GRADIENT_BLOCK_FLOATS, self.words_of_gradient(), 1)
        } else if self.tiles() >= self.input.channels {
            // The gradient's points are read and written once per part of the tiles, which so has twice as many.
            self.by_points((2 * Self::POINTS * products).min(BATCH_FLOATS), self.words_of_gradient(), 1)
        } else {
            Partition::Channels
        }
    }

    /// Words of the points of one tile, input and output: successive channels of the input, sums of the output.
    fn words_of_tile(&self) -> usize {
        let (input, output) = (E::words(self.input.channels), self.output.channels);
        Self::POINTS * (input.next_multiple_of(LANES) + output.next_multiple_of(LANES))
    }

    /// The same for a weight gradient: successive tiles.
    fn words_of_gradient(&self) -> usize {
        let [input, output] = [&self.input, &self.output].map(|map| map.channels.next_multiple_of(LANES));
        E::words(Self::POINTS * (input + output))
    }

    fn by_tiles(&self, floats: usize, words: usize, divisor: usize) -> Partition {
        Partition::Tiles((floats / words / divisor).max(1) * divisor)
    }

    /// Parts of equal size.
    fn by_points(&self, floats: usize, words: usize, divisor: usize) -> Partition {
        let parts = (self.tiles() * words).div_ceil(floats);
        Partition::Points(self.tiles().div_ceil(parts).next_multiple_of(divisor))
    }
}

fn block(index: usize, size: usize, total: usize) -> Range<usize> {
    total.min(index * size)..total.min((index + 1) * size)
}

/// The weights' points of a forward pass.
pub(super) fn packed_weights<E: Element, const M: usize>(isa: Isa, conv: &ConvShape, w: &[f32]) -> Buffer {
    let (micro, channels) = (Micro::pixels::<E>(isa), [conv.channels_in, conv.channels_out]);
    WeightPoints::<E, M> { isa, micro: &micro, channels, w, rotated: false, element: PhantomData }.all()
}

pub(super) fn forward<E: Element, const M: usize>(
    isa: Isa,
    conv: &ConvShape,
    x: &[f32],
    w: Weights,
    y: &mut [f32],
    epilogue: Epilogue,
) {
    let run =
        Forward::<E, M> { isa, micro: Micro::pixels::<E>(isa), shape: Shape::forward(conv), x, w, rotated: false };
    // SAFETY: tasks write tiles or channels of their own.
    run.run(unsafe { Disjoint::new(y) }, false, epilogue);
}

pub(super) fn input_grad<E: Element, const M: usize>(
    isa: Isa,
    conv: &ConvShape,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    let (micro, shape) = (Micro::pixels::<E>(isa), Shape::input_grad(conv));
    let run = Forward::<E, M> { isa, micro, shape, x: dy, w: Weights::Plain(w), rotated: true };
    // SAFETY: tasks write tiles or channels of their own.
    run.run(unsafe { Disjoint::new(dx) }, accumulate, Epilogue::None);
}

/// Operands of a forward pass.
struct Forward<'a, E, const M: usize> {
    isa: Isa,
    micro: Micro,
    shape: Shape<E, M>,
    x: &'a [f32],
    w: Weights<'a>,
    /// Whether the weights are to be rotated and transposed, which packed ones are not.
    rotated: bool,
}

impl<E: Element, const M: usize> Forward<'_, E, M> {
    fn run(&self, y: Disjoint, accumulate: bool, epilogue: Epilogue) {
        let output = &self.shape.output;
        let tiles = self.shape.tiles();
        let partition = self.shape.partition(self.micro.tile_rows(output.channels));
        // Tiles whose sums for the moments are one record.
        let record = match partition {
            Partition::Tiles(size) => size,
            Partition::Points(size) => size.min(MOMENT_TILES),
            Partition::Channels => MOMENT_TILES,
        };
        let records = if matches!(epilogue, Epilogue::Moments(_)) { tiles.div_ceil(record) } else { 0 };
        let mut sums = Buffer::for_overwrite(records * SUMS * output.channels);
        let finish = match &epilogue {
            // SAFETY: tasks write the sums of their tiles and channels.
            Epilogue::Moments(_) => Finish::Moments(unsafe { Disjoint::new(&mut sums) }, 0),
            Epilogue::Activate(activate) => Finish::Activate(*activate),
            Epilogue::None if accumulate => Finish::Accumulate,
            Epilogue::None => Finish::Write,
        };
        match partition {
            Partition::Tiles(size) => self.by_tiles(size, y, finish),
            Partition::Points(size) => self.by_points(size.next_multiple_of(record), record, y, finish),
            Partition::Channels => self.by_channels(record, y, finish),
        }
        if let Epilogue::Moments(moments) = epilogue {
            let count = self.shape.batch * output.height * output.width;
            moments.combine(&sums, count, |index| {
                let per_image = output.rows * output.columns;
                block(index, record, tiles)
                    .map(|tile| {
                        let (row, column) = (tile % per_image / output.columns, tile % output.columns);
                        M.min(output.height - row * M) * M.min(output.width - column * M)
                    })
                    .sum()
            });
        }
    }

    fn by_tiles(&self, size: usize, y: Disjoint, finish: Finish) {
        let Shape { input, output, .. } = &self.shape;
        let tiles = self.shape.tiles();
        let u = self.w.panels(|w| self.weights(w).all());
        let planes =
            [Shape::<E, M>::plane(size, E::words(input.channels)), Shape::<E, M>::plane(size, output.channels)];
        for_each_task(tiles.div_ceil(size), |task| {
            let tiles = block(task, size, tiles);
            scratch(planes.map(|plane| Shape::<E, M>::POINTS * plane), |[v, m]| {
                // SAFETY: both are this task's alone.
                let (v_points, m_points) = unsafe { (Disjoint::new(v), Disjoint::new(m)) };
                self.transform_input(tiles.clone(), 0, size, v_points, planes[0]);
                for point in 0..Shape::<E, M>::POINTS {
                    self.multiply(0..tiles.len(), size, point, v, planes[0], &u, m_points, planes[1]);
                }
                let columns = output.channels.next_multiple_of(LANES);
                self.transform_output(m, planes[1], columns, 0..output.channels, tiles.clone(), y, finish, task);
            });
        });
    }

    fn by_points(&self, size: usize, record: usize, y: Disjoint, finish: Finish) {
        let Shape { input, output, .. } = &self.shape;
        let all_tiles = self.shape.tiles();
        let size = size.min(all_tiles);
        let u = self.w.panels(|w| self.weights(w).all());
        let planes =
            [Shape::<E, M>::plane(size, E::words(input.channels)), Shape::<E, M>::plane(size, output.channels)];
        let [mut v, mut m] = planes.map(|plane| Buffer::for_overwrite(Shape::<E, M>::POINTS * plane));
        let columns = output.channels.next_multiple_of(LANES);
        for first in (0..all_tiles).step_by(size) {
            let tiles = first..all_tiles.min(first + size);
            self.transform_all(tiles.clone(), size, &mut v, planes[0]);
            // SAFETY: tasks write the planes of their point.
            let m_points = unsafe { Disjoint::new(&mut m) };
            // Half of the tiles each, so that the points are more tasks than threads.
            let half = tiles.len().div_ceil(2).next_multiple_of(self.micro.tile_rows(output.channels));
            for_each_task(2 * Shape::<E, M>::POINTS, |task| {
                let part = block(task % 2, half, tiles.len());
                self.multiply(part, size, task / 2, &v, planes[0], &u, m_points, planes[1]);
            });
            let records = tiles.len().div_ceil(record);
            for_each_task(output.channels.div_ceil(LANES), |channel_block| {
                let channels = block(channel_block, LANES, output.channels);
                for index in 0..records {
                    let part = block(index, record, tiles.len());
                    let from = &m[part.start * columns + channels.start..];
                    let tiles = first + part.start..first + part.end;
                    let index = first / record + index;
                    self.transform_output(from, planes[1], columns, channels.clone(), tiles, y, finish, index);
                }
            });
        }
    }

    fn by_channels(&self, record: usize, y: Disjoint, finish: Finish) {
        let Shape { input, output, .. } = &self.shape;
        let tiles = self.shape.tiles();
        let (k, v_plane) = (E::words(input.channels), Shape::<E, M>::plane(tiles, E::words(input.channels)));
        let mut v = Buffer::for_overwrite(Shape::<E, M>::POINTS * v_plane);
        self.transform_all(0..tiles, tiles, &mut v, v_plane);
        for_each_task(self.micro.panels(output.channels).len(), |task| {
            let channels = block(task, self.micro.panel_width(), output.channels);
            let width = channels.len().next_multiple_of(LANES);
            // As many words of the sums at a time as the micro-kernel adds up at once, so that their weights' points stay in L2.
            let part = Micro::part(width).min(k);
            let (u_plane, m_plane) = (Shape::<E, M>::plane(part, width), Shape::<E, M>::plane(tiles, width));
            scratch([Shape::<E, M>::POINTS * u_plane, Shape::<E, M>::POINTS * m_plane], |[u, m]| {
                // SAFETY: it is this task's alone.
                let m_points = unsafe { Disjoint::new(m) };
                let multiply = |words: Range<usize>, u: &[f32], u_plane: usize| {
                    for point in 0..Shape::<E, M>::POINTS {
                        let product = Product {
                            a: &v[point * v_plane + words.start * tiles..],
                            a_block: tiles * LANES,
                            b: &u[point * u_plane..],
                            far: matches!(self.w, Weights::Packed(_)),
                            k: words.len(),
                            c: m_points,
                            start: point * m_plane,
                            rows: RowPlaces::Stride(width),
                            columns: width,
                            accumulate: words.start > 0,
                            beside: None,
                        };
                        self.micro.multiply(tiles, &product);
                    }
                };
                match self.w {
                    Weights::Packed(packed) => {
                        let u_plane = Shape::<E, M>::plane(k, output.channels);
                        multiply(0..k, &packed.panels[channels.start * k..], u_plane);
                    }
                    Weights::Plain(w) => {
                        for words in (0..k.div_ceil(part)).map(|index| block(index, part, k)) {
                            // SAFETY: it is this task's alone.
                            let u_points = unsafe { Disjoint::new(u) };
                            let first = words.start * E::PER_WORD;
                            let rows = input.channels.min(words.end * E::PER_WORD) - first;
                            for rows in (0..rows.div_ceil(LANES)).map(|index| block(index, LANES, rows)) {
                                self.weights(w).transform(first, rows, channels.clone(), u_points, 0, u_plane);
                            }
                            multiply(words, u, u_plane);
                        }
                    }
                }
                for index in 0..tiles.div_ceil(record) {
                    let part = block(index, record, tiles);
                    let from = &m[part.start * width..];
                    self.transform_output(from, m_plane, width, channels.clone(), part, y, finish, index);
                }
            });
        });
    }

    /// The matmul of one point with some of the tiles, over all panels of output channels.
    fn multiply(
        &self,
        tiles: Range<usize>,
        capacity: usize,
        point: usize,
        v: &[f32],
        v_plane: usize,
        u: &[f32],
        m: Disjoint,
        m_plane: usize,
    ) {
        let (k, channels) = (E::words(self.shape.input.channels), self.shape.output.channels.next_multiple_of(LANES));
        let u_plane = Shape::<E, M>::plane(k, channels);
        for panel in self.micro.panels(channels) {
            let product = Product {
                a: &v[point * v_plane + tiles.start * LANES..],
                a_block: capacity * LANES,
                b: &u[point * u_plane + panel.start * k..],
                far: Micro::is_far(u.len()),
                k,
                c: m,
                start: point * m_plane + tiles.start * channels + panel.start,
                rows: RowPlaces::Stride(channels),
                columns: panel.len(),
                accumulate: false,
                beside: None,
            };
            self.micro.multiply(tiles.len(), &product);
        }
    }

    fn weights<'w>(&'w self, w: &'w [f32]) -> WeightPoints<'w, E, M> {
        let Self { isa, micro, shape, rotated, .. } = self;
        let channels = [shape.input.channels, shape.output.channels];
        WeightPoints { isa: *isa, micro, channels, w, rotated: *rotated, element: PhantomData }
    }

    fn transform_all(&self, tiles: Range<usize>, capacity: usize, v: &mut [f32], plane: usize) {
        // SAFETY: tasks write their tiles.
        let points = unsafe { Disjoint::new(v) };
        for_each_task(tiles.len().div_ceil(TASK_TILES), |task| {
            let part = block(task, TASK_TILES, tiles.len());
            self.transform_input(tiles.start + part.start..tiles.start + part.end, part.start, capacity, points, plane);
        });
    }

    fn transform_input(&self, tiles: Range<usize>, slot: usize, capacity: usize, points: Disjoint, plane: usize) {
        let windows = ToPoints::<E, M, false, false> {
            map: self.x,
            tiling: self.shape.input,
            tiles,
            slot,
            capacity,
            panel_width: LANES,
            points,
            plane,
            element: PhantomData,
        };
        E::run(self.isa, windows);
    }

    fn transform_output(
        &self,
        points: &[f32],
        plane: usize,
        tile_step: usize,
        channels: Range<usize>,
        tiles: Range<usize>,
        map: Disjoint,
        finish: Finish,
        record: usize,
    ) {
        let finish = match finish {
            Finish::Moments(sums, _) => Finish::Moments(sums, record * SUMS * self.shape.output.channels),
            other => other,
        };
        self.isa.run(FromPoints::<E, M> {
            points,
            plane,
            tile_step,
            channels,
            tiles,
            tiling: self.shape.output,
            map,
            finish,
            element: PhantomData,
        });
    }
}

/// Weights and their points.
struct WeightPoints<'a, E, const M: usize> {
    isa: Isa,
    micro: &'a Micro,
    /// Of the input, of the output.
    channels: [usize; 2],
    w: &'a [f32],
    rotated: bool,
    element: PhantomData<E>,
}

impl<E: Element, const M: usize> WeightPoints<'_, E, M> {
    /// All of them, `[point][panel][ci][width]`.
    fn all(&self) -> Buffer {
        let [rows, columns] = self.channels;
        let plane = Shape::<E, M>::plane(E::words(rows), columns);
        let mut u = Buffer::for_overwrite(Shape::<E, M>::POINTS * plane);
        // SAFETY: tasks write their rows.
        let points = unsafe { Disjoint::new(&mut u) };
        for_each_task(rows.div_ceil(LANES), |task| {
            for panel in self.micro.panels(columns) {
                let start = panel.start * E::words(rows);
                self.transform(0, block(task, LANES, rows), panel, points, start, plane);
            }
        });
        u
    }

    /// Those of `rows` of the weights' rows from `first` on.
    fn transform(
        &self,
        first: usize,
        rows: Range<usize>,
        columns: Range<usize>,
        points: Disjoint,
        start: usize,
        plane: usize,
    ) {
        let weights = WeightsToPoints::<E, M> {
            w: self.w,
            rotated: self.rotated,
            all_rows: self.channels[0],
            all_columns: self.channels[1],
            first,
            rows,
            columns,
            points,
            start,
            plane,
            element: PhantomData,
        };
        E::run(self.isa, weights);
    }
}
