//! One slice written by many parallel tasks, each its own elements.
//!
//! Tasks of a convolution write interleaved parts of the output (some channels of every pixel, every second pixel), which no
//! splitting of `&mut [f32]` can express. The promise that parts are disjoint is made once, where a [`Disjoint`] is created.

use std::{marker::PhantomData, ops::Range};

/// A shared handle to a mutable slice, for tasks that write disjoint elements.
#[derive(Clone, Copy)]
pub(crate) struct Disjoint<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: a `Disjoint` is a `&mut [f32]` whose elements tasks share out among themselves (the promise of `new`), and a
// `&mut [f32]` may cross threads.
unsafe impl Send for Disjoint<'_> {}
// SAFETY: as for `Send`.
unsafe impl Sync for Disjoint<'_> {}

impl<'a> Disjoint<'a> {
    /// Shares `slice` among tasks.
    /// # Safety
    /// Through all copies of the handle, no element that one task writes is read or written by another at the same time,
    /// and no two slices from [`Disjoint::part`] that are alive together overlap.
    pub(crate) unsafe fn new(slice: &'a mut [f32]) -> Self {
        Disjoint { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The `len` elements from `start` on, of which the caller's tasks write their own.
    /// # Safety
    /// They lie in one slice that lives for `'a`, and the promise of [`new`](Self::new) holds for them.
    pub(crate) unsafe fn at(start: *mut f32, len: usize) -> Self {
        Disjoint { start, len, slice: PhantomData }
    }

    /// The elements of `range`, as one contiguous part of a task.
    pub(crate) fn part(self, range: Range<usize>) -> &'a mut [f32] {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of a slice of {}", self.len);
        // SAFETY: in bounds, and disjoint from all other parts by the promise of `new`.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// Pointer to the element at `range.start`; the caller may touch the elements of `range` that are its own.
    pub(crate) fn pointer(self, range: Range<usize>) -> *mut f32 {
        assert!(range.start <= range.end && range.end <= self.len, "part {range:?} of a slice of {}", self.len);
        self.start.wrapping_add(range.start)
    }
}
