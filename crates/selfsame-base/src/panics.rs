//! Panics of code that is not ours, caught and told as errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// Calls of [`caught`] that run on this thread.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work`, and gives `None` if it panics. What it leaves half done must not be looked at.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    DEPTH.set(DEPTH.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    DEPTH.set(DEPTH.get() - 1);
    result.ok()
}

/// Whether a panic on this thread would be caught and become an error: a panic hook then has nothing to tell.
pub fn are_caught() -> bool {
    DEPTH.get() > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_hook_knows_on_every_thread_whether_a_panic_is_caught() {
        let told: Arc<Mutex<Vec<(String, bool)>>> = Arc::default();
        let (hook, told_by_hook) = (std::panic::take_hook(), told.clone());
        std::panic::set_hook(Box::new(move |info| {
            let what = info.payload_as_str().unwrap_or_default().to_owned();
            told_by_hook.lock().unwrap().push((what, are_caught()));
        }));
        assert_eq!(caught(|| caught(|| -> u8 { panic!("foreign") })), Some(None));
        assert_eq!(caught(|| 3), Some(3));
        let elsewhere = std::thread::spawn(|| caught(|| -> u8 { panic!("foreign") }));
        assert_eq!(elsewhere.join().unwrap(), None);
        let ours = std::thread::spawn(|| panic!("ours"));
        assert!(ours.join().is_err() && !are_caught());
        std::panic::set_hook(hook);
        let mut told = told.lock().unwrap().clone();
        // Other tests of this process may panic meanwhile, on purpose or not.
        told.retain(|(what, _)| what == "foreign" || what == "ours");
        let expected = [("foreign", true), ("foreign", true), ("ours", false)];
        assert_eq!(told, expected.map(|(what, caught)| (what.to_owned(), caught)));
    }
}
