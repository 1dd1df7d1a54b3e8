//! The devices that a plan can name.

use crate::error::Error;
use crate::train_settings::Precision;
use burn::tensor::Device;
use selfsame_kernels::{Isa, conv};
use serde::{Deserialize, Serialize};

/// Names of the devices of this build.
const NAMES: [&str; 1] = ["cpu"];

/// Whether there is a device called `name`.
pub fn check_name(name: &str) -> Result<(), Error> {
    if NAMES.contains(&name) {
        return Ok(());
    }
    Err(Error::setting("device", format!("unknown device \"{name}\"; this build has: {}", NAMES.join(", "))))
}

/// The device called `name`, without gradients.
///
/// # Errors
/// If there is no such device, or the environment asks its kernels for what they cannot do.
pub fn open(name: &str) -> Result<Device, Error> {
    check_name(name)?;
    Kernels::of_this_process()?;
    Ok(Device::flex())
}

/// Which of the CPU's kernels run. Results are the same bytes for the same ones, and differ in rounding between others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernels {
    /// Instruction set; ends in `_bf16` where its instructions for bf16 are used.
    pub isa: String,
    /// Largest side of Winograd's output tiles.
    pub winograd: usize,
}

impl Kernels {
    /// Those of this process.
    ///
    /// # Errors
    /// If `SELFSAME_ISA` or `SELFSAME_WINOGRAD` names what there is not.
    pub fn of_this_process() -> Result<Self, Error> {
        Self::of(Precision::F32)
    }

    /// Those of this process for layers at this precision.
    ///
    /// # Errors
    /// As for [`Self::of_this_process`].
    pub fn of(precision: Precision) -> Result<Self, Error> {
        let isa = Isa::select().map_err(|error| Error::Device(error.to_string()))?;
        let winograd = conv::largest_tile().map_err(|error| Error::Device(error.to_string()))?;
        let multiplies = precision == Precision::Bf16 && isa.multiplies_bf16();
        Ok(Self { isa: format!("{}{}", isa.name(), if multiplies { "_bf16" } else { "" }), winograd })
    }
}

impl std::fmt::Display for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with Winograd tiles of up to {}", self.isa, self.winograd)
    }
}
