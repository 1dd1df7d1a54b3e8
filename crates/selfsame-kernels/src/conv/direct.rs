//! Convolution of any shape as an implicit matmul over patches (see `patches.rs`).
//!
//! * **Forward**: `Y = P(x)·W`. Tasks are blocks of output pixels; their patches fill about half an L2, `W` streams by in panels. Where
//!   pixels are few and `W` is large, all share their patches and tasks are panels of `W`.
//! * **Input gradient**: each residue class of input positions modulo the stride is a stride-1 convolution of `dy` with those
//!   taps that reach it (stride 2, kernel 3: classes of 1, 2, 2 and 4 taps), so nothing is multiplied with inserted zeros.
//! * **Weight gradient**: `dW = P(x)ᵀ·dY`. A small `dW` gets one partial sum per fixed chunk of pixels, added in order; a large
//!   one is cut into groups of its rows, each summing over all pixels by itself, or is a product of matrices where every pixel is
//!   its own patch.

use super::{
    ConvShape, Epilogue, Span, Weights,
    epilogue::{Activate, ActivatePanel},
    moments::{BlockSums, SUMS},
    panels::{PackRows, pack, pack_transposed, packed_len},
    patches::{Axis, FillPatches, Patches, Segment},
};
use crate::{
    Isa,
    disjoint::Disjoint,
    lanes::LANES,
    matmul::{Matrix, product_by},
    memory::{Buffer, scratch},
    micro::{Micro, Product, RowPlaces},
    partition::{for_each_chunk, for_each_task},
    precision::Element,
};
use rayon::prelude::*;
use std::{marker::PhantomData, ops::Range};

/// Floats of patches a task keeps: half of a 1 MiB L2.
const PATCH_FLOATS: usize = 128 << 10;
/// Floats of patches that all tasks share, if the weights are more: what an L2 holds.
const SHARED_FLOATS: usize = 256 << 10;
/// Blocks of patches that a task lays out, an even number.
const TASK_BLOCKS: usize = 4;
/// Most pixels of a task.
const MAX_PIXELS: usize = 224;
/// Floats of a weight gradient up to which every chunk of pixels has its own partial sum.
const SMALL_GRADIENT: usize = 128 << 10;

/// Tasks that a pass over the pixels has at least, if these are enough for as many.
const ENOUGH_TASKS: usize = 16;

/// Pixels per task, for so many words each: as many as fit and leave enough tasks, in whole micro-tiles.
fn pixels_per_task(depth: usize, tile_rows: usize, pixels: usize) -> usize {
    let fit = (PATCH_FLOATS / depth.next_multiple_of(LANES)).min(MAX_PIXELS);
    let shared = (pixels / ENOUGH_TASKS).max(2 * tile_rows);
    (fit.min(shared) / tile_rows).max(1) * tile_rows
}

fn block(index: usize, size: usize, total: usize) -> Range<usize> {
    index * size..total.min((index + 1) * size)
}

impl ConvShape {
    /// Whether every value of the output comes from one pixel, and every pixel counts.
    fn is_pointwise(&self) -> bool {
        let each = Span::padded(1, 1, 0);
        [self.y, self.x] == [each; 2]
    }

    fn input_patches<'a>(&self, x: &'a [f32]) -> Patches<'a> {
        let axis = |span: Span, len, out| {
            let Span { kernel, stride, before, .. } = span;
            Axis { len, out, stride, offset: -(before as isize), taps: kernel }
        };
        Patches {
            x,
            channels: self.channels_in,
            y_axis: axis(self.y, self.height, self.out_height()),
            x_axis: axis(self.x, self.width, self.out_width()),
        }
    }
}

/// The weights' panels of a forward pass.
pub(super) fn packed_weights<E: Element>(isa: Isa, conv: &ConvShape, w: &[f32]) -> Buffer {
    pack::<E>(isa, &Micro::pixels::<E>(isa), w, conv.channels_out)
}

/// What is done to a panel of a task's pixels when it is complete.
#[derive(Clone, Copy)]
enum Finish<'a> {
    Nothing,
    /// Sums for the moments, `[task][3][channels]`.
    Moments(Disjoint<'a>),
    Activate(Activate<'a>),
}

impl<'a> Finish<'a> {
    /// What it reads at the places of the output.
    fn beside(&self) -> Option<&'a [f32]> {
        if let Finish::Activate(activate) = self { activate.residual } else { None }
    }

    fn panel(&self, isa: Isa, y: Disjoint, task: usize, pixels: Range<usize>, columns: Range<usize>, channels: usize) {
        match *self {
            Finish::Nothing => {}
            Finish::Moments(sums) => {
                let sums = sums.part(task * SUMS * channels..(task + 1) * SUMS * channels);
                isa.run(BlockSums { y, pixels, columns, channels, sums });
            }
            Finish::Activate(activate) => isa.run(ActivatePanel { y, pixels, columns, activate }),
        }
    }
}

