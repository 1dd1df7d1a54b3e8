//! Prototypes: learned points of the unit sphere, one per cluster, to which embeddings are assigned.

use crate::objective::normalize_rows;
use crate::tensor::layers::Init;
use crate::tensor::ops::matmul;
use crate::tensor::unrecorded;
use burn::module::{Module, Param};
use burn::tensor::Tensor;

/// Unit rows, `[prototypes, embedding]`.
#[derive(Module, Debug)]
pub struct Prototypes {
    weight: Param<Tensor<2>>,
}

impl Prototypes {
    /// `count` random directions of `width`.
    pub fn new(init: &Init, count: usize, width: usize) -> Self {
        Self { weight: init.normal("weight", [count, width], 1.0) }.normalized()
    }

    /// As columns, `[embedding, prototypes]`.
    pub fn columns(&self) -> Tensor<2> {
        self.weight.val().transpose()
    }

    /// The cosine of each embedding with each prototype: `[batch, embedding]` to `[batch, prototypes]`.
    pub fn scores(&self, z: Tensor<2>) -> Tensor<2> {
        matmul(normalize_rows(z), self.columns())
    }

    /// Back on the unit sphere, which a step of the optimizer leaves.
    #[must_use]
    pub fn normalized(self) -> Self {
        Self {
            weight: self.weight.map(|rows| {
                let trained = rows.is_require_grad();
                unrecorded(rows, normalize_rows).set_require_grad(trained)
            }),
        }
    }
}
