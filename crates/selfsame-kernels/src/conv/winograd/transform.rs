//! The transforms of Winograd's F(M×M, 3×3), for M = 2 and 4, on sixteen channels at once.
//!
//! With `A = M + 2` interpolation points per axis, a tile of `M × M` outputs comes from a window of `A × A` inputs:
//!
//! * input `V = Bᵀ x B`, weights `U = G w Gᵀ`, output `y = Aᵀ (Σ_ci U ⊙ V) A`;
//! * weight gradient `dw = Gᵀ (Σ_tiles V ⊙ Z) G` with `Z = A dy Aᵀ`.
//!
//! Each two-dimensional transform is a one-dimensional one over the rows, then over the columns. M = 4 uses the points
//! 0, ±a, ±b, ∞, M = 2 the points 0, ±1, ∞ (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). For
//! values as they are, a and b are 1 and 2; see `precision.rs`. `V`, `U` and `Z` are what is rounded.
//!
//! Layout: one plane per point; within a plane panels `[panel][tile][width]` of channels, as the micro-kernel reads them, in words of
//! successive channels or, for a sum over tiles, successive tiles.

use super::super::{
    epilogue::Activate,
    moments::{SUMS, about_mean},
    panels::Transpose,
};
use super::axis::{POINTS, input_1d, output_1d, output_transposed_1d, weight_1d, weight_transposed_1d};
use crate::{
    disjoint::Disjoint,
    lanes::{Kernel, LANES, Lanes, prefetch},
    precision::{Element, Whole},
};
use std::{marker::PhantomData, ops::Range};

/// `[f(0), …, f(5)]`, written out: a loop over so large a body would stay a loop, and its arrays in memory.
macro_rules! points {
    ($i:ident => $value:expr) => {
        points!(@ $i => $value; 0 1 2 3 4 5)
    };
    (@ $i:ident => $value:expr; $($index:literal)+) => {
        [$({
            const $i: usize = $index;
            $value
        }),+]
    };
}

/// A batch of maps `[batch, height, width, channels]` and the tiles that cover an output grid over it.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    /// Map height.
    pub height: usize,
    /// Map width.
    pub width: usize,
    /// Map channels.
    pub channels: usize,
    /// Tiles per column of tiles.
    pub rows: usize,
    /// Tiles per row of tiles.
    pub columns: usize,
    /// Zeros before row and column 0 of the map.
    pub padding: usize,
}

/// Where a tile's window of the map lies.
struct TileWindow {
    /// Offset of the window's first pixel; meaningless where that pixel is outside the map.
    start: isize,
    /// Rows of the window that are inside the map.
    rows: Range<usize>,
    /// Columns of the window that are inside the map.
    columns: Range<usize>,
}

impl Tiling {
    #[inline(always)]
    fn window<const M: usize>(&self, tile: usize, size: usize) -> TileWindow {
        let (image, row, column) =
            (tile / (self.rows * self.columns), tile / self.columns % self.rows, tile % self.columns);
        let inside = |first: usize, len: usize| {
            let start = self.padding.saturating_sub(first);
            let end = (len + self.padding).saturating_sub(first).min(size);
            start..end.max(start)
        };
        let (y, x) = (row * M, column * M);
        let pixel = ((image * self.height + y) * self.width + x) as isize - (self.padding * (self.width + 1)) as isize;
        TileWindow {
            start: pixel * self.channels as isize,
            rows: inside(y, self.height),
            columns: inside(x, self.width),
        }
    }
}

/// Where the pixels of a window are read.
#[derive(Clone, Copy)]
struct Pixels {
    first: *const f32,
    /// Floats from row to row.
    row_step: usize,
    /// Floats from pixel to pixel.
    step: usize,
}

/// Pixels of a window, each in a cache line.
#[repr(align(64))]
struct WindowCopy([[f32; LANES]; POINTS * POINTS]);

