//! How far a training has come.

/// Steps done and to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Steps in a pass over the data.
    pub steps_per_epoch: u64,
}
