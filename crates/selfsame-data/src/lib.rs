//! The data side of Selfsame: from raw files to [`views::Views`], and from a [`features::FeatureTable`] to scores.
//!
//! Nothing here knows of a tensor library, so the edit-test loop stays within seconds.

pub mod atomic;
pub mod augment;
pub mod config;
pub mod dataset;
pub mod decode;
pub mod error;
pub mod evaluate;
pub mod features;
pub mod image;
pub mod metadata;
pub mod npy;
pub mod preview;
pub mod report;
pub mod rng;
pub mod sheet;
pub mod source;
pub mod views;

pub use error::DataError;
