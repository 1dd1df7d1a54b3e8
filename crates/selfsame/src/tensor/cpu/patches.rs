//! Errors of predicted patches.

use super::graph::{Tracked, consume, record, register};
use super::pooled;
use super::values::{contiguous, values};
use crate::tensor::ops::PATCH_EPSILON;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::memory::Buffer;
use selfsame_kernels::patches::{self, Targets};

/// [`contiguous`] targets.
#[derive(Clone, Debug)]
struct Truth {
    patches: FlexTensor,
    removed: FlexTensor,
    normalized: bool,
}

impl Truth {
    fn new(patches: FlexTensor, removed: FlexTensor, normalized: bool) -> Self {
        Self { patches: contiguous(patches), removed: contiguous(removed), normalized }
    }

    fn targets(&self) -> Targets<'_> {
        let epsilon = self.normalized.then_some(PATCH_EPSILON);
        Targets { patches: values(&self.patches), removed: values(&self.removed), epsilon }
    }

    /// Of a [`contiguous`] prediction.
    fn errors(&self, prediction: &FlexTensor) -> FlexTensor {
        let rows = values(&self.removed).len();
        let mut errors = Buffer::for_overwrite(rows);
        patches::patch_errors(values(prediction), self.targets(), &mut errors);
        pooled::tensor(errors, [rows])
    }
}

pub fn patch_errors(prediction: FlexTensor, patches: FlexTensor, removed: FlexTensor, normalized: bool) -> FlexTensor {
    Truth::new(patches, removed, normalized).errors(&contiguous(prediction))
}

/// Of targets that no gradient flows to.
pub fn tracked_patch_errors<C: CheckpointStrategy>(
    prediction: Tracked,
    patches: Tracked,
    removed: Tracked,
    normalized: bool,
) -> Tracked {
    let (prediction, node) = prediction.into_parts();
    let (prediction, (patches, _), (removed, _)) = (contiguous(prediction), patches.into_parts(), removed.into_parts());
    let truth = Truth::new(patches, removed, normalized);
    let errors = truth.errors(&prediction);
    record::<C, _, _>(PatchErrorsBackward, [node], (prediction, truth), errors)
}

#[derive(Debug)]
struct PatchErrorsBackward;

impl Backward<Flex, 1> for PatchErrorsBackward {
    type State = (FlexTensor, Truth);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (derrors, nodes, (prediction, truth)) = consume(ops, grads);
        let mut gradient = Buffer::for_overwrite(values(&prediction).len());
        patches::patch_errors_backward(values(&prediction), truth.targets(), values(&derrors), &mut gradient);
        register(grads, &nodes, [pooled::tensor(gradient, prediction.shape())]);
    }
}
