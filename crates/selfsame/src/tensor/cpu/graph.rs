//! Operations in the graph that gradients flow back through.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

/// A tensor that takes part in a graph.
pub type Tracked = FloatTensor<Autodiff<Flex>>;

/// The result `y` of an operation on `parents`, with the `state` that its backward pass needs.
pub fn record<C: CheckpointStrategy, B: Backward<Flex, N>, const N: usize>(
    backward: B,
    parents: [NodeGuard; N],
    state: B::State,
    y: FlexTensor,
) -> Tracked {
    match backward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// Hands each gradient to the node that wants it.
pub fn register<const N: usize>(grads: &mut Gradients, nodes: [Option<NodeId>; N], gradients: [FlexTensor; N]) {
    for (node, gradient) in nodes.into_iter().zip(gradients) {
        if let Some(node) = node {
            grads.register::<Flex>(node, gradient);
        }
    }
}
