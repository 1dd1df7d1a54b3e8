//! From raw files to [`loader::Views`]: sources, decoding, augmentations, and the loader that makes batches of views.
//!
//! Nothing here knows of a tensor library, of models or of evaluation, so the edit-test loop stays within seconds.

pub mod attributes;
pub mod augment;
pub mod budget;
pub mod dataset;
pub mod decode;
pub mod fixed;
pub mod image;
pub mod loader;
pub mod modality;
pub mod playback;
pub mod preview;
pub mod record;
pub mod settings;
pub mod sheet;
pub mod signal;
pub mod source;
pub mod threads;
