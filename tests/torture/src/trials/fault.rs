//! What a system can run out of, or refuse.

use crate::calls::{Answer, Call, Kind};
use crate::product::code;
use std::path::Path;

/// Calls that fail from a moment on.
pub struct Fault {
    pub name: &'static str,
    errno: i32,
    /// Whether a call is among those that fail; the folder is the run's.
    hits: fn(&Call, &Path) -> bool,
    /// Exit code that tells it.
    pub code: i32,
}

pub const DISK_FULL: Fault = Fault {
    name: "disk full",
    errno: libc::ENOSPC,
    hits: |call, run| call.touches(run) && call.takes_space(),
    code: code::OUT_OF_SPACE,
};

pub const READ_ONLY: Fault = Fault {
    name: "read-only folder",
    errno: libc::EROFS,
    hits: |call, run| call.touches(run) && call.changes_files(),
    code: code::OTHER,
};

pub const NO_PERMISSION: Fault = Fault {
    name: "permission denied",
    errno: libc::EACCES,
    // What is open stays open.
    hits: |call, run| call.touches(run) && !matches!(call.kind, Kind::Write | Kind::Resize | Kind::Sync),
    code: code::OTHER,
};

pub const NO_DESCRIPTORS: Fault = Fault {
    name: "no file descriptors",
    errno: libc::EMFILE,
    hits: |call, _| matches!(call.kind, Kind::Open | Kind::Create),
    code: code::OTHER,
};

pub const NO_THREADS: Fault =
    Fault { name: "no threads", errno: libc::EAGAIN, hits: |call, _| call.kind == Kind::Thread, code: code::OTHER };

/// A disk that fails: one call, wherever it is, and no other.
pub const INPUT_OUTPUT_ERROR: Fault = Fault {
    name: "input/output error",
    errno: libc::EIO,
    hits: |call, run| call.touches(run) && call.changes_files(),
    code: code::OTHER,
};

/// Those that files of a run can meet, and that last.
pub const LASTING: [&Fault; 4] = [&DISK_FULL, &READ_ONLY, &NO_PERMISSION, &NO_DESCRIPTORS];

impl Fault {
    /// What becomes of a call while the fault lasts.
    pub fn answer(&self, call: &Call, run: &Path) -> Answer {
        if self.hits(call, run) { Answer::Fail(self.errno) } else { Answer::Pass }
    }

    /// Whether the call fails while the fault lasts.
    pub fn hits(&self, call: &Call, run: &Path) -> bool {
        (self.hits)(call, run)
    }

    /// The name without spaces and slashes.
    pub fn word(&self) -> String {
        self.name.replace([' ', '/'], "-")
    }
}
