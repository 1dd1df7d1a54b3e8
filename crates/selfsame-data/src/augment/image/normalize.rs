//! `(value − mean) / std` by channel. Every view ends with the data's own constants unless its recipe ends with this.

use super::*;
use crate::augment::view::vectorised;
use crate::image::Size;
use crate::rng::ViewRng;

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "normalize",
    summary: "(value − mean) / std, in place of the data's own constants; must be the last",
    keys: &[
        Key {
            name: "mean",
            kind: Kind::PerChannel(Bounds(f32::MIN, f32::MAX)),
            default: "",
            meaning: "subtracted, on the 0..1 scale",
        },
        Key {
            name: "std",
            kind: Kind::PerChannel(Bounds(1e-6, f32::MAX)),
            default: "",
            meaning: "divides, on the 0..1 scale",
        },
    ],
    build: |values| Ok(Box::new(Normalize { mean: values.per_channel("mean"), std: values.per_channel("std") })),
};

struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl ImageAugmentation for Normalize {
    fn parameter_names(&self) -> &'static [&'static str] {
        &[]
    }

    fn draw(&self, _size: Size, _rng: &mut ViewRng) -> Draw {
        Draw::of([])
    }

    fn apply(&self, view: &mut View, _draw: &Draw) {
        for ((plane, mean), std) in view.planes_mut().zip(&self.mean).zip(&self.std) {
            let (scale, shift) = (1.0 / std, -mean / std);
            vectorised!(plane.iter_mut().for_each(|v| *v = *v * scale + shift));
        }
    }
}
