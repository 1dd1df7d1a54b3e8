//! A queue of past embeddings: more negatives, or neighbors, than a batch holds (He et al. 2020, §3.2).

use crate::error::Error;
use crate::fitted_recipe::Batches;
use crate::objective::normalize_rows;
use crate::tensor::layers::Init;
use crate::tensor::unrecorded;
use burn::module::{Module, Param};
use burn::tensor::Tensor;
use toml::{Table, Value};

/// Unit rows, the oldest first; random ones until it has been filled.
#[derive(Module, Debug)]
pub struct Queue {
    rows: Param<Tensor<2>>,
}

impl Queue {
    /// A queue of `len` embeddings of `width`.
    pub fn new(init: &Init, len: usize, width: usize) -> Self {
        Self { rows: init.normal("rows", [len, width], 1.0).map(normalize_rows).no_grad() }
    }

    /// The embeddings, `[queue, embedding]`, outside any graph.
    pub fn rows(&self) -> Tensor<2> {
        self.rows.val().detach()
    }

    /// Appends `embeddings`, `[batch, embedding]`, and drops as many of the oldest.
    #[must_use]
    pub fn push(self, embeddings: &Tensor<2>) -> Self {
        let batch = embeddings.dims()[0];
        let rows = self.rows.map(|rows| {
            let [len, _] = rows.dims();
            assert!(batch <= len, "{batch} embeddings for a queue of {len}");
            let newest = normalize_rows(embeddings.clone());
            // The tensor library has no empty tensors.
            unrecorded(rows, |rows| match len - batch {
                0 => newest,
                kept => Tensor::cat(vec![rows.narrow(0, batch, kept), newest], 0),
            })
        });
        Self { rows }
    }

    /// The queue of a recipe on other data: never longer than an epoch, and a multiple of the batch.
    pub fn fit(keys: &mut Table, to: Batches) {
        if let Some(Value::Integer(own)) = keys.get_mut("queue") {
            let batch = to.batch_size.max(1) as i64;
            *own = ((*own).min(to.samples as i64) / batch).max(1) * batch;
        }
    }

    /// Checks `method.queue`, the length, against the batch.
    pub fn check(len: usize, batch: usize) -> Result<(), Error> {
        if len > 0 && len.is_multiple_of(batch) {
            return Ok(());
        }
        let below = (len / batch).max(1) * batch;
        let problem =
            format!("{len} is not a multiple of train.batch_size = {batch}; {below} or {} would be", below + batch);
        Err(Error::setting("method.queue", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::to_vec;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    proptest! {
        /// Whatever the sizes of the batches, the queue holds the last `len` embeddings in the order in which they came.
        #[test]
        fn holds_the_last_embeddings_in_order(batches in proptest::collection::vec(1usize..=6, 3..12)) {
            let (len, device) = (6, Device::flex().autodiff());
            let mut queue = Queue::new(&Init::new(0, "queue", &device), len, 2);
            // Points of the unit circle, which normalization leaves where they are.
            let point = |i: usize| [(i as f32 * 0.1).cos(), (i as f32 * 0.1).sin()];
            let mut all: Vec<f32> = to_vec(queue.rows());
            let mut pushed = 0;
            for batch in batches {
                let rows: Vec<f32> = (pushed..pushed + batch).flat_map(point).collect();
                pushed += batch;
                all.extend(&rows);
                queue = queue.push(&Tensor::from_data(TensorData::new(rows, [batch, 2]), &Device::flex()));
                let held = to_vec(queue.rows());
                let expected = &all[all.len() - 2 * len..];
                prop_assert!(held.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{held:?} {expected:?}");
            }
        }
    }
}
