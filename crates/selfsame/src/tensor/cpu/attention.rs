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
use selfsame_kernels::memory::Buffer;

fn attention_shape<'a>(qkv: &FlexTensor, heads: usize, lengths: Option<&'a [usize]>) -> AttentionShape<'a> {
    let [batch, tokens, packed] = qkv.shape().dims();
    AttentionShape { batch, tokens, lengths, heads, width: packed / 3 / heads }
}

pub fn attention(qkv: FlexTensor, heads: usize, lengths: Option<&[usize]>) -> FlexTensor {
    attend(&contiguous(qkv), heads, lengths)
}

/// Of a [`contiguous`] tensor.
fn attend(qkv: &FlexTensor, heads: usize, lengths: Option<&[usize]>) -> FlexTensor {
    let shape = attention_shape(qkv, heads, lengths);
    let mut y = Buffer::for_overwrite(shape.output_len());
    shape.forward(values(qkv), &mut y);
    pooled::tensor(y, [shape.batch, shape.tokens, heads * shape.width])
}

pub fn tracked_attention<C: CheckpointStrategy>(qkv: Tracked, heads: usize, lengths: Option<Vec<usize>>) -> Tracked {
    let (qkv, node) = qkv.into_parts();
    let qkv = contiguous(qkv);
    let y = attend(&qkv, heads, lengths.as_deref());
    record::<C, _, _>(AttentionBackward, [node], (qkv, heads, lengths), y)
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 1> for AttentionBackward {
    type State = (FlexTensor, usize, Option<Vec<usize>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let (dy, nodes, (qkv, heads, lengths)) = consume(ops, grads);
        let mut dqkv = Buffer::for_overwrite(values(&qkv).len());
        attention_shape(&qkv, heads, lengths.as_deref()).backward(values(&qkv), values(&dy), &mut dqkv);
        register(grads, &nodes, [pooled::tensor(dqkv, qkv.shape())]);
    }
}
