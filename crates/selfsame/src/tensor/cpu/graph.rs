//! Operations in the graph that gradients flow back through.
//!
//! A backward pass needs what its operation was given. Within [`recomputing`], what a normalization makes without adding a residual is
//! dropped, and computed again from the normalization's input when the operation after it needs it; so is what a GELU makes in an MLP. That is
//! a pass over memory, in place of memory that is held from the forward to the backward pass. The bytes are the same.
//!
//! With the residual, a result would have to be computed again from the one before it, and that from the one before: they are kept.

use super::pooled;
use super::values::{contiguous, exclusive, values};
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::retro_forward::RetroForward;
use burn::backend::autodiff::checkpoint::state::BackwardStates;
use burn::backend::autodiff::checkpoint::strategy::{BalancedCheckpointing, CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use selfsame_kernels::memory::Buffer;
use selfsame_kernels::scoped;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
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

/// The node of an operation and those of what it was given, apart from its state.
pub type Nodes<const N: usize> = Ops<(), N>;

thread_local! {
    /// The last results of operations that one of ours has handed a gradient. Those that an operation of Burn's took up stay here, which is
    /// no harm: nobody hands them another, and no node has the id of one before.
    static GIVEN: RefCell<VecDeque<NodeId>> = const { RefCell::new(VecDeque::new()) };
}
/// How many of them are remembered: both ends of a residual are nearer than that.
const MOST_GIVEN: usize = 32;

/// The gradient of an operation's result, in one run, its nodes, and its state.
pub fn consume<S, const N: usize>(ops: Ops<S, N>, grads: &mut Gradients) -> (FlexTensor, Nodes<N>, S) {
    let Ops { parents, node, state } = ops;
    GIVEN.with_borrow_mut(|given| given.retain(|id| *id != node.id));
    let gradient = contiguous(grads.consume::<Flex>(&node));
    (gradient, Ops { parents, node, state: () }, state)
}

/// Hands a gradient to the node of the `index`-th of what the operation was given, if it wants it. What has got one already gets the sum: Burn
/// would add them on one thread.
pub fn hand<const N: usize>(grads: &mut Gradients, nodes: &Nodes<N>, index: usize, gradient: FlexTensor) {
    let Some(node) = &nodes.parents[index] else { return };
    // The gradient of a parameter stays when it is consumed.
    let is_parameter = node.parents.is_empty();
    let given = GIVEN.with_borrow_mut(|given| {
        let found = given.contains(&node.id);
        if !found && !is_parameter {
            given.truncate(MOST_GIVEN - 1);
            given.push_front(node.id);
        }
        found
    });
    let gradient = if given { sum(gradient, grads.consume::<Flex>(node)) } else { gradient };
    grads.register::<Flex>(node.id, gradient);
}

/// Hands each gradient to the node that wants it.
pub fn register<const N: usize>(grads: &mut Gradients, nodes: &Nodes<N>, gradients: [FlexTensor; N]) {
    for (index, gradient) in gradients.into_iter().enumerate() {
        hand(grads, nodes, index, gradient);
    }
}

/// The sum of two gradients of one tensor, in the place of one where that is nobody else's.
fn sum(a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let (mut a, mut b) = (contiguous(a), contiguous(b));
    if exclusive(&mut a).is_none() {
        std::mem::swap(&mut a, &mut b);
    }
    if let Some(total) = exclusive(&mut a) {
        selfsame_kernels::sum::add(total, values(&b));
        return a;
    }
    let mut total = Buffer::from(values(&a));
    selfsame_kernels::sum::add(&mut total, values(&b));
    pooled::tensor(total, a.shape())
}
