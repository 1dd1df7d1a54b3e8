//! How long the signals of a batch are.
//!
//! A view of a signal that is shorter than its batch is padded at its end with NaN, and nothing else is ever NaN. So no second
//! array travels with the views: an encoder of signals makes [`Lengths`] of what it is given, puts zeros where there is nothing,
//! and lets no layer, statistic, pool or loss see it. A padded signal then gives what it gives alone. Where all signals are
//! whole, every function here is the identity, or the fused operation for images.

use super::ops::{self, Span};
use super::to_vec;
use burn::tensor::{Device, Int, Tensor, TensorData};
use std::sync::Arc;

/// The steps of each signal of a batch that are there: the first ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lengths(Option<Arc<Cut>>);

/// Lengths, one or more, of signals that are not all as long as there is room.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    own: Vec<usize>,
    steps: usize,
}

impl Lengths {
    /// Of signals, or images, that are all whole.
    pub const WHOLE: Self = Self(None);

    /// Of signals with room for `steps`.
    pub fn new(own: Vec<usize>, steps: usize) -> Self {
        let whole = own.iter().all(|&length| length == steps);
        Self((!whole).then(|| Arc::new(Cut { own, steps })))
    }

    /// The lengths of views `[batch, 1, steps, channels]` whose padding is NaN, and the views with zeros there. A view of
    /// nothing but padding counts as one step of zeros.
    pub fn of(views: Tensor<4>) -> (Tensor<4>, Self) {
        let [batch, height, steps, _] = views.dims();
        let first = to_vec(views.clone().slice([0..batch, 0..height, 0..steps, 0..1]));
        let length = |values: &[f32]| values.iter().take_while(|value| !value.is_nan()).count().max(1);
        let lengths = Self::new(first.chunks_exact(height * steps).map(length).collect(), steps);
        if lengths == Self::WHOLE {
            return (views, lengths);
        }
        let padding = views.clone().is_nan();
        (views.mask_fill(padding, 0.0), lengths)
    }

    /// The lengths, where not all signals are whole.
    pub fn cut(&self) -> Option<&[usize]> {
        self.0.as_deref().map(|cut| &cut.own[..])
    }

    /// The length of each of `batch` signals with room for `steps`.
    pub fn each(&self, batch: usize, steps: usize) -> Vec<usize> {
        self.cut().map_or_else(|| vec![steps; batch], <[usize]>::to_vec)
    }

    fn map(&self, change: impl Fn(usize) -> usize) -> Self {
        match &self.0 {
            None => Self::WHOLE,
            Some(cut) => Self::new(cut.own.iter().map(|&length| change(length)).collect(), change(cut.steps)),
        }
    }

    /// After a convolution or a pooling.
    #[must_use]
    pub fn through(&self, window: Span) -> Self {
        self.map(|length| window.out(length))
    }

    /// In whole patches of so many steps, the last one begun.
    #[must_use]
    pub fn in_patches(&self, patch: usize) -> Self {
        self.map(|length| length.div_ceil(patch))
    }

    /// With so many steps before.
    #[must_use]
    pub fn after(&self, more: usize) -> Self {
        self.map(|length| length + more)
    }

    /// 1 where a signal is, 0 after it, `[batch · steps]`.
    fn inside(cut: &Cut) -> Vec<f32> {
        let signal = |&length: &usize| (0..cut.steps).map(move |step| f32::from(u8::from(step < length)));
        cut.own.iter().flat_map(signal).collect()
    }