pub(super) fn forward<E: Element>(
    isa: Isa,
    conv: &ConvShape,
    x: &[f32],
    w: Weights,
    y: &mut [f32],
    epilogue: Epilogue,
) {
    let patches = conv.input_patches(x);
    let micro = Micro::pixels::<E>(isa);
    let (words, channels) = (E::words(patches.depth()), conv.channels_out);
    let packed = w.panels(|w| packed_weights::<E>(isa, conv, w));
    let pixels = y.len() / channels;
    let size = pixels_per_task(words, micro.tile_rows(channels), pixels);
    let tasks = pixels.div_ceil(size);
    let records = if matches!(epilogue, Epilogue::Moments(_)) { tasks } else { 0 };
    let mut sums = Buffer::for_overwrite(records * SUMS * channels);
    let finish = match &epilogue {
        Epilogue::None => Finish::Nothing,
        // SAFETY: tasks write sums of their own.
        Epilogue::Moments(_) => Finish::Moments(unsafe { Disjoint::new(&mut sums) }),
        Epilogue::Activate(activate) => Finish::Activate(*activate),
    };
    // SAFETY: tasks write pixels of their own, or panels of pixels.
    let y = unsafe { Disjoint::new(y) };
    let few = pixels * words <= SHARED_FLOATS.min(packed.len());
    if few && records == 0 {
        multiply_shared::<E>(isa, &micro, &patches, pixels, &packed, channels, y, finish);
    } else {
        for_each_task(tasks, |task| {
            let pixels = block(task, size, pixels);
            let (start, rows) = (pixels.start * channels, RowPlaces::Stride(channels));
            let to = Target { c: y, start, rows, accumulate: false, beside: finish.beside() };
            multiply_patches::<E>(isa, &micro, &patches, pixels.clone(), &packed, channels, to, &|panel| {
                finish.panel(isa, y, task, pixels.clone(), panel, channels);
            });
        });
    }
    if let Epilogue::Moments(moments) = epilogue {
        moments.combine(&sums, pixels, |task| block(task, size, pixels).len());
    }
}

/// Where products go.
#[derive(Clone, Copy)]
struct Target<'a> {
    c: Disjoint<'a>,
    start: usize,
    rows: RowPlaces<'a>,
    accumulate: bool,
    beside: Option<&'a [f32]>,
}

/// Multiplies the patches of `pixels` with all panels of packed weights, each of which is handed to `then` when it is complete.
fn multiply_patches<E: Element>(
    isa: Isa,
    micro: &Micro,
    patches: &Patches,
    pixels: Range<usize>,
    packed: &[f32],
    channels: usize,
    Target { c, start, rows, accumulate, beside }: Target,
    then: &impl Fn(Range<usize>),
) {
    let (count, k) = (pixels.len(), E::words(patches.depth()));
    scratch(patches.room::<E, false>(patches.blocks(), count), |[a, staging]| {
        let (blocks, element) = (0..patches.blocks(), PhantomData::<E>);
        E::run(isa, FillPatches::<E, false> { patches, pixels, blocks, out: &mut *a, staging, element });
        let (a_block, far) = (Patches::block_step::<E, false>(count), Micro::is_far(packed.len()));
        for panel in micro.panels(channels) {
            let (b, start, columns) = (&packed[panel.start * k..], start + panel.start, panel.len());
            micro.multiply(count, &Product { a, a_block, b, far, k, c, start, rows, columns, accumulate, beside });
            then(panel);
        }
    });
}

