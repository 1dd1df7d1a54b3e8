//! The devices that a plan can name.

use crate::error::Error;
use burn::tensor::Device;

/// The device called `name`, without gradients.
pub fn open(name: &str) -> Result<Device, Error> {
    match name {
        "cpu" => Ok(Device::flex()),
        _ => Err(Error::setting("device", format!("unknown device \"{name}\"; this build has: cpu"))),
    }
}
