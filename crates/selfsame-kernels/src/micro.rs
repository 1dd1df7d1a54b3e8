//! The one matmul micro-kernel under every convolution: `C[row, 0..n] (+)= Σ_k A[row, k] · B[k, 0..n]`.
//!
//! A tile of `C`, `MR` rows by `NV` vectors of sixteen columns, is held in registers; each step of `k` loads `NV` vectors of
//! `B` and broadcasts `MR` values of `A`. That is `MR·NV` multiply-adds for `MR + NV` loads, so with 14 × 2 (AVX-512, 28 of
//! 32 registers) or 6 × 1 (AVX2, 12 of 16; NEON, 24 of 32) the multipliers are the limit.
//!
//! **Layout of `A`**: blocks `[pixel][16]` of sixteen channels. [`Micro::pixels`] takes the pixels (or Winograd tiles) as rows
//! and sums over channels, going from block to block: forward and input gradient. [`Micro::channels`] takes the channels as
//! rows and sums over pixels: weight gradient. Both strides within a block are constants, so addresses are immediates.
//! **Layout of `B`**: panels `[k][16·NV]`, read straight through.
//!
//! `k` counts words: values as they are, or pairs of rounded ones (`precision.rs`).
//!
//! There is one instance per number of rows: a range of rows is cut into tiles of nearly equal height, so no row is computed in
//! vain and none is written that does not exist. Columns beyond those of `C` are left out when it is written.
//! Long sums are cut so that a part of the panel stays in the L1 cache while all tiles meet it.

use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes, prefetch},
    precision::Element,
};
use std::{marker::PhantomData, ops::Range};

/// Most rows of any tile.
const MAX_ROWS: usize = 16;
/// Floats of panels that may lie in a near cache: half of an L2, and a quarter more.
const NEAR_FLOATS: usize = 160 << 10;
/// Floats of the part of a panel that all tiles meet before the next: 16 kB, half of an L1 cache.
const PANEL_FLOATS: usize = 4 << 10;

/// Where the rows of `C` lie.
#[derive(Clone, Copy)]
pub(crate) enum RowPlaces<'a> {
    /// Every so many floats.
    Stride(usize),
    /// Row `r` starts at this offset.
    Offsets(&'a [usize]),
}

/// One product: all rows of `A` with one panel of `B`.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// `A` from its first row on: `[block][pixel][16]`.
    pub a: &'a [f32],
    /// Floats from one block of `A` to the next.
    pub a_block: usize,
    /// The panel `[k][16·NV]`.
    pub b: &'a [f32],
    /// Whether panels are so large that `b` lies in no near cache, and what will be read next is asked for in time.
    pub far: bool,
    /// Words of each sum.
    pub k: usize,
    /// What holds `C`.
    pub c: Disjoint<'a>,
    /// Offset of `C` in `c`.
    pub start: usize,
    /// The rows of `C`, from `start` on.
    pub rows: RowPlaces<'a>,
    /// Columns of `C`, at most 16·NV; decides `NV`.
    pub columns: usize,
    /// Add to `C` instead of overwriting it.
    pub accumulate: bool,
    /// What has the same layout as all of `c` and will be read at the places of `C`, so that it is asked for in time.
    pub beside: Option<&'a [f32]>,
}

/// The micro-kernels of one instruction set and one meaning of the rows.
#[derive(Clone, Copy)]
pub(crate) struct Micro {
    runs: [[RunFn; MAX_ROWS]; 2],
    /// Most rows of a tile of one and of two vectors. Where rows are channels, a divisor of sixteen, so that tiles do not
    /// straddle blocks.
    max_rows: [usize; 2],
    rows_are_pixels: bool,
}

impl Micro {
    /// Rows of `A` are pixels: `A[row, k] = a[k / 16 · a_block + row · 16 + k % 16]`.
    pub(crate) fn pixels<E: Element>(isa: Isa) -> Micro {
        E::run(isa, Select::<true, E>(PhantomData))
    }

