//! Operations in the graph that gradients flow back through.
//!
//! A backward pass needs what its operation was given. Within [`recomputing`], what a normalization makes without adding a residual is
//! dropped, and computed again from the normalization's input when the operation after it needs it; so is what a GELU makes in an MLP. That is
//! a pass over memory, in place of memory that is held from the forward to the backward pass. The bytes are the same.
//!
//! With the residual, a result would have to be computed again from the one before it, and that from the one before: they are kept.

use super::values::contiguous;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};
use selfsame_kernels::scoped;
use std::cell::Cell;
use std::fmt;

/// A tensor that takes part in a graph.
pub type Tracked = FloatTensor<Autodiff<Flex>>;

/// Its values, in one run.
pub fn flat(x: &Tracked) -> FlexTensor {
    contiguous(x.primitive().clone())
}

thread_local! { static RECOMPUTES: Cell<bool> = const { Cell::new(false) }; }

/// Runs `work`, and keeps less of the forward passes that this thread records, if `on`.
pub fn recomputing<R>(on: bool, work: impl FnOnce() -> R) -> R {
    scoped::within(&RECOMPUTES, on, work)
}

/// Whether this thread is [`recomputing`].
pub fn recomputes() -> bool {
    RECOMPUTES.get()
}

/// What a backward pass needs of what its operation was given.
#[derive(Clone, Debug)]
pub enum Saved {
    /// The values, in one run.
    Kept(FlexTensor),
    /// The node that has them, or makes them again.
    Of(NodeId),
}

impl Saved {
    /// The values, in one run.
    pub fn take(self, checkpointer: &mut Checkpointer) -> FlexTensor {
        match self {
            Self::Kept(values) => values,
            Self::Of(node) => contiguous(checkpointer.retrieve_node_output(node)),
        }
    }
}

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

/// [`record`] of an operation that needs `x`, [`flat`] as here, in its backward pass.
pub fn record_saving<C: CheckpointStrategy, B: Backward<Flex, N>, const N: usize>(
    backward: B,
    parents: [NodeGuard; N],
    (x, flat): (&Tracked, FlexTensor),
    state: impl FnOnce(Saved) -> B::State,
    y: FlexTensor,
) -> Tracked {
    match backward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(mut prep) if recomputes() => {
            let saved = Saved::Of(prep.checkpoint(x));
            prep.finish(state(saved), y)
        }
        OpsKind::Tracked(prep) => prep.finish(state(Saved::Kept(flat)), y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// [`record`] of an operation that `again` does: [`recomputing`], its result is not kept for who needs it.
pub fn record_again<C: CheckpointStrategy, B: Backward<Flex, N>, const N: usize>(
    backward: B,
    parents: [&Tracked; N],
    again: impl Fn([FlexTensor; N]) -> FlexTensor + Send + 'static,
    state: B::State,
    y: FlexTensor,
) -> Tracked {
    let nodes = parents.map(Tracked::node);
    if !recomputes() {
        return record::<C, _, _>(backward, nodes, state, y);
    }
    let again = Again { parents: nodes.each_ref().map(NodeGuard::id), again };
    let prepared = backward.prepare::<BalancedCheckpointing>(nodes).memory_bound().retro_forward(again);
    match prepared.parents(parents).stateful() {
        OpsKind::Tracked(prep) => prep.finish(state, y),
        OpsKind::UnTracked(prep) => prep.finish(y),
    }
}

/// An operation that is done again.
struct Again<F, const N: usize> {
    parents: [NodeId; N],
    again: F,
}

impl<F, const N: usize> fmt::Debug for Again<F, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Again").field("parents", &self.parents).finish_non_exhaustive()
    }
}

impl<F: Fn([FlexTensor; N]) -> FlexTensor + Send + 'static, const N: usize> RetroForward for Again<F, N> {
    fn forward(&self, states: &mut BackwardStates, node: NodeId) {
        let parents = self.parents.map(|parent| states.get_state(&parent));
        states.save(node, (self.again)(parents));
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
