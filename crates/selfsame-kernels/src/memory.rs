//! Memory of a training step: f32 buffers that are taken from a process-wide pool and go back to it.
//!
//! A step allocates the same sizes again and again. Fresh memory costs a page fault per 4 kB and is zeroed by the kernel
//! before we overwrite it, so released buffers are kept and handed out again: in the steady state a step allocates nothing.
//!
//! * **Sizes** are rounded up to eight classes per power of two (at most an eighth is lost); a request takes a free block of
//!   its own class or of the next two, so never one more than about a quarter larger.
//! * **Bound**: blocks in use and free blocks together never exceed 9/8 of the most that was ever in use at once, plus
//!   16 MiB. Beyond it the free blocks that lay unused longest are given back to the system.
//! * **Alignment** is 64 bytes (a vector, a cache line). Blocks of 2 MiB and more are aligned to 2 MiB and ask for huge
//!   pages: Winograd writes 36 streams at once, which 4 kB pages make a burden on the address translation.
//! * **Contents** of a recycled block are whatever floats were left in it: initialized, of no meaning. So a buffer that will
//!   be overwritten in full needs neither zeroing nor `MaybeUninit`.
//!
//! Scratch of a task lives longer still: `scratch` keeps one block per thread.

use std::{
    alloc::{Layout, alloc, alloc_zeroed, dealloc, handle_alloc_error},
    cell::RefCell,
    collections::BTreeMap,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Alignment of every buffer, in bytes.
pub const ALIGNMENT: usize = 64;
/// Size of a huge page; from here on blocks are aligned to it.
const HUGE: usize = 2 << 20;
/// What the pool may hold beyond its share of the peak, in bytes.
const SLACK: usize = 16 << 20;

/// An f32 buffer from the pool, 64-byte aligned; goes back to the pool when dropped.
pub struct Buffer {
    block: Block,
    len: usize,
}

impl Buffer {
    /// `len` floats of unspecified value, to be overwritten.
    pub fn for_overwrite(len: usize) -> Buffer {
        Buffer { block: take(size_class(len)), len }
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Buffer {
        let mut buffer = Buffer::for_overwrite(len);
        buffer.fill(0.0);
        buffer
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Buffer {
        let mut buffer = Buffer::for_overwrite(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(Block { ..self.block });
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: the block is owned, holds at least `len` floats, and all its bytes are initialized (`Block::allocate`).
        unsafe { std::slice::from_raw_parts(self.block.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as for `deref`, and `&mut self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.block.start.as_ptr(), self.len) }
    }
}

/// Plain numbers: any bytes are a value.
/// # Safety
/// Every bit pattern is a value of the type, and its alignment is at most [`ALIGNMENT`].
pub unsafe trait Plain: Copy + Send + Sync + 'static {}
// SAFETY: integers and floats have no invalid bit patterns, and alignments of at most 8.
unsafe impl Plain for u8 {}
// SAFETY: as for `u8`.
unsafe impl Plain for u16 {}
// SAFETY: as for `u8`.
unsafe impl Plain for f32 {}
// SAFETY: as for `u8`.
unsafe impl Plain for f64 {}

/// A [`Buffer`] of other numbers: ReLU masks (u16), indices of maxima (u8), sums (f64).
pub struct Pooled<T> {
    buffer: Buffer,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Plain> Pooled<T> {
    /// `len` values, unspecified, to be overwritten.
    pub fn for_overwrite(len: usize) -> Pooled<T> {
        let bytes = len.checked_mul(size_of::<T>()).expect("a buffer beyond the address space");
        Pooled { buffer: Buffer::for_overwrite(bytes.div_ceil(size_of::<f32>())), len, values: PhantomData }
    }
}

impl<T> std::fmt::Debug for Pooled<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pooled({} values)", self.len)
    }
}

impl<T: Plain> Deref for Pooled<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the buffer holds at least `len` values of `T`, aligned and initialized; any bytes are a `T` (`Plain`).
        unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), self.len) }
    }
}

impl<T: Plain> DerefMut for Pooled<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for `deref`, and `&mut self` is exclusive; any `T` is also f32 values.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast(), self.len) }
    }
}

/// Owned memory of a size class, all bytes initialized.
struct Block {
    start: NonNull<f32>,
    bytes: usize,
}

// SAFETY: a block is owned memory of plain floats, like a `Box<[f32]>`.
unsafe impl Send for Block {}
// SAFETY: as for `Send`; a shared block is only read.
unsafe impl Sync for Block {}

impl Block {
    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, if bytes >= HUGE { HUGE } else { ALIGNMENT })
            .expect("a buffer beyond the address space")
    }

    fn allocate(bytes: usize) -> Block {
        let layout = Block::layout(bytes);
        // SAFETY: size classes are not 0; large blocks are zeroed after the advice, which must precede the first touch and
        // is about memory that we just got.
        let start = unsafe {
            if bytes >= HUGE {
                let start = alloc(layout);
                if !start.is_null() {
                    ask_for_huge_pages(start, bytes);
                    start.write_bytes(0, bytes);
                }
                start
            } else {
                alloc_zeroed(layout)
            }
        };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Block { start: start.cast(), bytes }
    }

    fn free(self) {
        // SAFETY: allocated in `allocate` with this layout; taken by value, so not used again.
        unsafe { dealloc(self.start.as_ptr().cast(), Block::layout(self.bytes)) }
    }
}

/// Tells the system that these bytes, which were just allocated, are best kept in huge pages; other systems than Linux
/// decide for themselves.
/// # Safety
/// The bytes are allocated.
unsafe fn ask_for_huge_pages(start: *mut u8, bytes: usize) {
    // SAFETY: the caller's promise; the advice changes no content, and to refuse it does no harm.
    #[cfg(target_os = "linux")]
    unsafe {
        libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (start, bytes);
}

/// Bytes of the size class for `len` floats: the next of eight steps per power of two, in whole vectors.
fn size_class(len: usize) -> usize {
    let bytes = len.max(1).checked_mul(size_of::<f32>()).expect("a buffer beyond the address space");
    let step = (bytes.next_power_of_two() / 16).max(ALIGNMENT);
    bytes.next_multiple_of(step)
}

struct Pool {
    /// Free blocks by size; within a size the last returned is last. With each the time it came back.
    free: BTreeMap<usize, Vec<(u64, Block)>>,
    free_bytes: usize,
    used_bytes: usize,
    peak_bytes: usize,
    clock: u64,
}

static POOL: Mutex<Pool> =
    Mutex::new(Pool { free: BTreeMap::new(), free_bytes: 0, used_bytes: 0, peak_bytes: 0, clock: 0 });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn pop(&mut self, bytes: usize) -> Option<Block> {
        let largest = size_class(size_class(bytes / size_of::<f32>() + 1) / size_of::<f32>() + 1);
        let (&class, blocks) = self.free.range_mut(bytes..=largest).find(|(_, blocks)| !blocks.is_empty())?;
        let (_, block) = blocks.pop()?;
        self.free_bytes -= class;
        Some(block)
    }

    /// Takes out free blocks that lay unused longest, until the bound holds.
    fn excess(&mut self) -> Option<Block> {
        if self.used_bytes + self.free_bytes <= self.peak_bytes + self.peak_bytes / 8 + SLACK {
            return None;
        }
        let oldest = self.free.values_mut().filter(|blocks| !blocks.is_empty()).min_by_key(|blocks| blocks[0].0)?;
        let (_, block) = oldest.remove(0);
        self.free_bytes -= block.bytes;
        Some(block)
    }
}

fn take(bytes: usize) -> Block {
    let mut pool = pool();
    let recycled = pool.pop(bytes);
    pool.used_bytes += recycled.as_ref().map_or(bytes, |block| block.bytes);
    pool.peak_bytes = pool.peak_bytes.max(pool.used_bytes);
    while let Some(block) = pool.excess() {
        block.free();
    }
    drop(pool);
    recycled.unwrap_or_else(|| Block::allocate(bytes))
}

fn give_back(block: Block) {
    let mut pool = pool();
    let (bytes, time) = (block.bytes, pool.clock);
    pool.clock += 1;
    pool.used_bytes -= bytes;
    pool.free_bytes += bytes;
    pool.free.entry(bytes).or_default().push((time, block));
    while let Some(block) = pool.excess() {
        block.free();
    }
}

/// Lends `task` scratch slices of the given lengths, each 64-byte aligned and of unspecified content.
///
/// The memory belongs to the thread and is kept for its next task, so it stays warm in the core's cache. Calls may nest, also
/// through work that the thread steals while it waits inside `task`.
pub(crate) fn scratch<const N: usize, R>(lens: [usize; N], task: impl FnOnce([&mut [f32]; N]) -> R) -> R {
    thread_local! { static KEPT: RefCell<Vec<Buffer>> = const { RefCell::new(Vec::new()) }; }
    const VECTOR: usize = ALIGNMENT / size_of::<f32>();
    let total: usize = lens.iter().map(|len| len.next_multiple_of(VECTOR)).sum();
    let kept = KEPT.with_borrow_mut(Vec::pop).filter(|buffer| buffer.len() >= total);
    // In whole huge pages, so that small tasks profit from them too.
    let mut buffer =
        kept.unwrap_or_else(|| Buffer::for_overwrite(total.next_multiple_of(HUGE / size_of::<f32>()).max(1)));
    let mut rest = &mut buffer[..];
    let parts = lens.map(|len| {
        let (part, after) = std::mem::take(&mut rest).split_at_mut(len.next_multiple_of(VECTOR));
        rest = after;
        &mut part[..len]
    });
    let result = task(parts);
    KEPT.with_borrow_mut(|kept| kept.push(buffer));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_aligned_and_lose_at_most_an_eighth() {
        for len in (1..5000).chain((1..400).map(|i| i * 7919)) {
            let class = size_class(len);
            assert_eq!(class % ALIGNMENT, 0);
            assert!(class >= 4 * len && class <= (4 * len + len / 2).next_multiple_of(ALIGNMENT), "{len}: {class}");
            assert_eq!(size_class(class / 4), class, "a class is its own class");
        }
    }

    #[test]
    fn buffers_are_aligned_and_hold_what_is_written() {
        for len in [0, 1, 15, 1000, 600_000] {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.as_ptr() as usize % if len * 4 >= HUGE { HUGE } else { ALIGNMENT }, 0);
            assert!(buffer.iter().all(|&x| x == 0.0) && buffer.len() == len);
            buffer.fill(3.0);
            drop(buffer);
            assert!(Buffer::zeroed(len).iter().all(|&x| x == 0.0));
        }
        assert_eq!(&*Buffer::from(&[1.0, 2.0][..]), &[1.0, 2.0]);
    }

    #[test]
    fn a_released_block_is_handed_out_again() {
        // An odd size that no other test of the process uses.
        let len = 3_333_333;
        let first = Buffer::for_overwrite(len);
        let start = first.as_ptr();
        drop(first);
        assert_eq!(Buffer::for_overwrite(len - 100).as_ptr(), start);
    }

    #[test]
    fn the_pool_stays_within_its_bound() {
        let mut held = Vec::new();
        for i in 0..200usize {
            held.push(Buffer::for_overwrite(1000 * (1 + i * i % 97)));
            if i % 3 == 2 {
                held.swap_remove(i * 31 % held.len());
            }
            let pool = pool();
            assert!(pool.used_bytes + pool.free_bytes <= pool.peak_bytes + pool.peak_bytes / 8 + SLACK);
            assert_eq!(pool.free_bytes, pool.free.iter().map(|(bytes, blocks)| bytes * blocks.len()).sum::<usize>());
        }
    }

    #[test]
    fn scratch_nests_and_is_reused() {
        let outer = scratch([100, 17], |[a, b]| {
            a.fill(1.0);
            b.fill(2.0);
            scratch([100], |[c]| c.fill(3.0));
            assert!(a.iter().all(|&x| x == 1.0) && b.iter().all(|&x| x == 2.0));
            assert_eq!((a.len(), b.len(), b.as_ptr() as usize % ALIGNMENT), (100, 17, 0));
            a.as_ptr()
        });
        assert_eq!(scratch([50], |[a]| a.as_ptr()), outer);
    }
}
