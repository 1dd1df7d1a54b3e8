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
//! * **channels**: the tiles are transformed, then each panel of output channels is a task that transforms its own weights.
//!   Few tiles and large weights, which so are read once.
//!
//! The input gradient is the forward convolution of `dy` with the weights rotated by 180° and transposed, which their
//! transform does on the fly. Nothing of the forward pass is kept for the backward: the transformed input is 2.25 times the
//! input, so reading it back costs more than transforming again.
//!
//! Planes are a vector apart beyond their size: at a power-of-two distance, the same place in all planes shares one set of the
//! L1 cache.

mod transform;

use super::{ConvShape, Epilogue, moments::SUMS};
use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::LANES,
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
};
use rayon::prelude::*;
use std::ops::Range;
use transform::{Finish, FromPoints, PointsToWeights, Tiling, ToPoints, WeightsToPoints};

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
struct Shape<const M: usize> {
    batch: usize,
    /// The input map and its windows.
    input: Tiling,
    /// The output map and its tiles.
    output: Tiling,
}

impl<const M: usize> Shape<M> {
    /// Points per tile.
    const POINTS: usize = (M + 2) * (M + 2);

    fn new(batch: usize, input: [usize; 3], output: [usize; 3], padding: usize) -> Self {
        let (rows, columns) = (output[0].div_ceil(M), output[1].div_ceil(M));
        let tiling =
            |[height, width, channels]: [usize; 3], padding| Tiling { height, width, channels, rows, columns, padding };
        Shape { batch, input: tiling(input, padding), output: tiling(output, 0) }
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

    /// Floats of one plane of `count` rows of `channels` channels.
    fn plane(count: usize, channels: usize) -> usize {
        count * channels.next_multiple_of(LANES) + LANES
    }

    /// The partition of a forward pass; `tile_rows` is a good divisor of numbers of tiles.
    fn partition(&self, tile_rows: usize) -> Partition {
        if self.input.channels.max(self.output.channels) < 256 {
            self.by_tiles(BLOCK_FLOATS, tile_rows)
        } else if self.tiles() >= self.input.channels {
            self.by_points(BATCH_FLOATS, tile_rows)
        } else {
            Partition::Channels
        }
    }

    /// The partition of a weight gradient.
    fn gradient_partition(&self) -> Partition {
        let products = self.input.channels * self.output.channels;
        if products <= SMALL_GRADIENT {
            self.by_tiles(GRADIENT_BLOCK_FLOATS, 1)
        } else if self.tiles() >= self.input.channels {
            // The gradient's points are read and written once per part of the tiles, which so has twice as many.
            self.by_points((2 * Self::POINTS * products).min(BATCH_FLOATS), 1)
        } else {
            Partition::Channels
        }
    }

    /// Points of one tile, input and output.
    fn points_per_tile(&self) -> usize {
        let [input, output] = [&self.input, &self.output].map(|map| map.channels.next_multiple_of(LANES));
        Self::POINTS * (input + output)
    }

    fn by_tiles(&self, floats: usize, divisor: usize) -> Partition {
        Partition::Tiles((floats / self.points_per_tile() / divisor).max(1) * divisor)
    }

    /// Parts of equal size.
    fn by_points(&self, floats: usize, divisor: usize) -> Partition {
        let parts = (self.tiles() * self.points_per_tile()).div_ceil(floats);
        Partition::Points(self.tiles().div_ceil(parts).next_multiple_of(divisor))
    }
}

fn block(index: usize, size: usize, total: usize) -> Range<usize> {
    index * size..total.min((index + 1) * size)
}

pub(super) fn forward<const M: usize>(
    isa: Isa,
    conv: &ConvShape,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    epilogue: Epilogue,
) {
    let run = Forward { isa, micro: Micro::pixels(isa), shape: Shape::<M>::forward(conv), x, w, rotated: false };
    // SAFETY: tasks write tiles or channels of their own.
    run.run(unsafe { Disjoint::new(y) }, false, epilogue);
}

pub(super) fn input_grad<const M: usize>(
    isa: Isa,
    conv: &ConvShape,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    let run = Forward { isa, micro: Micro::pixels(isa), shape: Shape::<M>::input_grad(conv), x: dy, w, rotated: true };
    // SAFETY: tasks write tiles or channels of their own.
    run.run(unsafe { Disjoint::new(dx) }, accumulate, Epilogue::None);
}

/// Operands of a forward pass.
struct Forward<'a, const M: usize> {
    isa: Isa,
    micro: Micro,
    shape: Shape<M>,
    x: &'a [f32],
    w: &'a [f32],
    /// Whether the weights are to be rotated and transposed.
    rotated: bool,
}