impl Pixels {
    #[inline(always)]
    fn at(self, row: usize, column: usize) -> *const f32 {
        self.first.wrapping_add(row * self.row_step + column * self.step)
    }

    /// A copy with zeros for pixels outside the map and for channels that the mask lacks, so that the transform is compiled for whole
    /// windows alone.
    ///
    /// # Safety
    /// The inside pixels of the window hold the channels of the mask.
    #[inline(always)]
    unsafe fn completed<V: Lanes>(
        self,
        window: &TileWindow,
        size: usize,
        mask: V::Mask,
        copy: &mut WindowCopy,
    ) -> Pixels {
        let zero = V::splat(0.0);
        for (row, copies) in copy.0.chunks_exact_mut(size).take(size).enumerate() {
            let columns = if window.rows.contains(&row) { window.columns.clone() } else { 0..0 };
            for copy in copies[..columns.start].iter_mut() {
                zero.store(copy);
            }
            for column in columns.clone() {
                // SAFETY: the pixel is inside.
                unsafe { V::load_masked(self.at(row, column), mask) }.store(&mut copies[column]);
            }
            for copy in copies[columns.end..].iter_mut() {
                zero.store(copy);
            }
        }
        Pixels { first: copy.0.as_ptr().cast(), row_step: size * LANES, step: LANES }
    }
}

/// Windows of a map to points: `V = Bᵀ x B` of overlapping `A × A` windows or, with `GRADIENT`, `Z = A dy Aᵀ` of `M × M` tiles.
///
/// Words hold successive channels or, `ACROSS`, successive tiles.
pub(super) struct ToPoints<'a, E, const M: usize, const GRADIENT: bool, const ACROSS: bool> {
    /// The map.
    pub map: &'a [f32],
    pub tiling: Tiling,
    /// Tiles to transform.
    pub tiles: Range<usize>,
    /// Place of the first of them in the panels, the first of a word.
    pub slot: usize,
    /// Tiles per panel.
    pub capacity: usize,
    /// Channels of a full panel, a multiple of sixteen.
    pub panel_width: usize,
    /// The planes, `[point][panel][tile][channel]`.
    pub points: Disjoint<'a>,
    /// Floats from plane to plane.
    pub plane: usize,
    pub element: PhantomData<E>,
}

impl<E: Element, const M: usize, const GRADIENT: bool, const ACROSS: bool> Kernel
    for ToPoints<'_, E, M, GRADIENT, ACROSS>
{
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let a = M + 2;
        let size = if GRADIENT { M } else { a };
        let channels = self.tiling.channels;
        assert!(self.slot + self.tiles.len() <= self.capacity, "more tiles than the panels hold");
        let needed = match ACROSS {
            true => E::words(self.capacity) * channels.next_multiple_of(LANES),
            false => self.capacity * E::words(channels).next_multiple_of(LANES),
        };
        assert!(needed <= self.plane && self.slot.is_multiple_of(E::PER_WORD), "a panel beyond its plane");
        assert!(ACROSS || self.panel_width == LANES, "words of channels of more than one block");
        let images = self.map.len() / (self.tiling.height * self.tiling.width * channels);
        assert!(self.tiles.end <= images * self.tiling.rows * self.tiling.columns, "more tiles than the map has");
        let points = self.points.pointer(0..a * a * self.plane);

        let mut copy = WindowCopy([[0.0; LANES]; POINTS * POINTS]);
        for tile in self.tiles.clone() {
            let window = self.tiling.window::<M>(tile, size);
            let slot = self.slot + tile - self.tiles.start;
            let inside = window.rows == (0..size) && window.columns == (0..size);
            let mut first = 0;
            while first < channels {
                let lanes = (channels - first).min(LANES);
                let panel = first / self.panel_width * self.panel_width;
                let width = (channels.next_multiple_of(LANES) - panel).min(self.panel_width);
                let to = points.wrapping_add(if ACROSS {
                    panel * E::words(self.capacity) + slot / E::PER_WORD * width + first - panel
                } else {
                    E::along(first / LANES, self.capacity * LANES) + slot * LANES
                });
                let mut pixels = Pixels {
                    first: self.map.as_ptr().wrapping_offset(window.start + first as isize),
                    row_step: self.tiling.width * channels,
                    step: channels,
                };
                // The pixels that the window below, or the next image's first, adds.
                for row in window.rows.end..size + M {
                    for column in (size - M) / 2..(size - M) / 2 + M {
                        prefetch(pixels.at(row, column));
                    }
                }
                // SAFETY: the window's inside pixels lie in the map (tile bounds asserted) and are all that is read; the
                // points of this tile and these channels lie in the planes (asserted) and belong to this call.
                unsafe {
                    if !inside || lanes < LANES {
                        pixels = pixels.completed::<V>(&window, size, V::mask(lanes), &mut copy);
                    }
                    self.transform::<V>(pixels, slot, to);
                }
                first += LANES;
            }
        }
    }
}

