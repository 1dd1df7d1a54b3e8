//! Weights in the order in which kernels read them, kept from batch to batch of an encoder that does not learn.
//!
//! A kernel packs its weights, or takes them to Winograd's points, in every call; of a single photo that takes as long as the products. Within
//! [`KeptWeights::within`] it is done once. What is kept holds a handle of the weights' own memory, so that it is neither written nor
//! another tensor's for as long, and its address tells whose weights they are. The bytes of results are the same.

use super::values::{contiguous, exclusive, rows, values};
use burn::backend::flex::FlexTensor;
use selfsame_kernels::conv::{ConvShape, PackedWeights, Weights};
use selfsame_kernels::matmul::{PackedMatrix, Right};
use selfsame_kernels::scoped;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Packed weights, by the address of those that they were made of.
#[derive(Clone, Default)]
pub struct KeptWeights(Arc<Mutex<HashMap<usize, Kept>>>);

/// What was made of a tensor of weights.
struct Kept {
    _weight: FlexTensor,
    packed: Vec<Packed>,
}

#[derive(Clone)]
enum Packed {
    Convolution(Arc<PackedWeights>),
    Matrix(Arc<PackedMatrix>),
}

thread_local! { static ACTIVE: Cell<Option<KeptWeights>> = const { Cell::new(None) }; }

impl KeptWeights {
    /// Runs `work`, and keeps what the operations outside a graph that this thread asks for make of their weights.
    pub fn within<R>(&self, work: impl FnOnce() -> R) -> R {
        scoped::within(&ACTIVE, Some(self.clone()), work)
    }

    fn active() -> Option<Self> {
        let active = ACTIVE.take();
        ACTIVE.set(active.clone());
        active
    }

    /// Of a [`contiguous`] tensor: what `fits` picks, or what `pack` makes.
    fn get<P>(&self, weight: &FlexTensor, fits: impl Fn(&Packed) -> Option<P>, pack: impl FnOnce() -> Packed) -> P {
        let all = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = values(weight).as_ptr().addr();
        let found = all().get(&address).and_then(|kept| kept.packed.iter().find_map(&fits));
        found.unwrap_or_else(|| {
            // Not under the lock: packing is shared out, and a thread that waits may take up work that asks here.
            let packed = pack();
            let fit = fits(&packed).expect("made to fit");
            let kept = || Kept { _weight: weight.clone(), packed: Vec::new() };
            all().entry(address).or_insert_with(kept).packed.push(packed);
            fit
        })
    }
}

impl fmt::Debug for KeptWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptWeights")
    }
}

/// What this thread keeps, if it keeps any, of a [`contiguous`] tensor of weights; not of one that nobody else holds, who could come with it again.
fn kept<P>(
    weight: &mut FlexTensor,
    fits: impl Fn(&Packed) -> Option<P>,
    pack: impl FnOnce(&FlexTensor) -> Packed,
) -> Option<P> {
    let all = KeptWeights::active()?;
    if exclusive(weight).is_some() {
        return None;
    }
    Some(all.get(weight, fits, || pack(weight)))
}

/// Runs `work` with a convolution's weights, kept ones where this thread keeps some.
pub fn convolution<R>(weight: FlexTensor, shape: &ConvShape, work: impl FnOnce(Weights) -> R) -> R {
    let mut weight = contiguous(weight);
    let fits = |packed: &Packed| match packed {
        Packed::Convolution(packed) => packed.serve(shape).then(|| packed.clone()),
        Packed::Matrix(_) => None,
    };
    let pack = |weight: &FlexTensor| Packed::Convolution(Arc::new(PackedWeights::new(shape, values(weight))));
    let packed = kept(&mut weight, fits, pack);
    work(packed.as_deref().map_or_else(|| Weights::Plain(values(&weight)), Weights::Packed))
}

/// The same with the right operand `[in, out]` of a product.
pub fn matrix<R>(weight: FlexTensor, work: impl FnOnce(Right) -> R) -> R {
    let mut weight = contiguous(weight);
    let shape = rows(&weight).shape();
    let fits = |packed: &Packed| match packed {
        Packed::Matrix(packed) => (packed.serves() && packed.shape() == shape).then(|| packed.clone()),
        Packed::Convolution(_) => None,
    };
    let pack = |weight: &FlexTensor| Packed::Matrix(Arc::new(PackedMatrix::new(rows(weight))));
    let packed = kept(&mut weight, fits, pack);
    work(packed.as_deref().map_or_else(|| rows(&weight).into(), Right::Packed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::ops::{EncoderOps, Residual, Window};
    use burn::backend::Flex;
    use burn::backend::ops::FloatTensorOps;
    use burn::tensor::TensorData;
    use selfsame_base::rng::{Purpose, StreamRng};
    use selfsame_kernels::Precision;

    fn tensor(stream: u64, shape: &[usize]) -> FlexTensor {
        let mut rng = StreamRng::new(0, Purpose::Survey, stream, 0, 0);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
        Flex::float_from_data(TensorData::new(values, shape.to_vec()), &Default::default())
    }

    /// Results that read each kind of weights, on a large and on a small map.
    fn results([kernel, w1, w2]: &[FlexTensor; 3]) -> Vec<f32> {
        let convolved = [[2, 16, 16, 20], [1, 4, 4, 20]]
            .map(|shape| Flex::convolution(tensor(1, &shape), kernel.clone(), Window::square(3, 1, 1)));
        let (b1, b2) = (tensor(5, &[40]), tensor(6, &[24]));
        let mlp = Flex::mlp(tensor(4, &[3, 24]), w1.clone(), b1, w2.clone(), b2.clone(), Residual::None);
        let linear = Flex::linear(tensor(4, &[3, 40]), w2.clone(), b2, Residual::None);
        convolved.iter().chain([&mlp, &linear]).flat_map(|y| values(y).to_vec()).collect()
    }

    #[test]
    fn kept_weights_give_the_same_bytes_and_are_never_taken_for_others() {
        let weights = |of: u64| [tensor(of, &[3, 3, 20, 32]), tensor(of + 1, &[24, 40]), tensor(of + 2, &[40, 24])];
        let kept = KeptWeights::default();
        for of in [10, 20, 30] {
            // Those of the round before are dropped: their memory would be the next ones', were it not held.
            let weights = weights(of);
            for precision in [Precision::F32, Precision::Bf16] {
                precision.within(|| {
                    let plain = results(&weights);
                    for _ in 0..2 {
                        assert!(kept.within(|| results(&weights)) == plain, "{of}, {precision:?}");
                    }
                });
            }
        }
        let tensors = kept.0.lock().unwrap().len();
        assert_eq!(tensors, 9, "each tensor once");
        kept.within(|| Flex::linear(tensor(4, &[3, 40]), tensor(1, &[40, 24]), tensor(6, &[24]), Residual::None));
        assert_eq!(kept.0.lock().unwrap().len(), tensors, "what nobody else holds is not kept");
        assert!(KeptWeights::active().is_none());
    }
}