    /// Zeros after each signal's end: `[batch, (1,) steps, channels]` to the same shape.
    pub fn zero<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let Some(cut) = &self.0 else { return x };
        let mut shape = x.dims();
        shape[D - 1] = 1;
        let device = x.device();
        x * Tensor::from_data(TensorData::new(Self::inside(cut), shape), &device)
    }

    /// NaN after each signal's end, as views have it: `[batch, (1,) steps, channels]` to the same shape.
    pub fn mark<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let Some(cut) = &self.0 else { return x };
        let mut shape = x.dims();
        shape[D - 1] = 1;
        let marks: Vec<f32> =
            Self::inside(cut).into_iter().map(|inside| if inside == 1.0 { 0.0 } else { f32::NAN }).collect();
        let marks = Tensor::from_data(TensorData::new(marks, shape), &x.device());
        x + marks
    }

    /// The places of the steps that are there, counted over the batch.
    fn places(cut: &Cut, device: &Device) -> Tensor<1, Int> {
        let signal = |(index, &length): (usize, &usize)| {
            (index * cut.steps..index * cut.steps + length).map(|place| place as i64)
        };
        let places: Vec<i64> = cut.own.iter().enumerate().flat_map(signal).collect();
        let count = places.len();
        Tensor::from_data(TensorData::new(places, [count]), device)
    }

    /// What `each_step` makes of the steps that are there, one row each, and zeros elsewhere: for statistics over them alone.
    ///
    /// # Shapes
    /// `[batch, 1, steps, channels]` to the same shape; `each_step`: `[rows, channels]` to the same shape.
    pub fn on_steps<const N: usize>(
        &self,
        tensors: [Tensor<4>; N],
        each_step: impl FnOnce([Tensor<2>; N]) -> Tensor<2>,
    ) -> Tensor<4> {
        let [batch, height, steps, channels] = tensors[0].dims();
        let device = tensors[0].device();
        let rows = tensors.map(|x| x.reshape([batch * height * steps, channels]));
        let Some(cut) = &self.0 else { return each_step(rows).reshape([batch, height, steps, channels]) };
        let places = Self::places(cut, &device);
        let y = each_step(rows.map(|rows| rows.select(0, places.clone())));
        // Rows for the steps that are there, and one of zeros for all others.
        let mut row = 0;
        let back: Vec<i64> = Self::inside(cut)
            .into_iter()
            .map(|inside| match inside {
                1.0 => {
                    row += 1;
                    row
                }
                _ => 0,
            })
            .collect();
        let back = Tensor::<1, Int>::from_data(TensorData::new(back, [batch * steps]), &device);
        let zeros = Tensor::zeros([1, channels], &device);
        Tensor::cat(vec![zeros, y], 0).select(0, back).reshape([batch, height, steps, channels])
    }

    /// Mean over the steps that are there: `[batch, height, steps, channels]` to `[batch, channels]`.
    pub fn mean(&self, x: Tensor<4>) -> Tensor<2> {
        let Some(cut) = &self.0 else { return ops::mean_pool(x) };
        let ([batch, height, steps, channels], device) = (x.dims(), x.device());
        let sums = self.zero(x).reshape([batch, height * steps, channels]).sum_dim(1).reshape([batch, channels]);
        let lengths: Vec<f32> = cut.own.iter().map(|&length| length as f32).collect();
        sums / Tensor::from_data(TensorData::new(lengths, [batch, 1]), &device)
    }

    /// Maximum over the steps that are there: `[batch, steps, channels]` to `[batch, channels]`.
    pub fn max(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, _, channels] = x.dims();
        self.lowered(x).max_dim(1).reshape([batch, channels])
    }

    /// Values far below all others after each signal's end: `[batch, steps, channels]` to the same shape.
    pub fn lowered(&self, x: Tensor<3>) -> Tensor<3> {
        let Some(cut) = &self.0 else { return x };
        let below = Self::inside(cut).into_iter().map(|inside| (inside - 1.0) * 1e9).collect::<Vec<f32>>();
        let below = Tensor::from_data(TensorData::new(below, [cut.own.len(), cut.steps, 1]), &x.device());
        self.zero(x) + below
    }

    /// The last step that is there: `[batch, steps, channels]` to `[batch, channels]`.
    pub fn last(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, steps, channels] = x.dims();
        let last = self.each(batch, steps).into_iter().enumerate();
        let last: Vec<i64> = last.map(|(index, length)| (index * steps + length - 1) as i64).collect();
        let last = Tensor::<1, Int>::from_data(TensorData::new(last, [batch]), &x.device());
        x.reshape([batch * steps, channels]).select(0, last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two signals of two channels, of three steps and of one.
    fn views() -> Tensor<4> {
        let values = vec![1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, -7.0, -8.0, f32::NAN, f32::NAN, f32::NAN, f32::NAN];
        Tensor::from_data(TensorData::new(values, [2, 1, 3, 2]), &Device::flex())
    }

    #[test]
    fn padding_is_what_is_nan_and_no_pool_sees_it() {
        let (x, lengths) = Lengths::of(views());
        assert_eq!((lengths.cut(), lengths.each(2, 3)), (Some(&[3, 1][..]), vec![3, 1]));
        assert_eq!(to_vec(x.clone())[6..], [-7.0, -8.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(to_vec(lengths.mean(x.clone())), [3.0, 4.0, -7.0, -8.0]);
        let steps = x.clone().reshape([2, 3, 2]);
        assert_eq!(to_vec(lengths.max(steps.clone())), [5.0, 6.0, -7.0, -8.0]);
        assert_eq!(to_vec(lengths.last(steps)), [5.0, 6.0, -7.0, -8.0]);
        assert_eq!(to_vec(lengths.zero(x.clone() + 1.0))[8..], [0.0; 4]);
        let again = Lengths::of(lengths.mark(x.clone()));
        assert!(again.1 == lengths && to_vec(again.0) == to_vec(x.clone()));
        let (whole, none) = Lengths::of(x.clone());
        assert!(none == Lengths::WHOLE && to_vec(whole) == to_vec(x));
    }

    #[test]
    fn what_is_done_step_by_step_is_done_to_the_steps_that_are_there() {
        let (x, lengths) = Lengths::of(views());
        let y = lengths.on_steps([x], |[rows]| {
            assert_eq!(to_vec(rows.clone()), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -7.0, -8.0]);
            rows + 1.0
        });
        assert_eq!(to_vec(y), [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -6.0, -7.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn lengths_go_through_windows_as_signals_alone_do() {
        let lengths = Lengths::new(vec![9, 4, 1], 9);
        assert_eq!(lengths.through(Span::padded(3, 2, 1)).each(3, 5), [5, 2, 1]);
        assert_eq!(lengths.in_patches(4).after(1).each(3, 4), [4, 2, 2]);
        assert_eq!(Lengths::new(vec![3, 2], 3).in_patches(4), Lengths::WHOLE);
    }
}