    /// Rows of `A` are channels: `A[row, k] = a[row / 16 · a_block + k · 16 + row % 16]`.
    pub(crate) fn channels<E: Element>(isa: Isa) -> Micro {
        E::run(isa, Select::<false, E>(PhantomData))
    }

    /// The panels that `columns` are cut into: ranges of at most 32 (or 16) columns, all but the last of equal width.
    pub(crate) fn panels(&self, columns: usize) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
        let width = self.panel_width();
        (0..columns.div_ceil(width)).map(move |p| p * width..columns.min((p + 1) * width))
    }

    /// Columns of a full panel.
    pub(crate) fn panel_width(&self) -> usize {
        if self.max_rows[1] > 0 { 2 * LANES } else { LANES }
    }

    /// Steps of a longer sum with `columns` columns that are added up before what they come to is added to `C`.
    pub(crate) fn part(columns: usize) -> usize {
        PANEL_FLOATS / columns.next_multiple_of(LANES)
    }

    /// Whether panels of so many floats in all are [far](Product::far).
    pub(crate) fn is_far(panels: usize) -> bool {
        panels > NEAR_FLOATS
    }

    /// Rows of the largest tile for `columns` columns: a good divisor of numbers of rows.
    pub(crate) fn tile_rows(&self, columns: usize) -> usize {
        self.max_rows[usize::from(columns > LANES && self.max_rows[1] > 0)]
    }

    /// Computes `rows` rows of a product.
    pub(crate) fn multiply(&self, rows: usize, p: &Product) {
        if rows == 0 {
            return;
        }
        let vectors = p.columns.div_ceil(LANES);
        assert!(vectors > 0 && vectors * LANES <= self.panel_width(), "{} columns in one panel", p.columns);
        assert!(p.b.len() >= p.k * vectors * LANES, "a panel of {} floats for {} × {}", p.b.len(), p.k, p.columns);
        // The last element of `A`: of the dimension that goes from block to block, and of the other.
        let (last_row, last_k) = (rows - 1, p.k.saturating_sub(1));
        let (across, within) = if self.rows_are_pixels { (last_k, last_row) } else { (last_row, last_k) };
        let a_len = across / LANES * p.a_block + within * LANES + across % LANES + 1;
        assert!(p.a.len() >= a_len, "A of {} floats, {a_len} needed", p.a.len());
        let (last_start, stride, offsets) = match p.rows {
            RowPlaces::Stride(stride) => (last_row * stride, stride, std::ptr::null()),
            RowPlaces::Offsets(offsets) => {
                (offsets[..rows].iter().fold(0, |last, &offset| last.max(offset)), 0, offsets.as_ptr())
            }
        };
        let c = p.c.pointer(p.start..p.start + last_start + p.columns);
        let beside = p.beside.map_or(std::ptr::null(), |beside| beside[p.start..].as_ptr());

        let max_rows = self.max_rows[vectors - 1];
        // Where rows are channels, the last block may have fewer.
        let whole = if self.rows_are_pixels { rows } else { rows / LANES * LANES };
        let part = Micro::part(p.columns);
        let runs = [0..whole, whole..rows].map(|rows| {
            // Nearly equal tiles: some of one more row, then the rest.
            let tiles = rows.len().div_ceil(max_rows).max(1);
            let (height, taller) = (rows.len() / tiles, rows.len() % tiles);
            [(rows.start, taller, height + 1), (rows.start + taller * (height + 1), tiles - taller, height)]
        });
        let all_tiles: usize = runs.as_flattened().iter().filter(|run| run.2 > 0).map(|run| run.1).sum();
        let ahead_each = if p.far { (LANES * vectors).div_ceil(all_tiles) } else { 0 };
        for first_k in (0..p.k.max(1)).step_by(part) {
            let k = part.min(p.k - first_k);
            // The next part of the panel, or the panel after it.
            let mut ahead = p.b.as_ptr().wrapping_add((first_k + k) * vectors * LANES);
            let a = if self.rows_are_pixels { first_k / LANES * p.a_block } else { first_k * LANES };
            for &(first_row, tiles, height) in runs.as_flattened() {
                if tiles * height == 0 {
                    continue;
                }
                let run = TileRun {
                    a: p.a[a..].as_ptr(),
                    a_block: p.a_block,
                    b: p.b[first_k * vectors * LANES..].as_ptr(),
                    k,
                    ahead,
                    ahead_each,
                    c,
                    beside,
                    first_row,
                    tiles,
                    stride,
                    offsets,
                    columns: p.columns,
                    accumulate: p.accumulate || first_k > 0,
                };
                // SAFETY: `a` and `b` hold all that is read, `c` all rows (asserted above), and its elements are the caller's.
                unsafe { self.runs[vectors - 1][height - 1](&run) }
                ahead = ahead.wrapping_add(tiles * k.div_ceil(LANES) * ahead_each * LANES);
            }
        }
    }
}

