//! A thread's settings, changed for as long as some work runs.

use std::{cell::Cell, thread::LocalKey};

/// Runs `work` with `setting` at `value` on this thread.
pub fn within<T: Default, R>(setting: &'static LocalKey<Cell<T>>, value: T, work: impl FnOnce() -> R) -> R {
    /// Puts back what was, also when `work` panics.
    struct Before<T: Default + 'static>(&'static LocalKey<Cell<T>>, T);
    impl<T: Default> Drop for Before<T> {
        fn drop(&mut self) {
            self.0.set(std::mem::take(&mut self.1));
        }
    }
    let _before = Before(setting, setting.replace(value));
    work()
}