/// The products of few pixels with weights that are larger: the patches of all pixels are laid out once, and tasks are panels of the
/// weights, which so are read once, with some of the pixels.
fn multiply_shared<E: Element>(
    isa: Isa,
    micro: &Micro,
    patches: &Patches,
    pixels: usize,
    packed: &[f32],
    channels: usize,
    c: Disjoint,
    finish: Finish,
) {
    let (blocks, k, a_block) = (patches.blocks(), E::words(patches.depth()), Patches::block_step::<E, false>(pixels));
    let mut a = Buffer::for_overwrite(patches.room::<E, false>(blocks, pixels)[0]);
    // SAFETY: tasks write blocks of their own.
    let out = unsafe { Disjoint::new(&mut a) };
    for_each_task(blocks.div_ceil(TASK_BLOCKS), |task| {
        let blocks = block(task, TASK_BLOCKS, blocks);
        let [room, staging] = patches.room::<E, false>(blocks.len(), pixels);
        let start = E::along(blocks.start, a_block);
        scratch([staging], |[staging]| {
            let (out, element) = (out.part(start..start + room), PhantomData::<E>);
            E::run(isa, FillPatches::<E, false> { patches, pixels: 0..pixels, blocks, out, staging, element });
        });
    });
    let panels = micro.panels(channels).len();
    let parts = ENOUGH_TASKS.div_ceil(panels);
    let size = pixels.div_ceil(parts).next_multiple_of(micro.tile_rows(channels));
    for_each_task(panels * pixels.div_ceil(size), |task| {
        let panel = block(task % panels, micro.panel_width(), channels);
        let pixels = block(task / panels, size, pixels);
        let (start, rows) = (pixels.start * channels + panel.start, RowPlaces::Stride(channels));
        let (a, b) = (&a[pixels.start * LANES..], &packed[panel.start * k..]);
        let (columns, far, beside) = (panel.len(), Micro::is_far(packed.len()), finish.beside());
        let product = Product { a, a_block, b, far, k, c, start, rows, columns, accumulate: false, beside };
        micro.multiply(pixels.len(), &product);
        finish.panel(isa, c, task, pixels, panel, channels);
    });
}

/// One residue class of input positions along an axis: positions `residue + i · stride`, and the taps that reach them.
#[derive(Clone, Copy)]
struct Class {
    residue: usize,
    /// The axis of `dy` that the class reads, in order of increasing position.
    axis: Axis,
    /// Kernel index of tap 0; each next tap is one stride lower.
    last_tap: usize,
}

impl Class {
    /// The class `residue` of an axis of `len` inputs and `out` outputs; `None` if no tap reaches it or it is empty.
    fn new(span: Span, len: usize, out: usize, residue: usize) -> Option<Class> {
        let Span { kernel, stride, before, .. } = span;
        // Output o, tap t touches input o·stride + t − before, so a class is met by the taps t ≡ residue + before.
        let first_tap = (residue + before) % stride;
        if residue >= len || first_tap >= kernel {
            return None;
        }
        let taps = (kernel - first_tap).div_ceil(stride);
        let last_tap = first_tap + (taps - 1) * stride;
        let offset = ((residue + before) as isize - last_tap as isize) / stride as isize;
        let axis = Axis { len: out, out: (len - residue).div_ceil(stride), stride: 1, offset, taps };
        Some(Class { residue, axis, last_tap })
    }

    /// The classes of both axes that hold values, each with the number of taps of all before.
    fn pairs(conv: &ConvShape) -> impl Iterator<Item = (Class, Class, usize)> {
        let along =
            |span: Span, len, out| (0..span.stride).filter_map(move |residue| Class::new(span, len, out, residue));
        let (x, width, out_width) = (conv.x, conv.width, conv.out_width());
        along(conv.y, conv.height, conv.out_height())
            .flat_map(move |y| along(x, width, out_width).map(move |x| (y, x)))
            .scan(0, |taps, (y, x)| {
                let before = *taps;
                *taps += y.axis.taps * x.axis.taps;
                Some((y, x, before))
            })
    }
}