impl<E: Element, const M: usize, const GRADIENT: bool, const ACROSS: bool> ToPoints<'_, E, M, GRADIENT, ACROSS> {
    /// # Safety
    /// All pixels of the window hold sixteen channels; `to` holds the words of `slot` in every plane.
    #[inline(always)]
    unsafe fn transform<V: Lanes>(&self, pixels: Pixels, slot: usize, to: *mut f32) {
        let a = M + 2;
        let size = if GRADIENT { M } else { a };
        let zero = V::splat(0.0);
        let rows = points!(I => if I < size {
            Self::one_dimension(points!(J => if J < size {
                // SAFETY: the window has this pixel.
                unsafe { V::load_ptr(pixels.at(I, J)) }
            } else {
                zero
            }))
        } else {
            [zero; POINTS]
        });
        points!(J => if J < a {
            let column = Self::one_dimension(points!(I => rows[I][J]));
            points!(I => if I < a {
                let to = to.wrapping_add((I * a + J) * self.plane);
                // SAFETY: `to` holds the words in every plane.
                unsafe { if ACROSS { E::store_across(column[I], slot, to) } else { E::store_along(column[I], to) } }
            });
        });
    }

    #[inline(always)]
    fn one_dimension<V: Lanes>(x: [V; POINTS]) -> [V; POINTS] {
        if GRADIENT { output_transposed_1d::<V, E, M>(x) } else { input_1d::<V, E, M>(x) }
    }
}

/// What becomes of an output tile.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a> {
    /// Written.
    Write,
    /// Added to what is there.
    Accumulate,
    /// Written, and the channels' sums `[3][channels]` of this call's tiles written from this offset on (see `moments.rs`).
    Moments(Disjoint<'a>, usize),
    /// Written after bias, residual and ReLU.
    Activate(Activate<'a>),
}

/// Points to output tiles, `y = Aᵀ m A`.
pub(super) struct FromPoints<'a, E, const M: usize> {
    /// The planes `[point][tile][column]`, from the first tile on.
    pub points: &'a [f32],
    /// Floats from plane to plane.
    pub plane: usize,
    /// Floats from tile to tile.
    pub tile_step: usize,
    /// Channels of the output that the columns are; starts at a multiple of sixteen.
    pub channels: Range<usize>,
    pub tiles: Range<usize>,
    /// The output map; its `padding` is 0.
    pub tiling: Tiling,
    pub map: Disjoint<'a>,
    pub finish: Finish<'a>,
    pub element: PhantomData<E>,
}

