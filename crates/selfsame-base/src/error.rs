//! What can be wrong with what the user gave us. One variant per kind; each message is one line, whatever the names in it, that says what is
//! wrong, where, what was expected, what was received and what to do.

use crate::text::one_line;
use std::path::PathBuf;

/// An error that the user can mend: a bad path, a bad file, a bad setting.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A recipe key or a `key=value` argument is wrong.
    #[error("{}", one_line(format!("{key}: {problem}{}", origin.as_deref().map(|o| format!(" (from {o})")).unwrap_or_default())))]
    Setting {
        /// Dotted key, e.g. `train.batch_size`.
        key: String,
        /// What is wrong, what was expected, and what would work.
        problem: String,
        /// Where the value came from, e.g. `recipe.toml:12` or `command line`; `None` for a default.
        origin: Option<String>,
    },
    /// A path that cannot be read or written.
    #[error("{}", one_line(format!("{}: {cause}{}", path.display(), hint.map(|h| format!("; {h}")).unwrap_or_default())))]
    Io {
        /// The path.
        path: PathBuf,
        /// The system's error; part of the message, so not a source of it.
        cause: std::io::Error,
        /// What to do about it.
        hint: Option<&'static str>,
    },
    /// A sample or a file of samples that cannot be decoded.
    #[error("{}", one_line(format!("{what}: {problem}")))]
    Sample {
        /// Path, or `FILE[index]`.
        what: String,
        /// What was expected and what was found.
        problem: String,
    },
    /// The data as a whole does not fit what is asked of it.
    #[error("{}", one_line(_0))]
    Data(String),
    /// More samples cannot be read than `data.max_bad_share` allows.
    #[error("{}", one_line(_0))]
    TooManyBad(String),
    /// The system starts no more threads.
    #[error("cannot start {wanted} thread{}: {cause}; use fewer (threads=…), or let the system give more (ulimit -u)", if *wanted == 1 { "" } else { "s" })]
    Threads {
        /// How many were asked for.
        wanted: usize,
        /// The system's words.
        cause: String,
    },
}

impl DataError {
    /// A bad setting whose origin is filled in later, by the one who knows where values came from.
    pub fn setting(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Setting { key: key.into(), problem: problem.into(), origin: None }
    }

    /// A bad sample.
    pub fn sample(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Sample { what: what.into(), problem: problem.into() }
    }

    /// Whether a disk or a quota is full.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if is_out_of_space(cause))
    }

    /// Threads that cannot be had.
    pub fn threads(wanted: usize, cause: impl std::fmt::Display) -> Self {
        Self::Threads { wanted, cause: cause.to_string() }
    }

    /// A failed read or write.
    pub fn io(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        Self::Io { path: path.into(), cause, hint: None }
    }
}

/// Whether a disk or a quota is full.
pub fn is_out_of_space(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// Whether the place where data lie is gone: a share that does not answer, a disk that fails or was taken out. A file that is
/// just not there says nothing of that.
pub fn is_gone(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{
        HostUnreachable, NetworkDown, NetworkUnreachable, NotConnected, StaleNetworkFileHandle, TimedOut,
    };
    #[cfg(unix)]
    let system = matches!(cause.raw_os_error(), Some(libc::EIO | libc::ENODEV | libc::ENXIO | libc::EHOSTDOWN));
    #[cfg(not(unix))]
    let system = false;
    system
        || matches!(
            cause.kind(),
            HostUnreachable | NetworkDown | NetworkUnreachable | NotConnected | StaleNetworkFileHandle | TimedOut
        )
}

/// Whether the system had no descriptor or no memory left for what was asked: it says nothing about the file.
pub fn is_scarce(cause: &std::io::Error) -> bool {
    #[cfg(unix)]
    let system = matches!(cause.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::EAGAIN));
    #[cfg(not(unix))]
    let system = false;
    system || cause.kind() == std::io::ErrorKind::OutOfMemory
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_a_place_and_the_system_fail_differently() {
        let cause = std::io::Error::from_raw_os_error;
        for gone in [libc::EIO, libc::ESTALE, libc::ENODEV, libc::ENOTCONN, libc::ETIMEDOUT] {
            assert!(is_gone(&cause(gone)) && !is_scarce(&cause(gone)), "{}", cause(gone));
        }
        for scarce in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EAGAIN] {
            assert!(is_scarce(&cause(scarce)) && !is_gone(&cause(scarce)), "{}", cause(scarce));
        }
        for own in [libc::ENOENT, libc::EACCES, libc::EISDIR, libc::ELOOP, libc::ENAMETOOLONG, libc::ENOSPC] {
            assert!(!is_scarce(&cause(own)) && !is_gone(&cause(own)), "{}", cause(own));
        }
    }
}