/// Operands of a run of tiles of one height.
struct TileRun {
    a: *const f32,
    a_block: usize,
    b: *const f32,
    k: usize,
    /// What will be read in the place of `b` next, of which so many vectors are asked for at each sixteen steps.
    ahead: *const f32,
    ahead_each: usize,
    c: *mut f32,
    beside: *const f32,
    first_row: usize,
    tiles: usize,
    /// Row `r` of `C` starts at `offsets[r]`, or at `r · stride` if that is null.
    offsets: *const usize,
    stride: usize,
    columns: usize,
    accumulate: bool,
}

impl TileRun {
    /// Where a row of `C` starts.
    #[inline(always)]
    fn row_start(&self, row: usize) -> usize {
        // SAFETY: there are as many offsets as rows.
        if self.offsets.is_null() { row * self.stride } else { unsafe { *self.offsets.add(row) } }
    }

    /// Writes the columns that `C` has of sums `[row][width]`, to the rows from `row` on. Not compiled once per tile: panels are full but for
    /// the last.
    #[inline(never)]
    fn write_columns(&self, row: usize, sums: &[f32], width: usize) {
        for (i, sums) in sums.chunks_exact(width).enumerate() {
            let start = self.row_start(row + i);
            for (j, &sum) in sums[..self.columns].iter().enumerate() {
                let c = self.c.wrapping_add(start + j);
                // SAFETY: the row holds `columns` floats.
                unsafe { *c = if self.accumulate { sum + *c } else { sum } };
            }
        }
    }
}

type RunFn = unsafe fn(&TileRun);

struct RunKernel<'a, const MR: usize, const NV: usize, const PIXELS: bool, E>(&'a TileRun, PhantomData<E>);

impl<const MR: usize, const NV: usize, const PIXELS: bool, E: Element> Kernel for RunKernel<'_, MR, NV, PIXELS, E> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        for tile in 0..self.0.tiles {
            let row = self.0.first_row + tile * MR;
            let start = if PIXELS { row * LANES } else { row / LANES * self.0.a_block + row % LANES };
            // Mostly in no cache: it comes while the sums are computed.
            for i in 0..MR {
                let c = self.0.c.wrapping_add(self.0.row_start(row + i));
                for j in 0..NV {
                    prefetch(c.wrapping_add(j * LANES));
                }
            }
            if !self.0.beside.is_null() {
                for i in 0..MR {
                    let beside = self.0.beside.wrapping_add(self.0.row_start(row + i));
                    for j in 0..NV {
                        prefetch(beside.wrapping_add(j * LANES));
                    }
                }
            }
            let ahead = tile * self.0.k.div_ceil(LANES) * self.0.ahead_each * LANES;
            let sums = self.sums::<V>(self.0.a.wrapping_add(start), self.0.ahead.wrapping_add(ahead));
            self.write(row, sums);
        }
    }
}