impl<E: Element, const M: usize> Kernel for FromPoints<'_, E, M> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let a = M + 2;
        let (all, count) = (self.tiling.channels, self.tiles.len());
        if count == 0 || self.channels.is_empty() {
            return;
        }
        let columns = self.channels.len().next_multiple_of(LANES);
        let needed = (a * a - 1) * self.plane + (count - 1) * self.tile_step + columns;
        assert!(self.points.len() >= needed, "points of {} floats, {needed} needed", self.points.len());
        assert!(self.channels.end <= all, "channels {:?} of {all}", self.channels);
        let images = self.tiles.end.div_ceil(self.tiling.rows * self.tiling.columns);
        let map = self.map.pointer(0..images * self.tiling.height * self.tiling.width * all);
        let sums = match self.finish {
            Finish::Moments(sums, start) => sums.pointer(start..start + SUMS * all),
            _ => std::ptr::null_mut(),
        };
        if let Finish::Activate(Activate { bias, residual, .. }) = self.finish {
            let added = residual.map_or(usize::MAX, <[f32]>::len);
            assert!(
                bias.len() == all && added >= images * self.tiling.height * self.tiling.width * all,
                "{added} added"
            );
        }
        for (slot, tile) in self.tiles.clone().enumerate() {
            let window = self.tiling.window::<M>(tile, M);
            let mut first = self.channels.start;
            while first < self.channels.end {
                let lanes = (self.channels.end - first).min(LANES);
                let from = self.points[slot * self.tile_step + first - self.channels.start..].as_ptr();
                let to = map.wrapping_offset(window.start + first as isize);
                let sums = sums.wrapping_add(first);
                let full = window.rows.end == M && window.columns.end == M && lanes == LANES;
                // The pixels of the tile below, or of the next image's first.
                for row in window.rows.end..2 * M {
                    for column in 0..M {
                        prefetch(to.wrapping_add((row * self.tiling.width + column) * all));
                    }
                }
                // SAFETY: the points hold a vector per plane for every tile and sixteen channels (asserted); the window's inside
                // pixels lie in the map (asserted by its images), the sums in theirs (asserted), and both belong to this call.
                unsafe {
                    if full {
                        self.transform::<V, true>(from, &window, first, lanes, to, sums, slot == 0);
                    } else {
                        self.transform::<V, false>(from, &window, first, lanes, to, sums, slot == 0);
                    }
                }
                first += LANES;
            }
        }
    }
}

impl<E: Element, const M: usize> FromPoints<'_, E, M> {
    /// # Safety
    /// `from` holds a vector in every plane; the inside pixels of the window at `to` hold `lanes` channels from `channel`
    /// on, as do bias and residual with `Finish::Activate`; with `Finish::Moments`, `sums` holds `lanes` channels in each of
    /// its rows. With `FULL`, all pixels are inside, `lanes` is 16.
    #[inline(always)]
    unsafe fn transform<V: Lanes, const FULL: bool>(
        &self,
        from: *const f32,
        window: &TileWindow,
        channel: usize,
        lanes: usize,
        to: *mut f32,
        sums: *mut f32,
        first: bool,
    ) {
        let a = M + 2;
        let (row_step, pixel_step) = (self.tiling.width * self.tiling.channels, self.tiling.channels);
        let lanes = if FULL { LANES } else { lanes };
        let mask = V::mask(lanes);
        let zero = V::splat(0.0);
        let columns = points!(J => if J < a {
            output_1d::<V, E, M>(points!(I => if I < a {
                // SAFETY: `from` holds a vector in every plane.
                unsafe { V::load_ptr(from.wrapping_add((I * a + J) * self.plane)) }
            } else {
                zero
            }))
        } else {
            [zero; POINTS]
        });
        let (bias, residual) = match self.finish {
            // SAFETY: there is a bias for each of these lanes.
            Finish::Activate(Activate { bias, residual, .. }) => unsafe {
                let residual =
                    residual.map(|residual| residual.as_ptr().wrapping_offset(window.start + channel as isize));
                (V::load_masked(bias.as_ptr().wrapping_add(channel), mask), residual)
            },
            _ => (zero, None),
        };
        let moments = matches!(self.finish, Finish::Moments(..));
        let (mut shift, mut sum, mut squares) = (zero, zero, zero);
        for i in 0..M {
            if !FULL && i >= window.rows.end {
                break;
            }
            let row = output_1d::<V, E, M>(points!(J => columns[J][i]));
            if moments && i == 0 {
                // SAFETY: `sums` holds these lanes.
                shift = if first { row[0] } else { unsafe { V::load_masked(sums, mask) } };
            }
            for j in 0..M {
                if !FULL && j >= window.columns.end {
                    break;
                }
                let place = i * row_step + j * pixel_step;
                let pixel = to.wrapping_add(place);
                // SAFETY: the pixel is inside and holds these lanes, in the residual too.
                unsafe {
                    let value = match self.finish {
                        Finish::Accumulate => row[j] + V::load_masked(pixel, mask),
                        Finish::Activate(activate) => {
                            let value = row[j] + bias;
                            activate.act(match residual {
                                Some(residual) => value + V::load_masked(residual.wrapping_add(place), mask),
                                None => value,
                            })
                        }
                        _ => row[j],
                    };
                    if FULL { value.store_ptr(pixel) } else { value.store_masked(pixel, mask) }
                }
                if moments {
                    let d = row[j] - shift;
                    sum = sum + d;
                    squares = d.mul_add(d, squares);
                }
            }
        }
        if moments {
            let places = [0, 1, 2].map(|row| sums.wrapping_add(row * self.tiling.channels));
            if first {
                (shift, sum, squares) = about_mean(shift, sum, squares, window.rows.len() * window.columns.len());
            }
            // SAFETY: `sums` holds these lanes in each row.
            unsafe {
                if first {
                    shift.store_masked(places[0], mask);
                } else {
                    sum = sum + V::load_masked(places[1], mask);
                    squares = squares + V::load_masked(places[2], mask);
                }
                sum.store_masked(places[1], mask);
                squares.store_masked(places[2], mask);
            }
        }
    }
}

