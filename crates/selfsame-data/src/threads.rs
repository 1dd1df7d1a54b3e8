//! Threads, whose start can fail: a system has a limit of them, and of the memory for their stacks.

use rayon::{ThreadPool, ThreadPoolBuilder};
use selfsame_base::DataError;
use std::thread::{Builder, JoinHandle};

/// Stack of every thread, whatever the environment says: decoders need some hundred kilobytes.
const STACK_BYTES: usize = 2 << 20;

/// A pool of `threads` threads; 0: one per core. What runs in parallel outside a pool of its own takes the process's, which
/// panics where it cannot start.
///
/// # Errors
/// If they cannot be started.
pub fn pool(threads: usize) -> Result<ThreadPool, DataError> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK_BYTES);
    let wanted = if threads == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { threads };
    pool.thread_name(|i| format!("views-{i}")).build().map_err(|cause| DataError::threads(wanted, cause))
}

/// Runs `work` on a thread of its own.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, DataError> {
    let thread = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    thread.spawn(work).map_err(|cause| DataError::threads(1, cause))
}