impl<const MR: usize, const NV: usize, const PIXELS: bool, E: Element> RunKernel<'_, MR, NV, PIXELS, E> {
    /// The sums of the tile whose rows of `A` start at `a`.
    #[inline(always)]
    fn sums<V: Lanes>(&self, mut a: *const f32, mut ahead: *const f32) -> [[V; NV]; MR] {
        let mut sums = [[V::splat(0.0); NV]; MR];
        let (mut b, mut left) = (self.0.b, self.0.k);
        while left > 0 {
            // A block of channels, or all pixels.
            let steps = if PIXELS { left.min(LANES) } else { left };
            if PIXELS {
                for _ in 0..self.0.ahead_each {
                    prefetch(ahead);
                    ahead = ahead.wrapping_add(LANES);
                }
            }
            let mut from = a;
            for _ in 0..steps {
                // SAFETY: the caller of the run function gave operands that hold the tiles' rows, `k` steps and NV vectors.
                unsafe {
                    let mut columns = [V::splat(0.0); NV];
                    for j in 0..NV {
                        columns[j] = V::load_ptr(b.add(j * LANES));
                    }
                    for i in 0..MR {
                        let value = V::splat(*from.add(if PIXELS { i * LANES } else { i }));
                        for j in 0..NV {
                            sums[i][j] = E::multiply(value, columns[j], sums[i][j]);
                        }
                    }
                }
                from = from.wrapping_add(if PIXELS { 1 } else { LANES });
                b = b.wrapping_add(NV * LANES);
            }
            a = a.wrapping_add(self.0.a_block);
            left -= steps;
        }
        sums
    }

    /// Writes sums to the rows from `row` on.
    #[inline(always)]
    fn write<V: Lanes>(&self, row: usize, sums: [[V; NV]; MR]) {
        if self.0.columns < NV * LANES {
            let mut copy = [[[0.0; LANES]; NV]; MR];
            for i in 0..MR {
                for j in 0..NV {
                    sums[i][j].store(&mut copy[i][j]);
                }
            }
            self.0.write_columns(row, copy.as_flattened().as_flattened(), NV * LANES);
        } else if self.0.accumulate {
            self.write_as::<V, true>(row, sums);
        } else {
            self.write_as::<V, false>(row, sums);
        }
    }

    /// The loop has no branch on what is the same for all rows: with one in it the compiler does not unroll it for tall tiles,
    /// and indexes the sums in memory instead of keeping them in registers.
    #[inline(always)]
    fn write_as<V: Lanes, const ADD: bool>(&self, row: usize, sums: [[V; NV]; MR]) {
        for i in 0..MR {
            let start = self.0.row_start(row + i);
            for j in 0..NV {
                let c = self.0.c.wrapping_add(start + j * LANES);
                // SAFETY: the row holds NV vectors.
                unsafe {
                    let sum = if ADD { sums[i][j] + V::load_ptr(c) } else { sums[i][j] };
                    sum.store_ptr(c);
                }
            }
        }
    }
}

/// Picks the run functions of an instruction set.
struct Select<const PIXELS: bool, E>(PhantomData<E>);

