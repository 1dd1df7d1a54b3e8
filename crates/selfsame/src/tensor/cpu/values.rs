//! Tensors of the CPU device as slices.

use super::pooled;
use crate::tensor::ops::Residual;
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::Shape;
use rayon::prelude::*;
use selfsame_kernels::matmul::Matrix;
use selfsame_kernels::memory::Buffer;

/// Values that lie side by side, from which on they are copied as they lie: a slice of rows, and not a transposition.
const RUN: usize = 16;

/// Values that a task copies.
const TASK: usize = 1 << 15;

/// The tensor with its values in one run.
pub(crate) fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() {
        return tensor;
    }
    let blocks = tensor.layout().strided_blocks();
    let length = blocks.block_len();
    if length < RUN {
        return tensor.to_contiguous();
    }
    let from: &[f32] = tensor.storage();
    let mut values = Buffer::for_overwrite(tensor.shape().num_elements());
    let starts: Vec<usize> = blocks.block_starts().collect();
    let copy = |(to, starts): (&mut [f32], &[usize])| {
        for (to, &start) in to.chunks_exact_mut(length).zip(starts) {
            to.copy_from_slice(&from[start..start + length]);
        }
    };
    let each = TASK.div_ceil(length);
    values.par_chunks_mut(each * length).zip(starts.par_chunks(each)).for_each(copy);
    pooled::tensor(values, tensor.shape())
}

/// The tensor that is added, if there is one, with its values in one run.
pub fn contiguous_residual(residual: Residual<Flex>) -> Option<FlexTensor> {
    match residual {
        Residual::None => None,
        Residual::Add(tensor) => Some(contiguous(tensor)),
    }
}

/// The values of a [`contiguous`] tensor.
pub(crate) fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("made contiguous before")
}

/// The values, when this is the only handle to them.
pub fn exclusive(tensor: &mut FlexTensor) -> Option<&mut [f32]> {
    let whole = tensor.bytes().len() == size_of_val(values(tensor));
    if whole { tensor.try_storage_mut() } else { None }
}

/// Length of the last axis.
pub fn channels(tensor: &FlexTensor) -> usize {
    let shape = tensor.shape();
    shape[shape.num_dims() - 1]
}

/// The shape of `x` with another last axis.
pub fn with_channels(x: &FlexTensor, channels: usize) -> Shape {
    let mut shape = x.shape();
    let last = shape.num_dims() - 1;
    shape[last] = channels;
    shape
}

/// A [`contiguous`] tensor as a matrix whose columns are its last axis.
pub fn rows(tensor: &FlexTensor) -> Matrix<'_> {
    let (shape, columns) = (tensor.shape(), channels(tensor));
    let rows = (0..shape.num_dims() - 1).map(|axis| shape[axis]).product();
    Matrix::new(values(tensor), [rows, columns])
}

/// A tensor `[channels]` of these numbers.
pub fn vector(of: &[f64]) -> FlexTensor {
    pooled::tensor(Buffer::from(&*of.iter().map(|&v| v as f32).collect::<Vec<_>>()), [of.len()])
}
