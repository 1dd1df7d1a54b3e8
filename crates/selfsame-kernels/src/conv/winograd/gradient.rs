//! The weight gradient by Winograd: `dU[ci, co] = Σ_tiles V[tile, ci] · Z[tile, co]` per point, then transformed back.

use super::{
    Partition, Shape, TASK_TILES, block,
    transform::{PointsToWeights, ToPoints},
};
use crate::{
    Isa,
    conv::ConvShape,
    disjoint::Disjoint,
    lanes::LANES,
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
    partition::{for_each_chunk, for_each_task},
    precision::Element,
};
use std::{marker::PhantomData, ops::Range};

/// Rows of the weights' points that a task of the partition by channels holds at once, in whole blocks.
const PART_ROWS: usize = 128;

/// `dw` by `dU[ci, co] = Σ_tiles V[tile, ci] · Z[tile, co]` per point.
pub(in super::super) fn weight_grad<E: Element, const M: usize>(
    isa: Isa,
    conv: &ConvShape,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let shape = Shape::<E, M>::forward(conv);
    let micro = Micro::channels::<E>(isa);
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
struct WeightGrad<'a, E, const M: usize> {
    isa: Isa,
    micro: Micro,
    shape: Shape<E, M>,
    x: &'a [f32],
    dy: &'a [f32],
}

