//! A thread's settings, changed for as long as some work runs.

use std::{cell::Cell, thread::LocalKey};

/// Runs `work` with `setting` at `value` on this thread.
pub fn within<T: Copy, R>(setting: &'static LocalKey<Cell<T>>, value: T, work: impl FnOnce() -> R) -> R {
    /// Puts back what was, also when `work` panics.
    struct Before<T: Copy + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Copy> Drop for Before<T> {
        fn drop(&mut self) {
            self.0.set(self.1);
        }
    }
    let _before = Before(setting, setting.replace(value));
    work()
}
