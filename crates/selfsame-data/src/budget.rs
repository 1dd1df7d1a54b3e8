//! How much memory images take while they are decoded, in the whole process.

use std::sync::{Condvar, Mutex, PoisonError};

/// Bytes that are taken and given back.
pub struct Budget {
    taken: Mutex<u64>,
    given_back: Condvar,
}

/// Files as they are stored, from when they are read until their image is decoded.
pub static FILES: Budget = Budget::new();

/// Images, from before they are decoded until their views are made. Who holds a share of this never waits for [`FILES`], so
/// the two cannot wait for each other.
pub static IMAGES: Budget = Budget::new();

impl Budget {
    const fn new() -> Self {
        Self { taken: Mutex::new(0), given_back: Condvar::new() }
    }

    /// Takes `bytes`, of `total` in all, as soon as they are free. More than `total` are free when nobody holds any, so what
    /// is larger comes one after the other. A thread that holds a share must not ask for another.
    ///
    /// Small requests pass a large one that waits; they end with their batch, which waits for the large one too.
    pub fn take(&'static self, bytes: u64, total: u64) -> Share {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > total;
        let mut taken = self.given_back.wait_while(taken, full).unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_add(bytes);
        Share { budget: self, bytes }
    }
}

/// What was taken of a [`Budget`]; given back when it is dropped.
pub struct Share {
    budget: &'static Budget,
    bytes: u64,
}

impl Share {
    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        let mut taken = self.budget.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(back);
        self.budget.given_back.notify_all();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn never_more_is_taken_than_there_is_unless_by_one_alone() {
        static BUDGET: Budget = Budget::new();
        static HELD: AtomicU64 = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8u64 {
                scope.spawn(move || {
                    for turn in 0..20 {
                        let bytes = [10, 40, 70, 250][(thread + turn) as usize % 4];
                        let mut share = BUDGET.take(bytes, 100);
                        let held = HELD.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(held <= 100 || held == bytes, "{held} beside {bytes}");
                        std::thread::sleep(Duration::from_micros(50));
                        HELD.fetch_sub(bytes, Ordering::SeqCst);
                        share.shrink(bytes / 2);
                        share.shrink(bytes);
                    }
                });
            }
        });
        assert_eq!(*BUDGET.taken.lock().unwrap(), 0);
    }
}
