//! Attention.

use super::graph::{Tracked, consume, record, register};
use super::pooled;
use super::values::{contiguous, values};
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use selfsame_kernels::attention::AttentionShape;
use selfsame_kernels::memory::{Buffer, Pooled};
use std::sync::Arc;

fn attention_shape<'a>(qkv: &FlexTensor, heads: usize, lengths: Option<&'a [usize]>) -> AttentionShape<'a> {
    let [batch, tokens, packed] = qkv.shape().dims();
    AttentionShape { batch, tokens, lengths, heads, width: packed / 3 / heads }
}

pub fn attention(qkv: FlexTensor, heads: usize, lengths: Option<&[usize]>) -> FlexTensor {
    attend(&contiguous(qkv), heads, lengths).0
}

/// The result, and the probabilities.
fn attend(qkv: &FlexTensor, heads: usize, lengths: Option<&[usize]>) -> (FlexTensor, Pooled<f32>) {
    let shape = attention_shape(qkv, heads, lengths);
    let mut y = Buffer::for_overwrite(shape.output_len());
    let mut probabilities = Pooled::for_overwrite(shape.probabilities_len());
    shape.forward(values(qkv), &mut y, &mut probabilities);
    (pooled::tensor(y, [shape.batch, shape.tokens, heads * shape.width]), probabilities)
}

pub fn tracked_attention<C: CheckpointStrategy>(qkv: Tracked, heads: usize, lengths: Option<Vec<usize>>) -> Tracked {
    let (qkv, node) = qkv.into_parts();
    let qkv = contiguous(qkv);
    let (y, probabilities) = attend(&qkv, heads, lengths.as_deref());
    record::<C, _, _>(AttentionBackward, [node], (qkv, Arc::new(probabilities), heads, lengths), y)
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 1> for AttentionBackward {
    type State = (FlexTensor, Arc<Pooled<f32>>, usize, Option<Vec<usize>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (qkv, probabilities, heads, lengths)) = consume(ops, grads);
        let mut dqkv = Buffer::for_overwrite(values(&qkv).len());
        attention_shape(&qkv, heads, lengths.as_deref()).backward(values(&qkv), &probabilities, values(&dy), &mut dqkv);
        register(grads, &nodes, [pooled::tensor(dqkv, qkv.shape())]);
    }
}
