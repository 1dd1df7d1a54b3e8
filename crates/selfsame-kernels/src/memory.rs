//! Memory of a training step: f32 buffers that are taken from a process-wide pool and go back to it.
//!
//! A step allocates the same sizes again and again. Fresh memory costs a page fault per 4 kB and is zeroed by the kernel
//! before we overwrite it, so released buffers are kept and handed out again: in the steady state a step allocates nothing.
//!
//! * **Large buffers**, from 1 MiB on, are parts of *regions*, which are taken from the system in address space and become memory
//!   where they are first written, by the tasks that write there. The smallest free part that is large enough is taken, and free
//!   neighbors join, so a step that needs the sizes of the step before finds them; a region grows only where no free part will do.
//!   Regions ask for huge pages: Winograd writes 36 streams at once, which 4 kB pages make a burden on the address translation.
//! * **Small buffers** are rounded up to eight classes per power of two (at most an eighth is lost); a request takes a free block of
//!   its own class or of the next two, so never one more than about a quarter larger. Blocks in use and free blocks together never
//!   exceed 9/8 of the most that was ever in use at once, plus 16 MiB: beyond it those that lay unused longest go back to the system.
//! * **Alignment** is 64 bytes (a vector, a cache line).
//! * **Contents** of a recycled buffer are whatever floats were left in it: initialized, of no meaning. So a buffer that will
//!   be overwritten in full needs neither zeroing nor `MaybeUninit`.
//!
//! Scratch of a task lives longer still: `scratch` keeps one block per thread.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    marker::PhantomData,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Alignment of every buffer, in bytes.
pub const ALIGNMENT: usize = 64;
/// Size of a huge page.
const HUGE: usize = 2 << 20;
/// Bytes from which a buffer is part of a region.
const LARGE: usize = 1 << 20;
/// What sizes of large buffers are multiples of, in bytes.
const GRAIN: usize = 4 << 10;
/// Address space of a region, in bytes.
const REGION: usize = 256 << 20;
/// What small blocks may take beyond their share of the peak, in bytes.
const SLACK: usize = 16 << 20;

/// An f32 buffer from the pool, 64-byte aligned; goes back to the pool when dropped.
pub struct Buffer {
    block: Block,
    len: usize,
}

