//! `grayscale` with a probability, under the name that the SimCLR study gives it.

use super::*;

settings! {
    /// `{ name = "color_drop" }`
    pub struct ColorDropSettings {
        /// probability of being applied
        p: f32 = 0.2, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "color_drop",
    summary: "Color removed now and then; the channels stay three",
    modalities: &[Modality::Image],
    keys: ColorDropSettings::GROUP,
    build: grayscale::build,
};