/// Weights to points, `U = G w Gᵀ`, as panels `[point][panel][row][width]` of which this writes some rows of one panel; a word holds
/// successive rows.
pub(super) struct WeightsToPoints<'a, E, const M: usize> {
    /// `[3, 3, rows, columns]`; with `rotated` `[3, 3, columns, rows]`, read rotated by 180°.
    pub w: &'a [f32],
    pub rotated: bool,
    /// Rows of all weights: channels that are summed over.
    pub all_rows: usize,
    /// Columns of all weights.
    pub all_columns: usize,
    /// The row of the weights that is the panel's row 0.
    pub first: usize,
    /// Rows of the panel to transform, at most sixteen.
    pub rows: Range<usize>,
    /// Columns of the panel.
    pub columns: Range<usize>,
    pub points: Disjoint<'a>,
    /// Offset of the panel's row 0 in plane 0.
    pub start: usize,
    /// Floats from plane to plane.
    pub plane: usize,
    pub element: PhantomData<E>,
}

impl<E: Element, const M: usize> Kernel for WeightsToPoints<'_, E, M> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let a = M + 2;
        let width = self.columns.len().next_multiple_of(LANES);
        let tap_len = self.all_rows * self.all_columns;
        let first_row = self.first + self.rows.start;
        assert!(self.rows.len() <= LANES && self.first + self.rows.end <= self.all_rows, "rows {:?}", self.rows);
        assert!(self.rows.start.is_multiple_of(E::PER_WORD), "rows from the middle of a word on");
        let end = self.start + (a * a - 1) * self.plane + E::words(self.rows.end) * width;
        let points = self.points.pointer(self.start..end);
        let mut block = [[[0.0; LANES]; LANES]; 9];
        let mut part = 0;
        while part < width {
            let first = self.columns.start + part;
            let lanes = (self.columns.end - first).min(LANES);
            if self.rotated {
                for tap in 0..9 {
                    let from = &self.w[(8 - tap) * tap_len + first * self.all_rows + first_row..];
                    Transpose::<Whole> {
                        from,
                        from_stride: self.all_rows,
                        rows: lanes,
                        columns: self.rows.len(),
                        to: block[tap].as_flattened_mut(),
                        to_stride: LANES,
                        place: 0,
                        element: PhantomData,
                    }
                    .run::<V>();
                }
            }
            for row in 0..self.rows.len() {
                let mut rows = [[V::splat(0.0); POINTS]; 3];
                for i in 0..3 {
                    let mut taps = [V::splat(0.0); 3];
                    for j in 0..3 {
                        let tap = i * 3 + j;
                        taps[j] = if self.rotated {
                            V::load(&block[tap][row])
                        } else {
                            let at = tap * tap_len + (first_row + row) * self.all_columns + first;
                            V::load_slice(&self.w[at..at + lanes])
                        };
                    }
                    rows[i] = weight_1d::<V, E, M>(taps);
                }
                let place = self.rows.start + row;
                let to = points.wrapping_add(place / E::PER_WORD * width + part);
                for j in 0..a {
                    let column = weight_1d::<V, E, M>([rows[0][j], rows[1][j], rows[2][j]]);
                    for i in 0..a {
                        // SAFETY: the row lies in every plane (asserted) and belongs to this call.
                        unsafe { E::store_across(column[i], place, to.wrapping_add((i * a + j) * self.plane)) };
                    }
                }
            }
            part += LANES;
        }
    }
}

