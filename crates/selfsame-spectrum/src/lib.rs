//! What Fourier transforms are needed for: power spectra, and sounds at another rate.
//!
//! A crate of its own, since every crate that plans a transform compiles all that the planner could choose from, for every instruction
//! set: within `selfsame-data`, at its level of optimization, these were a third of it.

mod power;
mod resample;

pub use power::{Frame, PowerSpectrum};
pub use resample::resampled;
