//! A batch of views on the device.

use burn::tensor::Tensor;
use std::ops::Range;

/// A batch, or a chunk of one.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One entry per view, flattened over the recipe's groups: `[batch, height, width, channels]`. Groups may differ in
    /// size.
    pub views: Vec<Tensor<4>>,
    /// Index of each sample in its data set, `[batch]`.
    pub samples: Vec<usize>,
}

impl Batch {
    /// The samples of a range.
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            views: self.views.iter().map(|view| view.clone().slice([range.clone()])).collect(),
            samples: self.samples[range].to_vec(),
        }
    }

    /// The same samples with some of the views.
    pub fn with_views(&self, views: Range<usize>) -> Self {
        Self { views: self.views[views].to_vec(), samples: self.samples.clone() }
    }
}
