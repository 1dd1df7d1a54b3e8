//! Other samples of the data, for augmentations that borrow from them.

use super::View;
use crate::loader::SampleSource;
use selfsame_base::DataError;

/// Other samples, at most.
const MOST_SAMPLES: usize = 4096;
/// Their values in all, at most: 64 MiB.
const MOST_VALUES: usize = 1 << 24;

/// Rows of vectors as views have them, evenly spaced over the data: the same for any threads and after any resume.
#[derive(Debug)]
pub struct Others {
    /// `[rows, width]`
    values: Vec<f32>,
    width: usize,
}

impl Others {
    /// Rows `[rows, width]`, of which there is at least one.
    pub fn new(values: Vec<f32>, width: usize) -> Self {
        assert!(!values.is_empty() && values.len().is_multiple_of(width), "{} values of {width}", values.len());
        Self { values, width }
    }

    /// The samples that `load` makes a view of; those that cannot be read are left out.
    pub(crate) fn of(
        data: &impl SampleSource,
        width: usize,
        load: impl Fn(&crate::image::Image, &mut View),
    ) -> Result<Self, DataError> {
        let count = data.len().min(MOST_SAMPLES).min((MOST_VALUES / width).max(1));
        let (mut values, mut view) = (Vec::with_capacity(count * width), View::default());
        for index in (0..count).map(|i| i * data.len() / count) {
            let read = data.with_sample(index, &mut |sample| {
                load(sample, &mut view);
                values.extend_from_slice(view.values());
            });
            match read {
                Ok(()) | Err(DataError::Sample { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if values.is_empty() {
            return Err(DataError::TooManyBad(format!("not one of {count} samples can be read to borrow values from")));
        }
        Ok(Self::new(values, width))
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// `[width]`
    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }
}