pub(super) fn input_grad<E: Element>(
    isa: Isa,
    conv: &ConvShape,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    let micro = Micro::pixels::<E>(isa);
    let channels = conv.channels_in;
    if [conv.y, conv.x].iter().any(|span| span.kernel < span.stride) && !accumulate {
        // Some inputs meet no tap.
        for_each_chunk(dx, 1 << 16, |_, part| part.fill(0.0));
    }
    let patches_of =
        |y: &Class, x: &Class| Patches { x: dy, channels: conv.channels_out, y_axis: y.axis, x_axis: x.axis };
    let pixels_of = |y: &Class, x: &Class| conv.batch * y.axis.out * x.axis.out;

    // The weights of every class, each a matrix of panels of its own.
    let class_len = |taps: usize| packed_len::<E>(taps * conv.channels_out, channels);
    // Where a class begins: none has more words than its taps would have, each with its own.
    let start_of = |taps_before: usize| taps_before * class_len(1);
    let mut packed = Buffer::for_overwrite(start_of(conv.taps()));
    let mut tasks = 0;
    for (y, x, taps_before) in Class::pairs(conv) {
        let (taps_y, taps_x) = (y.axis.taps, x.axis.taps);
        let tap_at = |tap: usize| {
            let (ty, tx) = (tap / taps_x, tap % taps_x);
            (y.last_tap - ty * conv.y.stride) * conv.x.kernel + x.last_tap - tx * conv.x.stride
        };
        let panels = &mut packed[start_of(taps_before)..][..class_len(taps_y * taps_x)];
        pack_transposed::<E>(isa, &micro, w, (taps_y * taps_x, tap_at), channels, conv.channels_out, panels);
        let size = pixels_per_task(E::words(patches_of(&y, &x).depth()), micro.tile_rows(channels), pixels_of(&y, &x));
        tasks = tasks.max(pixels_of(&y, &x).div_ceil(size));
    }

    // A task computes the same part of the image in all classes, so that it reads its part of `dy` once.
    // SAFETY: tasks write the pixels of their part alone.
    let dx = unsafe { Disjoint::new(dx) };
    for_each_task(tasks, |task| {
        for (y, x, taps_before) in Class::pairs(conv) {
            let all = pixels_of(&y, &x);
            let pixels = task * all / tasks..(task + 1) * all / tasks;
            let mut offsets = [0; MAX_PIXELS];
            let mut offset = offsets.iter_mut();
            for Segment { image, row, columns, .. } in patches_of(&y, &x).segments(pixels.clone()) {
                let row = (image * conv.height + y.residue + row * conv.y.stride) * conv.width + x.residue;
                for (column, offset) in columns.zip(&mut offset) {
                    *offset = (row + column * conv.x.stride) * channels;
                }
            }
            let rows = RowPlaces::Offsets(&offsets[..pixels.len()]);
            let packed = &packed[start_of(taps_before)..];
            let to = Target { c: dx, start: 0, rows, accumulate, beside: None };
            multiply_patches::<E>(isa, &micro, &patches_of(&y, &x), pixels, packed, channels, to, &|_| {});
        }
    });
}

pub(super) fn weight_grad<E: Element>(isa: Isa, conv: &ConvShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let patches = conv.input_patches(x);
    let pixels = dy.len() / conv.channels_out;
    if dw.len() <= SMALL_GRADIENT {
        weight_grad_by_pixels::<E>(isa, &patches, dy, pixels, conv.channels_out, dw);
    } else if conv.is_pointwise() {
        let (channels_in, channels_out) = (conv.channels_in, conv.channels_out);
        let x = Matrix::new(x, [pixels, channels_in]).transposed();
        product_by::<E>(isa, x, Matrix::new(dy, [pixels, channels_out]).into(), dw, &|_, _| {});
    } else {
        weight_grad_by_rows::<E>(isa, &patches, dy, pixels, conv.channels_out, dw);
    }
}

/// Most pixels whose patches are summed at once.
const SUM_PIXELS: usize = 256;

/// Small `dW`: a partial sum per chunk of pixels. The number of chunks depends on the shape alone.
fn weight_grad_by_pixels<E: Element>(
    isa: Isa,
    patches: &Patches,
    dy: &[f32],
    pixels: usize,
    channels: usize,
    dw: &mut [f32],
) {
    let micro = Micro::channels::<E>(isa);
    let chunks = pixels.div_ceil(4 * SUM_PIXELS).min(16);
    let size = (PATCH_FLOATS / (patches.blocks() * LANES)).clamp(LANES, SUM_PIXELS);
    let len = dw.len();
    let mut partial = Buffer::for_overwrite(chunks * len);
    for_each_chunk(&mut partial, len, |chunk, dw| {
        let all = chunk * pixels / chunks..(chunk + 1) * pixels / chunks;
        let blocks = 0..patches.blocks();
        // SAFETY: the partial sum is this task's alone.
        let dw = unsafe { Disjoint::new(dw) };
        let [a, staging] = patches.room::<E, true>(blocks.len(), size);
        scratch([a, staging, packed_len::<E>(size, channels)], |[a, staging, b]| {
            for first in all.clone().step_by(size) {
                let pixels = first..all.end.min(first + size);
                let part = &dy[pixels.start * channels..pixels.end * channels];
                // SAFETY: `b` is this task's alone.
                let out = unsafe { Disjoint::new(b) };
                let (micro, rows, element) = (&micro, pixels.len(), PhantomData::<E>);
                E::run(isa, PackRows { micro, part, columns: channels, first: 0, rows, out, element });
                add_products::<E>(
                    isa,
                    micro,
                    patches,
                    pixels,
                    blocks.clone(),
                    a,
                    staging,
                    b,
                    channels,
                    dw,
                    first > all.start,
                );
            }
        });
    });
    sum_in_order(&partial, dw);
}

