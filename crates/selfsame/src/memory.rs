//! Whether a plan can fit into the machine's memory: checked before anything is allocated.

use crate::error::Error;
use selfsame_base::machine;

/// Bytes of an `f32`.
const F32: f64 = 4.0;

/// What a training holds at least, in `f32` values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Needed {
    /// Weights, gradients and the optimizer's tensors.
    pub weights: f64,
    /// Activations that wait for the backward pass.
    pub activations: f64,
    /// Batches of views.
    pub views: f64,
}

impl Needed {
    fn bytes(&self) -> f64 {
        F32 * (self.weights + self.activations + self.views)
    }

    /// Refuses what needs more memory than there is. The estimate is from below: what it refuses cannot work.
    pub fn check(&self) -> Result<(), Error> {
        match machine::memory_bytes() {
            Some(machine) if self.bytes() > machine => Err(self.too_much(machine)),
            _ => Ok(()),
        }
    }

    fn too_much(&self, machine: f64) -> Error {
        let gigabytes = |bytes: f64| format!("{:.1} GB", bytes / 1e9);
        let (what, key, hint) = if F32 * self.weights > 0.5 * machine {
            ("weights, gradients and optimizer", "backbone", "use a smaller backbone or projector")
        } else if F32 * self.views > 0.5 * machine {
            ("batches of views", "train.batch_size", "use fewer or smaller views per step")
        } else {
            ("activations", "train.chunk_size", "smaller chunks need less memory, and the batch stays the same")
        };
        let problem = format!(
            "a step needs at least {}, most of it for {what}, and this process may have {}; {hint}",
            gigabytes(self.bytes()),
            gigabytes(machine)
        );
        Error::setting(key, problem)
    }
}
