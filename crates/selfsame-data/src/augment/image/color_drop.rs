//! `grayscale` with a probability, under the name that the SimCLR study gives it.

use super::*;

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "color_drop",
    summary: "Colour removed now and then; the channels stay three",
    keys: &[Key::p("0.2")],
    build: grayscale::build,
};