impl Buffer {
    /// `len` floats of unspecified value, to be overwritten.
    pub fn for_overwrite(len: usize) -> Buffer {
        let bytes = len.max(1).checked_mul(size_of::<f32>()).expect("a buffer beyond the address space");
        // A class may be as large as large buffers are.
        let class = size_class(bytes);
        Buffer { block: if class < LARGE { take_small(class) } else { take_large(bytes.max(LARGE)) }, len }
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
        let Block { start, bytes } = self.block;
        if bytes < LARGE {
            give_back_small(Block { start, bytes });
        } else {
            regions().give_back(start.addr().get(), bytes);
        }
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

/// Memory of a size class or of a region, all bytes initialized.
struct Block {
    start: NonNull<f32>,
    bytes: usize,
}

// SAFETY: a block is owned memory of plain floats, like a `Box<[f32]>`.
unsafe impl Send for Block {}
// SAFETY: as for `Send`; a shared block is only read.
unsafe impl Sync for Block {}

/// Zeros from the system, which are memory only where they are written if they are many.
fn allocate(bytes: usize, align: usize) -> Option<NonNull<u8>> {
    let layout = Layout::from_size_align(bytes, align).ok()?;
    // SAFETY: no size here is 0.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

impl Block {
    fn allocate(bytes: usize) -> Block {
        let start = allocate(bytes, ALIGNMENT).unwrap_or_else(|| out_of_memory(bytes));
        Block { start: start.cast(), bytes }
    }

    fn free(self) {
        let layout = Layout::from_size_align(self.bytes, ALIGNMENT).expect("the layout that it was allocated with");
        // SAFETY: allocated in `allocate` with this layout; taken by value, so not used again.
        unsafe { dealloc(self.start.as_ptr().cast(), layout) }
    }
}

fn out_of_memory(bytes: usize) -> ! {
    handle_alloc_error(Layout::from_size_align(bytes, 1).unwrap_or(Layout::new::<u8>()))
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

/// The parts of all regions. Places are addresses.
struct Regions {
    regions: Vec<Region>,
    /// Free parts that were in use before: start to bytes, and the same by size.
    free: BTreeMap<usize, usize>,
    by_size: BTreeSet<(usize, usize)>,
}

/// Address space of which the parts up to `end` have been in use.
struct Region {
    /// What pointers into it are made of.
    start: NonNull<u8>,
    end: usize,
    limit: usize,
}

// SAFETY: a region is owned memory, of which `Regions` hands out each part once.
unsafe impl Send for Region {}

static REGIONS: Mutex<Regions> = Mutex::new(Regions::new());

fn regions() -> MutexGuard<'static, Regions> {
    REGIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_large(bytes: usize) -> Block {
    let bytes = bytes.checked_next_multiple_of(GRAIN).unwrap_or_else(|| out_of_memory(bytes));
    let start = regions().take(bytes).unwrap_or_else(|| out_of_memory(bytes));
    Block { start: start.cast(), bytes }
}

impl Regions {
    const fn new() -> Regions {
        Regions { regions: Vec::new(), free: BTreeMap::new(), by_size: BTreeSet::new() }
    }

    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if let Some(&(free, start)) = self.by_size.range((bytes, 0)..).next() {
            self.remove(start, free);
            if free > bytes {
                self.insert(start + bytes, free - bytes);
            }
            return Some(self.pointer(start));
        }
        // The free part at a region's end may grow beyond it; where that takes the least.
        let grown = |region: &Region| {
            let last = self.free.range(region.start.addr().get()..region.end).next_back();
            let start =
                last.filter(|(start, free)| *start + *free == region.end).map_or(region.end, |(&start, _)| start);
            (region.limit - start >= bytes).then_some(start)
        };
        let candidates = self.regions.iter().enumerate().filter_map(|(index, region)| Some((index, grown(region)?)));
        let (index, start) = match candidates.min_by_key(|&(index, start)| start + bytes - self.regions[index].end) {
            Some(found) => found,
            None => {
                self.regions.push(Region::reserve(bytes)?);
                (self.regions.len() - 1, self.regions.last()?.end)
            }
        };
        let end = std::mem::replace(&mut self.regions[index].end, start + bytes);
        if start < end {
            self.remove(start, end - start);
        }
        Some(self.pointer(start))
    }

    fn give_back(&mut self, mut start: usize, mut bytes: usize) {
        if let Some((&before, &free)) =
            self.free.range(..start).next_back().filter(|(before, free)| *before + *free == start)
        {
            self.remove(before, free);
            (start, bytes) = (before, free + bytes);
        }
        if let Some(&after) = self.free.get(&(start + bytes)) {
            self.remove(start + bytes, after);
            bytes += after;
        }
        self.insert(start, bytes);
    }

    fn insert(&mut self, start: usize, bytes: usize) {
        self.free.insert(start, bytes);
        self.by_size.insert((bytes, start));
    }

    fn remove(&mut self, start: usize, bytes: usize) {
        self.free.remove(&start);
        self.by_size.remove(&(bytes, start));
    }

    fn pointer(&self, place: usize) -> NonNull<u8> {
        let within = |region: &&Region| (region.start.addr().get()..region.end).contains(&place);
        let region = self.regions.iter().find(within).expect("places are those of regions");
        // SAFETY: within the region, which is never freed.
        unsafe { region.start.add(place - region.start.addr().get()) }
    }
}

impl Region {
    /// Address space for `bytes` and, if there is as much, more. It is never given back: a later step needs it again.
    ///
    /// It begins behind the start of what was allocated, by a byte or more, so no two regions meet and no parts of two join.
    fn reserve(bytes: usize) -> Option<Region> {
        let sizes = [bytes.max(REGION), bytes];
        let (size, allocated) =
            sizes.into_iter().find_map(|size| Some((size, allocate(size.checked_add(HUGE)?, 1)?)))?;
        let offset = HUGE - allocated.addr().get() % HUGE;
        // SAFETY: at most `HUGE` beyond the start of `size + HUGE` bytes, of which nothing was touched yet.
        let start = unsafe {
            let start = allocated.add(offset);
            ask_for_huge_pages(start.as_ptr(), size);
            start
        };
        let place = start.addr().get();
        Some(Region { start, end: place, limit: place + size })
    }
}

/// Bytes of the size class for so many: the next of eight steps per power of two, in whole vectors.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 16).max(ALIGNMENT);
    bytes.next_multiple_of(step)
}

/// Small blocks.
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
        let largest = size_class(size_class(bytes + 1) + 1);
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

fn take_small(bytes: usize) -> Block {
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

fn give_back_small(block: Block) {
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
    // In steps, so that a thread soon has what all its tasks need.
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
        for bytes in (1..5000).chain((1..400).map(|i| i * 2639)) {
            let class = size_class(bytes);
            assert_eq!(class % ALIGNMENT, 0);
            assert!(class >= bytes && class <= (bytes + bytes / 8).next_multiple_of(ALIGNMENT), "{bytes}: {class}");
            assert_eq!(size_class(class), class, "a class is its own class");
        }
    }

    #[test]
    fn buffers_are_aligned_and_hold_what_is_written() {
        for len in [0, 1, 15, 1000, LARGE / 4 - 1000, LARGE / 4 - 1, LARGE / 4, 600_000] {
            let mut buffer = Buffer::zeroed(len);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buffer.iter().all(|&x| x == 0.0) && buffer.len() == len);
            buffer.fill(3.0);
            drop(buffer);
            assert!(Buffer::zeroed(len).iter().all(|&x| x == 0.0));
        }
        assert_eq!(&*Buffer::from(&[1.0, 2.0][..]), &[1.0, 2.0]);
    }

    #[test]
    fn small_blocks_stay_within_their_bound() {
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

    /// Bytes of the regions that have been in use.
    fn extent(regions: &Regions) -> usize {
        regions.regions.iter().map(|region| region.end - region.start.addr().get()).sum()
    }

    #[test]
    fn parts_of_regions_do_not_overlap_and_join_again() {
        let mut regions = Regions::new();
        let mut held: Vec<(usize, usize)> = Vec::new();
        let mut random = 1u64;
        for round in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if round % 3 < 2 && round < 1500 || held.is_empty() {
                let bytes = GRAIN * (1 + (random >> 40) as usize % 9000);
                let start = regions.take(bytes).unwrap().addr().get();
                let apart = |&(other, len): &(usize, usize)| start + bytes <= other || other + len <= start;
                assert!(held.iter().all(apart) && start.is_multiple_of(ALIGNMENT));
                held.push((start, bytes));
            } else {
                let (start, bytes) = held.swap_remove((random >> 40) as usize % held.len());
                regions.give_back(start, bytes);
            }
            let free: usize = regions.free.values().sum();
            assert_eq!(free + held.iter().map(|(_, bytes)| bytes).sum::<usize>(), extent(&regions));
            assert_eq!(regions.free.len(), regions.by_size.len());
        }
        held.into_iter().for_each(|(start, bytes)| regions.give_back(start, bytes));
        assert_eq!(regions.free.len(), regions.regions.len(), "one part each");
    }

    #[test]
    fn steps_alike_soon_need_no_more_memory() {
        let mut regions = Regions::new();
        // What is kept lies between what is not, and is given back from the last to the first.
        let step = |regions: &mut Regions| {
            let mut take = |bytes| [regions.take(bytes).unwrap().addr().get(), bytes];
            let sizes = (1..30).map(|layer| GRAIN * (256 + layer * 7919 % 4000));
            let kept: Vec<_> = sizes.map(|bytes| [take(bytes + GRAIN), take(bytes)]).collect();
            kept.iter().for_each(|&[[start, bytes], _]| regions.give_back(start, bytes));
            kept.iter().rev().for_each(|&[_, [start, bytes]]| regions.give_back(start, bytes));
            extent(regions)
        };
        // Where a step begins, all is free: so once one needs no more, none does.
        let extents: [usize; 4] = std::array::from_fn(|_| step(&mut regions));
        assert_eq!(extents[3], extents[2]);
        assert!(extents[3] <= extents[0] / 8 * 9, "{extents:?}");
    }

    #[test]
    fn a_released_buffer_is_handed_out_again() {
        // Odd sizes that no other test of the process uses.
        let len = 11_111_111;
        let first = Buffer::for_overwrite(len);
        let start = first.as_ptr();
        drop(first);
        assert_eq!(Buffer::for_overwrite(len - 100).as_ptr(), start);
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
