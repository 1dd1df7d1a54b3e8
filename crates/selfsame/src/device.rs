//! The devices that a plan can name.

use crate::error::Error;
use burn::tensor::Device;
use selfsame_kernels::{Isa, conv};

/// The device called `name`, without gradients.
///
/// # Errors
/// If there is no such device, or the environment asks its kernels for what they cannot do, see [`check_kernels`].
pub fn open(name: &str) -> Result<Device, Error> {
    match name {
        "cpu" => {
            check_kernels()?;
            Ok(Device::flex())
        }
        _ => Err(Error::setting("device", format!("unknown device \"{name}\"; this build has: cpu"))),
    }
}

/// Whether the CPU's kernels can run as the environment asks, which they take for granted. Called where work begins on
/// tensors that may not come from [`open`].
///
/// # Errors
/// If `SELFSAME_ISA` or `SELFSAME_WINOGRAD` names what there is not.
pub fn check_kernels() -> Result<(), Error> {
    Isa::select().map_err(|error| Error::Device(error.to_string()))?;
    conv::largest_tile().map_err(|error| Error::Device(error.to_string()))?;
    Ok(())
}
