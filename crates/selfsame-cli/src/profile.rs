//! Where the time of a command went, if `SELFSAME_PROFILE=1` asks.

use crate::terminal::note;
use selfsame_base::atomic;
use std::path::Path;

/// Prints what was recorded so far, and writes the trace beside the run's other files. Nothing depends on it, so that it cannot be
/// written is told, and no more.
pub fn show(command: &str, run: &Path) {
    let Some(profile) = selfsame_kernels::profile::take() else { return };
    note!("{}", profile.table().trim_end());
    let path = run.join(format!("profile-{command}.json"));
    match atomic::write(&path, profile.trace().as_bytes()) {
        Ok(()) => note!("a trace for ui.perfetto.dev is in {}", path.display()),
        Err(error) => note!("warning: {error}: the trace is not kept"),
    }
}
