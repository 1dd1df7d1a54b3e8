//! Log-sums over candidates.

use super::graph::{Tracked, consume, record, register};
use super::pooled;
use super::values::{contiguous, values};
use crate::tensor::ops::Candidates;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::contrast::Contrast;
use selfsame_kernels::memory::Buffer;

fn contrast<'a>(z: &FlexTensor, candidates: &'a Candidates) -> Contrast<'a> {
    let [groups, rows, width] = z.shape().dims();
    let Candidates { scale, period, ref present } = *candidates;
    Contrast { groups, rows, width, scale, period, present: present.as_deref() }
}

/// Of [`contiguous`] embeddings.
fn sums(z: &FlexTensor, candidates: &Candidates) -> FlexTensor {
    let contrast = contrast(z, candidates);
    let mut log_sums = Buffer::for_overwrite(contrast.log_sums_len());
    contrast.forward(values(z), &mut log_sums);
    pooled::tensor(log_sums, [contrast.groups, contrast.rows])
}

pub fn log_sums(z: FlexTensor, candidates: &Candidates) -> FlexTensor {
    sums(&contiguous(z), candidates)
}

pub fn tracked_log_sums<C: CheckpointStrategy>(z: Tracked, candidates: Candidates) -> Tracked {
    let (z, node) = z.into_parts();
    let z = contiguous(z);
    let log_sums = sums(&z, &candidates);
    record::<C, _, _>(LogSumsBackward, [node], (z, log_sums.clone(), candidates), log_sums)
}

#[derive(Debug)]
struct LogSumsBackward;

impl Backward<Flex, 1> for LogSumsBackward {
    type State = (FlexTensor, FlexTensor, Candidates);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (gradients, nodes, (z, log_sums, candidates)) = consume(ops, grads);
        let mut dz = Buffer::for_overwrite(values(&z).len());
        contrast(&z, &candidates).backward(values(&z), values(&log_sums), values(&gradients), &mut dz);
        register(grads, &nodes, [pooled::tensor(dz, z.shape())]);
    }
}
