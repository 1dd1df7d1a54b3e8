//! What every part of Selfsame leans on: errors that say what to do, random streams that are arguments, files that appear
//! whole or not at all, files that are read for what they are, records that tell when they are damaged, the headers of `.npy`
//! files, commands that people are told to type, and what the machine leaves to us.

pub mod atomic;
pub mod commands;
pub mod delimited;
pub mod error;
pub mod events;
pub mod files;
pub mod lookup;
pub mod machine;
pub mod npy;
pub mod panics;
pub mod rng;
pub mod seal;
pub mod text;

pub use error::DataError;