/// Points to weight gradient, `dw = Gᵀ m G`, for one row of `dw`, summing the partial sums of chunks in their order.
pub(super) struct PointsToWeights<'a, E, const M: usize> {
    /// Partial sums, `[chunk][point][row][column]`, the first at this row.
    pub points: &'a [f32],
    /// Floats from chunk to chunk, and their number.
    pub chunk: usize,
    pub chunks: usize,
    /// Floats from plane to plane.
    pub plane: usize,
    /// The gradient `[3, 3, rows, columns]`.
    pub dw: Disjoint<'a>,
    pub all_rows: usize,
    pub all_columns: usize,
    /// The row, and the columns of it that the points are.
    pub row: usize,
    pub columns: Range<usize>,
    pub element: PhantomData<E>,
}

impl<E: Element, const M: usize> Kernel for PointsToWeights<'_, E, M> {
    type Output = ();
    #[inline(always)]
    fn run<V: Lanes>(self) {
        let a = M + 2;
        let columns = self.columns.len().next_multiple_of(LANES);
        let needed = (self.chunks - 1) * self.chunk + (a * a - 1) * self.plane + columns;
        assert!(self.points.len() >= needed, "points of {} floats, {needed} needed", self.points.len());
        assert!(self.row < self.all_rows && self.columns.end <= self.all_columns, "row {} of dw", self.row);
        let tap_len = self.all_rows * self.all_columns;
        let dw = self.dw.pointer(0..9 * tap_len);
        let mut part = 0;
        while part < self.columns.len() {
            let lanes = (self.columns.len() - part).min(LANES);
            let mut columns = [[V::splat(0.0); 3]; POINTS];
            for j in 0..a {
                let mut values = [V::splat(0.0); POINTS];
                for i in 0..a {
                    for chunk in 0..self.chunks {
                        let from = &self.points[chunk * self.chunk + (i * a + j) * self.plane + part..];
                        // SAFETY: the points hold this vector (asserted).
                        values[i] = values[i] + unsafe { V::load_ptr(from.as_ptr()) };
                    }
                }
                columns[j] = weight_transposed_1d::<V, E, M>(values);
            }
            for i in 0..3 {
                let mut row = [V::splat(0.0); POINTS];
                for j in 0..a {
                    row[j] = columns[j][i];
                }
                let row = weight_transposed_1d::<V, E, M>(row);
                for j in 0..3 {
                    let at = (i * 3 + j) * tap_len + self.row * self.all_columns + self.columns.start + part;
                    // SAFETY: the row lies in `dw` (asserted) and belongs to this call.
                    unsafe { row[j].store_first(dw.wrapping_add(at), lanes) };
                }
            }
            part += LANES;
        }
    }
}