impl<const PIXELS: bool, E: Element> Kernel for Select<PIXELS, E> {
    type Output = Micro;
    #[inline(always)]
    fn run<V: Lanes>(self) -> Micro {
        /// # Safety
        /// The operands hold tiles of `MR` rows, `k` steps and `NV` vectors.
        unsafe fn run<V: Lanes, const MR: usize, const NV: usize, const PIXELS: bool, E: Element>(run: &TileRun) {
            if const { MR <= V::TILE_ROWS[NV - 1] } {
                V::enter(RunKernel::<MR, NV, PIXELS, E>(run, PhantomData));
            } else {
                unreachable!("no tile of {MR} × {NV} vectors");
            }
        }
        macro_rules! by_rows {
            ($vectors:literal: $($rows:literal)+) => { [$(run::<V, $rows, $vectors, PIXELS, E> as RunFn),+] };
        }
        Micro {
            runs: [
                by_rows!(1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
                by_rows!(2: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16),
            ],
            max_rows: V::TILE_ROWS.map(|rows| if PIXELS || rows == 0 { rows } else { 1 << rows.ilog2() }),
            rows_are_pixels: PIXELS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::{Rounded, Whole};

    /// Small integers, so every order of summation gives the same f32.
    fn integers(len: usize, seed: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect()
    }

    /// The word of a value, or of two that bf16 has.
    fn word(values: impl ExactSizeIterator<Item = f32>) -> f32 {
        let shift = |i: usize| if values.len() == 1 { 0 } else { 16 * (1 - i) };
        let shifts: Vec<usize> = (0..values.len()).map(shift).collect();
        let bits = values.zip(shifts).map(|(value, shift)| match shift {
            16 => value.to_bits() >> 16,
            _ => value.to_bits(),
        });
        f32::from_bits(bits.fold(0, |word, bits| word | bits))
    }

    #[test]
    fn products_are_exact_and_write_nothing_else() {
        products_are_exact::<Whole>();
        products_are_exact::<Rounded>();
    }

    fn products_are_exact<E: Element>() {
        for isa in Isa::available() {
            for (micro, pixels) in [(Micro::pixels::<E>(isa), true), (Micro::channels::<E>(isa), false)] {
                for (rows, k, columns) in [
                    (1usize, 1usize, 1usize),
                    (16, 5, 16),
                    (13, 40, 7),
                    (9, 16, 20),
                    (15, 33, 32),
                    (61, 18, 31),
                    (39, 300, 32),
                ] {
                    if columns > micro.panel_width() {
                        continue;
                    }
                    let width = columns.next_multiple_of(LANES);
                    let (across, within) = if pixels { (k, rows) } else { (rows, k) };
                    let a_block = within * LANES + 5;
                    // Rows of values for each half of the words.
                    let halves =
                        |len, seed| -> Vec<Vec<f32>> { (0..E::PER_WORD).map(|i| integers(len, seed + i)).collect() };
                    let (a_halves, b_halves) = (halves(across.div_ceil(LANES) * a_block, 1), halves(k * width, 3));
                    let [a, b] = [&a_halves, &b_halves].map(|halves| -> Vec<f32> {
                        (0..halves[0].len()).map(|i| word(halves.iter().map(|half| half[i]))).collect()
                    });
                    let stride = columns + 3;
                    let before = integers(2 + rows * stride, 3);
                    for accumulate in [false, true] {
                        let mut after = before.clone();
                        // SAFETY: one task.
                        let c = unsafe { Disjoint::new(&mut after) };
                        let rows_of_c = RowPlaces::Stride(stride);
                        let product = Product {
                            a: &a,
                            a_block,
                            b: &b,
                            far: accumulate,
                            k,
                            c,
                            start: 2,
                            rows: rows_of_c,
                            columns,
                            accumulate,
                            beside: None,
                        };
                        micro.multiply(rows, &product);
                        for (i, (&after, &before)) in after.iter().zip(&before).enumerate() {
                            let (row, column) = (i.wrapping_sub(2) / stride, i.wrapping_sub(2) % stride);
                            let expected = if i < 2 || column >= columns {
                                before
                            } else {
                                let at = |t: usize| {
                                    let (across, within) = if pixels { (t, row) } else { (row, t) };
                                    across / LANES * a_block + within * LANES + across % LANES
                                };
                                let product = |a: &[f32], b: &[f32]| -> f32 {
                                    (0..k).map(|t| a[at(t)] * b[t * width + column]).sum()
                                };
                                let sum: f32 = a_halves.iter().zip(&b_halves).map(|(a, b)| product(a, b)).sum();
                                sum + if accumulate { before } else { 0.0 }
                            };
                            assert_eq!(after, expected, "{isa} {rows}×{k}×{columns} at {i}");
                        }
                    }
                }
            }
        }
    }
}
