//! Some neighboring frequencies of a log-mel image are hidden: the frequency mask of SpecAugment (Park et al. 2019, "SpecAugment: A
//! Simple Data Augmentation Method for Automatic Speech Recognition"). The rows become the mean of the view.

use super::*;

settings! {
    /// `{ name = "frequency_mask" }`
    pub struct FrequencyMaskSettings {
        /// share of the frequencies that is hidden
        share: [f32; 2] = [0.0, 0.3], Kind::Interval(Range::Within(0.0, 1.0));
        /// probability of being applied
        p: f32 = 0.5, Kind::SHARE;
    }
}

pub(super) const ENTRY: AugmentationEntry = AugmentationEntry {
    name: "frequency_mask",
    summary: "Some rows are hidden, which are neighboring frequencies where data.view = log_mel",
    modalities: &[Modality::Image],
    keys: FrequencyMaskSettings::GROUP,
    build: |cx| {
        let FrequencyMaskSettings { share, p } = cx.read()?;
        Ok(Box::new(FrequencyMask { share, p }))
    },
};

struct FrequencyMask {
    share: [f32; 2],
    p: f32,
}

impl Augmentation for FrequencyMask {
    fn parameter_names(&self) -> &'static [&'static str] {
        &["first_band", "bands"]
    }

    fn draw(&self, size: Size, rng: &mut ViewRng) -> Draw {
        if rng.chance(self.p) { Draw::of(part(size.height, self.share, rng)) } else { Draw::SKIP }
    }

    fn apply(&self, view: &mut View, draw: &Draw) {
        let (width, [first, bands, ..]) = (view.width, draw.values);
        for plane in view.planes_mut() {
            let fill = mean(plane);
            rectangle_rows(plane, width, &[first, 0.0, bands, width as f32]).for_each(|row| row.fill(fill));
        }
    }
}