/// Large `dW`: every task owns the rows of some blocks and sums them over all pixels.
fn weight_grad_by_rows<E: Element>(
    isa: Isa,
    patches: &Patches,
    dy: &[f32],
    pixels: usize,
    channels: usize,
    dw: &mut [f32],
) {
    let micro = Micro::channels::<E>(isa);
    let size = SUM_PIXELS;
    // One set of panels per block of pixels, so that a block's panels are contiguous.
    let mut panels = Buffer::for_overwrite(packed_len::<E>(pixels, channels));
    let panel_floats = packed_len::<E>(size, channels);
    panels.par_chunks_mut(panel_floats).zip(dy.par_chunks(size * channels)).for_each(|(panels, part)| {
        // SAFETY: the panels are this task's alone.
        let out = unsafe { Disjoint::new(panels) };
        let (micro, rows, element) = (&micro, part.len() / channels, PhantomData::<E>);
        E::run(isa, PackRows { micro, part, columns: channels, first: 0, rows, out, element });
    });
    // SAFETY: tasks write the rows of their blocks alone.
    let dw = unsafe { Disjoint::new(dw) };
    for_each_task(patches.blocks().div_ceil(TASK_BLOCKS), |task| {
        let blocks = block(task, TASK_BLOCKS, patches.blocks());
        scratch(patches.room::<E, true>(blocks.len(), size), |[a, staging]| {
            for (index, b) in panels.chunks(panel_floats).enumerate() {
                let pixels = block(index, size, pixels);
                add_products::<E>(isa, &micro, patches, pixels, blocks.clone(), a, staging, b, channels, dw, index > 0);
            }
        });
    });
}

/// `dw[rows of blocks] (+)= P(x)ᵀ·B` over `pixels`, whose rows of `dy` are the panels `b`.
fn add_products<E: Element>(
    isa: Isa,
    micro: &Micro,
    patches: &Patches,
    pixels: Range<usize>,
    blocks: Range<usize>,
    a: &mut [f32],
    staging: &mut [f32],
    b: &[f32],
    channels: usize,
    dw: Disjoint,
    accumulate: bool,
) {
    let (count, a_block) = (E::words(pixels.len()), Patches::block_step::<E, true>(pixels.len()));
    let element = PhantomData::<E>;
    E::run(isa, FillPatches::<E, true> { patches, pixels, blocks: blocks.clone(), out: &mut *a, staging, element });
    let first_row = blocks.start * LANES;
    let rows = patches.depth().min(blocks.end * LANES) - first_row;
    for panel in micro.panels(channels) {
        micro.multiply(
            rows,
            &Product {
                a,
                a_block,
                b: &b[panel.start * count..],
                far: Micro::is_far(b.len()),
                k: count,
                c: dw,
                start: first_row * channels + panel.start,
                rows: RowPlaces::Stride(channels),
                columns: panel.len(),
                accumulate,
                beside: None,
            },
        );
    }
}

/// Adds partial results, each as long as `total`, in their order.
fn sum_in_order(partial: &[f32], total: &mut [f32]) {
    const PART: usize = 1 << 12;
    let len = total.len();
    for_each_chunk(total, PART, |part, total| {
        let range = block(part, PART, len);
        total.copy_from_slice(&partial[range.clone()]);
        for partial in partial.chunks_exact(len).skip(1) {
            for (total, value) in total.iter_mut().zip(&partial[range.clone()]) {
                *total += value;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_many_where_there_is_work_for_many() {
        // The maps of a ResNet-50, at batches of 32 and of one photo, and the tiles of every instruction set.
        for batch in [32, 1] {
            for side in [112, 56, 28, 14, 7] {
                for (depth, tile_rows) in [(64, 14), (512, 14), (4608, 14), (147, 6), (2048, 6), (1024, 2)] {
                    let pixels = batch * side * side;
                    let size = pixels_per_task(depth, tile_rows, pixels);
                    let tasks = pixels.div_ceil(size);
                    assert!(size.is_multiple_of(tile_rows) && size <= MAX_PIXELS);
                    assert!(
                        tasks >= ENOUGH_TASKS || size <= 2 * tile_rows,
                        "{tasks} tasks of {size} of {pixels} pixels"
                    );
                }
            }
        }
    }
}
