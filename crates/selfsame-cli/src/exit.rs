//! How the program ends: what its exit code says.

use selfsame::Error;
use selfsame_base::{DataError, error::is_out_of_space};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};

/// What the exit code says. [`HELP`] has the same for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Everything was done.
    Finished = 0,
    /// Anything that no other code names.
    Failed = 1,
    /// Wrong arguments, settings, files or data.
    BadInput = 2,
    /// More unreadable samples than `data.max_bad_share`.
    TooManyBad = 3,
    /// The loss or the weights are no longer numbers.
    Diverged = 4,
    /// A disk or a quota is full.
    OutOfSpace = 5,
    /// Another process writes there.
    InUse = 6,
    /// Stopped by a signal, saved (`EX_TEMPFAIL`: try again later).
    Saved = 75,
    /// A panic.
    Bug = 101,
}

/// The end of a help text.
pub const HELP: &str = "\
Exit codes:
    0  finished
    1  anything that is not named below, such as results that could not be written
    2  wrong arguments, settings, files or data
    3  more unreadable samples than data.max_bad_share allows
    4  diverged: the loss or the weights are no longer numbers
    5  out of space: a disk or a quota is full
    6  in use: another process writes into the folder
   75  stopped by a signal, and saved: the same command goes on
  101  a bug in selfsame
A command that a signal stops and that cannot go on later ends with 128 + the signal's number: 130 after Ctrl-C.";

/// What went wrong beside a command that could go on: the first of it.
static BESIDE: AtomicU8 = AtomicU8::new(0);

/// Remembers something that went wrong, for the end of a command that goes on.
pub fn remember(code: Code) {
    let _ = BESIDE.compare_exchange(0, code as u8, Ordering::Relaxed, Ordering::Relaxed);
}

impl Code {
    /// The program's exit code, when a command ended with this one.
    pub fn settle(self) -> ExitCode {
        ExitCode::from(if self == Self::Finished { BESIDE.load(Ordering::Relaxed) } else { self as u8 })
    }

    /// The code of an error that ends a command.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        use selfsame_kernels::{IsaError, conv::TileError};
        if let Some(error) = cause.downcast_ref::<Error>() {
            return Some(match error {
                Error::Data(error) => Self::of_data(error),
                Error::Run { .. } | Error::NoCheckpoint { .. } => Self::BadInput,
                Error::InUse { .. } => Self::InUse,
                Error::Diverged { .. } | Error::NotFinite { .. } => Self::Diverged,
                Error::Device(_) | Error::Vanished { .. } => Self::Failed,
            });
        }
        let data = cause.downcast_ref::<DataError>().map(Self::of_data);
        let io = || cause.downcast_ref::<std::io::Error>().map(Self::of_io);
        data.or_else(io).or_else(|| (cause.is::<IsaError>() || cause.is::<TileError>()).then_some(Self::BadInput))
    }

    fn of_data(error: &DataError) -> Self {
        match error {
            DataError::Io { cause, .. } => Self::of_io(cause),
            DataError::TooManyBad(_) => Self::TooManyBad,
            DataError::Threads { .. } => Self::Failed,
            DataError::Setting { .. } | DataError::Sample { .. } | DataError::Data(_) => Self::BadInput,
        }
    }

    /// A path that is wrong is bad input; a disk that fails is not.
    pub fn of_io(cause: &std::io::Error) -> Self {
        use std::io::ErrorKind::{
            AlreadyExists, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
            PermissionDenied, ReadOnlyFilesystem,
        };
        match cause.kind() {
            _ if is_out_of_space(cause) => Self::OutOfSpace,
            AlreadyExists | InvalidData | InvalidFilename | InvalidInput | IsADirectory | NotADirectory | NotFound
            | PermissionDenied | ReadOnlyFilesystem => Self::BadInput,
            _ => Self::Failed,
        }
    }
}

/// A wrong argument, in one line.
pub fn bad_input(problem: impl Into<String>) -> anyhow::Error {
    DataError::Data(problem.into()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn errors_have_their_code_however_they_are_wrapped() {
        let io = |errno| DataError::io("a", std::io::Error::from_raw_os_error(errno));
        let cases: [(anyhow::Error, Code); 9] = [
            (anyhow::anyhow!("anything"), Code::Failed),
            (bad_input("test: missing"), Code::BadInput),
            (Error::setting("device", "unknown").into(), Code::BadInput),
            (DataError::TooManyBad("half".into()).into(), Code::TooManyBad),
            (Error::Data(DataError::TooManyBad("half".into())).into(), Code::TooManyBad),
            (Error::InUse { run: "a".into() }.into(), Code::InUse),
            (Error::Data(io(28)).into(), Code::OutOfSpace), // ENOSPC
            (io(2).into(), Code::BadInput),                 // ENOENT
            (io(5).into(), Code::Failed),                   // EIO
        ];
        for (error, code) in cases {
            assert_eq!(Code::of(&error), code, "{error:#}");
            let wrapped = Err::<(), _>(error).context("while it was read").unwrap_err();
            assert_eq!(Code::of(&wrapped), code, "{wrapped:#}");
        }
    }

    #[test]
    fn the_help_names_every_code() {
        use Code::{BadInput, Bug, Diverged, Failed, Finished, InUse, OutOfSpace, Saved, TooManyBad};
        let all = [Finished, Failed, BadInput, TooManyBad, Diverged, OutOfSpace, InUse, Saved, Bug];
        let told = HELP.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok());
        assert_eq!(told.collect::<Vec<u8>>(), all.map(|code| code as u8));
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/exit-codes.md");
        let page = std::fs::read_to_string(page).unwrap();
        assert!(HELP.lines().all(|line| page.contains(line)), "docs/exit-codes.md is not current");
    }
}
