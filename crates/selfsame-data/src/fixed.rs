//! Features that nothing was learned for, the simplest strong ones that a field has for its data: an encoder that is not better
//! has not earned its training.

mod mfcc;
mod random_kernels;

pub use mfcc::Mfcc;
pub use random_kernels::RandomKernels;

use crate::modality::Modality;
use crate::settings::DataSettings;
use crate::signal::SignalView;

/// What fixed features are made by.
#[derive(Clone, Debug)]
pub enum Fixed {
    /// Of signals.
    RandomKernels(RandomKernels),
    /// Of the log-mel view of sounds.
    Mfcc(Mfcc),
}

impl Fixed {
    /// Those of data that are fed in this way; of photos and vectors there are none. The same for each seed.
    pub fn of(data: &DataSettings, seed: u64) -> Option<Self> {
        match data.modality {
            Modality::Signal => Some(Self::RandomKernels(RandomKernels::new(data.size.width, data.channels, seed))),
            Modality::Image if data.view == SignalView::LogMel => Some(Self::Mfcc(Mfcc::new(data.size.height))),
            Modality::Image | Modality::Vector => None,
        }
    }

    /// As it stands in tables and files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RandomKernels(_) => "random_kernels",
            Self::Mfcc(_) => "mfcc",
        }
    }

    /// The features of a view, `[height, width, channels]` as encoders see it.
    pub fn apply(&self, view: &[f32], shape: [usize; 3]) -> Vec<f32> {
        match self {
            Self::RandomKernels(kernels) => kernels.apply(view, shape),
            Self::Mfcc(mfcc) => mfcc.apply(view, shape),
        }
    }
}
