//! What asks the program to stop, and how it does.
//!
//! A training finishes its step and saves. Everything else stops at once, and removes what it had half written. So does a
//! training at a second Ctrl-C: its last checkpoint stands.

use crate::exit::Code;
use crate::terminal::{self, note};
use selfsame_base::atomic;
#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Ctrl-C, `kill`, a terminal that is closed, and the early warning of a batch system.
#[cfg(unix)]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM, SIGHUP, SIGUSR1];
#[cfg(not(unix))]
const SIGNALS: &[i32] = &[SIGINT, SIGTERM];

/// Between two looks at what came. Looking works on every system and needs no file, of which there may be none left.
const PAUSE: Duration = Duration::from_millis(20);

/// The last signal that came, or 0.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// Whether there is something saved to go on with.
static SAVED: AtomicBool = AtomicBool::new(false);
/// What stops the training that runs, if one does.
static TRAINING: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

fn running() -> MutexGuard<'static, Option<Arc<AtomicBool>>> {
    TRAINING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes signals from now on. A hang-up that is ignored, as under `nohup`, stays so.
pub fn install() -> std::io::Result<()> {
    let mut came = Vec::new();
    for &signal in SIGNALS.iter().filter(|&&signal| !is_ignored_hang_up(signal)) {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal, flag.clone())?;
        came.push((signal, flag));
    }
    let watch = move || loop {
        std::thread::sleep(PAUSE);
        came.iter().filter(|(_, flag)| flag.swap(false, Ordering::Relaxed)).for_each(|(signal, _)| obey(*signal));
    };
    std::thread::Builder::new().name("signals".into()).spawn(watch)?;
    Ok(())
}

#[cfg(unix)]
fn is_ignored_hang_up(signal: i32) -> bool {
    // SAFETY: with no new action `sigaction` only writes the present one into a struct that we own; for it, all bytes zero
    // are a value.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action.sa_sigaction
    };
    signal == SIGHUP && action == libc::SIG_IGN
}

#[cfg(not(unix))]
fn is_ignored_hang_up(_signal: i32) -> bool {
    false
}

fn obey(signal: i32) {
    let again = ASKED.swap(signal, Ordering::Relaxed) != 0;
    match &*running() {
        Some(stop) if !(again && signal == SIGINT) => {
            stop.store(true, Ordering::Relaxed);
            if !again {
                terminal::below_bars();
                note!("{}: the step is finished and saved first; Ctrl-C then stops at once", name(signal));
            }
        }
        _ => leave(signal),
    }
}

fn name(signal: i32) -> &'static str {
    signal_hook::low_level::signal_name(signal).unwrap_or("a signal")
}

/// Ends the process, with nothing half written left behind.
fn leave(signal: i32) -> ! {
    atomic::abandon();
    terminal::below_bars();
    note!("stopped by {}", name(signal));
    let saved = SAVED.load(Ordering::Relaxed);
    // Without what else happens at an exit: other threads are still at work.
    signal_hook::low_level::exit(if saved { Code::Saved as i32 } else { 128 + signal })
}

/// Ends the process if a signal came during a training that had just ended.
pub fn leave_if_asked() {
    let signal = ASKED.load(Ordering::Relaxed);
    if signal != 0 {
        leave(signal);
    }
}

/// While it lives, a signal stops the training that looks at [`stop`](Self::stop), and not the process. What was
/// trained is there to go on with afterwards.
pub struct Training(Arc<AtomicBool>);

impl Training {
    /// A training begins.
    pub fn begin() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        *running() = Some(stop.clone());
        Self(stop)
    }

    /// Becomes true when a signal came.
    pub fn stop(&self) -> &AtomicBool {
        &self.0
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        SAVED.store(true, Ordering::Relaxed);
        *running() = None;
    }
}
