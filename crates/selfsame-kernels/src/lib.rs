//! CPU training kernels on plain `f32` slices, activations in **NHWC** order
//! (`[batch, height, width, channels]`, channels contiguous).
//!
//! No tensor library and no configuration: shapes and slices in, slices out. Results are the same bytes for any
//! number of threads, because work is cut by shape alone and partial sums are added in a fixed order.
//!
//! * [`Isa`]: the instruction set, chosen at run time (`isa.rs`); code is written once over sixteen lanes (`lanes.rs`).
//! * [`Precision`]: what operands of products are rounded to (`precision.rs`).
//! * [`conv`]: two-dimensional convolution and its gradients.
//! * [`depthwise`]: 7×7 convolution of every channel on its own.
//! * [`norm`]: batch normalization, residual addition, bias and ReLU in single passes, forward and backward.
//! * [`pool`]: pooling. [`matmul`]: matrix products.
//! * [`attention`], [`layer_norm`], [`linear`]: what transformers are made of, forward and backward.
//! * [`gru`]: a recurrent network, forward and backward.
//! * [`optimize`]: optimizer steps, and the moving average of a teacher.
//! * [`sum`]: gradients that reach a tensor on several ways. [`profile`]: where the time goes.
//! * [`scoped`]: settings of a thread, while some work runs.
//! * [`Buffer`]: aligned memory that a step reuses (`memory.rs`).

pub mod attention;
pub mod contrast;
pub mod conv;
pub mod depthwise;
mod disjoint;
mod exponential;
pub mod gru;
mod isa;
mod lanes;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub mod memory;
mod micro;
pub mod norm;
pub mod optimize;
mod packed;
mod partition;
pub mod patches;
pub mod pool;
mod precision;
pub mod profile;
pub mod scoped;
mod strided;
pub mod sum;
#[cfg(test)]
mod testing;

pub use isa::{ISA_VARIABLE, Isa, IsaError};
pub use memory::{Buffer, Pooled};
pub use partition::InOut;
pub use precision::Precision;