impl<E: Element, const M: usize> WeightGrad<'_, E, M> {
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
        let (v_plane, z_plane) = (Shape::<E, M>::plane(E::words(size), ci), Shape::<E, M>::plane(E::words(size), co));
        let du_plane = Shape::<E, M>::plane(ci, co);
        let chunk_len = Shape::<E, M>::POINTS * du_plane;
        let mut du = Buffer::for_overwrite(chunks * chunk_len);
        for_each_chunk(&mut du, chunk_len, |chunk, du| {
            // SAFETY: the sum is this task's alone.
            let du = unsafe { Disjoint::new(du) };
            scratch([Shape::<E, M>::POINTS * v_plane, Shape::<E, M>::POINTS * z_plane], |[v, z]| {
                let first = chunk * blocks / chunks;
                for index in first..(chunk + 1) * blocks / chunks {
                    let tiles = block(index, size, tiles);
                    // SAFETY: both are this task's alone.
                    let (v_points, z_points) = unsafe { (Disjoint::new(v), Disjoint::new(z)) };
                    self.transform(tiles.clone(), 0, size, v_points, v_plane, z_points, z_plane);
                    for point in 0..Shape::<E, M>::POINTS {
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
        let (v_plane, z_plane) = (Shape::<E, M>::plane(E::words(size), ci), Shape::<E, M>::plane(E::words(size), co));
        let du_plane = Shape::<E, M>::plane(ci, co);
        let [mut v, mut z, mut du] =
            [v_plane, z_plane, du_plane].map(|plane| Buffer::for_overwrite(Shape::<E, M>::POINTS * plane));
        for first in (0..tiles).step_by(size) {
            let tiles = first..tiles.min(first + size);
            self.transform_all(tiles.clone(), size, &mut v, v_plane, &mut z, z_plane);
            // SAFETY: tasks write the plane of their point.
            let du = unsafe { Disjoint::new(&mut du) };
            for_each_task(Shape::<E, M>::POINTS, |point| {
                self.multiply_point(point, tiles.len(), size, &v, &z, du, first > 0);
            });
        }
        self.transform_back(&du, du.len(), 1, dw);
    }

    /// Tasks are panels of output channels, from the transformed tiles to `dw`.
    fn by_channels(&self, dw: Disjoint) {
        let (ci, co) = self.channels();
        let tiles = self.shape.tiles();
        let (v_plane, z_plane) = (Shape::<E, M>::plane(E::words(tiles), ci), Shape::<E, M>::plane(E::words(tiles), co));
        let [mut v, mut z] = [v_plane, z_plane].map(|plane| Buffer::for_overwrite(Shape::<E, M>::POINTS * plane));
        self.transform_all(0..tiles, tiles, &mut v, v_plane, &mut z, z_plane);
        for_each_task(self.micro.panels(co).len(), |task| {
            let panel = block(task, self.micro.panel_width(), co);
            let width = panel.len().next_multiple_of(LANES);
            // Some rows at a time, whose points stay in L2.
            let du_plane = Shape::<E, M>::plane(PART_ROWS.min(ci), width);
            scratch([Shape::<E, M>::POINTS * du_plane], |[du]| {
                for rows in (0..ci.div_ceil(PART_ROWS)).map(|index| block(index, PART_ROWS, ci)) {
                    for point in 0..Shape::<E, M>::POINTS {
                        // SAFETY: the sum is this task's alone.
                        let du = unsafe { Disjoint::new(du) };
                        let (v, z) = (&v[point * v_plane..], &z[point * z_plane..]);
                        let (rows, panel) = (rows.clone(), panel.clone());
                        self.multiply_into(tiles, tiles, v, z, [rows, panel], du, point * du_plane, width, false);
                    }
                    for (index, row) in rows.enumerate() {
                        self.transform_row_back(&du[index * width..], 0, 1, du_plane, dw, row, panel.clone());
                    }
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
        let v = &v[point * Shape::<E, M>::plane(E::words(capacity), ci)..];
        let z = &z[point * Shape::<E, M>::plane(E::words(capacity), co)..];
        let (start, row) = (point * Shape::<E, M>::plane(ci, co), co.next_multiple_of(LANES));
        for panel in self.micro.panels(co) {
            let start = start + panel.start;
            self.multiply_into(tiles, capacity, v, z, [0..ci, panel], du, start, row, accumulate);
        }
    }

    /// One point's sums for some input channels and a panel of output channels, rows of `du` being `row` floats apart.
    fn multiply_into(
        &self,
        tiles: usize,
        capacity: usize,
        v: &[f32],
        z: &[f32],
        [rows, panel]: [Range<usize>; 2],
        du: Disjoint,
        start: usize,
        row: usize,
        accumulate: bool,
    ) {
        let product = Product {
            a: &v[rows.start * E::words(capacity)..],
            a_block: E::words(capacity) * LANES,
            b: &z[panel.start * E::words(capacity)..],
            far: false,
            k: E::words(tiles),
            c: du,
            start,
            rows: RowPlaces::Stride(row),
            columns: panel.len().next_multiple_of(LANES),
            accumulate,
            beside: None,
        };
        self.micro.multiply(rows.len(), &product);
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
        for_each_task(tiles.len().div_ceil(TASK_TILES), |task| {
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
        let windows = ToPoints::<E, M, false, true> {
            map: self.x,
            tiling: self.shape.input,
            tiles: tiles.clone(),
            slot,
            capacity,
            panel_width: LANES,
            points: v,
            plane: v_plane,
            element: PhantomData,
        };
        E::run(self.isa, windows);
        let gradients = ToPoints::<E, M, true, true> {
            map: self.dy,
            tiling: self.shape.output,
            tiles,
            slot,
            capacity,
            panel_width: self.micro.panel_width(),
            points: z,
            plane: z_plane,
            element: PhantomData,
        };
        E::run(self.isa, gradients);
    }

    fn transform_back(&self, du: &[f32], chunk: usize, chunks: usize, dw: Disjoint) {
        let (ci, co) = self.channels();
        for_each_task(ci, |row| {
            let from = &du[row * co.next_multiple_of(LANES)..];
            self.transform_row_back(from, chunk, chunks, Shape::<E, M>::plane(ci, co), dw, row, 0..co);
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
        let element = PhantomData::<E>;
        self.isa.run(PointsToWeights::<E, M> {
            points,
            chunk,
            chunks,
            plane,
            dw,
            all_rows,
            all_columns,
            row,
            columns,
            element,
        });
    }
}
