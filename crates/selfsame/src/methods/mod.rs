//! The methods. One file each, which reads like its paper.

pub mod barlow_twins;
pub mod invariance_only;
pub mod simclr;