impl<const M: usize> Forward<'_, M> {
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
        let u = self.all_weights();
        let planes = [Shape::<M>::plane(size, input.channels), Shape::<M>::plane(size, output.channels)];
        (0..tiles.div_ceil(size)).into_par_iter().for_each(|task| {
            let tiles = block(task, size, tiles);
            scratch(planes.map(|plane| Shape::<M>::POINTS * plane), |[v, m]| {
                // SAFETY: both are this task's alone.
                let (v_points, m_points) = unsafe { (Disjoint::new(v), Disjoint::new(m)) };
                self.transform_input(tiles.clone(), 0, size, v_points, planes[0]);
                for point in 0..Shape::<M>::POINTS {
                    self.multiply(tiles.len(), size, point, v, planes[0], &u, m_points, planes[1]);
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
        let u = self.all_weights();
        let planes = [Shape::<M>::plane(size, input.channels), Shape::<M>::plane(size, output.channels)];
        let [mut v, mut m] = planes.map(|plane| Buffer::for_overwrite(Shape::<M>::POINTS * plane));
        let columns = output.channels.next_multiple_of(LANES);
        for first in (0..all_tiles).step_by(size) {
            let tiles = first..all_tiles.min(first + size);
            self.transform_all(tiles.clone(), size, &mut v, planes[0]);
            // SAFETY: tasks write the planes of their point.
            let m_points = unsafe { Disjoint::new(&mut m) };
            (0..Shape::<M>::POINTS).into_par_iter().for_each(|point| {
                self.multiply(tiles.len(), size, point, &v, planes[0], &u, m_points, planes[1]);
            });
            let records = tiles.len().div_ceil(record);
            (0..output.channels.div_ceil(LANES)).into_par_iter().for_each(|channel_block| {
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
        let v_plane = Shape::<M>::plane(tiles, input.channels);
        let mut v = Buffer::for_overwrite(Shape::<M>::POINTS * v_plane);
        self.transform_all(0..tiles, tiles, &mut v, v_plane);
        (0..self.micro.panels(output.channels).len()).into_par_iter().for_each(|task| {
            let channels = block(task, self.micro.panel_width(), output.channels);
            let width = channels.len().next_multiple_of(LANES);
            let (u_plane, m_plane) = (Shape::<M>::plane(input.channels, width), Shape::<M>::plane(tiles, width));
            scratch([Shape::<M>::POINTS * u_plane, Shape::<M>::POINTS * m_plane], |[u, m]| {
                // SAFETY: both are this task's alone.
                let (u_points, m_points) = unsafe { (Disjoint::new(u), Disjoint::new(m)) };
                for rows in (0..input.channels.div_ceil(LANES)).map(|rows| block(rows, LANES, input.channels)) {
                    self.transform_weights(rows, channels.clone(), u_points, 0, u_plane);
                }
                for point in 0..Shape::<M>::POINTS {
                    let product = Product {
                        a: &v[point * v_plane..],
                        a_block: tiles * LANES,
                        b: &u[point * u_plane..],
                        k: input.channels,
                        c: m_points,
                        start: point * m_plane,
                        rows: RowPlaces::Stride(width),
                        columns: width,
                        accumulate: false,
                    };
                    self.micro.multiply(tiles, &product);
                }
                for index in 0..tiles.div_ceil(record) {
                    let part = block(index, record, tiles);
                    let from = &m[part.start * width..];
                    self.transform_output(from, m_plane, width, channels.clone(), part, y, finish, index);
                }
            });
        });
    }

    /// The matmul of one point, over all panels of output channels.
    fn multiply(
        &self,
        tiles: usize,
        capacity: usize,
        point: usize,
        v: &[f32],
        v_plane: usize,
        u: &[f32],
        m: Disjoint,
        m_plane: usize,
    ) {
        let (k, channels) = (self.shape.input.channels, self.shape.output.channels.next_multiple_of(LANES));
        let u_plane = Shape::<M>::plane(k, channels);
        for panel in self.micro.panels(channels) {
            let product = Product {
                a: &v[point * v_plane..],
                a_block: capacity * LANES,
                b: &u[point * u_plane + panel.start * k..],
                k,
                c: m,
                start: point * m_plane + panel.start,
                rows: RowPlaces::Stride(channels),
                columns: panel.len(),
                accumulate: false,
            };
            self.micro.multiply(tiles, &product);
        }
    }

    /// All transformed weights, `[point][panel][ci][width]`.
    fn all_weights(&self) -> Buffer {
        let (rows, columns) = (self.shape.input.channels, self.shape.output.channels);
        let plane = Shape::<M>::plane(rows, columns);
        let mut u = Buffer::for_overwrite(Shape::<M>::POINTS * plane);
        // SAFETY: tasks write their rows.
        let points = unsafe { Disjoint::new(&mut u) };
        (0..rows.div_ceil(LANES)).into_par_iter().for_each(|task| {
            for panel in self.micro.panels(columns) {
                let start = panel.start * rows;
                self.transform_weights(block(task, LANES, rows), panel, points, start, plane);
            }
        });
        u
    }

    fn transform_weights(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        points: Disjoint,
        start: usize,
        plane: usize,
    ) {
        self.isa.run(WeightsToPoints::<M> {
            w: self.w,
            rotated: self.rotated,
            all_rows: self.shape.input.channels,
            all_columns: self.shape.output.channels,
            rows,
            columns,
            points,
            start,
            plane,
        });
    }

    fn transform_all(&self, tiles: Range<usize>, capacity: usize, v: &mut [f32], plane: usize) {
        // SAFETY: tasks write their tiles.
        let points = unsafe { Disjoint::new(v) };
        (0..tiles.len().div_ceil(TASK_TILES)).into_par_iter().for_each(|task| {
            let part = block(task, TASK_TILES, tiles.len());
            self.transform_input(tiles.start + part.start..tiles.start + part.end, part.start, capacity, points, plane);
        });
    }

    fn transform_input(&self, tiles: Range<usize>, slot: usize, capacity: usize, points: Disjoint, plane: usize) {
        self.isa.run(ToPoints::<M, false> {
            map: self.x,
            tiling: self.shape.input,
            tiles,
            slot,
            capacity,
            panel_width: LANES,
            points,
            plane,
        });
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
        self.isa.run(FromPoints::<M> {
            points,
            plane,
            tile_step,
            channels,
            tiles,
            tiling: self.shape.output,
            map,
            finish,
        });
    }
}

/// `dw` by `dU[ci, co] = Σ_tiles V[tile, ci] · Z[tile, co]` per point.
pub(super) fn weight_grad<const M: usize>(isa: Isa, conv: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let shape = Shape::<M>::forward(conv);
    let micro = Micro::channels(isa);
    let partition = shape.gradient_partition();
    let run = WeightGrad { isa, micro, shape, x, dy };
    // SAFETY: tasks write rows or columns of their own.
    let dw = unsafe { Disjoint::new(dw) };
    match partition {
        Partition::Tiles(size) => run.by_tiles(size, dw),
        Partition::Points(size) => run.by_points(size, dw),
        Partition::Channels => run.by_channels(dw),
    }
}

/// Operands of a weight gradient.
struct WeightGrad<'a, const M: usize> {
    isa: Isa,
    micro: Micro,
    shape: Shape<M>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl<const M: usize> WeightGrad<'_, M> {
    fn channels(&self) -> (usize, usize) {
        (self.shape.input.channels, self.shape.output.channels)
    }

    /// Tasks are fixed chunks of the tiles, each with its own sum, block by block.
    fn by_tiles(&self, size: usize, dw: Disjoint) {
        const CHUNKS: usize = 4;
        let (ci, co) = self.channels();
        let tiles = self.shape.tiles();
        let blocks = tiles.div_ceil(size);
        let chunks = CHUNKS.min(blocks);
        let (v_plane, z_plane) = (Shape::<M>::plane(size, ci), Shape::<M>::plane(size, co));
        let du_plane = Shape::<M>::plane(ci, co);
        let chunk_len = Shape::<M>::POINTS * du_plane;
        let mut du = Buffer::for_overwrite(chunks * chunk_len);
        du.par_chunks_mut(chunk_len).enumerate().for_each(|(chunk, du)| {
            // SAFETY: the sum is this task's alone.
            let du = unsafe { Disjoint::new(du) };
            scratch([Shape::<M>::POINTS * v_plane, Shape::<M>::POINTS * z_plane], |[v, z]| {
                let first = chunk * blocks / chunks;
                for index in first..(chunk + 1) * blocks / chunks {
                    let tiles = block(index, size, tiles);
                    // SAFETY: both are this task's alone.
                    let (v_points, z_points) = unsafe { (Disjoint::new(v), Disjoint::new(z)) };
                    self.transform(tiles.clone(), 0, size, v_points, v_plane, z_points, z_plane);
                    for point in 0..Shape::<M>::POINTS {
                        self.multiply_point(point, tiles.len(), size, v, z, du, index > first);
                    }
                }
            });
        });
        self.transform_back(&du, chunk_len, chunks, dw);
    }

    /// Tasks are the matmuls, over a part of the tiles at a time.
    fn by_points(&self, size: usize, dw: Disjoint) {
        let (ci, co) = self.channels();
        let tiles = self.shape.tiles();
        let size = size.min(tiles);
        let (v_plane, z_plane) = (Shape::<M>::plane(size, ci), Shape::<M>::plane(size, co));
        let du_plane = Shape::<M>::plane(ci, co);
        let [mut v, mut z, mut du] =
            [v_plane, z_plane, du_plane].map(|plane| Buffer::for_overwrite(Shape::<M>::POINTS * plane));
        for first in (0..tiles).step_by(size) {
            let tiles = first..tiles.min(first + size);
            self.transform_all(tiles.clone(), size, &mut v, v_plane, &mut z, z_plane);
            // SAFETY: tasks write the plane of their point.
            let du = unsafe { Disjoint::new(&mut du) };
            (0..Shape::<M>::POINTS).into_par_iter().for_each(|point| {
                self.multiply_point(point, tiles.len(), size, &v, &z, du, first > 0);
            });
        }
        self.transform_back(&du, du.len(), 1, dw);
    }

    /// Tasks are panels of output channels, from the transformed tiles to `dw`.
    fn by_channels(&self, dw: Disjoint) {
        let (ci, co) = self.channels();
        let tiles = self.shape.tiles();
        let (v_plane, z_plane) = (Shape::<M>::plane(tiles, ci), Shape::<M>::plane(tiles, co));
        let [mut v, mut z] = [v_plane, z_plane].map(|plane| Buffer::for_overwrite(Shape::<M>::POINTS * plane));
        self.transform_all(0..tiles, tiles, &mut v, v_plane, &mut z, z_plane);
        (0..self.micro.panels(co).len()).into_par_iter().for_each(|task| {
            let panel = block(task, self.micro.panel_width(), co);
            let width = panel.len().next_multiple_of(LANES);
            let du_plane = Shape::<M>::plane(ci, width);
            scratch([Shape::<M>::POINTS * du_plane], |[du]| {
                for point in 0..Shape::<M>::POINTS {
                    // SAFETY: the sum is this task's alone.
                    let du = unsafe { Disjoint::new(du) };
                    let (v, z) = (&v[point * v_plane..], &z[point * z_plane..]);
                    self.multiply_into(tiles, tiles, v, z, panel.clone(), du, point * du_plane, width, false);
                }
                for row in 0..ci {
                    self.transform_row_back(&du[row * width..], 0, 1, du_plane, dw, row, panel.clone());
                }
            });
        });
    }

    /// One point's sums for all output channels, from and to the planes of all points.
    fn multiply_point(
        &self,
        point: usize,
        tiles: usize,
        capacity: usize,
        v: &[f32],
        z: &[f32],
        du: Disjoint,
        accumulate: bool,
    ) {
        let (ci, co) = self.channels();
        let v = &v[point * Shape::<M>::plane(capacity, ci)..];
        let z = &z[point * Shape::<M>::plane(capacity, co)..];
        let (start, row) = (point * Shape::<M>::plane(ci, co), co.next_multiple_of(LANES));
        for panel in self.micro.panels(co) {
            let start = start + panel.start;
            self.multiply_into(tiles, capacity, v, z, panel, du, start, row, accumulate);
        }
    }

    /// One point's sums for a panel of output channels, rows of `du` being `row` floats apart.
    fn multiply_into(
        &self,
        tiles: usize,
        capacity: usize,
        v: &[f32],
        z: &[f32],
        panel: Range<usize>,
        du: Disjoint,
        start: usize,
        row: usize,
        accumulate: bool,
    ) {
        let product = Product {
            a: v,
            a_block: capacity * LANES,
            b: &z[panel.start * capacity..],
            k: tiles,
            c: du,
            start,
            rows: RowPlaces::Stride(row),
            columns: panel.len().next_multiple_of(LANES),
            accumulate,
        };
        self.micro.multiply(self.shape.input.channels, &product);
    }

    fn transform_all(
        &self,
        tiles: Range<usize>,
        capacity: usize,
        v: &mut [f32],
        v_plane: usize,
        z: &mut [f32],
        z_plane: usize,
    ) {
        // SAFETY: tasks write their tiles.
        let (v, z) = unsafe { (Disjoint::new(v), Disjoint::new(z)) };
        (0..tiles.len().div_ceil(TASK_TILES)).into_par_iter().for_each(|task| {
            let part = block(task, TASK_TILES, tiles.len());
            let tiles = tiles.start + part.start..tiles.start + part.end;
            self.transform(tiles, part.start, capacity, v, v_plane, z, z_plane);
        });
    }

    fn transform(
        &self,
        tiles: Range<usize>,
        slot: usize,
        capacity: usize,
        v: Disjoint,
        v_plane: usize,
        z: Disjoint,
        z_plane: usize,
    ) {
        self.isa.run(ToPoints::<M, false> {
            map: self.x,
            tiling: self.shape.input,
            tiles: tiles.clone(),
            slot,
            capacity,
            panel_width: LANES,
            points: v,
            plane: v_plane,
        });
        self.isa.run(ToPoints::<M, true> {
            map: self.dy,
            tiling: self.shape.output,
            tiles,
            slot,
            capacity,
            panel_width: self.micro.panel_width(),
            points: z,
            plane: z_plane,
        });
    }

    fn transform_back(&self, du: &[f32], chunk: usize, chunks: usize, dw: Disjoint) {
        let (ci, co) = self.channels();
        (0..ci).into_par_iter().for_each(|row| {
            let from = &du[row * co.next_multiple_of(LANES)..];
            self.transform_row_back(from, chunk, chunks, Shape::<M>::plane(ci, co), dw, row, 0..co);
        });
    }

    fn transform_row_back(
        &self,
        points: &[f32],
        chunk: usize,
        chunks: usize,
        plane: usize,
        dw: Disjoint,
        row: usize,
        columns: Range<usize>,
    ) {
        let (all_rows, all_columns) = self.channels();
        self.isa.run(PointsToWeights::<M> { points, chunk, chunks, plane, dw, all_rows, all_columns, row, columns });
    }
}
