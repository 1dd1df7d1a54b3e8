//! What everything on the tensor side is built on: views to the device, the fused operations and the layers made of
//! them.
//!
//! Activations are NHWC from the first layer to the last; nothing above this module knows which kernels run.

pub(crate) mod boxed;
pub(crate) mod cpu;
pub mod layers;
pub mod lengths;
pub mod ops;
pub mod parameters;

use burn::tensor::{Device, Tensor, TensorData};
pub use cpu::{KeptWeights, recomputing};

/// Puts one view of a batch on the device: `[batch, height, width, channels]`.
pub fn view_to_device(data: Vec<f32>, shape: [usize; 3], device: &Device) -> Tensor<4> {
    let [height, width, channels] = shape;
    let batch = data.len() / (height * width * channels);
    Tensor::from_data(TensorData::new(data, [batch, height, width, channels]), device)
}

/// What `update` makes of the values of a tensor that no gradient moves, outside any graph.
pub fn unrecorded<const D: usize>(tensor: Tensor<D>, update: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    if tensor.device().is_autodiff() { Tensor::from_inner(update(tensor.inner())) } else { update(tensor) }
}

/// The values of a tensor, row by row.
pub fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("tensors of this crate are f32")
}
