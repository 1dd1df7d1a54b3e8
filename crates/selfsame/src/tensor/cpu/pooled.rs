//! Tensors in the kernels' pooled memory, so that a step's activations are neither allocated nor page-faulted anew.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{AllocationProperty, Bytes, DType, Shape};
use burn_std::{AccessError, AccessPolicy, AllocationController};
use selfsame_kernels::memory::{ALIGNMENT, Buffer};
use std::mem::MaybeUninit;

/// A tensor of `shape` over a buffer of as many floats.
pub fn tensor(buffer: Buffer, shape: impl Into<Shape>) -> FlexTensor {
    let shape = shape.into();
    assert_eq!(buffer.len(), shape.num_elements(), "a buffer for {shape:?}");
    let size_bytes = size_of_val(&*buffer);
    // SAFETY: all `size_bytes` of a buffer are initialized floats.
    let bytes = unsafe { Bytes::from_controller(Box::new(PooledBytes(buffer)), size_bytes) };
    FlexTensor::new(bytes, Layout::contiguous(shape), DType::F32)
}

struct PooledBytes(Buffer);

impl AllocationController for PooledBytes {
    fn alloc_align(&self) -> usize {
        ALIGNMENT
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _policy: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let floats: &mut [f32] = &mut self.0;
        // SAFETY: the bytes of a float slice, exclusively borrowed; the caller writes initialized data only.
        Ok(unsafe { std::slice::from_raw_parts_mut(floats.as_mut_ptr().cast(), size_of_val(floats)) })
    }

    fn memory(&self, _policy: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let floats: &[f32] = &self.0;
        // SAFETY: the bytes of a float slice.
        Ok(unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), size_of_val(floats)) })
    }
}
